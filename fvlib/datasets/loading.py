"""From clips to batches: which frames of each are read, by whom, and how many clips at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64, Int64, Shaped
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from fvlib.contracts import Clips
from fvlib.datasets.sampling import FrameSampler, pad_with_last
from fvlib.datasets.streams import ClipStream, Transform
from fvlib.datasets.transforms import stack_frames
from fvlib.values import check_whole


class InMemory:
    """Clips that are held in memory, or mapped into it.

    Args:
        frames: of all clips, one behind the other, (m, c, h, w); or of clips of one length side by
            side, (n, t, c, h, w), as `Move4MNIST.materialise` gives them.
        targets: the class of each clip.
        lengths: frames of each clip, where they lie one behind the other.
        name, classes: of the data set; without a name the clips are never mirrored.
        names: of the clips.

    Raises:
        ValueError: for frames of another shape, and targets or lengths that do not fit them.
    """

    def __init__(
        self,
        frames: Shaped[Tensor, "*n c h w"],
        targets: Int64[Tensor | np.ndarray, " n"],
        lengths: Int64[np.ndarray, " n"] | None = None,
        *,
        name: str = "",
        classes: Sequence[str] = (),
        names: Sequence[str] | np.ndarray = (),
    ):
        if not isinstance(frames, Tensor) or frames.ndim != (5 if lengths is None else 4):
            raise ValueError(
                f"frames are {getattr(frames, 'shape', type(frames).__name__)}; wanted a tensor "
                "(n, t, c, h, w), or (m, c, h, w) with the lengths of the clips"
            )
        if lengths is None:
            lengths = np.full(len(frames), frames.shape[1])
            frames = frames.flatten(0, 1)
        targets, lengths = (
            each.cpu().numpy() if isinstance(each, Tensor) else np.asarray(each)
            for each in (targets, lengths)
        )
        if lengths.sum() != len(frames) or lengths.shape != targets.shape:
            raise ValueError(
                f"{lengths.shape} lengths with sum {lengths.sum()} and {targets.shape} targets for "
                f"{len(frames)} frames; a length and a target for each clip were wanted"
            )
        self.frames, self.lengths, self.targets = frames, lengths, targets
        self.name, self.classes, self.names = name, classes, names
        self._ends = lengths.cumsum()

    def __len__(self) -> int:
        return len(self.lengths)

    def read(self, i: int, frames: Int64[np.ndarray, " t"]) -> Shaped[Tensor, "t c h w"]:
        """These frames of clip i, a view where they are neighbours.

        Raises:
            ValueError: for a clip or a frame that is not there.
        """
        if not 0 <= i < len(self) or frames.min() < 0 or frames.max() >= self.lengths[i]:
            raise ValueError(f"there are no frames {frames} of clip {i}, of {len(self)} clips")
        places = self._ends[i] - self.lengths[i] + frames
        if (np.diff(places) == 1).all():
            return self.frames[places[0] : places[-1] + 1]
        return self.frames[torch.from_numpy(places)]


class Batch(NamedTuple):
    """Some clips, side by side where their frames have one size, else one by one.

    Args:
        x: (n, t, c, h, w), or a list of (t, c, h, w), or a stream of clips.
        lengths: how many of the t frames are the clip's own, the others repeat its last; None where
            all are, and for a stream, which has its own.
        indices: of the clips in their set.
    """

    x: Tensor | list[Tensor] | ClipStream
    target: Int64[Tensor, " n"]
    lengths: Int64[Tensor, " n"] | None
    indices: Int64[np.ndarray, " n"]

    def to(self, device: torch.device) -> Batch:
        """The batch on a device; a stream stays where it is."""
        x = [clip.to(device) for clip in self.x] if isinstance(self.x, list) else self.x
        x = x.to(device) if isinstance(x, Tensor) else x
        lengths = None if self.lengths is None else self.lengths.to(device)
        return Batch(x, self.target.to(device), lengths, self.indices)

    def seen_through(self, transform: Transform) -> Batch:
        """The batch with its frames transformed: at once, or part by part where it is a stream."""
        streamed = isinstance(self.x, ClipStream)
        x = self.x.seen_through(transform) if streamed else transform(self.x, self.indices)
        return self._replace(x=x)


def batches(
    clips: Clips,
    passes: Sequence[Int64[np.ndarray, " _"]],
    sampler: FrameSampler,
    *,
    draw: tuple[int, int] | None = None,
    view: int = 0,
    motion: Sequence[Float64[np.ndarray, " _"]] | None = None,
    stream: bool = False,
    workers: int = 0,
) -> Iterator[Batch]:
    """The clips at each row of indices in `passes`, with the frames that are chosen.

    A clip's frames depend on (seed, epoch, index) alone: not on its batch, its place there, the
    worker that reads it, or an interruption.

    Raises what reading raises, in a worker too: a damaged clip ends the iteration, and is never
    replaced.

    Args:
        clips: of any set.
        passes: which clips are shown together, one batch after the other.
        sampler: which frames of each clip.
        draw, view, motion: as of `FrameSampler.of_clip`.
        stream: give streams, of which nothing has been decoded yet, for networks with a chunk.
        workers: processes that read clips ahead of time; the batches are the same for any number.
    """
    check_whole("workers", workers, 0)
    choose = partial(sampler.of_clip, draw=draw, view=view, motion=motion)
    made = _Batches(clips, passes, choose, stream)
    if not workers or stream:  # a stream reads ahead in a thread of its own
        return (made[i] for i in range(len(passes)))
    return iter(
        DataLoader(
            made, batch_size=None, num_workers=workers, collate_fn=_unchanged, prefetch_factor=2
        )
    )


class _Batches(Dataset):
    """Each item is a whole batch."""

    def __init__(self, clips: Clips, passes: Sequence[np.ndarray], choose: partial, stream: bool):
        self.clips, self.passes, self.choose, self.stream = clips, passes, choose, stream

    def __len__(self) -> int:
        return len(self.passes)

    def __getitem__(self, step: int) -> Batch:
        indices = np.asarray(self.passes[step])
        target = torch.from_numpy(self.clips.targets[indices].astype(np.int64))
        frames = [self.choose(int(self.clips.lengths[i]), int(i)) for i in indices]
        if self.stream:
            return Batch(ClipStream(self.clips, indices, frames), target, None, indices)
        lengths = torch.tensor([len(each) for each in frames])
        longest = int(lengths.max())
        x = [
            self.clips.read(int(i), pad_with_last(each[None], longest)[0])
            for i, each in zip(indices, frames, strict=True)
        ]
        same = len({clip.shape for clip in x}) == 1
        padded = None if (lengths == longest).all() else lengths
        return Batch(stack_frames(x) if same else x, target, padded, indices)


def _unchanged(batch: Batch) -> Batch:
    return batch


def chunks(order: Int64[np.ndarray, " n"], size: int) -> list[Int64[np.ndarray, " _"]]:
    """Clips in this order, cut into batches of `size`; the last may be smaller."""
    return [order[start : start + size] for start in range(0, len(order), size)]


def batch_by_frame_budget(
    order: Int64[np.ndarray, " n"], frames: Int64[np.ndarray, " m"], budget: int
) -> list[Int64[np.ndarray, " p"]]:
    """Clips in this order, cut into parts of at most `budget` frames.

    Args:
        frames: of each clip of the set. A part is as long as its longest clip, and that counts for
            all its clips.

    Raises:
        ValueError: for a clip that is longer than the budget alone.
    """
    if len(order) and frames[order].max() > budget:
        raise ValueError(
            f"a clip has {frames[order].max()} frames, but only {budget} fit at once; raise "
            "frame_budget, or show fewer frames"
        )
    parts: list[list[int]] = []
    longest = 0
    for clip in order.tolist():
        longest = max(longest, frames[clip])
        if not parts or longest * (len(parts[-1]) + 1) > budget:
            parts.append([])
            longest = frames[clip]
        parts[-1].append(clip)
    return [np.array(part) for part in parts]


def parts_of(
    steps: Sequence[Int64[np.ndarray, " _"]],
    clips: Clips,
    sampler: FrameSampler,
    budget: int | None,
) -> list[list[Int64[np.ndarray, " _"]]]:
    """The parts in which each batch is shown: within a budget where whole clips are, else one.

    Raises:
        ValueError: as `batch_by_frame_budget`.
    """
    if budget is None or sampler.frames != "all":
        return [[step] for step in steps]
    frames = sampler.shown(clips.lengths)
    return [batch_by_frame_budget(step, frames, budget) for step in steps]
