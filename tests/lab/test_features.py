"""Features: what a network makes of clips, once, and heads that learn on it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.transforms.v2.functional import resize

from fvlib.contracts import require_clips
from fvlib.datasets import FrameSampler, InMemory
from fvlib.datasets.loading import batches
from fvlib.evaluation import Protocol, evaluate
from fvlib.models import tsm_resnet
from fvlib.training import Recipe, train
from lab.experiments.benchmarks import features_of
from lab.systems.heads import FeatureClassifier, FrameHead, VideoGraphHead, VLADHead

SHOWN = Protocol.sampled(4)
LENGTHS = np.array([5, 9, 4, 12, 7])


def network(seed=0, **options):
    torch.manual_seed(seed)
    return tsm_resnet(18, 3, width=4, in_channels=1, **options)


def stored(seed=0) -> InMemory:
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randint(0, 256, (LENGTHS.sum(), 1, 32, 32), generator=generator)
    targets = np.array([0, 2, 1, 0, 1])
    return InMemory(frames.to(torch.uint8), targets, LENGTHS, name="toy")


@pytest.mark.parametrize("side", [32, 24])
def test_features_are_those_of_each_clip_alone(side):
    model, clips = network().train(), stored()
    found = features_of(model, clips, replace(SHOWN, resolution=side))
    assert model.training
    assert len(found) == 5
    assert found.frames.shape == (20, 32, 1, 1)
    model.eval()
    for i, t in enumerate(LENGTHS.tolist()):
        middle = [int(t / 4 * (j + 0.5)) for j in range(4)]
        x = resize(clips.read(i, np.array(middle)), [side, side], antialias=True)
        y = model.features(x[None])
        kept = found.read(i, np.arange(4))
        torch.testing.assert_close(kept[None].float(), y, atol=2e-3, rtol=2e-3)
        assert torch.equal(found.read(i, np.array([2, 0])), kept[[2, 0]])
    (batch,) = batches(found, [np.array([3, 0])], FrameSampler("all"))
    assert (batch.x.dtype, batch.x.shape) == (torch.float16, (2, 4, 32, 1, 1))
    assert batch.target.tolist() == [0, 0]
    assert torch.equal(batch.x[1], found.read(0, np.arange(4)))
    require_clips(found, 3)


def test_what_cannot_be_taken_is_refused():
    nothing = InMemory(torch.zeros(0, 4, 1, 32, 32, dtype=torch.uint8), torch.zeros(0).long())
    with pytest.raises(ValueError, match="no clips"):
        features_of(network(), nothing, SHOWN)
    huge = network()
    huge.layer4[1].bn2.weight.data *= 1e8
    with pytest.raises(FloatingPointError, match="features are beyond half"):
        features_of(huge, stored(), SHOWN)


def task(clips=49, t=4, seed=0) -> InMemory:
    """Nothing, stripes across and stripes down, under noise."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(clips) % 3
    videos = torch.randint(0, 128, (clips, t, 1, 32, 32), generator=generator)
    videos[1::3, :, :, ::4] += 127
    videos[2::3, :, :, :, ::4] += 127
    return InMemory(videos.to(torch.uint8), targets)


HEADS = {
    "frames": lambda: FrameHead(32, 3, hidden=16),
    "vlad": lambda: VLADHead(32, 3, features=16, centres=4, hidden=16),
    "videograph": lambda: VideoGraphHead(32, 3, features=16, nodes=16, hidden=16),
}


@pytest.fixture(scope="module")
def sets():
    return [features_of(network(), task(seed=seed), SHOWN) for seed in (0, 1)]


@pytest.mark.parametrize(
    ("kind", "frames"), [("frames", "all"), ("frames", 3), ("vlad", 4), ("videograph", "all")]
)
def test_heads_learn_and_are_tested_as_any_network(sets, kind, frames):
    torch.manual_seed(0)
    model = FeatureClassifier(HEADS[kind]())
    # 49 clips by 16: the last step of every epoch has one clip.
    recipe = Recipe(epochs=20, frames=frames, batch_size=16, lr=0.02, autocast=frames == 3)
    history = train(model, sets[0], recipe, seed=0, classes=["a", "b", "c"])
    assert history.train_loss[-1] < 0.5 * history.train_loss[0]
    result = evaluate(model, sets[1], Protocol(frames, False), batch_size=5)
    assert result.top1 > 90
    assert np.array_equal(result.target, task(seed=1).targets)
