"""The command line, `python -m lab`: the book, its runs, its records, its claims, and data."""

import sys
<<<<<<< HEAD
=======
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fvlib.clustering import METHOD_NAMES
from fvlib.storage import Busy
from lab import records
from lab.commands.book import book_command
from lab.commands.claims import history, power
from lab.commands.clusters import clusters_command
from lab.commands.data import data_command
from lab.commands.options import DEFAULT, add, add_run_options, add_runs, add_set, positive
from lab.commands.places import ADOPTED, NEW
from lab.commands.records import bench_command, claims_command, records_command, train_command

CHEAP = ("smoke", "embedded")
JOBS = "processes (default: one a CPU core)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when all went well, 1 when something failed, 2 for a wrong command line.

    Ctrl-C ends it with 130 and SIGTERM with 143, as in a shell, and a line that says how to go on.
    Explained in chapter 00_start_here.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        with _terminable():
            options = vars(parser().parse_args(arguments))
            return options.pop("command")(**options)
    except (
        *(ValueError, OSError, MemoryError, FloatingPointError),
        *(Busy, records.MissingRecord),
    ) as error:
        _say(str(error), error)
    except KeyboardInterrupt as error:
        _say("interrupted", error, f"to go on: {shlex.join(['python', '-m', 'lab', *arguments])}")
        return 143 if isinstance(error, _Terminated) else 130
    return 1


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which schedulers send, ends a command as Ctrl-C does."""


@contextmanager
def _terminable() -> Iterator[None]:
    def terminate(*_) -> None:
        raise _Terminated

    if threading.current_thread() is not threading.main_thread():  # which alone gets signals
        yield
        return
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _say(what: str, error: BaseException, *more: str) -> None:
    """One line on stderr, with the notes that the error has got on its way."""
    notes = getattr(error, "__notes__", [])
    print("lab: " + "; ".join([what, *notes, *more]), file=sys.stderr)


def parser() -> argparse.ArgumentParser:
    """All commands and their options. Explained in chapter 00_start_here."""
    top = argparse.ArgumentParser(
        prog="python -m lab",
        description="The book that reproduces 'No frame left behind'. Run from the root of the "
        "repository; a command explains itself with --help.",
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND", title="commands")
    book_ = add(commands, "book", book_command)
    add_runs(commands)
    train = add(commands, "train", train_command)
    records_ = add(commands, "records", records_command)
    claims = add(commands, "claims", claims_command)
    seen = add(commands, "power", power)
    add(commands, "history", history)
    add(commands, "bench", bench_command)
    data_ = add(commands, "data", data_command)
    clusters = add(commands, "clusters", clusters_command)

    several = {"nargs": "+", "default": [], "help": "only these (default: all)"}
    book_.add_argument("action", nargs="?", choices=["run", "store"], default="run")
    book_.add_argument("--chapters", metavar="NN", **several)
    train.add_argument("experiment", metavar="EXPERIMENT", help="such as table1")
    train.add_argument("--out", type=Path, default=NEW, help=DEFAULT)
    train.add_argument("--device", default="cpu", help=DEFAULT)
    for command, scale, data in (
        (train, *CHEAP),
        (claims, "small", "real"),
        (seen, "small", "real"),
    ):
        command.add_argument("--scale", choices=records.SCALES, default=scale, help=DEFAULT)
        command.add_argument("--data", choices=["embedded", "real"], default=data, help=DEFAULT)
    train.add_argument("--row", required=True, help="such as cumulative-8")
    train.add_argument("--seed", type=int, default=0, help=DEFAULT)
    world = "processes that torchrun must have started (default: any number)"
    train.add_argument("--world", type=positive, metavar="N", help=world)
    add_set(train)
    add_run_options(train)
    book_.add_argument("--jobs", type=positive, metavar="N", help=JOBS)
    for command in (book_, train):
        command.add_argument("--force", action="store_true", help="also what is up to date")
    records_.add_argument("action", choices=["list", "check", "adopt"])
    records_.add_argument("--new", type=Path, default=NEW, help=DEFAULT)
    records_.add_argument("--adopted", type=Path, default=ADOPTED, help=DEFAULT)
    seen.add_argument("--experiment", default="table1", help=DEFAULT)
    for name, number in (("--seeds", 5), ("--clips", 4000)):
        seen.add_argument(name, type=positive, default=number, metavar="N", help=DEFAULT)
    seen.add_argument("--pilot", metavar="EXPERIMENT", help="whose records give the variances")
    unclustered = {"nargs": "+", "default": ["tsm-8", "tsm-32"], "metavar": "ROW"}
    seen.add_argument("--rows", help=f"without clusters {DEFAULT}", **unclustered)
    claims.add_argument("--chapter", metavar="NN_NAME", help="only its claims (default: all)")
    _add_data_options(data_)
    _add_clusters_options(clusters)
    return top


def _add_data_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("action", choices=["check", "mini", "pack"])
    names = "a data root; or breakfast, ucf101, ...; or the file to write"
    command.add_argument("name", metavar="ROOT|NAME|FILE", help=names)
    command.add_argument("--decode", action="store_true", help="check: decode every clip")
    command.add_argument("--skip-list", type=Path, metavar="FILE", help="check: write it here")
    command.add_argument("--index", type=Path, metavar="FILE", help="check: keep frame counts here")
    command.add_argument("--folder", type=Path, help="mini: where to (default: build/minis/NAME)")
    command.add_argument("--null", action="store_true", help="mini: the version without an effect")
    command.add_argument("--clips", type=int, metavar="N", help="mini: for training (default: all)")
    command.add_argument("--seed", type=int, default=0, help=DEFAULT)
    command.add_argument("--jobs", type=positive, metavar="N", help="processes (default: all)")


def _add_clusters_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("video", type=Path, help="a video file, or a folder of its frames")
    command.add_argument("-g", type=positive, default=8, help=f"clusters {DEFAULT}")
    command.add_argument("--method", choices=METHOD_NAMES, default="cumulative", help=DEFAULT)
    weights = "torchvision's name, a checkpoint file, or none for random ones"
    command.add_argument("--weights", default="IMAGENET1K_V1", help=f"{weights} {DEFAULT}")
    command.add_argument("--depth", type=int, default=18, help=f"of the ResNet {DEFAULT}")
    command.add_argument("--fps", type=float, help="frames a second to read (default: all)")
    command.add_argument("--out", type=Path, help="folder (default: build/clusters/VIDEO)")
>>>>>>> 0aaaca1 (Commands that say what a test can see and when it came)

from lab.commands import main

if __name__ == "__main__":
    sys.exit(main())
