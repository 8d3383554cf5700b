"""The settings of the Move4MNIST generator."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fvlib.datasets.timelines import BACKGROUND, BLACK, DISTRACTOR, LETTERS, TARGET, parse_timeline
from fvlib.values import check_fields, check_least

RULES = ("pooled", "thirds", "paper-literal")
CHUNKS = {"pooled": 12, "thirds": 9}


@dataclass(frozen=True, kw_only=True)
class Difficulty:
    """How a video is made, and so how hard it is; the defaults were measured on the four published
    videos.

    Args:
        timeline: "pooled" (the published videos), "thirds" (simpler), "paper-literal" (one
            consecutive chunk of each type), or the types written out, one letter T, D, K or B a
            frame.
        chunk_len: frames of a chunk ("pooled", "thirds").
        n_chunks: how many chunks; None: 12 for "pooled", 9 for "thirds".
        quotas: how many frames ("pooled") or chunks ("thirds") of each type, in the order of
            `type_order`; None: equal shares.
        type_order: the inserted types from first to last, such as "DKB", or "shuffled": drawn for
            every video.
        literal_lengths: shortest and longest chunk of "paper-literal".
        motion_clock: "target": the digit moves while it is shown; "all": in every frame.
        speed: pixels a step. The digit is drawn at the integer part of its position.
        start_mode: "uniform": anywhere from where the path stays inside; "central": both axes are
            limited in this way, whatever the direction, so that the start tells nothing of it.
        margin: pixels by which the digit's 28x28 patch may leave the canvas.
        distractor_class: "other" than the target's, or "any".
        distractor_images: the "same" digit in all distractor frames, or a new one in "each".
        distractor_pos: "start": where the target starts; "random": anywhere, which removes the
            hint that the distractor gives in a single frame.
        distractor_motion: "static", or "random": it moves too, in a direction drawn from those
            that keep it inside.
        disjoint_pools: targets from the second half of the bank, distractors from the first.
        background_offset: the clip's first frame, or "random".
        jpeg_quality: None, or the quality of a round trip through JPEG (published files: 75).
        min_target: target frames at least. min_displacement: pixels from the first to the last
            target frame at least. min_visible: pixels of the digit at least that are more than 20
            grey levels above the background, in every target frame. A video that breaks one of
            the three is drawn again.

    Raises ValueError for a value that cannot work, with what was wanted.
    Explained in chapter 03_move4mnist.
    """

    timeline: str = "pooled"
    chunk_len: int = 2
    n_chunks: int | None = None
    quotas: tuple[int, int, int] | None = None
    type_order: str = "DKB"
    literal_lengths: tuple[int, int] = (4, 7)
    motion_clock: Literal["target", "all"] = "target"
    speed: float = 0.5
    start_mode: Literal["uniform", "central"] = "uniform"
    margin: int = 1
    distractor_class: Literal["other", "any"] = "other"
    distractor_images: Literal["same", "each"] = "same"
    distractor_pos: Literal["start", "random"] = "start"
    distractor_motion: Literal["static", "random"] = "static"
    disjoint_pools: bool = False
    background_offset: int | Literal["random"] = 0
    jpeg_quality: int | None = None
    min_target: int = 10
    min_displacement: int = 4
    min_visible: int = 25

    def __post_init__(self):
        check_fields(self)
        if self.type_order != "shuffled" and sorted(self.type_order) != sorted("DKB"):
            raise ValueError(
                f"type_order is {self.type_order!r}; wanted 'shuffled' or an order of the letters "
                "D, K and B such as 'DKB'"
            )
        check_least(self, 1, "chunk_len", "min_target", "min_displacement", "min_visible")
        check_least(self, 0, "margin", "background_offset")
        if not self.speed > 0:
            raise ValueError(f"speed is {self.speed}; wanted pixels a step, above 0")
        if self.jpeg_quality is not None and not 1 <= self.jpeg_quality <= 95:
            raise ValueError(f"jpeg_quality is {self.jpeg_quality}; wanted 1 to 95, or None")


@dataclass(frozen=True, kw_only=True)
class Options(Difficulty):
    """The settings of the generator: those of `Difficulty`, and the form of a video.

    Args:
        frames: frames of a video, t.
        channels: 1, or 3 equal ones.

    Raises ValueError for a value that cannot work, with what was wanted.
    Explained in chapter 03_move4mnist.
    """

    frames: int = 32
    channels: Literal[1, 3] = 1

    def __post_init__(self):
        super().__post_init__()
        check_least(self, 2, "frames")
        self._check_timeline()

    def _check_timeline(self):
        idle = {"literal_lengths": self.timeline != "paper-literal"}
        idle |= dict.fromkeys(("n_chunks", "quotas"), self.timeline not in CHUNKS)
        for name, decides_nothing in idle.items():
            if decides_nothing and getattr(self, name) != getattr(type(self), name):
                raise ValueError(
                    f"{name} is {getattr(self, name)}, which means nothing for the timeline "
                    f"{self.timeline!r}; leave one of them out"
                )
        if self.timeline == "paper-literal":
            shortest, longest = self.literal_lengths
            if not 0 <= shortest <= longest or 3 * longest > self.frames:
                raise ValueError(
                    f"literal_lengths are {self.literal_lengths}; wanted shortest <= longest, and "
                    f"room for three chunks in {self.frames} frames"
                )
        elif self.timeline in RULES:
            if self.chunks < 1 or (self.timeline == "thirds" and self.chunks > self.frames):
                raise ValueError(
                    f"n_chunks is {self.chunks}; wanted 1 or more, and for 'thirds', whose chunks "
                    f"start in different frames, at most {self.frames}"
                )
            if len(self.shares) != 3 or min(self.shares) < 0 or sum(self.shares) != self._entries:
                raise ValueError(
                    f"quotas are {self.quotas}; wanted three numbers that add up to {self._entries}"
                )
        else:
            self._check_letters()

    def _check_letters(self):
        types = parse_timeline(self.timeline)
        if len(types) != self.frames:
            raise ValueError(
                f"the timeline has {len(types)} letters, the video {self.frames} frames; "
                "make them equal"
            )
        if (types == TARGET).sum() < self.min_target:
            raise ValueError(
                f"the timeline has {(types == TARGET).sum()} target frames and min_target is "
                f"{self.min_target}; lower min_target or show the target more often"
            )

    @property
    def type_codes(self) -> list[int]:
        """The inserted types in their order (D, K, B when it is drawn for every video)."""
        if self.type_order == "shuffled":
            return [DISTRACTOR, BLACK, BACKGROUND]
        return [LETTERS.index(letter) for letter in self.type_order]

    @property
    def chunks(self) -> int:
        """How many chunks are drawn."""
        return CHUNKS[self.timeline] if self.n_chunks is None else self.n_chunks

    @property
    def shares(self) -> tuple[int, ...]:
        """How many frames ("pooled") or chunks ("thirds") each type gets."""
        if self.quotas is not None:
            return tuple(self.quotas)
        return tuple(np.diff(self._entries * np.arange(4) // 3).tolist())

    @property
    def _entries(self) -> int:
        return self.chunks * (self.chunk_len if self.timeline == "pooled" else 1)
