"""Processes that hold locks: who they are, and whether they still run."""

import json
import os
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4


@dataclass(frozen=True)
class Owner:
    """Who holds a lock. Explained in chapter 05_more_frames."""

    host: str
    kernel: str  # this boot of the machine, and the space that its process numbers are of
    pid: int
    started: str  # when the process began, in the kernel's ticks; empty where that is not known
    since: str  # ISO 8601, UTC
    token: str  # of this holding of the lock and no other

    @classmethod
    def here(cls) -> "Owner":
        """This process, and now."""
        pid, since = os.getpid(), datetime.now(UTC).isoformat(timespec="seconds")
        return cls(socket.gethostname(), _kernel(), pid, _started(pid) or "", since, uuid4().hex)

    @classmethod
    def parse(cls, content: bytes) -> "Owner | None":
        """What a lock file says; None when it does not say it, or not all of it yet."""
        try:
            return cls(**json.loads(content))
        except (ValueError, TypeError):
            return None

    def text(self) -> str:
        """What a lock file is to say."""
        return json.dumps(asdict(self))

    def is_gone(self, silence: float, patience: float) -> bool:
        """Whether it no longer runs, if its lock has not been touched for `silence` seconds."""
        if self.kernel == _kernel():
            started = _started(self.pid)
            if started is None or started != self.started:  # another process has the number now
                return True
            if started:
                return False  # it may be stopped, or have lost its thread, but it is there
        return silence > patience


def _kernel() -> str:
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _started(pid: int) -> str | None:
    """When a process began, empty where the kernel does not say; None when it is gone."""
    if Path("/proc/self/stat").exists():
        try:
            state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if state in "ZX" else fields[18]  # Z: killed, and its parent has not asked
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:  # it is there, and somebody else's
        pass
    return ""
