"""Clips on disk: video files, decoded with PyAV, and whether one is whole. Folders of pictures are
in `frames`.

Both give frames as uint8 (t, h, w, 3), RGB. What cannot be read is an `UnreadableClip` that names
the file and the frame; no frame is ever left out, repeated or made up in silence.

The demuxers pass over damage silently: they look for the next thing that they know. Of the common
containers MP4 has an index of all frames and AVI declares their number, so the packets can be
counted. Matroska (WebM) has neither, but it is nested, with sizes, and can be walked.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Float64, Int64

from fvlib import extra
from fvlib.datasets.videos.frames import (
    AnyPath,
    Clip,
    FrameFolder,
    Numbered,
    Rate,
    Scan,
    UnreadableClip,
    checked_rate,
    too_short,
)
from fvlib.storage import kind

VIDEO_SUFFIXES = (".avi", ".webm", ".mp4", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv")
# Containers of video alone: a text file is no playlist, and nothing but the file itself is opened.
_FORMATS = "avi,matroska,mov,mpeg,mpegts,mpegvideo,flv,asf,ogg,gif,ivf,m4v,h264,hevc"
# FFmpeg's own VP8 and VP9 decoders show damage as pictures; those of libvpx report it.
_STRICT = {"vp8": "libvpx", "vp9": "libvpx-vp9"}

_EBML, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
_VOID, _CRC = 0xEC, 0xBF
_IN_SEGMENT = {  # seek head, info, tracks, cues, tags, chapters, attachments
    *(_CLUSTER, _VOID, _CRC, 0x114D9B74, 0x1549A966, 0x1654AE6B),
    *(0x1C53BB6B, 0x1254C367, 0x1043A770, 0x1941A469),
}
_IN_CLUSTER = {  # time stamp, simple block, block group, previous size, position, silent, encrypted
    *(_VOID, _CRC, 0xE7, 0xA3, 0xA0, 0xAB, 0xA7, 0x5854, 0xAF),
}


def open_clip(
    path: AnyPath, *, fps: Rate | None = None, rate: Rate | None = None
) -> VideoFile | FrameFolder:
    """A video file, or a folder of its frames.

    Args:
        path: of the file or the folder.
        fps: frames a second to read it at (None: all frames, as they are).
        rate: frames a second that a folder's pictures were taken at; a file knows it.

    Raises UnreadableClip if nothing is there.
    """
    path = Path(path)
    if stat.S_ISDIR(_mode(path)):
        return FrameFolder(path, fps=fps, rate=rate)
    return VideoFile(path, fps=fps)


def _mode(path: Path) -> int:
    """Of a file or a folder; UnreadableClip for what is neither: to open a FIFO is to wait."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        gone = isinstance(error, FileNotFoundError | NotADirectoryError)
        why = "is not there" if gone else f"cannot be read ({error})"
        raise UnreadableClip(path, why) from error
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise UnreadableClip(path, f"cannot be read: it is {kind(mode)}, and no file")
    return mode


class VideoFile(Clip):
    """A video file. Its format is found from its content, whatever its name.

    Decoding is strict: where the decoder finds damage, or the file ends before the frames that it
    declares, that is an error, and nothing after it is shown. (Damage that happens to be valid data
    of the codec cannot be seen by any decoder.) A container that merely miscounts is no error: that
    all its packets are there is what is checked.

    Args:
        path: of the file.
        fps: frames a second to read it at: at 0, 1 / fps, ... the frame nearest in time, so a
            higher rate repeats frames. Where the time stamps do not ascend (AVI), frames are taken
            as equally far apart. Costs a second pass of decoding, without conversion.
    """

    def __init__(self, path: AnyPath, *, fps: Rate | None = None):
        self.path, self.fps = Path(path), checked_rate("fps", fps)

    def pictures(
        self, wanted: Int64[np.ndarray, " u"] | None, size: tuple[int, int] | None
    ) -> Iterator[Numbered]:
        """These frames, or all, with their numbers, while the file is decoded from its start."""
        from av.video.reformatter import VideoReformatter

        needed = None if wanted is None else set(wanted.tolist())
        last = None if wanted is None else wanted.max()
        to_rgb, number = VideoReformatter(), -1
        with closing(self.decoded()) as frames:
            for number, (frame, _) in enumerate(frames):
                if needed is None or number in needed:
                    try:
                        picture = _rgb(frame, to_rgb, size)
                    except Exception as error:  # as above: what was decoded may be nothing to show
                        raise UnreadableClip(
                            self.path, f"frame {number} cannot be shown ({error})"
                        ) from error
                    yield number, picture
                if number == last:
                    return
        if last is not None:
            raise too_short(self.path, number + 1, last)

    def times(self) -> tuple[Scan, Float64[np.ndarray, " t"]]:
        """Decodes the whole file, without converting the frames."""
        stamps, stream = [], None
        for frame, stream in self.decoded():
            if not stamps:
                declared, base = stream.frames, stream.time_base
                rate = float(stream.average_rate or stream.guessed_rate or 0)
            stamps.append(frame.pts)
        times = np.arange(len(stamps)) / (rate or 1)
        step = 1 / rate if rate else None
        if base and None not in stamps and len(stamps) > 1 and (np.diff(stamps) > 0).all():
            times = (np.array(stamps) - stamps[0]) * float(base)
            step = float(np.median(np.diff(times)))
        seconds = None if step is None else float(times[-1]) + step
        return Scan(len(stamps), seconds, declared if declared > 0 else None), times

    def decoded(self) -> Iterator[tuple]:
        """Decoded frames with their stream; after the last one the file is known to be whole."""
        av = extra("av")
        number = -1
        _mode(self.path)
        try:
            with self.path.open("rb") as file:
                if not file.read(1):
                    raise UnreadableClip(self.path, "is empty (0 bytes)")
                file.seek(0)
                with av.open(file, **_options(av.__version__)) as container:
                    for number, pair in enumerate(_decode(self.path, file, container)):  # noqa: B007
                        yield pair
                if number < 0:
                    raise UnreadableClip(self.path, "holds no frame that can be decoded")
        except UnreadableClip:
            raise
        except Exception as error:  # a damaged file can fail in any way
            what = getattr(error, "strerror", None) or error
            where = f"is damaged at frame {number + 1}" if number >= 0 else "cannot be read"
            raise UnreadableClip(self.path, f"{where} ({what})") from error


def _options(version: str) -> dict:
    """For `av.open`. Some clips of HMDB51 have a title that is not UTF-8."""
    options = {"options": {"format_whitelist": _FORMATS}}
    old = int(version.split(".")[0]) < 19  # from 19 on PyAV keeps such titles, without an option
    return {**options, "metadata_errors": "ignore"} if old else options


def _decode(path: Path, file: BinaryIO, container) -> Iterator[tuple]:
    """Frames of the video stream, then a check that the file was whole."""
    import av

    stream = container.streams.best("video")  # not the picture on the cover
    if stream is None:
        raise UnreadableClip(path, "has no video in it")
    indexed = len(stream.index_entries)  # now: while reading, it grows by what is found
    decoder = stream.codec_context
    if decoder is None:
        raise UnreadableClip(path, "is coded in a way that is not known here")
    if (name := _STRICT.get(decoder.name)) in av.codecs_available:
        strict = av.CodecContext.create(name, "r")
        strict.extradata, decoder = decoder.extradata, strict
    decoder.thread_count = 1  # a worker process is one thread; damage is reported where it is
    decoder.options = {"err_detect": "explode"}
    packets = number = 0
    for packet in container.demux(stream):
        if packet.is_corrupt:
            raise UnreadableClip(path, f"is cut off or damaged at frame {number}")
        if not packet.size and packet.dts is not None:
            continue  # AVI's "the same picture again"; without a time it is the end
        packets += packet.size > 0
        for frame in decoder.decode(packet if packet.size else None):
            if frame.is_corrupt:
                raise UnreadableClip(path, f"is damaged at frame {number}")
            yield frame, stream
            number += 1
    if damage := webm_damage(file):
        raise UnreadableClip(path, f"is {damage}")
    expected = max(indexed, stream.frames if is_cut(file) else 0)
    if packets < expected:
        raise UnreadableClip(
            path, f"is truncated or damaged: {packets} of the {expected} frames that it declares"
        )


def _rgb(frame, to_rgb, size: tuple[int, int] | None) -> np.ndarray:
    """A frame upright as (h, w, 3), in memory that belongs to the frame."""
    turns = round(frame.rotation / 90) % 4  # what the camera noted, as players do
    height, width = size or (frame.height, frame.width)
    if size and turns % 2:
        height, width = width, height
    rgb = to_rgb.reformat(frame, width, height, "rgb24")
    plane = rgb.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(height, plane.line_size)
    return np.rot90(rows[:, : 3 * width].reshape(height, width, 3), turns)


def is_cut(file: BinaryIO) -> bool:
    """Whether an AVI file is shorter than its header says. The position in the file is lost."""
    file.seek(0)
    head = file.read(12)
    is_avi = head[:4] == b"RIFF" and head[8:] == b"AVI "
    return is_avi and int.from_bytes(head[4:8], "little") + 8 > _length(file)


def webm_damage(file: BinaryIO) -> str:
    """What is wrong with the structure of a WebM or Matroska file; "" if nothing is, or for others.

    Streams whose writer did not know their sizes cannot be checked. The position in the file is
    lost. Source: RFC 8794 (the nesting) and RFC 9559 (the elements).
    """
    length = _length(file)
    name, start, end = _element(file, 0)
    if name != _EBML or end is None:
        return ""
    name, start, end = _element(file, end)
    if name != _SEGMENT or end is None:
        return ""
    if end > length:
        return f"truncated: {length:,} of {end:,} bytes"
    while start < end:
        name, inside, after = _element(file, start)
        if after is None:
            return ""
        broken = start if name not in _IN_SEGMENT or after > end else None
        if name == _CLUSTER:
            broken = _broken_cluster(file, inside, after)
        if broken is not None:
            return f"damaged at byte {broken:,}, where no Matroska element is"
        start = after
    return ""


def _broken_cluster(file: BinaryIO, start: int, end: int) -> int | None:
    while start < end:
        name, _, after = _element(file, start)
        if name not in _IN_CLUSTER or after is None or after > end:
            return start
        start = after
    return None


def _element(file: BinaryIO, position: int) -> tuple[int, int, int | None]:
    """The name of the element there, where its content begins and ends (None: it does not say)."""
    file.seek(position)
    name, _ = _number(file)
    size, bits = _number(file)
    inside = file.tell()
    size &= (1 << bits) - 1
    return name, inside, None if size == (1 << bits) - 1 else inside + size


def _number(file: BinaryIO) -> tuple[int, int]:
    """A number whose first byte tells its length by its zeros, and its bits after the marker."""
    first = file.read(1)
    if not first or not first[0]:
        return 0, 1  # the end, or no such number: no element has the name 0
    extra = 8 - first[0].bit_length()
    return int.from_bytes(first + file.read(extra), "big"), 7 * (extra + 1)


def _length(file: BinaryIO) -> int:
    return file.seek(0, os.SEEK_END)
