"""Single frames with a digit over a background: what the small networks are pre-trained on."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from fvlib.datasets.backgrounds import BackgroundBank
from fvlib.datasets.digits import SIZE, DigitBank
from fvlib.values import check_choice


class DigitFrames:
    """Frames of 64x64 that show one digit anywhere over a background; the class is the digit.

    It stands for the ImageNet weights that the paper's networks start from: pictures of things,
    with no motion in them. Use backgrounds that no clip shows later. Frame i is the same in any
    order.

    Args:
        split: "train" or "validation".
        frames: how many.
        seed: of the whole set.
    """

    classes = tuple("0123456789")
    name = "single digits"

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
        self.targets = digits.labels[self._digit]
        self.lengths = np.ones(frames, np.int64)

    def __len__(self) -> int:
        return len(self._digit)

    def read(self, i: int, frames: Int64[np.ndarray, " t"]) -> UInt8[Tensor, "t 1 64 64"]:
        """Frame i, as a clip of one frame."""
        canvas = self.backgrounds.letterboxed[self._scene[i], self._time[i]].copy()
        y, x = self._corner[i]
        place = canvas[y : y + SIZE, x : x + SIZE]
        np.maximum(place, self.digits.images[self._digit[i]], out=place)
        return torch.from_numpy(canvas)[None, None][frames]
