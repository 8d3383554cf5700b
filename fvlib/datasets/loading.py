"""From clips to batches: which frames of each clip are read, by whom, and how many clips at once.

Two kinds of data sets are known. Those in memory, or generated, have clips of one length and give
them whole. Stored ones know how long each clip is and read the frames that are asked for; worker
processes can do that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, get_args, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float64, Int64, Shaped, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from fvlib.datasets.sampling import (
    all_frames,
    clip_rng,
    dense_frames,
    motion_frames,
    pad_with_last,
    random_frames,
    segment_frames,
    twice_frames,
    window_frames,
)
from fvlib.datasets.sources import check_choice
from fvlib.datasets.transforms import stack_frames

Sampling = Literal["segments", "random", "motion"]
Order = Literal["forward", "reversed", "shuffled"]


@runtime_checkable
class Clips(Protocol):
    """Clips of one length, given whole: frames in uint8, or features in floats."""

    def __len__(self) -> int: ...

    def batch(self, indices: np.ndarray) -> tuple[Shaped[Tensor, "n t c h w"], Int64[Tensor, " n"]]:
        """The clips at these indices and their classes."""


@runtime_checkable
class StoredClips(Protocol):
    """Clips of any length, of which frames are read one clip at a time."""

    lengths: Int64[np.ndarray, " m"]  # frames of each clip
    targets: Int64[np.ndarray, " m"]

    def __len__(self) -> int: ...

    def read(self, i: int, frames: Int64[np.ndarray, " t"]) -> UInt8[Tensor, "t c h w"]:
        """These frames of clip i."""


class Batch(NamedTuple):
    """Some clips, side by side where their frames have one size, else one by one.

    x: uint8 (n, t, c, h, w), or a list of (t, c, h, w), or a stream of clips (`streams`). lengths:
    how many of the t frames are the clip's own, the others repeat its last; None where all are.
    indices: of the clips in their set.
    """

    x: Tensor | list[Tensor]
    target: Int64[Tensor, " n"]
    lengths: Int64[Tensor, " n"] | None
    indices: Int64[np.ndarray, " n"]

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        x = [clip.to(device) for clip in self.x] if isinstance(self.x, list) else self.x
        x = x.to(device) if isinstance(x, Tensor) else x
        lengths = None if self.lengths is None else self.lengths.to(device)
        return Batch(x, self.target.to(device), lengths, self.indices)


@dataclass(frozen=True)
class FrameChoice:
    """Which frames of a clip are shown.

    count: a number, or "all". dense: from a window of 64 neighbouring frames, not from segments.
    stride: with "all", every so many-th frame. draw: (seed, epoch) of the random numbers in
    training; None for a test, where the choice is fixed. view: which view of a test with several:
    0 is the middle of each segment, 1 its start; of windows there are ten. order: in which they
    are shown, forward, reversed, or shuffled, each clip in an order of its own. window: with "all",
    a window of so many of them. sampling: how a number of frames is chosen: one from each of so
    many "segments", at "random" (in a test the draw hangs on the clip's index alone), or by
    "motion", the curve of each clip (`motion_curves`).

    Raises ValueError for a sampling that does not go with the rest, and for motion without curves.
    Source: section 4, "Training & Inference"; TSM. Explained in chapter 09_ucf_hmdb.
    """

    count: int | Literal["all"]
    dense: bool = False
    stride: int | float = 1
    draw: tuple[int, int] | None = None
    view: int = 0
    order: Order = "forward"
    window: int | None = None
    sampling: Sampling = "segments"
    motion: Sequence[Float64[np.ndarray, " _"]] | None = field(
        default=None, repr=False, compare=False
    )

    def __post_init__(self):
        check_sampling(self.sampling, self.count, self.dense, self.window)
        if self.sampling == "motion" and self.motion is None:
            raise ValueError(
                "sampling is 'motion', but there is no motion of the clips; give motion_curves(...)"
            )

    def of_clip(self, t: int, index: int) -> Int64[np.ndarray, " s"]:
        """The frames of one stored clip of t frames."""
        frames = self._forward(t, index)
        if self.order == "reversed":
            return frames[::-1].copy()
        if self.order == "shuffled":
            return clip_rng(0, 0, index).permutation(frames)
        return frames

    def _forward(self, t: int, index: int) -> Int64[np.ndarray, " s"]:
        rng = None if self.draw is None else clip_rng(*self.draw, index)
        if self.count == "all":
            frames = all_frames(t, stride=self.stride)[0]
            if self.window is None:
                return frames
            return frames[window_frames(len(frames), self.window, rng=rng)[self.view]]
        if self.dense:
            return dense_frames(t, self.count, rng=rng)[self.view]
        if self.sampling == "random":
            # Of a test: not the numbers that shuffle, those of epoch 0.
            return random_frames(t, self.count, rng or clip_rng(0, 1, index))[0]
        if self.sampling == "motion":
            return motion_frames(self._motion(t, index), self.count, rng=rng)[0]
        if rng is None:
            return twice_frames(t, self.count)[self.view]
        return segment_frames(t, self.count, rng=rng)[0]

    def _motion(self, t: int, index: int) -> Float64[np.ndarray, " s"]:
        """The curve of one clip, which must have been made of that clip."""
        found = len(self.motion[index]) + 1 if index < len(self.motion) else 0
        if found != t:
            raise ValueError(
                f"clip {index} has {t} frames, its motion is of {found}; wanted the motion_curves "
                "of the clips that are shown"
            )
        return self.motion[index]

    def shown(self, lengths: Int64[np.ndarray, " m"]) -> Int64[np.ndarray, " m"]:
        """How many frames of clips of these lengths are shown with "all", one in `stride`."""
        shown = np.ceil(lengths / self.stride).astype(np.int64)
        return shown if self.window is None else np.minimum(shown, self.window)

    def of_set(self, t: int, clips: int) -> Int64[np.ndarray, "clips s"] | None:
        """The frames of all clips of a set, where all have t of them; None for all frames.

        Drawn at once: a clip's frames do not hang on the batch it is in here either.
        """
        whole = self.count == "all" and self.window is None
        if whole and self.stride == 1 and self.order == "forward":
            return None
        alike = whole or (self.draw is None and self.sampling == "segments")
        if alike and self.order != "shuffled":
            return np.tile(self.of_clip(t, 0), (clips, 1))
        plain = self.sampling == "segments" and not self.dense and self.window is None
        if not plain or self.order != "forward":
            return np.stack([self.of_clip(t, index) for index in range(clips)])
        rng = np.random.default_rng(np.random.SeedSequence((*self.draw, 1)))
        return segment_frames(t, self.count, clips=clips, rng=rng)


def check_sampling(
    sampling: Sampling,
    count: int | Literal["all"],
    dense: bool = False,
    window: int | None = None,
) -> None:
    """Raise ValueError for an unknown sampling, and for one where no frames are left to choose.

    Explained in chapter 08_breakfast.
    """
    check_choice("sampling", sampling, get_args(Sampling))
    if sampling != "segments" and (count == "all" or dense or window is not None):
        raise ValueError(
            f"sampling is {sampling!r} with frames {count!r}, dense {dense}, window {window}; it "
            "wants a number of frames, of the whole clip; or leave it at 'segments'"
        )


def batches(
    clips: Clips | StoredClips,
    order: Sequence[Int64[np.ndarray, " _"]],
    choice: FrameChoice,
    *,
    workers: int = 0,
) -> Iterator[Batch]:
    """The clips at each row of indices in `order`, with the frames that are chosen.

    workers: processes that read stored clips ahead of time; the batches are the same for any
    number.

    Raises what reading raises, in a worker too: a damaged clip ends the iteration, and is never
    replaced. Explained in chapter 09_ucf_hmdb.
    """
    if isinstance(clips, StoredClips):
        steps = _Steps(clips, order, choice)
        yield from (
            DataLoader(
                steps,
                batch_size=None,
                num_workers=workers,
                collate_fn=_unchanged,
                prefetch_factor=2,
            )
            if workers
            else (steps[i] for i in range(len(order)))
        )
        return
    table: dict[int, np.ndarray | None] = {}
    for indices in order:
        x, target = clips.batch(indices)
        t = x.shape[1]
        if t not in table:
            table[t] = choice.of_set(t, len(clips))
        if table[t] is not None:
            x = x[torch.arange(len(x))[:, None], torch.from_numpy(table[t][indices])]
        yield Batch(x, target, None, np.asarray(indices))


def chunks(order: Int64[np.ndarray, " n"], size: int) -> list[Int64[np.ndarray, " _"]]:
    """Clips in this order, cut into batches of `size`; the last may be smaller.

    Explained in chapter 09_ucf_hmdb.
    """
    return [order[start : start + size] for start in range(0, len(order), size)]


def within_budget(
    order: Int64[np.ndarray, " n"], frames: Int64[np.ndarray, " m"], budget: int
) -> list[Int64[np.ndarray, " p"]]:
    """Clips in this order, cut into parts of at most `budget` frames.

    frames: of each clip of the set. A part is as long as its longest clip, and that counts for all
    its clips.

    Raises ValueError for a clip that is longer than the budget alone.
    Explained in chapter 08_breakfast.
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
    clips: Clips | StoredClips,
    choice: FrameChoice,
    budget: int | None,
) -> list[list[Int64[np.ndarray, " _"]]]:
    """The parts in which each batch is shown: within a budget where whole clips are, else one.

    Raises ValueError as `within_budget`. Explained in chapter 08_breakfast.
    """
    if budget is None or choice.count != "all":
        return [[step] for step in steps]
    frames = choice.shown(clips.lengths)
    return [within_budget(step, frames, budget) for step in steps]


class _Steps(Dataset):
    """Each item is a whole batch of stored clips."""

    def __init__(self, clips: StoredClips, order: Sequence, choice: FrameChoice):
        self.clips, self.order, self.choice = clips, order, choice

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, step: int) -> Batch:
        indices = self.order[step]
        chosen = [self.choice.of_clip(int(self.clips.lengths[i]), int(i)) for i in indices]
        lengths = torch.tensor([len(frames) for frames in chosen])
        longest = int(lengths.max())
        x = [
            self.clips.read(int(i), pad_with_last(frames[None], longest)[0])
            for i, frames in zip(indices, chosen, strict=True)
        ]
        same = len({clip.shape for clip in x}) == 1
        return Batch(
            stack_frames(x) if same else x,
            torch.from_numpy(self.clips.targets[indices]),
            None if (lengths == longest).all() else lengths,
            np.asarray(indices),
        )


def _unchanged(batch: Batch) -> Batch:
    return batch
