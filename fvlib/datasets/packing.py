"""What goes into a pack: all of MNIST, and background clips as they are drawn from."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fvlib.datasets.backgrounds import SPLITS, dim
from fvlib.datasets.digits import FILES, read_idx
from fvlib.datasets.packs import MAX_BYTES, real_pack, write_pack
from fvlib.datasets.ucf_scenes import FRAMES, HEIGHT, WIDTH, real_scenes, shared_scene

CLIPS = 16  # of each split at most: 3 MB, and no recipe takes more than 6


def pack_real(
    path: Path, *, clips: int = CLIPS, most: int = MAX_BYTES, progress: bool = False
) -> None:
    """Write all that Move4MNIST needs of the folder that `FVLIB_DATA` names into one file.

    MNIST as it is; the shared scene, and up to `clips` background clips of each split, decoded.
    `FVLIB_DATA` may name the file in place of the folder then: digits, backgrounds and with them
    all clips are the same to the bit, and reading them takes no more than NumPy.

    Raises ValueError, and writes nothing, when something is missing, when the file would have more
    than `most` bytes, and when `FVLIB_DATA` names a pack already.
    Explained in chapter 03_move4mnist.
    """
    if real_pack() is not None:
        raise ValueError("FVLIB_DATA names a pack already: copy it, or name the folder it is from")
    if clips < 1:
        raise ValueError(f"clips is {clips}; wanted one or more of each split")
    arrays = {name: read_idx(name) for name in FILES}
    names = {}
    for split in tqdm(("shared", *SPLITS), "pack", leave=False, disable=not progress):
        scenes = [shared_scene()] if split == "shared" else islice(real_scenes(split), clips)
        found = {name: dim(clip) for name, clip in scenes}
        none = np.zeros((0, FRAMES, HEIGHT, WIDTH), np.uint8)
        arrays[f"backgrounds-{split}"] = np.stack(list(found.values())) if found else none
        names[split] = list(found)
    write_pack(path, arrays, most=most, names={"digits": "MNIST", "backgrounds": names})
