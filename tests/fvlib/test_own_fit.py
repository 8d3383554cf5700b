"""From a folder of clips to a model: splits, settings, a training that is killed, the report."""

import csv
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fvlib.cli import main
from fvlib.datasets.videos import ClipList
from fvlib.datasets.videos.clips import VideoClips
from fvlib.evaluation import Evaluation, evaluate
from fvlib.own.data import Labelled, folds, read_labelled, split_groups
from fvlib.own.fit import accuracy_interval, settings_for
from fvlib.own.model import Settings, load_model, network_for, save_config, save_weights
from fvlib.own.predict import predict

av = pytest.importorskip("av")
pytest.importorskip("safetensors")
CLASSES = ("left", "right")


SMALL = ("--weights", "none", "--width", "8", "--size", "24", "--batch", "4", "-g", "4")


def command(videos, out, *more):
    words = ("fit", videos, "--out", out, "--group", "s[0-9]", *SMALL, *more)
    return list(map(str, words))


def labelled(groups, targets, splits=None):
    names = np.array([f"{i}.avi" for i in range(len(targets))])
    classes = tuple("abcdefgh"[: max(targets) + 1])
    clips = ClipList("x", "", Path(), classes, names, np.array(targets))
    return Labelled(clips, tuple(map(str, groups)), splits)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_folds_keep_groups_whole_and_test_every_clip_once(data):
    k, classes = data.draw(st.integers(2, 4)), data.draw(st.integers(2, 4))
    groups = [(j, c) for c in range(classes) for j in range(data.draw(st.integers(2, 7)))]
    clips = [g for g in groups for _ in range(data.draw(st.integers(1, 4)))]
    found = folds(labelled([str(g) for g in clips], [c for _, c in clips]), k, seed=1)
    tested = np.concatenate([test for _, test in found])
    assert sorted(tested) == list(range(len(clips)))
    for train, test in found:
        assert len(test)
        assert sorted([*train, *test]) == list(range(len(clips)))
        assert not {clips[i] for i in train} & {clips[i] for i in test}


def test_folds_are_stratified_and_the_same_every_time():
    many = labelled(range(40), [0] * 20 + [1] * 20)
    for train, test in folds(many, 4, seed=3):
        assert np.bincount(many.targets[test]).tolist() == [5, 5]
        assert len(train) == 30
    again, other = folds(many, 4, seed=3), folds(many, 4, seed=4)
    assert all((a[1] == b[1]).all() for a, b in zip(folds(many, 4, seed=3), again, strict=True))
    assert any((a[1] != b[1]).any() for a, b in zip(again, other, strict=True))


def test_a_list_has_its_own_split(tmp_path, moving_square):
    for name in ("a", "b", "c", "d"):
        moving_square(tmp_path / f"{name}.avi", 0, 0, t=3)
    lines = ["file,label,split", "a.avi,x,train", "b.avi,y,train", "c.avi,x,test"]
    table = tmp_path / "clips.csv"
    table.write_text("\n".join(lines))
    found = read_labelled(table)
    assert (found.classes, found.targets.tolist()) == (("x", "y"), [0, 1, 0])
    assert [part.tolist() for part in split_groups(found)] == [[0, 1], [2]]
    table.write_text("\n".join([*lines, "d.avi,z,test"]))
    with pytest.raises(ValueError, match="'z' is tested and not trained on"):
        split_groups(read_labelled(table))
    table.write_text(f"{tmp_path / 'a.avi'},x\n{tmp_path / 'b.avi'},y\n")
    assert [path.name for path in read_labelled(table).files] == ["a.avi", "b.avi"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: root / "nowhere", "nowhere is not there; wanted a folder with a folder for"),
        (lambda root: root / "left" / "s0_0.avi", "s0_0.avi is a file; wanted a folder with a"),
        (lambda root: root / "one", "one has one class, 'only'; wanted two or more"),
    ],
)
def test_what_is_no_set_of_clips_is_told_at_once(
    videos, moving_square, tmp_path, capsys, make, message
):
    moving_square(tmp_path / "one" / "only" / "a.avi", 0, 0)
    path = make(tmp_path if "one" in message.split()[0] else videos)
    assert main(["fit", str(path), "--out", str(tmp_path / "m")]) == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "m").exists()


def test_a_path_that_is_not_there_does_not_wait_for_torch(tmp_path):
    code = (
        "import sys; from fvlib.cli import main; main(['fit', 'nowhere', '--out', 'm']); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True)


def test_a_file_where_the_folder_is_to_be(videos, tmp_path, capsys):
    (tmp_path / "m").write_text("")
    for command in (["fit", str(videos)], ["compare", str(videos)]):
        assert main([*command, "--out", str(tmp_path / "m")]) == 1
        assert "m is a file; wanted a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("-g", "13"), "clusters is 13, frames all; wanted at most 12, the frames of the longest"),
        (("--method", "none", "--frames", "40"), "frames 40; wanted at most 12"),
        (("--method", "none", "--frames", "some"), "frames is 'some'"),
        (("--method", "none", "--frames", "0"), "frames is 0"),
        (("--weights", "mine.pth"), "mine.pth is not there; wanted the file of a checkpoint"),
        (("--device", "gpu"), "--device gpu is not to be had (Expected one of cpu, cuda"),
        (("--backbone", "resnet19"), "the network is 'resnet19'; torchvision has"),
        (("--group", "(x"), "is no regular expression"),
        (("--group", "t[0-9]"), "is not in left/s0_0.avi; wanted it in every clip"),
        (("--group", "left|right"), "the class 'left' has clips of 1 source; wanted two or more"),
    ],
)
def test_what_cannot_be_meant_is_told_before_the_training(videos, tmp_path, capsys, more, message):
    assert main([*command(videos, tmp_path / "m"), *more]) == 1
    assert message in capsys.readouterr().err


def test_a_damaged_clip_is_named_and_can_be_left_out(videos, tmp_path, capsys):
    for path in videos.rglob("*.avi"):
        (tmp_path / "v" / path.parent.name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "v" / path.parent.name / path.name).write_bytes(path.read_bytes())
    (tmp_path / "v" / "left" / "s0_0.avi").write_bytes(b"no video")
    words = command(tmp_path / "v", tmp_path / "m", "--epochs", "1")
    assert main(words) == 1
    assert "clips that cannot be read (1): left/s0_0.avi: " in capsys.readouterr().err
    assert main([*words, "--skip-damaged"]) == 0
    assert "left/s0_0.avi" not in (tmp_path / "m" / "split.csv").read_text()


def test_settings_follow_from_the_data_and_say_why():
    few = labelled(range(40), [0] * 20 + [1] * 20)
    found, reasons = settings_for(few, np.full(40, 100), weights="none", epochs=7)
    assert (found.clusters, found.batch, found.epochs, found.warmup_epochs) == (8, 5, 7, 2)
    assert reasons["epochs"] == "as asked for"
    assert set(reasons) == set(vars(found))
    long, _ = settings_for(few, np.full(40, 5000))
    assert (long.clusters, long.chunk) == (16, 32)
    plain, _ = settings_for(few, np.full(40, 5), method="none")
    assert (plain.frames, plain.clusters, plain.warmup_epochs) == (5, None, 0)
    plain, reasons = settings_for(few, np.full(40, 50), frames=6)
    assert (plain.frames, plain.method, plain.chunk) == (6, "none", None)
    whole, _ = settings_for(few, np.full(40, 50), frames="all", method="none")
    assert (whole.frames, whole.clusters, whole.chunk) == ("all", None, 8)
    with pytest.raises(ValueError, match="wanted a method with clusters of all frames"):
        Settings(method="none")


def test_the_interval_counts_sources():
    """Wilson's, by hand: 8 of 10 right is 49 to 94 %; of 40 clips of ten sources too."""
    for copies in (1, 4):
        target = np.zeros(10 * copies, int)
        wrong = (np.arange(10 * copies) % 10 < 2).astype(int)
        found = accuracy_interval(
            Evaluation(wrong, target), [str(i % 10) for i in range(10 * copies)]
        )
        assert found == pytest.approx((49.02, 94.33), abs=0.01)
    assert accuracy_interval(Evaluation(target, target), [str(i) for i in range(40)])[1] == 100


@pytest.fixture(scope="module")
def model(videos, tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / "m"
    assert main(command(videos, out, "--epochs", "4")) == 0
    return out


def test_a_model_predicts_what_was_measured(videos, model):
    """The held back clips, by `predict`, by `evaluate` and in metrics.json."""
    told = json.loads((model / "metrics.json").read_text())
    with (model / "split.csv").open() as file:
        rows = list(csv.DictReader(file))
    held = [row for row in rows if row["split"] == "test"]
    sources = {
        part: {(r["label"], r["file"].split("/")[1][:2]) for r in rows if r["split"] == part}
        for part in ("train", "test")
    }
    assert not sources["train"] & sources["test"]
    assert sorted(row["file"] for row in rows) == sorted(
        str(path.relative_to(videos)) for path in videos.rglob("*.avi")
    )
    loaded = load_model(model)
    found = [p.top(1)[0][0] for p in predict(loaded, [videos / row["file"] for row in held])]
    right = 100 * np.mean([a == row["label"] for a, row in zip(found, held, strict=True)])
    clips = read_labelled(videos).clips
    keep = np.isin(clips.names, [row["file"] for row in held])
    shown = VideoClips(clips.select(keep), np.full(keep.sum(), 12), size=(24, 24))
    assert evaluate(loaded.network, shown, loaded.settings.protocol).top1 == right == told["top1"]
    assert np.sum(told["confusion"]) == len(held) == told["test_clips"]
    assert len(told["train_loss"]) == 4


def test_the_report_loads_nothing_from_elsewhere(model):
    page = (model / "report.html").read_text()
    sources = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", page)
    assert len(sources) >= 2
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert {path.name for path in model.iterdir()} == {
        *("weights.safetensors", "config.json", "split.csv", "metrics.json"),
        *("report.html", "frames.json"),
    }


def test_a_killed_run_goes_on_and_ends_in_the_same_weights(videos, model, tmp_path):
    words = command(videos, tmp_path / "m", "--epochs", "4")
    run = subprocess.Popen([sys.executable, "-m", "fvlib", *words], stdout=subprocess.DEVNULL)
    while not (tmp_path / "m" / "training.pt").exists() and run.poll() is None:
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert not (tmp_path / "m" / "weights.safetensors").exists()
    assert main(words) == 0
    weights = [folder / "weights.safetensors" for folder in (model, tmp_path / "m")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_folder_of_another_run_is_refused(videos, model, capsys):
    assert main(command(videos, model, "--epochs", "5")) == 1
    assert "was begun with other epochs; wanted the same" in capsys.readouterr().err


def test_a_folder_that_is_no_model_or_does_not_fit_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is no model; wanted a folder that `fvlib fit`"):
        load_model(tmp_path)
    small = Settings(weights="none", width=8, size=24)
    save_config(tmp_path, small, CLASSES)
    save_weights(tmp_path, network_for(small, 2))
    assert load_model(tmp_path).classes == CLASSES
    config = json.loads((tmp_path / "config.json").read_text())
    for change, message in (
        ({"format": 9}, "has the format 9"),
        ({"settings": config["settings"] | {"colour": 1}}, "unknown key"),
        ({"settings": config["settings"] | {"width": 16}}, "does not fit"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(ValueError, match=message):
            load_model(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(ValueError, match="the training has not ended"):
        load_model(tmp_path)


def test_any_backbone(videos, tmp_path):
    words = ["--backbone", "regnet_y_400mf", "--weights", "none", "--size", "32", "--epochs", "1"]
    words = ["fit", str(videos), "--out", str(tmp_path / "m"), "-g", "4", *words]
    assert main(words) == 0
    (found,) = predict(load_model(tmp_path / "m"), [videos / "left" / "s0_0.avi"])
    assert found.scores.sum() == pytest.approx(1)


def test_the_example_of_the_readme_runs(videos, tmp_path, monkeypatch, capsys):
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    small = 'weights="none", width=8, size=24, epochs=1'
    for long, few in (("person[0-9]+", "s[0-9]"), ("say=print", small)):
        assert example.count(long) == 1
        example = example.replace(long, few)
    (tmp_path / "videos").symlink_to(videos)
    (tmp_path / "match.mp4").symlink_to(videos / "left" / "s0_0.avi")
    monkeypatch.chdir(tmp_path)
    exec(example, {})
    measured, said = capsys.readouterr().out.strip().split("\n")
    assert re.match(r"\d+\.\d+ \(", measured)
    assert all(name in said for name in (*CLASSES, "start", "end"))
