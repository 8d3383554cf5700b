"""Published weights, by torchvision's own mechanism: its cache first, a download otherwise."""

from __future__ import annotations

import torch
from torch import nn
from torchvision.models import get_model_weights


def load_torchvision(model: nn.Module, depth: int, weights: str) -> None:
    """Load torchvision's weights of a ResNet into a network with the same names.

    A last layer of another size stays as it is, and so does what a ResNet has not; for grey frames
    the first kernels are summed over their colours. Raises ValueError for an unknown name, OSError
    with the remedy if the file can neither be found in torchvision's cache nor be downloaded.
    Explained in chapter 04_network.
    """
    known = get_model_weights(f"resnet{depth}")
    names = [*known.__members__, "DEFAULT"]
    if weights not in names:
        raise ValueError(f"weights is {weights!r}; for depth {depth} there are {', '.join(names)}")
    entry = known[weights] if weights != "DEFAULT" else known.DEFAULT
    try:
        state = entry.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        cache = f"{torch.hub.get_dir()}/checkpoints"
        raise OSError(
            f"the weights {entry} could not be had ({error}). Without a network, put the file "
            f"{entry.url.rsplit('/', 1)[-1]} into {cache} (TORCH_HOME moves that folder), "
            f"or leave weights out to start from random ones"
        ) from error
    if model.conv1.in_channels == 1:
        state["conv1.weight"] = state["conv1.weight"].sum(1, keepdim=True)
    own = model.state_dict()
    if "fc.bias" not in own or own["fc.bias"].shape != state["fc.bias"].shape:
        del state["fc.weight"], state["fc.bias"]
    model.load_state_dict({**own, **state})
