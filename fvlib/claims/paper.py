"""`paper.toml`: the paper's tables and claims, and which comparison tests a claim."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KINDS = {  # what a test of this kind must and may say beside its kind
    "greater": ({"a", "b"}, {"experiment", "array", "unit"}),
    "chain": ({"rows"}, {"experiment", "array", "unit"}),
    "equal": ({"a", "b", "margin"}, {"experiment", "array", "unit"}),
    "no_better": ({"a", "b", "margin"}, {"experiment", "array", "unit"}),
    "number": ({"tolerance"}, {"experiment", "path", "factor", "relative_to", "deterministic"}),
    "less": ({"a", "b"}, {"experiment", "path", "factor"}),
    "fact": (set(), {"experiment", "row", "path"}),
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
        kind = test.get("kind")
        if kind not in KINDS:
            raise ValueError(
                f"{name} has a test of kind {kind!r}, wanted one of {', '.join(KINDS)}"
            )
        needed, allowed = KINDS[kind]
        given = set(test) - {"kind"}
        if needed - given or given - needed - allowed - PLACE_OF_RECORDS:
            raise ValueError(
                f"{name}, test {kind}: has {sorted(given)}, wanted {sorted(needed)} and at most "
                f"{sorted(allowed | PLACE_OF_RECORDS)}"
            )
    return Claim(
        **{key: entry[key] for key in words},
        value=entry.get("value", {}),
        unit=entry.get("unit", ""),
        tests=tests,
        reason=entry.get("reason", "its chapter is not written yet"),
    )
