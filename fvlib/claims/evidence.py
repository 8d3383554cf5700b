"""What one test of a claim rests on, records or values handed in, and the outcome."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from fvlib.claims.paper import Claim
from fvlib.claims.rule import (
    DOES_NOT_HOLD,
    HOLDS,
    SAME_DIRECTION,
    SEEDS_NEEDED,
    decide,
    paired_difference,
)
from fvlib.records import Record, select


class Untested(Exception):
    """There is nothing to judge by; the message is the reason."""


@dataclass(frozen=True)
class Outcome:
    """The word for one comparison, the numbers as shown, and the seeds they come from."""

    word: str
    measured: str
    seeds: int | None = None


@dataclass(frozen=True)
class Evidence:
    """Where one test finds its numbers: `given` by a chapter, else records under `folder`."""

    claim: Claim
    test: Mapping[str, Any]
    folder: Path
    scale: str
    data: str
    protocol: str
    given: Any

    def scores(self, row: str) -> dict[int, np.ndarray]:
        """Seed -> one score a clip: 100 or 0 for right or wrong, or the test's own array."""
        if self.given is not None:
            given = self.given_for(row)
            return dict(enumerate(np.atleast_2d(np.asarray(given, float))))
        array = self.test.get("array")
        if array:
            return {r.seed: self.array(r, array).astype(float) for r in self.records(row)}
        return {
            r.seed: 100.0 * (self.prediction(r) == r.arrays["target"]) for r in self.records(row)
        }

    def prediction(self, record: Record) -> np.ndarray:
        return self.array(record, f"{self.protocol}_prediction")

    def array(self, record: Record, name: str) -> np.ndarray:
        if name not in record.arrays:
            raise Untested(f"{record.name} has no {name}")
        return record.arrays[name]

    def numbers(self, row: str) -> list[float]:
        """The quantity of a row in the claim's unit, one for each seed."""
        if self.given is not None:
            return [float(self.given_for(row))]
        values = [record.value(self.path) for record in self.records(row)]
        if None in values:
            raise Untested(f"records of {row} have no {self.path}")
        return [float(value) * self.test.get("factor", 1) for value in values]

    @property
    def path(self) -> str:
        """Dotted path of the number in the record; "{protocol}" in it is filled in."""
        return self.test.get("path", "results.{protocol}.top1").format(protocol=self.protocol)

    def given_for(self, row: str) -> Any:
        if row not in self.given:
            raise ValueError(f"{self.claim.id}: nothing given for {row}, only for {[*self.given]}")
        return self.given[row]

    def records(self, row: str) -> list[Record]:
        experiment = self.test.get("experiment")
        if experiment is None:
            raise Untested(f"computed in chapter {self.claim.chapter}, not recorded")
        found = select(self.folder, experiment, scale=self.scale, data=self.data, row=row)
        if not found:
            raise Untested(f"no record {experiment}/{self.scale}-{self.data}-{row}")
        return found


def compare(evidence: Evidence) -> list[Outcome]:
    """Outcomes of "greater", "chain", "equal" and "no_better": paired over seeds and clips."""
    test = evidence.test
    kind = "greater" if test["kind"] == "chain" else test["kind"]
    outcomes = []
    for a, b in _pairs(test):
        first, second = evidence.scores(a), evidence.scores(b)
        seeds = sorted(set(first) & set(second))
        if not seeds:
            raise Untested(f"{a} and {b} have no seed in common")
        if evidence.given is None:
            _want_same_clips(evidence.records(a), evidence.records(b))
        scores = [np.stack([row[seed] for seed in seeds]) for row in (first, second)]
        difference = paired_difference(*scores)
        word = decide(kind, difference, test.get("margin", 0.0))
        unit = test.get("unit", "points")
        outcomes.append(Outcome(word, f"{a} − {b} {difference} {unit}".strip(), difference.seeds))
    return outcomes


def check(evidence: Evidence) -> list[Outcome]:
    """Outcomes of "fact", "less" and "number"."""
    return {"fact": _fact, "less": _less, "number": _number}[evidence.test["kind"]](evidence)


def _fact(evidence: Evidence) -> list[Outcome]:
    given, text = evidence.given, None
    if isinstance(given, tuple):
        given, text = given
    if given is None and "row" in evidence.test:
        given = all(evidence.numbers(evidence.test["row"]))
    if given is None:
        raise Untested(f"computed in chapter {evidence.claim.chapter}, not recorded")
    if not isinstance(given, bool | np.bool_):
        raise ValueError(f"{evidence.claim.id}: given {given!r}, wanted a bool or (bool, text)")
    return [Outcome(HOLDS if given else DOES_NOT_HOLD, text or ("yes" if given else "no"))]


def _less(evidence: Evidence) -> list[Outcome]:
    outcomes = []
    for a, b in _pairs(evidence.test):
        small, large = fmean(evidence.numbers(a)), fmean(evidence.numbers(b))
        text = f"{a} {small:.4g}, {b} {large:.4g} {evidence.claim.unit}, ratio {small / large:.3f}"
        outcomes.append(Outcome(HOLDS if small < large else DOES_NOT_HOLD, text))
    return outcomes


def _number(evidence: Evidence) -> list[Outcome]:
    test = evidence.test
    deterministic = test.get("deterministic", False)
    if not deterministic and evidence.scale != "paper":
        raise Untested("only scale paper speaks of the paper's number")
    base = fmean(evidence.numbers(test["relative_to"])) if "relative_to" in test else 1.0
    outcomes = []
    for row, wanted in evidence.claim.value.items():
        values = evidence.numbers(row)
        measured = fmean(values) / base
        off = measured / wanted - 1
        enough = deterministic or len(values) >= SEEDS_NEEDED
        word = HOLDS if enough else SAME_DIRECTION
        text = f"{row} {measured:.4g} ({100 * off:+.1f} %)"
        outcomes.append(
            Outcome(
                word if abs(off) <= test["tolerance"] else DOES_NOT_HOLD,
                text,
                None if deterministic else len(values),
            )
        )
    return outcomes


def _pairs(test: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every pair that a test compares: neighbours in a chain, else each a against each b."""
    if test["kind"] == "chain":
        return list(zip(test["rows"][:-1], test["rows"][1:], strict=True))
    return [(a, b) for a in _as_list(test["a"]) for b in _as_list(test["b"])]


def _as_list(value: str | Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _want_same_clips(first: Sequence[Record], second: Sequence[Record]) -> None:
    versions = {record.version for record in (*first, *second)}
    if len(versions) > 1:
        raise Untested(f"records of versions {sorted(versions)}: make the old ones again")
    targets = {r.arrays["target"].tobytes() for r in (*first, *second) if "target" in r.arrays}
    if len(targets) > 1:
        raise ValueError(
            f"{first[0].name} and {second[0].name} were not tested on the same clips: pairing "
            "needs the same test clips, in the same order, for all seeds and rows"
        )
