"""What several experiments share: a trial, the protocols of its tests, entries of its record."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn

from fvlib import cost, distributed
from fvlib.contracts import Clips
from fvlib.datasets import CLASSES, Move4MNIST
from fvlib.datasets.sampling import DENSE_VIEWS
from fvlib.evaluation import Evaluation, Protocol
from fvlib.models import TSMResNet
from fvlib.recipe import Recipe
from fvlib.storage import write_file
from fvlib.training import History, train
from lab.building import build_network
from lab.parameters import Benchmark, Network, Table1
from lab.recipes import recipe_of
from lab.records.identity import go_on

CLIP_FRAMES = 32  # of a clip of Move4MNIST
UNMEASURED: Mapping[str, Any] = dict.fromkeys(("wall_s", "peak_mem_mb", "params", "macs"))


@dataclass(frozen=True)
class Trial:
    """A run as its experiment gets it.

    Args:
        parameters: all settings, resolved from the recipe file.
        seed: of all random numbers.
        beside: the folder that paths among the parameters are relative to.
        checkpoint: where training keeps its state until the record is written; other files of its
            stem beside it are kept as long.
        device: where it runs.
        progress: whether it shows progress bars.
        log: a file that has one line of JSON an epoch.
    """

    parameters: Any
    seed: int
    beside: Path
    checkpoint: Path
    device: str = "cpu"
    progress: bool = False
    log: Path | None = None

    def network(self, classes: Sequence[str] = CLASSES) -> TSMResNet:
        """The network that the parameters name, as its seed makes it."""
        return network(self.parameters, self.seed, self.beside, classes)

    def train(
        self,
        model: nn.Module,
        clips: Clips,
        classes: Sequence[str] = CLASSES,
        *,
        recipe: Recipe | None = None,
        workers: int = 0,
        after_epoch: Callable[[int, nn.Module, History], None] | None = None,
    ) -> History:
        """Train by the parameters, or by a recipe of its own, and go on where it was stopped.

        TimeIsUp between two epochs, or behind the last one, when a `time_limit` says so.
        """

        def told(epoch: int, model: nn.Module, history: History) -> None:
            self._note(history)
            if after_epoch is not None:
                after_epoch(epoch, model, history)
            require_time()

        history = train(
            model,
            clips,
            recipe or recipe_of(self.parameters),
            seed=self.seed,
            classes=list(classes),
            checkpoint=self.checkpoint,
            device=self.device,
            workers=workers,
            progress=self.progress,
            after_epoch=told,
        )
        self._note(history)  # when it was killed behind its last epoch, too
        return history

    def _note(self, history: History) -> None:
        """Write the log, whole: what was killed before its checkpoint is in none."""
        if self.log is not None:
            names = ("epoch", *vars(history))
            epochs = enumerate(zip(*vars(history).values(), strict=True), 1)
            lines = [json.dumps(dict(zip(names, (i, *one), strict=True))) for i, one in epochs]
            write_file(self.log, "\n".join([*lines, ""]))


class TimeIsUp(Exception):
    """What comes next would not end in time. Nothing is lost: it is raised behind a checkpoint."""


_LIMIT: ContextVar[Callable[[], None]] = ContextVar("limit", default=lambda: None)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """While the block runs, `require_time` raises TimeIsUp when too little is left of `seconds`.

    That is less than the longest time so far from one call of it to the next, or from the start to
    the first: an epoch, or the end of one run and the beginning of another. So whatever the limit,
    a first epoch is always trained, and calls that are repeated come to an end.
    """
    last = start = time.monotonic()
    longest = 0.0

    def look() -> None:
        nonlocal last, longest
        now = time.monotonic()
        last, longest = now, max(longest, now - last)
        if now + longest > start + seconds:
            raise TimeIsUp("the time is up")

    token = _LIMIT.set(look)
    try:
        yield
    finally:
        _LIMIT.reset(token)


def require_time() -> None:
    """TimeIsUp when there is a limit, and too little time before it; call it where one may stop."""
    _LIMIT.get()()


def network(
    parameters: Network, seed: int, beside: Path, classes: Sequence[str] = CLASSES
) -> TSMResNet:
    """The network of a run, with the random numbers of its seed and no others."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build_network(parameters, len(classes), beside)


def same_data(checkpoint: Path, described: Mapping[str, Any]) -> None:
    """ValueError if a checkpoint is of a run on other data; otherwise its data is noted.

    It comes before anything is read or written beside the checkpoint.

    Args:
        described: the record's entry on the clips.
    """
    if distributed.is_rank_zero():
        go_on(checkpoint, {"data": described["sha256"]})


def describe_generated(sets: Mapping[str, Move4MNIST]) -> dict[str, Any]:
    """The record's entry on the clips of Move4MNIST of each split: files, numbers and options."""
    parts = {split: clips.describe() for split, clips in sets.items()}
    return {
        "name": Move4MNIST.name,
        "splits": {split: part.pop("name") for split, part in parts.items()},
        **{
            key: {split: part[key] for split, part in parts.items()}
            for key in ("sha256", "counts", "seed", "options")
        },
    }


def measurement(
    dataset: Mapping[str, Any], results: Mapping[str, Any], cost: Mapping[str, Any] = UNMEASURED
) -> dict[str, Any]:
    """The entries of a record that has no test of a network's accuracy."""
    return {"dataset": dataset, "protocol": {}, "results": results, "cost": cost}


def generated(name: str, **counts: int) -> dict[str, Any]:
    """The record's entry on data that are drawn anew: how many there are."""
    return {"name": name, "sha256": {}, "counts": counts}


def accuracy(result: Evaluation) -> dict[str, Any]:
    """The record's entry on right answers: how many, of how many, and in percent."""
    return {"correct": result.correct, "total": len(result.target), "top1": round(result.top1, 2)}


def measure_each(
    protocols: Mapping[str, Protocol], measure: Callable[[Protocol], Evaluation]
) -> dict[str, Evaluation]:
    """What a network gives by each protocol, by name; one that has two names is measured once."""
    found = {protocol: measure(protocol) for protocol in dict.fromkeys(protocols.values())}
    return {name: found[protocol] for name, protocol in protocols.items()}


def tested(
    trial: Trial,
    model: TSMResNet,
    dataset: Mapping[str, Any],
    protocols: Mapping[str, Mapping[str, Any]],
    measured: Mapping[str, Evaluation],
    history: History,
    shape: Sequence[int],
) -> dict[str, Any]:
    """The entries of a record of a network that was trained, and tested by these protocols.

    Args:
        protocols: what the record says of each.
        shape: of a video, (1, t, c, h, w).
    """
    loss = {"train_loss": round(history.train_loss[-1], 4)}
    return {
        "dataset": dataset,
        "protocol": protocols,
        "results": {name: accuracy(result) for name, result in measured.items()} | loss,
        "cost": training_cost(model, shape, history, trial.device),
    }


def add_epochs(entry: Mapping[str, Any], epochs: int, history: History) -> None:
    """Add to the entry of a row on Move4MNIST how many epochs it had, and what one of them took."""
    entry["results"]["epochs"] = epochs
    entry["cost"]["epoch_s"] = round(median(history.seconds), 2)


def curves(history: History) -> dict[str, np.ndarray]:
    """The record's arrays on training: loss and accuracy (%) of each epoch."""
    found = {"train_loss": history.train_loss, "train_top1": history.train_top1}
    return {name: torch.tensor(values).numpy() for name, values in found.items()}


def predictions(measured: Mapping[str, Evaluation]) -> dict[str, np.ndarray]:
    """The record's arrays on a test: predicted classes by protocol, and the true ones."""
    arrays = {f"{name}_prediction": result.prediction for name, result in measured.items()}
    arrays["target"] = measured["clustered"].target
    return {name: classes.astype("uint8") for name, classes in arrays.items()}


def scores(measured: Mapping[str, Evaluation]) -> dict[str, np.ndarray]:
    """The record's arrays on a test whose scores are to be added to others': (clips, classes)."""
    return {f"{name}_scores": result.scores.astype("float32") for name, result in measured.items()}


def half_precision(model: TSMResNet) -> dict[str, torch.Tensor]:
    """The weights of a network as samples/ keeps them: on the CPU, in half precision.

    What is in double precision, such as the threshold of adaptive clusters, stays.

    Raises:
        FloatingPointError: for weights that half precision cannot hold, or that are no numbers.
    """
    weights = {name: value.cpu() for name, value in model.state_dict().items()}
    halves = {k: v.half() if v.dtype == torch.float32 else v for k, v in weights.items()}
    for name, value in halves.items():
        if value.dtype == torch.float16 and not value.isfinite().all():
            raise FloatingPointError(
                f"{name} is not finite in half precision; a smaller lr or grad_clip may help"
            )
    return halves


def sample_beside(checkpoint: Path) -> Path:
    """Where a run leaves its last weights for live cells: in samples/ beside the records."""
    name = f"{checkpoint.parent.name}-{checkpoint.stem}.pt"  # as table2-small-embedded-tsm-8-s0.pt
    return checkpoint.parents[2] / "samples" / name


def training_cost(
    model: TSMResNet, shape: Sequence[int], history: History, device: str
) -> dict[str, Any]:
    """The record's entry on cost: time and peak memory of the run, multiply-adds of one video.

    The peak is that since `run` began, on a GPU that of the allocator.

    Args:
        shape: of the video, (1, t, c, h, w).
    """
    return {
        "wall_s": round(sum(history.seconds), 1),
        "peak_mem_mb": round(cost.memory_peak(device) / 2**20),
        "params": cost.parameter_count(model),
        "macs": cost.multiply_adds(model, shape),
    }


def protocols_of(parameters: Table1 | Benchmark) -> dict[str, Protocol]:
    """Both protocols of a row, with its crops; a row without clusters has one with two names.

    A row that is trained on windows is tested on ten of them too.

    Parameters named `test_...` are the protocol's own, in place of those of training.
    """
    whole = {
        "stride": parameters.stride,
        "resolution": parameters.resolution if parameters.test_crop is None else None,
        "scale": parameters.test_scale,
        "crop": parameters.test_crop,
        "crops": parameters.test_crops or 1,
    }
    some = {**whole, "stride": 1, "sampling": parameters.sampling}
    few = parameters.clusters or parameters.frames
    sampled = Protocol("all", False, **whole) if few == "all" else Protocol(few, False, **some)
    if parameters.clusters is None:
        return dict.fromkeys(("clustered", "sampled"), sampled)
    both = {"clustered": Protocol("all", True, **whole), "sampled": sampled}
    if parameters.window is None:
        return both
    windows = {"window": parameters.window, "views": DENSE_VIEWS}
    return {**both, "windows": Protocol("all", True, **whole, **windows)}


def orders_of(protocols: Mapping[str, Protocol], orders: Iterable[str]) -> dict[str, Protocol]:
    """The protocols, and each of them again with the frames in these orders, by name_order."""
    again = {
        f"{name}_{order}": replace(protocol, order=order)
        for name, protocol in protocols.items()
        for order in orders
    }
    return {**protocols, **again}
