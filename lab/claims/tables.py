"""Markdown made from verdicts: one comparison a line, one claim a line, and the headline."""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lab import verify
from lab.claims.evidence import EXEMPT
from lab.claims.history import Provenance
from lab.claims.paper import EVIDENCE, Claim, load
from lab.claims.power import Sight
from lab.claims.rule import CONTRADICTED, NO_DIFFERENCE, NOT_TESTED, SUPPORTED, UNDECIDED, WORDS
from lab.claims.verdict import MECHANISM, Part, Verdict, judge

KINDS = (*EVIDENCE, MECHANISM)


def table(
    chapter: str | None,
    folder: str | os.PathLike,
    *,
    scale: str = "small",
    data: str = "real",
    facts: Mapping[str, Any] | None = None,
) -> str:
    """Markdown: the comparisons of a chapter's claims (None: of all), one a line, with their words.

    A claim of several parts has its title on a line of its own, and that line alone when no part
    is tested. The word under the text's protocol
    stands first, then the released code's, where it plays a role. Folded below: δ, seeds and clips
    of every part, the paper's numbers, and why a part is not tested. ValueError when no claim
    belongs to the chapter.
    """
    claims = _claims(folder, chapter)
    verdicts = [judge(claim, folder, scale=scale, data=data, facts=facts) for claim in claims]
    lines, measured = [], []
    for verdict in verdicts:
        claim, several = verdict.claim, len(verdict.parts) > 1
        if several and all(part.found == NOT_TESTED for part in verdict.parts):
            title = f"{claim.title} ({len(verdict.parts)} parts)"
            lines.append([claim.id, title, "–", _word(verdict.parts[0]), "–"])
            continue
        if several:
            lines.append([claim.id, f"*{claim.title}*", "", "", ""])
        for part, other in zip(verdict.parts, verdict.released, strict=True):
            first = ["", _in_code(part.name)] if several else [claim.id, claim.title]
            found = _unbroken(part.measured.removesuffix(" points")) or "–"
            lines.append([*first, found, _word(part), _released_word(part, other)])
            if part.found != NOT_TESTED:
                extent = [part.delta, _counts(part), part.remark or "–"]
                measured.append(
                    [claim.id, _in_code(part.name), *extent, _released_numbers(part, other)]
                )
    heads = ["claim", "comparison", "measured [95 %]", "word", "as released"]
    if all(line[-1] in ("", "–") for line in lines):  # the protocol plays no role at all
        heads, lines = heads[:-1], [line[:-1] for line in lines]
    return f"{_markdown(heads, lines)}\n\n{_details(verdicts, measured)}".strip()


def overview(verdicts: Sequence[Verdict]) -> str:
    """Markdown: one line a claim, with its place, chapter and the words of its parts."""
    lines = ["| | claim | place | chapter | parts | as released |", "|---|---|---|---|---|---|"]
    for verdict in verdicts:
        claim, texts = verdict.claim, [_in_words(p) for p in (verdict.parts, verdict.released)]
        aside = texts[1] if any(part.by_protocol for part in verdict.parts) else "–"
        lines.append(
            f"| {claim.id} | {claim.title} | {claim.place} | {claim.chapter[:2]} | {texts[0]} "
            f"| {'the same' if aside == texts[0] else aside} |"
        )
    return "\n".join(lines)


def count(verdicts: Sequence[Verdict], *, released: bool = False) -> Counter[tuple[str, str]]:
    """(kind of evidence, word) -> parts; of stand-ins the word of the mechanism."""
    parts = [part for v in verdicts for part in (v.released if released else v.parts)]
    return Counter((part.evidence, part.found) for part in parts)


def summary(verdicts: Sequence[Verdict]) -> str:
    """Markdown, the headline: parts by kind of evidence and word, under both protocols."""
    text, released = count(verdicts), count(verdicts, released=True)
    words = (SUPPORTED, CONTRADICTED, NO_DIFFERENCE, UNDECIDED)
    parts = [part for verdict in verdicts for part in verdict.parts]
    untested = [part for part in parts if part.word == NOT_TESTED]
    seen = {
        "seen on a small made-up set that stands for a benchmark (the last row)": sum(
            part.evidence == MECHANISM for part in untested
        ),
        "seen by another measure": sum(
            part.found != NOT_TESTED and part.evidence != MECHANISM for part in untested
        ),
        "not seen at all": sum(part.found == NOT_TESTED for part in untested),
    }
    told = ", ".join(f"{number} {how_seen}" for how_seen, number in seen.items() if number)
    trained = [part for part in parts if part.confirmatory is not None]
    lines = [
        f"{len(verdicts)} claims have {len(parts)} parts, of which {len(parts) - len(untested)} "
        "were tested as the paper states them. "
        + (f"The other {len(untested)} are *not tested*: {told}. " if untested else "")
        + "*Counted code* is what can be counted in ours, such as multiply-adds. In brackets: "
        "tested as the released code tests.",
        "",
        "| evidence | " + " | ".join(words) + " |",
        "|---|" + "--:|" * len(words),
    ]
    for kind in KINDS:
        cells = []
        for word in words:
            pair = text[kind, word], released[kind, word]
            cells.append(f"{pair[0]}" + (f" ({pair[1]})" if pair[0] != pair[1] else ""))
        if any(text[kind, word] or released[kind, word] for word in words):
            lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    confirmed = sum(part.confirmatory for part in trained)
    lines += [
        "",
        f"Of the {len(trained)} parts that compare trained networks {confirmed or 'none'} "
        f"{'is' if confirmed == 1 else 'are'} *confirmatory* (the test was there before the runs, "
        "and these seeds and clips had not been seen) and "
        f"{len(trained) - confirmed} *exploratory*, by the history.",
    ]
    return "\n".join(lines)


def table_of_power(sights: Sequence[Sight]) -> str:
    """Markdown: one part a line, with "decidable" or "descriptive"."""
    lines = [
        "| claim | comparison | can see, points | δ | the paper's effect | |",
        "|---|---|--:|--:|--:|---|",
    ]
    for sight in sights:
        effect = "–" if sight.effect is None else f"{sight.effect:.2f}"
        word = "decidable" if sight.decidable else "descriptive"
        lines.append(
            f"| {sight.claim} | {_in_code(sight.name)} | {sight.detectable:.2f} "
            f"| {sight.delta:.2f} | {effect} | {word} |"
        )
    return "\n".join(lines)


def first_tests(folder: str | os.PathLike) -> tuple[list[str], list[str]]:
    """Claims on trained networks whose first test was committed before their first record was made,
    and those where it was after.
    """
    provenance, before, after = Provenance.read(folder), [], []
    for claim in load(folder):
        first = provenance.came_first(claim)
        if first is not None and claim.evidence not in EXEMPT:
            (before if first else after).append(claim.id)
    return before, after


def _markdown(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _in_code(name: str) -> str:
    """The name of a part, in which those of rows are code."""
    return re.sub(r"\w+(?:-\w+)+", r"`\g<0>`", name)


def _unbroken(text: str) -> str:
    """With spaces at which no line is broken, if it is short: numbers stay on one line."""
    return text.replace(" ", "\u00a0") if len(text) <= 24 else text


def _word(part: Part) -> str:
    """The word of the claim, bold, and beside it the word of what was measured in its place."""
    text = f"**{_unbroken(part.word)}**"
    if part.word != part.found:
        beside = "mechanism" if part.evidence == MECHANISM else "beside"
        text += f"; {beside}: {_unbroken(part.found)}"
    return f"{text} (below δ)" if part.below else text


def _released_word(part: Part, other: Part) -> str:
    if not (other.by_protocol and other.measured):
        return "–"
    same = (other.found, other.below) == (part.found, part.below)
    means = [one.draft.comparison.difference.mean for one in (part, other) if one.draft.comparison]
    if same and len(means) == 2 and means[0] * means[1] < 0 and part.draft.threshold is None:
        return "same, the other sign"
    return "same" if same else _unbroken(other.found) + (" (below δ)" if other.below else "")


def _released_numbers(part: Part, other: Part) -> str:
    if not (other.by_protocol and other.measured):
        return "–"
    same = (other.measured, other.text) == (part.measured, part.text)
    text = f"{other.measured.removesuffix(' points')}, {other.text}"
    return "the same" if same else text


def _counts(part: Part) -> str:
    if part.seeds is None:
        return "–" if part.found == NOT_TESTED else f"{part.scale}"
    text = f"{part.seeds} × {part.clips:,}, {part.scale}, {part.data}"
    return f"{text}, confirmatory" if part.confirmatory else text


def _in_words(parts: Sequence[Part]) -> str:
    """Such as "2 supported, 1 undecided; mechanism: 3 undecided"."""
    own = Counter(part.word for part in parts if part.evidence != MECHANISM)
    aside = Counter(part.found for part in parts if part.evidence == MECHANISM)
    texts = [
        ", ".join(f"{found[word]} {word}" for word in WORDS if found[word])
        for found in (own, aside)
    ]
    if not texts[1]:
        return texts[0]
    return (f"{texts[0]}; " if texts[0] else "") + f"not tested (mechanism: {texts[1]})"


def _details(verdicts: Sequence[Verdict], measured: Sequence[Sequence[str]]) -> str:
    """Folded: the extent of each measured part, the paper's numbers, remarks, and reasons."""
    lines = []
    for verdict in verdicts:
        claim, texts = verdict.claim, []
        if claim.value:
            values = ", ".join(f"{name} {value:g}" for name, value in claim.value.items())
            texts.append(f"the paper has {values} {claim.unit}".rstrip())
        reasons: dict[str, list[str]] = {}
        for part in verdict.parts:
            if part.reason:
                reasons.setdefault(part.reason, []).append(part.name)
        texts += [claim.note] if claim.note else []
        texts += [f"not tested: {reason}" for reason in reasons]
        if texts:
            lines.append(f"- {claim.id}, {claim.place}: {'. '.join(texts)}.")
    heads = ["claim", "comparison", "δ", "seeds × clips", "remark", "as released"]
    blocks = [_markdown(heads, measured)] if measured else []
    blocks += ["\n".join(lines).replace("..", ".")] if lines else []
    if not blocks:
        return ""
    summary = "δ, seeds and clips of each part, the paper's numbers, and why a part is not tested"
    body = "\n\n".join(blocks)
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"


def staleness(folder: str | os.PathLike) -> str:
    """A Markdown sentence: how many of `folder/records` are not of today's code."""
    return verify.staleness(Path(folder) / "records", Path(folder) / "recipes.toml")


def _claims(folder: str | os.PathLike, chapter: str | None) -> list[Claim]:
    claims = load(folder)
    found = [claim for claim in claims if chapter in (None, claim.chapter)]
    if not found:
        chapters = sorted({claim.chapter for claim in claims})
        raise ValueError(f"no claim belongs to {chapter!r}, only to {', '.join(chapters)}")
    return found
