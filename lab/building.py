"""What a run is made of, by its parameters: network and clips."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import asdict, fields
from hashlib import sha256
from pathlib import Path

import torch

from fvlib.clustering import TemporalClustering
from fvlib.datasets import Move4MNIST, load_backgrounds
from fvlib.models import TSMResNet, load_checkpoint, tsm_resnet
from fvlib.models.checkpoints import start_from
from lab import released
from lab.parameters import ClipsToTest, Move4MNISTClips, Network
from lab.recipes import entry_of
from lab.systems import NETWORKS

# What a run says of its network beside depth and classes, as far as this network takes it.
_SAID = {field.name for field in fields(Network)} | {"frames"}


def build_network(parameters: Network, num_classes: int, beside: Path) -> TSMResNet:
    """The network of a run: with its clustering step, and from its common start if it has one.

    Of a start all layers but the last are taken over; the last one is new, as when one starts from
    ImageNet.

    Args:
        parameters: those of any run that has a network.
        beside: the folder that paths are relative to, of the start, `init`, and of a published
            checkpoint that `weights` names in place of torchvision's.

    Raises:
        ValueError: for a file that is missing or does not fit.
    """
    clustering = None
    if parameters.method is not None:
        clustering = TemporalClustering(
            parameters.method,
            parameters.clusters,
            empty=parameters.empty or "split",
            adaptive=parameters.adaptive,
        )
    construct = network_of(parameters)
    taken = {key for make in (tsm_resnet, construct) for key in inspect.signature(make).parameters}
    chosen = {key: getattr(parameters, key) for key in _SAID & taken - {"depth", "network"}}
    published = chosen.pop("weights") if str(chosen["weights"]).endswith(".pth") else None
    model = construct(parameters.depth, num_classes, clustering=clustering, **chosen)
    if published is not None:
        _load_published(model, beside / published)
    if parameters.init is not None:
        _load_start(model, _file_of(parameters.init, parameters, beside), parameters)
    model = released.with_switches(model, getattr(parameters, "released", ()))
    return model.to(memory_format=torch.channels_last)


def starts_of(parameters: Network, beside: Path) -> dict[str, str]:
    """The sha256 of each file that a network starts from, by the parameter that names it."""
    found = {}
    for name in ("init", "weights"):
        value = getattr(parameters, name, None)
        if value is not None and (path := _file_of(value, parameters, beside)).is_file():
            found[name] = sha256(path.read_bytes()).hexdigest()
    return found


def _file_of(name: str, parameters: Network, beside: Path) -> Path:
    """The file that a parameter names, which may be another one for other data."""
    return beside / name.replace("{data}", parameters.data)


def _load_start(model: TSMResNet, start: Path, parameters: Network) -> None:
    """All but the last layer of the common start."""
    if not start.is_file():
        raise ValueError(
            f"the common start {start} is missing; it comes with the repository, or make it "
            f"with python -m lab train pretrain --row {start.stem.rpartition('-')[0]} --scale "
            f"small --data {parameters.data} and move it there from the folder of the new "
            "record"
        )
    try:
        start_from(model, torch.load(start, map_location="cpu", weights_only=True), last=False)
    except OSError:
        raise
    except Exception as error:  # what is no such file can fail in any way
        raise ValueError(
            f"the common start {start} is damaged, or does not fit a network of depth "
            f"{parameters.depth}, width {parameters.width}, {parameters.in_channels} channels "
            f"({parameters.network}; {type(error).__name__}). Give the settings it was made with, "
            "or let init be none"
        ) from error


def network_of(parameters: Network) -> Callable[..., TSMResNet]:
    """What makes the network that a row names; TSM's where it names none.

    Raises:
        ValueError: with what there is, for an unknown name.
    """
    return entry_of(NETWORKS, "network", parameters.network)


def _load_published(model: TSMResNet, path: Path) -> None:
    """All but the last layer of a published network; its blocks may be shifted in other stages."""
    if not path.exists():
        link = "its authors' page has a link to it"
        raise ValueError(f"the published checkpoint {path} is missing; {link}")
    load_checkpoint(model, path, new_classes=True, other_shift=True)


def move4mnist_sets(parameters: ClipsToTest, seed: int = 0) -> dict[str, Move4MNIST]:
    """The clips of a run for training and test; seed: of the run, where it has its own to train on.

    There are none for training where the parameters have none.
    """
    options = asdict(parameters.options())

    def made(split: str, clips: int, seed: int) -> Move4MNIST:
        scenes = load_backgrounds(parameters.data, split, parameters.backgrounds)
        banks = {"digits": parameters.data, "backgrounds": scenes}
        return Move4MNIST(split, clips=clips, seed=seed, **banks, **options)

    sets = {"test": made(parameters.test_split, parameters.test_clips, parameters.test_seed)}
    if isinstance(parameters, Move4MNISTClips):
        own = seed if parameters.train_seed == "run" else parameters.train_seed
        sets["train"] = made("train", parameters.train_clips, own)
    return sets
