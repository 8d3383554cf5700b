"""Do more frames help on one's own clips: the differences, the words, the decision, the runs."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fvlib.cli import main
from fvlib.decisions import Difference
from fvlib.own import compare as module
from fvlib.own.compare import FEWEST, Comparison, _plan, _seconds, clips_to_decide, difference
from fvlib.own.model import Settings
from fvlib.training.loop import epochs_done

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
    return mean, max((m / (m - 1) * square) ** 0.5, 100) / len(d), m - 1


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from("abcd")), min_size=3))
@settings(max_examples=80, deadline=None)
def test_the_difference_against_sums_by_source(clips):
    a, b, groups = zip(*clips, strict=True)
    if len(set(groups)) < 2:
        with pytest.raises(ValueError, match="all clips are of one source"):
            difference(a, b, groups)
        return
    found = difference(a, b, groups)
    assert (found.mean, found.se, found.df) == pytest.approx(slow_difference(a, b, groups))


def words(*differences, delta=2.0):
    """Of ways that differ so from the first, as (points, standard error)."""
    found = comparison([[True], *[[True]] * len(differences)], "a", delta)
    known = {
        way: Difference(*map(float, d), 100.0)
        for way, d in zip(WAYS[1:], differences, strict=False)
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Comparison, "differences", lambda _: known)
        return [*found.words().values()]


def test_words():
    """By themselves, and two that share the level."""
    told = {
        (5.0, 1.0): "better",
        (-5.0, 1.0): "worse",
        (0.3, 0.5): "no difference",
        (1.0, 3.0): "undecided",
        (1.2, 0.6): "undecided",
        (1.0, 0.3): "better by less than matters",
    }
    for points, word in told.items():
        assert words(points, points) == [word, word]
    assert words((2.1, 1.0)) == ["better"]
    assert words((2.1, 1.0), (2.1, 1.0)) == ["undecided", "undecided"]


def test_clips_named_alike_decide_only_where_they_are_many():
    """None of n differs: with 95 % fewer than 3 in n of all do (rule of three)."""
    for count, word in ((10, "undecided"), (300, "no difference")):
        same = np.arange(count) % 2 == 0
        assert comparison([same, same], range(count)).words() == {"16 frames": word}


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
        low, high = difference(a, b, group).interval()
        wrong += low > 0 or high < 0
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
    found = Difference(1.2, 0.6, 100.0, clips=400)
    assert clips_to_decide(found, 2.0, 4) > 400
    wanted = 400 * (0.6 * (stats.t.ppf(1 - 0.05 / 8, 100) + stats.t.ppf(0.8, 100)) / 1.2) ** 2
    assert clips_to_decide(found, 2.0, 4) == pytest.approx(wanted, abs=1)


def test_as_many_clips_as_announced_show_the_difference():
    """From a pilot of equal ways; then so many clips, in as many more sources, truly different."""
    rng = np.random.default_rng(1)
    a, b, _ = simulated(rng, 200_000, 0.3, 50_000)
    delta = 100 * (b.mean() - a.mean())
    pilots = [replace(difference(*simulated(rng, 240, 0.0)), mean=0.0) for _ in range(100)]
    clips = int(np.median([clips_to_decide(pilot, delta) for pilot in pilots]))
    seen = [difference(*simulated(rng, clips, 0.3, clips // 4)).high < 0 for _ in range(150)]
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
    """The first third of a way with clusters costs what 8 frames do."""

    def ways(epochs=None):
        shared = {"epochs": epochs or 30, "warmup_epochs": 0}
        plain = Settings(method="none", frames=8, clusters=None, **shared)
        return {FEWEST: plain, "b": Settings(**shared | {"warmup_epochs": (epochs or 30) // 3})}

    cost = {FEWEST: 1.0, "b": 2.0}
    # Five folds of eight steps, 30 times 1 and 10 times 1 and 20 times 2, and two steps of a test.
    assert _seconds(ways(30), cost, 80, 5) == pytest.approx(5 * 8 * (30 + 10 + 40) + 5 * 2 / 3 * 3)
    assert _plan(ways, cost, 80, 40, 1e9) == (5, 30)
    assert _plan(ways, cost, 80, 4, 1e9) == (3, 30)
    k, epochs = _plan(ways, cost, 80, 40, 1500.0)
    assert k < 5
    assert 8 <= epochs < 30
    assert _seconds(ways(epochs), cost, 80, k) <= 1500 < _seconds(ways(epochs + 1), cost, 80, k)
    with pytest.raises(ValueError, match=r"two folds of 8 epochs take about \d+ minutes"):
        _plan(ways, cost, 80, 40, 100.0)


def test_a_comparison_is_run_and_goes_on(videos, tmp_path, capsys, monkeypatch):
    """Stopped after three trainings, then run to its end: the same as at once."""
    words = ["compare", str(videos), "--group", "s[0-9]", "--weights", "none", "--width", "8"]
    words += ["--size", "24", "--batch", "4", "--epochs", "2"]
    assert main([*words, "--out", str(tmp_path / "a")]) == 0
    said = capsys.readouterr().out
    assert "16 clips of 4 sources, 3 folds, 2 epochs a training, 5 ways" in said
    assert all(way in said for way in WAYS)

    from fvlib.own import fit

    real, saved, epochs = module.step_seconds, fit.train, []

    def stopped(*arguments, **options):
        """In the fourth training, behind its first epoch."""
        after = (lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)) if len(epochs) == 3 else None
        history = saved(*arguments, **options, after_epoch=after)
        epochs.append(len(history.train_loss))
        return history

    monkeypatch.setattr(fit, "train", stopped)
    assert main([*words, "--out", str(tmp_path / "b")]) == 130
    (left,) = (tmp_path / "b").glob("*.pt")
    assert left.name == "fold 0, 8 cumulative clusters.pt"
    assert epochs_done(left) == 1
    monkeypatch.setattr(fit, "train", saved)
    monkeypatch.setattr(module, "step_seconds", None)  # it is known
    assert main([*words, "--out", str(tmp_path / "b")]) == 0
    monkeypatch.setattr(module, "step_seconds", real)
    one, two = (json.loads((tmp_path / name / "compare.json").read_text()) for name in "ab")
    for found in (one, two):
        for way in found["ways"]:
            del way["seconds"]
    assert one["ways"] == two["ways"]
    assert one["clips"] == 16
    written = {path.name for path in (tmp_path / "a").iterdir()}
    assert written == {"compare.json", "runs.json", "frames.json"}
    assert main([*words, "--out", str(tmp_path / "a"), "--minutes", "0"]) == 0  # nothing is left
    capsys.readouterr()
    assert main([*words, "--out", str(tmp_path / "b"), "--size", "32"]) == 1
    assert "was begun with other settings; wanted the same" in capsys.readouterr().err


def test_too_few_minutes_are_told(videos, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(module, "step_seconds", lambda *_: 1.0)
    words = ["compare", str(videos), "--group", "s[0-9]", "--weights", "none", "--minutes", "0"]
    assert main([*words, "--out", str(tmp_path / "a"), "--size", "24", "--width", "8"]) == 1
    assert "wanted more --minutes" in capsys.readouterr().err


def test_no_points_never_matter(videos, tmp_path, capsys):
    assert main(["compare", str(videos), "--out", str(tmp_path / "a"), "--points", "0"]) == 1
    assert "0 points are to matter; wanted more than 0" in capsys.readouterr().err
