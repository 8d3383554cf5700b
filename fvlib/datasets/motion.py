"""How much moves from each frame of a clip to the next: what MGSampler chooses frames by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from jaxtyping import Float64, Int64, UInt8
from torch import Tensor
from tqdm import tqdm

from fvlib.datasets.loading import Clips, FrameChoice, StoredClips, chunks
from fvlib.datasets.streams import ClipStream

CLIPS = 16  # of one length, taken at once
FRAMES = 32  # of a clip, compared (and of a stored one decoded) at once


def motion_curves(
    clips: Clips | StoredClips, *, progress: bool = False
) -> list[Float64[np.ndarray, " _"]]:
    """For each clip, the mean absolute difference of the pixels of neighbouring frames.

    In grey levels, from 0 to 255, over all colours of all pixels, as the clips give them: before
    any crop. A clip of t frames has t - 1 of them. Their sums are made of whole numbers, and so are
    the same on every machine.

    This is a pass over the whole set: every frame of stored clips is decoded, in one go and a few
    at a time, which for real data takes as long as an epoch of reading all frames. The authors do
    it beforehand too, and keep the result in a file.

    Raises UnreadableClip for a damaged file; ValueError if the frames of a clip differ in size.
    Source: Zhi et al., "MGSampler" (ICCV 2021), whose text takes the difference of images; their
    code takes 1 - SSIM of grey ones. Explained in chapter 08_breakfast.
    """
    shown = tqdm(_parts(clips), "motion", len(clips), leave=False, disable=not progress)
    return [_curve(parts) for parts in shown]


def _parts(clips: Clips | StoredClips) -> Iterator[Iterable[UInt8[Tensor, "_ c h w"]]]:
    """Of each clip all frames, a few at a time."""
    if isinstance(clips, StoredClips):
        for i in range(len(clips)):
            yield ClipStream(clips, np.array([i]), FrameChoice("all")).parts(FRAMES)
    else:
        for indices in chunks(np.arange(len(clips)), CLIPS):
            yield from (clip.split(FRAMES) for clip in clips.batch(indices)[0])


def _curve(parts: Iterable[UInt8[Tensor, "_ c h w"]]) -> Float64[np.ndarray, " _"]:
    """Of one clip, whose frames come in parts."""
    sums, last = [], None
    for part in parts:
        frames = part if last is None else torch.cat([last, part])
        sums.append(_differences(frames))
        last = frames[-1:]
    return torch.cat(sums).cpu().numpy() / last.numel()


def _differences(frames: UInt8[Tensor, "t c h w"]) -> Int64[Tensor, " s"]:
    """The sum over each pair of neighbours. Bytes cannot be negative: the less from the more."""
    before, after = frames[:-1], frames[1:]
    return (before.maximum(after) - before.minimum(after)).sum((1, 2, 3), dtype=torch.int64)
