"""The paper's numbers add up, and every verdict word is reached by the rule and only by it."""

import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from lab import claims, records
from lab.claims import DOES_NOT_HOLD, HOLDS, NOT_TESTED, SAME_DIRECTION, Difference

DATA = Path(__file__).parents[2] / "data"
CHAPTERS = {
    *("01_gradient_bound", "02_temporal_clustering", "03_move4mnist", "04_network"),
    *("05_more_frames", "06_similar_gradients", "07_clusters", "08_breakfast", "09_ucf_hmdb"),
    *("10_something", "11_any_length", "12_released_code"),
}
TARGET = np.arange(200, dtype="uint8") % 4


# --------------------------------------------------------------------------- the paper's numbers


@pytest.mark.parametrize(("name", "rows"), [(1, 9), (2, 8), (3, 6), (4, 7), (5, 9)])
def test_tables_have_all_rows(name, rows):
    assert len(claims.paper_table(DATA, f"table{name}")) == rows


@pytest.mark.parametrize(
    ("name", "column", "total"),
    [  # sums of the printed columns, added by hand
        ("table1", "flops", 303.28),
        ("table1", "memory", 15.96),
        ("table1", "top1", 842.46),
        ("table1", "sd", 2.23),
        ("table2", "epoch_s", 856.0),
        ("table2", "top1", 489.8),
        ("table3", "top1", 379.3),
        ("table4", "ucf101", 662.6),
        ("table4", "hmdb51", 493.7),
        ("table5", "v1", 398.9),
        ("table5", "v2", 515.8),
    ],
)
def test_column_sums(name, column, total):
    rows = claims.paper_table(DATA, name).values()
    assert sum(row[column] for row in rows) == pytest.approx(total, abs=1e-6)


def test_arithmetic_of_table_1():
    table = claims.paper_table(DATA, "table1")
    # Without clusters the cost is that of one frame times the frames; t = 32.
    per_frame = table["tsm-8"]["flops"] / 8
    assert table["tsm-16"]["flops"] == pytest.approx(16 * per_frame)
    assert table["tsm-32"]["flops"] == pytest.approx(32 * per_frame)
    # With g clusters it is t early parts and g late parts; the two rows give both parts.
    late = (table["slope-16"]["flops"] - table["slope-8"]["flops"]) / 8
    early = (table["slope-8"]["flops"] - 8 * late) / 32
    assert early + late == pytest.approx(per_frame, abs=0.01)
    for g in (8, 16):
        same = [table[f"{method}-{g}"] for method in ("uniform", "slope", "cumulative")]
        assert {(row["flops"], row["memory"], row["clusters"]) for row in same} == {
            (same[0]["flops"], same[0]["memory"], g)
        }


def test_ids_are_unique_and_in_order_of_the_chapters():
    found = claims.load(DATA)
    assert [claim.id for claim in found] == [f"C{i}" for i in range(1, len(found) + 1)]
    assert len(found) >= 22
    chapters = [claim.chapter for claim in found]
    assert chapters == sorted(chapters)
    assert set(chapters) == CHAPTERS
    assert len({claim.title for claim in found}) == len(found)


def test_values_of_claims_are_those_of_the_tables():
    """A value is a number of a row, or a difference of two; the text has one wrong: C39, 3.5."""
    seen, wrong = 0, []
    for claim in claims.load(DATA):
        number = re.search(r"Table (\d)", claim.place)
        rows = claims.paper_table(DATA, f"table{number[1]}") if number else {}
        for name, value in claim.value.items() if number else ():
            a, b, column = re.fullmatch(r"(\S+)(?: − (\S+))?(?: (\w+))?", name).groups()
            columns = [column] if column else [key for key in rows[a] if key in UNITS]
            if claim.id == "C12":  # a ratio to all frames
                expected = {round(rows[a]["memory"] / rows["tsm-32"]["memory"], 3)}
            else:
                expected = {round(rows[a][c] - (rows[b][c] if b else 0), 2) for c in columns}
            seen += 1
            if value not in expected:
                wrong.append((claim.id, name, value, expected))
    assert wrong == [("C39", "cumulative-8 − tsm-8 v2", 3.5, {3.6})]
    assert seen > 60


UNITS = ("flops", "memory", "top1", "epoch_s", "ucf101", "hmdb51", "v1", "v2")


def test_tests_name_rows_that_exist():
    recipes = tomllib.loads((DATA / "recipes.toml").read_text())
    for claim in claims.load(DATA):
        for test in claim.tests:
            if test.get("experiment") not in recipes:
                continue
            table = recipes[test["experiment"]]
            rows = set(table.get("rows") or recipes[table["like"]]["rows"])
            if "row" in test:
                assert test["row"] in rows
                continue
            for key in ("a", "b", "rows", "relative_to"):
                named = test.get(key, [])
                where = recipes[test["other"]]["rows"] if "other" in test and key == "b" else rows
                if not isinstance(named, float | int):
                    assert ({named} if isinstance(named, str) else set(named)) <= set(where)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('id = "C1"', r"claim C1\.title is missing; wanted a text"),
        ("FULL\nvalue = { a = 'x' }", r"claim C1\.value is .*; wanted a table of which each value"),
        ("FULL\ntitel = 'x'", r"unknown key claim C1\.titel; did you mean title"),
        ("FULL\nreason = 3", r"claim C1\.reason is 3; wanted a text"),
        ("FULL\n[claim]", r"paper.toml: unknown key claim; did you mean claims"),
        (
            "FULL\n[table1]\ntitle = 3\nplace = 'x'\nunits = {}\nrows = []",
            "title is 3; wanted a text",
        ),
        (
            "FULL\n[table1]\ntitle = 'x'\nplace = 'x'\nunits = { top1 = '%' }\n"
            "rows = [{ id = 'a', model = 'b', top = 3 }]",
            r"unknown key table1\.rows\.top; did you mean top1",
        ),
        ("FULL\n[[claims]]\nFULL", "claim C1 is in paper.toml more than once"),
        ("FULL\nnote = 1", r"unknown key claim C1\.note; .*there is id, title"),
        ('FULL\ntests = [{ kind = "smaller" }]', "a test of kind 'smaller', wanted one of greater"),
        ('FULL\ntests = [{ kind = "greater", a = "x" }]', r"test greater: has \['a'\], wanted"),
        ('FULL\ntests = [{ kind = "fact", margin = 1 }]', r"test fact: has \['margin'\]"),
        (
            'FULL\ntests = [{ kind = "gain", a = ["x"], b = ["y", "z"], other = "o" }]',
            r"a and b are \['x'\] and \['y', 'z'\], wanted two rows each",
        ),
        ('FULL\ntests = [{ kind = "greater", a = 1, b = "x" }]', "a is 1, wanted a name or a list"),
        ('FULL\ntests = [{ kind = "greater", a = [], b = "x" }]', r"a is \[\], wanted a name or"),
        (
            'FULL\ntests = [{ kind = "greater", a = "x", b = true }]',
            "b is True, wanted a name, a l",
        ),
        (
            'FULL\ntests = [{ kind = "greater", a = "x", b = nan }]',
            "b is nan, wanted .* or a number",
        ),
        ('FULL\ntests = [{ kind = "greater", a = "x", b = ["y", 1] }]', r"b is \['y', 1\], wanted"),
        (
            'FULL\ntests = [{ kind = "chain", rows = ["x"] }]',
            r"rows is \['x'\], wanted a list of two",
        ),
        ('FULL\ntests = [{ kind = "chain", rows = "xy" }]', "rows is 'xy', wanted a list of two"),
        (
            'FULL\ntests = [{ kind = "chain", rows = ["x", "y"], row = "z", array = "error" }]',
            r"test chain: has row but no \{part\} in array; they belong together",
        ),
        (
            'FULL\ntests = [{ kind = "greater", a = "x", b = 1, array = "error_{part}" }]',
            r"test greater: has \{part\} in array but no row; they belong together",
        ),
    ],
)
def test_malformed_claims_are_refused(tmp_path, text, message):
    words = ("title", "statement", "place", "setting", "quantity", "chapter")
    full = "\n".join(['id = "C1"', *(f'{word} = "x"' for word in words)])
    (tmp_path / "paper.toml").write_text("[[claims]]\n" + text.replace("FULL", full))
    with pytest.raises(ValueError, match=message):
        claims.load(tmp_path)


# ------------------------------------------------------------------------------------- the rule


def slow_paired_difference(a, b, draws, rng):
    """The bootstrap in loops: draw seeds, draw clips, average the paired differences."""
    seeds, clips = a.shape
    means = []
    for _ in range(draws):
        drawn_seeds = [int(rng.integers(seeds)) for _ in range(seeds)]
        drawn_clips = rng.integers(clips, size=clips)
        total = 0.0
        for s in drawn_seeds:
            for i in drawn_clips:
                total += a[s, i] - b[s, i]
        means.append(total / (seeds * clips))
    return np.quantile(means, [0.025, 0.975])


def test_bootstrap_against_loops():
    rng = np.random.default_rng(1)
    a = 100.0 * (rng.random((4, 30)) < 0.9)
    b = 100.0 * (rng.random((4, 30)) < 0.7)
    found = claims.paired_difference(a, b, draws=20_000)
    low, high = slow_paired_difference(a, b, 3000, rng)
    assert found.mean == pytest.approx((a - b).mean())
    assert found.seeds == 4
    # Both ends are quantiles of a sample; 3000 draws leave about 0.6 points of doubt (2 sd).
    assert found.low == pytest.approx(low, abs=1.5)
    assert found.high == pytest.approx(high, abs=1.5)


def test_bootstrap_draws_clips_for_all_seeds_together():
    """What is hard for every seed does not average out: sd of the mean is that of one seed."""
    one = np.where(np.arange(100) < 20, 100.0, 0.0)
    many = claims.paired_difference(np.tile(one, (9, 1)), np.zeros((9, 100)), draws=20_000)
    half_width = 1.96 * 100 * np.sqrt(0.2 * 0.8 / 100)
    assert many.high - many.low == pytest.approx(2 * half_width, rel=0.05)


def test_bootstrap_draws_seeds():
    """Seeds that differ and clips that do not: only the drawn seeds make the interval."""
    a = np.repeat([[0.0], [10.0]], 50, axis=1)
    found = claims.paired_difference(a, np.zeros((2, 50)))
    assert (found.mean, found.low, found.high) == (5.0, 0.0, 10.0)


def test_difference_of_gains_against_loops():
    """Other clips, and as many as there are: the two gains are drawn independently."""
    rng = np.random.default_rng(3)
    first = tuple(100.0 * (rng.random((3, 40)) < share) for share in (0.9, 0.5))
    second = tuple(100.0 * (rng.random((5, 25)) < share) for share in (0.8, 0.7))
    found = claims.difference_of_gains(first, second, draws=20_000)
    gains = [(a - b).mean() for a, b in (first, second)]
    assert found.mean == pytest.approx(gains[0] - gains[1])
    assert found.seeds == 3
    ends = [slow_paired_difference(a, b, 3000, rng) for a, b in (first, second)]
    # Of two independent means the squared half widths add up, near enough.
    half = np.hypot(*[(high - low) / 2 for low, high in ends])
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.12)


def test_identical_predictions_give_an_empty_interval():
    a = np.random.default_rng(0).random((5, 40))
    found = claims.paired_difference(a, a)
    assert (found.mean, found.low, found.high) == (0.0, 0.0, 0.0)
    assert claims.decide("greater", found) == DOES_NOT_HOLD
    assert claims.decide("equal", found, 0.5) == HOLDS
    assert claims.decide("no_better", found, 0.5) == HOLDS


def test_bootstrap_is_repeatable_and_turns_its_sign():
    rng = np.random.default_rng(2)
    a, b = rng.random((5, 60)), rng.random((5, 60))
    found, turned = claims.paired_difference(a, b), claims.paired_difference(b, a)
    assert found == claims.paired_difference(a, b)
    assert (turned.mean, turned.low, turned.high) == pytest.approx(
        (-found.mean, -found.high, -found.low)
    )


@pytest.mark.parametrize("shapes", [((2, 3), (2, 4)), ((3,), (3,)), ((0, 3), (0, 3))])
def test_bootstrap_refuses_what_is_not_paired(shapes):
    with pytest.raises(ValueError, match=r"wanted \(seeds, clips\), the same for both"):
        claims.paired_difference(*(np.zeros(shape) for shape in shapes))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_bootstrap_refuses_clips_without_a_score(value):
    a, b = np.zeros((2, 5, 6))
    a[1, 2] = value
    with pytest.raises(ValueError, match="leave a clip without a score out, of both and of all"):
        claims.paired_difference(a, b)


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((1.8, 0.73, 3.0), "+1.80 [+0.73, +3.00]"),
        ((0.2, 0.0, 0.33), "+0.20 [+0.00, +0.33]"),
        ((-0.5, -0.55, -0.45), "-0.50 [-0.55, -0.45]"),  # two digits of a width of 0.1
        ((0.83, 0.81, 0.85), "+0.830 [+0.810, +0.850]"),
        ((0.01234, 0.0121, 0.0129), "+0.01234 [+0.01210, +0.01290]"),
        ((1e-7, -1e-7, 3e-7), "+0.000000 [-0.000000, +0.000000]"),  # six decimals at most
        ((90.0, 90.0, 90.0), "+90.00 [+90.00, +90.00]"),
        ((0.25, 0.25, 0.25), "+0.2500 [+0.2500, +0.2500]"),  # no width: four digits of the mean
        ((0.0, 0.0, 0.0), "+0.00 [+0.00, +0.00]"),
    ],
)
def test_decimals_follow_the_width_of_the_interval(numbers, text):
    assert str(Difference(*numbers, seeds=5)) == text
    assert Difference(*numbers, seeds=5).text() == text.replace("+", "")


@pytest.mark.parametrize(
    ("kind", "mean", "low", "high", "seeds", "word"),
    [
        ("greater", 3.0, 1.0, 5.0, 5, HOLDS),
        ("greater", 3.0, 1.0, 5.0, 4, SAME_DIRECTION),
        ("greater", 3.0, 0.0, 5.0, 5, SAME_DIRECTION),
        ("greater", 3.0, -1.0, 5.0, 9, SAME_DIRECTION),
        ("greater", 0.0, -1.0, 1.0, 5, DOES_NOT_HOLD),
        ("greater", -1.0, -3.0, 1.0, 5, DOES_NOT_HOLD),
        ("greater", -2.0, -3.0, -1.0, 5, DOES_NOT_HOLD),
        ("no_better", 0.5, -0.5, 1.0, 5, HOLDS),
        ("no_better", 0.5, -0.5, 1.1, 5, SAME_DIRECTION),
        ("no_better", -9.0, -9.5, -8.0, 5, HOLDS),
        ("no_better", -9.0, -9.5, -8.0, 1, SAME_DIRECTION),
        ("no_better", 1.5, 0.5, 2.0, 5, DOES_NOT_HOLD),
        ("no_better", 3.0, 2.0, 4.0, 5, DOES_NOT_HOLD),
        ("equal", 0.2, -1.0, 1.0, 5, HOLDS),
        ("equal", 0.2, -1.1, 0.9, 5, SAME_DIRECTION),
        ("equal", 0.2, -1.0, 1.0, 3, SAME_DIRECTION),
        ("equal", -1.5, -2.0, -0.5, 5, DOES_NOT_HOLD),
        ("equal", 3.0, 2.0, 4.0, 5, DOES_NOT_HOLD),
    ],
)
def test_decide(kind, mean, low, high, seeds, word):
    assert claims.decide(kind, Difference(mean, low, high, seeds), 1.0) == word


def test_decide_knows_three_kinds():
    with pytest.raises(ValueError, match="wanted greater, equal or no_better"):
        claims.decide("smaller", Difference(0.0, 0.0, 0.0, 1))


# ------------------------------------------------------------------------------------- verdicts


def write_run(folder, row, seed, wrong, *, scale="small", sampled=None, version=1, target=TARGET):
    """A record of Table 1 whose first `wrong` test clips are wrong; `sampled` of the other kind."""
    counts = {"clustered": wrong, "sampled": wrong if sampled is None else sampled}
    arrays, results = {"target": target}, {}
    for name, count in counts.items():
        arrays[f"{name}_prediction"] = np.where(np.arange(200) < count, (target + 1) % 4, target)
        right = 200 - count
        results[name] = {"correct": right, "total": 200, "top1": right / 2}
    write_record(folder, "table1", row, seed, arrays, results, scale=scale, version=version)


def write_record(folder, experiment, row, seed, arrays, results=None, *, scale="small", version=1):
    record = {
        "schema": 1,
        "experiment": experiment,
        "version": version,
        "row": row,
        "seed": seed,
        "parameters": {"scale": scale, "data": "real"},
        "data": {"name": "Move4MNIST", "sha256": {}, "counts": {"test": 200}},
        "protocol": {"clustered": {}, "sampled": {}},
        "results": results or {},
        "cost": {"wall_s": 1, "peak_mem_mb": None, "params": None, "macs": None},
        "machine": {"cpu": "a cpu", "threads": 1, "torch": "2.11", "device": "cpu"},
        "code": {"commit": None, "dirty": None},
        "made": "2026-01-02T03:04:05+00:00",
        "checksum": None,
    }
    records.write(record, arrays, folder / "records")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "paper.toml").write_text((DATA / "paper.toml").read_text())
    return tmp_path


def verdict(folder, name, **options):
    claim = next(claim for claim in claims.load(folder) if claim.id == name)
    return claims.judge(claim, folder, **options)


MORE_FRAMES, UNIFORM_NO_BETTER, PRINTED = "C15", "C20", "C23"


@pytest.mark.parametrize(
    ("seeds", "wrong", "word"),
    [  # clips that tsm-8, tsm-16 and tsm-32 get wrong, of 200
        (5, (60, 30, 2), HOLDS),
        (3, (60, 30, 2), SAME_DIRECTION),
        (5, (31, 30, 2), SAME_DIRECTION),  # half a point between 8 and 16: the interval has 0
        (5, (30, 30, 2), DOES_NOT_HOLD),
        (5, (2, 30, 60), DOES_NOT_HOLD),
    ],
)
def test_more_frames(folder, seeds, wrong, word):
    for seed in range(seeds):
        for row, count in zip(("tsm-8", "tsm-16", "tsm-32"), wrong, strict=True):
            write_run(folder, row, seed, count)
    found = verdict(folder, MORE_FRAMES)
    assert (found.word, found.seeds, found.scale) == (word, seeds, "small")
    assert str(found) == f"{word} (small scale)"
    first = (wrong[1] - wrong[2]) / 2
    assert found.measured.startswith(f"tsm-32 − tsm-16 {first:+.2f} [")


def test_only_seeds_of_both_rows_count(folder):
    for seed in range(6):
        write_run(folder, "uniform-8", seed, 20)
        if seed > 2:
            write_run(folder, "tsm-8", seed, 20)
    found = verdict(folder, UNIFORM_NO_BETTER)
    assert (found.word, found.seeds) == (SAME_DIRECTION, 3)
    for seed in range(3):
        write_run(folder, "tsm-8", seed, 20)
    assert verdict(folder, UNIFORM_NO_BETTER).word == HOLDS


def test_both_protocols_are_judged_and_the_text_decides(folder):
    for seed in range(5):
        write_run(folder, "uniform-8", seed, 10, sampled=60)
        write_run(folder, "tsm-8", seed, 30)
    assert verdict(folder, UNIFORM_NO_BETTER).word == DOES_NOT_HOLD
    assert verdict(folder, UNIFORM_NO_BETTER, protocol="sampled").word == HOLDS
    rows = claims.table("05_more_frames", folder).splitlines()
    here = next(i for i, row in enumerate(rows) if "C20" in row)
    assert rows[here].endswith("| clustered | small | real | 5 | **does not hold** (small scale) |")
    assert "| uniform-8 90.25, tsm-8 90.13 % |" in rows[here]
    assert rows[here + 1].startswith("|  |  |  | uniform-8 − tsm-8 -15.00 [")
    assert rows[here + 1].endswith("points | sampled | small | real | 5 | (holds) |")


def test_no_record(folder):
    write_run(folder, "tsm-32", 0, 2)
    found = verdict(folder, MORE_FRAMES)
    assert found.word == NOT_TESTED
    assert str(found) == "not tested (no record table1/small-real-tsm-16)"
    write_run(folder, "tsm-16", 1, 2)
    write_run(folder, "tsm-8", 1, 2)
    assert "tsm-32 and tsm-16 have no seed in common" in str(verdict(folder, MORE_FRAMES))


def test_records_that_do_not_belong_together(folder):
    write_run(folder, "tsm-8", 0, 2)
    write_run(folder, "uniform-8", 0, 2, version=2)
    assert "versions [1, 2]" in str(verdict(folder, UNIFORM_NO_BETTER))
    write_run(folder, "uniform-8", 0, 2, target=TARGET[::-1].copy())
    with pytest.raises(ValueError, match="not tested on the same clips"):
        verdict(folder, UNIFORM_NO_BETTER)


def test_only_paper_scale_speaks_of_the_printed_number(folder):
    table = claims.paper_table(folder, "table1")
    for seed in range(5):
        for row in table:
            wrong = round((100 - table[row]["top1"]) * 2)
            write_run(folder, row, seed, wrong, scale="small")
            write_run(folder, row, seed, wrong, scale="paper")
    assert "only scale paper speaks" in str(verdict(folder, PRINTED))
    found = verdict(folder, PRINTED, scale="paper")
    assert (found.word, found.seeds, found.protocol) == (HOLDS, 5, "clustered")
    assert "tsm-8 90 (-0.1 %)" in found.measured
    for seed in range(1, 5):
        write_run(folder, "tsm-8", seed, 100, scale="paper")
    assert verdict(folder, PRINTED, scale="paper").word == DOES_NOT_HOLD


def test_multiply_adds_from_a_chapter(folder):
    printed = claims.paper_table(folder, "table1")
    near = {row: entry["flops"] * 0.995 for row, entry in printed.items()}
    found = verdict(folder, "C9", facts={"C9": near})
    assert (found.word, found.seeds, found.protocol, found.scale) == (HOLDS, None, "–", "paper")
    assert "tsm-8 14.49 (-0.5 %)" in found.measured
    far = {**near, "slope-16": 38.51 * 1.02}
    assert verdict(folder, "C9", facts={"C9": far}).word == DOES_NOT_HOLD
    assert verdict(folder, "C9").reason == "no record cost/paper-embedded-tsm-8"
    with pytest.raises(ValueError, match="C9: nothing given for uniform-8, only for"):
        verdict(folder, "C9", facts={"C9": {"tsm-8": 14.56, "tsm-16": 29.12, "tsm-32": 58.24}})


def test_the_share_of_frames_is_judged_for_the_text_and_for_the_released_code(folder):
    shares = {"clustered": 100.0, "sampled": 80.78}
    results = {name: {"frames_with_gradient": share} for name, share in shares.items()}
    write_record(folder, "facts", "all", 0, {})
    old = folder / "records" / "facts" / "small-real-all-s0.json"
    entries = json.loads(old.read_text())
    entries |= {"results": results, "parameters": {**entries["parameters"], "data": "embedded"}}
    (old.parent / "small-embedded-all-s0.json").write_text(json.dumps(entries))
    assert verdict(folder, "C44").measured == "all 100 (+0.0 %)"
    words = {
        protocol: (verdict(folder, "C44", protocol=protocol).word, protocol) for protocol in shares
    }
    assert words == {"clustered": (HOLDS, "clustered"), "sampled": (DOES_NOT_HOLD, "sampled")}
    line = claims.table("12_released_code", folder).splitlines()[-1]
    assert "| all 80.78 (-19.2 %) | sampled | small | embedded | – | (does not hold) |" in line


def test_memory_from_a_chapter(folder):
    measured = {"tsm-32": 4.0, "cumulative-8": 3.0, "cumulative-16": 2.0}
    facts = {"C11": measured, "C12": measured}
    assert verdict(folder, "C11", facts=facts).word == HOLDS
    assert "ratio 0.750" in verdict(folder, "C11", facts=facts).measured
    found = verdict(folder, "C12", facts=facts)  # 0.75 for a printed 0.495
    assert found.word == DOES_NOT_HOLD
    assert found.measured == "cumulative-8 0.75 (+51.5 %); cumulative-16 0.5 (-12.0 %)"
    measured["cumulative-8"] = 5.0
    assert verdict(folder, "C11", facts=facts).word == DOES_NOT_HOLD


def test_multiply_adds_from_records(folder):
    for row, macs in (("cumulative-8", 28_440_000_000), ("tsm-32", 58_016_000_000)):
        write_run(folder, row, 0, 0, scale="paper")
        path = next((folder / "records").rglob(f"*{row}*.json"))
        text = path.read_text().replace('"macs": null', f'"macs": {macs}')
        target = folder / "records" / "cost" / path.name.replace("-real-", "-embedded-")
        target.parent.mkdir(exist_ok=True)
        text = text.replace('"table1"', '"cost"').replace('"real"', '"embedded"')
        target.write_text(text)
    claim = next(claim for claim in claims.load(folder) if claim.id == "C10")
    test = {**claim.tests[0], "a": "cumulative-8"}
    found = claims.judge(
        claims.Claim(**{**vars(claim), "tests": (test,)}), folder, scale="small", data="real"
    )
    assert found.word == HOLDS
    assert found.measured == "cumulative-8 28.44, tsm-32 58.02 G, ratio 0.490"


def test_scores_from_a_chapter(folder):
    better = {"cumulative": np.full((5, 20), 90.0), "slope": np.full((5, 20), 80.0)}
    found = verdict(folder, "C8", data="embedded", facts={"C8": better})
    assert (found.word, found.seeds, found.data) == (HOLDS, 5, "embedded")
    assert found.measured == "cumulative − slope +10.00 [+10.00, +10.00] points"
    once = {key: value[0] for key, value in better.items()}
    assert verdict(folder, "C8", facts={"C8": once}).word == SAME_DIRECTION


# ------------------------------------------------------- quantities other than the accuracy


def judged(folder, unit="", **test):
    """The verdict on a claim that has this one test."""
    claim = next(claim for claim in claims.load(folder) if claim.id == "C8")
    claim = claims.Claim(**{**vars(claim), "tests": (test,), "unit": unit})
    return claims.judge(claim, folder)


def write_scores(folder, seeds=5, row="tsm-32", target=TARGET, **scores):
    """Records of "gradients" with arrays of 200 scores: a number for all, or one for each clip."""
    for seed in range(seeds):
        arrays = {name: np.broadcast_to(value, 200) + 0.0 for name, value in scores.items()}
        write_record(folder, "gradients", row, seed, {"target": target, **arrays})


@pytest.mark.parametrize(
    ("more", "word"), [(40, HOLDS), (4, SAME_DIRECTION), (2, DOES_NOT_HOLD), (0, DOES_NOT_HOLD)]
)
def test_a_gain_against_the_gain_on_other_clips(folder, more, word):
    """Of 200 clips `more` are gained in Table 1, two in Table 5, which has another test set."""
    for seed in range(5):
        write_run(folder, "cumulative-16", seed, 50 - more)
        write_run(folder, "tsm-16", seed, 50)
        for row, wrong in (("v2-cumulative-16", 48), ("v2-tsm-16", 50)):
            right = np.arange(200) >= wrong
            arrays = {"target": TARGET[::-1], "clustered_prediction": np.where(right, TARGET, 9)}
            arrays["clustered_prediction"][right] = TARGET[::-1][right]
            write_record(folder, "table5", row, seed, arrays)
    test = {"a": ["cumulative-16", "tsm-16"], "b": ["v2-cumulative-16", "v2-tsm-16"]}
    found = judged(folder, kind="gain", experiment="table1", other="table5", **test)
    assert found.word == word
    assert found.measured.startswith(
        f"(cumulative-16 − tsm-16) − (v2-cumulative-16 − v2-tsm-16) {(more - 2) / 2:+.2f} ["
    )


ONE_ROW = {"experiment": "gradients", "row": "tsm-32", "array": "error_{part}"}
CHAIN = {"kind": "chain", "rows": ["uniform", "slope", "cumulative"], **ONE_ROW}


@pytest.mark.parametrize(
    ("seeds", "slope", "word"),
    [(5, 2.0, HOLDS), (4, 2.0, SAME_DIRECTION), (5, 3.5, DOES_NOT_HOLD), (5, 3.0, DOES_NOT_HOLD)],
)
def test_methods_side_by_side_in_one_record(folder, seeds, slope, word):
    write_scores(folder, seeds, error_uniform=3, error_slope=slope, error_cumulative=1)
    write_scores(folder, seeds, row="tsm-8", error_uniform=0)  # other rows are not looked at
    found = judged(folder, unit="%", **CHAIN)
    assert (found.word, found.seeds, found.protocol) == (word, seeds, "–")
    first, second = 3 - slope, slope - 1
    if slope == 2:
        assert found.measured == (
            "uniform − slope +1.000 [+1.000, +1.000] points; "
            "slope − cumulative +1.000 [+1.000, +1.000] points"
        )
    assert f"uniform − slope {first:+.2f}" in found.measured
    assert f"slope − cumulative {second:+.2f}" in found.measured


def test_one_record_is_paired_clip_by_clip(folder):
    hard = np.linspace(0, 100, 200)  # differences between clips are large, between methods small
    write_scores(folder, error_x=hard + 0.5, error_y=hard)
    found = judged(folder, kind="greater", a="x", b="y", unit="%", **ONE_ROW)
    assert found.word == HOLDS
    assert found.measured == "x − y +0.5000 [+0.5000, +0.5000] points"


def test_parts_that_are_not_recorded(folder):
    assert judged(folder, **CHAIN).reason == "no record gradients/small-real-tsm-32"
    write_scores(folder, error_uniform=3, error_slope=2)
    expected = "gradients/small-real-tsm-32-s0 has no error_cumulative"
    assert judged(folder, **CHAIN).reason == expected


def test_parts_from_a_chapter(folder):
    claim = next(claim for claim in claims.load(folder) if claim.id == "C8")
    claim = claims.Claim(**{**vars(claim), "tests": (CHAIN,)})
    given = {"uniform": np.full(9, 3.0), "slope": np.full(9, 2.0), "cumulative": np.full(9, 1.0)}
    found = claims.judge(claim, folder, facts={"C8": given})
    assert (found.word, found.seeds) == (SAME_DIRECTION, 1)


@pytest.mark.parametrize(
    ("kind", "a", "margin", "seeds", "word", "wanted"),
    [
        ("greater", 0.8, None, 5, HOLDS, "above 0.5"),
        ("greater", 0.8, None, 4, SAME_DIRECTION, "above 0.5"),
        ("greater", 0.5, None, 5, DOES_NOT_HOLD, "above 0.5"),
        ("greater", -0.8, None, 5, DOES_NOT_HOLD, "above 0.5"),
        ("no_better", 0.55, 0.1, 5, HOLDS, "at most 0.6"),
        ("no_better", 0.65, 0.1, 5, DOES_NOT_HOLD, "at most 0.6"),
        ("equal", 0.45, 0.1, 5, HOLDS, "0.5 ± 0.1"),
        ("equal", 0.35, 0.1, 5, DOES_NOT_HOLD, "0.5 ± 0.1"),
        ("equal", -0.35, 1, 5, HOLDS, "0.5 ± 1"),
    ],
)
def test_a_fixed_number(folder, kind, a, margin, seeds, word, wanted):
    write_scores(folder, seeds, error_euclidean=a)
    margin = {} if margin is None else {"margin": margin}
    found = judged(folder, kind=kind, a="euclidean", b=0.5, **margin, **ONE_ROW)
    assert (found.word, found.seeds) == (word, seeds)
    assert found.measured == f"euclidean {a:.4f} [{a:.4f}, {a:.4f}], wanted {wanted}"


def test_the_interval_beside_a_fixed_number_is_that_of_the_mean(folder):
    scores = np.where(np.arange(200) < 160, 1.0, 0.0)
    write_scores(folder, rank=scores)
    test = {"kind": "greater", "a": ["tsm-32"], "b": 0.5, "experiment": "gradients"}
    found = judged(folder, array="rank", **test)
    mean, low, high = map(float, re.findall(r"\d\.\d+", found.measured)[:3])
    assert found.measured.startswith("tsm-32 0.80 [0.7")
    assert mean == 0.8
    half = 1.96 * np.sqrt(0.8 * 0.2 / 200)
    assert (high - low) / 2 == pytest.approx(half, abs=0.01)
    higher = judged(folder, array="rank", **{**test, "b": 0.8 - half / 2})  # inside the interval
    assert (found.word, higher.word) == (HOLDS, SAME_DIRECTION)
    assert judged(folder, unit="s", array="rank", **test).measured.endswith("] s, wanted above 0.5")


def test_accuracy_against_a_fixed_number(folder):
    for seed in range(5):
        write_run(folder, "tsm-8", seed, 60, sampled=180)
    test = {"kind": "greater", "a": "tsm-8", "b": 25, "experiment": "table1"}
    found = judged(folder, unit="%", **test)
    assert (found.word, found.protocol) == (HOLDS, "clustered")
    assert re.fullmatch(r"tsm-8 70\.00 \[6.\.\d\d, 7.\.\d\d\] %, wanted above 25", found.measured)


def test_clips_without_a_score_are_left_out_for_all(folder):
    """Left out are the clips without x in seed 1 and those without y in seed 0: 0 to 49."""
    clip = np.arange(200)
    for seed in range(5):
        x = np.where((clip < 40) & (seed == 1), np.nan, np.where(clip < 50, 100.0, 1.0))
        y = np.where((clip < 50) & (seed == 0), np.nan, 0.5)
        arrays = {"target": TARGET, "error_x": x, "error_y": y, "error_z": np.full(200, np.nan)}
        write_record(folder, "gradients", "tsm-32", seed, arrays)
    found = judged(folder, kind="greater", a="x", b="y", **ONE_ROW)
    left_out = "(50 of 200 clips left out)"
    assert found.word == HOLDS
    assert found.measured == f"x − y +0.5000 [+0.5000, +0.5000] points {left_out}"
    found = judged(folder, kind="no_better", a="y", b=0.4, margin=0.1, **ONE_ROW)
    assert found.word == HOLDS
    assert found.measured == f"y 0.5000 [0.5000, 0.5000], wanted at most 0.5 {left_out}"
    found = judged(folder, kind="greater", a="x", b="z", **ONE_ROW)
    assert str(found) == "not tested (no clip has a score of x and z in every seed)"


def test_scores_that_cannot_be_paired_are_refused(folder):
    write_scores(folder, error_x=1)
    write_record(folder, "gradients", "tsm-32", 5, {"error_x": np.ones(7)})
    with pytest.raises(
        ValueError, match=r"scores of x have shapes \[\(7,\), \(200,\)\], wanted one"
    ):
        judged(folder, kind="greater", a="x", b=0.5, **ONE_ROW)
    write_record(
        folder, "gradients", "tsm-32", 5, {"target": TARGET[::-1], "error_x": np.ones(200)}
    )
    with pytest.raises(
        ValueError, match=r"s4 and gradients/.*-s5 were not tested on the same clips"
    ):
        judged(folder, kind="greater", a="x", b=0.5, **ONE_ROW)
    write_record(folder, "gradients", "tsm-8", 0, {"error_x": np.ones((200, 2))})
    with pytest.raises(ValueError, match=r"shapes \[\(200, 2\)\], wanted one score a clip"):
        judged(folder, kind="greater", a="x", b=0.5, **{**ONE_ROW, "row": "tsm-8"})


# ------------------------------------------------------------------------- facts, several tests


def test_facts(folder):
    assert str(verdict(folder, "C13")) == "not tested (no record facts/small-embedded-all)"
    assert str(verdict(folder, "C13", facts={"C13": True})) == "holds (small scale)"
    found = verdict(folder, "C13", facts={"C13": (False, "differ by 0.1")})
    assert (found.word, found.measured) == (DOES_NOT_HOLD, "differ by 0.1")
    with pytest.raises(ValueError, match="C13: given 1, wanted a bool"):
        verdict(folder, "C13", facts={"C13": 1})


def test_fact_from_records(folder):
    test = {"kind": "fact", "experiment": "table1", "row": "tsm-8", "path": "results.same"}
    claim = next(claim for claim in claims.load(folder) if claim.id == "C13")
    claim = claims.Claim(**{**vars(claim), "tests": (test,)})
    for seed in (0, 1):
        write_run(folder, "tsm-8", seed, 0)
    assert "records of tsm-8 have no results.same" in str(claims.judge(claim, folder))
    for answer, word in ((True, HOLDS), (False, DOES_NOT_HOLD)):
        for seed in (0, 1):
            path = folder / "records" / "table1" / f"small-real-tsm-8-s{seed}.json"
            entries = json.loads(path.read_text())
            entries["results"]["same"] = answer or seed == 0  # one that is not so is enough
            path.write_text(json.dumps(entries))
        assert claims.judge(claim, folder).word == word


def test_a_claim_is_as_good_as_its_worst_comparison(folder):
    wrong = {"cumulative-8": 10, "slope-8": 20, "tsm-8": 60}
    for seed in range(5):
        for row, count in wrong.items():
            write_run(folder, row, seed, count)
    assert verdict(folder, "C19").word == NOT_TESTED  # its 16-cluster half has no record
    write_run(folder, "tsm-8", 0, 0)
    for seed in range(1, 5):
        write_run(folder, "tsm-8", seed, 12)
    assert verdict(folder, "C19").word == DOES_NOT_HOLD


def test_claims_without_a_test_say_why(folder):
    for claim in claims.load(folder):
        if not claim.tests:
            found = claims.judge(claim, folder)
            unwritten = "its chapter is not written yet"
            assert str(found) == f"not tested ({claim.reason})"
            assert (claim.reason == unwritten) == (claim.chapter > "12_released_code")


def test_the_table_of_all_claims_names_their_chapters(folder):
    lines = [line.split(" | ") for line in claims.table(None, folder).splitlines()]
    assert lines[0][-1] == "chapter |"
    assert {len(line) for line in lines} == {10}
    named = [line[-1].removesuffix(" |") for line in lines[2:] if line[0] != "| "]
    assert named == [claim.chapter for claim in claims.load(folder)]


def test_overview_has_every_claim(folder):
    for seed in range(5):
        for row, count in (("tsm-8", 60), ("tsm-16", 30), ("tsm-32", 2)):
            write_run(folder, row, seed, count)
    lines = claims.overview(claims.judge_all(folder)).splitlines()
    assert len(lines) == 2 + len(claims.load(folder))
    assert lines[16] == (
        "| C15 | More frames are better | Section 4.1, Table 1 | 05_more_frames "
        "| holds (small scale) |"
    )


def test_summary_counts_the_words(folder):
    words = [claims.judge(claim, folder).word for claim in claims.load(folder)]
    parts = ", ".join(f"{words.count(word)} *{word}*" for word in claims.WORDS)
    assert claims.summary(claims.judge_all(folder)) == f"Of {len(words)} claims: {parts}."


def test_a_chapter_without_claims_is_an_error(folder):
    with pytest.raises(ValueError, match="no claim belongs to '14_more', only to 01_gradient"):
        claims.table("14_more", folder)
