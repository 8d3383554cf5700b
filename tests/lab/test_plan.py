"""The plan of all runs: what differs between rows, choosing, status and time."""

import dataclasses
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from fvlib.storage import lock
from lab import records
from lab.plan import Run, Status, choose, read_plan, read_things, reference_of, statuses, time_left
from lab.recipes import parameters_of, rows_of
from lab.records.identity import note_of

DATA = Path(__file__).parents[2] / "data"
PLAN, RECIPES = DATA / "plan.toml", DATA / "recipes.toml"
SMALL = """\
[things]
count = []
method = ["empty"]

[reference]
setting.b = "table1/b"

[[runs]]
for = "Table 1"
experiment = "table1"
scale = "smoke"
data = "embedded"
seeds = [0, 1]

[[runs]]
for = "Figure 1"
experiment = "setting"
rows = ["[ab]"]
scale = "small"
data = "real"
seeds = [7]
"""
ROWS = """\
[table1]
version = 3
[table1.common]
depth = 18
epochs = 4
width = 8
train_clips = 8
test_clips = 4
[table1.scale.smoke]
[table1.scale.small]
width = 16
[table1.rows]
a = { frames = 8 }
b = { method = "slope", clusters = 8 }
[setting]
like = "table1"
version = 1
[setting.rows]
a = { frames = 16 }
b = { method = "slope", clusters = 8, window = 4 }
c = { frames = 2 }
"""


@pytest.fixture
def small(tmp_path):
    """A plan of six runs, and its recipe file."""
    plan, recipes = tmp_path / "plan.toml", tmp_path / "recipes.toml"
    plan.write_text(SMALL)
    recipes.write_text(ROWS)
    return plan, recipes


# ---- the plan of the book ----


def test_every_row_differs_from_its_reference_in_one_thing(unchecked):
    """By hand: the parameters that differ are one, or a listed one with some of its company."""
    things = read_things(PLAN, RECIPES)
    rows = {(run.experiment, run.row, run.scale, run.data) for run in read_plan(PLAN, RECIPES)}
    beginnings = set()
    for experiment, row, scale, data in rows:
        found = reference_of(things, RECIPES, experiment, row, scale, data)
        if found is None:
            beginnings.add(f"{experiment}/{row}")
            continue
        of_here, _ = parameters_of(RECIPES, experiment, row, scale, data)
        of_there, _ = parameters_of(RECIPES, *found.row.split("/"), scale, data)
        here, there = of_here.stated(), of_there.stated()
        taken = {field.name for field in dataclasses.fields(of_here)}
        changed = {key for key in {*here, *there} & taken if here.get(key) != there.get(key)}
        inputs = [given.get("clusters", given.get("frames")) for given in (here, there)]
        changed -= {"frames", "clusters"}
        changed |= {"count"} if inputs[0] != inputs[1] else set()
        assert changed == set(found.changes)
        one = len(changed) <= 1 and (changed or not found.row.startswith(f"{experiment}/"))
        company = things.together.get(found.thing, set())
        assert one or (found.thing in changed and changed - {found.thing} <= company)
    assert {name for name, other in things.written.items() if other == "none"} <= beginnings
    # A table begins with one row, but where the plan says otherwise.
    others = beginnings - {name for name, other in things.written.items() if other == "none"}
    assert len({name.split("/")[0] for name in others}) == len(others)


def test_references_lead_to_a_beginning(unchecked):
    things = read_things(PLAN, RECIPES)

    @cache
    def steps(name, scale, data):
        found = reference_of(things, RECIPES, *name.split("/"), scale, data)
        return 0 if found is None else 1 + steps(found.row, scale, data)  # endless in a circle

    for run in read_plan(PLAN, RECIPES):
        assert steps(f"{run.experiment}/{run.row}", run.scale, run.data) < 6


def test_references_of_table_1():
    things = read_things(PLAN, RECIPES)
    found = {
        row: reference_of(things, RECIPES, "table1", row, "paper", "real")
        for row in rows_of(RECIPES, "table1")
    }
    assert {row: (ref.row.split("/")[1], ref.thing) for row, ref in found.items() if ref} == {
        "tsm-16": ("tsm-8", "count"),
        "tsm-32": ("tsm-8", "count"),
        "uniform-8": ("tsm-8", "method"),
        "slope-8": ("tsm-8", "method"),
        "cumulative-8": ("tsm-8", "method"),
        "cumulative-8-keep": ("cumulative-8", "empty"),
        "cumulative-8-sharp": ("cumulative-8", "last_epochs"),
        "optimal-8": ("tsm-8", "method"),
        "uniform-16": ("uniform-8", "count"),
        "slope-16": ("slope-8", "count"),
        "cumulative-16": ("cumulative-8", "count"),
        "cumulative-16-keep": ("cumulative-8-keep", "count"),
        "optimal-16": ("optimal-8", "count"),
    }
    assert found["cumulative-8"].changes == {
        "empty": (None, "split"),
        "method": (None, "cumulative"),
    }


def test_every_adopted_record_is_planned():
    planned = {run.name for run in read_plan(PLAN, RECIPES)}
    adopted = {record.name for record in records.select(DATA / "records")}
    # How fast the parts are is measured by tests/bench.py.
    assert {name for name in adopted - planned if not name.startswith("bench/")} == set()


def test_the_tables_of_the_paper_are_planned_whole():
    planned = {
        (run.experiment, run.row) for run in read_plan(PLAN, RECIPES) if run.scale == "paper"
    }
    for table in ("table1", "table2", "table3", "table4", "table5"):
        assert {(table, row) for row in rows_of(RECIPES, table)} <= planned


# ---- reading and choosing ----


def test_runs_have_their_place_as_index(small):
    runs = read_plan(*small)
    assert [(run.index, run.name, run.purpose) for run in runs] == [
        (0, "table1/smoke-embedded-a-s0", "Table 1"),
        (1, "table1/smoke-embedded-a-s1", "Table 1"),
        (2, "table1/smoke-embedded-b-s0", "Table 1"),
        (3, "table1/smoke-embedded-b-s1", "Table 1"),
        (4, "setting/small-real-a-s7", "Figure 1"),
        (5, "setting/small-real-b-s7", "Figure 1"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('for = "Table 1"\n', "", "runs.for is missing; wanted a text"),
        ("seeds = [7]", "seeds = [7]\nseed = 3", "unknown key runs.seed; did you mean seeds"),
        (
            "seeds = [7]",
            "seeds = [7.0]",
            r"runs.seeds is \[7.0\]; wanted a list of values, each a wh",
        ),
        ("seeds = [7]", "seeds = [-1]", "seeds is .*; wanted one or more, of 0 or more"),
        ("[things]", "[thing]", "unknown key thing; did you mean things"),
        ('"smoke"', '"tiny"', "runs.scale is 'tiny'; wanted 'smoke' or 'small' or 'paper'"),
        ("[[runs]]", "[[runs]", "plan.toml: .*line 8"),
        ('"[ab]"', '"[ab]", "x*"', r"no row 'x\*' of setting; there is a, b, c"),
        ('"table1"', '"nothing"', "unknown experiment: 'nothing'; there is table1, setting"),
        ("[0, 1]", "[0, 0]", "table1/smoke-embedded-a-s0, .* more than once"),
    ],
)
def test_a_plan_that_is_not_one(small, old, new, complaint):
    plan, recipes = small
    plan.write_text(SMALL.replace(old, new))
    with pytest.raises(ValueError, match=complaint):
        read_plan(plan, recipes)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("count = []", "cuont = []", "things: there is no parameter cuont"),
        ('["empty"]', '["epmty"]', "things: there is no parameter epmty"),
        ("setting.b", "setting.d", "unknown row of setting: 'd'; there is a, b, c"),
        ('"table1/b"', '"table1/d"', "unknown row of table1: 'd'; there is a, b"),
    ],
)
def test_things_that_are_none(small, old, new, complaint):
    plan, recipes = small
    plan.write_text(SMALL.replace(old, new))
    with pytest.raises(ValueError, match=complaint):
        read_things(plan, recipes)


def test_choosing(small):
    plan, recipes = read_plan(*small), small[1]

    def chosen(**options):
        return [(run.index, run.name) for run in choose(plan, recipes, **options)]

    assert [index for index, _ in chosen()] == [0, 1, 2, 3, 4, 5]
    assert [index for index, _ in chosen(tables=["table1"], rows=["b"])] == [2, 3]
    assert [index for index, _ in chosen(rows=["[a]"], seeds=[1, 7])] == [1, 4]
    assert [index for index, _ in chosen(scale="small")] == [4, 5]
    assert [index for index, _ in chosen(indices=[5, 0])] == [0, 5]
    assert [index for index, _ in chosen(indices=[1], scale="smoke")] == [1]
    # beyond the plan: what tables and scale name
    assert chosen(tables=["setting"], scale="small", data="real", seeds=[8]) == [
        (None, "setting/small-real-a-s8"),  # c is not wanted of real data
        (None, "setting/small-real-b-s8"),
    ]
    assert len(chosen(tables=["setting"], scale="smoke")) == 3
    assert chosen(tables=["setting"], rows=["c"], scale="smoke") == [
        (None, "setting/smoke-embedded-c-s0")
    ]
    assert chosen(tables=["table1"], scale="smoke", seeds=[5], rows=["b"]) == [
        (None, "table1/smoke-embedded-b-s5")
    ]
    exact = {"tables": ["table1"], "scale": "smoke", "data": "embedded", "rows": ["b"]}
    assert chosen(**exact, seeds=[1, 2]) == [
        (3, "table1/smoke-embedded-b-s1"),
        (None, "table1/smoke-embedded-b-s2"),
    ]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"tables": ["tabel"]}, "unknown experiment: 'tabel'; there is table1, setting"),
        ({"tables": ["table1"], "rows": ["z"], "scale": "smoke"}, "no row 'z' of table1; there is"),
        (
            {"tables": ["table1"], "data": "real"},
            r"planned are setting \(small, real\), table1 \(smo",
        ),
        ({"indices": [6]}, "no run with index 6 .* 0 to 5"),
        ({"indices": [4], "scale": "smoke"}, "no run with index 4"),
    ],
)
def test_what_cannot_be_chosen_is_said_with_what_there_is(small, options, complaint):
    with pytest.raises(ValueError, match=complaint):
        choose(read_plan(*small), small[1], **options)


# ---- references ----


def test_references_are_derived_or_written(small):
    plan, recipes = small
    things = read_things(plan, recipes)
    assert reference_of(things, recipes, "table1", "a", "smoke", "real") is None
    found = reference_of(things, recipes, "table1", "b", "smoke", "real")
    assert (found.row, found.thing, found.changes) == (
        "table1/a",
        "method",
        {"method": (None, "slope")},
    )
    found = reference_of(things, recipes, "setting", "a", "small", "real")
    assert (found.row, found.thing, found.changes) == ("table1/a", "count", {"count": (8, 16)})
    found = reference_of(things, recipes, "setting", "b", "small", "real")
    assert (found.row, found.thing, found.changes) == ("table1/b", "window", {"window": (None, 4)})


def test_of_two_that_differ_in_the_same_thing_the_nearer_is_the_reference(small):
    plan, recipes = small
    row = 'c = { method = "uniform", clusters = 8 }\nd = { method = "cumulative", clusters = 8 }'
    recipes.write_text(ROWS.replace('b = { method = "slope"', 'b = { method = "cumulative"', 1))
    recipes.write_text(recipes.read_text().replace("c = { frames = 2 }", row))
    found = reference_of(read_things(plan, recipes), recipes, "setting", "c", "small", "real")
    assert (found.row, found.thing) == ("table1/a", "method")  # table1/b differs in empty too


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (
            "frames = 2, width = 3",
            "differs from no row in one thing; the nearest is .*count, width",
        ),
        ("frames = 16", "setting/c and setting/a are the same at scale small"),
        ('frames = 3, sampling = "random", lr = 0.5', "table1/a, by count, lr, sampling"),
    ],
)
def test_a_row_that_differs_in_two_things_or_in_none(small, row, complaint):
    plan, recipes = small
    recipes.write_text(ROWS.replace("c = { frames = 2 }", f"c = {{ {row} }}"))
    with pytest.raises(ValueError, match=complaint):
        reference_of(read_things(plan, recipes), recipes, "setting", "c", "small", "real")


# ---- status and time ----


def store(recipes, folder, run, wall=None, version=None, **changed):
    """A record of a run as the recipe file has it, but for what is changed."""
    parameters, today = parameters_of(recipes, run.experiment, run.row, run.scale, run.data)
    record = records.new(
        run.experiment,
        **run.place,
        version=version or today,
        parameters={**parameters.stated(), **changed},
        dataset={"name": "none", "sha256": {}, "counts": {}},
        protocol={},
        results={"loss": 0.5},
        cost={"wall_s": wall, "peak_mem_mb": None, "params": None, "macs": None},
    )
    return records.write(record, {"curve": np.arange(3.0)}, folder)


def test_status(small, tmp_path):
    (_, recipes), runs = small, read_plan(*small)
    new, adopted = tmp_path / "new", tmp_path / "adopted"
    store(recipes, adopted, runs[0], wall=10.0)
    store(recipes, new, runs[1], wall=20.0)
    store(recipes, adopted, runs[2], version=2)
    store(recipes, new, runs[2], width=9)
    checkpoint = new / "checkpoints" / f"{runs[3].name}.pt"
    checkpoint.parent.mkdir(parents=True)
    torch.save({"epoch": 1}, checkpoint)
    parameters, version = parameters_of(recipes, "table1", "b", "smoke", "embedded")
    identity = {"parameters": parameters.stated(), "version": version, "threads": 1}
    note_of(checkpoint).write_text(json.dumps(identity))
    with lock(records.lock_of(new, runs[4].name)):
        found = statuses(runs, recipes, new, adopted)
    assert [status.run for status in found] == runs
    assert [status.word for status in found] == [
        *("done", "done", "stale", "interrupted", "running", "missing")
    ]
    assert found[2].detail == "parameters.width is 9 in the record, 8 now"
    assert found[3].detail == "after epoch 1 of 4"
    assert "by process" in found[4].detail
    # the median of a row; b has no time of its own, and its second run has an epoch behind it
    assert [status.seconds for status in found] == [15, 15, 15, 15 * 3 / 4, None, None]

    (adopted / f"{runs[0].name}.npz").write_bytes(b"other arrays")
    checkpoint.write_bytes(b"half a checkpoint")
    found = statuses(runs[:4], recipes, new, adopted)
    assert [status.word for status in found] == ["stale", "done", "stale", "interrupted"]
    assert "does not hold the arrays of" in found[0].detail
    assert found[3].detail == ""
    # one of another run is not gone on with
    identity["parameters"]["width"], identity["version"] = 9, 2
    note_of(checkpoint).write_text(json.dumps(identity))
    (other,) = statuses(runs[3:4], recipes, new, adopted)
    assert (other.word, other.detail) == (
        "stale",
        "its checkpoint is of another run: parameters.width is 9 in the checkpoint, 8 now; version "
        "is 2 in the checkpoint, 3 now",
    )
    note_of(checkpoint).unlink()
    (other,) = statuses(runs[3:4], recipes, new, adopted)
    assert (other.word, "no smoke-embedded-b-s1.run beside it" in other.detail) == ("stale", True)


def test_time_left_is_that_of_the_busiest_process():
    def status(seconds):
        return Status(Run("table1", "a", "smoke", "real", 0), "missing", "", seconds)

    found = [status(seconds) for seconds in (3.0, 3.0, 2.0, 2.0, 2.0, None)]
    assert time_left(found, 1) == (12.0, 1)
    assert time_left(found, 2) == (7.0, 1)  # 3 + 2 + 2, beside 3 + 2
    assert time_left(found, 3) == (5.0, 1)  # 3 + 2, beside 3 and 2 + 2
    assert time_left([], 2) == (0.0, 0)
