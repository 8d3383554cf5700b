"""What the frames of the mini sets are drawn from: scenes, a camera, shapes, handwritten digits.

All of it comes with scikit-learn or is drawn here. Every picture is uint8 and blended in integers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float64, UInt8


class PlanRNG:
    """Random numbers that depend on the seed and on a key alone.

    Everything is made from uniform numbers of a Philox generator: NumPy may change how it draws
    integers or choices from one version to the next.
    """

    def __init__(self, seed: int, *key: int):
        sequence = np.random.SeedSequence(seed, spawn_key=key)
        self._random = np.random.Generator(np.random.Philox(sequence)).random

    def number(self, low: float | int = 0, high: float | int = 1) -> float:
        """A number from low up to high."""
        return float(low + self._random() * (high - low))

    def numbers(self, count: int, low: float | int = 0, high: float | int = 1) -> tuple[float, ...]:
        """So many of them."""
        return tuple((low + self._random(count) * (high - low)).tolist())

    def integer(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return int(low + int(self._random() * (high - low + 1)))

    def choice(self, items: Sequence) -> Any:
        """One of the items."""
        return items[self.integer(0, len(items) - 1)]

    def order(self, count: int) -> list[int]:
        """The numbers from 0 to count - 1, shuffled."""
        return np.argsort(self._random(count), kind="stable").tolist()


HEIGHT, WIDTH = 72, 96
Video = UInt8[np.ndarray, "t 72 96 3"]
Sprite = UInt8[np.ndarray, "h w 4"]  # the last channel is the opacity

# What a test crop of 7/8 of the shorter side (224 of 256) keeps in the middle, as (first, last)
# pixel of the rows and of the columns: whatever tells a class lies inside.
MIDDLE = ((5, 66), (17, 78))

# Columns of scikit-learn's china.jpg, 640 x 427; flower.jpg is left to those who pre-train on it.
# The first rows are plain sky.
PHOTOGRAPH = "china.jpg"
COLUMNS = {"train": (0, 420), "test": (440, 640)}
ROWS = (110, 427)


@cache
def photograph():
    """The photograph in grey, a Pillow image."""
    from PIL import Image
    from sklearn.datasets import load_sample_image

    return Image.fromarray(load_sample_image(PHOTOGRAPH)).convert("L")


@cache
def digit_bank():
    """All embedded digits; a set divides them among its splits by index."""
    from sklearn.datasets import load_digits

    return load_digits()


def digit_shape(index: int, size: int) -> UInt8[np.ndarray, "{size} {size}"]:
    """The ink of an embedded digit as opacity."""
    from PIL import Image

    grey = (digit_bank().images[index] * (255 / 16)).astype(np.uint8)
    large = Image.fromarray(grey).resize((size, size), Image.Resampling.BICUBIC)
    return ((np.asarray(large).astype(np.int16) - 70) * 2).clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Camera:
    """A view of 96x72 that sways over a larger picture on a slow closed curve.

    `reach` is the amplitude (y, x) in pixels, `periods` are frames, `phases` in turns.
    """

    reach: tuple[float, float]
    periods: tuple[float, float]
    phases: tuple[float, float]

    @classmethod
    def draw(cls, random: PlanRNG, reach, periods) -> Camera:
        """One with amplitudes and periods between the two numbers given of each."""
        return cls(random.numbers(2, *reach), random.numbers(2, *periods), random.numbers(2))

    def path(self, t: int) -> Float64[np.ndarray, "{t} 2"]:
        """Where the view's corner is in each frame, 0 or more, as (y, x)."""
        turns = np.arange(t)[:, None] / self.periods + self.phases
        return self.reach * (1 + np.sin(2 * np.pi * turns))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture that it needs."""
        return tuple(
            int(np.ceil(length + 2 * reach))
            for length, reach in zip((HEIGHT, WIDTH), self.reach, strict=True)
        )

    def film(self, scene, t: int) -> Video:
        """t frames of a Pillow image of this `size`."""
        from PIL import Image

        frames = np.empty((t, HEIGHT, WIDTH, 3), np.uint8)
        for frame, (y, x) in zip(frames, self.path(t).tolist(), strict=True):
            box = (x, y, x + WIDTH, y + HEIGHT)
            frame[:] = scene.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR, box=box)
        return frames


@dataclass(frozen=True)
class Room:
    """A part of the photograph in two muted colours, with a few pieces of furniture.

    `area` is (left, top, right, bottom) in the photograph; `dark` and `light` are the colours of
    its darkest and brightest grey; a piece is (left, top, right, bottom, colour), in shares of the
    picture.
    """

    area: tuple[float, float, float, float]
    dark: tuple[int, int, int]
    light: tuple[int, int, int]
    furniture: tuple[tuple, ...]

    @classmethod
    def draw(cls, random: PlanRNG, split: str) -> Room:
        """A random room of a split, "train" or "test", which share no column of the photograph."""
        first, last = COLUMNS[split]
        width = random.number(130, 190)
        height = width * HEIGHT / WIDTH
        left = random.number(first, last - width)
        top = random.number(ROWS[0], ROWS[1] - height)
        hue = random.number()
        pieces = []
        for _ in range(random.integer(3, 5)):
            y, x = random.numbers(2, -0.1, 0.9)
            h, w = random.numbers(2, 0.1, 0.45)
            colour = hsv(random.number(), random.number(0.05, 0.3), random.number(0.25, 0.6))
            pieces.append((x, y, x + w, y + h, colour))
        return cls(
            area=(left, top, left + width, top + height),
            dark=hsv(hue, 0.35, 0.15),
            light=hsv(hue + random.number(-0.1, 0.1), random.number(0.1, 0.35), 0.65),
            furniture=tuple(pieces),
        )

    def picture(self, size: tuple[int, int]):
        """The room as a Pillow image of (height, width)."""
        from PIL import Image, ImageDraw

        height, width = size
        grey = photograph().resize((width, height), Image.Resampling.BILINEAR, box=self.area)
        picture = Image.fromarray(two_colours(np.asarray(grey), self.dark, self.light))
        pencil = ImageDraw.Draw(picture)
        for left, top, right, bottom, colour in self.furniture:
            box = [left * width, top * height, right * width, bottom * height]
            edge = tuple(value // 2 for value in colour)
            pencil.rectangle([round(value) for value in box], fill=colour, outline=edge)
        return picture


def two_colours(grey: UInt8[np.ndarray, "h w"], dark, light) -> UInt8[np.ndarray, "h w 3"]:
    """A grey picture in the colours from dark to light."""
    share = grey[..., None].astype(np.int32)
    dark, light = np.asarray(dark, np.int32), np.asarray(light, np.int32)
    return ((dark * (255 - share) + light * share) // 255).astype(np.uint8)


def hsv(hue: float, saturation: float, value: float) -> tuple[int, int, int]:
    """A colour, 0..255, from hue in turns, saturation and value in 0..1."""
    import colorsys

    colour = colorsys.hsv_to_rgb(float(hue) % 1, float(saturation), float(value))
    return tuple(round(255 * part) for part in colour)


def sprite(size: tuple[int, int], pencil_work: Callable) -> Sprite:
    """A drawing of (height, width) with soft edges.

    `pencil_work(pencil, 4)` draws with a Pillow pencil on a sheet four times as large.
    """
    from PIL import Image, ImageDraw

    height, width = size
    sheet = Image.new("RGBA", (4 * width, 4 * height))
    pencil_work(ImageDraw.Draw(sheet), 4)
    return np.asarray(sheet.reduce(4))


def ink(opacity: UInt8[np.ndarray, "h w"], colour) -> Sprite:
    """A sprite of one colour with a given opacity."""
    flat = np.broadcast_to(np.asarray(colour, np.uint8), (*opacity.shape, 3))
    return np.concatenate([flat, opacity[..., None]], -1)


def paste(video: Video, frames: Sequence[int], drawing: Sprite, corners) -> None:
    """Lay a sprite over some frames of a video, in place.

    `corners` are the places (y, x) of its upper left corner, one a frame, rounded to pixels; it
    may hang over the edge.
    """
    size = np.array(drawing.shape[:2])
    for frame, corner in zip(frames, np.rint(corners).astype(int), strict=True):
        low = np.maximum(corner, 0)
        high = np.minimum(corner + size, video.shape[1:3])
        if (low >= high).any():
            continue
        place = video[frame, low[0] : high[0], low[1] : high[1]]
        (top, left), (bottom, right) = low - corner, high - corner
        part = drawing[top:bottom, left:right].astype(np.int32)
        opacity = part[..., 3:]
        place[:] = (place * (255 - opacity) + part[..., :3] * opacity + 127) // 255


@dataclass(frozen=True)
class DistractorDigit:
    """A grey handwritten digit that drifts slowly through the whole clip and tells nothing.

    `digit` is an index into the embedded digits; `middle` the centre (y, x) of its closed curve.
    """

    digit: int
    size: int
    grey: int
    middle: tuple[float, float]
    reach: tuple[float, float]
    periods: tuple[float, float]
    phases: tuple[float, float]

    @classmethod
    def draw(cls, random: PlanRNG, digits: range, periods) -> DistractorDigit:
        """A random one with one of these digits and periods between the two numbers."""
        return cls(
            digit=random.choice(digits),
            size=random.integer(14, 20),
            grey=random.integer(150, 210),
            middle=(random.number(0, HEIGHT), random.number(0, WIDTH)),
            reach=random.numbers(2, 4, 12),
            periods=random.numbers(2, *periods),
            phases=random.numbers(2),
        )

    def show(self, video: Video) -> None:
        """Draw it into all frames."""
        t = len(video)
        turns = np.arange(t)[:, None] / self.periods + self.phases
        corners = self.middle + self.reach * np.sin(2 * np.pi * turns) - self.size / 2
        drawing = ink(digit_shape(self.digit, self.size), (self.grey,) * 3)
        paste(video, range(t), drawing, corners)
