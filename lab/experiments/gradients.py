"""Do similar frames have similar gradients? Figs. 4, 5 and 6, counted over many clips."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from fvlib.clustering import (
    cumulative_clusters,
    hamming_distances,
    slope_clusters,
    uniform_clusters,
)
from fvlib.datasets import CLASSES, InMemory
from fvlib.datasets.loading import batches, chunks
from fvlib.datasets.sampling import FrameSampler
from fvlib.models import TSMResNet
from fvlib.training import save_atomically, train
from lab import gradients
from lab.building import move4mnist_sets
from lab.experiments.parts import (
    curves,
    describe,
    half_precision,
    network,
    same_data,
    sample_beside,
    training_cost,
)
from lab.parameters import Gradients, Network
from lab.recipes import recipe_of

STAGES = ("layer1", "layer2", "layer3", "layer4")
METRICS = ("euclidean", "hamming")
# Of the clusters in the loss, in both settings. "still" is "size" with the loss held still: its
# slope in the logits is that of the full network.
EVERYTHING = {"clip": ("equal", "size", "still"), "frame": ("equal", "size")}
ON_THE_WAY = {"clip": ("size", "still")}
BATCH = 10  # clips

Arrays = dict[str, np.ndarray]


def run_gradients(parameters, seed, beside, checkpoint, device, progress):
    """Train a row of Table 1, and measure its network's frames at several moments on the way.

    The network of each moment is kept beside the checkpoint until the record is written. Its
    last weights go to samples/, in half precision, for the chapter's live cells.
    """
    model = network(parameters, seed, beside).to(device)
    sets = move4mnist_sets(parameters)
    described = describe("Move4MNIST", sets)
    same_data(checkpoint, described)
    moments = {epoch: checkpoint.with_suffix(f".epoch{epoch}") for epoch in parameters.moments}

    def keep(epoch: int, model: nn.Module, _=None) -> None:
        if epoch + 1 in moments:
            save_atomically(model.state_dict(), moments[epoch + 1])

    # A run that was killed between a checkpoint and its moment, or after the last, starts again.
    if checkpoint.exists():
        done = torch.load(checkpoint, map_location=device, weights_only=True)["epoch"]
        if not all(file.exists() for epoch, file in moments.items() if epoch <= done):
            checkpoint.unlink()
    if not checkpoint.exists():
        keep(-1, model)
    train_set = InMemory(*sets["train"].materialise(progress), name="Move4MNIST")
    history = train(
        model,
        train_set,
        recipe_of(parameters),
        seed=seed,
        classes=list(CLASSES),
        checkpoint=checkpoint,
        device=device,
        progress=progress,
        after_epoch=keep,
    )
    save_atomically(half_precision(model), sample_beside(checkpoint))

    test_set = InMemory(*sets["test"].materialise(progress))
    few = range(parameters.few_clips)
    model.eval()
    arrays = measure_relations(model, test_set, range(len(test_set)), EVERYTHING, progress)
    some = range(parameters.error_clips)
    arrays |= measure_errors(model, test_set, some, EVERYTHING, parameters, seed, progress)
    on_the_way = []
    for file in [None, *moments.values()]:
        if file is None:
            load_untrained(model, parameters, seed, train_set)
        else:
            model.load_state_dict(torch.load(file, map_location=device, weights_only=True))
        found = measure_relations(model, test_set, few, ON_THE_WAY, progress)
        found |= measure_errors(model, test_set, few, ON_THE_WAY, parameters, seed, progress)
        on_the_way.append(found)
    for name in on_the_way[0]:
        if name.startswith(("error", "cosine", "line", "spearman")):
            arrays[f"moments_{name}"] = np.stack([found[name] for found in on_the_way])
    entry = {
        "dataset": described,
        "protocol": {},
        "results": {
            "moments": ["untrained", *(f"epoch {epoch}" for epoch in moments)],
            "train_loss": round(history.train_loss[-1], 4),
        },
        "cost": training_cost(model, (1, *sets["test"][0][0].shape), history, device),
    }
    # Half precision has three digits, which is enough, and ends above 6e4.
    arrays = {name: np.minimum(values, 6e4).astype("float16") for name, values in arrays.items()}
    return entry, arrays | curves(history)


@torch.no_grad()
def load_untrained(model: TSMResNet, parameters: Network, seed: int, clips: InMemory) -> None:
    """Random weights, and in BatchNorm the statistics that they give on some clips."""
    start = replace(parameters, init=None, weights=None)
    model.load_state_dict(network(start, seed, Path()).state_dict())
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean of all that comes
    model.train()
    for x, _ in _batches(model, clips, range(min(len(clips), 5 * BATCH))):
        model(x, cluster=False)
    for norm in norms:
        norm.momentum = 0.1
    model.eval()


def measure_relations(
    model: TSMResNet,
    clips: InMemory,
    indices: Sequence[int],
    settings: Iterable[str],
    progress: bool = False,
) -> Arrays:
    """Figs. 4 and 5, one number a clip: name -> (clips,).

    rank_STAGE: correlation of ranks between the Hamming distances of neighbours at block 1 and at a
    later stage. neighbours, others: % of block 1's bits that differ between frames that follow each
    other, and between all others. apart_STAGE is the mean over clips by distance in time, (t-1,).
    STATISTIC_SETTING_METRIC: `gradients.Relation` of the distances of activations and gradients at
    block 1. The model is taken in the mode it is in.
    """
    found: dict[str, list] = {}
    for x, target in _batches(model, clips, indices, "relations", progress):
        with torch.no_grad():
            activations = {name: model.features(x, upto=name, cluster=False) for name in STAGES}
        block1 = activations["layer1"]
        near = {m: gradients.pairs(gradients.activation_distances(block1, m)) for m in METRICS}
        _collect(found, _signs(activations))
        for setting in settings:
            frames = gradients.frame_gradients(model, x, target, stage="layer1", setting=setting)
            apart = gradients.pairs(gradients.gradient_distances(frames)).cpu()
            for metric, distance in near.items():
                both = gradients.relation(distance.cpu(), apart)._asdict().items()
                _collect(found, ((f"{name}_{setting}_{metric}", value) for name, value in both))
    arrays = {name: np.concatenate(values) for name, values in found.items()}
    return {
        name: values.mean(0) if name.startswith("apart") else values
        for name, values in arrays.items()
    }


def measure_errors(
    model: TSMResNet,
    clips: InMemory,
    indices: Sequence[int],
    weightings: Mapping[str, Iterable[str]],
    parameters: Gradients,
    seed: int,
    progress: bool = False,
) -> Arrays:
    """Fig. 6, one number a clip: name -> (clips,).

    weightings: by setting, those to measure.
    error_SETTING_WEIGHTING_METHOD: distances of the clusters' gradients from the sums over their
    frames, added up, in % of the added norms of all frames' gradients. total_...: distance of the
    whole clip's gradient from the true one, in % of the norm of that. cosine_...: between the two.
    spread_SETTING_METHOD: summed squared distances of the frames' gradients to the mean of their
    cluster, in % of those to the mean of the clip. Methods: cumulative, keep (cumulative, with its
    empty clusters), slope, uniform, random cuts, and best, which minimises the spread. seed: of the
    random cuts.
    """
    generator = torch.Generator().manual_seed(seed)
    g, stage = parameters.g, parameters.stage
    found: dict[str, list] = {}
    for x, target in _batches(model, clips, indices, "errors", progress):
        with torch.no_grad():
            dist = hamming_distances(model.features(x, upto="layer1"))
        labels = {
            "cumulative": cumulative_clusters(dist, g),
            "keep": cumulative_clusters(dist, g, empty="keep"),
            "slope": slope_clusters(dist, g),
            "uniform": uniform_clusters(dist, g),
            "random": gradients.random_clusters(*x.shape[:2], g, generator=generator).to(x.device),
        }
        residual = gradients.full_residual(model, x, target)
        for setting, each in weightings.items():
            options = {"stage": stage, "setting": setting}
            true = gradients.frame_gradients(model, x, target, **options)
            apart = gradients.gradient_distances(true)
            labels["best"] = gradients.best_clusters(apart, g)
            whole = gradients.cluster_spread(apart, torch.zeros_like(labels["best"]))
            for method, chosen in labels.items():
                spread = 100 * gradients.cluster_spread(apart, chosen) / whole
                _collect(found, [(f"spread_{setting}_{method}", spread.cpu())])
                for weighting in each:
                    still = {"weighting": "size", "residual": residual}
                    how = still if weighting == "still" else {"weighting": weighting}
                    one = gradients.cluster_gradients(model, x, target, chosen, g, **how, **options)
                    errors = gradients.cluster_errors(true, one, chosen)
                    values = {
                        "error": 100 * errors.distance.sum(1) / errors.frames_norm,
                        "total": 100 * errors.total / errors.total_norm,
                        "cosine": errors.cosine,
                    }
                    name = f"{setting}_{weighting}_{method}"
                    _collect(found, ((f"{key}_{name}", v.cpu()) for key, v in values.items()))
    return {name: np.concatenate(values) for name, values in found.items()}


def _signs(activations: Mapping[str, Tensor]) -> Iterator[tuple[str, np.ndarray]]:
    block1 = hamming_distances(activations["layer1"]).cpu()
    for name in STAGES[1:]:
        later = hamming_distances(activations[name]).cpu()
        yield f"rank_{name}", gradients.relation(block1, later).spearman
    for name, x in activations.items():
        share = gradients.activation_distances(x, "hamming").cpu().numpy() * 100 / x[0, 0].numel()
        pairs = range(share.shape[1] - 1, 0, -1)  # how many have each distance in time
        lags = [share.diagonal(lag, 1, 2).mean(1) for lag in range(1, share.shape[1])]
        yield f"apart_{name}", np.stack(lags, 1)
        if name == "layer1":
            yield "neighbours", lags[0]
            yield "others", np.average(lags[1:], axis=0, weights=pairs[1:])


def _batches(model, clips, indices, what="", progress=False) -> Iterator[tuple[Tensor, Tensor]]:
    steps = chunks(np.array(indices), BATCH)
    shown = batches(clips, steps, FrameSampler("all"))
    for batch in tqdm(shown, what, len(steps), leave=False, disable=not progress):
        x, target, *_ = batch.to(model.device)
        yield x, target


def _collect(found: dict[str, list], values: Iterable[tuple[str, Any]]) -> None:
    for name, value in values:
        found.setdefault(name, []).append(np.asarray(value))
