"""Moving grey scenes behind the digits: photographs under a moving camera, or UCF-101 clips."""

from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np

from fvlib import extra
from fvlib.datasets.data_root import packed, real_data
from fvlib.storage import digest
from fvlib.values import check_choice

HEIGHT, WIDTH = 48, 64
FRAMES = 64  # a clip of 32 frames fits at offsets 0..32
CEILING = 224  # no background pixel is brighter (measured: 223), so the ink at 255 always shows
SPLITS = ("train", "validation", "test", "pretrain")

# Which photograph a split shows, and which of its columns.
PHOTOGRAPHS = {
    "pretrain": ("flower.jpg", 0, 640),
    "train": ("china.jpg", 0, 320),
    "validation": ("china.jpg", 320, 440),
    "test": ("china.jpg", 440, 640),
}

# The one scene behind every clip of every split: a person doing jumping jacks in a doorway before
# a still camera. Its change from frame to frame and its share of moving pixels are close to those
# of the published scene (push-ups against a wall), and it fills the whole picture.
SCENE = "v_JumpingJack_g13_c06"
# The clips of UCF-101 that a split shows when it has scenes of its own, by name, so that what else
# lies in the folder changes nothing. Clips of one class and group share their scene: groups 1-7,
# the official test split 1, are for testing, 8-10 for validation, 11-13 for what is trained before,
# 14-25 for training.
_NAMED = {
    "shared": SCENE,
    "pretrain": """
        v_BandMarching_g11_c05 v_Haircut_g11_c03 v_HighJump_g11_c04 v_Skiing_g11_c02
        v_CliffDiving_g12_c03 v_HandstandWalking_g12_c02 v_CliffDiving_g11_c01 v_Drumming_g11_c04
        v_HandstandWalking_g11_c01 v_JumpingJack_g11_c02 v_Mixing_g11_c01 v_SumoWrestling_g11_c01
        v_Biking_g12_c04 v_Haircut_g12_c01 v_HighJump_g12_c01 v_JumpingJack_g12_c02""",
    "train": """
        v_ApplyLipstick_g14_c03 v_BasketballDunk_g14_c06 v_Biking_g14_c01 v_CliffDiving_g14_c01
        v_Drumming_g14_c02 v_Haircut_g14_c02 v_HandstandWalking_g14_c01 v_HighJump_g14_c03
        v_Mixing_g14_c03 v_SumoWrestling_g14_c01 v_Biking_g15_c01 v_CliffDiving_g15_c01
        v_Drumming_g15_c02 v_Haircut_g15_c02 v_Skiing_g15_c01 v_SumoWrestling_g15_c01""",
    "validation": """
        v_Biking_g08_c02 v_CliffDiving_g08_c01 v_Drumming_g08_c02 v_Haircut_g08_c01
        v_HandstandWalking_g08_c02 v_Mixing_g08_c02 v_Skiing_g08_c02 v_SumoWrestling_g08_c02
        v_Biking_g09_c01 v_CliffDiving_g09_c01 v_Drumming_g09_c04 v_Haircut_g09_c01
        v_HighJump_g09_c02 v_JumpingJack_g09_c01 v_Mixing_g09_c01 v_Skiing_g09_c02""",
    "test": """
        v_ApplyEyeMakeup_g01_c01 v_Basketball_g01_c01 v_Biking_g01_c01 v_CliffDiving_g01_c01
        v_Drumming_g01_c01 v_HandstandWalking_g01_c01 v_HighJump_g01_c05 v_JumpingJack_g01_c02
        v_Mixing_g01_c06 v_Skiing_g01_c05 v_SumoWrestling_g01_c01 v_Biking_g02_c02
        v_CliffDiving_g02_c01 v_Drumming_g02_c02 v_Haircut_g02_c01 v_HandstandWalking_g02_c01""",
}
SCENES = {split: tuple(names.split()) for split, names in _NAMED.items()}


@dataclass(frozen=True, eq=False)
class BackgroundBank:
    """Background clips to draw from.

    Args:
        frames: uint8 (clips, frames, 48, 64), no value above 224.
        name: says where the clips come from; goes into the records.

    Raises:
        ValueError: for other shapes or types, or brighter pixels.
    """

    frames: np.ndarray
    name: str

    def __post_init__(self):
        if self.frames.dtype != np.uint8 or self.frames.shape[2:] != (HEIGHT, WIDTH):
            raise ValueError(
                f"background frames are {self.frames.dtype} {self.frames.shape}; "
                f"wanted uint8 (clips, frames, {HEIGHT}, {WIDTH})"
            )
        if self.frames.size == 0:
            raise ValueError(f"background bank {self.name!r} is empty; give it one clip or more")
        if self.frames.max() > CEILING:
            raise ValueError(
                f"background {self.name!r} reaches grey {self.frames.max()}, and digits would "
                f"drown in it; scale it down to at most {CEILING}"
            )

    def __len__(self):
        return len(self.frames)

    @cached_property
    def sha256(self) -> str:
        return digest(self.frames)

    @cached_property
    def letterboxed(self) -> np.ndarray:
        """The clips on the square canvas, 8 black rows above and below: (clips, frames, 64, 64)."""
        bar = (WIDTH - HEIGHT) // 2
        return np.pad(self.frames, ((0, 0), (0, 0), (bar, bar), (0, 0)))


def load_backgrounds(
    source: str = "embedded", split: str = "train", count: int = 1
) -> BackgroundBank:
    """Background clips of 64 frames, 48x64.

    Args:
        source: "embedded", scikit-learn's two photographs under a slowly swaying camera; or "real",
            the UCF-101 clips of `SCENES` below `$FVLIB_DATA/UCF-101` (sub-folders allowed), or from
            the pack that `FVLIB_DATA` names.
        split: "train", "validation", "test", or "pretrain", whose scenes no other split shows.
        count: how many clips. One is the published setting: train, validation and test then share
            the same single clip. With more, the splits have scenes of their own.

    Raises:
        ValueError: for an unknown source or split, count < 1, more clips than are named, and a clip
            that is missing, damaged or too short, by its name.
    """
    check_choice("background source", source, ("embedded", "real"))
    check_choice("split of the backgrounds", split, SPLITS)
    if count < 1:
        raise ValueError(f"count is {count}; wanted one background clip or more")
    shared = count == 1 and split != "pretrain"
    load = _photographs if source == "embedded" else _ucf_clips
    clips, name = load(split, count, shared)
    scenes = "the shared scene" if shared else f"{count} of {split}"
    return BackgroundBank(np.stack(clips), name=f"{name}: {scenes}")


def dim(clip: np.ndarray) -> np.ndarray:
    """A clip with no pixel above 224, in proportion; one that has none already stays as it is."""
    brightest = max(int(clip.max()), CEILING)
    return (clip.astype(np.uint16) * CEILING // brightest).astype(np.uint8)


def _photographs(split: str, count: int, shared: bool) -> tuple[list[np.ndarray], str]:
    from PIL import Image

    split = "train" if shared else split  # the shared scene is the first of the training scenes
    file, first, last = PHOTOGRAPHS[split]
    picture = extra("sklearn.datasets").load_sample_image(file)
    photograph = Image.fromarray(picture).convert("L")
    area = photograph.crop((first, 0, last, photograph.height))
    draw = np.random.Generator(np.random.Philox(SPLITS.index(split)))
    clips = []
    while len(clips) < count:
        clip = _sway(area, draw.random(6))
        if clip.std() > 25:  # otherwise a view of the sky alone
            clips.append(dim(clip))
    return clips, "photographs"


def _sway(area, random: np.ndarray) -> np.ndarray:
    """A view of 64x48 that drifts over part of a photograph on a slow closed curve.

    `random`: six numbers in [0, 1) for the zoom, the place (x, y), the amplitude, two phases.
    """
    from PIL import Image

    amplitude = 1 + random[3]  # pixels of the view: one to three grey levels a frame
    widest = area.width / (WIDTH + 2 * amplitude)
    zoom = min(1.5 + random[0], widest)  # pixels of the photograph in one pixel of the view
    reach = zoom * amplitude
    left = reach + random[1] * (area.width - WIDTH * zoom - 2 * reach)
    top = reach + random[2] * (area.height - HEIGHT * zoom - 2 * reach)
    angle = 2 * np.pi * (np.outer(np.arange(FRAMES), [1 / 40, 1 / 56]) + random[4:])
    return np.stack(
        [
            np.asarray(
                area.resize(
                    (WIDTH, HEIGHT),
                    Image.Resampling.BILINEAR,
                    box=(x, y, x + WIDTH * zoom, y + HEIGHT * zoom),
                )
            )
            for x, y in [left, top] + reach * np.sin(angle)
        ]
    )


def _ucf_clips(split: str, count: int, shared: bool) -> tuple[list[np.ndarray], str]:
    names = SCENES["shared" if shared else split][:count]
    if len(names) < count:
        raise ValueError(
            f"{count} background clips of {split} were asked for, and {len(names)} are named "
            "(SCENES); ask for fewer"
        )
    return [real_scene(name) for name in names], "UCF-101"


def real_scene(name: str) -> np.ndarray:
    """The first 64 frames of a clip of UCF-101, no pixel above 224: uint8 (64, 48, 64).

    Raises:
        ValueError: with the name, when it is not below `FVLIB_DATA`, or is damaged or shorter.
    """
    if (clip := packed(name)) is not None:
        return clip
    folder, file = real_data("UCF-101"), f"{name}.avi"
    # The first also looks into classes that are links to folders elsewhere.
    if (path := next(chain(folder.glob(f"*/{file}"), folder.rglob(file)), None)) is None:
        raise ValueError(f"{file} is not below {folder}; put it there")
    return dim(_decode(path))


def _decode(path) -> np.ndarray:
    """The first 64 frames, grey, a fifth of the size without smoothing, as measured."""
    from fvlib.datasets.videos.files import VideoFile
    from fvlib.datasets.videos.frames import too_short

    small: list[np.ndarray] = []
    with closing(VideoFile(path).decoded()) as frames:
        for frame, _ in frames:
            small.append(shrink(frame.to_ndarray(format="gray")))
            if len(small) == FRAMES:
                return np.stack(small)
    raise too_short(path, len(small), FRAMES - 1)


def shrink(picture: np.ndarray) -> np.ndarray:
    """The nearest pixels to the centres of a 48x64 grid; of 240x320: rows and columns 2, 7, ..."""
    rows, columns = (
        (2 * np.arange(size) + 1) * length // (2 * size)
        for size, length in zip((HEIGHT, WIDTH), picture.shape, strict=True)
    )
    return picture[np.ix_(rows, columns)]
