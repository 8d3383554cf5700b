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
from jaxtyping import Int64

from lab.synthetic.drawing import (
    Camera,
    Video,
)
from lab.synthetic.draws import PlanRNG
from lab.synthetic.scenery import Runner, Scene
from lab.synthetic.sets import Encoding, MiniSet

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
    view: Camera
    runners: tuple[Runner, ...]

    def draw(self) -> Video:
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
    random = PlanRNG(seed, layout.key, 1, target, group, clip)
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
    scene = PlanRNG(seed, layout.key, 0, target, group)
    return ScenePlan(
        path=layout.name.format(label=label, group=group, clip=clip),
        split=split,
        target=target,
        group=group,
        frames=frames,
        scene=Scene.draw(scene, looks, target, cell=group - 1),
        view=Camera.draw(random, reach=SWAY, periods=(60, 120)),
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
        test = [first <= plan.group <= last for plan in ordered]
        lines[f"trainlist{fold:02d}.txt"] = [
            f"{plan.path} {plan.target + 1}"
            for plan, tested in zip(ordered, test, strict=True)
            if not tested
        ]
        lines[f"testlist{fold:02d}.txt"] = [
            plan.path for plan, tested in zip(ordered, test, strict=True) if tested
        ]
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
        design=__doc__,
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
