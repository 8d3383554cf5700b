"""The book, by papermill, and data that it is made of."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from fvlib.cli import application
from fvlib.storage import write_file
from lab import book
from lab.book.notebook import Picture
from lab.commands.options import BUILD, DATA, INPUTS, NOTEBOOKS, Force, Jobs, command

OVERVIEW, METHOD = Path("site/overview.png"), Path("site/method.png")


book_app = application("The chapters: execute them, or refresh what is stored in them.")
Chapters = Annotated[list[str], Option(metavar="NN...", help="Only these; all.")]


@command(book_app)
def run(chapters: Chapters = (), jobs: Jobs = None, force: Force = False) -> int:
    """Execute the chapters and the appendix with papermill into build/book.

    A chapter is left alone while neither its script, nor fvlib, nor lab, nor data/ has changed. A
    failing one is shown, and kept in build/book/failed.

    examples:
      python -m lab book run
      python -m lab book run --chapters 02 05 --force
    """
    wanted = [
        script
        for script in [*book.chapters(NOTEBOOKS), *book.appendices(NOTEBOOKS)]
        if not chapters or script.name.startswith(tuple(chapters))
    ]
    if not wanted:
        raise ValueError(f"no chapter begins with {' or '.join(chapters)}")
    made = {script: script.relative_to(NOTEBOOKS).with_suffix(".ipynb") for script in wanted}
    todo = [book.Job(script, BUILD / "book" / name) for script, name in made.items()]
    return report(book.execute(todo, workers=jobs, force=force, inputs=INPUTS))


@command(book_app)
def store(chapters: Chapters = (), jobs: Jobs = None, force: Force = False) -> int:
    """Make each notebook from its script, and the generated parts of README.md.

    Stored are its outputs and the navigation: this is what is committed.

    examples:
      python -m lab book store
      python -m lab book store --chapters 03
    """
    options = {"workers": jobs, "force": force, "inputs": INPUTS}
    outcomes = book.store(NOTEBOOKS, BUILD / "store", names=chapters, **options)
    readme, shown = Path("README.md"), readme_pictures()
    for path, picture in shown.items():
        write_file(path, picture.png)
    write_file(readme, readme_text(readme.read_text("utf-8"), shown))
    return report(outcomes)


def readme_pictures() -> dict[Path, Picture]:
    """The README's figures: the method, and the last one of the chapter of verdicts."""
    return {
        METHOD: book.pictures(NOTEBOOKS / "00_start_here.ipynb")[0],
        OVERVIEW: book.pictures(NOTEBOOKS / "13_verdict.ipynb")[-1],
    }


def readme_text(text: str, pictures: Mapping[Path, Picture]) -> str:
    """The text of README.md with its generated parts: figures, verdicts, contents."""
    from lab import claims

    for path, picture in pictures.items():
        figure = f"![{picture.alt}]({path})\n\n*{picture.caption}*"
        text = book.replace_block(text, path.stem, figure)
    judged = claims.judge_all(DATA)
    folded = f"<details><summary>All claims</summary>\n\n{claims.overview(judged)}\n\n</details>"
    verdicts = f"{claims.summary(judged)}\n\n{claims.staleness(DATA)}\n\n{folded}"
    text = book.replace_block(text, "verdicts", verdicts)
    chapters = book.contents(book.chapters(NOTEBOOKS), "notebooks/")
    appendix = book.contents(book.appendices(NOTEBOOKS), "notebooks/appendix/")
    return book.replace_block(text, "contents", f"{chapters}\n{appendix}")


def report(outcomes: Sequence[book.Outcome]) -> int:
    """One line a notebook on stderr; 1 if one failed."""
    words = {"done": "executed", "current": "up to date", "left": "to others", "failed": "FAILED"}
    for outcome in outcomes:
        seconds = "" if outcome.status == "current" else f"{outcome.seconds:.0f} s"
        name = outcome.job.output.stem
        print(f"{words[outcome.status]:>10} {seconds:>7}  {name}", file=sys.stderr)
    return int(any(outcome.status == "failed" for outcome in outcomes))


# ---- data ----


data_app = application("Write a mini set, or pack what Move4MNIST needs.")


@command(data_app)
def mini(
    name: Annotated[str, Argument(help="breakfast, ucf101, hmdb51 or something.")],
    folder: Annotated[Path | None, Option(help="Where to; build/minis/NAME.")] = None,
    null: Annotated[bool, Option("--null", help="The version without an effect.")] = False,
    clips: Annotated[int | None, Option(metavar="N", help="For training; all.")] = None,
    seed: int = 0,
    jobs: Jobs = None,
) -> int:
    """Write a mini version of a benchmark in its own layout.

    It tests the mechanism, not the benchmark. The same command goes on after an interruption.

    examples:
      python -m lab data mini something --folder /data/mini
    """
    from lab.synthetic import write_mini

    folder = folder or BUILD / "minis" / (f"{name}-null" if null else name)
    options = {"null": null, "seed": seed, "clips": clips, "jobs": jobs}
    found = write_mini(name, folder, **options, progress=True)
    print(f"{folder}: {found.clips} clips, {found.frames:,} frames; {found.written} written now")
    return 0


@command(data_app)
def pack(file: Annotated[Path, Argument(metavar="FILE")]) -> int:
    """Write MNIST and decoded backgrounds from FVLIB_DATA to one file of at most 60 MB.

    It is for machines that cannot decode video: FVLIB_DATA may then name the file.

    examples:
      FVLIB_DATA=/data python -m lab data pack pack.npz
    """
    from fvlib.datasets.move4mnist import pack_real

    pack_real(file, progress=True)
    print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")
    return 0
