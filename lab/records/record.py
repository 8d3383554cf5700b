"""What a record holds, how it is named, and when it is well formed."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fvlib.storage import read_bytes, read_npz
from fvlib.values import checked

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


_HEX = "[0-9a-f]{%d}"
_NUMBER = float | None
# What the entries of a record are; others beside them may be any.
_KINDS: Mapping[str, Any] = {
    **{"schema": Literal[SCHEMA], "experiment": str, "version": int, "row": str, "seed": int},
    **dict.fromkeys(
        ("parameters", "data", "results", "cost", "machine", "code"), Mapping[str, Any]
    ),
    **{"parameters.scale": Literal[SCALES], "parameters.data": str},
    **{"data.name": str, "data.sha256": Mapping[str, Any], "data.counts": Mapping[str, Any]},
    "protocol": Mapping[str, Mapping[str, Any]],
    **dict.fromkeys(
        (f"cost.{key}" for key in ("wall_s", "peak_mem_mb", "params", "macs")), _NUMBER
    ),
    **{"machine.cpu": str, "machine.threads": int, "machine.torch": str, "machine.device": str},
    **{"code.commit": str | None, "code.dirty": bool | None},
    **{"made": str, "checksum": str | None},
}
_WORDS = {
    **dict.fromkeys(("experiment", "parameters.data"), "[a-z0-9_]+"),
    **{"row": "[a-z0-9][a-z0-9_-]*", "code.commit": _HEX % 40, "checksum": _HEX % 64},
}
_LEAST = {
    **{"version": 1, "seed": 0, "machine.threads": 1, "machine.processes": 1},
    **{"results.train_loss": 0, "results.epoch_s": 0, "results.epochs": 0},
}


def validate(record: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> None:
    """Check a record against the schema, and its counts against its arrays when these are given.

    Raises:
        ValueError: with the name of the entry, what it holds and what was wanted.
    """
    json.dumps(record, allow_nan=False)  # ValueError for a number that is not finite
    found = dict(branches(record))
    for path, kind in _KINDS.items():
        _want(path in found, f"the record lacks {path}")
        checked(found[path], kind, path)
    unknown = set(record) - set(KEYS)
    _want(not unknown, f"schema {SCHEMA} does not know the entry {', '.join(sorted(unknown))}")
    words = _WORDS | {path: _HEX % 64 for path in found if path.startswith("data.sha256.")}
    for path, pattern in words.items():
        value = found[path]
        right = value is None or isinstance(value, Mapping) or re.fullmatch(pattern, str(value))
        _want(right, f"{path} is {value!r}, wanted a string like {pattern}")
    least = _LEAST | {path: 0 for path in found if path.startswith(("cost.", "data.counts."))}
    for path in least.keys() & found.keys():
        value = found[path]
        if not (value is None or isinstance(value, Mapping)):
            right = checked(value, float, path) >= least[path]
            _want(right, f"{path} is {value!r}, wanted a number from {least[path]} on")
    _want(record["results"], "results are empty, wanted what came out")
    try:
        made = datetime.fromisoformat(record["made"])
    except ValueError:
        made = None
    _want(made and made.tzinfo, f"made is {record['made']!r}, wanted ISO 8601, UTC")
    _validate_tests(record, arrays or {})


def _validate_tests(record: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
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
    kinds = {"correct": int, "total": int, "top1": float}
    correct, total, top1 = (
        checked(result.get(key), kind, f"results.{name}.{key}") for key, kind in kinds.items()
    )
    right = 0 <= correct <= total > 0
    _want(right, f"results.{name}.correct is {correct!r}, wanted a count up to {total}")
    percent = 100 * correct / total
    close = abs(top1 - percent) <= 0.0051
    _want(close, f"results.{name}.top1 is {top1!r}, wanted 100 correct / total = {percent:.2f}")
    if f"{name}_prediction" in arrays and "target" in arrays:
        prediction, target = arrays[f"{name}_prediction"], arrays["target"]
        right = prediction.shape == target.shape == target.shape[:1]
        right = right and prediction.dtype.kind in "iu" and target.dtype.kind in "iu"
        shapes = ", ".join(f"{array.dtype} {array.shape}" for array in (prediction, target))
        _want(right, f"predictions by {name} and target are {shapes}, wanted a class for each clip")
        counted = f"{(prediction == target).sum()} of {target.size}"
        said = f"{correct} of {total}"
        _want(counted == said, f"results.{name} has {said} correct, its arrays {counted}")


def _want(right: Any, complaint: str) -> None:
    if not right:
        raise ValueError(complaint)


def branches(tree: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Every entry of a tree of mappings, and every mapping, by its dotted path."""
    for key, branch in tree.items():
        yield f"{before}{key}", branch
        if isinstance(branch, Mapping):
            yield from branches(branch, f"{before}{key}.")


def plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record as JSON gives it back: tuples are lists, NumPy and torch scalars plain numbers."""

    def number(value: Any) -> Any:
        if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
            return value.item()
        raise ValueError(f"a record holds plain numbers, words, lists and mappings, not {value!r}")

    return json.loads(json.dumps(record, default=number, allow_nan=False))
