"""Where real data lies: in the folder that `FVLIB_DATA` names, or in one file, a pack.

A pack is an npz with the files of MNIST and the decoded clips of the backgrounds, by their names:
`fvlib.datasets.move4mnist.pack_real` writes it, for machines on which nothing can decode a video.
"""

import os
from pathlib import Path

import numpy as np


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


def packed(name: str) -> np.ndarray | None:
    """An array of the pack that `FVLIB_DATA` names; None when it names a folder, or nothing.

    Raises:
        ValueError: when the array is not in the file, or the file is no pack, or damaged.
    """
    path = Path(os.environ.get("FVLIB_DATA", ""))
    if not path.is_file():
        return None
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            return stored[name]
    except PermissionError:
        raise
    except Exception as error:  # a damaged file can fail in any way
        raise ValueError(
            f"FVLIB_DATA names {path}, a file without {name}, or a damaged one ({error}): pack it "
            "again, or let FVLIB_DATA name a folder"
        ) from error
