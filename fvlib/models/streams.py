"""Clips as a network receives them: a tensor of frames, or a stream that makes them when wanted."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor

from fvlib.clustering.checks import FLOATS, check_tensor
from fvlib.contracts import Stream, VideoNetwork
from fvlib.models.frames import Frames


class TensorStream:
    """Clips of a tensor, one behind the other, without the frames beyond their lengths.

    The tensor may be mapped into memory (`torch.from_numpy(np.memmap(...))`): only the part that
    is worked on is looked at. Explained in chapter 11_any_length.
    """

    def __init__(self, x: Shaped[Tensor, "n t c h w"], lengths: Int64[Tensor, " n"] | None = None):
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
    return frames.fold(x) if isinstance(x, Tensor) else next(x.parts(int(x.lengths.sum())))


def frame_shape(x: Tensor | Stream) -> torch.Size:
    """(c, h, w) of the clips' frames."""
    return x.shape[2:] if isinstance(x, Tensor) else next(x.parts(1)).shape[1:]


def check_clips(
    x: Tensor | Stream, lengths: Tensor | None, network: VideoNetwork
) -> tuple[Tensor | Stream, Tensor | None, tuple[int, int]]:
    """The clips, their lengths where they differ, on the device of the network, and (n, t).

    Raises ValueError for what is neither a tensor of pixels or floats (n, t, c, h, w), with the
    channels and in the precision of the network, nor a stream, and for lengths outside 1..t.
    """
    device, c = network.device, network.in_channels
    if isinstance(x, Stream):
        if lengths is not None:
            raise ValueError("lengths are given beside a stream of clips, which has its own")
        lengths = x.lengths.to(device)
        n, t = len(lengths), int(lengths.max()) if len(lengths) else 0
    else:
        wanted = f"(n, t, {c}, h, w)"
        check_tensor("x", x, wanted, dtypes=(torch.uint8, *FLOATS), meta=device.type == "meta")
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
        check_tensor("lengths", lengths, f"int64 ({n},)", dtypes=(torch.int64,))
        if lengths.shape != (n,) or int(lengths.min()) < 1 or int(lengths.max()) > t:
            raise ValueError(f"lengths is {lengths.tolist()}; wanted {n} numbers between 1 and {t}")
        lengths = lengths.to(device)
    if not isinstance(x, Tensor) and bool((lengths == t).all()):
        lengths = None
    return x, lengths, (n, t)
