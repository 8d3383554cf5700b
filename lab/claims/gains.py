"""Rows of a table against each other, clip by clip, from their records."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64

from lab.claims.intervals import Difference, paired_difference
from lab.records import Record

Pair = tuple[Float64[np.ndarray, "seeds clips"], Float64[np.ndarray, "seeds clips"]]


def right(
    records: Sequence[Record], protocol: str = "clustered", *, alike: int = 1
) -> dict[int, Float64[np.ndarray, " clips"]]:
    """Seed -> 100 for each test clip whose class was named, 0 for the others.

    alike: so many classes that follow each other count as one (2: 0 and 1, 2 and 3, ...).
    """
    return {
        record.seed: 100.0
        * (record.arrays[f"{protocol}_prediction"] // alike == record.arrays["target"] // alike)
        for record in records
    }


def paired(
    a: Sequence[Record],
    b: Sequence[Record],
    protocol: str = "clustered",
    *,
    other: str | None = None,
    alike: int = 1,
    clips: Any = slice(None),
) -> Pair:
    """`right` of two rows, in the seeds that both have, as `paired_difference` wants it.

    a, b: the records of each row. other: the protocol of b, if it is not that of a. clips: which
    ones, as an index of an array; all of them if not given. ValueError for rows that have no seed
    in common, or were tested on other clips.
    """
    if len({record.arrays["target"].tobytes() for record in (*a, *b)}) > 1:
        names = " and ".join(sorted({record.row for record in (*a, *b)}))
        raise ValueError(f"{names} were not tested on the same clips; compare rows of one table")
    rows = right(a, protocol, alike=alike), right(b, other or protocol, alike=alike)
    seeds = sorted(rows[0].keys() & rows[1].keys())
    if not seeds:
        raise ValueError(
            f"seeds {sorted(rows[0])} and {sorted(rows[1])} have none in common; train both rows "
            "with the same seeds"
        )
    first, second = (np.array([row[seed][clips] for seed in seeds]) for row in rows)
    return first, second


def gain(*rows: Sequence[Record] | str, **how: Any) -> Difference:
    """Points of row a over row b, with the 95 % interval; takes what `paired` takes."""
    return paired_difference(*paired(*rows, **how))
