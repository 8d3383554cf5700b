"""The runs of the plan as an array of jobs of a scheduler, by submitit."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from typer import Option

from lab.commands.options import (
    BUILD,
    NEW,
    PLAN,
    RECIPES,
    Choice,
    Curves,
    Device,
    Exact,
    Force,
    Jobs,
    Out,
    Threads,
    choosing,
    named,
)
from lab.commands.runs import possible, runs_app, todo_of
from lab.plan import read_plan

FOLDER = BUILD / "submitit"  # where submitit keeps its jobs and what they print
HOURS = 24  # that a job gets unless --set timeout_min says otherwise


@dataclass(frozen=True)
class PlannedRun:
    """What a job of the array does: the run with this index in the plan, in so many threads."""

    out: Path
    threads: int
    options: Mapping[str, Any]  # others of lab.experiments.run

    def __call__(self, index: int, name: str) -> str:
        """Make the run and return the path of its record.

        Raises ValueError if the plan was changed since, and has another run at this index.
        """
        import torch

        from lab.experiments import run

        planned = read_plan(PLAN, RECIPES)[index]
        if planned.name != name:
            raise ValueError(
                f"run {index} of {PLAN} is {planned.name} now, but was {name} when it was submitted"
                "; submit it again"
            )
        torch.set_num_threads(self.threads)
        places = {"recipes": RECIPES, "folder": self.out}
        return str(run(planned.experiment, **planned.place, **places, **self.options))

    def checkpoint(self, index: int, name: str) -> Any:
        """What submitit is to do when it stops a job before its time: the same again, which goes on
        from the last epoch.
        """
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, index, name)


def setting(text: str) -> tuple[str, int | str]:
    """A parameter of submitit and its value: a number where it is one, as in "gpus_per_node=1"."""
    name, value = named(text)
    return name, int(value) if value.isdecimal() else value


@choosing(runs_app)
def submit(
    choice: Choice,
    out: Out = NEW,
    jobs: Jobs = None,
    threads: Threads = 1,
    device: Device = "cpu",
    cluster: Literal["auto", "slurm", "local", "debug"] = "auto",
    settings: Annotated[
        list[Any],
        Option("--set", metavar="NAME=VALUE...", parser=setting, help="Of submitit."),
    ] = (),
    wait: Annotated[bool, Option("--wait", help="Until all jobs are done.")] = False,
    force: Force = False,
    deterministic: Exact = False,
    tensorboard: Curves = None,
) -> int:
    """Hand the planned runs that are missing or stale to Slurm, one array, by submitit.

    Each job makes the run with its index in the plan, without Jupyter; when it is stopped it is
    submitted again and goes on from its last epoch. --jobs is how many may run at once. --set gives
    submitit's own parameters. What jobs print goes to build/submitit. --cluster local starts
    processes here in place of jobs, debug makes the runs in this one. submitit is an extra:
    pip install -e ".[slurm]".

    examples:
      python -m lab runs submit --scale paper --device cuda --jobs 8 \\
          --set gpus_per_node=1 slurm_partition=gpu timeout_min=600
      python -m lab runs submit --index 12 13 --cluster local --wait
    """
    import submitit

    found = choice.statuses(out)
    todo, _ = possible(todo_of(found, force))
    if others := [status.run.name for status in todo if status.run.index is None]:
        raise ValueError(f"{', '.join(others)} is not in {PLAN}, so it has no index; add it there")
    jobs = jobs or max(1, (os.cpu_count() or 1) // threads)
    if cluster == "local" and len(todo) > jobs:
        raise ValueError(
            f"submitit would start all {len(todo)} runs at once on this machine, more than --jobs "
            f"({jobs}); choose fewer, or use `runs run`, which makes so many at a time"
        )
    if not todo:
        print("nothing to submit", file=sys.stderr)
        return 0
    executor = submitit.AutoExecutor(FOLDER, cluster=None if cluster == "auto" else cluster)
    executor.update_parameters(
        **{"timeout_min": 60 * HOURS, "cpus_per_task": threads, "slurm_array_parallelism": jobs}
        | dict(settings)
    )
    options = {"device": device, "force": force, "deterministic": deterministic}
    options["tensorboard"] = tensorboard and tensorboard.resolve()
    work = PlannedRun(out.resolve(), threads, options)
    names = [status.run.name for status in todo]
    submitted = executor.map_array(work, [status.run.index for status in todo], names)
    for job, name in zip(submitted, names, strict=True):
        print(f"{job.job_id}  {name}")
    if not (wait or cluster == "debug"):
        return 0
    failed = 0
    for job, name in zip(submitted, names, strict=True):
        try:
            job.result()
        except Exception as error:  # whatever ends a job is told, and the others are waited for
            print(f"{name} failed: {error}", file=sys.stderr)
            failed += 1
    return int(failed > 0)
