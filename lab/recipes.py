"""The recipe file: the parameters of every row of every experiment.

What is here is light, so that commands that only read answer at once.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from fvlib.recipe import Recipe

_RECIPE = {field.name for field in fields(Recipe)}
NETWORK = {
    *("width", "in_channels", "stem_pool", "shift_stages", "dropout", "consensus"),
    *("weights", "batchnorm", "chunk"),
}  # what a row may say of any network


def parameters_of(
    recipes: Path, experiment: str, row: str, scale: str, data: str, **overrides: Any
) -> tuple[dict[str, Any], int]:
    """All parameters of a run, resolved from the recipe file, and the version of the experiment.

    Raises ValueError, with what there is, for an unknown experiment, row, scale or parameter.
    Explained in chapter 05_more_frames.
    """
    table = _resolved(_tables(Path(recipes).read_text("utf-8")), experiment)
    by_scale = entry_of(table["scale"], f"scale of {experiment}", scale)
    by_row = entry_of(table["rows"], f"row of {experiment}", row)
    own = {key: value for key, value in by_row.items() if key not in table["scale"]}
    found = {**table["common"], **by_scale, **own, **by_row.get(scale, {})}
    known = _RECIPE | NETWORK | {"depth", "network", "init"} | set(found)
    if unknown := set(overrides) - known:
        raise ValueError(
            f"unknown parameter {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}"
        )
    return {**found, **overrides, "scale": scale, "data": data}, table["version"]


def rows_of(recipes: Path, experiment: str) -> list[str]:
    """The names of an experiment's rows in the recipe file.

    Raises ValueError, with what there is, for an unknown experiment.
    Explained in chapter 05_more_frames.
    """
    return list(_resolved(_tables(Path(recipes).read_text("utf-8")), experiment)["rows"])


def like_of(recipes: Path, experiment: str) -> str | None:
    """The experiment that this one takes over what it does not say itself, None if there is none.

    Raises ValueError, with what there is, for an unknown experiment.
    Explained in chapter 05_more_frames.
    """
    return entry_of(_tables(Path(recipes).read_text("utf-8")), "experiment", experiment).get("like")


def recipe_of(parameters: Mapping[str, Any]) -> Recipe:
    """How a run with these parameters trains.

    Explained in chapter 05_more_frames.
    """
    return Recipe(**{key: value for key, value in parameters.items() if key in _RECIPE})


@lru_cache(maxsize=2)
def _tables(text: str) -> dict[str, Any]:
    """A recipe file's tables. A plan asks for hundreds of rows, and parsing takes 10 ms."""
    return tomllib.loads(text)


def _resolved(tables: Mapping[str, Any], experiment: str) -> dict[str, Any]:
    """An experiment's table, completed by that which it is like; rows are taken as a whole."""
    table = entry_of(tables, "experiment", experiment)
    base = _resolved(tables, table["like"]) if "like" in table else {}
    scales = [base.get("scale", {}), table.get("scale", {})]
    return {
        "version": table["version"],
        "common": {**base.get("common", {}), **table.get("common", {})},
        "scale": {
            name: {key: value for scale in scales for key, value in scale.get(name, {}).items()}
            for name in {**scales[0], **scales[1]}
        },
        "rows": table["rows"] if "rows" in table else base["rows"],
    }


def entry_of(table: Mapping[str, Any], what: str, name: str) -> Any:
    """An entry of a table by its name. Raises ValueError, with what there is, if it has none.

    Explained in chapter 05_more_frames.
    """
    if name not in table:
        raise ValueError(f"unknown {what}: {name!r}; there is {', '.join(table)}")
    return table[name]
