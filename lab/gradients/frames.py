"""What each frame of a clip adds to the gradient of a network's weights, and how far frames differ.

The gradient of a layer's weights is a sum with one term for each frame. There are two readings of
what a frame's term is, and both are offered by name:

- "clip": the network as it is trained. One loss on the clip's scores, frames exchange channels by
  the temporal shift, and a frame's term is what it adds at this layer: the product of the layer's
  input and of its output's gradient at that frame.
- "frame": the theory of section 3.2. One loss for each frame and no shift; the loss of the clip is
  their mean (Eq. 2).

In both, the terms of all frames add up to the gradient of the clip's loss. BatchNorm uses its
running statistics and dropout is off, whatever mode the model is in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, Num, Shaped
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from fvlib.contracts import VideoNetwork
from fvlib.values import check_choice

_CHUNK = 1024  # features whose squares are added in single precision
Setting = Literal["clip", "frame"]


def frame_gradients(
    model: nn.Module,
    x: Shaped[Tensor, "n t c h w"],
    target: Int64[Tensor, " n"],
    *,
    stage: str | Sequence[str] = "layer1",
    setting: Setting = "clip",
) -> dict[str, Float[Tensor, "n t *weight"]]:
    """Every frame's term in the weight gradient of a stage: parameter name -> `(n, t, *weight)`.

    The model's clustering step is left out. One backward pass serves all frames, and the
    parameters' own `.grad` is not touched.

    Args:
        x: clips of equal length, uint8 or float as the model takes them.
        target: one class a clip.
        stage: "layer1" ... "layer4", or any other module of the model by its name, or several of
            them; the weights of all convolutions and linear layers inside of it count.
        setting: "clip" or "frame", see the top of this module.

    Raises:
        ValueError: for an unknown setting, a stage without weights and targets that do not fit.

    Source:
        Eq. 3, section 4.2.
    """
    check(model, x, target, setting)
    layers, (n, t) = layers_of(model, stage), x.shape[:2]
    if setting == "clip":

        def of_clips(logits: Tensor, scores: Tensor) -> Tensor:
            # The losses of all clips, added: in eval mode a clip's gradient is that of its own.
            return F.cross_entropy(logits, target, reduction="sum")

        with evaluation_mode(model):
            terms = dict(image_terms(model, layers, x, of_clips, cluster=False))
    else:
        constants = {name: parameter.detach() for name, parameter in model.named_parameters()}
        weights = {f"{name}.weight": constants.pop(f"{name}.weight") for name in layers}

        def loss(weights, frame, label):
            parameters, clip = {**constants, **weights}, frame[None, None]
            scores = functional_call(model, parameters, (clip,), {"cluster": False})
            return F.cross_entropy(scores, label[None]) / t

        with evaluation_mode(model, shift=False):
            terms = vmap(grad(loss), in_dims=(None, 0, 0))(
                weights, x.flatten(0, 1), target.repeat_interleave(t)
            )
    return {name: term.unflatten(0, (n, t)) for name, term in terms.items()}


@torch.no_grad()
def frame_losses(
    model: nn.Module,
    x: Shaped[Tensor, "n t c h w"],
    target: Int64[Tensor, " n"],
    *,
    setting: Setting = "clip",
) -> Float[Tensor, "n t"]:
    """The cross-entropy of each frame's own scores with its clip's class.

    Args:
        setting: "clip", the scores that the network gives a frame among the others, whose mean are
            the clip's; or "frame", of a frame that is alone, without shift.

    Raises:
        ValueError: as `frame_gradients`.

    Source:
        Section 3.2, after Eq. 7.
    """
    check(model, x, target, setting)
    scores: list[Tensor] = []
    last = model.get_submodule(model.last)
    hook = last.register_forward_hook(lambda module, received, output: scores.append(output))
    try:
        with evaluation_mode(model, shift=setting == "clip"):
            model(x, cluster=False)
    finally:
        hook.remove()
    labels = target.repeat_interleave(x.shape[1])
    return F.cross_entropy(scores[0], labels, reduction="none").unflatten(0, x.shape[:2])


def full_residual(
    model: nn.Module, x: Shaped[Tensor, "n t c h w"], target: Int64[Tensor, " n"]
) -> Float[Tensor, "n k"]:
    """The slope of a clip's loss in its logits, softmax minus 1 at the target, on all frames.

    A sure network has a residual near 0, which multiplies every gradient of the clip: two networks
    that are both right may have gradients of very different size for no other reason.

    Raises:
        ValueError: for targets that do not fit.
    """
    check(model, x, target, "clip")
    with evaluation_mode(model), torch.no_grad():
        q = model(x, cluster=False).softmax(1)
    return q - F.one_hot(target, q.shape[1])


def activation_distances(
    x: Num[Tensor, "n t *feature"], metric: Literal["euclidean", "hamming"] = "euclidean"
) -> Num[Tensor, "n t t"]:
    """Distances between the activations of all pairs of frames of a clip.

    "euclidean": in float64. "hamming": how many bits x > 0 differ, int64, which
    `clustering.hamming_distances` counts between neighbours alone.

    Raises:
        ValueError: for an unknown metric.

    Source:
        Fig. 5; H in Eq. 8.
    """
    check_choice("metric", metric, ("euclidean", "hamming"))
    x = x.reshape(*x.shape[:2], -1)
    if metric == "euclidean":
        return _squared_distances(x).sqrt()
    bits = (x > 0).double()  # exact counts up to 2^53 features
    ones = bits.sum(2)
    return (ones[:, :, None] + ones[:, None, :] - 2 * bits @ bits.mT).long()


def gradient_distances(gradients: Mapping[str, Float[Tensor, "n t ..."]]) -> Float[Tensor, "n t t"]:
    """Euclidean distances between the gradients of all pairs of frames of a clip, in float64.

    Args:
        gradients: as `frame_gradients` gives them; all weights together are one long vector.

    Source:
        Fig. 5.
    """
    return sum(_squared_distances(term.flatten(2)) for term in gradients.values()).sqrt()


def _squared_distances(x: Tensor) -> Tensor:
    """All pairs of frames in (n, t, features), in float64; equal frames are at 0 exactly."""
    n, t, _ = x.shape
    total = torch.zeros(n, t, t, dtype=torch.float64, device=x.device)
    x = x if x.dtype == torch.float32 else x.double()  # half has no cdist
    for part in x.split(_CHUNK, dim=2):
        total += torch.cdist(part, part, compute_mode="donot_use_mm_for_euclid_dist").double() ** 2
    return total


# ---- each image's term in the gradient of a layer's weights, from one backward pass


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


def _product(layer: nn.Module, received: Tensor, gradient: Tensor) -> Tensor:
    if isinstance(layer, nn.Linear):
        return gradient[:, :, None] * received[:, None, :]
    patches = F.unfold(received, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
    patches = patches.unflatten(1, (layer.groups, -1))
    gradient = gradient.reshape(len(received), layer.groups, -1, patches.shape[-1])
    return (gradient @ patches.mT).reshape(len(received), *layer.weight.shape)


# ---- how closely one distance follows another: correlations, a line, and any rising curve


class Relation(NamedTuple):
    """How y follows x in each of n clips; NaN where one of them does not vary at all.

    Args:
        spearman: correlation of the ranks.
        line: share of y's variance that the best straight line explains (R^2).
        monotone: that of the best curve that never falls; where it is no better than a rising line,
            the relation is a line. (Where y falls it is less.)
    """

    spearman: Float[np.ndarray, " n"]
    line: Float[np.ndarray, " n"]
    monotone: Float[np.ndarray, " n"]


def relation(x: Num[Tensor, "n p"], y: Num[Tensor, "n p"]) -> Relation:
    """How y follows x over the p pairs of frames of each of n clips.

    Raises:
        ValueError: for fewer than three pairs.

    Source:
        Fig. 5.
    """
    if x.shape[1] < 3:
        raise ValueError(f"{x.shape[1]} pairs came; a relation needs three at least")
    return Relation(*np.array([_of_one(*both) for both in zip(x, y, strict=True)]).T)


def pairs(distances: Num[Tensor, "n t t"]) -> Num[Tensor, "n p"]:
    """The p = t (t - 1) / 2 distances between different frames, each once."""
    i, j = torch.triu_indices(*distances.shape[1:], offset=1)
    return distances[:, i, j]


def _of_one(x: Tensor, y: Tensor) -> tuple[float, float, float]:
    from scipy.stats import pearsonr, spearmanr
    from sklearn.isotonic import IsotonicRegression

    x, y = x.double().numpy(), y.double().numpy()
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return (np.nan,) * 3
    curve = IsotonicRegression().fit_transform(x, y)
    line = pearsonr(x, y).statistic ** 2
    return spearmanr(x, y).statistic, line, 1 - np.mean((y - curve) ** 2) / np.var(y)
