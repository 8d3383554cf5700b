"""What each comparison of a claim rests on: records, or values that a chapter hands in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from jaxtyping import Float64

from lab.claims.intervals import Difference, difference_of_gains, paired_difference
from lab.claims.paper import PAIRED, Claim, paper_table
from lab.claims.rule import CONTRADICTED, SUPPORTED, Comparison
from lab.records import Record, command, select

EXEMPT = ("mathematics", "counted code")  # kinds of evidence that need no seeds
LEAST = 0.1  # of b's error: what is smaller does not matter, whatever the paper prints


Pair = tuple[Float64[np.ndarray, "seeds clips"], Float64[np.ndarray, "seeds clips"]]


class Untested(Exception):
    """There is nothing to judge by; the message is the reason."""


@dataclass(frozen=True)
class Draft:
    """One comparison before it has its word: the numbers, or the reason why there are none.

    `comparison` gets its word together with the others of the claim; `word` is that of a law or a
    count, which needs no interval. `share` is δ as a share of b's error; a `ratio` is compared by
    its logarithm.
    """

    name: str
    comparison: Comparison | None = None
    word: str | None = None
    measured: str = ""
    share: float | None = None
    threshold: float | None = None
    ratio: bool = False
    records: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Evidence:
    """Where one test finds its numbers: `given` by a chapter, else records under `folder`."""

    claim: Claim
    test: Mapping[str, Any]
    folder: Path
    scale: str
    data: str
    protocol: str
    given: Any = None

    @property
    def by_protocol(self) -> bool:
        """Whether another protocol of the test may give another word."""
        if self.given is not None:
            return False
        if "path" in self.test or self.test["kind"] in ("less", "fact"):
            return "{protocol}" in self.test.get("path", "")
        return "array" not in self.test

    def drafts(self) -> list[Draft]:
        """One draft for each comparison of the test."""
        kind = self.test["kind"]
        if kind in PAIRED:
            if kind == "gain":
                a, b = self.test["a"], self.test["b"]
                return [self._draft(_name(a, b), self._gain, a, b)]
            return [self._draft(_name(a, b), self._pair, a, b) for a, b in pairs(self.test)]
        if kind == "number":
            return [self._draft(row, self._number, row) for row in self.claim.value]
        if kind == "less":
            of_pairs = pairs(self.test)
            return [self._draft(f"{a} below {b}", self._less, a, b) for a, b in of_pairs]
        return [self._draft(self.test.get("name", self.claim.quantity), self._fact)]

    def _draft(self, name: str, make: Any, *arguments: Any) -> Draft:
        name = self.named(name)
        try:
            return replace(make(*arguments), name=name)
        except Untested as untested:
            return Draft(name, reason=str(untested))

    def named(self, name: str) -> str:
        """A comparison's name, with the place where it is made when there are several."""
        return f"{name}, {self.test['at']}" if "at" in self.test else name

    # ------------------------------------------------------------------- differences by clip

    def _pair(self, a: str, b: str | float | int) -> Draft:
        """One row or part against another, or against a threshold."""
        test, names = self.test, [name for name in (a, b) if isinstance(name, str)]
        order = "greater" if test["kind"] == "chain" else test["kind"]
        scores, read = self._paired_scores(names)
        if test.get("log"):
            scores = np.log(np.where(scores > 0, scores, np.nan))
        known = ~np.isnan(scores).any(axis=(0, 1))
        if not known.any():
            raise Untested(f"no clip has a score of {' and '.join(names)} in every seed")
        first, *second = scores[:, :, known]
        difference = paired_difference(first, second[0] if second else np.full_like(first, b))
        share, delta = (None, 0.0) if not second else self._delta(order, a, b, second[0])
        if test.get("log"):
            found, unit = _ratio(difference), "times"
        else:
            found = str(difference) if second else difference.plus(float(b)).text()
            unit = test.get("unit", "points" if second else self.claim.unit)
        if not known.all():
            unit = f"{unit} ({(~known).sum()} of {known.size} clips left out)".lstrip()
        draft = self._compared(order, difference, delta, f"{found} {unit}".rstrip(), read)
        threshold = None if second else float(b)
        return replace(draft, share=share, threshold=threshold, ratio=test.get("log", False))

    def _gain(self, a: Sequence[str], b: Sequence[str]) -> Draft:
        """The gain of one row over another against that of two rows on other clips."""
        other = replace(self, test={**self.test, "experiment": self.test["other"]})
        (first, read), (second, beside) = self._paired_scores(a), other._paired_scores(b)
        difference = difference_of_gains(tuple(first), tuple(second))
        delta = float(self.test["delta"])
        return self._compared("greater", difference, delta, f"{difference} points", read + beside)

    def _compared(
        self, order: str, difference: Difference, delta: float, text: str, read: tuple[str, ...]
    ) -> Draft:
        exempt = self.claim.evidence in EXEMPT
        comparison = Comparison(order, difference, delta, exempt)
        return Draft("", comparison, measured=text, records=read)

    def _delta(self, order: str, a: str, b: str, scores: np.ndarray) -> tuple[float, float]:
        """δ as a share of b's error, and in the unit of the scores."""
        share = LEAST
        if order == "greater" and "array" not in self.test:
            share = max(LEAST, self.printed_share(a, b) / 2)
        if self.test.get("log"):
            return share, log(1 + share)
        best = self.test.get("best", 0.0 if "array" in self.test else 100.0)
        return share, share * abs(best - float(scores.mean()))

    def printed_share(self, a: str, b: str) -> float:
        """The printed difference of two rows as a share of b's printed error; 0 if not printed."""
        printed = [self.printed(row) for row in (a, b)]
        return 0.0 if None in printed else abs(printed[0] - printed[1]) / (100 - printed[1])

    def printed(self, row: str) -> float | None:
        """The accuracy that the paper prints for one of our rows, if it does."""
        table = self.test.get("experiment", "").removesuffix("_360")  # Table 1's second point
        if table not in ("table1", "table2", "table3", "table4", "table5"):
            return None
        first, _, rest = row.partition("-")
        column, name = (first, rest) if first in ("ucf101", "hmdb51", "v1", "v2") else ("top1", row)
        for line in paper_table(self.folder.parent, table).values():
            if name in (line["id"], line.get("ours")) and column in line:
                return line[column]
        return None

    def _paired_scores(self, names: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
        """Scores of one or two rows, of the seeds that all have: (rows, seeds, clips); records."""
        both, rows = " and ".join(names), [self.scores(name) for name in names]
        seeds = sorted(set.intersection(*map(set, rows)))
        if not seeds:
            raise Untested(f"{both} have no seed in common")
        read = []
        if self.given is None:
            read = [r for name in names for r in self.records(name) if r.seed in seeds]
            _want_same_clips(read)
        scores = [[row[seed] for seed in seeds] for row in rows]
        shapes = {score.shape for row in scores for score in row}
        if len(shapes) != 1 or len(next(iter(shapes))) != 1:
            raise ValueError(
                f"{self.claim.id}: scores of {both} have shapes {sorted(shapes)}, wanted one "
                "score a clip, of the same clips for all seeds and rows"
            )
        return np.array(scores), tuple(dict.fromkeys(record.name for record in read))

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
        for record in found:  # or it has no answers to compare
            self.array(record, f"{self.protocol}_prediction")
        return right(found, self.protocol, alike=self.test.get("alike", 1))

    def array(self, record: Record, name: str) -> np.ndarray:
        try:
            arrays = record.arrays
        except ValueError as error:
            raise Untested(f"a record is damaged: {error}") from None
        if name not in arrays:
            raise Untested(f"{record.name} has no {name}")
        return arrays[name]

    # --------------------------------------------------------------- laws, counts, one number

    def _fact(self) -> Draft:
        given, text, read = self.given, None, ()
        if isinstance(given, tuple):
            given, text = given
        if given is None and "row" in self.test:
            given = all(self.numbers(self.test["row"]))
            read = self.names(self.test["row"])
        if given is None:
            raise Untested(f"computed in chapter {self.claim.chapter}, not recorded")
        if not isinstance(given, bool | np.bool_):
            raise ValueError(f"{self.claim.id}: given {given!r}, wanted a bool or (bool, text)")
        word = SUPPORTED if given else CONTRADICTED
        return Draft("", None, word, text or ("yes" if given else "no"), records=read)

    def _less(self, a: str, b: str) -> Draft:
        small, large = fmean(self.numbers(a)), fmean(self.numbers(b))
        text = f"{small:.4g} and {large:.4g} {self.claim.unit}, ratio {small / large:.3f}"
        word = SUPPORTED if small < large else CONTRADICTED
        return Draft("", None, word, text, records=self.names(a) + self.names(b))

    def _number(self, row: str) -> Draft:
        test, wanted = self.test, self.claim.value[row]
        if "tolerance" in test:
            base = fmean(self.numbers(test["relative_to"])) if "relative_to" in test else 1.0
            measured = fmean(self.numbers(row)) / base
            off = measured / wanted - 1
            word = SUPPORTED if abs(off) <= test["tolerance"] else CONTRADICTED
            text = f"{measured:.4g} ({100 * off:+.1f} %), printed {wanted:g}"
            return Draft("", None, word, text, records=self.names(row))
        if self.scale != "paper":
            raise Untested(f"only scale paper speaks of the paper's numbers; {self.at_full_size}")
        scores, read = self._paired_scores([ours(row)])
        difference = paired_difference(scores[0], np.full_like(scores[0], wanted))
        delta, text = LEAST * (100 - wanted), f"{difference} points from the printed {wanted:g}"
        return replace(self._compared("equal", difference, delta, text, read), share=LEAST)

    def numbers(self, row: str) -> list[float]:
        """The quantity of a row in the claim's unit, one for each seed."""
        if self.given is not None:
            return [float(self.given_for(row))]
        path = self.test.get("path", "results.{protocol}.top1").format(protocol=self.protocol)
        values = [record.value(path) for record in self.records(row)]
        if not all(isinstance(value, int | float) for value in values):
            raise Untested(f"records of {row} have no number {path}")
        return [float(value) * self.test.get("factor", 1) for value in values]

    # ------------------------------------------------------------------------------- records

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
            raise Untested(
                f"no record {experiment}/{self.scale}-{self.data}-{row}; {self.command(row)}"
            )
        return found

    def names(self, row: str) -> tuple[str, ...]:
        return () if self.given is not None else tuple(r.name for r in self.records(row))

    @property
    def at_full_size(self) -> str:
        """What would make the record of a row on the benchmark itself."""
        return f"`{command(self.test['experiment'], 'paper', 'real', 'ROW', 0)}`, five seeds a row"

    def command(self, row: str) -> str:
        """What would make the first record of a row."""
        return f"`{command(self.test['experiment'], self.scale, self.data, row, 0)}`"


def ours(name: str) -> str:
    """Our row for a name among a claim's values: "tsm-8 ucf101" is ucf101-tsm-8."""
    row, _, column = name.partition(" ")
    return f"{column}-{row}" if column else row


def _name(a: Any, b: Any) -> str:
    if isinstance(b, str):
        return f"{a} − {b}"
    if isinstance(b, list):
        return f"({a[0]} − {a[1]}) − ({b[0]} − {b[1]})"
    return f"{a} against {b:g}"


def _ratio(difference: Difference) -> str:
    """A difference of logarithms as a ratio."""
    low, high = np.exp(difference.interval())
    return f"{np.exp(difference.mean):.3f} [{low:.3f}, {high:.3f}]"


def pairs(test: Mapping[str, Any]) -> list[tuple[Any, Any]]:
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
    _want_tested_alike(found)


def _want_tested_alike(found: Sequence[Record]) -> None:
    """ValueError unless records say the same of their test clips and of the classes of these."""
    targets = {r.arrays["target"].tobytes(): r.name for r in found if "target" in r.arrays}
    tests = {repr(sorted(_of_test(record.data))): record.name for record in found}
    if different := next((names for names in (targets, tests) if len(names) > 1), None):
        raise ValueError(
            f"{' and '.join(different.values())} were not tested on the same clips: pairing needs "
            "the same test clips, in the same order, for all seeds and rows"
        )


def _of_test(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    parts = ((key, of) for key, of in data.items() if isinstance(of, Mapping))
    return [(key, repr(of["test"])) for key, of in parts if "test" in of]


# ---- rows against each other, for chapters


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
    _want_tested_alike((*a, *b))
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
