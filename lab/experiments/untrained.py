"""What is measured without training: the bound, the purity of clusters, and laws of the network."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from fvlib.clustering import METHOD_NAMES
from fvlib.datasets import segment_frames
from fvlib.evaluation import purity
from lab import gradients, released
from lab.building import move4mnist_sets
from lab.experiments import parts
from lab.experiments.parts import Trial

ROUNDING = 1e-9  # relative; a violation of a bound has to be larger


@torch.no_grad()
def run_purity(trial: Trial):
    """How pure the clusters of the common start are, for every test clip."""
    model = trial.network().to(trial.device).eval()
    clips = move4mnist_sets(trial.parameters)["test"]
    found = []
    for start in tqdm(range(0, len(clips), 20), "purity", leave=False, disable=not trial.progress):
        indices = range(start, min(start + 20, len(clips)))
        videos, _ = clips.batch(indices)
        _, labels, _ = model.clustering(model.features(videos.to(trial.device), upto="layer1"))
        types = torch.stack([clips.frame_labels(i).type for i in indices])
        found.append(100 * purity(labels.cpu(), types))
    scores = torch.cat(found)
    results = {"purity": round(float(scores.mean()), 2)}
    entry = parts.measurement(parts.describe_generated({"test": clips}), results)
    return entry, {"purity": scores.float().numpy(), "target": clips.targets.astype("uint8")}


@torch.no_grad()
def run_facts(trial: Trial):
    """Laws of the network, what sampled frames miss, and how many frames of a clip get a gradient.

    The last by the text's method (`clustered`) and with the released cumulative rule (`sampled`),
    each with fixed statistics: in those of a batch every frame has a part, in a cluster or not.
    """
    parameters, seed, beside = trial.parameters, trial.seed, trial.beside
    clips = move4mnist_sets(parameters)["test"]
    places = segment_frames(parts.CLIP_FRAMES, 8)[0]
    still = sum(clips.frame_labels(i).movement_seen(places) == 0 for i in range(len(clips)))

    plain = parts.network(parameters, seed, beside).eval()
    videos, target = clips.batch(range(4))
    everything, layers = plain(videos), []
    for method in METHOD_NAMES:
        settings = parameters.clustered(method, parts.CLIP_FRAMES)
        same = parts.network(settings, seed, beside).eval()
        layers.append(torch.equal(same(videos), everything))

    settings = parameters.clustered("cumulative", 8)
    model = parts.network(settings, seed, beside)
    reached = _reached(model, videos, target).all()
    trained = all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())

    videos, target = clips.batch(range(min(20, len(clips))))
    shares = {}
    for protocol, switches in (("clustered", ()), ("sampled", ("clusters",))):
        model = released.with_switches(parts.network(settings, seed, beside), switches).eval()
        share = _reached(model, videos, target).double().mean()
        shares[protocol] = {"frames_with_gradient": round(100 * float(share), 2)}
    results = {
        **shares,
        "clips_without_movement_in_8_frames": still,
        "sampling_misses_the_movement": still > 0,
        "clusters_of_one_frame_change_nothing": all(layers),
        "gradient_reaches_every_frame_and_weight": bool(reached) and trained,
    }
    return parts.measurement(parts.describe_generated({"test": clips}), results), None


def _reached(model, videos, target) -> Bool[Tensor, "n t"]:
    """Whether each frame gets a gradient of the loss; that of the weights stays with them."""
    x = ((videos / 255) - 0.5).requires_grad_()
    with torch.enable_grad():
        cross_entropy(model(x), target).backward()
    return x.grad.flatten(2).abs().sum(2) > 0


def run_bound(trial: Trial):
    """Eq. 1-7 on random frames: draw pairs of frames at several distances, and count.

    A pair is a frame of normal numbers and a neighbour at a relative distance; `scales` are the
    standard deviations of x w. The rates of Eq. 7 are those of pairs whose signs all agree.
    """
    parameters, generator = trial.parameters, torch.Generator().manual_seed(trial.seed)
    draws, d, k = parameters.draws, parameters.features, parameters.classes
    fails, columns, ratios, violated, tried, errors = [], [], [], 0, 0, []
    for scale in parameters.scales:
        for distance in parameters.distances:
            x, w, target = _pairs(draws, d, k, scale, distance, generator)
            agree = gradients.sign_disagreements(x, w) == 0
            error = gradients.gradient_difference(x, w, target)
            true = gradients.exact_gradient(x, w, target)
            bound = gradients.corrected_bound(x, w, target)
            violated += int((error.abs() > bound * (1 + ROUNDING) + 1e-15).sum())
            tried += error.numel()
            relative = error.norm(dim=(1, 2)) / true.norm(dim=(1, 2))  # NaN where every ReLU is off
            errors.append(float(relative.nanmedian()))
            active = (x @ w > 0).all(1)[agree]  # (pairs, k): columns that are there at all
            error, paper = error[agree], gradients.paper_bound(x, w)[agree]
            over = error.abs() > paper * (1 + ROUNDING)
            fails.append(float(over.transpose(1, 2)[active].double().mean()))
            norm, paper_norm = error.norm(dim=1)[active], paper.norm(dim=1)[active]
            columns.append(float((norm > paper_norm * (1 + ROUNDING)).double().mean()))
            ratios.append(float((norm / paper_norm).median()))
    shape = (len(parameters.scales), len(parameters.distances))
    errors = torch.tensor(errors).view(shape)
    steps = torch.tensor(parameters.distances).log()
    not_convex = _share_not_convex(x, w)
    results = {
        "linear_network_is_exact": _linear_network_is_exact(x, w),
        "relu_commutes_with_mean": _relu_commutes_with_mean(x, w),
        "softmax_is_convex": not_convex == 0,
        "share_of_midpoints_against_convexity": round(not_convex, 4),
        "eq7_holds": not any(fails),
        "eq7_fails_in_a_coordinate": _rounded(fails, shape),
        "eq7_fails_in_a_column": _rounded(columns, shape),
        "error_beside_eq7": _rounded(ratios, shape),
        "corrected_bound_violated": violated,
        "corrected_bound_tried": tried,
        "relative_error": [[float(f"{e:.3g}") for e in row] for row in errors.tolist()],
        "error_goes_to_zero": bool((errors.diff(dim=1) < 0).all() and errors[:, -1].max() < 1e-3),
        "order": round(
            float(((errors[:, -2] / errors[:, -1]).log().mean()) / (steps[-2] - steps[-1])), 3
        ),
    }
    return parts.measurement(
        parts.generated("random numbers", pairs=draws * math.prod(shape)), results
    ), None


def _pairs(draws, d, k, scale, distance, generator):
    """Frames x (draws, 2, d) at a relative distance, weights w (draws, d, k) and targets."""
    draw = {"generator": generator, "dtype": torch.float64}
    x = torch.randn(draws, 1, d, **draw)
    step = distance * torch.randn(draws, 1, d, **draw) / 2
    w = scale / math.sqrt(d) * torch.randn(draws, d, k, **draw)
    return torch.cat([x + step, x - step], 1), w, torch.randint(k, (draws,), generator=generator)


def _linear_network_is_exact(x, w) -> bool:
    """C1: the gradient of sum(x w), added over the frames, is that of the added frames."""
    w = w.clone().requires_grad_()
    (each,) = torch.autograd.grad((x @ w).sum(), w)
    (once,) = torch.autograd.grad((x.sum(1, keepdim=True) @ w).sum(), w)
    return torch.allclose(each, once)


def _relu_commutes_with_mean(x, w) -> bool:
    """C2: where the signs of x w agree, the mean of the ReLUs is the ReLU of the mean."""
    a = x @ w
    agree = (a > 0).all(1) | (a <= 0).all(1)
    return torch.allclose(a.relu().mean(1)[agree], a.mean(1).relu()[agree])


def _share_not_convex(x, w) -> float:
    """C3: the share of midpoints at which a softmax output lies above the chord."""
    return float((gradients.jensen_gap((x @ w).relu()) < 0).double().mean())


def _rounded(values, shape) -> list[list[float]]:
    """One line for each scale, one column for each distance."""
    return [[round(value, 4) for value in row] for row in torch.tensor(values).view(shape).tolist()]
