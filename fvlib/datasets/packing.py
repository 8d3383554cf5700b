"""Real data as one file, for machines on which nothing can decode a video: a pack is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from fvlib.datasets.backgrounds import SCENES, real_scenes
from fvlib.datasets.data_root import ABOUT, VERSION, real_pack
from fvlib.datasets.digits import FILES, read_idx
from fvlib.storage import digest, npz_bytes, write_file

MAX_BYTES = 60_000_000


def pack_real(path: Path, *, progress: bool = False) -> None:
    """Write all that Move4MNIST needs of the folder that `FVLIB_DATA` names into one file.

    MNIST as it is, and the named background clips of each split, decoded. `FVLIB_DATA` may name the
    file in place of the folder then: digits, backgrounds and with them all clips are the same to
    the bit, and reading them takes no more than NumPy.

    Raises:
        ValueError: and writes nothing, when something is missing, when the file would have more
            than `MAX_BYTES`, and when `FVLIB_DATA` names a pack already.
    """
    if real_pack() is not None:
        raise ValueError("FVLIB_DATA names a pack already: copy it, or name the folder it is from")
    arrays = {name: read_idx(name) for name in FILES}
    for split, names in tqdm(SCENES.items(), "pack", leave=False, disable=not progress):
        arrays[f"backgrounds-{split}"] = np.stack(real_scenes(names))
    names = {split: list(names) for split, names in SCENES.items()}
    write_pack(path, arrays, names={"digits": "MNIST", "backgrounds": names})


def write_pack(path: Path, arrays: Mapping[str, np.ndarray], **about: Any) -> None:
    """Write arrays to a compressed npz that is whole or not there.

    Args:
        about: what is kept beside them, as JSON.

    Raises:
        ValueError: and writes nothing, when the file would have more than `MAX_BYTES`.
    """
    sha256 = {name: digest(array) for name, array in arrays.items()}
    text = np.array(json.dumps({"version": VERSION, "sha256": sha256, **about}))
    content = npz_bytes(**{ABOUT: text}, **arrays)
    if len(content) > MAX_BYTES:
        raise ValueError(
            f"the pack would have {len(content) / 1e6:.1f} MB, and at most {MAX_BYTES / 1e6:.1f} "
            "are allowed, so nothing was written"
        )
    write_file(path, content)
