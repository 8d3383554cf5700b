"""What a mini set is: plans, how they are drawn and encoded, its annotation files, its reader."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from fvlib.datasets.sampling import segment_frames
from lab.synthetic.drawing import Video


@runtime_checkable
class SyntheticPlan(Protocol):
    """All that one clip is made from; `draw` gives its frames.

    `path` is the file below the set's folder, `split` "train", "test" or "unused" (of the first
    official split), `target` the index of its class, `frames` their number.
    """

    path: str
    split: str
    target: int
    frames: int

    def draw(self) -> Video: ...


@dataclass(frozen=True)
class Encoding:
    """How the frames are stored: a codec of PyAV, frames a second, the codec's own options."""

    codec: str
    rate: int
    options: tuple[tuple[str, str], ...]
    tag: str | None = None


@dataclass(frozen=True)
class MiniSet:
    """A mini set.

    Args:
        name: of the benchmark that it stands for.
        classes: the class names in the order of the targets.
        folders: those that it fills below the data root, the videos' one first.
        encoding: of all its videos.
        step: the number of training clips is a multiple of it, so that the classes are balanced.
        most: training and test clips of the whole set.
        plan: (seed, null, training clips, test clips) to plans.
        annotate: plans to the text of the annotation files, by path below the data root.
        oracle: (plan, frame indices) to what a perfect reader of these frames makes of a clip: the
            name of what it sees, and its chance to name the class.
    """

    name: str
    classes: tuple[str, ...]
    folders: tuple[str, ...]
    encoding: Encoding
    step: int
    most: tuple[int, int]
    plan: Callable[[int, bool, int, int], list[SyntheticPlan]]
    annotate: Callable[[Sequence[SyntheticPlan]], dict[str, str]]
    oracle: Callable[[SyntheticPlan, np.ndarray], tuple[str, float]]


def expected(
    mini: MiniSet, plans: Sequence[SyntheticPlan], frames: Sequence[int | None]
) -> list[dict]:
    """What a number of frames of each clip can tell at best, from the plans alone.

    Returns a dict for each number: `frames` (None for all), `accuracy`, which a reader reaches who
    sees these frames perfectly and guesses among what they leave open, and `seen`, the share of
    clips by what these frames show. It is a bound by design, not a forecast for any network.

    Args:
        frames: numbers of frames, taken in the middle of as many equal segments (all frames of a
            clip that has fewer); None stands for all frames.
    """
    rows = []
    for number in frames:
        seen: dict[str, int] = {}
        total = 0.0
        for plan in plans:
            count = min(number or plan.frames, plan.frames)
            word, chance = mini.oracle(plan, segment_frames(plan.frames, count)[0])
            seen[word] = seen.get(word, 0) + 1
            total += chance
        shares = {word: seen[word] / len(plans) for word in sorted(seen)}
        rows.append({"frames": number, "accuracy": total / len(plans), "seen": shares})
    return rows
