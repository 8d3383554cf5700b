"""How accuracy is measured, by a protocol, and how well clusters keep types of frames apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, runtime_checkable
from typing import Protocol as Interface

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64, UInt8
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as transforms
from tqdm import tqdm

from fvlib.datasets.sampling import segment_frames


@runtime_checkable
class Clips(Interface):
    """What training and evaluation need of a data set of clips with t frames each."""

    def __len__(self) -> int: ...

    def batch(self, indices: np.ndarray) -> tuple[UInt8[Tensor, "n t c h w"], Int64[Tensor, " n"]]:
        """The clips at these indices and their classes."""


@dataclass(frozen=True)
class Protocol:
    """What a network is shown of a clip when its accuracy is measured.

    frames: a number (the middle frame of each of so many segments) or "all". cluster: whether the
    clustering step of the network is on. resolution: the frames are resized to this many pixels a
    side; None leaves them as they are.
    """

    frames: int | Literal["all"]
    cluster: bool
    resolution: int | None = None

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
    """The predicted and the true class of every clip."""

    prediction: Int64[np.ndarray, " clips"]
    target: Int64[np.ndarray, " clips"]

    @property
    def correct(self) -> int:
        """Clips whose class was predicted."""
        return int((self.prediction == self.target).sum())

    @property
    def top1(self) -> float:
        """Accuracy in percent."""
        return 100 * self.correct / len(self.target)


def select_frames(
    x: UInt8[Tensor, "n t c h w"], indices: Int64[np.ndarray, "n s"] | None, resolution: int | None
) -> UInt8[Tensor, "n t2 c h2 w2"]:
    """The frames at each clip's indices (None: all), resized where a resolution is given."""
    if indices is not None:
        x = x[
            torch.arange(len(x), device=x.device)[:, None], torch.from_numpy(indices).to(x.device)
        ]
    if resolution is not None and x.shape[-1] != resolution:
        x = transforms.resize(x, [resolution, resolution], antialias=True)
    return x


@torch.no_grad()
def evaluate(
    model: nn.Module,
    clips: Clips,
    protocol: Protocol,
    *,
    batch_size: int = 16,
    device: str | torch.device = "cpu",
    autocast: bool = True,
    progress: bool = False,
) -> Evaluation:
    """Predict the class of every clip, in eval mode. autocast: in bfloat16, as in training.
    Explained in chapter 05_more_frames.
    """
    device = torch.device(device)
    was_training = model.training
    model.eval()
    predictions, targets = [], []
    starts = range(0, len(clips), batch_size)
    for start in tqdm(starts, "evaluate", leave=False, disable=not progress):
        x, target = clips.batch(np.arange(start, min(start + batch_size, len(clips))))
        indices = None
        if protocol.frames != "all":
            indices = segment_frames(x.shape[1], protocol.frames, clips=len(x))
        x = select_frames(x.to(device), indices, protocol.resolution)
        with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
            logits: Float[Tensor, "n k"] = model(x, cluster=protocol.cluster)
        predictions.append(logits.argmax(1).cpu())
        targets.append(target)
    model.train(was_training)
    return Evaluation(torch.cat(predictions).numpy(), torch.cat(targets).numpy())


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
