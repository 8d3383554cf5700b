"""The plan of all runs: which there are, what each differs in, how far they are.

`data/plan.toml` lists what the book wants, by experiment, scale, data and seeds; the recipe file
beside it has the parameters. Nothing here runs anything.
"""

from __future__ import annotations

import heapq
import tomllib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from functools import cache
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, Literal

from fvlib.storage import holder
from fvlib.values import read
from lab import records
from lab.parameters import EXPERIMENTS, experiment_of
from lab.recipes import entry_of, experiments_of, grid_of, like_of, parameters_of, rows_of
from lab.records.identity import another_run
from lab.verify import why_stale

WORDS = ("done", "running", "interrupted", "stale", "missing")


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
        return {"scale": self.scale, "data": self.data, "row": self.row, "seed": self.seed}

    @property
    def name(self) -> str:
        """The name of its record, such as "table1/small-real-tsm-8-s0"."""
        return records.name_of(self.experiment, **self.place)


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
    return [replace(run, index=index) for index, run in enumerate(runs)]


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


# ---- what makes a row the row: the other row that it is compared with


@dataclass(frozen=True)
class Things:
    """What counts as one thing: a parameter, and those that may come with it; and references that
    are written down, as {"any_length/sqrt": "table2/cumulative-8"}.
    """

    together: Mapping[str, frozenset[str]]
    written: Mapping[str, str]

    def of(self, changes: Collection[str]) -> str | None:
        """The thing in which rows differ that differ in these parameters; None if it is not one."""
        for thing, others in self.together.items():
            if thing in changes and others.issuperset(set(changes) - {thing}):
                return thing
        return next(iter(changes)) if len(changes) == 1 else None


@dataclass(frozen=True)
class Reference:
    """The row that a row is compared with, the thing that is changed, and how: by parameter, what
    it is there and what it is here, None where it is not set.
    """

    row: str  # "experiment/row"
    thing: str
    changes: Mapping[str, tuple[Any, Any]]


def read_things(plan: Path, recipes: Path) -> Things:
    """What the plan file says of references.

    Raises:
        ValueError: for a thing that is no parameter, and for a reference of or to a row that the
            recipe file does not have.
    """
    file = plan_file(plan)
    known = {"count"}.union(
        *({field.name for field in fields(kind.parameters)} for kind in EXPERIMENTS.values())
    )
    for thing, others in file.things.items():
        if unknown := {thing, *others} - known:
            raise ValueError(f"{plan}, things: there is no parameter {', '.join(sorted(unknown))}")
    written = {
        f"{experiment}/{row}": reference
        for experiment, of_rows in file.reference.items()
        for row, reference in of_rows.items()
    }
    for name in {*written, *written.values()} - {"none"}:
        experiment, _, row = name.partition("/")
        entry_of(dict.fromkeys(rows_of(recipes, experiment)), f"row of {experiment}", row)
    return Things({name: frozenset(of) for name, of in file.things.items()}, written)


def reference_of(
    things: Things, recipes: Path, experiment: str, row: str, scale: str, data: str
) -> Reference | None:
    """The row that this one differs from in one thing; None for one that stands at the beginning.

    It is the one that is written down; else, among those that the experiment is like and those that
    stand above it, the nearest that differs in the first of the things. A row of another experiment
    may differ in nothing: it is the same network, measured otherwise.

    Raises:
        ValueError: for a row that differs from each of them in two things or more, or from one of
            its own experiment in nothing.
    """
    here, name = _seen(recipes, experiment, row, scale, data), f"{experiment}/{row}"
    taken = {"count"} | {part.name for part in fields(experiment_of(experiment).parameters)}
    written = things.written.get(name)
    if written == "none":
        return None
    others = [written] if written else list(_others(recipes, experiment, row))
    found: list[Reference] = []
    for other in others:
        try:
            there = _seen(recipes, *other.split("/"), scale, data)
        except ValueError:  # it is not there at this scale
            continue
        changes = {
            key: (there.get(key), here.get(key))
            for key in sorted({*there, *here} & taken)  # the other may be another experiment's
            if there.get(key) != here.get(key)
        }
        if not changes and other.startswith(f"{experiment}/"):
            raise ValueError(f"{name} and {other} are the same at scale {scale}")
        if not changes:
            return Reference(other, "experiment", changes)
        found.append(Reference(other, things.of(changes) or "", changes))
    found.sort(key=lambda reference: len(reference.changes))
    order = [*things.together, *(reference.thing for reference in found)]
    if single := [reference for reference in found if reference.thing]:
        return min(single, key=lambda reference: order.index(reference.thing))
    if written is None and row == rows_of(recipes, experiment)[0]:
        return None
    nearest = f"; the nearest is {found[0].row}, by {', '.join(found[0].changes)}" if found else ""
    raise ValueError(
        f"{name} differs from no row in one thing{nearest}. Let it differ in one, or say in the "
        "plan which parameters are one thing, or what its reference is"
    )


def _others(recipes: Path, experiment: str, row: str) -> Iterator[str]:
    base = like_of(recipes, experiment)
    while base is not None:
        yield from (f"{base}/{name}" for name in rows_of(recipes, base))
        base = like_of(recipes, base)
    names = rows_of(recipes, experiment)
    yield from (f"{experiment}/{name}" for name in names[: names.index(row)])


def _seen(recipes: Path, experiment: str, row: str, scale: str, data: str) -> dict[str, Any]:
    """A row's parameters, where clusters and sampled frames are both so many inputs: `count`."""
    found = parameters_of(recipes, experiment, row, scale, data)[0].stated()
    frames = found.pop("frames", None)
    count = found.pop("clusters", frames)
    return found if count is None else {"count": count, **found}


# ---- how far each run is, and how long the rest will take


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
        times = seconds[run.experiment, run.scale, run.row]
        times = times or seconds[run.experiment, run.scale, None]
        known = {"parameters": parameters.stated(), "version": version}
        word, detail, share = _progress(run, new, adopted, known)
        found.append(Status(run, word, detail, share * median(times) if times else None))
    return found


def _progress(
    run: Run, new: Path, adopted: Path, known: Mapping[str, Any]
) -> tuple[str, str, float]:
    """The word for a run, what else is to say of it, and which share of it is left."""
    found = [
        records.why_not(folder, run.experiment, **known, **run.place) for folder in (new, adopted)
    ]
    if "" in found:
        return "done", "", 1.0
    if other := holder(records.lock_of(new, run.name)):
        return "running", f"by {other}", 1.0
    checkpoint = new / "checkpoints" / f"{run.name}.pt"
    if others := another_run(checkpoint, known):
        return "stale", f"its checkpoint is of another run: {'; '.join(others)}", 1.0
    if checkpoint.exists():
        from fvlib.training.loop import epochs_done

        epochs, epoch = known["parameters"].get("epochs"), epochs_done(checkpoint)
        detail = f"after epoch {epoch} of {epochs}" if epoch else ""
        return "interrupted", detail, 1 - epoch / epochs if epoch and epochs else 1.0
    why = next(filter(None, found), "")
    return "stale" if why else "missing", why, 1.0


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
    for record in (r for folder in folders for r in records.select(folder, damaged=damaged)):
        if record.cost["wall_s"] is not None:
            for row in (record.row, None):
                found[record.experiment, record.scale, row].append(record.cost["wall_s"])
    return found


# ---- equal terms: the best entry of a grid for every system, from records on validation clips


def tuned(recipes: Path, folder: Path) -> dict[str, dict[str, str]]:
    """By tuning experiment and row, the entry of the grid with the most correct test clips.

    Experiments named tuning_TABLE train each row of a table with each entry of the same grid. On a
    tie it is the earlier entry; all seeds count together, under the clustered protocol, which is
    that of the text. folder: of the adopted records.

    Raises ValueError, with the command that makes them, where a record is missing or stale, and
    where entries have different seeds.
    """
    names = [name for name in experiments_of(recipes) if name.startswith("tuning_")]
    return {
        name: {
            row: _best(recipes, folder, name, row, of) for row, of in grid_of(recipes, name).items()
        }
        for name in names
    }


def _best(recipes: Path, folder: Path, experiment: str, row: str, points: list[str]) -> str:
    correct, seeds = {}, {}
    for point in points:
        found = [
            record
            for record in records.select(folder, experiment, scale="small", row=f"{row}-{point}")
            if not why_stale(record, recipes)
        ]
        correct[point] = sum(record.results["clustered"]["correct"] for record in found)
        seeds[point] = sorted(record.seed for record in found)
    if not seeds[points[0]] or any(of != seeds[points[0]] for of in seeds.values()):
        said = ", ".join(f"{point} {of}" for point, of in seeds.items())
        raise ValueError(
            f"{experiment}, row {row}: its current records have the seeds {said}; wanted the same "
            f"in every entry: python -m lab runs run --table {experiment} --rows '{row}-*', then "
            "python -m lab records adopt"
        )
    return max(points, key=correct.__getitem__)
