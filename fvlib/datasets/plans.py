"""A Move4MNIST video before any pixel is drawn: who is shown when and where."""

from dataclasses import dataclass

import numpy as np

from fvlib.datasets.digits import SIZE as PATCH
from fvlib.datasets.digits import DigitBank
from fvlib.datasets.options import Options
from fvlib.datasets.timelines import DISTRACTOR, TARGET, draw_timeline

CANVAS = 64
ROOM = CANVAS - PATCH  # a patch lies inside the canvas at 0..36
DIRECTIONS = np.array([(0, -1), (0, 1), (-1, 0), (1, 0)])  # left, right, up, down: (y, x) a step
STREAMS = ("digits", "start", "timeline", "background")


@dataclass(frozen=True, eq=False)
class Plan:
    """All that a video is made from.

    `label` is its class. `target` and `distractors` are indices into the digit bank (several
    distractors take turns, a frame each), `start` the target's real position (y, x) at step 0,
    `types` int8 (t,) the timeline. `distractor_start` None is the target's start;
    `distractor_direction` is (y, x) a step. `background` and `offset` say which clip, from which
    frame. `chunk_starts` and `attempts` tell how the plan was drawn.

    Raises ValueError for another class, no target frame, or no distractor digit.
    Explained in chapter 03_move4mnist.
    """

    label: int
    target: int
    distractors: tuple[int, ...]
    start: tuple[float, float]
    types: np.ndarray
    distractor_start: tuple[float, float] | None = None
    distractor_direction: tuple[int, int] = (0, 0)
    background: int = 0
    offset: int = 0
    chunk_starts: tuple[int, ...] = ()
    attempts: int = 1

    def __post_init__(self):
        if not 0 <= self.label < len(DIRECTIONS):
            raise ValueError(f"label is {self.label}; wanted 0 left, 1 right, 2 up or 3 down")
        if not (self.types == TARGET).any():
            raise ValueError("the timeline has no target frame, so nothing shows the class")
        if not self.distractors:
            raise ValueError("distractors is empty; name one digit at least")

    def images(self) -> np.ndarray:
        """Which digit of the bank each frame shows, -1 for none: int64 (t,)."""
        images = np.full(len(self.types), -1)
        images[self.types == TARGET] = self.target
        places = np.flatnonzero(self.types == DISTRACTOR)
        images[places] = np.resize(self.distractors, len(places))
        return images

    def path(self, options: Options) -> tuple[np.ndarray, np.ndarray]:
        """The target's step in each frame, (t,), and the box of the digit shown, (t, 2).

        Frames that do not show the target have step -1, frames without any digit box (-1, -1).
        """
        target, distractor = self.types == TARGET, self.types == DISTRACTOR
        other_start = self.start if self.distractor_start is None else self.distractor_start
        box = np.full((len(self.types), 2), -1)
        steps = _steps(target, options)
        box[target] = _boxes(self.start, DIRECTIONS[self.label], steps, options)
        box[distractor] = _boxes(
            other_start, self.distractor_direction, _steps(distractor, options), options
        )
        step = np.full(len(self.types), -1)
        step[target] = steps
        return step, box


class Undecidable(Exception):
    """What was drawn gives no usable video; the message says why. Draw again."""


class Planner:
    """Draws plans: steps 1 to 5 of the generator.

    `last_offset` is the last frame of a background clip at which a video can begin.
    Explained in chapter 03_move4mnist.
    """

    def __init__(self, options: Options, digits: DigitBank, backgrounds: int, last_offset: int):
        self.options, self.backgrounds, self.last_offset = options, backgrounds, last_offset
        half = len(digits) // 2 if options.disjoint_pools else 0
        self.targets = range(half, len(digits))
        pool = np.arange(half or len(digits))
        # Sorted by class, so that "any class but one" is what lies before and after one block.
        self.distractors = pool[np.argsort(digits.labels[pool], kind="stable")]
        self.distractor_labels = digits.labels[self.distractors]
        self.labels = digits.labels
        if self.distractor_labels[0] == self.distractor_labels[-1]:
            raise ValueError(
                "the first half of the digit bank holds one class alone; shuffle the bank, or "
                "set disjoint_pools=False"
            )

    def draw(self, key: tuple[int, ...], label: int, seed: int, attempt: int) -> Plan:
        """The plan of one video at one attempt; raises Undecidable when it cannot be used.

        `key` names the video. Digits, start, timeline and background have each a random stream of
        their own, so that an option that changes one leaves the others as they are.
        """
        options = self.options
        types, chunk_starts = draw_timeline(options, _stream(seed, key, attempt, "timeline"))
        shown = types == TARGET
        if shown.sum() < options.min_target:
            raise Undecidable(f"{shown.sum()} target frames, min_target is {options.min_target}")

        target, distractors = self._digits(
            _stream(seed, key, attempt, "digits")(1 + options.frames),
            int((types == DISTRACTOR).sum()),
        )
        random = _stream(seed, key, attempt, "start")(5)
        start = self._start(label, _steps(shown, options)[-1] * options.speed, random[:2])
        other_start = start if options.distractor_pos == "start" else random[2:4] * ROOM
        direction = (0, 0)
        if options.distractor_motion == "random":
            direction = self._direction(other_start, types == DISTRACTOR, random[4])

        random = _stream(seed, key, attempt, "background")(2)
        offset = options.background_offset
        return Plan(
            label=label,
            target=target,
            distractors=distractors,
            start=tuple(start.tolist()),
            types=types,
            distractor_start=tuple(other_start.tolist()),
            distractor_direction=direction,
            background=int(random[0] * self.backgrounds),
            offset=int(random[1] * (self.last_offset + 1)) if offset == "random" else offset,
            chunk_starts=chunk_starts,
            attempts=attempt + 1,
        )

    def _digits(self, random: np.ndarray, n_distractor: int) -> tuple[int, tuple[int, ...]]:
        target = self.targets[int(random[0] * len(self.targets))]
        first = last = 0
        if self.options.distractor_class == "other":
            block = self.labels[target]
            first = np.searchsorted(self.distractor_labels, block, "left")
            last = np.searchsorted(self.distractor_labels, block, "right")
        n = max(1, n_distractor) if self.options.distractor_images == "each" else 1
        places = (random[1 : 1 + n] * (len(self.distractors) - (last - first))).astype(int)
        places[places >= first] += last - first
        return target, tuple(self.distractors[places].tolist())

    def _start(self, label: int, length: float, random: np.ndarray) -> np.ndarray:
        """A start on [0, 36) x [0, 36) from which the path of `length` pixels stays inside.

        Drawing again until it does, and drawing from the part where it does, are the same.
        """
        options, direction = self.options, DIRECTIONS[label]
        central = options.start_mode == "central"
        low = np.where(central | (direction < 0), max(0, length - options.margin), 0)
        high = np.where(
            central | (direction > 0), min(ROOM, ROOM + options.margin + 1 - length), ROOM
        )
        if (low >= high).any():
            raise Undecidable(f"a path of {length} pixels does not fit into the canvas")
        return low + random * (high - low)

    def _direction(self, start, shown: np.ndarray, random: float) -> tuple[int, int]:
        steps = _steps(shown, self.options)[-1:]  # none without a distractor frame
        margin = self.options.margin
        inside = []
        for direction in DIRECTIONS:
            last = _boxes(start, direction, steps, self.options)
            if ((last >= -margin) & (last <= ROOM + margin)).all():
                inside.append(tuple(direction.tolist()))
        if not inside:
            raise Undecidable("the distractor's path does not fit into the canvas")
        return inside[int(random * len(inside))]


def _stream(seed: int, key: tuple[int, ...], attempt: int, name: str):
    spawn_key = (*key, attempt, STREAMS.index(name))
    return np.random.Generator(
        np.random.Philox(np.random.SeedSequence(seed, spawn_key=spawn_key))
    ).random


def _steps(shown: np.ndarray, options: Options) -> np.ndarray:
    """The clock of a digit in the frames that show it: they are counted, or all frames are."""
    frames = np.flatnonzero(shown)
    return frames if options.motion_clock == "all" else np.arange(len(frames))


def _boxes(start, direction, steps: np.ndarray, options: Options) -> np.ndarray:
    position = start + np.multiply.outer(steps * options.speed, np.asarray(direction))
    return np.floor(position).astype(int)
