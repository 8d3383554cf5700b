"""From clips to batches: which frames, in which order, by whom."""

import gc
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fvlib.contracts import Clips, require_clips
from fvlib.datasets import FrameSampler, InMemory, Move4MNIST, TrainTransform, segment_frames
from fvlib.datasets.loading import Batch, batch_by_frame_budget, batches, chunks
from fvlib.datasets.sampling import clip_rng
from fvlib.datasets.videos import count_frames, read_benchmark
from fvlib.datasets.videos.clips import VideoClips
from fvlib.models import tsm_resnet
from fvlib.training import Recipe, train
from lab.synthetic import write_mini

LENGTHS = np.array([5, 3, 8, 4])
ALL = FrameSampler("all")


def stored(kind=InMemory) -> InMemory:
    """Frame f of clip i is 20 i + f everywhere."""
    values = np.concatenate([20 * i + np.arange(t) for i, t in enumerate(LENGTHS)])
    frames = torch.from_numpy(values.astype("uint8"))[:, None, None, None].expand(-1, 1, 32, 32)
    return kind(frames, np.array([0, 1, 0, 1]), LENGTHS, name="toy", classes=("a", "b"))


def shown(batch: Batch) -> list[list[int]]:
    return batch.x[:, :, 0, 0, 0].tolist()


def test_all_frames_are_padded_by_the_last():
    (batch,) = batches(stored(), [np.array([1, 0])], ALL)
    assert shown(batch) == [[20, 21, 22, 22, 22], [0, 1, 2, 3, 4]]
    assert batch.lengths.tolist() == [3, 5]
    assert batch.target.tolist() == [1, 0]
    assert batch.indices.tolist() == [1, 0]
    (alone,) = batches(stored(), [np.array([2])], FrameSampler("all", stride=2.5))
    assert shown(alone) == [[40, 42, 45, 47]]
    assert alone.lengths is None


def test_test_frames_are_the_middle_then_the_start():
    order = [np.array([2, 3])]
    (middle,) = batches(stored(), order, FrameSampler(2))
    (start,) = batches(stored(), order, FrameSampler(2), view=1)
    assert shown(middle) == [[42, 46], [61, 63]]
    assert shown(start) == [[40, 44], [60, 62]]


@pytest.mark.parametrize("dense", [False, True])
def test_drawn_frames_hang_on_seed_epoch_and_clip_alone(dense):
    sampler = FrameSampler(3, dense=dense)
    order = [np.array([0, 1, 2, 3])]
    (together,) = batches(stored(), order, sampler, draw=(7, 2))
    alone = batches(stored(), [np.array([i]) for i in range(4)], sampler, draw=(7, 2))
    for i, batch in enumerate(alone):
        assert shown(batch)[0] == shown(together)[i]
    if not dense:
        expected = 40 + segment_frames(8, 3, rng=clip_rng(7, 2, 2))[0]
        assert shown(together)[2] == expected.tolist()
    drawn = {
        tuple(shown(*batches(stored(), [np.array([2])], FrameSampler(2), draw=(7, epoch)))[0])
        for epoch in range(8)
    }
    assert len(drawn) > 2


@given(st.integers(1, 40), st.sampled_from(["all", 1, 3, 8]), st.integers(0, 9), st.integers(0, 1))
def test_the_order_changes_no_frame_but_its_place(t, count, index, view):
    view = 0 if count == "all" else view
    forward, backward, mixed = (
        FrameSampler(count, order=order).of_clip(t, index, view=view).tolist()
        for order in ("forward", "reversed", "shuffled")
    )
    assert backward == forward[::-1]
    assert sorted(mixed) == sorted(forward)


def test_frames_backwards_are_padded_by_the_first():
    (batch,) = batches(stored(), [np.array([1, 0])], FrameSampler("all", order="reversed"))
    assert shown(batch) == [[22, 21, 20, 20, 20], [4, 3, 2, 1, 0]]
    assert batch.lengths.tolist() == [3, 5]
    (few,) = batches(stored(), [np.array([2, 3])], FrameSampler(2, order="reversed"))
    assert shown(few) == [[46, 42], [63, 61]]
    (alone,) = batches(stored(), [np.array([2])], FrameSampler("all", stride=2.5, order="reversed"))
    assert shown(alone) == [[47, 45, 42, 40]]


def test_each_clip_is_shuffled_in_an_order_of_its_own():
    sampler = FrameSampler("all", order="shuffled")
    orders = [tuple(sampler.of_clip(8, index)) for index in range(20)]
    assert len(set(orders)) == 20
    assert orders == [tuple(sampler.of_clip(8, index)) for index in range(20)]
    (together,) = batches(stored(), [np.array([2, 0, 1])], sampler)
    assert shown(together)[0] == [40 + frame for frame in orders[2]]
    assert shown(together)[2][:3] == [20 + frame for frame in sampler.of_clip(3, 1)]


def by_length(kind: str) -> Clips:
    """The same numbered clips of 8 frames: one behind the other, side by side, or generated."""
    videos = torch.arange(24, dtype=torch.uint8).view(3, 8, 1, 1, 1)
    if kind == "behind":
        return InMemory(videos.flatten(0, 1), np.arange(3), np.full(3, 8))
    if kind == "beside":
        return InMemory(videos, torch.arange(3))

    class Generated:
        lengths, targets = np.full(3, 8), np.arange(3)

        def __len__(self):
            return 3

        def read(self, i, frames):
            return videos[i][frames]

    return Generated()


SAMPLERS = [
    (FrameSampler("all"), {}),
    (FrameSampler("all", order="reversed"), {}),
    (FrameSampler("all", order="shuffled"), {}),
    (FrameSampler("all", order="shuffled"), {"draw": (1, 5)}),
    (FrameSampler("all", window=4), {"draw": (0, 3)}),
    (FrameSampler("all", window=4), {"view": 7}),
    (FrameSampler("all", window=3, stride=2, order="reversed"), {}),
    (FrameSampler(4), {}),
    (FrameSampler(4), {"draw": (1, 5)}),
    (FrameSampler(4), {"view": 1}),
    (FrameSampler(4, sampling="random"), {"draw": (1, 5)}),
    (FrameSampler(4, dense=True), {"draw": (1, 5)}),
    (FrameSampler(4, dense=True), {"view": 9}),
]


@pytest.mark.parametrize("kind", ["behind", "beside", "generated"])
@pytest.mark.parametrize(("sampler", "how"), SAMPLERS, ids=str)
def test_frames_of_a_clip_are_the_same_in_every_set_batch_worker_and_stream(kind, sampler, how):
    clips = by_length(kind)
    require_clips(clips, 3)
    expected = [(8 * i + sampler.of_clip(8, i, **how)).tolist() for i in range(3)]
    for passes in ([[2], [0, 1]], [[0, 1, 2]], [[1, 0], [2]]):
        passes = [np.array(indices) for indices in passes]
        for batch in batches(clips, passes, sampler, **how):
            assert shown(batch) == [expected[i] for i in batch.indices]
            assert batch.target.tolist() == batch.indices.tolist()
        for batch in batches(clips, passes, sampler, stream=True, **how):
            found = torch.cat(list(batch.x.parts(3))).flatten().tolist()
            assert found == [frame for i in batch.indices for frame in expected[i]]
            assert batch.lengths is None
            assert batch.target.tolist() == batch.indices.tolist()


@given(st.integers(0, 9), st.integers(0, 9), st.permutations(range(4)), st.integers(1, 4))
def test_drawn_frames_are_those_of_seed_epoch_and_index(seed, epoch, order, size):
    sampler, clips = FrameSampler(2), stored()
    for batch in batches(clips, chunks(np.array(order), size), sampler, draw=(seed, epoch)):
        for row, i in zip(shown(batch), batch.indices, strict=True):
            rng = clip_rng(seed, epoch, int(i))
            assert row == (20 * i + segment_frames(int(LENGTHS[i]), 2, rng=rng)[0]).tolist()


def test_clips_that_are_generated_are_those_that_are_held():
    clips = Move4MNIST("train", clips=6)
    require_clips(clips, len(clips.classes))
    assert isinstance(clips, Clips)
    held = InMemory(*clips.materialise())
    order = chunks(np.array([5, 0, 3]), 2)
    for sampler, how in SAMPLERS:
        pairs = zip(*(batches(x, order, sampler, **how) for x in (clips, held)), strict=True)
        for one, two in pairs:
            assert torch.equal(one.x, two.x)
            assert torch.equal(one.target, two.target)


def test_worker_processes_change_nothing():
    order = [np.array([3, 0]), np.array([2]), np.array([1])]
    for sampler, draw in ((ALL, None), (FrameSampler(2), (0, 1))):
        alone, *helped = (
            list(batches(stored(), order, sampler, draw=draw, workers=n)) for n in (0, 1, 2)
        )
        for others in helped:
            for one, two in zip(alone, others, strict=True):
                assert torch.equal(one.x, two.x)
                assert torch.equal(one.target, two.target)
                assert np.array_equal(one.indices, two.indices)
                assert (one.lengths is None) == (two.lengths is None)


def test_an_error_of_a_worker_comes_through():
    class Damaged(InMemory):
        def read(self, i, frames):
            raise ValueError(f"clip {i} is damaged")

    clips = stored(Damaged)
    for workers in (0, 1):
        with pytest.raises(ValueError, match="clip 3 is damaged"):
            list(batches(clips, [np.array([3])], ALL, workers=workers))


@pytest.mark.process
def test_memory_does_not_grow_over_epochs(tmp_path):
    """Ten epochs of decoding in worker processes and of crops; a batch alone is 0.9 MB."""
    write_mini("ucf101", tmp_path, clips=20, jobs=0)
    found = read_benchmark("ucf101", tmp_path, "train")
    clips = VideoClips(found, count_frames(found))
    crop = TrainTransform("ucf101", 64)

    def resident_after_an_epoch(epoch):
        order, how = chunks(np.arange(len(clips)), 4), {"draw": (0, epoch), "workers": 2}
        for batch in batches(clips, order, FrameSampler(16), **how):
            crop(batch.x, batch.indices, seed=0, epoch=epoch)
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    sizes = [resident_after_an_epoch(epoch) for epoch in range(10)]
    assert max(sizes[5:]) - max(sizes[:5]) < 2**20


def test_clips_of_other_sizes_come_one_by_one():
    class Mixed(InMemory):
        def read(self, i, frames):
            return super().read(i, frames)[..., : 32 - i]

    clips = stored(Mixed)
    (batch,) = batches(clips, [np.array([0, 2])], FrameSampler(2))
    assert [tuple(clip.shape) for clip in batch.x] == [(2, 1, 32, 32), (2, 1, 32, 30)]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(9, 30))
def test_parts_keep_the_order_and_the_budget(lengths, budget):
    frames = np.array(lengths)
    order = np.random.default_rng(0).permutation(len(frames))
    parts = batch_by_frame_budget(order, frames, budget)
    assert np.concatenate(parts).tolist() == order.tolist()
    for part, after in zip(parts, [*parts[1:], None], strict=True):
        assert frames[part].max() * len(part) <= budget
        if after is not None:  # no part ends before it has to
            longer = [*part, after[0]]
            assert frames[longer].max() * len(longer) > budget


def test_a_clip_beyond_the_budget_is_named():
    with pytest.raises(ValueError, match="a clip has 8 frames, but only 6 fit at once"):
        batch_by_frame_budget(np.arange(4), LENGTHS, 6)


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


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"frames": torch.zeros(6, 1, 2, 2)}, r"frames are .*; wanted a tensor \(n, t, c, h, w\)"),
        ({"frames": np.zeros((2, 3, 1, 2, 2))}, "wanted a tensor"),
        ({"lengths": np.array([3, 3])}, r"\(m, c, h, w\) with the lengths"),
        ({"targets": torch.zeros(3).long()}, r"\(2,\) lengths with sum 6 and \(3,\) targets"),
        ({"frames": torch.zeros(5, 1, 2, 2), "lengths": np.array([3, 3])}, "for 5 frames"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_tensors_that_are_no_clips_are_refused(wrong, message):
    good = {"frames": torch.zeros(2, 3, 1, 2, 2), "targets": torch.zeros(2).long()}
    with pytest.raises(ValueError, match=message):
        InMemory(**{**good, **wrong})


@pytest.mark.parametrize(("i", "frame"), [(0, 5), (0, -1), (3, 4), (4, 0), (-1, 0)])
def test_frames_of_the_neighbour_are_not_given(i, frame):
    with pytest.raises(ValueError, match=f"there are no frames .* of clip {i}, of 4 clips"):
        stored().read(i, np.array([0, frame]))


class Faulty:
    """Clips with something wrong."""

    def __init__(self, **wrong):
        self.lengths, self.targets = np.array([5, 3]), np.array([0, 1])
        vars(self).update(wrong)

    def __len__(self):
        return 2

    def read(self, i, frames):
        raise AssertionError("nothing is read")


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        (torch.zeros(2, 3, 1, 4, 4), "clips are of type Tensor, without lengths, targets, read"),
        ([1, 2], "clips are of type list, without lengths, targets, read; .* makes one"),
        (None, "clips are of type NoneType, without __len__"),
        (Faulty(lengths=[5, 3]), r"lengths of 2 clips are \[5, 3\]; wanted a NumPy array"),
        (Faulty(lengths=np.array([5, 0])), "lengths of the clips are 1 or more, but clip 1 has 0"),
        (Faulty(lengths=np.array([5.0, 3])), "lengths of 2 clips are array"),
        (Faulty(lengths=np.array([5])), r"lengths of 2 clips are array\(\[5\]\); .* as many whole"),
        (Faulty(targets=torch.tensor([0, 1])), "targets of 2 clips are tensor"),
        (Faulty(targets=np.array([0.0, 1])), "targets of 2 clips are array"),
        (Faulty(targets=np.array([True, False])), "targets of 2 clips are array"),
        (
            Faulty(targets=np.array([0, -1])),
            "targets of the clips are 0 or more, but clip 1 has -1",
        ),
        (Faulty(targets=np.array([0, 2])), "clip 1 is of class 2, and there are 2 classes"),
        (Faulty(targets=np.array([0, 2]), names=["a", "b"]), r"clip 1 \(b\) is of class 2"),
        (InMemory(torch.zeros(0, 3, 1, 2, 2), np.zeros(0, int)), "there are no clips"),
    ],
)
def test_what_clips_lack_is_said(clips, message):
    with pytest.raises(ValueError, match=message):
        require_clips(clips, 2)
