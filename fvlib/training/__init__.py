"""Training: one loop, the optimiser of TSM, and what a run is made of, from the recipe file."""

from fvlib.recipes import Recipe, parameters_of, recipe_of, rows_of
from fvlib.training.building import build_network, move4mnist_sets
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
    "build_network",
    "deterministic",
    "move4mnist_sets",
    "parameter_groups",
    "parameters_of",
    "recipe_of",
    "reporting",
    "require_time",
    "rows_of",
    "save_atomically",
    "time_limit",
    "train",
]
