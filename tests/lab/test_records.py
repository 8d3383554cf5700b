"""Records: written whole or not at all, read back checked, stale when they should be."""

import copy
import errno
import hashlib
import io
import json
import os
import shutil
import subprocess
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from fvlib.storage import lock
from lab import records
from lab.__main__ import main

TARGET = np.array([0, 1, 2, 3, 0, 1, 2, 3], dtype="uint8")


def a_record(row="tsm-8", seed=0, wrong=2, **changes):
    """A record of eight test clips, `wrong` of them wrong, and its arrays."""
    prediction = TARGET.copy()
    prediction[:wrong] = (prediction[:wrong] + 1) % 4
    right = 8 - wrong
    record = {
        "schema": 1,
        "experiment": "table1",
        "version": 1,
        "row": row,
        "seed": seed,
        "parameters": {"scale": "small", "data": "real", "lr": 0.02, "shift_stages": [2, 3, 4]},
        "data": {"name": "Move4MNIST", "sha256": {"digits": "a" * 64}, "counts": {"test": 8}},
        "protocol": {"clustered": {"frames": "all"}},
        "results": {"clustered": {"correct": right, "total": 8, "top1": 100 * right / 8}},
        "cost": {"wall_s": 12.5, "peak_mem_mb": None, "params": 10, "macs": 20},
        "machine": {"cpu": "a cpu", "threads": 1, "torch": "2.11", "device": "cpu"},
        "code": {"commit": "c" * 40, "dirty": False},
        "made": "2026-01-02T03:04:05+00:00",
        "checksum": None,
    }
    return record | changes, {"clustered_prediction": prediction, "target": TARGET}


def write(folder, *args, **kwargs):
    record, arrays = a_record(*args, **kwargs)
    return records.write(record, arrays, folder)


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_round_trip(tmp_path):
    record, arrays = a_record(row="cumulative-8-keep", seed=3)
    path = records.write(record, arrays, tmp_path)
    assert path == tmp_path / "table1" / "small-real-cumulative-8-keep-s3.json"
    found = records.read(path)
    assert found.name == "table1/small-real-cumulative-8-keep-s3"
    assert (found.scale, found.source, found.seed) == ("small", "real", 3)
    for key in set(record) - {"checksum"}:
        assert getattr(found, key) == record[key]
    assert sorted(found.arrays) == sorted(arrays)
    for key, value in arrays.items():
        assert found.arrays[key].dtype == value.dtype
        np.testing.assert_array_equal(found.arrays[key], value)
    assert found.value("results.clustered.top1") == 75.0
    assert found.value("results.sampled.top1") is None


def test_stored_text_is_sorted_and_readable_by_others(tmp_path):
    path = write(tmp_path)
    text = path.read_text()
    entries = json.loads(text)
    assert text == json.dumps(entries, indent=1, sort_keys=True) + "\n"
    assert path.stat().st_mode & 0o777 == 0o644


def test_numpy_and_torch_numbers_and_tuples_become_plain(tmp_path):
    torch = pytest.importorskip("torch")
    record, _ = a_record()
    record["results"] |= {"loss": np.float64(0.25), "epochs": torch.tensor(7), "pair": (1, 2)}
    found = records.read(records.write(record, None, tmp_path))
    assert found.value("results.loss") == 0.25
    assert found.value("results.epochs") == 7
    assert found.value("results.pair") == [1, 2]
    assert found.arrays == {}


def test_same_arrays_give_the_same_bytes(tmp_path):
    record, arrays = a_record()
    first = records.write(record, arrays, tmp_path / "a").with_suffix(".npz")
    backwards = dict(reversed(arrays.items()))
    second = records.write(record, backwards, tmp_path / "b").with_suffix(".npz")
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


WRONG = [
    (("schema",), 2, "schema is 2; wanted 1"),
    (("experiment",), "Table 1", "experiment is 'Table 1'"),
    (("row",), "a/b", "row is 'a/b'"),
    (("seed",), -1, "seed is -1, wanted a number from 0"),
    (("seed",), True, "seed is True"),
    (("version",), 0, "version is 0, wanted a number from 1"),
    (("parameters", "scale"), "huge", "parameters.scale is 'huge'; wanted 'smoke' or 'small'"),
    (("parameters", "data"), "real-1", "parameters.data is 'real-1'"),
    (("protocol",), "clustered", "protocol is 'clustered'; wanted a table"),
    (("protocol",), {}, "protocol does not say what results.clustered"),
    (("data", "sha256", "digits"), "abc", "data.sha256.digits is 'abc'"),
    (("data", "counts", "test"), -8, "data.counts.test is -8, wanted a number from 0"),
    (("cost", "wall_s"), -1.0, "cost.wall_s is -1.0"),
    (("results", "clustered", "correct"), 9, "results.clustered.correct is 9"),
    (("results", "clustered", "top1"), 0.75, "wanted 100 correct / total = 75.00"),
    (("results", "clustered", "correct"), 7, "wanted 100 correct / total = 87.50"),
    (("made",), "2026-01-02T03:04:05", "made is '2026-01-02T03:04:05', wanted ISO 8601"),
    (("made",), "yesterday", "made is 'yesterday'"),
    (("machine",), {"cpu": "a cpu"}, "the record lacks machine.threads"),
    (("code",), {}, "the record lacks code.commit"),
    (("notes",), "x", "schema 1 does not know the entry notes"),
    (("results", "loss"), float("nan"), "Out of range float"),
    (("results", "net"), object(), "plain numbers, words"),
]


@pytest.mark.parametrize(("path", "value", "message"), WRONG)
def test_malformed_is_refused(tmp_path, path, value, message):
    record, _ = a_record()
    place = record = copy.deepcopy(record)
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        records.write(record, None, tmp_path)
    assert contents(tmp_path) == {}


def test_a_lacking_entry_is_refused(tmp_path):
    record, _ = a_record()
    del record["cost"]
    with pytest.raises(ValueError, match="the record lacks cost"):
        records.write(record, None, tmp_path)


def test_counts_have_to_agree_with_the_arrays(tmp_path):
    record, arrays = a_record(wrong=2)
    arrays["clustered_prediction"] = TARGET
    with pytest.raises(ValueError, match="6 of 8 correct, its arrays 8 of 8"):
        records.write(record, arrays, tmp_path)


def test_reading_checks_too(tmp_path):
    path = write(tmp_path)
    good = path.read_text()
    for text, message in (
        (good.replace('"seed": 0', '"seed": -1'), "seed is -1"),
        (good.replace('"seed": 0', '"seed": 1'), "belongs into table1/small-real-tsm-8-s1.json"),
        (good[:100], "small-real-tsm-8-s0.json: "),
        ("[]", "wanted one JSON object"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            records.read(path)


def test_size_limits(tmp_path):
    record, arrays = a_record()
    long = record | {"results": {**record["results"], "curve": [0.123456789] * 2000}}
    with pytest.raises(ValueError, match="at most 8192 are allowed: put lists into the arrays"):
        records.write(long, arrays, tmp_path)
    noise = np.random.default_rng(0).random(40_000)  # 320 KB that no compression shortens
    with pytest.raises(ValueError, match=r"at most 204800 are allowed: .*noise float64 \(40000,\)"):
        records.write(record, {**arrays, "noise": noise}, tmp_path)
    with pytest.raises(ValueError, match="array names holds Python objects"):
        records.write(record, {"names": np.array([{}, None])}, tmp_path)
    assert contents(tmp_path) == {}
    assert len(records.write(record, {**arrays, "noise": noise[:20_000]}, tmp_path).name) > 0


def test_what_ends_between_the_two_files_is_found_out(tmp_path, monkeypatch):
    path = write(tmp_path, wrong=2)
    replace = os.replace

    def failing(source, target):
        if str(target).endswith(".json"):
            raise OSError(errno.ENOSPC, "no space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OSError, match="no space left"):
        write(tmp_path, wrong=3)
    (problem,) = records.problems(tmp_path)
    assert "does not hold the arrays of small-real-tsm-8-s0.json" in problem
    monkeypatch.undo()
    write(tmp_path, wrong=3)
    assert records.problems(tmp_path) == []
    assert sorted(contents(tmp_path)) == [f"table1/{path.stem}.json", f"table1/{path.stem}.npz"]


def test_arrays_of_another_run_are_found_out(tmp_path):
    path = write(tmp_path, wrong=2)
    other = write(tmp_path, seed=1, wrong=3)
    other.with_suffix(".npz").rename(path.with_suffix(".npz"))
    with pytest.raises(ValueError, match=r"does not hold the arrays of small-real-tsm-8-s0\.json"):
        _ = records.read(path).arrays
    with pytest.raises(ValueError, match=r"is missing.*--row tsm-8 --scale small"):
        _ = records.read(other).arrays


def test_writing_without_arrays_removes_the_old_ones(tmp_path):
    path = write(tmp_path)
    records.write(a_record()[0], None, tmp_path)
    assert not path.with_suffix(".npz").exists()
    assert records.read(path).checksum is None


def test_select(tmp_path):
    for row in ("tsm-8", "cumulative-8", "cumulative-8-keep"):
        for seed in (1, 0):
            write(tmp_path, row, seed)
    write(tmp_path, "tsm-8", experiment="table2")

    def names(*args, **kwargs):
        return [(r.row, r.seed) for r in records.select(tmp_path, *args, **kwargs)]

    assert names("table1", row="cumulative-8") == [("cumulative-8", 0), ("cumulative-8", 1)]
    assert names("table1", row=["tsm-8", "cumulative-8-keep"], seed=range(1)) == [
        ("cumulative-8-keep", 0),
        ("tsm-8", 0),
    ]
    assert len(names()) == 7
    assert names("table1", scale="paper") == []
    assert names("table1", version=2) == []
    with pytest.raises(TypeError, match="rows"):
        names("table1", rows="tsm-8")


def test_missing_record_prints_its_command(tmp_path):
    with pytest.raises(records.MissingRecord) as error:
        records.load(tmp_path, "table1", scale="paper", data="real", row="slope-16", seed=4)
    command = "python -m lab train table1 --row slope-16 --scale paper --data real --seed 4"
    assert command in str(error.value)
    assert "python -m lab records adopt" in str(error.value)


def test_stale(tmp_path):
    path = write(tmp_path)
    name = {"scale": "small", "data": "real", "row": "tsm-8", "seed": 0}
    # A tuple is what JSON gives back as a list.
    same = {"scale": "small", "data": "real", "lr": 0.02, "shift_stages": (2, 3, 4)}

    def current(parameters=same, version=1, **other):
        return records.why_not(tmp_path, "table1", parameters, version, **name | other) == ""

    assert current()
    assert not current({**same, "scale": "paper"})
    assert not current(version=2)
    assert not current({**same, "lr": 0.01})
    assert not current({**same, "epochs": 1})
    assert not current({"lr": 0.02})
    assert not current(seed=1)
    found = records.read(path)
    assert records.why_stale(found, same, 1) == []
    assert records.why_stale(found, {**same, "lr": 0.01}, 2) == [
        "version is 1 in the record, 2 now",
        "parameters.lr is 0.02 in the record, 0.01 now",
    ]
    # Where a record comes from does not make it stale.
    write(tmp_path, code={"commit": None, "dirty": None}, made="2020-01-01T00:00:00+00:00")
    assert current()
    path.with_suffix(".npz").unlink()
    assert not current()
    path.write_text("{")
    assert not current()


def test_adopt_replaces_what_is_repeated(tmp_path):
    build, data = tmp_path / "build", tmp_path / "data"
    write(data, "tsm-8", wrong=4)
    kept = write(data, "tsm-16", wrong=4)
    records.write(a_record("slope-8")[0], None, build)
    write(data, "slope-8")
    write(build, "tsm-8", wrong=1)
    (build / "checkpoints").mkdir()
    (build / "checkpoints" / "a.pt").write_bytes(b"weights")
    moved, busy = records.adopt(build, data)
    assert busy == []
    assert [path.relative_to(data).as_posix() for path in moved] == [
        "table1/small-real-slope-8-s0.json",
        "table1/small-real-tsm-8-s0.json",
    ]
    locks = ["locks/table1/small-real-slope-8-s0.lock", "locks/table1/small-real-tsm-8-s0.lock"]
    assert sorted(contents(build)) == ["checkpoints/a.pt", *locks]
    assert records.read(moved[1]).value("results.clustered.correct") == 7
    assert records.read(moved[1]).arrays["clustered_prediction"][1] == TARGET[1]
    assert not moved[0].with_suffix(".npz").exists()
    assert records.read(kept).value("results.clustered.correct") == 4
    assert records.problems(data) == []
    assert records.adopt(build, data) == ([], [])


def test_a_broken_record_is_told_when_the_others_are_adopted(tmp_path):
    build, data = tmp_path / "build", tmp_path / "data"
    whole, broken = write(build, "slope-8"), write(build, "tsm-8")
    broken.with_suffix(".npz").unlink()
    with pytest.raises(ValueError, match=r"tsm-8-s0\.npz is missing"):
        records.adopt(build, data)
    assert broken.exists()
    assert [path.name for path in data.rglob("*.json")] == [whole.name]


def test_check_finds_every_problem(tmp_path):
    write(tmp_path, "tsm-8")
    assert records.problems(tmp_path) == []
    write(tmp_path, "tsm-16").with_suffix(".npz").unlink()
    write(tmp_path, "slope-8").unlink()
    broken = write(tmp_path, "tsm-32")
    broken.write_text(broken.read_text().replace('"correct": 6', '"correct": 5'))
    swapped = write(tmp_path, "uniform-8")
    records.write(a_record("uniform-8")[0], None, tmp_path / "other")
    swapped.write_text((tmp_path / "other" / "table1" / swapped.name).read_text())
    (tmp_path / "table1" / "notes.txt").write_text("x")
    problems = "\n".join(records.problems(tmp_path))
    for text in (
        "tsm-16-s0.npz is missing",
        "slope-8-s0.npz: not a record, nor the arrays of one",
        "tsm-32-s0.json: results.clustered.top1 is 75.0",
        "uniform-8-s0.json has no arrays, but an npz of its name",
        "notes.txt: not a record",
        "other/table1/small-real-uniform-8-s0.json: not a record",
    ):
        assert text in problems
    assert len(problems.splitlines()) == 6


def test_listing(tmp_path):
    write(tmp_path, code={"commit": 4 * "0123456789", "dirty": True})
    assert records.listing(records.select(tmp_path)).splitlines()[2] == (
        "| table1/small-real-tsm-8-s0 | 75.0 | – | 12.5 | 0123456+ | 2026-01-02 |"
    )


def test_new_fills_in_where_a_run_comes_from(tmp_path):
    torch = pytest.importorskip("torch")
    old, _ = a_record()
    keys = ("version", "row", "seed", "protocol", "results", "cost")
    record = records.new(
        "table1",
        scale="small",
        data="real",
        parameters={"lr": 0.02},
        dataset=old["data"],
        **{key: old[key] for key in keys},
    )
    found = records.read(records.write(record, None, tmp_path))
    assert found.parameters == {"lr": 0.02, "scale": "small", "data": "real"}
    assert found.machine["threads"] == torch.get_num_threads()
    assert found.machine["torch"] == torch.__version__
    assert found.machine["device"] == "cpu"
    assert found.machine["cpu"]


def test_code_without_git(monkeypatch):
    def absent(*args, **kwargs):
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", absent)
    assert records.code() == {"commit": None, "dirty": None}


@pytest.mark.parametrize(("status", "dirty"), [("", False), (" M fvlib/cost.py\n", True)])
def test_code_in_a_checkout(monkeypatch, status, dirty):
    answers = {"ls-files": "provenance.py\n", "rev-parse": "f" * 40 + "\n", "status": status}

    def git(arguments, **kwargs):
        return subprocess.CompletedProcess(arguments, 0, stdout=answers[arguments[5]].encode())

    monkeypatch.setattr(subprocess, "run", git)
    assert records.code() == {"commit": "f" * 40, "dirty": dirty}


# --- adopted while others run, and whatever dies ---


def test_what_is_just_being_made_is_left_to_the_next_call(tmp_path, capsys):
    build, data = tmp_path / "build", tmp_path / "data"
    old, other = write(build, "tsm-8", wrong=4), write(build, "tsm-16")
    with lock(records.lock_of(build, "table1/small-real-tsm-8-s0")):
        old.with_suffix(".npz").write_bytes(b"half way to the next record")
        moved, busy = records.adopt(build, data)
        assert [path.name for path in moved] == [other.name]
        assert busy == ["table1/small-real-tsm-8-s0"]
        command = ["records", "adopt", "--new", str(build), "--adopted", str(data)]
        assert main(command) == 0
        assert "left, being made: table1/small-real-tsm-8-s0" in capsys.readouterr().out
        write(build, "tsm-8", wrong=1)
    assert old.exists()
    (moved,), busy = records.adopt(build, data)
    assert (records.read(moved).value("results.clustered.correct"), busy) == (7, [])


def test_a_run_that_ends_while_it_is_adopted_is_not_lost(tmp_path):
    """Six writers end again and again, each under its lock, while two others adopt."""
    build, data = tmp_path / "build", tmp_path / "data"
    done = []

    def run(row):
        for wrong in range(8):
            with lock(records.lock_of(build, f"table1/small-real-{row}-s0"), wait=True):
                write(build, row, wrong=wrong)
        done.append(row)

    def adopt():
        while len(done) < 4:
            records.adopt(build, data)

    rows = [f"tsm-{i}" for i in range(4)]
    with ThreadPoolExecutor() as pool:
        for work in [pool.submit(adopt), *(pool.submit(run, row) for row in rows)]:
            work.result()
    records.adopt(build, data)
    assert records.problems(data) == []
    found = records.select(data)
    assert [record.value("results.clustered.correct") for record in found] == [1] * 4
    assert records.select(build) == []


def test_adopt_that_ends_anywhere_loses_nothing_and_is_repeated(tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    replace, unlink = os.replace, os.unlink
    for moment in range(1, 9):
        build, data = tmp_path / str(moment) / "build", tmp_path / str(moment) / "data"
        write(build, "slope-8", wrong=3)
        records.write(a_record("slope-16")[0], None, build)
        write(data, "slope-8", wrong=4)
        calls = []

        def mortal(function, *arguments, calls=calls, moment=moment, **options):
            calls.append(0)
            if len(calls) == moment:
                raise Killed
            return function(*arguments, **options)

        monkeypatch.setattr(os, "replace", partial(mortal, replace))
        monkeypatch.setattr(os, "unlink", partial(mortal, unlink))
        with suppress(Killed):
            records.adopt(build, data)
        monkeypatch.undo()
        records.adopt(build, data)
        assert records.problems(data) == []
        found = records.select(data)
        assert [record.value("results.clustered.correct") for record in found] == [6, 5]
        assert not list(build.rglob("*.json"))


@pytest.mark.parametrize("action", ["list", "check", "adopt"])
def test_a_folder_without_records_is_an_error(tmp_path, capsys, action):
    (tmp_path / "empty").mkdir()
    option = "--new" if action == "adopt" else "--adopted"
    for name, said in (("nowhere", "there is no folder"), ("empty", "there is no record in")):
        assert main(["records", action, option, str(tmp_path / name)]) == 1
        shown = capsys.readouterr()
        assert f"{said} {tmp_path / name}" in shown.err
        assert "sound" not in shown.out
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_is_not_adopted_by_itself(tmp_path):
    write(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="both where records come from and where they go"):
        records.adopt(tmp_path, tmp_path / "table1" / "..")
    assert contents(tmp_path) == before


# --- damaged ---

REAL = Path(__file__).parents[2] / "data" / "records"


def test_a_record_that_is_cut_is_a_sentence(tmp_path):
    path = write(tmp_path)
    text = path.read_text()
    for size in range(0, len(text) - 1, 50):
        path.write_text(text[:size])
        told: list[str] = []
        assert records.select(tmp_path, damaged=told) == []
        assert str(path) in told[0]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("code", "commit"), 7),
        (("code", "commit"), "main"),
        (("code", "dirty"), "no"),
        (("machine", "threads"), 0),
        (("machine", "threads"), None),
        (("machine", "processes"), True),
        (("machine", "cpu"), None),
        (("cost", "wall_s"), float("inf")),
        (("cost", "macs"), True),
        (("results", "train_loss"), float("nan")),
        (("results", "clustered", "top1"), "75"),
        (("results", "clustered", "top1"), True),
        (("results", "clustered"), {"top1": 75.0}),
        (("results", "clustered"), 75.0),
        (("protocol", "clustered"), "all"),
        (("schema",), True),
        (("seed",), 2**63),
        (("data", "name"), 5),
        (("parameters", "lr"), float("nan")),
        (("made",), 20260102),
    ],
)
def test_what_is_read_later_has_its_type(tmp_path, path, value):
    record_path = write(tmp_path)
    entries = json.loads(record_path.read_text())
    place = entries
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    record_path.write_text(json.dumps(entries))
    (problem,) = records.problems(tmp_path)
    assert record_path.name in problem


def test_arrays_that_are_damaged_are_a_sentence(tmp_path):
    path = write(tmp_path)
    npz, entries = path.with_suffix(".npz"), json.loads(path.read_text())
    good = npz.read_bytes()
    pickled = io.BytesIO()
    np.savez(pickled, target=np.array([{}]))
    others = [pickled.getvalue(), np.zeros(3).tobytes()]
    for content in (b"", good[:-9], good[:100], b"QK" + good[2:], *others):
        npz.write_bytes(content)
        for checksum in (entries["checksum"], hashlib.sha256(content).hexdigest()):
            path.write_text(json.dumps(entries | {"checksum": checksum}))
            (problem,) = records.problems(tmp_path)
            assert npz.name in problem
            with pytest.raises(ValueError, match=npz.name):
                _ = records.read(path).arrays


@pytest.mark.parametrize(
    "arrays",
    [
        {"clustered_prediction": TARGET[:4], "target": TARGET},
        {"clustered_prediction": TARGET.astype(float), "target": TARGET},
        {"clustered_prediction": TARGET.astype(str), "target": TARGET.astype(str)},
        {"clustered_prediction": TARGET.reshape(2, 4), "target": TARGET.reshape(2, 4)},
        {"sampled_prediction": TARGET, "target": TARGET},
        {"train_loss": np.array([1.0, np.nan])},
        {"train_top1": np.array(["a"])},
    ],
)
def test_arrays_of_another_kind_are_refused(tmp_path, arrays):
    with pytest.raises(ValueError, match=r"prediction|how right|finite numbers"):
        records.write(a_record(wrong=0)[0], arrays, tmp_path)


def test_one_damaged_record_stops_no_command(tmp_path, capsys, monkeypatch, unchecked):
    """Of the others all is said; what cannot be read is named on stderr, and counts as missing."""
    data = tmp_path / "data"
    shutil.copytree(REAL / "table1", data / "records" / "table1")
    for file in REAL.parent.glob("*.toml"):
        shutil.copy(file, data)
    broken, arrays = (
        data / "records" / "table1" / f"small-real-{name}"
        for name in ("tsm-8-s10.json", "tsm-16-s10.npz")
    )
    for file in (broken, arrays):
        file.write_bytes(file.read_bytes()[:200])
    monkeypatch.chdir(tmp_path)
    for command in (
        "records list",
        "claims --chapter 05_more_frames --scale small --data embedded",
        "runs status --table table1 --scale small",
    ):
        assert main(command.split()) == 0, command
        shown = capsys.readouterr()
        assert "warning: left out, as it cannot be read: data/records/table1" in shown.err
        assert len(shown.out.splitlines()) > 1
    assert main(["records", "check"]) == 1
    said = capsys.readouterr().err
    assert broken.name in said
    assert arrays.name in said
