"""The names at the top of the library, and what it takes to import them."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fvlib


@pytest.mark.parametrize("name", fvlib.__all__)
def test_every_public_name_is_there_and_explained(name):
    item = getattr(fvlib, name)
    assert len(inspect.getdoc(item)) > 40
    assert item.__module__.startswith("fvlib.")
    assert name in dir(fvlib)


def test_what_editors_see_is_what_there_is():
    tree = ast.parse(Path(fvlib.__file__).read_text("utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.asname or alias.name for node in block.body for alias in node.names}
    assert seen == set(fvlib.__all__) == set(fvlib._HOMES)


def test_an_unknown_name_is_answered_with_what_there_is():
    with pytest.raises(AttributeError, match=r"fvlib has no trian; .*tsm_resnet"):
        fvlib.trian  # noqa: B018
    assert not hasattr(fvlib, "predict_everything")
    with pytest.raises(ImportError):
        exec("from fvlib import trian")


def test_importing_the_library_loads_next_to_nothing():
    code = """
import sys
import fvlib
names = ("torch", "numpy", "tqdm", "jaxtyping", "typer", "fvlib.models", "fvlib.recipe")
print([name for name in names if name in sys.modules])
from fvlib import Recipe
print(Recipe.__module__, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "fvlib.recipe False"]


MISSING = """
import sys
sys.modules.update(dict.fromkeys(("av", "sklearn", "matplotlib")))
import numpy as np
from fvlib import Move4MNIST, pictures
from fvlib.datasets.videos import open_clip
open(sys.argv[1], "wb").write(b"a film")
for use in (
    lambda: open_clip(sys.argv[1]).count(),
    lambda: Move4MNIST("train"),
    lambda: pictures.ribbon(np.arange(3), np.zeros(4)),
):
    try:
        use()
    except ModuleNotFoundError as error:
        print(error)
"""


@pytest.mark.process
def test_a_missing_extra_is_named(tmp_path):
    command = [sys.executable, "-c", MISSING, str(tmp_path / "a.avi")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "av is not installed; pip install 'fvlib[video]'",
        "sklearn is not installed; pip install 'fvlib[embedded]'",
        "matplotlib is not installed; pip install 'fvlib[video]'",
    ]


def test_the_ten_lines_of_the_documentation_run(capsys):
    """As they stand on the library's page."""
    page = (Path(fvlib.__file__).parents[1] / "site" / "library.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(code, "library.md", "exec"), {})
    assert re.fullmatch(r"\d+\.\d+ % right\n", capsys.readouterr().out)
