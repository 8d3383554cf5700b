"""The way from a row of the recipe file to a record."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import lab.experiments.gradients as figures
from fvlib.clustering import hamming_distances
from fvlib.cost import resnet_multiply_adds
from fvlib.datasets import InMemory, Move4MNIST
from lab import records, released
from lab.experiments import run
from lab.experiments.parts import network
from lab.recipes import parameters_of

RECIPES = Path(__file__).parents[2] / "data" / "recipes.toml"


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
    assert found["clustered"]["frames_with_gradient"] == 100
    parameters, _ = parameters_of(RECIPES, "facts", "all", "smoke", "embedded")
    model = network(parameters.clustered("cumulative", 8), 0, RECIPES.parent).eval()
    videos, _ = clips.batch(range(16))
    early = model.features(videos / 255 - 0.5, upto="layer1", cluster=False)
    labels = released.published_cumulative(hamming_distances(early), 8)
    share = 100 * float((labels >= 0).double().mean())
    assert found["sampled"]["frames_with_gradient"] == pytest.approx(share, abs=0.005)
    assert share < 100 * 31 / 32  # at least the last frame of every clip is lost


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


# ---- gradients ----

METHODS = ("cumulative", "keep", "slope", "uniform", "random", "best")


def test_gradients_are_measured_at_every_moment(tmp_path):
    few = {"train_clips": 8, "test_clips": 2, "few_clips": 1, "error_clips": 1}
    few |= {"reading_clips": 1}
    measured = smoke("gradients", "cumulative-16", tmp_path, **few)
    assert measured.results["moments"] == ["untrained", "epoch 0", "epoch 1"]
    options = {"width": 8, "in_channels": 1, "stem_pool": False, "resolution": 64}
    assert measured.cost["macs"] == resnet_multiply_adds(18, 4, t=32, g=16, **options)
    assert not [path for path in tmp_path.glob("checkpoints/**/*") if path.is_file()]
    weights = torch.load(tmp_path / "samples" / "gradients-smoke-embedded-cumulative-16-s0.pt")
    assert weights["layer1.0.conv1.weight"].dtype == torch.float16

    arrays = dict(measured.arrays)
    ways = [
        f"{setting}_{metric}"
        for setting in ("clip", "frame")
        for metric in ("euclidean", "hamming")
    ]
    shapes = {
        f"{name}_{way}": (2,) for name in ("spearman", "line", "monotone", "loss") for way in ways
    }
    shapes |= {f"moments_{name}_{way}": (3, 1) for name in ("spearman", "line") for way in ways[:2]}
    shapes |= {f"apart_layer{i}": (31,) for i in (1, 2, 3, 4)}
    shapes |= {name: (2,) for name in ("rank_layer2", "rank_layer3", "rank_layer4")}
    shapes |= {"neighbours": (2,), "others": (2,), "train_loss": (1,), "train_top1": (1,)}
    for method in METHODS:
        for setting in ("clip", "frame"):
            shapes[f"spread_{setting}_{method}"] = (1,)
        for way in ("clip_equal", "clip_size", "clip_still", "frame_equal", "frame_size"):
            shapes |= {f"{kind}_{way}_{method}": (1,) for kind in ("error", "total", "cosine")}
        for way in ("clip_size", "clip_still", "frame_size"):
            shapes |= {f"distance_{way}_{method}": (1,), f"each_{way}_{method}": (16,)}
        for way in ("clip_size", "clip_still"):
            shapes |= {f"moments_{kind}_{way}_{method}": (3, 1) for kind in ("error", "cosine")}
    shapes["moments_readings"] = (3, 3, 3, 5, 3, 1)
    assert {name: values.shape for name, values in arrays.items()} == shapes
    assert all(np.isfinite(values).all() for values in arrays.values())

    for name, values in arrays.items():
        if name == "moments_readings":
            check_readings(values, arrays, measured.results["readings"])
        elif name.startswith("moments_"):  # the last moment is the end
            assert values[-1] == pytest.approx(arrays[name.removeprefix("moments_")][:1], rel=1e-2)
            assert len(set(values[:, 0].tolist())) == 3  # and the others are not
    for setting in ("clip", "frame"):
        spreads = [arrays[f"spread_{setting}_{method}"][0] for method in METHODS]
        assert spreads[-1] == min(spreads) > 0
        for name in (f"error_{setting}", f"cosine_{setting}"):  # groups of 32 / 16 frames
            assert arrays[f"{name}_equal_uniform"] == pytest.approx(arrays[f"{name}_size_uniform"])
    for name in [name for name in arrays if name.startswith("distance")]:
        assert arrays[name] == pytest.approx(arrays[name.replace("distance", "each")].mean())
    ratio = arrays["distance_clip_size_slope"] / arrays["distance_clip_size_uniform"]
    relative = arrays["error_clip_size_slope"] / arrays["error_clip_size_uniform"]
    assert ratio == pytest.approx(relative, rel=2e-3)  # the frames' norms are the same
    assert arrays["apart_layer1"][0] == pytest.approx(arrays["neighbours"].mean(), rel=1e-3)
    assert (arrays["neighbours"] < arrays["others"]).all()


def check_readings(values, arrays, axes):
    """Those at the end that the record has otherwise too, and equal groups weigh the same."""
    at = {axis: {name: i for i, name in enumerate(names)} for axis, names in axes.items()}

    def of(loss, compared, method):
        place = (at["loss"][loss], at["compared"][compared], at["method"][method])
        return values[(-1, at["stage"]["layer3"], *place)]

    for method in axes["method"]:
        for loss, compared, way in (
            ("clip", "equal", "clip_equal"),
            ("clip", "size", "clip_size"),
            ("still", "size", "clip_still"),
            ("frame", "equal", "frame_equal"),
            ("frame", "size", "frame_size"),
        ):
            wanted = arrays[f"error_{way}_{method}"]
            assert of(loss, compared, method) == pytest.approx(wanted, rel=1e-2), (way, method)
    for loss in axes["loss"]:
        for compared in ("equal", "mean"):  # of groups of 32 / 16 frames
            wanted = of(loss, "size", "uniform")
            assert of(loss, compared, "uniform") == pytest.approx(wanted, rel=2e-3)


def test_readings_by_hand():
    """Two clusters, of one frame and of three, and one weight a stage."""
    labels = torch.tensor([[0, 1, 1, 1]])
    frames, equal, size = [4.0, 1.0, 2.0, 3.0], [5.0, 9.0], [3.0, 9.0]  # sums are 4 and 6
    true, equal, size = (
        {f"{stage}.weight": torch.tensor(values).view(1, -1, 1) for stage in figures.STAGES[1:]}
        for values in (frames, equal, size)
    )
    found = figures._compared(true, equal, size, labels)
    # Off by 1 and 3 of 10; by 1 and 3; by 1 / 1 and 3 / 3, times 4 / 2; by 1 and |3 - 6|; 1/4, 3/6.
    wanted = torch.tensor([40.0, 40.0, 40.0, 40.0, 37.5]).double()
    torch.testing.assert_close(found, wanted.expand(3, 5)[..., None])
    size = {name: term * torch.tensor([2.0, 1.0]).view(1, 2, 1) for name, term in size.items()}
    # A single gradient of 6 in place of 4.
    wanted = torch.tensor([40.0, 50.0, 60.0, 50.0, 50.0]).double()
    found = figures._compared(true, equal, size, labels)
    torch.testing.assert_close(found, wanted.expand(3, 5)[..., None])


def test_a_killed_measurement_goes_on_to_the_same_arrays(tmp_path, monkeypatch):
    tiny = {"train_clips": 4, "test_clips": 2, "epochs": 2, "moments": [0, 1, 2]}
    tiny |= {"few_clips": 1, "error_clips": 1, "reading_clips": 1}

    class Killed(Exception):
        pass

    def weights(model, *_):
        return {"error": model.layer1[0].conv1.weight.detach().flatten().numpy()}

    def killed(original, call, before):
        calls = []

        def function(*args):
            calls.append(args)
            if before and len(calls) == call:
                raise Killed
            result = original(*args)
            if len(calls) == call:
                raise Killed
            return result

        return function

    # All that is measured depends on the weights of each moment, which are quicker to compare.
    for name in ("measure_relations", "measure_errors", "measure_readings"):
        monkeypatch.setattr(figures, name, weights)
    whole = smoke("gradients", "cumulative-16", tmp_path / "whole", **tiny)
    assert len(np.unique(whole.arrays["moments_error"], axis=0)) == 4
    for name, call, before in (
        ("save_atomically", 2, False),  # between two moments
        ("save_atomically", 2, True),  # between a checkpoint and its moment
        ("measure_errors", 3, True),
        ("shortened", 1, False),  # when all is done but the record
    ):
        folder = tmp_path / f"{name}-{before}"
        with monkeypatch.context() as patch:
            patch.setattr(figures, name, killed(getattr(figures, name), call, before))
            with pytest.raises(Killed):
                smoke("gradients", "cumulative-16", folder, **tiny)
        assert list(folder.glob("checkpoints/gradients/*"))
        assert not list(folder.glob("gradients/*"))
        again = smoke("gradients", "cumulative-16", folder, **tiny)
        assert again.checksum == whole.checksum


def test_an_untrained_network_has_the_batch_statistics_of_the_clips_it_saw(monkeypatch):
    monkeypatch.setattr(figures, "BATCH", 2)  # so that five times as many clips are shown
    parameters, _ = parameters_of(RECIPES, "gradients", "cumulative-16", "smoke", "embedded")
    videos = torch.randint(256, (12, 3, 1, 16, 16), dtype=torch.uint8)
    model = network(parameters, 5, RECIPES.parent)
    figures.load_untrained(model, parameters, 5, InMemory(videos, torch.arange(12) % 4))

    fresh = network(replace(parameters, init=None), 5, RECIPES.parent).train()
    seen = {name: [] for name, m in fresh.named_modules() if isinstance(m, torch.nn.BatchNorm2d)}
    for name, inputs in seen.items():
        fresh.get_submodule(name).register_forward_pre_hook(
            lambda module, given, inputs=inputs: inputs.append(given[0].detach().clone())
        )
    for i in range(0, 10, 2):
        fresh(videos[i : i + 2], cluster=False)
    for name, inputs in seen.items():
        norm = model.get_submodule(name)
        mean = torch.stack([x.mean((0, 2, 3)) for x in inputs]).mean(0)
        variance = torch.stack([x.var((0, 2, 3)) for x in inputs]).mean(0)
        torch.testing.assert_close(norm.running_mean, mean)
        torch.testing.assert_close(norm.running_var, variance)
        assert norm.momentum == 0.1
    for name, parameter in fresh.named_parameters():
        assert torch.equal(model.get_parameter(name), parameter)
    assert not model.training


@pytest.mark.process
def test_the_length_of_a_clip_is_recorded_as_memory_and_time(tmp_path):
    found = {
        row: smoke("length", row, tmp_path, lengths=[32, 96], repeats=1)
        for row in ("dense", "chunked")
    }
    for record in found.values():
        assert record.arrays["t"].tolist() == [32, 96]
        assert (record.arrays["seconds"] > 0).all()
    dense, chunked = (found[row].arrays for row in ("dense", "chunked"))
    grown = dense["peak_mb"][1] - dense["peak_mb"][0]
    assert grown == pytest.approx(dense["predicted_mb"][1] - dense["predicted_mb"][0], rel=0.2)
    assert abs(chunked["peak_mb"][1] - chunked["peak_mb"][0]) < 0.15 * grown
    assert (found["dense"].results["grows"], found["chunked"].results["grows"]) == (True, False)
    assert found["dense"].results["mb_per_frame"] == pytest.approx(grown / 64, abs=1e-3)
    checkpointed = smoke("length", "checkpointed", tmp_path, lengths=[96], repeats=1).arrays
    # With constant statistics a network this small keeps no more than checkpointing makes again.
    assert checkpointed["peak_mb"][0] == pytest.approx(dense["peak_mb"][1], rel=0.1)
    assert chunked["peak_mb"][1] < 0.5 * checkpointed["peak_mb"][0]
    assert np.isnan(checkpointed["predicted_mb"][0])
