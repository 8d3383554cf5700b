"""What data sets share: where real data lies, a digest of arrays, files that are never half."""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; what is there at the end takes the place of `path`.

    So a reader finds the old file or the new one, never half of one, and an error leaves nothing;
    an OSError names `path`. A process that is killed leaves what `remove_unfinished` removes.
    Explained in chapter 05_more_frames.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    except OSError as error:
        if error.filename in (None, str(unfinished)):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        unfinished.unlink(missing_ok=True)


def remove_unfinished(folder: Path, stem: str) -> None:
    """Remove what killed processes were writing to files of this stem in a folder.

    Only for who may write them alone, as nobody is asked whether the writer still runs.
    Explained in chapter 05_more_frames.
    """
    if folder.is_dir():
        for file in folder.iterdir():
            if re.fullmatch(rf"\.\d+-{re.escape(stem)}\..*", file.name):
                file.unlink(missing_ok=True)


def require_room(folder: Path, megabytes: float) -> None:
    """OSError unless files of so many MB can be written to a folder, or to what it will be made in.

    Explained in chapter 05_more_frames.
    """
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(
            f"{folder} cannot be written to ({error.strerror}: {place}), so nothing was begun; "
            "make it a folder that can be, or give another"
        ) from error
    free = shutil.disk_usage(place).free / 1e6
    if free < megabytes:
        raise OSError(
            f"{folder} has {free:.1f} MB left and {megabytes:.1f} MB are wanted, so nothing was "
            "begun; make room, or give another folder"
        )
