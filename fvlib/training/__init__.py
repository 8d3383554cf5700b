"""Training: one loop, the optimiser of TSM, and the experiments of the book."""

from fvlib.training.experiments import build_network, move4mnist_sets, parameters_of, run
from fvlib.training.loop import History, Recipe, train
from fvlib.training.optimizer import parameter_groups

__all__ = [
    "History",
    "Recipe",
    "build_network",
    "move4mnist_sets",
    "parameter_groups",
    "parameters_of",
    "run",
    "train",
]
