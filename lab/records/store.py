"""Records on disk: written whole or not at all, found by name, adopted from elsewhere, listed."""

import hashlib
import json
import os
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from fvlib.storage import Busy, lock, npz_bytes, read_json, write_file
from lab.parameters import completed
from lab.records.identity import differences
from lab.records.record import (
    MAX_JSON_BYTES,
    MAX_NPZ_BYTES,
    MissingRecord,
    Record,
    command,
    name_of,
    plain,
    validate,
)

TOP1_COLUMNS = {
    "top-1 clustered (%)": "results.clustered.top1",
    "top-1 sampled (%)": "results.sampled.top1",
}


def write(
    record: Mapping[str, Any], arrays: Mapping[str, Any] | None, folder: str | os.PathLike
) -> Path:
    """Store a record and its arrays under `folder` and return the path of the JSON.

    The arrays are there before the record is, which names them by their checksum, so that a kill in
    between cannot mix two runs up. ValueError if the record breaks the schema or is larger than
    8 KB, or its arrays larger than 200 KB.
    """
    arrays = {key: np.asarray(value) for key, value in sorted((arrays or {}).items())}
    npz = npz_bytes(**arrays) if arrays else None
    if npz and len(npz) > MAX_NPZ_BYTES:
        sizes = ", ".join(f"{key} {value.dtype} {value.shape}" for key, value in arrays.items())
        raise ValueError(
            f"the arrays take {len(npz)} bytes, at most {MAX_NPZ_BYTES} are allowed: {sizes}"
        )
    checksum = None if npz is None else hashlib.sha256(npz).hexdigest()
    record = plain({**record, "checksum": checksum})
    validate(record, arrays)
    text = json.dumps(record, indent=1, sort_keys=True) + "\n"
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
    _publish(path, text, npz)
    return path


def _publish(path: Path, text: str, npz: bytes | None) -> None:
    """Write the npz, then the JSON that has its checksum."""
    beside = path.with_suffix(".npz")
    if npz is not None:
        write_file(beside, npz)
    write_file(path, text)
    if npz is None:
        beside.unlink(missing_ok=True)


def read(path: str | os.PathLike) -> Record:
    """The record in a JSON file; ValueError naming the file when it is not a well-formed record."""
    path = Path(path)
    entries = read_json(path)
    try:
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
    """One record by its name; MissingRecord, with the command that makes it, if it is not there."""
    path = Path(folder) / f"{name_of(experiment, scale, data, row, seed)}.json"
    if not path.exists():
        raise MissingRecord(
            f"no record {path}; make it with\n    {command(experiment, scale, data, row, seed)}\n"
            "and move it there with\n    python -m lab records adopt"
        )
    return read(path)


def select(
    folder: str | os.PathLike,
    experiment: str | None = None,
    *,
    scale: Any = None,
    data: Any = None,
    row: Any = None,
    seed: Any = None,
    version: Any = None,
    damaged: list[str] | None = None,
) -> list[Record]:
    """All records under `folder` that match, sorted by experiment, scale, data, row and seed.

    Each keyword is one value or a collection of values, as in `select(folder, "table1",
    scale="small", data="real", row=["tsm-8", "tsm-32"])`. The first that cannot be read is a
    ValueError; with a list `damaged` it is left out, and why is put into the list, a line a record.
    """
    # Only files whose names can match are read: a table reads a few of several hundred.
    named = [
        value if isinstance(value, str | int) else "*"
        for value in (experiment, scale, data, row, seed)
    ]
    wanted = {"scale": scale, "source": data, "row": row, "seed": seed, "version": version}
    allowed = {
        key: (value,) if isinstance(value, str | int) else value
        for key, value in wanted.items()
        if value is not None
    }
    found = []
    for path in sorted(Path(folder).glob("{}/{}-{}-{}-s{}.json".format(*named))):
        try:
            record = read(path)
        except (ValueError, OSError) as error:
            if damaged is None:
                raise
            damaged.append(str(error))
            continue
        if all(getattr(record, name) in values for name, values in allowed.items()):
            found.append(record)
    return sorted(found, key=lambda r: (r.experiment, r.scale, r.source, r.row, r.seed))


def why_stale(record: Record, parameters: Mapping[str, Any], version: int) -> list[str]:
    """Each way in which a record differs from a run of today; empty when it is current.

    `parameters` are the resolved ones. One that came later has its default in an older record. The
    commit, the machine and the date make no record stale.
    """
    now = plain({"scale": record.scale, "data": record.source, **parameters})
    then = plain(completed(record.experiment, record.parameters))
    then = {key: value for key, value in then.items() if key in {*now, *record.parameters}}
    reasons = differences("version", record.version, version, "in the record")
    return reasons + differences("parameters", then, now, "in the record")


def why_not(
    folder: str | os.PathLike,
    experiment: str,
    parameters: Mapping[str, Any],
    version: int,
    **place: Any,
) -> str | None:
    """Why a run's record cannot stand for it today: "" if it can, None if there is none.

    place: scale, data, row and seed, as `load` takes them. It can if it is whole and not stale.
    """
    try:
        record = load(folder, experiment, **place)
        _validate_pair(record)
    except MissingRecord:
        return None
    except (ValueError, OSError) as error:
        return str(error)
    return "; ".join(why_stale(record, parameters, version))


def lock_of(folder: str | os.PathLike, name: str) -> Path:
    """The lock of a run, held while it is made and while its record is adopted from the folder."""
    return Path(folder) / "locks" / f"{name}.lock"


def require_records(folder: str | os.PathLike) -> None:
    """ValueError unless the folder exists and has a record in it."""
    if not Path(folder).is_dir():
        raise ValueError(f"there is no folder {folder}; wanted one with records")
    if not any(Path(folder).glob("*/*-s*.json")):
        raise ValueError(f"there is no record in {folder}")


def adopt(
    build_folder: str | os.PathLike, data_folder: str | os.PathLike
) -> tuple[list[Path], list[str]]:
    """Move all records from one folder to another, replacing what they repeat.

    Returns the paths of those that were moved, and the names of those that are just being made.

    Each is read and moved under the lock of its run, so that what a run writes meanwhile is not
    lost; one that is just being made is left for the next call. When this is killed, each record is
    whole in one of the folders, or in both, and the next call ends as this one would have.

    Raises ValueError, when the others are moved, for records that are not well formed or lack their
    arrays.
    """
    build, data = Path(build_folder), Path(data_folder)
    if build.resolve() == data.resolve():
        raise ValueError(f"{build} is both where records come from and where they go")
    moved, busy, broken = [], [], []
    for path in sorted(build.glob("*/*-s*.json")):
        name = f"{path.parent.name}/{path.stem}"
        try:
            with lock(lock_of(build, name)):
                record = read(path)
                _validate_pair(record)
                npz, target = path.with_suffix(".npz"), data / f"{name}.json"
                arrays = npz.read_bytes() if record.checksum else None
                _publish(target, path.read_text("utf-8"), arrays)
                path.unlink()  # first: arrays alone are no record, and no half of one
                npz.unlink(missing_ok=True)
                moved.append(target)
        except Busy:
            busy.append(name)
        except ValueError as error:
            broken.append(str(error))
    if broken:
        raise ValueError("\n".join(broken))
    return moved, busy


def problems(folder: str | os.PathLike) -> list[str]:
    """Everything wrong with the records under a folder, one line each; empty when all is well.

    ValueError for a folder that does not exist or has no record.
    """
    require_records(folder)
    found = []
    for path in sorted(Path(folder).rglob("*")):
        try:
            if path.suffix in (".part", "") or (
                path.suffix == ".npz" and path.with_suffix(".json").exists()
            ):
                continue  # being written, a folder, or seen together with its JSON
            if path.suffix != ".json" or path.parent.parent != Path(folder):
                raise ValueError(f"{path}: not a record, nor the arrays of one")
            _validate_pair(read(path))
        except (ValueError, OSError) as error:
            found.append(str(error))
    return found


def _validate_pair(record: Record) -> None:
    """Check a record that was read against its own arrays; ValueError when they disagree."""
    if record.checksum is None and record.path.with_suffix(".npz").exists():
        raise ValueError(f"{record.path} has no arrays, but an npz of its name lies beside it")
    entries = {key: value for key, value in vars(record).items() if key not in ("path", "arrays")}
    try:
        validate(entries, record.arrays)
    except ValueError as error:
        raise ValueError(f"{record.path}: {error}") from None


def mean_sd(values: Sequence[float], digits: int = 2) -> str:
    """`mean ± sd` (sd of the sample, n-1) as text; only the mean when there is one value."""
    if not values:
        return "–"
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{fmean(values):.{digits}f} ± {stdev(values):.{digits}f}"


def listing(records: Sequence[Record], stale: Container[str] = ()) -> str:
    """One line a record: its name, accuracies in percent, time, commit ("+": changed) and date.

    Args:
        stale: the names of those that are not of today's code, which are marked.
    """
    lines = [_line(["record", *TOP1_COLUMNS, "wall (s)", "commit", "made"])]
    lines.append("|---|" + "--:|" * (len(TOP1_COLUMNS) + 1) + "---|---|")
    for record in records:
        values = [record.value(path) for path in (*TOP1_COLUMNS.values(), "cost.wall_s")]
        numbers = ["–" if value is None else f"{value:.1f}" for value in values]
        commit = (record.code["commit"] or "–")[:7] + ("+" if record.code["dirty"] else "")
        name = record.name + " (stale)" * (record.name in stale)
        lines.append(_line([name, *numbers, commit, record.made[:10]]))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
