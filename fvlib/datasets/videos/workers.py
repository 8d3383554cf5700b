"""Work on many items in processes of their own, one of which may die."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any


def spread(
    function: Callable[[Any], Any], items: Iterable[Any], jobs: int | None
) -> Iterator[tuple[Any, Any]]:
    """Pairs of an item and its result, made in worker processes, in the order they are ready.

    The result is None where a worker died of the item; the others go on. jobs: at most so many
    workers; None for one a CPU core, 0 for none: then this process does it.

    Raises ValueError for jobs < 0, BrokenProcessPool if workers die of nothing.
    Explained in chapter 09_ucf_hmdb.
    """
    check_jobs(jobs)
    todo = deque(items)
    jobs = min(os.cpu_count() or 1 if jobs is None else jobs, len(todo))
    if not jobs:
        yield from ((item, function(item)) for item in todo)
        return
    while todo:
        running: dict[Any, Any] = {}
        try:
            with _pool(jobs) as pool:
                try:
                    while todo or running:
                        while todo and len(running) < 4 * jobs:
                            running[pool.submit(function, todo[0])] = todo[0]
                            todo.popleft()  # only now: a broken pool takes no more
                        for done in wait(running, return_when=FIRST_COMPLETED).done:
                            result = done.result()
                            yield running.pop(done), result
                finally:
                    pool.shutdown(wait=False, cancel_futures=True)
        except BrokenProcessPool:
            if _alone(abs, 0) is None:
                raise  # no worker lives, whatever it is given
            for item in running.values():  # one of them did it
                yield item, _alone(function, item)


def check_jobs(jobs: int | None) -> None:
    """Raises ValueError for a number of processes below 0. Explained in chapter 09_ucf_hmdb."""
    if jobs is not None and jobs < 0:
        raise ValueError(f"jobs is {jobs}; wanted a number of processes, 0 for this one")


def _alone(function: Callable[[Any], Any], item: Any) -> Any:
    try:
        with _pool(1) as pool:
            return pool.submit(function, item).result()
    except BrokenProcessPool:
        return None


def _pool(jobs: int) -> ProcessPoolExecutor:
    # A fork of a process that has threads can hang, so workers come from a server without any.
    ways = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in ways else "spawn")
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload(["fvlib.datasets.videos.check"])
    return ProcessPoolExecutor(jobs, context, initializer=_leave_interrupts)


def _leave_interrupts() -> None:
    """Ctrl-C goes to all processes of a terminal; the one that started the others deals with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
