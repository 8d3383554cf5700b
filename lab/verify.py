"""Does a record repeat: at the commit that it names, and by today's code; and is it stale."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lab import records
from lab.parameters import experiment_of, toml
from lab.recipes import parameters_of
from lab.records import Record, identity
from lab.records.identity import environment, run_git

ROOT = Path(__file__).parents[1]
_OF_THE_MACHINE = re.compile(r"(results\.epoch_s|cost\.(wall_s|epoch_s|peak_mem_mb)) is")


@dataclass(frozen=True)
class Answer:
    """Whether a record repeats, in a sentence, and one line for each thing that differs."""

    yes: bool
    sentence: str
    differences: Sequence[str] = ()


# ---- stale ----


def why_stale(record: Record, recipes: Path) -> list[str]:
    """In what the run of a record differs from that of today's recipe file, one line each.

    Empty for a current record, and for those of `make bench`, which have no recipe.
    """
    if record.experiment == "bench":
        return []
    try:
        place = (record.experiment, record.row, record.scale, record.source)
        parameters, number = parameters_of(recipes, *place)
    except ValueError as error:
        return [f"the recipe file has no such run: {error}"]
    return records.why_stale(record, parameters.stated(), number)


def stale(found: Iterable[Record], recipes: Path) -> dict[str, list[str]]:
    """Of those records that are stale, by name, why."""
    reasons = {record.name: why_stale(record, recipes) for record in found}
    return {name: why for name, why in reasons.items() if why}


def staleness(folder: Path, recipes: Path) -> str:
    """A Markdown sentence: how many records are not of today's code, and what that means."""
    found = records.select(folder, damaged=[])
    old = stale(found, recipes)
    if not old:
        return f"All {len(found)} records were made by the arithmetic of today's code."
    one = len(old) == 1
    return (
        f"**{len(old)} of {len(found)} records {'was' if one else 'were'} made by earlier code or "
        f"with earlier settings.** {'It' if one else 'Each'} can be made again at the commit that "
        "it names (`runs verify`); today's code and settings would give other numbers."
    )


# ---- repeating ----


def require_repeatable(record: Record) -> None:
    """Raise ValueError, saying why, for a record whose run cannot be made again here."""
    if record.experiment == "bench" or experiment_of(record.experiment).measured:
        raise ValueError("it measures time and memory, which do not repeat to the bit")
    if (processes := record.machine.get("processes") or 1) > 1:
        raise ValueError(
            f"{processes} processes made it together, whose sums one process adds up in another "
            f"order: make it again with torchrun --nproc-per-node {processes} -m lab train"
        )
    if record.source == "real" and not os.path.exists(data := os.environ.get("FVLIB_DATA", "")):
        named = f"FVLIB_DATA names {data}, which is not there" if data else "FVLIB_DATA is not set"
        raise ValueError(f"it is of real data, and {named}: let it name the folder that holds them")


def today(record: Record, recipes: Path, device: str = "cpu") -> Answer:
    """Whether today's code, by today's recipe file, gives a record again, bit for bit.

    The run has the record's number of threads, since sums in another order differ in the last bit.
    Time and memory are not compared, nor where and when the record was made.
    """
    import torch

    from lab.experiments import run

    why = why_stale(record, recipes)
    if others := [line for line in why if line.startswith("parameters.")]:  # told one by one below
        why = [line for line in why if line not in others] + [f"other parameters: {len(others)}"]
    note = f"it is stale ({'; '.join(why)}), and " if why else ""
    name = {"scale": record.scale, "data": record.source, "row": record.row, "seed": record.seed}
    threads = torch.get_num_threads()
    torch.set_num_threads(record.machine["threads"])
    try:
        with tempfile.TemporaryDirectory() as folder:
            options = {"recipes": recipes, "folder": Path(folder), "device": device}
            path = run(record.experiment, **name, **options)
            return _compared(record, records.read(path), note)
    except ValueError as error:
        return Answer(False, f"{note}today's run cannot be made: {error}")
    finally:
        torch.set_num_threads(threads)


def at_its_commit(record: Record, device: str = "cpu") -> Answer:
    """Whether a record repeats, bit for bit, at the commit that it names.

    The run is made by that commit's own command line, in a worktree of it, with this environment's
    Python and the record's number of threads. The worktree is removed whatever happens.
    """
    commit = record.code["commit"]
    if not re.fullmatch("[0-9a-f]{40}", str(commit)):
        return Answer(False, "it names no commit, so nobody knows the code that made it")
    if record.code["dirty"]:
        return Answer(False, f"it was made by files that differ from its commit, {commit[:7]}")
    if _git("cat-file", "-e", f"{commit}^{{commit}}").returncode:
        return Answer(
            False,
            f"its commit, {commit[:7]}, is not in this clone; `git fetch --unshallow` brings what "
            "a shallow clone lacks",
        )
    with (
        tempfile.TemporaryDirectory(prefix="verify-") as folder,
        _worktree(Path(folder) / "tree", commit) as tree,
    ):
        again, own = None, {}
        for out in (Path(folder) / "as-written", Path(folder) / "with-its-own"):
            said = _train(record, tree, out, own, device)
            path = out / f"{record.name}.json"
            if not path.exists():
                return Answer(False, f"its run there fails: {said}")
            again = records.read(path)
            there = again.parameters
            own = {k: v for k, v in record.parameters.items() if k not in there or there[k] != v}
            if not own:  # else it was made with --set
                break
        return _compared(record, again)


def _compared(record: Record, again: Record, note: str = "") -> Answer:
    differ = differences(record, again)
    if not differ:
        return Answer(True, f"{note}repeats to the bit")
    if any(line.startswith("data.") for line in differ):
        note += "on other data than the record names, "
    if all(line.startswith("parameters.") for line in differ):
        return Answer(False, f"{note}gives the same results, but by other parameters", differ)
    things = "thing differs" if len(differ) == 1 else "things differ"
    return Answer(False, f"{note}does not repeat: {len(differ)} {things}", differ)


def _train(record: Record, tree: Path, out: Path, own: Mapping[str, Any], device: str) -> str:
    """Make a record's run by the command line of a worktree; the last line that it says.

    Args:
        own: parameters in place of those of that commit's recipe file.
    """
    package = "lab" if (tree / "lab" / "__main__.py").exists() else "fvlib"
    command = [sys.executable, "-m", package, "train", record.experiment, "--row", record.row]
    command += ["--scale", record.scale, "--data", record.source, "--seed", str(record.seed)]
    command += ["--out", str(out), "--device", device]
    command += ["--set", *(f"{key}={toml(value)}" for key, value in own.items())] if own else []
    threads = str(record.machine["threads"])
    variables = environment() | {"PYTHONPATH": str(tree)}
    variables |= {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    if "FVLIB_DATA" in variables:
        variables["FVLIB_DATA"] = str(Path(variables["FVLIB_DATA"]).absolute())
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    running = subprocess.Popen(command, cwd=tree, env=variables, **pipes)
    try:
        said = running.communicate()[1].decode(errors="replace").split("\n")
    finally:  # whatever interrupts this
        running.kill()
        running.wait()
        running.stderr.close()
    return next((line.strip() for line in reversed(said) if line.strip()), "it says nothing")


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return run_git(ROOT, *arguments)


@contextmanager
def _worktree(tree: Path, commit: str) -> Iterator[Path]:
    made = _git("worktree", "add", "--detach", "--quiet", str(tree), commit)
    if made.returncode:
        raise ValueError(f"git makes no worktree of {commit[:7]}: {made.stderr.decode().strip()}")
    try:
        yield tree
    finally:
        _git("worktree", "remove", "--force", str(tree))


# ---- comparing ----


def differences(record: Record, again: Record) -> list[str]:
    """Where two records of a run differ, other than in time, memory and machine; one line each."""
    found = records.why_stale(record, again.parameters, record.version) + [
        line
        for part in ("cost", "data", "protocol", "results")
        for line in identity.differences(
            part, getattr(record, part), getattr(again, part), "in the record", "again"
        )
        if not _OF_THE_MACHINE.match(line)
    ]
    for key in sorted({*record.arrays, *again.arrays}):
        one, other = record.arrays.get(key), again.arrays.get(key)
        if one is None or other is None:
            found.append(f"array {key} is only in {'the record' if other is None else 'the new'}")
        elif one.dtype != other.dtype or one.shape != other.shape:
            found.append(
                f"array {key} is {one.dtype} {one.shape} in the record, "
                f"{other.dtype} {other.shape} again"
            )
        elif one.tobytes() != other.tobytes():
            found.append(_how_far(key, one, other))
    return found


def _how_far(key: str, one: np.ndarray, other: np.ndarray) -> str:
    differ = int((one != other).sum())
    text = f"array {key}: {differ} of {one.size} values differ"
    if np.issubdtype(one.dtype, np.number):
        text += f", by up to {np.abs(one.astype(float) - other.astype(float)).max():.3g}"
    return text
