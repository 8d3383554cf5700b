"""Heads on frozen features, as Table 3's baselines were published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from fvlib.contracts import Clips
from fvlib.evaluation import Protocol
from fvlib.training import Recipe
from lab.experiments.features import Features, extract
from lab.recipes import recipe_of
from lab.systems import HeadAlone, HeadedResNet


def frozen(
    model: HeadedResNet,
    clips: Mapping[str, Clips],
    parameters: Mapping[str, Any],
    beside: Path,
    device: str,
    progress: bool,
) -> tuple[nn.Module, dict[str, Features], Recipe, Protocol]:
    """A row's head alone, the features it learns on, how it is trained and tested.

    The features are of `frames` frames of each clip, the middles of as many segments, in one crop;
    they are kept in `cache/features` beside the recipe file. Nothing is drawn at random of them, so
    there is no warm-up.
    Explained in chapter 08_breakfast.
    """
    crop = {
        key: parameters[name]
        for key, name in (("scale", "test_scale"), ("crop", "crop"), ("resolution", "resolution"))
        if name in parameters
    }
    protocol = Protocol(parameters["frames"], False, **crop)
    features = {
        split: extract(
            model,
            found,
            protocol,
            beside / "cache" / "features",
            name=f"{parameters['dataset']}-{split}",
            workers=parameters.get("workers", 0),
            device=device,
            progress=progress,
        )
        for split, found in clips.items()
    }
    whole = {"frames": "all", "crop": None, "resolution": None, "flip": False, "warmup_epochs": 0}
    recipe = replace(recipe_of(parameters), **whole, frame_budget=None)
    return HeadAlone(model.head), features, recipe, protocol
