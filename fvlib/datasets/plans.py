"""A Move4MNIST video before any pixel is drawn: who is shown when and where.

A timeline is int8 (t,), the type of each frame: the target, the distractor, nothing (black) or the
background alone; written T, D, K, B.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int8, Int64

from fvlib.datasets.digits import SIZE as PATCH
from fvlib.datasets.digits import DigitBank
from fvlib.values import check_fields, check_least, want

TARGET, DISTRACTOR, BLACK, BACKGROUND = range(4)
LETTERS = "TDKB"
INSERTED = (DISTRACTOR, BLACK, BACKGROUND)  # among the target frames, in this order
RULES = ("pooled", "thirds", "paper-literal")
CANVAS = 64
ROOM = CANVAS - PATCH  # a patch lies inside the canvas at 0..36
DIRECTIONS = np.array([(0, -1), (0, 1), (-1, 0), (1, 0)])  # left, right, up, down: (y, x) a step
STREAMS = ("digits", "start", "timeline", "background")

# Measured on the four published videos.
CHUNKS = {"pooled": 12, "thirds": 9}
MARGIN = 1  # pixels by which a digit's patch may leave the canvas


@dataclass(frozen=True, kw_only=True)
class Difficulty:
    """What makes a video harder or easier; defaults are as measured on the published videos.

    Args:
        timeline: "pooled" (the published videos), "thirds" (simpler), "paper-literal" (one
            consecutive chunk of each type), or the types written out, one letter T, D, K or B a
            frame.
        chunk_len, n_chunks: frames of a chunk, and how many chunks ("pooled", "thirds"), a third of
            them of each type; None: 12 for "pooled", 9 for "thirds".
        literal_lengths: shortest and longest chunk of "paper-literal".
        speed: pixels a step. The digit is drawn at the integer part of its position.
        distractor_pos: "start": where the target starts; "random": anywhere, which removes the hint
            that the distractor gives in a single frame.
        min_target, min_displacement: target frames, and pixels from the first to the last of them;
            a video with less is drawn again.

    Raises:
        ValueError: for a value that cannot work, with what was wanted.
    """

    timeline: str = "pooled"
    chunk_len: int = 2
    n_chunks: int | None = None
    literal_lengths: tuple[int, int] = (4, 7)
    speed: float = 0.5
    distractor_pos: Literal["start", "random"] = "start"
    min_target: int = 10
    min_displacement: int = 4

    def __post_init__(self):
        check_fields(self)
        check_least(self, 1, "chunk_len", "n_chunks", "min_target", "min_displacement")
        want(self, self.speed > 0, "speed", why="wanted pixels a step, above 0")


@dataclass(frozen=True, kw_only=True)
class Options(Difficulty):
    """The settings of the generator: those of `Difficulty`, and the form of a video.

    Args:
        frames: frames of a video, t.
        channels: 1, or 3 equal ones.
    """

    frames: int = 32
    channels: Literal[1, 3] = 1

    def __post_init__(self):
        super().__post_init__()
        check_least(self, 2, "frames")
        idle = {"literal_lengths": self.timeline != "paper-literal"}
        idle["n_chunks"] = self.timeline not in CHUNKS
        for name, decides_nothing in idle.items():
            usual = not decides_nothing or getattr(self, name) == getattr(type(self), name)
            why = "it means nothing for this timeline; leave one of them out"
            want(self, usual, name, "timeline", why=why)
        if self.timeline == "paper-literal":
            shortest, longest = self.literal_lengths
            fits = 0 <= shortest <= longest and 3 * longest <= self.frames
            why = "wanted shortest <= longest, and room for three chunks"
            want(self, fits, "literal_lengths", "frames", why=why)
        elif self.timeline not in RULES:
            types = parse_timeline(self.timeline)
            why = f"wanted a letter for each frame, and there are {len(types)}"
            want(self, len(types) == self.frames, "timeline", "frames", why=why)
            shown = int((types == TARGET).sum())
            why = f"the timeline has {shown} target frames: lower it, or show the target more often"
            want(self, shown >= self.min_target, "min_target", why=why)
        else:
            room = self.timeline != "thirds" or self.chunks <= self.frames
            why = f"{self.chunks} chunks; wanted a multiple of three, and no more than frames"
            want(self, room and self.chunks % 3 == 0, "n_chunks", "timeline", why=why)

    @property
    def chunks(self) -> int:
        """How many chunks are drawn."""
        return CHUNKS[self.timeline] if self.n_chunks is None else self.n_chunks


# --- timelines ---


def parse_timeline(text: str) -> Int8[np.ndarray, " t"]:
    """The types of a timeline that is written out, such as "DDTTKTB".

    Raises:
        ValueError: for an empty text or any other letter.
    """
    unknown = sorted(set(text) - set(LETTERS))
    if unknown or not text:
        raise ValueError(
            f"timeline {text!r} is no name of a rule and cannot be read as one letter a frame: "
            f"wanted T (target), D (distractor), K (black), B (background); got {unknown}"
        )
    return np.array([LETTERS.index(letter) for letter in text], np.int8)


def write_timeline(types: Sequence[int] | np.ndarray) -> str:
    """The letters of a timeline: the inverse of `parse_timeline`."""
    return "".join(LETTERS[code] for code in types)


def pooled_timeline(
    starts: Sequence[int] | np.ndarray, t: int, chunk_len: int = 2
) -> Int8[np.ndarray, " t"]:
    """Timeline of the published videos: chunks pooled frame by frame.

    Each start begins a chunk of `chunk_len` frames. All frames of all chunks are sorted; the first
    third of them shows the distractor, the second nothing, the last the background. A frame that
    occurs more than once keeps its last type; what lies beyond the end is cut. All other frames
    show the target.
    """
    frames = np.sort(np.add.outer(np.asarray(starts), np.arange(chunk_len)), axis=None)
    return _with_inserted(frames, t)


def thirds_timeline(
    starts: Sequence[int] | np.ndarray, t: int, chunk_len: int = 2
) -> Int8[np.ndarray, " t"]:
    """A simpler rule: whole chunks get a type, by thirds of their sorted starts.

    It gives three frames of the four published videos another type.
    """
    return _with_inserted(np.add.outer(np.sort(starts), np.arange(chunk_len)).ravel(), t)


def literal_timeline(starts: np.ndarray, lengths: np.ndarray, t: int) -> Int8[np.ndarray, " t"]:
    """The paper's words (Sec. 4): "a consecutive chunk" of each type among the target frames.

    The chunk of the i-th type begins at `starts[i]` and is `lengths[i]` frames long.
    """
    types = np.full(t, TARGET, np.int8)
    for start, length, code in zip(starts, lengths, INSERTED, strict=True):
        types[start : start + length] = code
    return types


def _with_inserted(frames: np.ndarray, t: int) -> np.ndarray:
    """A timeline of target frames but for these, a third of them of each type."""
    timeline, inside = np.full(t, TARGET, np.int8), frames < t
    types = np.repeat(np.array(INSERTED, np.int8), len(frames) // 3)
    timeline[frames[inside]] = types[inside]  # of equal indices the last one wins
    return timeline


def draw_timeline(
    options: Options, random: Callable[[int], np.ndarray]
) -> tuple[Int8[np.ndarray, " t"], tuple[int, ...]]:
    """A timeline by the rule of `options.timeline`, and the starts of its chunks.

    `random(m)` gives m numbers in [0, 1).
    """
    t = options.frames
    random(3)  # once drew the order of the types; with it, a seed keeps its videos
    if options.timeline == "pooled":
        starts = np.sort((random(options.chunks) * t).astype(int))
        types = pooled_timeline(starts, t, options.chunk_len)
    elif options.timeline == "thirds":
        starts = np.sort(np.argsort(random(t))[: options.chunks])
        types = thirds_timeline(starts, t, options.chunk_len)
    elif options.timeline == "paper-literal":
        shortest, longest = options.literal_lengths
        lengths = shortest + (random(3) * (longest - shortest + 1)).astype(int)
        # Drawn among the target frames, so that no two chunks can overlap.
        gaps = np.sort((random(3) * (t - lengths.sum() + 1)).astype(int))
        starts = gaps + np.cumsum([0, *lengths[:-1]])
        types = literal_timeline(starts, lengths, t)
    else:
        types, starts = parse_timeline(options.timeline), np.array([], int)
    return types, tuple(starts.tolist())


# --- plans ---


@dataclass(frozen=True, eq=False)
class Plan:
    """All that a video is made from.

    `label` is its class. `target` and `distractor` are indices into the digit bank, `start` the
    target's real position (y, x) at step 0, `types` int8 (t,) the timeline. `distractor_start` None
    is the target's start. `background` says which clip, `speed` how many pixels a step is.
    `chunk_starts` and `attempts` tell how the plan was drawn.

    Raises:
        ValueError: for another class, and without a target frame.
    """

    label: int
    target: int
    distractor: int
    start: tuple[float, float]
    types: np.ndarray
    distractor_start: tuple[float, float] | None = None
    background: int = 0
    speed: float = 0.5
    chunk_starts: tuple[int, ...] = ()
    attempts: int = 1

    def __post_init__(self):
        if not 0 <= self.label < len(DIRECTIONS):
            raise ValueError(f"label is {self.label}; wanted 0 left, 1 right, 2 up or 3 down")
        if not (self.types == TARGET).any():
            raise ValueError("the timeline has no target frame, so nothing shows the class")

    def images(self) -> Int64[np.ndarray, " t"]:
        """Which digit of the bank each frame shows, -1 for none."""
        shown = [self.types == TARGET, self.types == DISTRACTOR]
        return np.select(shown, [self.target, self.distractor], -1)

    def path(self) -> tuple[Int64[np.ndarray, " t"], Int64[np.ndarray, "t 2"]]:
        """The target's step in each frame, and the box (y, x) of the digit shown.

        Frames that do not show the target have step -1, frames without any digit box (-1, -1).
        """
        target = self.types == TARGET
        step, box = np.full(len(self.types), -1), np.full((len(self.types), 2), -1)
        step[target] = np.arange(target.sum())
        moved = np.multiply.outer(step[target] * self.speed, DIRECTIONS[self.label])
        box[target] = np.floor(self.start + moved)
        still = self.start if self.distractor_start is None else self.distractor_start
        box[self.types == DISTRACTOR] = np.floor(still)
        return step, box


class Undecidable(Exception):
    """What was drawn gives no usable video; the message says why. Draw again."""


class Planner:
    """Draws plans: steps 1 to 5 of the generator."""

    def __init__(self, options: Options, digits: DigitBank, backgrounds: int):
        self.options, self.backgrounds, self.labels = options, backgrounds, digits.labels
        # Sorted by class, so that "any class but one" is what lies before and after one block.
        self.by_class = np.argsort(digits.labels, kind="stable")

    def draw(self, key: tuple[int, ...], label: int, seed: int, attempt: int) -> Plan:
        """The plan of one video at one attempt; raises Undecidable when it cannot be used.

        `key` names the video. Digits, start, timeline and background have each a random stream of
        their own, so that an option that changes one leaves the others as they are.
        """
        options = self.options
        types, chunk_starts = draw_timeline(options, _stream(seed, key, attempt, "timeline"))
        shown = int((types == TARGET).sum())
        if shown < options.min_target:
            raise Undecidable(f"{shown} target frames, min_target is {options.min_target}")
        target, distractor = self._digits(_stream(seed, key, attempt, "digits")(2))
        random = _stream(seed, key, attempt, "start")(4)
        start = _start(label, (shown - 1) * options.speed, random[:2])
        elsewhere = options.distractor_pos == "random"
        return Plan(
            label=label,
            target=target,
            distractor=distractor,
            start=tuple(start.tolist()),
            types=types,
            distractor_start=tuple((random[2:] * ROOM if elsewhere else start).tolist()),
            background=int(_stream(seed, key, attempt, "background")(1)[0] * self.backgrounds),
            speed=options.speed,
            chunk_starts=chunk_starts,
            attempts=attempt + 1,
        )

    def _digits(self, random: np.ndarray) -> tuple[int, int]:
        """A target of any class, and a distractor of any other."""
        target = int(random[0] * len(self.labels))
        labels = self.labels[self.by_class]
        first, last = (np.searchsorted(labels, self.labels[target], s) for s in ("left", "right"))
        place = int(random[1] * (len(labels) - (last - first)))
        return target, int(self.by_class[place if place < first else place + last - first])


def _start(label: int, length: float, random: np.ndarray) -> np.ndarray:
    """A start on [0, 36) x [0, 36) from which the path of `length` pixels stays inside.

    Drawing again until it does, and drawing from the part where it does, are the same.
    """
    direction = DIRECTIONS[label]
    low = np.where(direction < 0, max(0, length - MARGIN), 0)
    high = np.where(direction > 0, min(ROOM, ROOM + MARGIN + 1 - length), ROOM)
    if (low >= high).any():
        raise Undecidable(f"a path of {length} pixels does not fit into the canvas")
    return low + random * (high - low)


def _stream(seed: int, key: tuple[int, ...], attempt: int, name: str) -> Callable:
    spawn_key = (*key, attempt, STREAMS.index(name))
    sequence = np.random.SeedSequence(seed, spawn_key=spawn_key)
    return np.random.Generator(np.random.Philox(sequence)).random
