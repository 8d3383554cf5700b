"""The way from a row of the recipe file to a record."""

from pathlib import Path

import pytest
import torch

from fvlib import records
from fvlib.cost import resnet_multiply_adds
from fvlib.datasets import Move4MNIST
from fvlib.experiments import run

RECIPES = Path(__file__).parents[1] / "data" / "recipes.toml"


def smoke(experiment, row, folder, scale="smoke", **overrides):
    options = {"scale": scale, "data": "embedded", "seed": 0, "recipes": RECIPES, "folder": folder}
    return records.read(run(experiment, row, **options, **overrides))


def test_a_smoke_run_writes_its_record_once_and_again_only_by_force(tmp_path):
    options = {"scale": "smoke", "data": "embedded", "seed": 3, "recipes": RECIPES}
    path = run("table1", "slope-8", folder=tmp_path, **options)
    record = records.read(path)
    assert record.name == "table1/smoke-embedded-slope-8-s3"
    assert record.results["clustered"]["total"] == 16
    assert record.protocol["clustered"] == {"frames": "all", "cluster": True, "resolution": None}
    assert record.protocol["sampled"] == {"frames": 8, "cluster": False, "resolution": None}
    hits = record.arrays["clustered_prediction"] == record.arrays["target"]
    assert hits.sum() == record.results["clustered"]["correct"]
    assert len(record.arrays["train_loss"]) == record.results["epochs"] == 1
    assert not list(tmp_path.glob("checkpoints/**/*.pt"))
    made = path.stat().st_mtime_ns
    assert run("table1", "slope-8", folder=tmp_path, **options) == path
    assert path.stat().st_mtime_ns == made
    run("table1", "slope-8", folder=tmp_path, force=True, **options)
    repeated = records.read(path)
    assert path.stat().st_mtime_ns > made
    assert repeated.checksum == record.checksum  # bit for bit


def test_what_needs_no_training_is_recorded(tmp_path):
    found = smoke("facts", "all", tmp_path).results
    assert found["clusters_of_one_frame_change_nothing"]
    assert found["gradient_reaches_every_frame_and_weight"]
    clips = Move4MNIST("test", clips=16)
    still = 0
    for i in range(16):
        labels = clips.frame_labels(i)
        seen = [labels.box[f].tolist() for f in range(2, 32, 4) if labels.type[f] == 0]
        still += not seen or seen[0] == seen[-1]
    assert found["clips_without_movement_in_8_frames"] == still


def test_the_purity_of_uniform_groups_needs_no_network(tmp_path):
    record = smoke("purity", "uniform", tmp_path)
    clips = Move4MNIST("test", clips=16)
    types = torch.stack([clips.frame_labels(i).type for i in range(16)]).unflatten(1, (8, 4))
    expected = [100 * sum(g.bincount().max().item() for g in clip) / 32 for clip in types]
    assert record.arrays["purity"].tolist() == pytest.approx(expected)
    assert record.arrays["target"].tolist() == [i % 4 for i in range(16)]


def test_costs_are_recorded_without_training(tmp_path):
    small = {"scale": "paper", "width": 8, "resolution": 32}
    record = smoke("cost", "cumulative-8", tmp_path, **small)
    options = {"t": 32, "g": 8, "resolution": 32, "width": 8}
    assert record.cost["macs"] == resnet_multiply_adds(18, 4, **options)
    every = smoke("cost", "tsm-32", tmp_path, **small)
    assert 0.5 < record.results["activation_bytes"] / every.results["activation_bytes"] < 0.85


def test_the_scale_of_the_paper_runs_when_it_is_made_small(tmp_path):
    tiny = {"train_clips": 8, "test_clips": 4, "epochs": 1, "resolution": 32, "weights": None}
    record = smoke("table1", "cumulative-8", tmp_path, scale="paper", **tiny)
    assert record.cost["params"] == 11_178_564  # a whole ResNet-18 with four classes
    assert record.protocol["clustered"]["resolution"] == 32
    assert record.cost["macs"] == resnet_multiply_adds(18, 4, t=32, g=8, resolution=32)
