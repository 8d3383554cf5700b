"""What may import what: two packages and a border, kept by a walk over the syntax trees."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What a room of the library may import of the others; lab may import all of the library.
FVLIB = {
    "storage": set(),
    "processes": set(),
    "contracts": set(),
    "values": set(),
    "decisions": set(),
    "recipe": {"datasets", "values"},
    "distributed": set(),
    "clustering": {"contracts", "values"},
    "models": {"clustering", "contracts", "values"},
    "datasets": {"contracts", "processes", "storage", "values"},
    "cost": {"contracts", "models"},
    "evaluation": {"contracts", "datasets", "distributed", "values"},
    "training": {
        *("contracts", "datasets", "distributed", "evaluation", "models", "recipe", "storage"),
        "values",
    },
    "pictures": {"values"},
    "own": {
        *("clustering", "contracts", "cost", "datasets", "decisions", "distributed"),
        *("evaluation", "models", "pictures", "recipe", "storage", "training", "values"),
    },
    "cli": {
        *("clustering", "datasets", "distributed", "models", "own", "pictures", "processes"),
        *("storage", "values"),
    },
    "__main__": {"cli"},
}
LAB = {
    "released": set(),
    "systems": set(),
    "gradients": set(),
    "flow": set(),
    "synthetic": set(),
    "plots": {"recipes"},
    "parameters": set(),
    "recipes": {"parameters"},
    "building": {"parameters", "recipes", "released", "systems"},
    "records": {"parameters"},
    "claims": {"records", "verify"},
    "experiments": {
        *("building", "flow", "gradients", "parameters", "recipes", "records", "released"),
        *("synthetic", "systems"),
    },
    "plan": {"parameters", "recipes", "records", "verify"},
    "verify": {"experiments", "parameters", "recipes", "records"},
    "fingerprints": {"experiments", "parameters", "recipes", "records", "synthetic"},
    "book": {"records"},
}
EVERYTHING = {*LAB, "commands", "__main__"}
# All that training and the commands need.
LIGHT = {"torch", "torchvision", "numpy", "tqdm", "jaxtyping", "typer", "filelock"}
HEAVY = [
    *("matplotlib", "seaborn", "sklearn", "papermill", "nbformat", "jupytext", "IPython", "av"),
    *("cv2", "safetensors"),
]
FILES = sorted([*(ROOT / "fvlib").rglob("*.py"), *(ROOT / "lab").rglob("*.py")])


def room_of(file: Path) -> tuple[str, str]:
    """The package and the line of its table that a file belongs to: its folder's or own name."""
    package, *rest = file.relative_to(ROOT).parts
    return package, rest[0].removesuffix(".py")


def imported(nodes: Iterator[ast.AST], file: Path) -> Iterator[str]:
    """Dotted names that import statements name, relative ones made absolute."""
    package = list(file.relative_to(ROOT).parts[:-1])
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{start}.{alias.name}" for alias in node.names)


def edges(source: str, file: Path) -> set[tuple[str, str]]:
    """The other rooms, with their packages, that a file imports anywhere in it."""
    names = [name.split(".") for name in imported(ast.walk(ast.parse(source)), file)]
    rooms = {(name[0], name[1]) for name in names if len(name) > 1 and name[0] in ("fvlib", "lab")}
    return {
        (package, room)
        for package, room in rooms
        if (ROOT / package / room).is_dir() or (ROOT / package / f"{room}.py").exists()
    } - {room_of(file)}


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes that run when the module is imported: not those inside functions."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from at_import(child)


def heavy(source: str, file: Path) -> set[str]:
    """Third-party packages imported with the module, beyond those that training needs."""
    roots = {name.split(".")[0] for name in imported(at_import(ast.parse(source)), file)}
    return roots - set(sys.stdlib_module_names) - LIGHT - {"fvlib", "lab"}


def allowed(package: str, room: str) -> set[tuple[str, str]]:
    everything = {("fvlib", name) for name in FVLIB}
    if package == "fvlib":
        return {("fvlib", name) for name in FVLIB[room]} if room != "__init__" else everything
    of_lab = EVERYTHING if room in ("commands", "__main__", "__init__") else LAB[room]
    return everything | {("lab", name) for name in of_lab}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_nothing_crosses_the_border_but_what_the_tables_allow(file):
    source = file.read_text("utf-8")
    assert edges(source, file) <= allowed(*room_of(file))
    assert not heavy(source, file)


def test_the_walk_sees_every_form_of_import():
    inside, beside = ROOT / "fvlib" / "models" / "x.py", ROOT / "fvlib" / "cost.py"
    both = {("fvlib", "cost"), ("fvlib", "clustering")}
    assert edges("from fvlib import cost, clustering", inside) == both
    assert edges("import lab.book.prose as p", inside) == {("lab", "book")}
    assert edges("def f():\n    from lab.records import read", inside) == {("lab", "records")}
    assert edges("from ..storage import replacing", inside) == {("fvlib", "storage")}
    assert edges("from . import shift\nfrom .shift import y\nimport torch", inside) == set()
    assert edges("from .models import x", beside) == {("fvlib", "models")}
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
    assert loaded("import lab.experiments, lab.book", HEAVY) == []


@pytest.mark.process
def test_commands_that_only_read_do_not_wait_for_torch():
    commands = ["--help", "runs list", "runs plan", "runs status", "runs run --dry-run"]
    commands += ["records list", "records check", "runs run --help"]
    code = f"from lab.__main__ import main; [main(x.split()) for x in {commands}]"
    assert loaded(code, ["torch", *HEAVY]) == []
    assert loaded("import torch", ["torch"]) == ["torch"]
