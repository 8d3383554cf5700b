"""What is told of each epoch while a network trains: a line in a file, curves for TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

from fvlib.storage import naming, write_file

Reporter = Callable[[int, dict[str, float]], None]
_REPORTERS: ContextVar[tuple[Reporter, ...]] = ContextVar("reporters", default=())


@contextmanager
def reporting(*reporters: Reporter) -> Iterator[None]:
    """While the block runs, each training that has a checkpoint tells these of its epochs.

    A reporter gets the epoch, from 1, and its numbers: loss and top1 (%) on the clips as they were
    trained on, seconds, and lr, the learning rate at the end. An epoch may come again, when a run
    goes on that was killed before its checkpoint: what was told of it and of later ones is void.
    Explained in chapter 05_more_frames.
    """
    token = _REPORTERS.set(_REPORTERS.get() + reporters)
    try:
        yield
    finally:
        _REPORTERS.reset(token)


def report(epoch: int, **values: float) -> None:
    """Tell the reporters of an epoch; call it before the epoch's checkpoint is written.

    Explained in chapter 05_more_frames.
    """
    for reporter in _REPORTERS.get():
        reporter(epoch, values)


class EpochLog:
    """Appends one line of JSON an epoch to a file: epoch, its numbers, and when (UTC).

    Explained in chapter 05_more_frames.
    """

    def __init__(self, path: Path):
        self.path = path

    def __call__(self, epoch: int, values: dict[str, float]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = self.path.read_text("utf-8", "replace") if self.path.exists() else ""
        kept = "".join(line for line in text.splitlines(True) if _epoch_of(line) < epoch)
        if kept != text:
            write_file(self.path, kept)
        rounded = {name: float(f"{value:.6g}") for name, value in values.items()}
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with naming(self.path), open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"epoch": epoch, **rounded, "at": now}) + "\n")


def _epoch_of(line: str) -> float:
    """The epoch of a line; infinity of one that was not written to its end."""
    try:
        return float(json.loads(line)["epoch"]) if line.endswith("\n") else float("inf")
    except (ValueError, KeyError, TypeError):
        return float("inf")


class TensorBoard:
    """Writes the numbers of each epoch to a folder that TensorBoard shows.

    Raises ValueError when the package tensorboard is not installed.
    Explained in chapter 05_more_frames.
    """

    def __init__(self, folder: Path):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ValueError(
                "curves for TensorBoard were asked for, and the package tensorboard is not "
                "installed: pip install 'fvlib[tensorboard]', or leave them out; the log has the "
                "same numbers"
            ) from error
        self.folder, self.kind, self.writer = folder, SummaryWriter, None

    def __call__(self, epoch: int, values: dict[str, float]) -> None:
        if self.writer is None:  # what an earlier process wrote of this epoch is void
            self.writer = self.kind(str(self.folder), purge_step=epoch)
        for name, value in values.items():
            self.writer.add_scalar(f"train/{name}", value, epoch)
        self.writer.flush()
