"""Training: one loop, the optimiser of TSM, and what a run is made of, from the recipe file."""

from fvlib.training.loop import History, Recipe, save_atomically, train
from fvlib.training.optimizer import parameter_groups
from fvlib.training.recipes import (
    build_network,
    like_of,
    move4mnist_sets,
    parameters_of,
    recipe_of,
    rows_of,
)

__all__ = [
    "History",
    "Recipe",
    "build_network",
    "like_of",
    "move4mnist_sets",
    "parameter_groups",
    "parameters_of",
    "recipe_of",
    "rows_of",
    "save_atomically",
    "train",
]
