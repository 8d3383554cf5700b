"""Where real data lies: in the folder that `FVLIB_DATA` names, or in one file, a pack."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fvlib.storage import digest, require_file

VERSION = 1  # of packs
ABOUT = "about.json"


def real_data(*parts: str) -> Path:
    """A file or folder below `FVLIB_DATA`, the one place where real data is looked for.

    Raises:
        ValueError: when the variable is not set, or when nothing is there; both say what to do.
    """
    root = os.environ.get("FVLIB_DATA")
    if not root:
        raise ValueError(
            f"real data was asked for, but FVLIB_DATA is not set: set it to the folder that holds "
            f"{'/'.join(parts) or 'the data sets'}, or ask for the source 'embedded', which needs "
            "no files"
        )
    path = Path(root, *parts)
    if parts and Path(root).is_file():
        raise ValueError(
            f"FVLIB_DATA names {root}, a file with what Move4MNIST needs, and {'/'.join(parts)} "
            "was asked for: let it name a folder that has that"
        )
    if not path.exists():
        raise ValueError(
            f"real data was asked for, but {path} does not exist: put it there, let FVLIB_DATA "
            f"(now {root}) name another folder, or ask for the source 'embedded'"
        )
    return path


@dataclass(frozen=True)
class Pack:
    """A pack that was opened: its file, and what it says about its arrays.

    Args:
        about: version; sha256 of each array by name; whatever `write_pack` was told beside them.
    """

    path: Path
    about: Mapping[str, Any]

    def read(self, name: str) -> np.ndarray:
        """One of the arrays; ValueError when it is not there or not what it was."""
        known = self.about["sha256"]
        if name not in known:
            raise ValueError(
                f"{self.path} has no {name}, but {', '.join(known)}; pack it again, from "
                "a folder that has it"
            )
        array = _member(self.path, name)
        if digest(array) != known[name]:
            raise damaged_pack(self.path, f"{name} is not what it was when it was packed")
        return array


def real_pack() -> Pack | None:
    """The pack that `FVLIB_DATA` names; None when it names a folder, or nothing.

    Raises:
        ValueError: for a file that is no pack, is damaged, or is one of another version.
    """
    path = Path(os.environ.get("FVLIB_DATA", ""))
    if path.is_dir() or not path.exists():
        return None
    require_file(path)
    try:
        about = json.loads(str(_member(path, ABOUT)))
    except (json.JSONDecodeError, RecursionError) as error:
        raise damaged_pack(path, f"its {ABOUT} is no JSON") from error
    if not isinstance(about, dict) or not isinstance(about.get("sha256"), dict):
        raise damaged_pack(path, f"its {ABOUT} does not say what is in it")
    if about.get("version") != VERSION:
        raise ValueError(
            f"{path} is a pack of version {about.get('version')!r}, and {VERSION} is read here; "
            "pack it again"
        )
    return Pack(path, about)


def _member(path: Path, name: str) -> np.ndarray:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            return np.asarray(stored[name])
    except PermissionError:
        raise
    except Exception as error:  # a damaged file can fail in any way, also for memory
        raise damaged_pack(path, f"{type(error).__name__} when {name} was read") from error


def damaged_pack(path: Path, why: str) -> ValueError:
    """The error for a file that `FVLIB_DATA` names and that is no pack, or a damaged one."""
    return ValueError(
        f"FVLIB_DATA names {path}, which is no pack, or a damaged one ({why}): pack it again, or "
        "let FVLIB_DATA name a folder"
    )
