"""The command line, `python -m fvlib`: the book, its runs, its records and its claims.

The docstring of a command is its help. Explained in chapter 00_start_here.
"""

import argparse
import inspect
import runpy
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

from fvlib import book, records

NOTEBOOKS, BUILD, DATA = Path("notebooks"), Path("build"), Path("data")
RECIPES, ADOPTED, NEW = DATA / "recipes.toml", DATA / "records", BUILD / "records"
CHEAP, DEFAULT = ("smoke", "embedded"), "(default: %(default)s)"
INPUTS = [Path("fvlib"), DATA]  # what a chapter's outputs depend on, besides itself


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when all went well, 1 when something failed, 2 for a wrong command line.

    Explained in chapter 00_start_here.
    """
    options = vars(parser().parse_args(arguments))
    command = options.pop("command")
    try:
        return command(**options)
    except (ValueError, FileNotFoundError, records.MissingRecord) as error:
        print(f"fvlib: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("fvlib: interrupted; the same command goes on where it was", file=sys.stderr)
    return 1


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

    notebooks/runs/EXPERIMENT is executed once for every row and seed that data/records and the
    output folder do not hold yet; the executed notebooks go to build/runs. `records adopt` then
    moves the records to where the chapters read them.

    examples:
      python -m fvlib runs table1 --scale smoke
      python -m fvlib runs table1 --scale small --rows tsm-8 cumulative-8 --seeds 0 1 2
      FVLIB_DATA=/data python -m fvlib runs table1 --scale small --data real --jobs 2
    """
    from fvlib.training import parameters_of

    notebook = NOTEBOOKS / "runs" / f"{experiment}.py"
    if not notebook.exists():
        there = ", ".join(sorted(path.stem for path in notebook.parent.glob("*.py"))) or "none"
        raise ValueError(f"no experiment {experiment!r} in {notebook.parent}; there is {there}")
    todo = []
    names = [
        {"scale": scale, "data": data, "row": row, "seed": seed}
        for row in rows or list(tomllib.loads(RECIPES.read_text("utf-8"))[experiment]["rows"])
        for seed in seeds
    ]
    for name in names:
        parameters, version = parameters_of(RECIPES, experiment, name["row"], scale, data)
        run = {**name, "parameters": parameters, "version": version}
        recorded = any(records.is_current(folder, experiment, **run) for folder in (ADOPTED, out))
        if force or not recorded:
            output = BUILD / "runs" / f"{records.name_of(experiment, **name)}.ipynb"
            options = {"folder": str(out.resolve()), "device": device, "force": force}
            todo.append(book.Job(notebook, output, {**name, **options}))
    if len(todo) < len(names):
        print(f"{len(names) - len(todo)} of {len(names)} are recorded already", file=sys.stderr)
    return _report(book.execute(todo, workers=jobs, force=True, timeout=None))


def train_command(
    experiment: str, row: str, scale: str, data: str, seed: int, out: Path, device: str, force: bool
) -> int:
    """Make one record without Jupyter: the same run as notebooks/runs/EXPERIMENT.

    Goes on from its last epoch when it was interrupted, and does nothing when the record is there.

    examples:
      python -m fvlib train table1 --row cumulative-8 --scale smoke
      python -m fvlib train table1 --row tsm-32 --scale small --seed 1 --device cuda
    """
    from fvlib.experiments import run

    name = {"scale": scale, "data": data, "seed": seed}
    places = {"recipes": RECIPES, "folder": out}
    print(run(experiment, row, **name, **places, device=device, progress=True, force=force))
    return 0


def records_command(action: str, new: Path, adopted: Path) -> int:
    """List, check or adopt run records.

    list    prints the adopted records, those that chapters read, as a table.
    check   tells what is wrong with them, if anything is.
    adopt   moves new records to the adopted ones, in place of those they repeat.

    examples:
      python -m fvlib records list
      python -m fvlib records adopt
    """
    if action == "adopt":
        print("\n".join(map(str, records.adopt(new, adopted))) or f"no record in {new}")
    elif action == "check":
        if problems := records.check(adopted):
            raise ValueError("\n".join(problems))
        print(f"{len(records.select(adopted))} records, all sound")
    else:
        print(records.listing(records.select(adopted)))
    return 0


def claims_command(chapter: str | None, scale: str, data: str) -> int:
    """Print the paper's claims with their verdicts, made from the adopted records.

    examples:
      python -m fvlib claims
      python -m fvlib claims --chapter 05_more_frames --scale small --data embedded
    """
    from fvlib import claims

    print(claims.table(chapter, DATA, scale=scale, data=data))
    return 0


def bench_command() -> int:
    """Measure how fast the parts are, as ratios within one run: tests/bench.py."""
    runpy.run_path("tests/bench.py", run_name="__main__")
    return 0


def parser() -> argparse.ArgumentParser:
    """All commands and their options. Explained in chapter 00_start_here."""
    top = argparse.ArgumentParser(
        prog="python -m fvlib",
        description="The book that reproduces 'No frame left behind'. Run from the root of the "
        "repository; a command explains itself with --help.",
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND", title="commands")
    book_ = _add(commands, "book", book_command)
    runs = _add(commands, "runs", runs_command)
    train = _add(commands, "train", train_command)
    records_ = _add(commands, "records", records_command)
    claims = _add(commands, "claims", claims_command)
    _add(commands, "bench", bench_command)

    several = {"nargs": "+", "default": [], "help": "only these (default: all)"}
    book_.add_argument("action", nargs="?", choices=["run", "store"], default="run")
    book_.add_argument("--chapters", metavar="NN", **several)
    for command in (runs, train):
        command.add_argument("experiment", metavar="EXPERIMENT", help="such as table1")
        command.add_argument("--out", type=Path, default=NEW, help=DEFAULT)
        command.add_argument("--device", default="cpu", help=DEFAULT)
    for command, scale, data in ((runs, *CHEAP), (train, *CHEAP), (claims, "small", "real")):
        command.add_argument("--scale", choices=records.SCALES, default=scale, help=DEFAULT)
        command.add_argument("--data", choices=["embedded", "real"], default=data, help=DEFAULT)
    runs.add_argument("--rows", metavar="ROW", **several)
    runs.add_argument("--seeds", metavar="SEED", type=int, nargs="+", default=[0], help=DEFAULT)
    train.add_argument("--row", required=True, help="such as cumulative-8")
    train.add_argument("--seed", type=int, default=0, help=DEFAULT)
    for command in (book_, runs):
        jobs = "processes (default: one a CPU core)"
        command.add_argument("--jobs", type=_positive, metavar="N", help=jobs)
    for command in (book_, runs, train):
        command.add_argument("--force", action="store_true", help="also what is up to date")
    records_.add_argument("action", choices=["list", "check", "adopt"])
    records_.add_argument("--new", type=Path, default=NEW, help=DEFAULT)
    records_.add_argument("--adopted", type=Path, default=ADOPTED, help=DEFAULT)
    claims.add_argument("--chapter", metavar="NN_NAME", help="only its claims (default: all)")
    return top


def _add(commands, name: str, command: Callable[..., int]) -> argparse.ArgumentParser:
    text = inspect.getdoc(command)
    added = commands.add_parser(
        name,
        help=text.splitlines()[0],
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    added.set_defaults(command=command)
    return added


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of processes; 1 or more")
    return int(text)


def _report(outcomes: Sequence[book.Outcome]) -> int:
    """One line a notebook on stderr; 1 if one failed."""
    words = {"done": "executed", "current": "up to date", "failed": "FAILED"}
    for outcome in outcomes:
        seconds = "" if outcome.status == "current" else f"{outcome.seconds:.0f} s"
        name = outcome.job.output.stem
        print(f"{words[outcome.status]:>10} {seconds:>7}  {name}", file=sys.stderr)
    return int(any(outcome.status == "failed" for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
