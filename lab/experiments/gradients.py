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

from fvlib.clustering import METHODS, cumulative_clusters, hamming_distances
from fvlib.contracts import Clips
from fvlib.datasets import InMemory
from fvlib.datasets.loading import batches, chunks
from fvlib.datasets.sampling import FrameSampler
from fvlib.evaluation import Protocol, in_eval_mode, views_of
from fvlib.models import TSMResNet
from fvlib.training import save_atomically
from lab import gradients
from lab.building import move4mnist_sets
from lab.experiments import parts
from lab.experiments.parts import Trial
from lab.parameters import Benchmark, Network

STAGES = ("layer1", "layer2", "layer3", "layer4")
METRICS = ("euclidean", "hamming")
# Of the clusters in the loss, in both settings. "still" is "size" with the loss held still: its
# slope in the logits is that of the full network.
EVERYTHING = {"clip": ("equal", "size", "still"), "frame": ("equal", "size")}
ON_THE_WAY = {"clip": ("size", "still")}
BATCH = 10  # clips
# The readings of Fig. 6, all with all others: at which stage, with which loss, what of a cluster is
# compared with what of its frames (`measure_readings`), and of which groupings.
READINGS = {
    "stage": STAGES[1:],  # before the clustering step there is no single gradient
    "loss": ("clip", "still", "frame"),
    "compared": ("equal", "size", "mean", "single", "relative"),
    "method": ("uniform", "slope", "cumulative"),
}

Arrays = dict[str, np.ndarray]


def run_gradients(trial: Trial):
    """Train a row of Table 1, and measure its network's frames at several moments on the way.

    The network of each moment is kept beside the checkpoint until the record is written. Its
    last weights go to samples/, in half precision, for the chapter's live cells.
    """
    parameters, seed, device, progress = trial.parameters, trial.seed, trial.device, trial.progress
    checkpoint, model = trial.checkpoint, trial.network().to(device)
    sets = move4mnist_sets(parameters, seed)
    described = parts.describe_generated(sets)
    parts.same_data(checkpoint, described)
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
    history = trial.train(model, train_set, after_epoch=keep)
    save_atomically(parts.half_precision(model), parts.sample_beside(checkpoint))

    test_set = InMemory(*sets["test"].materialise(progress))
    few = range(parameters.few_clips)
    model.eval()
    arrays = measure_relations(model, test_set, range(len(test_set)), EVERYTHING, progress)
    some = range(parameters.error_clips)
    compared = parameters.g, parameters.stage
    arrays |= measure_errors(model, test_set, some, EVERYTHING, *compared, seed, progress)
    some_more, on_the_way = range(parameters.reading_clips), []
    for file in [None, *moments.values()]:
        if file is None:
            load_untrained(model, parameters, seed, train_set)
        else:
            model.load_state_dict(torch.load(file, map_location=device, weights_only=True))
        found = measure_relations(model, test_set, few, ON_THE_WAY, progress)
        found |= measure_errors(model, test_set, few, ON_THE_WAY, *compared, seed, progress)
        found |= measure_readings(model, test_set, some_more, parameters.g, progress)
        on_the_way.append(found)
    for name in on_the_way[0]:
        if name.startswith(("error", "cosine", "line", "spearman", "readings")):
            arrays[f"moments_{name}"] = np.stack([found[name] for found in on_the_way])
    results = {
        "moments": ["untrained", *(f"epoch {epoch}" for epoch in moments)],
        "readings": {axis: list(names) for axis, names in READINGS.items()},
        "train_loss": round(history.train_loss[-1], 4),
    }
    cost = parts.training_cost(model, (1, *sets["test"][0][0].shape), history, device)
    return parts.measurement(described, results, cost), shortened(arrays) | parts.curves(history)


def measure_film(
    model: TSMResNet, clips: Clips, protocol: Protocol, parameters: Benchmark, seed: int
) -> Arrays:
    """Figs. 4, 5 and 6 at the end of a training, on some clips of a stored set, in eval mode.

    Of each clip the middle frames of 32 equal segments are taken, cropped as in the test: name ->
    (clips,) as `measure_relations` and `measure_errors` have them, and "measured", which clips.

    Args:
        protocol: whose crop is taken.
        parameters: `gradient_clips`, spread evenly over the list; 16 clusters are compared, and of
            Fig. 6 block 3, as in the experiment gradients.
        seed: of the random cuts.
    """
    count = min(parameters.gradient_clips, len(clips))
    chosen = np.linspace(0, len(clips) - 1, count).round().astype(np.int64)
    frames, targets = [], []
    for batch in batches(clips, chunks(chosen, BATCH), FrameSampler(32)):
        frames.append(views_of(batch.x, protocol)[:, 0])
        targets.append(batch.target)
    film = InMemory(torch.cat(frames), torch.cat(targets))
    with in_eval_mode(model):
        arrays = measure_relations(model, film, range(count), EVERYTHING)
        arrays |= measure_errors(model, film, range(count), EVERYTHING, 16, "layer3", seed)
    return shortened(arrays) | {"measured": chosen.astype("uint16")}


def shortened(arrays: Arrays) -> Arrays:
    """The arrays in as few digits as they are worth.

    Three digits are enough, in half precision, which ends above 6e4 and below 6e-8. Distances of
    gradients may be smaller than that.
    """
    return {
        name: values.astype("float32")
        if name.startswith(("distance", "each"))
        else np.minimum(values, 6e4).astype("float16")
        for name, values in arrays.items()
    }


@torch.no_grad()
def load_untrained(model: TSMResNet, parameters: Network, seed: int, clips: InMemory) -> None:
    """Random weights, and in BatchNorm the statistics that they give on some clips."""
    start = replace(parameters, init=None, weights=None)
    model.load_state_dict(parts.network(start, seed, Path()).state_dict())
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
    block 1. loss_SETTING_METRIC: correlation of ranks between the distances of activations and the
    differences of single frames' losses. The model is taken in the mode it is in.
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
            losses = gradients.frame_losses(model, x, target, setting=setting)
            gaps = gradients.pairs((losses[:, :, None] - losses[:, None, :]).abs()).cpu()
            for metric, distance in near.items():
                values = gradients.relation(distance.cpu(), apart)._asdict()
                values["loss"] = gradients.relation(distance.cpu(), gaps).spearman
                _collect(found, values, f"_{setting}_{metric}")
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
    g: int,
    stage: str,
    seed: int,
    progress: bool = False,
) -> Arrays:
    """Fig. 6, one number a clip: name -> (clips,).

    `error_SETTING_WEIGHTING_METHOD`: distances of the clusters' gradients from the sums over their
    frames, added up, in % of the added norms of all frames' gradients. Where clusters weigh as many
    frames as they have: `distance_...`, the mean of these distances as they are, and `each_...`,
    those of the first clip's g clusters, (g,), as Fig. 6 has them. `total_...`: distance of the
    whole clip's gradient from the true one, in % of the norm of that. `cosine_...`: between the
    two. `spread_SETTING_METHOD`: summed squared distances of the frames' gradients to the mean of
    their cluster, in % of those to the mean of the clip. Methods: cumulative, keep (cumulative,
    with its empty clusters), slope, uniform, random cuts, and best, which minimises the spread.

    Args:
        weightings: by setting, those to measure.
        g: clusters that are compared.
        stage: whose gradients.
        seed: of the random cuts.
    """
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, list] = {}
    for x, target in _batches(model, clips, indices, "errors", progress):
        with torch.no_grad():
            dist = hamming_distances(model.features(x, upto="layer1"))
        labels = {
            **_groupings(dist, g),
            "keep": cumulative_clusters(dist, g, empty="keep"),
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
                _collect(found, {f"spread_{setting}_{method}": spread})
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
                    if weighting != "equal":
                        values["distance"] = errors.distance.mean(1)
                        found.setdefault(f"each_{name}", [errors.distance[0].cpu().numpy()])
                    _collect(found, values, f"_{name}")
    return {name: np.concatenate(values) for name, values in found.items()}


def measure_readings(
    model: TSMResNet, clips: InMemory, indices: Sequence[int], g: int, progress: bool = False
) -> Arrays:
    """Fig. 6 in all of its readings: "readings", (stage, loss, compared, method, clips).

    The axes are those of `READINGS`, and all numbers are in %. loss: that of the clip, the same
    held still (its slope in the logits is that of the full network), or one a frame. compared: a
    cluster's gradient with the sum of its frames' gradients, with clusters of "equal" weight in the
    loss, or with that of their frames ("size"); then of the latter the "mean" of both over the
    cluster's frames, its "single" share, as of one frame, with the sum, as Eq. 1 reads to the
    letter, and the size of the error "relative" to the cluster's own sum. Distances are added up
    over the clusters and given in % of the added norms of all frames' gradients; the "mean" is
    weighted so that it is the same as the sum where clusters are of equal size, and "relative" is
    the median over the clusters.
    """
    found = []
    for x, target in _batches(model, clips, indices, "readings", progress, BATCH // 2):
        with torch.no_grad():
            labels = _groupings(hamming_distances(model.features(x, upto="layer1")), g)
        residual = gradients.full_residual(model, x, target)
        by_loss = []
        for loss in READINGS["loss"]:
            options = {
                "stage": READINGS["stage"],
                "setting": "frame" if loss == "frame" else "clip",
            }
            true = gradients.frame_gradients(model, x, target, **options)
            options["residual"] = residual if loss == "still" else None
            by_method = []
            for method in READINGS["method"]:
                chosen = labels[method]
                equal, size = (
                    gradients.cluster_gradients(
                        model, x, target, chosen, g, weighting=weighting, **options
                    )
                    for weighting in ("equal", "size")
                )
                by_method.append(_compared(true, equal, size, chosen).cpu())
            by_loss.append(torch.stack(by_method, 2))
        found.append(torch.stack(by_loss, 1))
    return {"readings": torch.cat(found, -1).numpy()}


def _compared(
    true: Mapping[str, Tensor], equal: Mapping[str, Tensor], size: Mapping[str, Tensor], labels
) -> Tensor:
    """(stage, compared, n) of one grouping, in %: see `measure_readings`. No cluster is empty."""
    g = next(iter(size.values())).shape[1]
    sizes = gradients.sum_by_cluster(torch.ones_like(labels), labels, g)
    single = {
        name: term / sizes.view(*sizes.shape, *[1] * (term.ndim - 2)) for name, term in size.items()
    }
    mean = labels.shape[1] / (g * sizes)
    found = []
    for stage in READINGS["stage"]:
        names = [name for name in true if gradients.of_stage(name, stage)]
        of_stage = ({name: terms[name] for name in names} for terms in (true, equal, size, single))
        terms, *others = of_stage
        errors = [gradients.cluster_errors(terms, other, labels) for other in others]
        whole = errors[0].frames_norm
        sums = [error.distance.sum(1) / whole for error in errors]
        sums.insert(2, (errors[1].distance * mean).sum(1) / whole)
        relative = (errors[1].distance / errors[1].norm).nanquantile(0.5, dim=1)
        found.append(100 * torch.stack([*sums, relative]))
    return torch.stack(found)


def _groupings(dist: Tensor, g: int) -> dict[str, Tensor]:
    """The labels of the paper's three methods, given the distances of neighbours."""
    return {name: METHODS[name].labels(dist, g) for name in ("cumulative", "slope", "uniform")}


def _signs(activations: Mapping[str, Tensor]) -> Arrays:
    found, block1 = {}, hamming_distances(activations["layer1"]).cpu()
    for name in STAGES[1:]:
        later = hamming_distances(activations[name]).cpu()
        found[f"rank_{name}"] = gradients.relation(block1, later).spearman
    for name, x in activations.items():
        share = gradients.activation_distances(x, "hamming").cpu().numpy() * 100 / x[0, 0].numel()
        pairs = range(share.shape[1] - 1, 0, -1)  # how many have each distance in time
        lags = [share.diagonal(lag, 1, 2).mean(1) for lag in range(1, share.shape[1])]
        found[f"apart_{name}"] = np.stack(lags, 1)
        if name == "layer1":
            found["neighbours"] = lags[0]
            found["others"] = np.average(lags[1:], axis=0, weights=pairs[1:])
    return found


def _batches(
    model, clips, indices, what="", progress=False, size=None
) -> Iterator[tuple[Tensor, Tensor]]:
    steps = chunks(np.array(indices), size or BATCH)
    shown = batches(clips, steps, FrameSampler("all"))
    for batch in tqdm(shown, what, len(steps), leave=False, disable=not progress):
        x, target, *_ = batch.to(model.device)
        yield x, target


def _collect(found: dict[str, list], values: Mapping[str, Any], way: str = "") -> None:
    for name, value in values.items():
        value = value.cpu() if isinstance(value, Tensor) else value
        found.setdefault(f"{name}{way}", []).append(np.asarray(value))
