"""From a folder of labelled clips to a model, with a report on clips that it has not seen."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import ceil, sqrt
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Int64

from fvlib import distributed
from fvlib.contracts import Clips, VideoNetwork
from fvlib.cost import predicted_peak, step_time
from fvlib.datasets import InMemory
from fvlib.evaluation import Evaluation, evaluate
from fvlib.own.data import (
    SPLITS,
    Labelled,
    Subset,
    clips_of,
    counted,
    split_groups,
    split_table,
)
from fvlib.own.model import (
    FRAME_BUDGET,
    InPieces,
    Settings,
    network_for,
    require_same,
    save_config,
    save_weights,
    write_json,
)
from fvlib.storage import read_json, read_text, write_file
from fvlib.training import History, train
from fvlib.values import check_whole, columns

STEPS = 1500  # of training that small sets get at least
CHUNK = 32


@dataclass(frozen=True, eq=False)
class Fitted:
    """What `fit` has found.

    test: the clips that were tested, `evaluation` what the network says of each, `interval` of its
    accuracy: 95 %, in percent.
    """

    settings: Settings
    history: History
    test: Labelled
    evaluation: Evaluation
    interval: tuple[float, float]

    @property
    def confusion(self) -> Int64[np.ndarray, "k k"]:
        """Tested clips of each class (rows) by the class that they were taken for."""
        k = len(self.test.classes)
        counts = np.zeros((k, k), np.int64)
        np.add.at(counts, (self.evaluation.target, self.evaluation.prediction), 1)
        return counts


def settings_for(
    labelled: Labelled, lengths: Int64[np.ndarray, " n"], **given: Any
) -> tuple[Settings, dict[str, str]]:
    """Settings for these clips, and why each is what it is; given: what is asked for.

    Raises ValueError for more clusters or frames than the longest clip has.
    """
    typical, longest, n = int(np.median(lengths)), int(lengths.max()), len(lengths)
    reasons = {name: "as asked for" for name in given}
    chosen = dict(given)

    def choose(name: str, value: Any, why: str) -> None:
        if name not in given:
            chosen[name], reasons[name] = value, why

    if given.get("frames", "all") != "all":
        check_whole("frames", given["frames"])
        if given.get("clusters") is None:
            choose("method", "none", "clusters are made of all frames")
    if chosen.get("method") == "none":
        choose("frames", min(8, longest), "TSM's usual number")
        choose("clusters", None, "without a method there are none")
    else:
        g = min(8 if typical <= 128 else 16, longest)
        choose("clusters", g, f"half of the clips have {typical} frames or more")
        choose("frames", "all", "clusters are made of all frames")
    clustered, every = chosen["clusters"] is not None, chosen["frames"] == "all"
    if max(chosen["clusters"] or 0, 0 if every else chosen["frames"]) > longest:
        raise ValueError(
            f"clusters is {chosen['clusters']}, frames {chosen['frames']}; wanted at most "
            f"{longest}, the frames of the longest clip"
        )
    choose("size", 112, "half of ImageNet's 224: a quarter of the time")
    choose("batch", max(1, min(8, n // 8)), f"{n} clips to train on")
    steps = ceil(n / chosen["batch"])
    epochs = min(100, max(15, ceil(STEPS / steps)))
    choose("epochs", epochs, f"{epochs * steps:,} steps in all")
    if clustered:
        few = "all frames from the start are learned only with luck"
        choose("warmup_epochs", chosen["epochs"] // 3, few)
    else:
        choose("warmup_epochs", 0, "there is nothing to warm up for")
    if given.get("weights") == "none":
        choose("lr", 0.02, "from random weights")
    else:
        choose("lr", 0.01, "from trained weights")
    frames = chosen["batch"] * (longest if every else chosen["frames"])
    if clustered or not every:
        many = clustered and frames > FRAME_BUDGET and chosen["warmup_epochs"]
        choose("chunk", CHUNK if many else None, f"a batch may have {frames:,} frames")
    else:
        choose("chunk", min(8, longest), "pieces as long as what TSM sees of a clip")
    settings = Settings(**chosen)
    return settings, dict.fromkeys(asdict(settings), "the default") | reasons


def fit(
    path: str | os.PathLike,
    out: str | os.PathLike,
    *,
    group: str | None = None,
    share: float = 0.25,
    skip_damaged: bool = False,
    device: str | torch.device = "cpu",
    progress: bool = False,
    say: Callable[[str], object] = lambda text: None,
    **given: Any,
) -> Fitted:
    """Train on the clips of a folder or a CSV file, test on those held back, and write a model.

    path, group: as of `read_labelled`; share: of the clips that are held back, whole sources each
    (`split_groups`). given: any of `Settings`; the others follow from the data. say: is told what
    is about to happen. The folder `out` then has weights.safetensors, config.json, split.csv,
    metrics.json and report.html. A run that was interrupted goes on when it is called again with
    the same arguments, from its last epoch. Processes that are joined train together.

    Raises ValueError, before anything is decoded where that is possible, for what cannot be meant;
    OSError without room on the disk.
    """
    from fvlib.own.report import write_report

    def split(labelled: Labelled) -> tuple[np.ndarray, np.ndarray]:
        return split_groups(labelled, share=share, seed=given.get("seed", 0))

    out, shown = Path(out), {"device": device, "progress": progress}
    options = {"group": group, "skip_damaged": skip_damaged, "progress": progress}
    labelled, lengths = counted(path, out, split, **options)
    train_on, test_on = split(labelled)
    settings, reasons = settings_for(labelled.subset(train_on), lengths[train_on], **given)
    model = network_for(settings, len(labelled.classes)).to(device)
    first = distributed.is_rank_zero()
    if first:
        _begin(out, settings, labelled, (train_on, test_on))
        say(split_table(labelled, train_on, test_on))
        say(table_of(settings, reasons))
        say(announced(model, settings, lengths[train_on], device))
    clips = clips_of(labelled, lengths, settings.size, out, progress)
    history, evaluation = train_and_test(
        model, settings, clips, (train_on, test_on), out / "training.pt", **shown
    )
    test = labelled.subset(test_on)
    interval = accuracy_interval(evaluation, test.groups)
    fitted = Fitted(settings, history, test, evaluation, interval)
    if first:
        save_weights(out, model)
        write_json(
            out / "metrics.json",
            {
                "test_clips": len(test_on),
                "test_sources": len(set(test.groups)),
                "top1": evaluation.top1,
                "interval": interval,
                "confusion": fitted.confusion.tolist(),
                "train_loss": history.train_loss,
                "train_top1": history.train_top1,
                "seconds": sum(history.seconds),
            },
        )
        write_report(out / "report.html", fitted, model, reasons, Subset(clips, test_on))
        (out / "training.pt").unlink(missing_ok=True)
        rmtree(out / "cache", ignore_errors=True)
    return fitted


def train_and_test(
    model: VideoNetwork,
    settings: Settings,
    clips: Clips,
    parts: tuple[Int64[np.ndarray, " a"], Int64[np.ndarray, " b"]],
    checkpoint: Path,
    **shown: Any,
) -> tuple[History, Evaluation]:
    """Train on some clips, going on from a checkpoint, and test on others. shown: as of `train`."""
    train_on, test_on = (Subset(clips, part) for part in parts)
    stream = settings.chunked and not isinstance(clips, InMemory)
    recipe, classes = settings.recipe(stream), list(clips.classes)
    known = {"seed": settings.seed, "classes": classes, "checkpoint": checkpoint}
    history = train(model, train_on, recipe, **known, **shown)
    return history, evaluate(
        model, test_on, settings.protocol, batch_size=1, stream=stream, **shown
    )


def accuracy_interval(evaluation: Evaluation, groups: Sequence[str]) -> tuple[float, float]:
    """Wilson's 95 % interval of the accuracy, in percent.

    It counts sources, not clips: clips of one source are alike, so more of them say little more.
    """
    n, p, z = len(set(groups)), evaluation.top1 / 100, 1.959964
    middle, wide = p + z * z / (2 * n), z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = ((middle + sign * wide) / (1 + z * z / n) for sign in (-1, 1))
    return 100 * max(0.0, low), 100 * min(1.0, high)


def table_of(settings: Settings, reasons: Mapping[str, str]) -> str:
    """A line a setting: its value, and why."""
    values = {name: "none" if x is None else str(x) for name, x in asdict(settings).items()}
    return columns([(name, value, reasons[name]) for name, value in values.items()])


def announced(
    model: VideoNetwork,
    settings: Settings,
    lengths: Int64[np.ndarray, " n"],
    device: str | torch.device,
) -> str:
    """The time and memory that a training will take, from one step on random frames."""
    few = replace(settings, method="none", clusters=None, frames=min(8, int(lengths.max())))
    seconds, warm = (step_seconds(model, one, lengths, device) for one in (settings, few))
    minutes = training_seconds(settings, len(lengths), seconds, warm) / 60
    took = "less than a minute" if minutes < 1 else f"about {minutes:,.0f} minutes"
    return (
        f"{took} of training and {bytes_kept(model, settings, lengths) / 1e6:,.0f} MB for "
        f"activations on {torch.device(device).type}, beside decoding"
    )


def training_seconds(settings: Settings, clips: int | float, step: float, warm: float) -> float:
    """Of a training on so many clips, whose steps take so many seconds, in the warm-up `warm`."""
    late = settings.epochs - settings.warmup_epochs
    return ceil(clips / settings.batch) * (warm * settings.warmup_epochs + step * late)


def batch_shape(
    settings: Settings, lengths: Int64[np.ndarray, " n"]
) -> tuple[int, int, int, int, int]:
    """(n, t, c, h, w) of a typical batch."""
    t = int(lengths.mean()) if settings.frames == "all" else settings.frames
    return settings.batch, t, 3, settings.size, settings.size


def bytes_kept(model: VideoNetwork, settings: Settings, lengths: Int64[np.ndarray, " n"]) -> int:
    """Of activations in a step of training, predicted."""
    n, t, *frame = batch_shape(settings, lengths)
    if isinstance(model, InPieces):
        model, t = model.network, min(t, model.chunk)
    return predicted_peak(model, (n, t, *frame))


def step_seconds(
    model: VideoNetwork,
    settings: Settings,
    lengths: Int64[np.ndarray, " n"],
    device: str | torch.device,
) -> float:
    """Seconds of a step of training, measured on random frames; the network stays as it is."""
    x = torch.randint(256, batch_shape(settings, lengths), dtype=torch.uint8, device=device)
    target = torch.zeros(settings.batch, dtype=torch.int64, device=device)

    def step() -> None:
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            logits = model(x, cluster=settings.clusters is not None)
            F.cross_entropy(logits, target).backward()
        model.zero_grad(set_to_none=True)

    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.early_statistics = "running" if settings.chunked else "batch"
    try:
        return step_time(step, repeats=1, warmup=1)
    finally:
        model.early_statistics = "batch"
        model.load_state_dict(before)  # BatchNorm's running statistics have moved


def _begin(
    out: Path, settings: Settings, labelled: Labelled, parts: tuple[np.ndarray, np.ndarray]
) -> None:
    """Write config.json and the split, or refuse a folder where others are trained with."""
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(("file", "label", "split"))
    for name, part in zip(SPLITS, parts, strict=True):
        for i in part:
            label = labelled.classes[labelled.targets[i]]
            rows.writerow((labelled.clips.names[i], label, name))
    if any((out / name).is_file() for name in ("training.pt", "weights.safetensors")):
        known = read_json(out / "config.json").get("settings", {})
        known["clips"] = read_text(out / "split.csv", "surrogateescape")
        require_same(out, known, asdict(settings) | {"clips": table.getvalue()})
    save_config(out, settings, labelled.classes)
    write_file(out / "split.csv", table.getvalue())
