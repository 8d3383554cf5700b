"""Differences with their intervals, and the rule that turns them into words.

Of a difference a - b, and δ, the smallest one that would matter, the first that applies::

    | | a greater than b | a no better than b | a at least as good as b | a equal to b |
    |---|---|---|---|---|
    | supported | low95 > 0 | high95 < δ | low95 > −δ | 90 % interval inside ±δ |
    | contradicted | high95 < 0 | low95 > δ | high95 < −δ | 95 % interval outside ±δ |
    | no difference | 90 % interval inside ±δ | – | – | – |
    | undecided | otherwise | otherwise | otherwise | otherwise |

Of several differences the level is shared by Holm's method. Student's t is made here, so that a
command on one's own clips needs no scipy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import floor, inf, isfinite, lgamma, log10, pi
from statistics import NormalDist

import numpy as np

LEVEL, EQUIVALENCE = 0.95, 0.90  # of the interval of a difference, and of that for "no difference"
POWER = 0.80
SUPPORTED, CONTRADICTED = "supported", "contradicted"
NO_DIFFERENCE, UNDECIDED = "no difference", "undecided"
ORDERS = ("greater", "no_better", "at_least", "equal")

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(40)
_NORMAL = 1e5  # degrees of freedom from which two terms of the expansion are exact


@dataclass(frozen=True)
class Difference:
    """Mean of a - b over seeds and clips, in the unit of the scores, and how sure it is.

    `se` and `df` are the standard error and the degrees of freedom of Student's interval, and
    `draws` the sorted means of a bootstrap where that is the wider one. An infinite `se` says
    that one number of one seed has no interval.
    """

    mean: float
    se: float
    df: float = inf
    seeds: int = 1
    clips: int = 1
    draws: np.ndarray | None = field(default=None, repr=False, compare=False)

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Both ends of the two-sided interval of this level."""
        tails = ((1 - level) / 2, (1 + level) / 2)
        if self.draws is not None:
            low, high = np.quantile(self.draws, tails)
            return float(low), float(high)
        half = self.se if self.se in (0.0, inf) else self.se * _quantile(tails[1], self.df)
        return self.mean - half, self.mean + half

    @property
    def low(self) -> float:
        return self.interval()[0]

    @property
    def high(self) -> float:
        return self.interval()[1]

    def detectable(self, divisor: int = 1, *, equivalence: float | None = None) -> float:
        """The smallest true difference that this experiment sees with 80 % power.

        divisor: how many parts the level is shared by. equivalence: the level of the interval that
        has to lie inside ±δ, if that is asked for; then it is the smallest δ for which it does, in
        80 % of the experiments, when the truth is no difference.
        """
        level = equivalence or LEVEL
        sides = (1 + POWER) / 2 if equivalence else POWER
        half = (self.high - self.low) / 2
        se = half / _quantile((1 + LEVEL) / 2, self.df) if isfinite(half) else inf
        return se * (_quantile(1 - (1 - level) / 2 / divisor, self.df) + _quantile(sides, self.df))

    def __str__(self) -> str:
        return self.text("+")

    def text(self, sign: str = "") -> str:
        """Mean and 95 % interval; sign "+" puts one before positive numbers too.

        At least two decimals, and up to six where a narrower interval asks for them: two digits of
        its width, but no more than four of the mean.
        """
        low, high = self.interval()
        if not isfinite(high - low):
            return f"{self.mean:{sign}.2f} [one number, no interval]"
        size = max(high - low, abs(self.mean) / 100)
        decimals = min(max(2, 1 - floor(log10(size))), 6) if size else 2
        mean, low, high = (f"{x:{sign}.{decimals}f}" for x in (self.mean, low, high))
        return f"{mean} [{low}, {high}]"

    def plus(self, number: float) -> Difference:
        """The same, higher by a number: the mean of a itself when every b was that number."""
        draws = None if self.draws is None else self.draws + number
        return replace(self, mean=self.mean + number, draws=draws)


@dataclass(frozen=True)
class Comparison:
    """One part of a claim: a - b, what is claimed of it, and the smallest difference that matters.

    order: one of `ORDERS`. greater: a - b > 0. no_better: a - b < δ. at_least: a - b > -δ. equal:
    -δ < a - b < δ.
    """

    order: str
    difference: Difference
    delta: float = 0.0

    def __post_init__(self):
        if self.order not in ORDERS:
            raise ValueError(f"order is {self.order!r}, wanted one of {', '.join(ORDERS)}")
        if self.delta < 0:
            raise ValueError(f"δ is {self.delta}, wanted 0 or more")

    def supports(self, divisor: int = 1) -> bool:
        """Whether it is so, where the level is shared by so many parts."""
        low, high = self.difference.interval(1 - (1 - LEVEL) / divisor)
        if self.order == "equal":
            return self.inside(1 - (1 - EQUIVALENCE) / divisor)
        return {"greater": low > 0, "no_better": high < self.delta, "at_least": low > -self.delta}[
            self.order
        ]

    def contradicts(self, divisor: int = 1) -> bool:
        """Whether the opposite is so."""
        low, high = self.difference.interval(1 - (1 - LEVEL) / divisor)
        return {
            "greater": high < 0,
            "no_better": low > self.delta,
            "at_least": high < -self.delta,
            "equal": low > self.delta or high < -self.delta,
        }[self.order]

    def inside(self, level: float = EQUIVALENCE) -> bool:
        """Whether the whole interval of this level lies within ±δ."""
        low, high = self.difference.interval(level)
        return -self.delta < low and high < self.delta


@dataclass(frozen=True)
class Decision:
    """A word; whether the difference is real and too small to matter; and what could be seen.

    detectable: the smallest difference (for "greater"), or the smallest δ (for the other orders),
    for which an experiment like this one gives "supported" with 80 % power.
    level: that of the interval which decided, after the correction for the number of parts.
    """

    word: str
    below: bool
    detectable: float
    level: float

    def __str__(self) -> str:
        return f"{self.word} (below δ)" if self.below else self.word


def decide_all(parts: Sequence[Comparison]) -> list[Decision]:
    """A word for each comparison, corrected for their number by Holm's method.

    The parts are looked at from the surest on, once for "supported" and once for "contradicted": of
    m parts the first has to pass with the level shared by m, the next by m - 1, and so on, and the
    first that does not pass ends it. An interval of 95 % becomes one of 1 - 0.05/m, and one of 90 %
    that of 1 - 0.10/m. "No difference" and "(below δ)" are of the plain 90 %.
    """
    supported, shared = _holm(parts, Comparison.supports)
    contradicted, shared_against = _holm(parts, Comparison.contradicts)
    decisions = []
    for i, part in enumerate(parts):
        greater, inside = part.order == "greater", part.inside()
        divisor = shared_against[i] if contradicted[i] else shared[i]
        word = NO_DIFFERENCE if greater and inside else UNDECIDED
        if supported[i] or contradicted[i]:
            word = SUPPORTED if supported[i] else CONTRADICTED
        below = greater and inside and word in (SUPPORTED, CONTRADICTED)
        equivalence = EQUIVALENCE if part.order == "equal" else None
        seen = part.difference.detectable(len(parts), equivalence=equivalence)
        decisions.append(Decision(word, below, seen, 1 - (1 - LEVEL) / divisor))
    return decisions


def _holm(
    parts: Sequence[Comparison], passes: Callable[[Comparison, int], bool]
) -> tuple[list[bool], list[int]]:
    """Which parts pass, and by how many parts the level was shared where each was looked at.

    A part is the surer the more ways its level can be shared and it passes still.
    """
    count = len(parts)
    most = [sum(passes(part, k) for k in range(1, count + 1)) for part in parts]
    order = sorted(range(count), key=lambda i: -most[i])
    passed, shared, ended = [False] * count, [1] * count, False
    for place, i in enumerate(order):
        shared[i] = count - place
        ended = ended or not passes(parts[i], shared[i])
        passed[i] = not ended
    return passed, shared


@lru_cache(maxsize=1024)
def _quantile(share: float, df: float) -> float:
    return float(quantiles(share, df))


def quantiles(share: float, df: np.ndarray | float) -> np.ndarray:
    """Student's t: the values below which this share lies, normal where `df` is infinite.

    With s = sqrt(df) sinh(v) the density is cosh(v)^-df but for a factor, so smooth and short that
    40 nodes integrate it to nine digits and more. Its integral is concave, and Newton's steps from
    the normal quantile come to the value from below. From 1e5 degrees on it is that quantile and
    two terms of Cornish and Fisher.

    Raises:
        ValueError: for a share outside 0.5 to 1, or less than one degree.
    """
    df = np.asarray(df, float)
    if not 0.5 <= share < 1 or not (df >= 1).all():
        raise ValueError(f"share is {share}, df {df}; wanted 0.5 <= share < 1 and df from 1 on")
    z = NormalDist().inv_cdf(share)
    few = np.minimum(df, _NORMAL)
    factor = np.exp(np.vectorize(lambda n: lgamma((n + 1) / 2) - lgamma(n / 2))(few)) / pi**0.5
    v = np.arcsinh(z / np.sqrt(few))
    for _ in range(100):
        nodes = v[..., None] * (1 + _NODES) / 2
        below = factor * v / 2 * (np.cosh(nodes) ** -few[..., None] @ _WEIGHTS)
        step = (share - 0.5 - below) / (factor * np.cosh(v) ** -few)
        v = v + step
        if (np.abs(step) <= 1e-9 * np.abs(v)).all():
            break
    far = z + (z**3 + z) / (4 * df) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * df**2)
    return np.where(df >= _NORMAL, far, np.sqrt(few) * np.sinh(v))
