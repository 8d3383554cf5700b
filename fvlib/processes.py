"""Work on many items in processes of their own: one may die, and none outlives its parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, forkserver
from pickle import PicklingError
from typing import Any


def spread(
    function: Callable[[Any], Any],
    items: Iterable[Any],
    jobs: int | None,
    *,
    environment: Mapping[str, str] | None = None,
) -> Iterator[tuple[Any, Any]]:
    """Pairs of an item and its result, made in worker processes, in the order they are ready.

    The result is None where a worker died of the item; the others go on. However the iteration
    ends, by an error or an interruption too, the workers end with it; and they end by themselves
    when this process is killed.

    Args:
        function: called in a worker; it, the items and the results are pickled.
        jobs: at most so many workers; None for one a CPU core, 0 for none: then this process does
            it.
        environment: variables of the workers beside those of this process.

    Raises:
        ValueError: for jobs < 0, ChildProcessError if workers die of nothing, and whatever the
            function raises. PicklingError for what cannot be sent.
    """
    check_jobs(jobs)
    todo = deque(items)
    jobs = min(os.cpu_count() or 1 if jobs is None else jobs, len(todo))
    if not jobs:
        yield from ((item, function(item)) for item in todo)
        return
    context = _context(getattr(function, "func", function).__module__)
    variables = {**os.environ, **(environment or {})}

    def worker() -> ProcessPoolExecutor:
        """A pool of one, so that nobody else ends with a worker that dies."""
        return ProcessPoolExecutor(1, context, _begin, (variables,))

    def begin(place: int) -> None:
        item = todo.popleft()
        at_work[workers[place].submit(function, item)] = place, item

    workers = [worker() for _ in range(jobs)]
    at_work: dict[Future, tuple[int, Any]] = {}
    try:
        try:
            for begun in [pool.submit(os.getpid) for pool in workers]:
                begun.result()
        except BrokenProcessPool:
            raise ChildProcessError(
                "a worker process ended before it began; a script that uses several calls them "
                "below `if __name__ == '__main__':`"
            ) from None
        for place in range(jobs):
            begin(place)
        while at_work:
            for future in wait(at_work, return_when=FIRST_COMPLETED).done:
                place, item = at_work.pop(future)
                try:
                    result = future.result()
                except BrokenProcessPool as error:
                    if error.__cause__ is not None:  # it lives, and has sent what is not understood
                        raise PicklingError(
                            f"what came of {item!r:.100}, a result or an error, cannot be unpickled"
                        ) from error.__cause__
                    result, workers[place] = None, worker()
                if todo:
                    begin(place)
                yield item, result
    finally:
        for pool in workers:
            for process in list((pool._processes or {}).values()):
                process.terminate()
            pool.shutdown(cancel_futures=True)


def prepare(*modules: str) -> None:
    """Let the server that workers come from start and import these now, while this process goes on:
    what comes before `spread` then hides the time that it takes.
    """
    _context(*modules)
    forkserver.ensure_running()


def check_jobs(jobs: int | None) -> None:
    """Raise ValueError for a number of processes below 0."""
    if jobs is not None and jobs < 0:
        raise ValueError(f"jobs is {jobs}; wanted a number of processes, 0 for this one")


def end_with_parent() -> None:
    """Let this process, which `multiprocessing` started, end at once when its parent is gone."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    if parent is not None:
        threading.Thread(target=watch, daemon=True).start()


def _context(*modules: str) -> multiprocessing.context.BaseContext:
    # A fork of a process that has threads can hang, so workers come from a server without any.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    return context


def _begin(environment: Mapping[str, str]) -> None:
    """What a worker does first. Ctrl-C goes to all processes of a terminal, and is the parent's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    os.environ.clear()
    os.environ.update(environment)
