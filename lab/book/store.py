"""Refresh what is committed: stored outputs and the navigation of the chapters."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from fvlib.storage import write_file
from lab.book.execute import Job, Outcome, execute, execute_one
from lab.book.notebook import read, write
from lab.book.prose import appendices, chapters, navigation, with_navigation


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
        Job(script, script.with_suffix(".ipynb"))
        for script in [*scripts, *appendices(folder), *solutions]
        if not names or script.name.startswith(tuple(names))
    ]
    if not jobs:
        raise ValueError(f"no notebook in {folder} begins with {' or '.join(names)}")

    def stamp_of(job: Job) -> Path:
        return stamps / job.source.relative_to(folder).with_suffix(".stamp")

    work = partial(store_one, failed=stamps / "failed")
    options = {"workers": workers, "force": force, "inputs": inputs, "progress": progress}
    return execute(jobs, work=work, stamp_of=stamp_of, **options)


def store_one(job: Job, failed: Path) -> Outcome:
    """Execute one chapter on embedded data, and replace its notebook; only `store` calls this."""
    os.environ.pop("FVLIB_DATA", None)
    return execute_one(job, failed=failed)
