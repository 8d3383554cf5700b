"""The settings of the Move4MNIST generator."""

from dataclasses import dataclass

import numpy as np

from fvlib.datasets.sources import check_choice
from fvlib.datasets.timelines import BACKGROUND, BLACK, DISTRACTOR, LETTERS, TARGET, parse_timeline

RULES = ("pooled", "thirds", "paper-literal")
CHUNKS = {"pooled": 12, "thirds": 9}


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a video is made; the defaults are what was measured on the four published videos.

    Args:
        frames: frames of a video, t.
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
        channels: 1, or 3 equal ones.
        min_target: target frames at least. min_displacement: pixels from the first to the last
            target frame at least. min_visible: pixels of the digit at least that are more than 20
            grey levels above the background, in every target frame. A video that breaks one of
            the three is drawn again.

    Raises ValueError for a value that cannot work, with what was wanted.
    Explained in chapter 03_move4mnist.
    """

    frames: int = 32
    timeline: str = "pooled"
    chunk_len: int = 2
    n_chunks: int | None = None
    quotas: tuple[int, int, int] | None = None
    type_order: str = "DKB"
    literal_lengths: tuple[int, int] = (4, 7)
    motion_clock: str = "target"
    speed: float = 0.5
    start_mode: str = "uniform"
    margin: int = 1
    distractor_class: str = "other"
    distractor_images: str = "same"
    distractor_pos: str = "start"
    distractor_motion: str = "static"
    disjoint_pools: bool = False
    background_offset: int | str = 0
    jpeg_quality: int | None = None
    channels: int = 1
    min_target: int = 10
    min_displacement: int = 4
    min_visible: int = 25

    def __post_init__(self):
        check_choice("motion_clock", self.motion_clock, ("target", "all"))
        check_choice("start_mode", self.start_mode, ("uniform", "central"))
        check_choice("distractor_class", self.distractor_class, ("other", "any"))
        check_choice("distractor_images", self.distractor_images, ("same", "each"))
        check_choice("distractor_pos", self.distractor_pos, ("start", "random"))
        check_choice("distractor_motion", self.distractor_motion, ("static", "random"))
        check_choice("channels", self.channels, (1, 3))
        if self.type_order != "shuffled" and sorted(self.type_order) != sorted("DKB"):
            raise ValueError(
                f"type_order is {self.type_order!r}; wanted 'shuffled' or an order of the letters "
                "D, K and B such as 'DKB'"
            )
        for name, least in {"chunk_len": 1, "margin": 0, "min_target": 1, "frames": 2}.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; wanted {least} or more")
        if not self.speed > 0:
            raise ValueError(f"speed is {self.speed}; wanted pixels a step, above 0")
        if self.jpeg_quality is not None and not 1 <= self.jpeg_quality <= 95:
            raise ValueError(f"jpeg_quality is {self.jpeg_quality}; wanted 1 to 95, or None")
        if self.background_offset != "random" and (
            isinstance(self.background_offset, str) or self.background_offset < 0
        ):
            raise ValueError(
                f"background_offset is {self.background_offset!r}; wanted a frame >= 0 or 'random'"
            )
        self._check_timeline()

    def _check_timeline(self):
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
