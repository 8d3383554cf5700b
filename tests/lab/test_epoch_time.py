"""How long an epoch takes in each way of training: what is timed, and what is compared."""

import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fvlib.datasets import FrameSampler
from fvlib.datasets.loading import batches
from lab import records
from lab.experiments import costs
from lab.experiments.costs import (
    TimedClips,
    of_all_lengths,
    run_epoch_time,
    same_images,
    time_epochs,
)
from lab.experiments.parts import Trial
from lab.recipes import parameters_of
from lab.synthetic import write_mini

DATA = Path(__file__).parents[2] / "data"
CLUSTERED = {
    f"{method}-{clusters}": {"method": method, "clusters": clusters}
    for clusters in (8, 16)
    for method in ("uniform", "slope", "cumulative")
}
WAYS = {
    "tsm-8": {"frames": 8},
    "tsm-16": {"frames": 16},
    **CLUSTERED,
    "cumulative-8-of-32": {"method": "cumulative", "clusters": 8, "window": 32},
    "cumulative-16-of-32": {"method": "cumulative", "clusters": 16, "window": 32},
}
PEERS = {name: "tsm-16" if "16" in name.split("-") else "tsm-8" for name in WAYS}


class World:
    """A clock, clips and networks that take as many of its seconds as they are told.

    A clip is decoded from its start to the last frame that is wanted, a second a frame; a network
    takes ten seconds a frame. The seconds of a round are `speed[round]` times as long.
    """

    def __init__(self, lengths, ways, speed):
        self.lengths, self.ways, self.speed = np.array(lengths), ways, speed
        self.targets, self.name, self.classes = np.zeros(len(lengths), int), "film", ("a", "b")
        self.now, self.built, self.seen = 0.0, [], []

    def __len__(self):
        return len(self.lengths)

    def clock(self):
        return self.now

    def passes(self, seconds):
        self.now += seconds * self.speed[(len(self.built) - 1) // len(self.ways)]

    def network(self, parameters, *_):
        keys = ("frames", "method", "clusters", "window")
        given = {key: getattr(parameters, key) for key in keys}
        given = {key: value for key, value in given.items() if value not in (None, "all")}
        self.built.append(next(name for name, way in self.ways.items() if way == given))
        return Slow(self)

    def read(self, i, frames):
        assert frames.max() < self.lengths[i]
        self.seen.append((len(self.built) - 1, i))
        self.passes(int(frames.max()) + 1)
        numbers = torch.from_numpy(frames).to(torch.uint8)
        return numbers.view(-1, 1, 1, 1).expand(-1, 3, 4, 4).contiguous()


class Slow(torch.nn.Module):
    def __init__(self, world):
        super().__init__()
        self.fc, self.world = torch.nn.Linear(1, 2), world

    def forward(self, x, lengths=None, cluster=True):
        assert cluster
        self.world.passes(10 * x.shape[0] * x.shape[1])
        return self.fc(x.float().mean((1, 2, 3, 4))[:, None])


@pytest.fixture
def world(monkeypatch):
    """Makes a world, whose clock and networks are then the only ones."""

    def make(lengths, ways, speed):
        made = World(lengths, ways, speed)
        monkeypatch.setattr(time, "perf_counter", made.clock)
        monkeypatch.setattr(costs, "network", made.network)
        return made

    return make


THREE = {name: WAYS[name] for name in ("tsm-8", "cumulative-8", "cumulative-8-of-32")}


def settings(**changes):
    """Those of a run of this experiment, with changes."""
    usual = {"ways": THREE, "rounds": 4, "timed_clips": 3, "batch_size": 2, "autocast": False}
    usual |= {"epochs": 24, "warmup_epochs": 18, "frame_budget": None, "crop": 4}
    place = (DATA / "recipes.toml", "epoch_time", "all", "smoke", "embedded")
    return parameters_of(*place, **usual | changes)[0]


def trial(parameters, seed, beside=Path()):
    return Trial(parameters, seed, beside, Path("none"))


def test_reading_and_training_are_both_counted_and_apart(world):
    clips = world([64] * 6, THREE, [1000, 1, 2, 4, 8])
    arrays = time_epochs(clips, np.array([0, 2, 5]), trial(settings(), 3))
    # Three clips of six: seconds are those of the whole set, twice as many. Round 0 is left out.
    rounds = np.array([1, 2, 4, 8])
    assert arrays["reading_cumulative-8"].tolist() == (6 * 64 * rounds).tolist()
    assert arrays["training_cumulative-8"].tolist() == (6 * 640 * rounds).tolist()
    assert arrays["training_cumulative-8-of-32"].tolist() == (6 * 320 * rounds).tolist()
    assert arrays["training_tsm-8"].tolist() == (6 * 80 * rounds).tolist()
    windows = arrays["reading_cumulative-8-of-32"] / rounds
    assert len(set(windows)) == 1  # the same windows each time
    assert windows[0] in [2 * (32 * 3 + 32 * late) for late in range(4)]
    few = arrays["reading_tsm-8"] / rounds  # the last of 8 segments of 8 frames
    assert len(set(few)) == 1
    assert 6 * 57 <= few[0] <= 6 * 64


def test_every_round_has_all_ways_in_an_order_of_its_own_on_the_same_clips(world):
    clips = world([40, 50, 60, 70], WAYS, [1] * 6)
    run = settings(ways=WAYS, rounds=5)
    arrays = time_epochs(clips, np.array([1, 3]), trial(run, 0))
    blocks = np.array(clips.built).reshape(6, len(WAYS))
    assert all(sorted(block) == sorted(WAYS) for block in blocks.tolist())
    assert len({tuple(block) for block in blocks.tolist()}) == 6
    assert arrays["order"].tolist() == blocks[1:].tolist()
    by_epoch = [[i for epoch, i in clips.seen if epoch == k] for k in range(len(clips.built))]
    assert {tuple(shown) for shown in by_epoch} in ({(1, 3)}, {(3, 1)})

    again = world([40, 50, 60, 70], WAYS, [1] * 6)
    time_epochs(again, np.array([1, 3]), trial(run, 0))
    assert again.built == clips.built
    other = world([40, 50, 60, 70], WAYS, [1] * 6)
    time_epochs(other, np.array([1, 3]), trial(run, 1))
    assert other.built != clips.built


def test_no_round_to_keep_and_ways_that_are_none_are_refused():
    with pytest.raises(ValueError, match="rounds is 0"):
        settings(rounds=0)
    with pytest.raises(ValueError, match=r"unknown key ways\.a\.clips"):
        settings(ways={"a": {"clips": 3}})
    with pytest.raises(ValueError, match="clusters is 4, frames 8"):
        settings(ways={"a": {"frames": 8, "clusters": 4, "method": "slope"}})


def test_a_machine_that_slows_down_changes_seconds_but_no_ratio(world, monkeypatch):
    clips = world([64] * 6, THREE, [1, 1, 3, 7, 50])
    monkeypatch.setattr(costs, "clip_lists", lambda *_: {"train": None})
    monkeypatch.setattr(costs, "load_clips", lambda *_: clips)
    monkeypatch.setattr(costs, "describe_stored", lambda *_: {})
    entry, arrays = run_epoch_time(trial(settings(), 3))
    few = arrays["reading_tsm-8"][0] + arrays["training_tsm-8"][0]
    expected = 6 * (64 + 640) / few
    found = entry["results"]["cumulative-8"]
    assert arrays["longer_cumulative-8"] == pytest.approx(100 * (expected - 1))
    assert found["ratio"] == pytest.approx(expected, abs=1e-4)
    assert found["training_ratio"] == 8
    assert found["training_s"] == 6 * 640 * 5  # the median round is five times as slow
    assert found["epoch_s"] == found["training_s"] + found["reading_s"]
    assert entry["results"]["tsm-8"]["ratio"] == 1
    assert entry["results"]["cumulative-8-of-32"]["training_ratio"] == 4
    assert entry["dataset"]["timed"] == {"clips": 3, "frames": 192}


def test_a_window_is_one_of_those_that_begin_at_its_multiples():
    clips = World([20, 32, 63, 64, 200], THREE, [1])
    clips.built.append("tsm-8")
    shown = TimedClips(clips, np.array([4, 0, 2]))
    assert shown.lengths.tolist() == [200, 20, 63]
    assert shown.read(0, np.array([199, 3]))[:, 0, 0, 0].tolist() == [199, 3]
    starts = set()
    for seed in range(40):
        (batch,) = batches(shown, [np.arange(3)], FrameSampler("all", window=32), draw=(seed, 0))
        assert batch.lengths.tolist() == [32, 20, 32]
        long, short, middle = batch.x[..., 0, 0, 0].tolist()
        assert short[:20] == [*range(20)]
        assert middle == [*range(32)]
        assert long == [*range(long[0], long[0] + 32)]
        starts.add(long[0])
    assert starts == {0, 32, 64, 96, 128, 160}


@given(
    st.lists(st.integers(1, 9999), min_size=1, max_size=12),
    st.integers(1, 6),
    st.randoms(use_true_random=False),
)
def test_the_timed_clips_are_as_long_as_the_set(values, times, random):
    lengths = np.array(values * times)
    random.shuffle(lengths)
    count = len(values)  # the set falls into so many parts of equal size
    chosen = of_all_lengths(lengths, count)
    assert len(set(chosen.tolist())) == count
    assert sorted(chosen.tolist()) == chosen.tolist()
    apart = abs(lengths[chosen].mean() - lengths.mean())
    assert apart <= (lengths.max() - lengths.min()) / count + 1e-9


def test_the_middle_clips_of_equal_parts_are_timed():
    lengths = np.array([50, 10, 90, 30, 70, 20])
    assert of_all_lengths(lengths, 6).tolist() == [*range(6)]
    assert lengths[of_all_lengths(lengths, 2)].tolist() == [70, 20]  # of 10 20 30, of 50 70 90
    assert lengths[of_all_lengths(lengths, 1)].tolist() == [50]
    for count in (0, 7):
        with pytest.raises(ValueError, match=f"timed_clips is {count}; .* all 6"):
            of_all_lengths(lengths, count)


def test_a_way_is_compared_with_as_many_images_without_clusters():
    assert same_images(settings(ways=WAYS).ways) == PEERS
    with pytest.raises(ValueError, match="compare cumulative-16 with"):
        same_images(settings(ways={**THREE, "cumulative-16": WAYS["cumulative-16"]}).ways)


@pytest.fixture(scope="module")
def beside(tmp_path_factory):
    """A data folder of its own with a mini set in its cache, written by this process."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "samples").symlink_to(DATA / "samples")
    write_mini("ucf101", folder / "cache" / "minis" / "ucf101-20-s0", clips=20, jobs=0)
    return folder


def test_all_ways_are_timed_on_real_files_and_recorded(beside, tmp_path):
    place = (DATA / "recipes.toml", "epoch_time", "all", "smoke", "embedded")
    changes = {"dataset": "ucf101", "fold": 1, "ways": WAYS, "rounds": 2, "timed_clips": 2}
    parameters, _ = parameters_of(*place, **changes)
    entry, arrays = run_epoch_time(trial(parameters, 0, beside))
    name = {"scale": "smoke", "data": "embedded", "row": "all", "seed": 0}
    record = records.new(
        "epoch_time", **name, version=1, parameters=parameters.stated(), device="cpu", **entry
    )
    records.write(record, arrays, tmp_path)
    found = records.load(tmp_path, "epoch_time", **name)
    assert found.data["counts"] == {"train": 20}
    assert found.data["timed"]["clips"] == 2
    assert set(found.results) == set(WAYS)
    for way, peer in PEERS.items():
        seconds, others = (
            np.stack([found.arrays[f"{part}_{which}"] for part in ("reading", "training")])
            for which in (way, peer)
        )
        assert seconds.shape == (2, 2)
        assert (seconds > 0).all()
        ratio = seconds.sum(0) / others.sum(0)
        assert found.results[way]["ratio"] == pytest.approx(np.median(ratio), abs=1e-4)
        assert found.arrays[f"longer_{way}"] == pytest.approx(100 * (ratio - 1))
        parts = {"reading_s": seconds[0], "training_s": seconds[1], "epoch_s": seconds.sum(0)}
        for key, each in parts.items():
            assert found.results[way][key] == pytest.approx(np.median(each), abs=1e-4)


def test_the_ways_are_rows_of_table_2_or_windows_of_them():
    tables = tomllib.loads((DATA / "recipes.toml").read_text())
    for name, way in tables["epoch_time"]["common"]["ways"].items():
        whole = {key: value for key, value in way.items() if key != "window"}
        assert tables["table2"]["rows"][name.removesuffix("-of-32")] == whole
