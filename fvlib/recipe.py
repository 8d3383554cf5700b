"""Recipe: how a network is trained. Light, so that what only reads need not load torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fvlib.datasets.sampling import FrameSampler
from fvlib.values import check_least


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
        if self.lr <= 0 or (self.grad_clip is not None and self.grad_clip <= 0):
            raise ValueError(f"lr is {self.lr}, grad_clip {self.grad_clip}; wanted above 0")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum is {self.momentum}; wanted 0 or more, and below 1")
        if self.warmup_epochs + self.last_epochs > self.epochs:
            raise ValueError(
                f"warmup_epochs is {self.warmup_epochs} and last_epochs {self.last_epochs}; there "
                f"are {self.epochs} epochs together"
            )
        if list(self.lr_steps) != sorted({step for step in self.lr_steps if step > 0}):
            raise ValueError(f"lr_steps is {self.lr_steps}; wanted epochs from 1 on, ascending")
        if self.lr_steps and self.schedule != "step":
            raise ValueError(
                f"lr_steps is {self.lr_steps} and schedule {self.schedule!r}, which has no steps; "
                "leave one of them out"
            )
        if not self.crop_scales or not all(0 < scale <= 1 for scale in self.crop_scales):
            raise ValueError(
                f"crop_scales is {self.crop_scales}; wanted shares of the shorter side, one or "
                "more, above 0 and at most 1"
            )
        if self.stream and (self.frames != "all" or self.padding == "last"):
            raise ValueError("stream wants frames='all' and padding='exact': nothing is filled up")
        if self.flip and self.crop is None:
            raise ValueError("flip belongs to TSM's crops; give the side of a crop too")

    def of_few(self, frames: int) -> FrameSampler:
        """Which frames are shown in the epochs of so many frames: the warm-up, and the last."""
        shared = {"sampling": self.sampling, "dense": self.dense, "order": self.order}
        return FrameSampler(frames, **shared)
