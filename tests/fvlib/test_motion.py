"""Frames by motion and at random: the curve, its inverse, and that nothing depends on the batch."""

from collections import Counter
from fractions import Fraction
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fvlib import evaluation
from fvlib.clustering import TemporalClustering
from fvlib.datasets import FrameSampler, InMemory, clip_rng, segment_frames
from fvlib.datasets.loading import batches
from fvlib.datasets.sampling import motion_frames, random_frames
from fvlib.datasets.streams import motion_curves
from fvlib.datasets.videos import count_frames, read_benchmark
from fvlib.datasets.videos.clips import VideoClips
from fvlib.evaluation import Protocol, evaluate
from fvlib.models import tsm_resnet
from fvlib.training import Recipe, loop, train
from lab.synthetic import write_mini

law = settings(max_examples=60, deadline=None, derandomize=True)
motions = st.lists(st.integers(0, 9), min_size=1, max_size=30)
FRAMES = 32  # that are compared at once
NEAR = Fraction(1, 10**9)  # of a place whose rounding may take it over an edge


def frames(motion, count, **options):
    return motion_frames(np.array(motion, float), count, **options)[0].tolist()


# --- the inverse of the curve ---------------------------------------------------------------------


def curve_at_frames(motion):
    """Its heights, in whole numbers, as fractions; and where it begins and ends."""
    heights = [Fraction(0)]
    for step in motion:
        heights.append(heights[-1] + step)
    return heights, heights[0] - Fraction(motion[0], 2), heights[-1] + Fraction(motion[-1], 2)


def nearest_frame(motion, height):
    """The frame at whose time, to the nearest whole one, the curve reaches more than the height."""
    heights, begin, end = curve_at_frames(motion)
    knots = [(Fraction(-1, 2), begin), *enumerate(heights), (len(motion) + Fraction(1, 2), end)]
    for (time, low), (later, high) in pairwise(knots):
        if low <= height < high:
            found = time + (later - time) * (height - low) / (high - low)
            return int(found + Fraction(1, 2))
    return 0 if height < begin else max(f for f, h in enumerate(motion, 1) if h)


def middles(motion, count):
    _, begin, end = curve_at_frames(motion)
    return [begin + (end - begin) * Fraction(2 * i + 1, 2 * count) for i in range(count)]


@given(motions, st.integers(1, 30))
@law
def test_frames_are_those_of_a_slow_inverse(motion, count):
    assume(any(motion) and count <= len(motion) + 1)
    found = frames(motion, count, exponent=1.0)
    for frame, height in zip(found, middles(motion, count), strict=True):
        around = {nearest_frame(motion, height + side) for side in (-NEAR, 0, NEAR)}
        assert frame in around


@given(motions, st.integers(1, 30))
@law
def test_no_frame_has_a_nearer_height_than_the_one_that_is_taken(motion, count):
    """This is how the authors' code finds it."""
    assume(count <= len(motion) + 1)
    heights, _, _ = curve_at_frames(motion)
    found = frames(motion, count, exponent=1.0)
    for frame, height in zip(found, middles(motion, count), strict=True):
        assert abs(heights[frame] - height) <= min(abs(h - height) for h in heights) + NEAR


def test_frames_by_hand():
    # Shares of frames: 1, 1/2, 0, 1/2, 1; heights of the middles: 3/8, 9/8, 15/8, 21/8.
    assert frames([4, 0, 0, 4], 4, exponent=1.0) == [0, 1, 3, 4]
    assert frames([4, 0, 0, 4], 2) == [0, 4]
    # A cut: half of the frames are the last before it, half the first behind it.
    assert frames([0, 0, 9, 0, 0], 4) == [2, 2, 3, 3]
    # Shares 1, 1, 1, 17/2, 16, then with roots 1, 1, 1, 5/2, 4, then equal ones.
    assert frames([1, 1, 1, 16], 2, exponent=1.0) == [3, 4]
    assert frames([1, 1, 1, 16], 2) == [2, 4]
    assert frames([1, 1, 1, 16], 2, exponent=0.0) == [1, 3]
    assert frames([], 3) == [0, 0, 0]
    assert frames([7], 2) == [0, 1]


@given(st.integers(1, 400), st.data(), st.floats(1e-300, 1e300), st.floats(0, 4))
@law
def test_constant_motion_gives_the_segments_of_tsm(t, data, value, exponent):
    count = data.draw(st.integers(1, t))
    expected = segment_frames(t, count)[0].tolist()
    assert frames([value] * (t - 1), count, exponent=exponent) == expected
    assert frames([0] * (t - 1), count) == expected


@pytest.mark.parametrize("t", range(1, 98))
def test_constant_motion_gives_the_segments_of_tsm_for_every_count(t):
    for count in range(1, t + 1):
        assert np.array_equal(motion_frames(np.full(t - 1, 0.3), count), segment_frames(t, count))


@given(motions, st.integers(1, 30), st.floats(0, 3), st.integers(0, 99))
@law
def test_frames_ascend_and_are_of_the_clip(motion, count, exponent, seed):
    for rng in (None, clip_rng(seed, 0, 0)):
        found = motion_frames(np.array(motion, float), count, exponent=exponent, rng=rng)
        assert (found.shape, found.dtype) == ((1, count), np.int64)
        assert (np.diff(found) >= 0).all()
        assert 0 <= found.min() <= found.max() <= len(motion)


@given(motions, st.integers(1, 30), st.integers(0, 99))
@law
def test_a_drawn_frame_stays_in_its_part(motion, count, seed):
    assume(any(motion) and count <= len(motion) + 1)
    _, begin, end = curve_at_frames(motion)
    part = (end - begin) / count
    rng = clip_rng(seed, 0, 0)
    drawn = np.array([frames(motion, count, exponent=1.0, rng=rng) for _ in range(50)])
    for i in range(count):
        assert drawn[:, i].min() >= nearest_frame(motion, begin + i * part - NEAR)
        assert drawn[:, i].max() <= nearest_frame(motion, begin + (i + 1) * part + NEAR)


def test_a_frame_is_drawn_as_often_as_it_has_motion():
    drawn = Counter(frames([4, 0, 0, 4], 1, rng=clip_rng(0, 0, i))[0] for i in range(3000))
    shares = [1 / 3, 1 / 6, 0, 1 / 6, 1 / 3]
    for frame, share in enumerate(shares):
        assert abs(drawn[frame] - 3000 * share) <= 4 * (3000 * share * (1 - share)) ** 0.5


@pytest.mark.parametrize("t", [1, 2, 5])
def test_a_clip_that_is_too_short_shows_all_of_it_in_place(t):
    expected = segment_frames(t, 8)
    assert set(expected[0].tolist()) == set(range(t))
    motion = np.arange(1.0, t)
    for rng in (None, clip_rng(0, 0, 0)):
        assert np.array_equal(motion_frames(motion, 8, rng=rng), expected)
    assert np.array_equal(random_frames(t, 8, clip_rng(0, 0, 0)), expected)


# --- at random ------------------------------------------------------------------------------------


@given(st.integers(1, 60), st.data(), st.integers(0, 99))
@law
def test_random_frames_are_different_and_in_order(t, data, seed):
    count = data.draw(st.integers(1, t))
    found = random_frames(t, count, clip_rng(seed, 0, 0))
    assert (found.shape, found.dtype) == ((1, count), np.int64)
    assert (np.diff(found) > 0).all()
    assert 0 <= found.min() <= found.max() < t


def test_every_set_of_frames_is_as_likely():
    drawn = Counter(tuple(random_frames(5, 2, clip_rng(0, 1, i))[0]) for i in range(5000))
    assert len(drawn) == 10
    for times in drawn.values():
        assert abs(times - 500) <= 4 * (5000 * 0.1 * 0.9) ** 0.5


# --- motion of real frames ------------------------------------------------------------------------


def moving_clips(lengths, channels=1, size=4, seed=0):
    """Frames that are noise, of which some stand still."""
    generator = torch.Generator().manual_seed(seed)
    shape = (sum(lengths), channels, size, size)
    noise = torch.randint(0, 256, shape, generator=generator)
    noise[1::3] = noise[::3][: len(noise[1::3])]
    targets = np.arange(len(lengths)) % 2
    return InMemory(noise.to(torch.uint8), targets, np.array(lengths))


def held(stored):
    """The same clips, of one length, in memory."""
    t = int(stored.lengths[0])
    videos = torch.stack([stored.read(i, np.arange(t)) for i in range(len(stored))])
    return InMemory(videos, torch.from_numpy(stored.targets))


def slow_curve(clip):
    pixels = clip.flatten(1).tolist()
    return [sum(map(abs, map(int.__sub__, a, b))) / len(a) for a, b in pairwise(pixels)]


def test_motion_by_hand():
    video = torch.tensor([[0, 255], [10, 255], [250, 0], [250, 0]], dtype=torch.uint8)
    (curve,) = motion_curves(InMemory(video.view(1, 4, 1, 1, 2), torch.zeros(1).long()))
    assert curve.dtype == np.float64
    assert curve.tolist() == [5.0, 247.5, 0.0]  # (10 + 0) / 2, (240 + 255) / 2


def test_motion_is_that_of_a_slow_sum_whatever_the_parts():
    lengths = [1, 2, FRAMES, FRAMES + 1, 2 * FRAMES + 5]
    clips = moving_clips(lengths, channels=3)
    curves = motion_curves(clips)
    for i, (t, curve) in enumerate(zip(lengths, curves, strict=True)):
        assert curve.tolist() == slow_curve(clips.read(i, np.arange(t)))


def test_motion_of_clips_in_memory_is_that_of_stored_ones():
    clips = moving_clips([FRAMES + 3] * 18)  # more than one batch of them
    for one, two in zip(motion_curves(clips), motion_curves(held(clips)), strict=True):
        assert np.array_equal(one, two)


def test_motion_of_files_is_found_in_one_pass(tmp_path, monkeypatch):
    write_mini("ucf101", tmp_path, clips=20, jobs=0)
    found = read_benchmark("ucf101", tmp_path, "train")
    clips = VideoClips(found, count_frames(found), size=(24, 32))
    whole = [clips.read(i, np.arange(t)) for i, t in enumerate(clips.lengths)]

    def again(i, frames):
        raise AssertionError("each part would be decoded from the beginning of the file")

    monkeypatch.setattr(clips, "read", again)
    for curve, clip in zip(motion_curves(clips), whole, strict=True):
        assert np.array_equal(curve, np.abs(np.diff(clip.long().numpy(), axis=0)).mean((1, 2, 3)))
    assert max(map(len, whole)) > FRAMES


# --- data sets ------------------------------------------------------------------------------------


def choices(count, clips):
    curves = motion_curves(clips)
    for draw in (None, (3, 1)):
        yield FrameSampler(count, sampling="random"), {"draw": draw}
        yield FrameSampler(count, sampling="motion"), {"draw": draw, "motion": curves}


def test_a_clip_shows_the_same_frames_in_memory_and_stored_and_in_any_batch():
    stored = moving_clips([9] * 5)
    order = [np.array([3, 0, 4, 1, 2])]
    alone = [np.array([i]) for i in order[0]]
    for sampler, how in choices(4, stored):
        expected = [stored.read(i, sampler.of_clip(9, i, **how)) for i in order[0].tolist()]
        for clips in (stored, held(stored)):
            (together,) = batches(clips, order, sampler, **how)
            assert torch.equal(together.x, torch.stack(expected))
            for batch, clip in zip(batches(clips, alone, sampler, **how), expected, strict=True):
                assert torch.equal(batch.x[0], clip)


def test_frames_are_drawn_anew_in_each_epoch_and_fixed_in_a_test():
    curves = [np.ones(39)] * 2
    for sampling in ("random", "motion"):
        rows = {
            tuple(FrameSampler(4, sampling=sampling).of_clip(40, 1, draw=draw, motion=curves))
            for draw in [(0, 0), (0, 0), (0, 2), (1, 0), None, None]
        }
        assert len(rows) == 4
    random = FrameSampler(4, sampling="random")
    assert tuple(random.of_clip(40, 0)) != tuple(random.of_clip(40, 1))


def test_frames_by_motion_are_those_of_each_clip():
    motion = [np.array([4.0, 0, 0, 4]), np.array([0.0, 0, 9, 0])]
    for order, wanted in (("forward", [[0, 4], [2, 3]]), ("reversed", [[4, 0], [3, 2]])):
        sampler = FrameSampler(2, sampling="motion", order=order)
        assert [sampler.of_clip(5, i, motion=motion).tolist() for i in (0, 1)] == wanted


# --- training and tests ---------------------------------------------------------------------------

CLASSES = ["a", "b"]


def network(seed=0):
    torch.manual_seed(seed)
    clustering = TemporalClustering("cumulative", 2)
    return tsm_resnet(18, 2, width=4, in_channels=1, clustering=clustering)


def weights(model):
    return torch.cat([value.flatten().double() for value in model.state_dict().values()])


@pytest.mark.parametrize("sampling", ["random", "motion"])
def test_a_run_that_stops_goes_on_to_the_same_weights_and_answers(tmp_path, sampling):
    clips = held(moving_clips([6] * 6, size=32))
    recipe = Recipe(epochs=2, frames=3, batch_size=3, lr=0.02, sampling=sampling)
    options = {"seed": 1, "classes": CLASSES}

    class Stop(Exception):
        pass

    def stop(epoch, model, history):
        raise Stop

    whole, broken, resumed, plain = (network(seed) for seed in (0, 0, 7, 0))
    train(whole, clips, recipe, **options)
    file = tmp_path / "run.pt"
    with pytest.raises(Stop):
        train(broken, clips, recipe, **options, checkpoint=file, after_epoch=stop)
    train(resumed, clips, recipe, **options, checkpoint=file)
    assert torch.equal(weights(whole), weights(resumed))
    train(plain, clips, Recipe(epochs=2, frames=3, batch_size=3, lr=0.02), **options)
    assert not torch.equal(weights(whole), weights(plain))
    protocol = Protocol(3, False, sampling=sampling)
    answers = [
        evaluate(model, clips, protocol, batch_size=size).prediction.tolist()
        for model, size in ((whole, 6), (resumed, 1))
    ]
    assert answers[0] == answers[1]


class Listener(torch.nn.Module):
    """Remembers what it is shown; learns nothing from it."""

    def __init__(self):
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(2))
        self.shown = []

    def forward(self, x, lengths, *, cluster):
        self.shown.append((cluster, x))
        n = len(x) if isinstance(x, torch.Tensor) else len(x.indices)
        return self.bias.expand(n, 2)


@pytest.mark.parametrize("sampling", ["random", "motion"])
@pytest.mark.parametrize("kind", ["stored", "held"])
def test_what_the_network_is_shown(sampling, kind, monkeypatch):
    stored = moving_clips([9] * 4)
    clips = held(stored) if kind == "held" else stored
    curves = motion_curves(stored)
    passes = []

    def counted(clips, progress):
        passes.append(clips)
        return curves

    for module in (loop, evaluation):
        monkeypatch.setattr(module, "motion_curves", counted)

    def expected(count, draw, order):
        choose = partial(FrameSampler(count, sampling=sampling).of_clip, draw=draw, motion=curves)
        return [stored.read(int(i), choose(9, int(i))) for i in order]

    model = Listener()
    options = {"frames": 3, "warmup_epochs": 1, "warmup_frames": 2, "sampling": sampling}
    recipe = Recipe(epochs=2, batch_size=4, autocast=False, **options)
    train(model, clips, recipe, seed=5, classes=CLASSES)
    evaluate(model, clips, Protocol(3, False, sampling=sampling), autocast=False)
    assert [cluster for cluster, _ in model.shown] == [False, True, False]
    orders = [np.random.default_rng([5, epoch, 0]).permutation(4) for epoch in (0, 1)]
    shown = [list(x) for _, x in model.shown]
    wanted = [
        expected(2, (5, 0), orders[0]),
        expected(3, (5, 1), orders[1]),
        expected(3, None, range(4)),
    ]
    for clips_shown, clips_wanted in zip(shown, wanted, strict=True):
        assert torch.equal(torch.stack(clips_shown), torch.stack(clips_wanted))
    assert len(passes) == (2 if sampling == "motion" else 0)  # one to train, one to test


@pytest.mark.parametrize("sampling", ["random", "motion"])
def test_a_stream_shows_the_same_frames(sampling):
    clips = moving_clips([9, 12, 4])
    shown = {}
    for stream in (False, True):
        model = Listener()
        protocol = Protocol(3, False, sampling=sampling)
        evaluate(model, clips, protocol, autocast=False, stream=stream)
        ((_, shown[stream]),) = model.shown
    assert torch.equal(torch.cat(list(shown[True].parts(2))), shown[False].flatten(0, 1))


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", ["random", "motion"])
def test_a_sampling_wants_a_number_of_frames_of_the_whole_clip(sampling):
    message = f"sampling is '{sampling}', frames .*; sampling is of a number of frames"
    for options in ({"frames": "all"}, {"frames": 8, "dense": True}, {"frames": 8, "window": 4}):
        with pytest.raises(ValueError, match=message):
            Protocol(cluster=False, sampling=sampling, **options)
        with pytest.raises(ValueError, match=message):
            Recipe(epochs=1, sampling=sampling, **options)
    with pytest.raises(ValueError, match=message):
        FrameSampler("all", sampling=sampling)
    with pytest.raises(ValueError, match="views is 2; with these frames there are 1 to 1"):
        Protocol(8, False, views=2, sampling=sampling)


def test_the_usual_sampling_is_not_spoken_of():
    assert Protocol.sampled(8).describe() == {"frames": 8, "cluster": False, "resolution": None}
    assert Protocol(8, False, sampling="motion").describe()["sampling"] == "motion"


@pytest.mark.usefixtures("unchecked")
def test_wrong_arguments_are_refused():
    for make in (
        lambda s: Protocol(8, False, sampling=s),
        lambda s: Recipe(epochs=1, frames=8, sampling=s),
    ):
        with pytest.raises(ValueError, match=r"is 'uniform'; .*'segments',? (or )?'random'"):
            make("uniform")
    with pytest.raises(ValueError, match="none of clip 0 with 9 frames; give the motion_curves"):
        FrameSampler(8, sampling="motion").of_clip(9, 0)
    choose = partial(FrameSampler(2, sampling="motion").of_clip, motion=[np.ones(4)])
    with pytest.raises(ValueError, match="none of clip 0 with 9 frames"):
        choose(9, 0)
    with pytest.raises(ValueError, match="none of clip 1 with 5 frames"):
        choose(5, 1)
    for sample in (lambda n: frames([1, 2], n), lambda n: random_frames(3, n, clip_rng(0, 0, 0))):
        with pytest.raises(ValueError, match="0 frames of a clip of 3 were asked for"):
            sample(0)
