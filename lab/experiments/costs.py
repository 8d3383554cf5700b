"""What networks cost: multiply-adds and memory, a step as clips get longer, an epoch of a row."""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Int64, UInt8
from torch import Tensor
from tqdm import tqdm

from fvlib import cost
from fvlib.contracts import Clips
from fvlib.processes import end_with_parent
from fvlib.storage import replacing_array, stored_array
from fvlib.training import train
from lab.building import build_network
from lab.experiments.benchmarks import clip_lists, describe_stored, load_clips
from lab.experiments.parts import CLIP_FRAMES, UNMEASURED, Trial, generated, measurement, network
from lab.parameters import Way
from lab.recipes import recipe_of

CLASSES = 10
Ways = Mapping[str, Way]


def run_cost(trial: Trial):
    """Multiply-adds and the activations of a training step, for one video at full size."""
    parameters, device, model = trial.parameters, trial.device, trial.network().to(trial.device)
    side = parameters.resolution
    t = CLIP_FRAMES if parameters.frames == "all" else parameters.frames
    shape = (1, t, parameters.in_channels, side, side)
    # Random frames: neighbours differ, so that every method makes all of its clusters.
    clip = torch.rand(*shape, generator=torch.Generator().manual_seed(trial.seed)).to(device)
    kept = cost.peak_memory(model, clip, torch.zeros(1, dtype=torch.int64, device=device))
    numbers = {"params": cost.parameter_count(model), "macs": cost.multiply_adds(model, shape)}
    entry = measurement(
        generated("random pixels", clips=1, frames=t),
        {"activation_bytes": kept},
        UNMEASURED | numbers,
    )
    return entry, None


def run_length(trial: Trial):
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

    Source:
        Section 1, Table 1, column Runtime Mem.
    """
    lengths = trial.parameters.lengths
    threads, shown = torch.get_num_threads(), {"leave": False, "disable": not trial.progress}
    with _fresh_process() as alone:
        seconds = [
            alone.submit(step_seconds, trial, t, threads).result()
            for t in tqdm(lengths, "seconds", **shown)
        ]
    memory = []
    for t in tqdm(lengths, "memory", **shown):
        with _fresh_process() as alone:
            memory.append(alone.submit(step_peak, trial, t, threads).result())
    arrays = {"t": np.array(lengths), "seconds": np.array(seconds)}
    arrays["peak_mb"], arrays["predicted_mb"] = np.array(memory).T
    peak = arrays["peak_mb"]
    results = {
        "mb_per_frame": _slope(arrays["t"], peak),
        "ms_per_frame": _slope(arrays["t"], 1000 * arrays["seconds"]),
        "peak_mb": round(peak.max(), 1),
        "grows": bool(peak[-1] > 1.05 * peak[0]),
    }
    entry = measurement(generated("random frames", clips=len(lengths)), results)
    return entry, arrays


def step_seconds(trial: Trial, t: int, threads: int) -> float:
    """Seconds of a training step on one clip of t frames."""
    with _a_step(trial, t, threads) as (step, _):
        return cost.step_time(step, repeats=trial.parameters.repeats, warmup=0)


def step_peak(trial: Trial, t: int, threads: int) -> tuple[float, float]:
    """Megabytes of a training step on one clip of t frames, in a fresh process; and predicted.

    The C library may keep what is given back, in pieces that nobody can use, so that the same step
    takes 45 or 75 MB by chance. Here it gives all large pieces back to the operating system at
    once, which takes time; hence this is not done where time is measured.
    """
    with suppress(AttributeError):  # of another C library than glibc
        ctypes.CDLL(None).mallopt(-3, 2**16)  # M_MMAP_THRESHOLD
    with _a_step(trial, t, threads) as (step, predicted):
        before = cost.memory_now(trial.device)
        step()
        return (cost.memory_peak(trial.device) - before) / 2**20, predicted / 2**20


@contextmanager
def _a_step(trial: Trial, t: int, threads: int) -> Iterator[tuple[Callable[[], None], float]]:
    """A step that is ready to be measured, and the bytes it should take."""
    parameters, device = trial.parameters, trial.device
    torch.set_num_threads(threads)
    torch.manual_seed(trial.seed)
    checkpointed = parameters.checkpointed
    if checkpointed:
        parameters = replace(parameters, network="checkpointed")
    model = build_network(parameters, CLASSES, trial.beside).to(device)
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
        clip = _frames(shape, trial.seed, file)
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


def run_epoch_time(trial: Trial):
    """Seconds of an epoch in each of `ways`, and how much longer it is than TSM's.

    The parameters are those of the runs whose epochs are timed, and a way is what sets a row apart:
    `frames`, or `method` and `clusters`, and perhaps `window`. Each way is compared with the one
    that shows as many images to the later layers without clusters.

    `timed_clips` of the training set are shown, and seconds are scaled from them to the whole set
    by the number of clips. results: of each way the medians over rounds of the seconds, together
    and apart, and of the ratios within a round. arrays: as of `time_epochs`, and longer_WAY: by how
    many percent a whole epoch is longer, in each round.

    Source:
        Section 4.3, Table 2.
    """
    parameters, beside = trial.parameters, trial.beside
    peers = same_images(parameters.ways)
    found = clip_lists(parameters, beside, trial.progress)["train"]
    clips = load_clips(found, replace(parameters, memory=False), beside, trial.progress)
    chosen = of_all_lengths(clips.lengths, parameters.timed_clips)
    arrays = time_epochs(clips, chosen, trial)
    results = {}
    for way, peer in peers.items():
        reading, training = arrays[f"reading_{way}"], arrays[f"training_{way}"]
        ratio = (reading + training) / (arrays[f"reading_{peer}"] + arrays[f"training_{peer}"])
        arrays[f"longer_{way}"] = 100 * (ratio - 1)
        medians = {
            "epoch_s": reading + training,
            "reading_s": reading,
            "training_s": training,
            "ratio": ratio,
            "training_ratio": training / arrays[f"training_{peer}"],
        }
        results[way] = {key: round(float(np.median(each)), 4) for key, each in medians.items()}
    timed = {"clips": len(chosen), "frames": int(clips.lengths[chosen].sum())}
    described = describe_stored({"train": found}, {"train": clips})
    entry = measurement({**described, "timed": timed}, results)
    return entry, arrays


def time_epochs(
    clips: Clips, chosen: Int64[np.ndarray, " m"], trial: Trial
) -> dict[str, np.ndarray]:
    """Seconds of one epoch of the training loop on the chosen clips, for each way and round.

    A machine is not always equally fast. Hence a round times every way once, in a random order, and
    ways are to be compared within a round; they have the same clips in the same batches. The first
    of `rounds` + 1 rounds is left out: it brings the files into memory, so that reading means
    decoding. A video file is decoded from its start to the last frame wanted: of 8 frames all over
    a clip only the conversion is spared, while a window also spares what comes after it. This
    process reads too, so that reading and training do not overlap and can be told apart; with
    workers an epoch takes less than their sum, but not less than the longer one.

    Gives reading_WAY and training_WAY, (rounds,), seconds scaled to all the clips of the set: to
    get the frames, and for all else, crops, forward and backward pass and the optimiser's step; and
    order, (rounds, ways), their names.

    Args:
        clips: with a `name` and `classes`, read from disk.
    """
    parameters, seed = trial.parameters, trial.seed
    ways, rounds = parameters.ways, parameters.rounds
    rng = np.random.default_rng(seed)
    order = np.stack([rng.permutation(list(ways)) for _ in range(rounds + 1)])
    scale = len(clips) / len(chosen)
    found: dict[str, list[float]] = {}
    for way in tqdm(order.ravel().tolist(), "epochs", leave=False, disable=not trial.progress):
        own = parameters.of(way)
        shown = TimedClips(clips, chosen)
        history = train(
            network(own, seed, trial.beside, clips.classes),
            shown,
            replace(recipe_of(own), epochs=1, warmup_epochs=0),
            seed=seed,
            classes=list(clips.classes),
            device=trial.device,
        )
        found.setdefault(f"reading_{way}", []).append(scale * shown.seconds)
        found.setdefault(f"training_{way}", []).append(scale * (history.seconds[0] - shown.seconds))
    arrays = {name: np.array(seconds[1:]) for name, seconds in found.items()}
    return {**arrays, "order": order[1:]}


class TimedClips:
    """Some clips of a set, and the `seconds` that reading them has taken.

    Args:
        clips: the set, with a `name`.
        chosen: which of its clips.
    """

    def __init__(self, clips: Clips, chosen: Int64[np.ndarray, " m"]):
        self._clips, self._chosen, self.name = clips, chosen, clips.name
        self.lengths, self.targets = clips.lengths[chosen], clips.targets[chosen]
        self.seconds = 0.0

    def __len__(self) -> int:
        return len(self._chosen)

    def read(self, i: int, frames: Int64[np.ndarray, " t"]) -> UInt8[Tensor, "t c h w"]:
        """These frames of clip i."""
        start = time.perf_counter()
        x = self._clips.read(int(self._chosen[i]), frames)
        self.seconds += time.perf_counter() - start
        return x


def of_all_lengths(lengths: Int64[np.ndarray, " n"], count: int) -> Int64[np.ndarray, " m"]:
    """Clips that stand for a set in their lengths: the middle ones of `count` equal parts of it.

    The parts are made in the order of length, so that the mean length is nearly that of the set.

    Raises:
        ValueError: if there are not so many clips.
    """
    if not 1 <= count <= len(lengths):
        raise ValueError(f"timed_clips is {count}; wanted a number from 1 to all {len(lengths)}")
    middles = (2 * np.arange(count) + 1) * len(lengths) // (2 * count)
    return np.sort(np.argsort(lengths, kind="stable")[middles])


def same_images(ways: Ways) -> dict[str, str]:
    """For each way the one without clusters that shows as many images; its own for that itself.

    Raises:
        ValueError: if there is none.
    """
    images = {name: way.clusters or way.frames for name, way in ways.items()}
    plain = {images[name]: name for name, way in ways.items() if way.clusters is None}
    if alone := [name for name, count in images.items() if count not in plain]:
        raise ValueError(
            f"nothing to compare {', '.join(alone)} with: give a way with as many frames as it has "
            "clusters, and without clusters"
        )
    return {name: plain[count] for name, count in images.items()}
