"""Locks between processes, on one machine or on several that share a folder.

A lock is a file that only one process can make, and it says who made it. While the lock is held a
thread touches the file from time to time. A holder that was killed leaves the file behind: on the
same machine the kernel knows that the process is gone, and of another machine it is believed when
the file has not been touched for two minutes.

Explained in chapter 05_more_frames.
"""

import fcntl
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lab.records.owners import Owner

BEAT, PATIENCE = 15.0, 120.0  # seconds between touches; without one for so long it is given up
SETTLE = 1.0  # seconds, for takers on machines that do not see each other's flock


class Busy(RuntimeError):
    """Another process holds the lock; the message says which, since when, and what to do.

    Explained in chapter 05_more_frames.
    """


@contextmanager
def held(
    path: str | os.PathLike, *, beat: float = BEAT, patience: float = PATIENCE
) -> Iterator[Callable[[], None]]:
    """Hold a lock while the block runs; Busy when another process, or this one, holds it already.

    beat: seconds between touches of the file. patience: seconds without one after which a holder
    on another machine is taken for dead. Gives a function that raises Busy if the lock was lost,
    as it is when this machine slept for longer than that: call it before what only one may do.

    Explained in chapter 05_more_frames.
    """
    path, mine, done = Path(path), Owner.here(), threading.Event()
    path.parent.mkdir(parents=True, exist_ok=True)

    def confirm() -> None:
        if (holder := _read(path)) != mine:
            raise Busy(f"{path} was taken over by {_described(holder)} while this process slept")

    try:
        while not ((_make(path, mine) or _take_over(path, mine, patience)) and _read(path) == mine):
            pass  # another was quicker to release it or to take it over: look again
        threading.Thread(target=_touch, args=(path, mine, beat, done), daemon=True).start()
        yield confirm
    finally:
        done.set()
        with suppress(OSError), _unchanging(path) as (holder, _):
            if holder == mine:
                path.unlink()


def owner(path: str | os.PathLike, *, patience: float = PATIENCE) -> Owner | None:
    """Who holds a lock now; None when nobody does, or nobody who still runs.

    Explained in chapter 05_more_frames.
    """
    try:
        with _unchanging(Path(path)) as (holder, silence):
            return None if holder is None or holder.is_gone(silence, patience) else holder
    except FileNotFoundError:
        return None


def _make(path: Path, mine: Owner) -> bool:
    """Make the file, or give False when it exists."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    try:
        with os.fdopen(handle, "w") as file:
            file.write(mine.text())
    except BaseException:
        path.unlink()
        raise
    return True


def _take_over(path: Path, mine: Owner, patience: float) -> bool:
    """Replace the file of a holder that is gone; False when the file is; Busy for a living one.

    Between looking at the file and replacing it another taker may have replaced it already. Hence a
    taker first gets the kernel's lock on the very file that it then judges, and looks whether that
    still has its name. The kernel's lock ends with its process, however that ends.
    """
    unfinished = path.with_name(f".{os.getpid()}-{mine.token}-{path.name}")
    try:
        with _unchanging(path) as (holder, silence):
            # One that has not written its name yet gets the time that others have for a touch.
            if not (holder.is_gone(silence, patience) if holder else silence > patience):
                raise Busy(
                    f"{path} is held by {_described(holder)}; wait until that is done, or end it. "
                    f"The lock of a process that is gone is taken over, at once on its own machine "
                    f"and after {patience:.0f} s on another"
                )
            unfinished.write_text(mine.text())
            os.replace(unfinished, path)
    except FileNotFoundError:
        return False
    finally:
        unfinished.unlink(missing_ok=True)
    if holder is None or holder.kernel != mine.kernel:
        time.sleep(SETTLE)  # the last of several takers stays, and the others see that
    return True


@contextmanager
def _unchanging(path: Path) -> Iterator[tuple[Owner | None, float]]:
    """A lock's holder, None if it has not said, and seconds since its last touch.

    Nobody takes over or releases the lock meanwhile. FileNotFoundError when there is none.
    """
    while True:
        # On network folders only a file opened for writing can be locked.
        with open(path, "rb+" if os.access(path, os.W_OK) else "rb") as file:
            with suppress(OSError):  # some know no such locks
                fcntl.flock(file, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                silence = _now(path.parent) - os.fstat(file.fileno()).st_mtime
                yield Owner.parse(file.read()), silence
                return


def _now(folder: Path) -> float:
    """The time by the clock that dates the folder's files, which may be a server's."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:  # one may look at a lock without a right to write there
        return time.time()


def _touch(path: Path, mine: Owner, beat: float, done: threading.Event) -> None:
    while not done.wait(beat):
        with suppress(OSError):
            if _read(path) == mine:
                os.utime(path)


def _read(path: Path) -> Owner | None:
    try:
        return Owner.parse(path.read_bytes())
    except FileNotFoundError:
        return None


def _described(holder: Owner | None) -> str:
    if holder is None:
        return "a process that has not said who it is"
    return f"process {holder.pid} on {holder.host} since {holder.since}"
