"""The common start of a table's rows: a network that has learnt to name things in still frames."""

from __future__ import annotations

import numpy as np

from fvlib.datasets import load_backgrounds, load_digits
from fvlib.datasets.sources import digest
from fvlib.evaluation import Protocol, evaluate
from fvlib.training import save_atomically, train
from lab.experiments.parts import (
    accuracy,
    curves,
    half_precision,
    network,
    same_data,
    training_cost,
)
from lab.recipes import recipe_of
from lab.synthetic.digit_frames import DigitFrames
from lab.synthetic.shape_frames import ShapeFrames


def run_pretrain(parameters, seed, beside, checkpoint, device, progress):
    """Train on single frames; the weights are left in `samples` beside the records, in fp16.

    Digits are shown (Table 1 and others), or with shows="shapes" mini Breakfast's shapes (Tables 2
    and 3).
    """
    sets, described = _still_frames(parameters, seed)
    model = network(parameters, seed, beside, sets["train"].classes)
    same_data(checkpoint, described)
    recipe = recipe_of(parameters)
    history = train(
        model,
        sets["train"],
        recipe,
        seed=seed,
        classes=list(sets["train"].classes),
        checkpoint=checkpoint,
        device=device,
        progress=progress,
    )
    protocol = Protocol("all", False)
    result = evaluate(model, sets["validation"], protocol, batch_size=100, device=device)
    name = f"{parameters.shows}-{parameters.data}.pt"
    start = checkpoint.parents[2] / "samples" / name
    save_atomically(half_precision(model), start)
    x = sets["train"].read(0, np.arange(1))[None]
    entry = {
        "dataset": {
            **described,
            "counts": {split: len(clips) for split, clips in sets.items()},
        },
        "protocol": {"frames": protocol.describe()},
        "results": {"frames": accuracy(result), "train_loss": round(history.train_loss[-1], 4)},
        "cost": training_cost(model, x.shape, history, device),
    }
    return entry, curves(history)


def _still_frames(parameters, seed):
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
