"""Differences of paired scores with their intervals, over seeds and clips at once.

Each seed is tested on the same clips, so the scores of a comparison are a table, seeds by clips.
Both are a sample: other seeds and other clips would have given other numbers. Two methods say how
far the mean of such a table can be trusted, and the one with the wider 95 % interval is used:

- the two-way random-effects interval: a difference is a mean plus an effect of the seed, one of the
  clip and a rest, whose variances come from the mean squares of the table; the interval is that of
  Student's t with Satterthwaite's degrees of freedom;
- the bootstrap, which draws seeds with replacement and, for all drawn seeds together, clips.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from math import inf, isfinite

import numpy as np
from jaxtyping import Shaped

from fvlib.decisions import Difference

DRAWS = 4000

Number = np.ndarray | float  # one for each table
Scores = Shaped[np.ndarray, "..."]  # (seeds, clips), which paired_difference checks itself


def paired_difference(a: Scores, b: Scores) -> Difference:
    """Mean of `a - b` and its interval over seeds and clips, the wider one of two methods.

    a, b: one score for each seed and clip (correct or not, times 100; a purity; ...), row s of both
    from the same seed and column i from the same clip. With one seed the interval is over clips
    alone, with one clip over seeds alone. ValueError when the two have different shapes, hold
    nothing, or hold a number that is not finite.
    """
    return differences(_paired(a, b)[None])[0]


def difference_of_gains(first: tuple[Scores, Scores], second: tuple[Scores, Scores]) -> Difference:
    """How much larger the gain a - b of the first is than that of the second, on other clips.

    first, second: a and b as of `paired_difference`. The two are independent of each other.
    """
    tables = [_paired(*pair) for pair in (first, second)]
    (mean, se, df), (mean2, se2, df2) = ([float(x) for x in two_way(table)] for table in tables)
    drawn = [bootstrap(table, seed=i) for i, table in enumerate(tables)]
    square = se**2 + se2**2
    df = square**2 / (se**4 / df + se2**4 / df2) if 0 < square < inf else inf
    counts = (min(len(table) for table in tables), min(table.shape[1] for table in tables))
    return _wider(mean - mean2, square**0.5, df, *counts, drawn[0] - drawn[1])


def differences(
    tables: Shaped[np.ndarray, "n seeds clips"], *, draws: int = DRAWS
) -> list[Difference]:
    """`paired_difference` of many tables of differences at once, all of the same size."""
    drawn = bootstrap(tables, draws)
    counts = tables.shape[1:]
    return [
        _wider(float(mean), float(se), float(df), *counts, means)
        for mean, se, df, means in zip(*two_way(tables), drawn, strict=True)
    ]


def components(table: Shaped[np.ndarray, "*n seeds clips"]) -> tuple[Number, Number, Number]:
    """Variances of the effects of seeds and of clips and of the rest, by the mean squares.

    A variance that comes out below zero is zero. With one seed (one clip) all that varies is put
    down to the clips (the seeds).
    """
    seeds, clips = table.shape[-2:]
    of_seeds, of_clips, rest = _mean_squares(table)
    if seeds == 1 or clips == 1:
        zero = np.zeros(table.shape[:-2])
        return (zero, of_clips, zero) if seeds == 1 else (of_seeds, zero, zero)
    return np.maximum(of_seeds - rest, 0) / clips, np.maximum(of_clips - rest, 0) / seeds, rest


def two_way(table: Shaped[np.ndarray, "*n seeds clips"]) -> tuple[Number, Number, Number]:
    """Mean, standard error and Satterthwaite's degrees of freedom of tables of differences."""
    seeds, clips = table.shape[-2:]
    mean = table.mean((-2, -1))
    if seeds == 1 or clips == 1:
        count = max(seeds, clips)
        spread = table.var((-2, -1), ddof=1) if count > 1 else np.full(mean.shape, inf)
        return mean, np.sqrt(spread / count), np.full(mean.shape, max(count - 1.0, 1.0))
    return mean, *of_mean_squares(*_mean_squares(table), seeds, clips)


def of_mean_squares(
    of_seeds: Number, of_clips: Number, rest: Number, seeds: int, clips: int
) -> tuple[Number, Number]:
    """Standard error of the mean of a table, and its degrees of freedom, from its mean squares.

    E[of_seeds] + E[of_clips] - E[rest] is the variance of the mean times the size of the table. An
    effect cannot have a variance below zero, so neither mean square counts less than the rest, and
    a mean of so many seeds and clips cannot be less sure than the fewer of the two.
    """
    of_seeds, of_clips = np.maximum(of_seeds, rest), np.maximum(of_clips, rest)
    total = of_seeds + of_clips - rest
    parts = of_seeds**2 / (seeds - 1) + of_clips**2 / (clips - 1)
    parts += rest**2 / ((seeds - 1) * (clips - 1))
    df = np.divide(total**2, parts, out=np.full(np.shape(total), inf), where=parts > 0)
    return np.sqrt(total / (seeds * clips)), np.maximum(df, min(seeds, clips) - 1)


def bootstrap(
    table: Shaped[np.ndarray, "*n seeds clips"], draws: int = DRAWS, seed: int = 0
) -> Shaped[np.ndarray, "*n draws"]:
    """Means of tables whose seeds, and for all of them together clips, are drawn again."""
    seeds, clips = table.shape[-2:]
    of_seeds, of_clips = _counts(seeds, clips, draws, seed)
    by_seed = table @ of_clips.T.astype(table.dtype) / clips
    return np.einsum("...sd,ds->...d", by_seed, of_seeds) / seeds


@lru_cache(maxsize=8)
def _counts(seeds: int, clips: int, draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each seed, and each clip, is drawn in each draw."""
    rng = np.random.default_rng(seed)
    counts = []
    for size in (seeds, clips):
        drawn = rng.integers(size, size=(draws, size)) + size * np.arange(draws)[:, None]
        counts.append(np.bincount(drawn.ravel(), minlength=draws * size).reshape(draws, size))
    return counts[0], counts[1].astype(np.uint8)


def _paired(a: Scores, b: Scores) -> np.ndarray:
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.shape != b.shape or a.ndim != 2 or a.size == 0:
        raise ValueError(
            f"scores of shapes {a.shape} and {b.shape}: wanted (seeds, clips), the same for both "
            "and not empty; compare runs of the same seeds on the same clips"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError(
            "scores that are not finite: leave a clip without a score out, of both and of all seeds"
        )
    return a - b


def _mean_squares(table: np.ndarray) -> tuple[Number, Number, Number]:
    """Mean squares of seeds, of clips and of the rest; zero where there is only one of them."""
    seeds, clips = table.shape[-2:]
    mean = table.mean((-2, -1), keepdims=True)
    by_seed, by_clip = table.mean(-1, keepdims=True), table.mean(-2, keepdims=True)
    rest = ((table - by_seed - by_clip + mean) ** 2).sum((-2, -1))
    of_seeds = clips * ((by_seed - mean) ** 2).sum((-2, -1)) / max(seeds - 1, 1)
    of_clips = seeds * ((by_clip - mean) ** 2).sum((-2, -1)) / max(clips - 1, 1)
    return of_seeds, of_clips, rest / max((seeds - 1) * (clips - 1), 1)


def _wider(
    mean: float, se: float, df: float, seeds: int, clips: int, drawn: np.ndarray
) -> Difference:
    """The difference with that method whose 95 % interval is the wider one."""
    found = Difference(mean, se, df, seeds, clips)
    other = replace(found, draws=np.sort(drawn))
    wider = other.high - other.low > found.high - found.low and isfinite(se)
    return other if wider else found
