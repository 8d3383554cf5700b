"""Dynamic images: their weights, the pictures they make, and the network that sees them."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fvlib.clustering import TemporalClustering
from fvlib.models import tsm_resnet
from fvlib.models.packing import TensorStream
from lab.systems.rank_pooling import (
    AT_ONCE,
    DynamicImageResNet,
    dynamic_image,
    rank_pool,
    rank_pooling_weights,
    to_pixels,
)


def slow_weights(t):
    """The closed form, as fractions, by two loops."""
    if t == 1:
        return [Fraction(1)]
    weights = []
    for i in range(1, t + 1):
        weights.append(Fraction(0))
        for j in range(i, t + 1):
            weights[-1] += Fraction(2 * j - t - 1, j)
    return weights


def slow_images(x, lengths, windows=1):
    """Clip by clip, window by window, frame by frame, in float64."""
    images = []
    for clip, t in zip(x.double(), lengths, strict=True):
        count = min(windows, t)
        for w in range(count):
            frames = clip[w * t // count : (w + 1) * t // count]
            weights = slow_weights(len(frames))
            images.append(sum(float(a) * f for a, f in zip(weights, frames, strict=True)))
    return torch.stack(images)


def bytes_of(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


# --- weights --------------------------------------------------------------------------------------


@pytest.mark.parametrize("t", [1, 2, 3, 4, 5, 16, 97])
def test_weights_are_the_closed_form_and_sum_to_zero(t):
    wanted = slow_weights(t)
    assert rank_pooling_weights(t).tolist() == pytest.approx([float(a) for a in wanted], abs=1e-11)
    assert sum(wanted) == (t == 1)


def test_weights_by_hand():
    assert rank_pooling_weights(2).tolist() == [-1 / 2, 1 / 2]
    assert rank_pooling_weights(3).tolist() == pytest.approx([-4 / 3, 2 / 3, 2 / 3])


def test_weights_change_sign_once_and_those_of_the_steps_are_positive():
    for t in range(2, 30):
        weights = slow_weights(t)
        signs = [a > 0 for a in weights]
        assert signs == sorted(signs)
        assert not signs[0]
        assert all(sum(weights[i:]) > 0 for i in range(1, t))


def test_reversing_time_turns_the_sign_for_two_frames_only():
    # a_i + a_{t+1-i} = 0 exactly where 2 H_t - H_{i-1} - H_{t-i} = 2, H being harmonic numbers.
    odd = [
        (t, i)
        for t in range(2, 30)
        for i, (a, b) in enumerate(zip(slow_weights(t), reversed(slow_weights(t)), strict=True), 1)
        if a + b == 0
    ]
    assert odd == [(2, 1), (2, 2)]
    for t in (2, 3, 8):
        x = bytes_of(1, t, 3, 4, 4)
        turned = torch.allclose(rank_pool(x.flip(1)), -rank_pool(x), atol=1e-3)
        assert turned == (t == 2)


@given(t=st.integers(2, 100), seed=st.integers(0, 99))
@settings(max_examples=12, deadline=None)
def test_a_clip_that_changes_evenly_turns_its_sign_with_time_and_keeps_the_direction(t, seed):
    start, step = torch.rand(2, 1, 1, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    x = start + step * torch.arange(t).view(1, t, 1, 1, 1)
    image = rank_pool(x)
    assert torch.allclose(rank_pool(x.flip(1)), -image, rtol=1e-3, atol=1e-3 * t)
    assert (image > 0).all()  # it grows everywhere


def test_weights_want_a_frame():
    with pytest.raises(ValueError, match="t is 0"):
        rank_pooling_weights(0)


# --- images ---------------------------------------------------------------------------------------


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    windows=st.integers(1, 4),
    channels=st.sampled_from([1, 2, 3, 20]),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_images_equal_the_slow_version_and_never_see_padding(lengths, windows, channels, seed):
    x = bytes_of(len(lengths), max(lengths) + 1, channels, 3, 2, seed=seed)
    wanted = slow_images(x, lengths, windows)
    found = rank_pool(x, torch.tensor(lengths), windows=windows)
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), wanted, rtol=1e-5, atol=1e-3)
    other = x.clone()
    for clip, t in zip(other, lengths, strict=True):
        clip[t:] = 255 - clip[t:]
    assert torch.equal(rank_pool(other, torch.tensor(lengths), windows=windows), found)


@pytest.mark.parametrize("t", [AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 3 * AT_ONCE + 5])
def test_long_clips_are_summed_in_parts(t):
    x, lengths = bytes_of(2, t, 1, 2, 3), torch.tensor([t, t // 2])
    wanted = slow_images(x, lengths.tolist())
    assert torch.allclose(rank_pool(x, lengths).double(), wanted, rtol=1e-5, atol=0.1)
    assert torch.equal(rank_pool(TensorStream(x, lengths)), rank_pool(x, lengths))


def test_images_are_summed_in_float32_under_autocast_and_of_half_floats():
    x = bytes_of(1, 20, 3, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        inside = rank_pool(x)
    assert torch.equal(inside, rank_pool(x))
    assert rank_pool(x.to(torch.bfloat16)).dtype == torch.float32
    assert rank_pool(x.double()).dtype == torch.float64


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
@pytest.mark.parametrize("windows", [1, 3])
def test_a_clip_that_stands_still_is_exactly_zero_and_becomes_grey(kind, windows):
    still = bytes_of(2, 1, 3, 5, 5).expand(2, 1000, 3, 5, 5)
    still = still if kind == torch.uint8 else still / 255
    assert not rank_pool(still, windows=windows).any()
    assert (dynamic_image(still, windows=windows) == 0.5).all()


def test_images_reach_from_0_to_1_each_by_itself_and_colours_keep_their_relation():
    x = bytes_of(3, 6, 3, 4, 4)
    x[1] //= 9
    pooled, image = rank_pool(x), dynamic_image(x)
    assert image.amin((1, 2, 3)).tolist() == [0, 0, 0]
    assert image.amax((1, 2, 3)).tolist() == [1, 1, 1]
    for one, seen in zip(pooled, image, strict=True):
        assert torch.allclose(seen, (one - one.min()) / (one.max() - one.min()))
    assert torch.allclose(dynamic_image(x / 255), image, atol=1e-5)
    assert torch.allclose(dynamic_image(3 * x.float() - 40), image, atol=1e-5)


def test_the_image_of_one_frame_is_that_frame_stretched():
    x = bytes_of(1, 1, 3, 4, 4)
    assert torch.equal(rank_pool(x), x[:, 0].float())
    assert torch.allclose(dynamic_image(x), to_pixels(x[:, 0] / 255), atol=1e-6)


def test_gradients():
    x = torch.rand(2, 5, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([5, 3])
    assert torch.autograd.gradcheck(lambda x: dynamic_image(x, lengths, windows=2), x)
    image = rank_pool(x, lengths)
    (grad,) = torch.autograd.grad(image.sum(), x)
    wanted = torch.zeros(2, 5, dtype=torch.float64)
    wanted[0] = rank_pooling_weights(5)
    wanted[1, :3] = rank_pooling_weights(3)
    assert torch.allclose(grad, wanted[:, :, None, None, None].expand_as(grad))


def test_a_clip_that_stands_still_has_a_gradient_without_nan():
    x = torch.ones(1, 4, 1, 2, 2, requires_grad=True)
    dynamic_image(x).sum().backward()
    assert x.grad.isfinite().all()


def test_no_windows_are_refused():
    with pytest.raises(ValueError, match="windows is 0"):
        rank_pool(bytes_of(2, 4, 1, 2, 2), windows=0)


# --- network --------------------------------------------------------------------------------------


OPTIONS = {
    **{"width": 8, "clustering": None, "shift_stages": (), "dropout": 0.0, "consensus": "mean"},
    **{"stem_pool": True, "batchnorm": "trained", "early_statistics": "batch"},
    **{"chunk": None, "memory": None},
}


def network(windows=1, channels=3, depth=18, **changes):
    torch.manual_seed(0)
    own = {"windows": windows, "in_channels": channels}
    net = DynamicImageResNet(depth, 4, **{**OPTIONS, **own, **changes})
    torch.nn.init.normal_(net.fc.weight)
    return net.eval()


def plain(net, images):
    """The same weights in the plain ResNet, on images."""
    options = {"width": 8, "shift_stages": (), "in_channels": images.shape[1]}
    other = tsm_resnet(50 if net.fc.in_features > 64 else 18, 4, **options).eval()
    other.load_state_dict(net.state_dict())
    return other(((images - net.pixel_mean) / net.pixel_std)[:, None])


@pytest.mark.parametrize(("channels", "depth"), [(1, 18), (2, 18), (3, 18), (3, 50), (20, 18)])
def test_the_network_is_a_resnet_on_dynamic_images(channels, depth):
    x, lengths = bytes_of(3, 7, channels, 32, 32), torch.tensor([7, 4, 1])
    net = network(channels=channels, depth=depth)
    images = to_pixels(slow_images(x, lengths.tolist()).float())
    logits, labels = net(x, lengths, return_labels=True)
    assert torch.allclose(logits, plain(net, images), rtol=1e-3, atol=1e-3)
    assert labels is None
    assert logits.std(0).min() > 1e-3  # it tells clips apart
    assert torch.allclose(net(x / 255, lengths), logits, rtol=1e-3, atol=1e-3)
    assert torch.equal(net(TensorStream(x, lengths), cluster=False), logits)
    assert net.features(x, lengths).shape == (3, 1, net.fc.in_features, 1, 1)
    assert net.features(x, lengths, upto="layer1").shape[:2] == (3, 1)


def test_the_scores_of_windows_are_averaged_and_short_clips_have_fewer():
    x, lengths = bytes_of(3, 7, 3, 32, 32), torch.tensor([7, 2, 1])
    net = network(windows=3)
    images = to_pixels(slow_images(x, lengths.tolist(), 3).float())
    each = plain(net, images).split([3, 2, 1])
    wanted = torch.stack([scores.mean(0) for scores in each])
    assert torch.allclose(net(x, lengths), wanted, rtol=1e-3, atol=1e-3)
    features = net.features(x, lengths)
    assert features.shape[:2] == (3, 3)
    assert not features[1, 2:].any()
    assert not features[2, 1:].any()
    assert features[1, :2].flatten(1).any(1).all()


def test_the_network_learns_and_sees_the_order_of_time():
    x = bytes_of(2, 6, 3, 32, 32)
    net = network().train()
    net(x).logsumexp(1).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())
    net.eval()
    assert not torch.allclose(net(x), net(x.flip(1)), atol=1e-3)


def test_options_that_belong_to_frames_are_refused():
    for wrong in ({"shift_stages": (2,)}, {"clustering": TemporalClustering("slope", 2)}):
        with pytest.raises(ValueError, match="one picture of all frames"):
            network(**wrong)
    with pytest.raises(ValueError, match=r"wanted \(n, t, 3, h, w\)"):
        network()(bytes_of(1, 2, 1, 32, 32))
