"""Each image's term in the gradient of a network's weights, from one backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from fvlib.contracts import VideoNetwork
from fvlib.values import check_choice

Setting = Literal["clip", "frame"]


def image_terms(
    model: VideoNetwork,
    layers: Sequence[str],
    x: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    **options: Any,
) -> Iterator[tuple[str, Tensor]]:
    """Pairs of a parameter's name and its terms `(m, *weight)`, for the m images its layer sees.

    A term is the product of the layer's input and its output's gradient at one image, so the terms
    add up to the gradient of the weight.

    Args:
        loss: a function of the model's logits and of the scores that its last layer gives for each
            image.
        options: for the model's forward.
    """
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def hook(name: str, layer: nn.Module, received: tuple, output: Tensor) -> None:
        # The weights are constants here, so the graph begins at the first of these layers.
        seen[name] = received[0].detach(), output.requires_grad_()

    constants = {name: p.detach() for name, p in model.named_parameters()}
    with ExitStack() as after, torch.enable_grad():
        for name in dict.fromkeys([*layers, model.last]):
            layer = model.get_submodule(name)
            after.enter_context(layer.register_forward_hook(lambda *a, name=name: hook(name, *a)))
        logits = functional_call(model, constants, (x,), options)
        value = loss(logits, seen[model.last][1])
    gradients = torch.autograd.grad(value, [seen[name][1] for name in layers])
    for name, gradient in zip(layers, gradients, strict=True):
        yield f"{name}.weight", _product(model.get_submodule(name), seen.pop(name)[0], gradient)


@contextmanager
def evaluation_mode(model: nn.Module, *, shift: bool = True, **attributes: Any) -> Iterator[None]:
    """The model in eval mode as long as the context lasts; without shift, or with other attributes.

    Otherwise a frame's term would depend on its neighbours by BatchNorm, and on chance by dropout.
    """
    changes = [(module, "training", False) for module in model.modules()]
    changes += [(model, name, value) for name, value in attributes.items()]
    if not shift:
        blocks = [module for module in model.modules() if hasattr(module, "shift")]
        changes += [(block, "shift", False) for block in blocks]
    with ExitStack() as after:
        for module, name, value in changes:
            after.callback(setattr, module, name, getattr(module, name))
            setattr(module, name, value)
        yield


def of_stage(name: str, stage: str) -> bool:
    """Whether a layer, or a parameter, is a stage or lies inside of it."""
    return name == stage or name.startswith(f"{stage}.")


def layers_of(model: nn.Module, stage: str | Sequence[str]) -> list[str]:
    """Names of the convolutions and linear layers of a stage, in the order of the network.

    Of several stages, those of the first one first.
    """
    if not isinstance(stage, str):
        return [name for each in stage for name in layers_of(model, each)]
    kinds = (nn.Conv2d, nn.Linear)
    layers = [name for name, module in model.named_modules() if isinstance(module, kinds)]
    found = [name for name in layers if of_stage(name, stage)]
    if not found:
        parts = dict.fromkeys(name.split(".")[0] for name in layers)
        raise ValueError(
            f"stage is {stage!r}, where there are no weights; name one of {', '.join(parts)}, or a "
            "module inside of one"
        )
    return found


def check(model: VideoNetwork, x: Tensor, target: Tensor, setting: str) -> None:
    """ValueError unless the setting is known and each clip has a target, a class of the model.

    Also for a network without a layer that scores images by themselves.
    """
    if getattr(model, "last", None) is None:
        raise ValueError(
            f"model is a {type(model).__name__}; a network was wanted whose last layer scores "
            "frames, as that of `tsm_resnet` does"
        )
    check_choice("setting", setting, ("clip", "frame"))
    if len(target) != len(x):
        raise ValueError(f"{len(target)} targets for {len(x)} clips; one for each was wanted")
    k = model.num_classes
    if ((target < 0) | (target >= k)).any():
        raise ValueError(f"target has {target.unique().tolist()}; classes 0..{k - 1} were wanted")


def clip_loss(target: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """The losses of all clips, added; in eval mode a clip's gradient is that of its own loss."""
    return lambda logits, scores: F.cross_entropy(logits, target, reduction="sum")


def linear_loss(residual: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """A loss whose slope in the logits (n, k) is given, and the same wherever the logits are."""
    return lambda logits, scores: (residual * logits).sum()


def image_loss(target: Tensor, weights: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """The weighted losses of all images, added; target and weights (m,)."""

    def loss(logits: Tensor, scores: Tensor) -> Tensor:
        return (weights * F.cross_entropy(scores, target, reduction="none")).sum()

    return loss


def _product(layer: nn.Module, received: Tensor, gradient: Tensor) -> Tensor:
    if isinstance(layer, nn.Linear):
        return gradient[:, :, None] * received[:, None, :]
    patches = F.unfold(received, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
    patches = patches.unflatten(1, (layer.groups, -1))
    gradient = gradient.reshape(len(received), layer.groups, -1, patches.shape[-1])
    return (gradient @ patches.mT).reshape(len(received), *layer.weight.shape)
