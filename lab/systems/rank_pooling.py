"""Dynamic images: a clip as one picture, by approximate rank pooling, and the network for it.

Of a clip with frames x_1 ... x_N the picture is sum_i a_i x_i: the first step towards a direction
along which the frames' running means come in the order of time. Every frame enters and the network
runs once, which makes it the nearest relative of averaging frames; here, though, before the network
instead of behind its first block, and with weights that tell late from early.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from fvlib.contracts import Lengths, Stream, Videos
from fvlib.models.packing import Frames, TensorStream, check_clips
from fvlib.models.tsm import TSMResNet

AT_ONCE = 64  # frames that are float32 at the same time


def rank_pooling_weights(t: int) -> Float64[Tensor, " t"]:
    """What each of t frames weighs: a_i = sum_{j=i..t} (2j - t - 1) / j, and 1 for one frame alone.

    They sum to zero for t > 1, are negative first and positive later, and every a_i + ... + a_t
    with i > 1 is positive: the dynamic image is a sum of the steps from each frame to the next with
    positive weights. It is not odd in time: a_i and a_{t+1-i} cancel for t = 2 only.

    Raises:
        ValueError: for t < 1.

    Source:
        Bilen et al., "Dynamic Image Networks" (CVPR 2016), approximate rank pooling.
    """
    if t < 1:
        raise ValueError(f"t is {t}; there must be a frame")
    if t == 1:
        return torch.ones(1, dtype=torch.float64)
    j = torch.arange(1, t + 1, dtype=torch.float64)
    return ((2 * j - t - 1) / j).flip(0).cumsum(0).flip(0)


def rank_pool(x: Videos, lengths: Lengths = None, *, windows: int = 1) -> Float[Tensor, "m c h w"]:
    """The weighted sums of frames, linear in x: min(windows, length) images of each clip in turn.

    As the weights sum to zero, the first frame of a window is taken from all of them before: then a
    clip that stands still gives exactly zero, and not what rounding leaves of large numbers. They
    are in float32, also of uint8 and under autocast; a float64 clip stays one. A stream of clips is
    read once, in parts.

    Args:
        lengths: frames of each clip where they differ; what lies beyond is never looked at.
        windows: of equal length, to a frame, into which each clip is cut.

    Raises:
        ValueError: for windows < 1.

    Source:
        Bilen et al., approximate rank pooling.
    """
    if windows < 1:
        raise ValueError(f"windows is {windows}; a clip is cut into 1 or more")
    if isinstance(x, Tensor):
        n, t = x.shape[:2]
        lengths = torch.full((n,), t) if lengths is None else lengths
        x = TensorStream(x, lengths)
    sizes = iter([size for t in x.lengths.tolist() for size in _parts(t, min(t, windows))])
    images, size, done = [], 0, 0
    for part in x.parts(AT_ONCE):
        dtype = torch.promote_types(part.dtype, torch.float32)
        with torch.autocast(part.device.type, enabled=False):
            while len(part):
                if done == size:
                    size, done = next(sizes), 0
                    weights = rank_pooling_weights(size).to(part.device, dtype)
                    first = part[0].to(dtype) if size > 1 else 0
                    images.append(0)
                piece, part = part[: size - done], part[size - done :]
                steps = piece.to(dtype) - first
                images[-1] += torch.tensordot(weights[done : done + len(piece)], steps, 1)
                done += len(piece)
    return torch.stack(images)


def to_pixels(images: Float[Tensor, "m c h w"]) -> Float[Tensor, "m c h w"]:
    """Each image moved and stretched to the range of pixels: its least value 0, its greatest 1.

    One that is the same everywhere, as the dynamic image of a clip that stands still, becomes 0.5,
    the grey that says nothing. The range is over all channels, so that colours keep their relation.

    Source:
        The authors' code, there to [0, 255].
    """
    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    flat = high == low
    return ((images - low) / (high - low).masked_fill(flat, 1)).masked_fill(flat, 0.5)


def dynamic_image(
    x: Videos, lengths: Lengths = None, *, windows: int = 1
) -> Float[Tensor, "m c h w"]:
    """The dynamic images of n clips, as pixels in [0, 1]: of each clip min(windows, length) images.

    With one window m is n. Of a clip with one frame it is that frame, stretched. Clips of optical
    flow give the dynamic flow. Whether a clip's pixels reach to 255 or to 1 does not matter. Raises
    as `rank_pool`.

    Source:
        Bilen et al. (CVPR 2016).
    """
    return to_pixels(rank_pool(x, lengths, windows=windows))


class DynamicImageResNet(TSMResNet):
    """A ResNet that sees the dynamic images of a clip in place of its frames.

    Clips are uint8 or float pixels of any range: the images are stretched, then normalised as
    pixels are. lengths, streams and `features` are as of `TSMResNet`; labels are always None.

    Args:
        windows: parts of each clip that become an image each; the scores of the images are
            averaged. A clip of fewer frames has an image of each.
        options: as of `TSMResNet`. There are no neighbouring frames, so shift_stages must be empty
            and clustering None.

    Raises:
        ValueError: for options that belong to frames.

    Source:
        Bilen et al. (CVPR 2016), the network DI, and DOF on optical flow.
    """

    def __init__(self, depth: int, num_classes: int, *, windows: int = 1, **options: Any):
        if options.get("shift_stages") or options.get("clustering") is not None:
            raise ValueError(
                "a dynamic image is one picture of all frames, so nothing can be shifted or "
                "clustered: give shift_stages=() and clustering=None"
            )
        super().__init__(depth, num_classes, **options)
        self.windows = windows

    def _features(self, x: Tensor | Stream, lengths: Tensor | None, upto: str, cluster: bool):
        x, lengths, (n, t) = check_clips(x, lengths, self)
        mean, std = self.pixel_mean, self.pixel_std
        images = dynamic_image(x, lengths, windows=self.windows).to(mean.device, mean.dtype)
        count = min(t, self.windows)
        mask = counts = None
        if lengths is not None and int(lengths.min()) < count:
            counts = lengths.clamp(max=count)
            mask = torch.arange(count, device=mean.device) < counts[:, None]
        images = Frames(n, count, mean.device, mask).unpack((images - mean) / std)
        return super()._features(images, counts, upto, False)


def _parts(t: int, windows: int) -> list[int]:
    """Frames of each window: equal, to a frame."""
    ends = [(i + 1) * t // windows for i in range(windows)]
    return [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
