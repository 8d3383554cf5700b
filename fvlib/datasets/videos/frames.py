"""What all clips share: the error, which frames are shown, reading them; and frame folders."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64, Integer, UInt8

Indices = Sequence[int] | Integer[np.ndarray, " u"]
Rate = float | int
AnyPath = Path | str
Numbered = tuple[int, UInt8[np.ndarray, "h w 3"]]  # a picture and its place in its clip
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
NEAR = 1e-6  # of a second, or of a frame: differences that rounding makes


class UnreadableClip(ValueError):
    """A clip that is missing, empty, truncated, damaged, or shorter than asked. Names the file.

    Nothing is ever shown in its place.
    """

    def __init__(self, path: AnyPath, reason: str = ""):
        super().__init__(path, reason)
        self.reason = reason

    def __str__(self) -> str:
        # A data loader makes the error of a worker again from its text alone.
        path, reason = self.args
        return f"{path}: {reason}; get it again or name it in a skip list" if reason else str(path)


@dataclass(frozen=True)
class Scan:
    """What reading a whole clip tells: its frames, its seconds (None: it has neither time stamps
    nor a rate), how many frames its container declares (None: it does not say), and whether there
    was a declared number or duration, to check that these are all.
    """

    frames: int
    seconds: float | None
    declared: int | None = None
    checked: bool = True


def frames_at(seconds: Rate, fps: Rate) -> int:
    """How many frames a clip of so many seconds has at a rate: one at 0, 1 / fps, 2 / fps, ..."""
    return max(1, int(np.ceil(seconds * fps - NEAR)))


def nearest_frames(
    times: Float64[np.ndarray, " t"], seconds: Rate, fps: Rate
) -> Int64[np.ndarray, " u"]:
    """Which frame is nearest in time to 0, 1 / fps, 2 / fps, ...; the earlier one on ties.

    Args:
        times: when each frame is shown, in seconds, ascending from 0.
        seconds: how long the clip lasts.
        fps: frames a second that are wanted; more than there are repeats some.
    """
    moments = np.arange(frames_at(seconds, fps)) / fps
    after = np.searchsorted(times, moments).clip(1, max(len(times) - 1, 1))
    after = np.minimum(after, len(times) - 1)
    before = np.maximum(after - 1, 0)
    earlier = moments - times[before] <= times[after] - moments + NEAR
    return np.where(earlier, before, after)


def seconds_of(
    stamps: Sequence[int | None], unit: float, rate: float
) -> tuple[Float64[np.ndarray, " t"], float | None]:
    """When frames are shown, in seconds from the first, and how long the last one is.

    A time stamp that is missing, repeats the one before it, or stands alone out of order is put
    evenly between its neighbours; two that are exchanged are put right. Where the clock is set back
    for good (joined recordings), the frames go on a usual step after those before. All others stay.

    Args:
        stamps: of the frames in their order; None where there is none.
        unit: of the stamps, in seconds.
        rate: frames a second, for frames without any stamps; 0: it has none, and neither has the
            last frame a length.
    """
    places = [i for i, stamp in enumerate(stamps) if stamp is not None]
    steps = np.diff([stamps[i] for i in places])
    if not unit or not (steps > 0).any():
        return np.arange(len(stamps)) / (rate or 1), 1 / rate if rate else None
    usual = float(np.median(steps[steps > 0]))
    kept, shift = [(-1, -np.inf)], 0.0
    for i, after in zip(places, [*places[1:], None], strict=True):
        stamp, last = stamps[i] + shift, kept[-1][1]
        if stamp <= last:
            fits = len(kept) > 1 and kept[-2][1] < stamp
            alone = after is None or stamps[after] + shift > last
            if stamp == last or (alone and not fits):
                continue
            if not fits:  # the clock was set back
                shift += last + usual - stamp
                stamp = last + usual
            else:  # these two are exchanged (AVI), or the one before alone leapt ahead
                kept[-1:] = [(kept[-1][0], stamp)] if alone else []
                stamp = last if alone else stamp
        kept.append((i, stamp))
    at, known = (np.array(part) for part in zip(*kept[1:], strict=True))
    index = np.arange(len(stamps))
    times = np.interp(index, at, known)
    step = float(np.median(np.diff(times[at[0] : at[-1] + 1])))
    times += step * (np.minimum(index - at[0], 0) + np.maximum(index - at[-1], 0))
    return (times - times[0]) * unit, step * unit


def checked_indices(indices: object) -> Int64[np.ndarray, " u"]:
    """Indices of frames as an array; ValueError unless whole numbers from 0, at least one."""
    wanted = np.asarray(indices)
    if wanted.ndim != 1 or not len(wanted) or wanted.dtype.kind not in "iu" or wanted.min() < 0:
        raise ValueError(
            f"frame indices are {indices!r}; wanted a row of one or more whole numbers from 0"
        )
    return wanted.astype(np.int64)


def checked_rate(what: str, fps: Rate | None) -> float | None:
    """A number of frames a second; ValueError unless it is positive."""
    if fps is not None and not 0 < fps < np.inf:
        raise ValueError(f"{what} is {fps!r}; wanted a positive number of frames a second")
    return None if fps is None else float(fps)


def checked_size(size: Sequence[int] | None) -> tuple[int, int] | None:
    """A height and a width; ValueError unless they are positive whole numbers."""
    if size is None:
        return None
    whole = [int(side) for side in size if isinstance(side, Integral) and side > 0]
    if len(whole) != 2 or len(size) != 2:
        raise ValueError(f"size is {size!r}; wanted (height, width) in pixels, both positive")
    return whole[0], whole[1]


def of_one_size(path: Path, pictures: Iterable[Numbered]) -> Iterator[Numbered]:
    """The same pictures; UnreadableClip if their sizes differ."""
    before = None
    for number, picture in pictures:
        if before is not None and picture.shape != before:
            sizes = [f"{width}x{height}" for height, width, _ in (picture.shape, before)]
            raise UnreadableClip(
                path, f"frame {number} has {sizes[0]} pixels, those before {sizes[1]} (give a size)"
            )
        before = picture.shape
        yield number, picture


def fill(
    pictures: Iterable[Numbered], wanted: Int64[np.ndarray, " u"] | None
) -> UInt8[np.ndarray, "t h w 3"]:
    """One array from numbered pictures of one size: where `wanted` names them, or all, in order."""
    frames, last = np.empty((0, 0, 0, 3), np.uint8), 0
    for last, picture in pictures:
        if not frames.size:
            frames = np.empty((64 if wanted is None else len(wanted), *picture.shape), np.uint8)
        if wanted is None and last == len(frames):  # more than it had room for
            frames.resize((last * 5 // 4, *picture.shape), refcheck=False)
        frames[last if wanted is None else wanted == last] = picture
    if wanted is None:
        frames.resize((last + 1, *frames.shape[1:]), refcheck=False)
    return frames


class Clip(ABC):
    """What video files and frame folders have in common."""

    path: Path
    fps: float | None

    @abstractmethod
    def times(self) -> tuple[Scan, Float64[np.ndarray, " t"]]:
        """What there is, and when each frame is shown, in seconds from the first."""

    @abstractmethod
    def pictures(
        self, wanted: Int64[np.ndarray, " u"] | None, size: tuple[int, int] | None
    ) -> Iterator[Numbered]:
        """These pictures with their numbers, each once, in order; none behind the last is opened.
        None: all of them.
        """

    def read(
        self, indices: Indices | None = None, *, size: tuple[int, int] | None = None
    ) -> UInt8[np.ndarray, "t h w 3"]:
        """The frames at these indices, in their order; repeats are allowed. None: all frames.

        Frames are read one by one up to the last one wanted, and no others are kept.

        Args:
            size: (h, w) to resize to, bilinear; of a video file from the codec's own colours:
                quick, and about one level of 255 off what resizing the RGB frames gives.

        Raises:
            UnreadableClip: for what is damaged up to there, or shorter.
            ValueError: for indices or a size that are no such thing.
        """
        wanted = self.shown(indices)
        with closing(self.pictures(wanted, checked_size(size))) as pictures:
            return fill(of_one_size(self.path, pictures), wanted)

    def iter_chunks(
        self, parts: Sequence[Integer[np.ndarray, " _"]], *, size: tuple[int, int] | None = None
    ) -> Iterator[UInt8[np.ndarray, "t h w 3"]]:
        """The frames of each part, part by part: what `read` gives for it, in one pass for all.

        Kept in memory are one part and what the decoder needs. Frames may come again, but never
        go back, within a part or from one to the next.

        Raises as `read`, at the part that cannot be given; ValueError for frames that go back.
        """
        wanted = self.shown(np.concatenate(parts))
        if (np.diff(wanted) < 0).any():
            raise ValueError(
                f"{self.path}: frames that go back in time were asked for in one pass; wanted them "
                "in order, or read them part by part"
            )
        ends = np.cumsum([len(part) for part in parts])
        with closing(self.pictures(wanted, checked_size(size))) as pictures:
            coming = _Coming(of_one_size(self.path, pictures))
            for part in np.split(wanted, ends[:-1]):
                yield fill(coming.of(part), part)

    @abstractmethod
    def display_size(self) -> tuple[int, int]:
        """Height and width of the first frame where it is looked at: upright, with square pixels.
        `read` gives the pixels as they are stored: to a network, their shape is no information.

        Raises:
            UnreadableClip: for a damaged clip.
        """

    def scan(self) -> Scan:
        """Frames and seconds, after every frame has been decoded. Raises UnreadableClip."""
        return self.times()[0]

    def count(self, known: Scan | None = None) -> int:
        """How many frames `read` gives: of a video file it is decoded to know, since containers
        lie; a folder's pictures are not opened.

        Args:
            known: of an earlier scan, which saves this.

        Raises:
            UnreadableClip: for a damaged clip.
            ValueError: if it is to be read at a rate and has no times.
        """
        scan = known or self.times()[0]
        return scan.frames if self.fps is None else frames_at(self._seconds(scan), self.fps)

    def shown(self, indices: Indices | None) -> Int64[np.ndarray, " u"] | None:
        """The frames on disk that these indices mean; None for all."""
        wanted = None if indices is None else checked_indices(indices)
        if self.fps is None:
            return wanted
        scan, times = self.times()
        shown = nearest_frames(times, self._seconds(scan), self.fps)
        if wanted is None:
            return shown
        if wanted.max() >= len(shown):
            raise too_short(self.path, len(shown), wanted.max())
        return shown[wanted]

    def _seconds(self, scan: Scan) -> float:
        if scan.seconds is None:
            raise ValueError(
                f"{self.path} has no times, so it cannot be read at {self.fps} frames a second: "
                "give the rate of a frame folder, or read all frames (fps=None)"
            )
        return scan.seconds


class _Coming:
    """Numbered pictures in order, of which the last one can be had again."""

    def __init__(self, pictures: Iterator[Numbered]):
        self._pictures, self._last = pictures, (-1, np.empty((0, 0, 3), np.uint8))

    def of(self, wanted: Int64[np.ndarray, " u"]) -> Iterator[Numbered]:
        """The pictures with these numbers, none of which is before the last one given."""
        for number in np.unique(wanted).tolist():
            if number != self._last[0]:
                self._last = next(self._pictures)
            yield self._last


def too_short(path: Path, frames: int, asked: int | np.integer) -> UnreadableClip:
    """The error for an index beyond the end."""
    return UnreadableClip(path, f"has {frames} frames, but frame {asked} (from 0) was asked for")


class FrameFolder(Clip):
    """A folder of numbered pictures: `img_00001.jpg`, `000001.jpg`, `0.jpg`, ...; given upright, as
    their cameras noted it, and with 8 bits.

    Index 0 is the first picture, whether its number is 0 or 1. Files that are no pictures, and
    hidden ones, are passed over.

    Args:
        path: of the folder.
        fps: frames a second to read it at, as in `VideoFile`; needs `rate`.
        rate: frames a second that the pictures were taken at.

    Raises:
        UnreadableClip: if there are no pictures, if their names do not differ in a number alone, if
            it starts at neither 0 nor 1, or if numbers are missing.
    """

    def __init__(self, path: AnyPath, *, fps: Rate | None = None, rate: Rate | None = None):
        self.path, self.fps = Path(path), checked_rate("fps", fps)
        self.rate = checked_rate("rate", rate)
        self.files = _numbered(self.path)

    def scan(self) -> Scan:
        """Frames and seconds, after reading every picture. Raises UnreadableClip."""
        for _ in of_one_size(self.path, self.pictures(None, None)):
            pass
        return self.times()[0]

    def pictures(
        self, wanted: Int64[np.ndarray, " u"] | None, size: tuple[int, int] | None
    ) -> Iterator[Numbered]:
        """These pictures, or all, with their places in the order of their numbers."""
        numbers = np.arange(len(self.files)) if wanted is None else np.unique(wanted)
        if numbers[-1] >= len(self.files):
            raise too_short(self.path, len(self.files), numbers[-1])
        for i in numbers.tolist():
            yield i, self._picture(i, size)

    def display_size(self) -> tuple[int, int]:
        """Of the first picture, upright."""
        return self._picture(0, None).shape[:2]

    def times(self) -> tuple[Scan, Float64[np.ndarray, " t"]]:
        """The pictures are not opened; the seconds need the rate."""
        seconds = len(self.files) / self.rate if self.rate else None
        return Scan(len(self.files), seconds), np.arange(len(self.files)) / (self.rate or 1)

    def _picture(self, index: int, size: tuple[int, int] | None) -> np.ndarray:
        from PIL import Image, ImageOps

        file = self.path / self.files[index]
        try:
            with Image.open(file) as picture:
                picture = ImageOps.exif_transpose(picture)
                if picture.mode.startswith("I"):  # of 16 bits: converting would cut at 255
                    picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
                picture = picture.convert("RGB")
                if size and picture.size != size[::-1]:
                    picture = picture.resize(size[::-1], Image.Resampling.BILINEAR)
                return np.asarray(picture)
        except Exception as error:  # a damaged picture can fail in any way, also by its size
            raise UnreadableClip(file, f"is no picture that can be read ({error})") from error


def _numbered(folder: Path) -> tuple[str, ...]:
    """The names of the pictures in the order of their numbers."""
    try:
        names = sorted(filter(is_picture, os.listdir(folder)))
    except OSError as error:
        raise UnreadableClip(folder, f"cannot be read ({error.strerror})") from error
    if not names:
        raise UnreadableClip(folder, "holds no pictures")
    parts = {name: re.fullmatch(r"(.*?)(\d+)(\.\w+)", name) for name in names}
    if none := [name for name in names if parts[name] is None]:
        raise UnreadableClip(folder, f"holds {none[0]}, which has no number")
    names.sort(key=lambda name: int(parts[name][2]))
    prefix, digits, suffix = parts[names[0]].groups()
    if int(digits) > 1:
        raise UnreadableClip(folder, f"starts at {names[0]}, wanted number 0 or 1")
    for number, name in enumerate(names, int(digits)):
        wanted = f"{prefix}{number:0{len(digits)}d}{suffix}"
        if name != wanted:
            raise UnreadableClip(
                folder, f"has {name} where {wanted} was wanted: names differ in a number, no gaps"
            )
    return tuple(names)


def is_picture(name: str) -> bool:
    """Whether a file of this name is a frame: no other file, and no hidden one."""
    return name.lower().endswith(PICTURE_SUFFIXES) and not name.startswith(".")
