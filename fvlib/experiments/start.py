"""The common start of every row of Table 1: a network that has learnt single digits."""

from __future__ import annotations

from fvlib.datasets import DigitFrames, load_backgrounds, load_digits
from fvlib.evaluation import Protocol, evaluate
from fvlib.experiments.parts import accuracy, curves, half_precision, network, training_cost
from fvlib.training import recipe_of, train
from fvlib.training.loop import save_atomically


def run_pretrain(parameters, seed, beside, checkpoint, device, progress):
    """Train on single frames; the weights are left in `samples` beside the records, in fp16.

    Explained in chapter 05_more_frames.
    """
    model = network(parameters, seed, beside, DigitFrames.classes)
    source = parameters["data"]
    scenes = load_backgrounds(source, "pretrain", count=parameters["backgrounds"])
    sets = {
        split: DigitFrames(
            split,
            parameters[f"{split}_frames"],
            seed=seed,
            digits=load_digits(source, split),
            backgrounds=scenes,
        )
        for split in ("train", "validation")
    }
    recipe = recipe_of(parameters)
    history = train(
        model,
        sets["train"],
        recipe,
        seed=seed,
        classes=list(DigitFrames.classes),
        checkpoint=checkpoint,
        device=device,
        progress=progress,
    )
    protocol = Protocol("all", False)
    result = evaluate(model, sets["validation"], protocol, batch_size=100, device=device)
    start = checkpoint.parents[2] / "samples" / f"digits-{source}.pt"
    save_atomically(half_precision(model), start)
    entry = {
        "dataset": {
            "name": f"single digits: {sets['train'].digits.name}; {scenes.name}",
            "sha256": {"backgrounds": scenes.sha256}
            | {split: clips.digits.sha256 for split, clips in sets.items()},
            "counts": {split: len(clips) for split, clips in sets.items()},
        },
        "protocol": {"frames": protocol.describe()},
        "results": {"frames": accuracy(result), "train_loss": round(history.train_loss[-1], 4)},
        "cost": training_cost(model, (1, 1, 1, 64, 64), history, device),
    }
    return entry, curves(history)
