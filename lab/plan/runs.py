"""The runs that the book wants, from the plan file, and choosing among them."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import Any, Literal

from fvlib.values import read
from lab import records
from lab.recipes import rows_of


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An entry of the plan: a record for every row, or those that fit a pattern, and every seed."""

    for_: str
    experiment: str
    scale: Literal["smoke", "small", "paper"]
    data: Literal["embedded", "real"]
    seeds: tuple[int, ...]
    rows: tuple[str, ...] | None = None

    def __post_init__(self):
        if not self.seeds or min(self.seeds) < 0:
            raise ValueError(f"seeds is {self.seeds}; wanted one or more, of 0 or more")


@dataclass(frozen=True, kw_only=True)
class PlanFile:
    """What the plan file may hold."""

    runs: tuple[Entry, ...]
    things: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reference: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """One row of one experiment with one seed.

    Args:
        index: its place in the plan, None for a run that is not planned.
        purpose: the table or figure that it is for.
    """

    experiment: str
    row: str
    scale: str
    data: str
    seed: int
    index: int | None = None
    purpose: str = ""

    @property
    def place(self) -> dict[str, Any]:
        """What finds its record, beside the experiment."""
        return {key: value for key, value in asdict(self).items() if key in _PLACE}

    @property
    def name(self) -> str:
        """The name of its record, such as "table1/small-real-tsm-8-s0"."""
        return records.name_of(self.experiment, **self.place)


_PLACE = ("scale", "data", "row", "seed")


def plan_file(plan: Path) -> PlanFile:
    """The plan file, read strictly; ValueError for what it may not hold."""
    try:
        return read(PlanFile, tomllib.loads(Path(plan).read_text("utf-8")))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{plan}: {error}") from None


def read_plan(plan: Path, recipes: Path) -> list[Run]:
    """All runs of the plan file, in its order; a run's index is its place in the list.

    Raises:
        ValueError: for an entry that is incomplete, for an experiment or a row that the recipe file
            does not have, and for a run that is planned twice.
    """
    runs: list[Run] = []
    for entry in plan_file(plan).runs:
        what = {"experiment": entry.experiment, "scale": entry.scale, "data": entry.data}
        rows = _matching(rows_of(recipes, entry.experiment), entry.rows, **what)
        runs += [
            Run(**what, row=row, seed=seed, purpose=entry.for_)
            for row, seed in product(rows, entry.seeds)
        ]
    names = [run.name for run in runs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{plan} has {', '.join(twice)} more than once")
    return [Run(**{**asdict(run), "index": index}) for index, run in enumerate(runs)]


def choose(
    plan: Sequence[Run],
    recipes: Path,
    *,
    tables: Collection[str] = (),
    rows: Collection[str] = (),
    scale: str | None = None,
    data: str | None = None,
    seeds: Collection[int] = (),
    indices: Collection[int] = (),
) -> list[Run]:
    """The runs of the plan that fit all that is given, and others that the recipe file can make.

    Args:
        tables: names of experiments.
        rows: names, or patterns such as `cumulative-*`. When nothing of the plan fits, or all of
            tables, scale, data and seeds are given, then tables and scale choose from the recipe
            file, with embedded data and seed 0 where nothing else is said, and those rows that the
            plan has for other seeds, or all.

    Raises:
        ValueError: with what there is, when nothing fits.
    """
    found = [
        run
        for run in plan
        if (not tables or run.experiment in tables)
        and (not rows or any(fnmatchcase(run.row, row) for row in rows))
        and (scale is None or run.scale == scale)
        and (data is None or run.data == data)
        and (not seeds or run.seed in seeds)
        and (not indices or run.index in indices)
    ]
    if indices:
        if missing := sorted(set(indices) - {run.index for run in found}):
            raise ValueError(
                f"no run with index {', '.join(map(str, missing))} among these; the plan has 0 to "
                f"{len(plan) - 1}"
            )
        return found
    of_all = {name: rows_of(recipes, name) for name in tables}  # ValueError if it is unknown
    if tables and scale and (not found or (data and seeds)):
        planned = {run.name: run for run in plan}
        data, seeds = data or "embedded", seeds or (0,)
        usual: dict[str, list[str]] = {name: [] for name in tables}
        for run in plan:
            if run.experiment in tables and (run.scale, run.data) == (scale, data):
                usual[run.experiment].append(run.row)
        wanted = [
            Run(name, row, scale, data, seed)
            for name in tables
            for row in _matching(of_all[name], rows or usual[name] or None, name, scale, data)
            for seed in seeds
        ]
        return [planned.get(run.name, run) for run in wanted]
    if not found:
        sets = sorted({f"{run.experiment} ({run.scale}, {run.data})" for run in plan})
        raise ValueError(
            f"no planned run fits; planned are {', '.join(sets)}. Others of the recipe file need "
            "--table and --scale"
        )
    return found


def _matching(
    known: Sequence[str], patterns: Iterable[str] | None, experiment: str, scale: str, data: str
) -> list[str]:
    """The rows that fit one of the patterns, in the recipe file's order; each has to fit one."""
    if patterns is None:
        return list(known)
    patterns = list(patterns)
    for pattern in patterns:
        if not any(fnmatchcase(row, pattern) for row in known):
            raise ValueError(f"no row {pattern!r} of {experiment}; there is {', '.join(known)}")
    return [row for row in known if any(fnmatchcase(row, pattern) for pattern in patterns)]
