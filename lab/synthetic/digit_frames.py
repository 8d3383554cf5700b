"""Single frames with a digit over a background: what the small networks are pre-trained on."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from fvlib.datasets.backgrounds import BackgroundBank
from fvlib.datasets.digits import SIZE, DigitBank
from fvlib.datasets.sources import check_choice


class DigitFrames:
    """Frames of 64x64 that show one digit anywhere over a background; the class is the digit.

    It stands for the ImageNet weights that the paper's networks start from: pictures of things,
    with no motion in them. Use backgrounds that no clip shows later. Frame i is the same in any
    order.

    Args:
        split: "train" or "validation".
        frames: how many.
        seed: of the whole set.
    Explained in chapter 05_more_frames.
    """

    classes = tuple("0123456789")

    def __init__(
        self, split: str, frames: int, *, seed: int, digits: DigitBank, backgrounds: BackgroundBank
    ):
        check_choice("split", split, ("train", "validation"))
        rng = np.random.default_rng([seed, split == "validation"])
        self.split, self.digits, self.backgrounds = split, digits, backgrounds
        scenes, times, side = backgrounds.letterboxed.shape[:3]
        self._digit = rng.integers(len(digits), size=frames)
        self._corner = rng.integers(side - SIZE + 1, size=(frames, 2))
        self._scene = rng.integers(scenes, size=frames)
        self._time = rng.integers(times, size=frames)

    def __len__(self) -> int:
        return len(self._digit)

    def batch(
        self, indices: np.ndarray
    ) -> tuple[UInt8[Tensor, "n 1 1 64 64"], Int64[Tensor, " n"]]:
        """Frames as clips of one frame, and the digits they show."""
        canvas = self.backgrounds.letterboxed[self._scene[indices], self._time[indices]]
        span = np.arange(SIZE)
        rows = (self._corner[indices, 0, None] + span)[:, :, None]
        columns = (self._corner[indices, 1, None] + span)[:, None, :]
        place = (np.arange(len(indices))[:, None, None], rows, columns)
        canvas[place] = np.maximum(canvas[place], self.digits.images[self._digit[indices]])
        target = self.digits.labels[self._digit[indices]]
        return torch.from_numpy(canvas)[:, None, None], torch.from_numpy(target)
