"""Protocols: what a network is shown, and how its answers are counted."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fvlib.clustering import TemporalClustering
from fvlib.datasets import InMemory, segment_frames
from fvlib.evaluation import Evaluation, Protocol, evaluate, purity, resized
from fvlib.models import tsm_resnet


class Spy(torch.nn.Module):
    """Answers with the brightest class and remembers what it was shown."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x, lengths, *, cluster):
        self.seen.append((tuple(x.shape), cluster, self.training))
        return torch.nn.functional.one_hot(x[:, 0, 0, 0, 0].long() % 4, 4).float()


def numbered_clips(m=10, t=8):
    """Every pixel of clip i is i."""
    videos = torch.arange(m, dtype=torch.uint8).view(m, 1, 1, 1, 1).repeat(1, t, 1, 4, 4)
    return InMemory(videos, torch.zeros(m, dtype=torch.int64))


# --- sampling -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("t", "segments", "expected"),
    [
        (32, 8, [2, 6, 10, 14, 18, 22, 26, 30]),
        (32, 16, list(range(1, 32, 2))),
        (32, 32, list(range(32))),
        (10, 4, [1, 3, 6, 8]),  # ticks of 2.5: 1.25, 3.75, 6.25, 8.75
        (5, 1, [2]),
    ],
)
def test_middle_frames_are_those_of_tsm(t, segments, expected):
    assert segment_frames(t, segments, clips=2).tolist() == [expected, expected]


@given(t=st.integers(1, 60), data=st.data(), seed=st.integers(0, 9))
@settings(max_examples=50, deadline=None)
def test_drawn_frames_lie_in_their_segments(t, data, seed):
    segments = data.draw(st.integers(1, t))
    frames = segment_frames(t, segments, clips=20, rng=np.random.default_rng(seed))
    length = t // segments
    assert (frames // length == np.arange(segments)).all()
    assert frames.max() < t


def test_all_places_of_a_segment_are_drawn():
    frames = segment_frames(12, 3, clips=200, rng=np.random.default_rng(0))
    assert [sorted(set(column)) for column in frames.T] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 10, 11],
    ]


# --- protocols ------------------------------------------------------------------------------------


def test_clustered_shows_all_frames_and_sampled_the_middle_ones():
    clips, model = numbered_clips(), Spy().train()
    evaluate(model, clips, Protocol.clustered(), batch_size=4, autocast=False)
    evaluate(model, clips, Protocol.sampled(2), batch_size=10, autocast=False)
    assert model.seen == [
        ((4, 8, 1, 4, 4), True, False),
        ((4, 8, 1, 4, 4), True, False),
        ((2, 8, 1, 4, 4), True, False),
        ((10, 2, 1, 4, 4), False, False),
    ]
    assert model.training


def test_answers_are_counted_over_all_clips_in_order():
    result = evaluate(Spy(), numbered_clips(), Protocol.clustered(), batch_size=3)
    assert result.prediction.tolist() == [i % 4 for i in range(10)]
    assert (result.correct, result.top1) == (3, 30.0)


def test_top1_is_in_percent():
    assert Evaluation(np.array([0, 1, 2]), np.array([0, 1, 1])).top1 == pytest.approx(200 / 3)


def test_frames_are_resized_on_the_way():
    x = torch.full((1, 2, 3, 8, 8), 77, dtype=torch.uint8)
    larger = resized(x, 16)
    assert larger.shape == (1, 2, 3, 16, 16)
    assert larger.dtype == torch.uint8
    assert (larger == 77).all()
    assert resized(x, 8) is x
    assert resized(x, None) is x
    both = resized([x[0], x[0, ..., :6]], 4)
    assert both.shape == (2, 2, 3, 4, 4)
    with pytest.raises(ValueError, match=r"frames of a batch are of \[\(8, 6\), \(8, 8\)\] pixels"):
        resized([x[0], x[0, ..., :6]], None)


class Scores(torch.nn.Module):
    """The brightness of the first frame as the score of class 1; half as much for class 0."""

    def forward(self, x, lengths=None, *, cluster=True):
        first = x[:, 0].float().mean((1, 2, 3))
        return torch.stack([first / 2 + 3, first], 1)


def test_scores_of_views_and_crops_are_added():
    # Class 1 wins where the added brightness of what is shown is above twice 6.
    clips = InMemory(
        torch.tensor([0, 0, 0, 8, 0, 0, 9, 9], dtype=torch.uint8)
        .view(8, 1, 1, 1)
        .expand(8, 1, 4, 8),
        np.array([0, 1]),
        np.array([4, 4]),
    )
    model = Scores()
    # One segment of four frames: its middle is frame 2, its start frame 0.
    assert evaluate(model, clips, Protocol(1, False), autocast=False).prediction.tolist() == [0, 1]
    both = evaluate(model, clips, Protocol(1, False, views=2), autocast=False)
    assert both.prediction.tolist() == [0, 0]  # 9 + 0 is not above 12
    cut = Protocol(1, False, scale=4, crop=4, crops=3)
    assert evaluate(model, clips, cut, autocast=False).prediction.tolist() == [0, 1]


def numbered_frames():
    """Frame f of each of five clips of 6 frames is as bright as its place, plus the clip's."""
    videos = torch.arange(6).view(1, 6, 1, 1, 1) + torch.arange(5).view(5, 1, 1, 1, 1)
    return InMemory(videos.to(torch.uint8).expand(5, 6, 1, 4, 4), torch.zeros(5).long())


def test_frames_are_shown_in_the_order_of_the_protocol():
    def seen(**options):
        frames = []

        class Listener(Spy):
            def forward(self, x, lengths, *, cluster):
                frames.extend(x[:, :, 0, 0, 0].tolist())
                return super().forward(x, lengths, cluster=cluster)

        evaluate(Listener(), numbered_frames(), Protocol(**options), autocast=False)
        return frames

    forward = [[i + f for f in range(6)] for i in range(5)]
    assert seen(frames="all", cluster=True) == forward
    backward = seen(frames="all", cluster=True, order="reversed")
    assert backward == [clip[::-1] for clip in forward]
    assert seen(frames=2, cluster=False, order="reversed") == [[i + 4, i + 1] for i in range(5)]
    mixed = seen(frames="all", cluster=True, order="shuffled")
    assert mixed != forward
    assert [sorted(clip) for clip in mixed] == forward
    assert seen(frames="all", cluster=True, order="shuffled") == mixed


def test_an_order_is_said_where_it_is_not_the_usual_one(unchecked):
    assert "order" not in Protocol.clustered().describe()
    assert Protocol("all", True, order="shuffled").describe()["order"] == "shuffled"
    with pytest.raises(ValueError, match="'backwards'; wanted 'forward' or 'reversed'"):
        Protocol("all", True, order="backwards")


def test_impossible_protocols_are_refused():
    with pytest.raises(ValueError, match="there are 1 to 1"):
        Protocol("all", True, views=2)
    with pytest.raises(ValueError, match="there are 1 to 2"):
        Protocol(8, False, views=3)
    with pytest.raises(ValueError, match="scale and crop together"):
        Protocol(8, False, crop=224)
    with pytest.raises(ValueError, match="or resolution"):
        Protocol(8, False, scale=256, crop=224, resolution=64)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"frames": True}, "frames is True; wanted a whole number or 'all'"),
        ({"frames": 0}, "frames is 0; wanted 1 or more"),
        ({"frames": 1.5}, "frames is 1.5; wanted a whole number or"),
        ({"frames": "some"}, "frames is 'some'; wanted a whole number or"),
        ({"frames": None}, "frames is None; wanted a whole number or"),
        ({"stride": 0}, "stride is 0; wanted 1 or more"),
        ({"stride": -1}, "stride is -1"),
        ({"stride": float("nan")}, "stride is nan"),
        ({"stride": True}, "stride is True"),
        ({"stride": "2"}, "stride is '2'"),
        ({"window": 0}, "window is 0; wanted 1 or more"),
        ({"window": 2.0}, "window is 2.0; wanted a whole number or none"),
        ({"window": True}, "window is True; wanted a whole number"),
        ({"order": None}, "order is None; wanted 'forward' or"),
        ({"dense": True}, "dense wants a number of frames; 'all' go with a window"),
        ({"frames": 8, "dense": 1}, "dense is 1; wanted true or false"),
        ({"frames": 65, "dense": True}, "frames is 65; a dense window has 1 to 64 frames"),
        ({"frames": 8, "stride": 2}, "both belong to frames='all'"),
        ({"frames": 8, "window": 4}, "both belong to frames='all'"),
        ({"cluster": 1}, "cluster is 1; wanted true or false"),
        ({"views": True}, "views is True; wanted a whole number"),
        ({"views": 0}, "views is 0; wanted 1 or more"),
        ({"window": 4, "views": 11}, "views is 11; with these frames there are 1 to 10"),
        ({"resolution": 0}, "resolution is 0; wanted 1 or more"),
        ({"resolution": 7.5}, "resolution is 7.5; wanted a whole number or none"),
        ({"scale": 8}, "give scale and crop together"),
        ({"scale": 8, "crop": 9}, "wanted a size from 1 to the scale"),
        ({"scale": 8, "crop": 8, "crops": 2}, "1 or 3 views"),
        ({"crops": 3}, "crops is 3; give their scale and the side of a crop too"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_values_that_cannot_be_meant_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Protocol(**{"frames": "all", "cluster": True, **wrong})


class Broken(Scores):
    """Gives the values in place of the scores of the clip that is as bright."""

    def __init__(self, bright, *values):
        super().__init__()
        self.bright, self.values = bright, torch.tensor(values)

    def forward(self, x, lengths=None, *, cluster=True):
        found = super().forward(x, lengths, cluster=cluster)
        found[x[:, 0, 0, 0, 0] == self.bright] = self.values
        return found


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("batch_size", [1, 3, 10])
def test_scores_that_are_no_numbers_are_no_answer(value, batch_size):
    clips, model = numbered_clips(), Broken(7, 0.0, value).train()
    for names, said in (((), "clip 7 are"), ([f"v{i}" for i in range(10)], r"clip 7 \(v7\) are")):
        clips.names = names
        with pytest.raises(FloatingPointError, match=f"the scores of {said} not finite: .0.0, "):
            evaluate(model, clips, Protocol.clustered(), batch_size=batch_size, autocast=False)
        assert model.training


def test_clips_of_classes_that_the_network_does_not_have_are_refused():
    clips = numbered_clips()
    clips.targets[4] = 2
    with pytest.raises(ValueError, match="clip 4 is of class 2, and there are 2 classes"):
        evaluate(Scores(), clips, Protocol.clustered(), batch_size=3, autocast=False)
    clips.targets = clips.targets.astype(float)
    with pytest.raises(ValueError, match="targets of 10 clips are array"):
        evaluate(Scores(), clips, Protocol.clustered(), autocast=False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch_size": 0},
        {"batch_size": 2.5},
        {"workers": -1},
        {"workers": True},
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_numbers_that_cannot_be_meant_are_refused(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"{name} is {value}; wanted a whole number of"):
        evaluate(Scores(), numbered_clips(), Protocol.clustered(), autocast=False, **wrong)


@pytest.mark.usefixtures("unchecked")
def test_what_is_no_clips_is_refused():
    videos = torch.zeros(2, 3, 1, 4, 4)
    with pytest.raises(ValueError, match=r"type Tensor, without .*; InMemory\(frames, targets\)"):
        evaluate(Scores(), videos, Protocol.clustered())
    nothing = InMemory(videos[:0], np.zeros(0, int))
    with pytest.raises(ValueError, match="there are no clips; wanted one or more"):
        evaluate(Scores(), nothing, Protocol.clustered())


# --- purity ---------------------------------------------------------------------------------------


def test_purity_by_hand():
    labels = torch.tensor([[0, 0, 0, 1, 1, 2], [0, 1, 2, 3, 4, 5], [0, 0, 0, 0, 0, 0]])
    types = torch.tensor([[0, 0, 1, 2, 3, 3], [0, 0, 1, 1, 2, 3], [0, 1, 2, 2, 2, 3]])
    # Clusters of 2 + 1, 1 + 1 and 1 frames: 2 + 1 + 1 of 6 bear the name; all do; 3 of 6 do.
    assert purity(labels, types).tolist() == [4 / 6, 1.0, 0.5]


def test_purity_leaves_out_frames_beyond_the_clip_and_empty_clusters():
    labels = torch.tensor([[0, 0, 2, 2, -1, -1]])  # cluster 1 is empty
    assert purity(labels, torch.tensor([[1, 1, 0, 1, 7, -1]])).tolist() == [3 / 4]


@given(data=st.data(), g=st.integers(1, 6), t=st.integers(6, 12))
@settings(max_examples=50, deadline=None)
def test_purity_is_what_a_slow_count_gives(data, g, t):
    draw = st.lists(st.lists(st.integers(0, 3), min_size=t, max_size=t), min_size=1, max_size=3)
    types = torch.tensor(data.draw(draw))
    labels = (g * torch.arange(t) // t).expand(len(types), t)
    expected = []
    for clip in types.tolist():
        clusters = [[k for i, k in enumerate(clip) if g * i // t == c] for c in range(g)]
        expected.append(sum(max(map(frames.count, frames)) for frames in clusters) / t)
    assert purity(labels, types).tolist() == expected


@pytest.mark.parametrize(
    ("labels", "types", "message"),
    [
        ([[0, 1, 1]], [[0, 1]], "same shape"),
        ([[0, 1], [-1, -1]], [[0, 1], [0, 1]], "in every clip"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_purity_refuses(labels, types, message):
    with pytest.raises(ValueError, match=message):
        purity(torch.tensor(labels), torch.tensor(types))


def test_windows_of_all_frames_are_shown_one_after_the_other():
    frames = torch.arange(20, dtype=torch.uint8).view(20, 1, 1, 1)
    clips = InMemory(frames, np.array([0, 0]), np.array([12, 8]))
    seen = []

    class Windows(torch.nn.Module):
        def forward(self, x, lengths, *, cluster):
            seen.append(x[..., 0, 0, 0].tolist())
            return torch.zeros(len(x), 1)

    evaluate(Windows(), clips, Protocol("all", True, window=4, views=10), autocast=False)
    assert len(seen) == 10
    assert seen[0] == [[0, 1, 2, 3], [12, 13, 14, 15]]
    assert seen[9] == [[8, 9, 10, 11], [16, 17, 18, 19]]
    with pytest.raises(ValueError, match="there are 1 to 1"):
        Protocol("all", True, views=2)


@pytest.mark.parametrize("crops", [1, 3])
def test_a_stream_is_tested_as_a_tensor_is(crops):
    torch.manual_seed(0)
    frames = torch.randint(0, 256, (16, 3, 40, 56), dtype=torch.uint8)
    clips = InMemory(frames, np.array([0, 1]), np.array([9, 7]))
    clustering = TemporalClustering("cumulative", 3)
    model = tsm_resnet(18, 2, width=4, clustering=clustering, chunk=4).double()
    protocol = Protocol("all", True, scale=32, crop=32, crops=crops)
    whole, streamed = (scores_of(model, clips, protocol, stream=stream) for stream in (False, True))
    torch.testing.assert_close(streamed, whole, rtol=1e-10, atol=1e-12)


def scores_of(model, clips, protocol, **options):
    """The scores behind the predictions: those that the last layer's consensus gave."""
    found = []
    hook = model.register_forward_hook(lambda module, args, output: found.append(output))
    evaluate(model, clips, protocol, autocast=False, **options)
    hook.remove()
    return torch.stack(found)
