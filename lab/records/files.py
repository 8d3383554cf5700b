"""Bytes on disk: two files that appear together or not at all, and what goes into them."""

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def publish(path: Path, text: bytes, npz: bytes | None) -> None:
    """Give the JSON and its npz their names, or leave both as they were."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".npz")
    before = beside.read_bytes() if beside.exists() else None
    staged: list[str] = []
    try:
        json_file = _stage(path, text, staged)
        if npz is not None:
            os.replace(_stage(beside, npz, staged), beside)
        try:
            os.replace(json_file, path)
        except BaseException:
            # The old JSON stays, so its arrays have to come back.
            if before is not None:
                os.replace(_stage(beside, before, staged), beside)
            else:
                beside.unlink(missing_ok=True)
            raise
        if npz is None:
            beside.unlink(missing_ok=True)
    finally:
        for leftover in staged:
            Path(leftover).unlink(missing_ok=True)


def _stage(path: Path, content: bytes, staged: list[str]) -> str:
    """A complete file on disk beside `path`, under a name that no record has."""
    name = str(path.with_name(f".{os.getpid()}-{path.name}.part"))
    staged.append(name)
    try:
        with open(name, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        error.filename = str(path)
        raise
    return name


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The arrays compressed; the same arrays give the same bytes, since zip dates are fixed."""
    for key, value in arrays.items():
        if value.dtype == object:
            raise ValueError(f"array {key} holds Python objects, wanted numbers, bools or strings")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record as JSON gives it back: tuples are lists, NumPy and torch scalars plain numbers."""

    def number(value: Any) -> Any:
        if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
            return value.item()
        raise ValueError(f"a record holds plain numbers, words, lists and mappings, not {value!r}")

    return json.loads(json.dumps(record, default=number, allow_nan=False))
