"""What may surround a training: a limit to its time, what is told of its epochs, determinism."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

import torch

from fvlib.storage import naming, write_file

_LIMIT: ContextVar[Callable[[], None] | None] = ContextVar("limit", default=None)


class TimeIsUp(Exception):
    """What comes next would not end in time. Nothing is lost: it is raised behind a checkpoint."""


@contextmanager
def time_limit(seconds: float, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """While the block runs, `require_time` raises TimeIsUp when too little is left of `seconds`.

    That is less than the longest time so far from one call of it to the next, or from the start to
    the first: an epoch, or the end of one run and the beginning of another. So whatever the limit,
    a first epoch is always trained, and calls that are repeated come to an end.
    """
    last = start = clock()
    longest = 0.0

    def look() -> None:
        nonlocal last, longest
        now = clock()
        last, longest = now, max(longest, now - last)
        if now + longest > start + seconds:
            raise TimeIsUp("the time is up")

    token = _LIMIT.set(look)
    try:
        yield
    finally:
        _LIMIT.reset(token)


def require_time() -> None:
    """TimeIsUp when there is a limit, and too little time before it; call it where one may stop."""
    if (look := _LIMIT.get()) is not None:
        look()


Reporter = Callable[[int, dict[str, float]], None]
_REPORTERS: ContextVar[tuple[Reporter, ...]] = ContextVar("reporters", default=())


@contextmanager
def reporting(*reporters: Reporter) -> Iterator[None]:
    """While the block runs, each training that has a checkpoint tells these of its epochs.

    A reporter gets the epoch, from 1, and its numbers: loss and top1 (%) on the clips as they were
    trained on, seconds, and lr, the learning rate at the end. An epoch may come again, when a run
    goes on that was killed before its checkpoint: what was told of it and of later ones is void.
    """
    token = _REPORTERS.set(_REPORTERS.get() + reporters)
    try:
        yield
    finally:
        _REPORTERS.reset(token)


def report(epoch: int, **values: float) -> None:
    """Tell the reporters of an epoch; call it before the epoch's checkpoint is written."""
    for reporter in _REPORTERS.get():
        reporter(epoch, values)


class EpochLog:
    """Appends one line of JSON an epoch to a file: epoch, its numbers, and when (UTC)."""

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


@contextmanager
def deterministic(on: bool = True) -> Iterator[None]:
    """While the block runs, torch uses no operation that gives other bits when it is repeated.

    On a CPU none does, as long as the number of threads is the same, and the block costs nothing
    that could be measured. On a GPU the backward passes of convolutions and pooling, and matrix
    products, may add up in any order; here cuDNN and cuBLAS are told not to (the latter by
    CUBLAS_WORKSPACE_CONFIG, which counts only if no product was computed before), and an operation
    that has no other way is a RuntimeError that names it. Another GPU or another release of torch
    gives other bits all the same.
    """
    if not on:
        yield
        return
    was = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # torch's manual, on randomness
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(was[0])
        torch.backends.cudnn.benchmark = was[1]
