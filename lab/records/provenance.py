"""Where a record comes from: the machine, the code, the time."""

import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab.git import run_git
from lab.records.record import SCHEMA


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
