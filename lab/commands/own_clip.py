"""Anyone's own clip in front of a network: what `clusters` computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torchvision.transforms.v2.functional import center_crop, resize

from fvlib.clustering import TemporalClustering
from fvlib.models import TSMResNet, load_checkpoint, tsm_resnet
from fvlib.models.chunked import distances_of_chunks

CHUNK = 32  # frames that the network sees at once
SIDE = 224  # pixels that it sees


@torch.no_grad()
def clusters_of(
    network: TSMResNet, frames: UInt8[np.ndarray, "t h w 3"], layer: TemporalClustering
) -> tuple[Int64[Tensor, " t"], Int64[Tensor, " s"]]:
    """The cluster of every frame, and in how many bits of block 1 neighbours differ.

    The network sees the middle of each frame, of a few frames at a time. Memory does not grow with
    the number of frames, unless the labels need all activations.
    """
    kept: list[Tensor] = []

    def block1(start: int) -> Tensor:
        x = torch.from_numpy(frames[start : start + CHUNK]).permute(0, 3, 1, 2)
        x = center_crop(resize(x, [SIDE], antialias=True), [SIDE, SIDE])
        y = network.features(x[None], upto="layer1", cluster=False)[0]
        kept.extend([y] if layer.labeling.needs == "activations" else [])
        return y

    dist = distances_of_chunks(map(block1, range(0, len(frames), CHUNK)))[1:]
    seen = torch.cat(kept)[None] if kept else dist[None]
    return layer.labels(seen)[0], dist


def network_with(depth: int, weights: str) -> TSMResNet:
    """A ResNet whose first block works frame by frame."""
    if weights == "none":
        return tsm_resnet(depth, 1000).eval()
    if Path(weights).is_file():
        model = tsm_resnet(depth, 1000)
        load_checkpoint(model, Path(weights), new_classes=True, other_shift=True)
        return model.eval()
    return tsm_resnet(depth, 1000, weights=weights).eval()
