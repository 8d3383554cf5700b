"""Equal terms: a grid of rows, the best of each by its records."""

from types import SimpleNamespace

import pytest

from lab import plan
from lab.recipes import grid_of, parameters_of, rows_of

RECIPES = """
[table5]
version = 1
common = { depth = 18, dataset = "something_v2", crop = 64 }
scale.small = { epochs = 1, batch_size = 2, lr = 0.02, weight_decay = 0.0, schedule = "cosine" }
rows = { tsm-8 = { frames = 8 }, stm-8 = { network = "stm", frames = 8, shift_stages = [] } }

[tuning_table5]
like = "table5"
version = 1
rows = { tsm-8 = { frames = 8 }, stm-8 = { network = "stm", frames = 8, shift_stages = [] } }
grid = { slow = { lr = 0.005 }, usual = { lr = 0.02 } }
"""


@pytest.fixture
def recipes(tmp_path):
    file = tmp_path / "recipes.toml"
    file.write_text(RECIPES)
    return file


def with_records(monkeypatch, recipes, correct):
    """Records of so many correct clips, by row and seed, as if they were adopted."""
    made = [
        SimpleNamespace(
            experiment="tuning_table5",
            **{"row": row, "seed": seed, "scale": "small", "source": "embedded", "version": 1},
            results={"clustered": {"correct": number}},
            parameters=parameters_of(recipes, "tuning_table5", row, "small", "embedded")[
                0
            ].stated(),
        )
        for (row, seed), number in correct.items()
    ]
    monkeypatch.setattr(
        plan.records, "select", lambda *_, row, **__: [r for r in made if r.row == row]
    )


def test_a_grid_has_every_row_with_every_entry(recipes):
    assert rows_of(recipes, "tuning_table5") == [
        *("tsm-8-slow", "tsm-8-usual"),
        *("stm-8-slow", "stm-8-usual"),
    ]
    both = ["slow", "usual"]
    assert grid_of(recipes, "tuning_table5") == {"tsm-8": both, "stm-8": both}
    slow, _ = parameters_of(recipes, "tuning_table5", "stm-8-slow", "small", "embedded")
    assert (slow.network, slow.lr) == ("stm", 0.005)
    with pytest.raises(ValueError, match="table5 has no grid"):
        grid_of(recipes, "table5")


def test_the_best_has_the_most_correct_clips(recipes, monkeypatch, tmp_path, unchecked):
    correct = {("tsm-8-slow", 100): 7, ("tsm-8-usual", 100): 9}
    correct |= {("stm-8-slow", 100): 8, ("stm-8-usual", 100): 8}  # a tie: the earlier entry
    with_records(monkeypatch, recipes, correct)
    chosen = plan.tuned(recipes, tmp_path)
    assert chosen == {"tuning_table5": {"tsm-8": "usual", "stm-8": "slow"}}


def test_all_entries_need_the_same_seeds(recipes, monkeypatch, tmp_path, unchecked):
    correct = {("tsm-8-slow", 100): 7, ("tsm-8-usual", 100): 9, ("tsm-8-usual", 101): 9}
    with_records(monkeypatch, recipes, correct)
    with pytest.raises(ValueError, match=r"row tsm-8: .* slow \[100\], usual \[100, 101\]"):
        plan.tuned(recipes, tmp_path)
