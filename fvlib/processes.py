"""Work on many items in processes of their own: one may die, and none outlives its parent."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import cycle
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from types import ModuleType
from typing import Any

PATIENCE = 5.0  # seconds that a process has to end when it is told to
_START = object()  # what a worker is at before its first item


def spread(
    function: Callable[[Any], Any],
    items: Iterable[Any],
    jobs: int | None,
    *,
    environments: Sequence[Mapping[str, str]] = (),
) -> Iterator[tuple[Any, Any]]:
    """Pairs of an item and its result, made in worker processes, in the order they are ready.

    The result is None where a worker died of the item; the others go on. However the iteration
    ends, by an error or an interruption too, the workers end with it; and they end by themselves
    when this process is killed.

    Args:
        function: called in a worker; it, the items and the results are pickled.
        jobs: at most so many workers; None for one a CPU core, 0 for none: then this process does
            it.
        environments: variables of the workers beside those of this process, dealt in turn, such as
            the GPU that each of them sees.

    Raises:
        ValueError: for jobs < 0, ChildProcessError if workers die of nothing, and whatever the
            function raises.
    """
    check_jobs(jobs)
    todo = deque(items)
    jobs = min(os.cpu_count() or 1 if jobs is None else jobs, len(todo))
    if not jobs:
        yield from ((item, function(item)) for item in todo)
        return
    workers: list[_Worker] = []
    alone = not _of_the_script(function, todo)
    try:
        for _, environment in zip(range(jobs), cycle(environments or [{}]), strict=False):
            workers.append(_Worker(function, environment, alone))
        while busy := {worker.connection: worker for worker in workers if worker.busy}:
            for connection in wait(list(busy)):
                worker = busy[connection]
                item, answer = worker.item, worker.answer()
                if answer is None:
                    if todo:
                        again = _Worker(function, worker.environment, alone)
                        workers[workers.index(worker)] = again
                    yield item, None
                    continue
                if todo:
                    worker.give(todo.popleft())
                result, error, where = answer
                if error is not None:
                    raise error from RuntimeError(f"in a worker process:\n{where}")
                if item is not _START:
                    yield item, result
    finally:
        _end(workers)


def prepare(*modules: str) -> None:
    """Let the server that workers come from start and import these now, while this process goes on:
    what comes before `spread` then hides the time that it takes.
    """
    context = _context(modules)
    if context.get_start_method() == "forkserver":
        with _uninterrupted():
            forkserver.ensure_running()


def check_jobs(jobs: int | None) -> None:
    """Raise ValueError for a number of processes below 0."""
    if jobs is not None and jobs < 0:
        raise ValueError(f"jobs is {jobs}; wanted a number of processes, 0 for this one")


def end_with_parent() -> None:
    """Let this process, which `multiprocessing` started, end at once when its parent is gone."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    if parent is not None:
        threading.Thread(target=watch, daemon=True).start()


class _Worker:
    """A process that calls a function on one item after the other.

    Args:
        alone: it does not need the script that is running, and does not import it, and all that
            this imports, again.
    """

    def __init__(self, function: Callable[[Any], Any], environment: Mapping[str, str], alone: bool):
        self.environment, self.item, self.busy = environment, _START, True
        context = _context([getattr(function, "func", function).__module__])
        self.connection, other = context.Pipe()
        arguments = (function, other, {**os.environ, **environment})
        self.process = context.Process(target=_work, args=arguments, daemon=True)
        script = sys.modules["__main__"]
        try:
            if alone:
                sys.modules["__main__"] = ModuleType("__main__")
            with _uninterrupted():
                self.process.start()
        finally:
            sys.modules["__main__"] = script
        other.close()

    def give(self, item: Any) -> None:
        self.item, self.busy = item, True
        with suppress(OSError):  # of a process that has just died: its answer is that it did
            self.connection.send(item)

    def answer(self) -> tuple[Any, Exception | None, str] | None:
        """What it has made of its item; None if it died of it."""
        self.busy = False
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self.process.join(PATIENCE)
            self.connection.close()
            if self.item is _START:
                raise ChildProcessError(
                    f"a worker process ended before it began (status {self.process.exitcode}); a "
                    "script that uses several calls them below `if __name__ == '__main__':`"
                ) from None
            return None


def _of_the_script(function: Callable[[Any], Any], items: Iterable[Any]) -> bool:
    """Whether a worker needs the script that is running to know what these are."""
    try:
        return b"__main__" in bytes(ForkingPickler.dumps((function, list(items))))
    except Exception:  # what cannot be sent is told when it is sent
        return True


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C goes to all processes of a terminal; one that starts here leaves it to this one."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _context(modules: Sequence[str]) -> multiprocessing.context.BaseContext:
    # A fork of a process that has threads can hang, so workers come from a server without any.
    ways = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in ways else "spawn")
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload(list(modules))
    return context


def _work(
    function: Callable[[Any], Any], connection: Connection, environment: Mapping[str, str]
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    end_with_parent()
    os.environ.clear()
    os.environ.update(environment)
    with suppress(EOFError, OSError):  # there is nobody to work for any more
        connection.send((None, None, ""))
        while True:
            item = connection.recv()
            try:  # an answer that cannot be sent is an error like any other
                answer = ForkingPickler.dumps((function(item), None, ""))
            except Exception as error:
                answer = ForkingPickler.dumps((None, _portable(error), traceback.format_exc()))
            connection.send_bytes(answer)


def _portable(error: Exception) -> Exception:
    """The error, or its words where it cannot be sent."""
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")


def _end(workers: Sequence[_Worker]) -> None:
    """Ask the processes to end; after a few seconds they are killed."""
    for worker in workers:
        worker.process.terminate()
    until = time.monotonic() + PATIENCE
    for worker in workers:
        worker.process.join(max(0.0, until - time.monotonic()))
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.connection.close()
