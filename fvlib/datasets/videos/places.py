"""Where the official lists and the clips of a benchmark lie below a data root."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path, PurePosixPath

import numpy as np

from fvlib.datasets.videos.files import VIDEO_SUFFIXES
from fvlib.datasets.videos.frames import AnyPath
from fvlib.datasets.videos.lists import ClipList

MISSING = ("error", "skip", "keep")


class NotThere(ValueError):
    """A list, or clips, that are in none of the usual places. Explained in chapter 09_ucf_hmdb."""


@dataclass(frozen=True)
class Layout:
    """Folders that a benchmark usually is in, below the data root; the first that fits is taken.

    Args:
        homes: folders of the whole benchmark.
        lists: folders of the official lists, below a home.
        clips: folders of the clips, below a home.

    Explained in chapter 09_ucf_hmdb.
    """

    homes: tuple[str, ...]
    lists: tuple[str, ...]
    clips: tuple[str, ...]

    def folders(self, kind: str) -> list[str]:
        """Candidates for "lists" or "clips", the most telling ones first."""
        inner = {"lists": self.lists, "clips": self.clips}[kind]
        both = [PurePosixPath(home, folder) for folder in inner for home in self.homes]
        return list(dict.fromkeys(map(str, both)))


def find_list(root: Path, given: AnyPath | None, layout: Layout, names: Sequence[str]) -> Path:
    """An official list by its usual names (also gzipped), in the folder given or the usual ones.

    Raises ValueError that says where it was looked for. Explained in chapter 09_ucf_hmdb.
    """
    folders = [Path(given)] if given is not None else [root / f for f in layout.folders("lists")]
    for folder in folders:
        for name in names:
            for path in (folder / name, folder / f"{name}.gz"):
                if path.is_file():
                    return path
    where = given if given is not None else f"{root} ({', '.join(layout.folders('lists'))})"
    raise NotThere(
        f"no {' or '.join(names)} in {where}; put the official file there, or name its folder "
        "(annotations)"
    )


class Inventory:
    """The names in a folder and its sub-folders, each read once when it is first asked for.

    Explained in chapter 09_ucf_hmdb.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._names = cache(self._read)

    def _read(self, folder: str) -> dict[str, str]:
        """The names in a sub-folder by themselves, and by what they are without ".avi" and such."""
        try:
            names = sorted(os.listdir(self.folder / folder), reverse=True)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        stems = {_stem(name): name for name in names}
        return {**stems, **{name: name for name in names}}

    def find(self, listed: str) -> str | None:
        """A clip's path in the folder: as listed, re-encoded, or as a folder of frames.

        `listed` is as in the official list, such as Class/v_x.avi; also found are Class/v_x.mp4
        (and other video files), the folders Class/v_x and v_x.
        """
        parent, _, file = listed.rpartition("/")
        stem = _stem(file)
        names = self._names(parent)
        found = names.get(file) or names.get(stem)
        if found:
            return f"{parent}/{found}" if parent else found
        return self._names("").get(stem) if parent else None


def listed_clips(
    name: str,
    split: str,
    root: Path,
    classes: Sequence[str],
    listed: Sequence[str],
    targets: Sequence[int],
    layout: Layout,
    *,
    fold: int | None = None,
    folder: AnyPath | None = None,
    missing: str = "error",
    skip: AnyPath | None = None,
) -> ClipList:
    """The clips of an official list where they lie on this disk.

    Args:
        listed: names of the clips in the official list.
        folder: of the clips, if it is not a usual one (`layout`).
        missing: what to do about listed clips that are not on disk: "error"; "skip" leaves them out
            and notes them in `absent`; "keep" keeps and notes them.
        skip: a skip list; its clips are left out first.

    Raises ValueError for missing clips, with their number and the first of them, or if none is
    left. Explained in chapter 09_ucf_hmdb.
    """
    if missing not in MISSING:
        raise ValueError(f"missing is {missing!r}; choose one of {', '.join(map(repr, MISSING))}")
    inventory = _where(root, folder, layout, listed)
    below = os.path.relpath(inventory.folder, root).replace(os.sep, "/")
    found = [inventory.find(file) for file in listed]
    names = [f"{below}/{here or file}" for here, file in zip(found, listed, strict=True)]
    names = [name.removeprefix("./") for name in names]
    clips = ClipList(
        name, split, root, tuple(classes), np.array(names, str), np.array(targets, int), fold
    )
    absent = {name for name, here in zip(names, found, strict=True) if here is None}
    if skip is not None:
        clips = clips.without(skip)
    present = np.array([name not in absent for name in clips.names.tolist()], bool)
    absent = tuple(clips.names[~present].tolist())
    if absent and missing == "error":
        some = ", ".join(absent[:3])
        raise ValueError(
            f"{clips} are listed, of which {len(absent)} are not on disk below {root}: {some}"
            f"{', ...' if len(absent) > 3 else ''}; get them, name their folder, give a skip list, "
            "or ask for those that are there (missing='skip')"
        )
    if missing == "skip":
        clips = clips.select(present)
    if not len(clips):
        raise ValueError(
            f"{name} {split}: none of the {len(listed)} listed clips is below {root}; looked in "
            f"{', '.join(layout.folders('clips'))}"
        )
    return replace(clips, absent=absent)


def _where(root: Path, given: AnyPath | None, layout: Layout, listed: Iterable[str]) -> Inventory:
    """The first usual folder that holds one of the clips; else the first that could."""
    if given is not None:
        if not Path(given).is_dir():
            raise ValueError(f"{given} is no folder; wanted the one that the clips are in")
        return Inventory(Path(given))
    usual = [Inventory(root / folder) for folder in layout.folders("clips")]
    there = [inventory for inventory in usual if inventory.folder.is_dir()]
    holding = (one for one in there if any(one.find(file) for file in listed))
    return next(holding, usual[0])


def _stem(name: str) -> str:
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in VIDEO_SUFFIXES else name
