"""One training loop for every network, resumable to the last bit, and how to repeat its bits."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, MultiStepLR, OneCycleLR
from tqdm import tqdm

from fvlib import distributed
from fvlib.contracts import Clips, require_clips
from fvlib.datasets.loading import Batch, batches, chunks, parts_of
from fvlib.datasets.streams import motion_curves
from fvlib.datasets.transforms import TrainTransform
from fvlib.evaluation import resized
from fvlib.models.batchnorm import sync_batchnorm
from fvlib.models.checkpoints import read_torch
from fvlib.recipe import Recipe
from fvlib.storage import digest, require_room, write_file
from fvlib.values import check_whole

_STATE = ("identity", "epoch", "model", "optimizer", "schedule", "history")  # of a checkpoint


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
    checkpoint: str | Path | None = None,
    device: str | torch.device = "cpu",
    workers: int = 0,
    progress: bool = False,
    after_epoch: Callable[[int, nn.Module, History], None] | None = None,
) -> History:
    """Train in place; with a checkpoint file, save after each epoch and go on from there.

    Every random number comes from (seed, epoch, step), so that a run which is killed and started
    again with the same number of threads ends in the same weights, bit for bit, on a CPU. On a GPU
    some sums are added up in another order each time, and weights differ in their last bits at
    first, unless `deterministic` is used. A checkpoint of another recipe, seed, list of classes,
    clustering or network, of other clips, or a damaged one, is refused with a ValueError. Too
    little room for checkpoints is an OSError before the first epoch. A loss that is not finite
    stops the run with a FloatingPointError that names the step and the clips, and so do weights at
    the end of an epoch, before they are saved. What `after_epoch` raises ends it behind the epoch's
    checkpoint; it is not called again for epochs that are read from one.

    Processes that are joined (`fvlib.distributed`) train together: all call this with the same
    arguments, each shows its share of every batch, and the gradient is that of the whole batch. On
    GPUs BatchNorm sees all of it too (`Recipe.sync_batchnorm`), on CPUs its process's own share.
    Random numbers of the network, such as dropout's, are each process's own. The first one alone
    reads and writes the checkpoint, which does not depend on their number; after_epoch is called in
    all. Adaptive clusters, which are shared out over a batch, are refused with a ValueError.

    Source:
        Section 4, "Training & Inference", and TSM's recipe.
    """
    if distributed.world() > 1 and getattr(getattr(model, "clustering", None), "adaptive", False):
        raise ValueError(
            f"the clustering is adaptive: it shares out the clusters of a batch, which "
            f"{distributed.world()} processes do not see as a whole; train in one process"
        )
    require_clips(clips, len(classes))
    check_whole("seed", seed, 0)
    device = torch.device(device)
    model.to(device)
    optimizer, schedule = build_optimizer(model, recipe, -(-len(clips) // recipe.batch_size))
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    history, first = History(), 0
    # What a checkpoint must agree in with the run that goes on from it.
    identity = {
        "recipe": json.loads(json.dumps(asdict(recipe))),  # as it comes back: lists for tuples
        "seed": seed,
        "classes": list(classes),
        "clustering": str(getattr(model, "clustering", None)),
        "clips": f"{len(clips)}, {digest(clips.lengths, clips.targets)[:16]}",
    }
    checkpoint = None if checkpoint is None else Path(checkpoint)
    if checkpoint is not None and distributed.is_rank_zero():
        weights = sum(tensor.nbytes for tensor in model.state_dict().values())
        # For three: the old one, the new one, and weights to keep; and momentum in each.
        require_room(checkpoint.parent, 6 * weights / 1e6)
    if state := distributed.from_rank_zero(lambda: _saved(checkpoint, identity)):
        try:
            for name, part in parts.items():
                part.load_state_dict(state[name])
        except torch.OutOfMemoryError:  # which is a RuntimeError
            raise
        except (RuntimeError, ValueError) as error:
            raise _another_run(checkpoint, f"its network is another ({error})") from None
        history, first = History(**state["history"]), state["epoch"]

    progress = progress and distributed.is_rank_zero()
    epochs = _Epochs(model, clips, recipe, seed, optimizer, schedule, device, workers, progress)
    for epoch in range(first, recipe.epochs):
        start = time.perf_counter()
        loss, top1 = epochs.train(epoch)
        _require_finite(model, epoch, recipe)
        history.train_loss.append(loss)
        history.train_top1.append(top1)
        history.seconds.append(time.perf_counter() - start)
        if checkpoint is not None:
            state = {name: part.state_dict() for name, part in parts.items()}
            state |= {"identity": identity, "epoch": epoch + 1, "history": asdict(history)}
            save_atomically(state, checkpoint)
        if after_epoch is not None:
            after_epoch(epoch, model, history)
    return history


@dataclass
class _Epochs:
    """A training, epoch by epoch: an epoch has steps, and a step one pass or several."""

    model: nn.Module
    clips: Clips
    recipe: Recipe
    seed: int
    optimizer: Optimizer
    schedule: LRScheduler
    device: torch.device
    workers: int
    progress: bool

    def __post_init__(self):
        by_motion = self.recipe.sampling == "motion"
        self.motion = motion_curves(self.clips, progress=self.progress) if by_motion else None
        self.crop = _crop(self.clips, self.recipe)
        several = self.device.type == "cuda" and distributed.world() > 1
        self.sync_batchnorm = self.recipe.sync_batchnorm and several

    def train(self, epoch: int) -> tuple[float, float]:
        """One epoch: the mean loss, and accuracy in percent, of the clips as they were shown."""
        recipe, model = self.recipe, self.model
        warming = epoch < recipe.warmup_epochs
        cluster = not warming and epoch < recipe.epochs - recipe.last_epochs
        if recipe.early_statistics != "batch":
            model.early_statistics = recipe.early_statistics if cluster else "batch"
        model.train()
        few = recipe.warmup_frames if warming else recipe.last_frames
        sampler = recipe if cluster else recipe.of_few(few)
        order = _rng(self.seed, epoch, 0).permutation(len(self.clips))
        steps = parts_of(chunks(order, recipe.batch_size), self.clips, sampler, recipe.frame_budget)
        shares = [[distributed.share(part) for part in step] for step in steps]
        shown = batches(
            self.clips,
            [mine.clips for step in shares for mine in step],
            sampler,
            draw=(self.seed, epoch),
            motion=self.motion,
            stream=recipe.stream and cluster,
            workers=self.workers,
        )
        replica = distributed.replica(model)
        total_loss, correct = 0.0, 0
        title = f"epoch {epoch + 1}/{recipe.epochs}"
        bar = tqdm(steps, title, leave=False, disable=not self.progress)
        for step, parts in enumerate(bar):
            self.optimizer.zero_grad(set_to_none=True)
            size, step_loss, hits = sum(map(len, parts)), 0.0, 0
            for part, (mine, batch) in enumerate(zip(shares[step], shown, strict=False)):
                share = len(batch.target) / size if mine.counts else 0.0
                with (
                    distributed.no_sync(replica, last=part == len(parts) - 1),
                    sync_batchnorm(model) if self.sync_batchnorm else nullcontext(),
                ):
                    loss, right = self._pass(replica, batch, share, cluster, (epoch, step, part))
                step_loss += share * loss
                hits += right if mine.counts else 0
            if recipe.grad_clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), recipe.grad_clip)
            self.optimizer.step()
            self.schedule.step()
            step_loss, hits = distributed.all_reduce_sum(step_loss, hits)
            total_loss += step_loss * size
            correct += hits
            bar.set_postfix(loss=f"{step_loss:.3f}", refresh=False)
        distributed.broadcast_buffers(model)
        return total_loss / len(self.clips), 100 * correct / len(self.clips)

    def _pass(
        self,
        replica: nn.Module,
        batch: Batch,
        share: float,
        cluster: bool,
        place: tuple[int, int, int],
    ) -> tuple[float, int]:
        """Forward and backward: the mean loss of some clips, and how many of them are right.

        Args:
            share: of the step's clips.
            place: epoch, step, and which pass of the step it is.
        """
        recipe, (epoch, step, _) = self.recipe, place
        batch = batch.to(self.device).seen_through(partial(self._seen, epoch))
        x, target, lengths, indices = batch
        if recipe.padding == "last":
            x, lengths = _filled_up(x, distributed.all_reduce_max(x.shape[1])), None
        with (
            _seeded(self.seed, *place),
            torch.autocast(self.device.type, torch.bfloat16, recipe.autocast),
        ):
            logits = replica(x, lengths, cluster=cluster)
            scores = logits.to(torch.promote_types(logits.dtype, torch.float32))
            loss = F.cross_entropy(scores, target)
        value = loss.item()
        if not np.isfinite(value):
            raise FloatingPointError(
                f"the loss is {value} in step {step} of epoch {epoch + 1}, clips "
                f"{indices.tolist()}; {_smaller(recipe)}"
            )
        # Times their number, since the gradients of the processes are averaged.
        (share * distributed.world() * loss).backward()
        return value, int((logits.argmax(1) == target).sum())

    def _seen(self, epoch: int, x: Tensor | list[Tensor], indices: np.ndarray) -> Tensor:
        """What the network sees of some clips, or of a part of one: a crop, at its resolution."""
        if self.crop is not None:
            x = self.crop(x, indices, seed=self.seed, epoch=epoch)
        return resized(x, self.recipe.resolution)


def _require_finite(model: nn.Module, epoch: int, recipe: Recipe) -> None:
    """FloatingPointError unless the weights, and the statistics beside them, are numbers."""
    trained = dict(model.named_parameters())
    for name, value in model.state_dict().items():
        # A buffer may be infinite and mean it, but for the statistics of BatchNorm.
        finite = name in trained or "running_" in name
        if not (torch.isfinite(value) if finite else ~torch.isnan(value)).all():
            raise FloatingPointError(
                f"{name} is not finite at the end of epoch {epoch + 1}, of which nothing is saved; "
                f"{_smaller(recipe)}"
            )


def _smaller(recipe: Recipe) -> str:
    return f"a smaller lr (now {recipe.lr}) or grad_clip (now {recipe.grad_clip}) may help"


def _filled_up(x: Tensor, t: int) -> Tensor:
    """Clips with their last frame repeated up to t frames: those of other processes are longer."""
    if t == x.shape[1]:
        return x
    return torch.cat([x, x[:, -1:].expand(-1, t - x.shape[1], -1, -1, -1)], 1)


def _crop(clips: Clips, recipe: Recipe) -> TrainTransform | None:
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


def _saved(checkpoint: Path | None, wanted: Mapping[str, Any]) -> dict | None:
    """What a checkpoint of this training holds; None when there is none."""
    if checkpoint is None or not checkpoint.exists():
        return None
    state = read_state(checkpoint)
    # What an older version did not note may be the same.
    then = {**wanted, **state["identity"]}
    if different := [key for key in wanted if then[key] != wanted[key]]:
        lines = (f"{key} is {then[key]}, wanted {wanted[key]}" for key in different)
        raise _another_run(checkpoint, "; ".join(lines))
    return state


def _another_run(checkpoint: Path, why: str) -> ValueError:
    return ValueError(
        f"the checkpoint {checkpoint} belongs to another run: {why}. Move it away to start again, "
        "or use the settings it was made with"
    )


@contextmanager
def deterministic(on: bool = True) -> Iterator[None]:
    """While the block runs, torch uses no operation that gives other bits when it is repeated.

    On a CPU none does, as long as the number of threads is the same, and the block costs nothing
    that could be measured. On a GPU the backward passes of convolutions and pooling, and matrix
    products, may add up in any order; here cuDNN and cuBLAS are told not to (the latter by
    CUBLAS_WORKSPACE_CONFIG, which counts only if no product was computed before), and an operation
    that has no other way is a RuntimeError that names it. Another GPU or another release of torch
    gives other bits all the same.
    """
    if not on:
        yield
        return
    was = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # torch's manual, on randomness
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(was[0])
        torch.backends.cudnn.benchmark = was[1]


def parameter_groups(model: nn.Module, lr: float, weight_decay: float) -> list[dict]:
    """Groups for SGD, as TSM trains: what learns faster, and what does not decay.

    weights of convolutions: lr, decay. biases of convolutions: 2 lr, no decay. BatchNorm, and other
    norms: lr, no decay. last layer, `fc` or what the network calls `last`: weights 5 lr, decay;
    biases 10 lr, no decay. The layers of a head in its place are treated as convolutions, as TRN's
    authors do. Frozen parameters are in no group.
    """
    rules = {
        "weight": (1, 1),
        "bias": (2, 0),
        "norm": (1, 0),
        "fc_weight": (5, 1),
        "fc_bias": (10, 0),
    }
    groups: dict[str, dict[str, Any]] = {
        name: {"name": name, "params": [], "lr": lr * faster, "weight_decay": weight_decay * decays}
        for name, (faster, decays) in rules.items()
    }
    for place, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            kind = "bias" if name == "bias" else "weight"
            if isinstance(module, (_BatchNorm, nn.LayerNorm, nn.GroupNorm)):
                kind = "norm"
            elif place == getattr(model, "last", "fc"):
                kind = f"fc_{kind}"
            groups[kind]["params"].append(parameter)
    return [group for group in groups.values() if group["params"]]


def build_optimizer(model: nn.Module, recipe: Recipe, steps: int) -> tuple[SGD, LRScheduler]:
    """The optimiser, and a schedule that is advanced after each of `steps` steps an epoch."""
    groups = parameter_groups(model, recipe.lr, recipe.weight_decay)
    optimizer = SGD(groups, lr=recipe.lr, momentum=recipe.momentum)
    total = recipe.epochs * steps
    if recipe.schedule == "step":
        schedule = MultiStepLR(optimizer, [epoch * steps for epoch in recipe.lr_steps], gamma=0.1)
    elif recipe.schedule == "cosine":
        schedule = CosineAnnealingLR(optimizer, total)
    else:
        peaks = [group["lr"] for group in optimizer.param_groups]
        schedule = OneCycleLR(optimizer, peaks, total, cycle_momentum=False)
    return optimizer, schedule


def save_atomically(state: dict, path: Path) -> None:
    """Write a checkpoint so that a reader finds the old one or the new one, never half of one.

    Of several processes the first one writes it.
    """
    if not distributed.is_rank_zero():
        return
    content = io.BytesIO()  # what torch says of a full disk does not name it
    torch.save(state, content)
    write_file(path, content.getbuffer())


def read_state(path: Path) -> dict[str, Any]:
    """What a training saved; ValueError when the file is damaged or something else.

    No older checkpoint is kept to fall back on, since the file of this name is always whole when it
    gets its name; what damages it later is the disk, and may have damaged both.
    """
    try:
        state = read_torch(path)
        return {key: state[key] for key in _STATE}
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(
            f"the checkpoint {path} ({path.stat().st_size} bytes) is damaged, or of something else "
            f"than a training ({type(error).__name__}: {error}). Delete it and run again: the run "
            "then begins at its first epoch"
        ) from error


def epochs_done(path: Path) -> int:
    """How many epochs a checkpoint has behind it; 0 when there is none, or a damaged one."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)["epoch"]
    except Exception:  # as above
        return 0
