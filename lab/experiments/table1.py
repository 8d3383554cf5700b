"""Table 1: train one row and measure its accuracy by both protocols; and the common start.

The start of a table's rows is a network that has learnt to name things in still frames.
"""

from __future__ import annotations

import numpy as np

from fvlib.datasets import InMemory, load_backgrounds, load_digits
from fvlib.evaluation import Evaluation, Protocol, evaluate
from fvlib.storage import digest
from fvlib.training import save_atomically
from lab import released
from lab.building import move4mnist_sets
from lab.experiments import parts
from lab.experiments.parts import Trial
from lab.experiments.watch import EpochTests
from lab.parameters import Pretrain
from lab.recipes import recipe_of
from lab.synthetic.still_frames import DigitFrames, ShapeFrames


def run_table1(trial: Trial):
    """Train on the clips of the row, then test with clusters and with sampled frames."""
    parameters, device, model = trial.parameters, trial.device, trial.network()
    sets = move4mnist_sets(parameters, trial.seed)
    described = parts.describe_generated(sets)
    parts.same_data(trial.checkpoint, described)
    protocols = parts.protocols_of(parameters)
    train_set, test_set = (
        InMemory(*sets[part].materialise(trial.progress), name="Move4MNIST")
        for part in ("train", "test")
    )
    recipe = recipe_of(parameters)

    def measure(protocol: Protocol) -> Evaluation:
        return evaluate(model, test_set, protocol, device=device, autocast=recipe.autocast)

    tests = None
    if "tests" in parameters.released:
        tests = EpochTests(trial.checkpoint, lambda: measure(protocols["sampled"]).top1)
        tests.begin(model.to(device))
    history = trial.train(model, train_set, after_epoch=tests)
    measured = parts.measure_each(protocols, measure)
    shown = {name: protocol.describe() for name, protocol in protocols.items()}
    if tests is not None:
        with released.alone(model):
            measured["alone"] = measure(protocols["sampled"])
        shown["alone"] = shown["sampled"] | {"shift": False}
    t, (c, _, side) = int(test_set.lengths[0]), test_set.frames.shape[1:]
    side = parameters.resolution or side
    shape = (1, t if parameters.frames == "all" else parameters.frames, c, side, side)
    entry = parts.tested(trial, model, described, shown, measured, history, shape)
    parts.add_epochs(entry, parameters.epochs, history)
    arrays = parts.predictions(measured) | parts.curves(history)
    return entry, arrays if tests is None else arrays | {"epoch_tests": tests.top1()}


def run_pretrain(trial: Trial):
    """Train on single frames; the weights are left in `samples` beside the records, in fp16.

    Digits are shown (Table 1 and others), or with shows="shapes" mini Breakfast's shapes (Tables 2
    and 3).
    """
    parameters, device = trial.parameters, trial.device
    sets, described = _still_frames(parameters, trial.seed)
    classes = sets["train"].classes
    model = trial.network(classes)
    parts.same_data(trial.checkpoint, described)
    history = trial.train(model, sets["train"], classes)
    protocol = Protocol("all", False)
    result = evaluate(model, sets["validation"], protocol, batch_size=100, device=device)
    # digits-real.pt of small-real-digits-s0: recipes name a start by its row and data
    row = trial.checkpoint.stem.removeprefix(f"{parameters.scale}-{parameters.data}-")
    name = f"{row.rpartition('-s')[0]}-{parameters.data}.pt"
    start = trial.checkpoint.parents[2] / "samples" / name
    save_atomically(parts.half_precision(model), start)
    x = sets["train"].read(0, np.arange(1))[None]
    described["counts"] = {split: len(clips) for split, clips in sets.items()}
    told, measured = {"frames": protocol.describe()}, {"frames": result}
    entry = parts.tested(trial, model, described, told, measured, history, x.shape)
    return entry, parts.curves(history)


def _still_frames(parameters: Pretrain, seed: int):
    """Sets for training and validation, and the record's name and sums of what they are made of."""
    counts = {"train": parameters.train_frames, "validation": parameters.validation_frames}
    if parameters.shows == "shapes":
        size = parameters.size
        sets = {s: ShapeFrames(s, n, seed=seed, size=size) for s, n in counts.items()}
        sums = {s: digest(frames.frames.numpy()) for s, frames in sets.items()}
        return sets, {"name": "single shapes", "sha256": sums}
    source = parameters.data
    scenes = load_backgrounds(source, "pretrain", count=parameters.backgrounds)
    sets = {
        s: DigitFrames(s, n, seed=seed, digits=load_digits(source, s), backgrounds=scenes)
        for s, n in counts.items()
    }
    sums = {"backgrounds": scenes.sha256} | {s: f.digits.sha256 for s, f in sets.items()}
    return sets, {
        "name": f"single digits: {sets['train'].digits.name}; {scenes.name}",
        "sha256": sums,
    }
