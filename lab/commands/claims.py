"""What records say of the claims, what tests will see, and whether they came before the runs."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from lab import records
from lab.commands.options import DATA, RECIPES, Scale, Source, require_repository, warn_of_damaged

Count = Annotated[int, Option(min=2, metavar="N")]


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


def power(
    experiment: Annotated[str, Option(help="Whose tests.")] = "table1",
    scale: Scale = "small",
    data: Source = "real",
    seeds: Count = 5,
    clips: Count = 4000,
    pilot: Annotated[
        str | None, Option(metavar="EXPERIMENT", help="Whose records give the variances.")
    ] = None,
    rows: Annotated[list[str], Option(metavar="ROW...", help="Without clusters.")] = (
        "tsm-8",
        "tsm-32",
    ),
) -> int:
    """Print the smallest difference that each part of a claim can see, from pilot runs.

    The variances of seeds and of clips come from adopted records of rows without clusters, those of
    the experiment itself or of another one, the pilot. A part is decidable when what can be seen
    with 80 % power is no more than its δ and no more than the paper's difference, carried over as a
    share of the mistakes; otherwise it is descriptive.

    examples:
      python -m lab power
      python -m lab power --experiment table1 --seeds 10 --clips 4000
    """
    require_repository()
    from lab import claims

    where = {"scale": scale, "data": data, "rows": tuple(rows)}
    sights = claims.power(DATA, experiment, seeds=seeds, clips=clips, pilot=pilot, **where)
    known = claims.variances(DATA, pilot or experiment, **where)
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
    require_repository()
    from lab import tuning

    for experiment, rows in tuning.tuned(RECIPES, DATA / "records").items():
        print(f"{experiment}: {', '.join(f'{row} {at}' for row, at in rows.items())}")
    return 0


def history() -> int:
    """Read from git which records confirm a test and which explore; write data/provenance.json.

    Needs the whole history, so run it in a full clone, after tests, the rule or records were
    committed, and commit what it writes.

    examples:
      python -m lab history
    """
    require_repository()
    from lab import claims

    print(claims.write_provenance(DATA))
    return 0
