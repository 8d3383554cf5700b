"""What a run is made of, by its parameters: network and clips."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from fvlib.clustering import TemporalClustering
from fvlib.datasets import Move4MNIST
from fvlib.models import TSMResNet, load_checkpoint, tsm_resnet
from fvlib.models.weights import take_over
from lab import released
from lab.recipes import NETWORK, entry_of
from lab.systems import NETWORKS


def build_network(parameters: Mapping[str, Any], num_classes: int, beside: Path) -> TSMResNet:
    """The network of a run: with its clustering step, and from its common start if it has one.

    beside: the folder that paths are relative to, of the start, `init`, and of a published
    checkpoint that `weights` names in place of torchvision's. All layers but the last are taken
    over; the last one is new, as when one starts from ImageNet. "none" as either of them is none,
    for which a recipe file has no other word. With `adaptive`, `clusters` is the mean number of
    them.

    Raises ValueError for a file that is missing or does not fit.
    Explained in chapter 05_more_frames.
    """
    parameters = {
        key: value
        for key, value in parameters.items()
        if key not in ("init", "weights") or value != "none"
    }
    clustering = None
    if "method" in parameters:
        clustering = TemporalClustering(
            parameters["method"],
            parameters["clusters"],
            empty=parameters.get("empty", "split"),
            adaptive=parameters.get("adaptive", False),
        )
    construct = network_of(parameters)
    known = NETWORK | (_options(construct) - _options(tsm_resnet))
    chosen = {key: value for key, value in parameters.items() if key in known}
    published = chosen.pop("weights") if str(chosen.get("weights")).endswith(".pth") else None
    model = construct(parameters["depth"], num_classes, clustering=clustering, **chosen)
    if published is not None:
        _load_published(model, beside / published)
    if "init" in parameters:
        start = beside / parameters["init"].format(data=parameters["data"])
        if not start.exists():
            raise ValueError(
                f"the common start {start} is missing; it comes with the repository, or make it "
                f"with python -m lab train pretrain --row {start.stem.split('-')[0]} --scale "
                f"small --data {parameters['data']} and move it there from the folder of the new "
                "record"
            )
        state = torch.load(start, map_location="cpu", weights_only=True)
        take_over(model, state, last=False)
    model = released.with_switches(model, parameters.get("released", ()))
    return model.to(memory_format=torch.channels_last)


def network_of(parameters: Mapping[str, Any]) -> Callable[..., TSMResNet]:
    """What makes the network that a row names; TSM's where it names none.

    Raises ValueError, with what there is, for an unknown name.
    Explained in chapter 08_breakfast.
    """
    return entry_of(NETWORKS, "network", parameters.get("network", "tsm"))


def _options(function: Callable) -> set[str]:
    return set(inspect.signature(function).parameters)


def _load_published(model: TSMResNet, path: Path) -> None:
    """All but the last layer of a published network; its blocks may be shifted in other stages."""
    if not path.exists():
        raise ValueError(
            f"the published checkpoint {path} is missing; its authors' page has a link to it. "
            "Download it and put it there: nothing is downloaded here"
        )
    load_checkpoint(model, path, new_classes=True, other_shift=True)


def move4mnist_sets(parameters: Mapping[str, Any]) -> dict[str, Move4MNIST]:
    """The clips of a run for training and test; the same for every seed, as a published set is.

    Explained in chapter 05_more_frames.
    """
    options = {"timeline": parameters["timeline"], "channels": parameters["in_channels"]}
    source = {"digits": parameters["data"], "backgrounds": parameters["data"]}
    return {
        "train": Move4MNIST("train", clips=parameters["train_clips"], **source, **options),
        "test": Move4MNIST(
            parameters["test_split"], clips=parameters["test_clips"], **source, **options
        ),
    }
