"""Lists of clips with their classes; files that name clips to leave out, or count their frames."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Bool, Int64

from fvlib.datasets.videos.files import VideoFile, open_clip
from fvlib.datasets.videos.frames import AnyPath, FrameFolder, Rate, Scan
from fvlib.storage import read_bytes, read_json, read_text, write_file
from fvlib.values import brief, checked

_HEAD = "# Clips to leave out, written by fvlib: a path below the data root, two blanks, # why."
_SCHEMA = 2  # of the index of frames
# Of the index: bytes and time of change of the file, and then the fields of a Scan.
Entry = tuple[int, int, int, float | None, int | None, bool]


def checked_name(name: object, where: str) -> str:
    """A path below the data root, in its shortest form.

    Every name of a clip that comes from a file goes through here. A link that lies in the data root
    may lead out of it, a name may not.

    Args:
        where: the file that it stands in, and the line, for the error.

    Raises:
        ValueError: for what does not stay below the root, or names nothing.
    """
    path = PurePosixPath(name) if isinstance(name, str) else PurePosixPath()
    if not path.parts or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{where}: {brief(name)}; wanted paths below the data root, without ..")
    return str(path)


@dataclass(frozen=True, eq=False)
class ClipList:
    """Clips of one split of a data set.

    The names are held in one array, not as Python objects, so that the processes of a data loader
    share it and do not grow.

    Args:
        name: of the data set.
        split: such as "train".
        root: the folder that the names start from.
        classes: their names; a target is an index into them.
        names: path of each clip below the root, with "/" between the folders.
        targets: class of each clip.
        fold: number of the official split, if there are several.
        absent: names that the official list has or a folder holds, and that are no clip on this
            disk, with what they are instead; left out of `names` if the reader was asked to skip
            them.
        skipped: names that a skip list took out.
        passed: what else lies in its folders and was not taken for a clip, with why.

    Raises:
        ValueError: for targets without a class, names that occur twice, or other lengths.
    """

    name: str
    split: str
    root: Path
    classes: tuple[str, ...]
    names: np.ndarray
    targets: Int64[np.ndarray, " n"]
    fold: int | None = None
    absent: Mapping[str, str] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    passed: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self):
        if self.names.shape != self.targets.shape:
            raise ValueError(f"{self}: {len(self.names)} names but {len(self.targets)} targets")
        if len(self) and not 0 <= self.targets.min() <= self.targets.max() < len(self.classes):
            raise ValueError(
                f"{self}: targets go from {self.targets.min()} to {self.targets.max()}; wanted 0 "
                f"to {len(self.classes) - 1}"
            )
        names, times = np.unique(self.names, return_counts=True)
        if (times > 1).any():
            twice = names[times > 1]
            raise ValueError(f"{self}: {len(twice)} clips are listed twice, as {twice[0]}")

    def __len__(self) -> int:
        return len(self.names)

    def __str__(self) -> str:
        fold = "" if self.fold is None else f" fold {self.fold}"
        left_out = {"absent": self.absent, "in the skip list": self.skipped}
        notes = "".join(f", {len(clips)} {why}" for why, clips in left_out.items() if clips)
        return f"{self.name} {self.split}{fold}: {len(self.names)} clips{notes}"

    __repr__ = __str__

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """The paths of all clips, as objects; `path(i)` makes one."""
        return tuple(map(self.path, range(len(self))))

    def path(self, i: int) -> Path:
        """Where clip i lies."""
        return self.root / str(self.names[i])

    def open(self, i: int, **speed: Rate | None) -> VideoFile | FrameFolder:
        """Clip i, to read frames from; speed: fps and rate, as of `open_clip`."""
        return open_clip(self.path(i), **speed)

    def select(self, keep: Bool[np.ndarray, " n"] | Int64[np.ndarray, " m"]) -> ClipList:
        """The clips where `keep` is true, or those at these places; the classes stay."""
        return replace(self, names=self.names[keep], targets=self.targets[keep])

    def without(self, skip: Mapping[str, str] | Iterable[str] | AnyPath) -> ClipList:
        """All clips but those of a skip list: its file, or its names."""
        given = read_skip_list(Path(skip)) if isinstance(skip, AnyPath) else skip
        names = {str(PurePosixPath(name)) for name in given}
        leave = np.array([name in names for name in self.names.tolist()], bool)
        skipped = (*self.skipped, *self.names[leave].tolist())
        return replace(self.select(~leave), skipped=skipped)

    def of_classes(self, classes: Sequence[str]) -> ClipList:
        """The clips of some classes; the targets are indices into these.

        Raises:
            ValueError: for classes that the list does not have, or that are given twice.
        """
        if not {*classes} <= {*self.classes} or len({*classes}) < len(classes):
            raise ValueError(f"{self}: classes are {brief(classes)}; wanted different ones of it")
        new = np.full(len(self.classes), -1)
        new[[self.classes.index(name) for name in classes]] = np.arange(len(classes))
        kept = self.select(new[self.targets] >= 0)
        return replace(kept, classes=tuple(classes), targets=new[kept.targets])


def read_skip_list(path: Path) -> dict[str, str]:
    """The names in a skip list and why they are in it ("": it does not say).

    A line is a path below the data root, then blanks and "# why" if wanted. Empty lines and those
    that begin with # are passed over. A name that begins with #, with line breaks, or with blanks
    at its ends, is written in quotes, as in JSON.

    Raises:
        ValueError: for paths that do not stay below the root, and for other text than UTF-8 (but
            for names that are not).
    """
    reasons = {}
    for number, line in enumerate(read_text(path, "surrogateescape").split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        before, mark, reason = line.rpartition(" # ")  # the last one: a name may hold one too
        name = (before if mark else line).strip()
        if name.startswith('"'):
            with suppress(ValueError):
                name = json.loads(name)
        reasons[checked_name(name, f"{path}, line {number}")] = reason.strip() if mark else ""
    return reasons


def write_skip_list(path: Path, reasons: Mapping[str, str]) -> None:
    """Write a skip list, sorted, at once or not at all.

    Raises:
        ValueError: if the file holds something else.
    """
    if path.exists() and not read_bytes(path).startswith(_HEAD.encode()):
        raise ValueError(
            f"{path} was not written by fvlib (its first line is another), and would be lost: "
            "name another file for the skip list"
        )
    lines = [_HEAD]
    for name, reason in sorted(reasons.items()):
        plain = name == name.strip() and name[0] not in '#"' and len(name.splitlines()) == 1
        reason = " ".join(word for word in reason.split() if word != "#")
        lines.append(f"{name if plain else json.dumps(name)}  # {reason}")
    write_file(path, "\n".join(lines) + "\n")


class FrameIndex:
    """Frames and seconds of clips, by their names below a data root.

    An entry holds while the file has the same size and time of change (of a frame folder: the
    folder has). `FrameIndex(path)` reads what is there, `write()` replaces it.

    Raises:
        ValueError: if the file is no such index.
    """

    def __init__(self, path: AnyPath):
        self.path = Path(path)
        self._clips: dict[str, Sequence] = {}
        if self.path.exists():
            try:
                found = read_json(self.path)
                if found.get("schema") != _SCHEMA:
                    raise ValueError(f"it has no schema {_SCHEMA}")
                self._clips = checked(found.get("clips"), Mapping[str, Entry], "clips")
            except ValueError as error:
                raise ValueError(
                    f"{path} is no index of frames ({error}); delete it or name another file"
                ) from error

    def __len__(self) -> int:
        return len(self._clips)

    def get(self, root: Path, name: str) -> Scan | None:
        """What is known of a clip; None if nothing, or if it has changed since."""
        entry = self._clips.get(name, ())
        known = entry and tuple(entry[:2]) == _state(root / name)
        return Scan(*entry[2:]) if known else None

    def put(self, root: Path, name: str, scan: Scan) -> None:
        """Remember what a scan of the clip has found."""
        self._clips[name] = (*_state(root / name), *astuple(scan))

    def write(self) -> None:
        """Save it, at once or not at all."""
        write_file(self.path, json.dumps({"schema": _SCHEMA, "clips": self._clips}) + "\n")


def count_frames(
    clips: ClipList,
    index: FrameIndex | None = None,
    *,
    fps: Rate | None = None,
    rate: Rate | None = None,
) -> Int64[np.ndarray, " n"]:
    """Frames of each clip, from the index where it knows them, else by decoding the clip.

    New counts are put into the index, which is not written.

    Args:
        fps, rate: as in `open_clip`.

    Raises:
        UnreadableClip: for a clip that is missing or damaged.
    """
    counts = np.empty(len(clips), np.int64)
    for i, name in enumerate(clips.names.tolist()):
        scan = index.get(clips.root, name) if index is not None else None
        if scan is None:
            scan = clips.open(i).times()[0]  # without a rate: it is no property of the files
            if index is not None:
                index.put(clips.root, name, scan)
        counts[i] = scan.frames
        if fps is not None:
            counts[i] = clips.open(i, fps=fps, rate=rate).count(scan if scan.seconds else None)
    return counts


def _state(path: Path) -> tuple[int, int]:
    """Size and time of change; zeros for what has gone."""
    try:
        found = path.stat()
        return found.st_size, found.st_mtime_ns
    except OSError:
        return 0, 0


def natural(text: str) -> tuple:
    """A key that sorts class2 before class10."""
    parts = re.split(r"(\d+)", text)
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in parts), text
