"""What is to be run: the runs of the plan, how far they are, what each differs in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.commands.places import ADOPTED, PLAN, RECIPES
from lab.commands.records import warn_of_damaged
from lab.plan import (
    WORDS,
    Run,
    Status,
    choose,
    read_plan,
    read_things,
    reference_of,
    statuses,
    time_left,
)


@dataclass(frozen=True)
class Choice:
    """What the options of the command line choose of the plan."""

    tables: Sequence[str] = ()
    rows: Sequence[str] = ()
    scale: str | None = None
    data: str | None = None
    seeds: Sequence[int] = ()
    indices: Sequence[int] = ()

    def runs(self) -> list[Run]:
        """The runs, planned or not."""
        return choose(read_plan(PLAN, RECIPES), RECIPES, **vars(self))

    def statuses(self, out: Path, /, **overrides: Any) -> list[Status]:
        """How far they are, with other parameters than the recipe file has."""
        damaged: list[str] = []
        found = statuses(self.runs(), RECIPES, out, ADOPTED, damaged=damaged, **overrides)
        warn_of_damaged(damaged)
        return found


def list_command(out: Path, **choice: Any) -> int:
    """One line a run: index, status, time that is left, name, and what else there is to say.

    done         its record is there, in data/records or in the output folder, and is current
    running      another process is at it
    interrupted  it goes on from the epoch that is said
    stale        its record was made with other parameters than the recipe file has today
    missing      it has no record
    """
    for status in Choice(**choice).statuses(out):
        print(line(status))
    return 0


def status_command(out: Path, jobs: int | None, **choice: Any) -> int:
    """Counts by experiment, scale and data: how many runs are done, how many are not, what is left.

    The time is from records of the same row, or experiment, at the same scale, for one process or
    for --jobs of them.
    """
    found = Choice(**choice).statuses(out)
    groups: dict[str, list[Status]] = {}
    for status in found:
        run = status.run
        groups.setdefault(f"{run.experiment} ({run.scale}, {run.data})", []).append(status)
    groups["all"] = found
    print(f"{'':32}" + "".join(f"{word:>12}" for word in WORDS) + f"{'time left':>16}")
    for name, group in groups.items():
        counts = Counter(status.word for status in group)
        numbers = "".join(f"{counts[word] or '.':>12}" for word in WORDS)
        rest = [status for status in group if status.word != "done"]
        print(f"{name:32}{numbers}{left(rest, jobs or 1):>16}")
    return 0


def plan_command(**choice: Any) -> int:
    """What makes each row the row: the row that it is compared with, and the one thing changed."""
    things, seen = read_things(PLAN, RECIPES), {}
    for run in Choice(**choice).runs():
        seen.setdefault((run.experiment, run.row, run.scale, run.data), run)
    last = None
    for (experiment, row, scale, data), run in seen.items():
        if (experiment, scale, data) != last:
            print(f"\n{experiment} ({scale}, {data})" + f": {run.purpose}" * bool(run.purpose))
            last = experiment, scale, data
        found = reference_of(things, RECIPES, experiment, row, scale, data)
        if found is None:
            print(f"  {row:24} stands at the beginning")
            continue
        changes = (f"{key} {_word(a)} -> {_word(b)}" for key, (a, b) in found.changes.items())
        print(f"  {row:24} {found.row:28} {', '.join(changes)}".rstrip())
    return 0


def todo_of(found: Sequence[Status], force: bool) -> list[Status]:
    """What is to be run of what was found: not what another process is at."""
    words = {"interrupted", "stale", "missing", *(["done"] if force else [])}
    return [status for status in found if status.word in words]


def line(status: Status) -> str:
    """A status on one line."""
    index = "-" if status.run.index is None else status.run.index
    time = "" if status.word == "done" else left([status], 1)
    return f"{index:>4}  {status.word:11}  {time:>8}  {status.run.name}  {status.detail}".rstrip()


def left(found: Sequence[Status], jobs: int) -> str:
    """Time in words: "3 min", "2.5 h", "3 min + ?" where some are unknown, "?" where all are."""
    seconds, unknown = time_left(found, jobs)
    if unknown == len(found):
        return "?" if found else "."
    short, minutes = f"{seconds:.0f} s", f"{seconds / 60:.0f} min"
    text = short if seconds < 60 else minutes if seconds < 7200 else f"{seconds / 3600:.1f} h"
    return text + " + ?" * bool(unknown)


def _word(value: Any) -> str:
    """A parameter's value; "none" for one that is not set."""
    return "none" if value is None else str(value)
