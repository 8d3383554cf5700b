"""The recipe file: the parameters of every row of every experiment.

What is here is light, so that commands that only read answer at once.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from fvlib.recipe import Recipe
from fvlib.values import checked, read
from lab.parameters import Parameters, Trained, experiment_of

ROW = re.compile(r"[a-z0-9][a-z0-9_-]{0,79}")


@dataclass(frozen=True, kw_only=True)
class Table:
    """An experiment's table in the recipe file: what it says itself.

    A run's parameters are `common`, then those of its scale, then those of its row, which may have
    some for one scale alone.

    Args:
        like: the experiment that has what this one does not say, as far as this one takes it; rows
            are taken as a whole.
        grid: every row is there once for each of its entries, with what that has, as ROW-ENTRY.
        version: raised by hand when the code behind the experiment changes what it computes.
    """

    version: int
    like: str | None = None
    common: Mapping[str, Any] = field(default_factory=dict)
    scale: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rows: Mapping[str, Mapping[str, Any]] | None = None
    grid: Mapping[str, Mapping[str, Any]] | None = None

    def __post_init__(self):
        if self.version < 1:
            raise ValueError(f"version is {self.version}; wanted 1 or more")
        for row in self.rows or ():
            if not ROW.fullmatch(row):  # files and records are named after it
                raise ValueError(
                    f"rows has the name {row!r}; wanted at most 80 small letters, digits, - and _"
                )


def parameters_of(
    recipes: Path, experiment: str, row: str, scale: str, data: str, /, **overrides: Any
) -> tuple[Parameters, int]:
    """All parameters of a run, resolved from the recipe file, and the version of the experiment.

    Args:
        overrides: parameters in place of those of the recipe file.

    Raises:
        ValueError: with what there is, for an unknown experiment, row or scale; and for what the
            experiment does not take, or that cannot be meant, with the key, what came and what was
            wanted.
    """
    text = _text(recipes)
    if not overrides:
        return _parameters(text, experiment, row, scale, data)
    return _parameters.__wrapped__(text, experiment, row, scale, data, **overrides)


@lru_cache(maxsize=2048)
def _parameters(
    text: str, experiment: str, row: str, scale: str, data: str, /, **overrides: Any
) -> tuple[Parameters, int]:
    """A plan asks for every row again and again, and they are frozen."""
    table = _resolved(text, experiment)
    by_scale = entry_of(table.scale, f"scale of {experiment}", scale)
    by_row = entry_of(table.rows, f"row of {experiment}", row)
    own = {key: value for key, value in by_row.items() if key not in table.scale}
    found = {**table.common, **by_scale, **own}
    try:
        found |= checked(by_row.get(scale, {}), Mapping[str, Any], scale)
        given = {**found, **overrides, "scale": scale, "data": data}
        return read(experiment_of(experiment).parameters, given), table.version
    except ValueError as error:
        raise ValueError(f"{experiment}, row {row}, scale {scale}: {error}") from None


def experiments_of(recipes: Path) -> list[str]:
    """The names of all experiments of the recipe file."""
    return list(_tables(_text(recipes))[0])


def scales_of(recipes: Path, experiment: str) -> list[str]:
    """The scales that an experiment has; ValueError, with what there is, for an unknown one."""
    return list(_resolved(_text(recipes), experiment).scale)


def rows_of(recipes: Path, experiment: str) -> list[str]:
    """The names of an experiment's rows in the recipe file.

    Raises:
        ValueError: with what there is, for an unknown experiment.
    """
    return list(_resolved(_text(recipes), experiment).rows)


def grid_of(recipes: Path, experiment: str) -> dict[str, list[str]]:
    """Of an experiment with a grid: the entries by row; it has a row ROW-ENTRY for each.

    Raises ValueError, with what there is, for an unknown experiment, and for one without a grid.
    """
    table = entry_of(_tables(_text(recipes))[0], "experiment", experiment)
    if table.grid is None or table.rows is None:
        raise ValueError(f"{experiment} has no grid, or no rows of its own")
    return {row: list(table.grid) for row in table.rows}


def like_of(recipes: Path, experiment: str) -> str | None:
    """The experiment that this one takes over what it does not say itself, None if there is none.

    Raises:
        ValueError: with what there is, for an unknown experiment.
    """
    return entry_of(_tables(_text(recipes))[0], "experiment", experiment).like


@dataclass(frozen=True, kw_only=True)
class Entity:
    """An entry of the recipe file's table `looks`: what has one colour in the whole book.

    Args:
        of: what a row has in its recipe if it looks like this; None for what is no row.
        hollow: what it has besides if it is drawn hollow.
    """

    colour: str
    marker: str
    of: Mapping[str, Any] | None = None
    hollow: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Look:
    """What a row looks like: its entity's name, with more in `label`, and how many images it has.

    Args:
        images: clusters, or frames, after block 1; "all" for those of the clip.
    """

    entity: str
    label: str
    colour: str
    marker: str
    hollow: bool
    images: int | str


def entities_of(recipes: Path) -> dict[str, Entity]:
    """The entities of the book's pictures, by name."""
    return _tables(_text(recipes))[1]


def looks_of(recipes: Path, experiment: str) -> dict[str, Look]:
    """What every row of an experiment looks like, by what its recipe says at every scale.

    Raises:
        ValueError: for an unknown experiment, and for a row that looks like nothing.
    """
    table, entities = _resolved(_text(recipes), experiment), entities_of(recipes)
    found = {}
    for row, entries in table.rows.items():
        own = {**table.common, **entries}
        fit = (name for name, one in entities.items() if _has(own, one.of))
        if (name := next(fit, None)) is None:
            raise ValueError(f"no entry of looks in {recipes} is of {experiment}/{row}; add one")
        entity = entities[name]
        hollow = _has(own, entity.hollow)
        label = " ".join([name, *(entity.hollow.values() if hollow else ())])
        images = own.get("clusters", own.get("frames", "all"))
        found[row] = Look(name, label, entity.colour, entity.marker, hollow, images)
    return found


def _has(own: Mapping[str, Any], wanted: Mapping[str, Any] | None) -> bool:
    return wanted is not None and wanted.items() <= own.items()


def recipe_of(parameters: Trained) -> Recipe:
    """How a run with these parameters trains."""
    return Recipe(**{field.name: getattr(parameters, field.name) for field in fields(Recipe)})


def _text(recipes: Path) -> str:
    """A recipe file's text, if it has tables of experiments; ValueError that names it if not."""
    try:
        text = Path(recipes).read_text("utf-8")
        _tables(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{recipes}: {error}") from None
    return text


@lru_cache(maxsize=2)
def _tables(text: str) -> tuple[dict[str, Table], dict[str, Entity]]:
    """The tables of experiments, and that of looks."""
    found = tomllib.loads(text)
    looks = checked(found.pop("looks", {}), Mapping[str, Entity], "looks")
    return {name: read(Table, table, name) for name, table in found.items()}, looks


@lru_cache(maxsize=64)
def _resolved(text: str, experiment: str, above: tuple[str, ...] = ()) -> Table:
    """An experiment's table, completed by that which it is like; rows are taken as a whole."""
    table = entry_of(_tables(text)[0], "experiment", experiment)
    if experiment in above:
        raise ValueError(f"{experiment} is like itself, by {', '.join(above)}")
    taken = {key.name for key in fields(experiment_of(experiment).parameters)}
    base = Table(version=1, rows={})
    if table.like is not None:
        base = _resolved(text, table.like, (*above, experiment))

    def of_base(entries: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in entries.items() if key in taken}

    rows = base.rows if table.rows is None else table.rows
    if table.grid is not None:
        rows = {
            f"{row}-{point}": {**entries, **values}
            for row, entries in rows.items()
            for point, values in table.grid.items()
        }
    return Table(
        version=table.version,
        common={**of_base(base.common), **table.common},
        scale={
            name: {**of_base(base.scale.get(name, {})), **table.scale.get(name, {})}
            for name in {**base.scale, **table.scale}
        },
        rows=rows,
    )


def entry_of(table: Mapping[str, Any], what: str, name: str) -> Any:
    """An entry of a table by its name. Raises ValueError, with what there is, if it has none."""
    if name not in table:
        raise ValueError(f"unknown {what}: {name!r}; there is {', '.join(table)}")
    return table[name]
