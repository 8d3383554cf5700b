"""How accuracy is measured, by a protocol, and how well clusters keep types of frames apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import KW_ONLY, asdict, dataclass, fields

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64, Shaped
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as transforms
from tqdm import tqdm

from fvlib import distributed
from fvlib.contracts import Clips, clip_name, require_clips
from fvlib.datasets.loading import Batch, batches, chunks, parts_of
from fvlib.datasets.sampling import FrameSampler
from fvlib.datasets.streams import ClipStream, motion_curves
from fvlib.datasets.transforms import EvalTransform
from fvlib.values import check_least, check_whole, want


@dataclass(frozen=True)
class Protocol(FrameSampler):
    """What a network is shown of a clip when its accuracy is measured; the frames of a sampler.

    Of a number of frames the middle of each segment is shown, or what `FrameSampler` says.

    Args:
        cluster: whether the clustering step of the network is on.
        resolution: the frames are resized to this many pixels a side; None leaves them as they are.
        views: how many choices of frames are shown one after the other, up to 2 of segments, up to
            10 of windows; their scores are averaged.
        scale, crop, crops: TSM's crops in place of `resolution`: the shorter side, the side of a
            crop, and 1 or 3 of them, whose scores are averaged too.
    """

    cluster: bool
    resolution: int | None = None
    _: KW_ONLY
    views: int = 1
    scale: int | None = None
    crop: int | None = None
    crops: int = 1

    def __post_init__(self):
        super().__post_init__()
        check_least(self, 1, "resolution", "views", "scale", "crop", "crops")
        why = f"with these frames there are 1 to {self.most_views}"
        want(self, self.views <= self.most_views, "views", why=why)
        fits = (self.scale is None) == (self.crop is None) and not (self.crop and self.resolution)
        why = "give scale and crop together, or resolution, or none of them"
        want(self, fits, "scale", "crop", "resolution", why=why)
        if self.crop is not None:
            EvalTransform(self.scale, self.crop, self.crops)  # which has its own checks
        fits = self.crop is not None or self.crops == 1
        want(self, fits, "crops", why="give their scale and the side of a crop too")

    def describe(self) -> dict[str, object]:
        """What a record says about it: frames, cluster, resolution, and all that is not usual."""
        usual = {field.name: field.default for field in fields(self) if field.name != "resolution"}
        return {key: x for key, x in asdict(self).items() if key not in usual or x != usual[key]}

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

    Raises:
        ValueError: for clips of different sizes without a resolution.
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
    """What a protocol shows of the frames of some clips: its crops, or the whole frames as one."""
    if protocol.crop is None:
        return resized(x, protocol.resolution)[:, None]
    return EvalTransform(protocol.scale, protocol.crop, protocol.crops)(x)


@torch.no_grad()
def evaluate(
    model: nn.Module,
    clips: Clips,
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
    """Predict the class of every clip, in eval mode.

    Processes that are joined (`fvlib.distributed`) share the batches, and all get the whole result,
    which is that of one process.

    Args:
        model: gives the scores (n, k) of clips; already on `device`.
        clips: of any set.
        protocol: what is shown of each. If it samples by motion, all frames are read first.
        batch_size: clips at once.
        frame_budget: frames of whole clips at once.
        stream: decode frames as they are needed, for networks with a chunk.
        workers: processes that read clips otherwise.
        autocast: in bfloat16, as in training.

    Raises:
        ValueError: for clips that cannot be shown or are of classes that the network does not have.
        FloatingPointError: which names the clip, for scores that are not finite.
    """
    require_clips(clips)
    check_whole("batch_size", batch_size)
    device = torch.device(device)
    progress = progress and distributed.is_rank_zero()
    motion = motion_curves(clips, progress=progress) if protocol.sampling == "motion" else None
    parts = parts_of(chunks(np.arange(len(clips)), batch_size), clips, protocol, frame_budget)
    passes = distributed.shard([part for step in parts for part in step])
    scores: Tensor = 0
    for view in range(protocol.views):
        each = []
        shown = batches(
            clips, passes, protocol, view=view, motion=motion, stream=stream, workers=workers
        )
        with in_eval_mode(model):
            for batch in tqdm(shown, "evaluate", len(passes), leave=False, disable=not progress):
                found = _scores(model, batch, protocol, device, autocast).cpu()
                check_scores(found, batch.indices, clips)
                each.append((found, batch.target))
        found, targets = zip(*distributed.gather(each), strict=True)
        scores = scores + torch.cat(found)
    return Evaluation(scores.argmax(1).numpy(), torch.cat(targets).numpy(), scores.numpy())


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    """The network in eval mode, and afterwards in the mode that it was in."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def check_scores(scores: Float[Tensor, "n k"], indices: np.ndarray, clips: Clips) -> None:
    """FloatingPointError, which names the clip, for numbers that are no scores.

    They must not become an answer, and so an accuracy. indices: of the clips in their set.
    """
    require_clips(clips, scores.shape[1])
    bad = (~torch.isfinite(scores)).any(1)
    if bad.any():
        row = int(bad.int().argmax())
        raise FloatingPointError(
            f"the scores of {clip_name(clips, int(indices[row]))} are not finite: "
            f"{scores[row].tolist()[:4]}; the network's weights are too large or not finite, "
            "perhaps after a training with too large an lr"
        )


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

    Raises:
        ValueError: for shapes that differ, and a clip without frames.
    """
    inside = labels >= 0
    if labels.shape != types.shape or not inside.any(1).all():
        raise ValueError(
            f"labels are {tuple(labels.shape)}, types {tuple(types.shape)}; the same shape was "
            "wanted, and in every clip a frame with a label of 0 or more"
        )
    g, kinds = int(labels.max()) + 1, int(types.max()) + 1
    place = torch.where(inside, labels * kinds + types, 0)
    count = torch.zeros(len(labels), g * kinds, dtype=torch.int64, device=labels.device)
    count = count.scatter_add(1, place, inside.long()).unflatten(1, (g, kinds))
    return count.amax(2).sum(1).double() / inside.sum(1)
