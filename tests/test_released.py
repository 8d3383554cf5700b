"""The published code's clusters, and which laws they break."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fvlib import clustering, released

law = settings(
    deadline=None,
    max_examples=40,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],  # a busy machine is no failure
)
distances = st.lists(st.integers(0, 9), min_size=1, max_size=14)


def loop_groups(dist, g):
    """Frames of each output of the published cumulative rule; None where its code fails."""
    done = [float(sum(dist[:k])) for k in range(len(dist) + 1)]
    if done[-1] == 0:
        return [[k] for k in range(g)]
    outputs, group, count = [], [], 1
    for k, here in enumerate(done):
        if here <= done[-1] / g * count:
            group.append(k)
        else:
            outputs.append(group)
            group, count = [k], count + 1
    if len(outputs) < min(g, 2):
        return None
    return outputs + [outputs[-1]] * (g - len(outputs))


@law
@given(distances, st.integers(1, 8))
def test_cumulative_equals_the_loop(dist, g):
    g = min(g, len(dist) + 1)
    groups, batch = loop_groups(dist, g), torch.tensor([dist])
    if groups is None:
        with pytest.raises(ValueError, match="fewer than two clusters"):
            released.cumulative_clusters(batch, g)
        return
    labels, source = released.cumulative_clusters(batch, g)
    assert [(labels[0] == k).nonzero().flatten().tolist() for k in source[0]] == groups
    x = torch.randn(1, len(dist) + 1, 3, 2, dtype=torch.float64)
    expected = torch.stack([x[0, group].mean(0) for group in groups])
    torch.testing.assert_close(released.aggregate(x, labels, source)[0], expected)


@law
@given(distances, st.integers(2, 8))
def test_slope_equals_the_loop(dist, g):
    g = min(g, len(dist) + 1)
    cuts = sorted(range(len(dist)), key=lambda i: dist[i])[-(g - 1) :]
    expected = [sum(cut < i for cut in cuts) for i in range(len(dist) + 1)]
    assert released.slope_clusters(torch.tensor([dist]), g).tolist() == [expected]


def test_clips_do_not_influence_each_other():
    dist = torch.tensor([[1, 1, 1, 1, 1], [5, 0, 4, 0, 1], [0, 0, 0, 0, 0]])
    labels, source = released.cumulative_clusters(dist, 3)
    for i in range(3):
        alone = released.cumulative_clusters(dist[i : i + 1], 3)
        assert torch.equal(alone[0][0], labels[i])
        assert torch.equal(alone[1][0], source[i])


def test_one_jump_makes_singletons_and_drops_the_rest():
    dist = torch.zeros(1, 31, dtype=torch.int64)
    dist[0, 15] = 100
    labels, source = released.cumulative_clusters(dist, 8)
    assert labels.tolist() == [[0] * 16 + [1, 2, 3, 4, 5, 6] + [-1] * 10]
    assert source.tolist() == [[0, 1, 2, 3, 4, 5, 6, 6]]


def test_uniform_motion_drops_the_last_frames():
    labels, source = released.cumulative_clusters(torch.ones(1, 32 - 1), 8)
    assert labels.tolist() == [[k for k in range(7) for _ in range(4)] + [-1] * 4]
    assert source.tolist() == [[0, 1, 2, 3, 4, 5, 6, 6]]


def test_a_static_clip_keeps_its_first_frames():
    labels, source = released.cumulative_clusters(torch.zeros(1, 5), 3)
    assert labels.tolist() == [[0, 1, 2, -1, -1, -1]]
    assert source.tolist() == [[0, 1, 2]]


def test_which_laws_the_cumulative_rule_breaks():
    dist, x = torch.ones(1, 7), torch.arange(8.0).reshape(1, 8, 1).requires_grad_()
    labels, source = released.cumulative_clusters(dist, 4)
    assert labels.tolist() == [[0, 0, 1, 1, 2, 2, -1, -1]]
    y = released.aggregate(x, labels, source)
    assert y.flatten().tolist() == [0.5, 2.5, 4.5, 4.5]  # the mean is 3, that of the frames 3.5
    y.sum().backward()
    assert x.grad.flatten().tolist() == [0.5, 0.5, 0.5, 0.5, 1, 1, 0, 0]  # 0.5 each by the law
    identity, _ = released.cumulative_clusters(dist, 8)
    assert identity.tolist() != [list(range(8))]


@law
@given(distances, st.integers(2, 8))
def test_the_slope_rule_differs_in_ties_only(dist, g):
    g = min(g, len(dist) + 1)
    apart = torch.tensor([[len(dist) * d + i for i, d in enumerate(dist)]])
    assert torch.equal(released.slope_clusters(apart, g), clustering.slope_clusters(apart, g))


def test_slope_ties_go_to_the_later_index():
    assert released.slope_clusters(torch.tensor([[5, 5, 5]]), 2).tolist() == [[0, 0, 0, 1]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: released.cumulative_clusters(torch.ones(1, 5), 1), "fewer than two clusters"),
        (lambda: released.cumulative_clusters(torch.eye(5)[4:], 3), "fewer than two clusters"),
        (lambda: released.cumulative_clusters(torch.ones(1, 5), 7), "at most t"),
        (lambda: released.cumulative_clusters(-torch.ones(1, 5), 2), "negative"),
        (lambda: released.slope_clusters(torch.ones(1, 5), 1), "divides by 32"),
        (lambda: released.slope_clusters(torch.ones(1, 5), 0), "g is 0"),
    ],
)
def test_bad_input_says_what_was_wanted(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_slope_with_one_cluster_of_32_frames():
    assert released.slope_clusters(torch.ones(1, 31), 1).tolist() == [[0] * 32]
