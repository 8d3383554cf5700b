"""From a row of a table to its record: what `notebooks/runs` and `python -m fvlib train` share."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch

from fvlib import cost, records
from fvlib.clustering import TemporalClustering
from fvlib.datasets import (
    CLASSES,
    DigitFrames,
    InMemory,
    Move4MNIST,
    load_backgrounds,
    load_digits,
)
from fvlib.evaluation import Evaluation, Protocol, evaluate
from fvlib.models import TSMResNet, tsm_resnet
from fvlib.training.loop import Recipe, save_atomically, train

_RECIPE = {field.name for field in fields(Recipe)}
_NETWORK = {
    *("depth", "width", "in_channels", "stem_pool", "shift_stages", "dropout", "consensus"),
    *("weights", "batchnorm"),
}


def parameters_of(
    recipes: Path, experiment: str, row: str, scale: str, data: str, **overrides: Any
) -> tuple[dict[str, Any], int]:
    """All parameters of a run, resolved from the recipe file, and the version of the experiment.

    Raises ValueError, with what there is, for an unknown experiment, row, scale or parameter.
    Explained in chapter 05_more_frames.
    """
    tables = tomllib.loads(Path(recipes).read_text())
    table = _entry(tables, "experiment", experiment)
    base = tables.get(table.get("like"), {})
    table = {**base, **table, "common": {**base.get("common", {}), **table.get("common", {})}}
    by_scale = _entry(table["scale"], f"scale of {experiment}", scale)
    by_row = _entry(table["rows"], f"row of {experiment}", row)
    found = {**table["common"], **by_scale, **by_row}
    known = _RECIPE | _NETWORK | set(found)
    if unknown := set(overrides) - known:
        raise ValueError(
            f"unknown parameter {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}"
        )
    return {**found, **overrides, "scale": scale, "data": data}, table["version"]


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


def build_network(parameters: Mapping[str, Any], num_classes: int, beside: Path) -> TSMResNet:
    """The network of a run: with its clustering step, and from its common start if it has one.

    beside: the folder that the path of the start, `init`, is relative to. All layers but the last
    are taken over; the last one is new, as when one starts from ImageNet.
    """
    clustering = None
    if "method" in parameters:
        clustering = TemporalClustering(
            parameters["method"], parameters["clusters"], empty=parameters.get("empty", "split")
        )
    chosen = {key: value for key, value in parameters.items() if key in _NETWORK - {"depth"}}
    model = tsm_resnet(parameters["depth"], num_classes, clustering=clustering, **chosen)
    if "init" in parameters:
        start = beside / parameters["init"].format(data=parameters["data"])
        if not start.exists():
            raise ValueError(
                f"the common start {start} is missing; it comes with the repository, or make it "
                f"with python -m fvlib train pretrain --row digits --scale small --data "
                f"{parameters['data']} and move it there from the folder of the new record"
            )
        state = torch.load(start, map_location="cpu", weights_only=True)
        state = {key: value for key, value in state.items() if not key.startswith("fc.")}
        model.load_state_dict({**model.state_dict(), **state})
    return model.to(memory_format=torch.channels_last)


def move4mnist_sets(parameters: Mapping[str, Any]) -> dict[str, Move4MNIST]:
    """The clips of a run for training and test; the same for every seed, as a published set is.
    Explained in chapter 05_more_frames.
    """
    options = {"timeline": parameters["timeline"], "channels": parameters["in_channels"]}
    source = {"digits": parameters["data"], "backgrounds": parameters["data"]}
    return {
        "train": Move4MNIST("train", clips=parameters["train_clips"], **source, **options),
        "test": Move4MNIST(
            parameters["test_split"], clips=parameters["test_clips"], **source, **options
        ),
    }


def _run_table1(parameters, seed, beside, checkpoint, device, progress):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build_network(parameters, len(CLASSES), beside)
    sets = move4mnist_sets(parameters)
    few = parameters.get("clusters", parameters.get("frames"))
    resolution = parameters.get("resolution")
    sampled = Protocol.sampled(few, resolution)
    # A row without clusters sees its few frames in training and at test: one protocol, two names.
    clustered = Protocol.clustered(resolution) if "clusters" in parameters else sampled
    protocols = {"clustered": clustered, "sampled": sampled}

    train_set = InMemory(*sets["train"].materialise(progress))
    recipe = Recipe(**{key: value for key, value in parameters.items() if key in _RECIPE})
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
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build_network(parameters, len(DigitFrames.classes), beside)
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
    recipe = Recipe(**{key: value for key, value in parameters.items() if key in _RECIPE})
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


_EXPERIMENTS: dict[str, Callable] = {
    "pretrain": _run_pretrain,
    "setting": _run_table1,
    "table1": _run_table1,
}


def _describe(name: str, sets: Mapping[str, Move4MNIST]) -> dict[str, Any]:
    parts = {split: clips.describe() for split, clips in sets.items()}
    return {
        "name": name,
        "splits": {split: part.pop("name") for split, part in parts.items()},
        **{key: {split: part[key] for split, part in parts.items()} for key in parts["train"]},
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


def _entry(table: Mapping[str, Any], what: str, name: str) -> Any:
    if name not in table:
        raise ValueError(f"unknown {what}: {name!r}; there is {', '.join(table)}")
    return table[name]
