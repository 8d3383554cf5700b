"""Groups as pure and as large, that differ in how alike the gradients of their frames are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fvlib.evaluation import purity
from lab import records
from lab.building import move4mnist_sets
from lab.experiments import run
from lab.experiments.groupings import choose_groups, groups_in_clips, with_groups
from lab.experiments.parts import network
from lab.gradients import GivenClusters, cluster_spread, frame_gradients
from lab.recipes import parameters_of

RECIPES = Path(__file__).parents[2] / "data" / "recipes.toml"
LOW, _ = parameters_of(RECIPES, "groupings", "low", "smoke", "embedded", draws=12)
HIGH = replace(LOW, spread="high")


@pytest.fixture(scope="module")
def shown():
    clips = move4mnist_sets(LOW, 0)["train"]
    types = torch.stack([clips.frame_labels(i).type for i in range(3)])
    return network(LOW, 0, RECIPES.parent).eval(), clips.batch(range(3))[0], types


def test_groups_are_the_extremes_among_equals(shown):
    model, videos, types = shown
    low, high = (choose_groups(model, videos, types, p, 7) for p in (LOW, HIGH))
    assert torch.equal(low.purity, high.purity)
    assert (low.spread < high.spread).all()
    for groups in (low, high):
        torch.testing.assert_close(groups.purity, 100 * purity(groups.labels, types))
        for labels in groups.labels:
            assert sorted(torch.bincount(labels).tolist()) == sorted(LOW.sizes)
            assert (labels.diff() >= 0).all()
    # The slow way, for one clip: the mean frame of each group, for every class in turn.
    clip, within, whole = 1, [0.0, 0.0], 0.0
    for target in range(4):
        terms = frame_gradients(model, videos[[clip]], torch.tensor([target]), stage="layer3")
        rows = torch.cat([term[0].flatten(1) for term in terms.values()], 1).double()
        whole += ((rows - rows.mean(0)) ** 2).sum()
        for which, groups in enumerate((low, high)):
            of_clip = groups.labels[clip]
            for group in range(8):
                inside = rows[of_clip == group]
                within[which] += ((inside - inside.mean(0)) ** 2).sum()
    for groups, found in zip((low, high), within, strict=True):
        assert groups.spread[clip] == pytest.approx(float(100 * found / whole), rel=1e-5)


def test_no_candidate_of_that_purity_is_better(shown, monkeypatch):
    model, videos, types = shown
    seen = []

    def watched(distances, labels):
        seen.append(labels)
        return cluster_spread(distances, labels)

    monkeypatch.setattr("lab.experiments.groupings.gradients.cluster_spread", watched)
    for parameters in (LOW, HIGH):
        groups = choose_groups(model, videos[:1], types[:1], parameters, 7)
        candidates = seen[0]
        seen.clear()
        assert (
            purity(candidates, types[:1].expand(len(candidates), -1)) == groups.purity / 100
        ).all()
        assert 2 <= len(candidates) <= LOW.draws
        assert (candidates == groups.labels).all(1).any()


def test_the_network_averages_by_the_labels_that_come_with_the_frames(shown):
    model, videos, types = shown
    labels = choose_groups(model, videos, types, LOW, 0).labels
    own = model.clustering
    with torch.no_grad():
        with groups_in_clips(model):
            found = model(with_groups(videos, labels))
            sampled = model(with_groups(videos, labels)[:, ::4], cluster=False)
        assert model.clustering is own
        assert not model._forward_pre_hooks
        torch.testing.assert_close(sampled, model(videos[:, ::4], cluster=False))
        clustered = model(videos)
        model.clustering = GivenClusters(labels, 8)
        wanted = model(videos)
        model.clustering = own
    torch.testing.assert_close(found, wanted)
    assert not torch.allclose(found, clustered)


def test_both_rows_are_recorded(tmp_path):
    few = {"train_clips": 8, "test_clips": 4, "measured_clips": 2, "draws": 8}
    place = {"scale": "smoke", "data": "embedded", "seed": 0, "recipes": RECIPES}
    found = {
        row: records.read(run("groupings", row, folder=tmp_path, **place, **few)).arrays
        for row in ("low", "high")
    }
    low, high = found["low"], found["high"]
    np.testing.assert_array_equal(low["purity"], high["purity"])
    assert (low["spread"] <= high["spread"]).all()
    for arrays in found.values():
        assert arrays["purity"].shape == arrays["spread"].shape == (8,)
        for moment in ("start", "end"):
            assert arrays[f"{moment}_error"].shape == arrays[f"{moment}_cosine"].shape == (2,)
            assert (np.abs(arrays[f"{moment}_cosine"]) <= 1).all()
            assert (arrays[f"{moment}_error"] > 0).all()
    assert not np.array_equal(low["start_error"], high["start_error"])
