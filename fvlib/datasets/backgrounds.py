"""Moving grey scenes behind the digits: photographs under a moving camera, or UCF-101 clips."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from fvlib.datasets.sources import check_choice, digest, real_data

HEIGHT, WIDTH = 48, 64
CEILING = 224  # no background pixel is brighter (measured: 223), so the ink at 255 always shows
FRAMES = 64  # a clip of 32 frames fits at offsets 0..32
SPLITS = ("train", "validation", "test", "pretrain")

# The one scene behind every clip of every split: a person doing jumping jacks in a doorway before
# a still camera. Its change from frame to frame and its share of moving pixels are close to those
# of the published scene (push-ups against a wall), and it fills the whole picture.
SCENE = "v_JumpingJack_g13_c06"
# UCF-101 clips of one class and group share their scene, so groups are kept together. Groups 1-7
# are the official test split 1; the others are divided here.
GROUPS = {
    "test": range(1, 8),
    "validation": range(8, 11),
    "pretrain": range(11, 14),
    "train": range(14, 26),
}
# The same for the photographs: which one, and which of its columns.
PHOTOGRAPHS = {
    "pretrain": ("flower.jpg", 0, 640),
    "train": ("china.jpg", 0, 320),
    "validation": ("china.jpg", 320, 440),
    "test": ("china.jpg", 440, 640),
}


@dataclass(frozen=True, eq=False)
class BackgroundBank:
    """Background clips to draw from.

    Args:
        frames: uint8 (clips, frames, 48, 64), no value above 224.
        name: says where the clips come from; goes into the records.

    Raises ValueError for other shapes or types, or brighter pixels.
    Explained in chapter 03_move4mnist.
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
        source: "embedded", scikit-learn's two photographs under a slowly swaying camera; or
            "real", UCF-101 clips below `$FVLIB_DATA/UCF-101` (sub-folders allowed).
        split: "train", "validation", "test", or "pretrain", whose scenes no other split shows.
        count: how many clips. One is the published setting: train, validation and test then share
            the same single clip. With more, the splits have scenes of their own.

    Raises ValueError for an unknown source or split, count < 1, or fewer clips than asked for.
    Explained in chapter 03_move4mnist.
    """
    check_choice("background source", source, ("embedded", "real"))
    check_choice("split of the backgrounds", split, SPLITS)
    if count < 1:
        raise ValueError(f"count is {count}; wanted one background clip or more")
    shared = count == 1 and split != "pretrain"
    load = _photographs if source == "embedded" else _ucf_clips
    clips, name = load(split, count, shared)
    scenes = "the shared scene" if shared else f"{count} of {split}"
    return BackgroundBank(np.stack([_dim(clip) for clip in clips]), name=f"{name}: {scenes}")


def _dim(clip: np.ndarray) -> np.ndarray:
    brightest = max(int(clip.max()), CEILING)
    return (clip.astype(np.uint16) * CEILING // brightest).astype(np.uint8)


def _photographs(split: str, count: int, shared: bool) -> tuple[list[np.ndarray], str]:
    from PIL import Image
    from sklearn.datasets import load_sample_image

    split = "train" if shared else split  # the shared scene is the first of the training scenes
    file, first, last = PHOTOGRAPHS[split]
    photograph = Image.fromarray(load_sample_image(file)).convert("L")
    area = photograph.crop((first, 0, last, photograph.height))
    draw = np.random.Generator(np.random.Philox(SPLITS.index(split)))
    clips = []
    while len(clips) < count:
        clip = _sway(area, draw.random(6))
        if clip.std() > 25:  # otherwise a view of the sky alone
            clips.append(clip)
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
    files = {path.stem: path for path in real_data("UCF-101").rglob("*.avi")}
    if shared:
        if SCENE not in files:
            raise ValueError(f"{SCENE}.avi is not below {real_data('UCF-101')}; put it there")
        return [_decode(files[SCENE])], "UCF-101"
    clips = []
    # By group first: clips that follow each other then come from different classes.
    for stem in sorted(files, key=lambda stem: (_group(stem), stem)):
        of_shared_scene = stem.startswith(SCENE.removesuffix("_c06"))
        if _group(stem) in GROUPS[split] and not of_shared_scene:
            clip = _decode(files[stem])
            if len(clip) == FRAMES:  # a few clips are shorter
                clips.append(clip)
        if len(clips) == count:
            return clips, "UCF-101"
    raise ValueError(
        f"{count} background clips were asked for, but {real_data('UCF-101')} has only "
        f"{len(clips)} of {split} (groups {list(GROUPS[split])}) with {FRAMES} frames; "
        "ask for fewer or add clips"
    )


def _group(stem: str) -> int:
    """The group in a name such as v_JumpingJack_g13_c06; -1 for other names."""
    found = re.fullmatch(r"v_\w+_g(\d+)_c\d+", stem)
    return int(found[1]) if found else -1


def _decode(path: Path) -> np.ndarray:
    """The first 64 frames, grey, a fifth of the size without smoothing, as measured."""
    import av

    frames = []
    with av.open(str(path)) as video:
        for frame in video.decode(video=0):
            frames.append(shrink(frame.to_ndarray(format="gray")))
            if len(frames) == FRAMES:
                break
    return np.stack(frames)


def shrink(picture: np.ndarray) -> np.ndarray:
    """The nearest pixels to the centres of a 48x64 grid; of 240x320: rows and columns 2, 7, ...

    Explained in chapter 03_move4mnist.
    """
    rows, columns = (
        (2 * np.arange(size) + 1) * length // (2 * size)
        for size, length in zip((HEIGHT, WIDTH), picture.shape, strict=True)
    )
    return picture[np.ix_(rows, columns)]
