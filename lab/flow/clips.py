"""The flow of stored clips, made once and kept in a file, and the stacks that networks see."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from tqdm import tqdm

from fvlib.contracts import Clips
from fvlib.datasets.loading import InMemory
from fvlib.datasets.sources import digest
from fvlib.datasets.streams import ClipStream
from fvlib.datasets.videos.clips import VideoClips
from fvlib.storage import fingerprint, once, replacing_array, stored_array
from fvlib.values import check_choice
from lab.flow.folders import FlowFolders
from lab.flow.methods import Flow, Pixels, dis, raft, to_bytes

Method = Literal["dis", "raft"]

_STILL = 128
_AT_ONCE = 64  # frames of a clip in memory


class FlowClips(InMemory):
    """The flow of clips in memory, or mapped into it: frames are (2, h, w), across and down.

    See `flow_clips`. `flow` tells the training crop what mirroring means here.
    """

    flow = True


class FlowStacks:
    """See `stacked`."""

    flow = True

    def __init__(self, clips: FlowClips | FlowFolders, count: int):
        self.clips, self.count = clips, count
        self.lengths = np.maximum(clips.lengths - count + 1, 1)
        self.targets, self.name, self.classes = clips.targets, clips.name, clips.classes

    def __len__(self) -> int:
        return len(self.lengths)

    def read(self, i: int, frames: Int64[np.ndarray, " t"]) -> UInt8[Tensor, "t c h w"]:
        """The stacks that begin at these places of clip i."""
        places = np.minimum(frames[:, None] + np.arange(self.count), self.clips.lengths[i] - 1)
        each, back = np.unique(places, return_inverse=True)
        flows = self.clips.read(i, each)[torch.from_numpy(back.ravel())]
        return flows.unflatten(0, places.shape).flatten(1, 2)


def stacked(clips: FlowClips | FlowFolders, count: int = 10) -> FlowStacks:
    """Clips whose frames are `count` flows in a row: 2 * count channels, across and down in turn.

    As the flow network of two streams sees them. A clip has one for each place where they fit; a
    shorter one has one, in which its last flow is repeated.

    Raises ValueError for count < 1. Source: Simonyan and Zisserman, "Two-Stream Convolutional
    Networks" (NIPS 2014), section 3.1.
    """
    if count < 1:
        raise ValueError(f"count is {count}; a stack has 1 flow or more")
    return FlowStacks(clips, count)


def flow_clips(
    clips: Clips,
    cache: Path,
    *,
    bound: Pixels = 20,
    method: Method = "dis",
    device: str | torch.device = "cpu",
    workers: int = 0,
    progress: bool = False,
) -> FlowClips:
    """The flow from each frame to the next: t - 1 of a clip of t frames, one without motion of one.

    Args:
        clips: whose frames are of one size.
        cache: a folder in which the flow is kept as one array, found again there as long as clips
            and settings are the same. After an interruption, whole clips are not made again.
        bound: in pixels; what moves further is kept as if it moved so far.
        method: "dis", dense inverse search, of OpenCV; "raft", the small RAFT of torchvision, which
            needs its weights.
        device: where RAFT runs.
        workers: threads, as neither OpenCV nor the decoder holds Python up; 0 for this one alone.

    Raises ImportError with the remedy where OpenCV is missing, OSError where RAFT's weights are;
    ValueError for frames of different sizes and settings out of range; what reading raises.
    Source: TSN (ECCV 2016), which takes TV-L1.
    """
    check_choice("method", method, get_args(Method))
    if not 0 < bound < np.inf or workers < 0 or not len(clips):
        raise ValueError(
            f"bound is {bound}, workers {workers}, of {len(clips)} clips; wanted a number of "
            "pixels, a number of threads or 0, and at least one clip"
        )
    known = {key: getattr(clips, key, "") for key in ("name", "classes", "names")}
    file = Path(cache) / f"{known['name']}-flow-{_fingerprint(clips, bound, method)}.npy"
    lengths = np.maximum(clips.lengths - 1, 1)
    parts = file.with_suffix("")

    def make() -> None:
        if not file.exists():
            flow = dis() if method == "dis" else raft(torch.device(device))
            _spread(partial(_make, clips, flow, bound, parts), len(clips), workers, progress)
            _join(parts, file, lengths)
        shutil.rmtree(parts, ignore_errors=True)

    once(file, make, lambda: file.exists() and not parts.exists())
    flows = torch.from_numpy(stored_array(file))
    return FlowClips(flows, clips.targets, lengths, **known)


def _make(clips: Clips, flow: Flow, bound: Pixels, parts: Path, i: int) -> None:
    """The flow of one clip as a file, unless it is there."""
    part = parts / f"{i}.npy"
    if part.exists():
        return
    found, last = [], None
    for frames in ClipStream(clips, np.array([i])).parts(_AT_ONCE):
        frames = frames if last is None else torch.cat([last, frames])
        last = frames[-1:]
        if len(frames) > 1:
            found.append(to_bytes(flow(frames), bound))
    found = found or [torch.full((1, 2, *last.shape[2:]), _STILL, dtype=torch.uint8)]
    found = torch.cat(found).numpy()
    with replacing_array(part, found.shape) as array:
        array[:] = found


def _join(parts: Path, file: Path, lengths: Int64[np.ndarray, " m"]) -> None:
    """All clips in one file."""
    found = [stored_array(parts / f"{i}.npy") for i in range(len(lengths))]
    sizes = {array.shape[1:] for array in found}
    if len(sizes) > 1:
        raise ValueError(f"flows are of {sorted(sizes)}; read the clips at one size=(h, w)")
    with replacing_array(file, (int(lengths.sum()), *sizes.pop())) as flows:
        for array, end, length in zip(found, lengths.cumsum(), lengths, strict=True):
            flows[end - length : end] = array


def _spread(work: Callable[[int], None], count: int, workers: int, progress: bool) -> None:
    bar = partial(tqdm, desc="flow", total=count, disable=not progress, unit="clip")
    if not workers:
        for i in bar(range(count)):
            work(i)
        return
    with ThreadPoolExecutor(workers, "flow") as pool:
        try:
            for done in bar([pool.submit(work, i) for i in range(count)]):
                done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _fingerprint(clips: Clips, bound: Pixels, method: str) -> str:
    """Changes with the clips and with how their flow is made."""
    if isinstance(clips, VideoClips):
        found = clips.fingerprint()
    else:
        found = [digest(clips.read(i, np.arange(t)).numpy()) for i, t in enumerate(clips.lengths)]
    return fingerprint(found, float(bound), method)
