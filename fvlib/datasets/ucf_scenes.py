"""Clips of UCF-101 as backgrounds: which ones a split shows, decoded, grey and small."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fvlib.datasets.sources import real_data

HEIGHT, WIDTH = 48, 64
FRAMES = 64  # a clip of 32 frames fits at offsets 0..32

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


def shared_scene() -> tuple[str, np.ndarray]:
    """The name and the frames, uint8 (64, 48, 64), of the clip of UCF-101 behind the published set.

    Raises ValueError when it is not below `FVLIB_DATA`. Explained in chapter 03_move4mnist.
    """
    folder = real_data("UCF-101")
    for file in folder.rglob(f"{SCENE}.avi"):
        return SCENE, _decode(file)
    raise ValueError(f"{SCENE}.avi is not below {folder}; put it there")


def real_scenes(split: str) -> Iterator[tuple[str, np.ndarray]]:
    """Names and frames, uint8 (64, 48, 64), of the clips of UCF-101 with scenes of their own.

    By group first: clips that follow each other then come from different classes.
    Explained in chapter 03_move4mnist.
    """
    files = {path.stem: path for path in real_data("UCF-101").rglob("*.avi")}
    for stem in sorted(files, key=lambda stem: (_group(stem), stem)):
        of_shared_scene = stem.startswith(SCENE.removesuffix("_c06"))
        if _group(stem) in GROUPS[split] and not of_shared_scene:
            clip = _decode(files[stem])
            if len(clip) == FRAMES:  # a few clips are shorter
                yield stem, clip


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
