"""fvlib.full_video: the clustering step in image networks as they come."""

from copy import deepcopy
from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import get_model, resnet18
from torchvision.models.convnext import CNBlock
from torchvision.ops import SqueezeExcitation

from fvlib import Protocol, Recipe, TemporalClustering, evaluate, full_video, train, tsm_resnet
from fvlib.contracts import VideoNetwork
from fvlib.cost import multiply_adds, predicted_peak
from fvlib.datasets import InMemory
from fvlib.models.batchnorm import BatchNorm
from fvlib.models.full_video import SPLITS, image_network
from fvlib.training import parameter_groups

timm_is_there = pytest.mark.skipif(find_spec("timm") is None, reason="timm is not installed")
NETWORKS = [
    pytest.param(name, marks=timm_is_there if name.startswith("timm/") else ())
    for name in (
        *("resnet18", "regnet_y_400mf", "convnext_tiny", "efficientnet_b0", "mobilenet_v3_small"),
        *("mobilenet_v3_large", "timm/regnety_004", "timm/convnext_atto"),
    )
]


def small(*, norm=True, shortcut=False):
    """An image network of two convolutions, with layers of all kinds before and behind them."""
    torch.manual_seed(0)
    return Small(norm, shortcut)


class Small(nn.Module):
    def __init__(self, norm=True, shortcut=False):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.5))
        self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(16) if norm else nn.Identity()
        self.drop = nn.Dropout(0.5)
        self.block = CNBlock(16, 1e-1, 0.5)
        self.squeeze = SqueezeExcitation(16, 8)
        self.conv = nn.Conv2d(16, 32, 3)
        self.late_norm = nn.BatchNorm2d(32)
        self.head = nn.Linear(32, 3)
        self.shortcut = shortcut
        if norm:
            nn.init.normal_(self.norm.running_mean, std=0.3)
            nn.init.uniform_(self.norm.running_var, 0.5, 2)

    def forward(self, x):
        x = F.silu(self.norm(self.stem(self.scale * x)), inplace=True)
        y = self.squeeze(self.block(self.drop(x)))
        y = y + x if self.shortcut else y
        return self.head(self.late_norm(self.conv(y)).relu().mean((2, 3)))


def step_of(g=2, method="cumulative"):
    return TemporalClustering(method, g)


def clips(n=2, t=5, side=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, t, 3, side, side, generator=generator).cumsum(1)


def of_frames(backbone, x):
    """The backbone's own answer to every frame, averaged over each clip."""
    return backbone(x.flatten(0, 1)).unflatten(0, x.shape[:2]).mean(1)


# ---- the null setting, and the step itself ----


@torch.no_grad()
@pytest.mark.parametrize("name", NETWORKS)
def test_without_clusters_and_with_g_frames_it_is_the_backbone_to_the_last_bit(name):
    torch.manual_seed(0)
    backbone = image_network(name, 5)
    model = full_video(backbone, after=SPLITS[name], clustering=step_of(3)).eval()
    assert isinstance(model, VideoNetwork)
    x = clips(2, 3, side=32)
    wanted = of_frames(backbone, x)
    assert wanted.std() > 0
    assert torch.equal(model(x, cluster=False), wanted)
    found, labels = model(x, return_labels=True)
    assert torch.equal(found, wanted)
    assert labels.tolist() == [[0, 1, 2]] * 2
    model.clustering = None
    assert torch.equal(model(x), wanted)
    assert (model.num_classes, model.in_channels) == (5, 3)
    assert model.get_submodule(model.last).out_features == 5


@torch.no_grad()
def test_frames_go_up_to_the_split_point_and_the_means_of_clusters_behind_it():
    backbone = small().eval()
    model = full_video(backbone, after="block", clustering=step_of(2)).eval()
    x = clips(2, 5)
    seen = []
    backbone.stem.register_forward_hook(lambda *a: seen.append(len(a[2])))
    backbone.conv.register_forward_hook(lambda *a: seen.append(len(a[2])))
    found, labels = model(x, return_labels=True)
    assert seen == [10, 0, 4]

    y = F.silu(backbone.norm(backbone.stem(backbone.scale * x.flatten(0, 1))))
    y = backbone.block(y).unflatten(0, (2, 5))
    bits = (y > 0).flatten(2)
    curve = F.pad((bits[:, 1:] != bits[:, :-1]).sum(2).cumsum(1), (1, 0))
    wanted = (2 * curve // curve[:, -1:]).clamp(max=1)
    assert torch.equal(labels, wanted)
    means = [y[i, labels[i] == k].mean(0) for i in range(2) for k in range(2)]
    y = backbone.late_norm(backbone.conv(backbone.squeeze(torch.stack(means)))).relu()
    logits = backbone.head(y.mean((2, 3))).unflatten(0, (2, 2)).mean(1)
    torch.testing.assert_close(found, logits)


@torch.no_grad()
def test_clips_of_several_lengths_do_not_know_of_one_another():
    model = full_video(small(), after="block", clustering=step_of(3)).eval()
    x = clips(2, 5)
    both = model(x, torch.tensor([5, 2]))
    torch.testing.assert_close(both[0], model(x[:1])[0])
    torch.testing.assert_close(both[1], model(x[1:, :2], torch.tensor([2]))[0])


@torch.no_grad()
def test_pixels_are_normalised_as_the_backbone_wants_them():
    backbone = small()
    pixels = torch.randint(0, 256, (1, 2, 3, 16, 16), dtype=torch.uint8)
    model = full_video(backbone, after="stem").eval()
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normal = (pixels / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    torch.testing.assert_close(model(pixels), of_frames(backbone, normal))
    backbone.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
    model = full_video(backbone, after="stem").eval()
    torch.testing.assert_close(model(pixels), of_frames(backbone, (pixels / 255 - 0.5) / 0.25))


def test_multiply_adds_are_those_of_t_frames_and_g_clusters():
    model = full_video(resnet18(num_classes=3), clustering=step_of(2))
    same = tsm_resnet(18, 3, clustering=step_of(2))
    assert multiply_adds(model, (1, 6, 3, 64, 64)) == multiply_adds(same, (1, 6, 3, 64, 64))


# ---- shift ----

BLOCKS = [f"layer{stage}.{block}.conv1" for stage in (2, 3, 4) for block in (0, 1)]


@pytest.mark.parametrize("options", [{}, {"chunk": 2, "early_statistics": "running"}])
def test_a_resnet_with_shift_is_the_tsm_network(options):
    torch.manual_seed(0)
    tsm = tsm_resnet(18, 3, width=64, clustering=step_of(), dropout=0.0, **options).double()
    nn.init.normal_(tsm.fc.weight, std=0.1)
    backbone = resnet18(num_classes=3).double()
    backbone.load_state_dict(tsm.state_dict())
    model = full_video(backbone, clustering=step_of(), shift=BLOCKS, **options)
    x, target = clips(2, 5, side=32).double(), torch.tensor([0, 2])
    grads = []
    for network in (model.backbone, tsm):
        network = model if network is backbone else tsm
        logits, labels = network(x, return_labels=True)
        F.cross_entropy(logits, target).backward()
        grads.append((logits, labels, [p.grad for p in network.parameters()]))
    assert torch.equal(grads[0][1], grads[1][1])
    torch.testing.assert_close(grads[0][::2], grads[1][::2], rtol=1e-9, atol=1e-9)
    for name, value in tsm.state_dict().items():  # running statistics too
        torch.testing.assert_close(backbone.state_dict()[name], value, rtol=1e-9, atol=1e-12)


@torch.no_grad()
def test_shift_before_the_step_sees_frames_and_stays_off_where_there_are_no_images():
    backbone = nn.Sequential(
        *(nn.Conv2d(3, 16, 1), nn.Conv2d(16, 16, 1), nn.Conv2d(16, 3, 1)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )
    model = full_video(backbone, after="1", clustering=step_of(), shift=("1", "2")).eval()
    x = clips(1, 4)
    y = backbone[0](x[0])
    for conv in backbone[1:3]:
        before, after = F.pad(y[:-1, 2:4], (0,) * 7 + (1,)), F.pad(y[1:, :2], (0,) * 7 + (1,))
        before = before.roll(1, 0)
        y = conv(torch.cat([after, before, y[:, 4:]], 1))
    torch.testing.assert_close(model(x, cluster=False)[0], y.mean((0, 2, 3)))
    torch.testing.assert_close(of_frames(backbone, x), backbone(x[0]).mean(0)[None])
    model.chunk = 2
    with pytest.raises(ValueError, match="1 before 1 shifts channels between frames"):
        model(x)


# ---- training, and chunks ----


def gradients(model, x, lengths=None):
    """Scores, and all gradients by name, of a training step; the model is left as it was."""
    model = deepcopy(model)
    torch.manual_seed(0)
    logits = model(x, lengths)
    F.cross_entropy(logits, torch.arange(len(x)) % 3).backward()
    return logits, {name: p.grad for name, p in model.named_parameters()}, model.state_dict()


@pytest.mark.parametrize(
    ("make", "after", "statistics", "chunk"),
    [
        (small, "block", "running", 1),
        (small, "block", "running", 3),
        (small, "block", "running", 100),
        (small, "block", "detached", 3),
        (small, "norm", "running", 4),  # behind which an activation works in place
        (partial(small, norm=False), "squeeze", "batch", 2),
        (partial(small, norm=False), "stem", "batch", 2),
        (partial(image_network, "mobilenet_v3_small", 3), "features.1", "running", 3),
        pytest.param(
            *(partial(image_network, "timm/mobilenetv3_small_100", 3), "blocks.0", "running", 3),
            marks=timm_is_there,
        ),
    ],
)
def test_chunks_give_the_gradient_of_all_frames_at_once(make, after, statistics, chunk):
    torch.manual_seed(0)
    backbone = make().double()
    model = full_video(backbone, after=after, clustering=step_of(), early_statistics=statistics)
    x, lengths = clips(2, 5, side=32).double(), torch.tensor([5, 4])
    logits, wanted, state = gradients(model, x, lengths)
    model.chunk = chunk
    again, found, state_again = gradients(model, x, lengths)
    torch.testing.assert_close(again, logits, rtol=1e-10, atol=1e-12)
    assert found.keys() == wanted.keys()
    for name, grad in wanted.items():
        # A bias before BatchNorm has none but for roundings.
        assert (found[name] - grad).norm() <= 1e-10 * grad.norm() + 1e-13, name
    torch.testing.assert_close(state_again, state, rtol=1e-10, atol=1e-12)


def test_a_training_step_without_clusters_is_the_backbone_s_own():
    torch.manual_seed(0)
    backbone = resnet18(num_classes=3)
    plain, model = deepcopy(backbone), full_video(backbone)
    x = clips(2, 3, side=32)
    assert torch.equal(model(x), of_frames(plain, x))
    for name, value in plain.state_dict().items():  # statistics follow once, in both parts
        assert torch.equal(backbone.state_dict()[name], value), name
    assert type(backbone.bn1) is BatchNorm
    assert backbone.bn1.num_batches_tracked == backbone.layer4[0].bn1.num_batches_tracked == 1


def test_before_the_step_nothing_is_random_in_training():
    model = full_video(small(), after="block", early_statistics="running")
    on = {name for name, module in model.backbone.named_modules() if module.training}
    assert not on & {"stem", "drop", "block", "block.stochastic_depth"}
    assert on > {"", "norm", "conv", "late_norm", "head"}
    x = clips(1, 3)[0]
    assert torch.equal(model.encode(x), model.encode(x))
    assert not any(module.training for module in model.eval().modules())


def test_memory_of_a_chunk_is_found_and_foretold():
    model = full_video(small(), after="block", clustering=step_of(), early_statistics="running")
    needed = model.bytes_a_frame((3, 16, 16))
    assert needed > 4 * 16 * 8 * 8 * 5
    model.chunk, model.memory = "auto", 3 * needed
    assert model.frames_at_once((3, 16, 16)) == 3
    assert model.training
    few, many = (predicted_peak(model, (1, t, 3, 16, 16)) for t in (4, 4000))
    assert many == few


def test_training_and_evaluation_take_it():
    torch.manual_seed(0)
    frames = torch.randint(0, 60, (12, 4, 3, 16, 16), dtype=torch.uint8)
    target = torch.arange(12) % 3
    frames[torch.arange(12), :, target] += 190  # the class is the brightest colour
    data = InMemory(frames, target)
    model = full_video(small(), after="block", clustering=step_of(), chunk=3, shift=("conv",))
    recipe = Recipe(
        **{"epochs": 4, "batch_size": 4, "lr": 0.05, "frames": "all"},
        **{"warmup_epochs": 1, "warmup_frames": 2, "early_statistics": "running"},
    )
    history = train(model, data, recipe, seed=0, classes=["r", "g", "b"])
    assert history.train_loss[-1] < history.train_loss[0]
    assert model.early_statistics == "running"
    found = evaluate(model, data, Protocol.clustered(), autocast=False)
    assert found.top1 == 100
    with torch.no_grad():
        wanted = model.eval()(frames)
    np.testing.assert_allclose(found.scores, wanted.numpy(), rtol=1e-4, atol=1e-5)


def test_the_last_layer_learns_faster_and_norms_do_not_decay():
    model = full_video(small(), after="block")
    groups = {group["name"]: group for group in parameter_groups(model, 1.0, 1e-4)}
    network = model.backbone
    assert groups["fc_weight"]["params"] == [network.head.weight]
    norms = (network.norm, network.block.block[2], network.late_norm)
    assert {id(p) for p in groups["norm"]["params"]} == {
        id(p) for norm in norms for p in norm.parameters()
    }
    assert groups["norm"]["weight_decay"] == 0


# ---- what cannot work ----


class Centred(nn.Module):
    def forward(self, x):
        return x - x.mean(0)


class Skipping(nn.Sequential):
    def forward(self, x):
        for layer in [*self][1:]:
            x = layer(x)
        return x


class Twice(nn.Sequential):
    def forward(self, x):
        return super().forward(self[0](x))


def chain(*layers):
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))


CONV = partial(nn.Conv2d, 3, 3, 3, padding=1)


@pytest.mark.parametrize(
    ("backbone", "after", "said"),
    [
        (lambda: chain(CONV(), Centred(), CONV()), "2", r"1 \(Centred\) mixes the images"),
        (lambda: chain(CONV(), CONV(), Centred()), "1", r"2 \(Centred\) mixes the images"),
        (
            lambda: chain(CONV(), nn.BatchNorm2d(3, track_running_stats=False), CONV()),
            *("0", r"1 \(BatchNorm2d\) mixes the images"),
        ),
        (lambda: Twice(*chain(CONV())), "0", "0 is called 2 times"),
        (lambda: chain(CONV(), nn.Sequential()), "1.no", "after is '1.no'; in Sequential there"),
        (lambda: small(norm=False, shortcut=True), "block", "goes around it"),
        (lambda: resnet18(num_classes=2), "layer2.0.conv1", "goes around it"),
        (lambda: resnet18(num_classes=2), "fc", r"fc gives \(2, 2\) for 2 images"),
        (lambda: resnet18(num_classes=2), "layer5", "after is 'layer5'; in ResNet there are conv1"),
        (lambda: Skipping(*chain(CONV(), CONV())), "0", "0 is called 0 times"),
        (lambda: nn.Sequential(CONV(), CONV()), "0", r"gives \(2, 3, 64, 64\) for 2 images"),
        (lambda: chain(nn.Conv2d(3, 4, 1)), "0", r"takes no images of \(3, 224, 224\)"),
        (lambda: tsm_resnet(18, 3, width=4), "layer1", "takes no images"),
        (lambda: nn.ReLU(), "", "backbone is ReLU"),
        (lambda: "resnet18", "layer1", "backbone is 'resnet18'; wanted an image network"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_cannot_work_is_refused_with_the_reason(backbone, after, said):
    with pytest.raises(ValueError, match=said):
        full_video(backbone(), after=after)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"shift": ("stem",)}, "shift names 'stem', which is Conv2d.*8 channels or more"),
        ({"shift": ("head",)}, "shift names 'head', which is Linear"),
        ({"shift": ("convs",)}, "shift names 'convs', which is never called"),
        ({"chunk": 0}, "chunk is 0"),
        ({"memory": -1}, "memory is -1"),
        ({"clustering": "cumulative"}, "clustering is 'cumulative'; a layer was wanted"),
        ({"early_statistics": "none"}, "early_statistics is 'none'; choose one of 'batch'"),
    ],
)
def test_options_are_refused_with_the_reason(options, said):
    with pytest.raises(ValueError, match=said):
        full_video(small(), **{"after": "block", **options})


def test_chunks_do_not_go_with_the_statistics_of_a_batch():
    model = full_video(small(), after="block", clustering=step_of(), chunk=2)
    with pytest.raises(ValueError, match="BatchNorm before the clustering step"):
        model(clips())
    assert model.eval()(clips()).isfinite().all()


class OwnNorm(nn.BatchNorm2d):
    """BatchNorm and an activation in one, as timm has it."""

    def forward(self, x):
        return super().forward(x).relu()


def test_batchnorm_of_another_kind_uses_its_running_statistics_in_eval_mode():
    backbone = chain(CONV(), OwnNorm(3), CONV())
    model = full_video(backbone, after="1", clustering=step_of(), chunk=2)
    with pytest.raises(ValueError, match="BatchNorm before 1 would see chunks"):
        model(clips())
    with pytest.raises(ValueError, match="there is OwnNorm, which cannot"):
        model.early_statistics = "detached"
    model.early_statistics = "running"
    model(clips()).sum().backward()
    assert backbone[1].num_batches_tracked == 0
    assert backbone[1].weight.grad.abs().sum() > 0
    model.early_statistics = "batch"
    model(clips(), cluster=False)
    assert backbone[1].num_batches_tracked == 1


# ---- networks by name ----


def test_weights_of_torchvision_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    torch.manual_seed(0)
    whole = get_model("mobilenet_v3_small")
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    torch.save(whole.state_dict(), folder / "mobilenet_v3_small-047dcff4.pth")
    model = image_network("mobilenet_v3_small", 7, weights="IMAGENET1K_V1")
    for name, value in model.state_dict().items():
        if name.startswith("classifier.3"):
            assert len(value) == 7
        else:
            assert torch.equal(value, whole.state_dict()[name])
    every = image_network("mobilenet_v3_small", 1000, weights="DEFAULT")
    assert torch.equal(every.classifier[3].weight, whole.classifier[3].weight)


def test_weights_that_are_not_there_are_asked_for(tmp_path, monkeypatch):
    def no_network(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", no_network)
    with pytest.raises(OSError, match=r"no network.*put the file efficientnet_b0.*TORCH_HOME"):
        image_network("efficientnet_b0", 3, weights="DEFAULT")


def test_names_of_networks_and_weights_are_checked(monkeypatch):
    with pytest.raises(ValueError, match="the network is 'resnet19'; torchvision has alexnet"):
        image_network("resnet19", 3)
    with pytest.raises(ValueError, match="weights of mobilenet_v3_small"):
        image_network("mobilenet_v3_small", 3, weights="V9")
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"timm is not installed; pip install 'fvlib\[timm"
    ):
        image_network("timm/resnet18", 3)


@timm_is_there
def test_names_of_timm_are_checked(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(OSError, match=r"the weights V1 of timm/resnet18 could not be had.*HF_HOME"):
        image_network("timm/resnet18", 3, weights="V1")
    with pytest.raises(ValueError, match="the network is timm/resnet19"):
        image_network("timm/resnet19", 3)
