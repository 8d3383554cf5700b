"""Clips as streams: the frames of `read` and of `batches`, in parts, in little memory."""

import os
import subprocess
import sys
import threading
import time
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fvlib.contracts import ChunkedClips, Stream
from fvlib.datasets import EvalTransform, FrameSampler, InMemory, TrainTransform
from fvlib.datasets.loading import batches
from fvlib.datasets.streams import ClipStream, prefetch
from fvlib.datasets.videos import UnreadableClip, VideoFile, count_frames, video_folder
from fvlib.datasets.videos.clips import VideoClips
from lab.synthetic import SYNTHETIC
from lab.synthetic.writing import encode

pytest.importorskip("av")

LENGTHS = (21, 13, 1, 9)  # three files and a folder of pictures
ALL = FrameSampler("all")
EVERY = np.array([0, 1, 2, 3])


def pictures(t, h=48, w=64, seed=0):
    """A camera that moves over a soft pattern."""
    noise = np.random.default_rng(seed).integers(0, 255, (h // 4, w // 4, 3), np.uint8)
    large = np.asarray(Image.fromarray(noise).resize((2 * (w + t), 2 * (h + t))))
    return np.stack([large[i : i + h, i : i + w] for i in range(t)])


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for i, t in enumerate(LENGTHS[:-1]):
        path = folder / "ab"[i % 2] / f"{i}.avi"
        path.parent.mkdir(exist_ok=True)
        encode(path, pictures(t, seed=i), SYNTHETIC["ucf101"].encoding)
    (folder / "c" / "3").mkdir(parents=True)
    for i, picture in enumerate(pictures(LENGTHS[-1], seed=3)):
        Image.fromarray(picture).save(folder / "c" / "3" / f"{i}.png")
    return folder


def stored(root, fps=None, **options):
    found = video_folder(root)
    return VideoClips(found, count_frames(found, fps=fps, rate=25), fps=fps, rate=25, **options)


def every_frame(clips, indices, sampler=ALL, **how):
    """Clip by clip, each read at once."""
    chosen = [sampler.of_clip(int(clips.lengths[i]), int(i), **how) for i in indices]
    return torch.cat([clips.read(int(i), f) for i, f in zip(indices, chosen, strict=True)])


def assert_parts(parts, size, whole):
    parts = list(parts)
    assert [len(part) for part in parts[:-1]] == [size] * (len(parts) - 1)
    assert 1 <= len(parts[-1]) <= size
    assert torch.equal(torch.cat(parts), whole)


# --- the same frames ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{}, {"size": (20, 30)}, {"channels": 1}, {"fps": 10}, {"fps": 40, "size": (9, 9)}],
    ids=str,
)
def test_parts_are_the_frames_of_read(root, options):
    clips = stored(root, **options)
    indices = np.array([3, 0, 2, 1])
    stream, whole = ClipStream(clips, indices), every_frame(clips, indices)
    assert stream.lengths.tolist() == clips.lengths[indices].tolist()
    for size in (1, 8, 9, 10, 1000):
        assert_parts(stream.parts(size), size, whole)


@pytest.mark.parametrize("kind", ["files", "memory", "mapped"])
def test_parts_are_the_frames_of_a_batch(root, kind, tmp_path):
    clips = stored(root, size=(24, 32))
    assert isinstance(clips, ChunkedClips)
    if kind != "files":
        clips = clips.materialise(tmp_path if kind == "mapped" else None)
    (batch,) = batches(clips, [EVERY], ALL)
    stream = ClipStream(clips, EVERY)
    assert isinstance(stream, Stream)
    assert torch.equal(stream.lengths, batch.lengths)
    whole = torch.cat([clip[:t] for clip, t in zip(batch.x, batch.lengths, strict=True)])
    for size in (7, 32):
        for _ in range(2):
            assert_parts(stream.parts(size), size, whole)


@pytest.mark.parametrize("t", [1, 7, 8, 9])
def test_a_clip_of_about_a_part(t):
    frames = torch.arange(t, dtype=torch.uint8).view(t, 1, 1, 1)
    clips = InMemory(frames, np.array([0]), np.array([t]))
    found = [part.flatten().tolist() for part in ClipStream(clips, np.array([0])).parts(8)]
    assert found == [list(range(t))[:8], [8]][: 1 + (t == 9)]


@pytest.mark.parametrize(
    ("sampler", "draw"),
    [
        (FrameSampler("all", stride=2.5), None),
        (FrameSampler("all", order="reversed"), None),
        (FrameSampler("all", order="shuffled"), None),
        (FrameSampler(16), None),  # of a clip with fewer frames some come twice
        (FrameSampler(16, dense=True), (0, 3)),  # starts again from the first
        (FrameSampler(4), (0, 3)),
    ],
    ids=str,
)
def test_any_choice_of_frames_and_any_order(root, sampler, draw):
    clips = stored(root)
    (batch,) = batches(clips, [EVERY], sampler, draw=draw, stream=True)
    assert batch.target.tolist() == clips.targets.tolist()
    assert_parts(batch.x.parts(5), 5, every_frame(clips, EVERY, sampler, draw=draw))


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=30), st.integers(1, 9))
def test_a_walk_gives_what_read_gives(root, frames, size):
    parts = np.split(np.sort(frames), range(size, len(frames), size))
    clip = VideoFile(root / "a" / "0.avi")
    for part, found in zip(parts, clip.iter_chunks(parts, size=(11, 12)), strict=True):
        np.testing.assert_array_equal(found, clip.read(part, size=(11, 12)))


def test_a_file_is_opened_and_decoded_once(root, monkeypatch):
    decoded = []
    decode = VideoFile.decoded

    def counted(clip):
        decoded.append(f"open {clip.path.name}")
        for pair in decode(clip):
            decoded.append(clip.path.name)
            yield pair

    monkeypatch.setattr(VideoFile, "decoded", counted)
    stream = ClipStream(stored(root), np.array([0, 1]))
    decoded.clear()
    for _ in stream.parts(4):
        pass
    assert decoded == ["open 0.avi", *21 * ["0.avi"], "open 2.avi", "2.avi"]


# --- what is done to the frames -------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [1, 6, 50])
def test_a_crop_of_parts_is_the_crop_of_the_clip(root, channels, size):
    clips = stored(root, channels=channels)
    train = TrainTransform("ucf101", 24, flip=True)
    views = EvalTransform(40, 32, 3)
    whole = [clips.read(i, np.arange(t)) for i, t in enumerate(clips.lengths)]
    for epoch in range(2):
        drawn = {"seed": 2, "epoch": epoch}
        cropped = [train(x[None], np.array([i]), **drawn)[0] for i, x in enumerate(whole)]
        stream = ClipStream(clips, EVERY, transform=partial(train, **drawn))
        assert_parts(stream.parts(size), size, torch.cat(cropped))
    stream = ClipStream(clips, EVERY, transform=lambda x, _: views(x)[:, 2])
    wanted = torch.cat([views(x[None])[0, 2] for x in whole])
    assert_parts(stream.parts(size), size, wanted)


def test_clips_of_two_sizes_need_a_transform(tmp_path):
    for i, w in enumerate((64, 80)):
        encode(tmp_path / f"{i}.avi", pictures(5, w=w), SYNTHETIC["ucf101"].encoding)
    (tmp_path / "a").mkdir()
    for i in range(2):
        (tmp_path / f"{i}.avi").rename(tmp_path / "a" / f"{i}.avi")
    clips, both = stored(tmp_path), np.array([0, 1])
    for size in (3, 5):  # the change is within a part, and between two
        with pytest.raises(ValueError, match=r"clip 1 are of \(c, h, w\) \(3, 48, 80\)"):
            list(ClipStream(clips, both).parts(size))
    crop = partial(TrainTransform("ucf101", 24), seed=0, epoch=0)
    assert sum(map(len, ClipStream(clips, both, transform=crop).parts(3))) == 10


# --- made ahead -----------------------------------------------------------------------------------


def open_things():
    return threading.active_count(), len(os.listdir("/proc/self/fd"))


def test_an_iteration_that_is_left_leaves_nothing(root):
    stream = ClipStream(stored(root), EVERY)
    before = open_things()
    for size in (1, 5, 1000):
        for _ in stream.parts(size):
            break
        assert next(stream.parts(size)).shape[1:] == (3, 48, 64)
        assert open_things() == before
        parts = stream.parts(size)
        next(parts)
        parts.close()
        assert open_things() == before
    never_begun = stream.parts(3)
    assert open_things() == before
    del never_begun


def test_one_item_is_made_ahead_and_no_more():
    made, closed = [], []

    def items():
        try:
            for i in range(5):
                made.append(i)
                yield i
        finally:
            closed.append(True)

    coming = prefetch(items())
    assert made == []
    for i in range(3):
        assert next(coming) == i
        end = time.monotonic() + 5
        while len(made) < i + 2 and time.monotonic() < end:
            time.sleep(0.001)  # the thread makes the next one while this one waits
        time.sleep(0.01)
        assert made == list(range(i + 2))
    coming.close()
    assert closed == [True]
    assert list(prefetch(i for i in range(4))) == [0, 1, 2, 3]
    assert list(prefetch(i for i in ())) == []


def test_a_damaged_clip_is_named_where_it_is_used(root, tmp_path):
    good = (root / "a" / "0.avi").read_bytes()
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "cut.avi").write_bytes(good[: 4 * len(good) // 5])
    found = video_folder(tmp_path)
    before = open_things()
    stream = ClipStream(VideoClips(found, np.array([21])), np.array([0]))
    shown = []
    with pytest.raises(UnreadableClip, match=r"cut\.avi: (is|has)"):
        shown.extend(stream.parts(2))
    whole = torch.from_numpy(VideoFile(root / "a" / "0.avi").read()).movedim(-1, 1)
    assert 2 < len(shown) < 10
    assert torch.equal(torch.cat(shown), whole[: 2 * len(shown)])
    assert open_things() == before
    (tmp_path / "a" / "cut.avi").write_bytes(good)
    short = ClipStream(VideoClips(found, np.array([25])), np.array([0]))
    with pytest.raises(UnreadableClip, match=r"cut\.avi: has 21 frames, but frame 24"):
        list(short.parts(4))


def test_a_damaged_picture_is_named(tmp_path):
    folder = tmp_path / "a" / "clip"
    folder.mkdir(parents=True)
    for i, picture in enumerate(pictures(6)):
        Image.fromarray(picture).save(folder / f"{i}.png")
    (folder / "4.png").write_bytes(b"text")
    parts = ClipStream(stored(tmp_path), np.array([0])).parts(2)
    assert [len(next(parts)) for _ in range(2)] == [2, 2]
    with pytest.raises(UnreadableClip, match=r"4\.png: is no picture that can be read"):
        next(parts)


def test_wrong_arguments_are_refused(root):
    clips = stored(root)
    for parts in ([[3, 1]], [[4, 5], [4]]):
        with pytest.raises(ValueError, match=r"0\.avi: frames that go back in time"):
            list(clips.iter_chunks(0, [np.array(part) for part in parts]))


# --- memory ---------------------------------------------------------------------------------------

PEAKS = """
import sys
from pathlib import Path
import numpy as np
from fvlib.datasets.streams import ClipStream
from fvlib.datasets.videos import video_folder
from fvlib.datasets.videos.clips import VideoClips

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024

clips = VideoClips(video_folder(sys.argv[1]), np.array([300, 3000]))
for i in range(2):
    for _ in range(2):
        assert sum(map(len, ClipStream(clips, np.array([i])).parts(32)))
    print(peak())
clips.read(1, np.arange(3000))
print(peak())
"""


@pytest.mark.process
def test_memory_is_that_of_a_part_however_long_the_clip_is(tmp_path):
    """In MB: ten times as many frames, and then all 110 MB of them at once."""
    (tmp_path / "a").mkdir()
    for i, t in enumerate((300, 3000)):
        still = np.broadcast_to(pictures(1, 96, 128), (t, 96, 128, 3))
        encode(tmp_path / "a" / f"{i}.avi", still, SYNTHETIC["ucf101"].encoding)
    command = [sys.executable, "-c", PEAKS, str(tmp_path)]
    alone = {**os.environ, "MALLOC_ARENA_MAX": "1"}  # or each thread may keep some of its own
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=alone)
    short, long, whole = map(int, done.stdout.split())
    assert long - short < 6
    assert whole - short > 80
