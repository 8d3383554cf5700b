"""What is seen in a clip of mini UCF-101 or mini HMDB51: two sceneries, and digits that run by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from lab.synthetic.drawing import (
    HEIGHT,
    WIDTH,
    Video,
    digit_shape,
    hsv,
    ink,
    paste,
    photograph,
    two_colours,
)
from lab.synthetic.draws import PlanRNG

# The palettes: hue in turns, saturation.
PALETTES = {
    "blue": (0.58, 0.65),
    "green": (0.30, 0.6),
    "brown": (0.08, 0.6),
    "violet": (0.83, 0.5),
    "grey": (0.60, 0.04),
}
PATTERNS = ("waves", "dots", "planks", "checks", "slopes")
SHARE = (0.45, 0.95)  # of the test crop that shows the class's own scenery


@dataclass(frozen=True)
class Scenery:
    """A pattern in two colours: `period` in pixels, `angle` and `phase` in turns, `depth` 0..1."""

    pattern: str
    dark: tuple[int, int, int]
    light: tuple[int, int, int]
    period: float
    angle: float
    phase: float
    depth: float

    @classmethod
    def draw(cls, random: PlanRNG, palette: str, pattern: str) -> Scenery:
        """A random one of a palette and a pattern."""
        hue, saturation = PALETTES[palette]
        hue += random.number(-0.03, 0.03)
        saturation *= random.number(0.8, 1.2)
        return cls(
            pattern=pattern,
            dark=hsv(hue, saturation, random.number(0.2, 0.35)),
            light=hsv(hue + random.number(-0.03, 0.03), saturation * 0.7, random.number(0.7, 0.9)),
            period=random.number(9, 14),
            angle=random.number(-0.02, 0.02),
            phase=random.number(),
            depth=random.number(0.5, 0.8),
        )

    def paint(self, texture: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
        """The scenery over a grey texture."""
        height, width = texture.shape
        y, x = np.mgrid[:height, :width]
        turn = 2 * np.pi * (self.angle + (0.125 if self.pattern == "slopes" else 0))
        across = (x * np.cos(turn) + y * np.sin(turn)) / self.period + self.phase
        down = (y * np.cos(turn) - x * np.sin(turn)) / self.period + self.phase
        relief = {
            "waves": np.sin(2 * np.pi * (down + 0.25 * np.sin(np.pi * across))),
            "dots": 4 * np.cos(np.pi * across) ** 2 * np.cos(np.pi * down) ** 2 - 1,
            "planks": np.where(across % 1 < 0.2, -1.0, 0.6),
            "checks": np.where((across % 2 < 1) == (down % 2 < 1), 0.8, -0.8),
            "slopes": np.sin(2 * np.pi * down),
        }[self.pattern]
        grey = self.depth * 127 * (1 + relief.clip(-1, 1)) + (1 - self.depth) * texture
        return two_colours(np.rint(grey).clip(0, 255).astype(np.uint8), self.dark, self.light)


@dataclass(frozen=True)
class Scene:
    """What the clips of a group of a class share.

    `share` is the part of the test crop that shows the class's own scenery; `side` where it is:
    0 left, 1 right, 2 above, 3 below. `cell` is the group's own part of the photograph.
    """

    own: Scenery
    other: Scenery
    share: float
    side: int
    cell: int

    @classmethod
    def draw(cls, random: PlanRNG, looks: Sequence, target: int, cell: int) -> Scene:
        """A random one of the class `target`; `looks` has every class's palette and pattern."""
        other = (target + 1 + random.integer(0, len(looks) - 2)) % len(looks)
        return cls(
            own=Scenery.draw(random, *looks[target]),
            other=Scenery.draw(random, *looks[other]),
            share=random.number(*SHARE),
            side=random.integer(0, 3),
            cell=cell,
        )

    def picture(self, size: tuple[int, int]):
        """The scene as a Pillow image of (height, width)."""
        from PIL import Image

        row, column = divmod(self.cell, 5)
        box = (128 * column, 85 * row, 128 * column + 128, 85 * row + 85)
        texture = photograph().resize(size[::-1], Image.Resampling.BILINEAR, box=box)
        texture = np.asarray(texture)
        axis = 0 if self.side >= 2 else 1
        crop = HEIGHT * 7 / 8  # the test crop is square
        share = self.share if self.side in (0, 2) else 1 - self.share
        border = round((size[axis] - crop) / 2 + share * crop)
        first = np.arange(size[axis]) < border
        own = first if self.side in (0, 2) else ~first
        own = np.expand_dims(own, (1 - axis, 2))
        return Image.fromarray(np.where(own, self.own.paint(texture), self.other.paint(texture)))


@dataclass(frozen=True)
class Runner:
    """A white handwritten digit that runs through the picture and turns at its edges."""

    digit: int
    size: int
    start: tuple[float, float]
    step: tuple[float, float]

    def show(self, video: Video) -> None:
        """Draw it into all frames."""
        room = np.array([HEIGHT, WIDTH]) - self.size
        path = np.asarray(self.start) + np.arange(len(video))[:, None] * np.asarray(self.step)
        path %= 2 * room
        path = np.minimum(path, 2 * room - path)
        paste(video, range(len(video)), ink(digit_shape(self.digit, self.size), (255,) * 3), path)
