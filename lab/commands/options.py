"""Where commands find things, from the root of the repository, and options that several have."""

from __future__ import annotations

import inspect
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer import Option

from fvlib.cli import Command
from lab import plan, records

NOTEBOOKS, BUILD, DATA = Path("notebooks"), Path("build"), Path("data")
PLAN, RECIPES = DATA / "plan.toml", DATA / "recipes.toml"
FINGERPRINTS = DATA / "fingerprints.json"
ADOPTED, NEW = DATA / "records", BUILD / "records"
INPUTS = [Path("fvlib"), Path("lab"), DATA]  # what a chapter's outputs depend on, besides itself

Scale = Literal[records.SCALES]
Source = Literal["embedded", "real"]
Out = Annotated[Path, Option(help="Folder of new records.")]
Device = Annotated[str, Option(help="cpu, cuda or cuda:1.")]
Jobs = Annotated[int | None, Option(min=1, metavar="N", help="How many at once.")]
Threads = Annotated[int, Option(min=1, metavar="N", help="Of each run.")]
Force = Annotated[bool, Option("--force", help="Also what is up to date.")]


def parameter(text: str) -> tuple[str, Any]:
    """A parameter and its value as the recipe file has it; a single word needs no quotes.

    "lr=0.01" is ("lr", 0.01), "shift_stages=[]" is ("shift_stages", []), "weights=none" is
    ("weights", "none").
    """
    from lab.experiments import run

    name, equals, value = text.partition("=")
    if not (name and equals):
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE")
    if name in inspect.signature(run).parameters:
        raise typer.BadParameter(f"{name} is no parameter of the recipe file")
    try:
        return name, tomllib.loads(f"value = {value}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return name, value


Settings = Annotated[
    list[Any],
    Option(
        "--set",
        metavar="NAME=VALUE...",
        parser=parameter,
        help="Parameters in place of the recipe file's; the record has them.",
    ),
]


def command(app: typer.Typer, name: str | None = None) -> Callable[[Callable], Callable]:
    """A decorator: the function is a command of this group, its docstring the help.

    What it takes as a dataclass, such as a `Choice`, are options of the command one by one.
    """

    def register(function: Callable[..., int]) -> Callable[..., int]:
        given = inspect.signature(function, eval_str=True).parameters
        groups = {key: one.annotation for key, one in given.items() if is_dataclass(one.annotation)}

        @wraps(function)
        def flat(**options: Any) -> int:
            for key, kind in groups.items():
                options[key] = kind(**{one.name: options.pop(one.name) for one in fields(kind)})
            return function(**options)

        own = [inspect.signature(kind, eval_str=True).parameters for kind in groups.values()]
        every = {key: one for key, one in given.items() if key not in groups}
        every = [one for part in (*own, every) for one in part.values()]
        every.sort(key=lambda one: one.default is not one.empty)
        flat.__signature__ = inspect.Signature(every)
        app.command(name, cls=Command)(flat)
        return function

    return register


@dataclass(frozen=True)
class Choice:
    """What the options of the command line choose among all runs."""

    tables: Annotated[
        list[str], Option("--table", metavar="EXPERIMENT...", help="Only these; all of the plan.")
    ] = ()
    rows: Annotated[list[str], Option(metavar="ROW...", help="Names or patterns.")] = ()
    scale: Annotated[Scale | None, Option()] = None
    data: Annotated[Source | None, Option()] = None
    seeds: Annotated[list[int], Option(metavar="SEED...")] = ()
    indices: Annotated[list[int], Option("--index", metavar="INDEX...")] = ()

    def runs(self) -> list[plan.Run]:
        """The runs, planned or not."""
        require_repository()
        return plan.choose(plan.read_plan(PLAN, RECIPES), RECIPES, **vars(self))

    def statuses(self, out: Path, /, **overrides: Any) -> list[plan.Status]:
        """How far they are, with other parameters than the recipe file has."""
        damaged: list[str] = []
        found = plan.statuses(self.runs(), RECIPES, out, ADOPTED, damaged=damaged, **overrides)
        warn_of_damaged(damaged)
        return found


@dataclass(frozen=True)
class Making:
    """How runs are made, and where their records go."""

    out: Out = NEW
    force: Force = False
    deterministic: Annotated[
        bool,
        Option(
            "--deterministic",
            help="The same bits every time on a GPU too; an operation that cannot is an error.",
        ),
    ] = False

    def options(self) -> dict[str, Any]:
        """Those of `lab.experiments.run`, from any folder."""
        own = {"folder": self.out.resolve(), "force": self.force}
        return {**own, "deterministic": self.deterministic}


def warn_of_damaged(damaged: Sequence[str]) -> None:
    """A line on stderr for each record that could not be read, and counts as none."""
    for line in damaged:
        print(f"warning: left out, as it cannot be read: {line}", file=sys.stderr)


def require_repository() -> None:
    """OSError, with what to do, in a folder that is not the root of the repository."""
    if not RECIPES.exists():
        raise OSError(
            f"this is not the repository (no {RECIPES} in {Path.cwd()}): run it from its root"
        )
