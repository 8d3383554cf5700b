"""Clips that are held in memory, for training sets that fit there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor


@dataclass(frozen=True)
class InMemory:
    """Clips and their classes as two tensors, for instance from `Move4MNIST.materialise`.

    name: of the data set; without it the clips are never mirrored.
    Explained in chapter 05_more_frames.
    """

    videos: UInt8[Tensor, "m t c h w"]
    targets: Int64[Tensor, " m"]
    name: str = ""

    def __len__(self) -> int:
        return len(self.videos)

    def batch(self, indices: np.ndarray) -> tuple[UInt8[Tensor, "n t c h w"], Int64[Tensor, " n"]]:
        """The clips at these indices and their classes."""
        chosen = torch.as_tensor(indices)
        return self.videos[chosen], self.targets[chosen]
