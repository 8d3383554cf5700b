"""The clusters of anyone's own clip, to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torchvision.transforms.v2.functional import center_crop, resize

from fvlib.clustering import (
    cumulative_clusters,
    hamming_distances,
    slope_clusters,
    uniform_clusters,
)
from fvlib.commands.places import BUILD
from fvlib.models import TSMResNet, load_checkpoint, tsm_resnet

CHUNK = 32  # frames that the network sees at once
SHORTER, SIDE = 144, 224  # pixels: of the pictures that are shown; of what the network sees


def clusters_command(
    video: Path,
    g: int,
    method: str,
    weights: str,
    depth: int,
    fps: float | None,
    out: Path | None,
) -> int:
    """Show the clusters of your own clip: which frames go together, and what is left of them.

    Every frame goes through stem and first block of a ResNet. Neighbours whose activations differ
    in many signs are told apart, and g averages are what the rest of the network would see. Writes
    a contact sheet, the curve of distances with the clusters below it, and a GIF of the averages.
    Without a network, --weights none takes random ones: their distances are rougher.

    examples:
      python -m fvlib clusters kitchen.mp4
      python -m fvlib clusters kitchen.mp4 -g 16 --method slope --fps 5
      python -m fvlib clusters frames/00042 --weights tsm_kinetics.pth --depth 50
    """
    from fvlib import plots
    from fvlib.datasets.videos import open_clip

    clip = open_clip(video, fps=fps)
    height, width = clip.read([0]).shape[1:3]
    scale = SHORTER / min(height, width)
    frames = clip.read(size=(round(height * scale), round(width * scale)))
    if g > len(frames):
        raise ValueError(
            f"{video} has {len(frames)} frames; that many clusters are the most, not {g}"
        )
    dist = neighbour_distances(_network(depth, weights), frames)
    cut = {"cumulative": cumulative_clusters, "slope": slope_clusters, "uniform": uniform_clusters}
    labels = cut[method](dist[None], g)[0].numpy()
    means = (
        np.stack([frames[labels == label].mean(0) for label in range(g)]).round().astype("uint8")
    )

    out = out or BUILD / "clusters" / video.stem
    out.mkdir(parents=True, exist_ok=True)
    plots.use_style()
    title = f"{video.name}: {len(frames)} frames, {g} {method} clusters"
    plots.ribbon(dist.numpy(), labels, title).savefig(out / "ribbon.png")
    plots.contact_sheet(frames, labels, means).savefig(out / "contact.png")
    (out / "averages.gif").write_bytes(plots.gif(means, milliseconds=600))
    for label in range(g):
        members = np.flatnonzero(labels == label)
        print(f"cluster {label:2}: frames {members[0]:5} to {members[-1]:5} ({len(members)})")
    print(f"contact.png, ribbon.png and averages.gif are in {out}")
    return 0


@torch.no_grad()
def neighbour_distances(
    network: TSMResNet, frames: UInt8[np.ndarray, "t h w 3"]
) -> Int64[Tensor, " s"]:
    """Bits of block 1 that differ between neighbouring frames, from a few frames at a time.

    The network sees the middle of each frame. Memory does not grow with the number of frames.
    """
    found, before = [], None
    for start in range(0, len(frames), CHUNK):
        x = torch.from_numpy(frames[start : start + CHUNK]).permute(0, 3, 1, 2)
        x = center_crop(resize(x, [SIDE], antialias=True), [SIDE, SIDE])
        block1 = network.features(x[None], upto="layer1", cluster=False)
        if before is not None:
            block1 = torch.cat([before, block1], 1)
        found.append(hamming_distances(block1)[0])
        before = block1[:, -1:]
    return torch.cat(found)


def _network(depth: int, weights: str) -> TSMResNet:
    """A ResNet whose first block works frame by frame."""
    if weights == "none":
        return tsm_resnet(depth, 1000).eval()
    if Path(weights).is_file():
        model = tsm_resnet(depth, 1000)
        load_checkpoint(model, Path(weights), new_classes=True, other_shift=True)
        return model.eval()
    return tsm_resnet(depth, 1000, weights=weights).eval()
