"""`paper.toml`: the paper's tables and claims, and which comparison tests a claim."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

PAIRED = (
    "greater",
    "chain",
    "equal",
    "no_better",
    "gain",
)  # clip by clip; the others by one number
SCORES = {"experiment", "row", "array", "unit"}
KINDS = {  # what a test of this kind must and may say beside its kind
    "greater": ({"a", "b"}, SCORES),
    "chain": ({"rows"}, SCORES),
    "equal": ({"a", "b", "margin"}, SCORES),
    "no_better": ({"a", "b", "margin"}, SCORES),
    "gain": ({"a", "b", "other"}, {"experiment"}),
    "number": ({"tolerance"}, {"experiment", "path", "factor", "relative_to", "deterministic"}),
    "less": ({"a", "b"}, {"experiment", "path", "factor"}),
    "fact": (set(), {"experiment", "row", "path"}),
}
NAMES = {
    "a": "a name or a list of names",
    "b": "a name, a list of names, or a number",
    "rows": "a list of two names or more",
}
PLACE_OF_RECORDS = {"scale", "data"}  # a test may fix either, as multiply-adds do


@dataclass(frozen=True)
class Claim:
    """One claim of the paper, in our words, with the paper's numbers and the tests it gets.

    `value` holds the paper's numbers by name, in `unit`; it is empty when a claim rests on a
    figure. Without tests the claim is "not tested" for the `reason` given.

    Explained in chapter 00_start_here.
    """

    id: str
    title: str
    statement: str
    place: str
    setting: str
    quantity: str
    value: Mapping[str, float]
    unit: str
    chapter: str
    tests: tuple[Mapping[str, Any], ...]
    reason: str


def load(folder: str | os.PathLike) -> list[Claim]:
    """All claims of `folder/paper.toml`; ValueError naming the claim when one is malformed.

    Explained in chapter 00_start_here.
    """
    return [_claim(entry) for entry in _read(folder)["claims"]]


def paper_table(folder: str | os.PathLike, name: str) -> dict[str, dict[str, Any]]:
    """A table of the paper, "table1" to "table5": row id -> column -> number as printed.

    Explained in chapter 05_more_frames.
    """
    paper = _read(folder)
    if name not in paper:
        raise ValueError(f"no table {name!r} in paper.toml, wanted table1 to table5")
    return {row["id"]: row for row in paper[name]["rows"]}


def _read(folder: str | os.PathLike) -> dict[str, Any]:
    return tomllib.loads((Path(folder) / "paper.toml").read_text())


def _claim(entry: Mapping[str, Any]) -> Claim:
    words = ("id", "title", "statement", "place", "setting", "quantity", "chapter")
    known = {*words, "value", "unit", "tests", "reason"}
    name = f"claim {entry.get('id', '?')}"
    if lacks := [key for key in words if not isinstance(entry.get(key), str)]:
        raise ValueError(f"{name} lacks {', '.join(lacks)}")
    if unknown := set(entry) - known:
        raise ValueError(f"{name} has {sorted(unknown)}, wanted none but {sorted(known)}")
    tests = tuple(entry.get("tests", ()))
    for test in tests:
        _check_test(name, test)
    return Claim(
        **{key: entry[key] for key in words},
        value=entry.get("value", {}),
        unit=entry.get("unit", ""),
        tests=tests,
        reason=entry.get("reason", "its chapter is not written yet"),
    )


def _check_test(claim: str, test: Mapping[str, Any]) -> None:
    """ValueError unless a test has the keys of its kind, and they fit each other."""
    kind = test.get("kind")
    if kind not in KINDS:
        raise ValueError(f"{claim} has a test of kind {kind!r}, wanted one of {', '.join(KINDS)}")
    needed, allowed = KINDS[kind]
    given, name = set(test) - {"kind"}, f"{claim}, test {kind}"
    if needed - given or given - needed - allowed - PLACE_OF_RECORDS:
        raise ValueError(
            f"{name}: has {sorted(given)}, wanted {sorted(needed)} and at most "
            f"{sorted(allowed | PLACE_OF_RECORDS)}"
        )
    if kind == "gain" and {len(test[key]) for key in "ab" if isinstance(test[key], list)} != {2}:
        raise ValueError(
            f"{name}: a and b are {test['a']!r} and {test['b']!r}, wanted two rows each"
        )
    if kind in PAIRED:
        _check_names(name, test)


def _check_names(name: str, test: Mapping[str, Any]) -> None:
    """ValueError unless a paired test names what it compares, and where that is."""
    for key in NAMES:
        if key in test and not _fits(key, test[key]):
            raise ValueError(f"{name}: {key} is {test[key]!r}, wanted {NAMES[key]}")
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
