"""Claims judged by records and by what chapters compute, and the tables that show it."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.claims.evidence import Evidence, Untested, check, compare
from lab.claims.paper import PAIRED, Claim, load
from lab.claims.rule import NOT_TESTED, WORDS, worst

PROTOCOLS = ("clustered", "sampled")  # the text's, which decides; the released code's, beside it


@dataclass(frozen=True)
class Verdict:
    """The word for a claim under one protocol, and what it rests on.

    `seeds` is None and `protocol` "–" for what depends on neither. `scale` is "any" for a law of
    the code, and "–" when the tests of a claim differ in theirs.

    Explained in chapter 00_start_here.
    """

    claim: Claim
    word: str
    measured: str
    reason: str
    scale: str
    data: str
    seeds: int | None
    protocol: str

    def __str__(self) -> str:
        if self.word == NOT_TESTED:
            return f"{self.word} ({self.reason})"
        return f"{self.word} ({self.scale} scale)"


def judge(
    claim: Claim,
    folder: str | os.PathLike,
    *,
    scale: str = "small",
    data: str = "real",
    protocol: str = "clustered",
    facts: Mapping[str, Any] | None = None,
) -> Verdict:
    """The verdict on one claim, from `folder/records` or from what a chapter hands in.

    `facts[claim.id]` goes before the records: a bool, or (bool, what was measured), for "fact";
    row -> number, in the claim's unit, for "number" and "less"; row or part -> scores,
    (seeds, clips) or (clips,), for the comparisons. A claim with tests and neither records nor
    facts is "not tested".

    Explained in chapter 00_start_here.
    """
    given = (facts or {}).get(claim.id)
    outcomes, reasons = [], [] if claim.tests else [claim.reason]
    places, protocols = set(), set()
    for test in claim.tests:
        place = (test.get("scale", scale), test.get("data", data))
        evidence = Evidence(claim, test, Path(folder) / "records", *place, protocol, given)
        paired = test["kind"] in PAIRED
        by_seed = paired or (test["kind"] == "number" and not test.get("deterministic"))
        by_seed = by_seed or "{protocol}" in test.get("path", "")
        places.add(place)
        protocols.add(protocol if by_seed and given is None and "array" not in test else "–")
        try:
            outcomes += (compare if paired else check)(evidence)
        except Untested as untested:
            reasons.append(str(untested))
    seeds = [outcome.seeds for outcome in outcomes if outcome.seeds is not None]
    return Verdict(
        claim,
        worst([outcome.word for outcome in outcomes] + [NOT_TESTED] * len(reasons)),
        "; ".join(outcome.measured for outcome in outcomes),
        "; ".join(dict.fromkeys(reasons)),
        *(places.pop() if len(places) == 1 else ("–", "–")),
        min(seeds) if seeds else None,
        protocols.pop() if len(protocols) == 1 else "–",
    )


def judge_all(folder: str | os.PathLike, **options: Any) -> list[Verdict]:
    """The verdict on every claim of `folder/paper.toml`; options: of `judge`.

    Explained in chapter 00_start_here.
    """
    return [judge(claim, folder, **options) for claim in load(folder)]


def table(
    chapter: str | None,
    folder: str | os.PathLike,
    *,
    scale: str = "small",
    data: str = "real",
    facts: Mapping[str, Any] | None = None,
) -> str:
    """Markdown: each claim of a chapter (None: of all), the paper's value, ours and the verdict.

    The line of `clustered` carries the verdict; the line of `sampled` below it stands in brackets.
    Of all claims, the last column says in which chapter each is tested.
    ValueError when no claim belongs to the chapter.

    Explained in chapter 00_start_here.
    """
    heads = ["claim", "place", "paper", "measured [95 % interval]"]
    heads += ["protocol", "scale", "data", "seeds", "verdict"]
    heads += ["chapter"] if chapter is None else []
    lines = [heads, ["---"] * len(heads)]
    for claim in _claims(folder, chapter):
        for protocol in PROTOCOLS:
            verdict = judge(claim, folder, scale=scale, data=data, protocol=protocol, facts=facts)
            beside = protocol != PROTOCOLS[0]
            if beside and (verdict.protocol == "–" or verdict.word == NOT_TESTED):
                continue
            paper = ", ".join(f"{name} {value:g}" for name, value in claim.value.items())
            first = [f"{claim.id}: {claim.title}", claim.place, f"{paper} {claim.unit}".strip()]
            seeds = "–" if verdict.seeds is None else str(verdict.seeds)
            word = f"({verdict.word})" if beside else str(verdict)
            lines.append(
                (["", "", ""] if beside else [*first[:2], first[2] or "–"])
                + [verdict.measured or "–", verdict.protocol, verdict.scale, verdict.data]
                + [seeds, word if beside else f"**{verdict.word}**" + word[len(verdict.word) :]]
                + (["" if beside else claim.chapter] if chapter is None else [])
            )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def overview(verdicts: Sequence[Verdict]) -> str:
    """Markdown: claims in one short table, with place, chapter and verdict.

    Explained in chapter 00_start_here.
    """
    lines = ["| | claim | place | chapter | verdict |", "|---|---|---|---|---|"]
    for verdict in verdicts:
        claim = verdict.claim
        lines.append(
            f"| {claim.id} | {claim.title} | {claim.place} | {claim.chapter} | {verdict} |"
        )
    return "\n".join(lines)


def summary(verdicts: Sequence[Verdict]) -> str:
    """A Markdown sentence: how many claims there are, and how many got which word.

    Explained in chapter 00_start_here.
    """
    count = Counter(verdict.word for verdict in verdicts)
    words = ", ".join(f"{count[word]} *{word}*" for word in WORDS)
    return f"Of {len(verdicts)} claims: {words}."


def _claims(folder: str | os.PathLike, chapter: str | None) -> list[Claim]:
    claims = load(folder)
    found = [claim for claim in claims if chapter in (None, claim.chapter)]
    if not found:
        chapters = sorted({claim.chapter for claim in claims})
        raise ValueError(f"no claim belongs to {chapter!r}, only to {', '.join(chapters)}")
    return found
