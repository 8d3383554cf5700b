"""Single runs, their records, and what these say of the claims."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab import records
from lab.commands.places import DATA, RECIPES


def train_command(
    experiment: str,
    row: str,
    scale: str,
    data: str,
    seed: int,
    out: Path,
    device: str,
    force: bool,
    world: int | None = None,
    settings: Sequence[tuple[str, Any]] = (),
    **options: Any,
) -> int:
    """Make one record without Jupyter: the same run as notebooks/runs/EXPERIMENT.

    Goes on from its last epoch when it was interrupted, and does nothing when the record is there.
    Each epoch adds a line to logs/ in the output folder. Under torchrun all processes train one
    network; with --device cuda each has a GPU of its own.

    examples:
      python -m lab train table1 --row cumulative-8 --scale smoke
      python -m lab train table1 --row tsm-32 --scale small --seed 1 --device cuda
      python -m lab train table1 --row tsm-8 --scale paper --data real --set weights=none
      torchrun --nproc-per-node 2 -m lab train table1 --row tsm-32 --scale small --world 2
    """
    from fvlib import distributed
    from lab.experiments import run

    name = {"scale": scale, "data": data, "seed": seed}
    places = {"recipes": RECIPES, "folder": out}
    with distributed.joined(device, world) as own:
        options |= {"device": str(own), "progress": True, "force": force, **dict(settings)}
        path = run(experiment, row, **name, **places, **options)
        if distributed.is_first():
            print(path)
    return 0


def records_command(action: str, new: Path, adopted: Path) -> int:
    """List, check or adopt run records.

    list    prints the adopted records, those that chapters read, as a table.
    check   tells what is wrong with them, if anything is.
    adopt   moves new records to the adopted ones, in place of those they repeat.

    examples:
      python -m lab records list
      python -m lab records adopt
    """
    if action == "adopt":
        found = records.adopt(new, adopted)
        if not any(found):
            records.require_records(new)
        print("\n".join([*map(str, found.moved), *(f"left, being made: {x}" for x in found.busy)]))
    elif action == "check":
        if problems := records.check(adopted):
            raise ValueError("\n".join(problems))
        print(f"{len(records.select(adopted))} records, all sound")
    else:
        records.require_records(adopted)
        damaged: list[str] = []
        print(records.listing(records.select(adopted, damaged=damaged)))
        warn_of_damaged(damaged)
    return 0


def warn_of_damaged(damaged: Sequence[str]) -> None:
    """A line on stderr for each record that could not be read, and counts as none."""
    for line in damaged:
        print(f"warning: left out, as it cannot be read: {line}", file=sys.stderr)


def claims_command(chapter: str | None, scale: str, data: str) -> int:
    """Print the paper's claims with their verdicts, made from the adopted records.

    examples:
      python -m lab claims
      python -m lab claims --chapter 05_more_frames --scale small --data embedded
    """
    from lab import claims

    damaged: list[str] = []
    records.select(DATA / "records", damaged=damaged)
    warn_of_damaged(damaged)
    print(claims.table(chapter, DATA, scale=scale, data=data))
    return 0


def bench_command() -> int:
    """Measure how fast the parts are, as ratios within one run: tests/bench.py."""
    runpy.run_path("tests/bench.py", run_name="__main__")
    return 0
