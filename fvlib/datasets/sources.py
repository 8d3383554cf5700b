"""What data sets share: where real data lies, and a digest of arrays."""

import hashlib
import os
from pathlib import Path

import numpy as np


def real_data(*parts: str) -> Path:
    """A file or folder below `FVLIB_DATA`, the one place where real data is looked for.

    Raises ValueError when the variable is not set, or when nothing is there; both say what to do.
    Explained in chapter 03_move4mnist.
    """
    root = os.environ.get("FVLIB_DATA")
    if not root:
        raise ValueError(
            f"real data was asked for, but FVLIB_DATA is not set: set it to the folder that holds "
            f"{'/'.join(parts)}, or ask for the source 'embedded', which needs no files"
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


def digest(*arrays: np.ndarray) -> str:
    """The sha256 of the arrays' types, shapes and bytes.

    Explained in chapter 03_move4mnist.
    """
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.dtype.str}{array.shape}".encode())
        sha.update(np.ascontiguousarray(array))
    return sha.hexdigest()


def check_choice(what: str, value: object, choices: tuple) -> None:
    """Raise ValueError unless `value` is one of `choices`.

    Explained in chapter 03_move4mnist.
    """
    if value not in choices:
        wanted = ", ".join(map(repr, choices))
        raise ValueError(f"{what} is {value!r}; choose one of {wanted}")
