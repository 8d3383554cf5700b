"""The experiments of the book: what `notebooks/runs` and `python -m fvlib train` run.

An experiment is a function of a run's parameters and seed. It gives the entries of the record that
are its own, and the record's arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from fvlib import cost, records
from fvlib.datasets import (
    CLASSES,
    DigitFrames,
    InMemory,
    Move4MNIST,
    load_backgrounds,
    load_digits,
    segment_frames,
)
from fvlib.evaluation import Evaluation, Protocol, evaluate, purity
from fvlib.training.loop import save_atomically, train
from fvlib.training.recipes import build_network, move4mnist_sets, parameters_of, recipe_of

CLIP_FRAMES = 32  # of a clip of Move4MNIST
_UNMEASURED = dict.fromkeys(("wall_s", "peak_mem_mb", "params", "macs"))


def run(
    experiment: str,
    row: str,
    *,
    scale: str,
    data: str,
    seed: int,
    recipes: Path,
    folder: Path,
    device: str = "cpu",
    progress: bool = False,
    force: bool = False,
    **overrides: Any,
) -> Path:
    """Train and evaluate one row and write its record below folder; return the record's path.

    A record that is there and current is left alone unless force is true. A run that was
    interrupted goes on from its last epoch: checkpoints lie in folder/checkpoints until the record
    is written. recipes: the recipe file; files that it names are looked for beside it.
    Explained in chapter 05_more_frames.
    """
    recipes, folder = Path(recipes), Path(folder)
    parameters, version = parameters_of(recipes, experiment, row, scale, data, **overrides)
    name = {"scale": scale, "data": data, "row": row, "seed": seed}
    if not force and records.is_current(
        folder, experiment, **name, parameters=parameters, version=version
    ):
        return records.load(folder, experiment, **name).path
    checkpoint = folder / "checkpoints" / f"{records.name_of(experiment, **name)}.pt"
    if force:
        checkpoint.unlink(missing_ok=True)
    execute = _EXPERIMENTS[experiment]
    entry, arrays = execute(parameters, seed, recipes.parent, checkpoint, device, progress)
    record = records.new(
        experiment, **name, version=version, parameters=parameters, device=device, **entry
    )
    path = records.write(record, arrays, folder)
    checkpoint.unlink(missing_ok=True)
    return path


def _run_table1(parameters, seed, beside, checkpoint, device, progress):
    model = _network(parameters, seed, beside)
    sets = move4mnist_sets(parameters)
    few = parameters.get("clusters", parameters.get("frames"))
    resolution = parameters.get("resolution")
    sampled = Protocol.sampled(few, resolution)
    # A row without clusters sees its few frames in training and at test: one protocol, two names.
    clustered = Protocol.clustered(resolution) if "clusters" in parameters else sampled
    protocols = {"clustered": clustered, "sampled": sampled}

    train_set = InMemory(*sets["train"].materialise(progress))
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
    measured = {
        name: evaluate(model, test_set, protocol, device=device, autocast=recipe.autocast)
        for name, protocol in protocols.items()
    }
    t, c, side = *test_set.videos.shape[1:3], resolution or test_set.videos.shape[-1]
    shape = (1, t if "clusters" in parameters else few, c, side, side)
    entry = {
        "dataset": _describe("Move4MNIST", sets),
        "protocol": {name: asdict(protocol) for name, protocol in protocols.items()},
        "results": {name: _accuracy(result) for name, result in measured.items()}
        | {"train_loss": round(history.train_loss[-1], 4), "epochs": recipe.epochs},
        "cost": _cost(model, shape, history, device),
    }
    arrays = {f"{name}_prediction": result.prediction for name, result in measured.items()}
    arrays |= {"target": measured["clustered"].target}
    return entry, {key: value.astype("uint8") for key, value in arrays.items()} | _curves(history)


def _run_pretrain(parameters, seed, beside, checkpoint, device, progress):
    model = _network(parameters, seed, beside, DigitFrames.classes)
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
    weights = {key: value.cpu() for key, value in model.state_dict().items()}
    half = {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
    save_atomically(half, checkpoint.parents[2] / "samples" / f"digits-{source}.pt")
    entry = {
        "dataset": {
            "name": f"single digits: {sets['train'].digits.name}; {scenes.name}",
            "sha256": {"backgrounds": scenes.sha256}
            | {split: clips.digits.sha256 for split, clips in sets.items()},
            "counts": {split: len(clips) for split, clips in sets.items()},
        },
        "protocol": {"frames": asdict(protocol)},
        "results": {"frames": _accuracy(result), "train_loss": round(history.train_loss[-1], 4)},
        "cost": _cost(model, (1, 1, 1, 64, 64), history, device),
    }
    return entry, _curves(history)


def _run_cost(parameters, seed, beside, checkpoint, device, progress):
    """Multiply-adds and the activations of a training step, for one video at full size."""
    model = _network(parameters, seed, beside).to(device)
    side, t = parameters["resolution"], parameters.get("frames", CLIP_FRAMES)
    shape = (1, t, parameters["in_channels"], side, side)
    # Random frames: neighbours differ, so that every method makes all of its clusters.
    clip = torch.rand(*shape, generator=torch.Generator().manual_seed(seed)).to(device)
    kept = cost.peak_memory(model, clip, torch.zeros(1, dtype=torch.int64, device=device))
    entry = {
        "dataset": {"name": "random pixels", "sha256": {}, "counts": {"clips": 1, "frames": t}},
        "protocol": {},
        "results": {"activation_bytes": kept},
        "cost": {
            **_UNMEASURED,
            "params": cost.parameter_count(model),
            "macs": cost.multiply_adds(model, shape),
        },
    }
    return entry, None


@torch.no_grad()
def _run_purity(parameters, seed, beside, checkpoint, device, progress):
    """How pure the clusters of the common start are, for every test clip."""
    model = _network(parameters, seed, beside).to(device).eval()
    clips = move4mnist_sets(parameters)["test"]
    found = []
    for start in tqdm(range(0, len(clips), 20), "purity", leave=False, disable=not progress):
        indices = range(start, min(start + 20, len(clips)))
        videos, _ = clips.batch(indices)
        _, labels, _ = model.clustering(model.features(videos.to(device), upto="layer1"))
        types = torch.stack([clips.frame_labels(i).type for i in indices])
        found.append(100 * purity(labels.cpu(), types))
    scores = torch.cat(found)
    entry = {
        "dataset": _describe("Move4MNIST", {"test": clips}),
        "protocol": {},
        "results": {"purity": round(float(scores.mean()), 2)},
        "cost": _UNMEASURED,
    }
    return entry, {
        "purity": scores.float().numpy(),
        "target": clips.targets.numpy().astype("uint8"),
    }


@torch.no_grad()
def _run_facts(parameters, seed, beside, checkpoint, device, progress):
    """What can be seen without training: laws of the network, and what sampled frames miss."""
    clips = move4mnist_sets(parameters)["test"]
    places = segment_frames(CLIP_FRAMES, 8)[0]
    still = 0
    for i in range(len(clips)):
        labels = clips.frame_labels(i)
        seen = labels.box[places][labels.relevant[places]]
        still += len(seen) == 0 or torch.equal(seen[0], seen[-1])

    plain = _network(parameters, seed, beside).eval()
    videos, target = clips.batch(range(4))
    everything, layers = plain(videos), []
    for method in ("uniform", "slope", "cumulative"):
        settings = {**parameters, "method": method, "clusters": CLIP_FRAMES}
        same = _network(settings, seed, beside).eval()
        layers.append(torch.equal(same(videos), everything))

    settings = {**parameters, "method": "cumulative", "clusters": 8}
    model = _network(settings, seed, beside)
    x = ((videos / 255) - 0.5).requires_grad_()
    with torch.enable_grad():
        torch.nn.functional.cross_entropy(model(x), target).backward()
    reached = (x.grad.flatten(2).abs().sum(2) > 0).all()
    trained = all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    entry = {
        "dataset": _describe("Move4MNIST", {"test": clips}),
        "protocol": {},
        "results": {
            "clips_without_movement_in_8_frames": still,
            "sampling_misses_the_movement": still > 0,
            "clusters_of_one_frame_change_nothing": all(layers),
            "gradient_reaches_every_frame_and_weight": bool(reached) and trained,
        },
        "cost": _UNMEASURED,
    }
    return entry, None


_EXPERIMENTS: dict[str, Callable] = {
    "cost": _run_cost,
    "facts": _run_facts,
    "pretrain": _run_pretrain,
    "purity": _run_purity,
    "setting": _run_table1,
    "table1": _run_table1,
}


def _network(parameters, seed, beside, classes=CLASSES):
    """The network of a run, with the random numbers of its seed and no others."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build_network(parameters, len(classes), beside)


def _describe(name: str, sets: Mapping[str, Move4MNIST]) -> dict[str, Any]:
    parts = {split: clips.describe() for split, clips in sets.items()}
    return {
        "name": name,
        "splits": {split: part.pop("name") for split, part in parts.items()},
        **{
            key: {split: part[key] for split, part in parts.items()}
            for key in ("sha256", "counts", "seed", "options")
        },
    }


def _accuracy(result: Evaluation) -> dict[str, Any]:
    return {"correct": result.correct, "total": len(result.target), "top1": round(result.top1, 2)}


def _curves(history) -> dict[str, Any]:
    curves = {"train_loss": history.train_loss, "train_top1": history.train_top1}
    return {name: torch.tensor(values).numpy() for name, values in curves.items()}


def _cost(model, shape, history, device) -> dict[str, Any]:
    on_gpu = torch.device(device).type == "cuda"
    peak = torch.cuda.max_memory_allocated(device) / 2**20 if on_gpu else cost.process_peak_mb()
    return {
        "wall_s": round(sum(history.seconds), 1),
        "peak_mem_mb": round(peak),
        "params": cost.parameter_count(model),
        "macs": cost.multiply_adds(model, shape),
    }
