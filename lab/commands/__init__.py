"""The commands of `python -m lab`, one function each; its docstring is the command's help.

A command returns 0 when all went well and 1 when something failed, and works from the root of the
repository; its signature is its options.
"""

from collections.abc import Sequence

from fvlib.cli import application, run
from fvlib.storage import Busy
from lab.commands.book import book_app, data_app
from lab.commands.options import command
from lab.commands.records import claims, fingerprints, history, power, records_app, tuned
from lab.commands.runs import runs_app, train
from lab.records import MissingRecord

app = application(
    "The book that reproduces 'No frame left behind'. Run from the root of the repository; a "
    "command explains itself with --help."
)
app.add_typer(book_app, name="book")
app.add_typer(runs_app, name="runs")
app.add_typer(records_app, name="records")
app.add_typer(data_app, name="data")
for function in (train, claims, power, tuned, history, fingerprints):
    command(app)(function)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status, as of `fvlib.cli.run`."""
    return run(app, "python -m lab", arguments, expected=(Busy, MissingRecord))
