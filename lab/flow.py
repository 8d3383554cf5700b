"""Optical flow of clips: how far each pixel moves from one frame to the next, as bytes.

Kept as TSN keeps it, so that flow made here and flow made by its tools are the same to a network: a
picture across and one down, in which 0 ... 255 is -20 ... +20 pixels a frame and 128 is no motion.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from tqdm import tqdm

from fvlib import extra
from fvlib.contracts import Clips
from fvlib.datasets.loading import InMemory
from fvlib.datasets.streams import ClipStream
from fvlib.datasets.videos.clips import VideoClips
from fvlib.storage import digest, fingerprint, once, replacing_array, stored_array

# From t frames to the pixels that everything moves from each to the next, across and down.
Flow = Callable[[UInt8[Tensor, "t c h w"]], Float[Tensor, "t-1 2 h w"]]

BOUND = 20.0  # pixels; what moves further is kept as if it moved so far
_STILL = 128
_AT_ONCE = 64  # frames of a clip in memory


class FlowClips(InMemory):
    """The flow of clips in memory, or mapped into it: frames are (2, h, w), across and down.

    See `flow_clips`. `flow` tells the training crop what mirroring means here.
    """

    flow = True


class FlowStacks:
    """Clips whose frames are `count` flows in a row: 2 * count channels, across and down in turn.

    As the flow network of two streams sees them. A clip has one for each place where they fit; a
    shorter one has one, in which its last flow is repeated.

    Source:
        Simonyan and Zisserman, "Two-Stream Convolutional Networks" (NIPS 2014), section 3.1.
    """

    flow = True

    def __init__(self, clips: FlowClips, count: int = 10):
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


def flow_clips(clips: Clips, cache: Path, *, workers: int = 1, progress: bool = False) -> FlowClips:
    """The flow from each frame to the next: t - 1 of a clip of t frames, one without motion of one.

    Args:
        clips: whose frames are of one size.
        cache: a folder in which the flow is kept as one array, found again there as long as the
            clips are the same.
        workers: threads, as neither OpenCV nor the decoder holds Python up.

    Raises:
        ModuleNotFoundError: with the remedy where OpenCV is missing.
        ValueError: for frames of different sizes; what reading raises.

    Source:
        TSN (ECCV 2016), which takes TV-L1.
    """
    known = {key: getattr(clips, key, "") for key in ("name", "classes", "names")}
    file = Path(cache) / f"{known['name']}-flow-{_fingerprint(clips)}.npy"
    lengths = np.maximum(clips.lengths - 1, 1)
    ends = lengths.cumsum()

    def make() -> None:
        flow, size = dense_inverse_search(), clips.read(0, np.array([0])).shape[2:]
        with (
            replacing_array(file, (int(ends[-1]), 2, *size)) as flows,
            ThreadPoolExecutor(workers, "flow") as pool,
            closing(pool.map(partial(_flow_of, clips, flow), range(len(clips)))) as made,
        ):
            bar = tqdm(made, "flow", len(clips), disable=not progress, unit="clip")
            for end, length, found in zip(ends, lengths, bar, strict=True):
                if found.shape[2:] != size:
                    raise ValueError(f"flow is of {found.shape[2:]} and {size}; read at one size")
                flows[end - length : end] = found

    once(file, make)
    flows = torch.from_numpy(stored_array(file))
    return FlowClips(flows, clips.targets, lengths, **known)


def dense_inverse_search() -> Flow:
    """That of OpenCV, of grey frames; the same for any number of its threads.

    Raises:
        ModuleNotFoundError: with the remedy where OpenCV is missing.

    Source:
        Kroeger et al., "Fast Optical Flow using Dense Inverse Search" (ECCV 2016).
    """
    cv2 = extra("cv2")

    def flow(frames: Tensor) -> Tensor:
        search = cv2.DISOpticalFlow_create(cv2.DISOpticalFlow_PRESET_MEDIUM)
        search.setFinestScale(0)  # to the pixel: half the error on small frames
        pictures = [np.ascontiguousarray(frame) for frame in frames.movedim(1, -1).numpy()]
        if frames.shape[1] == 3:
            pictures = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures]
        flows = [search.calc(a, b, None) for a, b in pairwise(pictures)]
        return torch.from_numpy(np.stack(flows)).movedim(-1, 1)

    return flow


def to_bytes(flow: Float[Tensor, "t 2 h w"]) -> UInt8[Tensor, "t 2 h w"]:
    """Pixels from -20 to 20 as 0 to 255; no motion is 128, what is beyond is cut off.

    Source:
        TSN's tools.
    """
    return (127.5 + 127.5 * (flow / BOUND).clamp(-1, 1)).round().to(torch.uint8)


def _flow_of(clips: Clips, flow: Flow, i: int) -> UInt8[np.ndarray, "t 2 h w"]:
    """The flow of one clip."""
    found, last = [], None
    for frames in ClipStream(clips, np.array([i])).parts(_AT_ONCE):
        frames = frames if last is None else torch.cat([last, frames])
        last = frames[-1:]
        if len(frames) > 1:
            found.append(to_bytes(flow(frames)))
    found = found or [torch.full((1, 2, *last.shape[2:]), _STILL, dtype=torch.uint8)]
    return torch.cat(found).numpy()


def _fingerprint(clips: Clips) -> str:
    """Changes with the clips and with how their flow is made."""
    if isinstance(clips, VideoClips):
        found = clips.fingerprint()
    else:
        found = [digest(clips.read(i, np.arange(t)).numpy()) for i, t in enumerate(clips.lengths)]
    return fingerprint(found, BOUND, "dis")
