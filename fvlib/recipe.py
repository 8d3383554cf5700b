"""Recipe: how a network is trained. Light, so that what only reads need not load torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fvlib.datasets.sampling import FrameSampler


@dataclass(frozen=True, kw_only=True)
class Recipe(FrameSampler):
    """How a network is trained; and, as a `FrameSampler`, on which frames.

    By sampling="motion", all frames are read once before the first epoch, a time that `History`
    leaves out. warmup_epochs: so many epochs come first in which the network sees `warmup_frames`
    frames, of the same sampling, and the clustering is off, as in the released code. schedule:
    "step" (a tenth at each epoch of lr_steps), "cosine" or "onecycle". grad_clip: largest norm of
    the gradient, or None. autocast: bfloat16 where that is safe.

    frame_budget: most frames of whole clips at once; a step may then take several passes, whose
    gradients are added (BatchNorm sees each by itself). padding: what a clip is filled up with to
    the longest beside it: "exact", frames that the network never looks at, or "last", the paper's
    way, copies of its last frame that count like the others. crop: side of TSM's multi-scale crops,
    of crop_scales, in place of resolution. flip: mirror half the clips, which is refused where left
    and right tell classes apart; "always" mirrors them there too, as the published code did those
    of Move4MNIST. stream: with "all", decode frames as they are needed, again for each pass over
    them; for networks with a chunk. early_statistics: after the warm-up, what BatchNorm before the
    clustering step normalises with (as of `tsm_resnet`); in the warm-up it is the batch.
    sync_batchnorm: among several processes that batch is that of all of them; otherwise it is a
    process's own part, and the running statistics are those of the first.
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
        if self.warmup_epochs:
            self.warm_up()  # which has its own checks
        if self.epochs < 1 or self.batch_size < 1:
            raise ValueError(
                f"epochs is {self.epochs} and batch_size {self.batch_size}; both must be 1 or more"
            )
        if self.schedule not in ("step", "cosine", "onecycle"):
            raise ValueError(f"schedule is {self.schedule!r}; choose step, cosine or onecycle")
        if self.padding not in ("exact", "last"):
            raise ValueError(f"padding is {self.padding!r}; choose exact or last")
        if self.flip not in (False, True, "always"):
            raise ValueError(f"flip is {self.flip!r}; choose true, false or always")
        if self.stream and (self.frames != "all" or self.padding == "last"):
            raise ValueError("stream wants frames='all' and padding='exact': nothing is filled up")
        if self.flip and self.crop is None:
            raise ValueError("flip belongs to TSM's crops; give the side of a crop too")
        object.__setattr__(self, "lr_steps", tuple(self.lr_steps))
        object.__setattr__(self, "crop_scales", tuple(self.crop_scales))

    def warm_up(self) -> FrameSampler:
        """Which frames are shown in the epochs of the warm-up."""
        shared = {"sampling": self.sampling, "dense": self.dense, "order": self.order}
        return FrameSampler(self.warmup_frames, **shared)
