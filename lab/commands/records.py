"""The records of runs, and fingerprints of the arithmetic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from fvlib.cli import application
from lab import records, verify
from lab.commands import options

records_app = application("List, check or adopt run records.")
New = Annotated[Path, Option(help="Folder of new records.")]
Adopted = Annotated[Path, Option(help="Folder of the records that chapters read.")]


@options.command(records_app, "list")
def list_(adopted: Adopted = options.ADOPTED) -> int:
    """Print the adopted records, those that chapters read, as a table, and which are stale.

    examples:
      python -m lab records list
    """
    records.require_records(adopted)
    damaged: list[str] = []
    found = records.select(adopted, damaged=damaged)
    print(records.listing(found, verify.stale(found, options.RECIPES)))
    print(f"\n{verify.staleness(adopted, options.RECIPES)}")
    options.warn_of_damaged(damaged)
    return 0


@options.command(records_app)
def check(adopted: Adopted = options.ADOPTED) -> int:
    """Tell what is wrong with the adopted records, if anything is."""
    if problems := records.problems(adopted):
        raise ValueError("\n".join(problems))
    print(f"{len(records.select(adopted))} records, all sound")
    return 0


@options.command(records_app)
def adopt(new: New = options.NEW, adopted: Adopted = options.ADOPTED) -> int:
    """Move new records to the adopted ones, in place of those they repeat.

    examples:
      python -m lab records adopt
    """
    moved, busy = records.adopt(new, adopted)
    if not (moved or busy):
        records.require_records(new)
    print("\n".join([*map(str, moved), *(f"left, being made: {x}" for x in busy)]))
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
    options.require_repository()
    from lab.fingerprints import renew

    raised = renew(options.FINGERPRINTS, options.RECIPES, raise_)
    print("\n".join(f"{name} has a new version" for name in raised) or "no version was raised")
    return 0
