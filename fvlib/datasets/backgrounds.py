"""Moving grey scenes behind the digits: photographs under a moving camera, or UCF-101 clips."""

from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np

from fvlib.datasets.packs import real_pack
from fvlib.datasets.sources import check_choice, digest, real_data
from fvlib.datasets.ucf_scenes import FRAMES, GROUPS, HEIGHT, WIDTH, real_scenes, shared_scene

CEILING = 224  # no background pixel is brighter (measured: 223), so the ink at 255 always shows
SPLITS = ("train", "validation", "test", "pretrain")

# Which photograph a split shows, and which of its columns.
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
            "real", UCF-101 clips below `$FVLIB_DATA/UCF-101` (sub-folders allowed), or from the
            file of `data pack` that `FVLIB_DATA` names.
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
    return BackgroundBank(np.stack([dim(clip) for clip in clips]), name=f"{name}: {scenes}")


def dim(clip: np.ndarray) -> np.ndarray:
    """A clip with no pixel above 224, in proportion; one that has none already stays as it is.

    Explained in chapter 03_move4mnist.
    """
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
    if (pack := real_pack()) is not None:
        clips = list(pack.read(f"backgrounds-{'shared' if shared else split}")[:count])
        place = pack.path
    elif shared:
        return [shared_scene()[1]], "UCF-101"
    else:
        clips = [clip for _, clip in islice(real_scenes(split), count)]
        place = real_data("UCF-101")
    if len(clips) < count:
        raise ValueError(
            f"{count} background clips were asked for, but {place} has only "
            f"{len(clips)} of {split} (groups {list(GROUPS[split])}) with {FRAMES} frames; "
            "ask for fewer or add clips"
        )
    return clips, "UCF-101"
