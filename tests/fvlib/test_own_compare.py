"""Do more frames help on one's own clips: the differences, the words, the decision, the runs."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fvlib.cli import main
from fvlib.own.compare import FEWEST, Comparison, Difference, _plan, _quantile, difference
from fvlib.own.model import Settings

pytest.importorskip("av")
stats = pytest.importorskip("scipy.stats")
WAYS = (FEWEST, "16 frames", "8 uniform clusters", "8 cumulative clusters", "all frames")


def comparison(rights, groups, delta=2.0):
    names = WAYS[: len(rights)]
    right = dict(zip(names, (np.asarray(one, bool) for one in rights), strict=True))
    seconds = {name: float(i + 1) for i, name in enumerate(names)}
    return Comparison(right, tuple(map(str, groups)), seconds, dict.fromkeys(names, 0), delta)


def slow_difference(a, b, groups):
    """By sources, one after the other."""
    d = [100.0 * (int(x) - int(y)) for x, y in zip(a, b, strict=True)]
    mean, square = sum(d) / len(d), 0.0
    for source in set(groups):
        square += sum(x - mean for x, g in zip(d, groups, strict=True) if g == source) ** 2
    m = len(set(groups))
    return mean, (m / (m - 1) * square) ** 0.5 / len(d), m - 1


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from("abcd")), min_size=3))
@settings(max_examples=80, deadline=None)
def test_the_difference_against_sums_by_source(clips):
    a, b, groups = zip(*clips, strict=True)
    if len(set(groups)) < 2:
        with pytest.raises(ValueError, match="all clips are of one source"):
            difference(a, b, groups)
        return
    found = difference(a, b, groups)
    assert (found.points, found.se, found.df) == pytest.approx(slow_difference(a, b, groups))


@pytest.mark.parametrize("df", [1, 2, 3, 5, 10, 100])
@pytest.mark.parametrize("p", [0.95, 0.975, 0.99375])
def test_quantiles_of_student(p, df):
    assert _quantile(p, df) == pytest.approx(stats.t.ppf(p, df), rel=0.02 if df != 3 else 0.06)


@pytest.mark.parametrize(
    ("points", "se", "word"),
    [
        (5.0, 1.0, "better"),
        (-5.0, 1.0, "worse"),
        (0.3, 0.5, "no difference"),
        (1.0, 3.0, "undecided"),
        (1.2, 0.6, "undecided"),
    ],
)
def test_words(points, se, word):
    assert Difference(points, se, 100, 400).word(2.0, 4) == word


def simulated(rng, clips, gain, sources=60):
    """Two ways whose clips are right in 70 % and 70 + gain %, more alike within a source."""
    group = np.arange(clips) % sources
    hard = rng.normal(0, 0.5, sources)[group]
    base, own = rng.normal(size=clips), rng.normal(size=(2, clips))
    ease = 0.6 + hard + base + own
    return ease[0] > 0, ease[1] + gain > 0, tuple(map(str, group))


def test_equal_ways_are_told_apart_seldom():
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(400):
        a, b, group = simulated(rng, 240, 0.0)
        wrong += difference(a, b, group).word(2.0) in ("better", "worse")
    assert wrong / 400 < 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5


def test_four_equal_ways_are_told_apart_from_the_first_seldom_too():
    """All comparisons together, through the words that a user reads."""
    rng, wrong = np.random.default_rng(3), 0
    for _ in range(300):
        hard = rng.normal(0, 1.0, 240) + rng.normal(0, 0.5, 60).repeat(4)
        rights = [0.6 + hard + rng.normal(size=240) > 0 for _ in WAYS]
        words = comparison(rights, np.arange(60).repeat(4)).words()
        wrong += bool({"better", "worse"} & {*words.values()})
    assert wrong / 300 < 0.05 + 2 * (0.05 * 0.95 / 300) ** 0.5


def test_clips_that_decide_are_more_than_there_are():
    """A difference of 1.2 points, where 2 matter: it takes more of them to tell either."""
    found = Difference(1.2, 0.6, 100, 400)
    assert found.word(2.0, 4) == "undecided"
    assert found.clips_to_decide(2.0, 4) > 400


def test_as_many_clips_as_announced_show_the_difference():
    """From a pilot of equal ways; then so many clips, in as many more sources, truly different."""
    rng = np.random.default_rng(1)
    a, b, _ = simulated(rng, 200_000, 0.3, 50_000)
    delta = 100 * (b.mean() - a.mean())
    pilots = [replace(difference(*simulated(rng, 240, 0.0)), points=0.0) for _ in range(100)]
    needed = np.median([pilot.clips_to_decide(delta) for pilot in pilots])
    clips = int(needed)
    seen = [
        difference(*simulated(rng, clips, 0.3, clips // 4)).word(2.0) == "worse" for _ in range(150)
    ]
    assert 0.68 < np.mean(seen) < 0.95


def test_decisions():
    rng = np.random.default_rng(2)
    n = 400
    few = rng.random(n) < 0.7
    better = few | (rng.random(n) < 0.5)
    said = comparison([few, better], range(n)).decision()
    assert said.startswith("Take 16 frames: +1")
    assert "in 2.0 times the time" in said
    said = comparison([few, few, few], range(n)).decision()
    assert said == (
        "8 frames are enough here: no way that sees more is better by 2 points or more, and they "
        "take 33 % of the time of 8 uniform clusters."
    )
    said = comparison([few[:20], better[:20] & few[19::-1]], range(20)).decision()
    assert said.startswith("Undecided for 16 frames: about ")
    assert "more clips of this kind would tell whether it differs by 2 points" in said


def test_folds_and_epochs_fit_into_the_time():
    cost, base = {"a": 1.0, "b": 2.0}, Settings(epochs=30, warmup_epochs=0)
    assert _plan(cost, 80, 40, base, 1e9) == (5, 30)
    assert _plan(cost, 80, 4, base, 1e9) == (3, 30)
    k, epochs = _plan(cost, 80, 40, base, 1500.0)
    assert k < 5
    assert 8 <= epochs < 30
    with pytest.raises(ValueError, match=r"two folds of 8 epochs take about \d+ minutes"):
        _plan(cost, 80, 40, base, 100.0)


def test_a_comparison_is_run_and_goes_on(videos, tmp_path, capsys, monkeypatch):
    """Stopped after three trainings, then run to its end: the same as at once."""
    words = ["compare", str(videos), "--group", "s[0-9]", "--weights", "none", "--width", "8"]
    words += ["--size", "24", "--batch", "4", "--epochs", "1"]
    assert main([*words, "--out", str(tmp_path / "a")]) == 0
    said = capsys.readouterr().out
    assert "16 clips of 4 sources, 3 folds, 1 epochs a training, 5 ways" in said
    assert all(way in said for way in WAYS)

    from fvlib.own import compare

    real, calls = compare.train, []

    def stopped(*arguments, **options):
        calls.append(1)
        if len(calls) > 3:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(compare, "train", stopped)
    assert main([*words, "--out", str(tmp_path / "b")]) == 130
    monkeypatch.setattr(compare, "train", real)
    assert main([*words, "--out", str(tmp_path / "b")]) == 0
    one, two = (json.loads((tmp_path / name / "compare.json").read_text()) for name in "ab")
    for found in (one, two):
        for way in found["ways"]:
            del way["seconds"]
    assert one["ways"] == two["ways"]
    assert one["clips"] == 16
    assert {path.name for path in (tmp_path / "a").iterdir()} == {
        *("compare.json", "compare.csv", "compare.html", "runs.json", "frames.json")
    }
    assert main([*words, "--out", str(tmp_path / "a"), "--minutes", "0"]) == 0  # nothing is left
    capsys.readouterr()
    assert main([*words, "--out", str(tmp_path / "b"), "--size", "32"]) == 1
    assert "was begun with other clips or settings" in capsys.readouterr().err


def test_too_few_minutes_are_told(videos, tmp_path, capsys):
    words = ["compare", str(videos), "--group", "s[0-9]", "--weights", "none", "--minutes", "0"]
    assert main([*words, "--out", str(tmp_path / "a"), "--size", "24", "--width", "8"]) == 1
    assert "wanted more --minutes" in capsys.readouterr().err
