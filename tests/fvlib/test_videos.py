"""Clips on disk and the check of a data root: whole, damaged, oddly named, of all kinds."""

import gc
import os
import pickle
import resource
import socket
import sys
import tracemalloc
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fvlib.datasets.videos import (
    FrameFolder,
    FrameIndex,
    UnreadableClip,
    VideoFile,
    check,
    count_frames,
    nearest_frames,
    open_clip,
    read_skip_list,
    video_folder,
    write_skip_list,
)
from fvlib.datasets.videos import files as video_files
from fvlib.datasets.videos.check import ABSENT, CRASHED
from fvlib.datasets.videos.clips import VideoClips

av = pytest.importorskip("av")

real = pytest.mark.skipif("FVLIB_DATA" not in os.environ, reason="FVLIB_DATA names no real clips")
T = 40  # frames of the clips that most tests read
CODECS = {  # container by codec, as the five benchmarks and people's own clips have them
    "avi": ("mpeg4", {"bf": "2"}),
    "mp4": ("libx264", {"preset": "ultrafast"}),
    "mkv": ("libx264", {"preset": "ultrafast", "bf": "2"}),
    "webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
}
check_module = sys.modules[check.__module__]  # the package has the function under that name


def pictures(t=30, h=48, w=64, seed=0):
    """A camera that moves over a soft pattern."""
    noise = np.random.default_rng(seed).integers(0, 255, (h // 4, w // 4, 3), np.uint8)
    large = np.asarray(Image.fromarray(noise).resize((2 * (w + t), 2 * (h + t))))
    return np.stack([large[i : i + h, i : i + w] for i in range(t)])


def encode(path, frames, *, codec="", rate=25, times=None, **options):
    usual, usual_options = CODECS.get(path.suffix[1:], ("mpeg4", {}))
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec or usual, rate=rate)
        stream.options = {**({} if codec else usual_options), **options}
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if times:
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for i, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if times:
                frame.pts, frame.time_base = round(times[i] * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def plain(path):
    """All frames as PyAV gives them."""
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def damaged(path, suffix="", *, cut=1.0, at=0.5, noise=0):
    """A copy that ends early, or with noise in the middle."""
    content = bytearray(path.read_bytes())
    head = min(6000, len(content) // 3)  # where an AVI file has nothing but room
    start = head + int(at * (len(content) - head))
    content[start : start + noise] = np.random.default_rng(0).bytes(noise)
    copy = path.with_name(f"damaged{suffix or path.suffix}")
    copy.write_bytes(content[: int(cut * len(content))])
    return copy


@pytest.fixture(scope="module", params=CODECS)
def video(request, tmp_path_factory):
    return encode(tmp_path_factory.mktemp("clips") / f"clip.{request.param}", pictures(T, 96, 128))


@pytest.fixture(scope="module")
def avi(tmp_path_factory):
    return encode(tmp_path_factory.mktemp("clips") / "clip.avi", pictures(T, 96, 128))


# --- video files ----------------------------------------------------------------------------------


def test_frames_are_those_of_pyav(video):
    frames = VideoFile(video).read()
    np.testing.assert_array_equal(frames, plain(video))
    assert frames.dtype == np.uint8
    assert VideoFile(video).count() == len(frames) == T


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(indices=st.lists(st.integers(0, T - 1), min_size=1, max_size=12))
def test_frames_are_given_in_the_order_asked_for(avi, indices):
    whole = VideoFile(avi).read()
    np.testing.assert_array_equal(VideoFile(avi).read(indices), whole[indices])


def test_frames_are_resized_while_decoding(tmp_path):
    grey = pictures(4, 96, 128).mean(-1, keepdims=True).astype(np.uint8).repeat(3, -1)
    path = encode(tmp_path / "clip.avi", grey, codec="mpeg4")
    small = VideoFile(path).read([3, 1], size=(50, 61))
    wanted = [
        Image.fromarray(frame).resize((61, 50), Image.Resampling.BILINEAR)
        for frame in plain(path)[[3, 1]]
    ]
    assert small.shape == (2, 50, 61, 3)
    # The two round differently; the neighbouring frame or row is 5 levels away.
    assert np.abs(small - np.stack(wanted).astype(float)).mean() < 1.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"indices": []}, "one or more whole numbers"),
        ({"indices": [-1]}, "one or more whole numbers"),
        ({"indices": [0.5]}, "one or more whole numbers"),
        ({"indices": [[1]]}, "one or more whole numbers"),
        ({"size": (0, 4)}, "height, width"),
        ({"size": (4,)}, "height, width"),
        ({"size": (4.5, 4)}, "height, width"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_is_no_frame_or_size_is_refused(avi, options, message):
    with pytest.raises(ValueError, match=message):
        VideoFile(avi).read(**options)


def test_a_frame_beyond_the_end_is_an_error(video):
    with pytest.raises(UnreadableClip, match=r"has 40 frames, but frame 40 \(from 0\)"):
        VideoFile(video).read([0, T])


@pytest.mark.parametrize("cut", [0.02, 0.3, 0.6, 0.9])
def test_a_truncated_file_is_an_error(video, cut):
    with pytest.raises(UnreadableClip, match=r"damaged\.\w+: (is|cannot|has)"):
        VideoFile(damaged(video, cut=cut)).count()
    with pytest.raises(UnreadableClip):
        VideoFile(damaged(video, cut=cut)).read()


@pytest.mark.parametrize("at", [0.3, 0.5, 0.8])
def test_noise_in_the_middle_is_an_error(video, at):
    with pytest.raises(UnreadableClip, match=r"damaged|truncated"):
        VideoFile(damaged(video, at=at, noise=600)).read()


def test_an_error_names_the_frame_and_those_before_it_can_be_read(tmp_path):
    path = encode(tmp_path / "clip.avi", pictures(70), codec="mpeg4", g="1")
    broken = damaged(path, at=0.7, noise=500)
    with pytest.raises(UnreadableClip, match=r"is damaged at frame (\d+)") as caught:
        VideoFile(broken).read()
    frame = int(caught.value.reason.split("frame ")[1].split()[0])
    assert 40 < frame < 60
    np.testing.assert_array_equal(VideoFile(broken).read([0, 30]), plain(path)[[0, 30]])


def test_a_cut_index_is_no_damage(avi):
    """All frames are there, only the list of them at the end is not."""
    content = avi.read_bytes()
    copy = avi.with_name("short.avi")
    copy.write_bytes(content[: content.rindex(b"idx1") + 100])
    np.testing.assert_array_equal(VideoFile(copy).read(), plain(avi))


@pytest.mark.parametrize("content", [b"", b"a text\n" * 100, bytes(5000)], ids=["", "text", "zero"])
def test_what_is_no_video_is_an_error(tmp_path, content):
    path = tmp_path / "clip.avi"
    path.write_bytes(content)
    with pytest.raises(UnreadableClip, match=r"clip\.avi: (is empty|cannot be read)"):
        VideoFile(path).count()


@pytest.mark.parametrize("playlist", ["#EXTM3U\n#EXTINF:2,\n{}\n", "ffconcat version 1.0\nfile {}"])
def test_a_text_that_names_another_file_is_not_followed(avi, playlist):
    path = avi.with_name("list.avi")
    path.write_text(playlist.format(avi.name))
    with pytest.raises(UnreadableClip):
        VideoFile(path).read()


def test_sound_alone_is_an_error(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(UnreadableClip, match="has no video in it"):
        VideoFile(path).count()


def test_the_content_counts_and_not_the_name(video):
    wanted = VideoFile(video).read([5])
    for suffix in (".avi", ".mp4", ".txt", ".jpg"):
        np.testing.assert_array_equal(VideoFile(damaged(video, suffix)).read([5]), wanted)


@pytest.mark.parametrize(
    "name",
    [
        "two words  and more.avi",
        "Golf_Tips_-_Hit_The_Driver_300+_Yards!!!_[x](y){z}.avi",
        "100%05d #1 a:b ?*'\"&.avi",
        "Häuser – 家 – дом 🎬.avi",
        os.fsdecode(b"no \xff\xfe unicode.avi"),
        "-dash.avi",
    ],
)
def test_odd_names(avi, name):
    path = avi.with_name(name)
    path.write_bytes(avi.read_bytes())
    assert open_clip(path).count() == T
    path.write_bytes(avi.read_bytes()[:12000])
    with pytest.raises(UnreadableClip) as caught:
        open_clip(path).count()
    assert name in str(caught.value)


def test_what_may_not_be_read_is_an_error(tmp_path, avi):
    path = tmp_path / "clip.avi"
    path.write_bytes(avi.read_bytes())
    path.chmod(0)
    user = os.geteuid()
    if not user:  # root may read everything
        os.seteuid(65534)
    try:
        with pytest.raises(UnreadableClip, match="Permission denied"):
            VideoFile(path).count()
    finally:
        os.seteuid(user)


def test_what_is_not_there_or_no_file_is_an_error(tmp_path):
    with pytest.raises(UnreadableClip, match=r"a\.avi: is not there"):
        open_clip(tmp_path / "a.avi")
    path = Path("/tmp") / f"fv{os.getpid()}"  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        with pytest.raises(UnreadableClip, match="cannot be read"):
            open_clip(path).count()
    path.unlink()


def test_the_error_survives_a_worker():
    error = UnreadableClip(Path("a b.avi"), "is empty")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert str(UnreadableClip(str(error))) == str(error)  # as PyTorch's loaders make it again
    assert isinstance(error, ValueError)
    assert "skip list" in str(error)


def test_a_container_that_miscounts_is_no_damage(tmp_path, avi):
    """As all clips of HMDB51 do. The number stands in two headers of the AVI file."""
    content = bytearray(avi.read_bytes())
    for name, offset in ((b"avih", 24), (b"strh", 40)):
        place = content.index(name) + offset
        assert int.from_bytes(content[place : place + 4], "little") == T
        content[place : place + 4] = (77).to_bytes(4, "little")
    path = tmp_path / "clip.avi"
    path.write_bytes(content)
    assert VideoFile(path).scan().declared == 77
    np.testing.assert_array_equal(VideoFile(path).read(), plain(avi))


def test_pictures_shown_again_are_no_frames(tmp_path):
    """An AVI file has a fixed rate; its writer fills gaps with empty packets."""
    times = [0, 0.04, 0.08, 0.4, 0.44]
    path = encode(tmp_path / "clip.avi", pictures(5), codec="mpeg4", times=times)
    assert VideoFile(path).scan().declared > 5
    np.testing.assert_array_equal(VideoFile(path).read(), plain(path))


def test_a_turned_camera(tmp_path):
    path = encode(tmp_path / "clip.mp4", pictures(4))
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 44
    for i, value in enumerate((0, 1, 0, -1, 0, 0)):  # a quarter turn clockwise, in 16.16
        place = matrix + 4 * i
        content[place : place + 4] = (value << 16).to_bytes(4, "big", signed=True)
    path.write_bytes(content)
    upright = np.rot90(plain(path), -1, axes=(1, 2))
    np.testing.assert_array_equal(VideoFile(path).read(), upright)
    assert VideoFile(path).read(size=(32, 20)).shape == (4, 32, 20, 3)


def test_frames_of_two_sizes_need_a_size(tmp_path):
    parts = [encode(tmp_path / f"{w}.h264", pictures(5, w=w), codec="libx264") for w in (64, 96)]
    path = tmp_path / "both.h264"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(UnreadableClip, match=r"frame 5 has 96x48 pixels, those before 64x48"):
        VideoFile(path).read()
    assert VideoFile(path).read(size=(24, 24)).shape == (10, 24, 24, 3)


def test_only_the_frames_asked_for_are_kept(tmp_path):
    path = encode(tmp_path / "clip.avi", pictures(90, 96, 128), codec="mpeg4")
    tracemalloc.start()
    frames = VideoFile(path).read([0, 89])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * frames.nbytes  # of 45 times as many


def test_nothing_is_left_open_and_memory_does_not_grow(tmp_path):
    path = encode(tmp_path / "clip.avi", pictures(8), codec="mpeg4")
    broken = damaged(path, cut=0.6)

    def read(times):
        for _ in range(times):
            VideoFile(path).read()
            VideoFile(path).read([0])  # stops early
            with pytest.raises(UnreadableClip):
                VideoFile(broken).count()

    def resident():
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    read(15)
    files, before = len(os.listdir("/proc/self/fd")), resident()
    read(50)
    assert len(os.listdir("/proc/self/fd")) == files
    assert resident() - before < 2 * 2**20  # a leaked context is 0.2 MB and more


# --- at a rate ------------------------------------------------------------------------------------


def test_nearest_frames_by_hand():
    quarter = np.arange(4) / 4  # four frames in a second
    assert nearest_frames(quarter, 1.0, 4).tolist() == [0, 1, 2, 3]
    assert nearest_frames(quarter, 1.0, 2).tolist() == [0, 2]
    assert nearest_frames(quarter, 1.0, 8).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]  # earlier on ties
    assert nearest_frames(quarter, 1.0, 3).tolist() == [0, 1, 3]  # 1/3 is nearer to 1/4
    assert nearest_frames(np.array([0, 0.1, 0.9]), 1.0, 4).tolist() == [0, 1, 1, 2]
    assert nearest_frames(np.zeros(1), 0.5, 4).tolist() == [0, 0]
    assert nearest_frames(quarter, 1.0, 0.1).tolist() == [0]


@given(st.integers(1, 60), st.sampled_from([12.0, 25.0, 30000 / 1001]), st.integers(1, 4))
def test_the_clips_own_rate_shows_every_frame_once(t, rate, times):
    shown = nearest_frames(np.arange(t) / rate, t / rate, times * rate)
    assert shown.tolist() == sorted(shown.tolist())
    assert len(shown) == t * times
    if times == 1:
        assert shown.tolist() == list(range(t))


def test_a_file_at_another_rate(video):
    every = VideoFile(video).read()
    half = VideoFile(video, fps=12.5)
    np.testing.assert_array_equal(half.read(), every[::2])
    np.testing.assert_array_equal(half.read([3, 1]), every[[6, 2]])
    assert half.count() == 20
    assert VideoFile(video, fps=50).count() == 80
    with pytest.raises(UnreadableClip, match="has 20 frames, but frame 20"):
        half.read([20])


def test_time_stamps_decide_where_frames_are_not_equally_far_apart(tmp_path):
    times = [0, 0.04, 0.08, 0.5, 0.54, 1.0]
    path = encode(tmp_path / "clip.mkv", pictures(6), times=times, bf="0")
    np.testing.assert_array_equal(VideoFile(path, fps=4).read(), plain(path)[[0, 2, 3, 4, 5]])


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
def test_a_rate_is_positive(avi, fps):
    with pytest.raises(ValueError, match="positive number of frames a second"):
        VideoFile(avi, fps=fps)


# --- frame folders --------------------------------------------------------------------------------


def save(folder, pattern, numbers, frames=None):
    folder.mkdir(exist_ok=True)
    frames = pictures(len(numbers)) if frames is None else frames
    for number, picture in zip(numbers, frames, strict=True):
        Image.fromarray(picture).save(folder / (pattern % number))
    return frames


@pytest.mark.parametrize("pattern", ["img_%05d.png", "%06d.png", "%d.png", "a b[1]+é_%03d.png"])
@pytest.mark.parametrize("first", [0, 1])
def test_patterns_and_bases_are_found(tmp_path, pattern, first):
    folder = tmp_path / "clip"
    frames = save(folder, pattern, range(first, first + 12))
    (folder / "note.txt").write_text("no picture")
    (folder / "._1.png").write_text("hidden")
    clip = open_clip(folder)
    assert isinstance(clip, FrameFolder)
    assert clip.count() == clip.scan().frames == 12
    np.testing.assert_array_equal(clip.read(), frames)
    np.testing.assert_array_equal(clip.read([11, 0, 0]), frames[[11, 0, 0]])
    assert clip.read([1], size=(10, 20)).shape == (1, 10, 20, 3)
    with pytest.raises(UnreadableClip, match="has 12 frames, but frame 12"):
        clip.read([12])


def test_more_numbers_than_the_padding_holds(tmp_path):
    save(tmp_path / "clip", "%02d.png", range(1, 103), pictures(102, 8, 8))
    assert FrameFolder(tmp_path / "clip").files[-1] == "102.png"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "holds no pictures"),
        (["note.txt"], "holds no pictures"),
        (["1.png", "2.png", "4.png"], r"has 4\.png where 3\.png was wanted"),
        (["1.png", "01.png"], r"has 1\.png where 02\.png was wanted"),
        (["1.png", "1.jpg"], r"has 1\.png where 2\.jpg was wanted"),
        (["img_1.png", "flow_2.png"], r"has flow_2\.png where img_2\.png was wanted"),
        (["1.png", "2.jpg"], r"has 2\.jpg where 2\.png was wanted"),
        (["01.png", "2.png"], r"has 2\.png where 02\.png was wanted"),
        (["2.png", "3.png"], r"starts at 2\.png, wanted number 0 or 1"),
        (["cover.png", "1.png"], r"cover\.png, which has no number"),
    ],
)
def test_folders_that_are_no_clips(tmp_path, files, message):
    for file in files:
        (tmp_path / file).touch()
    with pytest.raises(UnreadableClip, match=message):
        FrameFolder(tmp_path)


def test_damaged_pictures_are_named(tmp_path):
    save(tmp_path, "%d.jpg", range(3))
    for content in (b"", b"text", (tmp_path / "1.jpg").read_bytes()[:300]):
        (tmp_path / "1.jpg").write_bytes(content)
        with pytest.raises(UnreadableClip, match=r"1\.jpg: is no picture that can be read"):
            FrameFolder(tmp_path).scan()
    assert len(FrameFolder(tmp_path).read([0, 2])) == 2


def test_pictures_of_other_sizes_and_colours(tmp_path):
    Image.fromarray(np.full((8, 8), 7, np.uint8)).save(tmp_path / "0.png")  # grey
    assert FrameFolder(tmp_path).read()[0, 0, 0].tolist() == [7, 7, 7]
    Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(tmp_path / "1.png")
    with pytest.raises(UnreadableClip, match="frame 1 has 9x8 pixels, those before 8x8"):
        FrameFolder(tmp_path).read()
    with pytest.raises(UnreadableClip, match="9x8 pixels"):
        FrameFolder(tmp_path).scan()


def test_a_folder_at_a_rate(tmp_path):
    frames = save(tmp_path, "%d.png", range(12))
    clip = FrameFolder(tmp_path, fps=6, rate=12)
    assert clip.count() == 6
    np.testing.assert_array_equal(clip.read(), frames[::2])
    with pytest.raises(ValueError, match="give the rate of a frame folder"):
        FrameFolder(tmp_path, fps=6).count()


# --- skip lists and the index of frames -----------------------------------------------------------


def test_skip_lists_are_read_as_written(tmp_path):
    path = tmp_path / "skip.txt"
    reasons = {
        "b/two words # 3.avi": "is empty",
        "#1.avi": "of # signs",
        os.fsdecode(b"a/\xff.avi"): "",
        "a/ä [x]+.avi": "has frame #7 damaged",
        "a/line\nbreak\r\u2028.avi ": "is empty",
        " blanks": "",
        '"quoted".avi': "",
        "C:/x.avi": "",
    }
    write_skip_list(path, reasons)
    lines = path.read_text("utf-8", "surrogateescape").splitlines()
    assert {'"#1.avi"  # of signs', "a/ä [x]+.avi  # has frame #7 damaged"} < set(lines)
    assert len(lines) == 1 + len(reasons)
    assert read_skip_list(path) == {**reasons, "#1.avi": "of signs"}


def test_skip_lists_written_by_hand(tmp_path):
    path = tmp_path / "skip.txt"
    path.write_bytes(
        "\ufeff# mine\r\n\r\n./a/1.avi\r\nb/2.avi # it is blurred\r\nc #3.avi\n".encode()
    )
    assert read_skip_list(path) == {"a/1.avi": "", "b/2.avi": "it is blurred", "c #3.avi": ""}
    with pytest.raises(ValueError, match="was not written by fvlib"):
        write_skip_list(path, {})
    path.write_text("/a/1.avi\n")
    with pytest.raises(ValueError, match=r"line 1: '/a/1\.avi'; wanted paths below"):
        read_skip_list(path)


def tree(tmp_path, frames=(6, 8)):
    """A data root of two classes, one clip of `frames` frames in each."""
    for i, t in enumerate(frames):
        (tmp_path / f"class{i}").mkdir(parents=True)
        encode(tmp_path / f"class{i}" / "a.avi", pictures(t), codec="mpeg4")
    return tmp_path


def test_counts_are_remembered_until_a_file_changes(tmp_path, monkeypatch):
    root = tree(tmp_path)
    save(root / "class1" / "frames", "%d.png", range(5))
    clips, index = video_folder(root), FrameIndex(tmp_path / "index.json")
    assert clips.names.tolist() == ["class0/a.avi", "class1/a.avi", "class1/frames"]
    assert count_frames(clips, index).tolist() == [6, 8, 5]
    assert count_frames(clips, index, fps=12.5, rate=25).tolist() == [3, 4, 3]
    index.write()
    with monkeypatch.context() as patch:
        patch.setattr(video_files.VideoFile, "times", None)
        known = FrameIndex(tmp_path / "index.json")
        assert len(known) == 3
        assert count_frames(clips, known).tolist() == [6, 8, 5]
        assert count_frames(clips, known, fps=5, rate=25).tolist() == [2, 2, 1]
    encode(root / "class0" / "a.avi", pictures(9), codec="mpeg4")
    assert count_frames(clips, FrameIndex(tmp_path / "index.json")).tolist() == [9, 8, 5]
    with pytest.raises(ValueError, match="give the rate of a frame folder"):
        count_frames(clips, index, fps=5)


def test_what_is_no_index_is_refused(tmp_path):
    for content in ("", "[]", '{"schema": 0, "clips": {}}'):
        (tmp_path / "index.json").write_text(content)
        with pytest.raises(ValueError, match="is no index of frames"):
            FrameIndex(tmp_path / "index.json")


# --- decoded once ---------------------------------------------------------------------------------


def small_clips(root, **options):
    clips = video_folder(root)
    return VideoClips(clips, count_frames(clips), **{"size": (24, 32), **options})


def every_frame(decoded):
    return [decoded.read(i, np.arange(t)) for i, t in enumerate(decoded.lengths)]


def decoding_forbidden(patch):
    def read(*_, **__):
        raise AssertionError("a clip was decoded again")

    patch.setattr(VideoClips, "read", read)


@pytest.mark.parametrize("channels", [1, 3])
def test_decoded_clips_are_kept_and_found_again(tmp_path, channels, monkeypatch):
    root, cache = tree(tmp_path / "root"), tmp_path / "a cache" / "decoded"
    save(root / "class1" / "frames", "%d.png", range(5))
    stored = small_clips(root, channels=channels)
    wanted = every_frame(stored.materialise())
    written = every_frame(stored.materialise(cache))
    decoding_forbidden(monkeypatch)
    found = small_clips(root, channels=channels).materialise(cache)
    assert found.lengths.tolist() == [6, 8, 5]
    assert found.targets.tolist() == [0, 1, 1]
    for one, two, three in zip(wanted, written, every_frame(found), strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, three)
    assert [file.suffix for file in cache.iterdir()] == [".npy"]


@pytest.mark.parametrize("change", ["video", "picture", "size", "channels", "fps"])
def test_what_has_changed_is_decoded_anew(tmp_path, change):
    root, cache = tree(tmp_path / "root"), tmp_path / "cache"
    save(root / "class1" / "frames", "%d.png", range(5))
    options = {"rate": 25}
    before = every_frame(small_clips(root, **options).materialise(cache))
    video, picture = root / "class0" / "a.avi", root / "class1" / "frames" / "3.png"
    if change == "video":
        encode(video, pictures(6, seed=1), codec="mpeg4")
    elif change == "picture":  # the folder stays as it was
        Image.fromarray(255 - np.asarray(Image.open(picture))).save(picture)
    else:
        options |= {"size": {"size": (20, 32)}, "channels": {"channels": 1}, "fps": {"fps": 25}}[
            change
        ]
    stored = small_clips(root, **options)
    after, wanted = every_frame(stored.materialise(cache)), every_frame(stored.materialise())
    assert all(map(torch.equal, after, wanted))
    if change in ("video", "picture"):
        same = [torch.equal(a, b) for a, b in zip(before, after, strict=True)]
        assert same == [change != "video", True, change != "picture"]
    assert len(list(cache.iterdir())) == 2


def test_loaders_share_the_file_and_none_writes_into_it(tmp_path):
    stored, cache = small_clips(tree(tmp_path / "root")), tmp_path / "cache"
    one, two = stored.materialise(cache), stored.materialise(cache)
    (file,) = cache.iterdir()
    content = file.read_bytes()
    assert Path("/proc/self/maps").read_text().count(str(file)) >= 2  # mapped, not read
    expected = every_frame(two)
    one.frames.zero_()
    assert not one.read(0, np.array([0])).any()
    assert all(map(torch.equal, every_frame(two), expected))
    assert file.read_bytes() == content


def test_an_interrupted_decoding_leaves_no_file(tmp_path):
    root, cache = tree(tmp_path / "root"), tmp_path / "cache"
    stored = small_clips(root)
    damaged(root / "class1" / "a.avi", cut=0.5).rename(root / "class1" / "a.avi")
    with pytest.raises(UnreadableClip, match=r"class1.a\.avi"):
        stored.materialise(cache)
    assert not list(cache.iterdir())
    with pytest.raises(ValueError, match="frames of one size were wanted"):
        small_clips(tree(tmp_path / "other"), size=None).materialise(cache)


# --- the check of a data root ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        *((".MTS", "mpeg2video"), (".3gp", "mpeg4"), (".Mov", "mpeg4"), (".VOB", "mpeg2video")),
        *((".nut", "mpeg4"), (".mxf", "mpeg2video"), (".rm", "rv10"), (".asf", "msmpeg4")),
        *((".F4V", "libx264"), (".m2v", "mpeg2video"), (".264", "libx264"), (".swf", "flv1")),
    ],
)
def test_videos_of_every_suffix_are_found_and_read(tmp_path, suffix, codec):
    (tmp_path / "class0").mkdir()
    encode(tmp_path / "class0" / f"clip{suffix}", pictures(6), codec=codec)
    assert count_frames(video_folder(tmp_path)).tolist() == [6]


def test_what_is_decoded_is_known_to_the_decoder():
    assert not set(video_files._FORMATS.split(",")) - av.formats_available


def ucf_root(tmp_path, clips=("a", "b", "c")):
    """A root with UCF-101's lists of one class, and some of its clips."""
    lists, videos = tmp_path / "ucfTrainTestlist", tmp_path / "UCF-101" / "Bowling"
    lists.mkdir()
    videos.mkdir(parents=True)
    (lists / "classInd.txt").write_text("1 Bowling\n")
    for fold in (1, 2, 3):
        (lists / f"trainlist0{fold}.txt").write_text("Bowling/a.avi 1\nBowling/b.avi 1\n")
        (lists / f"testlist0{fold}.txt").write_text("Bowling/c.avi\n")
    for name in clips:
        encode(videos / f"{name}.avi", pictures(8), codec="mpeg4")
    return tmp_path, videos


def test_the_check_counts_and_decodes(tmp_path):
    root, videos = ucf_root(tmp_path, "ac")
    damaged(videos / "a.avi", cut=0.5).rename(videos / "a.avi")
    report = check(root)
    assert report.absent == ("UCF-101/Bowling/b.avi",)
    assert len(report.rows) == 6
    assert not report.scans
    skip, index = tmp_path / "skip.txt", tmp_path / "index.json"
    report = check(root, decode=True, jobs=0, skip_list=skip, index=index)
    assert len(report.scans) == 2
    assert list(report.problems) == ["UCF-101/Bowling/a.avi"]
    assert not report.ok
    reasons = read_skip_list(skip)
    assert list(reasons) == ["UCF-101/Bowling/a.avi", "UCF-101/Bowling/b.avi"]
    assert reasons["UCF-101/Bowling/b.avi"] == ABSENT
    table = report.table()
    assert "ucf101  train  1         9537       2        1  1 missing\n" in table
    assert "ucf101  test   3         3696       1        1  not the official number\n" in table
    assert "not there: breakfast, hmdb51, something_v1, something_v2\n" in table
    assert "missing (1): UCF-101/Bowling/b.avi\n" in table
    assert "2 clips decoded, 1 cannot be used\n  UCF-101/Bowling/a.avi " in table
    assert len(FrameIndex(index)) == 1


def test_a_second_check_reads_only_what_is_new(tmp_path, monkeypatch):
    root, videos = ucf_root(tmp_path)
    damaged(videos / "a.avi", cut=0.5).rename(videos / "b.avi")
    files = {"skip_list": tmp_path / "skip.txt", "index": tmp_path / "index.json"}
    check(root, decode=True, jobs=0, **files)
    read = []
    monkeypatch.setattr(
        check_module, "_examine", lambda path: read.append(path.name) or "is as it was"
    )
    report = check(root, decode=True, jobs=0, **files)
    assert read == ["b.avi"]
    assert len(report.scans) == 3
    check(root, **files)  # decodes nothing: what the skip list says about decoding stays
    assert read_skip_list(files["skip_list"]) == {"UCF-101/Bowling/b.avi": "is as it was"}


def test_a_skip_list_of_ones_own_is_not_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(check_module, "_examine", None)  # nothing is decoded in vain
    (tmp_path / "skip.txt").write_text("class0/a.avi # mine\n")
    with pytest.raises(ValueError, match="was not written by fvlib"):
        check(tree(tmp_path), decode=True, jobs=0, skip_list=tmp_path / "skip.txt")


def test_an_interrupted_check_leaves_what_was_checked(tmp_path, monkeypatch):
    root, videos = ucf_root(tmp_path)
    damaged(videos / "a.avi", cut=0.5).rename(videos / "b.avi")
    files = {"skip_list": tmp_path / "skip.txt", "index": tmp_path / "index.json"}
    write_skip_list(files["skip_list"], {"UCF-101/Bowling/c.avi": "was damaged yesterday"})
    examine = check_module._examine

    def interrupted(path):
        if path.name == "c.avi":
            raise KeyboardInterrupt
        return examine(path)

    monkeypatch.setattr(check_module, "_examine", interrupted)
    with pytest.raises(KeyboardInterrupt):
        check(root, decode=True, jobs=0, **files)
    assert len(FrameIndex(files["index"])) == 1
    reasons = read_skip_list(files["skip_list"])
    assert list(reasons) == ["UCF-101/Bowling/b.avi", "UCF-101/Bowling/c.avi"]
    monkeypatch.undo()
    check(root, decode=True, jobs=0, **files)
    assert list(read_skip_list(files["skip_list"])) == ["UCF-101/Bowling/b.avi"]


def test_names_that_are_no_text_go_through(tmp_path):
    root, name = tree(tmp_path), os.fsdecode(b"no \xff unicode.avi")
    (root / "class0" / name).write_bytes(b"text")
    files = {"skip_list": tmp_path / "skip.txt", "index": tmp_path / "index.json"}
    report = check(root, decode=True, jobs=0, **files)
    assert r"class0/no \udcff unicode.avi cannot be read" in report.table()
    assert list(read_skip_list(files["skip_list"])) == [f"class0/{name}"]
    assert len(video_folder(root).without(files["skip_list"])) == 2
    encode(root / "class1" / "b.avi", pictures(3), codec="mpeg4").rename(root / "class1" / name)
    assert len(check(root, decode=True, jobs=0, **files).scans) == 4
    assert FrameIndex(files["index"]).get(root, f"class1/{name}").frames == 3


@pytest.mark.process
def test_workers_check_and_outlive_a_crash(tmp_path, capfd):
    root = tree(tmp_path)
    (root / "class0" / "text.avi").write_text("text")
    report = check(root, decode=True, jobs=2, progress=True)
    assert len(report.scans) == 3
    assert list(report.problems) == ["class0/text.avi"]
    out, err = capfd.readouterr()
    assert "3/3" in err
    assert not out


def test_what_crashes_the_decoder_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.setattr(check_module, "_examine", lambda path: None)
    report = check(tree(tmp_path), decode=True, jobs=0)
    assert set(report.problems.values()) == {CRASHED}


def test_a_damaged_picture_is_named_by_the_check(tmp_path):
    (tmp_path / "class0").mkdir()
    save(tmp_path / "class0" / "clip", "%d.png", range(3))
    (tmp_path / "class0" / "clip" / "1.png").write_bytes(b"")
    report = check(tmp_path, decode=True, jobs=0)
    assert report.problems["class0/clip"].startswith("has 1.png, which is no picture")


def test_a_check_of_nothing_says_what_was_wanted(tmp_path):
    with pytest.raises(ValueError, match="is no folder"):
        check(tmp_path / "nothing")
    with pytest.raises(ValueError, match="holds none of breakfast, ucf101"):
        check(tmp_path)
    (tmp_path / "UCF-101" / "Bowling").mkdir(parents=True)
    with pytest.raises(ValueError, match="holds no pictures"):
        check(tmp_path)
    (tmp_path / "UCF-101" / "Bowling" / "1.png").touch()
    with pytest.raises(ValueError, match="jobs is -1"):
        check(tmp_path, decode=True, jobs=-1)


# --- real clips -----------------------------------------------------------------------------------


@real
def test_real_clips_have_the_frames_of_the_manifest():
    root = Path(os.environ["FVLIB_DATA"])
    lines = (root / "manifest.tsv").read_text().splitlines()[1:]
    wanted = {
        name: int(video.split()[0])
        for name, *_, video in (line.split("\t") for line in lines)
        if name.endswith(".avi")
    }
    wanted = dict(list(wanted.items())[:94])
    found = {name: VideoFile(root / name).count() for name in wanted}
    assert found == wanted


@real
@pytest.mark.parametrize("folder", ["UCF-101", "hmdb51"])
def test_damaged_copies_of_real_clips(tmp_path, folder):
    root = Path(os.environ["FVLIB_DATA"], folder)
    for i, source in enumerate(sorted(root.rglob("*.avi"))[::9]):
        path = tmp_path / f"{i} [x]+é.avi"
        path.write_bytes(source.read_bytes())
        np.testing.assert_array_equal(VideoFile(path).read([0, 20]), plain(path)[[0, 20]])
        for change in ({"cut": 0.7}, {"noise": 20000}, {"cut": 0}):
            with pytest.raises(UnreadableClip):
                VideoFile(damaged(path, **change)).count()
