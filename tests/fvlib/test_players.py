"""Files as people meet them, each against what ffmpeg shows of it.

`clips/` has small ones, made with ffmpeg 5.1 from its test picture: trimmed and joined without
encoding them again, written to a pipe, with 10 bits, gaps, an empty sample, and whole ones of every
container. `values.json` has what ffmpeg shows: frames, height and width, and the mean colours of
the quarters of the first and the last frame; of those whose colours lie between the pixels in other
ways, a row of the first frame too.
"""

import io
import json
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fvlib.datasets.videos import FrameFolder, UnreadableClip, VideoFile, check
from fvlib.datasets.videos.frames import seconds_of

av = pytest.importorskip("av")

CLIPS = Path(__file__).with_name("clips")
VALUES = json.loads((CLIPS / "values.json").read_text())
SOUND = {  # seconds of those that declare their length; of the others it cannot be checked
    **{f"whole.{suffix}": 2.0 for suffix in ("avi", "flv", "mkv", "mp4", "wmv")},
    **{
        "deep.mp4": 0.3,
        "empty_sample.mp4": 2.0,
        "gaps.avi": 1.7,
        "packed.avi": 1.8,
        "refreshed.mp4": 2.0,
    },
    **{"sar_turned.mp4": 2.0, "ten_bits.webm": 2.0, "trimmed.mkv": 3.52, "trimmed.mp4": 3.2},
    "twice.flv": 5.6,
}
EIGHT = [  # where x and y of a picture go, and what that makes of it
    ((1, 0, 0, 1), lambda x: x),
    ((-1, 0, 0, 1), lambda x: x[:, :, ::-1]),
    ((1, 0, 0, -1), lambda x: x[:, ::-1]),
    ((-1, 0, 0, -1), lambda x: x[:, ::-1, ::-1]),
    ((0, 1, 1, 0), lambda x: x.swapaxes(1, 2)),
    ((0, 1, -1, 0), lambda x: np.rot90(x, -1, axes=(1, 2))),
    ((0, -1, 1, 0), lambda x: np.rot90(x, 1, axes=(1, 2))),
    ((0, -1, -1, 0), lambda x: x.swapaxes(1, 2)[:, ::-1, ::-1]),
]
EXIF = [1, 2, 4, 3, 5, 6, 8, 7]  # the same, as Exif numbers them


def quarters(frame):
    h, w, _ = frame.shape
    return frame.reshape(2, h // 2, 2, w // 2, 3).mean((1, 3))


def starts(path):
    """Where the packets of the video begin."""
    with av.open(str(path)) as container:
        found = {p.pos for p in container.demux(video=0) if p.size and p.pos}
    return sorted(found)


def put(path, content):
    path.write_bytes(content)
    return path


# --- what ffmpeg shows ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", VALUES)
def test_frames_are_those_of_ffmpeg(name):
    wanted, clip = VALUES[name], VideoFile(CLIPS / name)
    frames, scan = clip.read(), clip.scan()
    assert (len(frames), *frames.shape[1:3]) == (wanted["frames"], *wanted["size"])
    assert scan.frames == len(frames)
    found = np.stack([quarters(frames[0]), quarters(frames[-1])])
    assert np.abs(found - wanted["quarters"]).max() <= 3  # one is FFmpeg 5, of another processor
    if "row" in wanted:
        assert np.abs(frames[0, 24] - np.array(wanted["row"])).mean() < 1
    assert scan.checked == (name in SOUND)
    assert scan.seconds == pytest.approx(SOUND.get(name, scan.seconds), abs=0.011)


@pytest.mark.parametrize("name", VALUES)
def test_no_part_of_a_file_is_sound(name, tmp_path):
    """Cut off, or filled with zeros, from where a packet begins, and within one."""
    content, places = (CLIPS / name).read_bytes(), starts(CLIPS / name)
    for place in [*places[2 :: max(1, len(places) // 5)], places[-1]]:
        for end in (place, place + 9):
            for tail in (b"", bytes(len(content) - end)):
                try:
                    scan = VideoFile(put(tmp_path / name, content[:end] + tail)).scan()
                except UnreadableClip:
                    continue
                assert not scan.checked or scan.frames == VALUES[name]["frames"], (end, bool(tail))


@pytest.mark.parametrize("name", ["whole.avi", "whole.mp4", "whole.mkv", "whole.flv"])
def test_files_that_declare_their_length_are_refused_when_cut(name, tmp_path):
    content, places = (CLIPS / name).read_bytes(), starts(CLIPS / name)
    for place in places[3:-4:4]:
        with pytest.raises(UnreadableClip, match=r"damaged|cannot be read"):
            VideoFile(put(tmp_path / name, content[:place])).scan()


def test_what_follows_a_whole_file_is_no_damage(tmp_path):
    for name in ("whole.avi", "whole.mp4", "whole.mkv", "whole.flv"):
        path = put(tmp_path / name, (CLIPS / name).read_bytes() + b"\r\n<html>" * 50)
        assert VideoFile(path).scan().frames == 20


@pytest.mark.parametrize("junk", [b"\r\n<html>" * 50, bytes(500), b"\xff" * 500, "a head"])
def test_what_follows_a_stream_of_unknown_length_is_no_damage(junk, tmp_path):
    content = (CLIPS / "live.mkv").read_bytes()
    junk = content[:100] if junk == "a head" else junk
    scan = VideoFile(put(tmp_path / "a.mkv", content + junk)).scan()
    assert (scan.frames, scan.checked) == (20, False)


def test_junk_within_a_stream_is_damage(tmp_path):
    """Where its frames go on behind it, or its declared length is missed."""
    for name in ("live.mkv", "whole.mkv"):
        content, places = (CLIPS / name).read_bytes(), starts(CLIPS / name)
        broken = content[: places[12]] + b"\r\n<html>" * 50 + content[places[12] :]
        with pytest.raises(UnreadableClip, match="damaged"):
            VideoFile(put(tmp_path / name, broken)).scan()
    broken = content[: places[12]] + bytes(len(content) - places[12])
    with pytest.raises(UnreadableClip, match="damaged"):
        VideoFile(put(tmp_path / "zeros.mkv", broken)).scan()


def test_a_stream_of_unknown_length_that_ends_within_a_picture_is_damaged(tmp_path):
    content = (CLIPS / "live.mkv").read_bytes()
    path = put(tmp_path / "cut.mkv", content[: starts(CLIPS / "live.mkv")[12] + 20])
    with pytest.raises(UnreadableClip, match=r"damaged at frame .* ended prematurely"):
        VideoFile(path).scan()


def test_a_packet_that_is_missing_in_a_transport_stream_is_damage(tmp_path):
    content = (CLIPS / "whole.ts").read_bytes()
    packets = [content[i : i + 188] for i in range(0, len(content), 188)]
    of_video = [i for i, p in enumerate(packets) if (p[1] & 31) << 8 | p[2] == 0x100]
    del packets[of_video[len(of_video) // 2]]
    with pytest.raises(UnreadableClip, match="damaged"):
        VideoFile(put(tmp_path / "gap.ts", b"".join(packets))).scan()


def test_a_packet_of_zeros_is_damage(tmp_path):
    content, (at, end) = (CLIPS / "whole.mp4").read_bytes(), starts(CLIPS / "whole.mp4")[4:6]
    path = put(tmp_path / "zeros.mp4", content[:at] + bytes(end - at) + content[end:])
    with pytest.raises(UnreadableClip, match="nothing but zeros"):
        VideoFile(path).scan()


def test_the_check_names_what_it_cannot_check(tmp_path):
    names = ("whole.mp4", "pipe.avi", "live.mkv")
    for name in names:
        (tmp_path / "class").mkdir(exist_ok=True)
        put(tmp_path / "class" / name, (CLIPS / name).read_bytes())
    for _ in range(2):  # decoded, and as the index remembers it
        report = check(tmp_path, decode=True, jobs=0, index=tmp_path / "index.json")
        checked = {name: scan.checked for name, scan in report.scans.items()}
        assert checked == {f"class/{name}": name == "whole.mp4" for name in names}
        assert report.ok
    line = "of a length that cannot be checked (2): class/live.mkv, class/pipe.avi\n"
    assert line in report.table() + "\n"


# --- upright, and of 8 bits -----------------------------------------------------------------------


def noted(path, matrix):
    """The same MP4 file, with the matrix of its picture."""
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 44
    a, b, c, d = (round(value * 65536).to_bytes(4, "big", signed=True) for value in matrix)
    content[at : at + 20] = a + b + bytes(4) + c + d
    return bytes(content)


@pytest.mark.parametrize("codec", ["libx264", "libvpx-vp9"])
@pytest.mark.parametrize(("matrix", "shown"), EIGHT)
def test_turned_and_mirrored_cameras(tmp_path, codec, matrix, shown):
    picture = np.zeros((32, 48, 3), np.uint8)
    picture[:16, :24], picture[16:] = (250, 0, 0), (0, 0, 250)
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())
    plain = VideoFile(tmp_path / "a.mp4").read()
    clip = VideoFile(put(tmp_path / "b.mp4", noted(tmp_path / "a.mp4", matrix)))
    np.testing.assert_array_equal(clip.read(), shown(plain))
    assert clip.display_size() == clip.read().shape[1:3]
    assert clip.read(size=(20, 30)).shape == (1, 20, 30, 3)


@pytest.mark.parametrize(
    ("number", "shown"), [(n, s) for n, (_, s) in zip(EXIF, EIGHT, strict=True)]
)
def test_motion_jpeg_of_cameras_that_note_how_they_were_held(tmp_path, number, shown):
    def written(name, **options):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "jpeg", **options)
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream("mjpeg", rate=10)
            stream.width, stream.height, stream.pix_fmt = 48, 32, "yuvj420p"
            packet = av.Packet(file.getvalue())
            packet.stream, packet.pts, packet.is_keyframe = stream, 0, True
            container.mux(packet)
        return VideoFile(tmp_path / name)

    picture = np.zeros((32, 48, 3), np.uint8)
    picture[:16, :24], picture[16:] = (250, 0, 0), (0, 0, 250)
    exif = Image.Exif()
    exif[0x0112] = number
    clip = written("b.avi", exif=exif)
    np.testing.assert_array_equal(clip.read(), shown(written("a.avi").read()))
    assert clip.display_size() == clip.read().shape[1:3]
    assert clip.scan().frames == 1


def test_a_camera_that_lies_askew_is_refused(tmp_path):
    half = 2**-0.5
    path = put(tmp_path / "a.mp4", noted(CLIPS / "whole.mp4", (half, half, -half, half)))
    for read in (VideoFile(path).scan, VideoFile(path).read):
        with pytest.raises(UnreadableClip, match="no multiple of 90 degrees"):
            read()


def test_pixels_that_are_not_square():
    """Twice as wide as high, and then turned."""
    clip = VideoFile(CLIPS / "sar_turned.mp4")
    assert clip.display_size() == (128, 48)
    assert clip.read([0]).shape == (1, 64, 48, 3)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize(
    ("number", "shown"), [(n, s) for n, (_, s) in zip(EXIF, EIGHT, strict=True)]
)
def test_pictures_are_upright(tmp_path, suffix, number, shown):
    picture = np.zeros((32, 48, 3), np.uint8)
    picture[:16, :24], picture[16:] = (250, 0, 0), (0, 0, 250)
    exif = Image.Exif()
    exif[0x0112] = number
    Image.fromarray(picture).save(tmp_path / f"0{suffix}", exif=exif, quality=95)
    clip = FrameFolder(tmp_path)
    (found,), (wanted,) = clip.read(), shown(picture[None])
    assert found.shape == wanted.shape == (*clip.display_size(), 3)
    assert np.abs(quarters(found) - quarters(wanted)).max() < 12


def test_pictures_of_all_depths_and_colours(tmp_path):
    """A ramp; those with colours are red."""
    ramp = np.arange(256, dtype=np.uint8).repeat(4).reshape(32, 32)
    grey, clear, black = (Image.fromarray(x) for x in (ramp, ramp // 2, np.zeros_like(ramp)))
    red = Image.merge("RGB", [grey, black, black])
    for picture, colours in (
        (Image.fromarray(ramp.astype(np.uint16) * 257), (1, 1, 1)),
        (grey, (1, 1, 1)),
        (Image.merge("LA", [grey, clear]), (1, 1, 1)),
        (red, (1, 0, 0)),
        (red.quantize(256), (1, 0, 0)),
        (Image.merge("RGBA", [*red.split(), clear]), (1, 0, 0)),
    ):
        picture.save(tmp_path / "0.png")
        (frame,) = FrameFolder(tmp_path).read()
        assert frame.dtype == np.uint8
        assert np.abs(frame - ramp[..., None] * np.array(colours)).max() <= 2, picture.mode


# --- time stamps ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stamps", "times"),
    [
        ([0, 1, 5, 6], [0, 1, 5, 6]),
        ([7, 8, 9], [0, 1, 2]),
        ([0, 1, 2, 2, 4], [0, 1, 2, 3, 4]),  # two share one
        ([0, 0, 0, 3, 3, 3], [0, 1, 2, 3, 4, 5]),  # a coarse clock
        ([None, 1, 2, None, None, 5, None], [0, 1, 2, 3, 4, 5, 6]),
        ([0, 1, 2, -9, 4], [0, 1, 2, 3, 4]),  # one alone goes back
        ([0, 1, 99, 3, 4], [0, 1, 2, 3, 4]),  # or leaps ahead
        ([3, 4, 6, 5, 7], [0, 1, 2, 3, 4]),  # two are exchanged
        ([0, 1, 2, 0, 1, 9], [0, 1, 2, 3, 4, 12]),  # two recordings in a row
        ([5], [0]),
        ([None, None], [0, 10]),  # by the rate
    ],
)
def test_only_what_is_broken_of_the_time_stamps_is_repaired(stamps, times):
    found, _ = seconds_of(stamps, 0.5, 0.2)
    np.testing.assert_allclose(found, np.array(times) * 0.5)


def test_pictures_that_share_a_time_stamp_keep_the_others():
    """Ten frames a second, then two: frames 4 and 5 have one stamp."""
    clip = VideoFile(CLIPS / "twice.flv", fps=2)
    assert clip.count() == 12
    wanted = VideoFile(CLIPS / "twice.flv").read([0, 5, *range(10, 20)])
    np.testing.assert_array_equal(clip.read(), wanted)


# --- FFmpeg's own messages ------------------------------------------------------------------------


def test_listening_leaves_no_trace(caplog, tmp_path):
    """Also where several threads read at once, a damaged file among them."""
    cut = put(tmp_path / "cut.mkv", (CLIPS / "whole.mkv").read_bytes()[:1500])
    before = av.logging.get_level(), av.logging.get_skip_repeated()
    found = []

    def read(path):
        for _ in range(5):
            try:
                found.append(VideoFile(path).scan().frames)
            except UnreadableClip as error:
                found.append(error.reason.split("(")[1])

    threads = [threading.Thread(target=read, args=[p]) for p in (cut, CLIPS / "whole.mkv") * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found, key=str) == [20] * 10 + ["File ended prematurely)"] * 10
    assert (av.logging.get_level(), av.logging.get_skip_repeated()) == before
    assert not caplog.records
