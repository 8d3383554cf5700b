"""Recipe: how a network is trained. Light, so that what only reads need not load torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fvlib.datasets.sampling import FrameSampler
from fvlib.values import check_least, want


@dataclass(frozen=True, kw_only=True)
class Recipe(FrameSampler):
    """How a network is trained; and, as a `FrameSampler`, on which frames.

    By sampling="motion", all frames are read once before the first epoch, a time that `History`
    leaves out.

    Args:
        warmup_epochs: so many epochs come first in which the network sees `warmup_frames` frames,
            of the same sampling, and the clustering is off, as in the released code.
        last_epochs: so many come last, in the same way, with `last_frames` frames.
        schedule: "step" (a tenth at each epoch of lr_steps), "cosine" or "onecycle".
        grad_clip: largest norm of the gradient, or None.
        autocast: bfloat16 where that is safe.
        frame_budget: most frames of whole clips at once; a step may then take several passes, whose
            gradients are added (BatchNorm sees each by itself).
        padding: what a clip is filled up with to the longest beside it: "exact", frames that the
            network never looks at, or "last", the paper's way, copies of its last frame that count
            like the others.
        crop: side of TSM's multi-scale crops, of crop_scales, in place of resolution.
        flip: mirror half the clips, which is refused where left and right tell classes apart;
            "always" mirrors them there too, as the published code did those of Move4MNIST.
        stream: with "all", decode frames as they are needed, again for each pass over them; for
            networks with a chunk.
        early_statistics: after the warm-up, what BatchNorm before the clustering step normalises
            with (as of `tsm_resnet`); in the warm-up it is the batch.
        sync_batchnorm: among several GPUs that batch is that of all of them, by torch's
            SyncBatchNorm. Otherwise, among processes on CPUs, and with "detached" it is a process's
            own part, and the running statistics are those of the first.
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
    last_epochs: int = 0
    last_frames: int = 8
    resolution: int | None = None
    frame_budget: int | None = None
    padding: Literal["exact", "last"] = "exact"
    crop: int | None = None
    crop_scales: Sequence[float] = (1.0, 0.875, 0.75, 0.66)
    flip: bool | Literal["always"] = False
    stream: bool = False
    early_statistics: Literal["batch", "running", "detached"] = "batch"
    sync_batchnorm: bool = True

    def __post_init__(self):
        super().__post_init__()
        check_least(self, 0, "weight_decay", "warmup_epochs", "last_epochs")
        check_least(self, 1, "epochs", "batch_size", "resolution", "frame_budget", "crop")
        if self.warmup_epochs:
            self.of_few(self.warmup_frames)  # which has its own checks
        if self.last_epochs:
            self.of_few(self.last_frames)
        check_least(self, 1, "warmup_frames", "last_frames")
        above = self.grad_clip is None or self.grad_clip > 0
        want(self, self.lr > 0 and above, "lr", "grad_clip", why="wanted above 0")
        want(self, 0 <= self.momentum < 1, "momentum", why="wanted 0 or more, and below 1")
        fits = self.warmup_epochs + self.last_epochs <= self.epochs
        why = "there are not as many together"
        want(self, fits, "warmup_epochs", "last_epochs", "epochs", why=why)
        ascending = list(self.lr_steps) == sorted({step for step in self.lr_steps if step > 0})
        want(self, ascending, "lr_steps", why="wanted epochs from 1 on, ascending")
        fits = not self.lr_steps or self.schedule == "step"
        want(self, fits, "lr_steps", "schedule", why="steps belong to the schedule 'step'")
        shares = self.crop_scales and all(0 < scale <= 1 for scale in self.crop_scales)
        why = "wanted shares of the shorter side, one or more, above 0 and at most 1"
        want(self, bool(shares), "crop_scales", why=why)
        fits = not self.stream or (self.frames == "all" and self.padding == "exact")
        why = "stream wants frames='all' and padding='exact': nothing is filled up"
        want(self, fits, "stream", "frames", "padding", why=why)
        why = "flip belongs to TSM's crops; give the side of a crop too"
        want(self, not self.flip or self.crop is not None, "flip", why=why)

    def of_few(self, frames: int) -> FrameSampler:
        """Which frames are shown in the epochs of so many frames: the warm-up, and the last."""
        shared = {"sampling": self.sampling, "dense": self.dense, "order": self.order}
        return FrameSampler(frames, **shared)
