"""VideoGraph against loops: node attention, the graph layers, and frames of any number."""

import pytest
import torch

from lab.systems.heads import FeatureClassifier, GraphLayer, HeadNorm, NodeAttention, VideoGraphHead


def head(start=0, **options):
    torch.manual_seed(start)
    return VideoGraphHead(5, 3, **{"features": 6, "nodes": 16, "hidden": 8, **options})


def leaky(z):
    return torch.where(z > 0, z, 0.2 * z)


def normal(norm, z):
    return norm.weight * (z - norm.running_mean) / (norm.running_var + norm.eps).sqrt() + norm.bias


def warmed(module, *shape):
    """In eval mode, with running statistics of its own."""
    for norm in module.modules():
        if isinstance(norm, HeadNorm):
            norm.momentum = None  # the plain average of all batches
    for _ in range(3):
        module.train()(torch.randn(*shape))
    return module.eval()


def test_attention_is_score_times_node_averaged_by_four():
    torch.manual_seed(0)
    attend = warmed(NodeAttention(6, 12, seed=0), 20, 6)
    x = torch.randn(4, 6)
    first, _, second = attend.normalise
    for frame, found in zip(x, attend(x), strict=True):
        weight, bias = attend.embed.weight[:, :, 0], attend.embed.bias
        nodes = [weight @ point + bias for point in attend.points.T]
        scores = torch.stack([frame @ node for node in nodes])
        scores = normal(second, leaky(normal(first, scores)))
        weighted = [score * node for score, node in zip(scores, nodes, strict=True)]
        assert found.shape == (6, 3)
        for j in range(3):
            torch.testing.assert_close(found[:, j], sum(weighted[4 * j : 4 * j + 4]) / 4)


def test_points_are_those_of_the_seed_and_stay():
    first, again, other = head(0), head(1), head(0, seed=1)
    points = "attend.points"
    assert torch.equal(first.state_dict()[points], again.state_dict()[points])
    assert not torch.equal(first.state_dict()[points], other.state_dict()[points])
    assert points not in dict(first.named_parameters())
    assert (first.attend.points.std() - 1).abs() < 0.2


def test_a_graph_layer_convolves_along_each_axis_and_pools():
    torch.manual_seed(0)
    layer = warmed(GraphLayer(3), 4, 3, 7, 8)
    mix, along_time, along_nodes, norm, _ = layer.convolve
    z = torch.randn(2, 3, 7, 8)
    y = torch.zeros_like(z)
    for t in range(7):
        for v in range(8):
            y[:, :, t, v] = z[:, :, t, v] @ mix.weight[:, :, 0, 0].T
    for axis, weight in ((2, along_time.weight[:, 0, :, 0]), (3, along_nodes.weight[:, 0, 0])):
        before, y = y, torch.zeros_like(y)
        size = y.shape[axis]
        for i in range(size):
            for tap in range(7):
                j = i + tap - 3
                if 0 <= j < size:
                    y.select(axis, i).add_(before.select(axis, j) * weight[:, tap, None])
    y = leaky(normal(norm, y.movedim(1, -1))).movedim(-1, 1)
    found = layer(z)
    assert found.shape == (2, 3, 3, 3)
    for t in range(3):
        for v in range(3):
            part = y[:, :, 3 * t : 3 * t + 3, 3 * v : 3 * v + 3]
            torch.testing.assert_close(found[:, :, t, v], part.flatten(2).max(2).values)


def test_the_head_is_its_parts_one_after_the_other():
    model = warmed(FeatureClassifier(head()), 4, 10, 5, 3, 3)
    x = torch.randn(2, 10, 5, 3, 3)
    parts = model.head
    scores = []
    for clip in x:
        places = [parts.embed(clip[:, :, i : i + 1, j : j + 1]) for i in range(3) for j in range(3)]
        highest = torch.stack(places).amax(0)[:, :, 0, 0]
        z = torch.stack([parts.attend(frame[None])[0] for frame in highest], 1)[None]
        z = parts.layers[1](parts.layers[0](z))[0]
        assert z.shape == (6, 2, 1)
        scores.append(parts.classifier(z.mean(2).max(1).values[None])[0])
    torch.testing.assert_close(model(x), torch.stack(scores))


@pytest.mark.parametrize("t", [1, 2, 3, 8, 16, 64])
@pytest.mark.parametrize("nodes", [4, 128])
def test_any_number_of_frames_will_do_and_every_one_counts(t, nodes):
    torch.manual_seed(0)
    layers = head(nodes=nodes).layers.eval()
    z = torch.rand(1, 6, t, nodes // 4, requires_grad=True)
    # With a convolution that only adds up its own place, the largest of a window gets through.
    for layer in layers:
        mix, along_time, along_nodes, *_ = layer.convolve
        torch.nn.init.dirac_(mix.weight)
        for convolution, at in ((along_time, (3, 0)), (along_nodes, (0, 3))):
            torch.nn.init.zeros_(convolution.weight)
            convolution.weight.data[(slice(None), 0, *at)] = 1
    last = z.detach().clone()
    last[:, :, -1] += 10
    assert layers(z).shape[2] >= 1
    assert (layers(last)[:, :, -1] > 5).all()
    assert FeatureClassifier(head(nodes=nodes))(torch.randn(2, t, 5, 2, 2)).shape == (2, 3)


def test_the_order_of_frames_matters():
    model = warmed(FeatureClassifier(head()), 8, 16, 5, 2, 2)
    x = torch.randn(2, 16, 5, 2, 2)
    assert (model(x) - model(x.flip(1))).abs().max() > 0.05
    # It is in the convolutions along time; all else sees each frame by itself, or all alike.
    for layer in model.head.layers:
        layer.convolve[1].weight.data[:, :, [0, 1, 2, 4, 5, 6]] = 0
    torch.testing.assert_close(model(x[:, :9]), model(x[:, :9].flip(1)))


def test_clips_of_different_length_are_refused():
    with pytest.raises(ValueError, match=r"\[8, 3\] frames; VideoGraph wants the same"):
        FeatureClassifier(head())(torch.randn(2, 8, 5, 2, 2), torch.tensor([8, 3]))
    same = torch.randn(2, 8, 5, 2, 2)
    model = FeatureClassifier(head()).eval()
    assert torch.equal(model(same), model(same, torch.tensor([8, 8])))


@pytest.mark.parametrize("nodes", [0, 2, 18])
def test_nodes_come_in_fours(nodes):
    with pytest.raises(ValueError, match=f"nodes is {nodes}; they are averaged by 4"):
        head(nodes=nodes)
