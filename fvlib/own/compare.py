"""Does seeing all frames help on your own clips? Several ways side by side, and a decision."""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from html import escape
from itertools import product
from math import ceil, sqrt
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64

from fvlib import extra
from fvlib.cost import predicted_peak
from fvlib.datasets.videos import FrameIndex
from fvlib.evaluation import evaluate
from fvlib.own.data import Labelled, folds, lengths_of, read_labelled
from fvlib.own.fit import IN_MEMORY, batch_shape, clips_of, discard, settings_for, step_seconds
from fvlib.own.model import Settings, network_for, write_json
from fvlib.own.report import figure, page, table
from fvlib.storage import read_json, require_room, write_file
from fvlib.training import train

FEWEST = "8 frames"  # what the other ways are compared with
LEAST_EPOCHS = 8
DECIDED = 0.05  # how often equal ways may be told apart, all comparisons together
POWER = 0.8


def ways_for(longest: int) -> dict[str, dict[str, Any]]:
    """The ways that are compared, with what each asks of `Settings`, for clips so long at most."""
    few, many = min(8, longest), min(16, longest)
    clusters = {"frames": "all", "clusters": few}
    ways = {
        FEWEST: {"method": "none", "frames": few, "clusters": None},
        "16 frames": {"method": "none", "frames": many, "clusters": None},
        "8 uniform clusters": {"method": "uniform"} | clusters,
        "8 cumulative clusters": {"method": "cumulative"} | clusters,
        "all frames": {"method": "none", "frames": "all", "clusters": None},
    }
    return ways


@dataclass(frozen=True)
class Difference:
    """How many points more one way has right than another, on the same clips.

    se: its standard error, found from how much it differs between sources; df: one less than these.
    """

    points: float
    se: float
    df: int
    clips: int

    def interval(self, level: float) -> tuple[float, float]:
        half = _quantile((1 + level) / 2, self.df) * self.se
        return self.points - half, self.points + half

    def word(self, delta: float, comparisons: int = 1) -> str:
        """better, worse, no difference (of delta points or more), or undecided.

        comparisons: how many are made together; the level of the first two words is shared out.
        """
        low, high = self.interval(1 - DECIDED / comparisons)
        least, most = self.interval(0.9)
        if low > 0 or high < 0:
            return "better" if low > 0 else "worse"
        return "no difference" if -delta < least and most < delta else "undecided"

    def clips_to_decide(self, delta: float, comparisons: int = 1) -> int:
        """How many clips of this kind would decide in 80 % of cases, if what was found is true.

        Either that there is a difference, or that it is less than delta: whichever is further away.
        """
        margin = max(abs(self.points), delta - abs(self.points))
        wanted = NormalDist().inv_cdf(1 - DECIDED / comparisons / 2) + NormalDist().inv_cdf(POWER)
        return ceil(self.clips * (self.se * wanted / margin) ** 2)


def difference(
    a: Sequence[bool] | np.ndarray, b: Sequence[bool] | np.ndarray, groups: Sequence[str]
) -> Difference:
    """Points of a over b: right or wrong of the same clips, of these sources.

    Sources are what is counted, since clips of one are alike. Raises ValueError for fewer than two.
    """
    d = 100.0 * (np.asarray(a, float) - np.asarray(b, float))
    _, source = np.unique(np.asarray(groups), return_inverse=True)
    count = int(source.max()) + 1
    if count < 2:
        raise ValueError("all clips are of one source; wanted two or more, to know how they differ")
    off = np.bincount(source, d - d.mean())
    se = sqrt(count / (count - 1) * (off**2).sum()) / len(d)
    return Difference(float(d.mean()), se, count - 1, len(d))


@dataclass(frozen=True, eq=False)
class Comparison:
    """What `compare` has found; of every way, by its name.

    right: of the clips that all ways were tested on, whether each was named rightly. seconds: of
    training, a fold. memory: bytes for activations in training, predicted. delta: points that
    matter.
    """

    right: Mapping[str, np.ndarray]
    groups: tuple[str, ...]
    seconds: Mapping[str, float]
    memory: Mapping[str, int]
    delta: float

    def differences(self) -> dict[str, Difference]:
        """Of every other way from the one with the fewest frames."""
        few = self.right[FEWEST]
        others = [name for name in self.right if name != FEWEST]
        return {name: difference(self.right[name], few, self.groups) for name in others}

    def words(self) -> dict[str, str]:
        found = self.differences()
        return {name: d.word(self.delta, len(found)) for name, d in found.items()}

    def rows(self) -> list[dict[str, Any]]:
        """A line a way: accuracy, points over the fewest frames with their interval, cost."""
        found, words, rows = self.differences(), self.words(), []
        for name, right in self.right.items():
            low, high = found[name].interval(0.95) if name in found else (None, None)
            rows.append(
                {
                    "way": name,
                    "top1": 100 * float(right.mean()),
                    "points": found[name].points if name in found else None,
                    **{"low": low, "high": high, "word": words.get(name, "")},
                    "seconds": self.seconds[name],
                    "megabytes": self.memory[name] / 1e6,
                }
            )
        return rows

    def table(self) -> str:
        """The same as text."""
        return _columns([HEADS, *told(self.rows())])

    def decision(self) -> str:
        """What follows, in a sentence or two."""
        found, words = self.differences(), self.words()
        delta = f"{self.delta:g} point{'s' * (self.delta != 1)}"
        if better := [name for name, word in words.items() if word == "better"]:
            best = max(better, key=lambda name: found[name].points)
            low, high = found[best].interval(0.95)
            cheap = min(better, key=self.seconds.get)
            more = self.seconds[best] / self.seconds[FEWEST]
            said = (
                f"Take {best}: {found[best].points:+.1f} points [{low:+.1f}, {high:+.1f}] over "
                f"{FEWEST}, in {more:.1f} times the time of training."
            )
            if cheap != best:
                said += (
                    f" {cheap[0].upper() + cheap[1:]} are better than {FEWEST} too "
                    f"({found[cheap].points:+.1f}), in "
                    f"{self.seconds[cheap] / self.seconds[FEWEST]:.1f} times the time."
                )
            return said
        if "undecided" not in words.values():
            slowest = max(self.seconds, key=self.seconds.get)
            share = self.seconds[FEWEST] / self.seconds[slowest]
            return (
                f"{FEWEST} are enough here: no way that sees more is better by {delta} or more, "
                f"and they take {100 * share:.0f} % of the time of {slowest}."
            )
        left = {name: d for name, d in found.items() if words[name] == "undecided"}
        needed = max(d.clips_to_decide(self.delta, len(found)) for d in left.values())
        more = max(10, round(max(0, needed - len(self.groups)), -1))
        return (
            f"Undecided for {', '.join(left)}: about {more:,} more clips of this kind would tell "
            f"whether it differs by {delta}. Until then {FEWEST} are the cheapest."
        )


def _columns(lines: Sequence[Sequence[str]]) -> str:
    wide = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = ("  ".join(map(str.ljust, line, wide)).rstrip() for line in lines)
    return "\n".join(rows)


def compare(
    path: str | os.PathLike,
    out: str | os.PathLike,
    *,
    minutes: float = 60,
    delta: float = 2.0,
    group: str | None = None,
    skip_damaged: bool = False,
    device: str | torch.device = "cpu",
    progress: bool = False,
    say: Callable[[str], object] = lambda text: None,
    clock: Callable[[], float] = time.monotonic,
    **given: Any,
) -> Comparison:
    """Compare ways of showing clips to a network by cross-validation over sources.

    8 and 16 frames, 8 uniform and 8 cumulative clusters, and all frames: from the same start, on
    the same folds, by the same recipe and number of epochs, which follow from the minutes that
    there are. Every run is kept below `out`, and the same call goes on where it was interrupted, or
    with more minutes. delta: the points that matter. The others: as of `fit`; `given`: any of
    `Settings` that is no part of a way. Each way is trained once a fold, so the intervals count how
    sources differ and not the luck of a training.

    Raises ValueError for minutes in which not even two folds of short trainings fit, with how many
    would do.
    """
    begin, out = clock(), Path(out)
    labelled = read_labelled(path, group=group)
    folds(labelled, 2)  # an error is better known now
    out.mkdir(parents=True, exist_ok=True)
    index = FrameIndex(out / "frames.json")
    labelled, lengths = lengths_of(labelled, index, skip=skip_damaged, progress=progress)
    ways = {
        name: settings_for(labelled, lengths, **given, **wanted)[0]
        for name, wanted in ways_for(int(lengths.max())).items()
    }
    ways = {name: replace(one, warmup_epochs=0, chunk=None) for name, one in ways.items()}
    needed = int(lengths.sum()) * 3 * ways[FEWEST].size ** 2
    cache = out / "cache" if needed <= IN_MEMORY else None
    require_room(out, (needed if cache else 0) / 2**20 + 10)
    cost, memory = {}, {}
    for name, settings in ways.items():
        model = network_for(settings, len(labelled.classes)).to(device)
        cost[name] = step_seconds(model, settings, lengths, device)
        memory[name] = predicted_peak(model, batch_shape(settings, lengths))
    sources, left = len(set(labelled.groups)), 60 * minutes - (clock() - begin)
    if not (out / "runs.json").is_file():
        plan = _plan(cost, len(lengths), sources, ways[FEWEST], left)
    else:  # it goes on as it was planned
        plan = (0, 0)
    runs = _Runs(out / "runs.json", ways, labelled, *plan)
    seconds = _total(cost, len(lengths), ways[FEWEST], len(runs.folds), runs.epochs)
    say(
        f"{len(lengths)} clips of {sources} sources, {len(runs.folds)} folds, {runs.epochs} epochs "
        f"a training, {len(ways)} ways: about {seconds / 60:.0f} minutes"
    )
    clips = clips_of(labelled, lengths, ways[FEWEST], cache)
    for fold, name in product(range(len(runs.folds)), ways):
        if fold > 1 and clock() - begin > 60 * minutes:
            say(f"the time is up in fold {fold + 1}; the same command with more minutes goes on")
            break
        if not runs.has(name, fold):
            runs.put(name, fold, *_run(runs, name, fold, clips, device, progress))
    comparison = runs.comparison(labelled, memory, delta)
    _write(out, comparison)
    discard(out / "cache")
    return comparison


def _run(
    runs: _Runs, name: str, fold: int, clips: Any, device: str | torch.device, progress: bool
) -> tuple[np.ndarray, float]:
    """Train one way on one fold: what it takes the tested clips for, and how many seconds."""
    settings = runs.ways[name]
    train_on, test_on = (_Some(clips, indices) for indices in runs.folds[fold])
    model = network_for(settings, len(runs.classes)).to(device)
    shared = {"device": device, "progress": progress}
    history = train(
        model, train_on, settings.recipe(), seed=settings.seed, classes=runs.classes, **shared
    )
    found = evaluate(model, test_on, settings.protocol, batch_size=1, **shared)
    return found.prediction, sum(history.seconds)


class _Some:
    """Some clips of a set, as a set."""

    def __init__(self, clips: Any, indices: Int64[np.ndarray, " m"]):
        self.clips, self.indices = clips, indices
        self.targets, self.lengths = clips.targets[indices], clips.lengths[indices]
        self.name, self.classes = clips.name, clips.classes
        self.names = np.asarray(clips.names)[indices]

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, i: int, frames: Int64[np.ndarray, " t"]) -> torch.Tensor:
        return self.clips.read(int(self.indices[i]), frames)


class _Runs:
    """What is to be run, and has been so far, in a file."""

    def __init__(
        self, path: Path, ways: Mapping[str, Settings], labelled: Labelled, k: int, epochs: int
    ):
        self.path, self.classes = path, list(labelled.classes)
        plain = {name: asdict(one) | {"epochs": 0} for name, one in ways.items()}
        clips = [str(name) for name in labelled.clips.names]
        begun = {"ways": json.loads(json.dumps(plain)), "clips": clips}
        self.state = begun | {"folds": k, "epochs": epochs, "runs": {}}
        if path.is_file():  # with other minutes too it goes on as it was begun
            self.state = read_json(path)
            if any(self.state.get(name) != value for name, value in begun.items()):
                raise ValueError(
                    f"{path.parent} was begun with other clips or settings; wanted the same, or "
                    "another --out"
                )
        self.epochs = self.state["epochs"]
        self.ways = {name: replace(one, epochs=self.epochs) for name, one in ways.items()}
        self.folds = folds(labelled, self.state["folds"])

    def has(self, way: str, fold: int) -> bool:
        return f"{way}, fold {fold}" in self.state["runs"]

    def put(self, way: str, fold: int, prediction: np.ndarray, seconds: float) -> None:
        run = {"prediction": prediction.tolist(), "seconds": seconds}
        self.state["runs"][f"{way}, fold {fold}"] = run
        write_json(self.path, self.state)

    def comparison(self, labelled: Labelled, memory: dict[str, int], delta: float) -> Comparison:
        """Of the folds that all ways have run."""
        ways, runs = list(self.ways), self.state["runs"]
        done = [i for i in range(len(self.folds)) if all(self.has(way, i) for way in ways)]
        tested = np.concatenate([self.folds[i][1] for i in done])
        right, seconds = {}, {}
        for way in ways:
            found = [runs[f"{way}, fold {i}"] for i in done]
            prediction = np.concatenate([run["prediction"] for run in found])
            right[way] = prediction == labelled.targets[tested]
            seconds[way] = float(np.mean([run["seconds"] for run in found]))
        groups = tuple(labelled.groups[i] for i in tested)
        return Comparison(right, groups, seconds, memory, delta)


def _total(cost: Mapping[str, float], clips: int, settings: Settings, k: int, epochs: int) -> float:
    """Seconds of k folds: trainings, and tests, which take about a third of a pass each."""
    steps = ceil(clips * (k - 1) / k / settings.batch)
    return sum(
        k * (epochs * steps + ceil(clips / k / settings.batch) / 3) * s for s in cost.values()
    )


def _plan(
    cost: Mapping[str, float], clips: int, sources: int, settings: Settings, seconds: float
) -> tuple[int, int]:
    """Folds and epochs that fit into these seconds: five folds if trainings can be long enough."""
    for k, least in ((5, settings.epochs), (3, 2 * LEAST_EPOCHS), (2, LEAST_EPOCHS)):
        for epochs in range(settings.epochs, min(least, settings.epochs) - 1, -1):
            if k <= sources and _total(cost, clips, settings, k, epochs) <= seconds:
                return k, epochs
    least = _total(cost, clips, settings, 2, min(LEAST_EPOCHS, settings.epochs))
    raise ValueError(
        f"two folds of {min(LEAST_EPOCHS, settings.epochs)} epochs take about {least / 60:.0f} "
        f"minutes, and there are {max(0, seconds) / 60:.0f}; wanted more --minutes, or a smaller "
        "--size"
    )


def _quantile(p: float, df: int) -> float:
    """Student's t, by the expansion of Cornish and Fisher; of 3 or more degrees good to 2 %."""
    z = NormalDist().inv_cdf(p)
    if df < 3:
        return {1: float(np.tan(np.pi * (p - 0.5))), 2: (2 * p - 1) * sqrt(2 / (4 * p * (1 - p)))}[
            df
        ]
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / df ** (i + 1) for i, term in enumerate(terms))


ONE_TRAINING = (
    "Each way is trained once a fold: the intervals count how sources differ, and not how much two "
    "trainings of one way would."
)
HEADS = ("way", "right, %", f"points over {FEWEST} [95 %]", "that is", "seconds a fold", "MB")


def _write(out: Path, comparison: Comparison) -> None:
    """compare.json, compare.csv and compare.html."""
    rows, said = comparison.rows(), comparison.decision()
    count = {"clips": len(comparison.groups), "sources": len(set(comparison.groups))}
    summary = {"decision": said, "delta": comparison.delta} | count | {"ways": rows}
    write_json(out / "compare.json", summary)
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_file(out / "compare.csv", text.getvalue())
    caption = (
        f"Points over {FEWEST} on {count['clips']} clips, with 95 % intervals over "
        f"{count['sources']} sources. Grey: less than the {comparison.delta:g} that matter."
    )
    parts = [
        f"<p><strong>{escape(said)}</strong></p>",
        figure(_picture(comparison), caption),
        table(HEADS, told(rows)),
        f"<p>{ONE_TRAINING}</p>",
    ]
    write_file(out / "compare.html", page("Do more frames help on these clips?", parts))


def told(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """The rows of compare.csv for a reader."""
    return [
        (
            row["way"],
            f"{row['top1']:.1f}",
            ""
            if row["low"] is None
            else f"{row['points']:+.1f} [{row['low']:+.1f}, {row['high']:+.1f}]",
            row["word"],
            f"{row['seconds']:.0f}",
            f"{row['megabytes']:,.0f}",
        )
        for row in rows
    ]


def _picture(comparison: Comparison):
    extra("matplotlib").use("agg")
    plt, found = extra("matplotlib.pyplot"), comparison.differences()
    fig, ax = plt.subplots(figsize=(7, 0.6 + 0.5 * len(found)), layout="constrained")
    ax.axvspan(-comparison.delta, comparison.delta, color="#e8e8e8", lw=0)
    ax.axvline(0, color="#222222", lw=0.8)
    for i, one in enumerate(found.values()):
        ax.plot(one.interval(0.95), (i, i), color="#08519c")
        ax.plot(one.points, i, "o", color="#08519c")
    ax.set(yticks=range(len(found)), xlabel=f"points over {FEWEST}")
    ax.set_yticklabels(list(found))
    ax.invert_yaxis()
    return fig
