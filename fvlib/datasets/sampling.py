"""Which frames of a clip a network sees: TSM's segment sampling."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64


def segment_frames(
    t: int, segments: int, *, clips: int = 1, rng: np.random.Generator | None = None
) -> Int64[np.ndarray, "clips segments"]:
    """Indices of one frame from each of a number of equal segments of t frames.

    With rng, the frame is drawn at random in its segment (training): segment i starts at i * d and
    is d = t // segments frames long. Without, it is the frame in the middle (validation and test),
    at int(tick / 2 + tick * i) with tick = t / segments. All t frames where segments = t.

    Raises ValueError if there are fewer frames than segments.
    Source: TSM, the sampling that section 4 compares with.
    Explained in chapter 05_more_frames.
    """
    if not 1 <= segments <= t:
        raise ValueError(f"segments is {segments}; a clip of {t} frames has 1 to {t} segments")
    if rng is None:
        tick = t / segments
        middle = (tick / 2 + tick * np.arange(segments)).astype(np.int64)
        return np.tile(middle, (clips, 1))
    length = t // segments
    return np.arange(segments) * length + rng.integers(length, size=(clips, segments))
