"""Where a record comes from: the machine, the code, the time."""

import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab.records.record import SCHEMA


def new(
    experiment: str,
    *,
    row: str,
    scale: str,
    data: str,
    seed: int,
    version: int,
    parameters: Mapping[str, Any],
    dataset: Mapping[str, Any],
    protocol: Mapping[str, Any],
    results: Mapping[str, Any],
    cost: Mapping[str, Any],
    device: Any = "cpu",
) -> dict[str, Any]:
    """A record ready for `write`: what a run gives, with machine, code and time (UTC) added.

    `dataset` is the data set's `describe()`: name, sha256, counts. `protocol` maps a name
    ("clustered", "sampled") to its settings, and an accuracy under that protocol is
    `results[name] = {"correct": int, "total": int, "top1": percent}`. `cost` has wall_s,
    peak_mem_mb, params and macs, None where one was not measured.
    """
    return {
        "schema": SCHEMA,
        "experiment": experiment,
        "version": version,
        "row": row,
        "seed": seed,
        "parameters": {**parameters, "scale": scale, "data": data},
        "data": dataset,
        "protocol": protocol,
        "results": results,
        "cost": cost,
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
    # An installed copy may lie inside somebody else's repository: git has to know this file.
    if _git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return {"commit": None, "dirty": None}
    status = _git("status", "--porcelain")
    return {"commit": _git("rev-parse", "HEAD"), "dirty": None if status is None else bool(status)}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=True,
            timeout=20,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
