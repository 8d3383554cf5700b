"""Table 1: train one row and measure its accuracy by both protocols."""

from __future__ import annotations

import statistics

from fvlib.datasets import CLASSES, InMemory
from fvlib.evaluation import Protocol, evaluate
from fvlib.experiments.parts import (
    accuracy,
    curves,
    describe,
    measure_each,
    network,
    predictions,
    training_cost,
)
from fvlib.training import move4mnist_sets, recipe_of, train


def run_table1(parameters, seed, beside, checkpoint, device, progress):
    """Train on the clips of the row, then test with clusters and with sampled frames.

    Explained in chapter 05_more_frames.
    """
    model = network(parameters, seed, beside)
    sets = move4mnist_sets(parameters)
    few = parameters.get("clusters", parameters.get("frames"))
    resolution = parameters.get("resolution")
    sampled = Protocol(few, False, resolution, sampling=parameters.get("sampling", "segments"))
    # A row without clusters sees its few frames in training and at test: one protocol, two names.
    clustered = Protocol.clustered(resolution) if "clusters" in parameters else sampled
    protocols = {"clustered": clustered, "sampled": sampled}

    train_set = InMemory(*sets["train"].materialise(progress), name="Move4MNIST")
    recipe = recipe_of(parameters)
    history = train(
        model,
        train_set,
        recipe,
        seed=seed,
        classes=list(CLASSES),
        checkpoint=checkpoint,
        device=device,
        progress=progress,
    )
    test_set = InMemory(*sets["test"].materialise(progress))
    measured = measure_each(
        protocols,
        lambda protocol: evaluate(
            model, test_set, protocol, device=device, autocast=recipe.autocast
        ),
    )
    t, c, side = *test_set.videos.shape[1:3], resolution or test_set.videos.shape[-1]
    shape = (1, t if "clusters" in parameters or few == "all" else few, c, side, side)
    entry = {
        "dataset": describe("Move4MNIST", sets),
        "protocol": {name: protocol.describe() for name, protocol in protocols.items()},
        "results": {name: accuracy(result) for name, result in measured.items()}
        | {"train_loss": round(history.train_loss[-1], 4), "epochs": recipe.epochs},
        "cost": training_cost(model, shape, history, device)
        | {"epoch_s": round(statistics.median(history.seconds), 2)},
    }
    return entry, predictions(measured) | curves(history)
