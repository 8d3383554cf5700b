"""The paper's numbers add up, and every word is reached by the rule and only by it."""

import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab import claims, records
from lab.claims import (
    CONTRADICTED,
    MECHANISM,
    NO_DIFFERENCE,
    NOT_TESTED,
    SUPPORTED,
    UNDECIDED,
    Difference,
)
from lab.claims.evidence import Evidence

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
    first, later = found[:44], found[44:]  # later claims keep the names of the first ones
    assert [claim.chapter for claim in first] == sorted(claim.chapter for claim in first)
    assert {claim.chapter for claim in first} == CHAPTERS >= {claim.chapter for claim in later}
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
    assert seen > 90


UNITS = ("flops", "memory", "top1", "epoch_s", "ucf101", "hmdb51", "v1", "v2")


def test_tests_name_rows_that_exist():
    recipes = tomllib.loads((DATA / "recipes.toml").read_text("utf-8"))
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
        (
            "FULL\nvalue = { a = 'x' }",
            r"claim C1\.value\.a is 'x'; wanted a whole number or a finite number",
        ),
        ("FULL\ntitel = 'x'", r"unknown key claim C1\.titel; did you mean title"),
        ("FULL\nreason = 3", r"claim C1\.reason is 3; wanted a text"),
        (
            'FULL\nreason = "r"\n[[claims]]\nFULL\nreason = "r"',
            "claim C1 is in paper.toml more than once",
        ),
        ("FULL\nremark = 1", r"unknown key claim C1\.remark; .*there is id, title"),
        ('FULL\ntests = [{ kind = "smaller" }]', "a test of kind 'smaller', wanted one of greater"),
        ('FULL\ntests = [{ kind = "greater", a = "x" }]', r"test greater: has \['a'\], wanted"),
        ('FULL\ntests = [{ kind = "fact", margin = 1 }]', r"test fact: has \['margin'\]"),
        ("FULL", "C1: has neither tests nor the reason why it is not tested"),
        ('FULL\nreason = "r"\nevidence = "hearsay"', "evidence is 'hearsay'; wanted 'mathematics'"),
    ],
)
def test_malformed_claims_are_refused(tmp_path, text, message):
    words = ("title", "statement", "place", "setting", "quantity", "chapter")
    full = "\n".join(['id = "C1"', *(f'{word} = "x"' for word in words)])
    (tmp_path / "paper.toml").write_text("[[claims]]\n" + text.replace("FULL", full))
    with pytest.raises(ValueError, match=message):
        claims.load(tmp_path)


# ------------------------------------------------------------------------------------- the rule


def slow_bootstrap(difference, draws, rng):
    """In loops: draw seeds, draw clips, average the differences."""
    seeds, clips = difference.shape
    means = []
    for _ in range(draws):
        drawn_clips = rng.integers(clips, size=clips)
        rows = [difference[int(rng.integers(seeds))] for _ in range(seeds)]
        means.append(np.mean([row[i] for row in rows for i in drawn_clips]))
    return np.quantile(means, [0.025, 0.975])


def slow_two_way(difference):
    """Variance of the mean and its degrees of freedom, from sums of squares in loops."""
    seeds, clips = difference.shape
    mean = difference.mean()
    by_seed = [difference[s].mean() for s in range(seeds)]
    by_clip = [difference[:, c].mean() for c in range(clips)]
    of_seeds = clips * sum((x - mean) ** 2 for x in by_seed) / (seeds - 1)
    of_clips = seeds * sum((x - mean) ** 2 for x in by_clip) / (clips - 1)
    rest = sum(
        (difference[s, c] - by_seed[s] - by_clip[c] + mean) ** 2
        for s in range(seeds)
        for c in range(clips)
    ) / ((seeds - 1) * (clips - 1))
    of_seeds, of_clips = max(of_seeds, rest), max(of_clips, rest)
    total = of_seeds + of_clips - rest
    squares = of_seeds**2 / (seeds - 1) + of_clips**2 / (clips - 1)
    squares += rest**2 / ((seeds - 1) * (clips - 1))
    return total / (seeds * clips), max(total**2 / squares, min(seeds, clips) - 1)


def noise(rng, n, seeds, clips, of_seeds, of_clips, rest):
    """n tables of differences whose true mean is zero."""
    shapes = ((n, seeds, 1), (n, 1, clips), (n, seeds, clips))
    return sum(
        size * rng.standard_normal(shape)
        for size, shape in zip((of_seeds, of_clips, rest), shapes, strict=True)
    )


def test_bootstrap_against_loops():
    rng = np.random.default_rng(1)
    difference = 100.0 * (rng.random((4, 30)) < 0.9) - 100.0 * (rng.random((4, 30)) < 0.7)
    found = np.quantile(claims.bootstrap(difference, 20_000), [0.025, 0.975])
    # Both ends are quantiles of a sample; 3000 draws leave two steps of 0.8 points.
    assert found == pytest.approx(slow_bootstrap(difference, 3000, rng), abs=2.0)


def test_bootstrap_draws_clips_for_all_seeds_together():
    """What is hard for every seed does not average out: sd of the mean is that of one seed."""
    one = np.where(np.arange(100) < 20, 100.0, 0.0)
    drawn = claims.bootstrap(np.tile(one, (9, 1)), 20_000)
    assert drawn.std() == pytest.approx(100 * np.sqrt(0.2 * 0.8 / 100), rel=0.03)


def test_bootstrap_draws_seeds():
    """Seeds that differ and clips that do not: only the drawn seeds make the means."""
    assert set(claims.bootstrap(np.repeat([[0.0], [10.0]], 50, axis=1), 500)) == {0.0, 5.0, 10.0}


@pytest.mark.parametrize("sizes", [(3.0, 0.0, 5.0), (0.0, 4.0, 5.0), (0.0, 0.0, 5.0)])
def test_two_way_against_loops(sizes):
    table = noise(np.random.default_rng(2), 1, 4, 25, *sizes)[0]
    mean, se, df = claims.two_way(table)
    assert mean == pytest.approx(table.mean())
    assert (se**2, df) == pytest.approx(slow_two_way(table))


def test_two_way_by_hand():
    """Seeds +1 and -1 around the mean of each clip: the mean square of seeds is all there is."""
    table = np.array([[4.0, 6.0, 8.0, 10.0], [2.0, 4.0, 6.0, 8.0]])
    # of_seeds 4·2 = 8 on 1, of_clips 2·(9+1+1+9)/3 = 40/3 on 3, rest 0; together over 8 cells
    mean, se, df = claims.two_way(table)
    assert (mean, se**2) == pytest.approx((6.0, (8 + 40 / 3) / 8))
    assert df == pytest.approx((8 + 40 / 3) ** 2 / (8**2 + (40 / 3) ** 2 / 3))
    of_seeds, of_clips, rest = claims.components(table)
    assert (of_seeds, of_clips, rest) == pytest.approx((8 / 4, 40 / 3 / 2, 0), abs=1e-12)


def test_one_seed_has_the_interval_of_its_clips_and_one_clip_that_of_its_seeds():
    x = np.array([1.0, 2.0, 4.0, 9.0])
    half = 3.182446 * x.std(ddof=1) / 2  # Student's t of three degrees of freedom
    for table in (x[None], x[:, None]):
        found = claims.paired_difference(table, np.zeros_like(table))
        assert (found.low, found.high) == pytest.approx(
            (x.mean() - half, x.mean() + half), rel=1e-5
        )
    assert claims.paired_difference(x[None], 0 * x[None]).seeds == 1
    one = claims.paired_difference(np.ones((1, 1)), np.zeros((1, 1)))
    assert (one.low, one.high) == (-np.inf, np.inf)
    assert str(one) == "+1.00 [one number, no interval]"
    assert claims.decide("greater", one, exempt=True).word == UNDECIDED


def test_the_wider_of_the_two_intervals_is_taken():
    rng = np.random.default_rng(3)
    for sizes, bootstrapped in (((9.0, 1.0, 5.0), False), ((0.0, 0.0, 30.0), True)):
        table = noise(rng, 1, 5, 400, *sizes)[0]
        found = claims.paired_difference(table, np.zeros_like(table))
        _, se, df = claims.two_way(table)
        other = Difference(float(table.mean()), float(se), float(df))
        drawn = np.quantile(claims.bootstrap(table), [0.025, 0.975])
        assert (found.draws is not None) is bootstrapped
        assert found.high - found.low == pytest.approx(
            max(other.high - other.low, drawn[1] - drawn[0])
        )


def test_difference_of_gains_adds_what_is_unsure():
    """Other clips, and as many as there are: the two gains are independent."""
    rng = np.random.default_rng(3)
    first = tuple(100.0 * (rng.random((3, 40)) < share) for share in (0.9, 0.5))
    second = tuple(100.0 * (rng.random((5, 25)) < share) for share in (0.8, 0.7))
    found = claims.difference_of_gains(first, second)
    gains = [(a - b).mean() for a, b in (first, second)]
    assert found.mean == pytest.approx(gains[0] - gains[1])
    assert (found.seeds, found.clips) == (3, 25)
    variances = [claims.two_way(a - b)[1] ** 2 for a, b in (first, second)]
    assert found.se**2 == pytest.approx(sum(variances))


def test_identical_predictions_give_an_empty_interval():
    a = np.random.default_rng(0).random((5, 40))
    found = claims.paired_difference(a, a)
    assert (found.mean, found.low, found.high) == (0.0, 0.0, 0.0)
    assert claims.decide("greater", found, 0.5).word == NO_DIFFERENCE
    assert claims.decide("greater", found).word == UNDECIDED  # nothing matters, so nothing is said
    for order in ("equal", "no_better", "at_least"):
        assert claims.decide(order, found, 0.5).word == SUPPORTED


def test_bootstrap_is_repeatable_and_turns_its_sign():
    rng = np.random.default_rng(2)
    a, b = rng.random((5, 60)), rng.random((5, 60))
    found, turned = claims.paired_difference(a, b), claims.paired_difference(b, a)
    assert found == claims.paired_difference(a, b)
    assert (turned.mean, turned.low, turned.high) == pytest.approx(
        (-found.mean, -found.high, -found.low)
    )


@pytest.mark.parametrize("shapes", [((2, 3), (2, 4)), ((3,), (3,)), ((0, 3), (0, 3))])
def test_what_is_not_paired_is_refused(shapes):
    with pytest.raises(ValueError, match=r"wanted \(seeds, clips\), the same for both"):
        claims.paired_difference(*(np.zeros(shape) for shape in shapes))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_clips_without_a_score_are_refused(value):
    a, b = np.zeros((2, 5, 6))
    a[1, 2] = value
    with pytest.raises(ValueError, match="leave a clip without a score out, of both and of all"):
        claims.paired_difference(a, b)


def known(low, high, seeds=5):
    """A difference with this 95 % interval, so sure of its width that it is that of a normal."""
    return Difference((low + high) / 2, (high - low) / 2 / 1.959964, seeds=seeds)


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((0.73, 2.87), "+1.80 [+0.73, +2.87]"),
        ((0.07, 0.33), "+0.20 [+0.07, +0.33]"),
        ((-0.56, -0.44), "-0.50 [-0.56, -0.44]"),  # two digits of a width of 0.12
        ((0.81, 0.85), "+0.830 [+0.810, +0.850]"),
        ((0.0121, 0.0125), "+0.01230 [+0.01210, +0.01250]"),
        ((-1e-7, 3e-7), "+0.000000 [-0.000000, +0.000000]"),  # six decimals at most
        ((90.0, 90.0), "+90.00 [+90.00, +90.00]"),
        ((0.25, 0.25), "+0.2500 [+0.2500, +0.2500]"),  # no width: four digits of the mean
        ((0.0, 0.0), "+0.00 [+0.00, +0.00]"),
    ],
)
def test_decimals_follow_the_width_of_the_interval(numbers, text):
    assert str(known(*numbers)) == text
    assert known(*numbers).text() == text.replace("+", "")


@pytest.mark.parametrize(
    ("order", "low", "high", "word"),
    [  # δ is 1; the 90 % interval is 0.84 of the other's width
        ("greater", 1.5, 5.0, SUPPORTED),
        ("greater", 0.1, 0.9, "supported (below δ)"),
        ("greater", 0.1, 1.05, "supported (below δ)"),  # 90 %: up to 0.97
        ("greater", -0.01, 5.0, UNDECIDED),
        ("greater", -1.0, 5.0, UNDECIDED),
        ("greater", -1.0, 1.0, NO_DIFFERENCE),
        ("greater", -1.1, 1.1, NO_DIFFERENCE),  # 90 %: ±0.92
        ("greater", -1.3, 1.3, UNDECIDED),
        ("greater", -0.9, -0.1, "contradicted (below δ)"),
        ("greater", -5.0, -1.5, CONTRADICTED),
        ("no_better", -0.5, 0.9, SUPPORTED),
        ("no_better", -9.0, -8.0, SUPPORTED),
        ("no_better", -0.5, 1.1, UNDECIDED),
        ("no_better", 1.1, 4.0, CONTRADICTED),
        ("at_least", -0.9, 0.5, SUPPORTED),
        ("at_least", 8.0, 9.0, SUPPORTED),
        ("at_least", -1.1, 0.5, UNDECIDED),
        ("at_least", -4.0, -1.1, CONTRADICTED),
        ("equal", -1.0, 1.0, SUPPORTED),
        ("equal", -1.1, 1.1, SUPPORTED),
        ("equal", -1.3, 1.3, UNDECIDED),
        ("equal", 0.5, 2.0, UNDECIDED),
        ("equal", 1.1, 2.0, CONTRADICTED),
        ("equal", -2.0, -1.1, CONTRADICTED),
    ],
)
def test_decide(order, low, high, word):
    assert str(claims.decide(order, known(low, high), 1.0)) == word
    assert claims.decide(order, known(low, high, seeds=4), 1.0).word == UNDECIDED
    assert str(claims.decide(order, known(low, high, seeds=1), 1.0, exempt=True)) == word


@settings(deadline=None)
@given(low=st.floats(-5, 5), width=st.floats(0.01, 5), delta=st.floats(0, 3), turn=st.booleans())
def test_the_rule_is_symmetric(low, width, delta, turn):
    """a > b is supported exactly when b > a is contradicted; "no better" mirrors "at least"."""
    found, mirrored = known(low, low + width), known(-low - width, -low)
    swap = {SUPPORTED: CONTRADICTED, CONTRADICTED: SUPPORTED}
    words = [claims.decide("greater", d, delta).word for d in (found, mirrored)]
    assert words[1] == swap.get(words[0], words[0])
    pairs = (("no_better", "at_least"), ("equal", "equal"))[turn]
    words = [
        claims.decide(order, d, delta).word
        for order, d in zip(pairs, (found, mirrored), strict=True)
    ]
    assert words[0] == words[1]


def test_what_cannot_be_decided_is_refused():
    with pytest.raises(ValueError, match="wanted one of greater, no_better, at_least, equal"):
        claims.decide("smaller", known(0, 1))
    with pytest.raises(ValueError, match=r"δ is -1\.0, wanted 0 or more"):
        claims.decide("equal", known(0, 1), -1.0)


def slow_holm(p, level):
    """Holm's step-down method on p-values."""
    rejected = [False] * len(p)
    for place, i in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        if p[i] > level / (len(p) - place):
            break
        rejected[i] = True
    return rejected


@settings(deadline=None)
@given(st.lists(st.floats(-4, 4), min_size=1, max_size=6))
def test_parts_are_corrected_for_their_number_in_both_directions(means):
    from scipy.stats import norm

    parts = [claims.Comparison("greater", Difference(m, 1.0, seeds=5), 0.0) for m in means]
    found = [decision.word for decision in claims.decide_all(parts)]
    assert [w == SUPPORTED for w in found] == slow_holm([norm.sf(m) for m in means], 0.025)
    assert [w == CONTRADICTED for w in found] == slow_holm([norm.cdf(m) for m in means], 0.025)


def test_the_level_that_decided_is_that_of_the_step():
    sure, less = (claims.Comparison("greater", Difference(m, 1.0, seeds=5)) for m in (9.0, 2.1))
    found = claims.decide_all([less, sure])
    assert [decision.word for decision in found] == [SUPPORTED, SUPPORTED]
    assert [decision.level for decision in found] == pytest.approx([0.95, 0.975])
    found = claims.decide_all([less, less])  # 2.1 is not enough for a half of the level
    assert [decision.word for decision in found] == [UNDECIDED, UNDECIDED]


# -------------------------------------------------------------- the rule, tried by simulation

SIZES = [  # variances of seeds, of clips and the rest, in points: near a ceiling, and with room
    (5, 600, (0.3, 5.0, 10.0)),
    (5, 600, (1.5, 10.0, 30.0)),
    (5, 4000, (0.5, 4.0, 10.0)),
    (5, 4000, (1.5, 10.0, 30.0)),
]


@pytest.mark.parametrize(("seeds", "clips", "sizes"), SIZES)
def test_when_all_rows_are_equal_few_parts_get_a_direction(seeds, clips, sizes):
    """A chain of three neighbours whose rows are equal: per part, at most 5 % each way."""
    rng, n = np.random.default_rng(4), 240
    tables = noise(rng, 2 * n, seeds, clips, *sizes)
    found = claims.differences(tables, draws=600)
    inside = np.mean([d.low <= 0 <= d.high for d in found])
    assert inside >= 0.94 - 2 * np.sqrt(0.05 * 0.95 / (2 * n))
    words = []
    for pair in zip(found[:n], found[n:], strict=True):
        parts = [claims.Comparison("greater", d, 0.2) for d in pair]
        words += [decision.word for decision in claims.decide_all(parts)]
    for word in (SUPPORTED, CONTRADICTED):
        assert words.count(word) <= 0.05 * len(words)


@pytest.mark.parametrize(("seeds", "clips", "sizes"), SIZES)
def test_what_is_announced_as_decidable_is_decided(seeds, clips, sizes):
    rng, n = np.random.default_rng(5), 240
    expected = claims.Variances(*(size**2 for size in sizes), error=20.0)
    found = claims.differences(noise(rng, n, seeds, clips, *sizes), draws=600)
    doubt = 2 * np.sqrt(0.8 * 0.2 / n)
    effect = expected.detectable("greater", seeds, clips, 2)
    supported = [
        claims.decide_all(
            [claims.Comparison("greater", x) for x in (d.plus(effect), d)]  # one of two is true
        )[0].word
        for d in found
    ]
    assert supported.count(SUPPORTED) / n >= 0.8 - doubt
    for order in ("equal", "no_better", "at_least"):
        delta = expected.detectable(order, seeds, clips)
        words = [claims.decide(order, d, delta).word for d in found]
        assert words.count(SUPPORTED) / n >= 0.8 - doubt
        assert words.count(CONTRADICTED) == 0
    half = np.mean([d.high - d.low for d in found]) / 2
    assert half == pytest.approx(expected.half_width(seeds, clips), rel=0.06)


def test_coverage_of_the_two_way_interval_is_at_least_94_percent():
    """By mean squares drawn in place of tables, over shares of the seeds in what is unsure."""
    from scipy.stats import t

    from lab.claims.intervals import of_mean_squares

    rng, n, seeds, clips = np.random.default_rng(6), 40_000, 5, 600
    free = np.array([seeds - 1, clips - 1, (seeds - 1) * (clips - 1)])
    for share in (0.1, 0.5, 0.75, 0.9):
        for of_clips in (0.0, 0.5, 0.9):
            a, b = share * seeds, (1 - share) * of_clips * clips
            rest = (1 - share) * (1 - of_clips) * seeds * clips
            sizes = np.array([clips * a, seeds * b, 0.0]) + rest
            squares = sizes[:, None] * rng.chisquare(free[:, None], (3, n)) / free[:, None]
            se, df = of_mean_squares(*squares, seeds, clips)
            inside = np.abs(rng.standard_normal(n)) <= t.ppf(0.975, df) * se
            assert inside.mean() >= 0.94 - 2 * np.sqrt(0.05 * 0.95 / n)


# --------------------------------------------------------------------------- which rows can be seen


def pilot(folder, seeds=4, clips=300, experiment="table1"):
    """Two rows without clusters, of about 70 and 80 %, whose mistakes are partly the same."""
    rng, target = np.random.default_rng(0), np.arange(clips, dtype="uint8") % 4
    hard = rng.random(clips)
    for row, share in (("tsm-8", 0.7), ("tsm-32", 0.8)):
        for seed in range(seeds):
            wrong = 0.5 * hard + 0.5 * rng.random(clips) > share
            arrays = {"target": target, "clustered_prediction": np.where(wrong, 9, target)}
            write_record(folder, experiment, row, seed, arrays)


def test_variances_of_a_pilot_are_those_of_its_pairs(folder):
    pilot(folder)
    found = claims.variances(folder, "table1")
    rows = [
        np.array([*claims.right(records.select(folder / "records", "table1", row=row)).values()])
        for row in ("tsm-8", "tsm-32")
    ]
    pairs = [(2 * a, 0.0, 2 * r) for a, _, r in map(claims.components, rows)]
    pairs.append(claims.components(rows[0] - rows[1]))
    assert (found.of_seeds, found.of_clips, found.rest) == pytest.approx(np.mean(pairs, axis=0))
    assert found.error == pytest.approx(100 - rows[0].mean())


def test_more_clips_and_more_seeds_see_more(folder):
    pilot(folder)
    known = claims.variances(folder, "table1")
    seen = [known.detectable("greater", *size) for size in ((5, 600), (5, 4000), (15, 4000))]
    assert seen == sorted(seen, reverse=True)
    assert known.detectable("greater", 5, 600, 6) > seen[0]  # six parts share the level
    with pytest.raises(ValueError, match="1 seeds and 600 clips: wanted two or more"):
        known.detectable("greater", 1, 600)


def test_power_says_what_is_decidable(folder):
    pilot(folder)
    found = {(s.claim, s.name): s for s in claims.power(folder, clips=4000)}
    error = claims.variances(folder, "table1").error
    best = found["C15", "tsm-32 − tsm-16"]
    # printed: 98.83 and 93.78, beside 90.13 for the pilot row
    assert best.effect == pytest.approx(error * (98.83 - 93.78) / (100 - 90.13))
    assert best.delta == pytest.approx(best.effect / 2)  # more than a tenth of 6.22
    close = found["C17", "cumulative-8 − slope-8"]  # 0.75 of 6.67: half is less than a tenth
    assert close.delta == pytest.approx(0.1 * error * 6.67 / 9.87)
    assert found["C20", "uniform-8 − tsm-8"].effect is None
    text = claims.table_of_power([best, close])
    assert ("descriptive" in text) == (not (best.decidable and close.decidable))
    sure = claims.Sight("C0", "a − b", detectable=1.0, delta=2.0, effect=1.5)
    assert sure.decidable
    assert not claims.Sight("C0", "a − b", detectable=1.0, delta=2.0, effect=0.9).decidable


def test_power_without_a_pilot(folder):
    with pytest.raises(ValueError, match="no pilot: table1 has no two seeds of tsm-8 or tsm-32"):
        claims.power(folder)


# ------------------------------------------------------------------------------------- verdicts


def write_run(folder, row, seed, wrong, *, sampled=None, target=TARGET, **of_record):
    """A record of Table 1 whose first `wrong` test clips are wrong; `sampled` of the other kind."""
    arrays = {"target": target}
    for name, count in (("clustered", wrong), ("sampled", wrong if sampled is None else sampled)):
        arrays[f"{name}_prediction"] = np.where(np.arange(200) < count, (target + 1) % 4, target)
    experiment = of_record.pop("experiment", "table1")
    write_record(folder, experiment, row, seed, arrays, **of_record)


def write_record(
    folder,
    experiment,
    row,
    seed,
    arrays,
    results=None,
    *,
    scale="small",
    version=1,
    data="real",
    clips=200,
):
    protocols = [name for name in ("clustered", "sampled") if f"{name}_prediction" in arrays]
    measured = {}
    for name in protocols:
        hits = arrays[f"{name}_prediction"] == arrays["target"]
        share = {"top1": round(100 * float(hits.mean()), 2)}
        measured[name] = {"correct": int(hits.sum()), "total": hits.size, **share}
    record = {
        "schema": 1,
        "experiment": experiment,
        "version": version,
        "row": row,
        "seed": seed,
        "parameters": {"scale": scale, "data": data},
        "data": {"name": "Move4MNIST", "sha256": {}, "counts": {"test": clips}},
        "protocol": {name: {} for name in protocols},
        "results": results or measured or {"count": 1},
        "cost": {"wall_s": 1, "peak_mem_mb": None, "params": None, "macs": None},
        "machine": {"cpu": "a cpu", "threads": 1, "torch": "2.11", "device": "cpu"},
        "code": {"commit": None, "dirty": None},
        "made": "2026-01-02T03:04:05+00:00",
        "checksum": None,
    }
    records.write(record, arrays, folder / "records")


@pytest.fixture
def folder(tmp_path):
    """The claims with no other records, each tested at one point, on single classes."""
    lines = (DATA / "paper.toml").read_text("utf-8").splitlines(keepends=True)
    text = "".join(line for line in lines if ', at = "360' not in line)
    text = text.replace(', alike = 2, at = "both events in any order"', "")
    (tmp_path / "paper.toml").write_text(text, "utf-8")
    return tmp_path


def claim_of(folder, name):
    return next(claim for claim in claims.load(folder) if claim.id == name)


def verdict(folder, name, **options):
    return claims.judge(claim_of(folder, name), folder, **options)


MORE_FRAMES, UNIFORM_NO_BETTER, PRINTED = "C15", "C20", "C23"


@pytest.mark.parametrize(
    ("seeds", "wrong", "words"),
    [  # clips that tsm-8, tsm-16 and tsm-32 get wrong, of 200
        (5, (60, 30, 2), (SUPPORTED, SUPPORTED)),
        (4, (60, 30, 2), (UNDECIDED, UNDECIDED)),
        (5, (31, 30, 2), (SUPPORTED, NO_DIFFERENCE)),
        (5, (2, 30, 60), (CONTRADICTED, CONTRADICTED)),
        (5, (60, 2, 30), (CONTRADICTED, SUPPORTED)),  # not collapsed to the worst
    ],
)
def test_each_comparison_has_its_word(folder, seeds, wrong, words):
    for seed in range(seeds):
        for row, count in zip(("tsm-8", "tsm-16", "tsm-32"), wrong, strict=True):
            write_run(folder, row, seed, count)
    found = verdict(folder, MORE_FRAMES)
    assert found.words == words
    first = found.parts[0]
    assert (first.name, first.seeds, first.clips) == ("tsm-32 − tsm-16", seeds, 200)
    assert first.evidence == "trained on Move4MNIST"
    assert first.measured.startswith(f"{(wrong[1] - wrong[2]) / 2:+.2f} [")
    if seeds < 5:
        assert str(first).startswith("undecided: 4 seeds of 5, could see ")


def test_delta_is_half_of_the_printed_share_and_at_least_a_tenth(folder):
    wrong = {"cumulative-8": 50, "slope-8": 60, "uniform-8": 70, "tsm-8": 40, "tsm-16": 20}
    for seed in range(5):
        for row, count in wrong.items():
            write_run(folder, row, seed, count)
    cumulative, slope = verdict(folder, "C17").parts
    assert cumulative.delta == "3.00 (10 %)"  # 0.75 of 6.67 printed: 5.6 %; of 30 % here
    share = (93.33 - 90.25) / (100 - 90.25) / 2
    assert slope.delta == f"{share * 35:.2f} ({100 * share:.0f} %)"
    assert verdict(folder, UNIFORM_NO_BETTER).parts[0].delta == "2.00 (10 %)"


def test_classes_may_count_as_one(folder):
    """On mini Breakfast both events in any order are right: classes 2k and 2k + 1."""
    claim = next(claim for claim in claims.load(DATA) if claim.id == "C35")
    for row, swapped in (("tsm-16", 0), ("cumulative-16", 150), ("slope-16", 0)):
        for seed in range(5):
            answer = np.where(np.arange(200) < swapped, TARGET ^ 1, TARGET)  # the other order
            answer[180 + seed :] = (TARGET[180 + seed :] + 2) % 4  # other events
            arrays = {"target": TARGET, "clustered_prediction": answer}
            write_record(folder, "table3", row, seed, arrays)
    evidence = Evidence(claim, claim.tests[0], folder / "records", "small", "real", "clustered")
    for draft in evidence.drafts():
        assert draft.comparison.difference.mean == 0
        assert draft.name.endswith(", both events in any order")


def test_a_claim_may_be_tested_at_two_points(folder):
    """Each point has its parts, by the same printed numbers, and Holm's rule counts them all."""
    (folder / "paper.toml").write_text((DATA / "paper.toml").read_text("utf-8"), "utf-8")
    for seed in range(5):
        for experiment, wrong in (("table1", (40, 44)), ("table1_360", (44, 40))):
            for row, count in zip(("tsm-32", "tsm-16"), wrong, strict=True):
                write_run(folder, row, seed, count, experiment=experiment)
    found = verdict(folder, MORE_FRAMES)
    names = [part.name for part in found.parts]
    assert names == [
        "tsm-32 − tsm-16",
        "tsm-16 − tsm-8",
        "tsm-32 − tsm-16, 360 clips",
        "tsm-16 − tsm-8, 360 clips",
    ]
    assert [part.delta for part in found.parts[::2]] == ["8.93 (41 %)", "8.12 (41 %)"]
    assert found.parts[0].measured.startswith("+2.00")
    assert found.parts[2].measured.startswith("-2.00")


def test_only_seeds_of_both_rows_count(folder):
    for seed in range(6):
        write_run(folder, "uniform-8", seed, 20)
        if seed > 2:
            write_run(folder, "tsm-8", seed, 20)
    (part,) = verdict(folder, UNIFORM_NO_BETTER).parts
    assert (part.word, part.seeds) == (UNDECIDED, 3)
    for seed in range(3):
        write_run(folder, "tsm-8", seed, 20)
    assert verdict(folder, UNIFORM_NO_BETTER).words == (SUPPORTED,)


def test_both_protocols_are_judged_and_stand_side_by_side(folder):
    for seed in range(5):
        write_run(folder, "uniform-8", seed, 10, sampled=60)
        write_run(folder, "tsm-8", seed, 50)
    found = verdict(folder, UNIFORM_NO_BETTER)
    assert (found.words, found.released[0].word) == ((CONTRADICTED,), SUPPORTED)
    rows = claims.table("05_more_frames", folder).replace("\u00a0", " ").splitlines()
    here, extent = (row for row in rows if row.startswith("| C20 |"))
    assert here.startswith(f"| C20 | {found.claim.title} | +20.00 [")
    assert here.endswith("] | **contradicted** | supported |")
    assert extent.startswith(
        "| C20 | `uniform-8` − `tsm-8` | 2.50 (10 %) | 5 × 200, small, real | – |"
    )
    assert "| -5.00 [" in extent
    assert extent.endswith("], supported |")
    assert "C20, Section 4.1, Table 1: the paper has uniform-8 90.25, tsm-8 90.13 %." in "".join(
        rows
    )


def test_no_record(folder):
    write_run(folder, "tsm-32", 0, 2)
    found = verdict(folder, MORE_FRAMES)
    assert found.words == (NOT_TESTED, NOT_TESTED)
    command = "python -m lab train table1 --row tsm-16 --scale small --data real --seed 0"
    assert found.parts[0].reason == f"no record table1/small-real-tsm-16; `{command}`"
    write_run(folder, "tsm-16", 1, 2)
    write_run(folder, "tsm-8", 1, 2)
    first, second = verdict(folder, MORE_FRAMES).parts
    assert first.reason == "tsm-32 and tsm-16 have no seed in common"
    assert second.word == UNDECIDED  # what is there is judged


def test_records_that_do_not_belong_together(folder):
    write_run(folder, "tsm-8", 0, 2)
    write_run(folder, "uniform-8", 0, 2, version=2)
    assert "versions [1, 2]" in verdict(folder, UNIFORM_NO_BETTER).parts[0].reason
    write_run(folder, "uniform-8", 0, 2, target=TARGET[::-1].copy())
    with pytest.raises(ValueError, match="not tested on the same clips"):
        verdict(folder, UNIFORM_NO_BETTER)


def test_only_paper_scale_speaks_of_the_printed_number(folder):
    table = claims.paper_table(folder, "table1")
    for seed in range(5):
        for row in table:
            write_run(folder, row, seed, round((100 - table[row]["top1"]) * 2), scale="paper")
    assert "only scale paper speaks" in verdict(folder, PRINTED).parts[0].reason
    found = verdict(folder, PRINTED, scale="paper")
    assert found.parts[0].measured.startswith("-0.13 [")  # 90.0 beside 90.13
    assert found.parts[0].delta == "0.99 (10 %)"
    for seed in range(5):
        write_run(folder, "tsm-8", seed, 100, scale="paper")
    assert verdict(folder, PRINTED, scale="paper").words[0] == CONTRADICTED


def test_multiply_adds_from_a_chapter(folder):
    printed = claims.paper_table(folder, "table1")
    near = {row: entry["flops"] * 0.995 for row, entry in printed.items()}
    found = verdict(folder, "C9", facts={"C9": near})
    assert found.words == (SUPPORTED,) * 9
    first = found.parts[0]
    assert (first.seeds, first.scale, first.evidence) == (None, "paper", "counted code")
    assert first.measured == "14.49 (-0.5 %), printed 14.56"
    far = {**near, "slope-16": 38.51 * 1.02}
    assert verdict(folder, "C9", facts={"C9": far}).words.count(CONTRADICTED) == 1
    assert verdict(folder, "C9").parts[0].reason.startswith("no record cost/paper-embedded-tsm-8;")
    with pytest.raises(ValueError, match="C9: nothing given for uniform-8, only for"):
        verdict(folder, "C9", facts={"C9": {"tsm-8": 14.56, "tsm-16": 29.12, "tsm-32": 58.24}})


def test_the_share_of_frames_is_judged_for_the_text_and_for_the_released_code(folder):
    shares = {"clustered": 100.0, "sampled": 80.78}
    results = {name: {"frames_with_gradient": share} for name, share in shares.items()}
    write_record(folder, "facts", "all", 0, {}, results, data="embedded")
    found = verdict(folder, "C44")
    assert (found.words, found.released[0].word) == ((SUPPORTED,), CONTRADICTED)
    assert found.parts[0].measured == "100 (+0.0 %), printed 100"
    text = claims.table("12_released_code", folder).replace("\u00a0", " ")
    assert "| 100 (+0.0 %), printed 100 | **supported** | contradicted |" in text
    assert "| – | small | – | 80.78 (-19.2 %), printed 100, contradicted |" in text


def test_memory_counted_is_not_the_runtime_memory_of_a_gpu(folder):
    measured = {"tsm-32": 4.0, "cumulative-8": 3.0, "cumulative-16": 2.0}
    facts = {"C11": measured, "C12": measured}
    assert verdict(folder, "C11", facts=facts).words == (SUPPORTED, SUPPORTED)
    first, second = verdict(folder, "C12", facts=facts).parts  # 0.75 for a printed 0.495
    assert (first.word, first.found, first.evidence) == (NOT_TESTED, CONTRADICTED, NOT_TESTED)
    assert first.reason.startswith("bytes that are kept for the backward pass, counted on a CPU")
    assert str(first) == "not tested; beside: contradicted"
    assert second.measured == "0.5 (-12.0 %), printed 0.568"
    measured["cumulative-8"] = 5.0
    assert verdict(folder, "C11", facts=facts).words == (CONTRADICTED, SUPPORTED)


def test_scores_from_a_chapter(folder):
    better = {"cumulative": np.full((5, 20), 90.0), "slope": np.full((5, 20), 80.0)}
    (part,) = verdict(folder, "C8", data="embedded", facts={"C8": better}).parts
    assert (part.word, part.seeds, part.data) == (SUPPORTED, 5, "embedded")
    assert part.measured == "+10.00 [+10.00, +10.00] points"
    assert part.delta == "2.00 (10 %)"  # of what slope lacks to the best, which is 100
    once = {key: value[0] for key, value in better.items()}
    (part,) = verdict(folder, "C8", facts={"C8": once}).parts
    assert str(part).startswith("undecided: 1 seed of 5, could see ")


# ------------------------------------------------------------------ what stands for a benchmark


def test_the_word_of_a_stand_in_is_that_of_the_mechanism(folder):
    """Breakfast itself has no record: not tested. Once it has, the word is the claim's."""
    for data, scale in (("embedded", "small"), ("real", "paper")):
        for seed in range(5):
            for row, wrong in (("cumulative-8", 10), ("tsm-8", 60)):
                arrays = {"target": TARGET, "clustered_prediction": TARGET.copy()}
                arrays["clustered_prediction"][:wrong] = 9
                arrays["sampled_prediction"] = arrays["clustered_prediction"]
                place = {"scale": scale, "data": data}
                write_record(folder, "table2", row, seed, arrays, **place)
        part = verdict(folder, "C30").parts[0]
        if data == "embedded":
            assert (part.word, part.found, part.evidence) == (NOT_TESTED, SUPPORTED, MECHANISM)
            assert str(part) == "not tested; mechanism: supported"
            assert part.reason == (
                "a small made-up set stands for Breakfast; `python -m lab train table2 --row ROW "
                "--scale paper --data real --seed 0`, five seeds a row"
            )
            assert claims.count(claims.judge_all(folder))[MECHANISM, SUPPORTED] == 1
        else:
            assert (part.word, part.evidence, part.scale) == (SUPPORTED, "real video", "paper")


def test_every_benchmark_claim_names_what_stands_for_it(folder):
    for claim in claims.load(folder):
        for test in claim.tests:
            table = test.get("experiment") in ("table2", "table3", "table4", "table5")
            assert ("stand_in" in test) == (
                (table and test["kind"] != "number") or test.get("experiment") == "epoch_time"
            )


# ------------------------------------------------------- quantities other than the accuracy


def judged(folder, unit="", evidence="trained on Move4MNIST", **test):
    """The verdict on a claim that has this one test."""
    claim = claim_of(folder, "C8")
    changes = {"tests": (test,), "unit": unit, "evidence": evidence}
    return claims.judge(claims.Claim(**{**vars(claim), **changes}), folder)


def write_scores(folder, seeds=5, row="tsm-32", target=TARGET, **scores):
    """Records of "gradients" with arrays of 200 scores: a number for all, or one for each clip."""
    for seed in range(seeds):
        arrays = {name: np.broadcast_to(value, 200) + 0.0 for name, value in scores.items()}
        write_record(folder, "gradients", row, seed, {"target": target, **arrays})


@pytest.mark.parametrize(
    ("more", "word"), [(40, SUPPORTED), (4, UNDECIDED), (2, NO_DIFFERENCE), (-40, CONTRADICTED)]
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
            arrays["sampled_prediction"] = arrays["clustered_prediction"]
            write_record(folder, "table5", row, seed, arrays)
    test = {"a": ["cumulative-16", "tsm-16"], "b": ["v2-cumulative-16", "v2-tsm-16"]}
    delta = 2.5 if word == NO_DIFFERENCE else 1.0
    found = judged(folder, kind="gain", experiment="table1", other="table5", delta=delta, **test)
    (part,) = found.parts
    assert part.word == word
    assert part.name == "(cumulative-16 − tsm-16) − (v2-cumulative-16 − v2-tsm-16)"
    assert part.measured.startswith(f"{(more - 2) / 2:+.2f} [")


ONE_ROW = {"experiment": "gradients", "row": "tsm-32", "array": "error_{part}"}
CHAIN = {"kind": "chain", "rows": ["uniform", "slope", "cumulative"], **ONE_ROW}


@pytest.mark.parametrize(
    ("seeds", "slope", "words"),
    [
        (5, 2.0, (SUPPORTED, SUPPORTED)),
        (4, 2.0, (UNDECIDED, UNDECIDED)),
        (5, 3.5, (CONTRADICTED, SUPPORTED)),
        (5, 3.0, (NO_DIFFERENCE, SUPPORTED)),
        (5, 2.9, ("supported (below δ)", SUPPORTED)),
    ],
)
def test_methods_side_by_side_in_one_record(folder, seeds, slope, words):
    write_scores(folder, seeds, error_uniform=3, error_slope=slope, error_cumulative=1)
    write_scores(folder, seeds, row="tsm-8", error_uniform=0)  # other rows are not looked at
    parts = judged(folder, unit="%", **CHAIN).parts
    assert tuple(str(p).split(": ")[0] for p in parts) == words
    assert [p.name for p in parts] == ["uniform − slope", "slope − cumulative"]
    assert parts[0].measured.startswith(f"{3 - slope:+.2f}")
    assert parts[0].delta == f"{slope / 10:.2f} (10 %)"


def test_ratios_are_compared_by_their_logarithms(folder):
    """A mean of ratios is that of a few clips; the mean of logarithms is not."""
    usual, rare = np.full(200, 2.0), np.arange(200) < 4
    write_scores(folder, error_x=np.where(rare, 1e-3, usual), error_y=np.where(rare, 60_000.0, 1.0))
    test = {"kind": "greater", "a": "x", "b": "y", **ONE_ROW}
    assert judged(folder, **test).parts[0].measured.startswith("-1199")
    (part,) = judged(folder, log=True, **test).parts
    ratio = np.exp(0.98 * np.log(2) + 0.02 * np.log(1e-3 / 60_000))
    assert part.measured.startswith(f"{ratio:.3f} [")
    assert part.measured.endswith("times")
    assert part.delta == "1.10 times"
    write_scores(folder, error_x=np.where(rare, 0.0, 2.0), error_y=1.0)
    (part,) = judged(folder, log=True, **test).parts
    assert part.measured == "2.000 [2.000, 2.000] times (4 of 200 clips left out)"
    assert part.word == SUPPORTED


def test_one_record_is_paired_clip_by_clip(folder):
    hard = np.linspace(0, 100, 200)  # differences between clips are large, between methods small
    write_scores(folder, error_x=hard + 0.5, error_y=hard)
    (part,) = judged(folder, kind="greater", a="x", b="y", unit="%", **ONE_ROW).parts
    assert str(part) == "supported (below δ)"
    assert part.measured == "+0.5000 [+0.5000, +0.5000] points"


def test_parts_that_are_not_recorded(folder):
    reasons = [part.reason for part in judged(folder, **CHAIN).parts]
    assert all(reason.startswith("no record gradients/small-real-tsm-32;") for reason in reasons)
    write_scores(folder, error_uniform=3, error_slope=2)
    first, second = judged(folder, **CHAIN).parts
    assert first.word == SUPPORTED
    assert second.reason == "gradients/small-real-tsm-32-s0 has no error_cumulative"


@pytest.mark.parametrize(
    ("kind", "a", "word", "thresholds"),
    [
        ("greater", 0.8, SUPPORTED, "for every threshold below 0.8"),
        ("greater", 0.2, CONTRADICTED, "for every threshold above 0.2"),
        ("no_better", 0.2, SUPPORTED, "for every threshold above 0.2"),
        ("no_better", 0.8, CONTRADICTED, "for every threshold below 0.8"),
        ("at_least", 0.8, SUPPORTED, "for every threshold below 0.8"),
    ],
)
def test_a_threshold_stands_beside_those_that_give_the_same_word(folder, kind, a, word, thresholds):
    write_scores(folder, error_euclidean=a)
    (part,) = judged(folder, kind=kind, a="euclidean", b=0.5, **ONE_ROW).parts
    assert str(part) == f"{word}: {thresholds}"
    assert (part.name, part.delta) == ("euclidean against 0.5", "–")
    assert part.measured == f"{a:.4f} [{a:.4f}, {a:.4f}]"


def test_an_undecided_threshold_and_one_that_needs_no_seeds(folder):
    scores = np.where(np.arange(200) < 100, 1.0, 0.0)
    write_scores(folder, error_x=scores)
    (part,) = judged(folder, kind="greater", a="x", b=0.5, **ONE_ROW).parts
    low, high = map(float, re.findall(r"from (\S+) to (\S+)", str(part))[0])
    assert (part.word, low, high) == (
        UNDECIDED,
        pytest.approx(0.43, abs=0.02),
        pytest.approx(1 - low),
    )
    write_scores(folder, 1, row="tsm-8", error_x=0.8)
    test = {"kind": "greater", "a": "x", "b": 0.5, **ONE_ROW, "row": "tsm-8"}
    assert judged(folder, **test).words == (UNDECIDED,)
    assert judged(folder, evidence="counted code", **test).words == (SUPPORTED,)


def test_the_interval_beside_a_fixed_number_is_that_of_the_mean(folder):
    scores = np.where(np.arange(200) < 160, 1.0, 0.0)
    write_scores(folder, rank=scores)
    test = {"kind": "greater", "a": ["tsm-32"], "b": 0.5, "experiment": "gradients"}
    (part,) = judged(folder, array="rank", **test).parts
    mean, low, high = map(float, re.findall(r"\d\.\d+", part.measured)[:3])
    assert (mean, part.word) == (0.8, SUPPORTED)
    half = 1.96 * np.sqrt(0.8 * 0.2 / 200)
    assert (high - low) / 2 == pytest.approx(half, abs=0.01)
    inside = judged(folder, array="rank", **{**test, "b": 0.8 - half / 2})
    assert inside.words == (UNDECIDED,)
    assert judged(folder, unit="s", array="rank", **test).parts[0].measured.endswith("] s")


def test_clips_without_a_score_are_left_out_for_all(folder):
    """Left out are the clips without x in seed 1 and those without y in seed 0: 0 to 49."""
    clip = np.arange(200)
    for seed in range(5):
        x = np.where((clip < 40) & (seed == 1), np.nan, np.where(clip < 50, 100.0, 1.0))
        y = np.where((clip < 50) & (seed == 0), np.nan, 0.5)
        arrays = {"target": TARGET, "error_x": x, "error_y": y, "error_z": np.full(200, np.nan)}
        write_record(folder, "gradients", "tsm-32", seed, arrays)
    (part,) = judged(folder, kind="greater", a="x", b="y", **ONE_ROW).parts
    left_out = "(50 of 200 clips left out)"
    assert (part.word, part.clips) == (SUPPORTED, 150)
    assert part.measured == f"+0.5000 [+0.5000, +0.5000] points {left_out}"
    (part,) = judged(folder, kind="no_better", a="y", b=0.6, **ONE_ROW).parts
    assert part.measured == f"0.5000 [0.5000, 0.5000] {left_out}"
    (part,) = judged(folder, kind="greater", a="x", b="z", **ONE_ROW).parts
    assert part.reason == "no clip has a score of x and z in every seed"


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
    arrays = {"target": TARGET, "error_x": np.ones(200)}
    write_record(folder, "gradients", "tsm-32", 5, arrays, clips=300)
    with pytest.raises(ValueError, match=r"-s5 were not tested on the same clips"):
        judged(folder, kind="greater", a="x", b=0.5, **ONE_ROW)
    write_record(folder, "gradients", "tsm-8", 0, {"error_x": np.ones((200, 2))})
    with pytest.raises(ValueError, match=r"shapes \[\(200, 2\)\], wanted one score a clip"):
        judged(folder, kind="greater", a="x", b=0.5, **{**ONE_ROW, "row": "tsm-8"})


# ------------------------------------------------------------------------- facts, tables


def test_facts(folder):
    (part,) = verdict(folder, "C13").parts
    assert part.reason.startswith("no record facts/small-embedded-all;")
    assert verdict(folder, "C13", facts={"C13": True}).words == (SUPPORTED,)
    (part,) = verdict(folder, "C13", facts={"C13": (False, "differ by 0.1")}).parts
    assert (part.word, part.measured) == (CONTRADICTED, "differ by 0.1")
    with pytest.raises(ValueError, match="C13: given 1, wanted a bool"):
        verdict(folder, "C13", facts={"C13": 1})


def test_fact_from_records(folder):
    test = {"kind": "fact", "experiment": "table1", "row": "tsm-8", "path": "results.same"}
    for seed in (0, 1):
        write_run(folder, "tsm-8", seed, 0)
    assert judged(folder, **test).parts[0].reason == "records of tsm-8 have no number results.same"
    for answer, word in ((True, SUPPORTED), (False, CONTRADICTED)):
        for seed in (0, 1):
            path = folder / "records" / "table1" / f"small-real-tsm-8-s{seed}.json"
            entries = json.loads(path.read_text())
            entries["results"]["same"] = answer or seed == 0  # one that is not so is enough
            path.write_text(json.dumps(entries))
        assert judged(folder, **test).words == (word,)


def test_claims_without_a_test_say_why(folder):
    untested = [claim for claim in claims.load(folder) if not claim.tests]
    assert {claim.id for claim in untested} == {"C49"}
    for claim in untested:
        found = claims.judge(claim, folder)
        assert (found.words, found.parts[0].reason) == ((NOT_TESTED,), claim.reason)
        assert f"not tested: {claim.reason}." in claims.table(claim.chapter, folder)


def test_the_table_has_one_comparison_a_line(folder):
    for seed in range(5):
        for row in ("tsm-8", "tsm-16"):  # one part of C15; what else is there has no record
            write_run(folder, row, seed, 30)
    found = [claims.judge(claim, folder) for claim in claims.load(folder)]
    text = claims.table(None, folder).replace("\u00a0", " ")
    lines = [line.strip("| ").split(" | ") for line in text.split("\n\n")[0].splitlines()[2:]]
    heads = [first for first, *_ in lines if first.startswith("C")]
    assert heads == [verdict.claim.id for verdict in found]
    start = heads.index("C15")
    assert lines[start][:2] == ["C15", "*More frames are better*"]
    names = [part.name for part in found[start].parts]
    assert [line[0].replace("`", "") for line in lines[start + 1 :][: len(names)]] == names
    assert lines[heads.index("C9")][1:] == [
        "The multiply-adds of Table 1 (9 parts)",
        "–",
        "**not tested**",
        "–",
    ]


def test_overview_has_every_claim_with_the_words_of_its_parts(folder):
    for seed in range(5):
        for row, count in (("tsm-8", 60), ("tsm-16", 30), ("tsm-32", 2)):
            write_run(folder, row, seed, count, sampled=60)
    lines = claims.overview(claims.judge_all(folder)).splitlines()
    assert len(lines) == 2 + len(claims.load(folder))
    assert lines[16] == (
        "| C15 | More frames are better | Section 4.1, Table 1 | 05 "
        "| 2 supported | 2 no difference |"
    )


def test_summary_counts_parts_by_kinds_of_evidence(folder):
    for seed in range(5):
        for row, count in (("tsm-8", 60), ("tsm-16", 30), ("tsm-32", 2)):
            write_run(folder, row, seed, count, sampled=60)
    found = claims.judge_all(folder, facts={"C13": True, "C14": False})
    text = claims.summary(found)
    parts = [part for verdict in found for part in verdict.parts]
    untested = sum(part.word == NOT_TESTED for part in parts)
    first = (
        f"{len(found)} claims have {len(parts)} parts, of which {len(parts) - untested} were tested"
    )
    assert text.startswith(f"{first} as the paper states them. ")
    assert f"The other {untested} are *not tested*: {untested} not seen at all." in text
    assert "| counted code | 1 | 1 | 0 | 0 |" in text
    assert "| trained on Move4MNIST | 2 (0) | 0 | 0 (2) | 0 |" in text
    assert "mechanism on" not in text
    assert "Of the 2 parts that compare trained networks none are *confirmatory*" in text


def test_a_chapter_without_claims_is_an_error(folder):
    with pytest.raises(ValueError, match="no claim belongs to '14_more', only to 01_gradient"):
        claims.table("14_more", folder)
