"""`paper.toml`: the paper's tables and claims, and which comparison tests a claim."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from fvlib.values import read

Number = int | float

EVIDENCE = ("mathematics", "counted code", "trained on Move4MNIST", "real video")
ORDERED = ("greater", "chain", "equal", "no_better", "at_least")  # clip by clip
PAIRED = (*ORDERED, "gain")  # the others by one number
SCORES = {"experiment", "row", "array", "unit", "best", "log", "alike"}
KINDS = {  # what a test of this kind must and may say beside its kind
    **{kind: ({"a", "b"}, SCORES) for kind in ORDERED if kind != "chain"},
    "chain": ({"rows"}, SCORES),
    "gain": ({"a", "b", "other", "delta"}, {"experiment"}),
    "number": ({"experiment"}, {"path", "factor", "relative_to", "tolerance"}),
    "less": ({"a", "b"}, {"experiment", "path", "factor"}),
    "fact": (set(), {"name", "experiment", "row", "path"}),
}
ANY_KIND = {"scale", "data", "stand_in", "beside", "at"}
# scale, data: where the records are, as multiply-adds do. stand_in: the benchmark for which the
# small set stands. beside: why what is measured is not what is claimed, in one sentence. at: the
# point at which rows are compared, when a claim is tested at several, or what counts as right.


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim of the paper, in our words, with the paper's numbers and the tests it gets.

    `value` holds the paper's numbers by name, in `unit`; it is empty when a claim rests on a
    figure. `evidence` is the kind of evidence that its tests give, one of `EVIDENCE`, and `note`
    what a reader of the word has to know. Without tests the claim is "not tested" for the `reason`.
    """

    id: str
    title: str
    statement: str
    place: str
    setting: str
    quantity: str
    value: Mapping[str, Number] = field(default_factory=dict)
    unit: str = ""
    chapter: str
    tests: tuple[Mapping[str, Any], ...] = ()
    reason: str = ""
    evidence: Literal[EVIDENCE] = "trained on Move4MNIST"
    note: str = ""

    def __post_init__(self):
        if not (self.tests or self.reason):
            raise ValueError("has neither tests nor the reason why it is not tested")


def load(folder: str | os.PathLike) -> list[Claim]:
    """All claims of `folder/paper.toml`; ValueError naming the claim when one is malformed."""
    found = [_claim(entry) for entry in _read(folder)["claims"]]
    names = [claim.id for claim in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"claim {', '.join(twice)} is in paper.toml more than once")
    return found


def paper_table(folder: str | os.PathLike, name: str) -> dict[str, dict[str, Any]]:
    """A table of the paper, "table1" to "table5": row id -> column -> number as printed."""
    tables = _read(folder)
    if name not in tables:
        raise ValueError(f"no table {name!r} in paper.toml, wanted table1 to table5")
    return {row["id"]: row for row in tables[name]["rows"]}


def _read(folder: str | os.PathLike) -> dict[str, Any]:
    path = Path(folder) / "paper.toml"
    return _parsed(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _parsed(path: Path, changed: int) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _claim(entry: Mapping[str, Any]) -> Claim:
    name = f"claim {entry.get('id', '?')}"
    claim = read(Claim, entry, name)
    for test in claim.tests:
        _check_test(name, test)
    return claim


def _check_test(claim: str, test: Mapping[str, Any]) -> None:
    """ValueError unless a test has the keys of its kind."""
    kind = test.get("kind")
    if kind not in KINDS:
        raise ValueError(f"{claim} has a test of kind {kind!r}, wanted one of {', '.join(KINDS)}")
    needed, allowed = KINDS[kind]
    given = set(test) - {"kind"}
    if not needed <= given <= needed | allowed | ANY_KIND:
        raise ValueError(
            f"{claim}, test {kind}: has {sorted(given)}, wanted {sorted(needed)} and at most "
            f"{sorted(allowed | ANY_KIND)}"
        )
