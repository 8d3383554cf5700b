"""Frozen features: what a network makes of clips, found once and kept on disk for heads to learn.

Their file's name changes with all that the features depend on, so that those of other weights,
clips or crops lie in other files: nothing is ever replaced, and what is no longer wanted can be
deleted.
"""

from __future__ import annotations

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
from fvlib.storage import digest, fingerprint, once, replacing
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

    The network is in eval mode and clusters nothing. While one process is at it, others that want
    the same wait. What is kept, in half precision, is mapped into memory.

    Args:
        clips: of which the features depend on their number, lengths and classes, and on the pixels
            of eight of them. So a file that was replaced by one of the same length may go
            unnoticed; delete the features then.
        protocol: the frames of each clip, a number, and their one crop.
        cache: the folder.
        name: how the files are called before the sha256.

    Raises:
        ValueError: for a protocol of all frames, clusters or several views, no clips, and frames of
            several sizes, and a damaged file.
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
    file = Path(cache) / f"{name}-{about}.npy"

    def make() -> None:
        shown = batches(
            clips, [np.array([i]) for i in range(len(clips))], protocol, workers=workers
        )
        with replacing(file) as out:
            kept = None
            for i, batch in enumerate(tqdm(shown, name, len(clips), disable=not progress)):
                y = _features(model, views_of(batch.x, protocol)[:, 0].to(device))[0]
                if kept is None:
                    shape = (len(clips), *y.shape)
                    kept = np.lib.format.open_memmap(out.name, "w+", np.float16, shape)
                if y.shape != kept.shape[1:]:
                    raise ValueError(
                        f"features are of {y.shape}, of clips before {kept.shape[1:]}; give the "
                        "protocol a resolution or a crop"
                    )
                if not np.isfinite(y).all():
                    raise FloatingPointError(
                        f"{clip_name(clips, i)} has features beyond half precision"
                    )
                kept[i] = y
            kept.flush()

    once(file, make)
    try:
        features = np.load(file, mmap_mode="c")
    except (ValueError, EOFError) as error:
        raise ValueError(f"{file} is damaged ({error}); delete it, and it is made again") from None
    return InMemory(torch.from_numpy(features), clips.targets)


@torch.no_grad()
def _features(model: TSMResNet, x: Tensor) -> np.ndarray:
    with in_eval_mode(model):
        return model.features(x, cluster=False).half().cpu().numpy()


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
