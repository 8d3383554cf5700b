"""STM's blocks: the convolution over time, the motion between frames, and networks made of them."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st

from fvlib.models.batchnorm import BatchNorm
from fvlib.models.packing import Frames
from fvlib.models.tsm import TSMResNet
from lab.systems.baselines import STMResNet
from lab.systems.stm import ChannelMotion, STMBasicBlock, STMBottleneck, TemporalConv

CPU = torch.device("cpu")
BLOCKS = {"basic": STMBasicBlock, "bottleneck": STMBottleneck}


def network(depth=18, classes=4, width=8, kind=STMResNet):
    torch.manual_seed(0)
    return kind(depth, classes, width=width, shift_stages=(1, 2, 3, 4), dropout=0.0)


def block_of(kind, planes_in, planes, stride, dtype=torch.float64):
    """A block in eval mode with random numbers everywhere, so that nothing cancels by chance."""
    planes_out = planes * kind.expansion
    downsample = torch.nn.Conv2d(planes_in, planes_out, 1, stride, bias=False)
    block = kind(planes_in, planes, stride, downsample, norm_layer=BatchNorm).to(dtype).eval()
    for name, value in [*block.named_parameters(), *block.named_buffers()]:
        if value.is_floating_point():
            torch.nn.init.uniform_(value, 0.5, 1.5) if "var" in name else torch.nn.init.normal_(
                value, std=0.3
            )
    return block


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


# --- convolution over time ------------------------------------------------------------------------


def slow_temporal(x, weight):
    """Frame by frame and channel by channel, for clips of any length (lists of "t c h w")."""
    out = []
    for clip in x:
        made = torch.zeros_like(clip)
        for t in range(len(clip)):
            for c in range(clip.shape[1]):
                for tap, place in enumerate((t - 1, t, t + 1)):
                    if 0 <= place < len(clip):
                        made[t, c] += weight[c, tap] * clip[place, c]
        out.append(made)
    return out


def shift_by_quarters(clip):
    c = clip.shape[1]
    out = clip.clone()
    out[:, : c // 4] = 0
    out[:, c - c // 4 :] = 0
    for t in range(len(clip)):
        if t > 0:
            out[t, : c // 4] = clip[t - 1, : c // 4]
        if t + 1 < len(clip):
            out[t, c - c // 4 :] = clip[t + 1, c - c // 4 :]
    return out


@pytest.mark.parametrize("channels", [3, 8, 13])
@pytest.mark.parametrize("t", [1, 2, 5])
def test_the_temporal_convolution_starts_as_a_shift_by_quarters(channels, t):
    x = normal(2, t, channels, 2, 3, dtype=torch.float32)
    out = TemporalConv(channels)(x.flatten(0, 1), Frames(2, t, CPU)).unflatten(0, (2, t))
    for clip, made in zip(x, out, strict=True):
        assert torch.equal(made, shift_by_quarters(clip))


@pytest.mark.parametrize("depth", [18, 50])
def test_the_shift_outlives_the_initialisation_of_the_network(depth):
    blocks = [m for m in network(depth).modules() if isinstance(m, tuple(BLOCKS.values()))]
    assert len(blocks) == {18: 8, 50: 16}[depth]
    for block in blocks:
        c = block.conv1.out_channels
        x = normal(4, c, 1, 1, dtype=torch.float32)
        assert torch.equal(block.temporal(x, Frames(1, 4, CPU)), shift_by_quarters(x))


@settings(max_examples=30, deadline=None)
@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=4), c=st.integers(1, 5))
def test_the_temporal_convolution_is_one_of_every_clip_by_itself(lengths, c):
    t = max(lengths)
    mask = torch.arange(t) < torch.tensor(lengths)[:, None]
    conv = TemporalConv(c).double()
    torch.nn.init.normal_(conv.weight)
    clips = [normal(length, c, 2, 2, seed=i) for i, length in enumerate(lengths)]
    out = conv(torch.cat(clips), Frames(len(lengths), t, CPU, mask))
    torch.testing.assert_close(out, torch.cat(slow_temporal(clips, conv.weight)))


def test_a_missing_frame_in_the_middle_is_a_neighbour_of_zeros():
    conv = TemporalConv(4)
    torch.nn.init.ones_(conv.weight)
    x = torch.tensor([1.0, 10, 100]).view(3, 1, 1, 1).expand(3, 4, 1, 1)
    frames = Frames(1, 4, CPU, torch.tensor([[True, False, True, True]]))
    assert conv(x, frames)[:, 0].flatten().tolist() == [1, 110, 110]


def test_the_temporal_convolution_has_the_gradients_of_its_formula():
    mask = torch.tensor([[True, True, True], [True, True, False]])
    frames = Frames(2, 3, CPU, mask)
    x = normal(5, 3, 2, 1).requires_grad_()
    weight = normal(3, 3, seed=1).requires_grad_()

    def convolve(x, weight):
        conv = TemporalConv(3).double()
        return torch.func.functional_call(conv, {"weight": weight}, (x, frames))

    assert torch.autograd.gradcheck(convolve, (x, weight))
    assert torch.autograd.gradgradcheck(convolve, (x, weight))


def test_the_gradient_of_the_taps_is_added_up_in_the_precision_of_the_taps():
    conv = TemporalConv(4)
    x = (torch.rand(40, 4, 8, 8) + 0.5).bfloat16()
    out = conv(x, Frames(5, 8, CPU))
    assert out.dtype == torch.bfloat16
    out.sum().backward()
    whole = x.float().view(5, 8, 4, 64).sum((0, 3))
    torch.testing.assert_close(conv.weight.grad[:, 1], whole.sum(0), rtol=1e-6, atol=0)
    torch.testing.assert_close(conv.weight.grad[:, 0], whole[:-1].sum(0), rtol=1e-6, atol=0)
    torch.testing.assert_close(conv.weight.grad[:, 2], whole[1:].sum(0), rtol=1e-6, atol=0)


def test_the_temporal_convolution_keeps_nothing_but_its_input():
    x = normal(8, 4, 3, 3).requires_grad_()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda value: value):
        TemporalConv(4).double()(x, Frames(2, 4, CPU))
    pointers = {value.data_ptr() for value in kept if value.numel() > 12}
    assert pointers == {x.data_ptr()}


# --- motion ---------------------------------------------------------------------------------------


def slow_motion(clip, motion, stride):
    """One clip (t c h w): the formula, frame by frame."""
    now = motion.bn(F.conv2d(clip, motion.reduce.weight))
    out = []
    for t in range(len(clip)):
        change = torch.zeros_like(now[:1])
        if t + 1 < len(clip):
            moved = torch.zeros_like(change)
            for c in range(now.shape[1]):
                one = now[t + 1 : t + 2, c : c + 1]
                moved[:, c : c + 1] = F.conv2d(one, motion.conv.weight[c : c + 1], padding=1)
            change = moved - now[t : t + 1]
        change = F.conv2d(change, motion.expand.weight)
        if stride == 2:
            h, w = -(-change.shape[2] // 2), -(-change.shape[3] // 2)
            rows = [
                [change[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].amax((2, 3)) for j in range(w)]
                for i in range(h)
            ]
            change = torch.stack([torch.stack(row, -1) for row in rows], -2)
        out.append(change)
    return torch.cat(out)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(6, 4), (5, 7)])
def test_motion_is_the_filtered_next_frame_minus_this_one(stride, size):
    motion = block_of(STMBottleneck, 8, 32, stride).motion
    lengths = (4, 1, 3)
    clips = [normal(length, 32, *size, seed=i) for i, length in enumerate(lengths)]
    mask = torch.arange(4) < torch.tensor(lengths)[:, None]
    out = motion(torch.cat(clips), Frames(3, 4, CPU, mask))
    torch.testing.assert_close(out, torch.cat([slow_motion(c, motion, stride) for c in clips]))
    assert motion.reduce.out_channels == 2


def test_a_clip_that_stands_still_has_the_motion_that_its_filter_differs_from_the_identity():
    motion = block_of(STMBottleneck, 8, 16, 1).motion
    still = normal(1, 16, 6, 6).expand(4, 16, 6, 6).contiguous()
    now = motion.bn(motion.reduce(still[:1]))
    rest = motion.expand(motion.conv(now) - now)
    out = motion(still, Frames(1, 4, CPU))
    torch.testing.assert_close(out[:3], rest.expand(3, -1, -1, -1))
    assert rest.abs().max() > 0.1
    assert not out[3].any()  # behind the last frame there is nothing to compare with
    torch.nn.init.dirac_(motion.conv.weight)
    assert not motion(still, Frames(1, 4, CPU)).any()


def test_motion_of_few_channels_has_one():
    motion = ChannelMotion(8, BatchNorm)
    assert (motion.reduce.out_channels, motion.conv.in_channels) == (1, 1)


# --- blocks ---------------------------------------------------------------------------------------


def slow_block(clip, block, stride):
    """One clip through one block in eval mode, in the words of the paper."""
    identity = block.downsample(clip)
    y = block.bn1(block.conv1(clip)).relu()
    (moved,) = slow_temporal([y], block.temporal.weight)
    out = block.bn2(block.conv2(moved))
    if isinstance(block, STMBottleneck):
        out = block.bn3(block.conv3(out.relu() + slow_motion(y, block.motion, stride)))
    else:
        out = out + slow_motion(y, block.motion, 1)
    return (out + identity).relu()


@pytest.mark.parametrize("kind", [STMBasicBlock, STMBottleneck])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_block_is_what_it_is_for_every_clip_by_itself(kind, stride):
    torch.manual_seed(1)
    block = block_of(kind, 6, 16, stride)
    lengths = (3, 5, 1)
    clips = [normal(length, 6, 7, 6, seed=i) for i, length in enumerate(lengths)]
    mask = torch.arange(5) < torch.tensor(lengths)[:, None]
    out = block(torch.cat(clips), Frames(3, 5, CPU, mask))
    slow = torch.cat([slow_block(clip, block, stride) for clip in clips])
    torch.testing.assert_close(out, slow)
    assert (slow > 0).double().mean() > 0.2


# --- networks -------------------------------------------------------------------------------------


def settled(model, x):
    """Running statistics as after training, so that eval mode has signals of a usual size."""
    norms = [m for m in model.modules() if isinstance(m, BatchNorm)]
    for norm in norms:
        norm.momentum = None
    with torch.no_grad():
        model.train()(x)
    torch.nn.init.normal_(model.fc.weight)
    return model.eval()


@pytest.mark.parametrize("depth", [18, 50])
def test_clips_of_different_length_have_the_scores_that_they_have_alone(depth):
    x = normal(3, 5, 3, 32, 32, dtype=torch.float32)
    model = settled(network(depth), x)
    lengths = torch.tensor([5, 2, 3])
    for i, length in enumerate(lengths.tolist()):
        x[i, length:] = torch.nan
    with torch.no_grad():
        together = model(x, lengths)
        alone = torch.cat([model(x[i : i + 1, :length]) for i, length in enumerate(lengths)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
    assert together.std(0).min() > 1e-2


def test_the_order_of_frames_counts_and_not_that_of_clips():
    x = normal(2, 4, 3, 32, 32, dtype=torch.float32)
    model, plain = settled(network(), x), settled(network(kind=Plain), x)
    order = torch.tensor([2, 0, 3, 1])
    with torch.no_grad():
        scores = model(x)
        assert (model(x[:, order]) - scores).abs().max() > 1e-2 * scores.abs().max()
        torch.testing.assert_close(model(x.flip(0)), scores.flip(0), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(plain(x[:, order]), plain(x), rtol=1e-4, atol=1e-4)


class Plain(TSMResNet):
    """Frame by frame: TSM's blocks whose shift is never on."""

    def pass_block(self, block, y, frames):
        block.shift = False
        return block(y, frames)


@pytest.mark.parametrize("depth", [18, 50])
def test_gradients_reach_every_parameter(depth):
    model = network(depth).train()
    x = normal(2, 4, 3, 64, 64, dtype=torch.float32)
    F.cross_entropy(model(x), torch.tensor([0, 3])).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("kind", [STMBasicBlock, STMBottleneck])
def test_bfloat16_autocast_is_near_single_precision(kind):
    block, frames = block_of(kind, 32, 16, 2, torch.float32), Frames(2, 4, CPU)
    x = normal(8, 32, 8, 8, dtype=torch.float32)
    out = block(x, frames)
    with torch.autocast("cpu", torch.bfloat16):
        near = block(x, frames)
    near.float().square().sum().backward()
    assert near.dtype == torch.bfloat16
    assert (near - out).norm() < 0.02 * out.norm()
    assert all(p.grad.dtype == torch.float32 for p in block.parameters())


def test_resnet50_has_the_parameters_of_the_formula():
    with torch.device("meta"):
        plain = sum(p.numel() for p in torchvision.models.resnet50().parameters())
        model = network(50, 1000, 64)
    # p channels: three taps of each; 1x1 to p / 16 and back; BatchNorm and 3x3 of those.
    extra = sum(
        count * (3 * p + 2 * p * (p // 16) + (2 + 9) * (p // 16))
        for count, p in ((3, 64), (4, 128), (6, 256), (3, 512))
    )
    assert (plain, extra) == (25_557_032, 171_108)
    assert sum(p.numel() for p in model.parameters()) == plain + extra


def test_torchvisions_weights_fit():
    with torch.device("meta"):
        plain = torchvision.models.resnet50(num_classes=10).state_dict()
        model = network(50, 10, 64).state_dict()
    assert all(model[name].shape == value.shape for name, value in plain.items())
    assert {name.split(".")[2] for name in model.keys() - plain.keys()} == {"temporal", "motion"}
