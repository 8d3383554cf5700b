"""Execute notebooks with papermill, in parallel and resumable, and store what is committed."""

import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fvlib.processes import spread
from fvlib.storage import Busy, write_file
from lab.book.notebook import (
    METADATA,
    drop_what_does_not_last,
    read,
    require_all_executed,
    tidy,
    write,
)
from lab.book.prose import appendices, chapters, navigation, with_navigation

KERNEL_OPTIONS = ["--Application.log_level=40"]  # ipykernel warns about TCP on every start
CELL_TIMEOUT = 600  # seconds; a chapter takes at most 60 in all


@dataclass(frozen=True)
class Job:
    """One notebook to execute: a percent script or a notebook, where the result goes, and the
    values that replace those of its `parameters` cell.

    `stamp` is the file that remembers what it was made of, and `failed` the folder that keeps a
    notebook that fails: both beside the output if not given.
    """

    source: Path
    output: Path
    parameters: Mapping[str, Any] = field(default_factory=dict)
    stamp: Path | None = None
    failed: Path | None = None

    def __post_init__(self):
        source, output = self.source.resolve(), self.output.resolve()
        stamp = self.stamp or output.with_name(f".{output.stem}.stamp")
        failed = self.failed or output.with_name("failed")
        vars(self).update(source=source, output=output, stamp=stamp, failed=failed)


@dataclass(frozen=True)
class Outcome:
    """What became of a job: `status` is "done", "current" (nothing to do), "left" (to another
    process, which is at the same work) or "failed"; `message` holds the failing cell.
    """

    job: Job
    status: str
    seconds: float = 0.0
    message: str = ""


def execute(
    jobs: Iterable[Job],
    *,
    workers: int | None = None,
    force: bool = False,
    inputs: Sequence[Path] = (),
    timeout: int | None = CELL_TIMEOUT,
    progress: bool = True,
    threads: int = 1,
    embedded: bool = False,
) -> list[Outcome]:
    """Execute notebooks in their own folder, `workers` at a time, and keep the results.

    A job is up to date, and not run again unless `force`, when its output is what the last run
    wrote and neither the source, the parameters nor the content of `inputs` (files or folders:
    the library, the data) has changed since. A failing notebook is kept in `failed/` beside its
    output, the others go on. `timeout` is in seconds a cell, None for no limit. Outputs carry no
    times. Every kernel computes with so many `threads`, however many workers there are, since sums
    in another order differ in their last bits. `embedded`: without `FVLIB_DATA`.

    However it ends, the processes and the kernels that they have started end with it.
    """
    from tqdm import tqdm

    jobs = list(jobs)
    current = [job for job in jobs if not force and is_current(job, inputs)]
    todo = [job for job in jobs if job not in current]
    outcomes = [Outcome(job, "current") for job in current]
    workers = workers or max(1, (os.cpu_count() or 1) // threads)
    # Kernels inherit these: so many threads, and this environment's kernel, not the user's.
    usual = {"OMP_NUM_THREADS": str(threads), "JUPYTER_PREFER_ENV_PATH": "1"}
    work = partial(execute_one, timeout=timeout, embedded=embedded)
    bar = tqdm(total=len(todo), unit="notebook", disable=not (progress and todo), file=sys.stderr)
    with bar, closing(spread(work, todo, workers, environment=usual)) as found:
        for job, outcome in found:
            if outcome is None:
                message = f"{job.source.name}: the process that ran it was killed"
                outcome = Outcome(job, "failed", message=message)
            if outcome.status == "done":
                write_file(job.stamp, _state(job, inputs))
            bar.set_description(job.output.stem)
            bar.update()
            if outcome.message:
                bar.write(f"\n{outcome.message}\n", file=sys.stderr)
            outcomes.append(outcome)
    return sorted(outcomes, key=lambda outcome: jobs.index(outcome.job))


def is_current(job: Job, inputs: Sequence[Path]) -> bool:
    """Whether neither the output nor anything it came from has changed since it was made."""
    there = job.output.exists() and job.stamp.exists()
    return there and job.stamp.read_text("utf-8") == _state(job, inputs)


def fingerprint(paths: Iterable[Path], parameters: Mapping[str, Any] | None = None) -> str:
    """sha256 of the parameters and of every file's name and content, folders searched through."""
    digest = hashlib.sha256(json.dumps(dict(parameters or {}), sort_keys=True).encode())
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            name = file.relative_to(path.parent)
            if file.is_file() and not {"__pycache__", "cache"} & set(name.parts):
                digest.update(str(name).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def execute_one(job: Job, timeout: int | None, embedded: bool) -> Outcome:
    """Execute one notebook with papermill, here; only `execute` should call this.

    Progress bars and warnings are not kept, nor what cells tagged `remove-cell` show: a widget
    lives in a kernel.
    """
    import papermill

    if embedded:
        os.environ.pop("FVLIB_DATA", None)
    kept = job.failed / job.output.name
    kept.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    try:
        notebook = papermill.execute_notebook(
            read(job.source),
            kept,
            dict(job.parameters),
            cwd=job.source.parent,
            progress_bar=False,
            execution_timeout=timeout,
            coalesce_streams=True,
            extra_arguments=KERNEL_OPTIONS,
        )
        require_all_executed(notebook)
    except Exception as error:  # whatever a notebook can raise is the notebook's failure
        if getattr(error, "ename", "") == Busy.__name__:
            kept.unlink()
            return Outcome(job, "left", time.monotonic() - start)
        message = f"{describe_failure(job.source, error)}\nkept: {os.path.relpath(kept)}"
        return Outcome(job, "failed", time.monotonic() - start, message)
    tidy(notebook)
    said = drop_what_does_not_last(notebook)
    notebook.metadata = METADATA
    write(notebook, job.output)
    kept.unlink()
    message = f"{job.source.name}: not stored, from stderr: {said}" if "Warning" in said else ""
    return Outcome(job, "done", time.monotonic() - start, message)


def describe_failure(source: Path, error: Exception) -> str:
    """The failing cell and what it raised, in plain text."""
    if not hasattr(error, "ename"):  # a timeout, a dead kernel: the notebook's words are all
        return f"{source.name} failed: {type(error).__name__}: {error}".rstrip()
    cell = getattr(error, "source", "")
    if not cell and (found := re.search(r"-{10,}\n(.*?)\n-{10,}", str(error), re.DOTALL)):
        cell = found.group(1)  # nbclient puts the cell into the text of its error
    indented = "\n".join(f"    {line}" for line in cell.splitlines())
    return f"{source.name} failed in this cell:\n\n{indented}\n\n{error.ename}: {error.evalue}"


def _state(job: Job, inputs: Sequence[Path]) -> str:
    return fingerprint([job.source, *inputs, job.output], job.parameters)


def store(
    folder: Path,
    stamps: Path,
    *,
    names: Sequence[str] = (),
    workers: int | None = None,
    force: bool = False,
    inputs: Sequence[Path] = (),
    progress: bool = True,
) -> list[Outcome]:
    """Make every `.ipynb` below `folder` from its `.py`, executed; the direction is never another.

    Chapters, `appendix/` and `solutions/` are executed in their own folder with one thread and
    without `FVLIB_DATA`, and stored without times, without stderr, and without what cells tagged
    `remove-cell` show: a widget lives in a kernel. Chapters get their navigation. Notebooks in
    `runs/` are stored without outputs: what they give is a record. `names` chooses by the
    beginning of the file's name. What has not changed since the last `store` (script, notebook,
    content of `inputs`) is left alone unless `force`; `stamps` is the folder that remembers it,
    and keeps failed notebooks. A notebook that fails is not replaced.
    """
    folder, stamps = folder.resolve(), stamps.resolve()
    scripts = chapters(folder)
    for script in scripts:
        old = script.read_text(encoding="utf-8")
        new = with_navigation(old, navigation(scripts, script))
        if new != old:
            write_file(script, new)
    for run in sorted((folder / "runs").glob("*.py")):
        write(read(run), run.with_suffix(".ipynb"))
    solutions = sorted((folder / "solutions").glob("[0-9]*.py"))
    jobs = [
        Job(
            script,
            script.with_suffix(".ipynb"),
            stamp=stamps / script.relative_to(folder).with_suffix(".stamp"),
            failed=stamps / "failed",
        )
        for script in [*scripts, *appendices(folder), *solutions]
        if not names or script.name.startswith(tuple(names))
    ]
    if not jobs:
        raise ValueError(f"no notebook in {folder} begins with {' or '.join(names)}")

    options = {"workers": workers, "force": force, "inputs": inputs, "progress": progress}
    return execute(jobs, embedded=True, **options)
