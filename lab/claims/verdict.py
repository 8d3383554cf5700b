"""Claims judged by records and by what chapters compute: a word for each of their parts."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import exp, inf
from pathlib import Path
from typing import Any, NamedTuple

from lab.claims.evidence import EXEMPT, Draft, Evidence
from lab.claims.history import Provenance
from lab.claims.paper import Claim, load
from lab.claims.rule import NOT_TESTED, SEEDS_NEEDED, UNDECIDED, Decision, decide_all

PROTOCOLS = ("clustered", "sampled")  # the text's; the released code's, beside it
MECHANISM = "mechanism on stand-ins"


@dataclass(frozen=True)
class Part:
    """One comparison of a claim under one protocol.

    `word` is that of the claim, and `found` that of what was measured. The two differ where what
    was measured is not what is claimed (a small set that stands for a benchmark, a count that
    stands for a memory): then `word` is "not tested", and `reason` says why. `evidence` is the kind
    of evidence behind `found`, "not tested" where there is none.
    """

    name: str
    word: str
    found: str
    below: bool
    measured: str
    remark: str
    reason: str
    evidence: str
    delta: str
    seeds: int | None
    clips: int | None
    scale: str
    data: str
    confirmatory: bool | None
    by_protocol: bool
    draft: Draft

    @property
    def text(self) -> str:
        """The word for what was measured, with what belongs to it."""
        found = f"{self.found} (below δ)" if self.below else self.found
        return f"{found}: {self.remark}" if self.remark else found

    def __str__(self) -> str:
        """The word as it is shown: that of the claim first."""
        if self.word == self.found:
            return self.text
        beside = "mechanism" if self.evidence == MECHANISM else "beside"
        return f"{NOT_TESTED}; {beside}: {self.text}"


@dataclass(frozen=True)
class Verdict:
    """A claim and the words of its parts, under the text's protocol and the released code's.

    The two have the same parts in the same order; where the protocol of the test plays no role they
    are the same.
    """

    claim: Claim
    parts: tuple[Part, ...]
    released: tuple[Part, ...]

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(part.word for part in self.parts)


def judge(
    claim: Claim,
    folder: str | os.PathLike,
    *,
    scale: str = "small",
    data: str = "real",
    facts: Mapping[str, Any] | None = None,
) -> Verdict:
    """The words of one claim, from `folder/records` or from what a chapter hands in.

    `facts[claim.id]` goes before the records: a bool, or (bool, what was measured), for "fact";
    row -> number, in the claim's unit, for "number" and "less"; row or part -> scores,
    (seeds, clips) or (clips,), for the comparisons. A comparison with neither records nor facts is
    "not tested".
    """
    given, provenance = (facts or {}).get(claim.id), Provenance.read(folder)
    records, both = Path(folder) / "records", []
    if not claim.tests:
        evidence = Evidence(claim, {"kind": "fact"}, records, "–", "–", PROTOCOLS[0])
        draft = Draft(claim.quantity, reason=claim.reason)
        part = _part(_Found(evidence, draft, own=False), None, provenance)
        return Verdict(claim, (part,), (part,))
    for protocol in PROTOCOLS:
        found: list[_Found] = []
        for test in claim.tests:
            place = (test.get("scale", scale), test.get("data", data))
            found += _found(Evidence(claim, test, records, *place, protocol, given))
        decisions: dict[int, Decision] = {}
        for own in (True, False):  # a claim's parts are corrected for their number, stand-ins apart
            places = [i for i, one in enumerate(found) if one.own is own and one.draft.comparison]
            words = decide_all([found[i].draft.comparison for i in places])
            decisions |= dict(zip(places, words, strict=True))
        both.append([_part(one, decisions.get(i), provenance) for i, one in enumerate(found)])
    pairs = zip(*both, strict=True)
    released = tuple(new if new.by_protocol else old for old, new in pairs)
    return Verdict(claim, tuple(both[0]), released)


def judge_all(folder: str | os.PathLike, **options: Any) -> list[Verdict]:
    """The verdict on every claim of `folder/paper.toml`; options: of `judge`."""
    return [judge(claim, folder, **options) for claim in load(folder)]


class _Found(NamedTuple):
    """A draft, its evidence, and whether it speaks of the claim itself."""

    evidence: Evidence
    draft: Draft
    own: bool


def _found(evidence: Evidence) -> list[_Found]:
    """The drafts of one test: of the benchmark where it was run, else of what stands for it."""
    test = evidence.test
    if "stand_in" not in test:
        return [_Found(evidence, draft, "beside" not in test) for draft in evidence.drafts()]
    real = replace(evidence, scale="paper", data="real", given=None)
    small = replace(evidence, data="embedded")
    why = f"a small made-up set stands for {test['stand_in']}; {real.at_full_size}"
    why += f"; {test['beside']}" if "beside" in test else ""
    return [
        _Found(small, replace(here, reason=why), False)
        if there.reason
        else _Found(real, there, True)
        for there, here in zip(real.drafts(), small.drafts(), strict=True)
    ]


def _part(one: _Found, decision: Decision | None, provenance: Provenance) -> Part:
    draft, claim, test = one.draft, one.evidence.claim, one.evidence.test
    found = decision.word if decision else draft.word or NOT_TESTED
    exempt = claim.evidence in EXEMPT
    if found == NOT_TESTED:
        evidence = NOT_TESTED
    elif one.own:
        evidence = "real video" if "stand_in" in test else claim.evidence
    else:  # a count beside a claim is not even a mechanism
        evidence = NOT_TESTED if exempt and "stand_in" not in test else MECHANISM
    trained = evidence != NOT_TESTED and not exempt
    counts = draft.comparison.difference if draft.comparison else None
    return Part(
        name=draft.name,
        word=found if one.own else NOT_TESTED,
        found=found,
        below=bool(decision and decision.below),
        measured=draft.measured,
        remark=_remark(draft, decision),
        reason=draft.reason or ("" if one.own else test.get("beside", claim.reason)),
        evidence=evidence,
        delta=_delta(draft),
        seeds=counts.seeds if counts else None,
        clips=counts.clips if counts else None,
        scale="–" if found == NOT_TESTED else one.evidence.scale,
        data="–" if found == NOT_TESTED else one.evidence.data,
        confirmatory=provenance.confirms(claim, draft.records) if trained else None,
        by_protocol=one.evidence.by_protocol,
        draft=draft,
    )


def _remark(draft: Draft, decision: Decision | None) -> str:
    """What an undecided part could have seen, and for which thresholds a word stays."""
    if decision is None:
        return ""
    difference, texts = draft.comparison.difference, []
    few = difference.seeds < SEEDS_NEEDED and not draft.comparison.exempt
    if few:
        seeds = "seed" if difference.seeds == 1 else "seeds"
        texts.append(f"{difference.seeds} {seeds} of {SEEDS_NEEDED}")
    if draft.threshold is not None and not few:
        low, high = (draft.threshold + end for end in difference.interval(decision.level))
        upward = draft.comparison.order in ("greater", "at_least")
        words = {"supported": "below" if upward else "above"}
        words["contradicted"] = "above" if upward else "below"
        if decision.word == UNDECIDED:
            texts.append(f"for thresholds from {low:.3g} to {high:.3g}")
        else:
            side = words[decision.word]
            texts.append(f"for every threshold {side} {low if side == 'below' else high:.3g}")
    elif decision.word == UNDECIDED:
        texts.append(f"could see {_size(draft, decision.detectable)}")
    return ", ".join(texts)


def _size(draft: Draft, value: float) -> str:
    """A difference in the unit of the comparison; a ratio where that is of logarithms."""
    if value == inf:
        return "nothing"
    return f"a ratio of {exp(value):.2f}" if draft.ratio else f"{value:.2g}"


def _delta(draft: Draft) -> str:
    if draft.comparison is None or draft.threshold is not None:
        return "–"
    delta = draft.comparison.delta
    if draft.ratio:
        return f"{exp(delta):.2f} times"
    return f"{delta:.2f}" + (f" ({100 * draft.share:.0f} %)" if draft.share else "")
