"""What is measured without training: costs, the purity of clusters, and laws of the network."""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from fvlib import cost
from fvlib.clustering import METHOD_NAMES
from fvlib.datasets import segment_frames
from fvlib.evaluation import purity
from lab import released
from lab.building import move4mnist_sets
from lab.experiments.parts import CLIP_FRAMES, UNMEASURED, describe, network


def run_cost(parameters, seed, beside, checkpoint, device, progress):
    """Multiply-adds and the activations of a training step, for one video at full size."""
    model = network(parameters, seed, beside).to(device)
    side = parameters.resolution
    t = CLIP_FRAMES if parameters.frames == "all" else parameters.frames
    shape = (1, t, parameters.in_channels, side, side)
    # Random frames: neighbours differ, so that every method makes all of its clusters.
    clip = torch.rand(*shape, generator=torch.Generator().manual_seed(seed)).to(device)
    kept = cost.peak_memory(model, clip, torch.zeros(1, dtype=torch.int64, device=device))
    entry = {
        "dataset": {"name": "random pixels", "sha256": {}, "counts": {"clips": 1, "frames": t}},
        "protocol": {},
        "results": {"activation_bytes": kept},
        "cost": {
            **UNMEASURED,
            "params": cost.parameter_count(model),
            "macs": cost.multiply_adds(model, shape),
        },
    }
    return entry, None


@torch.no_grad()
def run_purity(parameters, seed, beside, checkpoint, device, progress):
    """How pure the clusters of the common start are, for every test clip."""
    model = network(parameters, seed, beside).to(device).eval()
    clips = move4mnist_sets(parameters)["test"]
    found = []
    for start in tqdm(range(0, len(clips), 20), "purity", leave=False, disable=not progress):
        indices = range(start, min(start + 20, len(clips)))
        videos, _ = clips.batch(indices)
        _, labels, _ = model.clustering(model.features(videos.to(device), upto="layer1"))
        types = torch.stack([clips.frame_labels(i).type for i in indices])
        found.append(100 * purity(labels.cpu(), types))
    scores = torch.cat(found)
    entry = {
        "dataset": describe("Move4MNIST", {"test": clips}),
        "protocol": {},
        "results": {"purity": round(float(scores.mean()), 2)},
        "cost": UNMEASURED,
    }
    return entry, {
        "purity": scores.float().numpy(),
        "target": clips.targets.astype("uint8"),
    }


@torch.no_grad()
def run_facts(parameters, seed, beside, checkpoint, device, progress):
    """Laws of the network, what sampled frames miss, and how many frames of a clip get a gradient.

    The last by the text's method (`clustered`) and with the released cumulative rule (`sampled`),
    each with fixed statistics: in those of a batch every frame has a part, in a cluster or not.
    """
    clips = move4mnist_sets(parameters)["test"]
    places = segment_frames(CLIP_FRAMES, 8)[0]
    still = sum(clips.frame_labels(i).movement_seen(places) == 0 for i in range(len(clips)))

    plain = network(parameters, seed, beside).eval()
    videos, target = clips.batch(range(4))
    everything, layers = plain(videos), []
    for method in METHOD_NAMES:
        settings = parameters.clustered(method, CLIP_FRAMES)
        same = network(settings, seed, beside).eval()
        layers.append(torch.equal(same(videos), everything))

    settings = parameters.clustered("cumulative", 8)
    model = network(settings, seed, beside)
    reached = _reached(model, videos, target).all()
    trained = all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())

    videos, target = clips.batch(range(min(20, len(clips))))
    shares = {}
    for protocol, switches in (("clustered", ()), ("sampled", ("clusters",))):
        model = released.with_switches(network(settings, seed, beside), switches).eval()
        share = _reached(model, videos, target).double().mean()
        shares[protocol] = {"frames_with_gradient": round(100 * float(share), 2)}
    entry = {
        "dataset": describe("Move4MNIST", {"test": clips}),
        "protocol": {},
        "results": {
            **shares,
            "clips_without_movement_in_8_frames": still,
            "sampling_misses_the_movement": still > 0,
            "clusters_of_one_frame_change_nothing": all(layers),
            "gradient_reaches_every_frame_and_weight": bool(reached) and trained,
        },
        "cost": UNMEASURED,
    }
    return entry, None


def _reached(model, videos, target) -> Bool[Tensor, "n t"]:
    """Whether each frame gets a gradient of the loss; that of the weights stays with them."""
    x = ((videos / 255) - 0.5).requires_grad_()
    with torch.enable_grad():
        cross_entropy(model(x), target).backward()
    return x.grad.flatten(2).abs().sum(2) > 0
