"""From clips to batches: which frames, in which order, by whom."""

import gc
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fvlib.datasets import InMemory, TrainTransform, segment_frames
from fvlib.datasets.loading import (
    Batch,
    Clips,
    FrameChoice,
    StoredClips,
    batches,
    chunks,
    within_budget,
)
from fvlib.datasets.sampling import clip_rng
from fvlib.datasets.videos import count_frames, read_benchmark
from fvlib.datasets.videos.clips import DecodedClips, VideoClips
from fvlib.models import tsm_resnet
from fvlib.training import Recipe, train
from lab.synthetic import write_mini

LENGTHS = np.array([5, 3, 8, 4])


def stored() -> DecodedClips:
    """Frame f of clip i is 20 i + f everywhere."""
    values = np.concatenate([20 * i + np.arange(t) for i, t in enumerate(LENGTHS)])
    frames = torch.from_numpy(values.astype("uint8"))[:, None, None, None].expand(-1, 1, 32, 32)
    return DecodedClips(frames, LENGTHS, np.array([0, 1, 0, 1]), "toy", ("a", "b"))


def shown(batch: Batch) -> list[list[int]]:
    return batch.x[:, :, 0, 0, 0].tolist()


def test_the_two_kinds_of_clips_are_told_apart():
    memory = InMemory(torch.zeros(2, 3, 1, 4, 4, dtype=torch.uint8), torch.zeros(2).long())
    assert [isinstance(stored(), kind) for kind in (Clips, StoredClips)] == [False, True]
    assert [isinstance(memory, kind) for kind in (Clips, StoredClips)] == [True, False]


def test_all_frames_are_padded_by_the_last():
    (batch,) = batches(stored(), [np.array([1, 0])], FrameChoice("all"))
    assert shown(batch) == [[20, 21, 22, 22, 22], [0, 1, 2, 3, 4]]
    assert batch.lengths.tolist() == [3, 5]
    assert batch.target.tolist() == [1, 0]
    assert batch.indices.tolist() == [1, 0]
    (alone,) = batches(stored(), [np.array([2])], FrameChoice("all", stride=2.5))
    assert shown(alone) == [[40, 42, 45, 47]]
    assert alone.lengths is None


def test_test_frames_are_the_middle_then_the_start():
    order = [np.array([2, 3])]
    (middle,) = batches(stored(), order, FrameChoice(2))
    (start,) = batches(stored(), order, FrameChoice(2, view=1))
    assert shown(middle) == [[42, 46], [61, 63]]
    assert shown(start) == [[40, 44], [60, 62]]


@pytest.mark.parametrize("dense", [False, True])
def test_drawn_frames_hang_on_seed_epoch_and_clip_alone(dense):
    choice = FrameChoice(3, dense, draw=(7, 2))
    order = [np.array([0, 1, 2, 3])]
    (together,) = batches(stored(), order, choice)
    for i, batch in enumerate(batches(stored(), [np.array([i]) for i in range(4)], choice)):
        assert shown(batch)[0] == shown(together)[i]
    if not dense:
        expected = 40 + segment_frames(8, 3, rng=clip_rng(7, 2, 2))[0]
        assert shown(together)[2] == expected.tolist()
    other = [FrameChoice(2, draw=(7, epoch)) for epoch in range(8)]
    drawn = {tuple(shown(*batches(stored(), [np.array([2])], c))[0]) for c in other}
    assert len(drawn) > 2


@given(st.integers(1, 40), st.sampled_from(["all", 1, 3, 8]), st.integers(0, 9), st.integers(0, 1))
def test_the_order_changes_no_frame_but_its_place(t, count, index, view):
    view = 0 if count == "all" else view
    forward, backward, mixed = (
        FrameChoice(count, view=view, order=order).of_clip(t, index).tolist()
        for order in ("forward", "reversed", "shuffled")
    )
    assert backward == forward[::-1]
    assert sorted(mixed) == sorted(forward)


def test_frames_backwards_are_padded_by_the_first():
    (batch,) = batches(stored(), [np.array([1, 0])], FrameChoice("all", order="reversed"))
    assert shown(batch) == [[22, 21, 20, 20, 20], [4, 3, 2, 1, 0]]
    assert batch.lengths.tolist() == [3, 5]
    (few,) = batches(stored(), [np.array([2, 3])], FrameChoice(2, order="reversed"))
    assert shown(few) == [[46, 42], [63, 61]]
    (alone,) = batches(stored(), [np.array([2])], FrameChoice("all", stride=2.5, order="reversed"))
    assert shown(alone) == [[47, 45, 42, 40]]


def test_each_clip_is_shuffled_in_an_order_of_its_own():
    choice = FrameChoice("all", order="shuffled")
    orders = [tuple(choice.of_clip(8, index)) for index in range(20)]
    assert len(set(orders)) == 20
    assert orders == [tuple(choice.of_clip(8, index)) for index in range(20)]
    (together,) = batches(stored(), [np.array([2, 0, 1])], choice)
    assert shown(together)[0] == [40 + frame for frame in orders[2]]
    assert shown(together)[2][:3] == [20 + frame for frame in choice.of_clip(3, 1)]


@pytest.mark.parametrize("count", ["all", 4])
@pytest.mark.parametrize("order", ["forward", "reversed", "shuffled"])
def test_clips_in_memory_are_ordered_as_stored_ones(count, order):
    videos = torch.arange(24, dtype=torch.uint8).view(3, 8, 1, 1, 1)
    choice = FrameChoice(count, order=order)
    parts = batches(InMemory(videos, torch.arange(3)), [np.array([2]), np.array([0, 1])], choice)
    rows = [row for batch in parts for row in shown(batch)]
    expected = [(8 * i + choice.of_clip(8, i)).tolist() for i in (2, 0, 1)]
    assert rows == expected


def test_worker_processes_change_nothing():
    order = [np.array([3, 0]), np.array([2]), np.array([1])]
    for choice in (FrameChoice("all"), FrameChoice(2, draw=(0, 1))):
        alone = list(batches(stored(), order, choice))
        helped = list(batches(stored(), order, choice, workers=2))
        for one, two in zip(alone, helped, strict=True):
            assert torch.equal(one.x, two.x)
            assert torch.equal(one.target, two.target)
            assert np.array_equal(one.indices, two.indices)
            assert (one.lengths is None) == (two.lengths is None)


def test_an_error_of_a_worker_comes_through():
    class Damaged(DecodedClips):
        def read(self, i, frames):
            raise ValueError(f"clip {i} is damaged")

    good = stored()
    clips = Damaged(good._frames, LENGTHS, good.targets, "toy", ("a", "b"))
    for workers in (0, 1):
        with pytest.raises(ValueError, match="clip 3 is damaged"):
            list(batches(clips, [np.array([3])], FrameChoice("all"), workers=workers))


@pytest.mark.process
def test_memory_does_not_grow_over_epochs(tmp_path):
    """Ten epochs of decoding in worker processes and of crops; a batch alone is 0.9 MB."""
    write_mini("ucf101", tmp_path, clips=20, jobs=0)
    found = read_benchmark("ucf101", tmp_path, "train")
    clips = VideoClips(found, count_frames(found))
    crop = TrainTransform("ucf101", 64)

    def resident_after_an_epoch(epoch):
        choice = FrameChoice(16, draw=(0, epoch))
        for batch in batches(clips, chunks(np.arange(len(clips)), 4), choice, workers=2):
            crop(batch.x, batch.indices, seed=0, epoch=epoch)
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    sizes = [resident_after_an_epoch(epoch) for epoch in range(10)]
    assert max(sizes[5:]) - max(sizes[:5]) < 2**20


def test_clips_of_other_sizes_come_one_by_one():
    class Mixed(DecodedClips):
        def read(self, i, frames):
            return super().read(i, frames)[..., : 32 - i]

    good = stored()
    clips = Mixed(good._frames, LENGTHS, good.targets, "toy", ("a", "b"))
    (batch,) = batches(clips, [np.array([0, 2])], FrameChoice(2))
    assert [tuple(clip.shape) for clip in batch.x] == [(2, 1, 32, 32), (2, 1, 32, 30)]


def test_drawn_frames_of_clips_in_memory_do_not_hang_on_the_batch():
    videos = torch.arange(24, dtype=torch.uint8).view(3, 8, 1, 1, 1)
    memory = InMemory(videos, torch.arange(3))
    choice = FrameChoice(4, draw=(1, 5))
    (together,) = batches(memory, [np.array([0, 1, 2])], choice)
    split = list(batches(memory, [np.array([2, 0]), np.array([1])], choice))
    assert shown(together) == [shown(split[0])[1], shown(split[1])[0], shown(split[0])[0]]
    rng = np.random.default_rng(np.random.SeedSequence((1, 5, 1)))
    assert shown(together)[0] == segment_frames(8, 4, clips=3, rng=rng)[0].tolist()
    (whole,) = batches(memory, [np.array([1])], FrameChoice("all"))
    assert shown(whole) == [list(range(8, 16))]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(9, 30))
def test_parts_keep_the_order_and_the_budget(lengths, budget):
    frames = np.array(lengths)
    order = np.random.default_rng(0).permutation(len(frames))
    parts = within_budget(order, frames, budget)
    assert np.concatenate(parts).tolist() == order.tolist()
    for part, after in zip(parts, [*parts[1:], None], strict=True):
        assert frames[part].max() * len(part) <= budget
        if after is not None:  # no part ends before it has to
            longer = [*part, after[0]]
            assert frames[longer].max() * len(longer) > budget


def test_a_clip_beyond_the_budget_is_named():
    with pytest.raises(ValueError, match="a clip has 8 frames, but only 6 fit at once"):
        within_budget(np.arange(4), LENGTHS, 6)


def small_network():
    torch.manual_seed(0)
    return tsm_resnet(18, 2, width=8, in_channels=1, dropout=0.0, batchnorm="frozen").double()


def trained(**options) -> torch.Tensor:
    model = small_network()
    recipe = Recipe(
        epochs=2, batch_size=3, lr=0.05, autocast=False, schedule="step", grad_clip=None, **options
    )
    train(model, stored(), recipe, seed=3, classes=["a", "b"])
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_a_frame_budget_changes_the_passes_and_not_the_step():
    """BatchNorm is frozen here; its statistics would be those of each pass."""
    assert torch.allclose(trained(), trained(frame_budget=8), atol=1e-10)
    assert not torch.allclose(trained(), trained(padding="last"), atol=1e-6)


def test_padding_exact_is_training_without_padding():
    alone = trained(frame_budget=8)  # clips of different length hardly ever share a pass
    assert torch.allclose(alone, trained(frame_budget=1000), atol=1e-10)


def test_a_window_of_clips_in_memory_is_that_of_stored_ones():
    lengths, t = np.full(6, 9), 9
    frames = torch.arange(54, dtype=torch.uint8).view(54, 1, 1, 1)
    stored = DecodedClips(frames, lengths, np.zeros(6, int), "x", ("a",))
    held = InMemory(frames.view(6, t, 1, 1, 1), torch.zeros(6, dtype=torch.int64))
    order = [np.array([4, 1, 5])]
    for choice in (
        FrameChoice("all", window=4, draw=(0, 3)),
        FrameChoice("all", window=4, view=7),
        FrameChoice("all", window=3, stride=2, order="reversed"),
    ):
        a, b = (next(batches(clips, order, choice)).x for clips in (stored, held))
        assert torch.equal(a, b)
        assert a.shape[1] == choice.window == choice.shown(lengths)[0]
