"""Which compiled loops there are for a device."""

from importlib.util import find_spec
from types import ModuleType

import torch


def compiled_for(device: torch.device) -> ModuleType | None:
    """`loops` for a CPU, `kernels` for a GPU where Triton is installed; else None, torch does it.

    Explained in chapter 02_temporal_clustering.
    """
    if device.type == "cpu":
        from fvlib.clustering import loops

        return loops
    if device.type == "cuda" and find_spec("triton"):
        from fvlib.clustering import kernels

        return kernels
    return None
