"""Single runs, their records, and what these say of the claims."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from fvlib.cli import application
from lab import records, verify
from lab.commands.options import (
    ADOPTED,
    DATA,
    FINGERPRINTS,
    NEW,
    RECIPES,
    Curves,
    Device,
    Exact,
    Force,
    Out,
    Scale,
    Settings,
    Source,
    command,
    require_repository,
    warn_of_damaged,
)

records_app = application("List, check or adopt run records.")
New = Annotated[Path, Option(help="Folder of new records.")]
Adopted = Annotated[Path, Option(help="Folder of the records that chapters read.")]


def train(
    experiment: Annotated[str, Argument(metavar="EXPERIMENT", help="Such as table1.")],
    row: Annotated[str, Option(help="Such as cumulative-8.")],
    scale: Scale = "smoke",
    data: Source = "embedded",
    seed: int = 0,
    out: Out = NEW,
    device: Device = "cpu",
    world: Annotated[
        int | None,
        Option(min=1, metavar="N", help="Processes that torchrun must have started; any number."),
    ] = None,
    settings: Settings = (),
    force: Force = False,
    deterministic: Exact = False,
    tensorboard: Curves = None,
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
    require_repository()
    from fvlib import distributed
    from lab.experiments import run

    name = {"scale": scale, "data": data, "seed": seed}
    places = {"recipes": RECIPES, "folder": out}
    options = {"force": force, "deterministic": deterministic, "tensorboard": tensorboard}
    with distributed.init_group(device, world) as own:
        options |= {"device": str(own), "progress": True, **dict(settings)}
        path = run(experiment, row, **name, **places, **options)
        if distributed.is_rank_zero():
            print(path)
    return 0


@command(records_app, "list")
def list_(adopted: Adopted = ADOPTED) -> int:
    """Print the adopted records, those that chapters read, as a table, and which are stale.

    examples:
      python -m lab records list
    """
    records.require_records(adopted)
    damaged: list[str] = []
    found = records.select(adopted, damaged=damaged)
    print(records.listing(found, verify.stale(found, RECIPES)))
    print(f"\n{verify.staleness(adopted, RECIPES)}")
    warn_of_damaged(damaged)
    return 0


@command(records_app)
def check(adopted: Adopted = ADOPTED) -> int:
    """Tell what is wrong with the adopted records, if anything is."""
    if problems := records.check(adopted):
        raise ValueError("\n".join(problems))
    print(f"{len(records.select(adopted))} records, all sound")
    return 0


@command(records_app)
def adopt(new: New = NEW, adopted: Adopted = ADOPTED) -> int:
    """Move new records to the adopted ones, in place of those they repeat.

    examples:
      python -m lab records adopt
    """
    found = records.adopt(new, adopted)
    if not any(found):
        records.require_records(new)
    print("\n".join([*map(str, found.moved), *(f"left, being made: {x}" for x in found.busy)]))
    return 0


def claims(
    chapter: Annotated[str | None, Option(metavar="NN_NAME", help="Only its claims; all.")] = None,
    scale: Scale = "small",
    data: Source = "real",
) -> int:
    """Print the paper's claims with their verdicts, made from the adopted records.

    examples:
      python -m lab claims
      python -m lab claims --chapter 05_more_frames --scale small --data embedded
    """
    require_repository()
    from lab import claims as judged

    damaged: list[str] = []
    records.select(DATA / "records", damaged=damaged)
    warn_of_damaged(damaged)
    print(judged.table(chapter, DATA, scale=scale, data=data))
    print(f"\n{judged.staleness(DATA)}")
    return 0


def fingerprints(
    raise_: Annotated[
        bool, Option("--raise", help="Raise the version where arithmetic has changed.")
    ] = False,
) -> int:
    """Write data/fingerprints.json: a few steps of every experiment, beside its version.

    By it a test sees when today's code computes something else than that which made the records.
    It is refused where arithmetic has changed under the same version; --raise raises the version in
    data/recipes.toml, and records of that experiment are stale then.

    examples:
      python -m lab fingerprints
      python -m lab fingerprints --raise
    """
    require_repository()
    from lab.fingerprints import renew

    raised = renew(FINGERPRINTS, RECIPES, raise_)
    print("\n".join(f"{name} has a new version" for name in raised) or "no version was raised")
    return 0


def bench() -> int:
    """Measure how fast the parts are, as ratios within one run: tests/bench.py."""
    require_repository()
    runpy.run_path("tests/bench.py", run_name="__main__")
    return 0
