"""Frames of several clips as one batch of images, and the way back to their time order.

A 2D network sees frames as images: the clips (n, t) are folded into one axis of m images. This
module is the only place that knows how. Clips of different length and empty clusters are left out
of the fold, so that convolutions spend nothing on them and BatchNorm never counts them.
"""

from __future__ import annotations

from collections.abc import Callable

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
        self._first: Tensor | None = None
        self._last: Tensor | None = None

    def fold(self, x: Shaped[Tensor, "n t *rest"]) -> Shaped[Tensor, " m *rest"]:
        """Clips to images: the frames that exist, clip by clip, in time order."""
        x = x.flatten(0, 1)
        return x if self._present is None else images_at(x, self._present)

    def unfold(self, x: Shaped[Tensor, " m *rest"]) -> Shaped[Tensor, "n t *rest"]:
        """Images back to clips, with zeros where a frame is missing."""
        if self._present is not None:
            x = images_among(x, self._present, self.n * self.t)
        return x.unflatten(0, (self.n, self.t))

    @property
    def images(self) -> int:
        """How many images there are in the fold."""
        return self.n * self.t if self._present is None else len(self._present)

    @property
    def mask(self) -> Bool[Tensor, "n t"]:
        """True where a frame exists."""
        return self._mask

    @property
    def first(self) -> Int64[Tensor, " k"]:
        """The places of images with no frame before them; others have it in the place before."""
        if self._first is None:
            self._first = self._without_neighbour(-1)
        return self._first

    @property
    def last(self) -> Int64[Tensor, " k"]:
        """The places of images with no frame after them; others have it in the place after."""
        if self._last is None:
            self._last = self._without_neighbour(+1)
        return self._last

    def _without_neighbour(self, step: int) -> Tensor:
        if self._present is None:  # the first or the last of each clip
            end = 0 if step < 0 else self.t - 1
            return self.t * torch.arange(self.n, device=self._mask.device) + end
        there = self._mask.roll(-step, 1)
        there[:, -1 if step > 0 else 0] = False
        return self.fold(~there).nonzero().squeeze(1)


def in_layout(
    f: Callable[[Tensor], Tensor], x: Shaped[Tensor, " m *rest"]
) -> Shaped[Tensor, " k *rest"]:
    """f(x), for an f that picks or places images, in the memory layout that x has.

    `index_select` and its like give NCHW for channels-last images too, and so do their gradients;
    an operation that meets both layouts is many times slower.
    Explained in chapter 11_any_length.
    """
    if x.ndim != 4 or not x.is_contiguous(memory_format=torch.channels_last):
        return f(x)
    return f(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def images_at(
    x: Shaped[Tensor, " m *rest"], places: Int64[Tensor, " k"]
) -> Shaped[Tensor, " k *rest"]:
    """The images at these places. Explained in chapter 11_any_length."""
    return in_layout(lambda x: x.index_select(0, places), x)


def images_among(
    x: Shaped[Tensor, " k *rest"], places: Int64[Tensor, " k"], m: int
) -> Shaped[Tensor, " m *rest"]:
    """m images: x at these places, and zeros elsewhere. Explained in chapter 11_any_length."""
    return in_layout(lambda x: x.new_zeros(m, *x.shape[1:]).index_copy(0, places, x), x)
