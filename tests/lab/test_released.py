"""The published code's clusters, which laws they break, and what its other switches do."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fvlib import clustering
from fvlib.clustering import TemporalClustering, aggregate
from fvlib.models import tsm_resnet
from lab import released

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


def published_means(x, labels, g):
    """The mean frames of the clusters, the last of them repeated."""
    means, source = aggregate(x, labels, g)[0], released.repeated(labels, g)
    return torch.stack([mean[places] for mean, places in zip(means, source, strict=True)])


@law
@given(distances, st.integers(1, 8))
def test_cumulative_equals_the_loop(dist, g):
    g = min(g, len(dist) + 1)
    groups, batch = loop_groups(dist, g), torch.tensor([dist])
    if groups is None:
        with pytest.raises(ValueError, match="fewer than two clusters"):
            released.published_cumulative(batch, g)
        return
    labels = released.published_cumulative(batch, g)
    source = released.repeated(labels, g)
    assert [(labels[0] == k).nonzero().flatten().tolist() for k in source[0]] == groups
    x = torch.randn(1, len(dist) + 1, 3, 2, dtype=torch.float64)
    expected = torch.stack([x[0, group].mean(0) for group in groups])
    torch.testing.assert_close(published_means(x, labels, g)[0], expected)


@law
@given(distances, st.integers(2, 8))
def test_slope_equals_the_loop(dist, g):
    g = min(g, len(dist) + 1)
    cuts = sorted(range(len(dist)), key=lambda i: dist[i])[-(g - 1) :]
    expected = [sum(cut < i for cut in cuts) for i in range(len(dist) + 1)]
    assert released.published_slope(torch.tensor([dist]), g).tolist() == [expected]


def test_clips_do_not_influence_each_other():
    dist = torch.tensor([[1, 1, 1, 1, 1], [5, 0, 4, 0, 1], [0, 0, 0, 0, 0]])
    labels = released.published_cumulative(dist, 3)
    for i in range(3):
        assert torch.equal(released.published_cumulative(dist[i : i + 1], 3)[0], labels[i])


def test_one_jump_makes_singletons_and_drops_the_rest():
    dist = torch.zeros(1, 31, dtype=torch.int64)
    dist[0, 15] = 100
    labels = released.published_cumulative(dist, 8)
    assert labels.tolist() == [[0] * 16 + [1, 2, 3, 4, 5, 6] + [-1] * 10]
    assert released.repeated(labels, 8).tolist() == [[0, 1, 2, 3, 4, 5, 6, 6]]


def test_uniform_motion_drops_the_last_frames():
    labels = released.published_cumulative(torch.ones(1, 32 - 1), 8)
    assert labels.tolist() == [[k for k in range(7) for _ in range(4)] + [-1] * 4]
    assert released.repeated(labels, 8).tolist() == [[0, 1, 2, 3, 4, 5, 6, 6]]


def test_a_static_clip_keeps_its_first_frames():
    labels = released.published_cumulative(torch.zeros(1, 5), 3)
    assert labels.tolist() == [[0, 1, 2, -1, -1, -1]]
    assert released.repeated(labels, 3).tolist() == [[0, 1, 2]]


def test_which_laws_the_cumulative_rule_breaks():
    dist, x = torch.ones(1, 7), torch.arange(8.0).reshape(1, 8, 1).requires_grad_()
    labels = released.published_cumulative(dist, 4)
    assert labels.tolist() == [[0, 0, 1, 1, 2, 2, -1, -1]]
    y = published_means(x, labels, 4)
    assert y.flatten().tolist() == [0.5, 2.5, 4.5, 4.5]  # the mean is 3, that of the frames 3.5
    y.sum().backward()
    assert x.grad.flatten().tolist() == [0.5, 0.5, 0.5, 0.5, 1, 1, 0, 0]  # 0.5 each by the law
    identity = released.published_cumulative(dist, 8)
    assert identity.tolist() != [list(range(8))]


@law
@given(distances, st.integers(2, 8))
def test_the_slope_rule_differs_in_ties_only(dist, g):
    g = min(g, len(dist) + 1)
    apart = torch.tensor([[len(dist) * d + i for i, d in enumerate(dist)]])
    assert torch.equal(released.published_slope(apart, g), clustering.slope_clusters(apart, g))


def test_slope_ties_go_to_the_later_index():
    assert released.published_slope(torch.tensor([[5, 5, 5]]), 2).tolist() == [[0, 0, 0, 1]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: released.published_cumulative(torch.ones(1, 5), 1), "fewer than two clusters"),
        (lambda: released.published_cumulative(torch.eye(5)[4:], 3), "fewer than two clusters"),
        (lambda: released.published_cumulative(torch.ones(1, 5), 7), "at most t"),
        (lambda: released.published_cumulative(-torch.ones(1, 5), 2), "negative"),
        (lambda: released.published_slope(torch.ones(1, 5), 1), "divides by 32"),
        (lambda: released.published_slope(torch.ones(1, 5), 0), "g is 0"),
    ],
)
def test_bad_input_says_what_was_wanted(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_slope_with_one_cluster_of_32_frames():
    assert released.published_slope(torch.ones(1, 31), 1).tolist() == [[0] * 32]


# ---- the switches ----


def one_by_one_loop(dist, g):
    labels, count, total = [], 1, sum(dist)
    for k in range(len(dist) + 1):
        count += float(sum(dist[:k])) > total / g * count
        labels.append(count - 1)
    return labels


@law
@given(distances, st.integers(1, 8))
def test_one_by_one_is_the_published_rule_with_its_last_group(dist, g):
    g, batch = min(g, len(dist) + 1), torch.tensor([dist])
    labels = released.one_by_one(batch, g)
    assert labels.tolist() == [one_by_one_loop(dist, g)]
    last = int(labels.max())
    assert last < g
    assert released.repeated(labels, g).tolist() == [[*range(last + 1), *[last] * (g - 1 - last)]]


@law
@given(distances, st.integers(2, 8))
def test_last_dropped_is_our_rule_without_its_last_cluster(dist, g):
    g, batch = min(g, len(dist) + 1), torch.tensor([dist])
    labels = released.PublishedRule("cumulative", "last dropped").labels(batch, g)
    ours = clustering.cumulative_clusters(batch, g)
    if g == 1:  # the one cluster stays
        assert labels.tolist() == ours.tolist()
        return
    assert labels.tolist() == ours.masked_fill(ours == g - 1, -1).tolist()
    assert released.repeated(labels, g).tolist() == [[*range(g - 1), g - 2]]


def frames(n=2, t=8):
    return torch.randn(n, t, 3, 16, 16, generator=torch.Generator().manual_seed(0)).double()


def network(**options):
    torch.manual_seed(0)
    options = {"clustering": TemporalClustering("cumulative", 4), "dropout": 0.0, **options}
    model = tsm_resnet(18, 5, width=8, **options).double()
    torch.nn.init.normal_(model.fc.weight)  # scores that differ by more than rounding
    return model.eval()


@pytest.mark.parametrize("rule", ["clusters", "last dropped"])
def test_a_rule_in_the_network_averages_by_its_labels(rule):
    model, x = released.with_switches(network(), [rule]), frames()
    logits, labels = model(x, return_labels=True)
    early = model.features(x, upto="layer1", cluster=False)
    assert torch.equal(labels, model.clustering.labels(clustering.hamming_distances(early)))
    source = released.repeated(labels, 4)
    means = torch.stack(
        [
            torch.stack([early[i, labels[i] == k].mean(0) for k in source[i]])
            for i in range(len(early))
        ]
    )
    plain = network(clustering=TemporalClustering("uniform", 4))
    plain.encode = lambda images, frames: means.flatten(0, 1)
    torch.testing.assert_close(logits, plain(x[:, :4]), rtol=1e-9, atol=1e-9)
    plain.load_state_dict(model.state_dict())  # no parameter is the rule's
    _, _, sizes = model.clustering(early)
    counted = [[int((labels[i] == k).sum()) for k in source[i]] for i in range(len(source))]
    assert sizes.tolist() == counted


def test_the_published_slope_rule_in_the_network():
    slope = network(clustering=TemporalClustering("slope", 4))
    model = released.with_switches(slope, ["clusters"])
    x = frames()
    _, labels = model(x, return_labels=True)
    dist = clustering.hamming_distances(model.features(x, upto="layer1", cluster=False))
    assert torch.equal(labels, released.published_slope(dist, 4))


def test_a_clip_alone_is_not_shifted():
    model, x = network(), frames()
    unshifted = network(shift_stages=[])
    expected = model(x)
    with released.alone(model):
        torch.testing.assert_close(model(x), unshifted(x), rtol=1e-12, atol=1e-12)
    assert torch.equal(model(x), expected)
    assert not torch.allclose(expected, unshifted(x))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: released.with_switches(network(), ["last"]), "released names last; there are clu"),
        (lambda: released.with_switches(network(), ["clusters", "last dropped"]), "give one rule"),
        (lambda: released.with_switches(network(chunk=2), ["clusters"]), "no chunk"),
        (
            lambda: released.with_switches(
                network(clustering=TemporalClustering("uniform", 4)), ["clusters"]
            ),
            "method 'uniform'; wanted cumulative with one of clusters, last dropped",
        ),
        (lambda: released.ReleasedClustering("slope", 4, rule="last dropped"), "or slope with"),
        (
            lambda: released.with_switches(network(), ["clusters"])(frames(), torch.tensor([8, 5])),
            "want clips of one length",
        ),
    ],
)
def test_wrong_switches_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
