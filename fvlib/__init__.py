"""Full video action recognition: temporal clustering of ResNet activations::

    from fvlib import TemporalClustering, tsm_resnet, video_folder, Recipe, train

Each public name is loaded when it is first used, so that `import fvlib` does not wait for torch.
What there is, in the order in which it is read::

    clustering/labels.py         where the clusters are cut (Eq. 8, Fig. 3)
    models/shift.py              the temporal shift: how frames of a network know of one another
    models/tsm.py                the network with its one clustering step (Fig. 2)
    models/full_video.py         the step in any other image network
    models/memory_efficient.py   the same in pieces, so that memory does not grow with the video
    datasets/videos/files.py     where a video is decoded
    training/loop.py             one training loop for all networks and all data
    evaluation.py                protocols: what a network is shown when it is tested
    own/                         your own videos: from a folder of clips to a model and its answers
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what editors and type checkers see
    from fvlib.clustering import (
        TemporalClustering,
        aggregate,
        cumulative_clusters,
        hamming_distances,
        slope_clusters,
        uniform_clusters,
    )
    from fvlib.datasets import Move4MNIST
    from fvlib.datasets.videos import read_benchmark as load_benchmark
    from fvlib.datasets.videos import video_folder
    from fvlib.evaluation import Protocol, evaluate
    from fvlib.models import load_checkpoint, tsm_resnet
    from fvlib.models.full_video import full_video
    from fvlib.own.compare import compare
    from fvlib.own.fit import fit
    from fvlib.own.model import load_model
    from fvlib.own.predict import predict
    from fvlib.recipe import Recipe
    from fvlib.training import train

__version__ = "1.0.0"  # the one place; pyproject.toml reads it

_HOMES = {
    "TemporalClustering": "clustering",
    "aggregate": "clustering",
    "cumulative_clusters": "clustering",
    "hamming_distances": "clustering",
    "slope_clusters": "clustering",
    "uniform_clusters": "clustering",
    "Move4MNIST": "datasets",
    "load_benchmark": "datasets.videos:read_benchmark",
    "video_folder": "datasets.videos",
    "Protocol": "evaluation",
    "evaluate": "evaluation",
    "compare": "own.compare",
    "fit": "own.fit",
    "full_video": "models.full_video",
    "load_checkpoint": "models",
    "load_model": "own.model",
    "predict": "own.predict",
    "tsm_resnet": "models",
    "Recipe": "recipe",
    "train": "training",
}  # where each public name lives

EXTRAS = {
    **dict.fromkeys(("av", "PIL", "matplotlib", "safetensors"), "video"),
    **{"sklearn": "embedded", "cv2": "flow"},
    "timm": "timm",
    **dict.fromkeys(("papermill", "nbformat", "nbclient", "jupytext", "IPython"), "book"),
    **dict.fromkeys(("seaborn", "scipy", "ipywidgets"), "book"),
}  # packages that not everybody has, and the extra of this project that brings each

__all__ = [
    "Move4MNIST",
    "Protocol",
    "Recipe",
    "TemporalClustering",
    "aggregate",
    "compare",
    "cumulative_clusters",
    "evaluate",
    "fit",
    "full_video",
    "hamming_distances",
    "load_benchmark",
    "load_checkpoint",
    "load_model",
    "predict",
    "slope_clusters",
    "train",
    "tsm_resnet",
    "uniform_clusters",
    "video_folder",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(
            f"fvlib has no {name}; at the top there are {', '.join(__all__)}", name=name
        )
    module, _, own = _HOMES[name].partition(":")
    return globals().setdefault(name, getattr(import_module(f"fvlib.{module}"), own or name))


def extra(module: str) -> ModuleType:
    """A module of a package that an extra brings; ModuleNotFoundError says which is missing."""
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        said = f"{package} is not installed; pip install 'fvlib[{EXTRAS[package]}]'"
        raise ModuleNotFoundError(said, name=package) from error


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
