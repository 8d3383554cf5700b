"""The head of TRN-Multiscale: which tuples are drawn, and what is made of them."""

from collections import Counter
from itertools import combinations
from math import comb

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from fvlib.models.packing import Frames
from lab.systems.heads import RelationHead, draw_tuples

CPU = torch.device("cpu")


def head_of(frames, tuples=3, channels=6, classes=5, **options):
    torch.manual_seed(0)
    return RelationHead(channels, classes, frames, features=7, tuples=tuples, **options).double()


def normal(n, t, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, t, 6, 3, 2, generator=generator, dtype=torch.float64)


def scores(head, x):
    n, t = x.shape[:2]
    return head(x.flatten(0, 1), Frames(n, t, CPU))


def slow(head, x, drawn):
    """Clip by clip and tuple by tuple with the weights of the head; drawn: tuples of any sizes."""
    out = []
    for clip in x:
        features = [head.project.weight @ f.mean((1, 2)) + head.project.bias for f in clip]
        total = torch.zeros(5, dtype=x.dtype)
        for places in drawn:
            _, first, _, last = head.relations[len(clip) - len(places)]
            joined = torch.cat([features[place] for place in places])
            hidden = first.weight @ joined.clamp(min=0) + first.bias
            total += last.weight @ hidden.clamp(min=0) + last.bias
        out.append(total)
    return torch.stack(out)


# --- tuples ---------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(data=st.data(), t=st.integers(2, 12), count=st.integers(1, 30), seed=st.integers(0, 99))
def test_tuples_are_ordered_and_different_and_as_many_as_there_can_be(data, t, count, seed):
    s = data.draw(st.integers(2, t))
    drawn = draw_tuples(t, s, count, torch.Generator().manual_seed(seed))
    assert len(drawn) == len(set(drawn)) == min(count, comb(t, s))
    assert set(drawn) <= set(combinations(range(t), s))


def test_every_tuple_is_drawn_as_often():
    generator = torch.Generator().manual_seed(0)
    rounds = 4000
    seen = Counter(p for _ in range(rounds) for p in draw_tuples(5, 3, 4, generator))
    expected = rounds * 4 / 10
    # Chi-square with 9 degrees of freedom: above 27.9 once in a thousand seeds.
    assert sum((seen[p] - expected) ** 2 / expected for p in combinations(range(5), 3)) < 27.9


def test_tuples_of_many_frames_are_not_listed():
    drawn = draw_tuples(64, 32, 3, torch.Generator().manual_seed(0))  # of 10^18
    assert [len(places) for places in drawn] == [32, 32, 32]


# --- scores ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("t", [2, 3, 5])
def test_with_all_tuples_the_head_is_the_sum_over_all_combinations(t):
    head = head_of(t, tuples=100)
    x = normal(3, t)
    drawn = [places for s in range(2, t + 1) for places in combinations(range(t), s)]
    expected = slow(head, x, drawn)
    torch.testing.assert_close(scores(head.eval(), x), expected)
    torch.testing.assert_close(scores(head.train(), x), expected)


def test_with_few_tuples_the_head_is_the_sum_over_those():
    head, x = head_of(6, tuples=2, seed=3).eval(), normal(2, 6)
    drawn = [places for scale in head.fixed for places in scale]
    assert [len(places) for places in drawn] == [6, 5, 5, 4, 4, 3, 3, 2, 2]
    torch.testing.assert_close(scores(head, x), slow(head, x, drawn))


def test_training_draws_new_tuples_with_the_global_random_numbers():
    head, x = head_of(6, tuples=2).train(), normal(2, 6)
    torch.manual_seed(5)
    drawn = [draw_tuples(6, s, 2) for s in range(6, 1, -1)]
    torch.manual_seed(5)
    first, second = scores(head, x), scores(head, x)
    torch.testing.assert_close(first, slow(head, x, [p for scale in drawn for p in scale]))
    assert (first - second).abs().min() > 1e-4


def test_evaluation_repeats_itself_whatever_happened_before():
    head, x = head_of(8, seed=1), normal(4, 8)
    first = scores(head.eval(), x)
    scores(head.train(), x)
    torch.manual_seed(77)
    again = head_of(8, seed=1)
    again.load_state_dict(head.state_dict())
    assert torch.equal(scores(head.eval(), x), first)
    assert torch.equal(scores(again.eval(), x), first)
    other = head_of(8, seed=2)
    other.load_state_dict(head.state_dict())
    assert (scores(other.eval(), x) - first).abs().min() > 1e-4


def test_a_clip_has_the_scores_that_it_has_alone():
    head, x = head_of(8).eval(), normal(4, 8)
    alone = torch.cat([scores(head, clip[None]) for clip in x])
    torch.testing.assert_close(scores(head, x), alone)


def test_the_order_of_frames_counts():
    head, x = head_of(5, tuples=100).eval(), normal(3, 5)
    order = torch.tensor([4, 0, 2, 1, 3])
    frames = Frames(3, 5, CPU)

    def average(y):  # what a per-frame network does
        return frames.unpack(head.project(y.flatten(0, 1).mean((2, 3)))).mean(1)

    assert (scores(head, x[:, order]) - scores(head, x)).abs().min(1).values.min() > 1e-4
    torch.testing.assert_close(average(x[:, order]), average(x))


def test_no_place_in_space_counts_more_than_another():
    head, x = head_of(4).eval(), normal(2, 4)
    torch.testing.assert_close(scores(head, x.flip(-1, -2)), scores(head, x))


def test_dropout_falls_on_the_pooled_channels_in_training_only():
    head, x = head_of(4, tuples=100, dropout=0.5), normal(2, 4)
    quiet = head_of(4, tuples=100)
    assert torch.equal(scores(head.eval(), x), scores(quiet.eval(), x))
    torch.manual_seed(0)
    noisy = scores(head.train(), x)
    torch.manual_seed(0)
    dropped = F.dropout(x.mean((3, 4)).flatten(0, 1), 0.5).view(2, 4, 6, 1, 1)
    torch.testing.assert_close(noisy, scores(quiet, dropped))


def test_gradients_reach_every_parameter_and_frame():
    head, x = head_of(8).train(), normal(2, 8).requires_grad_()
    F.cross_entropy(scores(head, x), torch.tensor([0, 3])).backward()
    assert [n for n, p in head.named_parameters() if not p.grad.any()] == []
    assert x.grad.flatten(2).any(2).all()


def test_bfloat16_autocast_adds_up_in_single_precision():
    head, x = head_of(8).float().eval(), normal(4, 8).float()
    expected = scores(head, x)
    with torch.autocast("cpu", torch.bfloat16):
        near = scores(head, x)
    assert near.dtype == torch.float32
    assert (near - expected).norm() < 0.02 * expected.norm()


def test_the_parameters_are_those_of_the_paper():
    head = RelationHead(2048, 174, 8)
    # The projection; 2 + ... + 8 = 35 frames into 256 units; 7 biases and last layers.
    expected = (2048 + 1) * 256 + 35 * 256 * 256 + 7 * (256 + (256 + 1) * 174)
    assert sum(p.numel() for p in head.parameters()) == expected == 3_133_122


def test_bad_numbers_are_refused():
    with pytest.raises(ValueError, match="frames is 1; a relation is between 2"):
        head_of(1)
    with pytest.raises(ValueError, match="clips have 6 frames, and the relations are of 4"):
        scores(head_of(4), normal(2, 6))
    mask = torch.tensor([[True] * 4, [True, True, True, False]])
    with pytest.raises(ValueError, match="clips have 3, 4 frames, and the relations are of 4"):
        head_of(4)(normal(1, 7)[0], Frames(2, 4, CPU, mask))
