"""One training loop for every network of the book, resumable to the last bit."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from fvlib.datasets.sampling import segment_frames
from fvlib.evaluation import Clips, select_frames
from fvlib.training.optimizer import build_optimizer


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    frames: a number (TSM's random segment sampling) or "all". warmup_epochs: so many epochs come
    first in which the network sees `warmup_frames` sampled frames and the clustering is off, as in
    the released code. schedule: "step" (a tenth at each epoch of lr_steps), "cosine" or "onecycle".
    grad_clip: largest norm of the gradient, or None. autocast: bfloat16 where that is safe.
    """

    epochs: int
    frames: int | Literal["all"] = "all"
    batch_size: int = 16
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: Literal["step", "cosine", "onecycle"] = "cosine"
    lr_steps: Sequence[int] = ()
    grad_clip: float | None = 20.0
    autocast: bool = True
    warmup_epochs: int = 0
    warmup_frames: int = 8
    resolution: int | None = None

    def __post_init__(self):
        if self.epochs < 1 or self.batch_size < 1:
            raise ValueError(
                f"epochs is {self.epochs} and batch_size {self.batch_size}; both must be 1 or more"
            )
        if self.schedule not in ("step", "cosine", "onecycle"):
            raise ValueError(f"schedule is {self.schedule!r}; choose step, cosine or onecycle")
        object.__setattr__(self, "lr_steps", tuple(self.lr_steps))


@dataclass
class History:
    """What happened in each epoch so far."""

    train_loss: list[float] = field(default_factory=list)
    train_top1: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def train(
    model: nn.Module,
    clips: Clips,
    recipe: Recipe,
    *,
    seed: int,
    classes: list[str],
    checkpoint: Path | None = None,
    device: str | torch.device = "cpu",
    progress: bool = False,
    after_epoch: Callable[[int, nn.Module, History], None] | None = None,
) -> History:
    """Train in place; with a checkpoint file, save after each epoch and go on from there.

    Every random number comes from (seed, epoch, step), so that a run which is killed and started
    again with the same number of threads ends in the same weights, bit for bit, on a CPU. A
    checkpoint of another recipe, seed or list of classes is refused with a ValueError. A loss that
    is not finite stops the run with a FloatingPointError that names the step and the clips. Source:
    section 4, "Training & Inference", and TSM's recipe.
    Explained in chapter 05_more_frames.
    """
    device = torch.device(device)
    model.to(device)
    steps = -(-len(clips) // recipe.batch_size)
    optimizer, schedule = build_optimizer(model, recipe, steps)
    history, first = History(), 0
    identity = {"recipe": _plain(asdict(recipe)), "seed": seed, "classes": classes}
    if checkpoint is not None and checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        _check_identity(checkpoint, state["identity"], identity)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        history, first = History(**state["history"]), state["epoch"]

    for epoch in range(first, recipe.epochs):
        start = time.perf_counter()
        loss, top1 = _train_epoch(
            model, clips, recipe, optimizer, schedule, seed, epoch, device, progress
        )
        history.train_loss.append(loss)
        history.train_top1.append(top1)
        history.seconds.append(time.perf_counter() - start)
        if checkpoint is not None:
            state = {
                "identity": identity,
                "epoch": epoch + 1,
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
                "history": asdict(history),
            }
            save_atomically(state, checkpoint)
        if after_epoch is not None:
            after_epoch(epoch, model, history)
    return history


def _train_epoch(
    model, clips, recipe, optimizer, schedule, seed, epoch, device, progress
) -> tuple[float, float]:
    model.train()
    cluster = epoch >= recipe.warmup_epochs
    frames = recipe.frames if cluster else recipe.warmup_frames
    total_loss, correct = 0.0, 0
    batches = _batches(len(clips), recipe.batch_size, seed, epoch)
    drawn: dict[int, np.ndarray] = {}  # by the length of the clips
    bar = tqdm(batches, f"epoch {epoch + 1}/{recipe.epochs}", leave=False, disable=not progress)
    for step, indices in enumerate(bar):
        x, target = clips.batch(indices)
        x, target = x.to(device), target.to(device)
        chosen = None
        if frames != "all":
            t = x.shape[1]
            # For all clips at once: a clip's frames do not depend on the batch it is in.
            if t not in drawn:
                rng = _rng(seed, epoch, 1)
                drawn[t] = segment_frames(t, frames, clips=len(clips), rng=rng)
            chosen = drawn[t][indices]
        x = select_frames(x, chosen, recipe.resolution)
        with (
            _seeded(seed, epoch, step),
            torch.autocast(device.type, torch.bfloat16, recipe.autocast),
        ):
            logits = model(x, cluster=cluster)
            loss = F.cross_entropy(logits.float(), target)
        value = loss.item()
        if not np.isfinite(value):
            raise FloatingPointError(
                f"the loss is {value} in step {step} of epoch {epoch + 1}, clips "
                f"{indices.tolist()}; "
                f"a smaller lr (now {recipe.lr}) or grad_clip (now {recipe.grad_clip}) may help"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if recipe.grad_clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), recipe.grad_clip)
        optimizer.step()
        schedule.step()
        total_loss += value * len(target)
        correct += int((logits.argmax(1) == target).sum())
        bar.set_postfix(loss=f"{value:.3f}", refresh=False)
    return total_loss / len(clips), 100 * correct / len(clips)


def save_atomically(state: dict, path: Path) -> None:
    """Write a checkpoint so that a reader finds the old one or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(unfinished, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _rng(*key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(key))


def _batches(clips: int, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    order = _rng(seed, epoch, 0).permutation(clips)
    return [order[i : i + batch_size] for i in range(0, clips, batch_size)]


@contextmanager
def _seeded(seed: int, epoch: int, step: int) -> Iterator[None]:
    """Dropout's random numbers for one step, without touching those of the caller."""
    with torch.random.fork_rng():
        torch.manual_seed(int(_rng(seed, epoch, 2, step).integers(2**63)))
        yield


def _plain(value: dict) -> dict:
    """As it comes back from a file: lists for tuples."""
    return json.loads(json.dumps(value))


def _check_identity(path: Path, found: dict, wanted: dict) -> None:
    different = [key for key in wanted if found.get(key) != wanted[key]]
    if different:
        lines = "; ".join(f"{key} is {found.get(key)}, wanted {wanted[key]}" for key in different)
        raise ValueError(
            f"the checkpoint {path} belongs to another run: {lines}. "
            f"Move it away to start again, or use the settings it was made with"
        )
