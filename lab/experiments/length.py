"""What a training step takes as a clip gets longer: memory and time."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from fvlib import cost
from fvlib.processes import end_with_parent
from fvlib.storage import replacing_array, stored_array
from lab.building import build_network
from lab.experiments.parts import UNMEASURED
from lab.parameters import Length

CLASSES = 10


def run_length(parameters, seed, beside, checkpoint, device, progress):
    """A training step on one clip of each of `lengths` frames.

    Memory is measured in a process for each length, which no other step has touched. With
    `checkpointed`, the whole network keeps nothing but what goes into its blocks, and makes the
    rest again (torch.utils.checkpoint). With `mapped` the frames lie in a file that is mapped into
    memory, and its pages count.

    results: least squares over all lengths, megabytes and milliseconds for each frame more; the
    highest peak; whether memory grows with t, by more than 5 %. arrays: t; seconds, the median of
    `repeats` steps; peak_mb, memory at the highest point beyond what the process had with the clip
    (unless it is mapped) and the network; predicted_mb, what `cost.predicted_peak` says, NaN with
    `checkpointed`, which it does not know.
    Source: section 1, Table 1, column Runtime Mem.
    """
    lengths = parameters.lengths
    arguments = (seed, beside, device, torch.get_num_threads())
    with _fresh_process() as alone:
        seconds = [
            alone.submit(step_seconds, parameters, t, *arguments).result()
            for t in tqdm(lengths, "seconds", leave=False, disable=not progress)
        ]
    memory = []
    for t in tqdm(lengths, "memory", leave=False, disable=not progress):
        with _fresh_process() as alone:
            memory.append(alone.submit(step_peak, parameters, t, *arguments).result())
    arrays = {"t": np.array(lengths), "seconds": np.array(seconds)}
    arrays["peak_mb"], arrays["predicted_mb"] = np.array(memory).T
    peak = arrays["peak_mb"]
    results = {
        "mb_per_frame": _slope(arrays["t"], peak),
        "ms_per_frame": _slope(arrays["t"], 1000 * arrays["seconds"]),
        "peak_mb": round(peak.max(), 1),
        "grows": bool(peak[-1] > 1.05 * peak[0]),
    }
    entry = {
        "dataset": {"name": "random frames", "sha256": {}, "counts": {"clips": len(lengths)}},
        "protocol": {},
        "results": results,
        "cost": UNMEASURED,
    }
    return entry, arrays


def step_seconds(
    parameters: Length, t: int, seed: int, beside: Path, device: str, threads: int
) -> float:
    """Seconds of a training step on one clip of t frames."""
    with _a_step(parameters, t, seed, beside, device, threads) as (step, _):
        return cost.step_time(step, repeats=parameters.repeats, warmup=0)


def step_peak(
    parameters: Length, t: int, seed: int, beside: Path, device: str, threads: int
) -> tuple[float, float]:
    """Megabytes of a training step on one clip of t frames, in a fresh process; and predicted.

    The C library may keep what is given back, in pieces that nobody can use, so that the same step
    takes 45 or 75 MB by chance. Here it gives all large pieces back to the operating system at
    once, which takes time; hence this is not done where time is measured.
    """
    with suppress(AttributeError):  # of another C library than glibc
        ctypes.CDLL(None).mallopt(-3, 2**16)  # M_MMAP_THRESHOLD
    with _a_step(parameters, t, seed, beside, device, threads) as (step, predicted):
        before = cost.memory_now(device)
        step()
        return (cost.memory_peak(device) - before) / 2**20, predicted / 2**20


@contextmanager
def _a_step(
    parameters: Length, t: int, seed: int, beside: Path, device: str, threads: int
) -> Iterator[tuple[Callable[[], None], float]]:
    """A step that is ready to be measured, and the bytes it should take."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    checkpointed = parameters.checkpointed
    if checkpointed:
        parameters = replace(parameters, network="checkpointed")
    model = build_network(parameters, CLASSES, beside).to(device)
    model.early_statistics = "running"  # in all ways the same computation
    side = parameters.resolution
    shape = (1, t, parameters.in_channels, side, side)
    # The prediction is made for what a network keeps by itself.
    predicted = math.nan if checkpointed else cost.predicted_peak(model, shape)

    def step(clip: Tensor) -> None:
        with torch.autocast(device, torch.bfloat16, parameters.autocast):
            loss = F.cross_entropy(model(clip).float(), torch.zeros(1, dtype=torch.long).to(device))
        loss.backward()
        model.zero_grad(set_to_none=True)

    with TemporaryDirectory() as folder:
        file = Path(folder, "clip.npy") if parameters.mapped else None
        clip = _frames(shape, seed, file)
        step(clip[:, : parameters.clusters + 1])  # libraries take what they need once
        yield lambda: step(clip), predicted


def _fresh_process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, get_context("spawn"), initializer=end_with_parent)


def _frames(shape: tuple[int, ...], seed: int, file: Path | None) -> Tensor:
    """Random frames, in memory or in a file that is mapped into it."""
    generator = np.random.default_rng(seed)
    if file is None:
        return torch.from_numpy(generator.integers(256, size=shape, dtype=np.uint8))
    with replacing_array(file, shape) as frames:
        for start in range(0, shape[1], 256):
            part = frames[:, start : start + 256]
            part[:] = generator.integers(256, size=part.shape, dtype=np.uint8)
    del frames, part
    return torch.from_numpy(stored_array(file))


def _slope(t: np.ndarray, values: np.ndarray) -> float | None:
    return None if len(t) < 2 else round(float(np.polyfit(t, values, 1)[0]), 4)
