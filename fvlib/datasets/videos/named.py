"""Sets without a list, whose clips are known by their names: Breakfast, and class folders."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from fvlib.datasets.sources import check_choice
from fvlib.datasets.videos.files import VIDEO_SUFFIXES
from fvlib.datasets.videos.folders import PICTURE_SUFFIXES
from fvlib.datasets.videos.frames import AnyPath
from fvlib.datasets.videos.lists import ClipList, natural
from fvlib.datasets.videos.places import Layout, NotThere

ACTIVITIES = (
    *("cereals", "coffee", "friedegg", "juice", "milk"),
    *("pancake", "salat", "sandwich", "scrambledegg", "tea"),
)
PERSONS = {"train": range(3, 47), "test": range(47, 55)}  # 85 % of the 52 persons, as numbers
_BREAKFAST = Layout(
    (".", "breakfast", "Breakfast"),
    (".",),
    ("BreakfastII_15fps_qvga_sync", "videos", "frames", "."),
)


def breakfast(
    root: AnyPath,
    split: str,
    *,
    folder: AnyPath | None = None,
    skip: AnyPath | None = None,
) -> ClipList:
    """Breakfast, ten activities: persons 3 to 46 are for training, 47 to 54 for testing.

    No list was published. The clips are found by their names, P03/cam01/P03_cereals.avi or
    P03_cam01_P03_cereals (files or folders of frames), and of the stereo camera channel 0 alone.
    The whole data set has 1357 training and 355 test clips. The paper prints 335, as those before
    it; with 1357 that is not the total of 1712.

    Raises ValueError for names that are no such names, clips that are there twice, or no clip.
    Source: Tables 2 and 3; the split is that of Timeception and VideoGraph.
    Explained in chapter 08_breakfast.
    """
    root = Path(root)
    check_choice("split of breakfast", split, ("train", "test"))
    found: dict[tuple[str, ...], str] = {}
    for name in _breakfast_names(root, folder):
        key = _breakfast_clip(name)
        if key is None or int(key[0]) not in PERSONS[split]:
            continue
        if key in found:
            raise ValueError(f"one Breakfast clip is there twice: {found[key]} and {name}")
        found[key] = name
    names = [found[key] for key in sorted(found)]
    if not names:
        raise NotThere(
            f"no Breakfast clip of {split} is below {folder or root}; wanted names such as "
            "P03/cam01/P03_cereals.avi or P03_cam01_P03_cereals.avi"
        )
    targets = np.array([ACTIVITIES.index(key[2]) for key in sorted(found)], np.int64)
    clips = ClipList("breakfast", split, root, ACTIVITIES, np.array(names, str), targets)
    return clips if skip is None else clips.without(skip)


def video_folder(
    root: AnyPath, split: str | None = None, *, skip: AnyPath | None = None
) -> ClipList:
    """Anyone's own clips: `root/class/clip`, or `root/split/class/clip` if a split is given.

    A clip is a video file or a folder of frames; hidden and other files are passed over. Classes
    and clips are in natural order (2 before 10). With a split, the classes are those of all the
    folders train, validation, val and test together, so that every split numbers them alike.

    Raises ValueError if there is no such tree or no clip, and for sub-folders without pictures.
    Explained in chapter 09_ucf_hmdb.
    """
    root = Path(root)
    splits = [] if split is None else [split, "train", "validation", "val", "test"]
    trees = [root / name for name in splits if (root / name).is_dir()] or [root]
    if split is not None and root / split not in trees:
        raise ValueError(f"{root / split} is no folder; wanted the classes of {split!r} in it")
    if not root.is_dir():
        raise ValueError(f"{root} is no folder; wanted one with a folder for each class")
    classes = sorted({name for tree in trees for name in _sub_folders(tree)}, key=natural)
    names, targets = [], []
    for target, name in enumerate(classes):
        clips = _clips_in(trees[0] / name) if (trees[0] / name).is_dir() else []
        names += [f"{'' if split is None else f'{split}/'}{name}/{clip}" for clip in clips]
        targets += [target] * len(clips)
    if not names:
        raise NotThere(
            f"no clip is in the class folders of {trees[0]}; wanted class/clip with "
            f"{', '.join(VIDEO_SUFFIXES)} files or folders of pictures"
        )
    parts = np.array(names, str), np.array(targets, np.int64)
    clips = ClipList("folder", split or "all", root, tuple(classes), *parts)
    return clips if skip is None else clips.without(skip)


def _breakfast_names(root: Path, folder: AnyPath | None) -> list[str]:
    """Everything that is named as a Breakfast clip in the first usual folder that holds any."""
    places = (
        [Path(folder)] if folder is not None else [root / f for f in _BREAKFAST.folders("clips")]
    )
    for place in places:
        flat = [name for name in _clips_in(place, strict=False) if _BREAKFAST_NAME.match(name)]
        tree = [
            f"{person}/{camera}/{clip}"
            for person in _sub_folders(place)
            if re.fullmatch(r"P\d+", person)
            for camera in _sub_folders(place / person)
            for clip in _clips_in(place / person / camera, strict=False)
        ]
        if flat or tree:
            below = os.path.relpath(place, root).replace(os.sep, "/")
            return [f"{below}/{name}".removeprefix("./") for name in flat + tree]
    return []


_BREAKFAST_NAME = re.compile(
    r"P(?P<person>\d+)[/_-](?P<camera>(?:web)?cam\d+|stereo)\d*[/_-]P(?P<again>\d+)_"
    r"(?P<activity>[a-z]+)(?:_ch(?P<channel>\d))?(?:\.\w+)?"
)


def _breakfast_clip(name: str) -> tuple[str, str, str] | None:
    """Person, camera and activity of a clip's name; None for another stereo channel than 0."""
    parts = name.split("/")[-3:]  # in the tree they are one name, else the last is the name
    tails = (_BREAKFAST_NAME.fullmatch("/".join(parts[i:])) for i in range(len(parts)))
    found = next(filter(None, tails), None)
    if not found or found["again"] != found["person"] or found["activity"] not in ACTIVITIES:
        raise ValueError(f"{name} is no Breakfast clip; wanted names such as P03/cam01/P03_tea.avi")
    if int(found["person"]) not in range(3, 55):
        raise ValueError(f"{name} is of person {found['person']}; Breakfast has P03 to P54")
    if found["channel"] not in (None, "0"):
        return None
    return found["person"], found["camera"], found["activity"]


def _sub_folders(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        names = [one.name for one in entries if one.is_dir() and not one.name.startswith(".")]
    return sorted(names, key=natural)


def _clips_in(folder: Path, *, strict: bool = True) -> list[str]:
    """Video files and folders of frames, in natural order; `strict`: a folder has to have some."""
    if not folder.is_dir():
        return []
    names = _sub_folders(folder)
    if strict:
        for name in names:
            if not any(map(_is_picture, os.listdir(folder / name))):
                raise ValueError(f"{folder / name} holds no pictures; wanted a clip's frames there")
    with os.scandir(folder) as entries:
        names += [
            entry.name
            for entry in entries
            if entry.name.lower().endswith(VIDEO_SUFFIXES)
            and entry.is_file()
            and not entry.name.startswith(".")
        ]
    return sorted(names, key=natural)


def _is_picture(name: str) -> bool:
    return Path(name).suffix.lower() in PICTURE_SUFFIXES and not name.startswith(".")
