"""Clips as folders of numbered pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from fvlib.datasets.videos.frames import (
    AnyPath,
    Clip,
    Numbered,
    Rate,
    Scan,
    UnreadableClip,
    checked_rate,
    of_one_size,
    too_short,
)

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


class FrameFolder(Clip):
    """A folder of numbered pictures: `img_00001.jpg`, `000001.jpg`, `0.jpg`, ...

    Index 0 is the first picture, whether its number is 0 or 1. Files that are no pictures, and
    hidden ones, are passed over.

    Args:
        path: of the folder.
        fps: frames a second to read it at, as in `VideoFile`; needs `rate`.
        rate: frames a second that the pictures were taken at.

    Raises UnreadableClip if there are no pictures, if their names do not differ in a number alone,
    if it starts at neither 0 nor 1, or if numbers are missing.
    Explained in chapter 10_something.
    """

    def __init__(self, path: AnyPath, *, fps: Rate | None = None, rate: Rate | None = None):
        self.path, self.fps = Path(path), checked_rate("fps", fps)
        self.rate = checked_rate("rate", rate)
        self.files = _numbered(self.path)

    def scan(self) -> Scan:
        """Frames and seconds, after reading every picture. Raises UnreadableClip."""
        for _ in of_one_size(self.path, self.pictures(None, None)):
            pass
        return self.measure()

    def pictures(
        self, wanted: Int64[np.ndarray, " u"] | None, size: tuple[int, int] | None
    ) -> Iterator[Numbered]:
        """These pictures, or all, with their places in the order of their numbers."""
        numbers = np.arange(len(self.files)) if wanted is None else np.unique(wanted)
        if numbers[-1] >= len(self.files):
            raise too_short(self.path, len(self.files), numbers[-1])
        for i in numbers.tolist():
            yield i, self._picture(i, size)

    def times(self) -> tuple[Scan, Float64[np.ndarray, " t"]]:
        """The pictures are not opened; the seconds need the rate."""
        seconds = len(self.files) / self.rate if self.rate else None
        return Scan(len(self.files), seconds), np.arange(len(self.files)) / (self.rate or 1)

    def _picture(self, index: int, size: tuple[int, int] | None) -> np.ndarray:
        from PIL import Image

        file = self.path / self.files[index]
        try:
            with Image.open(file) as picture:
                picture = picture.convert("RGB")
                if size and picture.size != size[::-1]:
                    picture = picture.resize(size[::-1], Image.Resampling.BILINEAR)
                return np.asarray(picture)
        except (OSError, SyntaxError, ValueError) as error:  # what Pillow's readers raise
            raise UnreadableClip(file, f"is no picture that can be read ({error})") from error


def _numbered(folder: Path) -> tuple[str, ...]:
    """The names of the pictures in the order of their numbers."""
    names = sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.suffix.lower() in PICTURE_SUFFIXES and not entry.name.startswith(".")
    )
    if not names:
        raise UnreadableClip(folder, "holds no pictures")
    found: dict[int, str] = {}
    for name in names:
        parts = re.fullmatch(r"(.*?)(\d+)(\.\w+)", name)
        if not parts:
            raise UnreadableClip(folder, f"holds {name}, which has no number")
        number = int(parts[2])
        if number in found:
            raise UnreadableClip(folder, f"holds number {number} twice: {found[number]}, {name}")
        found[number] = name
    first = min(found)
    prefix, digits, suffix = re.fullmatch(r"(.*?)(\d+)(\.\w+)", found[first]).groups()
    for number, name in found.items():
        pattern = f"{prefix}{number:0{len(digits)}d}{suffix}"
        if name != pattern:
            raise UnreadableClip(folder, f"mixes names: {found[first]} and {name}")
    if first > 1:
        raise UnreadableClip(folder, f"starts at {found[first]}, wanted number 0 or 1")
    if gap := next((n for n in range(first, first + len(found)) if n not in found), None):
        after = min(n for n in found if n > gap)
        raise UnreadableClip(folder, f"has no number {gap}, but {found[after]} (a gap)")
    return tuple(found[number] for number in sorted(found))
