"""Rows of Tables 2 to 5, run on tiny mini sets: the way from files on disk to a record."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fvlib.datasets import InMemory
from fvlib.datasets.transforms import EvalTransform
from fvlib.datasets.videos import ClipList, UnreadableClip
from fvlib.evaluation import Evaluation, Protocol
from lab import records
from lab.building import build_network
from lab.experiments import run
from lab.experiments.benchmarks import (
    clip_lists,
    hold_out,
    joined,
    load_clips,
    minis_of,
    plans_tested,
)
from lab.experiments.gradients import measure_film, measure_relations
from lab.experiments.parts import protocols_of
from lab.recipes import parameters_of
from lab.synthetic import write_mini

DATA = Path(__file__).parents[2] / "data"


@pytest.fixture(scope="module")
def beside(tmp_path_factory):
    """A data folder of its own with a mini set in its cache, written by this process."""
    folder = tmp_path_factory.mktemp("data")
    shutil.copy(DATA / "recipes.toml", folder)
    (folder / "samples").symlink_to(DATA / "samples")
    write_mini("ucf101", folder / "cache" / "minis" / "ucf101-20-s0", clips=20, jobs=0)
    return folder


def made(beside, folder, row, data="embedded", table="table4"):
    options = {"scale": "smoke", "data": data, "seed": 0}
    path = run(table, row, **options, recipes=beside / "recipes.toml", folder=folder)
    return records.load(path.parents[1], table, row=row, **options)


def test_a_row_goes_from_files_to_a_record(beside, tmp_path, monkeypatch):
    record = made(beside, tmp_path, "ucf101-slope-8")
    assert record.data["name"] == "ucf101"
    assert record.data["fold"] == 1
    assert record.data["counts"] == {"train": 20, "test": 10}
    assert record.protocol["clustered"]["frames"] == "all"
    assert record.protocol["sampled"] == {
        **{"frames": 8, "cluster": False, "resolution": None},
        **{"scale": 64, "crop": 64},
    }
    for name in ("clustered", "sampled"):
        hits = record.arrays[f"{name}_prediction"] == record.arrays["target"]
        assert record.results[name]["correct"] == hits.sum()
    assert np.isfinite(record.arrays["train_loss"]).all()

    # The same files as a data root of the user's give the same record.
    monkeypatch.setenv("FVLIB_DATA", str(beside / "cache" / "minis" / "ucf101-20-s0"))
    real = made(beside, tmp_path, "ucf101-slope-8", "real")
    assert real.data == record.data
    assert real.checksum == record.checksum


def test_gradients_of_real_frames_are_measured_at_the_end(beside, tmp_path):
    options = {"scale": "smoke", "data": "embedded", "seed": 0}
    recipes = beside / "recipes.toml"
    more = {"gradient_clips": 3, "crop": 32, "test_scale": 32, "test_crop": 32}
    path = run("table4", "ucf101-slope-8", **options, **more, recipes=recipes, folder=tmp_path)
    found = records.load(path.parents[1], "table4", row="ucf101-slope-8", **options).arrays
    assert found["measured"].tolist() == [0, 4, 9]  # of ten test clips
    assert found["error_clip_still_cumulative"].shape == found["rank_layer4"].shape == (3,)

    # The same of frames that are read and cropped by hand.
    parameters, _ = parameters_of(
        recipes, "table4", "ucf101-slope-8", "smoke", "embedded", **more | {"gradient_clips": 1}
    )
    clips = load_clips(clip_lists(parameters, beside)["test"], parameters, beside)
    model = build_network(parameters, 101, DATA).train()
    protocol = protocols_of(parameters)["clustered"]
    found = measure_film(model, clips, protocol, parameters, seed=0)
    assert model.training
    t = clips.lengths[0]
    middle = np.array([(2 * i + 1) * t // 64 for i in range(32)])
    film = EvalTransform(32, 32)(clips.read(0, middle)[None])[:, 0]
    by_hand = measure_relations(model.eval(), InMemory(film, np.zeros(1, np.int64)), [0], ["clip"])
    np.testing.assert_allclose(
        found["spearman_clip_hamming"], by_hand["spearman_clip_hamming"], atol=2e-3
    )


def test_a_damaged_clip_stops_the_run_by_name(beside, tmp_path, monkeypatch):
    root = tmp_path / "root"
    shutil.copytree(beside / "cache" / "minis" / "ucf101-20-s0", root)
    video = sorted(root.rglob("*.avi"))[3]
    video.write_bytes(video.read_bytes()[:-2000])
    monkeypatch.setenv("FVLIB_DATA", str(root))
    with pytest.raises(UnreadableClip, match=video.name):
        made(beside, tmp_path, "ucf101-tsm-8", "real")


def test_of_a_set_that_is_there_in_part_classes_with_enough_clips_are_kept(
    beside, tmp_path, monkeypatch
):
    root = tmp_path / "root"
    shutil.copytree(beside / "cache" / "minis" / "ucf101-20-s0", root)
    classes = sorted(folder.name for folder in (root / "UCF-101").iterdir())
    for name in classes[:4]:  # of each class there are two clips for training and one for the test
        min((root / "UCF-101" / name).iterdir()).unlink()
    monkeypatch.setenv("FVLIB_DATA", str(root))

    def lists(least):
        parameters, _ = parameters_of(
            DATA / "recipes.toml", "ucf10", "tsm-8", "small", "real", classes_with=least
        )
        return clip_lists(parameters, tmp_path)

    for part, each in (("train", 2), ("test", 1)):
        found = lists(3)[part]
        assert list(found.classes) == classes[4:]
        assert np.bincount(found.targets).tolist() == [each] * 6
        assert [name.split("/")[-2] for name in found.names] == [
            found.classes[target] for target in found.targets
        ]
    assert len(lists(2)["train"].classes) == 10
    with pytest.raises(ValueError, match="no class has 4 clips or more; of ucf101 train fold 1"):
        lists(4)


def test_a_row_without_clusters_has_one_protocol_with_two_names():
    parameters, _ = parameters_of(DATA / "recipes.toml", "table5", "v2-tsm-8", "paper", "real")
    both = protocols_of(parameters)
    assert both["clustered"] == both["sampled"] == Protocol(8, False, scale=256, crop=256, crops=3)
    parameters, _ = parameters_of(DATA / "recipes.toml", "table3", "slope-16", "paper", "real")
    assert protocols_of(parameters) == {
        "clustered": Protocol("all", True, scale=256, crop=256, crops=3),
        "sampled": Protocol(16, False, scale=256, crop=256, crops=3),
    }


@pytest.mark.parametrize("scale", ["smoke", "small", "paper"])
def test_every_row_of_the_tables_has_parameters(scale):
    import tomllib

    tables = tomllib.loads((DATA / "recipes.toml").read_text())
    paper = tomllib.loads((DATA / "paper.toml").read_text())
    for table in ("table2", "table3", "table4", "table5"):
        for row in tables[table]["rows"]:
            parameters, _ = parameters_of(DATA / "recipes.toml", table, row, scale, "embedded")
            assert parameters.clusters is None or parameters.frames == "all"
            depth = 152 if row.endswith("-frozen") else 18 if table == "table2" else 50
            assert parameters.depth == (depth if scale == "paper" else 18)
    ours = [r["id"] for r in paper["table2"]["rows"]]
    assert set(ours) <= set(tables["table2"]["rows"])


def test_a_row_of_one_scale_alone_keeps_the_others_free_of_it():
    place = (DATA / "recipes.toml", "table3", "videograph-frozen")
    by_scale = {s: parameters_of(*place, s, "embedded")[0] for s in ("smoke", "small", "paper")}
    assert [by_scale[s].frames for s in by_scale] == [16, 16, 64]
    assert not {"smoke", "small", "paper"} & by_scale["paper"].stated().keys()


def test_flips_are_off_where_left_and_right_are_classes():
    for row in ("v1-tsm-8", "v2-cumulative-16"):
        parameters, _ = parameters_of(DATA / "recipes.toml", "table5", row, "paper", "real")
        assert parameters.flip is False


def test_training_clips_of_the_run_and_test_clips_of_several_sets(tmp_path):
    own = {"mini_seed": "run", "test_seeds": [11, 12]}
    place = (DATA / "recipes.toml", "table2", "tsm-8", "small", "embedded")
    parameters, _ = parameters_of(*place, **own)
    minis = minis_of(parameters, tmp_path, seed=3)
    assert {part: (one["seed"], one["clips"], one["test"]) for part, one in minis.items()} == {
        **{"train": (3, 400, 20), "test": (11, 20, 240), "test-2": (12, 20, 240)}
    }
    assert len({one["folder"] for one in minis.values()}) == 3
    assert minis_of(parameters, tmp_path, seed=4)["test"] == minis["test"]
    with pytest.raises(ValueError, match="give the seeds of those"):
        parameters_of(*place, mini_seed="run", test_seeds="none")
    with pytest.raises(ValueError, match="each once"):
        parameters_of(*place, test_seeds=[1, 1])


def test_results_on_several_sets_stand_one_behind_the_other():
    parts = [
        Evaluation(np.array([1, 0]), np.array([1, 1])),
        Evaluation(np.array([2]), np.array([2])),
    ]
    whole = joined(parts)
    assert whole.prediction.tolist() == [1, 0, 2]
    assert (whole.correct, whole.scores) == (2, None)


def test_every_fifth_group_is_held_out():
    names = [f"UCF-101/A/v_A_g{group:02d}_c01.avi" for group in (8, 9, 10, 15, 16)]
    targets = np.zeros(5, np.int64)
    clips = ClipList("ucf101", "train", Path(), ("A",), np.array(names), targets)
    found = hold_out(clips)
    assert found["train"].names.tolist() == [names[0], names[1], names[4]]
    assert found["test"].names.tolist() == names[2:4]
    with pytest.raises(ValueError, match="0 of 2 clips are of a fifth group"):
        hold_out(clips.select(np.array([1, 1, 0, 0, 0], bool)))
    with pytest.raises(ValueError, match="all named as v_CLASS"):
        hold_out(ClipList("mine", "train", Path(), ("A",), np.array(["a.avi"]), targets[:1]))


@pytest.mark.parametrize(
    ("table", "row"),
    [
        *(("table2", "tsm-8"), ("any_length", "adaptive")),
        *(("table4", "hmdb51-tsm-1"), ("table5", "v2-tsm-8")),
    ],
)
def test_plans_of_tested_clips_come_in_the_order_of_the_predictions(table, row):
    options = {"scale": "small", "data": "embedded", "seed": 0}
    record = records.load(DATA / "records", table, row=row, **options)
    plans = plans_tested(record)
    assert [plan.target for plan in plans] == record.arrays["target"].tolist()
    other = replace(record, parameters={**record.parameters, "test_seeds": [3]})
    with pytest.raises(ValueError, match=f"{record.path.name} had other clips in test"):
        plans_tested(other)
