"""Counting and averaging as compiled loops, which read the frames from memory once.

No call of torch compares the signs of two frames and counts, and those that it has look at
everything five times. So there are two loops for each kind of device: `cpu`, which Numba compiles,
and `gpu`, which Triton does. Anything else is done in calls of torch.
"""

from importlib.util import find_spec
from types import ModuleType

import torch
from jaxtyping import Shaped
from torch import Tensor

_KNOWN = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def compiled_for(device: torch.device) -> ModuleType | None:
    """The module of loops for a device: `count_changes`, `mean_of_runs`, and `SUMS`; or None.

    Explained in chapter 02_temporal_clustering.
    """
    if device.type == "cpu":
        from fvlib.clustering.compiled import cpu

        return cpu
    if device.type == "cuda" and find_spec("triton"):
        from fvlib.clustering.compiled import gpu

        return gpu
    return None


def known(frames: Shaped[Tensor, "m features"]) -> Shaped[Tensor, "m features"]:
    """Frames in a data type that the loops compare, of the same signs, one behind another.

    Explained in chapter 02_temporal_clustering.
    """
    if frames.dtype not in _KNOWN:
        frames = frames.float() if frames.is_floating_point() else (frames > 0).half()
    return frames.contiguous()
