"""What a record holds, how it is named, and when it is well formed."""

import hashlib
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

SCHEMA = 1
SCALES = ("smoke", "small", "paper")


class MissingRecord(LookupError):
    """A record that a table or a chapter needs is not there; the message says what makes it.

    Explained in chapter 05_more_frames.
    """


@dataclass(frozen=True)
class Record:
    """One run as it was stored; accuracies are in percent, times in seconds, memory in MB.

    Explained in chapter 05_more_frames.
    """

    path: Path
    schema: int
    experiment: str
    version: int  # raised by hand when the experiment's code changes what it computes
    row: str
    seed: int
    parameters: dict[str, Any]  # resolved: scale, data and all else that decides the result
    data: dict[str, Any]
    protocol: dict[str, Any]
    results: dict[str, Any]
    cost: dict[str, Any]
    machine: dict[str, Any]
    code: dict[str, Any]
    made: str
    checksum: str | None  # sha256 of the npz beside it; None when the run has no arrays

    @property
    def name(self) -> str:
        return name_of(self.experiment, self.scale, self.source, self.row, self.seed)

    @property
    def scale(self) -> str:
        return self.parameters["scale"]

    @property
    def source(self) -> str:
        """The word for the data in the name, "embedded" or "real"; `data["name"]` says more."""
        return self.parameters["data"]

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """The run's arrays by name, read when first asked for; ValueError if they are not its."""
        if self.checksum is None:
            return {}
        npz = self.path.with_suffix(".npz")
        remedy = f"make the run again: {self.command}"
        if not npz.exists():
            raise ValueError(f"{npz} is missing, but {self.path.name} has arrays; {remedy}")
        content = npz.read_bytes()
        if hashlib.sha256(content).hexdigest() != self.checksum:
            raise ValueError(f"{npz} does not hold the arrays of {self.path.name}; {remedy}")
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}

    @property
    def command(self) -> str:
        return command(self.experiment, self.scale, self.source, self.row, self.seed)

    def value(self, path: str) -> Any:
        """The value at a dotted path such as "cost.wall_s"; None where the record has none."""
        first, *rest = path.split(".")
        found = getattr(self, first)
        for key in rest:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found


KEYS = tuple(field.name for field in fields(Record) if field.name != "path")


def name_of(experiment: str, scale: str, data: str, row: str, seed: int) -> str:
    """`<experiment>/<scale>-<data>-<row>-s<seed>`: the name, and the path without its suffix.

    Explained in chapter 05_more_frames.
    """
    return f"{experiment}/{scale}-{data}-{row}-s{seed}"


def command(experiment: str, scale: str, data: str, row: str, seed: int) -> str:
    """The command line that makes a record. Explained in chapter 05_more_frames."""
    return (
        f"python -m lab train {experiment} --row {row} --scale {scale} --data {data} --seed {seed}"
    )


def validate(record: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> None:
    """Check a record against the schema, and its counts against its arrays when these are given.

    Raises ValueError with the name of the entry, what it holds and what was wanted.

    Explained in chapter 05_more_frames.
    """
    missing, unknown = set(KEYS) - set(record), set(record) - set(KEYS)
    _want(not missing, f"the record lacks {', '.join(sorted(missing))}")
    _want(not unknown, f"schema {SCHEMA} does not know the entry {', '.join(sorted(unknown))}")
    _want(record["schema"] == SCHEMA, f"schema is {record['schema']!r}, wanted {SCHEMA}")
    for key, pattern in (("experiment", "[a-z0-9_]+"), ("row", "[a-z0-9][a-z0-9_-]*")):
        _want_word(key, record[key], pattern)
    for key, least in (("version", 1), ("seed", 0)):
        _want(_is_count(record[key], least), f"{key} is {record[key]!r}, wanted an int >= {least}")
    for key in ("parameters", "data", "protocol", "results", "cost", "machine", "code"):
        _want(isinstance(record[key], Mapping), f"{key} is {record[key]!r}, wanted a mapping")
    scale = record["parameters"].get("scale")
    _want(scale in SCALES, f"parameters.scale is {scale!r}, wanted one of {', '.join(SCALES)}")
    _want_word("parameters.data", record["parameters"].get("data"), "[a-z0-9_]+")
    for part, keys in (
        ("data", ("name", "sha256", "counts")),
        ("cost", ("wall_s", "peak_mem_mb", "params", "macs")),
        ("machine", ("cpu", "threads", "torch", "device")),
        ("code", ("commit", "dirty")),
    ):
        lacks = [key for key in keys if key not in record[part]]
        _want(not lacks, f"{part} lacks {', '.join(lacks)}")
    for path, value in _leaves(record["data"]["sha256"], "data.sha256"):
        _want_word(path, value, "[0-9a-f]{64}")
    for path, value in _leaves(record["data"]["counts"], "data.counts"):
        _want(_is_count(value), f"{path} is {value!r}, wanted a count")
    for key, value in record["cost"].items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        _want(value is None or (number and value >= 0), f"cost.{key} is {value!r}, wanted >= 0")
    try:
        made = datetime.fromisoformat(record["made"])
    except (TypeError, ValueError):
        made = None
    _want(made is not None and made.tzinfo, f"made is {record['made']!r}, wanted ISO 8601, UTC")
    if record["checksum"] is not None:
        _want_word("checksum", record["checksum"], "[0-9a-f]{64}")
    for name, result in record["results"].items():
        if isinstance(result, Mapping) and "correct" in result:
            _validate_accuracy(name, result, record["protocol"], arrays or {})


def _validate_accuracy(
    name: str, result: Mapping, protocol: Mapping, arrays: Mapping[str, np.ndarray]
) -> None:
    _want(name in protocol, f"protocol does not say what results.{name} was measured with")
    correct, total, top1 = (result.get(key) for key in ("correct", "total", "top1"))
    _want(_is_count(total, 1), f"results.{name}.total is {total!r}, wanted a count")
    right = _is_count(correct) and correct <= total
    _want(right, f"results.{name}.correct is {correct!r}, wanted a count up to {total}")
    percent = 100 * correct / total
    close = isinstance(top1, int | float) and abs(top1 - percent) <= 0.0051
    _want(close, f"results.{name}.top1 is {top1!r}, wanted 100 correct / total = {percent:.2f}")
    if f"{name}_prediction" in arrays and "target" in arrays:
        hits = np.asarray(arrays[f"{name}_prediction"]) == np.asarray(arrays["target"])
        counted = (int(hits.sum()), hits.size)
        _want(
            counted == (correct, total),
            f"results.{name} has {correct} of {total} correct, its arrays {counted[0]} of "
            f"{counted[1]}",
        )


def _want(right: Any, complaint: str) -> None:
    if not right:
        raise ValueError(complaint)


def _want_word(path: str, value: Any, pattern: str) -> None:
    right = isinstance(value, str) and re.fullmatch(pattern, value)
    _want(right, f"{path} is {value!r}, wanted a string like {pattern}")


def _is_count(value: Any, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _leaves(tree: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Mapping):
        for key, branch in tree.items():
            yield from _leaves(branch, f"{path}.{key}")
    else:
        yield path, tree
