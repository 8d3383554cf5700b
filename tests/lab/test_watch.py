"""Clusters followed through a training, and protocols with other orders of frames."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from fvlib.clustering import TemporalClustering
from fvlib.datasets import InMemory
from fvlib.evaluation import Protocol
from fvlib.models import TSMResNet, tsm_resnet
from fvlib.training import Recipe, train
from lab.experiments.protocols import orders_of
from lab.experiments.watch import ClusterWatch
from lab.parameters import Trained

LENGTHS = np.array([7, 5, 9, 12, 6, 8, 11])
TARGETS = np.array([0, 0, 1, 1, 0, 2, 1])
FEW = [0, 2, 5, 1, 3, 4]  # the first of each class, then the others
PLACE = {"scale": "smoke", "data": "embedded"}
NETWORK = {"depth": 18, "method": "cumulative", "clusters": 3}
SETTINGS = Trained(**PLACE, **NETWORK, epochs=1, autocast=False)
CLUSTERED = Protocol("all", True)


def noise() -> InMemory:
    shape = (int(LENGTHS.sum()), 1, 16, 16)
    frames = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0))
    return InMemory(frames.to(torch.uint8), TARGETS, LENGTHS, name="toy")


def network(seed=0) -> TSMResNet:
    torch.manual_seed(seed)
    options = {"width": 4, "in_channels": 1, "dropout": 0.0}
    return tsm_resnet(18, 3, clustering=TemporalClustering("cumulative", 3), **options)


def sizes_by_hand(model, i, stride=1):
    """Frames in each cluster of clip i, shown alone."""
    frames = noise().read(i, np.arange(0, LENGTHS[i], stride))
    with torch.no_grad():
        _, labels = model.eval()(frames[None], return_labels=True)
    return [int((labels == j).sum()) for j in range(3)]


@pytest.mark.parametrize("stride", [1, 2])
def test_the_sizes_are_those_of_the_labels_that_the_network_gives(tmp_path, stride):
    model = network().train()
    protocol = Protocol("all", True, stride=stride)
    watch = ClusterWatch(noise(), protocol, tmp_path / "run.pt", SETTINGS)
    watch.begin(model)
    assert model.training
    assert watch.few.tolist() == FEW
    found = watch.end(model)
    assert found["cluster_sizes"].dtype == np.uint16
    assert found["cluster_sizes"].tolist() == [[sizes_by_hand(model, i, stride) for i in FEW]]
    assert found["moved"].tolist() == [0] * 7
    sizes = np.array([sizes_by_hand(model, i, stride) for i in range(7)])
    np.testing.assert_allclose(found["spread"], 100 * sizes.std(1) / sizes.mean(1), rtol=1e-6)
    assert [file.name for file in tmp_path.iterdir()] == ["run.clusters.npz"]  # until the record


def test_a_frame_budget_changes_nothing(tmp_path):
    results = []
    for budget in ({}, {"frame_budget": 12}):
        watch = ClusterWatch(noise(), CLUSTERED, tmp_path / "run.pt", replace(SETTINGS, **budget))
        watch.begin(network())
        results.append(watch.end(network(seed=1)))
    for name, values in results[0].items():
        np.testing.assert_array_equal(values, results[1][name])


class Cut(TSMResNet):
    """The cluster of a frame is 0 or 1: whether it is darker than `cut`, or not."""

    batchnorm = "trained"

    def __init__(self, cut):
        torch.nn.Module.__init__(self)
        self.cut = torch.nn.Parameter(torch.tensor(float(cut)))

    def forward(self, x, lengths=None, *, return_labels):
        labels = (x[:, :, 0, 0, 0] >= self.cut).long()
        if lengths is not None:
            labels[torch.arange(x.shape[1]) >= lengths[:, None]] = -1
        return None, labels


def test_spread_and_moved_by_hand(tmp_path):
    frames = torch.tensor([10, 20, 30, 40, 10, 40], dtype=torch.uint8).view(6, 1, 1, 1)
    clips = InMemory(frames, np.array([1, 0]), np.array([4, 2]), name="toy")
    watch = ClusterWatch(clips, CLUSTERED, tmp_path / "run.pt", replace(SETTINGS, clusters=2))
    watch.begin(Cut(25))  # 10 20 | 30 40 and 10 | 40
    watch(0, Cut(35))
    watch(1, Cut(15))  # 10 | 20 30 40 and 10 | 40
    found = watch.end(Cut(15))
    assert found["cluster_sizes"].tolist() == [
        [[2, 2], [1, 1]],
        [[3, 1], [1, 1]],
        [[1, 3], [1, 1]],
    ]
    assert found["spread"].tolist() == [50, 0]  # 1 and 3 are 1 off their mean of 2
    assert found["between"].tolist() == [25, 25]  # 0.5 1.5 and 1 1 are 0.25 off their mean
    assert found["moved"].tolist() == [25, 0]  # one of four


class Stop(Exception):
    pass


def watched(folder, stop=None, kept=True):
    """Train and watch, and stop in an epoch, before or after the watch has seen it."""
    model, recipe = network(), Recipe(epochs=3, batch_size=3, lr=0.05, autocast=False)
    checkpoint = folder / "run.pt"
    watch = ClusterWatch(noise(), CLUSTERED, checkpoint, SETTINGS)
    watch.begin(model)

    def after_epoch(epoch, model, history):
        if epoch == stop and not kept:
            raise Stop
        watch(epoch, model, history)
        if epoch == stop:
            raise Stop

    options = {"seed": 3, "classes": ["a", "b", "c"], "checkpoint": checkpoint}
    train(model, noise(), recipe, after_epoch=after_epoch, **options)
    return watch.end(model)


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("stop", [0, 1, 2])
def test_an_interrupted_watch_goes_on_from_its_file(tmp_path, stop, kept):
    (tmp_path / "whole").mkdir()
    whole = watched(tmp_path / "whole")
    with pytest.raises(Stop):
        watched(tmp_path, stop, kept)
    resumed = watched(tmp_path)
    assert whole["cluster_sizes"].shape == (4, 6, 3)
    for name, values in whole.items():
        np.testing.assert_array_equal(values, resumed[name])


def test_without_the_first_clusters_a_training_begins_again(tmp_path):
    with pytest.raises(Stop):
        watched(tmp_path, stop=1)
    (tmp_path / "run.clusters.npz").unlink()
    ClusterWatch(noise(), CLUSTERED, tmp_path / "run.pt", SETTINGS).begin(network())
    assert [file.name for file in tmp_path.iterdir()] == ["run.clusters.npz"]


def test_where_more_than_the_last_epoch_is_missing_a_training_begins_again(tmp_path):
    with pytest.raises(Stop):
        watched(tmp_path, stop=0)
    content = (tmp_path / "run.clusters.npz").read_bytes()
    with pytest.raises(Stop):
        watched(tmp_path, stop=2)
    (tmp_path / "run.clusters.npz").write_bytes(content)
    ClusterWatch(noise(), CLUSTERED, tmp_path / "run.pt", SETTINGS).begin(network())
    assert [file.name for file in tmp_path.iterdir()] == ["run.clusters.npz"]


def test_a_watch_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    watch = ClusterWatch(noise(), CLUSTERED, tmp_path / "run.pt", SETTINGS)
    watch.begin(network())
    content = (tmp_path / "run.clusters.npz").read_bytes()

    def full_disk(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match=r"No space left on device: .*run\.clusters\.npz"):
        watch(0, network())
    assert (tmp_path / "run.clusters.npz").read_bytes() == content
    assert [file.name for file in tmp_path.iterdir()] == ["run.clusters.npz"]


def test_every_protocol_is_repeated_in_every_order():
    both = {"clustered": Protocol("all", True, crop=64, scale=64), "sampled": Protocol(8, False)}
    assert orders_of(both, ()) == both
    found = orders_of(both, ["reversed", "shuffled"])
    assert found == {
        **both,
        "clustered_reversed": Protocol("all", True, crop=64, scale=64, order="reversed"),
        "clustered_shuffled": Protocol("all", True, crop=64, scale=64, order="shuffled"),
        "sampled_reversed": Protocol(8, False, order="reversed"),
        "sampled_shuffled": Protocol(8, False, order="shuffled"),
    }


def test_adaptive_clusters_are_counted(tmp_path):
    model = network()
    model.clustering = TemporalClustering("cumulative", 3, adaptive=True)
    watch = ClusterWatch(noise(), CLUSTERED, tmp_path / "run.pt", SETTINGS)
    model.train()(noise().read(3, np.arange(12))[None])  # which gives the threshold
    with torch.no_grad():
        wanted = [
            int(model.eval()(noise().read(i, np.arange(t))[None], return_labels=True)[1].max()) + 1
            for i, t in enumerate(LENGTHS)
        ]
    assert watch.counts(model).tolist() == wanted
    assert len(set(wanted)) > 1
