"""Move4MNIST (Sec. 4.1): a digit moves left, right, up or down; which frames matter is known."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor
from tqdm import tqdm

from fvlib.datasets.backgrounds import SCENES, BackgroundBank, load_backgrounds, real_scene
from fvlib.datasets.digits import FILES, DigitBank, load_digits, read_idx
from fvlib.datasets.digits import SIZE as PATCH
from fvlib.datasets.plans import (
    BLACK,
    CANVAS,
    DIRECTIONS,
    DISTRACTOR,
    TARGET,
    Options,
    Plan,
    Planner,
    Undecidable,
)
from fvlib.storage import npz_bytes, write_file
from fvlib.values import check_choice

CLASSES = ("left", "right", "up", "down")
CLIPS = {"train": 1800, "validation": 600, "test": 600}
ATTEMPTS = 100
CONTRAST = 20  # grey levels above the background from which on a pixel counts as visible
MIN_VISIBLE = 25  # such pixels of the digit in any target frame; a video with fewer is drawn again


@dataclass(frozen=True, eq=False)
class FrameLabels:
    """The ground truth of one video, a row a frame.

    `type` 0 target, 1 distractor, 2 black, 3 background. `digit` is the class of the digit shown,
    -1 without one; `box` the place (y, x) of its 28x28 patch, -1 without one; `step` the target's
    step, -1 elsewhere.
    `displacement` is (y, x) from the first target frame to the last; `plan` has the rest.
    """

    type: Int64[Tensor, " t"]
    digit: Int64[Tensor, " t"]
    box: Int64[Tensor, "t 2"]
    step: Int64[Tensor, " t"]
    displacement: tuple[int, int]
    plan: Plan

    @property
    def relevant(self):
        """Which frames show the target: bool (t,)."""
        return self.type == TARGET

    def movement_seen(self, frames: Int64[np.ndarray | Tensor, " s"]) -> int:
        """Pixels between the first and the last of some frames that show the target; 0 without."""
        places = self.box[frames][self.relevant[frames]]
        return int((places[-1] - places[0]).abs().sum()) if len(places) else 0


class Move4MNIST(torch.utils.data.Dataset):
    """Move4MNIST, generated as the four published videos were (Sec. 4, Datasets; Fig. 7).

    Video i has the class i % 4 (0 left, 1 right, 2 up, 3 down), so any number of clips is balanced,
    and fewer clips are the first ones of more. A video depends on the seed, the split, its class
    and its number alone, never on other videos or on their order.

    Items are (video uint8 (t, channels, 64, 64), target int). A set can be trained and tested on as
    it is (`fvlib.contracts.Clips`); each video is then made again whenever it is read.

    Args:
        split: "train" (1,800 clips), "validation" or "test" (600).
        seed: of the whole set.
        clips: how many; None for the split's own number.
        digits, backgrounds: banks, or "embedded" or "real" for the split's own (see `load_digits`,
            and `load_backgrounds` with one clip).
        options: the fields of `Options`, such as timeline="paper-literal".

    Raises:
        ValueError: for an unknown split, clips < 1, options that cannot work, banks that do not
            fit, and, when a video is asked for, if 100 attempts gave none whose direction can be
            seen.
    """

    name = "Move4MNIST"
    classes = CLASSES

    def __init__(
        self,
        split: str,
        *,
        seed: int = 0,
        clips: int | None = None,
        digits: DigitBank | str = "embedded",
        backgrounds: BackgroundBank | str = "embedded",
        **options,
    ):
        check_choice("split", split, tuple(CLIPS))
        if clips is not None and clips < 1:
            raise ValueError(f"clips is {clips}; wanted one or more, or None for {CLIPS[split]}")
        self.split, self.seed = split, seed
        self.clips = CLIPS[split] if clips is None else clips
        self.options = Options(**options)
        self.digits = load_digits(digits, split) if isinstance(digits, str) else digits
        self.backgrounds = (
            load_backgrounds(backgrounds, split) if isinstance(backgrounds, str) else backgrounds
        )
        length = self.backgrounds.frames.shape[1]
        if length < self.options.frames:
            raise ValueError(
                f"background clips have {length} frames; {self.options.frames} were wanted: give "
                "longer clips or ask for fewer frames"
            )
        self.lengths = np.full(self.clips, self.options.frames)
        self.targets = np.arange(self.clips) % len(CLASSES)
        self._planner = Planner(self.options, self.digits, len(self.backgrounds))

    def __len__(self):
        return self.clips

    def __getitem__(self, i: int) -> tuple[UInt8[Tensor, "t c 64 64"], int]:
        plan, video = self._video(i)
        return torch.from_numpy(self._finish(video)), plan.label

    def read(self, i: int, frames: Int64[np.ndarray, " s"]) -> UInt8[Tensor, "s c 64 64"]:
        """These frames of video i."""
        return torch.from_numpy(self._finish(self._video(i)[1][frames]))

    def batch(self, indices) -> tuple[UInt8[Tensor, "n t c 64 64"], Int64[Tensor, " n"]]:
        """The videos of `indices` and their targets."""
        indices = list(indices)
        shape = (len(indices), self.options.frames, self.options.channels, CANVAS, CANVAS)
        videos = torch.empty(shape, dtype=torch.uint8)
        targets = torch.empty(len(indices), dtype=torch.int64)
        for row, i in enumerate(indices):
            videos[row], targets[row] = self[i]
        return videos, targets

    def materialise(
        self, progress: bool = False
    ) -> tuple[UInt8[Tensor, "n t c 64 64"], Int64[Tensor, " n"]]:
        """The whole set in memory: 131 kB a clip, 600 clips are 79 MB."""
        return self.batch(tqdm(range(len(self)), "Move4MNIST", disable=not progress, unit="clip"))

    def plan(self, i: int) -> Plan:
        """What video i is made from."""
        return self._video(i)[0]

    def render(self, plan: Plan) -> UInt8[Tensor, "t c 64 64"]:
        """The video of any plan, one's own too: that it can be decided is not checked."""
        return torch.from_numpy(self._finish(self._render(plan)[0]))

    def frame_labels(self, video: int | Plan) -> FrameLabels:
        """The ground truth of video i, or of a plan."""
        plan = video if isinstance(video, Plan) else self.plan(video)
        step, box = plan.path()
        image = plan.images()
        shown = image >= 0
        first, last = box[plan.types == TARGET][[0, -1]]
        return FrameLabels(
            type=torch.from_numpy(plan.types.astype(np.int64)),
            digit=torch.from_numpy(np.where(shown, self.digits.labels[image], -1)),
            box=torch.from_numpy(box),
            step=torch.from_numpy(step),
            displacement=tuple((last - first).tolist()),
            plan=plan,
        )

    def _video(self, i: int) -> tuple[Plan, np.ndarray]:
        i = range(len(self))[i]  # IndexError beyond the end, as for a list
        label, number = i % len(CLASSES), i // len(CLASSES)
        key = (tuple(CLIPS).index(self.split), label, number)
        for attempt in range(ATTEMPTS):
            try:
                plan = self._planner.draw(key, label, self.seed, attempt)
                video, visible = self._render(plan)
                self._check(plan, visible)
            except Undecidable as problem:
                reason = problem
            else:
                return plan, video
        raise ValueError(
            f"{ATTEMPTS} attempts gave no video {i} whose direction can be seen (the last one: "
            f"{reason}); give other banks, or another number of frames"
        )

    def _check(self, plan: Plan, visible: np.ndarray) -> None:
        boxes = plan.path()[1][plan.types == TARGET]
        moved = (boxes[-1] - boxes[0]) @ DIRECTIONS[plan.label]
        if moved < self.options.min_displacement:
            raise Undecidable(
                f"it moves by {moved} pixels, min_displacement is {self.options.min_displacement}"
            )
        if visible.min() < MIN_VISIBLE:
            raise Undecidable(f"{visible.min()} pixels are visible, fewer than {MIN_VISIBLE}")

    def _render(self, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
        clip = self.backgrounds.letterboxed[plan.background]
        return render(plan, self.digits.images, clip)

    def _finish(self, video: np.ndarray) -> np.ndarray:
        return np.repeat(video[:, None], self.options.channels, axis=1)

    @property
    def sha256(self) -> dict[str, str]:
        """Digests of the two banks: with these, seed and options, every byte is given."""
        return {"digits": self.digits.sha256, "backgrounds": self.backgrounds.sha256}

    def describe(self) -> dict:
        """The entry `data` of a record: name, sha256, counts, seed, and options changed."""
        changed = {
            field.name: getattr(self.options, field.name)
            for field in fields(Options)
            if getattr(self.options, field.name) != field.default
        }
        return {
            "name": f"Move4MNIST {self.split}: {self.digits.name}; {self.backgrounds.name}",
            "sha256": self.sha256,
            "counts": {
                "clips": len(self),
                "frames": self.options.frames,
                "digits": len(self.digits),
                "backgrounds": len(self.backgrounds),
            },
            "seed": self.seed,
            "options": changed,
        }


def render(
    plan: Plan, digits: np.ndarray, clip: np.ndarray
) -> tuple[UInt8[np.ndarray, "t 64 64"], Int64[np.ndarray, " shown"]]:
    """The grey video, and the visible pixels of each target frame: steps 6 and 7 of the generator.

    `digits` are the images of the bank, `clip` the letterboxed background. Of digit and background
    the brighter pixel shows; the background runs on behind every frame, black ones too.
    """
    t = len(plan.types)
    shown = np.flatnonzero(plan.types <= DISTRACTOR)
    y, x = plan.path()[1][shown].clip(-PATCH, CANVAS).T + PATCH
    patches = digits[plan.images()[shown]]
    # With a border, a patch may hang over the edge; at 255 nothing in it counts as visible.
    wide = np.full((t, CANVAS + 2 * PATCH, CANVAS + 2 * PATCH), 255, np.uint8)
    video = wide[:, PATCH:-PATCH, PATCH:-PATCH]
    video[:] = clip[:t]
    windows = sliding_window_view(wide, (PATCH, PATCH), axis=(1, 2), writeable=True)
    behind = windows[shown, y, x]
    windows[shown, y, x] = np.maximum(behind, patches)
    video[plan.types == BLACK] = 0
    visible = (patches > behind.astype(np.int16) + CONTRAST).sum(axis=(1, 2))
    return video, visible[plan.types[shown] == TARGET]


def pack_real(path: Path, *, progress: bool = False) -> None:
    """Write all that Move4MNIST needs of the folder that `FVLIB_DATA` names into one file.

    MNIST as it is, and the named background clips, decoded. `FVLIB_DATA` may name the file in place
    of the folder then: digits, backgrounds and with them all clips are the same to the bit, and
    reading them takes no more than NumPy.

    Raises:
        ValueError: and writes nothing, when something is missing.
    """
    arrays = {name: read_idx(name) for name in FILES}
    scenes = [name for names in SCENES.values() for name in names]
    for name in tqdm(scenes, "pack", leave=False, disable=not progress):
        arrays[name] = real_scene(name)
    write_file(path, npz_bytes(**arrays))
