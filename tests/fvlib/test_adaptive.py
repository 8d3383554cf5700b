"""Adaptive numbers of clusters: the laws of sharing them out, and the layer that does it."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from math import ceil, inf, nextafter

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from fvlib.clustering import (
    METHODS,
    TemporalClustering,
    adaptive_counts,
    aggregate,
    counts_at,
    cumulative_clusters,
    hamming_distances,
    threshold_of,
)
from fvlib.models import tsm_resnet
from lab.building import build_network
from lab.parameters import Network

NAMES = [name for name, method in METHODS.items() if method.adaptive]
law = settings(
    deadline=None,
    max_examples=40,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],  # a busy machine is no failure
)
each_method = pytest.mark.parametrize("method", NAMES)


# ---- the slow and obvious versions ----


def loop_scores(method, row, t):
    """What one clip offers for its 2nd, 3rd, ... cluster."""
    if method == "slope":
        return sorted(row, reverse=True)
    whole = sum(row) if method == "cumulative" else t
    return [Fraction(whole, j) for j in range(1, t)]


def loop_counts(method, rows, lengths, budget):
    """One cluster after another to the clip that offers most for it."""
    scores = [loop_scores(method, row, t) for row, t in zip(rows, lengths, strict=True)]
    counts = [1] * len(rows)
    while sum(counts) < budget:
        offers = [(s[g - 1], -g, -i) for i, (s, g) in enumerate(zip(scores, counts, strict=True))
                  if g - 1 < len(s)]  # fmt: skip
        if not offers or max(offers)[0] == 0:
            break
        counts[-max(offers)[2]] += 1
    return counts


def loop_held(method, row, t, g):
    """The most that one of g clusters holds: of g equal segments, or behind the g-1 highest cuts"""
    if method == "slope":
        return max(sorted(row, reverse=True)[g - 1 :], default=0)
    return Fraction(sum(row) if method == "cumulative" else t, g)


def loop_counts_at(method, row, t, tau):
    enough = (g for g in range(1, t) if loop_held(method, row, t, g) <= tau)
    return 1 if not any(row) and method != "uniform" else next(enough, t)


def usable(method, row, t):
    """The most clusters that a clip can use."""
    if method == "slope":
        return 1 + sum(d > 0 for d in row)
    return t if any(row) or method == "uniform" else 1


def cluster(method, dist, g, lengths):
    return METHODS[method].labels(dist, g, lengths)


# ---- what hypothesis draws ----


@st.composite
def batches(draw):
    """Distances of a few clips, some of them alike or static, and their lengths (or None)."""
    n, t = draw(st.integers(1, 5)), draw(st.integers(1, 12))
    distance = draw(st.sampled_from([st.integers(0, 3), st.integers(0, 10**6)]))
    row = st.one_of(st.just([0] * (t - 1)), st.lists(distance, min_size=t - 1, max_size=t - 1))
    dist = torch.tensor([draw(row) for _ in range(n)], dtype=torch.int64).reshape(n, t - 1)
    if draw(st.booleans()):
        dist[-1] = dist[0]
    lengths = torch.tensor([draw(st.integers(1, t)) for _ in range(n)])
    return dist, lengths if draw(st.booleans()) else None


def lists(dist, lengths):
    """Distances and lengths of the clips, without padding."""
    t = [dist.shape[1] + 1] * len(dist) if lengths is None else lengths.tolist()
    return [row[: own - 1] for row, own in zip(dist.tolist(), t, strict=True)], t


means = st.integers(1, 8)
taus = st.one_of(st.just(0.0), st.integers(1, 40).map(lambda quarters: quarters / 4))


# ---- by hand ----

TWO = torch.tensor([[10, 10, 0, 5, 5, 0, 0], [0, 0, 0, 10, 0, 0, 0]])


def test_cumulative_by_hand():
    # 8 clusters, one each to begin with; 30/1, 30/2, 30/3, 10/1, 30/4, 30/5 are the 6 largest
    counts = adaptive_counts(TWO, 4)
    assert counts.tolist() == [6, 2]
    assert threshold_of(TWO, counts) == 5  # 30/6, and 10/2
    assert counts_at(TWO, 5.0).tolist() == [6, 2]
    assert counts_at(TWO, 4.99).tolist() == [7, 3]


def test_slope_by_hand():
    counts = adaptive_counts(TWO, 2, method="slope")  # two cuts at three distances of 10
    assert counts.tolist() == [2, 2]  # the first of each clip
    assert threshold_of(TWO, counts, method="slope") == 10
    assert adaptive_counts(TWO, 3, method="slope").tolist() == [4, 2]
    assert adaptive_counts(TWO, 9, method="slope").tolist() == [5, 2]  # never at a distance of 0
    assert counts_at(TWO, 5.0, method="slope").tolist() == [3, 2]


def test_uniform_by_hand():
    lengths = torch.tensor([8, 2])
    counts = adaptive_counts(TWO, 3, method="uniform", lengths=lengths)
    assert counts.tolist() == [4, 2]  # 8/1, 8/2, 8/3, then 2/1 before 8/4: it has fewer so far
    assert threshold_of(TWO, counts, method="uniform", lengths=lengths) == 2
    assert counts_at(TWO, 2.0, method="uniform", lengths=lengths).tolist() == [4, 1]


@each_method
def test_a_clip_of_one_frame(method):
    dist = torch.zeros(3, 0, dtype=torch.int64)
    counts = adaptive_counts(dist, 4, method=method)
    assert counts.tolist() == [1, 1, 1]
    assert threshold_of(dist, counts, method=method) == 0


def test_float_distances():
    counts = adaptive_counts(TWO / 10, 4)
    assert counts.tolist() == [6, 2]
    assert threshold_of(TWO / 10, counts) == 0.5


# ---- by law ----


@each_method
@law
@given(batches(), means)
def test_counts_equal_the_loop(method, batch, mean):
    rows, t = lists(*batch)
    counts = adaptive_counts(batch[0], mean, method=method, lengths=batch[1]).tolist()
    assert counts == loop_counts(method, rows, t, mean * len(t))


@each_method
@law
@given(batches(), means)
def test_the_budget_is_spent_and_no_clip_gets_what_it_cannot_use(method, batch, mean):
    rows, t = lists(*batch)
    counts = adaptive_counts(batch[0], mean, method=method, lengths=batch[1]).tolist()
    most = [usable(method, row, own) for row, own in zip(rows, t, strict=True)]
    assert sum(counts) == min(mean * len(t), sum(most))
    assert all(1 <= g <= own for g, own in zip(counts, most, strict=True))


@each_method
@law
@given(batches(), taus)
def test_counts_at_a_threshold_equal_the_loop(method, batch, tau):
    counts = counts_at(batch[0], tau, method=method, lengths=batch[1]).tolist()
    pairs = zip(*lists(*batch), strict=True)
    assert counts == [loop_counts_at(method, row, t, tau) for row, t in pairs]


@each_method
@law
@given(batches(), taus, st.sampled_from(["split", "keep"]))
def test_no_cluster_holds_more_than_the_threshold(method, batch, tau, empty):
    dist, lengths = batch
    counts = counts_at(dist, tau, method=method, lengths=lengths)
    if method == "cumulative":
        labels = cumulative_clusters(dist, counts, empty=empty, lengths=lengths)
    else:
        labels = cluster(method, dist, counts, lengths)
    for row, label, g in zip(dist.tolist(), labels.tolist(), counts.tolist(), strict=True):
        if empty == "keep" and g == len(label) - label.count(-1):
            continue  # as many segments as frames, but frames may share one
        for k in set(label) - {-1}:
            inside = [d for d, ends in zip(row, pairwise(label), strict=True) if ends == (k, k)]
            if method == "uniform":
                assert len(inside) + 1 <= max(1, ceil(tau))
            else:
                assert (sum(inside) if method == "cumulative" else max(inside, default=0)) <= tau


@each_method
@law
@given(batches(), means)
def test_threshold_gives_the_counts_back_but_for_ties(method, batch, mean):
    dist, lengths = batch
    options = {"method": method, "lengths": lengths}
    counts = adaptive_counts(dist, mean, **options)
    tau = float(threshold_of(dist, counts, **options))
    assert (counts_at(dist, tau, **options) <= counts).all()
    if tau == 0:
        assert torch.equal(counts_at(dist, 0.0, **options), counts)
    else:
        assert counts.sum() == mean * len(dist)
        below = counts_at(dist, nextafter(tau, 0), **options)
        assert (counts <= below).all()
        assert (counts < below).any()


@each_method
@law
@given(batches(), means, st.integers(2, 1000))
def test_a_common_factor_changes_nothing(method, batch, mean, factor):
    dist, lengths = batch
    counts = adaptive_counts(dist, mean, method=method, lengths=lengths)
    other = adaptive_counts(dist * factor, mean, method=method, lengths=lengths)
    assert torch.equal(other, counts)


@each_method
@law
@given(batches(), means, st.randoms())
def test_the_order_of_clips_decides_between_equal_ones_alone(method, batch, mean, random):
    dist, lengths = batch
    order = random.sample(range(len(dist)), len(dist))
    lengths = torch.full((len(dist),), dist.shape[1] + 1) if lengths is None else lengths
    options = {"method": method, "lengths": lengths}
    counts = adaptive_counts(dist, mean, **options)
    other = adaptive_counts(dist[order], mean, method=method, lengths=lengths[order])
    assert (other - counts[order]).abs().max() <= 1
    if torch.equal(counts_at(dist, threshold_of(dist, counts, **options), **options), counts):
        assert torch.equal(other, counts[order])


@each_method
@law
@given(batches(), means)
def test_a_larger_budget_takes_from_nobody(method, batch, mean):
    dist, lengths = batch
    counts = adaptive_counts(dist, mean, method=method, lengths=lengths)
    more = adaptive_counts(dist, mean + 1, method=method, lengths=lengths)
    assert (more >= counts).all()


@pytest.mark.parametrize("method", ["cumulative", "slope"])
@law
@given(batches(), means, st.data())
def test_more_change_never_makes_fewer_clusters(method, batch, mean, data):
    dist, lengths = batch
    assume(dist.numel())
    i = data.draw(st.integers(0, dist.shape[0] - 1))
    j = data.draw(st.integers(0, dist.shape[1] - 1))
    counts = adaptive_counts(dist, mean, method=method, lengths=lengths)
    dist[i, j] += data.draw(st.integers(1, 1000))
    assert adaptive_counts(dist, mean, method=method, lengths=lengths)[i] >= counts[i]


@law
@given(batches(), means)
def test_of_clips_as_long_the_one_that_changes_more_gets_no_fewer(batch, mean):
    dist, _ = batch
    counts, total = adaptive_counts(dist, mean), dist.sum(1)
    more = total[:, None] > total
    assert (counts[:, None] >= counts)[more].all()


@each_method
@law
@given(batches(), means, st.integers(2, 5))
def test_equal_clips_get_equal_counts_but_for_the_remainder(method, batch, mean, n):
    dist = batch[0][:1].repeat(n, 1)
    counts = adaptive_counts(dist, mean, method=method)
    assert counts.max() - counts.min() <= 1
    assert counts.tolist() == sorted(counts.tolist(), reverse=True)


@pytest.mark.parametrize("method", ["cumulative", "slope"])
def test_a_static_clip_gets_one_cluster_and_the_others_its_share(method):
    dist = torch.tensor([[0, 0, 0, 0], [4, 3, 2, 1]])
    assert adaptive_counts(dist, 2, method=method).tolist() == [1, 3]
    assert adaptive_counts(dist, 5, method=method).tolist() == [1, 5]


def test_quotients_of_large_totals_stay_apart():
    total = 2**36  # sign bits: 9 hours of the largest network's activations at 224 pixels
    dist = torch.zeros(2, 2**15, dtype=torch.int64)
    dist[:, 0] = torch.tensor([total, total - 1])
    counts = adaptive_counts(dist, 2**14 - 1)
    assert counts.tolist() == [2**14 - 1] * 2
    # with one more in all, the clip of one more sign bit has it
    tau = threshold_of(dist, counts)
    assert counts_at(dist, float(tau)).tolist() == counts.tolist()
    assert counts_at(dist, nextafter(float(tau), 0)).tolist() == [2**14, 2**14 - 1]


# ---- the layer ----


def clips(n=4, t=9, seed=0):
    """Clips that differ in how much they change."""
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(n, 1, 40, generator=generator)
    step = torch.randn(n, t, 40, generator=generator).cumsum(1)
    return start + step * torch.linspace(0.05, 0.8, n)[:, None, None]


@each_method
@pytest.mark.parametrize("lengths", [None, torch.tensor([9, 2, 5, 7])])
def test_training_shares_out_the_clusters_of_the_batch(method, lengths):
    x = clips()
    layer = TemporalClustering(method, 3, adaptive=True).train()
    y, labels, sizes = layer(x, lengths)
    dist = hamming_distances(x, lengths)
    counts = adaptive_counts(dist, 3, method=method, lengths=lengths)
    assert counts.sum() == 12
    assert torch.equal(labels, cluster(method, dist, counts, lengths))
    assert ((sizes > 0).sum(1) == counts).all()
    assert layer.count(labels) == y.shape[1] == counts.max()
    expected_y, expected_sizes = aggregate(x, labels, int(counts.max()))
    assert torch.equal(y, expected_y)
    assert torch.equal(sizes, expected_sizes)
    assert layer.threshold == threshold_of(dist, counts, method=method, lengths=lengths)


def test_clips_that_change_more_get_more():
    dist = hamming_distances(clips())
    _, _, sizes = TemporalClustering("cumulative", 4, adaptive=True).train()(clips())
    counts = (sizes > 0).sum(1)
    assert counts.argsort().tolist() == dist.sum(1).argsort().tolist()
    assert counts[-1] > counts[0]


def test_threshold_is_a_running_average():
    layer = TemporalClustering("cumulative", 4, adaptive=True).train()
    assert layer.threshold == inf
    layer.labels(TWO)
    assert layer.threshold == 5
    layer.labels(3 * TWO)
    assert layer.threshold.item() == pytest.approx(0.9 * 5 + 0.1 * 15, rel=1e-15)
    layer.eval().labels(TWO)
    assert layer.threshold.item() == pytest.approx(6, rel=1e-15)


@pytest.mark.parametrize(
    ("method", "empty"), [("cumulative", "keep"), *((name, "split") for name in NAMES)]
)
def test_in_evaluation_a_clip_alone_gives_what_it_gives_in_a_batch(method, empty):
    x, lengths = clips(6, 12, seed=1), torch.tensor([12, 3, 7, 12, 1, 9])
    layer = TemporalClustering(method, 3, empty=empty, adaptive=True).train()
    layer(clips(6, 12, seed=2))
    y, labels, sizes = layer.eval()(x, lengths)
    counts = counts_at(
        hamming_distances(x, lengths), layer.threshold, method=method, lengths=lengths
    )
    assert counts.unique().numel() > 1
    for i, t in enumerate(lengths.tolist()):
        own_y, own_labels, own_sizes = layer(x[i : i + 1, :t])
        g = int(counts[i])
        assert own_y.shape[1] == g
        assert torch.equal(own_labels[0], labels[i, :t])
        assert torch.equal(own_sizes[0], sizes[i, :g])
        assert not sizes[i, g:].any()
        torch.testing.assert_close(own_y[0], y[i, :g])


def test_evaluation_on_the_batch_of_training_cuts_it_alike():
    layer = TemporalClustering("cumulative", 4, adaptive=True).train()
    trained = layer(clips())
    for got, wanted in zip(layer.eval()(clips()), trained, strict=True):
        assert torch.equal(got, wanted)


def test_gradient_reaches_every_frame():
    x = clips().requires_grad_()
    y, labels, sizes = TemporalClustering("cumulative", 3, adaptive=True).train()(x)
    y.sum().backward()
    share = 1 / sizes.gather(1, labels).float()
    torch.testing.assert_close(x.grad, share[..., None].expand_as(x))


def test_threshold_is_part_of_the_checkpoint_of_adaptive_layers_alone():
    layer = TemporalClustering("cumulative", 4, adaptive=True).train()
    layer.labels(TWO)
    assert not TemporalClustering("cumulative", 4).state_dict()
    assert list(layer.state_dict()) == ["threshold"]
    other = TemporalClustering("cumulative", 4, adaptive=True).eval()
    other.load_state_dict(layer.state_dict())
    assert other.threshold == 5
    assert torch.equal(other.labels(TWO), layer.labels(TWO))


@pytest.mark.parametrize(
    ("options", "holes"),
    [
        ({}, False),
        ({"empty": "keep"}, True),
        ({"adaptive": True}, True),
    ],
)
def test_which_layers_leave_holes(options, holes):
    assert TemporalClustering("cumulative", 3, **options).may_be_empty == holes


def test_layer_says_that_it_is_adaptive():
    shown = repr(TemporalClustering("slope", 8, adaptive=True))
    assert shown == "TemporalClustering('slope', g=8, empty='split', adaptive=True)"


# ---- the network ----


def network(method="cumulative", **options):
    torch.manual_seed(0)
    clustering = TemporalClustering(method, 3, adaptive=True)
    return tsm_resnet(18, 5, width=8, in_channels=1, clustering=clustering, **options).double()


def videos(n=3, t=7, seed=0):
    """Moving noise, in the last clip more than in the first."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(n, t, 1, 32, 32, generator=generator, dtype=torch.float64).cumsum(1)
    return noise * torch.linspace(0.2, 1, n)[:, None, None, None, None] + noise[:, :1]


@each_method
@pytest.mark.parametrize("consensus", ["mean", "size"])
def test_network_gives_a_clip_alone_what_it_gives_in_a_batch(method, consensus):
    model, lengths = network(method, consensus=consensus), torch.tensor([7, 4, 6])
    model.train()(videos(), lengths).sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    assert model.clustering.threshold.isfinite()
    model.eval()
    with torch.no_grad():
        scores, labels = model(videos(seed=1), lengths, return_labels=True)
        assert labels.max(1).values.unique().numel() > 1
        for i, t in enumerate(lengths.tolist()):
            alone = model(videos(seed=1)[i : i + 1, :t])
            torch.testing.assert_close(alone[0], scores[i])


@each_method
def test_network_in_chunks_is_the_same(method):
    lengths, found = torch.tensor([7, 4, 6]), []
    for chunk in (None, 4):
        model = network(method, chunk=chunk, early_statistics="running", dropout=0.0).train()
        scores, labels = model(videos(), lengths, return_labels=True)
        scores.square().sum().backward()
        grad = [p.grad for p in model.parameters()]
        found.append((labels, model.clustering.threshold, scores, grad, model.eval()(videos())))
    for dense, chunked in zip(*found, strict=True):
        torch.testing.assert_close(chunked, dense)


def test_recipes_make_an_adaptive_network(tmp_path):
    place = {"scale": "smoke", "data": "embedded"}
    parameters = Network(**place, depth=18, width=8, method="slope", clusters=4)
    assert not build_network(parameters, 5, tmp_path).clustering.adaptive
    model = build_network(replace(parameters, adaptive=True), 5, tmp_path)
    assert model.clustering.adaptive
    assert model.clustering.g == 4
    assert "clustering.threshold" in model.state_dict()


# ---- bad input ----

NOT_SET = TemporalClustering("cumulative", 2, adaptive=True).eval()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: adaptive_counts(TWO, 0), "mean is 0"),
        (lambda: adaptive_counts(TWO, 2.5), r"mean is 2\.5"),
        (lambda: adaptive_counts(TWO, 2, method="kmeans"), "method is 'kmeans'"),
        (lambda: adaptive_counts(TWO[0], 2), r"dist is \(7,\)"),
        (lambda: adaptive_counts(-TWO, 2), "negative"),
        (lambda: adaptive_counts(TWO * float("nan"), 2, method="slope"), "NaN"),
        (lambda: adaptive_counts(TWO, 2, lengths=torch.tensor([8, 9])), r"1\.\.8"),
        (lambda: counts_at(TWO, -1.0), r"tau is -1\.0; .*at least 0"),
        (lambda: counts_at(TWO, float("nan")), "tau is nan"),
        (lambda: counts_at(TWO, torch.tensor(-1.0)), r"tau is -1\.0"),
        (lambda: threshold_of(TWO, torch.tensor([8, 9])), r"counts are \[8, 9\]; .*1 to 8"),
        (lambda: threshold_of(TWO, torch.tensor([0, 8])), "1 to 8"),
        (lambda: threshold_of(TWO, torch.tensor([3])), "each of 2 clips"),
        (lambda: NOT_SET.labels(TWO), "threshold is infinite; .*training mode first"),
        (lambda: NOT_SET(clips()), "threshold is infinite"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_input_says_what_was_wanted(call, message):
    with pytest.raises(ValueError, match=message):
        call()
