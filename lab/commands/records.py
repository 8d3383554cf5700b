"""The records of runs, what they say of the claims, and fingerprints of the arithmetic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from fvlib.cli import application
from lab import plan, records, verify
from lab.commands import options

records_app = application("List, check or adopt run records.")
Count = Annotated[int, Option(min=2, metavar="N")]
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


def claims(
    chapter: Annotated[str | None, Option(metavar="NN_NAME", help="Only its claims; all.")] = None,
    scale: options.Scale = "small",
    data: options.Source = "real",
) -> int:
    """Print the paper's claims with their verdicts, made from the adopted records.

    examples:
      python -m lab claims
      python -m lab claims --chapter 05_more_frames --scale small --data embedded
    """
    options.require_repository()
    from lab import claims as judged

    damaged: list[str] = []
    records.select(options.DATA / "records", damaged=damaged)
    options.warn_of_damaged(damaged)
    print(judged.table(chapter, options.DATA, scale=scale, data=data))
    print(f"\n{judged.staleness(options.DATA)}")
    return 0


def power(
    experiment: Annotated[str, Option(help="Whose tests.")] = "table1",
    scale: options.Scale = "small",
    data: options.Source = "real",
    seeds: Count = 5,
    clips: Count = 4000,
    rows: Annotated[list[str], Option(metavar="ROW...", help="Without clusters.")] = (
        "tsm-8",
        "tsm-32",
    ),
) -> int:
    """Print the smallest difference that each part of a claim can see, from pilot runs.

    The variances of seeds and of clips come from adopted records of rows without clusters. A part
    is decidable when what can be seen with 80 % power is no more than its δ and no more than the
    paper's difference, carried over as a share of the mistakes; otherwise it is descriptive.

    examples:
      python -m lab power
      python -m lab power --experiment table1 --seeds 10 --clips 4000
    """
    options.require_repository()
    from lab import claims

    where = {"scale": scale, "data": data, "rows": tuple(rows)}
    sights = claims.power(options.DATA, experiment, seeds=seeds, clips=clips, **where)
    known = claims.variances(options.DATA, experiment, **where)
    print(f"{seeds} seeds, {clips:,} clips: half of a 95 % interval is about ", end="")
    print(
        f"{known.half_width(seeds, clips):.2f} points; {rows[0]} makes {known.error:.1f} % mistakes"
    )
    print(claims.table_of_power(sights))
    return 0


def tuned() -> int:
    """Print the best entry of its grid for every system, from the tuning records.

    All experiments `tuning_TABLE` must have been run and adopted.

    examples:
      python -m lab tuned
    """
    options.require_repository()
    for experiment, rows in plan.tuned(options.RECIPES, options.DATA / "records").items():
        print(f"{experiment}: {', '.join(f'{row} {at}' for row, at in rows.items())}")
    return 0


def history() -> int:
    """Read from git which records confirm a test and which explore; write data/provenance.json.

    Needs the whole history, so run it in a full clone, after tests, the rule or records were
    committed, and commit what it writes.

    examples:
      python -m lab history
    """
    options.require_repository()
    from lab import claims

    print(claims.write_provenance(options.DATA))
    return 0
