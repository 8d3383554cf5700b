"""Clips on disk: video files, decoded with PyAV, and whether one is whole. Folders of pictures are
in `frames`.

Both give frames as uint8 (t, h, w, 3), RGB, upright. What cannot be read is an `UnreadableClip` and
names the file and the frame; no frame is ever left out, repeated or made up in silence.

A file is sound, damaged, or of a length that cannot be checked. Damage is what a decoder reports or
marks in its frames, what the demuxer complains about, and an end before the declared one: AVI and
MP4 declare a number of frames, Matroska, ASF and FLV a duration. Other containers (transport and
program streams, Ogg, GIF) declare neither, as do files that were written to a pipe.
"""

from __future__ import annotations

import os
import re
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
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
    seconds_of,
    too_short,
)

# Containers of video alone: a text file is no playlist, and nothing but the file itself is opened.
_FORMATS = (
    "avi,matroska,mov,mpeg,mpegts,mpegvideo,flv,asf,ogg,gif,ivf,m4v,h261,h263,h264,hevc,vvc,obu,"
    "av1,vc1,dirac,mjpeg,yuv4mpegpipe,apng,dv,mxf,nut,nsv,nuv,rm,wtv,dhav,flic,swf"
)
_ERROR = 16  # and below: FFmpeg's levels of messages
_NESTED = "matroska,webm"
_TIMED = (_NESTED, "asf", "flv", "ivf")  # declare their duration, where it was known
# FFmpeg's own VP8 and VP9 decoders show damage as pictures; those of libvpx (8 bits) report it.
_STRICT = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
# Marks the frames that it had to mend, and may complain about references of others that are not
# shown, as where a file was trimmed without encoding it again: no reason to give up.
_MARKS = ("h264",)


def open_clip(
    path: AnyPath, *, fps: Rate | None = None, rate: Rate | None = None
) -> VideoFile | FrameFolder:
    """A video file, or a folder of its frames.

    Args:
        path: of the file or the folder.
        fps: frames a second to read it at (None: all frames, as they are).
        rate: frames a second that a folder's pictures were taken at; a file knows it.

    Raises:
        UnreadableClip: if nothing is there.
    """
    path = Path(path)
    if not os.path.exists(path):
        raise UnreadableClip(path, "is not there")
    return FrameFolder(path, fps=fps, rate=rate) if path.is_dir() else VideoFile(path, fps=fps)


class VideoFile(Clip):
    """A video file. Its format is found from its content, whatever its name.

    Decoding is strict: where the decoder finds damage, or the file ends before the frames or the
    time that it declares, that is an error, and nothing after it is shown. (Damage that happens to
    be valid data of the codec cannot be seen by any decoder.) A container that merely miscounts is
    no error: that all its packets are there is what is checked. Frames are upright and mirrored as
    players show them; pixels that are not square stay as they are, see `display_size`.

    Args:
        path: of the file.
        fps: frames a second to read it at: at 0, 1 / fps, ... the frame nearest in time, so a
            higher rate repeats frames. Time stamps that are missing or do not ascend are repaired,
            see `seconds_of`. Costs a second pass of decoding, without conversion.
    """

    def __init__(self, path: AnyPath, *, fps: Rate | None = None):
        self.path, self.fps = Path(path), checked_rate("fps", fps)
        self._timed = None  # once it has been decoded to its end, whatever for

    def pictures(
        self, wanted: Int64[np.ndarray, " u"] | None, size: tuple[int, int] | None
    ) -> Iterator[Numbered]:
        """These frames, or all, with their numbers, while the file is decoded from its start."""
        from av.video.reformatter import VideoReformatter

        needed = None if wanted is None else set(wanted.tolist())
        last = None if wanted is None else wanted.max()
        to_rgb, number = VideoReformatter(), -1
        with closing(self.decoded()) as frames:
            for number, (frame, source) in enumerate(frames):
                if needed is None or number in needed:
                    try:
                        picture = _rgb(frame, to_rgb, size, source.turn(frame))
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
        """Decodes the whole file, without converting the frames, unless that has been done."""
        if self._timed is None:
            for _ in self.decoded():
                pass
        return self._timed

    def display_size(self) -> tuple[int, int]:
        """As the container notes the shape of the pixels."""
        with closing(self.decoded()) as frames:
            frame, source = next(frames)
            across = source.stream.sample_aspect_ratio or 1
            size = frame.height, max(1, round(frame.width * across))
            return size[::-1] if source.turn(frame)[0] else size

    def decoded(self) -> Iterator[tuple]:
        """Decoded frames with their source; after the last one the file is known to be whole, or
        its `checked` is false.
        """
        av, stamps = extra("av"), []
        # Some clips of HMDB51 have a title that is not UTF-8; PyAV keeps it from 19 on.
        more = {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}
        try:
            with self.path.open("rb") as file:
                if not file.read(1):
                    raise UnreadableClip(self.path, "is empty (0 bytes)")
                file.seek(0)
                listening = _Messages()
                with listening as said:
                    container = av.open(file, options={"format_whitelist": _FORMATS}, **more)
                with container:
                    source = _Source(self.path, file, container, listening, said)
                    for frame in source.frames():
                        if not stamps:
                            source.turn(frame)  # that it can be shown
                        stamps.append(frame.pts)
                        yield frame, source
                    if not stamps:
                        raise UnreadableClip(self.path, "holds no frame that can be decoded")
                    self._timed = timed(stamps, source)
        except UnreadableClip:
            raise
        except Exception as error:  # a damaged file can fail in any way
            what = getattr(error, "strerror", None) or error
            where = f"is damaged at frame {len(stamps)}" if stamps else "cannot be read"
            raise UnreadableClip(self.path, f"{where} ({what})") from error


class _Messages:
    """What FFmpeg says in a block in this thread: level, who, and the text. To be entered around
    single calls: what a generator's user does between its items is not listened to.

    That there are any messages, and that none is left out for being like the last one, maybe of
    another file, can only be set for the whole process, while any thread listens.
    """

    lock, threads, before = threading.Lock(), 0, (None, True)

    def __init__(self):
        self.ffmpeg = extra("av.logging")

    def __enter__(self) -> list[tuple[int, str, str]]:
        ffmpeg, every = self.ffmpeg, _Messages
        with self.lock:
            if not every.threads:
                every.before = ffmpeg.get_level(), ffmpeg.get_skip_repeated()
                ffmpeg.set_level(max(every.before[0] or 0, ffmpeg.INFO))
                ffmpeg.set_skip_repeated(False)
            every.threads += 1
        self.capture = ffmpeg.Capture()
        return self.capture.__enter__()

    def __exit__(self, *error: object) -> None:
        ffmpeg, every = self.ffmpeg, _Messages
        self.capture.__exit__(*error)
        with self.lock:
            every.threads -= 1
            if not every.threads:
                ffmpeg.set_level(every.before[0])
                ffmpeg.set_skip_repeated(every.before[1])


class _Source:
    """A video file while it is decoded.

    stream: its video; declared: how many frames it says it has (0: it does not); checked: after the
    last frame, whether the file has been seen to be as long as it says.
    """

    def __init__(self, path: Path, file: BinaryIO, container, listening: _Messages, said: list):
        import av

        self._bad = partial(UnreadableClip, path)
        self.file, self.container = file, container
        self.listening, self.said = listening, said
        self.format = container.format.name
        self.stream = stream = container.streams.best("video")  # not the picture on the cover
        if stream is None:
            raise self._bad("has no video in it")
        self.decoder = self.native = decoder = stream.codec_context
        if decoder is None:
            raise self._bad("is coded in a way that is not known here")
        deep = decoder.format is not None and decoder.format.components[0].bits > 8
        if not deep and (name := _STRICT.get(decoder.name)) in av.codecs_available:
            self.decoder = av.CodecContext.create(name, "r")
            self.decoder.extradata = decoder.extradata
        # A worker process is one thread; damage is reported where it is.
        self.decoder.thread_count = self.native.thread_count = 1
        if decoder.name not in _MARKS:
            self.decoder.options = {"err_detect": "explode"}
        self.raw = decoder.name == "rawvideo"
        # Now: while reading, the index grows by what is found. Samples may have no bytes.
        self.entries = len(stream.index_entries)
        self.indexed = sum(entry.size > 0 for entry in stream.index_entries)
        self.declared = stream.frames if 0 < stream.frames <= container.size else 0
        self.rate = float(stream.average_rate or stream.guessed_rate or 0)
        self.step = 1 / self.rate if self.rate else 0.0
        self.number = self.filled = self.torn = 0
        # Seconds, of what is shown, and as far as that in the order of decoding: no picture before
        # the last one decoded is missing.
        self.first, self.until, self.passed = np.inf, 0.0, 0.0
        self.checked = False
        self.at = 0  # where the last packet of the video begins, and from where on the file
        self.behind = np.inf  # cannot be read: bytes
        self.delay: float | None = None  # from decoding a frame to showing it
        self.matrix = None  # as the container has it, for a decoder that does not know it

    def frames(self) -> Iterator:
        """The frames, and then a check that these are all."""
        coming, packet, frames = self.container.demux(), True, []
        while packet is not None:
            with self.listening as said:
                packet = next(coming, None)
                if packet is not None:
                    frames = self._decode(packet)
            self._heed(said, self.format)
            if self.decoder.name not in _MARKS:
                self._heed(said, self.decoder.name)
            for frame in frames if packet is not None else ():
                if frame.is_corrupt:
                    raise self._bad(f"is damaged at frame {self.number}")
                yield frame
                self.number += 1
        self._heed(self.said, self.format)
        self._check_length()

    def turn(self, frame) -> tuple[bool, int, int]:
        """Whether the frame's rows become columns, and then the directions of rows and columns: 1,
        or -1. Raises UnreadableClip for more than a degree beside all quarter turns.
        """
        matrix = _display_matrix(frame)
        matrix = self.matrix if matrix is None else matrix
        (right, up), (left, down) = np.eye(2) if matrix is None else matrix.astype(float)
        swapped = bool(abs(up) > abs(right))
        across, down, odd = (left, up, right) if swapped else (right, down, up)
        if abs(odd) > np.tan(np.deg2rad(1)) * abs(across):
            raise self._bad("is to be shown turned by an angle that is no multiple of 90 degrees")
        return swapped, -1 if down < 0 else 1, -1 if across < 0 else 1

    def _decode(self, packet) -> list:
        """The frames that a packet completes. Of other streams' it is noted how far they go."""
        of_video = packet.stream.index == self.stream.index
        self._note_time(packet, of_video)
        if not of_video:
            return []
        self.at = packet.pos or self.at
        # Where packets of a transport stream do not follow each other, up to two packets later
        # another stream begins (joined files), or something is missing.
        self.torn = 0 if packet.is_keyframe else max(self.torn - 1, 0)
        if self.torn == 1 or (packet.is_corrupt and self.format != "mpegts"):
            raise self._bad(f"is cut off or damaged at frame {self.number}")
        self.torn = 3 if packet.is_corrupt else self.torn
        if not packet.size:  # AVI's "the same picture again", or the end
            return self.decoder.decode(None) if packet.dts is None else []
        self.filled += 1
        if not self.raw and not bytes(packet).lstrip(b"\0"):
            raise self._bad(f"has nothing but zeros at frame {self.number}")
        if self.native is not self.decoder and not self.number:
            for frame in self.native.decode(packet):
                self.matrix = _display_matrix(frame)
        return self.decoder.decode(packet)

    def _note_time(self, packet, of_video: bool) -> None:
        """Sound counts too: the longest stream is what a duration tells."""
        if packet.stream.type not in ("audio", "video") or packet.dts is packet.pts is None:
            return
        unit = float(packet.time_base)
        shown = unit * (packet.dts if packet.pts is None else packet.pts)
        decoded = shown if packet.dts is None else unit * packet.dts
        if of_video:
            self.delay = shown - decoded if self.delay is None else self.delay
            decoded += self.delay if self.format != "avi" else 0.0
        step = self.step if packet.stream.type == "video" else 0.1  # no codec's are longer
        lasts = unit * packet.duration if packet.duration else step
        self.first = min(self.first, shown)
        self.until = max(self.until, shown + lasts)
        self.passed = max(self.passed, decoded + lasts)

    def _heed(self, said: list, who: str) -> None:
        for level, name, text in said:
            if name == who and (level <= _ERROR or "incomplete packet" in text):
                # Matroska says where; it is no damage if nothing but junk is from there on.
                place = re.search(r"(?<!prematurely )at pos\.? (\w+)", text)
                if place and name == _NESTED:
                    self.behind = min(self.behind, int(place[1], 0))
                if self.at >= self.behind or self.behind == np.inf:
                    raise self._bad(f"is damaged at frame {self.number} ({text.strip()})")

    def _check_length(self) -> None:
        """UnreadableClip if less came than is declared; whether that much came, if anything is."""
        if self.format == "avi" or (self.declared and self.format.startswith("mov")):
            come, wanted, what = self.filled, max(self.declared, self.indexed), "frames"
            less = self.filled < self.indexed
            self.checked = self.entries >= self.declared
            if self.format == "avi":  # its index may be what was found until now
                # A picture that is shown again is no packet; and some writers declare one too many.
                slots = max(come, round(self.passed * self.rate)) + 1
                self.checked = slots >= self.declared > 0
                less = less or (come < self.declared and self._is_cut())
                less = less or (slots < self.declared and self.filled != self.indexed)
        else:
            come, wanted, what = self.until, self._declared_seconds(), "seconds"
            short = wanted - 0.75 * self.step
            # Matroska's last frame may be shown longer than it says; its nesting tells a cut.
            nested = self.format == _NESTED and self.behind == np.inf
            sound = bool(self.container.streams.audio)  # whose end is told less exactly
            less = come < short - 0.1 * sound and not nested
            late = self.first if self.first > 1 else 0
            # Of MP4 in fragments FFmpeg adds up those that are there, unless an index has them all.
            added = self.format.startswith("mov") and self.indexed >= self.filled
            known = self.until if self.format == _NESTED else self.passed
            self.checked = wanted > 0 and known - late >= short and not added
        if less:
            declares = f"{come:.4g} of the {wanted:.4g} {what} that it declares"
            raise self._bad(f"is truncated or damaged: {declares}")

    def _is_cut(self) -> bool:
        """Whether an AVI file is shorter than its head says."""
        self.file.seek(0)
        head = self.file.read(8)
        return head[:4] == b"RIFF" and int.from_bytes(head[4:], "little") + 8 > self.container.size

    def _declared_seconds(self) -> float:
        """0 where FFmpeg only guesses: from the size, or from how far the file goes."""
        known = self.format in _TIMED or self.format.startswith("mov")
        guessed = any("Estimating duration" in text for *_, text in self.said)
        if self.format == "flv":
            self.file.seek(0)
            number = self.file.read(1 << 16).partition(b"\0\x08duration\0")[2][:8]
            guessed = len(number) < 8 or not struct.unpack(">d", number)[0] > 0
        return (self.container.duration or 0) / 1e6 if known and not guessed else 0.0


def timed(stamps: list[int | None], source: _Source) -> tuple[Scan, Float64[np.ndarray, " t"]]:
    """What there is in a file, and when each frame is shown, in seconds from the first.

    stamps: of all its frames. source: from which they were decoded.
    """
    times, step = seconds_of(stamps, float(source.stream.time_base or 0), source.rate)
    seconds = None if step is None else float(times[-1]) + step
    return Scan(len(stamps), seconds, source.declared or None, source.checked), times


def _display_matrix(frame) -> np.ndarray | None:
    """Where x (first row) and y of a picture are to be shown, if its file says that."""
    from av.sidedata.sidedata import SideDataContainer

    # frame.side_data would be kept by the frame and keep it: then frames wait for the garbage
    # collector, hundreds at a time.
    held = SideDataContainer.__new__(SideDataContainer)
    with suppress(ValueError):  # of a kind that PyAV has no name for, as Exif: it takes no more
        held.__init__(frame)
    for data in held:
        with suppress(ValueError):
            if data.type.name == "DISPLAYMATRIX":
                return np.frombuffer(bytes(data), np.int32).reshape(3, 3)[:2, :2]
    return None


def _rgb(frame, to_rgb, size: tuple[int, int] | None, turn) -> np.ndarray:
    """A frame upright as (h, w, 3), in memory that belongs to the frame."""
    swapped, down, across = turn
    height, width = size or (frame.height, frame.width)
    if size and swapped:
        height, width = width, height
    if frame.interlaced_frame or frame.format.components[0].bits > 8:
        frame = _unmarked(frame)
    how = "BILINEAR" if size else "BICUBIC"  # as FFmpeg gives colours to pixels that have none
    rgb = to_rgb.reformat(frame, width, height, "rgb24", interpolation=how)
    picture = _rows(rgb.planes[0])[:, : 3 * width].reshape(height, width, 3)
    return (picture.swapaxes(0, 1) if swapped else picture)[::down, ::across]


def _unmarked(frame):
    """A copy that does not say where its colours lie, nor that its fields are apart: the scaler
    heeds both, but ffmpeg does not tell it either.
    """
    import av

    copy = av.VideoFrame(frame.width, frame.height, frame.format.name)
    for to, of in zip(copy.planes, frame.planes, strict=True):
        used = min(to.line_size, of.line_size)
        _rows(to)[:, :used] = _rows(of)[:, :used]
    copy.colorspace, copy.color_range = frame.colorspace, frame.color_range
    return copy


def _rows(plane) -> np.ndarray:
    """The bytes of a plane as (h, line), not copied."""
    return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
