"""What the tests of claims will be able to see, and whether they came before the runs."""

from __future__ import annotations

from collections.abc import Sequence

from lab.commands.places import DATA


def power(
    experiment: str = "table1",
    scale: str = "small",
    data: str = "real",
    seeds: int = 5,
    clips: int = 4000,
    pilot: str | None = None,
    rows: Sequence[str] = ("tsm-8", "tsm-32"),
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


def history() -> int:
    """Read from git which records confirm a test and which explore; write data/provenance.json.

    Needs the whole history, so run it in a full clone, after tests, the rule or records were
    committed, and commit what it writes.

    examples:
      python -m lab history
    """
    from lab import claims

    print(claims.write_provenance(DATA))
    return 0
