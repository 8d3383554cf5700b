"""A few steps of every experiment give the bits that are stored, or its version is another one."""

import copy
from itertools import product
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from lab import fingerprints
from lab.fingerprints import CASES, case_of, complaint
from lab.parameters import experiment_of
from lab.recipes import experiments_of, parameters_of, rows_of, scales_of

DATA = Path(__file__).parents[2] / "data"
RECIPES = DATA / "recipes.toml"
STORED, MACHINE = fingerprints.read(DATA / "fingerprints.json")

# What no case can meet: files that do not come with the repository, and processes beside a run's.
ELSEWHERE = {
    *(("dataset", "something_v1"), ("missing", "skip"), ("weights", "IMAGENET1K_V1"), ("workers",)),
    ("weights", "cache/checkpoints/TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e50.pth"),
}


@pytest.fixture(scope="module")
def beside():
    with fingerprints.laid_out(RECIPES) as folder:
        yield folder


@pytest.mark.parametrize("experiment", experiments_of(RECIPES))
def test_the_arithmetic_is_that_of_the_stored_version(experiment, beside, unchecked):
    found = fingerprints.fingerprint(beside, experiment)
    to_the_bit = fingerprints.kind() == MACHINE
    assert not (said := complaint(experiment, STORED.get(experiment), found, to_the_bit)), said


def met(parameters: dict) -> set[tuple]:
    """What is said of a run in words or by being there at all, not by how much."""
    found = set()
    for key, value in parameters.items():
        several = value if isinstance(value, list) else [value]
        words = [(key, word) for word in several if isinstance(word, str | bool)]
        found |= set(words or [(key,)])
    return found


def test_cases_meet_all_that_recipes_use():
    here, everywhere = set(ELSEWHERE), set()
    assert list(CASES) == experiments_of(RECIPES)
    for experiment, (_, cases) in CASES.items():
        own, used, precisions = [], [], set()
        for case in cases:
            row, scale, given = case_of(RECIPES, experiment, case)
            parameters, _ = parameters_of(RECIPES, experiment, row, scale, "embedded", **given)
            own.append(parameters.stated())
            precisions.add(own[-1].get("autocast"))
        for scale, row in product(scales_of(RECIPES, experiment), rows_of(RECIPES, experiment)):
            parameters, _ = parameters_of(RECIPES, experiment, row, scale, "embedded")
            used.append(parameters.stated())
        here |= set().union(*map(met, own))
        everywhere |= set().union(*map(met, used))
        assert "autocast" not in used[0] or precisions == {True, False}, experiment
        if not experiment_of(experiment).measured and any(map(warmed, used)):
            assert any(map(warmed, own)), f"{experiment} has no case with a warm-up"
    assert {one for one in everywhere - here if one[0] not in ("scale", "data")} == set()


def warmed(parameters: dict) -> bool:
    """Whether an epoch of the warm-up, and one after it, are trained."""
    return 0 < parameters.get("warmup_epochs", 0) < parameters["epochs"]


def louder(x):
    """Every number by one unit in its last place."""
    return x * (1 + 2**-23)


def in_the_loss(monkeypatch):
    plain = F.cross_entropy
    monkeypatch.setattr(F, "cross_entropy", lambda *args, **kw: louder(plain(*args, **kw)))


def in_one_place_of_one_layer(monkeypatch):
    plain = torch.nn.Conv2d._conv_forward

    def forward(self, x, weight, bias):
        y = plain(self, x, weight, bias)
        if self.in_channels == 1:
            at = y.detach().abs().argmax()
            y = torch.where(torch.arange(y.numel()).view(y.shape) == at, louder(y), y)
        return y

    monkeypatch.setattr(torch.nn.Conv2d, "_conv_forward", forward)


def in_the_test_alone(monkeypatch):
    plain = torch.nn.Linear.forward

    def forward(self, x):
        y = plain(self, x)
        return y if torch.is_grad_enabled() else louder(y)

    monkeypatch.setattr(torch.nn.Linear, "forward", forward)


def in_the_optimiser(monkeypatch):
    plain = torch.optim.SGD.__init__

    def init(self, *args, **kw):
        plain(self, *args, **kw)
        for group in self.param_groups:
            group["momentum"] *= 1 + 2**-23

    monkeypatch.setattr(torch.optim.SGD, "__init__", init)


@pytest.mark.parametrize(
    "change", [in_the_loss, in_one_place_of_one_layer, in_the_test_alone, in_the_optimiser]
)
def test_one_changed_rounding_is_seen(change, beside, monkeypatch, unchecked):
    case = ["tsm-8 float32"]
    before = fingerprints.fingerprint(beside, "table1", case)
    assert complaint("table1", before, fingerprints.fingerprint(beside, "table1", case), True) == ""
    change(monkeypatch)
    said = complaint("table1", before, fingerprints.fingerprint(beside, "table1", case), True)
    assert "arithmetic of table1 has changed, and its version has not" in said
    assert "--raise" in said
    after = fingerprints.fingerprint(beside, "table1", case)
    assert complaint("table1", before, after, to_the_bit=False) == ""


def one(version=1, sha="a", asked="p", loss=2.0, correct=3, total=8, case="x float32"):
    entry = {"sha256": sha, "asked": asked, "numbers": {"loss": [1.0, loss]}}
    entry["counts"] = {"clustered.correct": correct, "clustered.total": total}
    return {"version": version, "cases": {case: entry}}


def test_complaints():
    assert complaint("e", one(), one(), True) == ""
    assert complaint("e", None, one(), True) == (
        "e has no fingerprint: write it with python -m lab fingerprints"
    )
    said = complaint("e", one(), one(version=2, sha="b"), True)
    assert said.startswith("the fingerprint of e is that of version 1, and the recipe file has 2")
    assert "only in bits that are not shown" in complaint("e", one(), one(sha="b"), True)
    said = complaint("e", one(), one(sha="b", loss=2.5, correct=4), True)
    assert "x float32: loss [1] 2.0 -> 2.5; clustered.correct 3 -> 4" in said
    assert complaint("e", one(), one(asked="q", sha="b"), True) == (
        "x float32 of e has changed: write it again with python -m lab fingerprints"
    )
    assert "y float32 of e has changed" in complaint("e", one(), one(case="y float32"), True)


def test_other_machines_may_round_otherwise():
    assert complaint("e", one(), one(sha="b", loss=2.001, correct=4), False) == ""
    assert "loss [1] 2.0 -> 2.01" in complaint("e", one(), one(sha="b", loss=2.01), False)
    assert "total 8 -> 9" in complaint("e", one(), one(sha="b", total=9), False)
    half = {"case": "x bfloat16", "sha": "b"}
    assert complaint("e", one(case="x bfloat16"), one(loss=2.01, **half), False) == ""
    assert "loss" in complaint("e", one(case="x bfloat16"), one(loss=2.2, **half), False)
    shorter = copy.deepcopy(one(sha="b"))
    shorter["cases"]["x float32"]["numbers"]["loss"].pop()
    assert "loss [1.0, 2.0] -> [1.0]" in complaint("e", one(), shorter, False)


RECIPE_TEXT = """\
# about versions: version = 7
[first]
version = 3

[second]
like = "first"
version = 1  # of the second

[second.common]
version = 9
"""


def test_fingerprints_are_written_again_only_with_the_version(tmp_path, monkeypatch):
    recipes, path = tmp_path / "recipes.toml", tmp_path / "fingerprints.json"
    recipes.write_text(RECIPE_TEXT)
    today = {"first": one(version=3), "second": one(version=1)}
    monkeypatch.setattr(fingerprints, "make", lambda _: copy.deepcopy(today))
    assert fingerprints.renew(path, recipes) == []
    assert fingerprints.read(path) == (today, fingerprints.kind())

    today["second"] = one(version=1, sha="b")
    before = path.read_bytes()
    with pytest.raises(ValueError, match="arithmetic of second has changed, and its version"):
        fingerprints.renew(path, recipes)
    assert (path.read_bytes(), recipes.read_text()) == (before, RECIPE_TEXT)
    assert fingerprints.renew(path, recipes, raise_versions=True) == ["second"]
    raised = RECIPE_TEXT.replace("version = 1  #", "version = 2  #")
    assert recipes.read_text() == raised
    assert fingerprints.read(path)[0] == {"first": one(version=3), "second": one(2, sha="b")}

    today = {"first": one(version=3, asked="q", sha="c"), "second": one(version=2, sha="b")}
    assert fingerprints.renew(path, recipes) == []  # other cases are not other arithmetic
    today["first"] = one(version=4, asked="q", sha="d")
    assert fingerprints.renew(path, recipes) == []  # its version is another one already
    assert recipes.read_text() == raised
    assert fingerprints.read(path)[0] == today
