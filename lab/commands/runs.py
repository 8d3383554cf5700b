"""All runs: which there are, how far they are, making them, and some again to see they repeat."""

from __future__ import annotations

import gc
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from typer import Argument, Option

from fvlib.cli import EXPECTED, application
from fvlib.storage import Busy, require_room
from lab import book, records
from lab.commands import options
from lab.commands.book import report
from lab.parameters import as_written
from lab.plan import WORDS, Status, read_things, reference_of, time_left

NOTEBOOK = options.NOTEBOOKS / "runs" / "run.py"
ROOM = 10.0  # MB that the least of runs and its notebook want
TIME_IS_UP = 75  # sysexits.h: a temporary failure, the same call later

runs_app = application("All runs of the book: which there are, how far they are, and making them.")


@options.command(runs_app, "list")
def list_(choice: options.Choice, out: options.Out = options.NEW) -> int:
    """One line a run: index, status, time that is left, name, and what else there is to say.

    done         its record is there, in data/records or in the output folder, and is current
    running      another process is at it
    interrupted  it goes on from the epoch that is said
    stale        its record was made with other parameters than the recipe file has today
    missing      it has no record
    """
    for status in choice.statuses(out):
        print(line(status))
    return 0


@options.command(runs_app)
def status(
    choice: options.Choice, out: options.Out = options.NEW, jobs: options.Jobs = None
) -> int:
    """Counts by experiment, scale and data: how many runs are done, how many are not, what is left.

    The time is from records of the same row, or experiment, at the same scale, for one process or
    for --jobs of them.
    """
    found = choice.statuses(out)
    groups: dict[str, list[Status]] = {}
    for one in found:
        run = one.run
        groups.setdefault(f"{run.experiment} ({run.scale}, {run.data})", []).append(one)
    groups["all"] = found
    print(f"{'':32}" + "".join(f"{word:>12}" for word in WORDS) + f"{'time left':>16}")
    for name, group in groups.items():
        counts = Counter(one.word for one in group)
        numbers = "".join(f"{counts[word] or '.':>12}" for word in WORDS)
        rest = [one for one in group if one.word != "done"]
        print(f"{name:32}{numbers}{left(rest, jobs or 1):>16}")
    return 0


@options.command(runs_app)
def plan(choice: options.Choice) -> int:
    """What makes each row the row: the row that it is compared with, and the one thing changed."""
    runs, seen = choice.runs(), {}
    things = read_things(options.PLAN, options.RECIPES)
    for run in runs:
        seen.setdefault((run.experiment, run.row, run.scale, run.data), run)
    last = None
    for (experiment, row, scale, data), run in seen.items():
        if (experiment, scale, data) != last:
            print(f"\n{experiment} ({scale}, {data})" + f": {run.purpose}" * bool(run.purpose))
            last = experiment, scale, data
        found = reference_of(things, options.RECIPES, experiment, row, scale, data)
        if found is None:
            print(f"  {row:24} stands at the beginning")
            continue
        changes = (
            f"{key} {as_written(a)} -> {as_written(b)}" for key, (a, b) in found.changes.items()
        )
        print(f"  {row:24} {found.row:28} {', '.join(changes)}".rstrip())
    return 0


@options.command(runs_app)
def run(
    choice: options.Choice,
    making: options.Making,
    jobs: options.Jobs = None,
    threads: options.Threads = 1,
    device: options.Device = "cpu",
    dry_run: Annotated[bool, Option("--dry-run", help="Only say what would be run.")] = False,
    plain: Annotated[bool, Option("--plain", help="In this process, without Jupyter.")] = False,
    limit: Annotated[
        float | None,
        Option(
            "--minutes",
            metavar="M",
            min=1e-9,
            help="With --plain: stop in time, and end with 75 if something is left.",
        ),
    ] = None,
    settings: options.Settings = (),
) -> int:
    """Make the records that are missing or stale, by executing notebooks/runs/run with papermill.

    Without --scale it is scale small of the plan. What is not in the plan is run too, when --table
    and --scale name it. An interrupted run goes on from its last epoch; one that another process is
    at is left to it. The executed notebooks go to build/runs; `records adopt` then moves the
    records to where the chapters read them.

    Every run computes with --threads threads, however many --jobs there are: so the records are the
    same to the bit. Calls beside each other share the work, also from machines that share the
    folder: each leaves what another is at. So two GPUs are two calls, with --device cuda:0 and
    cuda:1, and a job of an array makes the run of its number with --index and --plain.

    With --plain they are made one after the other in this process, which takes no Jupyter; --set
    gives other parameters than the recipe file has, and records say so. With --minutes too it stops
    between two epochs, when the next would not end in time, and ends with 75: the same command then
    goes on. A machine that has only some minutes is to keep the output folder between the calls;
    what is to be carried home are the records, not checkpoints/, locks/ and logs/.

    examples:
      python -m lab runs run --table table1 --scale smoke
      python -m lab runs run --table table1 --rows "cumulative-*" --data embedded --jobs 2
      FVLIB_DATA=/data python -m lab runs run --dry-run
      FVLIB_DATA=/data python -m lab runs run --scale paper --device cuda --jobs 1
      FVLIB_DATA=pack.npz python -m lab runs run --table table1 --scale paper --data real \\
          --device cuda --plain --minutes 9 --set weights=none
    """
    if not choice.scale and not choice.indices:
        choice = replace(choice, scale="small")
    if plain and jobs not in (None, 1):
        raise ValueError("--plain makes one run after the other: give --jobs 1")
    if not plain and (settings or limit is not None):
        raise ValueError("--set and --minutes are for runs in this process: give --plain too")
    if making.force and limit is not None:
        raise ValueError(
            "--force begins at the start in every call, so --minutes has no use for it"
        )
    found = choice.statuses(making.out, **dict(settings))
    todo, left_out = possible(todo_of(found, making.force))
    jobs = 1 if plain else jobs or max(1, (os.cpu_count() or 1) // threads)
    counts = Counter(one.word for one in found)
    said = ", ".join(f"{counts[word]} {word}" for word in WORDS if counts[word])
    print(f"{len(found)} runs: {said}", file=sys.stderr)
    for one in found:
        if one.word == "running":
            print(f"left to others: {one.run.name}, {one.detail}", file=sys.stderr)
    if left_out:
        print(f"left out: {len(left_out)} on real data; FVLIB_DATA names none", file=sys.stderr)
    if todo:
        needed = left(todo, min(jobs, len(todo)))
        print(f"to run: {len(todo)}, about {needed} with {jobs} at a time", file=sys.stderr)
    if dry_run:
        print("\n".join(line(one) for one in todo))
        return 0
    for folder in (making.out, options.BUILD / "runs"):
        require_room(folder, ROOM)
    how = {"device": device, **making.options()}
    if plain:
        how |= {"progress": sys.stderr.isatty(), **dict(settings)}
        return run_plainly(todo, threads, limit, how)
    how["folder"] = str(how["folder"])
    work = [
        book.Job(
            NOTEBOOK,
            options.BUILD / "runs" / f"{one.run.name}.ipynb",
            {"table": one.run.experiment, **one.run.place, **how},
        )
        for one in todo
    ]
    how = {"threads": threads, "timeout": None}
    return report(book.execute(work, workers=jobs, force=True, **how))


def train(
    experiment: Annotated[str, Argument(metavar="EXPERIMENT", help="Such as table1.")],
    row: Annotated[str, Option(help="Such as cumulative-8.")],
    making: options.Making,
    scale: options.Scale = "smoke",
    data: options.Source = "embedded",
    seed: int = 0,
    device: options.Device = "cpu",
    world: Annotated[
        int | None,
        Option(min=1, metavar="N", help="Processes that torchrun must have started; any number."),
    ] = None,
    settings: options.Settings = (),
) -> int:
    """Make one record without Jupyter: the same run as notebooks/runs/EXPERIMENT.

    Goes on from its last epoch when it was interrupted, and does nothing when the record is there.
    Each epoch adds a line to logs/ in the output folder. Under torchrun all processes train one
    network; with --device cuda each has a GPU of its own.

    examples:
      python -m lab train table1 --row cumulative-8 --scale smoke
      python -m lab train table1 --row tsm-32 --scale small --seed 1 --device cuda
      python -m lab train table1 --row tsm-8 --scale paper --data real --set weights=none
      torchrun --nproc-per-node 2 -m lab train table1 --row tsm-32 --scale small --world 2
    """
    options.require_repository()
    from fvlib import distributed
    from lab.experiments import run

    name = {"scale": scale, "data": data, "seed": seed, "recipes": options.RECIPES}
    with distributed.init_group(device, world) as own:
        how = {"device": str(own), "progress": True, **making.options(), **dict(settings)}
        how["folder"] = making.out  # whose path is printed as it was given
        path = run(experiment, row, **name, **how)
        if distributed.is_rank_zero():
            print(path)
    return 0


@options.command(runs_app)
def verify(
    record: Annotated[list[Path], Argument(metavar="RECORD.json...")],
    at: Annotated[Literal["record", "today", "both"], Option(help="Which is asked.")] = "both",
    device: options.Device = "cpu",
) -> int:
    """Make the runs of records again, in temporary folders, and compare to the bit.

    Two questions are answered, and it fails when one of the answers is no:

    - record: does the record repeat at the commit that it names? Its run is made in a worktree of
      that commit, by the packages that are installed here.
    - today: does today's code give it? Of a stale record it says why, and in what today's run
      differs.

    All but time, memory and machine is compared: results, predictions, curves. Another processor or
    release of torch may round otherwise.

    examples:
      python -m lab runs verify data/records/table1/small-embedded-tsm-8-s0.json
      python -m lab runs verify data/records/bound/*.json --at record
    """
    options.require_repository()
    from lab import verify

    asked, failed = [at] if at != "both" else ["record", "today"], False
    for path in record:
        try:
            found = records.read(path)
            verify.require_repeatable(found)
        except (ValueError, OSError) as error:
            print(f"{path}: cannot be made again: {error}")
            failed = True
            continue
        here = records.machine(device)
        for key in ("cpu", "torch", "device"):
            if found.machine[key] != here[key]:
                print(f"note: {key} was {found.machine[key]}, here {here[key]}", file=sys.stderr)
        for question in asked:
            if question == "record":
                where, answer = "at its commit", verify.at_its_commit(found, device)
            else:
                where, answer = "by today's code", verify.today(found, options.RECIPES, device)
            print(f"{found.name} {where}: {answer.sentence}")
            print("".join(f"  {line}\n" for line in answer.differences), end="", flush=True)
            failed = failed or not answer.yes
    return int(failed)


def possible(todo: Sequence[Status]) -> tuple[list[Status], list[Status]]:
    """What can be run here, and what cannot for want of real data; ValueError if that is all."""
    real = [one for one in todo if one.run.data == "real"]
    if not real or os.path.exists(os.environ.get("FVLIB_DATA", "")):
        return list(todo), []
    if len(real) == len(todo):
        raise ValueError(
            f"all {len(real)} runs need real data: let FVLIB_DATA name the folder that holds it, "
            "or choose --data embedded"
        )
    return [one for one in todo if one.run.data != "real"], real


def todo_of(found: Sequence[Status], force: bool) -> list[Status]:
    """What is to be run of what was found: not what another process is at."""
    words = {"interrupted", "stale", "missing", *(["done"] if force else [])}
    return [status for status in found if status.word in words]


def line(status: Status) -> str:
    """A status on one line."""
    index = "-" if status.run.index is None else status.run.index
    time = "" if status.word == "done" else left([status], 1)
    return f"{index:>4}  {status.word:11}  {time:>8}  {status.run.name}  {status.detail}".rstrip()


def left(found: Sequence[Status], jobs: int) -> str:
    """Time in words: "3 min", "2.5 h", "3 min + ?" where some are unknown, "?" where all are."""
    seconds, unknown = time_left(found, jobs)
    if unknown == len(found):
        return "?" if found else "."
    short, minutes = f"{seconds:.0f} s", f"{seconds / 60:.0f} min"
    text = short if seconds < 60 else minutes if seconds < 7200 else f"{seconds / 3600:.1f} h"
    return text + " + ?" * bool(unknown)


def run_plainly(
    todo: Sequence[Status], threads: int, limit: float | None, how: Mapping[str, Any]
) -> int:
    """Make the runs, each its record when it is done: 0, or 1 if one failed, which stops no other.

    Args:
        how: others of `lab.experiments.run`.
        limit: minutes, after which it stops between two epochs, says what is left, and gives 75;
            the same call then goes on.
    """
    import torch

    from lab.experiments import run
    from lab.experiments.parts import TimeIsUp, require_time, time_limit

    before, failed = torch.get_num_threads(), False
    torch.set_num_threads(threads)
    try:
        with nullcontext() if limit is None else time_limit(60 * limit):
            for number, status in enumerate(todo):
                start, name = time.perf_counter(), status.run.name
                try:
                    if number > 0:
                        require_time()
                    gc.collect()  # of the network before: the peak of memory is to be its own
                    run(status.run.experiment, **status.run.place, recipes=options.RECIPES, **how)
                    _tell("done", start, name)
                except TimeIsUp as error:
                    said = "; ".join(["time is up", *getattr(error, "__notes__", [])])
                    rest = ", ".join(one.run.name for one in todo[number:])
                    print(f"{said}; left: {rest}", file=sys.stderr)
                    return TIME_IS_UP
                except Busy:
                    _tell("to others", start, name)
                except Exception as error:  # of whatever kind: the others do not depend on it
                    if isinstance(error, (*EXPECTED, records.MissingRecord)):
                        said = [str(error), *getattr(error, "__notes__", [])]
                        print(f"lab: {'; '.join(said)}", file=sys.stderr)
                    else:
                        traceback.print_exc()
                    _tell("FAILED", start, name)
                    failed = True
    finally:
        torch.set_num_threads(before)
    return int(failed)


def _tell(word: str, start: float, name: str) -> None:
    print(f"{word:>10} {time.perf_counter() - start:5.0f} s  {name}", file=sys.stderr)
