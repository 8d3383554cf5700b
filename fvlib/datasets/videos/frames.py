"""What video files and frame folders share: the error, which frames are shown, filling an array."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64, Integer, UInt8

Indices = Sequence[int] | Integer[np.ndarray, " u"]
Rate = float | int
AnyPath = Path | str
NEAR = 1e-6  # of a second, or of a frame: differences that rounding makes


class UnreadableClip(ValueError):
    """A clip that is missing, empty, truncated, damaged, or shorter than asked. Names the file.

    Nothing is ever shown in its place. Explained in chapter 09_ucf_hmdb.
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
    nor a rate), and how many frames its container declares (None: it does not say).

    Explained in chapter 09_ucf_hmdb.
    """

    frames: int
    seconds: float | None
    declared: int | None = None


def frames_at(seconds: Rate, fps: Rate) -> int:
    """How many frames a clip of so many seconds has at a rate: one at 0, 1 / fps, 2 / fps, ...

    Explained in chapter 09_ucf_hmdb.
    """
    return max(1, int(np.ceil(seconds * fps - NEAR)))


def nearest_frames(
    times: Float64[np.ndarray, " t"], seconds: Rate, fps: Rate
) -> Int64[np.ndarray, " u"]:
    """Which frame is nearest in time to 0, 1 / fps, 2 / fps, ...; the earlier one on ties.

    Args:
        times: when each frame is shown, in seconds, ascending from 0.
        seconds: how long the clip lasts.
        fps: frames a second that are wanted; more than there are repeats some.

    Explained in chapter 09_ucf_hmdb.
    """
    moments = np.arange(frames_at(seconds, fps)) / fps
    after = np.searchsorted(times, moments).clip(1, max(len(times) - 1, 1))
    after = np.minimum(after, len(times) - 1)
    before = np.maximum(after - 1, 0)
    earlier = moments - times[before] <= times[after] - moments + NEAR
    return np.where(earlier, before, after)


def checked_indices(indices: object) -> Int64[np.ndarray, " u"]:
    """Indices of frames as an array; ValueError unless they are whole numbers from 0, at least one.

    Explained in chapter 09_ucf_hmdb.
    """
    wanted = np.asarray(indices)
    if wanted.ndim != 1 or not len(wanted) or wanted.dtype.kind not in "iu" or wanted.min() < 0:
        raise ValueError(
            f"frame indices are {indices!r}; wanted a row of one or more whole numbers from 0"
        )
    return wanted.astype(np.int64)


def checked_rate(what: str, fps: Rate | None) -> float | None:
    """A number of frames a second; ValueError unless it is positive.

    Explained in chapter 09_ucf_hmdb.
    """
    if fps is not None and not 0 < fps < np.inf:
        raise ValueError(f"{what} is {fps!r}; wanted a positive number of frames a second")
    return None if fps is None else float(fps)


def checked_size(size: object) -> tuple[int, int] | None:
    """A height and a width; ValueError unless they are positive whole numbers.

    Explained in chapter 09_ucf_hmdb.
    """
    try:
        height, width = map(operator.index, size) if size is not None else (1, 1)
        if height > 0 < width:
            return None if size is None else (height, width)
    except (TypeError, ValueError):
        pass
    raise ValueError(f"size is {size!r}; wanted (height, width) in pixels, both positive")


def fill(
    path: Path,
    pictures: Iterable[tuple[int, UInt8[np.ndarray, "h w 3"]]],
    wanted: Int64[np.ndarray, " u"] | None,
) -> UInt8[np.ndarray, "t h w 3"]:
    """One array from numbered pictures: where `wanted` names them, or all, in order.

    Raises UnreadableClip if their sizes differ. Explained in chapter 09_ucf_hmdb.
    """
    frames, last = np.empty((0, 0, 0, 3), np.uint8), 0
    for last, picture in pictures:
        if not frames.size:
            frames = np.empty((64 if wanted is None else len(wanted), *picture.shape), np.uint8)
        if picture.shape != frames.shape[1:]:
            shapes = [f"{width}x{height}" for height, width, _ in (picture.shape, frames.shape[1:])]
            raise UnreadableClip(
                path, f"frame {last} has {shapes[0]} pixels, those before {shapes[1]} (give a size)"
            )
        if wanted is None and last == len(frames):  # more than it had room for
            frames.resize((last * 5 // 4, *picture.shape), refcheck=False)
        frames[last if wanted is None else wanted == last] = picture
    if wanted is None:
        frames.resize((last + 1, *frames.shape[1:]), refcheck=False)
    return frames


class Clip(ABC):
    """What video files and frame folders have in common.

    Explained in chapter 09_ucf_hmdb.
    """

    path: Path
    fps: float | None

    @abstractmethod
    def times(self) -> tuple[Scan, Float64[np.ndarray, " t"]]:
        """What there is, and when each frame is shown, in seconds from the first."""

    def measure(self) -> Scan:
        """Frames and seconds: a video file is decoded for it, a folder's pictures are not opened.

        Raises UnreadableClip.
        """
        return self.times()[0]

    def scan(self) -> Scan:
        """The same, after every frame has been read. Raises UnreadableClip."""
        return self.measure()

    def count(self) -> int:
        """How many frames `read` gives, found as by `measure`, since containers lie.

        Raises UnreadableClip; ValueError if it is to be read at a rate and has no times.
        """
        scan = self.measure()
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


def too_short(path: Path, frames: int, asked: int | np.integer) -> UnreadableClip:
    """The error for an index beyond the end. Explained in chapter 09_ucf_hmdb."""
    return UnreadableClip(path, f"has {frames} frames, but frame {asked} (from 0) was asked for")
