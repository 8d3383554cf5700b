"""How flow is found, by OpenCV or by a network of torchvision, and how it becomes bytes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

# From t frames to the pixels that everything moves from each to the next, across and down.
Flow = Callable[[UInt8[Tensor, "t c h w"]], Float[Tensor, "t-1 2 h w"]]
Pixels = float | int

_RAFT_PAIRS = 8  # of frames at once
_RAFT_SIDE, _RAFT_STEP = 128, 8  # a side that RAFT takes: at least so long, and a multiple


def to_bytes(flow: Float[Tensor, "t 2 h w"], bound: Pixels) -> UInt8[Tensor, "t 2 h w"]:
    """Pixels from -bound to bound as 0 to 255; no motion is 128, what is beyond is cut off.

    Source: TSN's tools.
    """
    return (127.5 + 127.5 * (flow / bound).clamp(-1, 1)).round().to(torch.uint8)


def dis() -> Flow:
    """Dense inverse search, of OpenCV, of grey frames; the same for any number of its threads.

    Raises ImportError with the remedy where OpenCV is missing.
    Source: Kroeger et al., "Fast Optical Flow using Dense Inverse Search" (ECCV 2016).
    """
    try:
        import cv2
    except ImportError as error:
        raise ImportError(
            "optical flow is made by OpenCV, which is not installed: pip install 'fvlib[flow]'"
        ) from error

    def flow(frames: Tensor) -> Tensor:
        search = cv2.DISOpticalFlow_create(cv2.DISOpticalFlow_PRESET_MEDIUM)
        search.setFinestScale(0)  # to the pixel: half the error on small frames
        pictures = [np.ascontiguousarray(frame) for frame in frames.movedim(1, -1).numpy()]
        if frames.shape[1] == 3:
            pictures = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures]
        flows = [search.calc(a, b, None) for a, b in pairwise(pictures)]
        return torch.from_numpy(np.stack(flows)).movedim(-1, 1)

    return flow


def raft(device: torch.device) -> Flow:
    """The small RAFT of torchvision, on frames enlarged to what it takes.

    Raises OSError with the remedy if its weights are neither in torchvision's cache nor to be had.
    Source: Teed and Deng, "RAFT" (ECCV 2020).
    """
    from torchvision.models import optical_flow

    entry = optical_flow.Raft_Small_Weights.DEFAULT
    try:
        model = optical_flow.raft_small(weights=entry, progress=False).eval().to(device)
    except (OSError, RuntimeError) as error:
        raise OSError(
            f"the weights {entry} could not be had ({error}). Without a network, put the file "
            f"{entry.url.rsplit('/', 1)[-1]} into {torch.hub.get_dir()}/checkpoints (TORCH_HOME "
            "moves that folder), or take method='dis', which needs none"
        ) from error

    @torch.no_grad()
    def flow(frames: Tensor) -> Tensor:
        h, w = frames.shape[2:]
        high, wide = (max(_RAFT_SIDE, -(-side // _RAFT_STEP) * _RAFT_STEP) for side in (h, w))
        x = frames.to(device).float().expand(-1, 3, -1, -1) / 127.5 - 1
        x = F.interpolate(x, (high, wide), mode="bilinear")
        pairs = zip(x[:-1].split(_RAFT_PAIRS), x[1:].split(_RAFT_PAIRS), strict=True)
        found = torch.cat([model(a, b)[-1] for a, b in pairs])
        found = F.interpolate(found, (h, w), mode="bilinear")
        return (found * found.new_tensor([w / wide, h / high]).view(2, 1, 1)).cpu()

    return flow
