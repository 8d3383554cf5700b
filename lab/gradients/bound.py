"""How far the gradient of averaged frames is from the average of the frames' gradients.

The setting of section 3.2 of the paper: frames x (n, d), one linear layer w (d, k), ReLU, softmax,
cross-entropy, and one label for all frames, since they come from one video. A cluster has n frames
with weights that sum to 1; without weights all are 1/n, and the paper has n = 2::

    G    exact_gradient         mean over the frames of their own gradients (Eq. 2, 3)
    Ĝ    single_gradient        gradient of the mean frame (Eq. 4, 5)
    G-Ĝ  gradient_difference    what the approximation costs, by an exact identity
         paper_bound            the right side of Eq. 7, which is no bound
         corrected_bound        a bound that is true, with constants that cannot be improved

Where no sign changes from frame to frame, the difference in column c of w is::

    G_c - Ĝ_c = Cov(x, q_c) + mean(x) J_c,

with q the softmax of each frame and J_c = mean(q_c) - softmax_c(mean logits), the Jensen gap. The
paper's right side is the first term alone, for two frames. Where signs change, two more terms come
in: K_c, since the ReLU and the mean cannot be exchanged then, and the frames whose ReLU is on or
off against that of the mean (the mask).

Everything is batched over leading axes, differentiable, and keeps the dtype; float64 is advised,
since differences between close frames are small differences of large numbers.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import one_hot

# Of clusters in a batch b, where w may be one for all: n frames of d features, and k classes.
Inputs = Float[Tensor, "*b n d"]
Layer = Float[Tensor, "*#b d k"]
Target = Int64[Tensor, "*b"]  # one for all frames of a cluster
Weights = Float[Tensor, "*#b n"] | None  # of the frames; None: 1 / n each
Gradient = Float[Tensor, "*b d k"]

# The curvature of a softmax component along z is at most osc(z)^2 / (6 sqrt 3), for any number of
# classes, where osc is the largest entry minus the smallest; a Jensen gap is half of that.
JENSEN = 1 / (12 * math.sqrt(3))


def exact_gradient(x: Inputs, w: Layer, target: Target, weights: Weights = None) -> Gradient:
    """The gradient G of the frames' mean loss: what training on every frame computes.

    Where the ReLU of a class is off, its column gets nothing; this mask is missing in the printed
    equation.

    Args:
        x: n frames of d features.
        w: one column for each of k classes; in a batch b of clusters it may be one for all.
        target: the class, one for all frames of a cluster.
        weights: of the frames, at least 0, with sum 1.

    Raises:
        ValueError: for weights that are negative or do not sum to 1; so do the functions below.

    Source:
        Eq. 3.
    """
    frames = frames_of(x, w, target, weights)
    return x.mT @ (frames.weights * frames.mask * frames.residual)


def single_gradient(x: Inputs, w: Layer, target: Target, weights: Weights = None) -> Gradient:
    """The gradient Ĝ of the mean frame's loss: what training on a cluster's mean computes.

    Arguments and errors are those of `exact_gradient`.

    Source:
        Eq. 5.
    """
    frames = frames_of(x, w, target, weights)
    residual = zero_sum(frames.mean_logits.softmax(-1), frames.onehot)
    return frames.mean.mT @ (frames.mean_mask * residual)


def gradient_difference(x: Inputs, w: Layer, target: Target, weights: Weights = None) -> Gradient:
    """G - Ĝ, by its identity and not by subtraction: accurate for frames that almost coincide.

    For frames at a relative distance e, subtracting the two gradients loses all digits where e^2
    reaches the rounding; the identity loses them only where e does, also in the columns of classes
    that are almost certain. Signs may differ.
    Arguments and errors are those of `exact_gradient`.

    Source:
        The difference that Eq. 7 is about.
    """
    frames = frames_of(x, w, target, weights)
    gap = jensen_gap(frames.logits, frames.weights[..., 0]) + kink(frames)
    smooth = covariance(frames) + frames.mean.mT * gap[..., None, :]
    against = frames.weights * (frames.mask - frames.mean_mask)
    return frames.mean_mask * smooth + x.mT @ (against * frames.residual)


def paper_bound(x: Inputs, w: Layer, weights: Weights = None) -> Gradient:
    """The right side of Eq. 7: for two frames `|x1 - x2| |q(x1) - q(x2)| / 4`, in every coordinate.

    For n frames it is `|Cov(x, q)|`, which is what the paper's argument gives then. It bounds the
    difference only where the other terms happen to be small or of the opposite sign.
    x, w, weights and errors are those of `exact_gradient`.

    Source:
        Eq. 7.
    """
    return covariance(frames_of(x, w, None, weights)).abs()


def corrected_bound(
    x: Inputs,
    w: Layer,
    target: Target,
    weights: Weights = None,
    *,
    gap: Literal["logits", "hellinger"] = "logits",
) -> Gradient:
    """A bound of `|G - Ĝ|` in every coordinate that holds for all frames, up to rounding.

    Where no sign changes it is `sd(x) sd(q) + |mean(x)| V / (12 sqrt 3)`, with weighted standard
    deviations and V the weighted mean of `osc(z_i - mean(z))^2` over the frames' logits z_i; where
    V / (12 sqrt 3) is above 1, 1 takes its place, since no gap is larger. For two
    frames with equal weights this is
    `|x1 - x2| |q(x1) - q(x2)| / 4 + |mean(x)| osc(z1 - z2)^2 / (48 sqrt 3)`; both constants are
    the best possible. gap="hellinger" replaces the worst case over all logits by what the softmax
    outputs of these frames show: max(a, q sum(a)), with a and q as in `jensen_gap`. It is tighter
    where the classes are many or the network is sure.

    Where signs change, `|K| <= tanh(osc(kappa) / 4)` is added to the gap, with kappa the mean of
    the logits minus the logits of the mean, and the frames whose ReLU is on or off against the
    mean's are added as they are. The norm of the result over d bounds the norm of the difference.
    Arguments and errors are those of `exact_gradient`.

    Source:
        Replaces Eq. 7.
    """
    frames = frames_of(x, w, target, weights)
    if gap == "logits":
        osc = oscillation(frames.logits - mean_of(frames.logits, frames.weights))
        jensen = JENSEN * (frames.weights[..., 0] * osc**2).sum(-1, keepdim=True)
        jensen = jensen.clamp(max=1)  # no gap between two softmaxes is larger
    elif gap == "hellinger":
        above, mean = above_the_geometric_mean(frames.logits, frames.weights)
        jensen = torch.maximum(above, mean * above.sum(-1, keepdim=True))
    else:
        raise ValueError(f"gap is {gap!r}; choose logits or hellinger")
    turned = torch.tanh(oscillation(frames.kappa) / 4)[..., None]
    spread = deviation(frames.x_away, frames).mT * deviation(frames.q_away, frames)
    smooth = spread + frames.mean.abs().mT * (jensen + turned)[..., None, :]
    against = frames.weights * (frames.mask - frames.mean_mask).abs()
    mask = x.abs().mT @ (against * frames.residual.abs())
    return frames.mean_mask * smooth + mask


def jensen_gap(logits: Float[Tensor, "*b n k"], weights: Weights = None) -> Float[Tensor, "*b k"]:
    """J = mean of the softmaxes minus softmax of the mean; its k entries sum to 0.

    The softmax of mean logits is the frames' geometric mean, normalised. So with a the excess of
    the arithmetic mean over the geometric one, which is at least 0 in every class, J = a - q sum(a)
    with q the softmax of the mean: no class can have J > 0 without another that has J < 0.
    For two frames sum(a) is the squared Hellinger distance of their softmax outputs.

    Raises:
        ValueError: for weights that are negative or do not sum to 1.

    Source:
        The step from q(mean) to mean(q) in Eq. 6.
    """
    above, mean = above_the_geometric_mean(logits, checked_weights(logits, weights))
    gap = above - mean * above.sum(-1, keepdim=True)
    return zero_sum(gap, surest(mean))


def loss_gap(logits: Float[Tensor, "*b n k"], weights: Weights = None) -> Float[Tensor, "*b"]:
    """Mean cross-entropy of the frames minus that of the mean logits, the same for every label.

    At least 0: to the loss, unlike to the softmax, Jensen's inequality applies. Equal to
    -log(1 - sum(a)), with a as in `jensen_gap`.

    Raises:
        ValueError: for weights that are negative or do not sum to 1.

    Source:
        L and its approximation, Eq. 2 and 4.
    """
    weights = checked_weights(logits, weights)
    above, _ = above_the_geometric_mean(logits, weights)
    total = above.sum(-1)
    far = -(weights * logits.log_softmax(-1)).sum(-2).logsumexp(-1)
    return torch.where(total < 0.5, -torch.log1p(-total.clamp(max=0.5)), far)


def sign_disagreements(x: Inputs, w: Layer) -> Int64[Tensor, "*b"]:
    """In how many of k classes the bit x w > 0 is not the same for all n frames.

    For two frames the Hamming distance of section 3.2, whose condition is on the signs of x w. (The
    algorithm of section 3.3 compares the signs of x instead.)
    """
    on = frames_of(x, w, None, None).mask
    return (on.amax(-2) != on.amin(-2)).sum(-1)


# ---- what the formulas are made of: batched over leading axes b, n frames of d features, k classes


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
