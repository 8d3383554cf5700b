"""Clips as one batch of images, and the way back to their time order.

A 2D network sees frames as images: the clips (n, t) are packed into one axis of m images. This
module is the only place that knows how. Clips of different length and empty clusters are left out,
so that convolutions spend nothing on them and BatchNorm never counts them. Clips come as a tensor
of frames, or as a stream that makes them when they are wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

import torch
from jaxtyping import Bool, Int64, Shaped
from torch import Tensor

from fvlib.clustering.checks import FLOATS, check_lengths, check_tensor
from fvlib.contracts import Lengths, Stream, VideoNetwork


class Frames:
    """The places of n clips with up to t frames each in the packed axis of m <= n * t images.

    mask (n, t) is true where a frame exists; None means that all do, in which case packing is a
    view.
    """

    def __init__(
        self, n: int, t: int, device: torch.device, mask: Bool[Tensor, "n t"] | None = None
    ):
        self.n, self.t = n, t
        self._present = None if mask is None else mask.flatten().nonzero().squeeze(1)
        self.mask = torch.ones(n, t, dtype=torch.bool, device=device) if mask is None else mask

    def pack(self, x: Shaped[Tensor, "n t *rest"]) -> Shaped[Tensor, " m *rest"]:
        """Clips to images: the frames that exist, clip by clip, in time order."""
        x = x.flatten(0, 1)
        return x if self._present is None else images_at(x, self._present)

    def unpack(self, x: Shaped[Tensor, " m *rest"]) -> Shaped[Tensor, "n t *rest"]:
        """Images back to clips, with zeros where a frame is missing."""
        if self._present is not None:
            x = images_among(x, self._present, self.n * self.t)
        return x.unflatten(0, (self.n, self.t))

    @property
    def images(self) -> int:
        """How many images there are in the pack."""
        return self.n * self.t if self._present is None else len(self._present)

    @cached_property
    def first(self) -> Int64[Tensor, " k"]:
        """The places of images with no frame before them; others have it in the place before."""
        return self._without_neighbour(-1)

    @cached_property
    def last(self) -> Int64[Tensor, " k"]:
        """The places of images with no frame after them; others have it in the place after."""
        return self._without_neighbour(+1)

    def _without_neighbour(self, step: int) -> Tensor:
        if self._present is None:  # the first or the last of each clip
            end = 0 if step < 0 else self.t - 1
            return self.t * torch.arange(self.n, device=self.mask.device) + end
        there = self.mask.roll(-step, 1)
        there[:, -1 if step > 0 else 0] = False
        return self.pack(~there).nonzero().squeeze(1)


def in_layout(
    f: Callable[[Tensor], Tensor], x: Shaped[Tensor, " m *rest"]
) -> Shaped[Tensor, " k *rest"]:
    """f(x), for an f that picks or places images, in the memory layout that x has.

    `index_select` and its like give NCHW for channels-last images too, and so do their gradients;
    an operation that meets both layouts is many times slower.
    """
    if x.ndim != 4 or not x.is_contiguous(memory_format=torch.channels_last):
        return f(x)
    return f(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def images_at(
    x: Shaped[Tensor, " m *rest"], places: Int64[Tensor, " k"]
) -> Shaped[Tensor, " k *rest"]:
    """The images at these places."""
    return in_layout(lambda x: x.index_select(0, places), x)


def images_among(
    x: Shaped[Tensor, " k *rest"], places: Int64[Tensor, " k"], m: int
) -> Shaped[Tensor, " m *rest"]:
    """m images: x at these places, and zeros elsewhere."""
    return in_layout(lambda x: x.new_zeros(m, *x.shape[1:]).index_copy(0, places, x), x)


class TensorStream:
    """Clips of a tensor, one behind the other, without the frames beyond their lengths.

    The tensor may be mapped into memory (`torch.from_numpy(np.memmap(...))`): only the part that
    is worked on is looked at.
    """

    def __init__(self, x: Shaped[Tensor, "n t c h w"], lengths: Lengths = None):
        self.x = x
        self.lengths = torch.full((x.shape[0],), x.shape[1]) if lengths is None else lengths

    def parts(self, size: int) -> Iterator[Shaped[Tensor, "m c h w"]]:
        """All frames, clip by clip, in parts of `size`; a part within one clip is a view."""
        end = self.lengths.cpu().cumsum(0)
        begin = (end - self.lengths.cpu()).tolist()
        for start in range(0, int(end[-1]), size):
            pieces = [
                self.x[i, max(start - first, 0) : min(start + size, last) - first]
                for i, (first, last) in enumerate(zip(begin, end.tolist(), strict=True))
                if first < start + size and last > start
            ]
            yield pieces[0] if len(pieces) == 1 else torch.cat(pieces)


def images(x: Tensor | Stream, frames: Frames) -> Tensor:
    """All frames as one batch of images."""
    return frames.pack(x) if isinstance(x, Tensor) else next(x.parts(int(x.lengths.sum())))


def frame_shape(x: Tensor | Stream) -> torch.Size:
    """(c, h, w) of the clips' frames."""
    return x.shape[2:] if isinstance(x, Tensor) else next(x.parts(1)).shape[1:]


def check_clips(
    x: Tensor | Stream, lengths: Tensor | None, network: VideoNetwork
) -> tuple[Tensor | Stream, Tensor | None, tuple[int, int]]:
    """The clips, their lengths where they differ, on the device of the network, and (n, t).

    Raises:
        ValueError: for what is neither a tensor of pixels or floats (n, t, c, h, w), with the
            channels and in the precision of the network, nor a stream, and for lengths outside
            1..t.
    """
    device, c = network.device, network.in_channels
    if isinstance(x, Stream):
        if lengths is not None:
            raise ValueError("lengths are given beside a stream of clips, which has its own")
        lengths = x.lengths.to(device)
        n, t = len(lengths), int(lengths.max()) if len(lengths) else 0
    else:
        wanted = f"(n, t, {c}, h, w)"
        check_tensor("x", x, wanted, dtypes=(torch.uint8, *FLOATS))
        if x.ndim != 5 or x.shape[2] != c or 0 in x.shape[3:]:
            raise ValueError(
                f"clips have shape {tuple(x.shape)}; wanted {wanted}, "
                f"one clip alone is x.unsqueeze(0)"
            )
        own = next(p.dtype for p in network.parameters())
        if x.is_floating_point() and not (
            x.dtype == own or (torch.is_autocast_enabled(device.type) and torch.float64 != x.dtype)
        ):
            raise ValueError(
                f"clips are {x.dtype}, the network is {own}; wanted uint8 pixels or x.to({own})"
            )
        if x.device != device and network.chunk is None:
            raise ValueError(f"clips are on {x.device}, the network on {device}; use x.to(device)")
        n, t = x.shape[:2]
    if n == 0 or t == 0:
        raise ValueError(f"there are {n} clips of {t} frames; there must be a clip and a frame")
    if lengths is not None:
        lengths = check_lengths(lengths, n, t).to(device)
    if not isinstance(x, Tensor) and bool((lengths == t).all()):
        lengths = None
    return x, lengths, (n, t)
