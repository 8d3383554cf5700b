"""Training: one loop, the optimiser of TSM, and what may surround them."""

from fvlib.recipe import Recipe
from fvlib.training.contexts import (
    EpochLog,
    TimeIsUp,
    deterministic,
    reporting,
    require_time,
    time_limit,
)
from fvlib.training.loop import History, parameter_groups, save_atomically, train

__all__ = [
    "EpochLog",
    "History",
    "Recipe",
    "TimeIsUp",
    "deterministic",
    "parameter_groups",
    "reporting",
    "require_time",
    "save_atomically",
    "time_limit",
    "train",
]
