"""What lies in folders, and official lists: where they and their clips are below a data root, and
how their lines are read."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np

from fvlib.datasets.videos.frames import AnyPath
from fvlib.datasets.videos.lists import ClipList, checked_name
from fvlib.storage import read_text
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
    *("__macosx", "@eadir", "@tmp", "@recycle", "#recycle", "#snapshot", "$recycle.bin"),
    *("system volume information", "lost+found", "__pycache__"),
}
MISSING = ("error", "skip", "keep")
ABSENT = "is not on disk"


class NotThere(ValueError):
    """A list, or clips, that are in none of the usual places."""


def places(root: Path, name: str) -> Iterator[Path]:
    """Where lists and clips of a benchmark may lie: the root, the folders in it, and those below
    a folder that begins with the benchmark's name, or is its version; none of another version.
    """
    own, version = re.match("[a-z]+", name)[0], name.partition("_")[2]
    yield root
    folders = sorted(one for one in os.listdir(root) if os.path.isdir(root / one))
    if version:
        folders = [one for one in folders if {*re.findall(r"\bv\d\b", one)} <= {version}]
    yield from map(root.joinpath, folders)
    for folder in folders:
        if folder.lower().startswith(own) or folder == version:
            yield from places(root / folder, name)


def find_list(root: Path, name: str, patterns: Sequence[str]) -> Path:
    """An official list of a benchmark by its usual names (also gzipped), in one of the `places`.

    Raises:
        ValueError: if it is in none of them.
    """
    for folder in places(root, name):
        for pattern in patterns:
            for path in (*sorted(folder.glob(pattern)), folder / f"{pattern}.gz"):
                if os.path.exists(path):
                    return path
    raise NotThere(
        f"no {' or '.join(patterns)} in {root} and the folders there; put the official file there, "
        "or a link to it"
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


@dataclass
class Inside:
    """What a folder holds, by name.

    Args:
        odd: what may be meant as a clip and cannot be one, with why; "." for the folder itself.
        passed: what nobody means as one, with why.
    """

    folders: list[str] = field(default_factory=list)
    videos: list[str] = field(default_factory=list)
    odd: dict[str, str] = field(default_factory=dict)
    passed: dict[str, str] = field(default_factory=dict)

    @property
    def clips(self) -> list[str]:
        """Files of videos, and folders that are not odd."""
        return [*self.videos, *(name for name in self.folders if name not in self.odd)]


def inside(folder: Path) -> Inside:
    """What a folder holds; nothing where there is none."""
    found = Inside()
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return found
    except OSError as error:
        found.odd["."] = f"cannot be read ({error.strerror})"
        return found
    for entry in entries:
        name = entry.name
        try:
            is_folder, there = entry.is_dir(), entry.is_dir() or entry.is_file()
        except OSError:  # of a link to itself, or in a folder that may not be entered
            is_folder = there = False
        if name.startswith(".") or name.lower() in _SYSTEM:
            found.passed[name] = "hidden" if name.startswith(".") else "of the system"
        elif is_folder:
            found.folders.append(name)
        elif not there and (entry.is_symlink() or is_video(name)):
            found.odd[name] = f"is {'a link to nothing' if entry.is_symlink() else 'no file'}"
        elif is_video(name):
            found.videos.append(name)
        else:
            found.passed[name] = "no video by its name"
    return found


def finder(folder: Path) -> Callable[[str], str | None]:
    """A function that finds the clips of a list in a folder: its path there, or None.

    They are listed as Class/v_x.avi, for example; also found are Class/v_x.mp4 (and other video
    files), and the folders of frames Class/v_x and v_x. Each sub-folder is read once.
    """

    @cache
    def names_in(parent: str) -> dict[str, str]:
        """By themselves, and by what they are without ".avi" and such."""
        names = sorted(inside(folder / parent).clips, reverse=True)
        return {**{_stem(name): name for name in names}, **{name: name for name in names}}

    def find(listed: str) -> str | None:
        parent, _, file = listed.rpartition("/")
        names, stem = names_in(parent), _stem(file)
        if found := names.get(file) or names.get(stem):
            return f"{parent}/{found}" if parent else found
        return names_in("").get(stem)

    return find


def is_video(name: str) -> bool:
    """Whether a file of this name is taken for a video, in small letters or large."""
    return name.lower().endswith(VIDEO_SUFFIXES) and not name.startswith(".")


def listed_clips(
    name: str,
    split: str,
    root: Path,
    classes: Sequence[str],
    listed: Iterable[tuple[str, object, str]],
    *,
    source: Path,
    fold: int | None = None,
    missing: str = "error",
    skip: AnyPath | None = None,
) -> ClipList:
    """The clips of an official list where they lie on this disk.

    Args:
        listed: of each clip where in the list it stands, its name, and its class.
        source: the file or folder of that list, for errors.
        missing: what to do about listed clips that are not on disk: "error"; "skip" leaves them out
            and notes them in `absent`; "keep" keeps and notes them.
        skip: a skip list; its clips are left out first.

    Raises:
        ValueError: for names that lead out of the root, classes that are not in their list or are
            there twice, missing clips, with their number and the first of them, or if none is left.
    """
    check_choice("missing", missing, MISSING)
    numbers = {label: i for i, label in enumerate(classes)}
    if len(numbers) < len(classes):
        raise ValueError(f"{source}: a class is listed twice; get the lists again")
    files, targets = [], []
    for where, clip, label in listed:
        files.append(checked_name(clip, where))
        if label not in numbers:
            raise ValueError(
                f"{where} has the class {brief(label)}, which the list of them has not"
            )
        targets.append(numbers[label])
    for top in (*places(root, name), root):  # the root again, if no place holds any
        find = finder(top)
        if any(map(find, files)):
            break
    found, below = [*map(find, files)], below_root(root, top)
    names = [f"{below}{here or file}" for here, file in zip(found, files, strict=True)]
    order = np.array(names, str), np.array(targets, int)
    clips = ClipList(name, split, root, tuple(classes), *order, fold)
    gone = {path for path, here in zip(names, found, strict=True) if here is None}
    if skip is not None:
        clips = clips.without(skip)
    present = np.array([path not in gone for path in clips.names.tolist()], bool)
    absent = clips.names[~present].tolist()
    if absent and missing == "error":
        raise ValueError(
            f"{clips} are listed in {source}, of which {len(absent)} are not on disk below {root}: "
            f"{', '.join(absent[:3])}{', ...' * (len(absent) > 3)}; get them, give a skip list, or "
            "ask for those that are there (missing='skip')"
        )
    if missing == "skip":
        clips = clips.select(present)
    if not len(clips):
        raise ValueError(
            f"{name} {split}: none of the {len(files)} clips listed in {source} is below {root}"
        )
    return replace(clips, absent=dict.fromkeys(absent, ABSENT))


def below_root(root: Path, folder: Path) -> str:
    """How the names of clips in a folder begin."""
    return "" if folder == root else f"{folder.relative_to(root).as_posix()}/"


def _stem(name: str) -> str:
    return os.path.splitext(name)[0] if is_video(name) else name
