"""The temporal shift, the network, and what both give up when they are switched off."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import noise_clips as clips
from torch.utils._python_dispatch import TorchDispatchMode

from fvlib.clustering import TemporalClustering
from fvlib.models import temporal_shift, tsm_resnet
from fvlib.models.batchnorm import BatchNorm, sync_batchnorm
from fvlib.models.packing import Frames, images_among, images_at

CPU = torch.device("cpu")


def small(**options):
    torch.manual_seed(0)
    return tsm_resnet(18, 4, width=8, dropout=0.0, **options).eval()


# --- frames ---------------------------------------------------------------------------------------


def test_folding_leaves_missing_frames_out_and_unfolding_fills_them_with_zeros():
    x = torch.arange(1.0, 7).view(2, 3, 1)
    frames = Frames(2, 3, CPU, torch.tensor([[True, True, False], [True, False, True]]))
    assert frames.pack(x).flatten().tolist() == [1, 2, 4, 6]
    assert frames.unpack(frames.pack(x)).flatten().tolist() == [1, 2, 0, 4, 0, 6]
    assert frames.first.tolist() == [0, 2, 3]
    assert frames.last.tolist() == [1, 2, 3]


def test_folding_without_a_mask_is_a_view():
    x = clips()
    packed = Frames(2, 6, CPU).pack(x)
    assert packed.data_ptr() == x.data_ptr()
    assert torch.equal(packed.unflatten(0, (2, 6)), x)


class Layouts(TorchDispatchMode):
    """Operations of two images' tensors of the same shape, of which one alone is channels-last."""

    def __init__(self):
        super().__init__()
        self.mixed = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        images = [x for x in args if isinstance(x, torch.Tensor) and x.ndim == 4]
        last = {x.is_contiguous(memory_format=torch.channels_last) for x in images}
        if len(last) == 2 and len({x.shape for x in images}) == 1:
            self.mixed.append(str(operation))
        return operation(*args, **(kwargs or {}))


@pytest.mark.parametrize("chunk", [None, 2])
@pytest.mark.parametrize("lengths", [None, torch.tensor([6, 3])])
def test_no_operation_of_a_step_meets_two_memory_layouts(chunk, lengths):
    """Those that do are many times slower."""
    clustering = TemporalClustering("cumulative", 3)
    options = {"clustering": clustering, "chunk": chunk, "early_statistics": "running"}
    model = tsm_resnet(18, 4, width=8, **options).to(memory_format=torch.channels_last)
    with Layouts() as seen:
        model.features(clips(size=64), lengths).square().sum().backward()
    assert seen.mixed == []


def test_images_are_picked_and_placed_in_their_memory_layout():
    x, nothing = torch.rand(4, 3, 2, 5), torch.zeros(3, 2, 5)
    for layout in (torch.contiguous_format, torch.channels_last):
        images = x.contiguous(memory_format=layout).requires_grad_()
        picked = images_at(images, torch.tensor([2, 0]))
        placed = images_among(picked, torch.tensor([1, 4]), 5)
        assert torch.equal(picked, x[[2, 0]])
        assert torch.equal(placed, torch.stack([nothing, x[2], nothing, nothing, x[0]]))
        assert picked.is_contiguous(memory_format=layout)
        assert placed.is_contiguous(memory_format=layout)
        (grad,) = torch.autograd.grad(placed, images, placed.detach())
        assert torch.equal(grad, torch.stack([x[0], nothing, x[2], nothing]))


# --- shift ----------------------------------------------------------------------------------------


def slow_shift(x, fraction=8):
    """Frame by frame, channel by channel, as TSM describes it."""
    n, t, c = x.shape[:3]
    out = x.clone()
    for i in range(n):
        for frame in range(t):
            for channel in range(c):
                if channel < c // fraction:
                    out[i, frame, channel] = x[i, frame + 1, channel] if frame + 1 < t else 0
                elif channel < 2 * (c // fraction):
                    out[i, frame, channel] = x[i, frame - 1, channel] if frame > 0 else 0
    return out


def test_shift_by_hand():
    # Eight channels: the first from the next frame, the second from the one before, six stay.
    x = (torch.arange(3).view(3, 1) * 10 + torch.arange(8) + 1.0).view(3, 8, 1, 1)
    shifted = temporal_shift(x, Frames(1, 3, CPU)).flatten(1)
    assert shifted[:, 0].tolist() == [11, 21, 0]
    assert shifted[:, 1].tolist() == [0, 2, 12]
    assert torch.equal(shifted[:, 2:], x.flatten(1)[:, 2:])


@given(n=st.integers(1, 3), t=st.integers(1, 5), c=st.integers(1, 20), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_shift_equals_the_slow_version_for_any_batch(n, t, c, seed):
    x = torch.randn(n, t, c, 2, 2, generator=torch.Generator().manual_seed(seed))
    shifted = temporal_shift(x.flatten(0, 1), Frames(n, t, CPU)).unflatten(0, (n, t))
    assert torch.equal(shifted, slow_shift(x))
    alone = temporal_shift(x[0], Frames(1, t, CPU))
    assert torch.equal(alone, shifted[0])


def test_shift_sees_zeros_in_the_place_of_a_missing_frame():
    x = torch.ones(1, 4, 8, 1, 1)
    frames = Frames(1, 4, CPU, torch.tensor([[True, False, True, True]]))
    shifted = temporal_shift(frames.pack(x), frames).flatten(1)
    assert shifted[:, 0].tolist() == [0, 1, 0]  # frame 0 has no next, 2 has 3, 3 is the last
    assert shifted[:, 1].tolist() == [0, 0, 1]  # frame 2 has none before it


def test_shift_passes_the_gradient_back_to_the_frame_it_came_from():
    x = torch.randn(6, 8, 1, 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: temporal_shift(x, Frames(2, 3, CPU)), x)


# --- network --------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_without_shift_and_clustering_it_is_the_torchvision_network(depth):
    torch.manual_seed(1)
    reference = torchvision.models.get_model(f"resnet{depth}", weights=None, num_classes=7).eval()
    model = tsm_resnet(depth, 7, shift_stages=()).eval()
    model.load_state_dict(reference.state_dict())
    x = clips(1, 2, size=64)
    with torch.no_grad():
        expected = torch.stack([reference(frames).mean(0) for frames in x])
        torch.testing.assert_close(model(x), expected, atol=1e-5, rtol=1e-5)


def test_which_blocks_are_shifted():
    def shifted(depth, stages):
        model = tsm_resnet(depth, 2, width=4, shift_stages=stages)
        return [[b.shift for b in getattr(model, f"layer{i}")] for i in (1, 2, 3, 4)]

    assert shifted(18, (2, 3, 4)) == [[False] * 2, [True] * 2, [True] * 2, [True] * 2]
    # From 23 blocks in a stage on TSM shifts every second one.
    assert shifted(101, (1, 3))[0] == [True, False, True]
    assert shifted(101, (1, 3))[2] == [i % 2 == 0 for i in range(23)]


@pytest.mark.parametrize("method", ["uniform", "slope", "cumulative"])
def test_as_many_clusters_as_frames_give_the_plain_network_exactly(method):
    x = clips(3, 5)
    plain, clustered = small(), small(clustering=TemporalClustering(method, 5))
    with torch.no_grad():
        assert torch.equal(clustered(x), plain(x))
        assert torch.equal(clustered(x, cluster=False), plain(x))


@pytest.mark.parametrize("empty", ["split", "keep"])
def test_a_batch_of_one_gives_what_it_gives_in_a_batch(empty):
    model = small(clustering=TemporalClustering("cumulative", 4, empty=empty)).double()
    x = clips(3, 9).double()
    x[0, 4:] += 2  # one jump: clusters stay empty under "keep"
    with torch.no_grad():
        together, alone = model(x), torch.cat([model(clip[None]) for clip in x])
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("clustering", [None, TemporalClustering("cumulative", 4)])
def test_frames_beyond_a_clips_length_change_nothing(clustering):
    model = small(clustering=clustering).double()
    x = clips(2, 9).double()
    lengths = torch.tensor([9, 3])
    padded = x.clone()
    padded[1, 3:] = 1e3
    with torch.no_grad():
        logits, labels = model(padded, lengths, return_labels=True)
        alone = model(x[1:, :3]) if clustering is None else model(x[1:, :3], torch.tensor([3]))
    torch.testing.assert_close(logits[1:], alone, rtol=1e-10, atol=1e-12)
    assert labels is None or labels[1].tolist() == [0, 1, 2, -1, -1, -1, -1, -1, -1]


def test_empty_clusters_and_padding_do_not_enter_batch_statistics():
    model = small(clustering=TemporalClustering("cumulative", 4, empty="keep")).train()
    x = clips(1, 6)
    x[:, 3:] += 5
    seen = {}
    model.layer2[0].bn1.register_forward_hook(lambda m, i, o: seen.update(m=len(i[0])))
    _, labels = model(x, return_labels=True)
    assert seen["m"] == labels.unique().numel() < 4


def test_clusters_are_made_from_the_first_stage_and_end_there():
    model = small(clustering=TemporalClustering("uniform", 3))
    x = clips(2, 6)
    with torch.no_grad():
        first = model.features(x, upto="layer1")
        second = model.features(x, upto="layer2")
    assert first.shape == (2, 6, 8, 8, 8)
    assert second.shape == (2, 3, 16, 4, 4)
    with torch.no_grad():
        means = first.unflatten(1, (3, 2)).mean(2)
        out, frames = means.flatten(0, 1), Frames(2, 3, CPU)
        for block in model.layer2:
            out = block(out, frames)
    torch.testing.assert_close(second.flatten(0, 1), out)


def test_consensus_weighs_clusters_by_their_size():
    x = clips(1, 1).repeat(1, 6, 1, 1, 1)
    x[:, 5] = 1 - x[:, 5]
    logits = {}
    for consensus in ("mean", "size", "sqrt"):
        model = small(clustering=TemporalClustering("slope", 2), consensus=consensus)
        scores = []
        model.fc.register_forward_hook(lambda m, i, o, scores=scores: scores.append(o))
        with torch.no_grad():
            logits[consensus], labels = model(x, return_labels=True)
        assert labels.tolist() == [[0, 0, 0, 0, 0, 1]]
        a, b = scores[0]
        weights = {"mean": (1, 1), "size": (5, 1), "sqrt": (5**0.5, 1)}[consensus]
        expected = (a * weights[0] + b * weights[1]) / sum(weights)
        torch.testing.assert_close(logits[consensus][0], expected)
    assert not torch.allclose(logits["mean"], logits["size"], rtol=1e-3, atol=0)


def test_any_number_of_frames_goes_through_one_network():
    model = small()
    with torch.no_grad():
        for t in (1, 2, 7):
            assert model(clips(1, t)).shape == (1, 4)


def test_uint8_is_normalised_inside():
    model = small()
    x = (clips() * 255).round().to(torch.uint8)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    by_hand = (x / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(model(x), model(by_hand))


def test_the_gradient_reaches_every_parameter_through_the_clusters():
    model = small(clustering=TemporalClustering("cumulative", 3)).train()
    torch.nn.functional.cross_entropy(model(clips()), torch.tensor([0, 1])).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize(("mode", "frozen"), [("trained", 0), ("partial", 19), ("frozen", 20)])
def test_frozen_batchnorm_keeps_statistics_and_parameters(mode, frozen):
    model = small(batchnorm=mode).train()
    before = {k: v.clone() for k, v in model.state_dict().items() if "running_mean" in k}
    model(clips())
    same = [k for k, v in model.state_dict().items() if k in before and torch.equal(v, before[k])]
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(norms) == 20
    assert len(same) == sum(not m.weight.requires_grad for m in norms) == frozen
    if mode == "partial":
        assert norms[0].training
        assert norms[0].weight.requires_grad


def test_dropout_and_the_last_layer_are_those_of_tsm():
    model = tsm_resnet(18, 50, width=16, dropout=0.8)
    assert model.dropout.p == 0.8
    assert model.fc.weight.std().item() == pytest.approx(0.001, rel=0.05)
    assert model.fc.bias.abs().sum() == 0
    assert tsm_resnet(50, 3, width=16).fc.in_features == 16 * 8 * 4


# --- weights --------------------------------------------------------------------------------------


@pytest.fixture
def cached_weights(tmp_path, monkeypatch):
    """A file in torchvision's cache under the name of the published one."""
    reference = torchvision.models.resnet18()
    weights = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(reference.state_dict(), folder / weights.url.rsplit("/", 1)[-1])
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return reference.state_dict()


def test_weights_come_from_the_cache(cached_weights):
    model = tsm_resnet(18, 4, weights="IMAGENET1K_V1")
    assert torch.equal(model.layer3[1].conv2.weight, cached_weights["layer3.1.conv2.weight"])
    assert model.fc.weight.shape == (4, 512)
    full = tsm_resnet(18, 1000, weights="DEFAULT")
    assert torch.equal(full.fc.weight, cached_weights["fc.weight"])
    grey = tsm_resnet(18, 4, weights="DEFAULT", in_channels=1)
    torch.testing.assert_close(grey.conv1.weight, cached_weights["conv1.weight"].sum(1, True))


def test_weights_that_cannot_be_had_are_a_clear_error(tmp_path, monkeypatch):
    def no_network(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", no_network)
    with pytest.raises(OSError, match=r"put the file resnet18-\w+\.pth into .*TORCH_HOME"):
        tsm_resnet(18, 4, weights="IMAGENET1K_V1")


# --- bfloat16 on tiny images ----------------------------------------------------------------------


@pytest.mark.parametrize(("side", "pool"), [(8, False), (16, True), (1, True)])
@pytest.mark.parametrize("early", ["batch", "running"])
def test_no_memory_that_nobody_wrote_gets_into_the_gradient_of_tiny_images(side, pool, early):
    x = torch.rand(4, 6, 3, side, side, generator=torch.Generator().manual_seed(0))
    found = []
    for _ in range(3):
        torch.manual_seed(0)
        model = tsm_resnet(18, 4, width=8, stem_pool=pool, dropout=0.0, early_statistics=early)
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(model(x).float(), torch.arange(4))
        for size in range(6, 19):  # what is freed here is there when the gradient wants memory
            torch.full((2**size,), float("nan"))
        loss.backward()
        found.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert found[0].isfinite().all()
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_weights_of_16_bits_are_refused_for_tiny_images():
    model, x = small(stem_pool=False).bfloat16().eval(), torch.rand(1, 2, 3, 8, 8).bfloat16()
    with pytest.raises(ValueError, match=r"images are \(1, 1\) pixels before a layer that halves"):
        model(x)


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 20}, "depth is 20; wanted 18 or 34 or 50"),
        ({"depth": True}, "depth is True; wanted 18"),
        ({"num_classes": 0}, "num_classes is 0; wanted a whole number of 1"),
        ({"num_classes": True}, "num_classes is True"),
        ({"width": 1.5}, r"width is 1\.5; wanted a whole number"),
        ({"in_channels": 5}, "in_channels is 5"),
        ({"in_channels": True}, "in_channels is True"),
        ({"clustering": "cumulative"}, "clustering is 'cumulative'; wanted a Module or none"),
        ({"shift_stages": "234"}, "shift_stages is '234'; wanted a list"),
        ({"shift_stages": 2}, "shift_stages is 2; wanted a list"),
        ({"dropout": 1.5}, "dropout probability"),
        ({"dropout": float("nan")}, "dropout is nan"),
        ({"stem_pool": None}, "stem_pool is None; wanted true or false"),
        ({"chunk": True}, "chunk is True; wanted a whole number"),
        ({"memory": -1}, "memory is -1; wanted a whole number"),
        ({"shift_stages": (0, 1)}, "each 1 or 2 or 3 or 4"),
        ({"consensus": "max"}, "wanted 'mean' or 'size'"),
        ({"batchnorm": "off"}, "wanted 'trained' or 'partial'"),
        ({"weights": "DEFAULT", "width": 32}, "belong to width=64"),
        (
            {"weights": "V9"},
            "weights of resnet18 is 'V9'; choose one of 'IMAGENET1K_V1', 'DEFAULT'",
        ),
    ],
)
def test_unknown_options_are_named(options, message, unchecked):
    with pytest.raises(ValueError, match=message):
        tsm_resnet(**{"depth": 18, "num_classes": 4, **options})


def test_clips_of_a_wrong_shape_are_refused(unchecked):
    model = small()
    with pytest.raises(ValueError, match=r"wanted \(n, t, 3, h, w\)"):
        model(torch.zeros(1, 2, 1, 8, 8))
    with pytest.raises(ValueError, match=r"wanted \(n, t, 3, h, w\)"):
        model(torch.zeros(1, 2, 3, 0, 8))
    with pytest.raises(ValueError, match=r"float64, the network is torch.float32; wanted uint8"):
        model(torch.zeros(1, 2, 3, 8, 8, dtype=torch.float64))
    with pytest.raises(ValueError, match="x is of type list; a tensor"):
        model([[1, 2]])
    with pytest.raises(ValueError, match="there must be a clip and a frame"):
        model(torch.zeros(1, 0, 3, 8, 8))
    with pytest.raises(ValueError, match=r"lengths run from 0 to 6; 1\.\.6 was wanted"):
        model(clips(), torch.tensor([0, 6]))
    with pytest.raises(ValueError, match="choose one of 'layer1'"):
        model.features(clips(), upto="layer5")


# ---- BatchNorm of several GPUs


def test_synchronised_batchnorm_is_torchs(monkeypatch):
    """Alone it is BatchNorm; that torch's own layer does it among GPUs is seen by replacing it."""
    x = torch.randn(4, 3, 5, 5)
    norm, plain = BatchNorm(3), torch.nn.BatchNorm2d(3)
    with sync_batchnorm(torch.nn.Sequential(norm)):
        torch.testing.assert_close(norm(x), plain(x), rtol=0, atol=0)
        torch.testing.assert_close(norm.running_var, plain.running_var, rtol=0, atol=0)
        monkeypatch.setattr(torch.nn.SyncBatchNorm, "forward", lambda self, x: 0 * x)
        assert not norm(x).any()
        assert norm.eval()(x).any()
    assert norm.train()(x).any()


def test_layers_that_cannot_be_synchronised_are_named():
    model = torch.nn.Sequential(BatchNorm(3), torch.nn.BatchNorm2d(3))
    with pytest.raises(ValueError, match="kind BatchNorm2d, which know"), sync_batchnorm(model):
        pass
    assert not model[0].synchronised
