"""Chunks give the same results as all at once, in memory that does not grow with the clip."""

from copy import deepcopy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import lively_network
from shared import moving_clips as clips
from torch import nn

from fvlib.clustering import METHODS, TemporalClustering
from fvlib.cost import predicted_peak
from fvlib.models import tsm_resnet
from fvlib.models.batchnorm import BatchNorm, Moments, conv_bn
from fvlib.models.memory_efficient import chunk_that_fits, saved_activation_bytes
from fvlib.models.packing import TensorStream

NAMES = [name for name, method in METHODS.items() if method.needs != "activations"]


def network(method="cumulative", g=3, **options):
    clustering = None if method is None else TemporalClustering(method, g)
    return lively_network(**{"clustering": clustering, "early_statistics": "running", **options})


def step(model, x, lengths=None):
    """Loss, labels and gradients of a training step; the model is left as it was."""
    model = deepcopy(model)
    logits, labels = model(x, lengths, return_labels=True)
    loss = F.cross_entropy(logits, torch.arange(len(logits)) % 3)
    loss.backward()
    grads = {name: p.grad for name, p in model.named_parameters()}
    return loss.item(), labels, grads, model.state_dict()


def worst(grads, wanted):
    """The largest distance of a gradient from the wanted one, in shares of its norm."""
    assert grads.keys() == wanted.keys()
    return max(((grads[name] - one).norm() / one.norm()).item() for name, one in wanted.items())


def check_equal(model, x, lengths=None, *, chunk, tolerance=1e-10):
    model.chunk = None
    loss, labels, grads, state = step(model, x, lengths)
    model.chunk = chunk
    again, labels_again, grads_again, state_again = step(model, x, lengths)
    assert torch.equal(labels, labels_again)
    assert again == pytest.approx(loss, rel=1e-12)
    assert worst(grads_again, grads) < tolerance
    for name, value in state.items():  # running statistics move alike
        torch.testing.assert_close(state_again[name], value, rtol=1e-10, atol=1e-12)


# --- the same results -----------------------------------------------------------------------------


@pytest.mark.parametrize("method", NAMES)
@pytest.mark.parametrize("chunk", [1, 3, 4, 8, 100])
def test_labels_and_all_gradients_are_those_of_the_dense_step(method, chunk):
    check_equal(network(method), clips(2, 8), chunk=chunk)


@settings(max_examples=20, deadline=None)
@given(
    method=st.sampled_from(NAMES),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    g=st.integers(1, 6),
    chunk=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_clips_of_any_lengths_and_any_chunk(method, lengths, g, chunk, seed):
    t = max(lengths)
    model = network(method, g, seed=seed)
    x = clips(len(lengths), t, seed=seed, side=17)  # of layer4 is left more than one place
    given_lengths = torch.tensor(lengths)
    if len(set(lengths)) == 1 and t >= g:
        check_equal(model, x, chunk=chunk)
    check_equal(model, x, given_lengths, chunk=chunk)


@pytest.mark.parametrize("statistics", ["running", "detached"])
@pytest.mark.parametrize("depth", [18, 50])
def test_both_kinds_of_constant_statistics(statistics, depth):
    model = network(depth=depth, early_statistics=statistics)
    check_equal(model, clips(2, 7), torch.tensor([7, 4]), chunk=3)


@pytest.mark.parametrize("batchnorm", ["frozen", "partial"])
def test_frozen_layers_stay_frozen(batchnorm):
    model = network(batchnorm=batchnorm, early_statistics="detached")
    model.chunk = None
    *_, grads, state = step(model, clips(1, 7))
    model.chunk = 3
    *_, grads_again, state_again = step(model, clips(1, 7))
    assert grads_again["layer1.0.bn1.weight"] is grads["layer1.0.bn1.weight"] is None
    assert torch.equal(state_again["layer1.0.bn1.running_mean"], state["layer1.0.bn1.running_mean"])
    trained = {name: g for name, g in grads.items() if g is not None}
    assert worst({name: grads_again[name] for name in trained}, trained) < 1e-10


def test_in_eval_mode_nothing_differs_either():
    model = network().eval()
    check_equal(model, clips(2, 9), chunk=4)
    model.chunk = 4
    with torch.no_grad():
        together = model(clips(2, 9), torch.tensor([9, 5]))
        alone = torch.cat([model(clips(2, 9)[:1]), model(clips(2, 9)[1:, :5])])
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", NAMES)
def test_single_precision_where_no_sign_differs(method):
    model, x = network(method, dtype=torch.float32), clips(2, 24)
    with torch.no_grad():
        whole = model.features(x, upto="layer1")
        parts = [model.features(part[None], upto="layer1")[0] for part in TensorStream(x).parts(5)]
    flipped = ((whole > 0).flatten(0, 1) != (torch.cat(parts) > 0)).sum().item()
    print(f"{flipped} sign bits differ")
    model.chunk = None
    _, labels, wanted, _ = step(model, x)
    model.chunk = 5
    _, labels_again, grads, _ = step(model, x)
    if flipped == 0:
        assert torch.equal(labels, labels_again)
    if torch.equal(labels, labels_again):
        assert worst(grads, wanted) < 1e-5


def test_under_autocast_no_pass_leaves_weights_without_gradient_behind():
    model, x = network("uniform", dtype=torch.float32), clips(1, 12)
    found = {}
    for chunk in (None, 5):
        model.chunk = chunk
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            if chunk is not None:
                model(x)
            model(x, cluster=False).sum().backward()
        found[chunk] = {name: p.grad.clone() for name, p in model.named_parameters()}
    assert worst(found[5], found[None]) == 0


def test_under_autocast_the_gradient_is_as_near_to_the_exact_one():
    x, grads = clips(1, 12), []
    for chunk, autocast in ((None, False), (None, True), (5, True)):
        torch.manual_seed(0)
        clustering = TemporalClustering("uniform", 3)
        model = tsm_resnet(18, 3, width=8, clustering=clustering, chunk=chunk).eval()
        with torch.autocast("cpu", torch.bfloat16, autocast):
            y = model.features(x, upto="layer2")
        y.float().square().sum().backward()
        grads.append({name: p.grad for name, p in model.layer1.named_parameters()})
    exact, dense, chunked = grads
    assert worst(chunked, exact) < 1.5 * worst(dense, exact) < 0.1


def test_the_gradient_reaches_the_frames_too():
    model, x = network(), torch.rand(2, 8, 3, 16, 16, dtype=torch.float64)
    lengths, grads = torch.tensor([8, 5]), []
    for chunk in (None, 3):
        model.chunk, frames = chunk, x.clone().requires_grad_()
        model.eval()(frames, lengths)[:, 0].sum().backward()
        grads.append(frames.grad)
    torch.testing.assert_close(*grads, rtol=1e-10, atol=1e-14)
    assert grads[1][1, 5:].abs().max() == 0


def test_accumulated_steps_and_two_graphs_at_once():
    # Statistics of the batch are constants of each step, whatever step came in between.
    model = network(early_statistics="detached")
    found = []
    for chunk in (None, 3):
        again, total = deepcopy(model), 0
        again.chunk = chunk
        for seed in (1, 2):
            total = total + F.cross_entropy(again(clips(1, 7, seed=seed)), torch.tensor([seed]))
        total.backward()
        found.append({name: p.grad for name, p in again.named_parameters()})
    assert worst(*found[::-1]) < 1e-10


def test_weights_changed_before_the_backward_pass_are_noticed():
    model = network(chunk=3)
    loss = model(clips(1, 7)).sum()
    with torch.no_grad():
        model.conv1.weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


# --- streams --------------------------------------------------------------------------------------


class Made:
    """Clips that are made anew at each pass; counts how many frames it has given, and at once."""

    def __init__(self, x, lengths):
        self.x, self.lengths, self.given, self.most = x, lengths, 0, 0

    def parts(self, size):
        for part in TensorStream(self.x, self.lengths).parts(size):
            self.given += len(part)
            self.most = max(self.most, len(part))
            yield part.clone()


@pytest.mark.parametrize(("method", "passes"), [("cumulative", 3), ("uniform", 2)])
def test_a_stream_gives_what_its_frames_give(method, passes):
    x, lengths, model = clips(2, 9), torch.tensor([6, 9]), network(method, chunk=4)
    stream = Made(x, lengths)
    loss, labels, grads, _ = step(model, stream)
    wanted_loss, wanted_labels, wanted, _ = step(model, x, lengths)
    assert (loss, stream.given, stream.most) == (wanted_loss, passes * 15, 4)
    assert torch.equal(labels, wanted_labels)
    assert worst(grads, wanted) == 0
    model.chunk = None
    assert step(model, stream)[0] == pytest.approx(wanted_loss, rel=1e-12)


def test_frames_may_be_mapped_into_memory(tmp_path):
    x, model = clips(1, 9), network(chunk=4)
    np.save(tmp_path / "clip.npy", x.numpy())
    mapped = torch.from_numpy(np.load(tmp_path / "clip.npy", mmap_mode="c"))
    assert step(model, mapped)[0] == step(model, x)[0]


@given(lengths=st.lists(st.integers(1, 7), min_size=1, max_size=4), size=st.integers(1, 30))
def test_parts_are_the_frames_one_after_another(lengths, size):
    n, t = len(lengths), max(lengths)
    x = torch.arange(n * t).view(n, t, 1, 1, 1)
    parts = list(TensorStream(x, torch.tensor(lengths)).parts(size))
    assert [len(part) for part in parts[:-1]] == [size] * (len(parts) - 1)
    assert 1 <= len(parts[-1]) <= size
    wanted = [x[i, j] for i, length in enumerate(lengths) for j in range(length)]
    assert torch.equal(torch.cat(parts), torch.stack(wanted))


# --- statistics of BatchNorm ----------------------------------------------------------------------


@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_and_constant_statistics_are_one_convolution(stride):
    torch.manual_seed(0)
    norm, conv = BatchNorm(6).double(), nn.Conv2d(4, 6, 3, stride, padding=1, bias=False).double()
    nn.init.normal_(norm.running_mean)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    norm.statistics = "running"
    x = torch.randn(5, 4, 8, 8, dtype=torch.float64, requires_grad=True)
    sources = [x, conv.weight, norm.weight, norm.bias]
    found, wanted = conv_bn(conv, norm, x), norm(conv(x))
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    slope = torch.randn_like(wanted)
    grads = (torch.autograd.grad(y, sources, slope, retain_graph=True) for y in (found, wanted))
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)
    # What comes out of the convolution is not kept; new weights, scale and shift are.
    kept = [
        saved_activation_bytes(lambda f=f: f().square().sum(), nn.ModuleList([conv, norm]))
        for f in (lambda: conv_bn(conv, norm, x), lambda: norm(conv(x)))
    ]
    assert kept[1] - kept[0] == pytest.approx(wanted.nbytes, abs=8 * 6 * (4 * 9 + 4))


@pytest.mark.parametrize("statistics", ["batch", "detached"])
def test_statistics_of_the_batch_are_found_behind_the_convolution(statistics):
    torch.manual_seed(0)
    norm, conv = BatchNorm(6), nn.Conv2d(4, 6, 3, bias=False)
    norm.statistics = statistics
    called = []
    conv.register_forward_hook(lambda *_: called.append(conv))
    x = torch.randn(5, 4, 8, 8)
    again = deepcopy(norm)(conv(x))
    assert torch.equal(conv_bn(conv, norm, x), again)
    assert torch.equal(conv_bn(conv, norm.eval(), x), norm(conv(x)))
    assert len(called) == 4


def test_detached_statistics_are_those_of_the_batch_without_gradient():
    torch.manual_seed(0)
    norm, plain = BatchNorm(3).double(), nn.BatchNorm2d(3).double()
    norm.statistics = "detached"
    x = torch.randn(4, 3, 5, 5, dtype=torch.float64, requires_grad=True)
    y = norm(x)
    torch.testing.assert_close(y, plain(x))
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        torch.testing.assert_close(getattr(norm, name), getattr(plain, name))
    # A constant factor is all that a frame's gradient gets: other frames do not enter.
    (grad,) = torch.autograd.grad(y.square().sum(), x)
    scale = (x.var((0, 2, 3), correction=0) + norm.eps).rsqrt().detach().view(1, 3, 1, 1)
    torch.testing.assert_close(grad, 2 * y * scale)


@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_moments_of_parts_are_those_of_the_whole(sizes, seed):
    x = 5 + torch.randn(sum(sizes), 2, 3, 1, generator=torch.Generator().manual_seed(seed)).double()
    first, *others = map(Moments.of, x.split(sizes))
    for moments in others:
        first = first.merged(moments)
    torch.testing.assert_close(first.mean, x.mean((0, 2, 3)))
    torch.testing.assert_close(first.var, x.var((0, 2, 3), correction=0))
    assert first.count == x.numel() // 2


# --- what is refused ------------------------------------------------------------------------------


def test_statistics_of_a_chunk_are_refused():
    with pytest.raises(ValueError, match="set early_statistics to 'running'"):
        network(chunk=3, early_statistics="batch")(clips(1, 7))
    network(chunk=3, early_statistics="batch").eval()(clips(1, 7))


def test_a_shift_before_the_clustering_step_is_refused():
    with pytest.raises(ValueError, match="leave 1 out of shift_stages"):
        network(chunk=3, shift_stages=(1, 2, 3, 4))(clips(1, 7))


def test_labels_of_activations_are_refused():
    model = network("optimal")
    assert model(clips(1, 7), return_labels=True)[1].unique().tolist() == [0, 1, 2]
    model.chunk = 3
    with pytest.raises(ValueError, match="method 'optimal' needs the activations of all frames"):
        model(clips(1, 7))


def test_unknown_statistics_and_chunks_are_refused(unchecked):
    with pytest.raises(ValueError, match=r"'batch'.*'running'.*'detached'"):
        network(early_statistics="none")
    with pytest.raises(ValueError, match="chunk is 0; wanted a whole number"):
        network(chunk=0)
    with pytest.raises(ValueError, match="which has its own"):
        network()(Made(clips(1, 7), torch.tensor([7])), torch.tensor([7]))


# --- memory ---------------------------------------------------------------------------------------


def test_a_chunk_is_what_fits(monkeypatch):
    device = torch.device("cpu")
    chunks = [chunk_that_fits(100, device, budget) for budget in (50, 100, 950, 10**9)]
    assert chunks == [1, 1, 9, 128]
    monkeypatch.setattr("fvlib.models.memory_efficient.free_bytes", lambda device: 4000)
    assert chunk_that_fits(100, device) == 10


def test_an_automatic_chunk_leaves_no_trace_in_the_network():
    model = network(chunk="auto", memory=10**5, early_statistics="detached")
    before = deepcopy(model.state_dict())
    chunk = model.frames_at_once((3, 16, 16))
    assert 1 < chunk < 32
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert chunk == 10**5 // model.bytes_a_frame((3, 16, 16))
    loss, _, grads, _ = step(model, clips(2, 9))
    model.chunk = chunk
    again, _, wanted, _ = step(model, clips(2, 9))
    assert loss == again
    assert worst(grads, wanted) == 0


def test_what_is_kept_does_not_grow_with_the_clip():
    model = network(dtype=torch.float32)
    kept = {}
    for model.chunk in (None, 4):
        kept[model.chunk] = [
            saved_activation_bytes(lambda t=t: model(clips(1, t)).sum(), model) for t in (20, 40)
        ]
    assert kept[None][1] - kept[None][0] > 20 * 4 * 8 * 8 * 4  # of block 1's output alone
    assert kept[4][1] - kept[4][0] == 20 * 8  # a frame's cluster, one int64
    predicted = [predicted_peak(model, (1, t, 3, 16, 16)) for t in (20, 40)]
    assert predicted[0] == predicted[1]
