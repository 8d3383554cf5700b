"""The four actions of mini Something-Something, as drawings at every state from begun to done."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from lab.synthetic.drawing import Sprite, Video, paste, sprite

STAGE = 60  # the action happens on a square of so many pixels in the middle
WHITE, GREY = (255, 255, 255), (120, 120, 120)


@dataclass(frozen=True)
class Action:
    """One of the four actions, in the order of time of the first class of its pair.

    `states` are its states in the frames from `first` on, from 0 (not yet) to 1 (done). The object
    is `size` pixels wide and moves by `way` pixels; `place` (y, x), 0..1, is where there is room;
    `side` -1 or 1 is where a box has its hinge and where a cover comes from.
    """

    pair: int
    first: int
    states: tuple[float, ...]
    colour: tuple[int, int, int]
    size: int
    way: float
    place: tuple[float, float]
    side: int

    def clock(self, t: int, always: bool) -> Float64[np.ndarray, " t"]:
        """The state in each of t frames: NaN where nothing is in view, or 0 before and 1 after."""
        clock = np.full(t, np.nan)
        last = self.first + len(self.states)
        if always:
            clock[: self.first], clock[last:] = 0, 1
        clock[self.first : last] = self.states
        return clock

    def show(self, video: Video, clock: Float64[np.ndarray, " t"]) -> None:
        """Draw it into the frames that have a state."""
        corner = ((video.shape[1] - STAGE) / 2, (video.shape[2] - STAGE) / 2)
        for state in np.unique(clock[~np.isnan(clock)]).tolist():
            frames = np.flatnonzero(clock == state).tolist()
            paste(video, frames, self.picture(state), [corner] * len(frames))

    def picture(self, state: float) -> Sprite:
        """The action on its stage of 60x60 pixels at a state 0..1: a sprite."""
        draw = (self._lift, self._lid, self._push, self._cover)[self.pair]

        def work(pencil, k: int) -> None:
            def fill(points, colour) -> None:
                points = [(x * k, y * k) for x, y in points]
                pencil.polygon(points, fill=(*colour, 255), outline=(*WHITE, 255), width=k)

            draw(fill, state)

        return sprite((STAGE, STAGE), work)

    def _middle(self, height, width) -> tuple[float, float]:
        """The centre (y, x) of a thing of this size at its place on the stage."""
        y, x = self.place
        return height / 2 + y * (STAGE - height), width / 2 + x * (STAGE - width)

    def _lift(self, fill, state: float) -> None:
        y, x = self._middle(self.size + self.way, self.size)
        y += self.way * (0.5 - state)
        fill(_disc(x, y, self.size / 2), self.colour)

    def _push(self, fill, state: float) -> None:
        y, x = self._middle(self.size + 3, self.size + self.way)
        x += self.way * (state - 0.5)
        half = self.size / 2
        floor = y + half - 1.5
        fill(_box(0, floor, STAGE, floor + 3), GREY)
        fill(_box(x - half, floor - self.size, x + half, floor), self.colour)

    def _lid(self, fill, state: float) -> None:
        wide, high = self.size + 6, self.size
        y, x = self._middle(high + wide, wide + 14)  # with room for the lid, which leans out
        top = y + (wide - high) / 2  # the open lid needs the room above
        fill(_box(x - wide / 2, top, x + wide / 2, top + high), self.colour)
        angle = state * np.radians(100)
        along = np.array([-self.side * np.cos(angle), -np.sin(angle)])
        across = 2 * np.array([along[1], -along[0]])
        hinge = np.array([x + self.side * wide / 2, top])
        corners = [hinge - across, hinge + across]
        corners += [corner + wide * along for corner in corners[::-1]]
        fill([tuple(corner) for corner in corners], GREY)

    def _cover(self, fill, state: float) -> None:
        wide = self.size + 6
        y, x = self._middle(wide, 2 * wide)
        x -= self.side * wide / 2
        fill(_disc(x, y, self.size / 2), self.colour)
        left = x - wide / 2 + self.side * wide * (1 - state)
        shade = tuple(part * 2 // 3 for part in self.colour)
        fill(_box(left, y - wide / 2, left + wide, y + wide / 2), shade)


def _box(left, top, right, bottom) -> list[tuple]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _disc(x, y, radius) -> list[tuple]:
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    points = np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], 1)
    return [tuple(point) for point in points.tolist()]
