"""What is written by a program: sentences with numbers, tables, navigation, generated blocks."""

import re
import string
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

NAVIGATION = "<!-- navigation -->"
SETUP = """\
*To run this page: `make lab` in the repository's folder. It sets up what is missing.*

<details><summary>Opened alone, as on a hosted service?</summary>

Then these lines come first, in a cell of their own, with the address of the repository:

    !git clone -q ADDRESS book && pip install -q "./book[book]"
    %cd book/notebooks
    import sys; sys.path.insert(0, "..")

</details>"""


def sentence(template: str, **values) -> str:
    """`template` with its fields filled in by `str.format`: `"**{top1:.1f} %** of {n} clips"`.

    Every field needs a value and every value a field, so that a sentence cannot silently lose a
    number; ValueError otherwise, naming them.
    """
    fields = {
        re.split(r"[.\[]", name)[0] for _, name, _, _ in string.Formatter().parse(template) if name
    }
    if missing := sorted(fields - values.keys()):
        raise ValueError(f"no value for {', '.join(missing)} in the sentence {template!r}")
    if unused := sorted(values.keys() - fields):
        raise ValueError(f"{', '.join(unused)} given, but not used in the sentence {template!r}")
    return template.format(**values)


def say(template: str, **values) -> None:
    """Show a sentence as Markdown below the cell; the numbers in it are `values`, never typed.

    Takes what `sentence` takes and raises what it raises.
    """
    from IPython.display import display

    text = sentence(template, **values)
    display({"text/markdown": text, "text/plain": text}, raw=True)


def chapters(folder: Path) -> list[Path]:
    """The chapters' scripts `NN_name.py` in reading order; ValueError when there is none."""
    found = sorted(Path(folder).glob("[0-9][0-9]_*.py"))
    if not found:
        raise ValueError(f"no chapter NN_name.py in {folder}; run this from the repository's root")
    return found


def appendices(folder: Path) -> list[Path]:
    """The scripts `appendix/A1_name.py`, in reading order: proofs and long derivations."""
    return sorted((Path(folder) / "appendix").glob("A[0-9]_*.py"))


def title(script: Path) -> str:
    """The one H1 of a chapter's script, which begins with the chapter's number."""
    heading = re.search(r"^# # (.+)$", script.read_text(encoding="utf-8"), re.MULTILINE)
    if heading is None:
        raise ValueError(f"{script} has no title; begin a Markdown cell with '# # The title'")
    return heading.group(1).strip()


def navigation(scripts: Sequence[Path], current: Path) -> str:
    """The line of links at both ends of a chapter: previous, contents, next."""
    place = list(scripts).index(current)
    links = []
    if place > 0:
        links.append(f"[← {title(scripts[place - 1])}]({scripts[place - 1].stem}.ipynb)")
    if place > 1:
        links.append(f"[Contents]({scripts[0].stem}.ipynb)")
    if place + 1 < len(scripts):
        links.append(f"[{title(scripts[place + 1])} →]({scripts[place + 1].stem}.ipynb)")
    return "\n".join([NAVIGATION, " · ".join(links)])


def contents(scripts: Sequence[Path], prefix: str = "") -> str:
    """The scripts as a Markdown list of links; `prefix` leads from the reader to their folder."""
    return "\n".join(f"* [{title(script)}]({prefix}{script.stem}.ipynb)" for script in scripts)


def with_navigation(text: str, cell: str) -> str:
    """A percent script with `cell` as its first and last cell, in place of what it had there.

    The first one also says how to run the page, for those who came to it from somewhere else.
    """
    first, last = (_markdown(f"{cell}\n\n{SETUP}"), _markdown(cell))
    text = re.sub(rf"# %% \[markdown\]\n# {NAVIGATION}\n(?:#.*\n?)*\n*", "", text)
    end = text.index("# ---\n", 1) + len("# ---\n") if text.startswith("# ---\n") else 0
    return f"{text[:end]}\n{first}\n{text[end:].strip()}\n\n{last}".lstrip()


def _markdown(text: str) -> str:
    lines = (f"# {line}".rstrip() for line in text.splitlines())
    return "".join(f"{line}\n" for line in ("# %% [markdown]", *lines))


def replace_block(text: str, name: str, content: str) -> str:
    """`text` with `content` between the marks `<!-- name -->` and `<!-- /name -->`.

    ValueError when the marks are not there, once each.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"the marks {begin} and {end} must stand in the text, once, in this order")
    before, rest = text.split(begin)
    return f"{before}{begin}\n{content.strip()}\n{end}{rest.split(end)[1]}"


def table(heads: Sequence[Any], lines: Iterable[Sequence[Any]], *, left: int = 1) -> str:
    """A Markdown table: the first `left` columns are words, the others numbers, at the right.

    Cells are shown as `str` shows them. ValueError when a line has more or fewer cells than heads,
    naming the line.
    """
    rows = [[str(cell) for cell in row] for row in (heads, *lines)]
    for row in rows:
        if len(row) != len(rows[0]):
            raise ValueError(
                f"{len(row)} cells under {len(rows[0])} heads in the line {' | '.join(row)!r}; "
                "give one for each head"
            )
    rows.insert(1, ["---" if i < left else "--:" for i in range(len(rows[0]))])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
