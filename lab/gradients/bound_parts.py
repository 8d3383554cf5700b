"""What the formulas of `lab.gradients.bound` are made of, in the letters of their module.

Everything is batched over leading axes `b`: n frames of d features, k classes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot


class LinearFrames(NamedTuple):
    """Frames in one linear layer with ReLU and softmax, and their mean."""

    weights: Tensor  # (*b, n, 1)
    logits: Tensor  # (*b, n, k), after the ReLU
    mask: Tensor  # (*b, n, k): 1 where the ReLU is on
    residual: Tensor | None  # (*b, n, k): softmax minus target
    onehot: Tensor | None  # (*b, 1, k): the target
    x_away: Tensor  # (*b, n, d): from the mean frame
    q_away: Tensor  # (*b, n, k): from the mean of the softmaxes
    mean: Tensor  # (*b, 1, d): the mean frame
    mean_logits: Tensor  # (*b, 1, k): its logits
    mean_mask: Tensor  # (*b, 1, k)
    kappa: Tensor  # (*b, k): mean of the logits minus the logits of the mean


def frames_of(x: Tensor, w: Tensor, target: Tensor | None, weights: Tensor | None) -> LinearFrames:
    """The parts for x `(*b, n, d)` and a layer w `(*b, d, k)`."""
    weights = checked_weights(x, weights)
    a = x @ w
    logits = a.relu()
    softmax = logits.softmax(-1)
    onehot = residual = None
    if target is not None:
        onehot = one_hot(target, w.shape[-1]).to(a.dtype)[..., None, :]
        residual = zero_sum(softmax, onehot)
    mean, mean_softmax = mean_of(x, weights), mean_of(softmax, weights)
    # With the parts apart, kappa is exactly 0 where all signs agree, whatever the rounding.
    positive, negative = mean_of(logits, weights), mean_of((-a).relu(), weights)
    return LinearFrames(
        weights=weights,
        logits=logits,
        mask=(a > 0).to(a.dtype),
        residual=residual,
        onehot=onehot,
        x_away=x - mean,
        q_away=zero_sum(softmax - mean_softmax, surest(mean_softmax)),
        mean=mean,
        mean_logits=(positive - negative).relu(),
        mean_mask=(positive > negative).to(a.dtype),
        kappa=torch.minimum(positive, negative).squeeze(-2),
    )


def checked_weights(x: Tensor, weights: Tensor | None) -> Tensor:
    """Weights with an axis for the features behind them; 1/n each without."""
    n = x.shape[-2]
    if weights is None:
        return x.new_full((n, 1), 1 / n)
    total = weights.sum(-1)
    if (weights < 0).any() or not torch.allclose(total, torch.ones_like(total)):
        raise ValueError(
            f"weights run from {float(weights.min()):g} to {float(weights.max()):g} with sum "
            f"{float(total.max()):g}; numbers of at least 0 with sum 1 were wanted"
        )
    return weights[..., None]


def mean_of(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean over the frames, `(*b, 1, features)`; of equal frames it is exactly theirs."""
    mean = (weights * values).sum(-2, keepdim=True)
    return mean + (weights * (values - mean)).sum(-2, keepdim=True)


def covariance(frames: LinearFrames) -> Tensor:
    """Cov(x, q) over the frames, `(*b, d, k)`."""
    return frames.x_away.mT @ (frames.weights * frames.q_away)


def kink(frames: LinearFrames) -> Tensor:
    """K `(*b, k)`: softmax of the mean of the logits minus softmax of the logits of the mean."""
    mean_logits = frames.mean_logits.squeeze(-2)
    q = mean_logits.softmax(-1)
    return zero_sum((mean_logits + frames.kappa).softmax(-1) - q, surest(q))


def zero_sum(values: Tensor, where: Tensor) -> Tensor:
    """The entry of each row at a one-hot `where` becomes minus the sum of the others.

    What is left of a class that is almost certain, 1 - q or a small change of q, has few digits or
    none; in the classes beside it, it has all of them.
    """
    others = values * (1 - where)
    return others - where * others.sum(-1, keepdim=True)


def surest(q: Tensor) -> Tensor:
    """One-hot: the largest entry of each row."""
    return one_hot(q.argmax(-1), q.shape[-1]).to(q.dtype)


def above_the_geometric_mean(logits: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted arithmetic minus geometric mean of the frames' softmax, and softmax of the mean.

    Both `(*b, k)`; the first is at least 0. Subtracted as they are, the two means of close frames
    agree in all their digits; so there the exponential's own series, from the second order on,
    takes the place of e^u - 1 - u.
    """
    log_q = logits.log_softmax(-1)
    mean = mean_of(log_q, weights)
    geometric = mean.exp()
    u = log_q - mean
    near = u.clamp(-0.1, 0.1)
    series = 1 + near / 11
    for i in range(10, 2, -1):
        series = 1 + near / i * series
    close = geometric * near * near / 2 * series
    far = log_q.exp() - geometric * (1 + u)
    above = (weights * torch.where(u.abs() < 0.1, close, far)).sum(-2)
    return above.clamp(min=0), mean.squeeze(-2).softmax(-1)


def deviation(away: Tensor, frames: LinearFrames) -> Tensor:
    """Weighted standard deviation over the frames, `(*b, 1, features)`; its slope at 0 is 0.

    In units of the largest, since the square of a small softmax may be no number above 0.
    """
    unit = away.detach().abs().amax(-2, keepdim=True).clamp(min=torch.finfo(away.dtype).tiny)
    variance = (frames.weights * (away / unit) ** 2).sum(-2, keepdim=True)
    some = variance > 0
    return torch.where(some, unit * variance.where(some, 1.0).sqrt(), 0.0)


def oscillation(z: Tensor) -> Tensor:
    """Largest minus smallest entry along the last axis."""
    return z.amax(-1) - z.amin(-1)
