"""The readers of the five benchmarks' official lists, and of anyone's class folders."""

import gzip
import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fvlib.datasets.videos import (
    BENCHMARKS,
    Benchmark,
    ClipList,
    breakfast,
    check,
    count_frames,
    exchanged_classes,
    hmdb51,
    read_benchmark,
    something_v1,
    something_v2,
    ucf101,
    video_folder,
    write_skip_list,
)
from fvlib.datasets.videos.clips import VideoClips
from fvlib.datasets.videos.lists import natural
from fvlib.datasets.videos.official import (
    VIDEO_SUFFIXES,
    fields_of,
    find_list,
    lines_of,
    listed_clips,
)
from fvlib.models import tsm_resnet
from fvlib.training import Recipe, train

real = pytest.mark.skipif("FVLIB_DATA" not in os.environ, reason="FVLIB_DATA names no real lists")


def put(root, files):
    """Files with their text; those that end in / are folders."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir()
        else:
            path.write_bytes(text.encode() if isinstance(text, str) else text)
    return root


def pairs_of(clips):
    """Names and class names."""
    return dict(zip(clips.names.tolist(), (clips.classes[i] for i in clips.targets), strict=True))


# --- UCF-101 --------------------------------------------------------------------------------------

UCF = {
    "ucfTrainTestlist/classInd.txt": "\ufeff1 Yoga\r\n2 Archery\r\n\r\n",  # not alphabetical
    "ucfTrainTestlist/trainlist01.txt": "Archery/v_a.avi 2\r\nYoga/v_b.avi 1\r\n",
    "ucfTrainTestlist/testlist01.txt": "Yoga/v_c d.avi\n",
    "ucfTrainTestlist/trainlist02.txt": "Yoga/v_c d.avi 1\n",
}
UCF_CLIPS = ["Archery/v_a.avi", "Yoga/v_b.avi", "Yoga/v_c d.avi"]


def ucf_root(tmp_path, clips=UCF_CLIPS, home="", lists=""):
    texts = {home + lists + name: text for name, text in UCF.items()}
    return put(tmp_path, {**texts, **{f"{home}UCF-101/{clip}": "" for clip in clips}})


def test_ucf101(tmp_path):
    clips = ucf101(ucf_root(tmp_path), "train")
    assert clips.classes == ("Yoga", "Archery")
    assert pairs_of(clips) == {"UCF-101/Archery/v_a.avi": "Archery", "UCF-101/Yoga/v_b.avi": "Yoga"}
    assert clips.targets.tolist() == [1, 0]
    assert clips.paths == (tmp_path / "UCF-101/Archery/v_a.avi", tmp_path / "UCF-101/Yoga/v_b.avi")
    assert str(clips) == "ucf101 train fold 1: 2 clips"
    assert pairs_of(ucf101(tmp_path, "test")) == {"UCF-101/Yoga/v_c d.avi": "Yoga"}
    assert pairs_of(ucf101(tmp_path, "train", 2)) == {"UCF-101/Yoga/v_c d.avi": "Yoga"}


@pytest.mark.parametrize("home", ["", "ucf101/", "UCF101/"])
@pytest.mark.parametrize("lists", ["", "UCF-101/"])
def test_the_lists_are_found_in_their_usual_places(tmp_path, home, lists):
    root = ucf_root(tmp_path, home=home, lists=lists)
    if lists:  # the whole data set in the folder of the clips
        root, home = root / home / lists, ""
        clips = ucf101(root, "train")
        assert clips.names.tolist() == ["Archery/v_a.avi", "Yoga/v_b.avi"]
    else:
        assert ucf101(root, "train").names[0] == f"{home}UCF-101/Archery/v_a.avi"


def test_clips_that_are_re_encoded_or_frame_folders(tmp_path):
    put(tmp_path, {**UCF, "UCF-101/Archery/v_a.mp4": "", "UCF-101/v_b/": "", "UCF-101/Yoga/": ""})
    put(tmp_path, {"UCF-101/Yoga/v_c d/": ""})
    names = ["UCF-101/Archery/v_a.mp4", "UCF-101/v_b"]
    assert ucf101(tmp_path, "train").names.tolist() == names
    assert ucf101(tmp_path, "test").names.tolist() == ["UCF-101/Yoga/v_c d"]


def test_missing_clips_are_never_left_out_in_silence(tmp_path):
    root = ucf_root(tmp_path, UCF_CLIPS[:1])
    message = r"train fold 1: 2 clips are listed in .*, of which 1 are not on disk .*Yoga/v_b\.avi"
    with pytest.raises(ValueError, match=message):
        ucf101(root, "train")
    skipped = ucf101(root, "train", missing="skip")
    assert (skipped.names.tolist(), skipped.targets.tolist()) == (["UCF-101/Archery/v_a.avi"], [1])
    assert skipped.absent == {"UCF-101/Yoga/v_b.avi": "is not on disk"}
    assert str(skipped) == "ucf101 train fold 1: 1 clips, 1 absent"
    kept = ucf101(root, "train", missing="keep")
    assert len(kept) == 2
    assert kept.absent == skipped.absent
    with pytest.raises(ValueError, match="none of the 1 clips listed in"):
        ucf101(root, "test", missing="skip")
    with pytest.raises(ValueError, match="missing is 'ignore'; choose one of"):
        ucf101(root, "train", missing="ignore")


def test_a_skip_list_says_what_to_leave_out(tmp_path):
    root, skip = ucf_root(tmp_path, UCF_CLIPS[:1]), tmp_path / "skip.txt"
    write_skip_list(skip, {"UCF-101/Yoga/v_b.avi": "is not on disk", "other/clip.avi": ""})
    clips = ucf101(root, "train", skip=skip)
    assert clips.names.tolist() == ["UCF-101/Archery/v_a.avi"]
    assert clips.skipped == ("UCF-101/Yoga/v_b.avi",)
    assert not clips.absent
    assert str(clips) == "ucf101 train fold 1: 1 clips, 1 in the skip list"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("classInd.txt", "2 Yoga\n1 Archery\n", "does not number its classes 1, 2, 3"),
        ("classInd.txt", "1 Yoga\n2 Yoga\n", "a class is listed twice"),
        ("classInd.txt", "Yoga\n", "wanted two fields"),
        ("classInd.txt", "\n", "is empty"),
        ("trainlist01.txt", "Rowing/v_a.avi 1\n", "has the class 'Rowing', which the list of"),
        ("trainlist01.txt", "Archery/v_a.avi\n", "wanted two fields"),
        ("trainlist01.txt", "Yoga/v_b.avi 1\nYoga/v_b.avi 1\n", "1 clips are listed twice"),
    ],
)
def test_lists_that_are_not_as_published(tmp_path, name, text, message):
    root = ucf_root(tmp_path)
    put(root, {f"ucfTrainTestlist/{name}": text})
    with pytest.raises(ValueError, match=message):
        ucf101(root, "train")


def test_unknown_splits_and_folds_are_refused(tmp_path):
    with pytest.raises(ValueError, match="split of ucf101 is 'validation'; choose one of"):
        read_benchmark("ucf101", tmp_path, "validation")
    with pytest.raises(ValueError, match="fold of hmdb51 is 4; choose one of 1, 2, 3"):
        read_benchmark("hmdb51", tmp_path, "train", 4)
    with pytest.raises(ValueError, match="split of something_v2 is 'test'; choose one of 'train'"):
        read_benchmark("something_v2", tmp_path, "test")
    with pytest.raises(ValueError, match="fold is 1, but breakfast has one split alone"):
        read_benchmark("breakfast", tmp_path, "train", 1)
    with pytest.raises(ValueError, match="data set is 'kinetics'; choose one of"):
        read_benchmark("kinetics", tmp_path, "train")


# --- HMDB51 ---------------------------------------------------------------------------------------


def test_hmdb51(tmp_path):
    lists = "testTrainMulti_7030_splits/"
    files = {
        # As strings, climb_stairs_test... sorts before climb_test...
        f"{lists}climb_stairs_test_split1.txt": "up [1]+é!.avi 1 \nb.avi 2 \n",
        f"{lists}climb_test_split1.txt": "two words.avi 1 \nd.avi 0 \ne.avi 2 \n",
        f"{lists}climb_stairs_test_split2.txt": "b.avi 1\n",
        "hmdb51/climb_stairs/up [1]+é!.avi": "",
        "hmdb51/climb/two words.avi": "",
        "hmdb51/climb/e.avi": "",
        "hmdb51/climb_stairs/b.avi": "",
    }
    put(tmp_path, files)
    clips = hmdb51(tmp_path, "train")
    assert clips.classes == ("climb", "climb_stairs")
    assert pairs_of(clips) == {
        "hmdb51/climb/two words.avi": "climb",
        "hmdb51/climb_stairs/up [1]+é!.avi": "climb_stairs",
    }
    assert hmdb51(tmp_path, "test").names.tolist() == [
        "hmdb51/climb/e.avi",
        "hmdb51/climb_stairs/b.avi",
    ]
    with pytest.raises(FileNotFoundError, match=r"climb_test_split2\.txt"):
        hmdb51(tmp_path, "train", 2)
    put(tmp_path, {f"{lists}climb_test_split1.txt": "a.avi 3\n"})
    with pytest.raises(ValueError, match="wanted a clip, then 0, 1 or 2"):
        hmdb51(tmp_path, "train")
    with pytest.raises(ValueError, match="put the official file there"):
        hmdb51(tmp_path / "hmdb51", "train")


# --- Something-Something --------------------------------------------------------------------------

V1 = "something-something-v1-"


def test_something_v1_in_both_orders(tmp_path):
    files = {
        f"{V1}labels.csv": "Pushing something\nHolding something; twice\n",
        f"{V1}train.csv": "12;Holding something; twice\n3;Pushing something\n",
        f"{V1}validation.csv": "7;Pushing something\n",
        "20bn-something-something-v1/12/": "",
        "20bn-something-something-v1/3/": "",
        "20bn-something-something-v1/7/": "",
    }
    put(tmp_path, files)
    clips = something_v1(tmp_path, "train")
    assert clips.classes == ("Holding something; twice", "Pushing something")
    assert clips.targets.tolist() == [0, 1]
    other = something_v1(tmp_path, "train", order="csv")
    assert other.classes == clips.classes[::-1]
    assert pairs_of(other) == pairs_of(clips)
    assert clips.names.tolist() == [f"20bn-something-something-v1/{i}" for i in (12, 3)]
    assert len(something_v1(tmp_path, "validation")) == 1
    with pytest.raises(ValueError, match="order of the classes is 'random'"):
        something_v1(tmp_path, "train", order="random")


def v2_files(start, clips):
    labels = {"Holding something": "1", "Dropping something into something": "0"}
    items = [
        {"id": "12", "label": "x", "template": "Dropping [something] into [something]"},
        {"id": "3", "label": "y", "template": "Holding [something]"},
    ]
    return {
        f"{start}labels.json": json.dumps(labels),
        f"{start}train.json": json.dumps(items),
        f"{start}validation.json.gz": gzip.compress(json.dumps(items[:1]).encode()),
        **{clip: "" for clip in clips},
    }


@pytest.mark.parametrize("start", ["something-something-v2-", "labels/", "annotations/"])
@pytest.mark.parametrize(
    "clips",
    [
        ["20bn-something-something-v2/12.webm", "20bn-something-something-v2/3.webm"],
        ["frames/12/", "frames/3/"],
        ["12.webm", "3.mp4"],
    ],
)
def test_something_v2_in_both_namings(tmp_path, start, clips):
    put(tmp_path, v2_files(start, clips))
    found = something_v2(tmp_path, "train")
    assert found.classes == ("Dropping something into something", "Holding something")
    assert found.targets.tolist() == [0, 1]
    assert found.names.tolist() == [clip.rstrip("/") for clip in clips]
    assert len(something_v2(tmp_path, "validation")) == 1


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("labels.json", '{"a": "1"}', r"numbers are not 0, 1, 2"),
        ("labels.json", "[]", "are not as published"),
        ("labels.json", "{", "are not as published"),
        ("train.json", '[{"id": "1"}]', "are not as published"),
        ("train.json", '[{"id": "1", "template": "Eating"}]', "has the class 'Eating', which"),
    ],
)
def test_something_v2_lists_that_are_not_as_published(tmp_path, name, text, message):
    put(tmp_path, {**v2_files("something-something-v2-", ["1.webm"])})
    put(tmp_path, {f"something-something-v2-{name}": text})
    with pytest.raises(ValueError, match=message):
        something_v2(tmp_path, "train")


# --- Breakfast ------------------------------------------------------------------------------------

TREE = {
    "P03/cam01/P03_cereals.avi": "",
    "P03/cam02/P03_cereals.avi": "",
    "P03/cam01/P03_cereals.txt": "labels",
    "P46/webcam01/P46_tea.avi": "",
    "P03/stereo/P03_milk_ch0.avi": "",
    "P03/stereo/P03_milk_ch1.avi": "",
    "P47/cam01/P47_scrambledegg.avi": "",
}


def test_breakfast_by_the_names_of_its_tree(tmp_path):
    folder = "BreakfastII_15fps_qvga_sync/"
    put(tmp_path, {folder + name: text for name, text in TREE.items()})
    clips = breakfast(tmp_path, "train")
    assert pairs_of(clips) == {
        f"{folder}P03/cam01/P03_cereals.avi": "cereals",
        f"{folder}P03/cam02/P03_cereals.avi": "cereals",
        f"{folder}P03/stereo/P03_milk_ch0.avi": "milk",
        f"{folder}P46/webcam01/P46_tea.avi": "tea",
    }
    assert len(clips.classes) == 10
    assert pairs_of(breakfast(tmp_path, "test")) == {
        f"{folder}P47/cam01/P47_scrambledegg.avi": "scrambledegg"
    }
    inside = breakfast(tmp_path / folder, "test")
    assert inside.names.tolist() == ["P47/cam01/P47_scrambledegg.avi"]


def test_breakfast_by_flat_names(tmp_path):
    names = ["P03_cam01_P03_tea.avi", "P04-stereo-P04_tea_ch0.mp4", "P05_stereo01_P05_tea/"]
    put(tmp_path, {f"videos/{name}": "" for name in [*names, "P04-stereo-P04_tea_ch1.mp4"]})
    clips = breakfast(tmp_path, "train")
    assert clips.names.tolist() == [f"videos/{name.rstrip('/')}" for name in names]
    put(tmp_path, {"skip.txt": f"videos/{names[0]}\n"})
    assert len(breakfast(tmp_path, "train", skip=tmp_path / "skip.txt")) == 2


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["P03/cam01/P04_tea.avi"], "is no Breakfast clip"),
        (["P03/cam01/P03_beer.avi"], "is no Breakfast clip"),
        (["P03/kitchen/P03_tea.avi"], "is no Breakfast clip"),
        (["P55/cam01/P55_tea.avi"], "is of person 55; Breakfast has P03 to P54"),
        (["P03/cam01/P03_tea.avi", "P03/cam01/P03_tea.mp4"], "is there twice"),
        (["P47/cam01/P47_tea.avi"], "no Breakfast clip of train is below"),
        (["readme.txt"], "no Breakfast clip of train is below"),
    ],
)
def test_what_is_no_breakfast(tmp_path, names, message):
    put(tmp_path, {name: "" for name in names})
    with pytest.raises(ValueError, match=message):
        breakfast(tmp_path, "train")


# --- anyone's own clips ---------------------------------------------------------------------------


def test_a_tree_of_classes(tmp_path):
    names = ["class10/b.mp4", "class2/10.AVI", "class2/9.avi", "class2/frames/1.jpg"]
    put(tmp_path, {**{name: "" for name in names}, "class2/note.txt": "", ".hidden/a.avi": ""})
    put(tmp_path, {"class2/.a.avi": ""})
    clips = video_folder(tmp_path)
    assert clips.classes == ("class2", "class10")
    assert clips.names.tolist() == [
        "class2/9.avi",
        "class2/10.AVI",
        "class2/frames",
        "class10/b.mp4",
    ]
    assert clips.targets.tolist() == [0, 0, 0, 1]


def test_what_is_passed_over_is_named(tmp_path):
    names = [
        "a/1.MTS",
        "a/2.3gp",
        "b/f/1.JPG",
        "a/notes.txt",
        "a/._1.MTS",
        "a/@eaDir/x.jpg",
        "3.ts",
    ]
    put(tmp_path, {name: "" for name in [*names, "__MACOSX/a/1.mp4", ".git/x.mp4", "README"]})
    clips = video_folder(tmp_path)
    assert clips.classes == ("a", "b")
    assert clips.names.tolist() == ["a/1.MTS", "a/2.3gp", "b/f"]
    assert clips.passed == {
        **{".git": "hidden", "a/._1.MTS": "hidden"},
        **{"__MACOSX": "of the system", "a/@eaDir": "of the system"},
        **{"README": "no video by its name", "a/notes.txt": "no video by its name"},
        "3.ts": "in no class folder",
    }
    assert not clips.absent
    table = f"{check(tmp_path).table()}\n"
    assert "\npassed over, of the system (2): __MACOSX, a/@eaDir\n" in table
    assert "\npassed over, in no class folder (1): 3.ts\n" in table


@pytest.mark.parametrize(
    ("files", "links", "odd"),
    [
        ({"b/": ""}, {}, {"b": "holds no clip"}),
        ({"b/note.txt": ""}, {}, {"b": "holds no clip"}),
        (
            {"b/1.jpg": ""},
            {},
            {"b": "holds no clip, but pictures: a clip is a folder of them"},
        ),
        ({}, {"b": "nowhere"}, {"b": "is a link to nothing"}),
        ({}, {"b": "b"}, {"b": "is a link to nothing"}),
        ({}, {"a/2.avi": "../2.avi", "a/frames": "2"}, dict.fromkeys(["a/2.avi", "a/frames"])),
        ({"b/": ""}, {"b/1.avi": "2"}, {"b": "holds no clip", "b/1.avi": "is a link to nothing"}),
        ({"a/frames/x.txt": ""}, {}, {"a/frames": "holds no pictures"}),
    ],
)
def test_a_class_without_a_clip_and_what_can_be_none_are_errors_unless_left_out(
    tmp_path, files, links, odd
):
    put(tmp_path, {"a/1.avi": "", **files})
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    odd = {name: why or "is a link to nothing" for name, why in odd.items()}
    with pytest.raises(ValueError, match=r"mend it, or ask for those that are there") as caught:
        video_folder(tmp_path)
    assert all(f"{name} {why}" in str(caught.value) for name, why in odd.items())
    clips = video_folder(tmp_path, missing="skip")
    assert (clips.classes, clips.names.tolist(), clips.absent) == (("a",), ["a/1.avi"], odd)
    report = check(tmp_path)
    assert report.problems == odd
    assert not report.ok
    assert f"  {len(odd)} left out\n" in report.table()


def test_a_class_that_another_split_alone_has_clips_of_is_a_class(tmp_path):
    put(tmp_path, {"train/a/1.avi": "", "train/b/1.avi": "", "val/a/": "", "val/b/2.avi": ""})
    put(tmp_path, {"test/c/": "", "test/b/3.avi": ""})
    assert video_folder(tmp_path, "train").classes == ("a", "b")
    with pytest.raises(ValueError, match="val/a holds no clip"):
        video_folder(tmp_path, "val")
    clips = video_folder(tmp_path, "val", missing="skip")
    assert (clips.classes, clips.targets.tolist()) == (("a", "b"), [1])
    assert clips.absent == {"val/a": "holds no clip"}


def test_dead_links_among_breakfasts_clips_are_named(tmp_path):
    put(tmp_path, {"P03/cam01/P03_tea.avi": ""})
    for name in ("P04", "P03/cam02", "P03/cam01/P03_milk.avi"):
        (tmp_path / name).symlink_to("nowhere")
    with pytest.raises(ValueError, match=r"; P04 is a link to nothing.*mend it"):
        breakfast(tmp_path, "train")
    clips = breakfast(tmp_path, "train", missing="skip")
    assert clips.names.tolist() == ["P03/cam01/P03_tea.avi"]
    assert set(clips.absent) == {"P04", "P03/cam02", "P03/cam01/P03_milk.avi"}


def test_every_suffix_in_small_letters_and_large(tmp_path):
    names = {f"a/{name}" for end in VIDEO_SUFFIXES for name in (f"small{end}", f"L{end.upper()}")}
    put(tmp_path, dict.fromkeys(names, ""))
    assert {*video_folder(tmp_path).names.tolist()} == names


def test_splits_number_the_classes_alike(tmp_path):
    put(tmp_path, {"train/a/1.avi": "", "train/c/1.avi": "", "val/b/1.avi": "", "val/c/2.avi": ""})
    for split, targets in (("train", [0, 2]), ("val", [1, 2])):
        clips = video_folder(tmp_path, split)
        assert clips.classes == ("a", "b", "c")
        assert clips.targets.tolist() == targets
    assert clips.names.tolist() == ["val/b/1.avi", "val/c/2.avi"]
    assert read_benchmark("folder", tmp_path, "val").names.tolist() == clips.names.tolist()
    with pytest.raises(ValueError, match=r"test is no folder"):
        video_folder(tmp_path, "test")
    with pytest.raises(ValueError, match="train/a holds no pictures"):
        video_folder(tmp_path)


def test_no_tree_of_classes(tmp_path):
    with pytest.raises(ValueError, match="is no folder; wanted one with a folder for each class"):
        video_folder(tmp_path / "none")
    put(tmp_path, {"a/note.txt": "", "1.avi": ""})
    with pytest.raises(ValueError, match="no clip is in the class folders"):
        video_folder(tmp_path)


@given(st.lists(st.integers(0, 10**6), unique=True))
def test_natural_order_counts(numbers):
    names = [f"clip{number}.avi" for number in numbers]
    assert sorted(names, key=natural) == [f"clip{number}.avi" for number in sorted(numbers)]


# --- lists of clips -------------------------------------------------------------------------------


def clip_list(names=("a/1", "a/2", "b/1"), targets=(0, 0, 1), classes=("a", "b")):
    return ClipList(
        "own", "train", Path("/data"), classes, np.array(names), np.array(targets, np.int64)
    )


def test_lists_are_reduced_and_their_classes_stay():
    clips = clip_list()
    assert clips.select(clips.targets == 1).names.tolist() == ["b/1"]
    less = clips.without(["./a/1", "c/1"])
    assert (less.names.tolist(), less.classes) == (["a/2", "b/1"], ("a", "b"))
    assert less.skipped == ("a/1",)
    assert less.without({"b/1": "why"}).skipped == ("a/1", "b/1")
    only = clips.of_classes(["b"])
    assert (only.names.tolist(), only.classes, only.targets.tolist()) == (["b/1"], ("b",), [0])
    assert clips.of_classes(["b", "a"]).targets.tolist() == [1, 1, 0]
    for wrong in (["c"], ["a", "a"]):
        with pytest.raises(ValueError, match="wanted different ones of it"):
            clips.of_classes(wrong)


def test_lists_that_cannot_be():
    with pytest.raises(ValueError, match="3 names but 2 targets"):
        clip_list(targets=(0, 1))
    with pytest.raises(ValueError, match="targets go from 0 to 2; wanted 0 to 1"):
        clip_list(targets=(0, 2, 1))
    with pytest.raises(ValueError, match="1 clips are listed twice, as a/1"):
        clip_list(names=("a/1", "a/1", "b/1"))


# --- a data set is an entry ---


def toy(root, split, *, missing="error", skip=None):
    """A list as of a set that is new: a line a clip, its name and its class."""
    file = find_list(Path(root), "toy", [f"{split}.csv"])
    listed = [(where, *fields_of(where, line, ",")) for where, line in lines_of(file)]
    options = {"source": file, "missing": missing, "skip": skip}
    return listed_clips("toy", split, Path(root), ["go left", "go right"], listed, **options)


def test_a_new_data_set_is_an_entry_and_a_reader(tmp_path, monkeypatch):
    official = {("train", None): 3, ("dev", None): 1}
    pairs = (("go left", "go right"),)
    entry = Benchmark(toy, official, rate=10, exchanged=pairs)
    monkeypatch.setitem(BENCHMARKS, "toy", entry)
    put(tmp_path, {"toy/train.csv": "a,go left\nb,go right\n", "toy/dev.csv": "c,go left\n"})
    for name in "abc":
        (tmp_path / "toy" / "clips" / name).mkdir(parents=True)
        for i in range(1, 9):
            Image.new("RGB", (24, 24), (i, 9, 9)).save(tmp_path / f"toy/clips/{name}/{i}.png")

    found = read_benchmark("toy", tmp_path, "train")
    assert pairs_of(found) == {"toy/clips/a": "go left", "toy/clips/b": "go right"}
    with pytest.raises(ValueError, match="split of toy is 'test'; choose one of 'train', 'dev'"):
        read_benchmark("toy", tmp_path, "test")
    with pytest.raises(ValueError, match="fold is 1, but toy has one split alone"):
        read_benchmark("toy", tmp_path, "train", 1)
    table = check(tmp_path).table().splitlines()
    assert table[1].split() == ["toy", "train", *"322", "not", "the", "official", "number"]
    assert table[2].split() == ["toy", "dev", "1", "1", "1", "complete"]
    assert table[3] == "not there: breakfast, ucf101, hmdb51, something_v1, something_v2"

    speed = {"fps": 5, "rate": entry.rate}
    clips = VideoClips(found, count_frames(found, **speed), **speed)
    assert clips.lengths.tolist() == [4, 4]
    model = tsm_resnet(18, 2, width=4)
    recipe = Recipe(epochs=1, batch_size=2, frames=2, crop=16, autocast=False, flip=True)
    train_it = partial(train, model, clips, seed=0, classes=list(found.classes))
    with pytest.raises(ValueError, match=r"flip is on for 'toy', .* as 'go left' and 'go right'"):
        train_it(recipe)
    assert np.isfinite(train_it(replace(recipe, flip=False)).train_loss).all()


# --- the official lists ---------------------------------------------------------------------------


def test_official_numbers():
    assert {name: one.splits for name, one in BENCHMARKS.items()} == {
        "breakfast": ("train", "test"),
        "ucf101": ("train", "test"),
        "hmdb51": ("train", "test"),
        "something_v1": ("train", "validation"),
        "something_v2": ("train", "validation"),
    }
    totals = {name: sum(one.official.values()) for name, one in BENCHMARKS.items()}
    assert totals["breakfast"] == 1712
    assert totals["ucf101"] == 3 * 13320
    assert totals["hmdb51"] == 3 * 5100
    assert BENCHMARKS["ucf101"].folds == (1, 2, 3)


@real
@pytest.mark.parametrize("name", ["ucf101", "hmdb51"])
def test_official_lists_of_ucf101_and_hmdb51(name):
    root = Path(os.environ["FVLIB_DATA"])
    every = set()
    for (split, fold), official in BENCHMARKS[name].official.items():
        clips = read_benchmark(name, root, split, fold, missing="keep")
        assert len(clips) == official
        assert len(clips.classes) == {"ucf101": 101, "hmdb51": 51}[name]
        every |= set(clips.names.tolist()) - set(clips.absent)
    on_disk = (root / {"ucf101": "UCF-101", "hmdb51": "hmdb51"}[name]).rglob("*.avi")
    assert every == {path.relative_to(root).as_posix() for path in on_disk}


@real
def test_flips_exchange_the_published_classes():
    root = Path(os.environ["FVLIB_DATA"], "something")
    for name, file in (("something_v1", "v1/label_map.txt"), ("something_v2", "v2/category.txt")):
        classes = (root / file).read_text().splitlines()
        assert set(exchanged_classes("own", classes)) == set(exchanged_classes(name))


@real
def test_official_lists_of_something_v2(tmp_path):
    source = Path(os.environ["FVLIB_DATA"], "something", "v2")
    clips = something_v2(source, "validation", missing="keep")
    assert (len(clips), len(clips.classes)) == (24777, 174)
    classes = (source / "category.txt").read_text().splitlines()
    assert clips.classes == tuple(classes)
    for split, names, official in (
        ("train", "train_videofolder.txt.gz", 168913),
        ("validation", "val_videofolder.txt.gz", 24777),
    ):
        with gzip.open(source / names, "rt") as file:
            rows = [line.split() for line in file]
        items = [{"id": row[0], "template": classes[int(row[2])]} for row in rows]
        put(tmp_path, {f"{split}.json": json.dumps(items)})
        put(tmp_path, {"labels.json": (source / "something-something-v2-labels.json").read_text()})
        found = something_v2(tmp_path, split, missing="keep")
        assert len(found) == official
        assert found.targets.tolist() == [int(row[2]) for row in rows]
    assert dict(zip(found.names, found.targets, strict=True)) == dict(
        zip(clips.names, clips.targets, strict=True)
    )


@real
def test_all_names_of_breakfast(tmp_path):
    source = Path(os.environ["FVLIB_DATA"], "breakfast")
    names = [
        Path(line).stem
        for bundle in (source / "splits").glob("*.bundle")
        for line in bundle.read_text().splitlines()
        if line.endswith(".txt")
    ]
    put(tmp_path, {f"videos/{name}.avi": "" for name in names})
    flat = {split: breakfast(tmp_path, split) for split in ("train", "test")}
    assert [len(clips) for clips in flat.values()] == [1357, 355]
    counts = [np.bincount(clips.targets).tolist() for clips in flat.values()]
    assert counts == [
        [146, 133, 137, 126, 152, 122, 128, 136, 130, 147],
        [38, 34, 36, 36, 35, 35, 35, 33, 36, 37],
    ]
    tree = tmp_path / "tree"
    for name in names:
        person, camera, clip = name.split("_", 2)
        end = "_ch0" if camera.startswith("stereo") else ""
        put(tree, {f"{person}/{camera.removesuffix('01') if end else camera}/{clip}{end}.avi": ""})
    for split, clips in flat.items():
        assert breakfast(tree, split).targets.tolist() == clips.targets.tolist()
