"""Less is kept for the backward pass, and the gradient is what it should be."""

from copy import deepcopy
from fractions import Fraction
from functools import partial
from itertools import chain, combinations, product

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import lively_network, moving_clips
from torch import nn

from fvlib.clustering import TemporalClustering
from fvlib.datasets import InMemory
from fvlib.models.memory_efficient import saved_activation_bytes
from fvlib.models.packing import Frames
from fvlib.training import Recipe, train
from lab.systems import memory_efficient as kept
from lab.systems.memory_efficient import CheckpointedResNet, StochasticBackpropResNet, choose

network = lively_network
clips = partial(moving_clips, side=9)


def detached(model):
    """The plain network with the statistics that stochastic backpropagation has."""
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.statistics = "detached"
    return model


def step(model, x, lengths=None):
    """Loss, gradients and state after a training step; the model is left as it was."""
    model = deepcopy(model)
    torch.manual_seed(5)
    logits = model(x, lengths)
    loss = F.cross_entropy(logits.float(), torch.arange(len(logits)) % 3)
    loss.backward()
    return loss.item(), {name: p.grad for name, p in model.named_parameters()}, model.state_dict()


def worst(grads, wanted):
    """The largest distance of a gradient from the wanted one, in shares of its norm."""
    assert grads.keys() == wanted.keys()
    return max(((grads[name] - one).norm() / one.norm()).item() for name, one in wanted.items())


def check_equal(model, wanted, x, lengths=None, tolerance=1e-10):
    model.load_state_dict(wanted.state_dict())
    loss, grads, state = step(model, x, lengths)
    wanted_loss, wanted_grads, wanted_state = step(wanted, x, lengths)
    assert loss == pytest.approx(wanted_loss, rel=1e-12)
    assert worst(grads, wanted_grads) <= tolerance
    assert state.keys() == wanted_state.keys()
    for name, value in wanted_state.items():  # running statistics move alike, and once
        assert torch.equal(state[name], value), name


# --- checkpointing: everything equal, bit for bit -------------------------------------------------


@pytest.mark.parametrize(
    ("method", "depth"), [(None, 18), ("cumulative", 18), ("uniform", 18), ("slope", 50)]
)
@pytest.mark.parametrize("lengths", [None, (5, 3)])
def test_a_checkpointed_network_is_the_plain_one_bit_for_bit(method, depth, lengths):
    options = {"clustering": method and TemporalClustering(method, 3), "depth": depth}
    lengths = None if lengths is None else torch.tensor(lengths)
    plain = network(**options)
    check_equal(network(CheckpointedResNet, **options), plain, clips(2, 5), lengths, tolerance=0)


@pytest.mark.parametrize("batchnorm", ["trained", "partial", "frozen"])
@pytest.mark.parametrize("statistics", ["batch", "running", "detached"])
def test_checkpointing_with_all_kinds_of_statistics(batchnorm, statistics):
    options = {"batchnorm": batchnorm, "early_statistics": statistics, "dropout": 0.5}
    plain, again = network(**options), network(CheckpointedResNet, **options)
    _, grads, state = step(again, clips(1, 4))
    _, wanted, wanted_state = step(plain, clips(1, 4))
    for name, grad in wanted.items():
        assert grads[name] is None if grad is None else torch.equal(grads[name], grad)
    assert all(torch.equal(state[name], value) for name, value in wanted_state.items())


@pytest.mark.parametrize("statistics", ["running", "detached"])
def test_checkpointing_of_chunks(statistics):
    options = {"clustering": TemporalClustering("uniform", 3), "early_statistics": statistics}
    options |= {"chunk": 4, "width": 4}
    again = network(CheckpointedResNet, **options)
    check_equal(again, network(**options), clips(2, 7), tolerance=1e-12)


@pytest.mark.parametrize("kind", [CheckpointedResNet, StochasticBackpropResNet])
def test_a_second_backward_pass_and_a_change_of_mode_in_between(kind):
    own = {"share": 1.0} if kind is StochasticBackpropResNet else {}
    again, plain = network(kind, **own), network()
    plain = detached(plain) if own else plain
    found = []
    for model in (again, plain):
        losses = [model(clips(1, 4, seed=seed)).square().sum() for seed in (1, 2)]
        model.eval()
        losses[0].backward(retain_graph=True)
        losses[0].backward()
        losses[1].backward()
        found.append({name: p.grad for name, p in model.named_parameters()})
        found.append(model.state_dict())
    assert worst(found[0], found[2]) < 1e-10
    assert all(torch.equal(found[1][name], value) for name, value in found[3].items())


# --- stochastic backpropagation: the gradient -----------------------------------------------------


def stochastic(share=1.0, **options):
    return network(StochasticBackpropResNet, share=share, **options)


@pytest.mark.parametrize(("depth", "lengths"), [(18, None), (18, (5, 3)), (50, (5, 3))])
@pytest.mark.parametrize("training", [True, False])
def test_a_share_of_all_frames_is_the_exact_gradient(depth, training, lengths):
    lengths = None if lengths is None else torch.tensor(lengths)
    options = {"depth": depth, "shift_stages": (1, 2, 3, 4)}
    plain = detached(network(**options)).train(training)
    check_equal(stochastic(**options).train(training), plain, clips(2, 5), lengths)


def test_running_statistics_and_frozen_layers():
    plain = network(early_statistics="running", batchnorm="partial")
    for norm in plain.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.statistics = "running"
    model = stochastic(early_statistics="running", batchnorm="partial")
    _, grads, _ = step(model, clips(2, 4))
    _, wanted, _ = step(plain, clips(2, 4))
    assert grads["layer1.0.bn1.weight"] is wanted["layer1.0.bn1.weight"] is None
    trained = {name: grad for name, grad in wanted.items() if grad is not None}
    assert worst({name: grads[name] for name in trained}, trained) < 1e-10


def test_results_and_running_statistics_are_those_of_all_frames_for_any_share():
    plain, model = detached(network()), stochastic(0.25)
    loss, _, state = step(model, clips(2, 8))
    wanted, _, wanted_state = step(plain, clips(2, 8))
    assert loss == wanted
    assert all(torch.equal(state[name], value) for name, value in wanted_state.items())


def subsets(lengths, share):
    """All choices of ceil(share * length) frames in each clip, as places in the fold."""
    first, each = 0, []
    for length in lengths:
        count = -(-length * share.numerator // share.denominator)
        each.append([[first + i for i in one] for one in combinations(range(length), count)])
        first += length
    return [torch.tensor([*chain(*choice)]) for choice in product(*each)]


@pytest.mark.parametrize(
    ("lengths", "choices", "training"), [((4,), 6, False), ((4,), 6, True), ((3, 2), 6, True)]
)
def test_without_shift_the_mean_over_all_choices_is_the_exact_gradient(
    monkeypatch, lengths, choices, training
):
    options = {"shift_stages": (), "width": 4}
    model, x = stochastic(0.5, **options).train(training), clips(len(lengths), lengths[0])
    plain = detached(network(**options)).train(training)
    given_lengths = torch.tensor(lengths) if len(lengths) > 1 else None
    _, wanted, _ = step(plain, x, given_lengths)
    found = []
    for chosen in subsets(lengths, Fraction(1, 2)):
        monkeypatch.setattr(kept, "choose", lambda frames, share, chosen=chosen: chosen)
        found.append(step(model, x, given_lengths)[1])
    assert len(found) == choices
    mean = {name: torch.stack([one[name] for one in found]).mean(0) for name in wanted}
    assert worst(mean, wanted) < 1e-10
    assert worst(found[0], wanted) > 0.1
    assert all(torch.equal(one["fc.weight"], wanted["fc.weight"]) for one in found)


def test_frames_that_are_not_chosen_get_and_pass_no_gradient(monkeypatch):
    # The slow and obvious version: a plain network, in which each block's output passes the
    # gradient of the chosen frames only.
    model, plain = stochastic(0.5), detached(network())
    chosen = torch.tensor([0, 1, 4])
    monkeypatch.setattr(kept, "choose", lambda frames, share: chosen)
    x = torch.rand(1, 6, 3, 9, 9, dtype=torch.float64)
    mask = torch.zeros(6, 1, 1, 1, dtype=torch.float64).index_fill_(0, chosen, 1)

    def masked(module, inputs, output):
        output.register_hook(lambda grad: grad * mask)

    blocks = [b for i in range(1, 5) for b in getattr(plain, f"layer{i}")]
    for module in (plain.maxpool, *blocks):
        module.register_forward_hook(masked)
    found = []
    for one in (model, plain):
        frames = x.clone().requires_grad_()
        y = one.features(frames)
        y.square().sum().backward()
        found.append({name: p.grad for name, p in one.named_parameters() if "fc" not in name})
        found[-1]["frames"] = frames.grad
    assert worst(*found) < 1e-10
    assert found[0]["frames"][0, [2, 3, 5]].abs().max() == 0
    assert (found[0]["frames"][0, chosen].abs().amax((1, 2, 3)) > 0).all()


# --- which frames ---------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    percent=st.integers(1, 100),
    seed=st.integers(0, 99),
)
def test_each_clip_has_its_share_of_frames(lengths, percent, seed):
    torch.manual_seed(seed)
    t = max(lengths)
    mask = torch.arange(t) < torch.tensor(lengths)[:, None]
    frames = Frames(len(lengths), t, torch.device("cpu"), mask)
    chosen = choose(frames, percent / 100)
    assert (chosen.diff() > 0).all()
    whose = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    wanted = [-(-length * percent // 100) for length in lengths]  # at least 1
    assert whose[chosen].bincount(minlength=len(lengths)).tolist() == wanted


def test_every_frame_is_chosen_as_often_as_the_others():
    torch.manual_seed(0)
    frames = Frames(1, 8, torch.device("cpu"))
    counts = sum(choose(frames, 0.25).bincount(minlength=8) for _ in range(2000))
    assert counts.sum() == 4000
    assert (counts - 500).abs().max() < 5 * (2000 * 0.25 * 0.75) ** 0.5


def test_the_choice_is_the_same_in_all_blocks_and_new_in_every_pass(monkeypatch):
    seen = []
    on_chosen = kept._on_chosen

    def spy(layers, modules, chosen, *inputs):
        seen.append(tuple(chosen.tolist()))
        return on_chosen(layers, modules, chosen, *inputs)

    monkeypatch.setattr(kept, "_on_chosen", spy)
    model = stochastic(0.25)
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        model(clips(1, 16))
    first, again, other = (set(seen[i : i + 9]) for i in (0, 9, 18))
    assert len(first) == len(other) == 1
    assert first == again != other
    with torch.no_grad():
        torch.manual_seed(3)
        model(clips(1, 16))
        drawn = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(1), drawn)
    assert len(seen) == 27


# --- precision, memory, refusals ------------------------------------------------------------------


@pytest.mark.parametrize("kind", [CheckpointedResNet, StochasticBackpropResNet])
def test_under_autocast_the_gradient_is_that_of_the_plain_network(kind):
    own = {"share": 1.0} if kind is StochasticBackpropResNet else {}
    options = {"dtype": torch.float32}
    model, plain = network(kind, **own, **options), network(**options)
    plain = detached(plain) if own else plain
    found = []
    for one in (model, plain):
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                one(clips(1, 6))
            loss = F.cross_entropy(one(clips(1, 6)).float(), torch.tensor([1]))
        loss.backward()
        found.append({name: p.grad for name, p in one.named_parameters()})
    assert worst(*found) < (0.02 if own else 1e-6)


def test_what_is_kept_falls_with_the_share():
    options = {"dtype": torch.float32, "stem_pool": True}
    t, sizes = 64, {}
    for name, model in {
        "plain": network(**options),
        "checkpointed": network(CheckpointedResNet, **options),
        **{share: stochastic(share, **options) for share in (1.0, 0.5, 0.25)},
    }.items():
        sizes[name] = saved_activation_bytes(
            lambda model=model: model(clips(1, t, side=32)).sum(), model
        )
    assert sizes["checkpointed"] < 0.3 * sizes["plain"]
    assert sizes[0.5] / sizes[1.0] == pytest.approx(0.5, abs=0.03)
    assert sizes[0.25] / sizes[1.0] == pytest.approx(0.25, abs=0.03)
    assert sizes[0.25] < 0.1 * sizes["plain"]


def test_weights_changed_before_the_backward_pass_are_noticed():
    model = stochastic(0.5)
    loss = model(clips(1, 4)).sum()
    with torch.no_grad():
        model.layer3[0].conv1.weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_in_the_warm_up_it_is_the_plain_network():
    x, plain = clips(2, 5), network()
    model = network(StochasticBackpropResNet, share=0.25)
    model.load_state_dict(plain.state_dict())
    for one in (model, plain):
        one(x, cluster=False).logsumexp(1).sum().backward()
    wanted = dict(plain.named_parameters())
    assert all(torch.equal(p.grad, wanted[name].grad) for name, p in model.named_parameters())
    state = plain.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert model.early_statistics == "detached"
    assert model.layer3[0].bn1.statistics == "detached"


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="leave the clustering out"):
        stochastic(clustering=TemporalClustering("uniform", 2))


# --- training -------------------------------------------------------------------------------------


def toy_network(seed=0, kind=StochasticBackpropResNet, **options):
    torch.manual_seed(seed)
    return kind(18, 4, width=4, in_channels=1, dropout=0.0, **options)


def toy_clips():
    """Which quarter of the frames is bright."""
    videos = torch.zeros(16, 4, 1, 32, 32, dtype=torch.uint8)
    targets = torch.arange(16) % 4
    for i, target in enumerate(targets):
        videos[i, :, :, 8 * target : 8 * target + 8] = 255
    return InMemory(videos, targets)


def fit(model, recipe, **options):
    return train(model, toy_clips(), recipe, seed=1, classes=list("abcd"), **options)


def test_training_learns_with_a_share_of_the_frames():
    recipe = Recipe(epochs=12, batch_size=8, lr=0.02, schedule="onecycle")
    history = fit(toy_network(share=0.25), recipe)
    print(history.train_loss)
    assert history.train_loss[0] > 1.0 > 0.3 > history.train_loss[-1]


def test_gradients_reach_every_parameter():
    _, grads, _ = step(stochastic(0.25), clips(1, 8))
    assert all(grad.norm() > 0 for grad in grads.values())


@pytest.mark.parametrize("kind", [CheckpointedResNet, StochasticBackpropResNet])
def test_an_interrupted_run_goes_on_to_the_same_weights(tmp_path, kind):
    whole, broken, resumed = (toy_network(seed, kind) for seed in (0, 0, 7))
    recipe = Recipe(epochs=3, batch_size=8, lr=0.02, schedule="onecycle")

    class Stop(Exception):
        pass

    def interrupt(epoch, model, history):
        if epoch == 1:
            raise Stop

    expected = fit(whole, recipe)
    with pytest.raises(Stop):
        fit(broken, recipe, checkpoint=tmp_path / "run.pt", after_epoch=interrupt)
    history = fit(resumed, recipe, checkpoint=tmp_path / "run.pt")
    assert history.train_loss == expected.train_loss
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value)
