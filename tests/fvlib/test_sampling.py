"""Frames of a clip: equal to TSM's published choice, number by number, and from the clip alone."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fvlib.datasets import (
    all_frames,
    clip_rng,
    dense_frames,
    pad_with_last,
    segment_frames,
    twice_frames,
)
from fvlib.datasets.sampling import window_frames

law = settings(max_examples=40, deadline=None, derandomize=True)
lengths = st.integers(1, 400)
numbers = st.integers(1, 64)
# Short clips, clips of just the number, one more, and real lengths: Something, HMDB51, Breakfast.
PAIRS = [
    (t, n)
    for n in (1, 3, 8, 16, 32, 64)
    for t in sorted({1, 2, n - 1, n, n + 1, 2 * n - 1, 2 * n, 19, 45, 63, 64, 65, 66, 97, 1776})
    if t >= 1
]


class OldDraws(np.random.Generator):
    """A generator whose whole numbers are those that TSM's code draws after np.random.seed."""

    def __init__(self, seed):
        super().__init__(np.random.PCG64(0))
        self.old = np.random.RandomState(seed)

    def integers(self, high, size=None):
        return self.old.randint(high, size=size)


# --- TSM's rules, one frame after the other, counted from 1 as its files are ---------------------


def tsm_training(t, n, seed):
    draws = np.random.RandomState(seed)
    length = t // n
    if length == 0:  # fewer frames than segments: the first one, again and again
        return [1] * n
    places = draws.randint(length, size=n)
    return [segment * length + int(place) + 1 for segment, place in enumerate(places)]


def tsm_test(t, n):
    tick = t / float(n)
    return [int(tick / 2.0 + tick * segment) + 1 for segment in range(n)]


def tsm_second_clip(t, n):
    tick = t / float(n)
    return [int(tick * segment) + 1 for segment in range(n)]


def tsm_window(t, n, start):
    return [(start + step * (64 // n)) % t + 1 for step in range(n)]


def tsm_dense_training(t, n, seed):
    places = max(1, t - 63)
    draws = np.random.RandomState(seed)
    return tsm_window(t, n, 0 if places == 1 else int(draws.randint(0, places - 1)))


def tsm_dense_test(t, n):
    places = max(1, t - 63)
    return [tsm_window(t, n, int(k * (places - 1) / 9)) for k in range(10)]


@pytest.mark.parametrize(("t", "n"), PAIRS)
def test_indices_are_those_of_tsm(t, n):
    for seed in range(3):
        drawn = segment_frames(t, n, rng=OldDraws(seed))
        assert (drawn + 1).tolist() == [tsm_training(t, n, seed)]
        drawn = dense_frames(t, n, rng=OldDraws(seed))
        assert (drawn + 1).tolist() == [tsm_dense_training(t, n, seed)]
    assert (segment_frames(t, n) + 1).tolist() == [tsm_test(t, n)]
    assert (twice_frames(t, n) + 1).tolist() == [tsm_test(t, n), tsm_second_clip(t, n)]
    assert (dense_frames(t, n) + 1).tolist() == tsm_dense_test(t, n)


def test_indices_by_hand():
    assert segment_frames(10, 4).tolist() == [[1, 3, 6, 8]]  # 1.25, 3.75, 6.25, 8.75
    assert twice_frames(10, 4).tolist() == [[1, 3, 6, 8], [0, 2, 5, 7]]
    assert segment_frames(3, 6).tolist() == [[0, 0, 1, 1, 2, 2]]
    assert segment_frames(3, 6, clips=2, rng=clip_rng(0, 0, 0)).tolist() == [[0] * 6] * 2
    assert dense_frames(5, 4, rng=clip_rng(0, 0, 0)).tolist() == [[0, 1, 2, 3]]  # 0, 16, 32, 48
    assert dense_frames(82, 2)[:, 0].tolist() == list(range(0, 19, 2))
    assert dense_frames(82, 2)[:, 1].tolist() == list(range(32, 51, 2))


# --- laws -----------------------------------------------------------------------------------------


@given(t=lengths, n=numbers, seed=st.integers(0, 99))
@law
def test_every_segment_gives_one_frame_in_order(t, n, seed):
    rows = [
        segment_frames(t, n, rng=clip_rng(seed, 0, 0)),
        segment_frames(t, n),
        twice_frames(t, n),
    ]
    for row in rows:
        assert row.dtype == np.int64
        assert row.shape[1] == n
        assert row.min() >= 0
        assert row.max() < t
        assert (np.diff(row) >= 0).all()
    if t >= n:
        edges = np.arange(n + 1) * t / n  # the segments of the test
        for row in twice_frames(t, n):
            assert (row >= np.floor(edges[:-1])).all()
            assert (row < edges[1:]).all()
        assert (rows[0][0] // (t // n) == np.arange(n)).all()


@given(t=lengths, n=numbers, seed=st.integers(0, 99))
@law
def test_dense_windows_lie_in_the_clip(t, n, seed):
    drawn, views = dense_frames(t, n, rng=clip_rng(seed, 0, 0)), dense_frames(t, n)
    assert drawn.shape == (1, n)
    assert views.shape == (10, n)
    for row in [*drawn, *views]:
        assert row.min() >= 0
        assert row.max() < t
        if t >= 64:
            assert (np.diff(row) == 64 // n).all()
    if t >= 64:
        assert views[0, 0] == 0
        assert views[-1, 0] == t - 64


def test_every_place_but_the_last_is_drawn_for_a_dense_window():
    starts = {int(dense_frames(67, 8, rng=clip_rng(0, 0, i))[0, 0]) for i in range(100)}
    assert starts == {0, 1, 2}  # 3 is the last possible one


@given(t=lengths, top=st.integers(1, 60), bottom=st.integers(1, 60))
@law
def test_a_stride_keeps_the_frames_of_the_wanted_rate(t, top, bottom):
    stride = Fraction(max(top, bottom), min(top, bottom))
    rows = all_frames(t, stride=stride)
    assert rows.shape[0] == 1
    assert rows[0].tolist() == [int(i * stride) for i in range(t) if int(i * stride) < t]
    assert len(set(rows[0].tolist())) == rows.shape[1]


def test_all_frames_by_hand():
    assert all_frames(5).tolist() == [[0, 1, 2, 3, 4]]
    assert all_frames(7, stride=2.5).tolist() == [[0, 2, 5]]  # 0, 2.5, 5
    assert all_frames(1, stride=9).tolist() == [[0]]
    assert all_frames(30, stride=Fraction(30000, 1001) / 10).tolist() == [
        [0, 2, 5, 8, 11, 14, 17, 20, 23, 26, 29]  # steps of 2.997
    ]


def test_padding_repeats_the_last_frame():
    assert pad_with_last(all_frames(3), 5).tolist() == [[0, 1, 2, 2, 2]]
    assert pad_with_last(twice_frames(4, 2), 3).tolist() == [[1, 3, 3], [0, 2, 2]]
    assert pad_with_last(all_frames(3), 3).tolist() == [[0, 1, 2]]


# --- randomness -----------------------------------------------------------------------------------


def test_draws_come_from_seed_epoch_and_index_alone():
    def frames(*key):
        return segment_frames(200, 8, rng=clip_rng(*key))[0].tolist()

    forwards = [frames(5, 2, i) for i in range(6)]
    backwards = [frames(5, 2, i) for i in reversed(range(6))]
    assert forwards == backwards[::-1]
    others = [frames(*key) for key in [(5, 2, 0), (6, 2, 0), (5, 3, 0), (5, 2, 1), (2, 5, 0)]]
    assert len({tuple(row) for row in others}) == 5


def test_frames_and_crops_have_streams_of_their_own():
    first = [clip_rng(1, 2, 3, what).integers(2**60) for what in ("frames", "crop", "frames")]
    assert first[0] == first[2] != first[1]


def test_draws_do_not_change_between_versions():
    """What a run saw can be found again."""
    assert segment_frames(80, 4, rng=clip_rng(7, 0, 11)).tolist() == [[5, 39, 58, 73]]
    assert clip_rng(7, 0, 11, "crop").integers(1000, size=3).tolist() == [951, 453, 927]


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample", [segment_frames, twice_frames, dense_frames])
@pytest.mark.parametrize(("t", "n"), [(0, 8), (8, 0)])
def test_no_frames_are_refused(sample, t, n):
    with pytest.raises(ValueError, match=f"{n} frames of a clip of {t} were asked for"):
        sample(t, n)


def test_other_wrong_arguments_are_refused():
    for stride in (0.5, 0, -1, float("nan")):
        with pytest.raises(ValueError, match="must be 1 or more"):
            all_frames(10, stride=stride)
    with pytest.raises(ValueError, match="negative"):
        pad_with_last(all_frames(3), 2)


@given(t=st.integers(1, 200), window=st.integers(1, 70), seed=st.integers(0, 9))
def test_windows_are_neighbouring_frames_and_begin_at_multiples(t, window, seed):
    drawn = window_frames(t, window, rng=np.random.default_rng(seed))
    shown = window_frames(t, window)
    assert (drawn.shape, shown.shape) == ((1, min(t, window)), (10, min(t, window)))
    for frames in (*drawn, *shown):
        assert (np.diff(frames) == 1).all()
        assert frames[0] >= 0
        assert frames[-1] < t
    assert drawn[0, 0] % window == 0
    assert shown[0, 0] == 0
    assert shown[-1, -1] == t - 1


def test_every_aligned_window_is_drawn():
    rng = np.random.default_rng(0)
    assert {int(window_frames(100, 32, rng=rng)[0, 0]) for _ in range(50)} == {0, 32, 64}
