"""Features on disk: what a network makes of clips, once, and heads that learn on it."""

from dataclasses import replace
from pathlib import Path

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
from lab.experiments.features import extract
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


class Watched:
    """Clips that count how often they are read, and fail at one of them."""

    def __init__(self, clips, fails=None):
        self.clips, self.fails, self.found = clips, fails, []
        self.lengths, self.targets = clips.lengths, clips.targets

    def __len__(self):
        return len(self.clips)

    def read(self, i, frames):
        self.found.append(i)
        # All clips are read for their sum before the first goes through the network.
        if i == self.fails and self.found.count(i) == 2:
            raise OSError("the disk is gone")
        return self.clips.read(i, frames)


def files(cache: Path) -> dict[str, bytes]:
    return {file.suffix: file.read_bytes() for file in cache.iterdir()}


@pytest.mark.parametrize("side", [32, 24])
def test_features_are_those_of_each_clip_alone(tmp_path, side):
    model, clips = network().train(), stored()
    found = extract(model, clips, replace(SHOWN, resolution=side), tmp_path)
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


def test_what_is_there_is_not_made_again(tmp_path):
    first = extract(network(), stored(), SHOWN, tmp_path)
    before, watched = files(tmp_path), Watched(stored())
    again = extract(network(), watched, SHOWN, tmp_path)
    assert files(tmp_path) == before
    assert watched.found == [0, 1, 2, 3, 4]  # for the sum alone
    assert torch.equal(again.frames, first.frames)
    assert list(before) == [".npy"]
    assert first.frames.dtype == torch.float16


def test_an_interrupted_run_leaves_nothing_that_could_be_taken_for_all(tmp_path):
    with pytest.raises(OSError, match="the disk is gone"):
        extract(network(), Watched(stored(), fails=3), SHOWN, tmp_path / "parts")
    assert files(tmp_path / "parts") == {}
    for cache in ("parts", "whole"):
        extract(network(), stored(), SHOWN, tmp_path / cache)
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


def shifted():
    model = network()
    model.layer3[0].shift = False
    return model


def moved():
    model = network()
    model.layer4[1].bn2.running_mean[0] += 1e-3
    return model


OTHERS = {
    "weights": {"model": network(1)},
    "statistics": {"model": moved()},
    "shift": {"model": shifted()},
    "structure": {"model": network(stem_pool=False)},
    "clips": {"clips": stored(1)},
    "crop": {"protocol": replace(SHOWN, resolution=24)},
    "frames": {"protocol": replace(SHOWN, frames=3)},
    "order": {"protocol": replace(SHOWN, order="reversed")},
}


def extracted(cache, model=None, clips=None, protocol=SHOWN):
    clips = stored() if clips is None else clips
    return extract(model or network(), clips, protocol, cache)


@pytest.mark.parametrize("other", OTHERS)
def test_what_changes_features_changes_their_name(tmp_path, other):
    first = extracted(tmp_path)
    second = extracted(tmp_path, **OTHERS[other])
    assert len(list(tmp_path.iterdir())) == 2
    assert not torch.equal(first.frames, second.frames)


def test_the_last_layer_does_not_matter(tmp_path):
    extracted(tmp_path)
    before, model = files(tmp_path), network()
    torch.nn.init.normal_(model.fc.weight)
    extracted(tmp_path, model=model)
    assert files(tmp_path) == before


def test_what_cannot_be_kept_is_refused(tmp_path):
    for protocol in (
        Protocol("all", False),
        Protocol(4, True),
        replace(SHOWN, views=2),
        replace(SHOWN, sampling="random"),
        Protocol(4, False, scale=32, crop=32, crops=3),
    ):
        with pytest.raises(ValueError, match="features are kept of a fixed number of frames"):
            extracted(tmp_path, protocol=protocol)
    nothing = InMemory(torch.zeros(0, 4, 1, 32, 32, dtype=torch.uint8), torch.zeros(0).long())
    with pytest.raises(ValueError, match="no clips"):
        extracted(tmp_path, clips=nothing)
    assert list(tmp_path.iterdir()) == []
    huge = network()
    huge.layer4[1].bn2.weight.data *= 1e8
    with pytest.raises(FloatingPointError, match="clip 0 has features beyond half"):
        extracted(tmp_path, model=huge)


def test_a_damaged_file_is_named(tmp_path):
    extracted(tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match=f"{file.name} is damaged .*; delete it"):
        extracted(tmp_path)


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
def sets(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return [extracted(cache, clips=task(seed=seed)) for seed in (0, 1)]


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
