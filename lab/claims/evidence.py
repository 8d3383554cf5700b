"""What one test of a claim rests on, records or values handed in, and the outcome."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from lab.claims.paper import Claim
from lab.claims.rule import (
    DOES_NOT_HOLD,
    HOLDS,
    SAME_DIRECTION,
    SEEDS_NEEDED,
    decide,
    difference_of_gains,
    paired_difference,
)
from lab.records import Record, select


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

    def scores(self, name: str) -> dict[int, np.ndarray]:
        """Seed -> one score a clip: 100 or 0 for right or wrong, or the test's own array.

        name: a row, or a part of the test's one `row`, which then fills in the array's name.
        """
        if self.given is not None:
            given = self.given_for(name)
            return dict(enumerate(np.atleast_2d(np.asarray(given, float))))
        found = self.records(name)
        if "array" in self.test:
            array = self.test["array"].replace("{part}", name)
            return {r.seed: self.array(r, array).astype(float) for r in found}
        return {r.seed: 100.0 * (self.prediction(r) == self.array(r, "target")) for r in found}

    def prediction(self, record: Record) -> np.ndarray:
        return self.array(record, f"{self.protocol}_prediction")

    def array(self, record: Record, name: str) -> np.ndarray:
        try:
            arrays = record.arrays
        except ValueError as error:
            raise Untested(f"a record is damaged: {error}") from None
        if name not in arrays:
            raise Untested(f"{record.name} has no {name}")
        return arrays[name]

    def numbers(self, row: str) -> list[float]:
        """The quantity of a row in the claim's unit, one for each seed."""
        if self.given is not None:
            return [float(self.given_for(row))]
        values = [record.value(self.path) for record in self.records(row)]
        if not all(isinstance(value, int | float) for value in values):
            raise Untested(f"records of {row} have no number {self.path}")
        return [float(value) * self.test.get("factor", 1) for value in values]

    @property
    def path(self) -> str:
        """Dotted path of the number in the record; "{protocol}" in it is filled in."""
        return self.test.get("path", "results.{protocol}.top1").format(protocol=self.protocol)

    def given_for(self, row: str) -> Any:
        if row not in self.given:
            raise ValueError(f"{self.claim.id}: nothing given for {row}, only for {[*self.given]}")
        return self.given[row]

    def records(self, name: str) -> list[Record]:
        """The records of a row, or of the test's one row when `name` is a part of it."""
        experiment, row = self.test.get("experiment"), self.test.get("row", name)
        if experiment is None:
            raise Untested(f"computed in chapter {self.claim.chapter}, not recorded")
        damaged: list[str] = []
        which = {"scale": self.scale, "data": self.data, "row": row}
        found = select(self.folder, experiment, damaged=damaged, **which)
        if damaged:  # fewer seeds would be another test
            raise Untested(f"a record is damaged: {damaged[0]}")
        if not found:
            raise Untested(f"no record {experiment}/{self.scale}-{self.data}-{row}")
        return found


def compare(evidence: Evidence) -> list[Outcome]:
    """Outcomes of the paired kinds, over seeds and clips."""
    if evidence.test["kind"] == "gain":
        return [_compare_gains(evidence)]
    return [_compare(evidence, a, b) for a, b in _pairs(evidence.test)]


def _compare(evidence: Evidence, a: str, b: str | float | int) -> Outcome:
    """One row or part against another, or against a number."""
    test, names = evidence.test, [name for name in (a, b) if isinstance(name, str)]
    kind = "greater" if test["kind"] == "chain" else test["kind"]
    margin = float(test.get("margin", 0.0))
    scores = _paired_scores(evidence, names)
    known = ~np.isnan(scores).any(axis=(0, 1))
    if not known.any():
        raise Untested(f"no clip has a score of {' and '.join(names)} in every seed")
    first, *second = scores[:, :, known]
    difference = paired_difference(first, second[0] if second else np.full_like(first, b))
    if second:
        text = f"{a} − {b} {difference} {test.get('unit', 'points')}".rstrip()
    else:
        wanted = {
            "greater": f"above {b:g}",
            "equal": f"{b:g} ± {margin:g}",
            "no_better": f"at most {b + margin:g}",
        }
        unit = test.get("unit", evidence.claim.unit)
        text = (
            f"{a} {difference.plus(float(b)).text()} {unit}".rstrip() + f", wanted {wanted[kind]}"
        )
    if not known.all():
        text += f" ({(~known).sum()} of {known.size} clips left out)"
    return Outcome(decide(kind, difference, margin), text, difference.seeds)


def _compare_gains(evidence: Evidence) -> Outcome:
    """The gain of one row over another against that of two rows on other clips."""
    test = evidence.test
    other = replace(evidence, test={**test, "experiment": test["other"]})
    pairs = [_paired_scores(evidence, test["a"]), _paired_scores(other, test["b"])]
    difference = difference_of_gains(*map(tuple, pairs))
    gains = " − ".join(f"({' − '.join(names)})" for names in (test["a"], test["b"]))
    return Outcome(decide("greater", difference), f"{gains} {difference} points", difference.seeds)


def _paired_scores(evidence: Evidence, names: list[str]) -> np.ndarray:
    """Scores of one or two rows, of the seeds that all have: (rows, seeds, clips)."""
    both, rows = " and ".join(names), [evidence.scores(name) for name in names]
    seeds = sorted(set.intersection(*map(set, rows)))
    if not seeds:
        raise Untested(f"{both} have no seed in common")
    if evidence.given is None:
        _want_same_clips([record for name in names for record in evidence.records(name)])
    scores = [[row[seed] for seed in seeds] for row in rows]
    shapes = {score.shape for row in scores for score in row}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        raise ValueError(
            f"{evidence.claim.id}: scores of {both} have shapes {sorted(shapes)}, wanted one "
            "score a clip, of the same clips for all seeds and rows"
        )
    return np.array(scores)


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


def _pairs(test: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """Every pair that a test compares: neighbours in a chain, else each a against each b."""
    if test["kind"] == "chain":
        return list(zip(test["rows"][:-1], test["rows"][1:], strict=True))
    return [(a, b) for a in _as_list(test["a"]) for b in _as_list(test["b"])]


def _as_list(value: Any) -> list:
    return value if isinstance(value, list) else [value]


def _want_same_clips(found: Sequence[Record]) -> None:
    versions = {record.version for record in found}
    if len(versions) > 1:
        raise Untested(f"records of versions {sorted(versions)}: make the old ones again")
    targets = {r.arrays["target"].tobytes(): r.name for r in found if "target" in r.arrays}
    if len(targets) > 1:
        raise ValueError(
            f"{' and '.join(targets.values())} were not tested on the same clips: pairing "
            "needs the same test clips, in the same order, for all seeds and rows"
        )
