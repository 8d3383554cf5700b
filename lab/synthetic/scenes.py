"""Mini UCF-101 and mini HMDB51: the scene gives the class, and any frame shows it (Table 4).

The design, fixed before any comparison:

- A clip has 40 to 120 frames (25 a second in mini UCF-101, 30 in mini HMDB51; 96x72).
- **What tells the classes apart.** The scene, in every frame. A scenery is one of five palettes
  (blue, green, brown, violet, grey) with one of five patterns (waves, dots, planks, checks,
  slopes); each of the ten classes has a pair of its own, and each palette and pattern occurs in two
  classes, so that neither is enough. In mini HMDB51 the pairs are others than in mini UCF-101. The
  class's scenery fills a part of the picture and the scenery of another class the rest; of the test
  crop, which is the middle, the class's part is uniform between 45 and 95 %. Where it is less than
  half, about one scene in ten, the reader below is wrong: nobody can be right always, with
  any number of frames.
- **What is noise.** The clips of a group (UCF-101) or source (HMDB51) of a class share their scene:
  hue, contrast, width and angle of the pattern, a cell of a photograph that is laid over it, where
  the border between the two parts is. The camera's sway and two white handwritten digits that
  run through the picture are drawn for each clip and depend on no class.
- **What frames can see.** `oracle` gives the same for 1, 8, 16 and all frames: the class is right
  where its scenery is the larger part. Motion tells nothing.
- **The null version** is the set itself: more frames, or clusters of all frames, can add nothing
  but an average over the same scene. So `null=True` is refused.
- **Layout.** `UCF-101/Surfing/v_Surfing_g01_c01.avi` and `ucfTrainTestlist/` with classInd.txt and
  three folds: groups 1-7, 8-14 and 15-21 test, as in the official lists; 25 groups of 3 clips.
  `hmdb51/dive/Source07_dive_f_cm_np1_fr_med_2.avi` and `testTrainMulti_7030_splits/` with a file
  for each class and fold: 70 clips train (1) and 30 test (2), as in the official ones, and two of
  a source of their own are not used (0). Groups and sources are never in both parts of a fold, and
  each has its own cell of the photograph, its own handwritten digits and its own scene.

A mini set tests the mechanism, not the benchmark: a result on it is no result on UCF-101 or HMDB51.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Int64, UInt8

from lab.synthetic import drawing
from lab.synthetic.sets import Encoding, MiniSet

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
    def draw(cls, random: drawing.PlanRNG, palette: str, pattern: str) -> Scenery:
        """A random one of a palette and a pattern."""
        hue, saturation = PALETTES[palette]
        hue += random.number(-0.03, 0.03)
        saturation *= random.number(0.8, 1.2)
        return cls(
            pattern=pattern,
            dark=drawing.hsv(hue, saturation, random.number(0.2, 0.35)),
            light=drawing.hsv(
                hue + random.number(-0.03, 0.03), saturation * 0.7, random.number(0.7, 0.9)
            ),
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
        return drawing.two_colours(
            np.rint(grey).clip(0, 255).astype(np.uint8), self.dark, self.light
        )


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
    def draw(cls, random: drawing.PlanRNG, looks: Sequence, target: int, cell: int) -> Scene:
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
        texture = drawing.photograph().resize(size[::-1], Image.Resampling.BILINEAR, box=box)
        texture = np.asarray(texture)
        axis = 0 if self.side >= 2 else 1
        crop = drawing.HEIGHT * 7 / 8  # the test crop is square
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

    def show(self, video: drawing.Video) -> None:
        """Draw it into all frames."""
        room = np.array([drawing.HEIGHT, drawing.WIDTH]) - self.size
        path = np.asarray(self.start) + np.arange(len(video))[:, None] * np.asarray(self.step)
        path %= 2 * room
        path = np.minimum(path, 2 * room - path)
        drawing.paste(
            video,
            range(len(video)),
            drawing.ink(drawing.digit_shape(self.digit, self.size), (255,) * 3),
            path,
        )


FRAMES = (40, 120)
FOLDS = ((1, 7), (8, 14), (15, 21))  # test groups of the three official splits
SWAY = (2, 6)  # pixels
DIGITS = 1797
# Each class has the palette and the pattern of its place here.
UCF101_CLASSES = {
    "Basketball": ("brown", "checks"),
    "Biking": ("green", "planks"),
    "CliffDiving": ("blue", "waves"),
    "GolfSwing": ("green", "dots"),
    "HorseRiding": ("brown", "planks"),
    "IceDancing": ("violet", "checks"),
    "RockClimbingIndoor": ("violet", "slopes"),
    "Skiing": ("grey", "slopes"),
    "SkyDiving": ("blue", "dots"),
    "Surfing": ("grey", "waves"),
}
HMDB51_CLASSES = {
    "climb": ("grey", "dots"),
    "dive": ("blue", "planks"),
    "draw_sword": ("violet", "waves"),
    "fencing": ("blue", "checks"),
    "golf": ("green", "slopes"),
    "kick_ball": ("green", "checks"),
    "ride_bike": ("brown", "slopes"),
    "ride_horse": ("brown", "waves"),
    "shoot_ball": ("violet", "dots"),
    "walk": ("grey", "planks"),
}


@dataclass(frozen=True)
class ScenePlan:
    """All that one clip is made from. `group` is UCF-101's group or HMDB51's source."""

    path: str
    split: str
    target: int
    group: int
    frames: int
    scene: Scene
    view: drawing.Camera
    runners: tuple[Runner, ...]

    def draw(self) -> drawing.Video:
        """The frames."""
        video = self.view.film(self.scene.picture(self.view.size), self.frames)
        for runner in self.runners:
            runner.show(video)
        return video


@dataclass(frozen=True)
class SceneLayout:
    """Where the two sets differ: looks of the classes, names of the files, who trains and tests.

    `train` and `test` are the groups of fold 1 in the order in which they are written, with `clips`
    each; `unused` are single clips (group, clip) that no fold uses.
    """

    key: int
    classes: dict[str, tuple[str, str]]
    name: str
    clips: int
    train: tuple[int, ...]
    test: tuple[int, ...]
    unused: tuple[tuple[int, int], ...] = ()


# The first groups of each fold come first, so that a few clips fill all three folds.
_MIXED = (8, 15, 22, 9, 16, 23, 10, 17, 24, 11, 18, 25, 12, 19, 13, 20, 14, 21)
UCF101_LAYOUT = SceneLayout(
    key=1,
    classes=UCF101_CLASSES,
    name="{label}/v_{label}_g{group:02d}_c{clip:02d}.avi",
    clips=3,
    train=_MIXED,
    test=tuple(range(1, 8)),
)
HMDB51_LAYOUT = SceneLayout(
    key=2,
    classes=HMDB51_CLASSES,
    name="{label}/Source{group:02d}_{label}_f_cm_np1_fr_med_{clip}.avi",
    clips=5,
    train=(8, 15, 22, 9, 16, 23, 10, 17, 11, 18, 12, 19, 13, 20),
    test=tuple(range(1, 7)),
    unused=((25, 1), (25, 2)),
)
HMDB51_FOLDS = ((1, 6), (8, 13), (15, 20))


def plans(layout: SceneLayout, seed: int, null: bool, train: int, test: int) -> list[ScenePlan]:
    """The clips in the order in which they are written, first those that train in fold 1.

    The class changes fastest, then the group, then the clip's number in the group.
    """
    if null:
        raise ValueError(
            "null is True; the sets ucf101 and hmdb51 are their own null version (any frame shows "
            "the class), so leave null out"
        )
    classes = range(len(layout.classes))
    wanted = []
    for split, groups, clips in (("train", layout.train, train), ("test", layout.test, test)):
        order = [(group, clip) for clip in range(1, layout.clips + 1) for group in groups]
        wanted += [(split, target, *place) for place in order for target in classes][:clips]
    if train == len(layout.train) * layout.clips * len(classes):
        wanted += [("unused", target, *place) for place in layout.unused for target in classes]
    return [_plan(layout, seed, *each) for each in wanted]


def _plan(
    layout: SceneLayout, seed: int, split: str, target: int, group: int, clip: int
) -> ScenePlan:
    looks, label = list(layout.classes.values()), list(layout.classes)[target]
    random = drawing.PlanRNG(seed, layout.key, 1, target, group, clip)
    frames = random.integer(*FRAMES)
    digits = range(group - 1, DIGITS, 25)  # every group has its own
    runners = []
    for _ in range(2):
        speed, angle = random.number(0.8, 2.5), random.number(0, 2 * np.pi)
        runners.append(
            Runner(
                digit=random.choice(digits),
                size=random.integer(16, 22),
                start=random.numbers(2, 0, 50),
                step=(float(speed * np.sin(angle)), float(speed * np.cos(angle))),
            )
        )
    scene = drawing.PlanRNG(seed, layout.key, 0, target, group)
    return ScenePlan(
        path=layout.name.format(label=label, group=group, clip=clip),
        split=split,
        target=target,
        group=group,
        frames=frames,
        scene=Scene.draw(scene, looks, target, cell=group - 1),
        view=drawing.Camera.draw(random, reach=SWAY, periods=(60, 120)),
        runners=tuple(runners),
    )


def oracle(plan: ScenePlan, frames: Int64[np.ndarray, " n"]) -> tuple[str, float]:
    """What some frames show of a clip, and whether the larger scenery is its class's."""
    right = plan.scene.share > 0.5
    return ("the class's scenery is larger" if right else "another scenery is larger"), float(right)


def annotate_ucf101(plans: Sequence[ScenePlan]) -> dict[str, str]:
    """classInd.txt and the lists of the three folds, with the official line ends."""
    lines = {"classInd.txt": [f"{k} {name}" for k, name in enumerate(UCF101_CLASSES, 1)]}
    ordered = sorted(plans, key=lambda plan: plan.path)
    for fold, (first, last) in enumerate(FOLDS, 1):
        train, test = [], []
        for plan in ordered:
            tested = first <= plan.group <= last
            (test if tested else train).append(plan.path + f" {plan.target + 1}" * (not tested))
        lines |= {f"trainlist{fold:02d}.txt": train, f"testlist{fold:02d}.txt": test}
    return {
        f"ucfTrainTestlist/{name}": "".join(f"{line}\r\n" for line in text)
        for name, text in lines.items()
    }


def annotate_hmdb51(plans: Sequence[ScenePlan]) -> dict[str, str]:
    """The split files, one a class and fold: every video with 0 unused, 1 train or 2 test."""
    files = {}
    for target, label in enumerate(HMDB51_CLASSES):
        clips = sorted((plan for plan in plans if plan.target == target), key=lambda p: p.path)
        for fold, (first, last) in enumerate(HMDB51_FOLDS, 1):
            files[f"testTrainMulti_7030_splits/{label}_test_split{fold}.txt"] = "".join(
                f"{plan.path.partition('/')[2]} {_part(plan, first, last)} \n" for plan in clips
            )
    return files


def _part(plan: ScenePlan, first: int, last: int) -> int:
    if plan.split == "unused":
        return 0
    return 2 if first <= plan.group <= last else 1


def _mini(name: str, layout: SceneLayout, folders: tuple[str, str], rate: int, annotate) -> MiniSet:
    each = layout.clips * len(layout.classes)
    return MiniSet(
        name=name,
        classes=tuple(layout.classes),
        folders=folders,
        encoding=Encoding("mpeg4", rate, (("qmin", "4"), ("qmax", "4"), ("g", "48")), tag="XVID"),
        step=20,
        most=(len(layout.train) * each, len(layout.test) * each),
        plan=partial(plans, layout),
        annotate=annotate,
        oracle=oracle,
    )


UCF101 = _mini("ucf101", UCF101_LAYOUT, ("UCF-101", "ucfTrainTestlist"), 25, annotate_ucf101)
HMDB51 = _mini(
    "hmdb51", HMDB51_LAYOUT, ("hmdb51", "testTrainMulti_7030_splits"), 30, annotate_hmdb51
)
