"""What public functions share: inputs refused in a sentence, and the shape of activations."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_tensor(
    name: str,
    value: object,
    wanted: str,
    *,
    dtypes: Sequence[torch.dtype] = (),
    ndim: int | None = None,
) -> None:
    """Raise ValueError unless a value is a tensor, of one of the types, with so many axes.

    Args:
        wanted: what messages call it, as `(n, t, *feature)`.
        dtypes: that it may have; none for any.
    """
    if not isinstance(value, Tensor):
        raise ValueError(f"{name} is of type {type(value).__name__}; a tensor {wanted} was wanted.")
    if dtypes and value.dtype not in dtypes:
        known = ", ".join(str(dtype)[6:] for dtype in dtypes)
        raise ValueError(f"{name} is {value.dtype}; {wanted} in one of {known} was wanted.")
    if ndim is not None and value.ndim != ndim:
        raise ValueError(f"{name} is {tuple(value.shape)}; {wanted} was wanted.")


def flatten(x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """x as (n, t, features), and the way back for a result with another t.

    Features come in the order in which they lie in memory: channels-last x is not copied either.
    """
    check_tensor("x", x, "(n, t, *feature)")
    if x.ndim < 2 or x.shape[1] == 0:
        raise ValueError(f"x is {tuple(x.shape)}; (n, t, *feature) with t >= 1 was wanted.")
    order = sorted(range(2, x.ndim), key=lambda axis: -x.stride(axis))
    ordered = x.permute(0, 1, *order)
    back = [0, 1, *(2 + order.index(axis) for axis in range(2, x.ndim))]
    flat = ordered.reshape(*x.shape[:2], math.prod(x.shape[2:]))
    return flat, lambda y: y.reshape(*y.shape[:2], *ordered.shape[2:]).permute(back)


def values_at_once(device: torch.device) -> int:
    """How many values are worked on together: a part that stays in the cache of a CPU."""
    return 2**21 if device.type == "cpu" else 2**26


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
