"""Equal terms: the best entry of a grid for every system, from records on validation clips.

Experiments named tuning_TABLE train each row of a table with each entry of the same grid.
`write_tuned` puts the rows at their best into the recipe file, as experiments tuned_TABLE.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fvlib.storage import write_file
from lab import records
from lab.parameters import toml
from lab.recipes import experiments_of, grid_of, like_of, parameters_of, rows_of

PREFIX, TUNED = "tuning_", "tuned_"
BEGIN, END = "# tuned rows: begin", "# tuned rows: end"
SCALE = "small"


def best_of(recipes: Path, folder: Path, experiment: str) -> dict[str, str]:
    """By row, the entry of the grid with the most correct test clips; the earlier one on a tie.

    folder: of the adopted records; all seeds of a run count together. Under the clustered protocol,
    which is that of the text.

    Raises ValueError, with the command that makes them, where a record is missing or stale, and
    where entries have different seeds.
    """
    known = [r for r in records.select(folder, experiment) if r.scale == SCALE]
    best = {}
    for row, points in grid_of(recipes, experiment).items():
        correct, seeds = {}, {}
        for point in points:
            found = [r for r in known if r.row == f"{row}-{point}" and _current(recipes, r)]
            correct[point] = sum(r.results["clustered"]["correct"] for r in found)
            seeds[point] = sorted(r.seed for r in found)
        if not seeds[point] or any(of != seeds[point] for of in seeds.values()):
            said = ", ".join(f"{point} {of}" for point, of in seeds.items())
            raise ValueError(
                f"{experiment}, row {row}: the seeds of its current records are {said}; wanted the "
                f"same in every entry: python -m lab runs run --table {experiment} --rows "
                f"'{row}-*', then python -m lab records adopt"
            )
        best[row] = max(points, key=correct.__getitem__)
    return best


def _current(recipes: Path, record: records.Record) -> bool:
    if record.row not in rows_of(recipes, record.experiment):
        return False
    place = (record.experiment, record.row, record.scale, record.source)
    parameters, version = parameters_of(recipes, *place)
    return not records.why_stale(record, parameters.stated(), version)


def write_tuned(recipes: Path, folder: Path) -> dict[str, dict[str, str]]:
    """Write the rows at their best into the recipe file, between its marks, for all tables.

    A row whose best is what it is as published is left out: it is there already. So is an
    experiment without a row.

    Returns the chosen entries, by tuning experiment and row. Raises ValueError as `best_of`, and
    for a recipe file without the marks; the file is then as it was.
    """
    text = Path(recipes).read_text("utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{recipes} has not one line {BEGIN!r} and one {END!r}; put them back")
    chosen, lines = {}, []
    for name in experiments_of(recipes):
        if name.startswith(PREFIX):
            chosen[name] = best_of(recipes, folder, name)
            grid, like = grid_of(recipes, name), like_of(recipes, name)
            rows = [
                f"{row} = {toml(grid[row][at])}"
                for row, at in chosen[name].items()
                if not _published(recipes, name, row, grid[row][at])
            ]
            tuned = f"{TUNED}{name.removeprefix(PREFIX)}"
            head = [f"[{tuned}]", f'like = "{like}"', "version = 1", "", f"[{tuned}.rows]"]
            lines += [*head, *rows, ""] if rows else []
    before, rest = text.split(BEGIN)
    write_file(Path(recipes), "\n".join([f"{before}{BEGIN}", *lines]) + END + rest.split(END)[1])
    return chosen


def _published(recipes: Path, experiment: str, row: str, entries: Mapping[str, Any]) -> bool:
    """Whether the row has all of this already where it stands as published."""
    while experiment := like_of(recipes, experiment):
        if row in rows_of(recipes, experiment):
            own = parameters_of(recipes, experiment, row, SCALE, "embedded")[0].stated()
            return all(own.get(key) == entries[key] for key in entries if key in own)
    return False
