"""The book and its batch runs, by papermill."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from fvlib import book, records
from fvlib.commands.places import ADOPTED, BUILD, DATA, INPUTS, NOTEBOOKS, RECIPES


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
        return _report(outcomes)
    wanted = [
        script
        for script in book.chapters(NOTEBOOKS)
        if not chapters or script.name.startswith(tuple(chapters))
    ]
    if not wanted:
        raise ValueError(f"no chapter begins with {' or '.join(chapters)}")
    todo = [book.Job(script, BUILD / "book" / f"{script.stem}.ipynb") for script in wanted]
    return _report(book.execute(todo, **options))


def readme_text(text: str) -> str:
    """The text of README.md with its generated parts up to date: the verdicts and the contents."""
    from fvlib import claims

    text = book.replace_block(text, "verdicts", claims.overview(DATA))
    contents = book.contents(book.chapters(NOTEBOOKS), "notebooks/")
    return book.replace_block(text, "contents", contents)


def runs_command(
    experiment: str,
    rows: list[str],
    seeds: list[int],
    scale: str,
    data: str,
    out: Path,
    device: str,
    jobs: int | None,
    force: bool,
) -> int:
    """Make the records of an experiment, by executing its notebook with papermill.

    notebooks/runs/EXPERIMENT, or benchmark beside it where there is none, is executed once for
    every row and seed that data/records and the output folder do not hold yet; the executed
    notebooks go to build/runs. `records adopt` then moves the records to where the chapters read
    them.

    examples:
      python -m fvlib runs table1 --scale smoke
      python -m fvlib runs table1 --scale small --rows tsm-8 cumulative-8 --seeds 0 1 2
      FVLIB_DATA=/data python -m fvlib runs table1 --scale small --data real --jobs 2
      FVLIB_DATA=/data python -m fvlib runs table4 --scale paper --data real --device cuda
    """
    from fvlib.training import parameters_of, rows_of

    notebook, of_all = NOTEBOOKS / "runs" / f"{experiment}.py", {}
    if not notebook.exists():
        notebook, of_all = notebook.with_name("benchmark.py"), {"table": experiment}
    todo = []
    names = [
        {"scale": scale, "data": data, "row": row, "seed": seed}
        for row in rows or rows_of(RECIPES, experiment)
        for seed in seeds
    ]
    for name in names:
        parameters, version = parameters_of(RECIPES, experiment, name["row"], scale, data)
        run = {**name, "parameters": parameters, "version": version}
        recorded = any(records.is_current(folder, experiment, **run) for folder in (ADOPTED, out))
        if force or not recorded:
            output = BUILD / "runs" / f"{records.name_of(experiment, **name)}.ipynb"
            options = {"folder": str(out.resolve()), "device": device, "force": force}
            todo.append(book.Job(notebook, output, {**of_all, **name, **options}))
    if len(todo) < len(names):
        print(f"{len(names) - len(todo)} of {len(names)} are recorded already", file=sys.stderr)
    return _report(book.execute(todo, workers=jobs, force=True, timeout=None))


def _report(outcomes: Sequence[book.Outcome]) -> int:
    """One line a notebook on stderr; 1 if one failed."""
    words = {"done": "executed", "current": "up to date", "failed": "FAILED"}
    for outcome in outcomes:
        seconds = "" if outcome.status == "current" else f"{outcome.seconds:.0f} s"
        name = outcome.job.output.stem
        print(f"{words[outcome.status]:>10} {seconds:>7}  {name}", file=sys.stderr)
    return int(any(outcome.status == "failed" for outcome in outcomes))
