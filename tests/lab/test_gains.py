"""Rows against each other from records, and Markdown tables, with values by hand."""

import numpy as np
import pytest

from lab import book, claims
from lab.records import Record

TARGET = np.array([0, 1, 2, 3])


def record(seed, clustered, sampled=(0, 0, 0, 0), target=TARGET):
    arrays = {"clustered_prediction": np.array(clustered), "sampled_prediction": np.array(sampled)}
    made = object.__new__(Record)  # without a file; what else it has is not looked at
    made.__dict__.update(experiment="table1", row=f"row {seed}", seed=seed, data={})
    made.__dict__.update(parameters={"scale": "small", "data": "real"})
    made.__dict__.update(arrays=arrays | {"target": target})
    return made


A = [record(0, (0, 1, 2, 2)), record(1, (1, 0, 0, 0)), record(2, (0, 1, 2, 3))]
B = [record(2, (0, 0, 0, 0)), record(0, (3, 1, 3, 3), (0, 1, 2, 2))]


def test_right_is_100_or_0_for_each_clip():
    found = claims.right(A)
    assert {seed: values.tolist() for seed, values in found.items()} == {
        0: [100, 100, 100, 0],
        1: [0, 0, 0, 0],
        2: [100, 100, 100, 100],
    }
    assert claims.right(A, "sampled")[2].tolist() == [100, 0, 0, 0]
    assert claims.right(A, alike=2)[1].tolist() == [100, 100, 0, 0]


def test_paired_takes_the_seeds_of_both_in_one_order():
    first, second = claims.paired(A, B)
    assert first.tolist() == [[100, 100, 100, 0], [100, 100, 100, 100]]
    assert second.tolist() == [[0, 100, 0, 100], [100, 0, 0, 0]]
    first, second = claims.paired(A, B, other="sampled", clips=TARGET > 1)
    assert first.tolist() == [[100, 0], [100, 100]]
    assert second.tolist() == [[100, 0], [0, 0]]


def test_gain_is_the_paired_difference():
    difference = claims.gain(A, B)
    assert difference == claims.paired_difference(*claims.paired(A, B))
    assert (difference.mean, difference.seeds) == (50, 2)  # 7 of 8 right against 3
    assert claims.gain(A, B, "sampled").mean == -25  # 2 of 8 against 3 + 1


def test_rows_that_cannot_be_paired_are_refused():
    with pytest.raises(ValueError, match=r"\[1\] and \[0, 2\] have none in common"):
        claims.paired(A[1:2], B)
    with pytest.raises(
        ValueError, match=r"row 0-s0 and .*row 5-s5 were not tested on the same clips"
    ):
        claims.paired(A[:1], [record(5, (0, 0, 0, 0), target=TARGET[::-1])])


def test_table():
    assert book.table(["row", "%"], [["`a`", 1], ["b", 2.5]]) == (
        "| row | % |\n| --- | --: |\n| `a` | 1 |\n| b | 2.5 |"
    )
    assert "| --- | --- | --: |" in book.table(["x", "y", "z"], [], left=2)
    with pytest.raises(ValueError, match="1 cells under 2 heads in the line 'a'"):
        book.table(["row", "%"], [["a"]])
