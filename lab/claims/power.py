"""What an experiment will be able to see, from pilot runs of rows without clusters."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from fvlib.decisions import EQUIVALENCE, LEVEL, POWER, quantiles
from lab.claims.evidence import LEAST, Evidence, pairs, right
from lab.claims.intervals import components, of_mean_squares
from lab.claims.paper import load
from lab.records import select

EXPERIMENTS = 20_000
PILOTS = ("tsm-8", "tsm-32")
PILOT_SEEDS = 5  # the first ones: later seeds do not change what was announced


@dataclass(frozen=True)
class Variances:
    """Variances of paired differences between two rows: of seeds, of clips, and of the rest.

    `error` is that of the first pilot row, in percent, from which those of the others are guessed.
    """

    of_seeds: float
    of_clips: float
    rest: float
    error: float

    def detectable(self, order: str, seeds: int, clips: int, parts: int = 1) -> float:
        """The smallest difference, or δ, for which a part of `parts` is "supported" in 80 %.

        For "greater" it is a true difference of a and b; for the other orders the smallest δ when
        a and b are equal.
        """
        level = 1 - (1 - (EQUIVALENCE if order == "equal" else LEVEL)) / parts
        mean, half = self._experiments(seeds, clips, level)
        return float(np.quantile((np.abs(mean) if order == "equal" else mean) + half, POWER))

    def half_width(self, seeds: int, clips: int) -> float:
        """What half of the 95 % interval will be on average."""
        return float(self._experiments(seeds, clips, LEVEL)[1].mean())

    def _experiments(self, seeds: int, clips: int, level: float) -> tuple[np.ndarray, np.ndarray]:
        """Errors of the mean, and half widths of the wider interval, of many such experiments.

        The mean squares of a table are drawn in place of the table; the variance of a bootstrap of
        seeds and clips follows from them.
        """
        if seeds < 2 or clips < 2:
            raise ValueError(f"{seeds} seeds and {clips} clips: wanted two or more of each")
        rng, size = np.random.default_rng(0), seeds * clips
        free = np.array([seeds - 1, clips - 1, (seeds - 1) * (clips - 1)])
        parts = np.array([clips * self.of_seeds, seeds * self.of_clips, 0.0]) + self.rest
        squares = parts[:, None] * rng.chisquare(free[:, None], (3, EXPERIMENTS)) / free[:, None]
        error = rng.normal(size=EXPERIMENTS) * np.sqrt((parts[0] + parts[1] - parts[2]) / size)
        shares = np.array([(seeds - 1) / seeds, (clips - 1) / clips, free[2] / size])
        drawn = quantiles((1 + level) / 2, np.inf) * np.sqrt(shares @ squares / size)
        se, df = of_mean_squares(*squares, seeds, clips)
        return error, np.maximum(drawn, quantiles((1 + level) / 2, df) * se)


@dataclass(frozen=True)
class Sight:
    """One part of a claim: what can be seen of it, and what there is to see, in points.

    `effect` is the paper's difference, carried over to the errors here; None where it prints none.
    A part is decidable when the smaller of `effect` and `delta` can be seen with 80 % power, and
    descriptive otherwise.
    """

    claim: str
    name: str
    detectable: float
    delta: float
    effect: float | None

    @property
    def decidable(self) -> bool:
        wanted = self.delta if self.effect is None else min(self.delta, self.effect)
        return self.detectable <= wanted


def variances(
    folder: str | os.PathLike,
    experiment: str,
    *,
    scale: str = "small",
    data: str = "real",
    rows: Sequence[str] = PILOTS,
) -> Variances:
    """Variances from the first seeds of rows without clusters, the mean over two kinds of pairs.

    Two seeds of one row have the noise of training and nothing else; two rows, clip by clip and
    seed by seed, have also clips that are harder for the one than for the other. ValueError when
    there are fewer than two seeds of every row.
    """
    scores = {}
    for row in rows:
        found = select(Path(folder) / "records", experiment, scale=scale, data=data, row=row)
        answers = [each for _, each in sorted(right(found).items())][:PILOT_SEEDS]
        if len({len(one) for one in answers}) == 1 and len(answers) > 1:
            scores[row] = np.array(answers)
    if not scores:
        raise ValueError(
            f"no pilot: {experiment} has no two seeds of {' or '.join(rows)} on the same clips at "
            f"scale {scale} on {data} data; run these rows first"
        )
    found = []
    for one in scores.values():  # two seeds of a row: the clips cancel, all else is there twice
        of_seeds, _, rest = (float(x) for x in components(one))
        found.append((2 * of_seeds, 0.0, 2 * rest))
    for a, b in combinations(scores.values(), 2):
        if a.shape == b.shape:
            found.append(tuple(float(x) for x in components(a - b)))
    error = 100 - float(next(iter(scores.values())).mean())
    return Variances(*np.mean(found, axis=0).tolist(), error)


def power(
    folder: str | os.PathLike,
    experiment: str = "table1",
    *,
    seeds: int = 5,
    clips: int = 4000,
    **where: object,
) -> list[Sight]:
    """What each part of the claims on an experiment's accuracies will be able to say.

    seeds, clips: those of the experiment to come. where: the keywords of `variances`. Errors of
    rows are guessed as the pilot row's times the ratio of the printed ones, so that δ and the
    paper's effect are what they would be if the paper's ratios held here.
    """
    known = variances(folder, experiment, **where)
    first = where.get("rows", PILOTS)[0]
    sights = []
    for claim in load(folder):
        parts = [
            (test, *pair)
            for test in claim.tests
            if "array" not in test and test["kind"] != "gain" and {"a", "rows"} & test.keys()
            for pair in pairs(test)
            if all(isinstance(row, str) for row in pair)
        ]
        for test, a, b in parts:
            if test.get("experiment") != experiment:
                continue
            evidence = Evidence(claim, test, Path(folder) / "records", "small", "real", "clustered")
            order = "greater" if test["kind"] == "chain" else test["kind"]
            printed = {row: evidence.printed(row) for row in (a, b, first)}
            guess, share, effect = known.error, 0.0, None
            if printed[b] is not None and printed[first] is not None:
                guess = known.error * (100 - printed[b]) / (100 - printed[first])
            if order == "greater" and printed[a] is not None and printed[b] is not None:
                share = evidence.printed_share(a, b)
                effect = share * guess
            detectable = known.detectable(order, seeds, clips, len(parts))
            delta = max(LEAST, share / 2) * guess
            name = evidence.named(f"{a} − {b}")
            sights.append(Sight(claim.id, name, detectable, delta, effect))
    return sights
