"""Frozen features: what a network makes of clips, found once for heads to learn on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from fvlib.contracts import Clips, require_clips
from fvlib.datasets import InMemory
from fvlib.datasets.loading import batches
from fvlib.evaluation import Protocol, in_eval_mode, views_of
from fvlib.models import TSMResNet
from fvlib.recipe import Recipe
from lab.experiments.parts import Trial
from lab.recipes import recipe_of
from lab.systems import FeatureClassifier, HeadedResNet


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
        protocol: the frames of each clip, a number, and their one crop.

    Raises:
        ValueError: for a protocol of all frames, clusters or several views, and no clips.
        FloatingPointError: for features beyond half precision.

    Source:
        Section 4.3, Table 3, whose baselines learn on frozen features.
    """
    one_view = protocol.views * protocol.crops == 1 and protocol.sampling == "segments"
    if protocol.frames == "all" or protocol.cluster or not one_view:
        raise ValueError(
            f"the protocol is {protocol.describe()}; features are of a fixed number of frames "
            "without clusters, in one view: Protocol.sampled(64), with a crop if wanted"
        )
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
