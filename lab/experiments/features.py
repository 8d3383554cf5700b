"""Frozen features: what a network makes of clips, found once and kept on disk for heads to learn.

Two files: the features in half precision, clip behind clip, and a JSON that says whose they are and
how many clips are done. Their name holds a sha256 of all that the features depend on, so that those
of other weights, clips or crops lie in other files: nothing is ever replaced, and what is no longer
wanted can be deleted.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import IO

import numpy as np
import torch
from jaxtyping import Float16, Int64
from torch import Tensor, nn
from tqdm import tqdm

from fvlib.contracts import Clips, clip_name, require_clips
from fvlib.datasets.loading import batches
from fvlib.datasets.sources import digest
from fvlib.evaluation import Protocol, views_of
from fvlib.models import TSMResNet
from fvlib.recipe import Recipe
from fvlib.storage import naming, once, read_json, write_file
from fvlib.values import check_choice
from lab.experiments.parts import Trial
from lab.recipes import recipe_of
from lab.systems import FeatureClassifier, HeadedResNet

_STAGES = ("layer1", "layer2", "layer3", "layer4")
_LAST = ("clustering", "avgpool", "dropout", "fc", "head")  # not used, or behind the stages
_PROBES = 8  # clips whose pixels tell a set from others


class Features:
    """Features of clips as `extract` has stored them, mapped into memory: clips to train heads on.

    Args:
        notes: the JSON of the two files. Raises ValueError when not all clips are done.
    """

    def __init__(self, notes: Path):
        known, file = _known(notes), notes.with_suffix(".f16")
        shape = (known["count"], *known["shape"])
        if known["done"] < known["count"] or file.stat().st_size != 2 * np.prod(shape):
            raise ValueError(
                f"{file} holds {known['done']} of {known['count']} clips in {file.stat().st_size} "
                "bytes; let extract finish it, or delete both files to start again"
            )
        self.identity = known["identity"]
        self.targets = np.array(known["targets"])
        self.lengths = np.full(shape[0], shape[1])
        self._features = np.memmap(file, np.float16, "r", shape=shape)

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(t, c, h, w) of every clip."""
        return self._features.shape[1:]

    def read(self, i: int, frames: Int64[np.ndarray, " s"]) -> Float16[Tensor, "s c h w"]:
        """The features of these frames of clip i."""
        return torch.from_numpy(self._features[i, frames])


def extract(
    model: TSMResNet,
    clips: Clips,
    protocol: Protocol,
    cache: Path,
    *,
    upto: str = "layer4",
    name: str = "features",
    workers: int = 0,
    device: str | torch.device = "cpu",
    progress: bool = False,
) -> Features:
    """What a network makes of all clips, from the folder `cache` or found now and kept there.

    The network is in eval mode and clusters nothing. Clips are found and kept one by one: a run
    that is killed goes on behind the last that was done, and ends in the same file, bit for bit on
    one machine. While one process is at it, others that want the same wait.

    The sha256 is of the layers that are used and their weights, the protocol, the stage, and of the

    Args:
        protocol: the frames of each clip, a number, and their one crop.
        upto: a residual stage.
        name: how the files are called before their sha256.
        clips: their number, lengths and classes, and the pixels of eight of them. So a file that
            was replaced by one of the same length may go unnoticed; delete the features then.

    Raises:
        ValueError: for a protocol of all frames, clusters or several views, no clips, and frames of
            several sizes.
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
    check_choice("upto", upto, _STAGES)
    require_clips(clips)
    model.to(device)
    about = {
        "network": _network_sum(model, upto),
        "clips": _clips_sum(clips, protocol),
        "protocol": protocol.describe(),
        "upto": upto,
    }
    identity = sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    notes = Path(cache) / f"{name}-{identity[:16]}.json"
    file = notes.with_suffix(".f16")

    def make() -> None:
        new = {"identity": identity, **about, "count": len(clips), "done": 0, "targets": []}
        known = _known(notes) if notes.exists() else new
        with naming(file), open(file, "ab") as out:
            _back_to(out, known["done"] * 2 * int(np.prod(known.get("shape", 0))))
            order = [np.array([i]) for i in range(known["done"], len(clips))]
            shown = batches(clips, order, protocol, workers=workers)
            for batch in tqdm(shown, name, len(clips), initial=known["done"], disable=not progress):
                y = _features(model, views_of(batch.x, protocol)[:, 0].to(device), upto)
                if known.setdefault("shape", list(y.shape)) != list(y.shape):
                    raise ValueError(
                        f"features are of {y.shape}, of clips before {known['shape']}; give the "
                        "protocol a resolution or a crop"
                    )
                if not np.isfinite(y).all():
                    raise FloatingPointError(
                        f"{clip_name(clips, known['done'])} has features beyond half precision"
                    )
                # The clip is on disk before the notes say so.
                out.write(y.tobytes())
                out.flush()
                os.fsync(out.fileno())
                known["done"] += 1
                known["targets"].append(int(batch.target))
                write_file(notes, json.dumps(known))

    def done() -> bool:
        known = _known(notes) if notes.exists() else {"done": -1}
        size = 2 * len(clips) * int(np.prod(known.get("shape", 0)))
        return known["done"] == len(clips) and file.exists() and file.stat().st_size == size

    once(notes, make, done)
    return Features(notes)


@torch.no_grad()
def _features(model: TSMResNet, x: Tensor, upto: str) -> np.ndarray:
    was_training = model.training
    model.eval()
    y = model.features(x, upto=upto, cluster=False)
    model.train(was_training)
    return y[0].half().cpu().numpy()


def _network_sum(model: TSMResNet, upto: str) -> str:
    """Of the layers that are used: what they are, and their weights."""
    later = _STAGES[_STAGES.index(upto) + 1 :]
    unused = re.compile(rf"({'|'.join(later + _LAST)})(\.|$)|.*\.num_batches_tracked$")
    layers = [
        (name, type(module).__qualname__, getattr(module, "shift", None), module.extra_repr())
        for name, module in model.named_modules()
        if not unused.match(name)
    ]
    weights = {k: v.float().cpu() for k, v in model.state_dict().items() if not unused.match(k)}
    found = repr((layers, list(weights))) + digest(*map(np.asarray, weights.values()))
    return sha256(found.encode()).hexdigest()


def _clips_sum(clips: Clips, protocol: Protocol) -> str:
    """Of the clips: their number, lengths and classes if known, and the pixels of some of them."""
    probes = np.unique(np.linspace(0, len(clips) - 1, _PROBES, dtype=np.int64))
    shown = batches(clips, [np.array([i]) for i in probes], protocol)
    found = [array for batch in shown for array in (views_of(batch.x, protocol), batch.target)]
    known = (np.array(len(clips)), clips.lengths, clips.targets)
    return digest(*known, *map(np.asarray, found))


def _back_to(file: IO[bytes], size: int) -> None:
    """Cut off what was written of a clip that the notes do not know."""
    if os.fstat(file.fileno()).st_size < size:
        raise ValueError(f"{file.name} is shorter than {size} bytes; delete it and its JSON")
    file.truncate(size)


def _known(notes: Path) -> dict:
    """The JSON of features; ValueError when it is damaged."""
    try:
        known = read_json(notes)
        shape, done = known.get("shape"), known["done"]
        whole = done == len(known["targets"]) <= known["count"] and (
            len(shape) == 4 if done else not known["targets"]
        )
    except (KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise ValueError(f"{notes} is damaged; delete it and {notes.stem}.f16 to start again")
    return known


def frozen(
    model: HeadedResNet, clips: Mapping[str, Clips], trial: Trial
) -> tuple[nn.Module, dict[str, Features], Recipe, Protocol]:
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
