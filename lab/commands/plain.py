"""Runs one after the other in this process, without Jupyter, and for a limited time."""

from __future__ import annotations

import gc
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from fvlib.storage import Busy
from lab.commands.places import RECIPES
from lab.plan import Status

TIME_IS_UP = 75  # sysexits.h: a temporary failure, the same call later


def run_plainly(
    todo: Sequence[Status], threads: int, minutes: float | None, options: Mapping[str, Any]
) -> int:
    """Make the runs, each its record when it is done: 0, or 1 if one failed, which stops no other.

    options: others of `lab.experiments.run`. With `minutes` it stops between two epochs when the
    next would not end in time, says what is left, and gives 75; the same call then goes on.
    """
    import torch

    from fvlib.training import TimeIsUp, require_time, time_limit
    from lab.experiments import run

    before, failed = torch.get_num_threads(), False
    torch.set_num_threads(threads)
    try:
        with nullcontext() if minutes is None else time_limit(60 * minutes):
            for number, status in enumerate(todo):
                start, name = time.perf_counter(), status.run.name
                try:
                    if number > 0:
                        require_time()
                    gc.collect()  # of the network before: the peak of memory is to be its own
                    run(status.run.experiment, **status.run.place, recipes=RECIPES, **options)
                    _tell("done", start, name)
                except TimeIsUp as error:
                    said = "; ".join(["time is up", *getattr(error, "__notes__", [])])
                    rest = ", ".join(one.run.name for one in todo[number:])
                    print(f"{said}; left: {rest}", file=sys.stderr)
                    return TIME_IS_UP
                except Busy:
                    _tell("to others", start, name)
                except Exception:  # of whatever kind: the others do not hang on it
                    traceback.print_exc()
                    _tell("FAILED", start, name)
                    failed = True
    finally:
        torch.set_num_threads(before)
    return int(failed)


def _tell(word: str, start: float, name: str) -> None:
    print(f"{word:>10} {time.perf_counter() - start:5.0f} s  {name}", file=sys.stderr)
