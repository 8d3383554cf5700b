"""How far each run is, and how long the rest will take."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from fvlib.storage import holder
from lab import records
from lab.plan.runs import Run
from lab.recipes import parameters_of
from lab.records.identity import another_run

WORDS = ("done", "running", "interrupted", "stale", "missing")


@dataclass(frozen=True)
class Status:
    """How far a run is: one of WORDS, what else is to say of it, and seconds that are left.

    Args:
        seconds: from recorded costs, of training alone; None where no cost is known. Of a run that
            is done it is what the run would take again.
    """

    run: Run
    word: str
    detail: str = ""
    seconds: float | None = None


def statuses(
    runs: Iterable[Run],
    recipes: Path,
    new: Path,
    adopted: Path,
    /,
    *,
    damaged: list[str] | None = None,
    **overrides: Any,
) -> list[Status]:
    """The status of each run, from its records among the new or the adopted ones.

    A run is stale when its records differ from what the recipe file says today, with `overrides`
    in place of what it says of these parameters, running while another process holds its lock, and
    interrupted when there is a checkpoint of this run to go on from; with one of another run, which
    would be refused, it is stale. The time is the median of records of this row at this scale, else
    of this experiment. Records that cannot be read count as none; with a list `damaged` it gets a
    line on each.
    """
    seconds = _seconds([adopted, new], [] if damaged is None else damaged)
    resolved = cache(lambda *name: parameters_of(recipes, *name, **overrides))
    found = []
    for run in runs:
        parameters, version = resolved(run.experiment, run.row, run.scale, run.data)
        known = {"parameters": parameters.stated(), "version": version}
        rows = seconds[run.experiment, run.scale, run.row]
        times = rows or seconds[run.experiment, run.scale, None]
        left = median(times) if times else None
        if any(
            records.is_current(folder, run.experiment, **run.place, **known)
            for folder in (new, adopted)
        ):
            found.append(Status(run, "done", "", left))
            continue
        if other := holder(records.lock_of(new, run.name)):
            found.append(Status(run, "running", f"by {other}", left))
            continue
        checkpoint = new / "checkpoints" / f"{run.name}.pt"
        if others := another_run(checkpoint, known):
            detail = f"its checkpoint is of another run: {'; '.join(others)}"
            found.append(Status(run, "stale", detail, left))
            continue
        if checkpoint.exists():
            from fvlib.training.loop import epochs_done

            epochs, epoch = known["parameters"].get("epochs"), epochs_done(checkpoint)
            if epoch and epochs and left is not None:
                left *= 1 - epoch / epochs
            detail = f"after epoch {epoch} of {epochs}" if epoch else ""
            found.append(Status(run, "interrupted", detail, left))
            continue
        why = [_why_stale(folder, run, **known) for folder in (new, adopted)]
        why = [reason for reason in why if reason]
        found.append(Status(run, "stale" if why else "missing", "".join(why[:1]), left))
    return found


def time_left(found: Sequence[Status], jobs: int) -> tuple[float, int]:
    """Seconds until all is done by so many processes, and of how many runs nothing is known.

    The next run goes to the process that is free first, as when they are executed.
    """
    free = [0.0] * jobs
    for status in found:
        heapq.heapreplace(free, free[0] + (status.seconds or 0.0))
    return max(free), sum(status.seconds is None for status in found)


def _seconds(
    folders: Iterable[Path], damaged: list[str]
) -> dict[tuple[str, str, str | None], list[float]]:
    """Recorded times by experiment, scale and row, and of all rows together."""
    found: dict[tuple[str, str, str | None], list[float]] = defaultdict(list)
    known = [record for folder in folders for record in records.select(folder, damaged=damaged)]
    for record in known:
        wall = record.cost["wall_s"]
        if wall is not None:
            for row in (record.row, None):
                found[record.experiment, record.scale, row].append(wall)
    return found


def _why_stale(folder: Path, run: Run, parameters: dict[str, Any], version: int) -> str:
    """Why the run's record in a folder cannot be used; "" if there is none."""
    try:
        record = records.load(folder, run.experiment, **run.place)
    except records.MissingRecord:
        return ""
    except (ValueError, OSError) as error:
        return str(error)
    return "; ".join(records.why_stale(record, parameters, version)) or "its arrays are damaged"
