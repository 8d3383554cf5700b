"""A list of clips with their classes, and the text file that names the clips to leave out."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Bool, Int64

from fvlib.datasets.videos.files import VideoFile, open_clip
from fvlib.datasets.videos.folders import FrameFolder
from fvlib.datasets.videos.frames import AnyPath, Rate

_HEAD = "# Clips to leave out, written by fvlib: a path below the data root, two blanks, # why."


@dataclass(frozen=True, eq=False)
class ClipList:
    """Clips of one split of a data set.

    The names are held in one array, not as Python objects, so that the processes of a data loader
    share it and do not grow.

    Args:
        name: of the data set.
        split: such as "train"; `fold` is the number of the official split, if there are several.
        root: the folder that the names start from.
        classes: their names; a target is an index into them.
        names: path of each clip below the root, with "/" between the folders.
        targets: class of each clip.
        absent: names that the official list has and the disk does not; left out of `names` if
            the reader was asked to skip them.
        skipped: names that a skip list took out.

    Raises ValueError for targets without a class, names that occur twice, or other lengths.
    Explained in chapter 09_ucf_hmdb.
    """

    name: str
    split: str
    root: Path
    classes: tuple[str, ...]
    names: np.ndarray
    targets: Int64[np.ndarray, " n"]
    fold: int | None = None
    absent: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()

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

    def open(
        self, i: int, *, fps: Rate | None = None, rate: Rate | None = None
    ) -> VideoFile | FrameFolder:
        """Clip i, to read frames from; as `open_clip`."""
        return open_clip(self.path(i), fps=fps, rate=rate)

    def select(self, keep: Bool[np.ndarray, " n"]) -> ClipList:
        """The clips where `keep` is true; the classes stay."""
        return replace(self, names=self.names[keep], targets=self.targets[keep])

    def without(self, skip: Mapping[str, str] | Iterable[str] | AnyPath) -> ClipList:
        """All clips but those of a skip list: its file, or its names."""
        names = set(read_skip_list(Path(skip)) if isinstance(skip, AnyPath) else map(_tidy, skip))
        leave = np.array([name in names for name in self.names.tolist()], bool)
        skipped = (*self.skipped, *self.names[leave].tolist())
        return replace(self.select(~leave), skipped=skipped)

    def of_classes(self, classes: Sequence[str]) -> ClipList:
        """The clips of some classes; the targets are indices into these.

        Raises ValueError for classes that the list does not have, or that are given twice.
        """
        wrong = [c for c in classes if c not in self.classes or list(classes).count(c) > 1]
        if wrong:
            raise ValueError(
                f"{self}: its {len(self.classes)} classes have no {wrong[0]!r}, or it is given "
                "twice; wanted different ones of them"
            )
        new = np.full(len(self.classes), -1)
        new[[self.classes.index(name) for name in classes]] = np.arange(len(classes))
        kept = self.select(new[self.targets] >= 0)
        return replace(kept, classes=tuple(classes), targets=new[kept.targets])


def read_skip_list(path: Path) -> dict[str, str]:
    """The names in a skip list and why they are in it ("": it does not say).

    A line is a path below the data root, then blanks and "# why" if wanted. Empty lines and those
    that begin with # are passed over (a name that begins with # is written as ./#name).

    Raises ValueError for paths that do not stay below the root. Explained in chapter 09_ucf_hmdb.
    """
    reasons = {}
    for line in path.read_text("utf-8", "surrogateescape").removeprefix("\ufeff").split("\n"):
        if not line.strip() or line.startswith("#"):
            continue
        # The last " # " begins the reason: a name may hold one too.
        name, reason = re.fullmatch(r"(.*?)(?:\s+#\s((?:(?!\s#\s).)*))?\s*", line).groups()
        reasons[_tidy(name)] = (reason or "").strip()
    if wrong := [name for name in reasons if name.startswith(("/", "../"))]:
        raise ValueError(f"{path} names {wrong[0]}; wanted paths below the data root")
    return reasons


def write_skip_list(path: Path, reasons: Mapping[str, str]) -> None:
    """Write a skip list, sorted, at once or not at all.

    Raises ValueError if the file holds something else, or a name cannot be written on one line.
    Explained in chapter 09_ucf_hmdb.
    """
    if path.exists() and not path.read_text("utf-8", "surrogateescape").startswith(_HEAD):
        raise ValueError(
            f"{path} was not written by fvlib (its first line is another), and would be lost: "
            "name another file for the skip list"
        )
    lines = [_HEAD]
    for name, reason in sorted(reasons.items()):
        if "\n" in name or "\r" in name:
            raise ValueError(f"{name!r} has a line break in its name; rename the file")
        reason = " ".join(word for word in reason.split() if word != "#")
        lines.append(f"{'./' if name.startswith('#') else ''}{name}  # {reason}")
    write_atomically(path, "\n".join(lines) + "\n")


def write_atomically(path: Path, text: str) -> None:
    """Write a file, line ends as they are, so that nobody ever sees half of it.

    Explained in chapter 09_ucf_hmdb.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
        os.chmod(part, 0o644)  # mkstemp gives 0600
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def natural(text: str) -> tuple:
    """A key that sorts class2 before class10. Explained in chapter 09_ucf_hmdb."""
    parts = re.split(r"(\d+)", text)
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in parts), text


def _tidy(name: str) -> str:
    return str(PurePosixPath(name))
