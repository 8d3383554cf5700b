"""Mini Something-Something V2: only the direction of time tells two classes apart (Table 5).

The design, fixed before any comparison:

- A clip has 24 to 48 frames (12 a second, 96x72): a room under a swaying camera, with two
  grey handwritten digits that drift, and one action of 6 to 14 frames somewhere in it. What the
  action is done with (an object and what belongs to it) is in view during the action alone.
- **What tells the classes apart.** Four pairs of classes: moving something up or down, opening or
  closing something, pushing something from left to right or from right to left, covering something
  with something or uncovering something. What is in view tells the pair. Within a pair only the
  direction of time tells the class: **the clips of the second class are the clips of the first,
  frame by frame in reverse order**, exactly, before encoding. Both are in the same split. So
  every single frame, and every set of frames without order, is equally likely in both classes.
- **What is noise.** When the action begins and how long it takes, its speed, which changes and may
  be zero for some frames (a pause), the object's colour, size and place, the side from
  which a thing is opened or covered, the room, the camera, and the digits.
- **What frames can see.** A reader of frames names the class if two of them show the action in
  states that differ by a tenth of its way or more; if one state only, he guesses between the two
  classes of the pair; if none, among eight.
- **The null version.** The object is in view in every frame of the clip, and its colour tells the
  class within the pair: warm for the first, cold for the second. A clip and its reversal
  then belong to the same class, so the direction of time tells nothing and any frame is enough.
  (In the set itself half of the clips of each class are warm and half are cold.)
- **Layout.** `something/v2/` holds something-something-v2-labels.json, -train.json and
  -validation.json, with the keys and templates of the official files, and
  20bn-something-something-v2/ the videos as WebM (VP9), named by number. The numbers are shuffled:
  a clip and its reversal cannot be told by their names. Training and validation share no column
  of the photograph and no handwritten digit. The validation set is called "test" here, since the
  labels of the real test set are not public and results are those of the validation set.

Encoding is not symmetric in time: a format that predicts a frame from the ones before it leaves
faint traces behind a moving object, and a single frame would tell the direction by them. So every
frame is a key frame of a fixed quality, and the decoded frames of a clip and of its reversal are
the same pictures too.

A mini set tests the mechanism, not the benchmark: a result on it is no result on
Something-Something.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from lab.synthetic import drawing
from lab.synthetic.sets import Encoding, MiniSet

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

    def show(self, video: drawing.Video, clock: Float64[np.ndarray, " t"]) -> None:
        """Draw it into the frames that have a state."""
        corner = ((video.shape[1] - STAGE) / 2, (video.shape[2] - STAGE) / 2)
        for state in np.unique(clock[~np.isnan(clock)]).tolist():
            frames = np.flatnonzero(clock == state).tolist()
            drawing.paste(video, frames, self.picture(state), [corner] * len(frames))

    def picture(self, state: float) -> drawing.Sprite:
        """The action on its stage of 60x60 pixels at a state 0..1: a sprite."""
        draw = (self._lift, self._lid, self._push, self._cover)[self.pair]

        def work(pencil, k: int) -> None:
            def fill(points, colour) -> None:
                points = [(x * k, y * k) for x, y in points]
                pencil.polygon(points, fill=(*colour, 255), outline=(*WHITE, 255), width=k)

            draw(fill, state)

        return drawing.sprite((STAGE, STAGE), work)

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


# The templates as the annotations write them; without brackets they are the classes. In each pair
# the second is the reversal of the first.
PAIRS = (
    ("Moving [something] up", "Moving [something] down"),
    ("Opening [something]", "Closing [something]"),
    ("Pushing [something] from left to right", "Pushing [something] from right to left"),
    ("Covering [something] with [something]", "Uncovering [something]"),
)
UP, OPEN, PUSH, COVER = range(4)
TEMPLATES = tuple(sorted(template for pair in PAIRS for template in pair))
CLASSES = tuple(name.replace("[something]", "something") for name in TEMPLATES)
CLIPS = {"train": 960, "test": 320}
DIGITS = {"train": range(0, 1297), "test": range(1297, 1797)}
FRAMES = (24, 48)
LENGTH = (6, 14)
FOLDER = "something/v2"
VIDEOS = "20bn-something-something-v2"
PREFIX = "something-something-v2"


@dataclass(frozen=True)
class SomethingPlan:
    """All that one clip is made from.

    `number` is the video's; `reverse` says whether its frames run backwards; `warm` is the
    object's colour; `null` that it is in view all the time. The clip with everything the same
    but `reverse`, and what follows from it, is its reversal.
    """

    split: str
    number: int
    target: int
    frames: int
    reverse: bool
    warm: bool
    null: bool
    action: Action
    room: drawing.Room
    view: drawing.Camera
    passers: tuple[drawing.DistractorDigit, ...]

    @property
    def path(self) -> str:
        return f"{VIDEOS}/{self.number}.webm"

    def draw(self) -> drawing.Video:
        """The frames."""
        video = self.view.film(self.room.picture(self.view.size), self.frames)
        for passer in self.passers:
            passer.show(video)
        self.action.show(video, self.action.clock(self.frames, self.null))
        return video[::-1].copy() if self.reverse else video

    def clock(self) -> Float64[np.ndarray, " t"]:
        """The state of the action in each frame, NaN where nothing of it is in view."""
        clock = self.action.clock(self.frames, self.null)
        return clock[::-1] if self.reverse else clock


def plans(seed: int, null: bool, train: int, test: int) -> list[SomethingPlan]:
    """The clips in the order in which they are written, first those for training.

    A clip is followed by its reversal, then come the other pairs of classes.
    """
    total = sum(CLIPS.values())
    numbers = drawing.PlanRNG(seed, 30).order(220_847)[:total]  # as many as the real set has
    places = [("train", i) for i in range(train)] + [("test", i) for i in range(test)]
    return [
        _plan(seed, null, split, i, 1 + numbers[i + CLIPS["train"] * (split == "test")])
        for split, i in places
    ]


def _plan(seed: int, null: bool, split: str, i: int, number: int) -> SomethingPlan:
    draw, pair, reverse = i // (2 * len(PAIRS)), i // 2 % len(PAIRS), bool(i % 2)
    random = drawing.PlanRNG(seed, 31, ("train", "test").index(split), pair, draw)
    warm = draw % 2 == 0
    frames = random.integer(*FRAMES)
    second = not warm if null else reverse
    return SomethingPlan(
        split=split,
        number=number,
        target=TEMPLATES.index(PAIRS[pair][second]),
        frames=frames,
        reverse=reverse,
        warm=warm,
        null=null,
        action=_action(random, pair, frames, warm),
        room=drawing.Room.draw(random, split),
        view=drawing.Camera.draw(random, reach=(1, 3), periods=(40, 80)),
        passers=tuple(
            drawing.DistractorDigit.draw(random, DIGITS[split], periods=(80, 160)) for _ in range(2)
        ),
    )


def _action(random: drawing.PlanRNG, pair: int, frames: int, warm: bool) -> Action:
    length = random.integer(*LENGTH)
    speed = np.array(random.numbers(length - 1, 0.3, 1))
    pause = random.integer(0, length // 3)
    start = random.integer(0, length - 1 - pause)
    speed[start : start + pause] = 0
    way = np.cumsum(speed)
    hue = random.number(*((-0.04, 0.14) if warm else (0.5, 0.68)))
    return Action(
        pair=pair,
        first=random.integer(0, frames - length),
        states=(0.0, *(way / way[-1]).tolist()),
        colour=drawing.hsv(hue, random.number(0.7, 0.95), random.number(0.8, 1)),
        size=random.integer(14, 18),
        way=random.number(24, 38),
        place=random.numbers(2),
        side=random.choice((-1, 1)),
    )


def oracle(plan: SomethingPlan, frames: Int64[np.ndarray, " n"]) -> tuple[str, float]:
    """What some frames show of a clip, and a reader's chance to name its class."""
    states = plan.clock()[frames]
    states = states[~np.isnan(states)]
    if len(states) == 0:
        return "nothing", 1 / len(CLASSES)
    if plan.null:
        return "the colour", 1.0
    if np.ptp(states) < 0.1:
        return "one state", 0.5
    return "two states", 1.0


def annotate(plans: Sequence[SomethingPlan]) -> dict[str, str]:
    """The three files of labels, with the keys of the official ones."""
    things = {UP: ("ball",), OPEN: ("box",), PUSH: ("block",), COVER: ("ball", "lid")}
    files = {"labels": json.dumps({name: str(k) for k, name in enumerate(CLASSES)}, indent=1)}
    for split, file in (("train", "train"), ("test", "validation")):
        items = []
        for plan in sorted(plans, key=lambda plan: plan.number):
            if plan.split != split:
                continue
            template = TEMPLATES[plan.target]
            placeholders = list(things[plan.action.pair])[: template.count("[something]")]
            label = template.lower()
            for thing in placeholders:
                label = label.replace("[something]", thing, 1)
            items.append(
                {
                    "id": str(plan.number),
                    "label": label,
                    "template": template,
                    "placeholders": placeholders,
                }
            )
        files[file] = "[" + ",\n".join(json.dumps(item) for item in items) + "]"
    return {f"{FOLDER}/{PREFIX}-{file}.json": text + "\n" for file, text in files.items()}


_SPEED = (("deadline", "realtime"), ("cpu-used", "8"))
_QUALITY = (("b", "0"), ("crf", "24"), ("qmin", "24"), ("qmax", "24"))
SOMETHING = MiniSet(
    name="something",
    classes=CLASSES,
    folders=(FOLDER,),
    encoding=Encoding("libvpx-vp9", 12, (*_SPEED, *_QUALITY, ("g", "1"))),
    step=32,
    most=(CLIPS["train"], CLIPS["test"]),
    plan=plans,
    annotate=annotate,
    oracle=oracle,
)
