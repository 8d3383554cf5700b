"""How closely one distance follows another: correlations, a line, and any rising curve."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Num
from torch import Tensor


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
