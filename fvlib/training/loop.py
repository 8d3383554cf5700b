"""One training loop for every network of the book, resumable to the last bit."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from fvlib import distributed
from fvlib.datasets.loading import (
    Clips,
    FrameChoice,
    StoredClips,
    batches,
    chunks,
    parts_of,
)
from fvlib.datasets.motion import motion_curves
from fvlib.datasets.streams import streams
from fvlib.datasets.transforms import TrainTransform
from fvlib.evaluation import resized
from fvlib.models.norm import shared
from fvlib.recipe import Recipe
from fvlib.training.limit import require_time
from fvlib.training.optimizer import build_optimizer
from fvlib.training.reports import report
from fvlib.training.saving import check_identity, read_state, require_room_for, save_atomically


@dataclass
class History:
    """What happened in each epoch so far."""

    train_loss: list[float] = field(default_factory=list)
    train_top1: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def train(
    model: nn.Module,
    clips: Clips | StoredClips,
    recipe: Recipe,
    *,
    seed: int,
    classes: list[str],
    checkpoint: Path | None = None,
    device: str | torch.device = "cpu",
    workers: int = 0,
    progress: bool = False,
    after_epoch: Callable[[int, nn.Module, History], None] | None = None,
) -> History:
    """Train in place; with a checkpoint file, save after each epoch and go on from there.

    Every random number comes from (seed, epoch, step), so that a run which is killed and started
    again with the same number of threads ends in the same weights, bit for bit, on a CPU. On a GPU
    some sums are added up in another order each time, and weights differ in their last bits at
    first, unless `deterministic` is used. A checkpoint of another recipe, seed or list of classes,
    or a damaged one, is refused with a ValueError. Too little room for checkpoints is an OSError
    before the first epoch. A loss that is not finite stops the run with a FloatingPointError that
    names the step and the clips. With a checkpoint, `time_limit` ends it between two epochs, or
    behind the last one, with TimeIsUp.

    Processes that are joined (`fvlib.distributed`) train together: all call this with the same
    arguments, each shows its share of every batch, and the gradient is that of one process. Random
    numbers of the network, such as dropout's, are each process's own. The first one alone reads and
    writes the checkpoint, which does not hang on their number; after_epoch is called in all.
    Adaptive clusters, which are shared out over a batch, are refused there with a ValueError.

    Source: section 4, "Training & Inference", and TSM's recipe.
    Explained in chapter 05_more_frames.
    """
    if distributed.world() > 1 and getattr(getattr(model, "clustering", None), "adaptive", False):
        raise ValueError(
            f"the clustering is adaptive: it shares out the clusters of a batch, which "
            f"{distributed.world()} processes do not see as a whole; train in one process"
        )
    device, progress = torch.device(device), progress and distributed.is_first()
    model.to(device)
    steps = -(-len(clips) // recipe.batch_size)
    optimizer, schedule = build_optimizer(model, recipe, steps)
    history, first = History(), 0
    identity = {"recipe": _plain(asdict(recipe)), "seed": seed, "classes": classes}
    if checkpoint is not None and distributed.is_first():
        require_room_for(model, checkpoint)
    if state := distributed.from_first(lambda: _saved(checkpoint, identity)):
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        history, first = History(**state["history"]), state["epoch"]

    motion = motion_curves(clips, progress=progress) if recipe.sampling == "motion" else None
    for epoch in range(first, recipe.epochs):
        start = time.perf_counter()
        loss, top1 = _train_epoch(
            model,
            clips,
            recipe,
            optimizer,
            schedule,
            seed,
            epoch,
            device,
            workers,
            progress,
            motion,
        )
        history.train_loss.append(loss)
        history.train_top1.append(top1)
        history.seconds.append(time.perf_counter() - start)
        if checkpoint is not None:
            lr, seconds = schedule.get_last_lr()[0], history.seconds[-1]
            report(epoch + 1, loss=loss, top1=top1, seconds=seconds, lr=lr)
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
        if checkpoint is not None:
            require_time()
    return history


def _train_epoch(
    model, clips, recipe, optimizer, schedule, seed, epoch, device, workers, progress, motion
) -> tuple[float, float]:
    cluster = epoch >= recipe.warmup_epochs
    if recipe.early_statistics != "batch":
        model.early_statistics = recipe.early_statistics if cluster else "batch"
    model.train()
    drawn = {"draw": (seed, epoch), "sampling": recipe.sampling, "motion": motion}
    choice = FrameChoice(recipe.frames, recipe.dense, recipe.stride, window=recipe.window, **drawn)
    if not cluster:
        choice = FrameChoice(recipe.warmup_frames, recipe.dense, **drawn)
    streaming = recipe.stream and cluster
    seen = partial(_seen, _transform(clips, recipe), recipe.resolution, seed, epoch)
    together = recipe.sync_batchnorm and distributed.world() > 1
    total_loss, correct = 0.0, 0
    order = _rng(seed, epoch, 0).permutation(len(clips))
    steps = parts_of(chunks(order, recipe.batch_size), clips, choice, recipe.frame_budget)
    shares = [[distributed.share(part) for part in step] for step in steps]
    passes = [mine.clips for step in shares for mine in step]
    if streaming:
        shown = streams(clips, passes, choice, seen)
    else:
        shown = batches(clips, passes, choice, workers=workers)
    title = f"epoch {epoch + 1}/{recipe.epochs}"
    bar = tqdm(steps, title, leave=False, disable=not progress)
    replica = distributed.replica(model)
    for step, parts in enumerate(bar):
        optimizer.zero_grad(set_to_none=True)
        size, step_loss, hits = sum(map(len, parts)), 0.0, 0
        for part, batch in zip(range(len(parts)), shown, strict=False):
            x, target, lengths, indices = batch.to(device)
            x = x if streaming else seen(x, indices)
            if recipe.padding == "last":
                x, lengths = _filled_up(x, distributed.most(x.shape[1])), None
            counts = shares[step][part].counts
            with (
                distributed.adding_up(replica, last=part == len(parts) - 1),
                shared(model, idle=not counts) if together else nullcontext(),
            ):
                with (
                    _seeded(seed, epoch, step, part),
                    torch.autocast(device.type, torch.bfloat16, recipe.autocast),
                ):
                    logits = replica(x, lengths, cluster=cluster)
                    scores = logits.to(torch.promote_types(logits.dtype, torch.float32))
                    loss = F.cross_entropy(scores, target)
                value = loss.item()
                if not np.isfinite(value):
                    raise FloatingPointError(
                        f"the loss is {value} in step {step} of epoch {epoch + 1}, clips "
                        f"{indices.tolist()}; a smaller lr (now {recipe.lr}) or grad_clip (now "
                        f"{recipe.grad_clip}) may help"
                    )
                share = len(target) / size if counts else 0.0
                # Times their number, since the gradients of the processes are averaged.
                (share * distributed.world() * loss).backward()
            step_loss += share * value
            hits += int((logits.argmax(1) == target).sum()) if counts else 0
        if recipe.grad_clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), recipe.grad_clip)
        optimizer.step()
        schedule.step()
        step_loss, hits = distributed.total(step_loss, hits)
        total_loss += step_loss * size
        correct += hits
        bar.set_postfix(loss=f"{step_loss:.3f}", refresh=False)
    distributed.same_buffers(model)
    return total_loss / len(clips), 100 * correct / len(clips)


def _filled_up(x: Tensor, t: int) -> Tensor:
    """Clips with their last frame repeated up to t frames: those of other processes are longer."""
    if t == x.shape[1]:
        return x
    return torch.cat([x, x[:, -1:].expand(-1, t - x.shape[1], -1, -1, -1)], 1)


def _seen(
    transform: TrainTransform | None,
    resolution: int | None,
    seed: int,
    epoch: int,
    x: Tensor | list[Tensor],
    indices: np.ndarray,
) -> Tensor:
    """What the network sees of some clips, or of a part of one: a crop, at its resolution."""
    if transform is not None:
        x = transform(x, indices, seed=seed, epoch=epoch)
    return resized(x, resolution)


def _transform(clips: Clips | StoredClips, recipe: Recipe) -> TrainTransform | None:
    """The crop of each clip, and whether it is mirrored, if the recipe has them."""
    if recipe.crop is None:
        return None
    name = getattr(clips, "name", "")
    if recipe.flip is True and not name:
        raise ValueError(
            "flip is on, but these clips do not say of which data set they are, and so whether "
            "left and right are classes there; give them a name (InMemory(..., name=...))"
        )
    flow = getattr(clips, "flow", False)
    classes = getattr(clips, "classes", ())
    return TrainTransform(name, recipe.crop, recipe.crop_scales, recipe.flip, flow, classes)


def _rng(*key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(key))


@contextmanager
def _seeded(*key: int) -> Iterator[None]:
    """Dropout's random numbers for a part of a step, without touching those of the caller."""
    seed, epoch, step, part = key
    own = [distributed.rank()] if distributed.rank() else []
    with torch.random.fork_rng():
        torch.manual_seed(int(_rng(seed, epoch, 2, step, part, *own).integers(2**63)))
        yield


def _saved(checkpoint: Path | None, wanted: dict) -> dict | None:
    """What a checkpoint of this training holds; None when there is none."""
    if checkpoint is None or not checkpoint.exists():
        return None
    state = read_state(checkpoint)
    # A setting that came later is at its default in an older checkpoint.
    defaults = _plain(asdict(Recipe(epochs=wanted["recipe"]["epochs"])))
    state["identity"]["recipe"] = defaults | state["identity"]["recipe"]
    check_identity(checkpoint, state["identity"], wanted)
    return state


def _plain(value: dict) -> dict:
    """As it comes back from a file: lists for tuples."""
    return json.loads(json.dumps(value))
