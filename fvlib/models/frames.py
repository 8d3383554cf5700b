"""Frames of several clips as one batch of images, and the way back to their time order.

A 2D network sees frames as images: the clips (n, t) are folded into one axis of m images. This
module is the only place that knows how. Clips of different length and empty clusters are left out
of the fold, so that convolutions spend nothing on them and BatchNorm never counts them.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int64, Shaped
from torch import Tensor


class Frames:
    """The places of n clips with up to t frames each in the folded axis of m <= n * t images.

    mask (n, t) is true where a frame exists; None means that all do, in which case folding is a
    view.
    """

    def __init__(
        self, n: int, t: int, device: torch.device, mask: Bool[Tensor, "n t"] | None = None
    ):
        self.n, self.t = n, t
        self._present = None if mask is None else mask.flatten().nonzero().squeeze(1)
        self._mask = torch.ones(n, t, dtype=torch.bool, device=device) if mask is None else mask
        self._before: Tensor | None = None
        self._after: Tensor | None = None

    def fold(self, x: Shaped[Tensor, "n t *rest"]) -> Shaped[Tensor, " m *rest"]:
        """Clips to images: the frames that exist, clip by clip, in time order."""
        x = x.flatten(0, 1)
        return x if self._present is None else x.index_select(0, self._present)

    def unfold(self, x: Shaped[Tensor, " m *rest"]) -> Shaped[Tensor, "n t *rest"]:
        """Images back to clips, with zeros where a frame is missing."""
        if self._present is not None:
            x = x.new_zeros(self.n * self.t, *x.shape[1:]).index_copy(0, self._present, x)
        return x.unflatten(0, (self.n, self.t))

    @property
    def mask(self) -> Bool[Tensor, "n t"]:
        """True where a frame exists."""
        return self._mask

    @property
    def before(self) -> Int64[Tensor, " m"]:
        """For every image the place of the frame before it in its clip; m where there is none."""
        if self._before is None:
            self._before = self._neighbours(-1)
        return self._before

    @property
    def after(self) -> Int64[Tensor, " m"]:
        """For every image the place of the frame after it in its clip; m where there is none."""
        if self._after is None:
            self._after = self._neighbours(+1)
        return self._after

    def _neighbours(self, step: int) -> Tensor:
        mask = self._mask
        place = mask.flatten().cumsum(0).sub(1).view_as(mask)
        nobody = mask.sum()
        neighbour = torch.where(mask, place, nobody).roll(-step, 1)
        neighbour[:, -1 if step > 0 else 0] = nobody
        return self.fold(neighbour)
