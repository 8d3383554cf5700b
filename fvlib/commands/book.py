"""The book, by papermill."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from fvlib import book
from fvlib.commands.places import BUILD, DATA, INPUTS, NOTEBOOKS


def book_command(action: str, chapters: list[str], jobs: int | None, force: bool) -> int:
    """Execute the chapters, or refresh what is stored in them.

    run     executes each chapter with papermill into build/book. A chapter is left alone while
            neither its script, nor fvlib, nor data/ has changed. A failing one is shown, and kept
            in build/book/failed.
    store   makes each notebook from its script and stores its outputs, the navigation, and the
            generated parts of README.md. This is what is committed.

    examples:
      python -m fvlib book run
      python -m fvlib book run --chapters 02 05 --force
      python -m fvlib book store --chapters 03
    """
    options = {"workers": jobs, "force": force, "inputs": INPUTS}
    if action == "store":
        outcomes = book.store(NOTEBOOKS, BUILD / "store", names=chapters, **options)
        readme = Path("README.md")
        readme.write_text(readme_text(readme.read_text("utf-8")), "utf-8")
        return report(outcomes)
    wanted = [
        script
        for script in book.chapters(NOTEBOOKS)
        if not chapters or script.name.startswith(tuple(chapters))
    ]
    if not wanted:
        raise ValueError(f"no chapter begins with {' or '.join(chapters)}")
    todo = [book.Job(script, BUILD / "book" / f"{script.stem}.ipynb") for script in wanted]
    return report(book.execute(todo, **options))


def readme_text(text: str) -> str:
    """The text of README.md with its generated parts up to date: the verdicts and the contents."""
    from fvlib import claims

    text = book.replace_block(text, "verdicts", claims.overview(DATA))
    contents = book.contents(book.chapters(NOTEBOOKS), "notebooks/")
    return book.replace_block(text, "contents", contents)


def report(outcomes: Sequence[book.Outcome]) -> int:
    """One line a notebook on stderr; 1 if one failed."""
    words = {"done": "executed", "current": "up to date", "left": "to others", "failed": "FAILED"}
    for outcome in outcomes:
        seconds = "" if outcome.status == "current" else f"{outcome.seconds:.0f} s"
        name = outcome.job.output.stem
        print(f"{words[outcome.status]:>10} {seconds:>7}  {name}", file=sys.stderr)
    return int(any(outcome.status == "failed" for outcome in outcomes))
