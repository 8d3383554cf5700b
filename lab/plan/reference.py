"""What makes a row the row: the other row that it is compared with, and what differs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from lab.parameters import EXPERIMENTS, experiment_of
from lab.plan.runs import plan_file
from lab.recipes import entry_of, like_of, parameters_of, rows_of


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
