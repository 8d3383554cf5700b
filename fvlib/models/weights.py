"""Published weights, by torchvision's own mechanism: its cache first, a download otherwise."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor
from torchvision.models import get_model_weights

from fvlib.clustering.checks import shown
from fvlib.contracts import VideoNetwork

_LUMA = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)


def load_torchvision(model: VideoNetwork, depth: int, weights: str) -> None:
    """Load torchvision's weights of a ResNet into a network with the same names.

    A last layer of another size stays as it is, and so does what a ResNet has not; for frames of
    other channels see `first_kernels`. Raises ValueError for an unknown name, OSError
    with the remedy if the file can neither be found in torchvision's cache nor be downloaded.
    Explained in chapter 04_network.
    """
    state = torchvision_state(f"resnet{depth}", weights)
    own = model.state_dict()
    fits = "fc.bias" in own and own["fc.bias"].shape == state["fc.bias"].shape
    take_over(model, state, last=fits)


def torchvision_state(network: str, weights: str) -> dict[str, Tensor]:
    """Weights of one of torchvision's networks, by both names; errors as of `load_torchvision`."""
    known = get_model_weights(network)
    names = [*known.__members__, "DEFAULT"]
    if not isinstance(weights, str) or weights not in names:
        raise ValueError(f"weights is {shown(weights)}; for {network} there are {', '.join(names)}")
    entry = known[weights] if weights != "DEFAULT" else known.DEFAULT
    try:
        return entry.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        cache = f"{torch.hub.get_dir()}/checkpoints"
        raise OSError(
            f"the weights {entry} could not be had ({error}). Without a network, put the file "
            f"{entry.url.rsplit('/', 1)[-1]} into {cache} (TORCH_HOME moves that folder), "
            f"or leave weights out to start from random ones"
        ) from error


def take_over(model: VideoNetwork, state: Mapping[str, Tensor], *, last: bool) -> None:
    """Start from the weights of a ResNet with the same names, with or without its last layer.

    What the state has not stays as it is; for frames of other channels see `first_kernels`.
    """
    state = {name: value for name, value in state.items() if last or not name.startswith("fc.")}
    state["conv1.weight"] = first_kernels(state["conv1.weight"], model.in_channels)
    model.load_state_dict({**model.state_dict(), **state})


def first_kernels(
    kernels: Float[Tensor, "out c kh kw"], channels: int
) -> Float[Tensor, "out c2 kh kw"]:
    """The kernels of a first layer, for frames of another number of channels.

    From colours to grey: their sum. From grey to colours: they see the luminance (ITU-R 601). For
    optical flow, as TSN starts it: their mean, for each channel.
    Explained in chapter 04_network.
    """
    known = kernels.shape[1]
    if known == channels:
        return kernels
    if channels == 1:
        return kernels.sum(1, keepdim=True)
    if (known, channels) == (1, 3):
        return kernels * _LUMA.to(kernels)
    return kernels.mean(1, keepdim=True).repeat(1, channels, 1, 1)
