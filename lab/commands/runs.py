"""Making records: those that the plan lacks, and one again to see that it repeats."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lab import book, records
from lab.commands.book import report
from lab.commands.places import BUILD, NOTEBOOKS, RECIPES
from lab.commands.plain import run_plainly
from lab.commands.plan import Choice, left, line, todo_of
from lab.plan import WORDS, Status

NOTEBOOK = NOTEBOOKS / "runs" / "run.py"


def run_command(
    out: Path,
    jobs: int | None,
    threads: int,
    devices: list[str],
    dry_run: bool,
    force: bool,
    deterministic: bool,
    tensorboard: Path | None,
    plain: bool,
    minutes: float | None,
    settings: Sequence[tuple[str, Any]],
    **choice: Any,
) -> int:
    """Make the records that are missing or stale, by executing notebooks/runs/run with papermill.

    Without --scale it is scale small of the plan. What is not in the plan is run too, when --table
    and --scale name it. An interrupted run goes on from its last epoch; one that another process is
    at is left to it. The executed notebooks go to build/runs; `records adopt` then moves the
    records to where the chapters read them.

    Every run computes with --threads threads, however many --jobs there are: so the records are the
    same to the bit. Runs are dealt over --devices, each to the one that is free.

    With --plain they are made one after the other in this process, which takes no Jupyter; --set
    gives other parameters than the recipe file has, and records say so. With --minutes too it stops
    between two epochs, when the next would not end in time, and ends with 75: the same command then
    goes on. A machine that has only some minutes is to keep the output folder between the calls;
    what is to be carried home are the records, not checkpoints/, locks/ and logs/.

    examples:
      python -m lab runs run --table table1 --scale smoke
      python -m lab runs run --table table1 --rows "cumulative-*" --data embedded --jobs 2
      FVLIB_DATA=/data python -m lab runs run --dry-run
      FVLIB_DATA=/data python -m lab runs run --scale paper --devices cuda:0 cuda:1
      FVLIB_DATA=pack.npz python -m lab runs run --table table1 --scale paper --data real \\
          --devices cuda --plain --minutes 9 --set weights=none
    """
    if not choice["scale"] and not choice["indices"]:
        choice["scale"] = "small"
    if plain and (len(devices) > 1 or jobs not in (None, 1)):
        raise ValueError("--plain makes one run after the other: give one device, and --jobs 1")
    if not plain and (settings or minutes is not None):
        raise ValueError("--set and --minutes are for runs in this process: give --plain too")
    if force and minutes is not None:
        raise ValueError(
            "--force begins at the start in every call, so --minutes has no use for it"
        )
    found = Choice(**choice).statuses(out, **dict(settings))
    todo, left_out = possible(todo_of(found, force))
    device, environments = places(devices)
    usual = len(devices) if environments else max(1, (os.cpu_count() or 1) // threads)
    jobs = 1 if plain else jobs or usual
    counts = Counter(status.word for status in found)
    said = ", ".join(f"{counts[word]} {word}" for word in WORDS if counts[word])
    print(f"{len(found)} runs: {said}", file=sys.stderr)
    for status in found:
        if status.word == "running":
            print(f"left to others: {status.run.name}, {status.detail}", file=sys.stderr)
    if left_out:
        print(f"left out: {len(left_out)} on real data; FVLIB_DATA names none", file=sys.stderr)
    if todo:
        time = left(todo, min(jobs, len(todo)))
        print(f"to run: {len(todo)}, about {time} with {jobs} at a time", file=sys.stderr)
    if dry_run:
        print("\n".join(line(status) for status in todo))
        return 0
    options = {"device": device, "force": force, "deterministic": deterministic}
    if plain:
        options |= {"folder": out, "tensorboard": tensorboard, "progress": sys.stderr.isatty()}
        return run_plainly(todo, threads, minutes, options | dict(settings))
    options |= {"folder": str(out.resolve())}
    options |= {"tensorboard": str(tensorboard.resolve()) if tensorboard else ""}
    work = [
        book.Job(
            NOTEBOOK,
            BUILD / "runs" / f"{status.run.name}.ipynb",
            {"table": status.run.experiment, **status.run.place, **options},
        )
        for status in todo
    ]
    options = {"threads": threads, "environments": environments}
    return report(book.execute(work, workers=jobs, force=True, timeout=None, **options))


def verify_command(record: Path, device: str) -> int:
    """Make the run of a record again, in a temporary folder, and compare to the bit.

    All but time, memory and machine is compared: results, predictions, curves. Prints what differs,
    and fails when something does. Another processor or release of torch may round otherwise.

    examples:
      python -m lab runs verify data/records/table1/small-embedded-tsm-8-s0.json
    """
    from lab.plan.repeat import repeat  # late: torch comes with it

    found = records.read(record)
    here = records.machine(device)
    for key in ("cpu", "torch", "device"):
        if found.machine[key] != here[key]:
            print(f"note: {key} was {found.machine[key]}, here {here[key]}", file=sys.stderr)
    differ = repeat(found, RECIPES, device, progress=True)
    print("\n".join(differ) or f"{found.name} repeats to the bit")
    return int(bool(differ))


def possible(todo: Sequence[Status]) -> tuple[list[Status], list[Status]]:
    """What can be run here, and what cannot for want of real data; ValueError if that is all."""
    from fvlib.datasets.sources import real_data

    real = [status for status in todo if status.run.data == "real"]
    if real:
        try:
            real_data()
        except ValueError:
            if len(real) == len(todo):
                raise ValueError(
                    f"all {len(real)} runs need real data: let FVLIB_DATA name the folder that "
                    "holds it, or choose --data embedded"
                ) from None
            return [status for status in todo if status.run.data != "real"], real
    return list(todo), []


def places(devices: Sequence[str]) -> tuple[str, list[Mapping[str, str]]]:
    """The device that each run is told, and the variables by which workers see different GPUs."""
    if len(devices) == 1:
        return devices[0], []
    kinds = [device.partition(":") for device in devices]
    if any(kind != "cuda" or not number.isdecimal() for kind, _, number in kinds):
        raise ValueError(
            f"devices are {' '.join(devices)}; give one, such as cpu or cuda, or several GPUs as "
            "cuda:0 cuda:1"
        )
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = seen.split(",") if seen else None
    numbers = [int(number) for *_, number in kinds]
    if names and max(numbers) >= len(names):
        raise ValueError(f"devices are {' '.join(devices)}, but CUDA_VISIBLE_DEVICES is {seen}")
    return "cuda", [{"CUDA_VISIBLE_DEVICES": names[n] if names else str(n)} for n in numbers]
