"""Which frames of a clip a network sees: segments, at random, by motion, windows, all frames.

Frames are counted from 0. TSM's code reads files that are counted from 1: its indices are these,
plus one. A sampler gives one row of indices for each view of the clip; the scores of the views are
averaged.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import count, takewhile

import numpy as np
from jaxtyping import Float64, Int64

WINDOW = 64  # frames that a dense window reaches over, as in I3D
DENSE_VIEWS = 10

# What is drawn for a clip. The training loop has 0 (order of the clips), 1 and 2 (dropout).
_STREAMS = {"frames": 3, "crop": 4}


def clip_rng(seed: int, epoch: int, index: int, what: str = "frames") -> np.random.Generator:
    """The random numbers of one clip in one epoch: they come from these numbers alone.

    So they do not depend on the batch a clip is in, on its place there, on the worker process that
    reads it, or on whether a run was interrupted. index: the clip's place in its data set. what:
    "frames" or "crop"; two streams, as frames are drawn where files are read and crops where the
    batch is, and neither should change when the other does.

    Raises ValueError for a negative number or another stream.
    Explained in chapter 09_ucf_hmdb.
    """
    if min(seed, epoch, index) < 0:
        raise ValueError(
            f"seed, epoch and index are {seed}, {epoch}, {index}; each must be 0 or more"
        )
    if what not in _STREAMS:
        raise ValueError(f"what is {what!r}; choose one of {', '.join(_STREAMS)}")
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

    Raises ValueError unless there are a frame and a segment.
    Source: TSM, the sampling that section 4 compares with.
    Explained in chapter 05_more_frames.
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


def validation_frames(t: int, segments: int) -> Int64[np.ndarray, "1 segments"]:
    """The frames TSM validates on while it trains: those of the test, if t exceeds segments.

    Otherwise, also for t = segments, it is the first frame, repeated.

    Raises ValueError unless there are a frame and a segment.
    Source: TSM's published validation. Explained in chapter 10_something.
    """
    _check(t, segments)
    return segment_frames(t, segments) if t > segments else np.zeros((1, segments), np.int64)


def twice_frames(t: int, segments: int) -> Int64[np.ndarray, "2 segments"]:
    """Two views of a clip: the middle of each segment, and its start at int(tick * i).

    Raises ValueError unless there are a frame and a segment.
    Source: TSM's test with two clips. Explained in chapter 10_something.
    """
    middle = segment_frames(t, segments)[0]
    return np.stack([middle, (t / segments * np.arange(segments)).astype(np.int64)])


def random_frames(t: int, count: int, rng: np.random.Generator) -> Int64[np.ndarray, "1 count"]:
    """Indices of `count` different frames, drawn from all t of them, in the order of time.

    Every set of so many frames is as likely. A clip with fewer frames than count shows all of them,
    each repeated in place, as `segment_frames` does in the test.

    Raises ValueError unless there are a frame and a count. Explained in chapter 08_breakfast.
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

    motion: from each frame to the next, as `motion_curves` gives it. Raised to the exponent, which
    lets large motion count for less, and added up, it is a curve over time, straight from frame to
    frame. Its height is cut into `count` equal parts, and of each the middle is taken (test), or
    with rng a random place in it (training): the frame to which the curve is nearest there. So a
    frame reaches from half a step before it to half a step behind it; the first and the last reach
    as far beyond the clip. Then every frame counts alike where motion is constant, and in the test
    it gives TSM's segments, frame by frame. So does a clip in which nothing moves.

    A motion that is larger than a part, such as a cut, is shown by the frames beside it, which come
    more than once. A clip with fewer frames than count is handled as by `random_frames`.

    Raises ValueError for motion that is negative or not finite, a negative exponent, or no count.
    Source: Zhi et al., "MGSampler: An Explainable Sampling Strategy for Video Action Recognition"
    (ICCV 2021), and its code, which takes the nearest frame too; the ends of the curve are ours.
    Explained in chapter 08_breakfast.
    """
    t = len(motion) + 1
    _check(t, count)
    if not (np.isfinite(motion) & (motion >= 0)).all() or not 0 <= exponent < float("inf"):
        raise ValueError(
            f"motion is {motion}, exponent {exponent}; wanted finite numbers of 0 or more, see "
            "motion_curves"
        )
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

    Raises ValueError unless there are 1 to 64 frames to take and a frame to take them from.
    Source: TSM's dense sampling, after I3D. Explained in chapter 09_ucf_hmdb.
    """
    _check(t, frames)
    if frames > WINDOW:
        raise ValueError(f"frames is {frames}; a dense window has 1 to {WINDOW} frames")
    last = max(0, t - WINDOW)
    if rng is None:
        starts = np.linspace(0, last, DENSE_VIEWS, dtype=np.int64)
    else:
        starts = np.array([rng.integers(last) if last else 0], np.int64)
    return (starts[:, None] + np.arange(frames) * (WINDOW // frames)) % t


def all_frames(t: int, *, stride: int | float | Fraction = 1) -> Int64[np.ndarray, "1 frames"]:
    """Every frame, or every stride-th: frame int(i * stride) as long as there is one.

    stride: the clip's frame rate over the wanted one. It need not be whole, and is best given as a
    fraction: Fraction(30000, 1001) / 12 takes twelve frames a second from a clip of 29.97.

    Raises ValueError unless there is a frame and stride is 1 or more.
    Source: section 4 for all frames; the stride is ours. Explained in chapter 08_breakfast.
    """
    _check(t, 1)
    if not 1 <= stride < float("inf"):
        raise ValueError(
            f"stride is {stride}; it is the clip's frame rate over the wanted one, and must be 1 "
            "or more, as frames cannot be made up"
        )
    steps = (int(i * stride) for i in count())
    return np.array([list(takewhile(lambda frame: frame < t, steps))], np.int64)


def window_frames(
    t: int, window: int, *, rng: np.random.Generator | None = None
) -> Int64[np.ndarray, "views frames"]:
    """Indices of a window of neighbouring frames; of the whole clip if it is not longer.

    With rng, one of the windows that begin at 0, window, 2 window, ... (training); without, ten at
    equal distances (test).

    Raises ValueError unless there is a frame and the window has one.
    Source: the released code's loader, windows of 32; the test is ours.
    Explained in chapter 11_any_length.
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

    Raises ValueError if there are more than that, or none.
    Source: section 4, "Training & Inference". Explained in chapter 08_breakfast.
    """
    s = indices.shape[1]
    if not 1 <= s <= length:
        raise ValueError(f"there are {s} frames to be padded to {length}; wanted 1 to {length}")
    return np.pad(indices, ((0, 0), (0, length - s)), mode="edge")


def _check(t: int, wanted: int) -> None:
    if t < 1 or wanted < 1:
        raise ValueError(
            f"{wanted} frames of a clip of {t} were asked for; each must be 1 or more. A clip "
            "without frames is found by python -m lab data check"
        )
