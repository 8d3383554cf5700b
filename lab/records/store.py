"""Records on disk: written whole or not at all, found by name, adopted from a build folder."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lab.records.files import npz_bytes, plain, publish
from lab.records.record import MissingRecord, Record, command, name_of, validate

MAX_JSON_BYTES = 8 * 1024
MAX_NPZ_BYTES = 200 * 1024


def write(
    record: Mapping[str, Any], arrays: Mapping[str, Any] | None, folder: str | os.PathLike
) -> Path:
    """Store a record and its arrays under `folder` and return the path of the JSON.

    Both files are complete before either gets its name, and the arrays get theirs first; when
    anything fails, what was there before is still there. ValueError if the record breaks the schema
    or is larger than 8 KB, or its arrays larger than 200 KB.

    Explained in chapter 05_more_frames.
    """
    arrays = {key: np.asarray(value) for key, value in sorted((arrays or {}).items())}
    npz = npz_bytes(arrays) if arrays else None
    if npz and len(npz) > MAX_NPZ_BYTES:
        sizes = ", ".join(f"{key} {value.dtype} {value.shape}" for key, value in arrays.items())
        raise ValueError(
            f"the arrays take {len(npz)} bytes, at most {MAX_NPZ_BYTES} are allowed: {sizes}"
        )
    checksum = None if npz is None else hashlib.sha256(npz).hexdigest()
    record = plain({**record, "checksum": checksum})
    validate(record, arrays)
    text = (json.dumps(record, indent=1, sort_keys=True) + "\n").encode()
    if len(text) > MAX_JSON_BYTES:
        raise ValueError(
            f"the record has {len(text)} bytes, at most {MAX_JSON_BYTES} are allowed: "
            "put lists into the arrays"
        )
    parameters = record["parameters"]
    name = name_of(
        record["experiment"], parameters["scale"], parameters["data"], record["row"], record["seed"]
    )
    path = Path(folder) / f"{name}.json"
    publish(path, text, npz)
    return path


def read(path: str | os.PathLike) -> Record:
    """The record in a JSON file; ValueError naming the file when it is not a well-formed record.

    Explained in chapter 05_more_frames.
    """
    path = Path(path)
    try:
        entries = json.loads(path.read_text())
        if not isinstance(entries, dict):
            raise ValueError("wanted one JSON object")
        validate(entries)
        record = Record(path=path, **entries)
        if path.parent.name + "/" + path.stem != record.name:
            raise ValueError(f"the record belongs into {record.name}.json")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return record


def load(
    folder: str | os.PathLike, experiment: str, *, scale: str, data: str, row: str, seed: int
) -> Record:
    """One record by its name; MissingRecord, with the command that makes it, if it is not there.

    Explained in chapter 05_more_frames.
    """
    path = Path(folder) / f"{name_of(experiment, scale, data, row, seed)}.json"
    if not path.exists():
        raise MissingRecord(
            f"no record {path}; make it with\n    {command(experiment, scale, data, row, seed)}\n"
            "and move it there with\n    python -m lab records adopt"
        )
    return read(path)


def select(folder: str | os.PathLike, experiment: str | None = None, **wanted: Any) -> list[Record]:
    """All records under `folder` that match, sorted by experiment, scale, data, row and seed.

    `wanted` may name scale, data, row, seed and version; each is one value or a collection of
    values, as in `select(folder, "table1", scale="small", data="real", row=["tsm-8", "tsm-32"])`.

    Explained in chapter 05_more_frames.
    """
    attributes = {"scale": "scale", "data": "source", "row": "row", "seed": "seed"}
    attributes |= {"version": "version"}
    if unknown := set(wanted) - set(attributes):
        raise ValueError(f"cannot select by {sorted(unknown)}, only by {sorted(attributes)}")
    allowed = {
        attributes[key]: value if isinstance(value, list | tuple | set | range) else (value,)
        for key, value in wanted.items()
    }
    # Only files whose names can match are read: a table reads a few of several hundred.
    single = {key: value for key, value in wanted.items() if isinstance(value, str | int)}
    parts = dict.fromkeys(("scale", "data", "row", "seed"), "*") | single
    pattern = f"{experiment or '*'}/" + "{scale}-{data}-{row}-s{seed}.json".format(**parts)
    found = [read(path) for path in Path(folder).glob(pattern)]
    found = [
        record
        for record in found
        if all(getattr(record, name) in values for name, values in allowed.items())
    ]
    return sorted(found, key=lambda r: (r.experiment, r.scale, r.source, r.row, r.seed))


def why_stale(record: Record, parameters: Mapping[str, Any], version: int) -> list[str]:
    """Each way in which a record differs from a run of today; empty when it is current.

    `parameters` are the resolved ones. The commit, the machine and the date make no record stale.

    Explained in chapter 05_more_frames.
    """
    now = plain({"scale": record.scale, "data": record.source, **parameters})
    reasons = []
    if record.version != version:
        reasons.append(f"version is {record.version} in the record, {version} now")
    for key in sorted(set(now) | set(record.parameters)):
        then, today = record.parameters.get(key, "absent"), now.get(key, "absent")
        if then != today:
            reasons.append(f"parameters.{key} is {then!r} in the record, {today!r} now")
    return reasons


def is_current(
    folder: str | os.PathLike,
    experiment: str,
    *,
    scale: str,
    data: str,
    row: str,
    seed: int,
    parameters: Mapping[str, Any],
    version: int,
) -> bool:
    """Whether the run is recorded already, whole and not stale: if so it need not be run again.

    Explained in chapter 05_more_frames.
    """
    try:
        record = load(folder, experiment, scale=scale, data=data, row=row, seed=seed)
        _validate_pair(record)
    except (MissingRecord, ValueError):
        return False
    return not why_stale(record, parameters, version)


def adopt(build_folder: str | os.PathLike, data_folder: str | os.PathLike) -> list[Path]:
    """Move all records from one folder to another, replacing what they repeat; return new paths.

    Every record is checked before the first one is moved: ValueError, and nothing moved, if one is
    not well formed or lacks its arrays.

    Explained in chapter 05_more_frames.
    """
    found = select(build_folder)
    for record in found:
        _validate_pair(record)
    moved = []
    for record in found:
        npz = record.path.with_suffix(".npz")
        target = Path(data_folder) / f"{record.name}.json"
        arrays = npz.read_bytes() if record.checksum else None
        publish(target, record.path.read_bytes(), arrays)
        record.path.unlink()
        npz.unlink(missing_ok=True)
        moved.append(target)
    return moved


def check(folder: str | os.PathLike) -> list[str]:
    """Everything wrong with the records under a folder, one line each; empty when all is well.

    Explained in chapter 05_more_frames.
    """
    problems = []
    for path in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
        try:
            if path.suffix == ".npz" and path.with_suffix(".json").exists():
                continue  # seen together with its JSON
            if path.suffix != ".json" or path.parent.parent != Path(folder):
                raise ValueError(f"{path}: not a record, nor the arrays of one")
            for file, limit in ((path, MAX_JSON_BYTES), (path.with_suffix(".npz"), MAX_NPZ_BYTES)):
                if file.exists() and file.stat().st_size > limit:
                    raise ValueError(f"{file}: more than {limit} bytes")
            _validate_pair(read(path))
        except ValueError as error:
            problems.append(str(error))
    return problems


def _validate_pair(record: Record) -> None:
    """Check a record that was read against its own arrays; ValueError when they disagree."""
    if record.checksum is None and record.path.with_suffix(".npz").exists():
        raise ValueError(f"{record.path} has no arrays, but an npz of its name lies beside it")
    entries = {key: value for key, value in vars(record).items() if key not in ("path", "arrays")}
    try:
        validate(entries, record.arrays)
    except ValueError as error:
        raise ValueError(f"{record.path}: {error}") from None
