"""The clusters of anyone's own clip, to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lab.commands.places import BUILD

SHORTER = 144  # pixels of the pictures that are shown


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
      python -m lab clusters kitchen.mp4
      python -m lab clusters kitchen.mp4 -g 16 --method slope --fps 5
      python -m lab clusters frames/00042 --weights tsm_kinetics.pth --depth 50
    """
    from fvlib.clustering import TemporalClustering
    from fvlib.datasets.videos import open_clip
    from fvlib.storage import write_file
    from lab import plots
    from lab.commands.own_clip import clusters_of, network_with

    clip = open_clip(video, fps=fps)
    height, width = clip.read([0]).shape[1:3]
    scale = SHORTER / min(height, width)
    frames = clip.read(size=(round(height * scale), round(width * scale)))
    if g > len(frames):
        raise ValueError(
            f"{video} has {len(frames)} frames; that many clusters are the most, not {g}"
        )
    layer = TemporalClustering(method, g)
    labels, dist = (x.numpy() for x in clusters_of(network_with(depth, weights), frames, layer))
    means = (
        np.stack([frames[labels == label].mean(0) for label in range(g)]).round().astype("uint8")
    )

    out = out or BUILD / "clusters" / video.stem
    plots.use_style()
    title = f"{video.name}: {len(frames)} frames, {g} {method} clusters"
    write_file(out / "ribbon.png", plots.png(plots.ribbon(dist, labels, title)))
    write_file(out / "contact.png", plots.png(plots.contact_sheet(frames, labels, means)))
    write_file(out / "averages.gif", plots.gif(means, milliseconds=600))
    for label in range(g):
        members = np.flatnonzero(labels == label)
        print(f"cluster {label:2}: frames {members[0]:5} to {members[-1]:5} ({len(members)})")
    print(f"contact.png, ribbon.png and averages.gif are in {out}")
    return 0
