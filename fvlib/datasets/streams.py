"""Clips as streams: frames that are decoded as they are needed, in parts, as often as wanted.

A network that works through its clips in parts never needs a whole clip. A stream gives it the
frames of some clips one part after the other, and again from the first for its next pass.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from copy import copy
from functools import partial
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from fvlib.datasets.loading import Batch, FrameChoice, StoredClips

# From clips (n t c h w) and their places in the data set to what is shown of them, frame by frame.
Transform = Callable[[Tensor, np.ndarray], Tensor]
Item = TypeVar("Item")


@runtime_checkable
class WalkedClips(StoredClips, Protocol):
    """Stored clips that can be read from first to last in one pass, a part at a time."""

    def walk(
        self, i: int, parts: Sequence[Int64[np.ndarray, " _"]]
    ) -> Iterator[UInt8[Tensor, "t c h w"]]:
        """What `read` gives for each part of clip i. No frame is before the one asked for last."""


class ClipStream:
    """The chosen frames of some stored clips, in parts, which are made while others are used.

    Args:
        clips: of which set. Files are decoded from first to last, once in each iteration; clips
            without `walk`, and frames that are not in the order of time, are read part by part.
        indices: of the clips in their set.
        choice: which frames of each clip.
        transform: what is done to frames of one clip, such as a crop: called with the frames of a
            part that are this clip's, as (1, t, c, h, w), and with its index as an array of one.
            It must do to a frame what it does to it among others, as `TrainTransform` does.

    `lengths` is how many frames of each clip there are, `target` its class. Raises ValueError
    without a clip, or for an index that the set does not have. Explained in chapter 11_any_length.
    """

    lengths: Int64[Tensor, " n"]
    target: Int64[Tensor, " n"]

    def __init__(
        self,
        clips: StoredClips,
        indices: Int64[np.ndarray, " n"],
        choice: FrameChoice,
        transform: Transform | None = None,
    ):
        if not len(indices) or min(indices) < 0 or max(indices) >= len(clips):
            raise ValueError(
                f"indices are {indices} of {len(clips)} clips; wanted at least one, each from 0 to "
                f"{len(clips) - 1}"
            )
        self.clips, self.indices, self.transform = clips, indices, transform
        self._frames = [choice.of_clip(int(clips.lengths[i]), int(i)) for i in indices]
        self.lengths = torch.tensor([len(frames) for frames in self._frames])
        self.target = torch.from_numpy(clips.targets[indices])

    def parts(self, size: int) -> Iterator[UInt8[Tensor, "m c h w"]]:
        """All frames, clip by clip in time order, in parts of `size`; the last may be smaller.

        A part may go from one clip to the next. Each call begins anew. At most one part is made
        ahead, in a thread that ends with the iteration.

        Raises ValueError for a size below 1, and while iterating what reading raises
        (UnreadableClip, which names the file), and ValueError for frames of different sizes.
        """
        if size < 1:
            raise ValueError(f"size is {size}; wanted parts of 1 frame or more")
        return ahead(self._parts(size))

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
        if isinstance(self.clips, WalkedClips) and (np.diff(frames) >= 0).all():
            with closing(self.clips.walk(index, pieces)) as walked:
                yield from map(partial(self._transformed, index), walked)
        else:
            yield from (self._transformed(index, self.clips.read(index, p)) for p in pieces)

    def _transformed(self, index: int, x: Tensor) -> Tensor:
        return x if self.transform is None else self.transform(x[None], np.array([index]))[0]


def streams(
    clips: StoredClips,
    order: Sequence[Int64[np.ndarray, " _"]],
    choice: FrameChoice,
    transform: Transform | None = None,
) -> Iterator[Batch]:
    """As `loading.batches`, but the x of a batch is a stream: nothing has been decoded yet.

    Explained in chapter 11_any_length.
    """
    for indices in order:
        stream = ClipStream(clips, indices, choice, transform)
        yield Batch(stream, stream.target, None, np.asarray(indices))


def ahead(items: Generator[Item]) -> Iterator[Item]:
    """The same items, of which the next is made in a thread while one is used.

    Whatever the making raises is raised here. When the iteration ends, or is left, the thread has
    ended and the iterator is closed. Explained in chapter 11_any_length.
    """
    end = object()
    with closing(items), ThreadPoolExecutor(1, "ahead") as thread:
        coming = thread.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, items, end)
            yield item
