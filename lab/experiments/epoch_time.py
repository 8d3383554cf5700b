"""Table 2, seconds per epoch: what an epoch takes in each way of training, by turns."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8
from torch import Tensor
from tqdm import tqdm

from fvlib.contracts import Clips
from fvlib.training import train
from lab.experiments.benchmarks import clip_lists, describe, load_clips
from lab.experiments.parts import UNMEASURED, network
from lab.parameters import EpochTime, Way
from lab.recipes import recipe_of

Ways = Mapping[str, Way]


def run_epoch_time(parameters, seed, beside, checkpoint, device, progress):
    """Seconds of an epoch in each of `ways`, and how much longer it is than TSM's.

    The parameters are those of the runs whose epochs are timed, and a way is what sets a row apart:
    `frames`, or `method` and `clusters`, and perhaps `window`. Each way is compared with the one
    that shows as many images to the later layers without clusters.

    `timed_clips` of the training set are shown, and seconds are scaled from them to the whole set
    by the number of clips. results: of each way the medians over rounds of the seconds, together
    and apart, and of the ratios within a round. arrays: as of `time_epochs`, and longer_WAY: by how
    many percent a whole epoch is longer, in each round.
    Source: section 4.3, Table 2.
    """
    peers = same_images(parameters.ways)
    found = clip_lists(parameters, beside, progress)["train"]
    clips = load_clips(found, replace(parameters, memory=False), beside, progress)
    chosen = of_all_lengths(clips.lengths, parameters.timed_clips)
    arrays = time_epochs(clips, chosen, parameters, seed, beside, device, progress)
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
    entry = {
        "dataset": {**describe({"train": found}, {"train": clips}), "timed": timed},
        "protocol": {},
        "results": results,
        "cost": UNMEASURED,
    }
    return entry, arrays


def time_epochs(
    clips: Clips,
    chosen: Int64[np.ndarray, " m"],
    parameters: EpochTime,
    seed: int,
    beside: Path,
    device: str = "cpu",
    progress: bool = False,
) -> dict[str, np.ndarray]:
    """Seconds of one epoch of the training loop on the chosen clips, for each way and round.

    A machine is not always equally fast. Hence a round times every way once, in a random order, and
    ways are to be compared within a round; they have the same clips in the same batches. The first
    of `rounds` + 1 rounds is left out: it brings the files into memory, so that reading means
    decoding. A video file is decoded from its start to the last frame wanted: of 8 frames all over
    a clip only the conversion is spared, while a window also spares what comes after it. This
    process reads too, so that reading and training do not overlap and can be told apart; with
    workers an epoch takes less than their sum, but not less than the longer one.

    clips: with a `name` and `classes`, read from disk. Gives reading_WAY and training_WAY,
    (rounds,), seconds scaled to all the clips of the set: to get the frames, and for all else,
    crops, forward and backward pass and the optimiser's step. order: (rounds, ways), their names.
    """
    ways, rounds = parameters.ways, parameters.rounds
    rng = np.random.default_rng(seed)
    order = np.stack([rng.permutation(list(ways)) for _ in range(rounds + 1)])
    scale = len(clips) / len(chosen)
    found: dict[str, list[float]] = {}
    for way in tqdm(order.ravel().tolist(), "epochs", leave=False, disable=not progress):
        own = parameters.of(way)
        shown = TimedClips(clips, chosen)
        history = train(
            network(own, seed, beside, clips.classes),
            shown,
            replace(recipe_of(own), epochs=1, warmup_epochs=0),
            seed=seed,
            classes=list(clips.classes),
            device=device,
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
    Raises ValueError if there are not so many clips.
    """
    if not 1 <= count <= len(lengths):
        raise ValueError(f"timed_clips is {count}; wanted a number from 1 to all {len(lengths)}")
    middles = (2 * np.arange(count) + 1) * len(lengths) // (2 * count)
    return np.sort(np.argsort(lengths, kind="stable")[middles])


def same_images(ways: Ways) -> dict[str, str]:
    """For each way the one without clusters that shows as many images; its own for that itself.

    Raises ValueError if there is none.
    """
    images = {name: way.clusters or way.frames for name, way in ways.items()}
    plain = {images[name]: name for name, way in ways.items() if way.clusters is None}
    if alone := [name for name, count in images.items() if count not in plain]:
        raise ValueError(
            f"nothing to compare {', '.join(alone)} with: give a way with as many frames as it has "
            "clusters, and without clusters"
        )
    return {name: plain[count] for name, count in images.items()}
