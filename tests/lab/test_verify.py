"""Does a record repeat, at its commit and today; and what is said of those that are stale."""

import dataclasses
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

import lab.experiments
from lab import records, verify
from lab.commands import main
from lab.verify import Answer, differences

RECIPES = """\
[bound]
version = 3
[bound.common]
features = 4
classes = 3
scales = [1.0]
distances = [0.5, 0.25]
[bound.scale.smoke]
draws = 8
[bound.rows]
a = {}
"""
PARAMETERS = {
    **{"features": 4, "classes": 3, "scales": [1.0], "distances": [0.5, 0.25], "draws": 8},
    **{"scale": "smoke", "data": "embedded"},
}


def store(
    folder, parameters=PARAMETERS, version=3, wall=1.0, row="a", experiment="bound", **entries
):
    """A record as `lab.experiments.run` would write it."""
    record = records.new(
        experiment,
        **{"row": row, "scale": "smoke", "data": "embedded", "seed": 0},
        version=version,
        parameters=parameters,
        dataset={"name": "none", "sha256": {}, "counts": {}},
        protocol={},
        results={"loss": 0.5},
        cost={"wall_s": wall, "peak_mem_mb": None, "params": None, "macs": None},
    )
    return records.read(records.write({**record, **entries}, {"curve": np.arange(3.0)}, folder))


@pytest.fixture
def recipes(tmp_path):
    path = tmp_path / "recipes.toml"
    path.write_text(RECIPES)
    return path


# ---- comparing ----


def test_differences(tmp_path):
    record = store(tmp_path / "a")
    assert differences(record, store(tmp_path / "b", wall=2.0)) == []
    other = store(tmp_path / "c", {**PARAMETERS, "draws": 9})
    assert differences(record, other) == ["parameters.draws is 8 in the record, 9 now"]
    other = dataclasses.replace(record, results={"loss": 0.5 + 1e-12, "epoch_s": 2})
    other.__dict__["arrays"] = {"curve": np.array([0, 1, 2.25]), "more": np.zeros(1)}
    assert differences(record, other) == [
        "results.loss is 0.5 in the record, 0.500000000001 again",
        "array curve: 1 of 3 values differ, by up to 0.25",
        "array more is only in the new",
    ]
    other.__dict__["arrays"] = {"curve": np.arange(3)}
    assert "array curve is float64 (3,) in the record, int64 (3,) again" in differences(
        record, other
    )


# ---- stale ----


def test_stale_records_are_counted(tmp_path, recipes):
    folder = tmp_path / "records"
    store(folder)
    assert verify.staleness(folder, recipes) == (
        "All 1 records were made by the arithmetic of today's code."
    )
    store(folder, {**PARAMETERS, "draws": 9}, row="b", version=2)
    recipes.write_text(RECIPES.replace("a = {}", "a = {}\nb = {}"))
    found = records.select(folder)
    old = verify.stale(found, recipes)
    assert [record.name for record in found] == [f"bound/smoke-embedded-{row}-s0" for row in "ab"]
    assert old == {
        "bound/smoke-embedded-b-s0": [
            "version is 2 in the record, 3 now",
            "parameters.draws is 9 in the record, 8 now",
        ]
    }
    assert verify.staleness(folder, recipes).startswith(
        "**1 of 2 records was made by earlier code or with earlier settings.** "
        "It can be made again at "
    )
    store(folder, row="gone")
    store(folder, {}, experiment="bench")
    old = verify.stale(records.select(folder), recipes)
    (why,) = old["bound/smoke-embedded-gone-s0"]
    assert why.startswith("the recipe file has no such run: unknown row of bound")
    assert verify.staleness(folder, recipes).startswith(
        "**2 of 4 records were made by earlier code"
    )
    listed = records.listing(found, old).splitlines()
    assert ["-s0 (stale) |" in line for line in listed[2:]] == [False, True]


# ---- today ----


@pytest.fixture
def today(tmp_path, monkeypatch):
    """In place of an experiment: the run of today gives this record, with so many threads."""
    given = {}

    def run(experiment, row, *, scale, data, seed, recipes, folder, device):
        import torch

        given["threads"] = torch.get_num_threads()
        parameters, version = verify.parameters_of(recipes, experiment, row, scale, data)
        return store(folder, parameters.stated(), version, **given.get("entries", {})).path

    monkeypatch.setattr(lab.experiments, "run", run)
    return given


def test_todays_code_is_asked(tmp_path, recipes, today):
    import torch

    record, before = store(tmp_path / "a"), torch.get_num_threads()
    machine = {**record.machine, "threads": before + 1}
    assert verify.today(dataclasses.replace(record, machine=machine), recipes) == Answer(
        True, "repeats to the bit"
    )
    assert (today["threads"], torch.get_num_threads()) == (before + 1, before)
    today["entries"] = {"results": {"loss": 0.75}}
    assert verify.today(record, recipes) == Answer(
        False,
        "does not repeat: 1 thing differs",
        ["results.loss is 0.5 in the record, 0.75 again"],
    )


def test_other_data_are_named(tmp_path, recipes, today):
    today["entries"] = {"data": {"name": "more", "sha256": {}, "counts": {}}}
    answer = verify.today(store(tmp_path / "a"), recipes)
    assert answer.sentence == (
        "on other data than the record names, does not repeat: 1 thing differs"
    )


def test_a_stale_record_is_compared_too(tmp_path, recipes, today):
    older = store(tmp_path / "a", version=2)
    assert verify.today(older, recipes) == Answer(
        True, "it is stale (version is 2 in the record, 3 now), and repeats to the bit"
    )
    other = verify.today(store(tmp_path / "b", {**PARAMETERS, "draws": 9}, version=2), recipes)
    assert not other.yes
    assert other.sentence == (
        "it is stale (version is 2 in the record, 3 now; other parameters: 1), and gives the same "
        "results, but by other parameters"
    )
    assert list(other.differences) == ["parameters.draws is 9 in the record, 8 now"]
    gone = verify.today(store(tmp_path / "c", row="gone"), recipes)
    assert not gone.yes
    assert "today's run cannot be made: unknown row of bound: 'gone'; there is a" in gone.sentence


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"experiment": "epoch_time"}, "measures time and memory"),
        (
            {"machine": {"processes": 2}},
            "2 processes made it.*--nproc-per-node 2",
        ),
        (
            {"parameters": {"scale": "smoke", "data": "real"}},
            "real data, and FVLIB_DATA is not set",
        ),
    ],
)
def test_runs_that_cannot_be_made_again(tmp_path, monkeypatch, change, complaint):
    monkeypatch.delenv("FVLIB_DATA", raising=False)
    verify.require_repeatable(store(tmp_path))
    with pytest.raises(ValueError, match=complaint):
        verify.require_repeatable(dataclasses.replace(store(tmp_path), **change))


# ---- at its commit ----

# A command line of an older commit: it gives the record that the commit holds.
OLD = """\
import json, os, pathlib, shutil, sys
given = dict(zip(sys.argv[2:], sys.argv[3:]))
names = ("OMP_NUM_THREADS", "PYTHONPATH", "GIT_DIR", "FVLIB_DATA")
variables = {name: os.environ.get(name) for name in names} | {"pid": os.getpid()}
told = pathlib.Path(os.environ["TOLD"])
whole = told.with_suffix(".part")
whole.write_text(json.dumps({"argv": sys.argv, "cwd": os.getcwd(), **variables}))
whole.rename(told)
EXTRA
shutil.copytree("made", given["--out"])
"""


@pytest.fixture
def past(tmp_path, monkeypatch):
    """A repository of its own, and a function that commits an older command line in it."""
    root, told = tmp_path / "root", tmp_path / "told.json"
    root.mkdir()
    monkeypatch.setattr(verify, "ROOT", root)
    monkeypatch.setenv("TOLD", str(told))
    for key, value in {"name": "A", "email": "a@example.org"}.items():
        monkeypatch.setenv(f"GIT_AUTHOR_{key.upper()}", value)
        monkeypatch.setenv(f"GIT_COMMITTER_{key.upper()}", value)
    git(root, "init", "-q")

    def commit(extra="", package="fvlib", **options):
        for file, text in {
            f"{package}/__main__.py": OLD.replace("EXTRA", extra),
            f"{package}/__init__.py": "",
        }.items():
            (root / file).parent.mkdir(exist_ok=True)
            (root / file).write_text(text)
        record = store(root / "made", **options)
        git(root, "add", "-A")
        git(root, "commit", "-qm", "a commit")
        code = {"commit": git(root, "rev-parse", "HEAD"), "dirty": False}
        return dataclasses.replace(record, code=code)

    commit.told = lambda: json.loads(told.read_text())
    commit.file, commit.root = told, root
    yield commit
    assert len(git(root, "worktree", "list").splitlines()) == 1
    if told.exists():
        assert not Path(commit.told()["cwd"]).exists()


def git(root, *arguments):
    environment = {k: v for k, v in os.environ.items() if k != "GIT_DIR"}
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("package", ["fvlib", "lab"])
def test_a_record_repeats_at_its_commit(past, package, tmp_path, monkeypatch):
    record = past(package=package)
    past("raise SystemExit('another commit')", package=package)
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("FVLIB_DATA", "files")
    monkeypatch.chdir(tmp_path)
    record = dataclasses.replace(record, machine={**record.machine, "threads": 3})
    assert verify.at_its_commit(record) == Answer(True, "repeats to the bit")
    told = past.told()
    assert Path(told["argv"][0]).parent.name == package
    assert told["argv"][1:11] == (
        ["train", "bound", "--row", "a", "--scale", "smoke", "--data", "embedded", "--seed", "0"]
    )
    assert told["argv"][-2:] == ["--device", "cpu"]
    assert told["OMP_NUM_THREADS"] == "3"
    assert told["PYTHONPATH"] == told["cwd"]
    assert told["GIT_DIR"] is None
    assert told["FVLIB_DATA"] == str(tmp_path / "files")


def test_what_differs_at_its_commit_is_told(past):
    record = dataclasses.replace(past(), results={"loss": 0.25})
    assert verify.at_its_commit(record) == Answer(
        False,
        "does not repeat: 1 thing differs",
        ["results.loss is 0.25 in the record, 0.5 again"],
    )


def test_parameters_of_its_own_are_given(past):
    """A record that was made with --set, which the commit's recipe file does not say."""
    as_set = "if '--set' in sys.argv: os.rename('made-with-set', 'made')"
    own = {"draws": 9, "lr": 0.5, "name": "x y", "flip": True, "scales": [1.0, 2]}
    own["ways"] = {"a": {"b": 1}}
    made = store(past.root / "made-with-set", {**PARAMETERS, **own})
    record = past(f"import shutil; '--set' in sys.argv and shutil.rmtree('made')\n{as_set}")
    record = dataclasses.replace(made, code=record.code)
    assert verify.at_its_commit(record) == Answer(True, "repeats to the bit")
    argv = past.told()["argv"]
    assert argv[argv.index("--set") + 1 :] == [
        *(
            "draws=9",
            "flip=true",
            "lr=0.5",
            'name="x y"',
            "scales=[1.0, 2]",
            "ways={ a = { b = 1 } }",
        )
    ]


def test_a_failing_run_is_told_by_its_last_line(past):
    record = past("raise SystemExit('first\\nlab: no such row')")
    assert verify.at_its_commit(record) == Answer(False, "its run there fails: lab: no such row")
    quiet = past("raise SystemExit(0)")
    assert verify.at_its_commit(quiet).sentence == "its run there fails: it says nothing"


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ({"commit": None, "dirty": None}, "it names no commit"),
        ({"commit": 7, "dirty": False}, "it names no commit"),
        ({"commit": "--help", "dirty": False}, "it names no commit"),
        ({"commit": "1" * 40, "dirty": True}, "by files that differ from its commit, 1111111"),
        ({"commit": "1" * 40, "dirty": False}, "1111111, is not in this clone; `git fetch --unsh"),
    ],
)
def test_a_commit_that_cannot_be_had(past, code, sentence):
    answer = verify.at_its_commit(dataclasses.replace(past(), code=code))
    assert not answer.yes
    assert sentence in answer.sentence


def test_an_interruption_leaves_nothing(past):
    """Neither the worktree nor what runs in it, even if that is deaf to signals."""
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    record = past(f"{deaf}; time.sleep(600)")

    def interrupt():
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not past.file.exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            verify.at_its_commit(record)
    finally:
        thread.join()
    with pytest.raises(ProcessLookupError):
        os.kill(past.told()["pid"], 0)


def test_the_command_answers_for_each_record(past, today, tmp_path, monkeypatch, capsys):
    from lab.commands import runs

    recipes = tmp_path / "recipes.toml"
    recipes.write_text(RECIPES)
    monkeypatch.setattr(runs.options, "RECIPES", recipes)
    good = past()
    path = good.path
    entries = json.loads(path.read_text())
    entries["code"] = good.code
    path.write_text(json.dumps(entries))
    assert main(["runs", "verify", str(path)]) == 0
    both = [
        "bound/smoke-embedded-a-s0 at its commit: repeats to the bit",
        "bound/smoke-embedded-a-s0 by today's code: repeats to the bit",
    ]
    assert capsys.readouterr().out.splitlines() == both
    today["entries"] = {"results": {"loss": 0.75}}
    assert main(["runs", "verify", "--at", "record", str(path)]) == 0
    assert main(["runs", "verify", "--at", "today", str(path)]) == 1
    capsys.readouterr()
    timed = store(tmp_path / "timed", {}, version=1, experiment="length")
    assert main(["runs", "verify", str(timed.path), "none.json", str(path)]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0].endswith(
        "cannot be made again: it measures time and memory, which do not repeat to the bit"
    )
    assert said[1].startswith("none.json: cannot be made again: [Errno 2] No such file")
    assert said[2:] == [
        both[0],
        both[1].replace("repeats to the bit", "does not repeat: 1 thing differs"),
        "  results.loss is 0.5 in the record, 0.75 again",
    ]
