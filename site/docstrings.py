"""Docstrings as the site shows them: plain prose becomes reStructuredText."""

import re
from collections.abc import Callable
from itertools import takewhile

NAMES = r"\*{0,2}\w+(?:, \*{0,2}\w+)*"  # the arguments that one explanation is for
PARTS = re.compile(r"`([^`]+)`|(\*\*\w[^*]*\w[.:]?\*\*)")

Link = Callable[[str], str | None]  # from what is named to a role that links it; None: no such page


def to_rst(text: str, parameters: set[str], link: Link) -> list[str]:
    """A docstring, without its indentation, as lines of reStructuredText.

    Names in backquotes become code, and links where `link` knows them. A block of `Args:`, and a
    line of a paragraph that begins with parameters and a colon, becomes a list. Whatever else is
    indented stays as it is laid out.
    """
    blocks = [block.split("\n") for block in re.split(r"\n\s*\n", text.strip("\n"))]
    return [line for block in blocks for line in [*_block(block, parameters, link), ""]]


def _block(lines: list[str], parameters: set[str], link: Link) -> list[str]:
    head, rest = lines[0], lines[1:]
    if head.startswith("- "):
        return _inline("\n".join(lines), link).split("\n")
    if head == "Args:":
        items = list(takewhile(lambda line: line.startswith(" "), rest))
        return [*_arguments(items, link), "", *_paragraphs(rest[len(items) :], parameters, link)]
    if head.startswith(" "):
        return _as_it_is(lines)
    if head.endswith(":") and rest and all(line.startswith(" ") for line in rest):
        return [_inline(head, link), "", *_as_it_is(rest)]
    if any(line.startswith(" ") for line in rest):
        return _as_it_is(lines)
    return _paragraphs(lines, parameters, link)


def _as_it_is(lines: list[str]) -> list[str]:
    return [".. code-block:: text", "", *("    " + line for line in lines)]


def _arguments(lines: list[str], link: Link) -> list[str]:
    """`name: what it is`, indented by four, and longer explanations by eight."""
    items = re.split(r"\n(?=\S)", "\n".join(line.removeprefix("    ") for line in lines))
    return [line for item in items for line in _item(" ".join(item.split()), link)]


def _item(text: str, link: Link) -> list[str]:
    names, _, meaning = text.partition(": ")
    return [f"- ``{'``, ``'.join(names.split(', '))}``: {_inline(meaning, link)}"]


def _paragraphs(lines: list[str], parameters: set[str], link: Link) -> list[str]:
    """A paragraph, cut where a line begins with arguments, errors or the source."""

    def explains(line: str) -> bool:
        names = re.match(rf"({NAMES}): ", line)
        return bool(names) and set(names[1].split(", ")) <= parameters

    pieces: list[list[str]] = []
    for line in lines:
        starts = explains(line) or re.match("Raises |Source: ", line)
        if starts or not pieces:
            pieces.append([])
        pieces[-1].append(line)
    found: list[str] = []
    for piece in pieces:
        text, item = " ".join(piece), explains(piece[0])
        found += ["", *(_item(text, link) if item else [_inline(text, link)])]
    return found[1:]


def _inline(text: str, link: Link) -> str:
    found, end = [], 0
    for part in PARTS.finditer(text):
        found.append(_escape(text[end : part.start()]))
        name, bold = part.groups()
        code = " ".join((name or "").split())
        shown = bold or link(code) or f"``{code}``"
        if found[-1] and found[-1][-1].isalnum():
            shown = "\\ " + shown
        if text[part.end() : part.end() + 1].isalnum():
            shown += "\\ "
        found.append(shown)
        end = part.end()
    return "".join([*found, _escape(text[end:])])


def _escape(text: str) -> str:
    return re.sub(r"([\\*`|_])", r"\\\1", text)
