"""Does a run repeat: the same record again, bit for bit."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lab import records
from lab.experiments import run
from lab.parameters import experiment_of
from lab.recipes import parameters_of
from lab.records import Record

_OF_THE_MACHINE = re.compile(r"results\.epoch_s|cost\.(wall_s|epoch_s|peak_mem_mb)")


def repeat(record: Record, recipes: Path, device: str = "cpu", progress: bool = False) -> list[str]:
    """Make the run of a record again and return what differs, one line each; empty if nothing does.

    With the record's number of threads, since sums in another order differ in the last bit. Time
    and memory are not compared, nor where and when the record was made.

    Raises ValueError for a stale record, for one of an unknown experiment, and for one whose
    results are measurements of time.
    Explained in chapter 00_start_here.
    """
    if experiment_of(record.experiment).measured:
        raise ValueError(f"{record.name} measures time and memory, which do not repeat to the bit")
    name = {"scale": record.scale, "data": record.source, "row": record.row, "seed": record.seed}
    parameters, version = parameters_of(
        recipes, record.experiment, record.row, record.scale, record.source
    )
    if reasons := records.why_stale(record, parameters.stated(), version):
        raise ValueError(
            f"{record.name} is stale, so today's run is another one: {'; '.join(reasons)}"
        )
    threads = torch.get_num_threads()
    torch.set_num_threads(record.machine["threads"])
    try:
        with tempfile.TemporaryDirectory() as folder:
            places = {"recipes": recipes, "folder": Path(folder)}
            options = {"device": device, "progress": progress}
            again = records.read(run(record.experiment, **name, **places, **options))
            return differences(record, again)
    finally:
        torch.set_num_threads(threads)


def differences(record: Record, again: Record) -> list[str]:
    """Where two records of a run differ, other than in time, memory and machine; one line each.

    Explained in chapter 00_start_here.
    """
    parts = ("parameters", "data", "protocol", "results", "cost")
    here = dict(_leaves({part: getattr(record, part) for part in parts}))
    there = dict(_leaves({part: getattr(again, part) for part in parts}))
    found = [
        f"{key} is {here.get(key, 'absent')!r} in the record, {there.get(key, 'absent')!r} again"
        for key in sorted({*here, *there})
        if here.get(key, "absent") != there.get(key, "absent")
        and not _OF_THE_MACHINE.fullmatch(key)
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


def _leaves(entry: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in entry.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
