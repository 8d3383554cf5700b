"""BatchNorm whose statistics may be constants in training, or those of several GPUs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Statistics = Literal["batch", "running", "detached"]

_SETTINGS = ("training", "statistics", "given", "synchronised")
_RUNNING = ("running_mean", "running_var", "num_batches_tracked")
_STATE = _SETTINGS + _RUNNING


class Moments(NamedTuple):
    """Mean and variance of each channel, and of how many values they are."""

    mean: Float[Tensor, " c"]
    var: Float[Tensor, " c"]
    count: int

    @classmethod
    def of(cls, x: Float[Tensor, "m c *rest"]) -> Moments:
        """Those of a batch, in float32 at least."""
        x = x.detach().to(torch.promote_types(x.dtype, torch.float32))
        var, mean = torch.var_mean(x, (0, *range(2, x.ndim)), correction=0)
        return cls(mean, var, x.numel() // x.shape[1])

    def merged(self, other: Moments) -> Moments:
        """Those of both batches together (Chan, Golub and LeVeque, 1983)."""
        count = self.count + other.count
        share, apart = other.count / count, other.mean - self.mean
        var = self.var + share * (other.var - self.var + (1 - share) * apart**2)
        return Moments(self.mean + share * apart, var, count)


class SyncableNorm(_BatchNorm):
    """BatchNorm that can be torch's SyncBatchNorm for a while, and keeps its kind.

    Args:
        synchronised: whether its batch in training is that of all processes, each with a GPU.
    """

    synchronised: bool = False
    process_group = None  # all of them; with the next line what SyncBatchNorm.forward looks for
    _check_non_zero_input_channels = nn.SyncBatchNorm._check_non_zero_input_channels

    def forward(self, x: Float[Tensor, "m c *rest"]) -> Float[Tensor, "m c *rest"]:
        if self.training and self.synchronised:
            return nn.SyncBatchNorm.forward(self, x)  # pyright: ignore[reportArgumentType]
        return super().forward(x)


class BatchNorm(SyncableNorm, nn.BatchNorm2d):
    """torch's BatchNorm2d, with a choice of what it normalises with while it trains.

    Args:
        statistics: "batch" as ever; "running": its running statistics, which then stay as they are;
            "detached": the mean and variance of the batch as constants, through which no gradient
            goes, or those that `given` holds. Scale and shift are trained in all three, and in eval
            mode there is no difference.
    """

    statistics: Statistics = "batch"
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float
    given: Moments | None = None
    used: Moments | None = None  # the constants of its last pass

    def forward(self, x: Float[Tensor, "m c h w"]) -> Float[Tensor, "m c h w"]:
        if not self.training or self.statistics == "batch":
            return super().forward(x)
        if self.statistics == "running":
            mean, var = self.running_mean, self.running_var
        else:
            used = Moments.of(x) if self.given is None else self.given
            if self.given is None:
                self.follow(used)
            mean, var, _ = self.used = used
        return F.batch_norm(x, mean, var, self.weight, self.bias, False, 0.0, self.eps)

    @torch.no_grad()
    def follow(self, moments: Moments) -> None:
        """Move the running statistics towards those of a batch, as BatchNorm2d does."""
        self.num_batches_tracked += 1
        self.running_mean.lerp_(moments.mean.to(self.running_mean.dtype), self.momentum)
        unbiased = moments.var * (moments.count / max(1, moments.count - 1))
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)


def conv_bn(
    conv: nn.Conv2d, norm: nn.Module, x: Float[Tensor, "m c h w"]
) -> Float[Tensor, "m c2 h2 w2"]:
    """norm(conv(x)); where norm trains with its running statistics, one convolution does both.

    Its weights and bias are those of conv, scaled and shifted; so what comes out of conv is neither
    made nor kept for the backward pass. The gradients of weights, scale and shift are the same in
    other roundings. Hooks of the two layers are not called then.

    Under autocast on a CPU, images one pixel wide go through a convolution with a stride in
    float32: the gradient of its weights in bfloat16 is made with memory that nobody wrote (oneDNN).

    Raises:
        ValueError: where the weights themselves have 16 bits there.
    """
    if x.device.type == "cpu" and x.shape[-1] == 1 and conv.stride[-1] > 1:
        if conv.weight.itemsize == 2:
            raise ValueError(
                f"the images are {tuple(x.shape[2:])} pixels before a layer that halves them, too "
                f"few for {conv.weight.dtype} on a CPU; take larger frames, or float32 and autocast"
            )
        if torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                return conv_bn(conv, norm, x.to(conv.weight.dtype))
    if not (isinstance(norm, BatchNorm) and norm.training and norm.statistics == "running"):
        return norm(conv(x))
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    weight, bias = conv.weight * scale.view(-1, 1, 1, 1), norm.bias - norm.running_mean * scale
    return F.conv2d(x, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups)


class Repetition:
    """BatchNorm layers as they are now, for a pass that is made once more: a context for it.

    In it they normalise as they do now, whatever happened to them since, and what they do to their
    running statistics is forgotten: these have followed the batch in the first pass.
    """

    def __init__(self, layers: nn.Module):
        self.norms = [m for m in layers.modules() if isinstance(m, BatchNorm)]
        self._then = [[getattr(norm, name) for name in _SETTINGS] for norm in self.norms]

    def with_moments_used(self) -> Repetition:
        """After the first pass: constants that were found in it are constants of the second."""
        for norm, then in zip(self.norms, self._then, strict=True):
            if then[:2] == [True, "detached"]:
                then[2] = norm.used
        return self

    def __enter__(self) -> None:
        self._now = [[getattr(norm, name) for name in _STATE] for norm in self.norms]
        for norm, then in zip(self.norms, self._then, strict=True):
            copies = [getattr(norm, name).clone() for name in _RUNNING]
            for name, value in zip(_STATE, then + copies, strict=True):
                setattr(norm, name, value)

    def __exit__(self, *_: object) -> None:
        for norm, now in zip(self.norms, self._now, strict=True):
            for name, value in zip(_STATE, now, strict=True):
                setattr(norm, name, value)


@contextmanager
def sync_batchnorm(model: nn.Module) -> Iterator[None]:
    """The batch of a network's BatchNorm layers is that of all processes, as long as this lasts.

    The backward pass belongs inside as well. Constants ("detached") stay each process's own.

    Raises:
        ValueError: for layers that know their own process alone.
    """
    found = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    norms = [m for m in found if isinstance(m, SyncableNorm)]
    if other := {type(m).__name__ for m in found if not isinstance(m, SyncableNorm)}:
        raise ValueError(
            f"the network has layers of the kind {', '.join(sorted(other))}, which know their own "
            "process alone; make them of SyncableNorm, or set sync_batchnorm to false"
        )
    for norm in norms:
        norm.synchronised = True
    try:
        yield
    finally:
        for norm in norms:
            norm.synchronised = False


@contextmanager
def given(norms: Sequence[BatchNorm], moments: Sequence[Moments] | None) -> Iterator[None]:
    """The layers normalise with these moments as long as the context lasts; None changes nothing.

    With fewer moments than layers, the next layer has to find its own, and those behind it use
    their running statistics.
    """
    if moments is None:
        yield
        return
    before: list[tuple[Statistics, Moments | None]]
    before = [(norm.statistics, norm.given) for norm in norms]
    for i, norm in enumerate(norms):
        norm.statistics = "detached" if i <= len(moments) else "running"
        norm.given = moments[i] if i < len(moments) else None
    try:
        yield
    finally:
        for norm, kept in zip(norms, before, strict=True):
            norm.statistics, norm.given = kept
