"""Files: written whole or not at all, locked, made once, and read with their names in errors.

A writer fills a hidden file beside its target, `.NAME.TOKEN.part`, and holds the kernel's lock on
it. The lock ends with the process, so what a killed writer has left can be told from what is being
written, and the next writer of the same target removes it.
"""

import fcntl
import glob
import gzip
import io
import json
import os
import shutil
import socket
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from math import isfinite
from pathlib import Path
from secrets import token_hex
from typing import IO, Any

import numpy as np

_MOMENT = 0.3  # seconds that a taker waits, since whoever asks for the holder has it for a moment


class Busy(RuntimeError):
    """Another process holds the lock; the message says which, since when, and what to do."""


# --- writing ---


def write_file(path: str | os.PathLike, content: bytes | memoryview | str) -> None:
    """Write a file so that a reader finds the old one or the new one, never half of one.

    Text is UTF-8, its line ends as they are, names of files in it as the system has them. Raises
    OSError with the file's name and the reason.
    """
    with replacing(path) as file:
        file.write(
            content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
        )


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[IO[bytes]]:
    """A hidden file beside `path` to write to, whose name it gets at the end of the block.

    It is on disk before it gets the name, an error leaves nothing, and an OSError names `path`. Who
    needs a name to write to takes the file's `name`. A link stays, and what it leads to is
    replaced. A device or a pipe is no file, and is written to as it is.
    """
    target = Path(os.path.realpath(path))
    with naming(path):
        if Path(path).exists() and not (target.is_file() or target.is_dir()):
            with open(path, "wb") as device:
                yield device
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_unfinished(target.parent, target.name)
        file = _hidden(target)
    try:
        with naming(path, file.name), file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, target)
    finally:
        Path(file.name).unlink(missing_ok=True)


@contextmanager
def replacing_array(path: str | os.PathLike, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """As `replacing`: an npy file of uint8 to fill, mapped into memory."""
    with replacing(path) as file:
        array = np.lib.format.open_memmap(file.name, "w+", np.uint8, shape)
        # On a full disk the first touch of a page that has no place would end the process.
        os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
        yield array
        array.flush()


@contextmanager
def naming(path: str | os.PathLike, *also: str) -> Iterator[None]:
    """An OSError of the block that names no file, or one of `also`, names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename not in (None, *also):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _hidden(target: Path) -> IO[bytes]:
    """A new file beside its target, with the kernel's lock on it."""
    while True:
        file = open(target.with_name(f".{target.name}.{token_hex(4)}.part"), "xb")  # noqa: SIM115
        with suppress(OSError):  # where there are no locks, nobody removes it either
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.path.exists(file.name):  # another writer may have come before the lock
            return file
        file.close()


def remove_unfinished(folder: Path, name: str) -> None:
    """Remove what killed writers of a file have left in its folder; not what is being written."""
    for part in Path(folder).glob(f".{glob.escape(name)}.{'?' * 8}.part"):
        with suppress(OSError), open(part, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            part.unlink()


def require_room(folder: Path, megabytes: float) -> None:
    """OSError unless so many MB can be written to a folder, or to what it will be made in."""
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


# --- locks, and what is made once ---


@contextmanager
def lock(path: str | os.PathLike, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock while the block runs; it ends with the process, however that ends.

    The lock's file says who holds it, and stays afterwards, empty: were it removed, those who wait
    for it and those who come later would hold different ones. Raises Busy when another process, or
    this one, holds it already, unless it is to `wait`.
    """
    from filelock import FileLock, Timeout  # late: what only reads needs no lock

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(path, timeout=-1 if wait else _MOMENT, poll_interval=0.02)
    try:
        held.acquire()
    except Timeout:
        raise Busy(
            f"{path} is held by {holder(path) or 'a process that is gone by now'}; wait until that "
            "is done, or end it: the lock ends with it"
        ) from None
    try:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        path.write_text(json.dumps([os.getpid(), socket.gethostname(), since]), "utf-8")
        yield
    finally:
        with suppress(FileNotFoundError):
            os.truncate(path, 0)
        held.release()


def holder(path: str | os.PathLike) -> str | None:
    """Who holds a lock now, as "process 7 on host since ..."; None when nobody does."""
    try:
        with open(path, "rb") as file, suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
        pid, host, since = json.loads(Path(path).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):  # it has only just got the lock
        return "a process that has not said who it is"
    return f"process {pid} on {host} since {since}"


def once(path: Path, make: Callable[[], object], done: Callable[[], bool] | None = None) -> None:
    """Make what is not there yet, one process at a time: those that want the same wait for it.

    Args:
        make: writes `path`, or whatever lets `done` say true. Nothing but that is left when it is
            done.
    """
    done, file = done or path.exists, path.with_name(f".{path.name}.lock")
    if done() and not file.exists():
        return
    with lock(file, wait=True):
        try:
            if not done():
                make()
        finally:
            file.unlink(missing_ok=True)  # at worst another who waits makes the same beside a third


def fingerprint(*parts: Any) -> str:
    """Sixteen hexadecimal digits that change with the parts, to name what depends on them."""
    return sha256(repr(parts).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def digest(*arrays: np.ndarray) -> str:
    """The sha256 of the arrays' types, shapes and bytes."""
    sha = sha256()
    for array in arrays:
        sha.update(f"{array.dtype.str}{array.shape}".encode())
        sha.update(np.ascontiguousarray(array))
    return sha.hexdigest()


# --- reading ---


def stored_array(path: Path, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """What `replacing_array` wrote, mapped into memory, and copied there when it is written to.

    Args:
        shape: that it has to have, if known. ValueError for a damaged file, which may be deleted.
    """
    try:
        found = np.lib.format.open_memmap(path, "c")
        if found.dtype != np.uint8 or shape not in (None, found.shape):
            raise ValueError(f"{found.dtype} of shape {found.shape}, wanted uint8 of {shape}")
        return found
    except OSError:
        raise
    except Exception as error:  # a damaged file can fail in any way
        raise ValueError(f"{path} is damaged ({error}); delete it, and it is made again") from None


def read_bytes(path: str | os.PathLike) -> bytes:
    """What a file holds, unpacked if its name ends in .gz; ValueError for a damaged one."""
    if not str(path).endswith(".gz"):
        return Path(path).read_bytes()
    try:
        with gzip.open(path) as file:
            return file.read()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}); get it again") from error


def read_text(path: str | os.PathLike, errors: str = "strict") -> str:
    """The text of a file in UTF-8, without the mark at its start; ValueError for anything else.

    Args:
        errors: of `bytes.decode`.
    """
    try:
        text = read_bytes(path).decode("utf-8-sig", errors)
        if "\0" not in text:
            return text
        why = "has zeros in it, as UTF-16 has"
    except UnicodeDecodeError as error:
        why = f"is no text in UTF-8 ({error.reason} at byte {error.start})"
    raise ValueError(
        f"{path} {why}; convert it to UTF-8 (iconv -f UTF-16 -t UTF-8), or get it again"
    )


def read_json(path: str | os.PathLike, kind: type = dict) -> Any:
    """The one object, or with `kind` the list, in a JSON file.

    Raises:
        ValueError: with the file's name, for whatever else is in it, NaN and infinity too. OSError
            when there is no such file, or it cannot be read.
    """
    text = read_text(path)
    try:
        found = json.loads(text, parse_constant=_finite, parse_float=_finite)
        if not isinstance(found, kind):
            raise ValueError(f"wanted one JSON {'object' if kind is dict else 'list'}")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: no JSON, or damaged ({error})") from None
    return found


def _finite(word: str) -> float:
    if not isfinite(number := float(word)):
        raise ValueError(f"{word} is no number that can be meant")
    return number


def read_npz(source: bytes | str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays in an npz file, or in the bytes of one: numbers, bools and strings.

    Raises:
        ValueError: with the file's name, for a damaged one or none, and for Python objects. OSError
            when there is no such file, or it cannot be read.
    """
    name = "" if isinstance(source, bytes) else f"{source}: "
    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            found = dict(stored)
        if any(not isinstance(array, np.ndarray) for array in found.values()):
            raise ValueError("not all in it are arrays")
        return found
    except Exception as error:  # a damaged file can fail in any way
        why = str(error) or type(error).__name__
        raise ValueError(f"{name}a damaged npz, or none ({why})") from None


def npz_bytes(**arrays: np.ndarray) -> bytes:
    """The arrays as a compressed npz; the same arrays give the same bytes, zip dates being fixed.

    Raises:
        ValueError: for Python objects.
    """
    for key, value in arrays.items():
        if value.dtype.hasobject:
            raise ValueError(f"array {key} holds Python objects, wanted numbers, bools or strings")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()
