"""The rule that turns differences into words; stated in plain words in `lab.claims`."""

from dataclasses import dataclass, replace
from math import floor, log10

import numpy as np
from jaxtyping import Shaped

HOLDS, SAME_DIRECTION = "holds", "same direction"
DOES_NOT_HOLD, NOT_TESTED = "does not hold", "not tested"
WORDS = (HOLDS, SAME_DIRECTION, DOES_NOT_HOLD, NOT_TESTED)
SEEDS_NEEDED = 5
LEVEL = 0.95
TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
DRAWS = 4000

Scores = Shaped[np.ndarray, "..."]  # (seeds, clips), which paired_difference checks itself


@dataclass(frozen=True)
class Difference:
    """Mean of a - b over seeds and clips, with its 95 % interval, in the unit of the scores.

    Explained in chapter 05_more_frames.
    """

    mean: float
    low: float
    high: float
    seeds: int

    def __str__(self) -> str:
        return self.text("+")

    def text(self, sign: str = "") -> str:
        """Mean and interval; sign "+" puts one before positive numbers too.

        At least two decimals, and up to six where a narrower interval asks for them: two digits of
        its width, but no more than four of the mean.
        """
        size = max(self.high - self.low, abs(self.mean) / 100)
        decimals = min(max(2, 1 - floor(log10(size))), 6) if size else 2
        mean, low, high = (f"{x:{sign}.{decimals}f}" for x in (self.mean, self.low, self.high))
        return f"{mean} [{low}, {high}]"

    def plus(self, number: float) -> "Difference":
        """The same, higher by a number: the mean of a itself when every b was that number."""
        moved = {name: getattr(self, name) + number for name in ("mean", "low", "high")}
        return replace(self, **moved)


def paired_difference(a: Scores, b: Scores, *, draws: int = DRAWS, seed: int = 0) -> Difference:
    """Mean of `a - b` and its 95 % interval by a bootstrap over seeds and then clips.

    a, b: one score for each seed and clip (correct or not, times 100; a purity; ...), row s of both
    from the same seed and column i from the same clip. Each draw takes as many seeds as there are,
    and for all of them together as many clips as there are, with replacement. ValueError when the
    two have different shapes, hold nothing, or hold a number that is not finite.

    Explained in chapter 05_more_frames.
    """
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
    difference = a - b
    low, high = np.quantile(_drawn_means(difference, draws, seed), TAILS)
    return Difference(float(difference.mean()), float(low), float(high), len(difference))


def difference_of_gains(
    first: tuple[Scores, Scores],
    second: tuple[Scores, Scores],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Difference:
    """How much larger the gain a - b of the first is than that of the second, on other clips.

    first, second: a and b as of `paired_difference`. The two are drawn independently.

    Explained in chapter 10_something.
    """
    gains = [paired_difference(*pair, draws=draws, seed=seed) for pair in (first, second)]
    differences = [np.asarray(a, float) - np.asarray(b, float) for a, b in (first, second)]
    drawn = [_drawn_means(d, draws, seed + i) for i, d in enumerate(differences)]
    low, high = np.quantile(drawn[0] - drawn[1], TAILS)
    seeds = min(gain.seeds for gain in gains)
    return Difference(gains[0].mean - gains[1].mean, float(low), float(high), seeds)


def _drawn_means(difference: np.ndarray, draws: int, seed: int) -> np.ndarray:
    seeds, clips = difference.shape
    rng = np.random.default_rng(seed)
    seed_counts = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=draws)
    drawn = rng.integers(clips, size=(draws, clips))
    return np.take_along_axis(seed_counts @ difference, drawn, axis=1).mean(axis=1) / seeds


def decide(kind: str, difference: Difference, margin: float = 0.0) -> str:
    """The verdict word for one comparison; kind is "greater", "equal" or "no_better".

    greater: a - b > 0. no_better: a - b <= margin. equal: -margin <= a - b <= margin.

    Explained in chapter 05_more_frames.
    """
    mean, low, high = difference.mean, difference.low, difference.high
    if kind == "greater":
        pointed, whole = mean > 0, low > 0
    elif kind == "no_better":
        pointed, whole = mean <= margin, high <= margin
    elif kind == "equal":
        pointed, whole = abs(mean) <= margin, -margin <= low and high <= margin
    else:
        raise ValueError(f"kind is {kind!r}, wanted greater, equal or no_better")
    if not pointed:
        return DOES_NOT_HOLD
    return HOLDS if whole and difference.seeds >= SEEDS_NEEDED else SAME_DIRECTION


def worst(words: list[str]) -> str:
    """The word for several comparisons together: one that fails decides, then one not tested."""
    for word in (DOES_NOT_HOLD, NOT_TESTED, SAME_DIRECTION):
        if word in words:
            return word
    return HOLDS
