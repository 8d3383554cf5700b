"""Table 1: train one row and measure its accuracy by both protocols."""

from __future__ import annotations

import statistics

from fvlib.datasets import CLASSES, InMemory
from fvlib.evaluation import Evaluation, Protocol, evaluate
from fvlib.training import train
from lab import released
from lab.building import move4mnist_sets
from lab.experiments.epoch_tests import EpochTests
from lab.experiments.parts import (
    accuracy,
    curves,
    describe,
    measure_each,
    network,
    predictions,
    same_data,
    training_cost,
)
from lab.experiments.protocols import protocols_of
from lab.recipes import recipe_of


def run_table1(parameters, seed, beside, checkpoint, device, progress):
    """Train on the clips of the row, then test with clusters and with sampled frames."""
    model = network(parameters, seed, beside)
    sets, switches = move4mnist_sets(parameters), parameters.released
    described = describe("Move4MNIST", sets)
    same_data(checkpoint, described)
    protocols = protocols_of(parameters)
    train_set, test_set = (
        InMemory(released.stored(videos, switches), targets, name="Move4MNIST")
        for videos, targets in (sets[part].materialise(progress) for part in ("train", "test"))
    )
    recipe = recipe_of(parameters)

    def measure(protocol: Protocol) -> Evaluation:
        return evaluate(model, test_set, protocol, device=device, autocast=recipe.autocast)

    tests = None
    if "tests" in switches:
        tests = EpochTests(checkpoint, lambda: measure(protocols["sampled"]).top1)
        tests.begin(model.to(device))
    history = train(
        model,
        train_set,
        recipe,
        seed=seed,
        classes=list(CLASSES),
        checkpoint=checkpoint,
        device=device,
        progress=progress,
        after_epoch=tests,
    )
    measured = measure_each(protocols, measure)
    shown = {name: protocol.describe() for name, protocol in protocols.items()}
    if tests is not None:
        with released.alone(model):
            measured["alone"] = measure(protocols["sampled"])
        shown["alone"] = shown["sampled"] | {"shift": False}
    t, (c, _, side) = int(test_set.lengths[0]), test_set.frames.shape[1:]
    side = parameters.resolution or side
    shape = (1, t if parameters.frames == "all" else parameters.frames, c, side, side)
    entry = {
        "dataset": described,
        "protocol": shown,
        "results": {name: accuracy(result) for name, result in measured.items()}
        | {"train_loss": round(history.train_loss[-1], 4), "epochs": recipe.epochs},
        "cost": training_cost(model, shape, history, device)
        | {"epoch_s": round(statistics.median(history.seconds), 2)},
    }
    arrays = predictions(measured) | curves(history)
    return entry, arrays if tests is None else arrays | {"epoch_tests": tests.top1()}
