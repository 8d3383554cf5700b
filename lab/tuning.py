"""Equal terms: the best entry of a grid for every system, from records on validation clips.

Experiments named tuning_TABLE train each row of a table with each entry of the same grid.
"""

from __future__ import annotations

from pathlib import Path

from lab import records
from lab.recipes import experiments_of, grid_of
from lab.verify import why_stale

PREFIX, SCALE = "tuning_", "small"


def tuned(recipes: Path, folder: Path) -> dict[str, dict[str, str]]:
    """By tuning experiment and row, the entry of the grid with the most correct test clips.

    The earlier one on a tie. folder: of the adopted records; all seeds of a run count together.
    Under the clustered protocol, which is that of the text.

    Raises ValueError, with the command that makes them, where a record is missing or stale, and
    where entries have different seeds.
    """
    names = [name for name in experiments_of(recipes) if name.startswith(PREFIX)]
    return {
        name: {row: _best(recipes, folder, name, row, [*of]) for row, of in grid.items()}
        for name, grid in ((name, grid_of(recipes, name)) for name in names)
    }


def _best(recipes: Path, folder: Path, experiment: str, row: str, points: list[str]) -> str:
    correct, seeds = {}, {}
    for point in points:
        found = [
            record
            for record in records.select(folder, experiment, scale=SCALE, row=f"{row}-{point}")
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
