"""The plainest head, what all heads share, and a head as a network of its own."""

import pytest
import torch

from fvlib.models.packing import Frames
from fvlib.training.loop import parameter_groups
from lab.systems.heads import FeatureClassifier, FrameHead, HeadNorm, VideoGraphHead, VLADHead

HEADS = {
    "frames": lambda: FrameHead(5, 3, hidden=8),
    "vlad": lambda: VLADHead(5, 3, features=6, centres=4, hidden=8),
    "videograph": lambda: VideoGraphHead(5, 3, features=6, nodes=16, hidden=8),
}
every_head = pytest.mark.parametrize("kind", HEADS)


def head_of(kind, dropout=0.0, seed=0):
    """With parameters and running statistics that are nowhere 0 or 1."""
    torch.manual_seed(seed)
    head = HEADS[kind]()
    head.classifier[0].p = head.classifier[4].p = dropout
    for values in (*head.parameters(), *head.buffers()):
        if values.is_floating_point():
            values.data += 0.2 * torch.rand_like(values)
    return head


def clips(n=3, t=6, side=2, seed=0):
    return torch.randn(n, t, 5, side, side, generator=torch.Generator().manual_seed(seed))


def test_a_frame_head_is_a_mean_and_a_hidden_layer():
    head, x = head_of("frames").eval(), clips()
    lengths = torch.tensor([6, 2, 1])
    _, hidden, norm, leaky, _, last = head.classifier
    for clip, length, found in zip(x, lengths, FeatureClassifier(head)(x, lengths), strict=True):
        total = torch.zeros(5)
        for frame in clip[:length]:
            for place in frame.flatten(1).T:
                total += place
        z = hidden.weight @ (total / (4 * length))
        z = (z - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
        z = norm.weight * z + norm.bias
        z = torch.where(z > 0, z, leaky.negative_slope * z)
        torch.testing.assert_close(found, last.weight @ z + last.bias)
    assert leaky.negative_slope == 0.2


@every_head
def test_the_sizes_are_those_of_the_recipe(kind):
    head = {"frames": FrameHead, "vlad": VLADHead, "videograph": VideoGraphHead}[kind](2048, 10)
    dropout, hidden, norm, _, second, last = head.classifier
    wanted = {
        "frames": (0.25, 2048, 512),
        "vlad": (0.5, 32 * 512, 256),
        "videograph": (0.25, 1024, 512),
    }
    assert (dropout.p, hidden.in_features, hidden.out_features) == wanted[kind]
    assert (norm.num_features, second.p, last.out_features) == (hidden.out_features, 0.25, 10)


@every_head
def test_gradients_reach_every_parameter(kind):
    head = head_of(kind)
    x = clips(n=4, t=20).requires_grad_()
    FeatureClassifier(head)(x).square().sum().backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad.abs().sum() > 1e-5, name
    # A maximum over places or time lets gradients through for some of them.
    share = (x.grad != 0).float().mean()
    assert share == 1 if kind != "videograph" else share > 0.1


@every_head
def test_clips_do_not_touch_each_other_in_eval_mode(kind):
    model, x = FeatureClassifier(head_of(kind)).eval(), clips()
    torch.testing.assert_close(model(x), torch.cat([model(clip[None]) for clip in x]))


@pytest.mark.parametrize("kind", ["frames", "vlad"])
@pytest.mark.parametrize("training", [False, True])
def test_what_is_missing_never_enters(kind, training):
    model = FeatureClassifier(head_of(kind, dropout=0.5)).train(training)
    x, lengths = clips(), torch.tensor([6, 2, 3])
    other = x.clone()
    other[1, 2:], other[2, 3:] = torch.nan, 1e9
    scores = []
    for shown in (x, other):
        torch.manual_seed(0)
        scores.append(model(shown, lengths))
    assert torch.equal(*scores)
    if not training:
        torch.testing.assert_close(scores[0][1:2], model(x[1:2, :2]))


@every_head
def test_a_single_clip_trains_on_running_statistics(kind):
    model = FeatureClassifier(head_of(kind))
    norm = model.head.classifier[2]
    before = norm.running_mean.clone(), norm.running_var.clone()
    alone = model.train()(clips(n=1))
    assert torch.equal(before[0], norm.running_mean)
    assert torch.equal(before[1], norm.running_var)
    if kind == "frames":  # which normalises nothing but clips
        torch.testing.assert_close(alone, model.eval()(clips(n=1)))
    alone.sum().backward()
    model.train()(clips(n=2))
    assert not torch.equal(before[0], norm.running_mean)


def test_one_value_a_channel_is_what_has_no_variance():
    norm, plain = HeadNorm(5), torch.nn.BatchNorm2d(5)
    x = torch.randn(1, 5, 2, 1)
    torch.testing.assert_close(norm(x), plain(x))
    torch.testing.assert_close(norm.running_var, plain.running_var)
    single = norm(x[..., :1, :])
    scale = (norm.running_var + norm.eps).sqrt()
    torch.testing.assert_close(single[0, :, 0, 0], (x[0, :, 0, 0] - norm.running_mean) / scale)


@every_head
def test_heads_learn_where_the_network_is_frozen(kind):
    model = FeatureClassifier(HEADS[kind]())
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())
    groups = parameter_groups(model, lr=1.0, weight_decay=0.1)
    norms = {id(p) for g in groups if g["name"] == "norm" for p in g["params"]}
    assert {id(p) for m in model.modules() if isinstance(m, HeadNorm) for p in m.parameters()} == (
        norms
    )


@every_head
def test_autocast_and_half_features_change_little(kind):
    model, x = FeatureClassifier(head_of(kind)).eval(), clips()
    expected = model(x)
    assert model(x.half()).dtype == torch.float32
    torch.testing.assert_close(model(x.half()), expected, atol=0.01, rtol=0.01)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(model(x).float(), expected, atol=0.1, rtol=0.1)
        model.train()(x).sum().backward()


def test_a_head_alone_wants_features(unchecked):
    model = FeatureClassifier(HEADS["frames"]())
    frames = Frames(3, 6, torch.device("cpu"))
    assert torch.equal(
        model.eval()(clips(), cluster=False), model.head(frames.pack(clips()), frames)
    )
    for wrong in (clips()[0], clips().to(torch.uint8)):
        with pytest.raises(ValueError, match="wanted floats") as caught:
            model(wrong)
        assert str(tuple(wrong.shape)) in str(caught.value)
