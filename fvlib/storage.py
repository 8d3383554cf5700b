"""Files that are whole or not there: one way to write them."""

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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


def require_file(path: Path) -> None:
    """ValueError unless a path names a regular file: a FIFO would be waited for without end, and a
    device or a folder is nothing to read. FileNotFoundError when nothing is there.
    """
    if not stat.S_ISREG(mode := os.stat(path).st_mode):
        raise ValueError(f"{path} is {kind(mode)}, and a file was wanted; give another name")


def kind(mode: int) -> str:
    """What a file's mode says that it is, in words."""
    kinds = ("DIR", "a folder"), ("FIFO", "a FIFO"), ("SOCK", "a socket"), ("REG", "a file")
    return next((word for name, word in kinds if getattr(stat, f"S_IS{name}")(mode)), "a device")


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
