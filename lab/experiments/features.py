"""Frozen features: what a network makes of clips, found once and kept on disk for heads to learn.

Two files: the features in half precision, clip behind clip, and a JSON with the shape of a clip's.
Their name changes with all that the features depend on, so that those of other weights, clips or
crops lie in other files: nothing is ever replaced, and what is no longer wanted can be deleted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from fvlib.contracts import Clips, clip_name, require_clips
from fvlib.datasets import InMemory
from fvlib.datasets.loading import batches
from fvlib.evaluation import Protocol, in_eval_mode, views_of
from fvlib.models import TSMResNet
from fvlib.recipe import Recipe
from fvlib.storage import digest, fingerprint, naming, once, read_json, write_file
from lab.experiments.parts import Trial
from lab.recipes import recipe_of
from lab.systems import FeatureClassifier, HeadedResNet

_BEHIND = ("clustering", "avgpool", "dropout", "fc", "head")  # not used, or behind the features
_PROBES = 8  # clips whose pixels tell a set from others


def extract(
    model: TSMResNet,
    clips: Clips,
    protocol: Protocol,
    cache: Path,
    *,
    name: str = "features",
    workers: int = 0,
    device: str | torch.device = "cpu",
    progress: bool = False,
) -> InMemory:
    """What layer4 of a network makes of all clips, found now, or earlier and kept in a folder.

    The network is in eval mode and clusters nothing. Clips are found and kept one by one: a run
    that is killed goes on behind the last that was done, and ends in the same file, bit for bit on
    one machine. While one process is at it, others that want the same wait. What is kept is mapped
    into memory.

    Args:
        clips: of which the features depend on their number, lengths and classes, and on the pixels
            of eight of them. So a file that was replaced by one of the same length may go
            unnoticed; delete the features then.
        protocol: the frames of each clip, a number, and their one crop.
        cache: the folder.
        name: how the files are called before the sha256.

    Raises:
        ValueError: for a protocol of all frames, clusters or several views, no clips, frames of
            several sizes, and damaged files.
        FloatingPointError: for features beyond half precision.

    Source:
        Section 4.3, Table 3, whose baselines learn on frozen features.
    """
    one_view = protocol.views * protocol.crops == 1 and protocol.sampling == "segments"
    if protocol.frames == "all" or protocol.cluster or not one_view:
        raise ValueError(
            f"the protocol is {protocol.describe()}; features are kept of a fixed number of frames "
            "without clusters, in one view: Protocol.sampled(64), with a crop if wanted"
        )
    require_clips(clips)
    model.to(device)
    about = fingerprint(_network_sum(model), _clips_sum(clips, protocol), protocol.describe())
    file = Path(cache) / f"{name}-{about}.f16"
    note = file.with_suffix(".json")

    def size_of_a_clip() -> int:
        return 2 * int(np.prod(_shape(note))) if note.exists() else 0

    def done() -> bool:
        return file.exists() and 0 < len(clips) * size_of_a_clip() == file.stat().st_size

    def make() -> None:
        size, there = size_of_a_clip(), file.stat().st_size if file.exists() else 0
        first = there // size if size else 0
        order = [np.array([i]) for i in range(first, len(clips))]
        shown = batches(clips, order, protocol, workers=workers)
        with naming(file), open(file, "ab") as out:
            out.truncate(first * size)  # what was written of a clip when the process ended
            for batch in tqdm(shown, name, len(clips), initial=first, disable=not progress):
                y = _features(model, views_of(batch.x, protocol)[:, 0].to(device))
                if not note.exists():
                    write_file(note, json.dumps({"shape": y.shape}))
                if _shape(note) != y.shape:
                    raise ValueError(
                        f"features are of {y.shape}, of clips before {_shape(note)}; give the "
                        "protocol a resolution or a crop"
                    )
                if not np.isfinite(y).all():
                    raise FloatingPointError(
                        f"{clip_name(clips, int(batch.indices[0]))} has features beyond half "
                        "precision"
                    )
                out.write(y.tobytes())
                out.flush()
                os.fsync(out.fileno())

    file.parent.mkdir(parents=True, exist_ok=True)
    once(file, make, done)
    features = np.memmap(file, np.float16, "c", shape=(len(clips), *_shape(note)))
    return InMemory(torch.from_numpy(features), clips.targets)


@torch.no_grad()
def _features(model: TSMResNet, x: Tensor) -> np.ndarray:
    with in_eval_mode(model):
        return model.features(x, cluster=False)[0].half().cpu().numpy()


def _network_sum(model: TSMResNet) -> str:
    """Of the layers that are used: what they are, and their weights."""
    used = [(k, m) for k, m in model.named_modules() if k.partition(".")[0] not in _BEHIND]
    layers = [
        (name, type(module).__qualname__, getattr(module, "shift", None), module.extra_repr())
        for name, module in used
    ]
    weights = {
        name: np.asarray(value.float().cpu())
        for name, value in model.state_dict().items()
        if name.partition(".")[0] not in _BEHIND and not name.endswith("num_batches_tracked")
    }
    found = repr((layers, list(weights))) + digest(*weights.values())
    return sha256(found.encode()).hexdigest()


def _clips_sum(clips: Clips, protocol: Protocol) -> str:
    """Of the clips: their number, lengths and classes if known, and the pixels of some of them."""
    probes = np.unique(np.linspace(0, len(clips) - 1, _PROBES, dtype=np.int64))
    shown = batches(clips, [np.array([i]) for i in probes], protocol)
    found = [array for batch in shown for array in (views_of(batch.x, protocol), batch.target)]
    known = (np.array(len(clips)), clips.lengths, clips.targets)
    return digest(*known, *map(np.asarray, found))


def _shape(note: Path) -> tuple[int, ...]:
    """(t, c, h, w) of every clip's features; ValueError where the note is damaged."""
    shape = read_json(note).get("shape")
    if not isinstance(shape, list) or [type(size) for size in shape] != [int] * 4:
        raise ValueError(f"{note} is damaged; delete it and {note.stem}.f16 to start again")
    return tuple(shape)


def frozen(
    model: HeadedResNet, clips: Mapping[str, Clips], trial: Trial
) -> tuple[nn.Module, dict[str, InMemory], Recipe, Protocol]:
    """A row's head alone, the features it learns on, how it is trained and tested.

    As Table 3's baselines were published.

    The features are of `frames` frames of each clip, the middles of as many segments, in one crop;
    they are kept in `cache/features` beside the recipe file. Nothing is drawn at random of them, so
    there is no warm-up.
    """
    parameters = trial.parameters
    crop = {"scale": parameters.test_scale, "crop": parameters.crop}
    protocol = Protocol(parameters.frames, False, resolution=parameters.resolution, **crop)
    features = {
        split: extract(
            model,
            found,
            protocol,
            trial.beside / "cache" / "features",
            name=f"{parameters.dataset}-{split}",
            workers=parameters.workers,
            device=trial.device,
            progress=trial.progress,
        )
        for split, found in clips.items()
    }
    whole = {"frames": "all", "crop": None, "resolution": None, "flip": False, "dense": False}
    whole |= {"warmup_epochs": 0, "last_epochs": 0, "sampling": "segments", "frame_budget": None}
    recipe = replace(recipe_of(parameters), **whole)
    return FeatureClassifier(model.head), features, recipe, protocol
