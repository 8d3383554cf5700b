"""What is added touches the files that CONTRIBUTING names: a method, a row, a data set.

A data set is added in tests/fvlib/test_benchmarks.py.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import torch

from fvlib import Recipe, TemporalClustering, train, tsm_resnet
from fvlib.clustering import METHOD_NAMES
from fvlib.clustering.labels import METHODS
from fvlib.datasets.loading import InMemory
from lab.plan import choose, read_plan
from lab.recipes import parameters_of

ROOT = Path(__file__).parents[1]
DATA = ROOT / "data"


class Ends:
    """The first frame, the last frame, and all between them."""

    name, needs, may_be_empty, adaptive = "ends", "nothing", False, False

    def labels(self, seen, g, lengths=None):
        labels = torch.ones(len(seen), seen.shape[1] + 1, dtype=torch.int64)
        labels[:, 0], labels[:, -1] = 0, 2
        return labels

    def scores(self, seen, lengths=None):
        raise NotImplementedError


def test_a_method_is_an_entry():
    x = torch.randn(2, 5, 3)
    y, labels, sizes = TemporalClustering(Ends(), 3)(x)
    assert labels.tolist() == [[0, 1, 1, 1, 2]] * 2
    assert sizes.tolist() == [[1, 3, 1]] * 2
    torch.testing.assert_close(y[:, 1], x[:, 1:4].mean(1))
    assert tuple(METHODS) == METHOD_NAMES  # the one place, and the names that light code reads


def test_a_method_touches_one_file(tmp_path):
    """The library with two lines more in its registry: the command line and the layer follow."""
    shutil.copytree(ROOT / "fvlib", tmp_path / "fvlib")
    registry = tmp_path / "fvlib" / "clustering" / "labels.py"
    text = registry.read_text("utf-8")
    mine = 'Method("halves", lambda seen, g, lengths=None: uniform_clusters(2, g), "nothing"),'
    registry.write_text(text.replace('    Method("optimal"', f'    {mine}\n    Method("optimal"'))
    asked = (
        "from fvlib.clustering import METHOD_NAMES, METHODS, TemporalClustering; import torch;"
        "y, labels, _ = TemporalClustering('halves', 2)(torch.eye(2)[None]);"
        "print(METHOD_NAMES == tuple(METHODS), 'halves' in METHOD_NAMES, labels.tolist())"
    )
    options = {"cwd": tmp_path, "capture_output": True, "text": True, "check": True}
    ran = subprocess.run([sys.executable, "-c", asked], **options)
    assert ran.stdout == "True True [[0, 1]]\n"
    ran = subprocess.run([sys.executable, "-m", "fvlib", "clusters", "--help"], **options)
    assert "halves" in ran.stdout


def test_a_network_trains_with_a_method_of_ones_own():
    model = tsm_resnet(18, 2, width=4, in_channels=1, clustering=TemporalClustering(Ends(), 3))
    clips = InMemory(torch.randint(256, (4, 5, 1, 32, 32)).byte(), torch.arange(4) % 2)
    history = train(model, clips, Recipe(epochs=1, batch_size=2), seed=0, classes=["a", "b"])
    assert len(history.train_loss) == 1


def test_a_row_of_table_1_is_a_line_of_the_recipes_and_a_line_of_the_plan(tmp_path):
    for name in ("recipes.toml", "plan.toml"):
        shutil.copy(DATA / name, tmp_path)
    plan, recipes = tmp_path / "plan.toml", tmp_path / "recipes.toml"
    row = 'optimal-4 = { method = "optimal", clusters = 4 }'
    text = recipes.read_text("utf-8")
    recipes.write_text(text.replace("[table1.rows]", f"[table1.rows]\n{row}", 1), "utf-8")
    entry = 'for = "mine"\nexperiment = "table1"\nscale = "smoke"\ndata = "embedded"\nseeds = [7]'
    with open(plan, "a", encoding="utf-8") as file:
        file.write(f'\n[[runs]]\n{entry}\nrows = ["optimal-4"]\n')
    (mine,) = choose(read_plan(plan, recipes), recipes, rows=["optimal-4"], seeds=[7])
    assert (mine.name, mine.purpose) == ("table1/smoke-embedded-optimal-4-s7", "mine")
    parameters, _ = parameters_of(recipes, "table1", "optimal-4", "smoke", "embedded")
    assert (parameters.method, parameters.clusters) == ("optimal", 4)
