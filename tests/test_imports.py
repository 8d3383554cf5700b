"""What may import what: the table of the design, kept by a walk over the syntax trees."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import fvlib

PACKAGE = Path(__file__).parents[1] / "fvlib"
MAY_IMPORT = {
    "clustering": set(),
    "models": {"clustering"},
    "datasets": set(),
    "recipes": {"datasets"},
    "distributed": set(),
    "training": {
        *("clustering", "models", "datasets", "recipes", "evaluation", "released", "distributed"),
    },
    "evaluation": {"models", "datasets", "distributed"},
    "gradients": {"clustering", "models"},
    "released": {"clustering", "datasets", "models"},
    "experiments": {
        *("clustering", "models", "datasets", "training", "evaluation", "gradients"),
        *("released", "cost", "records", "distributed"),
    },
    "cost": {"models"},
    "records": {"distributed"},
    "plan": {"recipes", "training", "experiments", "records"},
    "claims": {"records"},
    "plots": set(),
    "book": {"records"},
}
EVERYTHING = {*MAY_IMPORT, "commands", "__main__"}
LIGHT = {"torch", "torchvision", "numpy", "numba", "tqdm", "jaxtyping"}  # all that training needs
HEAVY = [
    *("matplotlib", "seaborn", "sklearn", "papermill", "nbformat", "jupytext", "IPython", "av"),
    "cv2",
]
OF_A_GPU = {
    PACKAGE / "clustering" / "compiled" / "gpu.py": {"triton"}
}  # imported where there is one
FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(file: Path) -> str:
    """The line of the table that a file belongs to: its folder's or its own name."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(nodes: Iterator[ast.AST], file: Path) -> Iterator[str]:
    """Dotted names that import statements name, relative ones made absolute."""
    package = ["fvlib", *file.relative_to(PACKAGE).parts[:-1]]
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{start}.{alias.name}" for alias in node.names)


def edges(source: str, file: Path) -> set[str]:
    """Names of the other fvlib modules that a file imports, anywhere in it."""
    names = [name.split(".") for name in imported(ast.walk(ast.parse(source)), file)]
    return {name[1] for name in names if name[0] == "fvlib" and name[1] in EVERYTHING} - {
        module_of(file)
    }


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes that run when the module is imported: not those inside functions."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from at_import(child)


def heavy(source: str, file: Path) -> set[str]:
    """Third-party packages imported with the module, beyond those that training needs."""
    roots = {name.split(".")[0] for name in imported(at_import(ast.parse(source)), file)}
    return roots - set(sys.stdlib_module_names) - LIGHT - OF_A_GPU.get(file, set()) - {"fvlib"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_only_listed_imports(file):
    module = module_of(file)
    assert module in EVERYTHING | {"__init__"}, f"{module} is not in the table of modules"
    allowed = EVERYTHING if module in ("commands", "__main__") else MAY_IMPORT.get(module, set())
    source = file.read_text("utf-8")
    assert edges(source, file) <= allowed
    assert not heavy(source, file)


def test_the_walk_sees_every_form_of_import():
    inside, beside = PACKAGE / "models" / "x.py", PACKAGE / "cost.py"
    assert edges("from fvlib import cost, clustering", inside) == {"cost", "clustering"}
    assert edges("import fvlib.book.prose as p", inside) == {"book"}
    assert edges("def f():\n    from ..records import read", inside) == {"records"}
    assert edges("from . import shift\nfrom .shift import y\nimport torch", inside) == set()
    assert edges("from .models import x", beside) == {"models"}
    assert heavy("import av\nimport os, numpy.linalg", beside) == {"av"}
    assert heavy("class A:\n    from PIL import Image", beside) == {"PIL"}
    assert heavy("def f():\n    import av", beside) == set()


def loaded(code: str, names: list[str]) -> list[str]:
    """Those of the names that a new interpreter has loaded after this code."""
    code += f"\nimport sys; print(*[name for name in {names} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1].split()


@pytest.mark.process
def test_training_loads_nothing_heavy():
    assert loaded("import fvlib.experiments, fvlib.book", HEAVY) == []


@pytest.mark.process
def test_commands_that_only_read_do_not_wait_for_torch():
    commands = ["runs list", "runs plan", "records list"]
    code = f"from fvlib.__main__ import main; [main(x.split()) for x in {commands}]"
    assert loaded(code, ["torch", *HEAVY]) == []
    assert loaded("import torch", ["torch"]) == ["torch"]


def test_the_method_can_be_read_in_one_sitting():
    named = [line.split()[0] for line in fvlib.__doc__.splitlines() if line.startswith("    ")]
    assert len(named) == 10
    files = [
        file
        for name in named
        for file in (sorted((PACKAGE / name).glob("*.py")) or [PACKAGE / name])
    ]
    assert sum(len(file.read_text("utf-8").splitlines()) for file in files) < 2500


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_module_is_a_few_pages_long(file):
    assert len(file.read_text("utf-8").splitlines()) < 320
