"""What a record holds, how it is named, and when it is well formed."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from fvlib.storage import read_bytes, read_npz

SCHEMA = 1
MAX_JSON_BYTES = 8 * 1024
MAX_NPZ_BYTES = 200 * 1024
SCALES = ("smoke", "small", "paper")


class MissingRecord(LookupError):
    """A record that a table or a chapter needs is not there; the message says what makes it."""


@dataclass(frozen=True)
class Record:
    """One run as it was stored; accuracies are in percent, times in seconds, memory in MB."""

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
        content = read_bytes(npz)
        if sha256(content).hexdigest() != self.checksum:
            raise ValueError(f"{npz} does not hold the arrays of {self.path.name}; {remedy}")
        try:
            return read_npz(content)
        except ValueError as error:
            raise ValueError(f"{npz}: {error}; {remedy}") from None

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
    """`<experiment>/<scale>-<data>-<row>-s<seed>`: the name, and the path without its suffix."""
    return f"{experiment}/{scale}-{data}-{row}-s{seed}"


def command(experiment: str, scale: str, data: str, row: str, seed: int) -> str:
    """The command line that makes a record."""
    return (
        f"python -m lab train {experiment} --row {row} --scale {scale} --data {data} --seed {seed}"
    )


# What some parameters are in every run, whatever its experiment: a number nobody can have meant is
# damage, also in records of parameters that are no longer known.
_MEANT = {
    **dict.fromkeys(
        ("epochs", "batch_size", "depth", "width", "train_clips", "test_clips", "clusters"),
        lambda value: _is_count(value, 1),
    ),
    "lr": lambda value: _is_number(value) and value > 0,
    "frames": lambda value: value == "all" or _is_count(value, 1),
}


def validate(record: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> None:
    """Check a record against the schema, and its counts against its arrays when these are given.

    Raises:
        ValueError: with the name of the entry, what it holds and what was wanted.
    """
    missing, unknown = set(KEYS) - set(record), set(record) - set(KEYS)
    _want(not missing, f"the record lacks {', '.join(sorted(missing))}")
    _want(not unknown, f"schema {SCHEMA} does not know the entry {', '.join(sorted(unknown))}")
    for path, value in _leaves(record):
        plain = value is None or isinstance(value, bool) or _is_number(value)
        text = isinstance(value, str) and value.isprintable()
        _want(plain or text, f"{path} is {value!r}, wanted a finite number, a bool, words or null")
    schema = record["schema"]
    _want(_is_count(schema) and schema == SCHEMA, f"schema is {schema!r}, wanted {SCHEMA}")
    for key, pattern in (("experiment", "[a-z0-9_]+"), ("row", "[a-z0-9][a-z0-9_-]*")):
        _want_word(key, record[key], pattern)
    for key, least in (("version", 1), ("seed", 0)):
        right = _is_count(record[key], least) and record[key] < 2**32
        _want(right, f"{key} is {record[key]!r}, wanted an int >= {least}")
    for key in ("parameters", "data", "protocol", "results", "cost", "machine", "code"):
        _want(isinstance(record[key], Mapping), f"{key} is {record[key]!r}, wanted a mapping")
    _want(record["results"], "results are empty, wanted what came out")
    scale = record["parameters"].get("scale")
    _want(scale in SCALES, f"parameters.scale is {scale!r}, wanted one of {', '.join(SCALES)}")
    _want_word("parameters.data", record["parameters"].get("data"), "[a-z0-9_]+")
    for key, right in _MEANT.items():
        if key in record["parameters"]:
            value = record["parameters"][key]
            _want(right(value), f"parameters.{key} is {value!r}, which no run can have had")
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
    for part in ("sha256", "counts"):
        _want(
            isinstance(record["data"][part], Mapping),
            f"data.{part} is {record['data'][part]!r}, wanted a mapping",
        )
    for key, value in record["cost"].items():
        right = value is None or (_is_number(value) and 0 <= value < 1e18)
        _want(right, f"cost.{key} is {value!r}, wanted a number from 0 on")
    for key in {"train_loss", "epoch_s", "epochs"} & set(record["results"]):
        value = record["results"][key]
        right = _is_number(value) and value >= 0
        _want(right, f"results.{key} is {value!r}, wanted a number from 0 on")
    for part, key in (("data", "name"), ("machine", "cpu"), ("machine", "torch")):
        _want_word(f"{part}.{key}", record[part][key], ".+")
    _want_word("machine.device", record["machine"]["device"], ".+")
    for key, value in record["machine"].items():
        if key in ("threads", "processes"):
            _want(_is_count(value, 1), f"machine.{key} is {value!r}, wanted a count from 1")
    commit, dirty = record["code"]["commit"], record["code"]["dirty"]
    if commit is not None:
        _want_word("code.commit", commit, "[0-9a-f]{40}")
    right = dirty is None or isinstance(dirty, bool)
    _want(right, f"code.dirty is {dirty!r}, wanted true, false or null")
    try:
        made = datetime.fromisoformat(record["made"])
    except (TypeError, ValueError):
        made = None
    right = made is not None and made.tzinfo and 2020 <= made.year < 2100
    _want(right, f"made is {record['made']!r}, wanted ISO 8601, UTC")
    if record["checksum"] is not None:
        _want_word("checksum", record["checksum"], "[0-9a-f]{64}")
    for name, settings in record["protocol"].items():
        _want(isinstance(settings, Mapping), f"protocol.{name} is {settings!r}, wanted a mapping")
    arrays = arrays or {}
    measured = {name.removesuffix("_prediction") for name in arrays if name.endswith("_prediction")}
    for name, result in record["results"].items():
        if isinstance(result, Mapping) and {"correct", "total", "top1"} & set(result):
            _validate_accuracy(name, result, record["protocol"], arrays)
            measured.discard(name)
    _want(not measured, f"results do not say how right {', '.join(sorted(measured))} was")
    for name in {"train_loss", "train_top1"} & set(arrays):
        curve = arrays[name]
        right = curve.dtype.kind == "f" and np.isfinite(curve).all()
        _want(right, f"the array {name} holds other values than finite numbers")


def _validate_accuracy(
    name: str, result: Mapping, protocol: Mapping, arrays: Mapping[str, np.ndarray]
) -> None:
    _want(name in protocol, f"protocol does not say what results.{name} was measured with")
    correct, total, top1 = (result.get(key) for key in ("correct", "total", "top1"))
    _want(_is_count(total, 1), f"results.{name}.total is {total!r}, wanted a count")
    right = _is_count(correct) and correct <= total
    _want(right, f"results.{name}.correct is {correct!r}, wanted a count up to {total}")
    percent = 100 * correct / total
    close = _is_number(top1) and abs(top1 - percent) <= 0.0051
    _want(close, f"results.{name}.top1 is {top1!r}, wanted 100 correct / total = {percent:.2f}")
    if f"{name}_prediction" in arrays and "target" in arrays:
        prediction, target = arrays[f"{name}_prediction"], arrays["target"]
        right = prediction.shape == target.shape == target.shape[:1]
        right = right and prediction.dtype.kind in "iu" and target.dtype.kind in "iu"
        shapes = ", ".join(f"{array.dtype} {array.shape}" for array in (prediction, target))
        _want(right, f"predictions by {name} and target are {shapes}, wanted a class for each clip")
        hits = prediction == target
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
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**63


def _is_number(value: Any) -> bool:
    if isinstance(value, float):
        return isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """What is no mapping and no list, with its path; ValueError for keys that are no words."""
    if isinstance(tree, Mapping | list):
        pairs = tree.items() if isinstance(tree, Mapping) else enumerate(tree)
        for key, branch in pairs:
            _want(str(key).isprintable(), f"{path} has the key {key!r}, wanted a word")
            yield from _leaves(branch, f"{path}.{key}".lstrip("."))
    else:
        yield path, tree


def plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record as JSON gives it back: tuples are lists, NumPy and torch scalars plain numbers."""

    def number(value: Any) -> Any:
        if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
            return value.item()
        raise ValueError(f"a record holds plain numbers, words, lists and mappings, not {value!r}")

    return json.loads(json.dumps(record, default=number, allow_nan=False))
