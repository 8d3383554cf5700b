"""Options of the command line that several commands share, and those of `runs`."""

import argparse
import inspect
import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from lab import records
from lab.commands import plan, runs, submit
from lab.commands.places import NEW

DEFAULT = "(default: %(default)s)"


def add(commands, name: str, command: Callable[..., int]) -> argparse.ArgumentParser:
    """A command whose docstring is its help."""
    text = inspect.getdoc(command)
    added = commands.add_parser(
        name,
        help=text.splitlines()[0],
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    added.set_defaults(command=command)
    return added


def positive(text: str) -> int:
    """A number of processes or of other things, 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of processes; 1 or more")
    return int(text)


def minutes(text: str) -> float:
    """A time in minutes, more than 0."""
    with suppress(ValueError):
        if float(text) > 0:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of minutes above 0")


def parameter(text: str) -> tuple[str, Any]:
    """A parameter and its value as the recipe file has it; a single word needs no quotes.

    "lr=0.01" is ("lr", 0.01), "shift_stages=[]" is ("shift_stages", []), "weights=none" is
    ("weights", "none").
    """
    from lab.experiments import run

    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    if name in inspect.signature(run).parameters:
        raise argparse.ArgumentTypeError(f"{name} is no parameter of the recipe file")
    try:
        return name, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name, value


def add_set(command: argparse.ArgumentParser) -> None:
    """Other parameters than the recipe file has."""
    about = "parameters in place of the recipe file's; the record has them"
    several = {"metavar": "NAME=VALUE", "nargs": "+", "default": [], "type": parameter}
    command.add_argument("--set", dest="settings", help=about, **several)


def add_run_options(command: argparse.ArgumentParser) -> None:
    """What may be said of every run, by whatever command it is made."""
    exact = "the same bits every time on a GPU too; an operation that cannot is an error"
    command.add_argument("--deterministic", action="store_true", help=exact)
    curves = "write curves for TensorBoard below this folder; needs the package tensorboard"
    command.add_argument("--tensorboard", type=Path, metavar="FOLDER", help=curves)


def add_runs(commands) -> None:
    """The commands of `runs`, which choose among all runs by the same options."""
    about = "All runs of the book: which there are, how far they are, and making them."
    group = commands.add_parser("runs", help=about, description=about)
    actions = group.add_subparsers(required=True, metavar="ACTION", title="actions")
    list_ = add(actions, "list", plan.list_command)
    status = add(actions, "status", plan.status_command)
    rows = add(actions, "plan", plan.plan_command)
    run = add(actions, "run", runs.run_command)
    submit_ = add(actions, "submit", submit.submit_command)
    verify = add(actions, "verify", runs.verify_command)
    for command in (list_, status, rows, run, submit_):
        several = {"nargs": "+", "default": []}
        every = "only these (default: all of the plan)"
        command.add_argument("--table", dest="tables", metavar="EXPERIMENT", help=every, **several)
        command.add_argument("--rows", metavar="ROW", help="names or patterns", **several)
        command.add_argument("--scale", choices=records.SCALES)
        command.add_argument("--data", choices=["embedded", "real"])
        command.add_argument("--seeds", metavar="SEED", type=int, **several)
        command.add_argument("--index", dest="indices", metavar="INDEX", type=int, **several)
    for command in (list_, status, run, submit_):
        command.add_argument("--out", type=Path, default=NEW, help=f"new records {DEFAULT}")
    for command in (status, run, submit_):
        command.add_argument("--jobs", type=positive, metavar="N", help="how many at once")
    for command in (run, submit_):
        threads = {"type": positive, "default": 1, "help": f"of each run {DEFAULT}"}
        command.add_argument("--threads", metavar="N", **threads)
        command.add_argument("--force", action="store_true", help="also what is up to date")
        add_run_options(command)
    devices = f"cpu, cuda, or several as cuda:0 cuda:1 {DEFAULT}"
    run.add_argument("--devices", nargs="+", default=["cpu"], help=devices)
    run.add_argument("--plain", action="store_true", help="in this process, without Jupyter")
    limit = "with --plain: stop in time, and end with 75 if something is left"
    run.add_argument("--minutes", type=minutes, metavar="M", help=limit)
    add_set(run)
    run.add_argument("--dry-run", action="store_true", help="only say what would be run")
    clusters = ["auto", "slurm", "local", "debug"]
    submit_.add_argument("--cluster", choices=clusters, default="auto", help=DEFAULT)
    submit_.add_argument("--wait", action="store_true", help="until all jobs are done")
    parameters = {"metavar": "NAME=VALUE", "nargs": "+", "default": [], "type": submit.setting}
    submit_.add_argument("--set", dest="settings", help="of submitit", **parameters)
    verify.add_argument("record", type=Path, metavar="RECORD.json")
    for command in (submit_, verify):
        command.add_argument("--device", default="cpu", help=DEFAULT)
