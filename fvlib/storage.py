"""Files: written whole or not at all, locked, made once, and read without trust.

A writer fills a hidden file beside its target, `.NAME.PID-TOKEN.part`, and holds the kernel's lock
on it. The lock ends with the process, so what a killed writer has left can be told from what is
being written, and the next writer of the same target removes it.
"""

import errno
import gzip
import io
import json
import os
import re
import shutil
import socket
import stat
import tempfile
import zipfile
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

_PART = re.compile(r"\.(.+)\.\d+-[0-9a-f]{8}\.part")
_MOMENT = 0.3  # seconds that a taker waits, since whoever asks for the holder has it for a moment
_MOST_JSON, _MOST_NPZ, _DEEPEST = 2**28, 2**30, 50  # bytes, bytes, levels


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
    replaced; a file keeps its permissions. OSError for what is there and is no file.
    """
    path = Path(path)
    target = Path(os.path.realpath(path))
    with naming(path):
        if target.exists() and not target.is_file():
            raise OSError(f"{path} is there and is no file; name another one, or move it away")
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_unfinished(target.parent, target.name)
        file = _begin(target)
    try:
        with naming(path, file.name), file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, target)
    finally:
        Path(file.name).unlink(missing_ok=True)
    with suppress(OSError):  # not every system can write folders down
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


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


def unfinished(folder: Path, name: str | None = None) -> list[Path]:
    """What killed writers have left in a folder of a file, or of any; not what is being written."""
    if not folder.is_dir():
        return []
    parts = [(folder / file, _PART.fullmatch(file)) for file in os.listdir(folder)]
    return sorted(
        file
        for file, match in parts
        if match and name in (None, match[1]) and file.is_file() and _in_use(file) is False
    )


def remove_unfinished(folder: Path, name: str | None = None) -> None:
    """Remove what `unfinished` finds."""
    for file in unfinished(folder, name):
        file.unlink(missing_ok=True)


def _begin(target: Path) -> IO[bytes]:
    """A new file beside the target, under a lock that ends with this process."""
    import fcntl

    while True:
        name = target.with_name(f".{target.name}.{os.getpid()}-{token_hex(4)}.part")
        file = open(name, "xb")  # noqa: SIM115
        with suppress(OSError):  # where there are no locks, nobody removes it either
            fcntl.flock(file, fcntl.LOCK_EX)
        if name.exists():  # else another took it for left before it was locked
            with suppress(FileNotFoundError):
                os.fchmod(file.fileno(), stat.S_IMODE(target.stat().st_mode))
            return file
        file.close()


def _in_use(path: Path) -> bool | None:
    """Whether a process holds the kernel's lock on a file; None where that is not to be known."""
    import fcntl

    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    except OSError:
        return None
    return False


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
    for it and those who come later would hold different ones.

    Raises:
        Busy: when another process, or this one, holds it already; with `wait` only when this thread
            does, which would wait for ever. OSError where no lock can be had: a folder that cannot
            be written to or knows no locks, and anything but a file in the place of the lock's.
    """
    from filelock import FileLock, SoftFileLock, Timeout  # late: what only reads needs no lock

    path = Path(path)
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise OSError(f"{path} is where the file of a lock is to be, and is no file; move it away")
    path.parent.mkdir(parents=True, exist_ok=True)
    held, why = FileLock(path, timeout=-1 if wait else _MOMENT, poll_interval=0.02), ""
    try:
        held.acquire()
    except Timeout:
        raise Busy(
            f"{path} is held by {holder(path) or 'a process that is gone by now'}; wait until that "
            "is done, or end it: the lock ends with it"
        ) from None
    except (NotImplementedError, UserWarning) as error:  # filelock's words for a lack of locks
        why = str(error)
    except RuntimeError:
        raise Busy(f"{path} is held by this very thread, which would wait for itself") from None
    except OSError as error:
        why = error.strerror or str(error)
    if isinstance(held, SoftFileLock):  # it would outlive a killed process
        held.release(force=True)
        why = os.strerror(errno.ENOLCK)
    if why:
        raise OSError(
            f"{path} cannot be locked ({why}); take a folder that can be written to, on a disk "
            "that knows locks (flock)"
        )
    try:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        with naming(path):
            path.write_text(json.dumps([os.getpid(), socket.gethostname(), since]), "utf-8")
        yield
    finally:
        with suppress(OSError):
            os.truncate(path, 0)
        held.release()


def holder(path: str | os.PathLike) -> str | None:
    """Who holds a lock now, as "process 7 on host since ..."; None when nobody does."""
    path = Path(path)
    if path.is_symlink() or not path.is_file() or not _in_use(path):
        return None
    try:
        pid, host, since = json.loads(path.read_bytes())
    except (OSError, ValueError, TypeError):  # it has only just got the lock
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


# --- reading ---


def read_text(path: str | os.PathLike, errors: str = "strict", most: int = _MOST_JSON) -> str:
    """The text of a file in UTF-8, without the mark at its start; ValueError for anything else.

    Args:
        errors: of `bytes.decode`.
    """
    advice = (
        "convert it to UTF-8 (iconv -f UTF-16 -t UTF-8, or from what it is in), or get it again"
    )
    try:
        text = read_bytes(path, most).decode("utf-8-sig", errors)
    except UnicodeDecodeError as error:
        where = f"{error.reason} at byte {error.start}"
        raise ValueError(f"{path} is no text in UTF-8 ({where}); {advice}") from error
    if "\0" in text:
        raise ValueError(f"{path} has zeros in it, as no text in UTF-8 has; {advice}")
    return text


def read_json(path: str | os.PathLike, most: int = _MOST_JSON, kind: type = dict) -> Any:
    """The one object, or with `kind` the list, in a JSON file, its numbers finite and of 64 bits.

    Raises:
        ValueError: with the file's name, for whatever else is in it: other bytes than UTF-8, more
            than `most` bytes, a name twice in one object, more than fifty levels. OSError when
            there is no such file, or it cannot be read.
    """
    text = read_text(path, most=most)
    try:
        found = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_refuse,
            parse_float=_float,
            parse_int=_int,
        )
        if not isinstance(found, kind):
            raise ValueError(f"wanted one JSON {'object' if kind is dict else 'list'}")
        require_flat(found)
    except RecursionError:
        raise ValueError(f"{path}: nested too deep") from None
    except ValueError as error:
        raise ValueError(f"{path}: no JSON, or damaged ({error})") from None
    return found


def require_flat(tree: Any, levels: int = _DEEPEST) -> None:
    """ValueError unless mappings and lists lie at most so many levels deep in each other."""
    branches = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    if levels < 0:
        raise ValueError("nested too deep")
    for branch in branches:
        require_flat(branch, levels - 1)


def read_npz(source: bytes | str | os.PathLike, most: int = _MOST_NPZ) -> dict[str, np.ndarray]:
    """The arrays in an npz file, or in the bytes of one: numbers, bools and strings.

    Raises:
        ValueError: with the file's name, for whatever else is in it: no zip archive or a damaged
            one, Python objects, headers that do not fit what follows them, more than `most` bytes
            when unpacked. OSError when there is no such file, or it cannot be read.
    """
    name = "" if isinstance(source, bytes) else f"{source}: "
    content = source if isinstance(source, bytes) else read_bytes(source, most)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > most:
                raise ValueError(f"more than {most} bytes when unpacked")
            found = {}
            for member in members:
                key = member.filename.removesuffix(".npy")
                if key == member.filename or key in found:
                    raise ValueError(f"{member.filename!r} is no array, or is there twice")
                array = io.BytesIO(archive.read(member))
                found[key] = np.lib.format.read_array(array, allow_pickle=False)
                if array.read(1):
                    raise ValueError(f"{key} has more bytes than its header says")
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


def read_bytes(path: str | os.PathLike, most: int = _MOST_JSON) -> bytes:
    """What a file holds, unpacked if its name ends in .gz.

    Raises:
        ValueError: which names the file, for more than so many bytes, for what is no file, and for
            a damaged one.
    """
    require_file(Path(path))
    try:
        with (gzip.open if str(path).endswith(".gz") else open)(path, "rb") as file:
            content = file.read(most + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}); get it again") from error
    if len(content) > most:
        raise ValueError(f"{path}: more than {most} bytes, too many for what was wanted")
    return content


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is there twice in one object")
    return found


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no number that can be meant")


def _float(text: str) -> float:
    value = float(text)
    return value if isfinite(value) else _refuse(text)


def _int(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
        raise ValueError(f"{text[:20]}... has more than 64 bits")
    return int(text)
