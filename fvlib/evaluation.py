"""How accuracy is measured, by a protocol, and how well clusters keep types of frames apart."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64, Shaped
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as transforms
from tqdm import tqdm

from fvlib import distributed
from fvlib.datasets.loading import (
    Batch,
    Clips,
    FrameChoice,
    Order,
    Sampling,
    StoredClips,
    batches,
    check_sampling,
    chunks,
    parts_of,
)
from fvlib.datasets.motion import motion_curves
from fvlib.datasets.sampling import DENSE_VIEWS
from fvlib.datasets.streams import ClipStream, streams
from fvlib.datasets.transforms import EvalTransform


@dataclass(frozen=True)
class Protocol:
    """What a network is shown of a clip when its accuracy is measured.

    frames: a number (the middle frame of each of so many segments) or "all". cluster: whether the
    clustering step of the network is on. resolution: the frames are resized to this many pixels a
    side; None leaves them as they are. views: with a number of frames, how many choices of them are
    shown one after the other: 1, 2, or 10 with dense windows; their scores are averaged. stride:
    with "all", every so many-th frame. scale, crop, crops: TSM's crops in place of `resolution`:
    the shorter side, the side of a crop, and 1 or 3 of them, whose scores are averaged too. order:
    of the frames in time, "forward", "reversed" or "shuffled" (as of `FrameChoice`), to see what
    the network makes of it. window: with "all", so many neighbouring frames, in up to 10 views.
    sampling: of a number of frames, in one view: at "random" or by "motion" in place of the middle
    ones (as of `FrameChoice`).
    """

    frames: int | Literal["all"]
    cluster: bool
    resolution: int | None = None
    views: int = 1
    dense: bool = False
    stride: int | float = 1
    scale: int | None = None
    crop: int | None = None
    crops: int = 1
    order: Order = "forward"
    window: int | None = None
    sampling: Sampling = "segments"

    def __post_init__(self):
        check_sampling(self.sampling, self.frames, self.dense, self.window)
        if self.order not in get_args(Order):
            raise ValueError(f"order is {self.order!r}; choose one of {', '.join(get_args(Order))}")
        if self.frames == "all":
            most = 1 if self.window is None else DENSE_VIEWS
        elif self.sampling != "segments":
            most = 1
        else:
            most = DENSE_VIEWS if self.dense else 2
        if not 1 <= self.views <= most:
            raise ValueError(f"views is {self.views}; with these frames there are 1 to {most}")
        if (self.scale is None) != (self.crop is None) or (self.crop and self.resolution):
            raise ValueError(
                f"scale is {self.scale}, crop {self.crop}, resolution {self.resolution}; give "
                "scale and crop together, or resolution, or none of them"
            )

    def describe(self) -> dict[str, object]:
        """What a record says about it: frames, cluster, resolution, and all that is not usual."""
        usual = {field.name: field.default for field in fields(self)}
        always = ("frames", "cluster", "resolution")
        values = asdict(self).items()
        return {key: value for key, value in values if key in always or value != usual[key]}

    @classmethod
    def clustered(cls, resolution: int | None = None) -> Protocol:
        """All frames go in and are clustered at test time too: the text of the paper."""
        return cls("all", True, resolution)

    @classmethod
    def sampled(cls, frames: int, resolution: int | None = None) -> Protocol:
        """A few frames and no clustering: what the released code does, and plain TSM."""
        return cls(frames, False, resolution)


@dataclass(frozen=True)
class Evaluation:
    """The predicted and the true class of every clip, and the scores of all classes."""

    prediction: Int64[np.ndarray, " clips"]
    target: Int64[np.ndarray, " clips"]
    scores: Float32[np.ndarray, "clips k"] | None = None

    @property
    def correct(self) -> int:
        """Clips whose class was predicted."""
        return int((self.prediction == self.target).sum())

    @property
    def top1(self) -> float:
        """Accuracy in percent."""
        return 100 * self.correct / len(self.target)


def resized(
    x: Shaped[Tensor, "n t c h w"] | list[Tensor], resolution: int | None
) -> Shaped[Tensor, "n t c h2 w2"]:
    """The clips with frames of resolution x resolution pixels; None leaves them as they are.

    Raises ValueError for clips of different sizes without a resolution.
    Explained in chapter 05_more_frames.
    """
    if isinstance(x, list):
        if resolution is None:
            sizes = sorted({tuple(clip.shape[-2:]) for clip in x})
            raise ValueError(
                f"the frames of a batch are of {sizes} pixels; give a resolution, a crop, or a "
                "size to read them at"
            )
        return torch.stack([resized(clip[None], resolution)[0] for clip in x])
    if resolution is None or tuple(x.shape[-2:]) == (resolution, resolution):
        return x
    return transforms.resize(x, [resolution, resolution], antialias=True)


def views_of(
    x: Shaped[Tensor, "n t c h w"] | list[Tensor], protocol: Protocol
) -> Shaped[Tensor, "n v t c h2 w2"]:
    """What a protocol shows of the frames of some clips: its crops, or the whole frames as one.

    Explained in chapter 09_ucf_hmdb.
    """
    if protocol.crop is None:
        return resized(x, protocol.resolution)[:, None]
    return EvalTransform(protocol.scale, protocol.crop, protocol.crops)(x)


@torch.no_grad()
def evaluate(
    model: nn.Module,
    clips: Clips | StoredClips,
    protocol: Protocol,
    *,
    batch_size: int = 16,
    frame_budget: int | None = None,
    stream: bool = False,
    workers: int = 0,
    device: str | torch.device = "cpu",
    autocast: bool = True,
    progress: bool = False,
) -> Evaluation:
    """Predict the class of every clip, in eval mode. autocast: in bfloat16, as in training.

    Of stored clips: frame_budget, how many frames may be shown at once, as `within_budget`;
    stream, whether frames are decoded as they are needed, for networks with a chunk; workers, how
    many processes read them otherwise. A protocol that samples by motion reads all frames first.

    Processes that are joined (`fvlib.distributed`) share the batches, and all get the whole result,
    which is that of one process.
    Explained in chapter 05_more_frames.
    """
    device = torch.device(device)
    progress = progress and distributed.is_first()
    was_training = model.training
    model.eval()
    order = np.arange(len(clips))
    scores: Tensor = 0
    motion = motion_curves(clips, progress=progress) if protocol.sampling == "motion" else None
    for view in range(protocol.views):
        choice = FrameChoice(
            protocol.frames,
            protocol.dense,
            protocol.stride,
            view=view,
            order=protocol.order,
            window=protocol.window,
            sampling=protocol.sampling,
            motion=motion,
        )
        parts = parts_of(chunks(order, batch_size), clips, choice, frame_budget)
        steps = distributed.dealt([part for step in parts for part in step])
        each = []
        if stream:
            shown = streams(clips, steps, choice)
        else:
            shown = batches(clips, steps, choice, workers=workers)
        for batch in tqdm(shown, "evaluate", len(steps), leave=False, disable=not progress):
            each.append((_scores(model, batch, protocol, device, autocast).cpu(), batch.target))
        found, targets = zip(*distributed.collected(each), strict=True)
        scores = scores + torch.cat(found)
    model.train(was_training)
    return Evaluation(scores.argmax(1).numpy(), torch.cat(targets).numpy(), scores.numpy())


def _scores(
    model: nn.Module, batch: Batch, protocol: Protocol, device: torch.device, autocast: bool
) -> Float[Tensor, "n k"]:
    """The scores of some clips, summed over crops."""
    batch = batch.to(device)
    if isinstance(batch.x, ClipStream):
        crops = (
            batch.x.seen_through(lambda x, _, v=v: views_of(x, protocol)[:, v])
            for v in range(protocol.crops)
        )
    else:
        crops = views_of(batch.x, protocol).unbind(1)
    scores = 0
    for x in crops:
        with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
            scores = scores + model(x, batch.lengths, cluster=protocol.cluster).float()
    return scores


def purity(labels: Int64[Tensor, "n t"], types: Int64[Tensor, "n t"]) -> Float64[Tensor, " n"]:
    """How well the clusters of each clip keep frames of different types apart: 1 is perfectly.

    Each cluster is named after the most frequent type of its frames; purity is the share of frames
    that are of the type their cluster is named after. Frames with label -1 do not count, whatever
    their type. types are numbered from 0, as in `Move4MNIST.frame_labels`.

    Raises ValueError for shapes that differ, a clip without frames, and a negative type.
    Explained in chapter 03_move4mnist.
    """
    inside = labels >= 0
    if labels.shape != types.shape or not inside.any(1).all():
        raise ValueError(
            f"labels are {tuple(labels.shape)}, types {tuple(types.shape)}; the same shape was "
            "wanted, and in every clip a frame with a label of 0 or more"
        )
    if (types[inside] < 0).any():
        raise ValueError(
            f"types run from {int(types[inside].min())} on; numbers from 0 on were wanted"
        )
    g, kinds = int(labels.max()) + 1, int(types.max()) + 1
    place = torch.where(inside, labels * kinds + types, 0)
    count = torch.zeros(len(labels), g * kinds, dtype=torch.int64, device=labels.device)
    count = count.scatter_add(1, place, inside.long()).unflatten(1, (g, kinds))
    return count.amax(2).sum(1).double() / inside.sum(1)
