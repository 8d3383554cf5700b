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

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, Num, Shaped
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from fvlib.values import check_choice
from lab.gradients.terms import Setting, check, clip_loss, evaluation_mode, image_terms, layers_of

_CHUNK = 1024  # features whose squares are added in single precision


def frame_gradients(
    model: nn.Module,
    x: Shaped[Tensor, "n t c h w"],
    target: Int64[Tensor, " n"],
    *,
    stage: str | Sequence[str] = "layer1",
    setting: Setting = "clip",
) -> dict[str, Float[Tensor, "n t *weight"]]:
    """Every frame's term in the weight gradient of a stage: parameter name -> `(n, t, *weight)`.

    Args:
        x: clips of equal length, uint8 or float as the model takes them.
        target: one class a clip.
        stage: "layer1" ... "layer4", or any other module of the model by its name, or several of
            them; the weights of all convolutions and linear layers inside of it count.
        setting: "clip" or "frame", see the top of this module. The model's clustering step is left
            out. One backward pass serves all frames, and the parameters' own `.grad` is not
            touched.

    Raises:
        ValueError: for an unknown setting, a stage without weights and targets that do not fit.

    Source:
        Eq. 3, section 4.2.
    """
    check(model, x, target, setting)
    layers, (n, t) = layers_of(model, stage), x.shape[:2]
    if setting == "clip":
        with evaluation_mode(model):
            terms = dict(image_terms(model, layers, x, clip_loss(target), cluster=False))
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
