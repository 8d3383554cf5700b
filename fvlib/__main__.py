"""The command line, `python -m fvlib`: the book, its runs, its records, its claims, and data.

Explained in chapter 00_start_here.
"""

import argparse
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from fvlib import records
from fvlib.commands.book import book_command, runs_command
from fvlib.commands.clusters import clusters_command
from fvlib.commands.data import data_command
from fvlib.commands.places import ADOPTED, NEW
from fvlib.commands.records import bench_command, claims_command, records_command, train_command

CHEAP, DEFAULT = ("smoke", "embedded"), "(default: %(default)s)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when all went well, 1 when something failed, 2 for a wrong command line.

    Explained in chapter 00_start_here.
    """
    options = vars(parser().parse_args(arguments))
    command = options.pop("command")
    try:
        return command(**options)
    except (ValueError, OSError, records.MissingRecord) as error:
        print(f"fvlib: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("fvlib: interrupted; the same command goes on where it was", file=sys.stderr)
    return 1


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
    data_ = _add(commands, "data", data_command)
    clusters = _add(commands, "clusters", clusters_command)

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
    _add_data_options(data_)
    _add_clusters_options(clusters)
    return top


def _add_data_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("action", choices=["check", "mini"])
    command.add_argument("name", metavar="ROOT|NAME", help="a data root; or breakfast, ucf101, ...")
    command.add_argument("--decode", action="store_true", help="check: decode every clip")
    command.add_argument("--skip-list", type=Path, metavar="FILE", help="check: write it here")
    command.add_argument("--index", type=Path, metavar="FILE", help="check: keep frame counts here")
    command.add_argument("--folder", type=Path, help="mini: where to (default: build/minis/NAME)")
    command.add_argument("--null", action="store_true", help="mini: the version without an effect")
    command.add_argument("--clips", type=int, metavar="N", help="mini: for training (default: all)")
    command.add_argument("--seed", type=int, default=0, help=DEFAULT)
    command.add_argument("--jobs", type=_positive, metavar="N", help="processes (default: all)")


def _add_clusters_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("video", type=Path, help="a video file, or a folder of its frames")
    command.add_argument("-g", type=_positive, default=8, help=f"clusters {DEFAULT}")
    methods = ["cumulative", "slope", "uniform"]
    command.add_argument("--method", choices=methods, default="cumulative", help=DEFAULT)
    weights = "torchvision's name, a checkpoint file, or none for random ones"
    command.add_argument("--weights", default="IMAGENET1K_V1", help=f"{weights} {DEFAULT}")
    command.add_argument("--depth", type=int, default=18, help=f"of the ResNet {DEFAULT}")
    command.add_argument("--fps", type=float, help="frames a second to read (default: all)")
    command.add_argument("--out", type=Path, help="folder (default: build/clusters/VIDEO)")


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


if __name__ == "__main__":
    sys.exit(main())
