"""`python -m lab runs`: which there are, making them, repeating them, handing them on."""

import json
import os
from pathlib import Path
from shutil import copy

import pytest

from fvlib.storage import lock
from lab import book, records
from lab.__main__ import main
from lab.book.notebook import read, write
from lab.commands.book import report
from lab.commands.runs import possible, todo_of
from lab.plan import WORDS, Run, Status

ROOT = Path(__file__).parents[2]
PLAN = """
[[runs]]
for = "a test"
experiment = "table1"
rows = ["tsm-8", "slope-8"]
scale = "smoke"
data = "embedded"
seeds = [3]

[[runs]]
for = "another"
experiment = "facts"
scale = "small"
data = "real"
seeds = [0]
"""
NAMES = ["table1/smoke-embedded-tsm-8-s3", "table1/smoke-embedded-slope-8-s3"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """The repository as far as runs need it, with a plan of three, two of them cheap."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "data").mkdir()
    (folder / "data" / "plan.toml").write_text(
        (ROOT / "data" / "plan.toml").read_text().split("\n[[runs]]")[0] + PLAN
    )
    for name in ("recipes.toml", "samples"):
        (folder / "data" / name).symlink_to(ROOT / "data" / name)
    (folder / "notebooks" / "runs").mkdir(parents=True)
    copy(ROOT / "notebooks" / "runs" / "run.py", folder / "notebooks" / "runs")
    return folder


@pytest.fixture(scope="module")
def sweep(workspace):
    """The two cheap runs, both at once."""
    before = os.getcwd()
    os.chdir(workspace)
    try:
        options = ["--scale", "smoke", "--jobs", "2", "--out", "together"]
        assert main(["runs", "run", *options]) == 0
    finally:
        os.chdir(before)
    return workspace / "together"


@pytest.fixture
def here(workspace, monkeypatch):
    monkeypatch.chdir(workspace)
    monkeypatch.delenv("FVLIB_DATA", raising=False)
    return workspace


@pytest.mark.process
def test_records_do_not_hang_on_how_many_are_made_at_once(here, sweep, capsys):
    one = ["--rows", "slope-8", "--scale", "smoke", "--jobs", "1", "--out", "alone"]
    assert main(["runs", "run", *one]) == 0
    assert "1 runs: 1 missing\nto run: 1, about ? with 1 at a time\n" in capsys.readouterr().err
    together, alone = (records.read(Path(out, f"{NAMES[1]}.json")) for out in ("together", "alone"))
    assert alone.results == together.results
    assert alone.checksum == together.checksum
    assert alone.machine["threads"] == together.machine["threads"] == 1
    assert (here / "build" / "runs" / f"{NAMES[0]}.ipynb").exists()


@pytest.mark.process
def test_a_record_repeats_and_a_changed_one_does_not(here, sweep, capsys):
    record = sweep / f"{NAMES[0]}.json"
    assert main(["runs", "verify", "--at", "today", str(record)]) == 0
    assert capsys.readouterr().out == f"{NAMES[0]} by today's code: repeats to the bit\n"
    changed = here / "changed" / f"{NAMES[0]}.json"
    changed.parent.mkdir(parents=True)
    copy(record.with_suffix(".npz"), changed.parent)
    entries = json.loads(record.read_text())
    entries["results"]["train_loss"] += 1e-4
    entries["cost"]["wall_s"] += 1
    changed.write_text(json.dumps(entries))
    assert main(["runs", "verify", "--at", "today", str(changed)]) == 1
    said, line = capsys.readouterr().out.splitlines()
    assert said == f"{NAMES[0]} by today's code: does not repeat: 1 thing differs"
    assert line.startswith("  results.train_loss is ")


@pytest.mark.process
def test_a_job_of_an_array_makes_the_run_of_its_index(here, sweep, capsys):
    assert main(["runs", "run", "--plain", "--index", "0", "--out", "jobs"]) == 0
    record = records.read(here / "jobs" / f"{NAMES[0]}.json")
    assert record.checksum == records.read(sweep / f"{NAMES[0]}.json").checksum


@pytest.mark.process
def test_list_and_status(here, sweep, capsys):
    assert main(["runs", "list", "--out", "together"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"   0  done                   {NAMES[0]}",
        f"   1  done                   {NAMES[1]}",
        "   2  missing             ?  facts/small-real-all-s0",
    ]
    with lock(records.lock_of(Path("elsewhere"), NAMES[1])):
        assert main(["runs", "status", "--out", "elsewhere"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["done", "running", "interrupted", "stale", "missing", "time", "left"],
        ["table1", "(smoke,", "embedded)", ".", "1", ".", ".", "1", "?"],
        ["facts", "(small,", "real)", ".", ".", ".", ".", "1", "?"],
        ["all", ".", "1", ".", ".", "2", "?"],
    ]


@pytest.mark.process
def test_a_dry_run_says_what_would_be_run_and_what_would_not(here, sweep, capsys):
    with lock(records.lock_of(Path("elsewhere"), NAMES[1])):
        options = ["--scale", "smoke", "--out", "elsewhere", "--dry-run", "--jobs", "4"]
        assert main(["runs", "run", *options]) == 0
    said = capsys.readouterr()
    assert said.out == f"   0  missing             ?  {NAMES[0]}\n"
    assert "2 runs: 1 running, 1 missing\n" in said.err
    assert f"left to others: {NAMES[1]}, by process {os.getpid()} on " in said.err
    assert not (here / "elsewhere" / "table1").exists()

    # In time: of a process each, and after one another.
    wall = [records.read(sweep / f"{name}.json").cost["wall_s"] for name in NAMES]
    for jobs, seconds in (("2", max(wall)), ("1", sum(wall))):
        again = ["--scale", "smoke", "--out", "together", "--dry-run", "--force", "--jobs", jobs]
        assert main(["runs", "run", *again]) == 0
        assert f"to run: 2, about {seconds:.0f} s with {jobs}" in capsys.readouterr().err


@pytest.mark.parametrize("how", [["--plain"], ["--jobs", "2"]])
def test_a_folder_that_cannot_be_written_to_is_one_line_before_anything_runs(here, how, capsys):
    (here / "a file").write_text("in the way")
    assert main(["runs", "run", "--scale", "smoke", "--out", "a file/records", *how]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("lab: a file/records cannot be written to")


def test_real_data_is_left_out_where_there_is_none(here, capsys):
    found = [
        Status(Run("facts", "all", "small", data, 0), "missing") for data in ("real", "embedded")
    ]
    assert possible(found) == (found[1:], found[:1])
    assert main(["runs", "run"]) == 1  # scale small: all of it is real
    assert "all 1 runs need real data: let FVLIB_DATA name" in capsys.readouterr().err


def test_all_is_run_but_what_is_done_or_another_is_at():
    run = Run("facts", "all", "small", "real", 0)
    found = [Status(run, word) for word in WORDS]
    assert {s.word for s in todo_of(found, False)} == {"interrupted", "stale", "missing"}
    assert {s.word for s in todo_of(found, True)} == set(WORDS) - {"running"}


def test_plan_says_what_makes_a_row(here, capsys):
    assert main(["runs", "plan", "--table", "table1"]) == 0
    assert capsys.readouterr().out == (
        "\ntable1 (smoke, embedded): a test\n"
        "  tsm-8                    stands at the beginning\n"
        "  slope-8                  table1/tsm-8                 method none -> slope\n"
    )


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--table", "table9"], "unknown experiment: 'table9'; there is pretrain"),
        (["--index", "3"], "no run with index 3 among these; the plan has 0 to 2"),
        (["--data", "embedded", "--seeds", "1"], "planned are facts (small, real), table1 (smoke"),
    ],
)
def test_an_unknown_choice_is_answered_with_what_there_is(here, options, complaint, capsys):
    assert main(["runs", "list", *options]) == 1
    assert complaint in capsys.readouterr().err


@pytest.mark.process
def test_what_another_process_is_at_is_left_to_it(tmp_path, capsys):
    printing, busy = tmp_path / "printing.py", tmp_path / "busy.py"
    printing.write_text("# %%\nprint(1)\n")
    busy.write_text("# %%\nclass Busy(RuntimeError): ...\nraise Busy('held by process 7')\n")
    work = [book.Job(script, script.with_suffix(".ipynb")) for script in (printing, busy)]
    outcomes = book.execute(work, workers=2)
    assert [outcome.status for outcome in outcomes] == ["done", "left"]
    assert not list((tmp_path / "failed").glob("*"))
    assert report(outcomes) == 0
    assert "to others" in capsys.readouterr().err


def test_the_notebook_has_the_parameters_that_runs_gives_it(tmp_path):
    given = ("table", "row", "scale", "data", "seed", "folder", "device", "force")
    given += ("deterministic",)
    papermill = pytest.importorskip("papermill")
    write(read(ROOT / "notebooks" / "runs" / "run.py"), tmp_path / "run.ipynb")
    assert set(given) <= set(papermill.inspect_notebook(tmp_path / "run.ipynb"))
