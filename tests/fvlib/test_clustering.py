"""The laws of clustering, against loops that anyone can check by eye."""

from fractions import Fraction
from functools import cache
from itertools import pairwise
from math import floor

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fvlib.clustering import (
    METHOD_NAMES,
    METHODS,
    TemporalClustering,
    aggregate,
    averages,
    cumulative_clusters,
    hamming_distances,
    labeling_of,
    optimal_clusters,
    slope_clusters,
    uniform_clusters,
)
from fvlib.clustering import distances as module_of_distances

WAYS = (*METHOD_NAMES, "keep")  # all methods, and the cumulative one with its empty clusters
law = settings(
    deadline=None,
    max_examples=40,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],  # a busy machine is no failure
)


def way(method):
    return labeling_of("cumulative", "keep") if method == "keep" else METHODS[method]


def seen_by(method, dist):
    """What a method's labels follow from: distances, or activations that are so far apart."""
    if way(method).needs != "activations" or dist.ndim != 2:
        return dist
    return torch.nn.functional.pad(dist.double().cumsum(1), (1, 0))[..., None]


def cluster(method, dist, g, lengths=None):
    return way(method).labels(seen_by(method, dist), g, lengths)


# ---- the slow and obvious versions, one clip at a time ----


def loop_hamming(x):
    return [
        sum(bool(a > 0) != bool(b > 0) for a, b in zip(p, q, strict=True))
        for p, q in pairwise(x.reshape(len(x), -1).tolist())
    ]


def loop_uniform(t, g):
    return [floor(Fraction(g * i, t)) for i in range(t)]


def loop_segments(dist, g):
    """The formula of the paper, empty segments and all."""
    total = sum(dist)
    if total == 0:
        return loop_uniform(len(dist) + 1, g)
    done = [sum(dist[:i]) for i in range(len(dist) + 1)]
    return [min(g - 1, floor(Fraction(g * c, total))) for c in done]


def loop_split(dist, g):
    segment, t = loop_segments(dist, g), len(dist) + 1
    starts = [0]
    for k in range(1, g):
        first = next(i for i in range(t) if segment[i] >= k)
        starts.append(min(max(first, starts[-1] + 1), t - g + k))
    return [sum(start <= i for start in starts) - 1 for i in range(t)]


def loop_slope(dist, g):
    ranked = sorted(range(len(dist)), key=lambda i: (-dist[i], i))
    cuts = ranked[: g - 1]
    return [sum(cut < i for cut in cuts) for i in range(len(dist) + 1)]


def loop_optimal(dist, g):
    """Of all ways to cut, by trying them: the least sum of squares, the earliest cuts."""
    x = [sum(dist[:i]) for i in range(len(dist) + 1)]

    def squares(first, last):
        part = x[first:last]
        return sum(a * a for a in part) - Fraction(sum(part) ** 2, len(part))

    @cache
    def best(first, g):
        if g == 1:
            return squares(first, len(x)), ()
        tries = [(squares(first, cut), cut) for cut in range(first + 1, len(x) - g + 2)]
        rests = [(cost + best(cut, g - 1)[0], (cut, *best(cut, g - 1)[1])) for cost, cut in tries]
        return min(rests)

    cuts = best(0, g)[1]
    return [sum(cut <= i for cut in cuts) for i in range(len(x))]


def loop_cluster(method, dist, g):
    g = min(g, len(dist) + 1)
    loops = {
        **{"cumulative": loop_split, "keep": loop_segments, "slope": loop_slope},
        "uniform": lambda dist, g: loop_uniform(len(dist) + 1, g),
        "optimal": loop_optimal,
    }
    return loops[method](dist, g)


def loop_mean(frames, labels, g):
    means = []
    for k in range(g):
        members = [frame for frame, label in zip(frames, labels, strict=True) if label == k]
        means.append(sum(members) / len(members) if members else torch.zeros_like(frames[0]))
    return torch.stack(means)


# ---- what hypothesis draws ----


@st.composite
def batches(draw, ragged=True):
    """Distances of a few clips, their lengths (or None) and g: one number, or one per clip."""
    n, t = draw(st.integers(1, 4)), draw(st.integers(1, 14))
    distance = st.one_of(st.integers(0, 3), st.integers(0, 10**6))
    rows = [draw(st.lists(distance, min_size=t - 1, max_size=t - 1)) for _ in range(n)]
    dist = torch.tensor(rows, dtype=torch.int64).reshape(n, t - 1)
    if not (ragged and draw(st.booleans())):
        return dist, draw(st.integers(1, t)), None
    lengths = torch.tensor([draw(st.integers(1, t)) for _ in range(n)])
    if draw(st.booleans()):
        return dist, torch.tensor([draw(st.integers(1, t)) for _ in range(n)]), lengths
    return dist, draw(st.integers(1, t + 2)), lengths


def clips(dist, g, lengths):
    """One clip at a time: its number, distances, length, and own g."""
    for i, row in enumerate(dist.tolist()):
        t = dist.shape[1] + 1 if lengths is None else int(lengths[i])
        yield i, row[: t - 1], t, int(g if isinstance(g, int) else g[i])


# ---- distances ----


@law
@given(st.data())
def test_hamming_equals_the_loop(data):
    n, t = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 5))
    feature = data.draw(st.lists(st.integers(0, 4), max_size=3))
    dtype = data.draw(st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.int32]))
    torch.manual_seed(data.draw(st.integers(0, 99)))
    x = torch.randint(-2, 3, (n, t, *feature)).to(dtype)
    expected = torch.tensor([loop_hamming(clip) for clip in x], dtype=torch.int64)
    torch.testing.assert_close(hamming_distances(x), expected.reshape(n, t - 1), rtol=0, atol=0)


def simple_hamming(x):
    bits = (x > 0).flatten(2)
    return (bits[:, 1:] != bits[:, :-1]).sum(2)


@pytest.mark.parametrize("features", [1, 7, 8, 9, 2039, 2040, 2041, 100_003])
def test_hamming_counts_every_feature_of_any_number(features):
    x = torch.randn(2, 4, features, generator=torch.Generator().manual_seed(0))
    assert torch.equal(hamming_distances(x), simple_hamming(x))


def test_hamming_does_not_overflow_when_every_bit_differs():
    x = torch.ones(1, 3, 300_000)
    x[:, 1] = -1
    assert hamming_distances(x).tolist() == [[300_000, 300_000]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.uint8, torch.int64, torch.bool])
def test_hamming_takes_any_dtype(dtype):
    x = (torch.arange(2 * 3 * 40).reshape(2, 3, 40) % 7 // 3).to(dtype)
    assert torch.equal(hamming_distances(x), simple_hamming(x))


def test_hamming_takes_any_strides():
    x = torch.randn(2, 6, 5, 4, 3, generator=torch.Generator().manual_seed(1))
    expected = simple_hamming(x)
    last = x.flatten(0, 1).to(memory_format=torch.channels_last).unflatten(0, (2, 6))
    assert torch.equal(hamming_distances(last), expected)
    assert torch.equal(hamming_distances(x.transpose(0, 1).contiguous().transpose(0, 1)), expected)
    assert torch.equal(hamming_distances(x[:, ::2]), simple_hamming(x[:, ::2]))
    assert torch.equal(
        hamming_distances(x[:, :1].expand(-1, 4, -1, -1, -1)), torch.zeros(2, 3).long()
    )


def test_hamming_of_zeros_infinities_and_padding():
    inf = float("inf")
    x = torch.tensor([[[-0.0, 1.0, -inf, inf], [0.0, -1.0, inf, inf], [1.0, 1.0, 1.0, -inf]]])
    assert hamming_distances(x).tolist() == [[2, 3]]
    assert hamming_distances(x, torch.tensor([2])).tolist() == [[2, 0]]
    assert hamming_distances(x, torch.tensor([1])).tolist() == [[0, 0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("relu", [True, False])
def test_hamming_of_frames_in_many_pieces(dtype, relu):
    # so many that runs begin within clips, and so wide that a piece holds few frames
    x = torch.randn(5, 9, 100_003, generator=torch.Generator().manual_seed(4)).to(dtype)
    x = x.relu() if relu else x
    assert torch.equal(hamming_distances(x), simple_hamming(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int32, torch.bool])
@pytest.mark.parametrize("few", [1, 3, 1000])
def test_how_many_frames_are_counted_at_once_changes_nothing(dtype, few, monkeypatch):
    x = torch.randn(3, 7, 999, generator=torch.Generator().manual_seed(1)).to(dtype)
    monkeypatch.setattr(module_of_distances, "values_at_once", lambda device: few * 999)
    assert torch.equal(hamming_distances(x), simple_hamming(x))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_threads_change_nothing(dtype):
    x = torch.randn(3, 7, 99_999, generator=torch.Generator().manual_seed(1)).to(dtype)
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            found.append((hamming_distances(x), *TemporalClustering("cumulative", 3)(x)))
    finally:
        torch.set_num_threads(threads)
    for got in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(got, found[0], strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_hamming_of_the_smallest_numbers(dtype):
    tiny = torch.finfo(dtype).smallest_normal / 4  # subnormal
    rows = [[0.0, -0.0, tiny, -tiny], [tiny, -tiny, -0.0, 0.0]]
    x = torch.tensor([rows], dtype=dtype)
    assert hamming_distances(x).tolist() == [[2]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("others", [[1.0, 2.0], [-1.0, 1.0], [-0.0, float("inf")]])
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("place", [0, 700, 1499])
@pytest.mark.usefixtures("unchecked")
def test_hamming_finds_nan_anywhere(dtype, others, sign, place):
    x = torch.tensor(others).repeat(2250).reshape(1, 3, 1500).to(dtype)
    hamming_distances(x)
    x[0, 2, place] = torch.copysign(torch.tensor(float("nan")), torch.tensor(sign))
    with pytest.raises(ValueError, match="NaN in 1 of 4500 places"):
        hamming_distances(x)


def test_infinities_of_both_signs_are_numbers():
    x = torch.full((1, 3, 100), float("inf"))
    x[0, 1:] = -float("inf")
    for dtype in (torch.float32, torch.bfloat16):
        assert hamming_distances(x.to(dtype)).tolist() == [[100, 0]]


def test_hamming_gives_no_gradient():
    assert not hamming_distances(torch.randn(1, 3, 5, requires_grad=True)).requires_grad


# ---- labels, by hand ----

FIG3 = torch.tensor([[2, 3, 2, 8, 2, 10, 9, 2, 3]])  # distances that make what Fig. 3 shows


def labels_of(*sizes):
    return [[k for k, size in enumerate(sizes) for _ in range(size)]]


@pytest.mark.parametrize("empty", ["split", "keep"])
def test_figure_3_cumulative(empty):
    # C = 0 2 5 7 | 15 17 27 | 36 38 41, cut at 41/3 = 13.7 and 27.3
    assert cumulative_clusters(FIG3, 3, empty=empty).tolist() == labels_of(4, 3, 3)


def test_figure_3_slope():
    assert slope_clusters(FIG3, 3).tolist() == labels_of(6, 1, 3)


def test_one_jump():
    dist = torch.zeros(1, 31, dtype=torch.int64)
    dist[0, 15] = 7
    keep = cumulative_clusters(dist, 8, empty="keep")
    assert keep.tolist() == [[0] * 16 + [7] * 16]
    assert cumulative_clusters(dist, 8).tolist() == labels_of(16, 1, 1, 1, 1, 1, 1, 10)


def test_jump_at_the_end_is_limited_by_the_last_frame():
    dist = torch.tensor([[0, 0, 0, 0, 5]])
    assert cumulative_clusters(dist, 3, empty="keep").tolist() == [[0, 0, 0, 0, 0, 2]]
    assert cumulative_clusters(dist, 3).tolist() == [[0, 0, 0, 0, 1, 2]]


@pytest.mark.parametrize("empty", ["split", "keep"])
def test_static_clip_is_split_uniformly(empty):
    dist = torch.zeros(2, 6, dtype=torch.int64)
    dist[1] = 1  # a neighbour that is not static changes nothing
    assert cumulative_clusters(dist, 3, empty=empty)[:1].tolist() == labels_of(3, 2, 2)


def test_slope_ties_go_to_the_earlier_index():
    dist = torch.tensor([[1, 5, 5, 5, 1], [0, 0, 0, 0, 0]])
    assert slope_clusters(dist, 3).tolist() == [[0, 0, 1, 2, 2, 2], [0, 1, 2, 2, 2, 2]]


def test_uniform_from_a_number_of_frames():
    assert uniform_clusters(7, 3).tolist() == labels_of(3, 2, 2)
    assert uniform_clusters(4, torch.tensor([1, 2, 4])).tolist() == [
        [0, 0, 0, 0],
        [0, 0, 1, 1],
        [0, 1, 2, 3],
    ]
    assert uniform_clusters(4, 3, lengths=torch.tensor([4, 2])).tolist() == [
        [0, 0, 1, 2],
        [0, 1, -1, -1],
    ]


def test_one_frame_and_one_cluster():
    for method in WAYS:
        assert cluster(method, torch.zeros(2, 0, dtype=torch.int64), 1).tolist() == [[0], [0]]
        assert cluster(method, FIG3, 1).tolist() == [[0] * 10]


def test_float_distances():
    assert torch.equal(cumulative_clusters(FIG3.float(), 3), cumulative_clusters(FIG3, 3))
    # float64: in float32 the small distances would vanish beside the large one
    dist = torch.tensor([[1e9, 1.0, 1e9]], dtype=torch.float64)
    assert cumulative_clusters(dist, 2).tolist() == [[0, 0, 1, 1]]
    assert slope_clusters(torch.tensor([[0.5, 0.25, 0.75]]), 2).tolist() == [[0, 0, 0, 1]]


def within(x, labels):
    """The sum of squared distances of each clip's frames to the mean of their cluster."""
    y, _ = aggregate(x, labels, int(labels.max()) + 1)
    means = torch.stack([clip[label] for clip, label in zip(y, labels, strict=True)])
    return (x - means).square().flatten(1).sum(1)


def test_optimal_by_hand():
    x = torch.tensor([[0.0, 1.0, 10.0, 11.0, 20.0], [3.0, 3.0, 3.0, 3.0, 3.0]])
    assert optimal_clusters(x, 3).tolist() == [[0, 0, 1, 1, 2], [0, 1, 2, 2, 2]]
    even = torch.tensor([[0.0, 1.0, 2.0, 3.0]])  # of 1, 2 and 3 steps the first alone, or 2 and 2
    assert optimal_clusters(even, 2).tolist() == [[0, 0, 1, 1]]
    assert optimal_clusters(even, 3).tolist() == [[0, 1, 2, 2]]
    several = optimal_clusters(x, torch.tensor([1, 2]), lengths=torch.tensor([3, 2]))
    assert several.tolist() == [[0, 0, 0, -1, -1], [0, 1, -1, -1, -1]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_other_method_has_clusters_as_close_to_their_mean(dtype):
    generator = torch.Generator().manual_seed(2)
    steps = torch.randn(4, 32, 5000, generator=generator) * torch.rand(
        4, 32, 1, generator=generator
    )
    x = steps.cumsum(1).to(dtype)
    dist = hamming_distances(x)
    least = within(x.double(), optimal_clusters(x, 8))
    for labels in (METHODS[name].labels(dist, 8) for name in METHOD_NAMES if name != "optimal"):
        assert (least < within(x.double(), labels)).all()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(optimal_clusters(x, 8), optimal_clusters(x.double(), 8))


def test_optimal_sees_nothing_beyond_a_clip():
    x, lengths = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0)), [6, 4]
    other = x.clone()
    other[1, 4:] = float("nan")
    lengths = torch.tensor(lengths)
    assert torch.equal(
        optimal_clusters(other, 3, lengths=lengths), optimal_clusters(x, 3, lengths=lengths)
    )


# ---- labels, by law ----


@pytest.mark.parametrize("method", WAYS)
@law
@given(batches())
def test_labels_equal_the_loop(method, batch):
    dist, g, lengths = batch
    dist = dist % 50 if method == "optimal" else dist  # larger sums of squares are not exact
    labels = cluster(method, dist, g, lengths).tolist()
    for i, row, t, own in clips(dist, g, lengths):
        assert labels[i][:t] == loop_cluster(method, row, own)
        assert set(labels[i][t:]) <= {-1}


@pytest.mark.parametrize("method", WAYS)
@law
@given(batches())
def test_labels_ascend_from_zero_over_every_frame(method, batch):
    dist, g, lengths = batch
    labels = cluster(method, dist, g, lengths)
    for i, _, t, own in clips(dist, g, lengths):
        clip = labels[i, :t]
        assert clip[0] == 0
        assert (clip.diff() >= 0).all()
        assert clip[-1] < min(own, t)
        if not way(method).may_be_empty:  # exactly so many clusters, none of them empty
            assert clip.unique().tolist() == list(range(min(own, t)))


@pytest.mark.parametrize("method", WAYS)
@law
@given(batches())
def test_clips_do_not_influence_each_other(method, batch):
    dist, g, lengths = batch
    labels = cluster(method, dist, g, lengths)
    for i, row, t, own in clips(dist, g, lengths):
        alone = torch.tensor([row], dtype=torch.int64).reshape(1, t - 1)
        assert cluster(method, alone, min(own, t)).tolist() == labels[i : i + 1, :t].tolist()


@pytest.mark.parametrize("method", METHOD_NAMES)
@law
@given(batches(ragged=False))
def test_as_many_clusters_as_frames_is_the_identity(method, batch):
    dist, _, _ = batch
    t = dist.shape[1] + 1
    assert cluster(method, dist, t).tolist() == [list(range(t))] * len(dist)


# ---- means ----


@st.composite
def labelled(draw):
    n, t, g = draw(st.integers(1, 3)), draw(st.integers(1, 6)), draw(st.integers(1, 5))
    label = st.integers(-1, g - 1)
    rows = [draw(st.lists(label, min_size=t, max_size=t)) for _ in range(n)]
    feature = draw(st.lists(st.integers(1, 3), max_size=3))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    x = torch.randn(n, t, *feature, generator=generator, dtype=torch.float64)
    return x, torch.tensor(rows), g


@law
@given(labelled())
def test_means_sizes_and_gradients_equal_the_loop(case):
    x, labels, g = case
    x.requires_grad_()
    y, sizes = aggregate(x, labels, g)
    rows = labels.tolist()
    assert sizes.tolist() == [[row.count(k) for k in range(g)] for row in rows]
    expected = torch.stack([loop_mean(clip, row, g) for clip, row in zip(x, rows, strict=True)])
    torch.testing.assert_close(y, expected)
    upstream = torch.randn_like(y)
    (gradient,) = torch.autograd.grad(y, x, upstream)
    for i, row in enumerate(rows):
        for j, label in enumerate(row):
            share = upstream[i, label] / row.count(label) if label >= 0 else 0 * upstream[i, 0]
            torch.testing.assert_close(gradient[i, j], share)


@pytest.mark.parametrize("method", WAYS)
@law
@given(batches())
def test_weighted_mean_of_the_clusters_is_the_mean_of_the_frames(method, batch):
    dist, g, lengths = batch
    labels = cluster(method, dist, g, lengths)
    n, t = labels.shape
    x = torch.randn(n, t, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(t))
    y, sizes = aggregate(x, labels, g if isinstance(g, int) else int(g.max()))
    for i, _, frames, _ in clips(dist, g, lengths):
        assert sizes[i].sum() == frames
        weighted = (sizes[i, :, None] * y[i]).sum(0) / frames
        torch.testing.assert_close(weighted, x[i, :frames].mean(0))


def test_means_by_hand():
    x = torch.tensor([[1.0, 3.0, 10.0, 99.0]])
    y, sizes = aggregate(x, torch.tensor([[0, 0, 2, -1]]), 4)
    assert y.tolist() == [[2.0, 0.0, 10.0, 0.0]]
    assert sizes.tolist() == [[2, 0, 1, 0]]


def test_gradcheck():
    x = torch.randn(2, 5, 2, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[0, 0, 1, 3, 3], [2, 0, 2, -1, 1]])
    assert torch.autograd.gradcheck(lambda x: aggregate(x, labels, 4)[0], x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_a_cluster_of_one_frame_is_that_frame_exactly(dtype):
    x = torch.randn(2, 5, 3, 4, 4).to(dtype)
    y, sizes = aggregate(x, uniform_clusters(5, torch.tensor([5, 5])), 5)
    assert torch.equal(y, x)
    assert y.dtype == dtype
    assert sizes.tolist() == [[1] * 5] * 2


WIDE = (5, 64, 64)  # features of large frames, whose clusters are read as runs


def wide_case(dtype=torch.float64):
    x = torch.randn(2, 6, *WIDE, generator=torch.Generator().manual_seed(7)).to(dtype)
    return x.requires_grad_(), torch.tensor([[0, 0, 1, 3, 3, 3], [0, 1, 1, 2, -1, -1]])


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_large_frames_are_averaged_as_small_ones(dtype, last):
    x, labels = wide_case(dtype)
    used = (x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)) if last else x
    with torch.autocast("cpu", torch.bfloat16):
        y, sizes = aggregate(used, labels, 4)
    rows = labels.tolist()
    expected = torch.stack([loop_mean(c, row, 4) for c, row in zip(x.double(), rows, strict=True)])
    torch.testing.assert_close(y, expected.to(dtype))
    assert sizes.tolist() == [[2, 1, 0, 3], [1, 2, 1, 0]]
    upstream = torch.randn_like(y)
    (gradient,) = torch.autograd.grad(y, x, upstream)
    share = torch.stack(
        [
            torch.stack([u[k] / row.count(k) if k >= 0 else torch.zeros_like(u[0]) for k in row])
            for u, row in zip(upstream, rows, strict=True)
        ]
    )
    torch.testing.assert_close(gradient, share)


def test_large_frames_in_any_order_of_labels():
    x, labels = wide_case()
    order = torch.tensor([5, 0, 3, 1, 4, 2])
    shuffled, _ = aggregate(x[:, order], labels[:, order], 4)
    torch.testing.assert_close(shuffled, aggregate(x, labels, 4)[0])


def test_infinity_in_a_large_frame_stays_in_its_cluster():
    x, labels = wide_case()
    with torch.no_grad():
        x[0, 2] = float("inf")
        x[1, 5] = float("nan")  # in no cluster
        y, _ = aggregate(x, labels, 4)
    assert y[0, 1].isinf().all()
    assert y[0, [0, 2, 3]].isfinite().all()
    assert y[1].isfinite().all()


def test_large_frames_of_clusters_of_one_are_those_frames():
    x, _ = wide_case(torch.float32)
    assert torch.equal(aggregate(x, uniform_clusters(6, torch.tensor([6, 6])), 6)[0], x)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_means_of_16_bits_are_the_same_in_a_small_batch_and_in_a_large_one(dtype, monkeypatch):
    x, labels = wide_case(dtype)
    with torch.no_grad():
        small = aggregate(x, labels, 4)[0]
        monkeypatch.setattr(averages, "values_at_once", lambda device: 1)
        assert torch.equal(aggregate(x, labels, 4)[0], small)
        shuffled = labels[:, [3, 1, 0, 2, 5, 4]]
        large = aggregate(x, shuffled, 4)[0]
    expected = [loop_mean(c, row, 4) for c, row in zip(x.double(), shuffled.tolist(), strict=True)]
    torch.testing.assert_close(large, torch.stack(expected).to(dtype))


def test_bfloat16_is_summed_in_float32():
    x = torch.full((1, 512, 6), 1.0).bfloat16()  # in bfloat16, 256 + 1 = 256
    x[0, ::2] = 3.0
    assert torch.equal(
        aggregate(x, torch.zeros(1, 512).long(), 1)[0], torch.full((1, 1, 6), 2.0).bfloat16()
    )


def test_bfloat16_is_rounded_as_torch_does():
    """Means of two numbers next to each other lie in the middle: of both the even one is wanted."""
    word = torch.arange(-(2**15), 2**15 - 1).short()
    x = torch.stack([word, word + 1]).view(torch.bfloat16)[None]
    y, _ = aggregate(x, torch.zeros(1, 2).long(), 1)
    wanted = (x[:, :1].float() + x[:, 1:].float()) / 2
    torch.testing.assert_close(y, wanted.bfloat16(), rtol=0, atol=0, equal_nan=True)


def test_autocast_changes_nothing():
    x = torch.randn(2, 6, 3, 4, generator=torch.Generator().manual_seed(0))
    layer = TemporalClustering("cumulative", 3)
    expected = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        for got, wanted in zip(layer(x), expected, strict=True):
            assert torch.equal(got, wanted)


def test_channels_last_stays_channels_last():
    x = torch.randn(2, 6, 5, 4, 3)
    last = x.flatten(0, 1).to(memory_format=torch.channels_last).unflatten(0, (2, 6))
    labels = uniform_clusters(6, torch.tensor([3, 3]))
    y, _ = aggregate(last, labels, 3)
    assert torch.equal(y, aggregate(x, labels, 3)[0])
    assert y.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)


# ---- the layer ----


@pytest.mark.parametrize("method", METHOD_NAMES)
@pytest.mark.parametrize("lengths", [None, torch.tensor([9, 2, 5])])
def test_layer_is_the_three_functions(method, lengths):
    x = torch.randn(3, 9, 4, 5, generator=torch.Generator().manual_seed(3))
    y, labels, sizes = TemporalClustering(method, 4)(x, lengths)
    seen = x if way(method).needs == "activations" else hamming_distances(x, lengths)
    assert torch.equal(labels, way(method).labels(seen, 4, lengths))
    expected_y, expected_sizes = aggregate(x, labels, 4)
    assert torch.equal(y, expected_y)
    assert torch.equal(sizes, expected_sizes)


def test_layer_keeps_empty_clusters_when_told():
    x = torch.tensor([[[-1.0], [-2.0], [1.0], [3.0]]])
    y, labels, sizes = TemporalClustering("cumulative", 3, empty="keep")(x)
    assert labels.tolist() == [[0, 0, 2, 2]]
    assert sizes.tolist() == [[2, 0, 2]]
    assert y.tolist() == [[[-1.5], [0.0], [2.0]]]


def test_layer_ignores_what_lies_beyond_a_clip():
    x = torch.randn(2, 8, 6, generator=torch.Generator().manual_seed(5))
    lengths = torch.tensor([8, 5])
    other = x.clone()
    other[1, 5:] = 1e9
    for got, wanted in zip(
        TemporalClustering("slope", 3)(other, lengths),
        TemporalClustering("slope", 3)(x, lengths),
        strict=True,
    ):
        assert torch.equal(got, wanted)


def test_layer_passes_the_gradient_to_the_frames():
    x = torch.randn(1, 6, 4, requires_grad=True)
    y, labels, sizes = TemporalClustering("uniform", 2)(x)
    y.sum().backward()
    assert not labels.requires_grad
    assert not sizes.requires_grad
    torch.testing.assert_close(x.grad, torch.full((1, 6, 4), 1 / 3))


def test_layer_says_what_it_is():
    shown = repr(TemporalClustering("cumulative", 8, empty="keep"))
    assert shown == "TemporalClustering('cumulative', g=8, empty='keep')"
    assert not TemporalClustering("slope", 8).state_dict()


# ---- bad input ----

DIST = torch.ones(2, 4, dtype=torch.int64)
NAN = torch.tensor([[[1.0], [float("nan")]]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hamming_distances(torch.zeros(2, 0, 3)), r"x is \(2, 0, 3\); .*t >= 1"),
        (lambda: hamming_distances(torch.zeros(3)), r"x is \(3,\); \(n, t"),
        (lambda: hamming_distances(NAN), "NaN in 1 of 2 places"),
        (lambda: hamming_distances(NAN.half()), "NaN in 1 of 2 places"),
        (lambda: hamming_distances(torch.zeros(2, 4, 3), torch.tensor([4])), r"int64 \(2,\)"),
        (lambda: hamming_distances(torch.zeros(2, 4, 3), torch.tensor([4, 5])), r"1\.\.4"),
        (lambda: hamming_distances(torch.zeros(2, 4, 3), torch.tensor([0, 4])), r"from 0 to 4"),
        (lambda: TemporalClustering("cumulative", 3)(NAN), "NaN"),
        (lambda: TemporalClustering("uniform", 3)(NAN), "g is 3 for clips of t = 2"),
        (
            lambda: TemporalClustering("kmeans", 3),
            "method is 'kmeans'; choose one of 'cumulative', .*al'",
        ),
        (lambda: TemporalClustering(None, 3), "method is None; choose one of"),
        (lambda: TemporalClustering("slope", 3, empty="keep"), "'keep' for method 'slope'; it"),
        (lambda: TemporalClustering("slope", True), "g is True"),
        (lambda: TemporalClustering("optimal", 3, adaptive=True), "cuts every clip into g"),
        (lambda: optimal_clusters(NAN, 1), "x has infinite or NaN values"),
        (lambda: optimal_clusters(NAN.long(), 1), "x is torch.int64"),
        (lambda: TemporalClustering("slope", 3, empty="drop"), "empty is 'drop'"),
        (lambda: TemporalClustering("slope", 0), "g is 0"),
        (lambda: cumulative_clusters(DIST, 2, empty="drop"), "empty is 'drop'"),
        (lambda: uniform_clusters(0, 1), "t is 0"),
        (lambda: aggregate(torch.zeros(2, 5), torch.zeros(2, 5).long(), 0), "g is 0"),
        (lambda: aggregate(torch.zeros(2, 5), torch.zeros(2, 4).long(), 2), r"\(2, 5\)"),
        (lambda: aggregate(torch.zeros(2, 5), torch.full((2, 5), 2), 2), "run from 2 to 2"),
        (lambda: aggregate(torch.zeros(2, 5), torch.full((2, 5), -2), 2), "run from -2 to -2"),
        (lambda: aggregate(torch.zeros(2, 5).long(), torch.zeros(2, 5).long(), 2), "int64; float"),
        (lambda: aggregate(torch.zeros(2, 5), torch.zeros(2, 5), 2), "labels are torch.float32"),
        (lambda: aggregate(torch.zeros(2, 0), torch.zeros(2, 0).long(), 2), "t >= 1"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_input_says_what_was_wanted(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("method", WAYS)
@pytest.mark.parametrize(
    ("dist", "g", "lengths", "message"),
    [
        (DIST, 6, None, "g is 6 for clips of t = 5 frames; at most t"),
        (DIST, 0, None, "g is 0"),
        (DIST, torch.tensor([1, 0]), None, "at least 1"),
        (DIST, 2.5, None, "g is 2.5"),
        (DIST, torch.tensor([1, 2, 3]), None, "each of 2 clips"),
        (DIST, 2, torch.tensor([5.0, 5.0]), r"float32 \(2,\); int64"),
        (DIST[0], 2, None, r"dist is \(4,\); \(n, t-1\)|x is torch.int64; \(n, t"),
        (DIST, 2, torch.tensor([5, 6]), r"1\.\.5"),
        (DIST, 2, torch.tensor([0, 5]), r"1\.\.5"),
    ],
)
def test_bad_counts(method, dist, g, lengths, message):
    with pytest.raises(ValueError, match=message):
        cluster(method, dist, g, lengths)


@pytest.mark.parametrize("method", ["cumulative", "keep", "slope"])
@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_bad_distances(method, bad):
    dist = torch.ones(1, 4)
    dist[0, 2] = bad
    with pytest.raises(ValueError, match="negative, infinite or NaN"):
        cluster(method, dist, 2)
    # beyond the clip it does not matter
    assert (
        cluster(method, dist, 2, torch.tensor([3])).tolist()
        == cluster(method, torch.ones(1, 4), 2, torch.tensor([3])).tolist()
    )
