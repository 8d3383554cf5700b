"""Tables 2 to 5: a row on one of the benchmarks, or on the mini set that stands for it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from fvlib import distributed
from fvlib.contracts import Clips
from fvlib.cost import predicted_peak
from fvlib.datasets.data_root import real_data
from fvlib.datasets.videos import BENCHMARKS, ClipList, FrameIndex, count_frames, read_benchmark
from fvlib.datasets.videos.clips import VideoClips
from fvlib.evaluation import Protocol, evaluate
from fvlib.models import TSMResNet
from fvlib.storage import digest
from fvlib.training import save_atomically
from fvlib.values import check_choice
from lab.experiments.features import frozen
from lab.experiments.parts import (
    Trial,
    accuracy,
    curves,
    half_precision,
    measure_each,
    orders_of,
    predictions,
    protocols_of,
    same_data,
    sample_beside,
    scores,
    training_cost,
)
from lab.experiments.watch import ClusterWatch
from lab.flow import FlowStacks, flow_clips
from lab.parameters import Benchmark, StoredSet
from lab.recipes import recipe_of
from lab.synthetic import SYNTHETIC, write_mini


def run_benchmark(trial: Trial):
    """Train on a data set's clips, then test with clusters and with sampled frames.

    With data="embedded" the set is a mini set, written to `cache/minis` beside the recipe file when
    it is not there yet; with data="real" it is read below FVLIB_DATA.
    """
    parameters, device, progress = trial.parameters, trial.device, trial.progress
    checkpoint, workers = trial.checkpoint, parameters.workers
    with distributed.in_turn():
        lists = clip_lists(parameters, trial.beside, progress)
        clips = {
            split: load_clips(found, parameters, trial.beside, progress)
            for split, found in lists.items()
        }
    described = describe_stored(lists, clips)
    same_data(checkpoint, described)
    classes = lists["train"].classes
    model = trial.network(classes)
    protocols = orders_of(protocols_of(parameters), parameters.test_orders)
    if progress and parameters.chunk is not None:
        say_peak(model.to(device), clips["train"], parameters)
    watch, adaptive = None, parameters.adaptive
    if parameters.clusters is not None and distributed.is_rank_zero():
        watch = ClusterWatch(clips["test"], protocols["clustered"], checkpoint, parameters)
    if watch is not None and not adaptive:
        watch.begin(model.to(device))
    learner, shown, recipe, shown_as = model, clips, recipe_of(parameters), protocols
    if parameters.frozen:
        learner, shown, recipe, protocol = frozen(model, clips, trial)
        protocols = dict.fromkeys(protocols, protocol)
        shown_as = dict.fromkeys(protocols, Protocol("all", False))
    history = trial.train(
        learner,
        shown["train"],
        classes,
        recipe=recipe,
        workers=workers,
        after_epoch=None if adaptive else watch,
    )
    measured = measure_each(
        shown_as,
        lambda protocol: evaluate(
            learner,
            shown["test"],
            protocol,
            frame_budget=recipe.frame_budget,
            stream=parameters.stream and protocol.frames == "all",
            workers=workers,
            device=device,
            autocast=parameters.autocast,
            progress=progress,
        ),
    )
    save_atomically(half_precision(model), sample_beside(checkpoint))
    frames = parameters.frames
    frames = typical_length(clips["test"]) if frames == "all" else frames
    side = parameters.crop or parameters.resolution
    shape = (1, frames, parameters.in_channels, side, side)
    entry = {
        "dataset": described,
        "protocol": {name: protocol.describe() for name, protocol in protocols.items()},
        "results": {name: accuracy(result) for name, result in measured.items()}
        | {
            "train_loss": round(history.train_loss[-1], 4),
            "epoch_s": round(sum(history.seconds) / len(history.seconds), 2),
        },
        "cost": training_cost(model, shape, history, device),
    }
    arrays = predictions(measured) | curves(history)
    if parameters.scores:
        arrays |= scores(measured)
    if adaptive:
        arrays["clusters"] = watch.counts(model).astype("uint16")
    elif watch is not None:
        arrays |= watch.end(model)
    return entry, arrays


def say_peak(model: TSMResNet, clips: Clips, parameters: Benchmark) -> None:
    """Before a training: how many frames are worked on at once, and what a step will take."""
    side = parameters.crop or parameters.resolution
    frame = (parameters.in_channels, side, side)
    peak = predicted_peak(model, (parameters.batch_size, int(clips.lengths.max()), *frame))
    tqdm.write(
        f"chunks of {model.frames_at_once(frame)} frames; a step takes about {peak / 2**20:.0f} MB "
        "beside the frames, however long the clips are",
        file=sys.stderr,
    )


def clip_lists(parameters: StoredSet, beside: Path, progress: bool = False) -> dict[str, ClipList]:
    """The lists for training and test. Writes the mini set if it is wanted and not there.

    A set of which only some clips are there is read with missing="skip", and restricted to the
    classes that have `classes_with` clips or more, in both lists together.

    Raises:
        ValueError: if the real set is not below FVLIB_DATA.
    """
    name, fold = parameters.dataset, parameters.fold
    check_choice("data set", name, tuple(BENCHMARKS))
    if parameters.data == "embedded":
        mini = mini_of(parameters, beside)
        root = mini["folder"]
        write_mini(**mini, progress=progress)
    else:
        root = real_data()
    first, *_, last = BENCHMARKS[name].splits
    splits = {"train": first, "test": last}
    options = {} if parameters.missing is None else {"missing": parameters.missing}
    found = {
        part: read_benchmark(name, root, split, fold, **options) for part, split in splits.items()
    }
    return with_many_clips(found, parameters.classes_with)


def mini_of(parameters: StoredSet, beside: Path) -> dict[str, Any]:
    """The mini set that stands for a data set, as arguments of `write_mini`.

    Raises:
        ValueError: where there is none.
    """
    name, clips = parameters.dataset, parameters.clips
    mini = "something" if name == "something_v2" else name
    if mini not in SYNTHETIC:
        raise ValueError(f"there is no mini set of {name}; choose one of {', '.join(SYNTHETIC)}")
    null, seed = parameters.null, parameters.mini_seed
    folder = beside / "cache" / "minis" / f"{mini}{'-null' * null}-{clips or 'all'}-s{seed}"
    return {"name": mini, "folder": folder, "null": null, "seed": seed, "clips": clips}


def with_many_clips(lists: Mapping[str, ClipList], least: int) -> dict[str, ClipList]:
    """The lists of a set, restricted to the classes that have `least` clips or more in them all.

    Raises:
        ValueError: if there are none.
    """
    if not least:
        return dict(lists)
    classes = next(iter(lists.values())).classes
    counts = sum(np.bincount(one.targets, minlength=len(classes)) for one in lists.values())
    many = [name for name, count in zip(classes, counts, strict=True) if count >= least]
    if not many:
        raise ValueError(
            f"no class has {least} clips or more; of {', '.join(map(str, lists.values()))} the "
            f"largest class has {counts.max()}"
        )
    return {part: one.of_classes(many) for part, one in lists.items()}


def load_clips(
    clips: ClipList, parameters: StoredSet, beside: Path, progress: bool = False
) -> Clips:
    """The clips of a list, at the size that is read; with memory=true decoded once.

    With `flow`, their optical flow in stacks of so many. The numbers of frames are kept in cache/,
    since finding them means decoding the clips, and so are decoded clips and flow.

    Raises:
        UnreadableClip: for a damaged file, by name.
    """
    index = FrameIndex(beside / "cache" / f"frames-{clips.root.name}-{clips.name}.json")
    fps, flow = parameters.fps, parameters.flow
    rate = BENCHMARKS[clips.name].rate
    lengths = count_frames(clips, index, fps=fps, rate=rate)
    index.write()
    stored = VideoClips(
        clips,
        lengths,
        fps=fps,
        rate=rate,
        size=parameters.size,
        channels=parameters.in_channels if flow is None else 3,
    )
    if flow is not None:
        found = flow_clips(stored, beside / "cache" / "flow", workers=2, progress=progress)
        return found if flow == 1 else FlowStacks(found, flow)
    if not parameters.memory:
        return stored
    return stored.materialise(beside / "cache" / "decoded", progress)


def typical_length(clips: Clips) -> int:
    """The median number of frames of a set's clips."""
    return int(np.median(clips.lengths))


def describe_stored(lists: Mapping[str, ClipList], clips: Mapping[str, Any]) -> dict[str, Any]:
    """The record's entry on the clips."""
    train_list = lists["train"]
    return {
        "name": train_list.name,
        "fold": train_list.fold,
        "classes": len(train_list.classes),
        "counts": {split: len(found) for split, found in lists.items()},
        "frames": {split: int(found.lengths.sum()) for split, found in clips.items()},
        "sha256": {
            split: digest(np.char.encode(found.names, "utf-8"), found.targets, clips[split].lengths)
            for split, found in lists.items()
        },
    }
