"""Which frames of a clip a network sees: segments, at random, by motion, windows, all frames.

Frames are counted from 0. TSM's code reads files that are counted from 1: its indices are these,
plus one. A function here gives one row of indices for each view of the clip; the scores of the
views are averaged. What is here does not need torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from fractions import Fraction
from itertools import count, takewhile
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64

from fvlib.values import check_fields, check_least, want

Sampling = Literal["segments", "random", "motion"]
Order = Literal["forward", "reversed", "shuffled"]

WINDOW = 64  # frames that a dense window reaches over, as in I3D
DENSE_VIEWS = 10

# What is drawn for a clip. The training loop has 0 (order of the clips), 1 and 2 (dropout).
_STREAMS = {"frames": 3, "crop": 4}


@dataclass(frozen=True)
class FrameSampler:
    """Which frames of a clip are shown.

    Args:
        frames: a number, or "all".
        sampling: how a number of frames is chosen: one from each of so many "segments" as TSM does,
            at "random" (in a test by the clip's index alone), or by "motion" as MGSampler does.
        dense: a number of frames from a window of 64 neighbouring ones.
        stride: with "all", every so many-th frame.
        window: with "all", a window of so many of them.
        order: in which the frames are shown, forward, reversed, or shuffled, each clip in an order
            of its own.

    Raises:
        ValueError: for a value that cannot be meant, and for one that would change nothing.

    Source:
        Section 4, "Training & Inference"; TSM.
    """

    frames: int | Literal["all"]
    _: KW_ONLY
    sampling: Sampling = "segments"
    dense: bool = False
    stride: int | float = 1
    window: int | None = None
    order: Order = "forward"

    def __post_init__(self):
        check_fields(self)
        check_least(self, 1, "frames", "stride", "window")
        whole = self.frames == "all"
        plain = self.sampling == "segments" or not (whole or self.dense or self.window is not None)
        why = "sampling is of a number of frames of the whole clip; or leave it at 'segments'"
        want(self, plain, "sampling", "frames", "dense", "window", why=why)
        why = "dense wants a number of frames; 'all' go with a window"
        want(self, not (whole and self.dense), "dense", "frames", why=why)
        fits = whole or (self.window is None and self.stride == 1)
        why = "both belong to frames='all'"
        want(self, fits, "stride", "window", "frames", why=why)
        fits = not self.dense or whole or self.frames <= WINDOW
        want(self, fits, "frames", why=f"a dense window has 1 to {WINDOW} frames")

    @property
    def most_views(self) -> int:
        """How many choices a test has: ten windows, two of segments, else one."""
        if self.dense or self.window is not None:
            return DENSE_VIEWS
        return 2 if self.frames != "all" and self.sampling == "segments" else 1

    def of_clip(
        self,
        t: int,
        index: int,
        *,
        draw: tuple[int, int] | None = None,
        view: int = 0,
        motion: Sequence[Float64[np.ndarray, " _"]] | None = None,
    ) -> Int64[np.ndarray, " s"]:
        """The frames of one clip of t frames, the index-th of its set.

        Args:
            draw: (seed, epoch) of the random numbers in training; None for a test, where the choice
                is fixed.
            view: which of the choices of a test: 0 is the middle of each segment, 1 its start; of
                windows there are ten.
            motion: of all clips of the set (`motion_curves`), which sampling by motion needs.

        Raises:
            ValueError: for a view that there is not, and for motion of other clips.
        """
        if not 0 <= view < self.most_views:
            raise ValueError(f"view is {view}; there are 0 to {self.most_views - 1}")
        rng = None if draw is None else clip_rng(*draw, index)
        frames = self._forward(t, index, rng, view, motion)
        if self.order == "reversed":
            return frames[::-1].copy()
        if self.order == "shuffled":
            return (rng or clip_rng(0, 0, index)).permutation(frames)
        return frames

    def _forward(
        self,
        t: int,
        index: int,
        rng: np.random.Generator | None,
        view: int,
        motion: Sequence[np.ndarray] | None,
    ) -> Int64[np.ndarray, " s"]:
        if self.frames == "all":
            frames = all_frames(t, stride=self.stride)[0]
            if self.window is None:
                return frames
            views = window_frames(len(frames), self.window, rng=rng)
            return frames[views[0 if rng else view]]
        if self.dense:
            return dense_frames(t, self.frames, rng=rng)[0 if rng else view]
        if self.sampling == "random":
            # Of a test: not the numbers that shuffle, those of epoch 0.
            return random_frames(t, self.frames, rng or clip_rng(0, 1, index))[0]
        if self.sampling == "motion":
            if motion is None or index >= len(motion) or len(motion[index]) != t - 1:
                raise ValueError(
                    f"sampling is 'motion', and there is none of clip {index} with {t} frames; "
                    "give the motion_curves of the clips that are shown"
                )
            return motion_frames(motion[index], self.frames, rng=rng)[0]
        if rng is None:
            return twice_frames(t, self.frames)[view]
        return segment_frames(t, self.frames, rng=rng)[0]

    def shown(self, lengths: Int64[np.ndarray, " m"]) -> Int64[np.ndarray, " m"]:
        """How many frames of clips of these lengths are shown with "all", one in `stride`."""
        shown = np.ceil(lengths / self.stride).astype(np.int64)
        return shown if self.window is None else np.minimum(shown, self.window)


def clip_rng(seed: int, epoch: int, index: int, what: str = "frames") -> np.random.Generator:
    """The random numbers of one clip in one epoch: they come from these numbers alone.

    So they do not depend on the batch a clip is in, on its place there, on the worker process that
    reads it, or on whether a run was interrupted.

    Args:
        index: the clip's place in its data set.
        what: "frames" or "crop"; two streams, as frames are drawn where files are read and crops
            where the batch is, and neither should change when the other does.
    """
    return np.random.default_rng(np.random.SeedSequence((seed, epoch, _STREAMS[what], index)))


def segment_frames(
    t: int, segments: int, *, clips: int = 1, rng: np.random.Generator | None = None
) -> Int64[np.ndarray, "clips segments"]:
    """Indices of one frame from each of a number of equal segments of t frames.

    With rng, the frame is drawn at random in its segment (training): segment i starts at i * d and
    is d = t // segments frames long. Without, it is the frame in the middle (test), at
    int(tick / 2 + tick * i) with tick = t / segments. All t frames where segments = t.

    A clip with fewer frames than segments is handled as published: in training its first frame
    comes `segments` times, in the test each frame is repeated in place. `pad_with_last` is the
    other way, the paper's.

    Raises:
        ValueError: unless there are a frame and a segment.

    Source:
        TSM, the sampling that section 4 compares with.
    """
    _check(t, segments)
    if rng is None:
        tick = t / segments
        middle = (tick / 2 + tick * np.arange(segments)).astype(np.int64)
        return np.tile(middle, (clips, 1))
    length = t // segments
    if length == 0:
        return np.zeros((clips, segments), np.int64)
    return np.arange(segments) * length + rng.integers(length, size=(clips, segments))


def twice_frames(t: int, segments: int) -> Int64[np.ndarray, "2 segments"]:
    """Two views of a clip: the middle of each segment, and its start at int(tick * i).

    Raises:
        ValueError: unless there are a frame and a segment.

    Source:
        TSM's test with two clips.
    """
    middle = segment_frames(t, segments)[0]
    return np.stack([middle, (t / segments * np.arange(segments)).astype(np.int64)])


def random_frames(t: int, count: int, rng: np.random.Generator) -> Int64[np.ndarray, "1 count"]:
    """Indices of `count` different frames, drawn from all t of them, in the order of time.

    Every set of so many frames is as likely. A clip with fewer frames than count shows all of them,
    each repeated in place, as `segment_frames` does in the test.

    Raises:
        ValueError: unless there are a frame and a count.
    """
    _check(t, count)
    if t < count:
        return segment_frames(t, count)
    return np.sort(rng.choice(t, count, replace=False, shuffle=False))[None]


def motion_frames(
    motion: Float64[np.ndarray, " s"],
    count: int,
    *,
    exponent: float = 0.5,
    rng: np.random.Generator | None = None,
) -> Int64[np.ndarray, "1 count"]:
    """Indices of `count` frames of a clip of t = s + 1, with as much motion from each to the next.

    A motion that is larger than a part, such as a cut, is shown by the frames beside it, which come
    more than once. A clip with fewer frames than count is handled as by `random_frames`.

    Args:
        motion: from each frame to the next, as `motion_curves` gives it. Raised to the exponent,
            which lets large motion count for less, and added up, it is a curve over time, straight
            from frame to frame. Its height is cut into `count` equal parts, and of each the middle
            is taken (test), or with rng a random place in it (training): the frame to which the
            curve is nearest there. So a frame reaches from half a step before it to half a step
            behind it; the first and the last reach as far beyond the clip. Then every frame counts
            alike where motion is constant, and in the test it gives TSM's segments, frame by frame.
            So does a clip in which nothing moves.

    Raises:
        ValueError: unless there are a frame and a count.

    Source:
        Zhi et al., "MGSampler: An Explainable Sampling Strategy for Video Action Recognition" (ICCV
        2021), and its code, which takes the nearest frame too; the ends of the curve are ours.
    """
    t = len(motion) + 1
    _check(t, count)
    if t < max(2, count):
        return segment_frames(t, count)
    # With the largest at 1, constant motion is 1 everywhere: all sums below are then exact.
    largest = motion.max()
    slope = (motion / largest) ** exponent if largest else np.ones(t - 1)
    slope = np.pad(slope, 1, mode="edge")
    curve = ((slope[:-1] + slope[1:]) / 2).cumsum()  # where the reach of each frame ends
    tick = t / count
    inside = tick / 2 if rng is None else tick * rng.random(count)
    places = (inside + tick * np.arange(count)) * (curve[-1] / t)
    frames = np.searchsorted(curve, places, side="right")
    return np.minimum(frames, t - 1)[None]  # a place may be rounded up to the end


def dense_frames(
    t: int, frames: int, *, rng: np.random.Generator | None = None
) -> Int64[np.ndarray, "views frames"]:
    """Indices of a window of 64 neighbouring frames, of which every (64 // frames)-th is taken.

    With rng, one window at a random place (training); without, ten at equal distances (test). A
    clip of fewer than 64 frames starts again from its first. As published, the random place is
    never the last possible one.

    Raises:
        ValueError: unless there are a frame to take and one to take it from.

    Source:
        TSM's dense sampling, after I3D.
    """
    _check(t, frames)
    last = max(0, t - WINDOW)
    if rng is None:
        starts = np.linspace(0, last, DENSE_VIEWS, dtype=np.int64)
    else:
        starts = np.array([rng.integers(last) if last else 0], np.int64)
    return (starts[:, None] + np.arange(frames) * (WINDOW // frames)) % t


def all_frames(t: int, *, stride: int | float | Fraction = 1) -> Int64[np.ndarray, "1 frames"]:
    """Every frame, or every stride-th: frame int(i * stride) as long as there is one.

    Args:
        stride: the clip's frame rate over the wanted one. It need not be whole, and is best given
            as a fraction: Fraction(30000, 1001) / 12 takes twelve frames a second from a clip of
            29.97.

    Raises:
        ValueError: unless there is a frame and stride is 1 or more.

    Source:
        Section 4 for all frames; the stride is ours.
    """
    _check(t, 1)
    if not 1 <= stride < float("inf"):
        raise ValueError(
            f"stride is {stride}; it is the clip's frame rate over the wanted one, and must be 1 "
            "or more, as frames cannot be made up"
        )
    if isinstance(stride, int):
        return np.arange(0, t, stride)[None]
    steps = (int(i * stride) for i in count())
    return np.array([list(takewhile(lambda frame: frame < t, steps))], np.int64)


def window_frames(
    t: int, window: int, *, rng: np.random.Generator | None = None
) -> Int64[np.ndarray, "views frames"]:
    """Indices of a window of neighbouring frames; of the whole clip if it is not longer.

    With rng, one of the windows that begin at 0, window, 2 window, ... (training); without, ten at
    equal distances (test).

    Raises:
        ValueError: unless there is a frame and the window has one.

    Source:
        The released code's loader, windows of 32; the test is ours.
    """
    _check(t, window)
    if rng is None:
        starts = np.linspace(0, max(0, t - window), DENSE_VIEWS, dtype=np.int64)
    else:
        starts = np.array([window * rng.integers(max(1, t // window))], np.int64)
    return starts[:, None] + np.arange(min(t, window))


def pad_with_last(
    indices: Int64[np.ndarray, "views s"], length: int
) -> Int64[np.ndarray, "views length"]:
    """Repeat the last index of each row until there are length indices.

    Source:
        Section 4, "Training & Inference".
    """
    return np.pad(indices, ((0, 0), (0, length - indices.shape[1])), mode="edge")


def _check(t: int, wanted: int) -> None:
    if t < 1 or wanted < 1:
        raise ValueError(
            f"{wanted} frames of a clip of {t} were asked for; each must be 1 or more. A clip "
            "without frames is found by `fvlib check`"
        )
