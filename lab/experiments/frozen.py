"""Heads on frozen features, as Table 3's baselines were published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import nn

from fvlib.contracts import Clips
from fvlib.evaluation import Protocol
from fvlib.training import Recipe
from lab.experiments.features import Features, extract
from lab.parameters import Benchmark
from lab.recipes import recipe_of
from lab.systems import FeatureClassifier, HeadedResNet


def frozen(
    model: HeadedResNet,
    clips: Mapping[str, Clips],
    parameters: Benchmark,
    beside: Path,
    device: str,
    progress: bool,
) -> tuple[nn.Module, dict[str, Features], Recipe, Protocol]:
    """A row's head alone, the features it learns on, how it is trained and tested.

    The features are of `frames` frames of each clip, the middles of as many segments, in one crop;
    they are kept in `cache/features` beside the recipe file. Nothing is drawn at random of them, so
    there is no warm-up.
    """
    crop = {"scale": parameters.test_scale, "crop": parameters.crop}
    protocol = Protocol(parameters.frames, False, resolution=parameters.resolution, **crop)
    features = {
        split: extract(
            model,
            found,
            protocol,
            beside / "cache" / "features",
            name=f"{parameters.dataset}-{split}",
            workers=parameters.workers,
            device=device,
            progress=progress,
        )
        for split, found in clips.items()
    }
    whole = {"frames": "all", "crop": None, "resolution": None, "flip": False, "dense": False}
    whole |= {"warmup_epochs": 0, "last_epochs": 0, "sampling": "segments", "frame_budget": None}
    recipe = replace(recipe_of(parameters), **whole)
    return FeatureClassifier(model.head), features, recipe, protocol
