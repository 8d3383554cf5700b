"""Real data as one file, for machines on which nothing can decode a video: a pack."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fvlib.datasets.sources import digest
from fvlib.storage import replacing

VERSION = 1
MAX_BYTES = 60_000_000
ABOUT = "about.json"


@dataclass(frozen=True)
class Pack:
    """A pack that was opened: its file, and what it says about its arrays.

    about: version; sha256 of each array by name; whatever `write_pack` was told beside them.
    Explained in chapter 03_move4mnist.
    """

    path: Path
    about: Mapping[str, Any]

    def read(self, name: str) -> np.ndarray:
        """One of the arrays; ValueError when it is not there or not what it was.

        Explained in chapter 03_move4mnist.
        """
        known = self.about["sha256"]
        if name not in known:
            raise ValueError(
                f"{self.path} has no {name}, but {', '.join(known)}; pack it from a folder that "
                "has it: python -m lab data pack"
            )
        array = _member(self.path, name)
        if digest(array) != known[name]:
            raise _damaged(self.path, f"{name} is not what it was when it was packed")
        return array


def real_pack() -> Pack | None:
    """The pack that `FVLIB_DATA` names; None when it names a folder, or nothing.

    Raises ValueError for a file that is no pack, is damaged, or is one of another version.
    Explained in chapter 03_move4mnist.
    """
    path = Path(os.environ.get("FVLIB_DATA", ""))
    if not path.is_file():
        return None
    about = json.loads(str(_member(path, ABOUT)))
    if about["version"] != VERSION:
        raise ValueError(
            f"{path} is a pack of version {about['version']}, and {VERSION} is read here; make it "
            "again: python -m lab data pack"
        )
    return Pack(path, about)


def write_pack(
    path: Path, arrays: Mapping[str, np.ndarray], *, most: int = MAX_BYTES, **about: Any
) -> None:
    """Write arrays to a compressed npz that is whole or not there.

    about: what is kept beside them, as JSON. Raises ValueError, and writes nothing, when the file
    would have more than `most` bytes.
    Explained in chapter 03_move4mnist.
    """
    sha256 = {name: digest(array) for name, array in arrays.items()}
    text = np.array(json.dumps({"version": VERSION, "sha256": sha256, **about}))
    with replacing(path) as unfinished:
        with open(unfinished, "wb") as file:
            np.savez_compressed(file, **{ABOUT: text}, **arrays)
            file.flush()
            os.fsync(file.fileno())
        if (size := unfinished.stat().st_size) > most:
            raise ValueError(
                f"the pack would have {size / 1e6:.1f} MB, and at most {most / 1e6:.1f} are "
                "allowed, so nothing was written; pack fewer clips"
            )


def _member(path: Path, name: str) -> np.ndarray:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            return stored[name]
    except (OSError, MemoryError):
        raise
    except Exception as error:  # a damaged file can fail in any way
        why = f"{type(error).__name__} when {name} was read"
        raise _damaged(path, why) from error


def _damaged(path: Path, why: str) -> ValueError:
    return ValueError(
        f"FVLIB_DATA names {path}, which is no pack, or a damaged one ({why}): make it again with "
        "python -m lab data pack, or let FVLIB_DATA name a folder"
    )
