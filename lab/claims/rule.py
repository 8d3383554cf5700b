"""The rule that turns differences into words; stated in plain words in `lab.claims`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lab.claims.intervals import EQUIVALENCE, LEVEL, Difference

RULE = 2  # raised when the rule changes: tests that were fixed before are tests of another rule
SUPPORTED, CONTRADICTED = "supported", "contradicted"
NO_DIFFERENCE, UNDECIDED, NOT_TESTED = "no difference", "undecided", "not tested"
WORDS = (SUPPORTED, CONTRADICTED, NO_DIFFERENCE, UNDECIDED, NOT_TESTED)
ORDERS = ("greater", "no_better", "at_least", "equal")
SEEDS_NEEDED = 5


@dataclass(frozen=True)
class Comparison:
    """One part of a claim: a - b, what is claimed of it, and the smallest difference that matters.

    exempt: a count or a time of code, which does not depend on the seed of a training.
    """

    order: str
    difference: Difference
    delta: float = 0.0
    exempt: bool = False


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


def decide(
    order: str, difference: Difference, delta: float = 0.0, *, exempt: bool = False
) -> Decision:
    """The word for a comparison that stands alone; order is one of `ORDERS`.

    greater: a - b > 0. no_better: a - b < δ. at_least: a - b > -δ. equal: -δ < a - b < δ.
    """
    return decide_all([Comparison(order, difference, delta, exempt)])[0]


def decide_all(parts: Sequence[Comparison]) -> list[Decision]:
    """A word for each part of a claim, corrected for their number by Holm's method.

    The parts are looked at from the surest on, once for "supported" and once for "contradicted": of
    m parts the first has to pass with the level shared by m, the next by m - 1, and so on, and the
    first that does not pass ends it. An interval of 95 % becomes one of 1 - 0.05/m, and one of 90 %
    that of 1 - 0.10/m. "No difference" and "(below δ)" are of the plain 90 %.
    """
    for part in parts:
        if part.order not in ORDERS:
            raise ValueError(f"order is {part.order!r}, wanted one of {', '.join(ORDERS)}")
        if part.delta < 0:
            raise ValueError(f"δ is {part.delta}, wanted 0 or more")
    supported, shared = _holm(parts, _supports)
    contradicted, shared_against = _holm(parts, _contradicts)
    decisions = []
    for i, part in enumerate(parts):
        inside = _inside(part, EQUIVALENCE)
        divisor = shared_against[i] if contradicted[i] else shared[i]
        if part.difference.seeds < SEEDS_NEEDED and not part.exempt:
            word = UNDECIDED
        elif supported[i]:
            word = SUPPORTED
        elif contradicted[i]:
            word = CONTRADICTED
        elif part.order == "greater" and inside:
            word = NO_DIFFERENCE
        else:
            word = UNDECIDED
        below = part.order == "greater" and inside and word in (SUPPORTED, CONTRADICTED)
        seen = detectable(part.order, part.difference, len(parts))
        decisions.append(Decision(word, below, seen, 1 - (1 - LEVEL) / divisor))
    return decisions


def detectable(order: str, difference: Difference, parts: int = 1) -> float:
    """The smallest difference, or δ, with which a part of `parts` is "supported" in 80 %."""
    return difference.detectable(parts, equivalence=EQUIVALENCE if order == "equal" else None)


def _supports(part: Comparison, divisor: int) -> bool:
    low, high = part.difference.interval(1 - (1 - LEVEL) / divisor)
    if part.order == "equal":
        return _inside(part, 1 - (1 - EQUIVALENCE) / divisor)
    return {"greater": low > 0, "no_better": high < part.delta, "at_least": low > -part.delta}[
        part.order
    ]


def _contradicts(part: Comparison, divisor: int) -> bool:
    low, high = part.difference.interval(1 - (1 - LEVEL) / divisor)
    return {
        "greater": high < 0,
        "no_better": low > part.delta,
        "at_least": high < -part.delta,
        "equal": low > part.delta or high < -part.delta,
    }[part.order]


def _inside(part: Comparison, level: float) -> bool:
    """Whether the whole interval of this level lies within ±δ."""
    low, high = part.difference.interval(level)
    return -part.delta < low and high < part.delta


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
