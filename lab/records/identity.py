"""Where a record comes from, its machine, code and time; and which run a checkpoint is of.

A run is told from others by its parameters, the version of its experiment, threads, processes, the
kind of its device, and the digests of its data. A note on that lies beside a checkpoint before the
first epoch, and is compared before it goes on; it stays as long as the checkpoint and what else is
kept for it: moments, tests and clusters of the epochs so far.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fvlib.storage import read_json, write_file
from lab.records.record import SCHEMA, plain


def new(
    experiment: str,
    *,
    scale: str,
    data: str,
    parameters: Mapping[str, Any],
    dataset: Mapping[str, Any],
    device: Any = "cpu",
    **entries: Any,
) -> dict[str, Any]:
    """A record ready for `write`: what a run gives, with machine, code and time (UTC) added.

    Args:
        dataset: the data set's `describe()`: name, sha256, counts.
        entries: row, seed and version, and three mappings. `protocol` maps a name ("clustered",
            "sampled") to its settings, and an accuracy under that protocol is
            `results[name] = {"correct": int, "total": int, "top1": percent}`. `cost` has wall_s,
            peak_mem_mb, params and macs, None where one was not measured.
    """
    return {
        "schema": SCHEMA,
        "experiment": experiment,
        **entries,
        "parameters": {**parameters, "scale": scale, "data": data},
        "data": dataset,
        "machine": machine(device),
        "code": code(),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "checksum": None,
    }


def machine(device: Any = "cpu") -> dict[str, Any]:
    """CPU name, threads, torch version, the device's name and how many processes."""
    import torch  # reading records, which is what chapters do, needs no torch

    from fvlib import distributed

    device = torch.device(device)
    on_gpu = device.type == "cuda"
    return {
        "cpu": _cpu_name(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if on_gpu else str(device),
        "processes": distributed.world(),
    }


def code() -> dict[str, Any]:
    """The commit of fvlib and whether files differ from it; both None outside a git checkout."""
    status = _git("status", "--porcelain")
    return {"commit": _git("rev-parse", "HEAD"), "dirty": None if status is None else bool(status)}


def environment() -> dict[str, str]:
    """This process's, without what git tells its hooks."""
    return {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}


def run_git(
    folder: Path, *arguments: str, stdin: bytes = b"", timeout: float | None = None
) -> subprocess.CompletedProcess[bytes]:
    """One call in a folder, whatever its exit status. FileNotFoundError where there is no git."""
    command = ["git", "-C", str(folder), "-c", "core.hooksPath=/dev/null", *arguments]
    own = {**environment(), "TZ": "UTC"}
    return subprocess.run(
        command, input=stdin, capture_output=True, env=own, timeout=timeout, check=False
    )


def _git(*arguments: str) -> str | None:
    try:
        done = run_git(Path(__file__).parent, *arguments, timeout=20.0)
    except (OSError, subprocess.SubprocessError):
        return None
    return None if done.returncode else done.stdout.decode("utf-8", "replace").strip()


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


# ---- the note on a checkpoint's run


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
