"""Published weights: the same scores as the networks they come from, or no weights at all."""

import pytest
import torch
import torchvision
from torch import nn

from fvlib.clustering import TemporalClustering
from fvlib.models import load_checkpoint, tsm_resnet

CLASSES = 5
FRAMES = 4
STAGES = ("layer1", "layer2", "layer3", "layer4")
ALL = (1, 2, 3, 4)


def clips(channels=3, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, FRAMES, channels, 32, 32, generator=generator)


def livened(model):
    """Every tensor its own values, so that two that are mixed up are seen."""
    generator = torch.Generator().manual_seed(7)
    for name, value in model.state_dict().items():
        if name.endswith("running_var") or (value.ndim == 1 and name.endswith("weight")):
            value.uniform_(0.5, 1.5, generator=generator)
        elif value.ndim == 1:
            value.normal_(0, 0.1, generator=generator)
    return model.eval()


# --- the published networks, written from their description --------------------------------------


class SeesNeighbours(nn.Module):
    """A convolution whose first eighth of channels is the next frame's, the second the last's."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        out = x.clone()
        eighth = x.shape[1] // 8
        for image in range(len(x)):
            frame = image % FRAMES
            for channels, other in ((slice(eighth), 1), (slice(eighth, 2 * eighth), -1)):
                inside = 0 <= frame + other < FRAMES
                out[image, channels] = x[image + other, channels] if inside else 0
        return self.net(out)


class PublishedTSM(nn.Module):
    """torchvision's ResNet below `base_model`, its last layer beside it."""

    def __init__(self, depth=18, shifted=STAGES, every=1):
        super().__init__()
        self.base_model = getattr(torchvision.models, f"resnet{depth}")()
        self.new_fc = nn.Linear(self.base_model.fc.in_features, CLASSES)
        self.base_model.fc = nn.Dropout(0.5)
        for stage in shifted:
            for block in list(getattr(self.base_model, stage))[::every]:
                block.conv1 = SeesNeighbours(block.conv1)

    def forward(self, x):
        scores = self.new_fc(self.base_model(x.flatten(0, 1)))
        return scores.unflatten(0, x.shape[:2]).mean(1)


class Unit(nn.Module):
    """MMAction2's convolution and normalisation in one."""

    def __init__(self, c_in, c_out, kernel, stride=1, relu=True, shifted=False):
        super().__init__()
        conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)
        self.conv = SeesNeighbours(conv) if shifted else conv
        self.bn = nn.BatchNorm2d(c_out)
        self.relu = relu

    def forward(self, x):
        x = self.bn(self.conv(x))
        return x.relu() if self.relu else x


class UnitBlock(nn.Module):
    def __init__(self, c_in, planes, stride, bottleneck):
        super().__init__()
        c_out = planes * (4 if bottleneck else 1)
        if bottleneck:
            self.conv1 = Unit(c_in, planes, 1, shifted=True)
            self.conv2 = Unit(planes, planes, 3, stride)
            self.conv3 = Unit(planes, c_out, 1, relu=False)
        else:
            self.conv1 = Unit(c_in, planes, 3, stride, shifted=True)
            self.conv2 = Unit(planes, planes, 3, relu=False)
        self.downsample = None
        if stride > 1 or c_in != c_out:
            self.downsample = Unit(c_in, c_out, 1, stride, relu=False)

    def forward(self, x):
        y = self.conv2(self.conv1(x))
        y = self.conv3(y) if hasattr(self, "conv3") else y
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class MMAction2(nn.Module):
    def __init__(self, depth):
        super().__init__()
        bottleneck, counts = {18: (False, (2, 2, 2, 2)), 50: (True, (3, 4, 6, 3))}[depth]
        self.backbone, self.cls_head = nn.Module(), nn.Module()
        self.backbone.conv1 = Unit(3, 64, 7, 2)
        channels = 64
        for number, (stage, count) in enumerate(zip(STAGES, counts, strict=True)):
            blocks = []
            for i in range(count):
                stride = 2 if number and not i else 1
                blocks.append(UnitBlock(channels, 64 << number, stride, bottleneck))
                channels = (64 << number) * (4 if bottleneck else 1)
            setattr(self.backbone, stage, nn.Sequential(*blocks))
        self.cls_head.fc_cls = nn.Linear(channels, CLASSES)

    def forward(self, x):
        y = nn.functional.max_pool2d(self.backbone.conv1(x.flatten(0, 1)), 3, 2, 1)
        for stage in STAGES:
            y = getattr(self.backbone, stage)(y)
        return self.cls_head.fc_cls(y.mean((2, 3))).unflatten(0, x.shape[:2]).mean(1)


@pytest.fixture(scope="module")
def tsm18():
    return livened(PublishedTSM())


def published(model):
    """The state as published: with the prefix of parallel training."""
    return nn.DataParallel(model).state_dict()


@pytest.fixture(scope="module")
def state18(tsm18):
    return published(tsm18)


def narrow(state):
    """The same names with an eighth of the channels, where scores do not matter."""
    small = {}
    for key, value in state.items():
        if value.ndim and value.shape[0] != CLASSES:
            value = value[: len(value) // 8]
        if value.ndim > 1 and value.shape[1] != 3:
            value = value[:, : value.shape[1] // 8]
        small[key] = value.clone()
    return small


@pytest.fixture
def small18(state18):
    return narrow(state18)


def ours(depth=18, classes=CLASSES, shift_stages=ALL, **options):
    return tsm_resnet(depth, classes, shift_stages=shift_stages, **options).eval()


def slim(depth=18, **options):
    return ours(depth, width=8, **options)


def unchanged_after(refused, model=None):
    """Run what must be refused with a ValueError; the network must stay as it was."""
    model = slim() if model is None else model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        refused(model)
    after = model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    return str(caught.value)


# --- the same scores ------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("zipped", [True, False])  # torch's format, and that of 2019
def test_a_published_file_gives_the_published_scores(tmp_path, tsm18, state18, zipped):
    path = tmp_path / "TSM_something_RGB_resnet18_shift8_blockres_avg_segment8_e45.pth"
    content = {"epoch": 45, "arch": "resnet18", "state_dict": state18, "best_prec1": 47.2}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    model = ours()
    load_checkpoint(model, path)
    assert torch.allclose(model(clips()), tsm18(clips()), atol=1e-5)


@torch.no_grad()
def test_published_scores_at_depth_50():
    original = livened(PublishedTSM(50))
    state = published(original)
    shifted = [key for key in state if ".net." in key]
    assert len(shifted) == 16
    assert "module.base_model.layer1.0.conv1.net.weight" in shifted
    model = ours(50)
    load_checkpoint(model, state)
    assert torch.allclose(model(clips()), original(clips()), atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("depth", [18, 50])
def test_mmaction2_gives_the_same_scores(depth):
    original = livened(MMAction2(depth))
    state = original.state_dict()
    assert "backbone.layer2.0.conv1.conv.net.weight" in state
    assert "backbone.layer2.0.downsample.bn.running_mean" in state
    model = ours(depth)
    load_checkpoint(model, {"meta": {"epoch": 50}, "state_dict": state})
    assert torch.allclose(model(clips()), original(clips()), atol=1e-5)


def test_depth_101_shifts_every_second_block():
    with torch.device("meta"):
        state = PublishedTSM(101, every=2).state_dict()
    state = {key: torch.zeros(()).expand(value.shape) for key, value in state.items()}
    load_checkpoint(slim(101), narrow(state))  # which compares the blocks that are shifted


def test_all_ways_to_write_the_names_are_read(small18):
    bare = {key.removeprefix("module."): value for key, value in small18.items()}
    inside = {key.replace("new_fc", "base_model.fc"): value for key, value in bare.items()}
    old = {key: value for key, value in small18.items() if "num_batches" not in key}
    half = {key: value.half() for key, value in small18.items()}
    for state in (bare, inside, old, half):
        model = slim()
        load_checkpoint(model, state)
        assert torch.allclose(model.fc.weight, bare["new_fc.weight"], atol=1e-3)


@torch.no_grad()
def test_our_own_checkpoints_are_read(tmp_path):
    trained = livened(slim())
    path = tmp_path / "checkpoint.pt"
    torch.save({"identity": {}, "epoch": 3, "model": trained.state_dict()}, path)
    for source in (path, str(path), trained.state_dict(), {"state_dict": trained.state_dict()}):
        model = slim()
        load_checkpoint(model, source)
        assert torch.equal(model(clips()), trained(clips()))


@torch.no_grad()
def test_torchvision_files_start_a_network(tmp_path):
    image = livened(torchvision.models.resnet18())
    path = tmp_path / "resnet18-f37072fd.pth"
    torch.save(image.state_dict(), path)
    model = ours(shift_stages=())
    load_checkpoint(model, path, new_classes=True)
    image.fc = model.fc
    frames = clips()[:, :1]
    assert torch.allclose(model(frames), image(frames[:, 0]), atol=1e-5)


@torch.no_grad()
def test_first_kernels_are_summed_for_grey_frames(tsm18, state18):
    model = ours(in_channels=1)
    load_checkpoint(model, state18)
    grey = clips(channels=1)
    assert torch.allclose(model(grey), tsm18(grey.expand(-1, -1, 3, -1, -1)), atol=1e-5)


def test_new_classes_keep_the_last_layer_of_the_network(small18):
    for count in (3, CLASSES):  # another data set may have the same number of classes
        model = slim(classes=count)
        before = model.fc.weight.clone()
        load_checkpoint(model, small18, new_classes=True)
        assert torch.equal(model.fc.weight, before)
        assert torch.equal(model.conv1.weight, small18["module.base_model.conv1.weight"])
    said = unchanged_after(lambda model: load_checkpoint(model, small18), slim(classes=3))
    assert "fc.bias (5,), wanted (3,)" in said
    assert "new_classes=True" in said
    headless = {key: value for key, value in small18.items() if "new_fc" not in key}
    said = unchanged_after(lambda model: load_checkpoint(model, headless))
    assert "missing: fc.bias, fc.weight" in said
    load_checkpoint(slim(), headless, new_classes=True)


def test_other_shifts_are_taken_on_demand_only(small18):
    plain = {key.replace(".net.", "."): value for key, value in small18.items()}
    later = {
        key.replace(".net.", ".") if "layer1" in key else key: value
        for key, value in small18.items()
    }
    for state, stages, there in [
        (plain, ALL, "in nothing, this network in layer1.0, layer1.1, layer2.0, layer2.1 and 4"),
        (
            later,
            ALL,
            "in layer2.0, layer2.1, layer3.0, layer3.1 and 2 more, this network",
        ),
        (small18, (2, 3, 4), "in layer1.0, layer1.1, layer2.0, layer2.1 and 4 more, this network"),
        (small18, (), "this network in nothing"),
    ]:
        model = slim(shift_stages=stages)
        said = unchanged_after(lambda model, state=state: load_checkpoint(model, state), model)
        assert there in said
        assert "other_shift=True" in said
        load_checkpoint(model, state, other_shift=True)
    for state, stages in [(plain, ()), (later, (2, 3, 4))]:
        load_checkpoint(slim(shift_stages=stages), state)


# --- nothing is loaded in part --------------------------------------------------------------------


def changed(state, **changes):
    return {**state, **{f"module.base_model.{k}": v for k, v in changes.items()}}


def test_networks_of_another_kind_are_refused_by_name(small18):
    nonlocal_block = {
        key.replace("layer2.0.", "layer2.0.block."): value for key, value in small18.items()
    }
    flow = changed(small18, **{"conv1.weight": torch.zeros(8, 10, 7, 7)})
    for state, what in [
        (nonlocal_block, "not in this network: layer2.0.block.conv1"),
        (flow, "another shape: conv1.weight (8, 10, 7, 7), wanted (8, 3, 7, 7)"),
        ({"s1.weight": torch.zeros(1)}, "not in this network: s1.weight"),
    ]:
        assert what in unchanged_after(lambda model, s=state: load_checkpoint(model, s))


def test_another_depth_or_width_is_refused(small18):
    for depth in (34, 50):
        deeper = slim(depth)
        said = unchanged_after(lambda model: load_checkpoint(model, small18), deeper)
        assert "missing: layer1" in said
        assert "Build it with the depth of the file" in said
    said = unchanged_after(lambda model: load_checkpoint(model, small18), ours(width=16))
    assert "another shape: conv1.weight (8, 3, 7, 7), wanted (16, 3, 7, 7)" in said
    assert "nothing was loaded" in said


def test_missing_and_unknown_names_are_refused(small18):
    fewer = dict(small18)
    del fewer["module.base_model.layer4.1.bn2.running_var"]
    said = unchanged_after(lambda model: load_checkpoint(model, fewer))
    assert "missing: layer4.1.bn2.running_var" in said
    more = changed(small18, **{"layer4.1.se.weight": torch.zeros(1)})
    said = unchanged_after(lambda model: load_checkpoint(model, more))
    assert "not in this network: layer4.1.se.weight" in said


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_checkpoint_of_nan_is_refused_by_name(small18, bad):
    # BatchNorm would hide it: a statistic that is NaN makes scores that are all alike
    state = slim().state_dict()
    state["layer3.0.bn1.running_var"] = state["layer3.0.bn1.running_var"].clone()
    state["layer3.0.bn1.running_var"][2] = bad
    said = unchanged_after(lambda model: load_checkpoint(model, state))
    assert "not finite, and nothing was loaded: in layer3.0.bn1.running_var" in said
    large = {**slim().state_dict(), "fc.bias": torch.full((CLASSES,), 1e300, dtype=torch.float64)}
    said = unchanged_after(lambda model: load_checkpoint(model, large))  # as float32 it is infinite
    assert "nothing was loaded: in fc.bias" in said


def test_the_threshold_of_an_adaptive_layer_is_infinite_before_its_training():
    layer = TemporalClustering("slope", 2, adaptive=True)
    model = slim(clustering=layer)
    load_checkpoint(model, model.state_dict())


def test_a_grey_checkpoint_is_not_for_colour():
    state = slim(in_channels=1).state_dict()
    said = unchanged_after(lambda model: load_checkpoint(model, state))
    assert "another shape: conv1.weight (8, 1, 7, 7), wanted (8, 3, 7, 7)" in said


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is no checkpoint, or not a whole one"),
        (b"<html>404 Not Found</html>", "is no checkpoint"),
        ([1, 2], "is a list without weights; wanted a dict of tensors by name"),
        ({"epoch": 3, "loss": 0.5}, "is a dict without weights; wanted a dict of tensors"),
        ({"state_dict": {}}, "wanted a dict of tensors by name"),
        ({"state_dict": {"conv1.weight": 3}}, "wanted a dict of tensors by name"),
        ({0: torch.zeros(1)}, "wanted a dict of tensors by name"),
    ],
)
def test_files_that_are_no_checkpoints_are_refused(tmp_path, content, what):
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    said = unchanged_after(lambda model: load_checkpoint(model, path))
    assert what in said
    assert str(path) in said


def test_half_a_file_is_refused(tmp_path, small18):
    path = tmp_path / "weights.pth"
    for zipped in (True, False):
        torch.save(small18, path, _use_new_zipfile_serialization=zipped)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        said = unchanged_after(lambda model: load_checkpoint(model, path))
        assert "is no checkpoint, or not a whole one" in said
    with pytest.raises(FileNotFoundError, match="none"):
        load_checkpoint(slim(), tmp_path / "none")


def test_a_bit_that_flipped_is_found_out(tmp_path, small18):
    path = tmp_path / "weights.pth"
    torch.save(small18, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    said = unchanged_after(lambda model: load_checkpoint(model, path))
    assert "the checksum of weights/data/" in said


class Opens:
    """What a hostile file does when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_code_in_a_file_is_never_run(tmp_path, small18):
    victim, path = tmp_path / "victim", tmp_path / "weights.pth"
    torch.save({"state_dict": small18, "extra": Opens(victim)}, path)
    said = unchanged_after(lambda model: load_checkpoint(model, path))
    assert "holds objects beside tensors" in said
    assert not victim.exists()
