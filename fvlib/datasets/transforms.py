"""From stored frames to what the network sees: TSM's crops for training and for the test.

Clips are uint8 and stay uint8: the network normalises. One crop holds for all frames of a clip.
Everything is done where the clips lie, on the CPU or on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Shaped, UInt8
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from fvlib.datasets.sampling import clip_rng
from fvlib.datasets.videos.benchmarks import exchanged_classes
from fvlib.values import want

_GRID = (
    *((0, 0), (0, 4), (4, 0), (4, 4), (2, 2)),  # corners and centre
    *((2, 0), (2, 4), (4, 2), (0, 2)),  # middles of the edges
    *((1, 1), (1, 3), (3, 1), (3, 3)),  # between them
)

# As one tensor, or one by one where the clips differ in height and width.
ClipTensors = UInt8[Tensor, "n t c h w"] | Sequence[UInt8[Tensor, "t c _ _"]]

_SNAP = 3  # a size that is closer than this to the wanted one becomes the wanted one


class Crop(NamedTuple):
    """A rectangle of a frame in pixels from its upper left corner, and whether it is mirrored."""

    top: int
    left: int
    height: int
    width: int
    flip: bool = False


@dataclass(frozen=True)
class TrainTransform:
    """TSM's training crop: several scales and shapes, 13 places, then resized to a square.

    Args:
        dataset: name of the data set.
        size: pixels a side of what comes out.
        scales: of the shorter side of the frame.
        flip: mirror half of the clips, left to right; "always" whatever their classes are.
        flow: the clips are optical flow, across and down in turn; mirrored, what goes across goes
            the other way.
        classes: their names, for a data set that is not registered. There is no resizing before the
            crop: it is taken from the stored frames.

    Raises:
        ValueError: if clips are to be mirrored of whose classes some are the mirror image of others
            (`exchanged_classes`), as those of Something-Something and Move4MNIST.

    Source:
        TSM's published training.
    """

    dataset: str
    size: int = 224
    scales: Sequence[int | float] = (1, 0.875, 0.75, 0.66)
    flip: bool | Literal["always"] = False
    flow: bool = False
    classes: Sequence[str] = ()

    def __post_init__(self):
        pairs = exchanged_classes(self.dataset, self.classes) if self.flip is True else ()
        if pairs:
            raise ValueError(
                f"flip is on for {self.dataset!r}, of whose classes some are mirror images of "
                f"others, as {' and '.join(map(repr, pairs[0]))}; turn it off, or say 'always' to "
                "mirror them all the same"
            )
        shares = bool(self.scales) and all(0 < scale <= 1 for scale in self.scales)
        why = "wanted a size of 1 or more and at least one scale above 0 and up to 1"
        want(self, self.size >= 1 and shares, "size", "scales", why=why)
        object.__setattr__(self, "scales", tuple(self.scales))

    def __call__(
        self, clips: ClipTensors, indices: np.ndarray, *, seed: int, epoch: int
    ) -> UInt8[Tensor, "n t c s s"]:
        """The cropped clips. indices: the place of each clip in its data set, for its crop."""
        crops = [
            self.draw(*clip.shape[-2:], clip_rng(seed, epoch, int(index), "crop"))
            for clip, index in zip(clips, indices, strict=True)
        ]
        return _stack(self._cut(clip, crop) for clip, crop in zip(clips, crops, strict=True))

    def draw(self, h: int, w: int, rng: np.random.Generator) -> Crop:
        """The crop of a clip with frames of h x w pixels: a shape, then a place, then the mirror.

        As published, a size that is raised to the wanted one may reach up to four pixels over the
        frame; what lies outside is black.
        """
        shapes = crop_shapes(h, w, self.size, self.scales)
        height, width = shapes[rng.integers(len(shapes))]
        places = crop_places(h, w, height, width)
        top, left = places[rng.integers(len(places))]
        return Crop(top, left, height, width, bool(self.flip) and bool(rng.random() < 0.5))

    def _cut(self, clip: Tensor, crop: Crop) -> Tensor:
        clip = cut(clip, crop, self.size)
        if self.flow and crop.flip:
            clip[:, ::2] = 255 - clip[:, ::2]
        return clip


@dataclass(frozen=True)
class EvalTransform:
    """TSM's crops for validation and test: the shorter side is resized, then views are cut out.

    Args:
        scale: pixels of the shorter side.
        size: pixels a side of a view; size = scale is "full resolution".
        views: 1 for the centre, 3 for left, centre and right, whose scores are averaged.

    Source:
        TSM's published test. The paper's one clip in full resolution is size=256, views=3.
    """

    scale: int = 256
    size: int = 224
    views: int = 1

    def __post_init__(self):
        fits = 1 <= self.size <= self.scale and self.views in (1, 3)
        why = "wanted a size from 1 to the scale, and 1 or 3 views"
        want(self, fits, "size", "scale", "views", why=why)

    def __call__(self, clips: ClipTensors) -> UInt8[Tensor, "n v t c s s"]:
        """The views of every clip."""
        return _stack(torch.stack(self._views(clip)) for clip in clips)

    def _views(self, clip: Tensor) -> list[Tensor]:
        clip = transforms.resize(clip, [self.scale], antialias=True)
        if self.views == 1:
            return [transforms.center_crop(clip, [self.size, self.size])]
        places = three_places(*clip.shape[-2:], self.size)
        return [transforms.crop(clip, *place, self.size, self.size) for place in places]


def crop_shapes(h: int, w: int, size: int, scales: Sequence[int | float]) -> list[tuple[int, int]]:
    """(height, width) of the training crops of a frame with h x w pixels.

    Sizes are int(min(h, w) * scale), or `size` where they are closer than 3 pixels to it; height
    and width are the same size or those of neighbouring scales.
    """
    sizes = [int(min(h, w) * scale) for scale in scales]
    sizes = [size if abs(x - size) < _SNAP else x for x in sizes]
    if min(sizes) < 1:
        raise ValueError(
            f"frames have {h} x {w} pixels; too small to crop by the scales {tuple(scales)}"
        )
    return [
        (height, width)
        for i, height in enumerate(sizes)
        for j, width in enumerate(sizes)
        if abs(i - j) <= 1
    ]


def crop_places(h: int, w: int, height: int, width: int) -> list[tuple[int, int]]:
    """(top, left) of the 13 places for a crop of height x width pixels in a frame of h x w.

    On a grid whose steps are a quarter of the room that is left: the corners, the centre, the
    middles of the edges, and the points between corners and centre, in the published order. A step
    is a whole number of pixels, so the last place may stop up to three pixels before the edge.
    """
    down, right = (h - height) // 4, (w - width) // 4
    return [(i * down, j * right) for i, j in _GRID]


def three_places(h: int, w: int, size: int) -> list[tuple[int, int]]:
    """(top, left) of the left, the centre and the right crop of a frame with h x w pixels.

    On the grid of `crop_places`. In an upright frame of the crop's width they are all the centre.
    """
    down, right = (h - size) // 4, (w - size) // 4
    return [(2 * down, j * right) for j in (0, 2, 4)]


def cut(
    clip: UInt8[Tensor, "t c h w"], crop: Crop, size: int
) -> UInt8[Tensor, "t c {size} {size}"]:
    """All frames of a clip, cropped, resized to size x size pixels, and mirrored if asked for.

    Bilinear, over as many pixels as one of the result covers, as PIL resizes.
    """
    clip = transforms.resized_crop(
        clip, crop.top, crop.left, crop.height, crop.width, [size, size], antialias=True
    )
    return transforms.horizontal_flip(clip) if crop.flip else clip


def stack_frames(
    clips: Sequence[Shaped[Tensor, "*frames c h w"]],
) -> Shaped[Tensor, "n *frames c h w"]:
    """Clips one behind the other, each pixel's colours side by side where they come like that.

    Decoders give colours in this order, resizing is faster in it, and convolutions want it. A plain
    stack would sort them apart.
    """
    if len(clips) == 1:
        return clips[0][None]
    if clips[0].stride(-3) != 1:
        return torch.stack(list(clips))
    return torch.stack([clip.movedim(-3, -1) for clip in clips]).movedim(-1, -3)


def _stack(clips: Iterable[Tensor]) -> Tensor:
    return stack_frames(list(clips))
