"""What the functions of clustering share: the shape of activations, and errors that say why."""

import math
from collections.abc import Callable
from typing import get_args

import torch
from torch import Tensor


def flatten(x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """x as (n, t, features), and the way back for a result with another t.

    Features come in the order in which they lie in memory: channels-last x is not copied either.
    """
    if x.ndim < 2 or x.shape[1] == 0:
        raise ValueError(f"x is {tuple(x.shape)}; (n, t, *feature) with t >= 1 was wanted.")
    order = sorted(range(2, x.ndim), key=lambda axis: -x.stride(axis))
    ordered = x.permute(0, 1, *order)
    back = [0, 1, *(2 + order.index(axis) for axis in range(2, x.ndim))]
    flat = ordered.reshape(*x.shape[:2], math.prod(x.shape[2:]))
    return flat, lambda y: y.reshape(*y.shape[:2], *ordered.shape[2:]).permute(back)


def inside(lengths: Tensor, t: int) -> Tensor:
    return torch.arange(t, device=lengths.device) < lengths[:, None]


def check_lengths(lengths: Tensor, n: int, t: int) -> Tensor:
    if lengths.shape != (n,) or lengths.dtype != torch.int64:
        raise ValueError(
            f"lengths are {lengths.dtype} {tuple(lengths.shape)}; int64 ({n},) was wanted."
        )
    if ((lengths < 1) | (lengths > t)).any():
        raise ValueError(
            f"lengths run from {int(lengths.min())} to {int(lengths.max())}; 1..{t} was wanted, "
            "since that many frames came."
        )
    return lengths


def check_count(g: int) -> None:
    if not isinstance(g, int) or g < 1:
        raise ValueError(f"g is {g!r}; a whole number of clusters, at least 1, was wanted.")


def check_choice(name: str, value: str, choices: object) -> None:
    if value not in get_args(choices):
        raise ValueError(f"{name} is {value!r}; one of {get_args(choices)} was wanted.")
