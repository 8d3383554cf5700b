"""What several test modules share."""

import signal
import time
from pathlib import Path

import jaxtyping
import pytest

# A shell has what it starts in the background ignore Ctrl-C, and so would all that is started here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def unchecked():
    """Outside the tests nobody checks the annotations before the functions do."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


class Family:
    """A process and all that it has started, directly or not, in whatever session."""

    def __init__(self, number: int):
        parents = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and (fields := _stat(int(entry.name))):
                parents[int(entry.name)] = int(fields[1])
        self.numbers = {number}
        while more := {one for one, of in parents.items() if of in self.numbers} - self.numbers:
            self.numbers |= more

    def __len__(self) -> int:
        return len(self.numbers)

    def ended(self, seconds: float = 10) -> bool:
        """Whether all of them end within some seconds."""
        until = time.monotonic() + seconds
        while alive := any((_stat(number) or "Z")[0] != "Z" for number in self.numbers):
            if time.monotonic() > until:
                break
            time.sleep(0.05)
        return not alive


def _stat(number: int) -> list[str] | None:
    """What the kernel says of a process: its state, its parent and more; None if it is gone."""
    try:
        return Path(f"/proc/{number}/stat").read_text("utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


@pytest.fixture
def family():
    """The processes that a process has started, and whether they end: `Family`."""
    return Family
