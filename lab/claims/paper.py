"""`paper.toml`: the paper's tables and claims, and which comparison tests a claim."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from math import isfinite
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
NAMES = {
    "a": "a name or a list of names",
    "b": "a name, a list of names, or a number",
    "rows": "a list of two names or more",
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


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a table of the paper: its numbers as printed, None for a dash."""

    id: str
    ours: str | None = None  # the name of our row, where it is another one
    model: str
    backbone: str | None = None
    pretrain: str | None = None
    frames: int | str | None = None  # "all", or what the paper says in place of a number
    clusters: int | None = None
    flops: Number | None = None
    memory: Number | None = None
    epoch_s: Number | None = None
    top1: Number | None = None
    sd: Number | None = None
    ucf101: Number | None = None
    hmdb51: Number | None = None
    v1: Number | None = None
    v2: Number | None = None


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of the paper."""

    title: str
    place: str
    units: Mapping[str, str]
    notes: tuple[str, ...] = ()
    rows: tuple[Row, ...]

    def __post_init__(self):
        names = [row.id for row in self.rows]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{self.place} has {', '.join(twice)} more than once")
        columns = {column.name for column in fields(Row)}
        if unknown := sorted(set(self.units) - columns):
            raise ValueError(f"units of {self.place} names {', '.join(unknown)}, which no row has")


@dataclass(frozen=True, kw_only=True)
class Paper:
    """What `paper.toml` may hold."""

    table1: Table | None = None
    table2: Table | None = None
    table3: Table | None = None
    table4: Table | None = None
    table5: Table | None = None
    claims: tuple[Mapping[str, Any], ...] = ()


def load(folder: str | os.PathLike) -> list[Claim]:
    """All claims of `folder/paper.toml`; ValueError naming the claim when one is malformed."""
    found = [_claim(entry) for entry in _read(folder).claims]
    names = [claim.id for claim in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"claim {', '.join(twice)} is in paper.toml more than once")
    return found


def paper_table(folder: str | os.PathLike, name: str) -> dict[str, dict[str, Any]]:
    """A table of the paper, "table1" to "table5": row id -> column -> number as printed."""
    table = getattr(_read(folder), name, None)
    if not isinstance(table, Table):
        raise ValueError(f"no table {name!r} in paper.toml, wanted table1 to table5")
    return {
        row.id: {key: value for key, value in vars(row).items() if value is not None}
        for row in table.rows
    }


def _read(folder: str | os.PathLike) -> Paper:
    path = Path(folder) / "paper.toml"
    return _parsed(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _parsed(path: Path, changed: int) -> Paper:
    try:
        return read(Paper, tomllib.loads(path.read_text("utf-8")))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {error}") from None


def _claim(entry: Mapping[str, Any]) -> Claim:
    name = f"claim {entry.get('id', '?')}"
    claim = read(Claim, entry, name)
    for test in claim.tests:
        _check_test(name, test)
    return claim


def _check_test(claim: str, test: Mapping[str, Any]) -> None:
    """ValueError unless a test has the keys of its kind, and they fit each other."""
    kind = test.get("kind")
    if kind not in KINDS:
        raise ValueError(f"{claim} has a test of kind {kind!r}, wanted one of {', '.join(KINDS)}")
    needed, allowed = KINDS[kind]
    given, name = set(test) - {"kind"}, f"{claim}, test {kind}"
    if needed - given or given - needed - allowed - ANY_KIND:
        raise ValueError(
            f"{name}: has {sorted(given)}, wanted {sorted(needed)} and at most "
            f"{sorted(allowed | ANY_KIND)}"
        )
    if kind == "gain" and {len(test[key]) for key in "ab" if isinstance(test[key], list)} != {2}:
        raise ValueError(
            f"{name}: a and b are {test['a']!r} and {test['b']!r}, wanted two rows each"
        )
    if "delta" in test and not (type(test["delta"]) in (int, float) and test["delta"] >= 0):
        raise ValueError(f"{name}: delta is {test['delta']!r}, wanted points, 0 or more")
    if kind in PAIRED:
        _check_names(name, test)


def _check_names(name: str, test: Mapping[str, Any]) -> None:
    """ValueError unless a paired test names what it compares, and where that is."""
    for key in NAMES:
        if key in test and not _fits(key, test[key]):
            raise ValueError(f"{name}: {key} is {test[key]!r}, wanted {NAMES[key]}")
    if test["kind"] == "equal" and not _fits("a", test["b"]):
        raise ValueError(f"{name}: b is {test['b']!r}; equal to a threshold has no δ, name rows")
    parts = "{part}" in test.get("array", "")
    if parts != ("row" in test):
        found, lacking = ("{part} in array", "row") if parts else ("row", "{part} in array")
        raise ValueError(f"{name}: has {found} but no {lacking}; they belong together")


def _fits(key: str, value: Any) -> bool:
    if key == "b" and type(value) in (int, float):
        return isfinite(value)
    names = [value] if key != "rows" and isinstance(value, str) else value
    enough = 2 if key == "rows" else 1
    return isinstance(names, list) and len(names) >= enough and {*map(type, names)} == {str}
