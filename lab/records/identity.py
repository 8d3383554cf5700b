"""Which run a checkpoint is of: noted beside it before the first epoch, compared before it goes on.

A run is told from others by its parameters, the version of its experiment, threads, processes, the
kind of its device, and the digests of its data. The note lies there as long as the checkpoint and
what else is kept for it: moments, tests and clusters of the epochs so far.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fvlib.storage import read_json, write_file
from lab.records.record import plain

Identity = Mapping[str, Any]


def note_of(checkpoint: Path) -> Path:
    """Where the note on a checkpoint's run lies."""
    return checkpoint.with_suffix(".run")


def begun(checkpoint: Path) -> dict[str, Any] | None:
    """What is noted on the run of a checkpoint; None if nothing is, or if the note is damaged."""
    try:
        return read_json(note_of(checkpoint))
    except (OSError, ValueError):
        return None


def another_run(checkpoint: Path, identity: Identity) -> list[str]:
    """Each way in which a checkpoint's run differs from this one, as far as both are known.

    One without a note is of nobody knows which run. Empty for the same run, and where there is no
    checkpoint.
    """
    if not checkpoint.exists():
        return []
    found = begun(checkpoint)
    if found is None:
        return [f"there is no {note_of(checkpoint).name} beside it that says of which run it is"]
    identity = plain(identity)
    return [
        line
        for part in identity
        if part in found
        for line in differences(part, found[part], identity[part], "in the checkpoint")
    ]


def go_on(checkpoint: Path, identity: Identity) -> None:
    """Before a run goes on from its checkpoint, and again when more of its identity is known.

    Notes the identity where there is no checkpoint. Raises ValueError, with what differs and what
    to do, for the checkpoint of another run.
    """
    if reasons := another_run(checkpoint, identity):
        raise ValueError(
            f"the checkpoint {checkpoint} belongs to another run: {'; '.join(reasons)}. Give the "
            "settings it was made with to go on with that one; or begin again with --force, or "
            "move all files of its name away"
        )
    known = begun(checkpoint)
    noted = {**(known or {}), **plain(identity)}
    if noted != known:
        write_file(note_of(checkpoint), json.dumps(noted, sort_keys=True, indent=1) + "\n")


def differences(name: str, then: Any, now: Any, place: str, time: str = "now") -> list[str]:
    """Where two entries differ, one line each; mappings are compared key by key."""
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        return [
            line
            for key in sorted({*then, *now})
            for line in differences(
                f"{name}.{key}", then.get(key, "absent"), now.get(key, "absent"), place, time
            )
        ]
    return [] if then == now else [f"{name} is {then!r} {place}, {now!r} {time}"]
