"""The other systems as networks: published sizes, what order means to them, what they can learn."""

import numpy as np
import pytest
import torch
from shared import noise_clips as clips

from fvlib import cost
from fvlib.datasets import InMemory
from fvlib.evaluation import Protocol, evaluate
from fvlib.training import Recipe, train
from lab.flow import FlowStacks, flow_clips
from lab.systems import NETWORKS

OWN = {"trn_multiscale": {"frames": 6}}
# Whether the frames' order changes what a network says of a clip.
READS_TIME = {
    **dict.fromkeys(("tsm", "trn_multiscale", "stm", "videograph", "dynamic_image"), True),
    **dict.fromkeys(("checkpointed", "stochastic_backprop"), True),
    **dict.fromkeys(("tsn", "action_vlad", "resnet_frames"), False),
}


def network(name, classes=4, **options):
    torch.manual_seed(0)
    options = {"width": 8, "stem_pool": False, "dropout": 0.0, **OWN.get(name, {}), **options}
    return NETWORKS[name](18, classes, **options)


def test_every_network_is_known_to_read_time_or_not():
    assert READS_TIME.keys() == NETWORKS.keys()


@pytest.mark.parametrize("name", NETWORKS)
def test_order_matters_to_those_that_read_time(name):
    model, x = network(name).double().eval(), clips().double()
    with torch.no_grad():
        forward, shuffled = model(x), model(x[:, [3, 0, 5, 1, 4, 2]])
    if READS_TIME[name]:
        assert not torch.allclose(forward, shuffled, rtol=1e-4)
    else:
        torch.testing.assert_close(forward, shuffled)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_gets_a_gradient(name):
    model = network(name)
    torch.nn.init.normal_(getattr(model, "fc", model.conv1).weight)
    if name == "stochastic_backprop":
        model.share = 1.0
    model(clips(n=4)).square().sum().backward()
    silent = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert silent == set()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_clip_alone_gives_what_it_gives_in_a_batch(name):
    model, x = network(name).double().eval(), clips(n=3).double()
    with torch.no_grad():
        torch.testing.assert_close(model(x[1:2]), model(x)[1:2])


@pytest.mark.parametrize("name", NETWORKS)
def test_features_are_there_before_the_head(name):
    found = network(name).eval().features(clips(), upto="layer2")
    frames = 1 if name == "dynamic_image" else 6
    assert found.shape == (2, frames, 16, 8, 8)


@pytest.mark.parametrize(
    ("name", "millions", "giga"),
    [
        ("tsm", 23.86, 32.70),  # TSM, Table 1: 24.3 M and 33 G with another number of classes
        ("tsn", 23.86, 32.70),
        ("stm", 24.04, 33.03),  # STM, Table 1: 33 G
        ("trn_multiscale", 26.64, 32.71),
    ],
)
def test_published_structure(name, millions, giga):
    own = {"frames": 8} if name == "trn_multiscale" else {}
    model = NETWORKS[name](50, 174, **own).to("meta")
    assert cost.parameter_count(model) / 1e6 == pytest.approx(millions, abs=0.005)
    assert cost.multiply_adds(model, (1, 8, 3, 224, 224)) / 1e9 == pytest.approx(giga, abs=0.005)


def test_stm_is_refused_in_chunks():
    from fvlib.clustering import TemporalClustering

    clustering = TemporalClustering("uniform", 2)
    model = network("stm", clustering=clustering, chunk=2, early_statistics="running")
    with pytest.raises(ValueError, match="STM's looks at them"):
        model(clips())


def bars(reversals, count=96, t=6, size=16):
    """Clips of a bar that moves to the right, 1, or back, 0; else one that stands left or right."""
    generator = torch.Generator().manual_seed(1)
    videos = torch.randint(0, 60, (count, t, 1, size, size), generator=generator, dtype=torch.uint8)
    target = torch.arange(count) % 2
    for i in range(count):
        for frame in range(t):
            place = 2 + 2 * (frame if target[i] else t - 1 - frame)
            if not reversals:
                place = 3 if target[i] else 11
            videos[i, frame, :, :, place : place + 2] = 250
    return InMemory(videos, target)


def accuracy(name, reversals):
    """In percent, on the clips that it was trained on, so that only what it can see limits it."""
    model, shown = network(name, classes=2, in_channels=1), bars(reversals)
    rate = 0.005 if name == "trn_multiscale" else 0.02
    epochs = 12 if name == "videograph" else 6  # until its running statistics have come along
    recipe = Recipe(epochs=epochs, frames="all", batch_size=16, lr=rate, autocast=False)
    history = train(model, shown, recipe, seed=0, classes=["a", "b"])
    assert history.train_loss[-1] < history.train_loss[0]
    return evaluate(model, shown, Protocol("all", False), autocast=False).top1


@pytest.mark.parametrize("name", NETWORKS)
def test_what_stands_in_the_frames_is_learned(name):
    assert accuracy(name, reversals=False) >= 95


@pytest.mark.parametrize("name", ["tsm", "trn_multiscale", "stm", "videograph", "dynamic_image"])
def test_direction_is_learned_by_those_that_read_time(name):
    assert accuracy(name, reversals=True) >= 90


@pytest.mark.parametrize(("name", "count"), [("tsn", 3), ("dynamic_image", 1)])
def test_a_network_on_flow_tells_directions_from_what_moves(name, count, tmp_path):
    pytest.importorskip("cv2", reason="OpenCV is not installed: the extra flow")
    generator = torch.Generator().manual_seed(0)
    scenes = torch.randint(0, 255, (48, 1, 12, 24), generator=generator, dtype=torch.uint8)
    scenes = scenes.repeat_interleave(3, 2).repeat_interleave(3, 3)  # a texture of 3x3 pixels
    target = np.arange(48) % 2
    videos = [
        torch.stack([scene.roll((1 - 2 * int(k)) * 2 * i, 2)[..., 18:42] for i in range(5)])
        for scene, k in zip(scenes, target, strict=True)
    ]
    stored = InMemory(torch.stack(videos), target, name="bars")
    flow = flow_clips(stored, tmp_path)
    shown = FlowStacks(flow, count) if count > 1 else flow
    model = network(name, classes=2, in_channels=2 * count)
    frames = 1 if name == "tsn" else "all"
    recipe = Recipe(epochs=6, frames=frames, batch_size=8, lr=0.02, autocast=False)
    train(model, shown, recipe, seed=0, classes=["right", "left"])
    assert evaluate(model, shown, Protocol(frames, False), autocast=False).top1 >= 90


@pytest.mark.parametrize("name", ["tsn", "action_vlad", "resnet_frames"])
def test_direction_is_chance_for_those_that_do_not(name):
    model = network(name, classes=2, in_channels=1)
    shown = bars(reversals=True)
    videos = shown.frames.unflatten(0, (len(shown), -1))
    both = np.concatenate([shown.targets, 1 - shown.targets])
    shown = InMemory(torch.cat([videos, videos.flip(1)]), both)
    recipe = Recipe(epochs=3, frames="all", batch_size=16, lr=0.02, autocast=False)
    train(model, shown, recipe, seed=0, classes=["a", "b"])
    result = evaluate(model, shown, Protocol("all", False), autocast=False)
    half = len(shown) // 2
    assert (result.prediction[:half] == result.prediction[half:]).all()
    assert result.top1 == 50
