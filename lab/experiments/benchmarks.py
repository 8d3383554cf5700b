"""Tables 2 to 5: a row on one of the benchmarks, or on the mini set that stands for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from fvlib import distributed
from fvlib.contracts import Clips, require_clips
from fvlib.datasets import InMemory
from fvlib.datasets.data_root import real_data
from fvlib.datasets.loading import batches
from fvlib.datasets.videos import BENCHMARKS, ClipList, FrameIndex, count_frames, read_benchmark
from fvlib.datasets.videos.clips import VideoClips
from fvlib.datasets.videos.lists import natural
from fvlib.evaluation import Evaluation, Protocol, evaluate, in_eval_mode, views_of
from fvlib.models import TSMResNet
from fvlib.recipe import Recipe
from fvlib.storage import digest
from fvlib.training import save_atomically
from fvlib.values import check_choice, read
from lab.experiments import parts
from lab.experiments.gradients import measure_film
from lab.experiments.parts import Trial
from lab.experiments.watch import ClusterWatch
from lab.flow import FlowStacks, flow_clips
from lab.parameters import StoredSet
from lab.recipes import recipe_of
from lab.records import Record
from lab.synthetic import SYNTHETIC, write_mini
from lab.synthetic.sets import SyntheticPlan
from lab.synthetic.writing import clip_counts
from lab.systems import FeatureClassifier, HeadedResNet


def run_benchmark(trial: Trial):
    """Train on a data set's clips, then test with clusters and with sampled frames.

    With data="embedded" the set is a mini set, written to `cache/minis` beside the recipe file when
    it is not there yet; with data="real" it is read below FVLIB_DATA. Of several test sets the
    clusters of the first are followed, and the predictions are of all, one set behind the other.
    """
    parameters, device, progress = trial.parameters, trial.device, trial.progress
    checkpoint, workers = trial.checkpoint, parameters.workers
    with distributed.in_turn():
        lists = clip_lists(parameters, trial.beside, progress, seed=trial.seed)
        clips = {
            split: load_clips(found, parameters, trial.beside, progress)
            for split, found in lists.items()
        }
    described = describe_stored(lists, clips)
    parts.same_data(checkpoint, described)
    classes = lists["train"].classes
    model = trial.network(classes)
    protocols = parts.orders_of(parts.protocols_of(parameters), parameters.test_orders)
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

    def measure(protocol: Protocol) -> Evaluation:
        return joined(
            evaluate(
                learner,
                found,
                protocol,
                frame_budget=recipe.frame_budget,
                stream=parameters.stream and protocol.frames == "all",
                workers=workers,
                device=device,
                autocast=parameters.autocast,
                progress=progress,
            )
            for part, found in shown.items()
            if part != "train"
        )

    measured = parts.measure_each(shown_as, measure)
    save_atomically(parts.half_precision(model), parts.sample_beside(checkpoint))
    frames = parameters.frames
    frames = int(np.median(clips["test"].lengths)) if frames == "all" else frames
    side = parameters.crop or parameters.resolution
    shape = (1, frames, parameters.in_channels, side, side)
    told = {name: protocol.describe() for name, protocol in protocols.items()}
    entry = parts.tested(trial, model, described, told, measured, history, shape)
    entry["results"]["epoch_s"] = round(sum(history.seconds) / len(history.seconds), 2)
    arrays = parts.predictions(measured) | parts.curves(history)
    if parameters.scores:
        arrays |= parts.scores(measured)
    if parameters.gradient_clips:
        shown_in_test = protocols["clustered"]
        arrays |= measure_film(model, clips["test"], shown_in_test, parameters, trial.seed)
    if adaptive:
        arrays["clusters"] = watch.counts(model).astype("uint16")
    elif watch is not None:
        arrays |= watch.end(model)
    return entry, arrays


def joined(results: Iterable[Evaluation]) -> Evaluation:
    """Results on several sets as one, in their order; scores where all have them."""
    found, whole = list(results), {}
    for name in ("prediction", "target", "scores"):
        each = [getattr(one, name) for one in found]
        whole[name] = None if any(one is None for one in each) else np.concatenate(each)
    return Evaluation(**whole)


def clip_lists(
    parameters: StoredSet, beside: Path, progress: bool = False, *, seed: int = 0
) -> dict[str, ClipList]:
    """The lists for training and test. Writes the mini sets that are wanted and not there.

    With `test_seeds` there are several for the test, "test", "test-2" and so on. seed: of the run.
    A set of which only some clips are there is read with missing="skip", and restricted to the
    classes that have `classes_with` clips or more, in all lists together.

    Raises:
        ValueError: if the real set is not below FVLIB_DATA.
    """
    name, fold = parameters.dataset, parameters.fold
    check_choice("data set", name, tuple(BENCHMARKS))
    if parameters.data == "embedded":
        minis = minis_of(parameters, beside, seed)
        for mini in {str(mini["folder"]): mini for mini in minis.values()}.values():
            write_mini(**mini, progress=progress)
        roots = {part: mini["folder"] for part, mini in minis.items()}
    else:
        roots = dict.fromkeys(("train", "test"), real_data())
    first, *_, last = BENCHMARKS[name].splits
    options = {} if parameters.missing is None else {"missing": parameters.missing}
    found = {
        part: read_benchmark(name, root, first if part == "train" else last, fold, **options)
        for part, root in roots.items()
    }
    found = with_many_clips(found, parameters.classes_with)
    return hold_out(found["train"]) if parameters.held_out else found


def hold_out(clips: ClipList) -> dict[str, ClipList]:
    """A training list as one for training and one for validation: every fifth group of clips.

    A group's clips show the same people and place, so it is on one side as a whole: those whose
    number is a multiple of five are for validation.

    Raises ValueError for clips whose names have no group, as UCF-101's have, and where a side is
    empty.
    """
    found = [re.search(r"_g(\d+)_c\d+", name) for name in clips.names.tolist()]
    held = np.array([one is not None and int(one[1]) % 5 == 0 for one in found])
    if None in found or held.all() or not held.any():
        raise ValueError(
            f"{clips}: {held.sum()} of {len(held)} clips are of a fifth group; wanted some, and "
            "others, all named as v_CLASS_gNN_cNN: let held_out be false"
        )
    return {"train": clips.select(~held), "test": replace(clips.select(held), split="validation")}


def minis_of(parameters: StoredSet, beside: Path, seed: int = 0) -> dict[str, dict[str, Any]]:
    """The mini sets that stand for a data set, by what they are for, as arguments of `write_mini`.

    One set is for training and for the test; with `test_seeds` there is one for training, with few
    test clips, and one for the test of each seed, with few training clips and all that a layout has
    for the test. seed: of the run.

    Raises:
        ValueError: where there is none.
    """
    name, clips = parameters.dataset, parameters.clips
    mini = "something" if name == "something_v2" else name
    if mini not in SYNTHETIC:
        raise ValueError(f"there is no mini set of {name}; choose one of {', '.join(SYNTHETIC)}")
    own = seed if parameters.mini_seed == "run" else parameters.mini_seed
    kind = f"{mini}{'-null' * parameters.null}"
    folder = beside / "cache" / "minis"

    def made(label: str, seed: int, clips: int | None, **more: int) -> dict[str, Any]:
        settings = {"null": parameters.null, "seed": seed, "clips": clips, **more}
        return {"name": mini, "folder": folder / f"{kind}-{label}-s{seed}", **settings}

    if parameters.test_seeds is None:
        return dict.fromkeys(("train", "test"), made(str(clips or "all"), own, clips))
    few, all_tests = SYNTHETIC[mini].step, SYNTHETIC[mini].most[1]
    found = {"train": made(f"train-{clips or 'all'}", own, clips, test=few)}
    for number, one in enumerate(parameters.test_seeds, 1):
        part = "test" if number == 1 else f"test-{number}"
        found[part] = made("test", one, few, test=all_tests)
    return found


def plans_tested(made: Record) -> list[SyntheticPlan]:
    """What the test clips of a run on mini sets were made from, in the order of its predictions.

    Raises:
        ValueError: if this code makes other clips than the run had.
    """
    named = {field.name for field in fields(StoredSet)} & made.parameters.keys()
    kept = read(StoredSet, {name: made.parameters[name] for name in named}, made.path.name)
    found = []
    for part, one in minis_of(kept, Path()).items():
        if part == "train":
            continue
        mini = SYNTHETIC[one["name"]]
        counts = clip_counts(mini, one["clips"], one.get("test"))
        plans = [p for p in mini.plan(one["seed"], one["null"], *counts) if p.split == "test"]
        plans.sort(key=lambda plan: natural(plan.path))
        names = np.array([f"{mini.folders[0]}/{plan.path}" for plan in plans])
        targets, lengths = (np.array([getattr(p, k) for p in plans]) for k in ("target", "frames"))
        if _sha256(names, targets, lengths) != made.data["sha256"][part]:
            raise ValueError(
                f"{made.path.name} had other clips in {part}; make it again: {made.command}"
            )
        found += plans
    return found


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


def describe_stored(lists: Mapping[str, ClipList], clips: Mapping[str, Any]) -> dict[str, Any]:
    """The record's entry on the clips."""
    train_list = lists["train"]
    return {
        "name": train_list.name,
        "fold": train_list.fold,
        "classes": len(train_list.classes),
        "counts": _totals({split: len(found) for split, found in lists.items()}),
        "frames": _totals({split: int(found.lengths.sum()) for split, found in clips.items()}),
        "sha256": {
            split: _sha256(found.names, found.targets, clips[split].lengths)
            for split, found in lists.items()
        },
    }


def _sha256(names: np.ndarray, targets: np.ndarray, lengths: np.ndarray) -> str:
    """Of a list's clips, as a record has it."""
    return digest(np.char.encode(names, "utf-8"), targets, lengths)


def _totals(of_lists: Mapping[str, int]) -> dict[str, int]:
    """Those of training, and those of all tests together."""
    train = of_lists["train"]
    tests = {"test": sum(of_lists.values()) - train} if len(of_lists) > 1 else {}
    return {"train": train, **tests}


# ---- frozen features: what a network makes of clips, found once for heads to learn on


@torch.no_grad()
def features_of(
    model: TSMResNet,
    clips: Clips,
    protocol: Protocol,
    *,
    workers: int = 0,
    device: str | torch.device = "cpu",
    progress: bool = False,
) -> InMemory:
    """What layer4 of a network makes of all clips, in half precision; in eval mode, unclustered.

    Args:
        protocol: the frames of each clip, a number, and their one crop; nothing at random.

    Raises:
        ValueError: for no clips.
        FloatingPointError: for features beyond half precision.

    Source:
        Section 4.3, Table 3, whose baselines learn on frozen features.
    """
    require_clips(clips)
    shown = batches(clips, [np.array([i]) for i in range(len(clips))], protocol, workers=workers)
    found = []
    with in_eval_mode(model.to(device)):
        for batch in tqdm(shown, "features", len(clips), disable=not progress):
            x = views_of(batch.x, protocol)[:, 0].to(device)
            found.append(model.features(x, cluster=False)[0].half().cpu())
    features = torch.stack(found)
    if not features.isfinite().all():
        raise FloatingPointError("features are beyond half precision")
    return InMemory(features, clips.targets)


def frozen(
    model: HeadedResNet, clips: Mapping[str, Clips], trial: Trial
) -> tuple[nn.Module, dict[str, InMemory], Recipe, Protocol]:
    """A row's head alone, the features it learns on, how it is trained and tested.

    As Table 3's baselines were published.

    The features are of `frames` frames of each clip, the middles of as many segments, in one crop.
    Nothing is drawn at random of them, so there is no warm-up.
    """
    parameters = trial.parameters
    crop = {"scale": parameters.test_scale, "crop": parameters.crop}
    protocol = Protocol(parameters.frames, False, resolution=parameters.resolution, **crop)
    options = {"workers": parameters.workers, "device": trial.device, "progress": trial.progress}
    features = {
        part: features_of(model, found, protocol, **options) for part, found in clips.items()
    }
    whole = {"frames": "all", "crop": None, "resolution": None, "flip": False, "dense": False}
    whole |= {"warmup_epochs": 0, "last_epochs": 0, "sampling": "segments", "frame_budget": None}
    recipe = replace(recipe_of(parameters), **whole)
    return FeatureClassifier(model.head), features, recipe, protocol
