"""What lies in folders, and official lists: where they and their clips are below a data root, and
how their lines are read."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path, PurePosixPath

import numpy as np

from fvlib.datasets.videos.frames import AnyPath
from fvlib.datasets.videos.lists import ClipList
from fvlib.storage import kind, read_text
from fvlib.values import brief, check_choice

# Names of files that are videos, in small letters. Not .ogg, which is mostly sound, nor .dat.
VIDEO_SUFFIXES = (
    *(".avi", ".divx", ".amv", ".mkv", ".mk3d", ".webm", ".flv", ".f4v", ".wmv", ".asf", ".dvr-ms"),
    *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mj2", ".ismv", ".insv", ".lrv"),
    *(".mpg", ".mpeg", ".mpe", ".mpv", ".m1v", ".m2v", ".m2p", ".vob", ".evo", ".mod", ".tod"),
    *(".ts", ".mts", ".m2ts", ".m2t", ".tp", ".trp", ".ogv", ".ogm", ".gif", ".apng", ".ivf"),
    *(".h261", ".h263", ".h264", ".264", ".avc", ".h265", ".265", ".hevc", ".h266", ".266"),
    *(".vvc", ".obu", ".av1", ".vc1", ".drc", ".mjpeg", ".mjpg", ".y4m", ".dv", ".dif"),
    *(".mxf", ".nut", ".nsv", ".nuv", ".rm", ".rmvb", ".wtv", ".dav", ".fli", ".flc"),
    ".swf",
)
# Folders that systems and storage boxes make beside one's own, in small letters.
_SYSTEM = {
    *("__macosx", "@eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot"),
    *("$recycle.bin", "system volume information", "recycler", "lost+found", "temporary items"),
    *("network trash folder", "thevolumesettingsfolder", "__pycache__"),
}
MISSING = ("error", "skip", "keep")
ABSENT = "is not on disk"


class NotThere(ValueError):
    """A list, or clips, that are in none of the usual places."""


@dataclass(frozen=True)
class Layout:
    """Folders that a benchmark usually is in, below the data root; the first that fits is taken.

    Args:
        homes: folders of the whole benchmark.
        lists: folders of the official lists, below a home.
        clips: folders of the clips, below a home.
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
    """An official list by its usual names or patterns (also gzipped), in the folder given or the
    usual ones.

    Raises:
        ValueError: that says where it was looked for.
    """
    folders = [Path(given)] if given is not None else [root / f for f in layout.folders("lists")]
    for folder in folders:
        for name in names:
            for path in (*sorted(folder.glob(name)), folder / f"{name}.gz"):
                if path.exists():
                    return path
    where = given if given is not None else f"{root} ({', '.join(layout.folders('lists'))})"
    raise NotThere(
        f"no {' or '.join(names)} in {where}; put the official file there, or name its folder "
        "(annotations)"
    )


def lines_of(path: Path) -> list[tuple[str, str]]:
    """The lines that are not empty, each after the file and the number that it stands in.

    Whatever the line ends are. Raises ValueError if there are none, or for what is no text.
    """
    lines = re.split(r"\r\n?|\n", read_text(path))
    found = [(f"{path}, line {i}", line.strip()) for i, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise ValueError(f"{path} is empty; get the official file again")
    return found


def fields_of(where: str, line: str, by: str | None = None, *, last: bool = False) -> list[str]:
    """The two fields of a line, cut where the separator comes first, or last; ValueError if it has
    none.
    """
    parts = (line.rsplit if last else line.split)(by, 1)
    if len(parts) != 2:
        raise ValueError(f"{where}: {brief(line)}; wanted two fields in each line")
    return parts


def numbers_of(classes: Sequence[str], path: Path) -> dict[str, int]:
    """The places of classes in their list; ValueError if one is in it twice."""
    numbers = {name: i for i, name in enumerate(classes)}
    if len(numbers) < len(classes):
        twice = Counter(classes).most_common(1)[0][0]
        raise ValueError(f"{path}: class {brief(twice)} is listed twice; get the lists again")
    return numbers


def number_of(label: str, numbers: dict[str, int], where: str) -> int:
    """The place of a label among the classes; ValueError if it is not one of them."""
    if label not in numbers:
        raise ValueError(f"{where} has the class {brief(label)}, which the list of classes has not")
    return numbers[label]


class Inventory:
    """The clips in a folder and its sub-folders, each read once when it is first asked for."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.odd: dict[str, str] = {}  # what is there and is no file or folder, or cannot be read
        self._names = cache(self._read)

    def _read(self, folder: str) -> dict[str, str]:
        """The names in a sub-folder by themselves, and by what they are without ".avi" and such."""
        names, odd = entries(self.folder / folder)
        for name, why in odd.items():
            self.odd[str(PurePosixPath(folder, name))] = why
        names = sorted(names, reverse=True)
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

    def why(self, listed: str) -> str:
        """Why a listed clip was not found."""
        parent = str(PurePosixPath(listed).parent)
        return self.odd.get(listed) or self.odd.get(parent) or ABSENT


def is_video(name: str) -> bool:
    """Whether a file of this name is taken for a video, in small letters or large."""
    return name.lower().endswith(VIDEO_SUFFIXES) and not name.startswith(".")


def passed_over(name: str, is_folder: bool | None) -> str:
    """Why nobody means this as a clip or a class; "" if it may be one.

    Args:
        is_folder: None for what is neither a file nor a folder, such as a link to nothing.
    """
    if name.startswith(".") and name != ".":
        return "hidden"
    if name.lower() in _SYSTEM:
        return "of the system"
    return "no video by its name" if is_folder is False and not is_video(name) else ""


def entries(folder: Path) -> tuple[dict[str, bool], dict[str, str]]:
    """The files and folders in a folder by name, True for a folder; and what is there and is
    neither, or cannot be looked at, with why ("." for the folder itself).

    A folder that is not there has none.
    """
    names, odd = {}, {}
    try:
        with os.scandir(folder) as found:
            for entry in sorted(found, key=lambda entry: entry.name):
                try:
                    if entry.is_dir() or entry.is_file():
                        names[entry.name] = entry.is_dir()
                    else:
                        odd[entry.name] = f"is {kind(entry.stat().st_mode)}, and no file"
                except FileNotFoundError:
                    odd[entry.name] = "is a link to nothing"
                except OSError as error:
                    odd[entry.name] = f"cannot be read ({error.strerror})"
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        odd["."] = f"cannot be read ({error.strerror})"
    return names, odd


def listed_clips(
    name: str,
    split: str,
    root: Path,
    classes: Sequence[str],
    listed: Sequence[str],
    targets: Sequence[int],
    layout: Layout,
    *,
    source: Path,
    fold: int | None = None,
    folder: AnyPath | None = None,
    missing: str = "error",
    skip: AnyPath | None = None,
) -> ClipList:
    """The clips of an official list where they lie on this disk.

    Args:
        listed: names of the clips in the official list, each as of `checked_name`.
        source: the file or folder of that list, for errors.
        folder: of the clips, if it is not a usual one (`layout`). Outside the data root, it is the
            root of the list that is given.
        missing: what to do about listed clips that are not on disk: "error"; "skip" leaves them out
            and notes them in `absent`; "keep" keeps and notes them.
        skip: a skip list; its clips are left out first.

    Raises:
        ValueError: for missing clips, with their number and the first of them, or if none is left.
    """
    check_choice("missing", missing, MISSING)
    inventory = _where(root, folder, layout, listed)
    root, below = from_root(root, inventory.folder)
    found = [inventory.find(file) for file in listed]
    names = [f"{below}{here or file}" for here, file in zip(found, listed, strict=True)]
    try:
        clips = ClipList(
            name, split, root, tuple(classes), np.array(names, str), np.array(targets, int), fold
        )
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    absent = {
        path: inventory.why(file)
        for path, here, file in zip(names, found, listed, strict=True)
        if here is None
    }
    if skip is not None:
        clips = clips.without(skip)
    present = np.array([name not in absent for name in clips.names.tolist()], bool)
    absent = {name: absent[name] for name in clips.names[~present].tolist()}
    if absent and missing == "error":
        some = [name + (f" ({why})" if why != ABSENT else "") for name, why in absent.items()][:3]
        raise ValueError(
            f"{clips} are listed, of which {len(absent)} are not on disk below {root}: "
            f"{', '.join(some)}{', ...' if len(absent) > 3 else ''}; get them, name their folder, "
            "give a skip list, or ask for those that are there (missing='skip'); the list is "
            f"{source}"
        )
    if missing == "skip":
        clips = clips.select(present)
    if not len(clips):
        raise ValueError(
            f"{name} {split}: none of the {len(listed)} listed clips is below {root}; looked in "
            f"{', '.join(layout.folders('clips'))} for those of {source}"
        )
    return replace(clips, absent=absent)


def from_root(root: Path, folder: Path) -> tuple[Path, str]:
    """The root for clips in a folder, and how their names begin: the folder itself if it is not
    below the data root.
    """
    below = os.path.relpath(folder, root).replace(os.sep, "/")
    if below == ".":
        return root, ""
    return (folder, "") if below.startswith("..") else (root, f"{below}/")


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
    return os.path.splitext(name)[0] if is_video(name) else name
