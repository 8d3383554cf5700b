"""Gradients of frames and of clusters, against one backward pass for each of them."""

from functools import partial
from itertools import combinations
from math import dist, fsum

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy, linear

from fvlib.clustering import (
    TemporalClustering,
    cumulative_clusters,
    hamming_distances,
    slope_clusters,
    uniform_clusters,
)
from fvlib.models import tsm_resnet
from fvlib.models.packing import Frames
from lab.gradients import (
    ClusterErrors,
    activation_distances,
    best_clusters,
    cluster_errors,
    cluster_gradients,
    cluster_spread,
    frame_gradients,
    frame_losses,
    full_residual,
    gradient_distances,
    of_stage,
    pairs,
    random_clusters,
    relation,
    sum_by_cluster,
)

STAGES = ("conv1", "layer1", "layer3", "layer4", "fc")
SETTINGS = ("clip", "frame")
CONSENSUS = {"equal": "mean", "size": "size"}  # of a network, by weighting
law = settings(
    deadline=None,
    max_examples=40,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],  # a busy machine is no failure
)


def network(depth=18, *, dtype=torch.float64, start=None, **options):
    """A narrow network with dropout, whose BatchNorm has seen clips; or a twin of another one."""
    torch.manual_seed(0)
    width = 8 if depth == 18 else 4
    model = tsm_resnet(depth, 4, width=width, **options).to(dtype)
    if start is not None:
        model.load_state_dict(start.state_dict())
        return model.eval()
    nn.init.normal_(model.fc.weight, std=0.3)
    nn.init.normal_(model.fc.bias)
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, std=0.3)
        norm.momentum = None
    with torch.no_grad():
        model(clips(4, dtype=dtype, seed=9)[0], cluster=False)
    return model.eval()


def clips(n=2, t=5, *, dtype=torch.float64, seed=0):
    """Frames that get brighter by jumps, so that clusters differ in size; and their classes."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, t, 3, 24, 24, generator=generator, dtype=torch.float64)
    brightness = torch.rand(n, t, generator=generator, dtype=torch.float64) ** 4
    x += 4 * brightness.cumsum(1)[..., None, None, None]
    return x.to(dtype), torch.randint(4, (n,), generator=generator)


def same(found, wanted, tolerance=1e-10):
    """Equal names, shapes and values, measured at the largest one, which must not be 0."""
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name].shape == value.shape
        largest = value.abs().max()
        assert largest > 0
        assert (found[name] - value).abs().max() <= tolerance * largest, name


def added(gradients):
    """The terms of all clips and of all their frames, added: the gradient of the parameter."""
    return {name: term.sum((0, 1)) for name, term in gradients.items()}


# ---- the slow and obvious versions ----


def weighted(model, stage):
    kinds = (nn.Conv2d, nn.Linear)
    found = {name: m for name, m in model.named_modules() if isinstance(m, kinds)}
    return {name: m for name, m in found.items() if f"{name}.".startswith(f"{stage}.")}


def gradient(model, stage, loss):
    """What plain backward gives: parameter name -> gradient."""
    weights = {f"{name}.weight": layer.weight for name, layer in weighted(model, stage).items()}
    return dict(zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True))


def image_gradient(model, stage, image, loss):
    """The gradient of loss() when the stage's weights are constants for all images but this one."""

    def apply(layer, x, weight):
        if isinstance(layer, nn.Linear):
            return linear(x, weight, layer.bias)
        return nn.functional.conv2d(x, weight, None, layer.stride, layer.padding)

    def forward(layer, x):
        of_all = apply(layer, x, layer.weight.detach())
        this = torch.arange(len(x)).view(-1, *[1] * (of_all.ndim - 1)) == image
        return torch.where(this, apply(layer, x, layer.weight), of_all)

    with pytest.MonkeyPatch.context() as patch:
        for layer in weighted(model, stage).values():
            patch.setitem(layer.__dict__, "forward", partial(forward, layer))
        return gradient(model, stage, loss())


def image_gradients(model, stage, images, loss):
    """The same for many images, one backward pass each: parameter name -> (images, *weight)."""
    found = [image_gradient(model, stage, image, loss) for image in range(images)]
    return {name: torch.stack([one[name] for one in found]) for name in found[0]}


def clip_loss(model, x, target, **options):
    return cross_entropy(model(x, **options), target, reduction="sum")


def loop_frames(model, x, target, stage, setting):
    n, t = x.shape[:2]
    if setting == "clip":
        found = image_gradients(
            model, stage, n * t, lambda: clip_loss(model, x, target, cluster=False)
        )
        return {name: terms.unflatten(0, (n, t)) for name, terms in found.items()}
    still = network_without_shift(model)
    found = [
        gradient(still, stage, cross_entropy(still(x[i : i + 1, j : j + 1]), target[i : i + 1]) / t)
        for i in range(n)
        for j in range(t)
    ]
    return {
        name: torch.stack([one[name] for one in found]).unflatten(0, (n, t)) for name in found[0]
    }


def network_without_shift(model):
    depth = 50 if hasattr(model.layer1[0], "conv3") else 18
    return network(depth, dtype=model.fc.weight.dtype, start=model, shift_stages=())


class Means(nn.Module):
    """A clustering step that is told its labels; a cluster without frames is 0."""

    may_be_empty = True

    def __init__(self, labels, g):
        super().__init__()
        self.labels, self.g = labels, g

    def forward(self, x, lengths=None):
        sizes = torch.tensor(
            [[row.count(k) for k in range(self.g)] for row in self.labels.tolist()]
        )
        means = [
            [clip[row == k].sum(0) / max(1, int((row == k).sum())) for k in range(self.g)]
            for clip, row in zip(x, self.labels, strict=True)
        ]
        return torch.stack([torch.stack(clip) for clip in means]), self.labels, sizes


def loop_clusters(
    model, x, target, labels, g, *, stage, setting="clip", weighting="equal", residual=None
):
    """One backward pass for each cluster that has frames."""
    zero = {f"{name}.weight": 0 * m.weight.data for name, m in weighted(model, stage).items()}
    if setting == "clip":
        model = network(dtype=model.fc.weight.dtype, start=model, consensus=CONSENSUS[weighting])
        model.clustering = Means(labels, g)

        def loss():
            if residual is not None:
                return (residual * model(x)).sum()
            return clip_loss(model, x, target)

    else:
        model = network_without_shift(model)
    found, behind = [], 0
    for i, row in enumerate(labels.tolist()):
        for k in range(g):
            members = [j for j, label in enumerate(row) if label == k]
            if not members:
                found.append(zero)
            elif setting == "frame":
                loss = loss_of_a_mean(model, x[i, members], target[i])
                share = len(members) / len(row) if weighting == "size" else 1 / len(set(row))
                found.append(gradient(model, stage, share * loss))
            else:
                early = stage in ("conv1", "layer1")
                images = [i * len(row) + j for j in members] if early else [behind]
                terms = [image_gradient(model, stage, image, loss) for image in images]
                found.append({name: sum(term[name] for term in terms) for name in zero})
                behind += 1
    shape = (len(labels), g)
    return {name: torch.stack([one[name] for one in found]).unflatten(0, shape) for name in zero}


def loss_of_a_mean(model, frames, label):
    """Frames go to layer1 one by one; their mean goes through the rest, as one image."""
    alone = [model.features(frame[None, None], upto="layer1") for frame in frames]
    image = sum(alone)[:, 0] / len(alone)
    for stage in (model.layer2, model.layer3, model.layer4):
        for block in stage:
            image = block(image, Frames(1, 1, torch.device("cpu")))
    return cross_entropy(model.fc(image.mean((2, 3))), label[None])


def loop_errors(frames, clusters, labels):
    """`ClusterErrors`, from one long vector for each frame and each cluster."""

    def vectors(gradients, clip):
        flat = torch.cat([value[clip].double().flatten(1) for value in gradients.values()], 1)
        return flat.numpy()

    def norm(vector):
        return (vector**2).sum() ** 0.5

    found = {name: [] for name in ClusterErrors._fields}
    for clip, row in enumerate(labels.tolist()):
        true, single = vectors(frames, clip), vectors(clusters, clip)
        sums = [
            sum(frame for frame, label in zip(true, row, strict=True) if label == k)
            for k in range(len(single))
        ]
        both = list(zip(single, sums, strict=True))
        found["distance"].append([norm(one - total) for one, total in both])
        found["norm"].append([norm(total) for total in sums])
        found["total"].append(norm(sum(one - total for one, total in both)))
        found["total_norm"].append(norm(sum(true)))
        step = sum(single)
        found["cosine"].append((step * sum(true)).sum() / norm(step) / norm(sum(true)))
        found["frames_norm"].append(sum(norm(frame) for frame in true))
    return found


# ---- frames ----


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("depth", "shifted"), [(18, (2, 3, 4)), (18, (1, 2, 3, 4)), (50, (2, 3, 4))]
)
def test_a_frames_term_is_the_gradient_of_weights_that_only_it_can_move(depth, shifted, stage):
    model = network(depth, shift_stages=shifted)
    x, target = clips(t=4 if depth == 18 else 3)
    found = frame_gradients(model, x, target, stage=stage)
    same(found, loop_frames(model, x, target, stage, "clip"))
    same(added(found), gradient(model, stage, clip_loss(model, x, target)))


def test_terms_of_the_last_layer_by_hand():
    model, (x, target) = network(), clips(t=3)
    with torch.no_grad():
        features = model.features(x).mean((3, 4))
        p = model.fc(features).mean(1).softmax(1)
    p[[0, 1], target] -= 1
    wanted = p[:, None, :, None] / 3 * features[:, :, None, :]
    same(frame_gradients(model, x, target, stage="fc"), {"fc.weight": wanted})


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("depth", [18, 50])
def test_of_frames_alone_the_terms_are_gradients_of_their_own_losses(depth, stage):
    model = network(depth, shift_stages=(1, 2, 3, 4))
    x, target = clips(t=4)
    found = frame_gradients(model, x, target, stage=stage, setting="frame")
    same(found, loop_frames(model, x, target, stage, "frame"))
    still = network_without_shift(model)
    scores = still(x.flatten(0, 1)[:, None])
    mean = cross_entropy(scores, target.repeat_interleave(4), reduction="none").view(2, 4).mean(1)
    same(added(found), gradient(still, stage, mean.sum()))
    each_alone = torch.arange(4).expand(2, 4)
    options = {"stage": stage, "setting": "frame"}
    same(cluster_gradients(model, x, target, each_alone, 4, **options), found)


def test_a_stage_may_be_a_part_of_one():
    model, (x, target) = network(), clips()
    whole = frame_gradients(model, x, target, stage="layer3")
    assert list(whole) == [
        f"layer3.{name}.weight"
        for name in ("0.conv1", "0.conv2", "0.downsample.0", "1.conv1", "1.conv2")
    ]
    part = frame_gradients(model, x, target, stage="layer3.0.downsample")
    assert list(part) == ["layer3.0.downsample.0.weight"]
    same(part, {name: whole[name] for name in part})


@pytest.mark.parametrize("setting", SETTINGS)
def test_several_stages_at_once_are_each_of_them(setting):
    model, (x, target) = network(), clips()
    labels = torch.tensor([[0, 0, 1, 2, 2]]).expand(2, -1)
    for measure, more in ((frame_gradients, ()), (cluster_gradients, (labels, 3))):
        arguments = model, x, target, *more
        both = measure(*arguments, stage=("layer4", "layer2"), setting=setting)
        for stage in ("layer2", "layer4"):
            own = {name: term for name, term in both.items() if of_stage(name, stage)}
            same(measure(*arguments, stage=stage, setting=setting), own)


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_losses_of_frames_are_those_of_their_own_scores(setting):
    model, (x, target) = network(), clips(t=4)
    found = frame_losses(model, x, target, setting=setting)
    with torch.no_grad():
        if setting == "clip":
            scores = model.fc(model.features(x).mean((3, 4)))
            torch.testing.assert_close(scores.mean(1), model(x), rtol=1e-10, atol=1e-12)
        else:
            scores = network_without_shift(model)(x.flatten(0, 1)[:, None]).unflatten(0, (2, 4))
        wanted = -scores.log_softmax(2)[range(2), :, target]
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


def test_pixels_are_normalised_as_the_network_does():
    model = network()
    x = torch.randint(256, (2, 3, 3, 24, 24), dtype=torch.uint8)
    by_hand = (x.double() / 255 - model.pixel_mean) / model.pixel_std
    target = torch.tensor([3, 0])
    for setting in SETTINGS:
        found = frame_gradients(model, x, target, stage="conv1", setting=setting)
        same(found, frame_gradients(model, by_hand, target, stage="conv1", setting=setting), 1e-6)


def facts(model):
    """Everything about a model that measuring must not change."""
    parameters = dict(model.named_parameters())
    return {
        "objects": {name: id(p) for name, p in parameters.items()},
        "state": {name: v.numpy().tobytes() for name, v in model.state_dict().items()},
        "gradients": {
            name: p.grad if p.grad is None else p.grad.sum() for name, p in parameters.items()
        },
        "trainable": {name: p.requires_grad for name, p in parameters.items()},
        "training": {name: m.training for name, m in model.named_modules()},
        "shift": [m.shift for m in model.modules() if hasattr(m, "shift")],
        "step": (model.clustering, model.consensus),
        "hooks": [
            len(hooks)
            for m in model.modules()
            for hooks in (m._forward_hooks, m._forward_pre_hooks, m._backward_hooks)
        ],
    }


def ways(model, x, target):
    labels = torch.tensor([[0, 0, 1, 2, 2]]).expand(len(x), -1)
    for setting in SETTINGS:
        options = {"stage": "layer2", "setting": setting}
        yield partial(frame_gradients, model, x, target, **options)
        yield partial(cluster_gradients, model, x, target, labels, 3, **options)
        yield lambda setting=setting: {"losses": frame_losses(model, x, target, setting=setting)}
    yield lambda: {"residual": full_residual(model, x, target)}


@pytest.mark.parametrize("clustering", [None, TemporalClustering("cumulative", 2)])
def test_measuring_changes_nothing_and_asks_for_nothing(clustering, monkeypatch):
    x, target = clips()
    wanted = [way() for way in ways(network(), x, target)]
    model = network(clustering=clustering, consensus="sqrt")
    clip_loss(model, x, target).backward()
    model.train()
    model.layer3.eval()  # a mixture of modes, and of frozen and trained parameters
    model.layer2.requires_grad_(False)
    model.fc.weight.grad = None
    before = facts(model)
    for way, expected in zip(ways(model, x, target), wanted, strict=True):
        with torch.no_grad():
            found = way()
        assert all(torch.equal(found[name], value) for name, value in expected.items())
        assert not any(value.requires_grad for value in found.values())
        assert facts(model) == before

    def fail(x):
        raise RuntimeError("no more memory")

    monkeypatch.setattr(model.avgpool, "forward", fail)
    for way in ways(model, x, target):
        with pytest.raises(RuntimeError, match="no more memory"):
            way()
        assert facts(model) == before


@pytest.mark.parametrize("setting", SETTINGS)
def test_clips_of_a_batch_do_not_influence_each_other(setting):
    model, (x, target) = network(), clips(3)
    labels = torch.tensor([[0, 0, 0, 1, 2], [0, 1, 1, 1, 1], [0, 1, 2, 2, 2]])
    options = {"stage": "layer3", "setting": setting}
    frames = frame_gradients(model, x, target, **options)
    clusters = cluster_gradients(model, x, target, labels, 3, **options)
    for i in range(3):
        one = slice(i, i + 1)
        alone = frame_gradients(model, x[one], target[one], **options)
        same(alone, {name: value[one] for name, value in frames.items()})
        alone = cluster_gradients(model, x[one], target[one], labels[one], 3, **options)
        same(alone, {name: value[one] for name, value in clusters.items()})


# ---- clusters ----


@pytest.mark.parametrize("stage", STAGES)
def test_with_a_cluster_for_each_frame_the_terms_are_the_frames(stage):
    model, (x, target) = network(), clips()
    frames = frame_gradients(model, x, target, stage=stage)
    for weighting in CONSENSUS:
        found = cluster_gradients(
            model, x, target, torch.arange(5).expand(2, 5), 5, stage=stage, weighting=weighting
        )
        assert found.keys() == frames.keys()
        assert all(torch.equal(found[name], value) for name, value in frames.items())


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("weighting", CONSENSUS)
@pytest.mark.parametrize("empty", ["split", "keep"])
def test_clusters_add_up_to_the_gradient_of_the_clustered_network(empty, weighting, stage):
    x, target = clips(t=6)
    step = TemporalClustering("cumulative", 4, empty=empty)
    model = network(clustering=step, consensus=CONSENSUS[weighting])
    _, labels = model(x, return_labels=True)
    sizes = sum_by_cluster(torch.ones_like(labels), labels, 4)
    assert (sizes == 0).any() == (empty == "keep")
    assert sizes.unique().numel() > 1
    found = cluster_gradients(network(), x, target, labels, 4, stage=stage, weighting=weighting)
    same(added(found), gradient(model, stage, clip_loss(model, x, target)))
    for value in found.values():
        assert torch.equal(value.flatten(2).abs().sum(2) == 0, sizes == 0)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("weighting", CONSENSUS)
@pytest.mark.parametrize("setting", SETTINGS)
def test_a_clusters_term_is_the_gradient_of_weights_that_only_it_can_move(
    setting, weighting, stage
):
    model, (x, target) = network(), clips()
    labels = torch.tensor([[0, 0, 0, 2, 3], [0, 1, 1, 1, 3]])  # 1 and 2 have no frames
    arguments = model, x, target, labels, 4
    options = {"stage": stage, "setting": setting, "weighting": weighting}
    same(cluster_gradients(*arguments, **options), loop_clusters(*arguments, **options))


@pytest.mark.parametrize("stage", ["layer1", "layer3", "fc"])
def test_with_a_residual_the_loss_is_a_line(stage):
    model, (x, target) = network(), clips()
    residual = full_residual(model, x, target)
    with torch.no_grad():
        q = model(x).softmax(1)
    q[[0, 1], target] -= 1
    torch.testing.assert_close(residual, q, rtol=1e-12, atol=0)
    labels = torch.tensor([[0, 0, 0, 2, 3], [0, 1, 1, 1, 3]])
    arguments = model, x, target, labels, 4
    options = {"stage": stage, "weighting": "size", "residual": residual}
    same(cluster_gradients(*arguments, **options), loop_clusters(*arguments, **options))
    each = cluster_gradients(model, x, target, torch.arange(5).expand(2, 5), 5, **options)
    same(each, frame_gradients(model, x, target, stage=stage))


@pytest.mark.parametrize("stage", ["layer1", "layer3"])
def test_clusters_may_come_in_any_order(stage):
    model, (x, target) = network(), clips()
    labels = torch.tensor([[2, 0, 1, 4, 3], [4, 3, 2, 1, 0]])
    options = {"stage": stage, "setting": "frame"}
    found = cluster_gradients(model, x, target, labels, 5, **options)
    frames = frame_gradients(model, x, target, **options)
    for name, value in found.items():
        by_frame = torch.stack([clip[row] for clip, row in zip(value, labels, strict=True)])
        same({name: by_frame}, {name: frames[name]})


def test_sums_by_cluster_by_hand():
    values = torch.tensor([[1, 2, 4, 8], [1, 2, 4, 8]])
    labels = torch.tensor([[0, 0, 2, 2], [1, 0, 1, 0]])
    assert sum_by_cluster(values, labels, 3).tolist() == [[3, 0, 12], [10, 5, 0]]


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)], ids=str
)
def test_the_numbers_of_figure_6_equal_a_loop(dtype, tolerance, setting):
    model, (x, target) = network(dtype=dtype), clips(t=6, dtype=dtype)
    g, options = 3, {"stage": "layer3", "setting": setting}
    frames = frame_gradients(model, x, target, **options)
    each = loop_frames(model, x, target, **options)

    with torch.no_grad():
        steps = hamming_distances(model.features(x, upto="layer1"))
    for method in (cumulative_clusters, slope_clusters, uniform_clusters):
        labels = method(steps, g)
        for weighting in CONSENSUS:
            more = {**options, "weighting": weighting}
            clusters = cluster_gradients(model, x, target, labels, g, **more)
            found = cluster_errors(frames, clusters, labels)
            wanted = loop_errors(each, loop_clusters(model, x, target, labels, g, **more), labels)
            for name, value in found._asdict().items():
                least = tolerance * found.frames_norm.min().item()  # one frame has an error of 0
                expected = torch.tensor(wanted[name], dtype=torch.float64)
                torch.testing.assert_close(value, expected, rtol=tolerance, atol=least)


# ---- distances ----


def loop_distances(vectors):
    return [[dist(a, b) for b in vectors] for a in vectors]


def test_euclidean_distances_equal_the_loop():
    x = torch.randn(3, 5, 2, 700, generator=torch.Generator().manual_seed(0))
    found = activation_distances(x)
    assert found.dtype == torch.float64
    for i, clip in enumerate(x.flatten(2).tolist()):
        assert found[i].tolist() == [pytest.approx(row, rel=1e-6) for row in loop_distances(clip)]
    whole = torch.randint(256, (1, 4, 3, 3), dtype=torch.uint8)
    assert activation_distances(whole)[0].tolist() == [
        pytest.approx(row) for row in loop_distances(whole.flatten(2)[0].tolist())
    ]


def test_hamming_distances_equal_the_loop_and_those_of_neighbours():
    x = torch.randn(3, 6, 4, 5, generator=torch.Generator().manual_seed(1))
    x[0, 2] = 0  # not above 0
    found = activation_distances(x, "hamming")
    bits = (x.flatten(2) > 0).tolist()
    assert found.tolist() == [
        [[sum(p != q for p, q in zip(a, b, strict=True)) for b in clip] for a in clip]
        for clip in bits
    ]
    assert torch.equal(found.diagonal(1, 1, 2), hamming_distances(x))


def test_distances_of_gradients_take_all_weights_as_one_vector():
    generator = torch.Generator().manual_seed(2)
    gradients = {
        "a": torch.randn(2, 4, 3, 2, generator=generator, dtype=torch.float64),
        "b": torch.randn(2, 4, 5, 1, 3, 3, generator=generator, dtype=torch.float64),
    }
    found = gradient_distances(gradients)
    vectors = torch.cat([value.flatten(2) for value in gradients.values()], 2)
    for i, clip in enumerate(vectors.tolist()):
        assert found[i].tolist() == [pytest.approx(row, rel=1e-12) for row in loop_distances(clip)]


def test_equal_frames_are_at_0_exactly():
    x = 1e3 + torch.randn(1, 1, 5000, generator=torch.Generator().manual_seed(3))
    x = x.expand(1, 4, 5000).clone()
    x[0, 2, 17] += 1
    x[0, 3] = -x[0, 0]
    for found in (activation_distances(x), gradient_distances({"w": x})):
        assert found[0, :2, :2].tolist() == [[0, 0], [0, 0]]
        assert found[0].diagonal().tolist() == [0] * 4
        assert found[0, 0, 2].item() == pytest.approx((x[0, 2, 17] - x[0, 0, 17]).item(), rel=1e-6)
    assert activation_distances(x, "hamming")[0].tolist() == [[0, 0, 0, 5000]] * 3 + [
        [5000, 5000, 5000, 0]
    ]


def test_many_features_are_added_up_accurately():
    x = 100 + torch.rand(1, 2, 300_000, generator=torch.Generator().manual_seed(4))
    exact = fsum(((x[0, 0].double() - x[0, 1].double()) ** 2).tolist()) ** 0.5
    for found in (activation_distances(x), gradient_distances({"w": x})):
        assert found[0, 0, 1].item() == pytest.approx(exact, rel=1e-6)
    half = x.bfloat16()
    exact = fsum(((half[0, 0].double() - half[0, 1].double()) ** 2).tolist()) ** 0.5
    assert activation_distances(half)[0, 0, 1].item() == pytest.approx(exact, rel=1e-12)


# ---- spread ----


def loop_spread(points, labels):
    """Squared distances of points to the mean of their cluster."""
    total = 0.0
    for k in set(labels):
        members = [point for point, label in zip(points, labels, strict=True) if label == k]
        mean = [sum(values) / len(members) for values in zip(*members, strict=True)]
        total += sum(dist(point, mean) ** 2 for point in members)
    return total


def segmentations(t, g):
    for cuts in combinations(range(1, t), g - 1):
        yield [sum(cut <= i for cut in cuts) for i in range(t)]


def test_spread_equals_the_loop_with_means():
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(4, 7, 3, generator=generator, dtype=torch.float64)
    labels = torch.randint(3, (4, 7), generator=generator)
    found = cluster_spread(activation_distances(points), labels)
    both = zip(points.tolist(), labels.tolist(), strict=True)
    assert found.tolist() == pytest.approx([loop_spread(*one) for one in both], rel=1e-12)


@law
@given(
    st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=1, max_size=8), st.data()
)
def test_the_best_clusters_have_the_least_spread_of_all(points, data):
    t = len(points)
    g = data.draw(st.integers(1, t))
    distances = activation_distances(torch.tensor([points], dtype=torch.float64))
    labels = best_clusters(distances, g)
    assert labels[0].tolist() in list(segmentations(t, g))
    least = min(loop_spread(points, row) for row in segmentations(t, g))
    assert loop_spread(points, labels[0].tolist()) == pytest.approx(least, abs=1e-9)


def test_the_best_clusters_of_a_batch_are_no_worse_than_any_others():
    generator = torch.Generator().manual_seed(5)
    walk = torch.randn(20, 32, 6, generator=generator, dtype=torch.float64).cumsum(1)
    distances = activation_distances(walk)
    steps = hamming_distances(walk)
    for g in (1, 5, 16, 32):
        least = cluster_spread(distances, best_clusters(distances, g))
        others = [method(steps, g) for method in (cumulative_clusters, slope_clusters)]
        others += [uniform_clusters(steps, g)]
        others += [random_clusters(20, 32, g, generator=generator) for _ in range(20)]
        for labels in others:
            assert (least <= cluster_spread(distances, labels) * (1 + 1e-12)).all()


def test_random_cuts_are_equally_likely():
    n, t, g = 20_000, 6, 3
    labels = random_clusters(n, t, g, generator=torch.Generator().manual_seed(0))
    again = random_clusters(n, t, g, generator=torch.Generator().manual_seed(0))
    assert torch.equal(labels, again)
    wanted = list(segmentations(t, g))
    seen, counts = labels.unique(dim=0, return_counts=True)
    assert sorted(seen.tolist()) == sorted(wanted)  # ascending, and no cluster is empty
    share = n / len(wanted)
    assert ((counts - share) ** 2 / share).sum() < 27.9  # chi-square, 9 degrees: one in a thousand
    assert random_clusters(2, 4, 1).tolist() == [[0] * 4] * 2
    assert random_clusters(2, 4, 4).tolist() == [[0, 1, 2, 3]] * 2


# ---- relation ----


def loop_ranks(values):
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2
        for value in values
    ]


def loop_rising(x, y):
    """The best curve that never falls: max over starts, min over ends, of the mean in between."""
    xs = sorted(set(x.tolist()))
    groups = [y[x == value] for value in xs]
    level = {
        value: max(
            min(np.concatenate(groups[a : b + 1]).mean() for b in range(i, len(xs)))
            for a in range(i + 1)
        )
        for i, value in enumerate(xs)
    }
    return np.array([level[value] for value in x.tolist()])


@pytest.mark.parametrize("slope", [2.0, 0.3, -1.0])
def test_a_relation_is_what_numpy_gives(slope):
    generator = torch.Generator().manual_seed(6)
    x = torch.randint(0, 12, (3, 28), generator=generator)  # with ties
    y = slope * x + 4 * torch.randn(3, 28, generator=generator, dtype=torch.float64)
    found = relation(x, y)
    for i, (a, b) in enumerate(zip(x.double().numpy(), y.numpy(), strict=True)):
        ranks = np.corrcoef(loop_ranks(a.tolist()), loop_ranks(b.tolist()))[0, 1]
        assert found.spearman[i] == pytest.approx(ranks)
        line = np.polyval(np.polyfit(a, b, 1), a)
        assert found.line[i] == pytest.approx(
            1 - ((b - line) ** 2).sum() / ((b - b.mean()) ** 2).sum()
        )
        rising = loop_rising(a, b)
        share = 1 - ((b - rising) ** 2).sum() / ((b - b.mean()) ** 2).sum()
        assert found.monotone[i] == pytest.approx(share)
        if np.corrcoef(a, b)[0, 1] > 0:  # a rising line is one of the curves
            assert found.monotone[i] > found.line[i]


def test_a_bent_curve_is_monotone_but_no_line():
    x = torch.linspace(0, 1, 30, dtype=torch.float64)
    found = relation(torch.stack([x, x, x]), torch.stack([x**6, 3 * x - 1, -x]))
    assert found.spearman.tolist() == pytest.approx([1, 1, -1])
    assert found.monotone.tolist() == pytest.approx([1, 1, 0])
    assert found.line.tolist()[1:] == pytest.approx([1, 1])
    assert found.line[0] < 0.7


def test_what_does_not_vary_has_no_relation():
    vary, still = torch.arange(4.0), torch.full((4,), 0.1)
    found = relation(torch.stack([still, vary, vary]), torch.stack([vary, still, vary]))
    for value in found:
        assert np.isnan(value[:2]).all()
        assert value[2] == pytest.approx(1)


def test_pairs_are_the_upper_triangle():
    distances = torch.arange(16).view(1, 4, 4)
    assert pairs(distances).tolist() == [[1, 2, 3, 6, 7, 11]]


# ---- bad input ----

CLIP, CLASS = torch.zeros(1, 4, 3, 24, 24), torch.tensor([1])
TWO = torch.tensor([[0, 0, 1, 1]])


@pytest.mark.parametrize("measure", [frame_gradients, cluster_gradients])
@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        (CLASS, {"setting": "video"}, "setting is 'video'; choose one of 'clip'"),
        (CLASS, {"stage": "layer5"}, "stage is 'layer5', .* name one of conv1, layer1, .*fc"),
        (CLASS, {"stage": "bn1"}, "stage is 'bn1', where there are no weights"),
        (torch.tensor([1, 1]), {}, "2 targets for 1 clips"),
        (torch.tensor([4]), {}, r"has \[4\]; classes 0\.\.3"),
        (torch.tensor([-100]), {}, r"has \[-100\]; classes 0\.\.3"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_arguments_are_named(measure, target, options, message):
    model = tsm_resnet(18, 4, width=8)
    more = () if measure is frame_gradients else (TWO, 2)
    for setting in SETTINGS:
        with pytest.raises(ValueError, match=message):
            measure(model, CLIP, target, *more, **{"setting": setting, **options})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda of: of(TWO, 1), r"labels are \(1, 4\), from 0 to 1; 0\.\.0 was wanted"),
        (lambda of: of(TWO - 1, 2), "from -1 to 0"),
        (lambda of: sum_by_cluster(CLIP, TWO[:, :3], 2), r"each of \(1, 4\) frames"),
        (lambda of: activation_distances(CLIP, "cosine"), "metric is 'cosine'"),
        (lambda of: best_clusters(torch.zeros(1, 4, 4), 5), r"g is 5 .* t = 4 frames; at most t"),
        (lambda of: best_clusters(torch.zeros(1, 4, 4), 0), "g is 0"),
        (lambda of: random_clusters(1, 4, 5), "g is 5"),
        (lambda of: random_clusters(1, 4, 0), "g is 0"),
        (lambda of: relation(torch.zeros(1, 2), torch.zeros(1, 2)), "2 pairs came"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_input_says_what_was_wanted(call, message):
    model = tsm_resnet(18, 4, width=8)
    with pytest.raises(ValueError, match=message):
        call(partial(cluster_gradients, model, CLIP, CLASS))
