"""Optical flow of clips: what it says of known motion, how it is kept, stacked and mirrored."""

import sys
from importlib.util import find_spec
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fvlib.contracts import Clips
from fvlib.datasets import FrameSampler, InMemory, TrainTransform
from fvlib.datasets.loading import batches, chunks
from fvlib.datasets.videos import video_folder
from fvlib.datasets.videos.clips import VideoClips
from fvlib.training import Recipe
from fvlib.training.loop import _crop
from lab import flow as flow_module
from lab.flow import FlowClips, FlowStacks, dense_inverse_search, flow_clips, to_bytes

needs_opencv = pytest.mark.skipif(find_spec("cv2") is None, reason="wants the extra flow")
H, W, SIDE = 48, 64, 24


def texture(x, y, seed):
    """Waves in all directions, 6 to 16 pixels long, between 0 and 255."""
    rng = np.random.default_rng(seed)
    waves = 0
    for _ in range(12):
        angle, long, phase = rng.uniform(0, 7), rng.uniform(6, 16), rng.uniform(0, 7)
        waves = waves + np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / long + phase)
    return np.clip(127.5 + 40 * waves, 0, 255)


def corner(velocity, frame):
    """(left, top) of the square."""
    return 18 + velocity[0] * frame, 11 + velocity[1] * frame


def film(velocity, t=4, channels=3, seed=0):
    """A textured square that moves over a textured ground; uint8 (t, channels, H, W)."""
    y, x = np.mgrid[:H, :W].astype(float)
    frames = []
    for frame in range(t):
        left, top = corner(velocity, frame)
        inside = (x >= left) & (x < left + SIDE) & (y >= top) & (y < top + SIDE)
        square = texture(x - left, y - top, seed + 1)
        frames.append(np.where(inside, square, texture(x, y, seed)).round())
    grey = torch.from_numpy(np.stack(frames).astype(np.uint8))
    return grey[:, None].repeat(1, channels, 1, 1)


def decoded(*films, name="moving"):
    lengths = np.array([len(f) for f in films])
    targets = np.arange(len(films))
    return InMemory(torch.cat(films), targets, lengths, name=name, classes=("a", "b", "c", "d"))


def whole(clips, i):
    return clips.read(i, np.arange(clips.lengths[i]))


def pixels(flows):
    """Bytes as TSN's tools mean them."""
    return flows.double() / 255 * 40 - 20


def inside(flow, velocity, frame, margin=4):
    """The median of what moves inside the square, across and down."""
    left, top = (round(v) for v in corner(velocity, frame))
    part = flow[:, top + margin : top + SIDE - margin, left + margin : left + SIDE - margin]
    return part.flatten(1).median(1).values.tolist()


# --- what the flow says ---------------------------------------------------------------------------


@needs_opencv
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("velocity", [(2, 0), (-1.5, 1), (0.5, -2.25), (4, 3)])
def test_flow_inside_a_moving_square_is_its_velocity(tmp_path, velocity, channels):
    clips = decoded(film(velocity, channels=channels))
    flows = flow_clips(clips, tmp_path)
    assert flows.lengths.tolist() == [3]
    for frame, bytes_ in enumerate(whole(flows, 0)):
        assert inside(pixels(bytes_), velocity, frame) == pytest.approx(velocity, abs=0.3)
        assert pixels(bytes_)[:, :6, :10].abs().max() < 0.3  # the ground stands still


@needs_opencv
def test_a_clip_that_stands_still_is_128_everywhere_and_so_is_a_clip_of_one_frame(tmp_path):
    still = film((0, 0))
    flows = flow_clips(decoded(still, still[:1]), tmp_path)
    assert flows.lengths.tolist() == [3, 1]
    for i in range(2):
        assert whole(flows, i).shape == (flows.lengths[i], 2, H, W)
        assert (whole(flows, i) == 128).all()


@needs_opencv
def test_reversing_time_turns_the_sign(tmp_path):
    velocity, x = (1.75, -1), film((1.75, -1))
    flows = flow_clips(decoded(x, x.flip(0)), tmp_path)
    for frame in range(3):  # backwards, flow 2 - frame begins at frame + 1
        forward = inside(pixels(whole(flows, 0)[frame]), velocity, frame)
        back = inside(pixels(whole(flows, 1)[2 - frame]), velocity, frame + 1)
        assert back == pytest.approx([-v for v in forward], abs=0.2)


@given(seed=st.integers(0, 99))
@settings(max_examples=8, deadline=None)
def test_bytes_are_those_of_the_tools(seed):
    flow = 40 * torch.randn(3, 2, 4, 5, generator=torch.Generator().manual_seed(seed))
    for value, byte in zip(flow.flatten().tolist(), to_bytes(flow).flatten().tolist(), strict=True):
        inside = min(max(value, -20), 20)
        assert abs(pixels(torch.tensor(byte)) - inside) <= 1.001 * 20 / 255
    assert to_bytes(torch.zeros(1, 2, 1, 1)).tolist() == [[[[128]], [[128]]]]


# --- how it is kept -------------------------------------------------------------------------------


@needs_opencv
@pytest.mark.parametrize("workers", [1, 2])
def test_flow_is_that_of_each_pair_also_over_the_edges_of_parts(tmp_path, monkeypatch, workers):
    clips = decoded(film((1, 1), t=7), film((-1, 0), t=2), film((0, 1), t=1))
    monkeypatch.setattr(flow_module, "_AT_ONCE", 3)
    flows = flow_clips(clips, tmp_path, workers=workers)
    flow = dense_inverse_search()
    for i in range(2):
        x = whole(clips, i)
        pairs = [to_bytes(flow(torch.stack(pair)))[0] for pair in pairwise(x)]
        assert torch.equal(whole(flows, i), torch.stack(pairs))
    assert isinstance(flows, FlowClips)
    assert isinstance(flows, Clips)
    assert (flows.name, flows.classes) == (clips.name, clips.classes)
    assert flows.targets.tolist() == [0, 1, 2]


@needs_opencv
def test_flow_is_kept_and_made_anew_where_clips_change(tmp_path, monkeypatch):
    a, b = film((1, 0)), film((2, 0))
    first = whole(flow_clips(decoded(a), tmp_path), 0)
    assert len(list(tmp_path.iterdir())) == 1
    with monkeypatch.context() as patch:
        patch.setattr(flow_module, "dense_inverse_search", lambda: pytest.fail("made again"))
        assert torch.equal(whole(flow_clips(decoded(a), tmp_path), 0), first)
    assert not torch.equal(whole(flow_clips(decoded(b), tmp_path), 0), first)
    assert len(list(tmp_path.iterdir())) == 2


@needs_opencv
def test_a_damaged_file_of_flow_is_told(tmp_path):
    clips = decoded(film((1, 0)), film((0, 1)))
    flow_clips(clips, tmp_path)
    (file,) = tmp_path.iterdir()
    for content in (b"", file.read_bytes()[:-5], b"x" * 500, b"\x93NUMPY\x01\x00\xff\xff{"):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=f"{file.name} is damaged .* delete it"):
            flow_clips(clips, tmp_path)


@needs_opencv
def test_flow_of_video_files(tmp_path):
    av = pytest.importorskip("av")
    (tmp_path / "clips" / "a").mkdir(parents=True)
    x = film((2, 1), t=5)
    with av.open(str(tmp_path / "clips" / "a" / "one.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.bit_rate = H, W, 4_000_000
        for picture in x.movedim(1, -1).numpy():
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    files = video_folder(tmp_path / "clips", None)
    clips = VideoClips(files, np.array([5]))
    flows = flow_clips(clips, tmp_path / "cache")
    assert inside(pixels(whole(flows, 0)[1]), (2, 1), 1) == pytest.approx((2, 1), abs=0.3)
    name = next((tmp_path / "cache").iterdir()).name
    flow_clips(VideoClips(files, np.array([5]), size=(H, W)), tmp_path / "cache")
    assert {name} < {file.name for file in (tmp_path / "cache").iterdir()}


# --- stacks ---------------------------------------------------------------------------------------


def numbered(*lengths):
    """Flow in which every byte tells its place: 2 * flow + channel, of the whole set."""
    total = 2 * sum(lengths)
    frames = torch.arange(total, dtype=torch.uint8).view(-1, 2, 1, 1).expand(-1, 2, 3, 4)
    lengths = np.array(lengths)
    return FlowClips(frames, np.zeros(len(lengths), np.int64), lengths, name="flow")


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    count=st.integers(1, 6),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_stacks_are_flows_in_a_row(lengths, count, seed):
    flows = numbered(*lengths)
    stacks = FlowStacks(flows, count)
    rng = np.random.default_rng(seed)
    for i, t in enumerate(lengths):
        assert stacks.lengths[i] == max(1, t - count + 1)
        frames = rng.integers(t, size=4)
        found = stacks.read(i, frames)
        assert found.shape == (4, 2 * count, 3, 4)
        for place, stack in zip(frames.tolist(), found, strict=True):
            rows = [min(place + k, t - 1) for k in range(count)]
            assert torch.equal(stack, torch.cat([whole(flows, i)[row] for row in rows]))


def test_stacks_go_through_the_loader():
    stacks = FlowStacks(numbered(5, 12), 10)
    assert isinstance(stacks, Clips)
    steps = chunks(np.arange(2), 2)
    (batch,) = batches(stacks, steps, FrameSampler(2))
    assert batch.x.shape == (2, 2, 20, 3, 4)
    assert batch.x[0, 0, :, 0, 0].tolist() == [*range(10)] + 5 * [8, 9]
    assert batch.x[1, 1, :, 0, 0].tolist() == [*range(14, 34)]  # from flow 2 of its 12


# --- mirrored -------------------------------------------------------------------------------------


def test_mirrored_flow_goes_the_other_way_across_and_the_same_way_down():
    x = torch.randint(0, 256, (6, 3, 4, 8, 8), dtype=torch.uint8)
    options = {"size": 8, "scales": (1,), "flip": True}
    plain, flow = (
        TrainTransform("ucf101", **options, flow=f)(x.clone(), np.arange(6), seed=0, epoch=0)
        for f in (False, True)
    )
    mirrored = ~(plain == x).flatten(1).all(1)
    assert 0 < mirrored.sum() < 6
    wanted = plain.clone()
    wanted[mirrored, :, 0] = 255 - wanted[mirrored, :, 0]
    wanted[mirrored, :, 2] = 255 - wanted[mirrored, :, 2]
    assert torch.equal(flow, wanted)


@needs_opencv
def test_flow_of_mirrored_frames_is_mirrored_flow(tmp_path):
    velocity, x = (2, 1), film((2, 1))
    flows = flow_clips(decoded(x, x.flip(-1)), tmp_path)
    there = whole(flows, 0).flip(-1)
    there[:, 0] = 255 - there[:, 0]
    assert (there.int() - whole(flows, 1).int()).abs().float().median() <= 1
    first = pixels(whole(flows, 1)[0]).flip(-1)
    assert inside(first, velocity, 0) == pytest.approx((-2, 1), abs=0.3)


def test_training_knows_flow_by_its_attribute():
    recipe = Recipe(epochs=1, crop=8, flip=True)
    frames = InMemory(
        torch.zeros(1, 2, 3, 8, 8, dtype=torch.uint8), torch.tensor([0]), name="ucf101"
    )
    assert not _crop(frames, recipe).flow
    for clips in (numbered(4), FlowStacks(numbered(4), 2)):
        assert _crop(clips, recipe).flow


# --- bad input ------------------------------------------------------------------------------------


def test_without_opencv_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match=r"pip install 'fvlib\[flow\]'"):
        flow_clips(decoded(film((1, 0))), tmp_path)


@needs_opencv
def test_frames_of_different_sizes_are_refused(tmp_path):
    class Two(InMemory):
        def read(self, i, frames):
            return super().read(i, frames)[..., : 40 + 8 * i]

    x = film((1, 0))
    clips = Two(torch.stack([x, x]), np.array([0, 0]), name="two")
    with pytest.raises(ValueError, match="one size"):
        flow_clips(clips, tmp_path)
