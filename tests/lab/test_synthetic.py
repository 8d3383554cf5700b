"""The mini sets: the laws of their plans, what is drawn, the files, going on after a kill."""

import filecmp
import json
import multiprocessing
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fvlib.datasets.sampling import segment_frames
from fvlib.datasets.videos import breakfast, hmdb51, something_v2, ucf101
from lab.synthetic import SYNTHETIC, expected, write_mini, writing
from lab.synthetic.breakfast import CLASSES, GAP, KINDS, oracle, order_of
from lab.synthetic.drawing import COLUMNS, HEIGHT, MIDDLE, WIDTH, PlanRNG
from lab.synthetic.scenes import (
    FOLDS,
    HMDB51_CLASSES,
    HMDB51_FOLDS,
    PALETTES,
    PATTERNS,
    SHARE,
    UCF101_CLASSES,
    Scenery,
)
from lab.synthetic.something import PAIRS, TEMPLATES

VERSIONS = [("breakfast", False), ("breakfast", True), ("ucf101", False), ("hmdb51", False)]
VERSIONS += [("something", False), ("something", True)]
TINY = {"breakfast": 20, "ucf101": 20, "hmdb51": 20, "something": 32}
seeds = st.integers(0, 2**32)


def whole(name, null=False):
    return all_plans(name, null)


@cache
def all_plans(name, null):
    # Shapes are checked with the few plans below; for thousands it takes its time.
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        return SYNTHETIC[name].plan(0, null, *SYNTHETIC[name].most)
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def few(name, null=False, seed=0):
    return few_plans(name, null, seed)


@cache
def few_plans(name, null, seed):
    return SYNTHETIC[name].plan(seed, null, TINY[name], TINY[name] // 2)


def of(plans, split):
    return [plan for plan in plans if plan.split == split]


def decode(path):
    import av

    with av.open(str(path)) as video:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)])


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """All four tiny sets in one data root."""
    folder = tmp_path_factory.mktemp("minis")
    for name, clips in TINY.items():
        write_mini(name, folder, clips=clips, jobs=0)
    return folder


# Plans


@pytest.mark.parametrize(("name", "null"), VERSIONS)
def test_clips_are_enough_balanced_and_the_first_ones_of_more(name, null):
    plans, mini = whole(name, null), SYNTHETIC[name]
    counts = Counter(plan.split for plan in plans)
    assert counts["train"] >= 400
    assert counts["test"] >= 200
    assert (counts["train"], counts["test"]) == mini.most
    assert len({plan.path for plan in plans}) == len(plans)
    small = few(name, null)
    for split in ("train", "test"):
        for some in (plans, small):
            classes = Counter(plan.target for plan in of(some, split))
            assert sorted(classes) == list(range(len(mini.classes)))
            assert len(set(classes.values())) == 1
        assert of(plans, split)[: len(of(small, split))] == of(small, split)
    assert few(name, null, seed=1) != small


def test_plans_stay_the_same():
    # When one of these numbers changes, raise VERSION: sets written before cannot be gone on with.
    assert writing.VERSION == 2
    lengths = {name: [plan.frames for plan in whole(name)[:4]] for name in SYNTHETIC}
    assert lengths == {
        "breakfast": [289, 348, 259, 334],
        "ucf101": [67, 110, 72, 66],
        "hmdb51": [64, 87, 53, 70],
        "something": [28, 28, 32, 32],
    }
    assert PlanRNG(3, 1, 4).numbers(2) == (0.8171534184253607, 0.7814677314360122)
    assert PlanRNG(3, 1, 4).order(5) == [2, 3, 4, 1, 0]


@settings(max_examples=10, deadline=None)
@given(seed=seeds)
def test_draws_stay_in_their_range(seed):
    draws = PlanRNG(seed, 7)
    assert {draws.integer(2, 4) for _ in range(60)} == {2, 3, 4}
    assert all(-1 <= number < 2 for number in draws.numbers(20, -1, 2))
    assert sorted(draws.order(9)) == list(range(9))
    assert draws.choice("ab") in "ab"


def test_training_and_test_material_are_apart():
    for name in ("breakfast", "something"):
        plans = whole(name)
        for split in ("train", "test"):
            first, last = COLUMNS[split]
            for plan in of(plans, split):
                left, top, right, bottom = plan.room.area
                assert first <= left < right <= last
                assert 0 <= top < bottom <= 427
        digits = [{p.digit for plan in of(plans, s) for p in plan.passers} for s in COLUMNS]
        assert not digits[0] & digits[1]
    assert COLUMNS["train"][1] <= COLUMNS["test"][0]
    rooms = {}
    for plan in whole("breakfast"):  # a room for each person and camera
        assert rooms.setdefault(plan.folder, plan.room) == plan.room
    assert len(set(map(repr, rooms.values()))) == len(rooms) == 44 * 2 + 8 * 3


def test_breakfast_activities_are_pairs_in_both_orders():
    orders = [order_of(activity) for activity in range(10)]
    assert len(set(orders)) == 10
    assert {pair[::-1] for pair in orders} == set(orders)
    assert Counter(kind for kind, _ in orders) == dict.fromkeys(range(5), 2)
    assert Counter(kind for _, kind in orders) == dict.fromkeys(range(5), 2)


@pytest.mark.parametrize("null", [False, True])
@settings(max_examples=5, deadline=None)
@given(seed=seeds)
def test_breakfast_events(null, seed):
    for plan in few("breakfast", null, seed):
        first, second = plan.events
        assert 240 <= plan.frames <= 360
        assert (first.kind, second.kind) == order_of(plan.target)
        assert first.first >= GAP
        assert second.first - first.last > GAP
        assert second.last < plan.frames - GAP
        for event in plan.events:
            length = event.last - event.first + 1
            if null:
                assert plan.frames / 4 <= length <= plan.frames / 3
            else:
                assert 10 <= length <= 20
            y, x = event.centres().T
            for place, (low, high) in zip((y, x), MIDDLE, strict=True):
                assert low <= place.min() - event.size / 2
                assert place.max() + event.size / 2 <= high
            steps = np.linalg.norm(np.diff(event.centres(), axis=0), axis=1)
            assert ((steps >= 1.5 - 1e-9) & (steps <= 3 + 1e-9)).all()
        pieces = plan.segments()
        assert [name for *_, name in pieces[1::2]] == [
            KINDS[kind] for kind in order_of(plan.target)
        ]
        frames = [frame for low, high, _ in pieces for frame in range(low, high + 1)]
        assert frames == list(range(plan.frames))
        if null:  # 8 frames hit both, also when they are drawn for training
            for rng in (None, np.random.default_rng(seed)):
                drawn = segment_frames(plan.frames, 8, rng=rng)[0]
                assert oracle(plan, drawn) == ("both events", 1.0)


def test_breakfast_reader_by_hand():
    plan = few("breakfast")[0]
    one, two = plan.events
    one, two = replace(one, first=20, last=29), replace(two, first=200, last=206)
    plan = replace(plan, frames=300, events=(one, two))

    def seen(*frames):
        return oracle(plan, np.array(frames))

    assert seen(19, 30, 199, 207) == ("no event", 0.1)
    assert seen(0, 20, 100) == ("one event", 0.5)  # early, so it was the first: two are left
    assert seen(206, 299) == ("one event", 0.5)
    assert seen(29, 200) == ("both events", 1.0)
    late = replace(plan, events=(replace(one, first=160, last=169), two))
    assert oracle(late, np.array([165])) == ("one event", 0.0)  # taken for the second


@pytest.mark.parametrize("null", [False, True])
@settings(max_examples=5, deadline=None)
@given(seed=seeds)
def test_something_clips_and_their_reversals(null, seed):
    plans = few("something", null, seed)
    pairs = {}
    for plan in plans:
        pairs.setdefault((plan.split, repr(plan.action), repr(plan.room)), []).append(plan)
    assert len(pairs) == len(plans) // 2
    for clip, back in pairs.values():
        same = dict(number=back.number, target=back.target, reverse=True)
        assert replace(clip, **same) == back
        assert not clip.reverse
        templates = PAIRS[clip.action.pair]
        if null:
            assert clip.target == back.target == TEMPLATES.index(templates[0 if clip.warm else 1])
        else:
            assert (TEMPLATES[clip.target], TEMPLATES[back.target]) == templates
        clock = clip.clock()
        np.testing.assert_array_equal(back.clock(), clock[::-1])
        states = clock[~np.isnan(clock)]
        assert (states[0], states[-1]) == pytest.approx((0, 1))
        assert (np.diff(states) >= 0).all()
        assert len(states) == clip.frames if null else 6 <= len(states) <= 14
    for target in range(8):  # colours: told by the class in the null version, else half and half
        warm = [plan.warm for plan in plans if plan.target == target and plan.split == "train"]
        assert len(set(warm)) == (1 if null else 2)


def test_something_reversals_are_exact():
    plans = few("something")
    for clip, back in zip(plans[:8:2], plans[1:8:2], strict=True):
        video = clip.draw()
        np.testing.assert_array_equal(back.draw(), video[::-1])
        assert (video[1:] != video[:-1]).any()


def test_something_reader_by_hand():
    plan = few("something")[0]
    action = replace(plan.action, first=10, states=(0.0, 0.05, 0.5, 0.5, 1.0))
    plan = replace(plan, frames=30, action=action, reverse=True)  # states at frames 15 to 19
    chance = {(0, 14, 20): 1 / 8, (15, 25): 1 / 2, (16, 17): 1 / 2, (18, 19): 1 / 2, (17, 18): 1.0}
    for frames, wanted in chance.items():
        assert SYNTHETIC["something"].oracle(plan, np.array(frames))[1] == wanted
    assert SYNTHETIC["something"].oracle(replace(plan, null=True), np.array([0])) == (
        "the colour",
        1.0,
    )


@pytest.mark.parametrize(
    ("name", "folds", "train", "test"),
    [("ucf101", FOLDS, 540, 210), ("hmdb51", HMDB51_FOLDS, 700, 300)],
)
def test_groups_are_apart_and_have_their_own_material(name, folds, train, test):
    plans = [plan for plan in whole(name) if plan.split != "unused"]
    scenes, digits = {}, {}
    for plan in plans:
        assert 40 <= plan.frames <= 120
        assert SHARE[0] <= plan.scene.share < SHARE[1]
        assert plan.scene.cell == plan.group - 1
        key = plan.target, plan.group
        assert scenes.setdefault(key, plan.scene) == plan.scene
        digits.setdefault(plan.group, set()).update(runner.digit for runner in plan.runners)
    assert len(set(map(repr, scenes.values()))) == len(scenes)
    assert sum(map(len, digits.values())) == len(set().union(*digits.values()))
    for first, last in folds:
        tested = [plan for plan in plans if first <= plan.group <= last]
        assert (len(plans) - len(tested), len(tested)) == (train, test)
        assert set(Counter(plan.target for plan in tested).values()) == {test // 10}
    first, last = folds[0]
    assert all((plan.split == "test") == (first <= plan.group <= last) for plan in plans)


def test_palettes_and_patterns_tell_a_class_only_together():
    looks = [*UCF101_CLASSES.values(), *HMDB51_CLASSES.values()]
    assert len(set(looks)) == 20
    for classes in (UCF101_CLASSES, HMDB51_CLASSES):
        assert list(classes) == sorted(classes)
        palettes, patterns = zip(*classes.values(), strict=True)
        assert Counter(palettes) == dict.fromkeys(PALETTES, 2)
        assert Counter(patterns) == dict.fromkeys(PATTERNS, 2)


def test_what_frames_can_see_by_design():
    numbers = (1, 8, 16, 32, None)

    def accuracies(name, null=False):
        rows = expected(SYNTHETIC[name], of(whole(name, null), "test"), numbers)
        assert [row["frames"] for row in rows] == list(numbers)
        for row in rows:
            assert sum(row["seen"].values()) == pytest.approx(1)
        return [row["accuracy"] for row in rows]

    one, eight, sixteen, more, every = accuracies("breakfast")
    assert one < 0.15 < 0.35 < eight < 0.45 < 0.7 < sixteen < 0.85 < 0.98 < more < every == 1
    assert accuracies("breakfast", null=True)[1:] == [1] * 4
    one, eight, sixteen, more, every = accuracies("something")
    assert one < 0.35 < 0.88 < eight < 0.97 < 0.99 < sixteen <= more <= every == 1
    assert accuracies("something", null=True) == [1] * 5
    for name in ("ucf101", "hmdb51"):
        every = accuracies(name)
        assert set(every) == {every[0]}
        assert 0.85 < every[0] < 0.95


# Pictures


@pytest.mark.parametrize("null", [False, True])
def test_breakfast_shows_its_events_and_nothing_of_them_elsewhere(null):
    for plan in few("breakfast", null)[:10:3]:
        video = plan.draw()
        assert video.shape == (plan.frames, HEIGHT, WIDTH, 3)
        empty = replace(plan, events=()).draw()
        shows = (video != empty).any((1, 2, 3))
        events = [frame for event in plan.events for frame in range(event.first, event.last + 1)]
        assert np.flatnonzero(shows).tolist() == events
        for event in plan.events:
            for frame, (y, x) in zip(
                (event.first, event.last), event.centres()[[0, -1]], strict=True
            ):
                aside = 3 / 8 * event.size if KINDS[event.kind] == "ring" else 0
                assert tuple(video[frame, round(y), round(x + aside)]) == event.colour


@pytest.mark.parametrize("name", ["ucf101", "hmdb51"])
def test_the_class_has_its_share_of_the_scene(name):
    flat = dict(pattern="planks", period=9.0, angle=0.0, phase=0.0, depth=0.0)
    own = Scenery(dark=(255, 0, 0), light=(255, 0, 0), **flat)
    other = Scenery(dark=(0, 0, 255), light=(0, 0, 255), **flat)
    for plan in few(name):
        plan = replace(plan, scene=replace(plan.scene, own=own, other=other), runners=())
        video = plan.draw()
        crop = video[:, 4:67, 16:79, 0]  # 7/8 of the shorter side in the middle
        assert crop.mean() / 255 == pytest.approx(plan.scene.share, abs=0.08)


def test_every_pattern_is_another_picture():
    grey = np.full((72, 96), 128, np.uint8)
    look = dict(dark=(0, 0, 0), light=(255, 255, 255), period=12.0, angle=0.0, phase=0.1, depth=1.0)
    pictures = [Scenery(pattern, **look).paint(grey).astype(int) for pattern in PATTERNS]
    for i, one in enumerate(pictures):
        assert one.std() > 40
        assert all(abs(one - other).mean() > 40 for other in pictures[:i])


@pytest.mark.parametrize("pair", range(4))
def test_something_states_are_told_apart_in_the_middle_of_the_picture(pair):
    plan = next(plan for plan in few("something") if plan.action.pair == pair)
    pictures = [plan.action.picture(state).astype(int) for state in np.linspace(0, 1, 11)]
    for one, other in pairwise(pictures):
        assert (abs(one - other).max(-1) > 60).sum() >= 10  # pixels
    video = plan.draw()
    empty = replace(plan, action=replace(plan.action, states=())).draw()
    changed = (video != empty).any(-1)
    assert changed.any((1, 2)).tolist() == (~np.isnan(plan.clock())).tolist()
    assert not changed[:, :6].any()
    assert not changed[:, 66:].any()
    assert not changed[:, :, :18].any()
    assert not changed[:, :, 78:].any()


# Files


@pytest.mark.parametrize("name", TINY)
def test_files_hold_the_planned_frames(root, name):
    plans, mini = few(name), SYNTHETIC[name]
    videos = root / mini.folders[0]
    ending = "*.webm" if name == "something" else "*.avi"
    files = {path.relative_to(videos).as_posix() for path in videos.rglob(ending)}
    assert files == {plan.path for plan in plans}
    assert not list(root.glob(".mini*"))
    for plan in plans[::7]:
        frames, drawn = decode(videos / plan.path), plan.draw()
        assert frames.shape == drawn.shape == (plan.frames, HEIGHT, WIDTH, 3)
        assert abs(frames.astype(int) - drawn).mean() < 8
    import av

    with av.open(str(videos / plans[0].path)) as video:
        stream = video.streams.video[0]
        rate = {"breakfast": 15, "ucf101": 25, "hmdb51": 30, "something": 12}[name]
        assert stream.average_rate == rate
        assert stream.codec_context.name in ("mpeg4", "vp9", "libvpx-vp9")


def test_decoded_reversals_are_exact_too(root):
    plans = few("something")
    for clip, back in zip(plans[:8:2], plans[1:8:2], strict=True):
        one, other = (decode(root / "something/v2" / plan.path) for plan in (clip, back))
        np.testing.assert_array_equal(one, other[::-1])


@pytest.mark.parametrize("name", TINY)
def test_readers_read_what_was_planned(root, name):
    plans, mini = few(name), SYNTHETIC[name]
    for split in ("train", "test"):
        if name == "breakfast":
            clips = breakfast(root, split)
        elif name == "something":
            clips = something_v2(root, {"train": "train", "test": "validation"}[split])
        else:
            clips = {"ucf101": ucf101, "hmdb51": hmdb51}[name](root, split)
        assert clips.classes == mini.classes
        read = {
            path.relative_to(root / mini.folders[0]).as_posix(): target
            for path, target in zip(clips.paths, clips.targets.tolist(), strict=True)
        }
        assert read == {plan.path: plan.target for plan in of(plans, split)}


def test_annotations_are_as_the_official_ones(root):
    lists = root / "ucfTrainTestlist"
    index = (lists / "classInd.txt").read_bytes().decode()
    assert index.startswith("1 Basketball\r\n2 Biking\r\n")
    classes = dict(line.split()[::-1] for line in index.splitlines())
    plans = {plan.path: plan for plan in few("ucf101")}
    for fold, (first, last) in enumerate(FOLDS, 1):
        train = [
            line.split() for line in (lists / f"trainlist0{fold}.txt").read_text().splitlines()
        ]
        test = (lists / f"testlist0{fold}.txt").read_text().split()
        assert sorted([*test, *(path for path, _ in train)]) == sorted(plans)
        assert all(classes[path.partition("/")[0]] == number for path, number in train)
        groups = {int(re.search(r"_g(\d\d)_c\d\d\.avi$", path)[1]) for path in test}
        assert groups
        assert groups <= set(range(first, last + 1))
        others = {int(re.search(r"_g(\d\d)_", path)[1]) for path, _ in train}
        assert not groups & others

    files = sorted((root / "testTrainMulti_7030_splits").iterdir())
    names = [
        f"{name}_test_split{fold}.txt" for name in sorted(HMDB51_CLASSES) for fold in (1, 2, 3)
    ]
    assert [path.name for path in files] == names
    for path in files:
        for line in path.read_text().splitlines():
            clip, part = re.fullmatch(r"(\S+\.avi) ([012]) ", line).groups()
            assert part in "12"  # unused clips are in the whole set alone
            assert (root / "hmdb51" / path.name.partition("_test_split")[0] / clip).exists()

    home = root / "something/v2"
    labels = json.loads((home / "something-something-v2-labels.json").read_text())
    assert list(labels.values()) == [str(k) for k in range(8)]
    items = json.loads((home / "something-something-v2-train.json").read_text())
    for item in items:
        assert list(item) == ["id", "label", "template", "placeholders"]
        assert item["template"].count("[something]") == len(item["placeholders"])
        assert item["template"].replace("[", "").replace("]", "") in labels
        assert item["label"] == item["label"].lower()
        assert all(thing in item["label"] for thing in item["placeholders"])

    plan = few("breakfast")[3]
    text = (root / "breakfast" / plan.path).with_suffix(".txt").read_text()
    assert plan.path == "P03/cam01/P03_juice.avi"
    pieces = [re.fullmatch(r"(\d+)-(\d+) (\w+)", line).groups() for line in text.splitlines()]
    assert [name for *_, name in pieces] == ["SIL", "triangle", "SIL", "square", "SIL"]
    assert pieces[0][0] == "1"
    assert pieces[-1][1] == str(plan.frames)
    assert CLASSES[plan.target] == "juice"


def test_hmdb51_marks_training_testing_and_unused_clips():
    texts = SYNTHETIC["hmdb51"].annotate(whole("hmdb51"))
    assert len(texts) == 30
    for text in texts.values():
        assert Counter(re.findall(r" ([012]) \n", text)) == {"0": 2, "1": 70, "2": 30}


def test_report_and_note(root, tmp_path):
    report = write_mini("something", tmp_path, clips=32, null=True, seed=3, jobs=0)
    frames = sum(plan.frames for plan in few("something", True, 3))
    assert report == ({"train": 32, "test": 16}, frames, 48)
    note = json.loads((tmp_path / "mini-something.json").read_text())
    assert note["complete"]
    assert note["sha256"] != json.loads((root / "mini-something.json").read_text())["sha256"]
    again = write_mini("something", tmp_path, clips=32, null=True, seed=3, jobs=0)
    assert again == report._replace(written=0)


@pytest.mark.process
def test_kill_leaves_no_half_file_and_the_rest_is_written_in_parallel(root, tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lab.synthetic"])
    options = {"clips": 20, "jobs": 0}
    process = context.Process(target=write_mini, args=("ucf101", tmp_path), kwargs=options)
    process.start()
    try:
        until = time.monotonic() + 120
        while len(list((tmp_path / "UCF-101").rglob("*.avi"))) < 3:
            assert time.monotonic() < until
            time.sleep(0.002)
    finally:
        process.kill()
        process.join()
    plans = {plan.path: plan for plan in few("ucf101")}
    videos = tmp_path / "UCF-101"
    there = {path.relative_to(videos).as_posix() for path in videos.rglob("*.avi")}
    assert 3 <= len(there) < len(plans)
    for name in there:
        assert len(decode(videos / name)) == plans[name].frames
    assert not (tmp_path / "ucfTrainTestlist").exists()  # written last
    assert not json.loads((tmp_path / "mini-ucf101.json").read_text())["complete"]

    report = write_mini("ucf101", tmp_path, clips=20, jobs=2)
    assert report.written == len(plans) - len(there)
    assert not list(tmp_path.rglob("*.part"))
    for folder in ("UCF-101", "ucfTrainTestlist"):
        names = [p.relative_to(root) for p in (root / folder).rglob("*") if p.is_file()]
        same, *other = filecmp.cmpfiles(root, tmp_path, names, shallow=False)
        assert len(same) == len(names)
        assert other == [[], []]


@pytest.mark.process
def test_two_processes_that_start_together_write_one_set(root, tmp_path):
    script = tmp_path / "write.py"
    script.write_text(
        "import sys\n"
        "from lab.synthetic import write_mini\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "print(write_mini('something', sys.argv[1], clips=32, jobs=0).written)\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, str(script), str(tmp_path / "set")]
    both = [subprocess.Popen(command, **pipes) for _ in range(2)]
    assert [process.stdout.readline() for process in both] == ["ready\n"] * 2
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert sorted(int(process.communicate(timeout=300)[0]) for process in both) == [0, 48]
    assert [process.returncode for process in both] == [0, 0]
    names = {p.relative_to(root) for p in (root / "something").rglob("*") if p.is_file()}
    here = tmp_path / "set"
    assert names == {p.relative_to(here) for p in (here / "something").rglob("*") if p.is_file()}
    assert filecmp.cmpfiles(root, here, names, shallow=False)[1:] == ([], [])
    assert not list(here.glob(".*"))


def test_a_finished_set_is_not_touched(root):
    times = {path: path.stat().st_mtime_ns for path in [root, *root.rglob("*")]}
    for name, clips in TINY.items():
        assert write_mini(name, root, clips=clips).written == 0
    assert {path: path.stat().st_mtime_ns for path in [root, *root.rglob("*")]} == times


def test_what_is_gone_or_changed_is_written_again(tmp_path):
    options = {"clips": 32, "jobs": 0}
    home = tmp_path / "something/v2"
    write_mini("something", tmp_path, **options)
    labels, before = home / "something-something-v2-labels.json", {}
    for path in home.rglob("*.*"):
        before[path] = path.read_bytes()
    labels.write_text("{}")
    next(home.rglob("*.webm")).unlink()
    (tmp_path / ".mini-something.lock").touch()  # of one that was killed
    assert write_mini("something", tmp_path, **options).written == 1
    assert {path: path.read_bytes() for path in home.rglob("*.*")} == before
    assert not list(tmp_path.glob(".mini*"))
    labels.write_text("{}")
    assert write_mini("something", tmp_path, **options).written == 0
    assert labels.read_bytes() == before[labels]


def test_stopped_within_a_clip(tmp_path, monkeypatch):
    encode, done = writing.encode, []

    def stop_at_the_third(path, frames, encoding, container):
        if len(done) == 2:
            Path(path).write_bytes(b"half of a vid")
            raise KeyboardInterrupt
        encode(path, frames, encoding, container)
        done.append(path)

    monkeypatch.setattr(writing, "encode", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        write_mini("something", tmp_path, clips=32, jobs=0)
    videos = tmp_path / "something/v2/20bn-something-something-v2"
    assert len(list(videos.iterdir())) == 2
    monkeypatch.setattr(writing, "encode", encode)
    assert write_mini("something", tmp_path, clips=32, jobs=0).written == 46


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "kinetics"}, "mini set is 'kinetics'; choose one of 'breakfast'"),
        ({"name": "ucf101", "null": True}, "own null version"),
        ({"name": "hmdb51", "null": True}, "own null version"),
        ({"name": "something", "clips": 20}, "clips is 20; .* multiple of 32 up to 960"),
        ({"name": "breakfast", "clips": 900}, "clips is 900; .* multiple of 20 up to 880"),
        ({"name": "breakfast", "clips": 0}, "clips is 0"),
        ({"name": "breakfast", "seed": -1}, "seed is -1; wanted a whole number of 0"),
        ({"name": "breakfast", "jobs": -1}, "jobs is -1"),
    ],
)
def test_bad_arguments(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        write_mini(folder=tmp_path, **arguments)
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over_other_files(root, tmp_path):
    (tmp_path / "UCF-101/Archery").mkdir(parents=True)
    with pytest.raises(ValueError, match="not of a mini set; nothing is written over"):
        write_mini("ucf101", tmp_path, clips=20)
    assert [path.name for path in tmp_path.rglob("*")] == ["UCF-101", "Archery"]
    with pytest.raises(ValueError, match=r"holds a mini set with the settings .*'seed': 0"):
        write_mini("ucf101", root, clips=20, seed=1)
    with pytest.raises(ValueError, match="holds a mini set with the settings"):
        write_mini("ucf101", root, clips=40)


def test_each_set_states_its_design():
    for name in ("breakfast", "scenes", "something"):
        design = import_module(f"lab.synthetic.{name}").__doc__
        for words in (
            "fixed before any comparison",
            "What tells the classes apart",
            "null version",
            "tests the mechanism, not the benchmark",
        ):
            assert words in design
