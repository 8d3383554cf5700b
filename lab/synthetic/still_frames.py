"""Single frames with a digit or a shape in them: what the small networks are pre-trained on."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from fvlib.datasets import InMemory
from fvlib.datasets.backgrounds import BackgroundBank
from fvlib.datasets.digits import SIZE, DigitBank
from fvlib.values import check_choice
from lab.synthetic.breakfast import DIGITS, KINDS, draw_colour, shape
from lab.synthetic.drawing import HEIGHT, MIDDLE, WIDTH, DistractorDigit, PlanRNG, Room, paste


class DigitFrames(InMemory):
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
        scenes, times, side = backgrounds.letterboxed.shape[:3]
        digit = rng.integers(len(digits), size=frames)
        corners = rng.integers(side - SIZE + 1, size=(frames, 2))
        scene, time = rng.integers(scenes, size=frames), rng.integers(times, size=frames)
        canvases = backgrounds.letterboxed[scene, time]
        for canvas, (y, x), image in zip(canvases, corners, digits.images[digit], strict=True):
            place = canvas[y : y + SIZE, x : x + SIZE]
            np.maximum(place, image, out=place)
        shown = torch.from_numpy(canvases)[:, None, None]
        super().__init__(shown, digits.labels[digit], name=self.name, classes=self.classes)
        self.digits = digits


FRAMES_OF_A_ROOM = 48
MARGIN = 8  # pixels by which a room is larger than a frame


class ShapeFrames(InMemory):
    """Still frames of mini Breakfast's kind; the class is the shape in it, or "nothing".

    They stand for the ImageNet weights that the paper's networks start from, which know the things
    of a kitchen, but no order of events: a frame shows at most one shape, and no two frames belong
    together. The rooms are of the training part of the photograph, and no clip has them.

    Args:
        split: "train" or "validation".
        frames: how many.
        seed: of the whole set.
        size: pixels a side: the frames' shorter side is resized to it and the middle is cut out.
    """

    classes = ("nothing", *KINDS)
    name = "single shapes"

    def __init__(self, split: str, frames: int, *, seed: int, size: int):
        check_choice("split", split, ("train", "validation"))
        self._key = (seed, 50, ("train", "validation").index(split))
        targets = np.arange(frames) % len(self.classes)
        shown = [self._draw(i, kind, size) for i, kind in enumerate(targets.tolist())]
        super().__init__(torch.stack(shown)[:, None], targets, name=self.name, classes=self.classes)

    def _draw(self, i: int, kind: int, size: int) -> UInt8[Tensor, "3 {size} {size}"]:
        from PIL import Image

        random = PlanRNG(*self._key, 1, i)
        y, x = random.integer(0, MARGIN), random.integer(0, MARGIN)
        video = self._room(i // FRAMES_OF_A_ROOM)[None, y : y + HEIGHT, x : x + WIDTH].copy()
        for _ in range(random.integer(2, 3)):
            DistractorDigit.draw(random, DIGITS["train"], periods=(250, 450)).show(video)
        if kind:
            width, turn = random.integer(15, 19), random.number(-0.4, 0.4)
            drawing = shape(kind - 1, width, turn, draw_colour(random, kind - 1))
            middle = [random.number(low + width / 2, high - width / 2) for low, high in MIDDLE]
            paste(video, [0], drawing, [np.array(middle) - len(drawing) / 2])
        wide = round(size * WIDTH / HEIGHT)
        left = (wide - size) // 2
        small = Image.fromarray(video[0]).resize((wide, size), Image.Resampling.BILINEAR)
        cut = np.asarray(small)[:, left : left + size]
        return torch.from_numpy(cut.transpose(2, 0, 1).copy())

    def _room(self, number: int) -> UInt8[np.ndarray, "h w 3"]:
        """A room's picture; the last one is kept, since its frames follow each other."""
        if getattr(self, "_last", (None,))[0] != number:
            room = Room.draw(PlanRNG(*self._key, 0, number), "train")
            picture = np.asarray(room.picture((HEIGHT + MARGIN, WIDTH + MARGIN)))
            self._last = (number, picture)
        return self._last[1]
