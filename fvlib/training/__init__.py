"""Training: one loop, and the optimiser of TSM."""

from fvlib.recipe import Recipe
from fvlib.training.determinism import deterministic
from fvlib.training.limit import TimeIsUp, require_time, time_limit
from fvlib.training.loop import History, train
from fvlib.training.optimizer import parameter_groups
from fvlib.training.reports import EpochLog, TensorBoard, reporting
from fvlib.training.saving import save_atomically

__all__ = [
    "EpochLog",
    "History",
    "Recipe",
    "TensorBoard",
    "TimeIsUp",
    "deterministic",
    "parameter_groups",
    "reporting",
    "require_time",
    "save_atomically",
    "time_limit",
    "train",
]
