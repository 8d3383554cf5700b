"""Does seeing all frames help on your own clips? Several ways side by side, and a decision."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from math import ceil, sqrt
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64

from fvlib import decisions
from fvlib.decisions import CONTRADICTED, SUPPORTED, Difference
from fvlib.own.data import Labelled, clips_of, counted, folds
from fvlib.own.fit import (
    bytes_kept,
    settings_for,
    step_seconds,
    train_and_test,
    training_seconds,
)
from fvlib.own.model import Settings, network_for, require_same, write_json
from fvlib.storage import read_json
from fvlib.values import columns

FEWEST = "8 frames"  # what the other ways are compared with
LEAST_EPOCHS = 8
BETTER = {SUPPORTED: "better", CONTRADICTED: "worse"}
TOO_LITTLE = " by less than matters"


def difference(
    a: Sequence[bool] | np.ndarray, b: Sequence[bool] | np.ndarray, groups: Sequence[str]
) -> Difference:
    """Points of a over b: right or wrong of the same clips, of these sources.

    Sources are what is counted, since clips of one are alike. The standard error is at least what
    one clip that differs would give: ten clips named alike do not show that all are. Raises
    ValueError for fewer than two sources.
    """
    d = 100.0 * (np.asarray(a, float) - np.asarray(b, float))
    _, source = np.unique(np.asarray(groups), return_inverse=True)
    count = int(source.max()) + 1
    if count < 2:
        raise ValueError("all clips are of one source; wanted two or more, to know how they differ")
    off = np.bincount(source, d - d.mean())
    se = sqrt(count / (count - 1) * (off**2).sum()) / len(d)
    return Difference(float(d.mean()), max(se, 100 / len(d)), count - 1.0, clips=len(d))


def clips_to_decide(found: Difference, delta: float, comparisons: int = 1) -> int:
    """How many clips of this kind would decide in 80 % of cases, if what was found is true.

    Either that there is a difference, or that it is less than delta: whichever is further away.
    """
    margin = max(abs(found.mean), delta - abs(found.mean))
    return ceil(found.clips * (found.detectable(comparisons) / margin) ** 2)


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
        """By the rule of `fvlib.decisions`: better, worse, no difference, or undecided."""
        found = self.differences()
        parts = [decisions.Comparison("greater", d, self.delta) for d in found.values()]
        return {
            name: BETTER.get(one.word, one.word) + TOO_LITTLE * one.below
            for name, one in zip(found, decisions.decide_all(parts), strict=True)
        }

    def rows(self) -> list[dict[str, Any]]:
        """A line a way: accuracy, points over the fewest frames with their interval, cost."""
        found, words, rows = self.differences(), self.words(), []
        for name, right in self.right.items():
            row = {"way": name, "top1": 100 * float(right.mean())}
            row |= dict.fromkeys(("points", "low", "high"))
            if name in found:
                low, high = found[name].interval()
                row |= {"points": found[name].mean, "low": low, "high": high}
            row |= {"word": words.get(name, ""), "seconds": self.seconds[name]}
            rows.append(row | {"megabytes": self.memory[name] / 1e6})
        return rows

    def table(self) -> str:
        """The same as text."""
        return columns([HEADS, *told(self.rows())])

    def decision(self) -> str:
        """What follows, in a sentence or two."""
        found, words, few = self.differences(), self.words(), self.seconds[FEWEST]
        delta = f"{self.delta:g} point{'s' * (self.delta != 1)}"
        if better := [name for name, word in words.items() if word == "better"]:
            best = max(better, key=lambda name: found[name].mean)
            cheap, (low, high) = min(better, key=self.seconds.get), found[best].interval()
            said = (
                f"Take {best}: {found[best].mean:+.1f} points [{low:+.1f}, {high:+.1f}] over "
                f"{FEWEST}, in {self.seconds[best] / few:.1f} times the time of training."
            )
            if cheap != best:
                times, more = self.seconds[cheap] / few, found[cheap].mean
                cheap = cheap[0].upper() + cheap[1:]
                said += f" {cheap} are better too ({more:+.1f}), in {times:.1f} times the time."
            return said
        left = [d for name, d in found.items() if words[name] == "undecided"]
        if not left:
            slowest = max(self.seconds, key=self.seconds.get)
            return (
                f"{FEWEST} are enough here: no way that sees more is better by {delta} or more, "
                f"and they take {100 * few / self.seconds[slowest]:.0f} % of the time of {slowest}."
            )
        needed = max(clips_to_decide(d, self.delta, len(found)) for d in left)
        more = max(10, round(max(0, needed - len(self.groups)), -1))
        names = ", ".join(name for name, word in words.items() if word == "undecided")
        return (
            f"Undecided for {names}: about {more:,} more clips of this kind would tell whether it "
            f"differs by {delta}. Until then {FEWEST} are the cheapest."
        )


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
    **given: Any,
) -> Comparison:
    """Compare ways of showing clips to a network by cross-validation over sources.

    8 and 16 frames, 8 uniform and 8 cumulative clusters, and all frames, in pieces: each as `fit`
    trains it, from the same start, on the same folds, for the same number of epochs, which follows
    from the minutes that there are. Every run is kept below `out`, and the same call goes on where
    it was interrupted, or with more minutes. delta: the points that matter. The others: as of
    `fit`; `given`: any of `Settings` that is no part of a way. Each way is trained once a fold, so
    the intervals count how sources differ and not the luck of a training.

    Raises ValueError for minutes in which not even two folds of short trainings fit, with how many
    would do.
    """
    if delta <= 0:
        raise ValueError(f"{delta:g} points are to matter; wanted more than 0")
    end, out = time.monotonic() + 60 * minutes, Path(out)
    options = {"group": group, "skip_damaged": skip_damaged, "progress": progress}
    labelled, lengths = counted(path, out, lambda found: folds(found, 2), **options)
    ways, file = partial(ways_for, labelled, lengths, given), out / "runs.json"
    settings = {name: asdict(one) for name, one in ways().items()}
    begun = {"clips": labelled.clips.names.tolist(), "settings": settings}
    if not file.is_file():
        write_json(file, begun | _planned(ways, labelled, lengths, device, end) | {"runs": {}})
    state = read_json(file)
    require_same(out, state, begun)
    parts, epochs, runs = folds(labelled, state["folds"]), state["epochs"], state["runs"]
    seconds = _seconds(ways(epochs), state["step_seconds"], len(lengths), len(parts))
    say(
        f"{len(lengths)} clips of {len(set(labelled.groups))} sources, {len(parts)} folds, "
        f"{epochs} epochs a training, {len(settings)} ways: about {seconds / 60:.0f} minutes"
    )
    clips = clips_of(labelled, lengths, ways()[FEWEST].size, out, progress)
    for fold, (name, one) in product(range(len(parts)), ways(epochs).items()):
        if fold > 1 and time.monotonic() > end:
            say(f"the time is up in fold {fold + 1}; the same command with more minutes goes on")
            break
        if (run := f"fold {fold}, {name}") not in runs:
            model = network_for(one, len(labelled.classes)).to(device)
            checkpoint = out / f"{run}.pt"
            shown = {"device": device, "progress": progress}
            history, found = train_and_test(model, one, clips, parts[fold], checkpoint, **shown)
            runs[run] = {"prediction": found.prediction.tolist(), "seconds": sum(history.seconds)}
            write_json(file, state)
            checkpoint.unlink(missing_ok=True)
    done = [i for i in range(len(parts)) if all(f"fold {i}, {name}" in runs for name in settings)]
    tested, right, seconds = np.concatenate([parts[i][1] for i in done]), {}, {}
    for name in settings:
        found = [runs[f"fold {i}, {name}"] for i in done]
        prediction = np.concatenate([run["prediction"] for run in found])
        right[name] = prediction == labelled.targets[tested]
        seconds[name] = float(np.mean([run["seconds"] for run in found]))
    groups = tuple(labelled.groups[i] for i in tested)
    comparison = Comparison(right, groups, seconds, state["memory"], delta)
    write_json(
        out / "compare.json",
        {
            "decision": comparison.decision(),
            "delta": delta,
            "clips": len(groups),
            "sources": len(set(groups)),
            "ways": comparison.rows(),
        },
    )
    rmtree(out / "cache", ignore_errors=True)
    return comparison


def ways_for(
    labelled: Labelled,
    lengths: Int64[np.ndarray, " n"],
    given: Mapping[str, Any],
    epochs: int | None = None,
) -> dict[str, Settings]:
    """The ways that are compared, each as `fit` would train it with what is given."""
    longest = int(lengths.max())
    plain = {"method": "none", "clusters": None}
    clusters = {"frames": "all", "clusters": min(8, longest)}
    ways = {
        FEWEST: plain | {"frames": min(8, longest)},
        "16 frames": plain | {"frames": min(16, longest)},
        "8 uniform clusters": clusters | {"method": "uniform"},
        "8 cumulative clusters": clusters | {"method": "cumulative"},
        "all frames": plain | {"frames": "all"},
    }
    given = dict(given) | ({} if epochs is None else {"epochs": epochs})
    return {name: settings_for(labelled, lengths, **given | one)[0] for name, one in ways.items()}


def _planned(
    ways: Callable[..., dict[str, Settings]],
    labelled: Labelled,
    lengths: Int64[np.ndarray, " n"],
    device: str | torch.device,
    end: float,
) -> dict[str, Any]:
    """Seconds of a step and bytes of each way, measured; folds and epochs that end in time."""
    step_cost, memory = {}, {}
    for name, one in ways().items():
        model = network_for(one, len(labelled.classes)).to(device)
        step_cost[name] = step_seconds(model, one, lengths, device)
        memory[name] = bytes_kept(model, one, lengths)
    left = end - time.monotonic()
    k, epochs = _plan(ways, step_cost, len(lengths), len(set(labelled.groups)), left)
    return {"folds": k, "epochs": epochs, "step_seconds": step_cost, "memory": memory}


def _seconds(
    ways: Mapping[str, Settings], step_cost: Mapping[str, float], clips: int, k: int
) -> float:
    """Of k folds: trainings, and tests, which take about a third of a pass each."""
    total = 0.0
    for name, one in ways.items():
        trained, tests = clips * (k - 1) / k, ceil(clips / k / one.batch)
        total += k * training_seconds(one, trained, step_cost[name], step_cost[FEWEST])
        total += k * tests / 3 * step_cost[name]
    return total


def _plan(
    ways: Callable[..., dict[str, Settings]],
    step_cost: Mapping[str, float],
    clips: int,
    sources: int,
    seconds: float,
) -> tuple[int, int]:
    """Folds and epochs that fit into these seconds: five folds if trainings can be long enough."""
    most = ways()[FEWEST].epochs
    for k, least in ((5, most), (3, 2 * LEAST_EPOCHS), (2, LEAST_EPOCHS)):
        for epochs in range(most, min(least, most) - 1, -1):
            if k <= sources and _seconds(ways(epochs), step_cost, clips, k) <= seconds:
                return k, epochs
    least = min(LEAST_EPOCHS, most)
    needed = _seconds(ways(least), step_cost, clips, 2)
    raise ValueError(
        f"two folds of {least} epochs take about {needed / 60:.0f} minutes, and there are "
        f"{max(0, seconds) / 60:.0f}; wanted more --minutes, or a smaller --size"
    )


ONE_TRAINING = (
    "Each way is trained once a fold: the intervals count how sources differ, and not how much two "
    "trainings of one way would."
)
HEADS = ("way", "right, %", f"points over {FEWEST} [95 %]", "that is", "seconds a fold", "MB")


def told(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """The rows for a reader."""
    lines = []
    for row in rows:
        points = "" if row["low"] is None else "{points:+.1f} [{low:+.1f}, {high:+.1f}]"
        cells = ("{way}", "{top1:.1f}", points, "{word}", "{seconds:.0f}", "{megabytes:,.0f}")
        lines.append(tuple(cell.format(**row) for cell in cells))
    return lines
