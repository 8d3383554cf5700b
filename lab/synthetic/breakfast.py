"""Mini Breakfast: long clips, and two short events in order make the activity (Table 3).

The design, fixed before any comparison:

- A clip has 240 to 360 frames (15 a second, 96x72). It shows a room, a part of a photograph with
  some furniture, under a camera that sways by a few pixels, and two or three grey handwritten
  digits that drift slowly all the time. None of this tells anything.
- **What tells the classes apart.** Two events happen at random times. In an event a shape of one of
  five kinds (disc, square, triangle, cross, ring, each with its colour) appears in the middle part
  of the picture, moves, and is gone after 10 to 20 frames. The ten activities are the five pairs of
  neighbouring kinds (disc and square, square and triangle, ..., ring and disc) in both orders.
  So every kind occurs in four activities, at the first place in two and at the second in two: one
  event leaves four activities, both without their order leave two.
- **What is noise.** Times, lengths, places, directions and sizes of the events, the room, the
  camera, and the digits are random and do not depend on the activity.
- **What frames can see.** `oracle` asks of each clip which events a number of frames hit. A reader
  of frames names the activity if both are hit. After one, he knows the kind, and takes it for the
  first event if it is in the first half of the clip: right or wrong, one of two activities
  is left to guess. After none, he guesses among ten.
- **The null version** differs in one thing: an event lasts from a quarter to a third of the clip
  (its shape moves to and fro). 8 frames then always hit both events, however they are drawn from
  their segments, so there is nothing that more frames, or clusters of all frames, could add.
- **Layout.** `breakfast/P03/cam01/P03_cereals.avi` (MPEG-4), and beside each video the times in a
  text file, `first-last name` from frame 1 on as in the coarse annotation, idle stretches as SIL.
  Persons P03 to P46 train and P47 to P54 test. A person is a home: each pair of person and
  camera has a room of its own. Training and test clips share no column of the photograph and no
  handwritten digit. Unlike in Breakfast, two cameras never film the same performance: each clip is
  a draw of its own, and none is from a stereo camera.

A mini set tests the mechanism, not the benchmark: a result on it is no result on Breakfast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from fvlib.datasets.videos.readers import ACTIVITIES as CLASSES
from lab.synthetic import drawing
from lab.synthetic.sets import Encoding, MiniSet

KINDS = ("disc", "square", "triangle", "cross", "ring")
COLOURS = ((226, 40, 40), (40, 90, 235), (250, 215, 30), (40, 190, 70), (230, 60, 210))
CAMERAS = ("cam01", "cam02", "webcam01")
PERSONS = {"train": range(3, 47), "test": range(47, 55)}
DIGITS = {"train": range(0, 1297), "test": range(1297, 1797)}
CLIPS = {"train": 880, "test": 240}
FRAMES = (240, 360)
LENGTH = (10, 20)
GAP = 12  # frames before, between and after the events, at least
SWING = 11  # steps until a long event turns round
FOLDER = "breakfast"


def order_of(activity: int) -> tuple[int, int]:
    """The kinds of the first and of the second event of an activity.

    Activities 2k and 2k + 1 are the kinds k and k + 1 (0 after 4) in this order and in the other.
    """
    pair = (activity // 2, (activity // 2 + 1) % len(KINDS))
    return pair if activity % 2 == 0 else pair[::-1]


@dataclass(frozen=True)
class Event:
    """A shape of a kind in the frames first to last (both included).

    Its centre is at `start` (y, x), moves by `step` a frame, and turns round after 11 steps.
    """

    kind: int
    first: int
    last: int
    start: tuple[float, float]
    step: tuple[float, float]
    size: int
    turn: float
    colour: tuple[int, int, int]

    def centres(self) -> Float64[np.ndarray, "t 2"]:
        """Where its centre is in each of its frames, as (y, x)."""
        clock = np.arange(self.last - self.first + 1) % (2 * SWING)
        clock = np.minimum(clock, 2 * SWING - clock)
        return np.asarray(self.start) + clock[:, None] * np.asarray(self.step)

    def show(self, video: drawing.Video) -> None:
        """Draw it into its frames."""
        picture = shape(self.kind, self.size, self.turn, self.colour)
        corners = self.centres() - len(picture) / 2
        drawing.paste(video, range(self.first, self.last + 1), picture, corners)


@dataclass(frozen=True)
class BreakfastPlan:
    """All that one clip is made from."""

    split: str
    person: int
    camera: str
    target: int
    frames: int
    events: tuple[Event, ...]
    room: drawing.Room
    view: drawing.Camera
    passers: tuple[drawing.DistractorDigit, ...]

    @property
    def path(self) -> str:
        return f"{self.folder}/P{self.person:02d}_{CLASSES[self.target]}.avi"

    @property
    def folder(self) -> str:
        return f"P{self.person:02d}/{self.camera}"

    def draw(self) -> drawing.Video:
        """The frames."""
        video = self.view.film(self.room.picture(self.view.size), self.frames)
        for thing in (*self.passers, *self.events):
            thing.show(video)
        return video

    def segments(self) -> list[tuple[int, int, str]]:
        """The clip in pieces: (first frame, last frame, the event's kind or "SIL")."""
        pieces, next_frame = [], 0
        for event in self.events:
            pieces.append((next_frame, event.first - 1, "SIL"))
            pieces.append((event.first, event.last, KINDS[event.kind]))
            next_frame = event.last + 1
        return [*pieces, (next_frame, self.frames - 1, "SIL")]


def shape(kind: int, size: int, turn: float, colour) -> drawing.Sprite:
    """A shape with a white edge, about `size` pixels wide, turned by an angle: a sprite."""
    side = size + 8
    outline = _outline(KINDS[kind])
    turned = outline @ [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]

    def work(pencil, k: int) -> None:
        def fill(radius: float, colour) -> None:
            points = (side / 2 + turned * radius) * k
            pencil.polygon([tuple(point) for point in points.tolist()], fill=colour)

        fill(size / 2 + 1.5, (255, 255, 255, 255))
        fill(size / 2, (*colour, 255))
        if KINDS[kind] == "ring":
            fill(size / 4 + 1, (255, 255, 255, 255))
            fill(size / 4 - 0.5, (0, 0, 0, 0))

    return drawing.sprite((side, side), work)


def draw_colour(random: drawing.PlanRNG, kind: int) -> tuple[int, int, int]:
    """The colour of a kind, each part up to 20 of 255 lighter or darker."""
    colour = [part + random.integer(-20, 20) for part in COLOURS[kind]]
    return tuple(min(max(part, 0), 255) for part in colour)


def _outline(name: str) -> np.ndarray:
    """The corners (x, y) of a shape of radius about 1."""
    if name == "square":
        return 0.85 * np.array([(1, 1), (1, -1), (-1, -1), (-1, 1)])
    if name == "cross":
        arm = np.array([(0.35, 1), (0.35, 0.35), (1, 0.35)])
        quarters = [np.linalg.matrix_power([[0, -1], [1, 0]], k) for k in range(4)]
        return np.concatenate([arm @ quarter for quarter in quarters])
    angle = 2 * np.pi * np.arange(3 if name == "triangle" else 48)[:, None]
    angle = angle / len(angle)
    return np.concatenate([np.cos(angle), np.sin(angle)], 1) * (1.15 if len(angle) == 3 else 1)


def plans(seed: int, null: bool, train: int, test: int) -> list[BreakfastPlan]:
    """The clips in the order in which they are written, first those for training.

    The class changes fastest, then the person, then the camera, so that fewer clips are the first
    ones of more.
    """
    return [
        _plan(seed, null, split, i)
        for split, clips in (("train", train), ("test", test))
        for i in range(clips)
    ]


def _plan(seed: int, null: bool, split: str, i: int) -> BreakfastPlan:
    persons = PERSONS[split]
    place = i // len(CLASSES)
    person, camera = persons[place % len(persons)], place // len(persons)
    activity = i % len(CLASSES)
    room = drawing.Room.draw(drawing.PlanRNG(seed, 0, person, camera), split)
    random = drawing.PlanRNG(seed, 1, person, camera, activity)
    frames = random.integer(*FRAMES)
    low, high = (frames / 4, frames / 3) if null else LENGTH
    return BreakfastPlan(
        split=split,
        person=person,
        camera=CAMERAS[camera],
        target=activity,
        frames=frames,
        events=_events(random, order_of(activity), frames, (int(np.ceil(low)), int(high))),
        room=room,
        view=drawing.Camera.draw(random, reach=(2, 4), periods=(160, 280)),
        passers=tuple(
            drawing.DistractorDigit.draw(random, DIGITS[split], periods=(250, 450))
            for _ in range(random.integer(2, 3))
        ),
    )


def _events(random: drawing.PlanRNG, kinds, frames: int, length) -> tuple[Event, Event]:
    lengths = [random.integer(*length) for _ in kinds]
    rest = frames - sum(lengths) - 3 * GAP
    before = sorted(random.integer(0, rest) for _ in kinds)
    firsts = (GAP + before[0], 2 * GAP + before[1] + lengths[0])
    events = []
    for kind, first, many in zip(kinds, firsts, lengths, strict=True):
        size = random.integer(15, 19)
        # From the start to the turn the centre moves by 1.5 to 3 pixels a step, inside the middle.
        room = np.array([(low + size / 2, high - size / 2) for low, high in drawing.MIDDLE])
        speed, angle = random.number(1.5, 3), random.number(0, 2 * np.pi)
        step = speed * np.array([np.sin(angle), np.cos(angle)])
        low = room[:, 0] + np.maximum(0, -step * SWING)
        high = room[:, 1] - np.maximum(0, step * SWING)
        colour = draw_colour(random, kind)
        events.append(
            Event(
                kind=kind,
                first=first,
                last=first + many - 1,
                start=(random.number(low[0], high[0]), random.number(low[1], high[1])),
                step=tuple(step.tolist()),
                size=size,
                turn=random.number(-0.4, 0.4),
                colour=colour,
            )
        )
    return tuple(events)


def oracle(plan: BreakfastPlan, frames: Int64[np.ndarray, " n"]) -> tuple[str, float]:
    """What some frames show of a clip, and a reader's chance to name its activity."""
    hits = [frames[(event.first <= frames) & (frames <= event.last)] for event in plan.events]
    if all(map(len, hits)):
        return "both events", 1.0
    for place, hit in enumerate(hits):
        if len(hit):
            taken_for_second = hit.mean() >= plan.frames / 2
            return "one event", 0.5 if place == taken_for_second else 0.0
    return "no event", 1 / len(CLASSES)


def annotate(plans: Sequence[BreakfastPlan]) -> dict[str, str]:
    """The times of the events, a text file beside each video."""
    return {
        f"{FOLDER}/{plan.path.removesuffix('.avi')}.txt": "".join(
            f"{first + 1}-{last + 1} {name}\n" for first, last, name in plan.segments()
        )
        for plan in plans
    }


BREAKFAST = MiniSet(
    name="breakfast",
    classes=CLASSES,
    folders=(FOLDER,),
    encoding=Encoding("mpeg4", 15, (("qmin", "4"), ("qmax", "4"), ("g", "48")), tag="XVID"),
    step=20,
    most=(CLIPS["train"], CLIPS["test"]),
    plan=plans,
    annotate=annotate,
    oracle=oracle,
)
