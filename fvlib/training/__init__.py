"""Training: one loop, the optimiser of TSM, and determinism."""

from fvlib.recipe import Recipe
from fvlib.training.loop import (
    History,
    deterministic,
    parameter_groups,
    save_atomically,
    train,
)

__all__ = [
    "History",
    "Recipe",
    "deterministic",
    "parameter_groups",
    "save_atomically",
    "train",
]
