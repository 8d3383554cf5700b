"""Groups whose frames have like or unlike gradients, as pure and as large: what do they teach?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64, Int64, UInt8
from torch import Tensor

from fvlib.datasets import InMemory
from fvlib.evaluation import evaluate, purity
from fvlib.models import TSMResNet
from lab import gradients
from lab.building import move4mnist_sets
from lab.experiments import parts
from lab.experiments.parts import Trial
from lab.parameters import Groupings
from lab.recipes import recipe_of

BATCH = 10  # clips whose gradients are held at once


class Groups(NamedTuple):
    """Which group every frame of some clips is in, and what is known of the groups."""

    labels: Int64[Tensor, "n t"]
    spread: Float64[Tensor, " n"]  # of the gradients within groups, in % of that within the clip
    purity: Float64[Tensor, " n"]  # in %


def run_groupings(trial: Trial):
    """Train on groups of frames that are chosen before the training; test as other rows are.

    The network is trained by the groups of the training clips in place of its clustering step, and
    tested with its clustering step, so that rows differ in nothing but the groups they learnt from.
    """
    parameters, seed, device, progress = trial.parameters, trial.seed, trial.device, trial.progress
    model = trial.network().to(device)
    sets = move4mnist_sets(parameters, seed)
    described = parts.describe_generated(sets)
    parts.same_data(trial.checkpoint, described)
    videos, targets = sets["train"].materialise(progress)
    types = torch.stack([sets["train"].frame_labels(i).type for i in range(len(videos))])
    groups = choose_groups(model, videos, types, parameters, seed)
    some = slice(parameters.measured_clips)
    measured_on = (videos[some].to(device), targets[some].to(device), groups.labels[some])
    arrays = {f"start_{name}": v for name, v in errors_of(model, *measured_on, parameters).items()}
    recipe, test_set = recipe_of(parameters), InMemory(*sets["test"].materialise(progress))
    with groups_in_clips(model):
        shown = InMemory(with_groups(videos, groups.labels), targets, name="Move4MNIST")
        history = trial.train(model, shown)
    protocols = parts.protocols_of(parameters)
    measured = parts.measure_each(
        protocols,
        lambda protocol: evaluate(
            model, test_set, protocol, device=device, autocast=recipe.autocast
        ),
    )
    arrays |= {f"end_{name}": v for name, v in errors_of(model, *measured_on, parameters).items()}
    arrays |= {"spread": groups.spread.numpy(), "purity": groups.purity.numpy()}
    shown = {name: protocol.describe() for name, protocol in protocols.items()}
    shape = (1, *videos.shape[1:])
    entry = parts.tested(trial, model, described, shown, measured, history, shape)
    parts.add_epochs(entry, parameters.epochs, history)
    arrays = {name: values.astype("float32") for name, values in arrays.items()}
    return entry, arrays | parts.predictions(measured) | parts.curves(history)


def choose_groups(
    model: TSMResNet,
    videos: UInt8[Tensor, "n t c h w"],
    types: Int64[Tensor, "n t"],
    parameters: Groupings,
    seed: int,
) -> Groups:
    """For each clip the groups with the lowest, or highest, spread of gradients at equal purity.

    Candidates are the sizes in `draws` random orders, the same ones whatever spread is wanted.
    Those of the purity that most of them have are compared by the squared distances of the frames'
    gradients, in the network as it is, to the mean of their group. The distances are averaged over
    all classes as targets: groups that depend on a clip's class would tell it.

    Args:
        types: of the frames, for purity.
    """
    sizes, found = np.array(parameters.sizes), []
    names, sign = np.arange(len(sizes)), 1 if parameters.spread == "low" else -1
    for start in range(0, len(videos), BATCH):
        apart = _gradient_distances(model, videos[start : start + BATCH], parameters.stage)
        for i, distances in enumerate(apart.cpu(), start):
            random = np.random.default_rng([seed, i])
            orders = [random.permutation(sizes) for _ in range(parameters.draws)]
            drawn = torch.from_numpy(np.array([np.repeat(names, order) for order in orders]))
            pure = purity(drawn, types[i].expand(len(drawn), -1))
            drawn = drawn[pure == pure.mode().values]
            spread = gradients.cluster_spread(distances.expand(len(drawn), -1, -1), drawn)
            best = int((sign * spread).argmin())
            whole = gradients.cluster_spread(distances[None], torch.zeros_like(drawn[:1]))
            share = 100 * spread[best] / whole[0]
            found.append((drawn[best], share, 100 * pure.mode().values))
    return Groups(*map(torch.stack, zip(*found, strict=True)))


def errors_of(
    model: TSMResNet,
    videos: UInt8[Tensor, "n t c h w"],
    targets: Int64[Tensor, " n"],
    labels: Int64[Tensor, "n t"],
    parameters: Groupings,
) -> dict[str, np.ndarray]:
    """Of some groups "error", in % of the added norms of the frames' gradients, and "cosine".

    With the clip's loss held still, and weights by size.
    """
    found, g = [], len(parameters.sizes)
    for start in range(0, len(videos), BATCH):
        part = slice(start, start + BATCH)
        x, target, chosen = videos[part], targets[part], labels[part].to(videos.device)
        true = gradients.frame_gradients(model, x, target, stage=parameters.stage)
        still = {"weighting": "size", "residual": gradients.full_residual(model, x, target)}
        options = {"stage": parameters.stage, **still}
        one = gradients.cluster_gradients(model, x, target, chosen, g, **options)
        errors = gradients.cluster_errors(true, one, chosen)
        share = 100 * errors.distance.sum(1) / errors.frames_norm
        found.append(torch.stack([share, errors.cosine]))
    error, cosine = torch.cat(found, 1).cpu().numpy()
    return {"error": error, "cosine": cosine}


def with_groups(
    videos: UInt8[Tensor, "n t c h w"], labels: Int64[Tensor, "n t"]
) -> UInt8[Tensor, "n t c+1 h w"]:
    """The clips with the label of every frame in a channel of its own."""
    plane = labels.to(torch.uint8)[:, :, None, None, None]
    return torch.cat([videos, plane.expand(-1, -1, 1, *videos.shape[3:])], 2)


@contextmanager
def groups_in_clips(model: TSMResNet) -> Iterator[None]:
    """As long as it lasts, frames are averaged by the labels in the last channel of the clips.

    The network sees the other channels.
    """
    own = model.clustering
    given = gradients.GivenClusters(torch.empty(0), own.g)

    def take_labels(model: TSMResNet, inputs: tuple) -> tuple:
        x, *others = inputs
        given.labels = x[:, :, -1, 0, 0].long()
        return (x[:, :, :-1], *others)

    hook, model.clustering = model.register_forward_pre_hook(take_labels), given
    try:
        yield
    finally:
        hook.remove()
        model.clustering = own


def _gradient_distances(model: TSMResNet, x: Tensor, stage: str) -> Tensor:
    """Between all pairs of frames, (n, t, t): the root of the mean square over all targets."""
    x, squares = x.to(model.device), 0
    for target in range(model.num_classes):
        targets = torch.full((len(x),), target, device=x.device)
        terms = gradients.frame_gradients(model, x, targets, stage=stage)
        squares = squares + gradients.gradient_distances(terms) ** 2
    return (squares / model.num_classes).sqrt()
