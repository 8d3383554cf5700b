"""Clips as streams: frames that are decoded as they are needed, in parts, as often as wanted.

A network that works through its clips in parts never needs a whole clip. A stream gives it the
frames of some clips one part after the other, and again from the first for its next pass.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from copy import copy
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float64, Int64, Shaped, UInt8
from torch import Tensor
from tqdm import tqdm

from fvlib.contracts import ChunkedClips, Clips

# From clips (n t c h w) and their places in the data set to what is shown of them, frame by frame.
Transform = Callable[[Tensor, np.ndarray], Tensor]
Item = TypeVar("Item")

_AT_ONCE = 32  # frames of a clip, compared and decoded at once


class ClipStream:
    """Frames of some clips, in parts, which are made while others are used.

    `lengths` is how many frames of each clip there are.

    Args:
        clips: of which set. Files are decoded from first to last, once in each iteration; clips
            without `iter_chunks`, and frames that are out of the order of time, are read in parts.
        indices: of the clips in their set.
        frames: of each of these clips; None for all of them.
        transform: what is done to frames of one clip, such as a crop: called with the frames of a
            part that are this clip's, as (1, t, c, h, w), and with its index as an array of one. It
            must do to a frame what it does to it among others, as `TrainTransform` does.
    """

    lengths: Int64[Tensor, " n"]

    def __init__(
        self,
        clips: Clips,
        indices: Int64[np.ndarray, " n"],
        frames: Sequence[Int64[np.ndarray, " _"]] | None = None,
        transform: Transform | None = None,
    ):
        self.clips, self.indices, self.transform = clips, indices, transform
        self._frames = [np.arange(t) for t in clips.lengths[indices]] if frames is None else frames
        self.lengths = torch.tensor([len(each) for each in self._frames])

    def parts(self, size: int) -> Iterator[Shaped[Tensor, "m c h w"]]:
        """All frames, clip by clip in time order, in parts of `size`; the last may be smaller.

        A part may go from one clip to the next. Each call begins anew. At most one part is made
        ahead, in a thread that ends with the iteration.

        Raises:
            ValueError: while iterating, for frames of different sizes, and what reading raises
                (UnreadableClip, which names the file).
        """
        return prefetch(self._parts(size))

    def seen_through(self, transform: Transform | None) -> ClipStream:
        """The same clips with another transform."""
        other = copy(self)
        other.transform = transform
        return other

    def _parts(self, size: int) -> Generator[Tensor]:
        part: list[Tensor] = []
        room, shape = size, None
        for index, frames in zip(self.indices.tolist(), self._frames, strict=True):
            for piece in self._pieces(index, frames, np.arange(room, len(frames), size)):
                shape = shape or piece.shape[1:]
                if piece.shape[1:] != shape:
                    raise ValueError(
                        f"frames of clip {index} are of (c, h, w) {tuple(piece.shape[1:])}, those "
                        f"before of {tuple(shape)}; give a resolution, a crop, or a size to read "
                        "them at"
                    )
                part.append(piece)
                room -= len(piece)
                if not room:
                    yield part[0] if len(part) == 1 else torch.cat(part)
                    part, room = [], size
        if part:
            yield part[0] if len(part) == 1 else torch.cat(part)

    def _pieces(self, index: int, frames: np.ndarray, cuts: np.ndarray) -> Iterator[Tensor]:
        """The frames of one clip, cut into pieces, as the network sees them."""
        pieces = np.split(frames, cuts)
        if isinstance(self.clips, ChunkedClips) and (np.diff(frames) >= 0).all():
            with closing(self.clips.iter_chunks(index, pieces)) as walked:
                yield from map(partial(self._transformed, index), walked)
        else:
            yield from (self._transformed(index, self.clips.read(index, p)) for p in pieces)

    def _transformed(self, index: int, x: Tensor) -> Tensor:
        return x if self.transform is None else self.transform(x[None], np.array([index]))[0]


def prefetch(items: Generator[Item]) -> Iterator[Item]:
    """The same items, of which the next is made in a thread while one is used.

    Whatever the making raises is raised here. When the iteration ends, or is left, the thread has
    ended and the iterator is closed.
    """
    end = object()
    with closing(items), ThreadPoolExecutor(1, "prefetch") as thread:
        coming = thread.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, items, end)
            yield item


def motion_curves(clips: Clips, *, progress: bool = False) -> list[Float64[np.ndarray, " _"]]:
    """For each clip, the mean absolute difference of the pixels of neighbouring frames.

    In grey levels, from 0 to 255, over all colours of all pixels, as the clips give them: before
    any crop. A clip of t frames has t - 1 of them. Their sums are made of whole numbers, and so are
    the same on every machine.

    This is a pass over the whole set: every frame of clips in files is decoded, in one go and a few
    at a time, which for real data takes as long as an epoch of reading all frames. The authors do
    it beforehand too, and keep the result in a file.

    Raises:
        UnreadableClip: for a damaged file.
        ValueError: if the frames of a clip differ in size.

    Source:
        Zhi et al., "MGSampler" (ICCV 2021), whose text takes the difference of images; their code
        takes 1 - SSIM of grey ones.
    """
    shown = tqdm(range(len(clips)), "motion", leave=False, disable=not progress)
    return [_curve(ClipStream(clips, np.array([i])).parts(_AT_ONCE)) for i in shown]


def _curve(parts: Iterable[UInt8[Tensor, "_ c h w"]]) -> Float64[np.ndarray, " _"]:
    """Of one clip, whose frames come in parts. Bytes cannot be negative: the less from the more."""
    sums, last = [], None
    for part in parts:
        frames = part if last is None else torch.cat([last, part])
        before, after = frames[:-1], frames[1:]
        moved = before.maximum(after) - before.minimum(after)
        sums.append(moved.sum((1, 2, 3), dtype=torch.int64))
        last = frames[-1:]
    return torch.cat(sums).cpu().numpy() / last.numel()
