"""A limit to the time that trainings may take: they stop between two epochs, and go on later."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_LIMIT: ContextVar[Callable[[], None] | None] = ContextVar("limit", default=None)


class TimeIsUp(Exception):
    """What comes next would not end in time. Nothing is lost: it is raised behind a checkpoint."""


@contextmanager
def time_limit(seconds: float, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """While the block runs, `require_time` raises TimeIsUp when too little is left of `seconds`.

    That is less than the longest time so far from one call of it to the next, or from the start to
    the first: an epoch, or the end of one run and the beginning of another. So whatever the limit,
    a first epoch is always trained, and calls that are repeated come to an end.
    Explained in chapter 05_more_frames.
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
    """TimeIsUp when there is a limit, and too little time before it; call it where one may stop.

    Explained in chapter 05_more_frames.
    """
    if (look := _LIMIT.get()) is not None:
        look()
