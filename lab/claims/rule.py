"""The rule for claims on trained networks: that of `fvlib.decisions`, with enough seeds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fvlib import decisions
from fvlib.decisions import CONTRADICTED, NO_DIFFERENCE, SUPPORTED, UNDECIDED, Decision, Difference

RULE = 2  # raised when the rule changes: tests that were fixed before are tests of another rule
NOT_TESTED = "not tested"
WORDS = (SUPPORTED, CONTRADICTED, NO_DIFFERENCE, UNDECIDED, NOT_TESTED)
SEEDS_NEEDED = 5


@dataclass(frozen=True)
class Comparison(decisions.Comparison):
    """One part of a claim.

    exempt: a count or a time of code, which does not depend on the seed of a training.
    """

    exempt: bool = False


def decide(
    order: str, difference: Difference, delta: float = 0.0, *, exempt: bool = False
) -> Decision:
    """The word for a comparison that stands alone, as of `decisions.Comparison`."""
    return decide_all([Comparison(order, difference, delta, exempt)])[0]


def decide_all(parts: Sequence[Comparison]) -> list[Decision]:
    """A word for each part of a claim, which is *undecided* with fewer than five seeds."""
    return [
        found
        if part.exempt or part.difference.seeds >= SEEDS_NEEDED
        else replace(found, word=UNDECIDED, below=False)
        for part, found in zip(parts, decisions.decide_all(parts), strict=True)
    ]
