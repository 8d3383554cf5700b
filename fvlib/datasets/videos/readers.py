"""The readers of the five data sets' official lists, and of anyone's own class folders.

Every reader takes the data root (the folder that the data sets lie in, or the data set's own),
finds the official annotation files, unchanged, and the clips in their usual places, and gives a
`ClipList`. Common arguments (`found` are the last three)::

    annotations     the folder of the official lists, if it is not a usual one
    folder          the folder of the clips, if it is not a usual one
    missing         "error" (default), "skip" or "keep": listed clips that are not on disk
    skip            a skip list; clips named in it are left out

Clips may be video files (also re-encoded: .mp4 for .avi) or folders of frames of the same name.
Where there is no list, what lies there and is no clip is an error, or with "skip" and "keep" noted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fvlib.datasets.videos.frames import AnyPath, is_picture
from fvlib.datasets.videos.lists import ClipList, checked_name, natural
from fvlib.datasets.videos.official import (
    MISSING,
    Layout,
    NotThere,
    entries,
    fields_of,
    find_list,
    from_root,
    lines_of,
    listed_clips,
    number_of,
    numbers_of,
    passed_over,
)
from fvlib.storage import read_json
from fvlib.values import brief, check_choice

_UCF = Layout(
    (".", "ucf101", "UCF101"),
    ("ucfTrainTestlist", "annotations", "."),
    ("UCF-101", "videos", "frames", "."),
)
_HMDB = Layout(
    (".", "hmdb51", "HMDB51"),
    ("testTrainMulti_7030_splits", "annotations", "."),
    ("hmdb51", "hmdb51_org", "videos", "frames", "."),
)
_V1, _V2 = (
    Layout(
        (".", f"something/v{v}", f"something-something-v{v}"),
        (".", "annotations", "labels"),
        (
            *(f"20bn-something-something-v{v}", f"20bn-something-something-v{v}-frames"),
            *("videos", "frames", "."),
        ),
    )
    for v in (1, 2)
)
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


def ucf101(
    root: AnyPath,
    split: str,
    fold: int = 1,
    *,
    annotations: AnyPath | None = None,
    **found: Any,
) -> ClipList:
    """UCF-101: `classInd.txt`, `trainlist0{fold}.txt`, `testlist0{fold}.txt`.

    The class of a clip is its folder in the list; the classes have the order of `classInd.txt`.

    Raises:
        ValueError: for lists that are not there or are no such lists, and as `listed_clips`.

    Source:
        Table 4.
    """
    root = Path(root)
    check_choice("split of ucf101", split, ("train", "test"))
    check_choice("fold of ucf101", fold, (1, 2, 3))
    index = find_list(root, annotations, _UCF, ["classInd.txt"])
    numbered = [fields_of(*line) for line in lines_of(index)]
    classes = [name for _, name in numbered]
    if [number for number, _ in numbered] != [str(i + 1) for i in range(len(classes))]:
        raise ValueError(f"{index} does not number its classes 1, 2, 3, ...; get it again")
    numbers = numbers_of(classes, index)
    file = find_list(root, index.parent, _UCF, [f"{split}list0{fold}.txt"])
    listed, targets = [], []
    for where, line in lines_of(file):
        name, number = fields_of(where, line, last=True) if split == "train" else (line, None)
        listed.append(checked_name(name, where))
        targets.append(number_of(listed[-1].partition("/")[0], numbers, where))
        if number not in (None, str(targets[-1] + 1)):
            raise ValueError(
                f"{where}: {name} is {number}, but its folder is class {targets[-1] + 1}"
            )
    found |= {"fold": fold, "source": file}
    return listed_clips("ucf101", split, root, classes, listed, targets, _UCF, **found)


def hmdb51(
    root: AnyPath,
    split: str,
    fold: int = 1,
    *,
    annotations: AnyPath | None = None,
    **found: Any,
) -> ClipList:
    """HMDB51: a file `<class>_test_split{fold}.txt` a class, with 1 for training clips, 2 for
    test clips, 0 for those that the fold does not use. The classes are alphabetical.

    Raises:
        ValueError: for lists that are not there or are no such lists, and as `listed_clips`.

    Source:
        Table 4.
    """
    root = Path(root)
    check_choice("split of hmdb51", split, ("train", "test"))
    check_choice("fold of hmdb51", fold, (1, 2, 3))
    every = "*_test_split[123].txt"
    source = find_list(root, annotations, _HMDB, [every]).parent
    classes = sorted({path.name.rpartition("_test_split")[0] for path in source.glob(every)})
    listed, targets = [], []
    for target, name in enumerate(classes):
        file = source / f"{name}_test_split{fold}.txt"
        if not file.exists():
            raise ValueError(f"{file.name} is not with the other lists of HMDB51")
        for where, line in lines_of(file):
            clip, use = fields_of(where, line, last=True)
            if use not in ("0", "1", "2"):
                raise ValueError(f"{where}: {brief(line)}; wanted a clip, then 0, 1 or 2")
            clip = checked_name(f"{name}/{clip}", where)
            if use == {"train": "1", "test": "2"}[split]:
                listed.append(clip)
                targets.append(target)
    found |= {"fold": fold, "source": source}
    return listed_clips("hmdb51", split, root, classes, listed, targets, _HMDB, **found)


def something_v1(
    root: AnyPath,
    split: str,
    *,
    order: str = "alphabetical",
    annotations: AnyPath | None = None,
    **found: Any,
) -> ClipList:
    """Something-Something V1: `something-something-v1-{labels,train,validation}.csv`.

    The clips are folders of frames, `<id>/00001.jpg`, 12 frames a second. The test split has no
    public classes: results are those on "validation".

    Args:
        order: of the classes. "alphabetical" is what TSM's lists and published checkpoints have,
            "csv" is the order of the labels file.

    Raises:
        ValueError: for lists that are not there or are no such lists, and as `listed_clips`.

    Source:
        Table 5.
    """
    root = Path(root)
    check_choice("split of something_v1", split, ("train", "validation"))
    check_choice("order of the classes", order, ("alphabetical", "csv"))
    start = "something-something-v1-"
    labels = find_list(root, annotations, _V1, [f"{start}labels.csv"])
    classes = [line for _, line in lines_of(labels)]
    if order == "alphabetical":
        classes = sorted(classes)
    numbers = numbers_of(classes, labels)
    file = find_list(root, labels.parent, _V1, [f"{start}{split}.csv"])
    listed, targets = [], []
    for where, line in lines_of(file):
        clip, label = fields_of(where, line, ";")
        listed.append(checked_name(clip, where))
        targets.append(number_of(label, numbers, where))
    found["source"] = file
    return listed_clips("something_v1", split, root, classes, listed, targets, _V1, **found)


def something_v2(
    root: AnyPath,
    split: str,
    *,
    annotations: AnyPath | None = None,
    **found: Any,
) -> ClipList:
    """Something-Something V2: `something-something-v2-{labels,train,validation}.json`, or the same
    files without that beginning, as they were released again.

    The clips are `<id>.webm`, or folders of frames. The class is the template without its brackets,
    in the order of the labels file. The test split has no public classes: results are those on
    "validation".

    Raises:
        ValueError: for lists that are not there or are no such lists, and as `listed_clips`.

    Source:
        Table 5.
    """
    root = Path(root)
    check_choice("split of something_v2", split, ("train", "validation"))
    start = "something-something-v2-"
    labels = find_list(root, annotations, _V2, [f"{start}labels.json", "labels.json"])
    try:
        numbers = {name: _whole(number, labels) for name, number in read_json(labels).items()}
        classes = sorted(numbers, key=numbers.__getitem__)
        if [numbers[name] for name in classes] != list(range(len(classes))):
            raise ValueError(f"{labels}: its numbers are not 0, 1, 2, ...")
        file = find_list(root, labels.parent, _V2, [f"{start}{split}.json", f"{split}.json"])
        listed, targets = [], []
        for i, item in enumerate(read_json(file, kind=list)):
            here = f"{file}, clip {i}"
            _whole(item["id"], here)
            listed.append(checked_name(f"{item['id']}.webm", here))
            label = re.sub(r"[\[\]]", "", item["template"])
            targets.append(number_of(label, numbers, here))
    except NotThere:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"the lists of something_v2, beside {labels}, are not as published ({error}); get them "
            "again"
        ) from error
    found["source"] = file
    return listed_clips("something_v2", split, root, classes, listed, targets, _V2, **found)


def _whole(value: object, where: object) -> int:
    """A whole number from 0, given as such or in digits; ValueError for anything else."""
    if type(value) not in (int, str) or not re.fullmatch("[0-9]{1,18}", str(value)):
        raise ValueError(f"{where}: {brief(value)} is no whole number")
    return int(value)


def breakfast(
    root: AnyPath,
    split: str,
    *,
    folder: AnyPath | None = None,
    missing: str = "error",
    skip: AnyPath | None = None,
) -> ClipList:
    """Breakfast, ten activities: persons 3 to 46 are for training, 47 to 54 for testing.

    No list was published. The clips are found by their names, P03/cam01/P03_cereals.avi or
    P03_cam01_P03_cereals (files or folders of frames), and of the stereo camera channel 0 alone.
    The whole data set has 1357 training and 355 test clips. The paper prints 335, as those before
    it; with 1357 that is not the total of 1712.

    Raises:
        ValueError: for names that are no such names and clips that are there twice, unless
            `missing` says to leave them out, and for no clip.

    Source:
        Tables 2 and 3; the split is that of Timeception and VideoGraph.
    """
    root = Path(root)
    check_choice("split of breakfast", split, ("train", "test"))
    check_choice("missing", missing, MISSING)
    found: dict[tuple[str, ...], str] = {}
    root, there, odd = _breakfast_names(root, folder)
    if odd and missing == "error":
        raise ValueError(f"in {root}{_told(odd)}; mend it, or leave it out (missing='skip')")
    for name in there:
        try:
            key = _breakfast_clip(name)
            if key in found:
                raise ValueError(f"one Breakfast clip is there twice: {found[key]} and {name}")
        except ValueError as error:
            if missing == "error":
                raise
            odd[name] = f"is left out: {error}"
        else:
            if key is not None and int(key[0]) in PERSONS[split]:
                found[key] = name
    names = [found[key] for key in sorted(found)]
    if not names:
        raise NotThere(
            f"no Breakfast clip of {split} is below {folder or root}; wanted names such as "
            f"P03/cam01/P03_cereals.avi or P03_cam01_P03_cereals.avi{_told(odd)}"
        )
    targets = np.array([ACTIVITIES.index(key[2]) for key in sorted(found)], np.int64)
    parts = np.array(names, str), targets
    clips = ClipList("breakfast", split, root, ACTIVITIES, *parts, absent=odd)
    return clips if skip is None else clips.without(skip)


def video_folder(
    root: AnyPath,
    split: str | None = None,
    *,
    missing: str = "error",
    skip: AnyPath | None = None,
) -> ClipList:
    """Anyone's own clips: `root/class/clip`, or `root/split/class/clip` if a split is given.

    A clip is a video file or a folder of frames, a class is a folder that holds one. Classes and
    clips are in natural order (2 before 10). With a split, the classes are those of all the folders
    train, validation, val and test together, so that every split numbers them alike.

    What is hidden, of the system, or no video by its name is no clip and no class: `passed` names
    it. A class folder without a clip, a folder in it without pictures, a link to nothing, what is
    no file and what cannot be read are errors, or, as `missing` says, noted in `absent`.

    Raises:
        ValueError: for these, and if there is no such tree or no clip.
    """
    root = Path(root)
    check_choice("missing", missing, MISSING)
    splits = [] if split is None else dict.fromkeys([split, "train", "validation", "val", "test"])
    trees = [root / name for name in splits if os.path.isdir(root / name)] or [root]
    if split is not None and root / split not in trees:
        raise ValueError(f"{root / split} is no folder; wanted the classes of {split!r} in it")
    if not os.path.isdir(root):
        raise ValueError(f"{root} is no folder; wanted one with a folder for each class")
    top = _inside(trees[0])
    odd, passed = top.odd, top.passed | dict.fromkeys(top.videos, "in no class folder")
    clips: dict[str, list[str]] = {}
    for name in top.folders:
        here = _inside(trees[0] / name, pictures=True)
        clips[name] = here.clips
        if not clips[name] and "." not in here.odd:
            direct = any(map(is_picture, here.passed))
            odd[name] = "holds no clip" + direct * ", but pictures: a clip is a folder of them"
        odd |= {f"{name}/{clip}".removesuffix("/."): why for clip, why in here.odd.items()}
        passed |= {f"{name}/{clip}": why for clip, why in here.passed.items()}
    classes = {name for name in clips if clips[name]}
    for tree in trees[1:]:
        others = set(_inside(tree).folders) - classes
        classes |= {name for name in others if _inside(tree / name, pictures=True).clips}
    wanted = "wanted class/clip with files of videos or folders of pictures"
    if not any(clips.values()):
        told = _told({**odd, **passed})
        raise NotThere(f"no clip is in the class folders of {trees[0]}; {wanted}{told}")
    if odd and missing == "error":
        name, why = next(iter(odd.items()))
        raise ValueError(
            f"{trees[0] / name} {why}; {wanted}{_told(odd, 1)}; mend it, or ask for those that are "
            "there (missing='skip')"
        )
    order = sorted(classes, key=natural)
    before = "" if split is None else f"{split}/"
    names = [f"{before}{name}/{clip}" for name in order for clip in clips.get(name, ())]
    targets = [i for i, name in enumerate(order) for _ in clips.get(name, ())]
    found = ClipList(
        *("folder", split or "all", root, tuple(order)),
        *(np.array(names, str), np.array(targets, np.int64)),
        **{
            kind: {f"{before}{name}".removesuffix("/."): why for name, why in some.items()}
            for kind, some in (("absent", odd), ("passed", passed))
        },
    )
    return found if skip is None else found.without(skip)


def _breakfast_names(root: Path, folder: AnyPath | None) -> tuple[Path, list[str], dict[str, str]]:
    """Everything that is named as a Breakfast clip in the first usual folder that holds any: the
    root for it, the names, and what cannot be read.
    """
    places = (
        [Path(folder)] if folder is not None else [root / f for f in _BREAKFAST.folders("clips")]
    )
    person = re.compile(r"P\d+")
    for place in places:
        top = _inside(place)
        names = list(filter(_BREAKFAST_NAME.match, top.clips))
        odd = {name: why for name, why in top.odd.items() if name == "." or person.match(name)}
        for one in filter(person.fullmatch, top.folders):
            cameras = _inside(place / one)
            odd |= {f"{one}/{name}": why for name, why in cameras.odd.items()}
            for camera in cameras.folders:
                here, below = _inside(place / one / camera), f"{one}/{camera}"
                names += [f"{below}/{clip}" for clip in here.clips]
                odd |= {f"{below}/{clip}": why for clip, why in here.odd.items()}
        if names:
            root, below = from_root(root, place)
            odd = {f"{below}{name}".removesuffix("/."): why for name, why in odd.items()}
            return root, [f"{below}{name}" for name in names], odd
    return root, [], {}


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


@dataclass(frozen=True)
class _Inside:
    """What a folder holds: by name, in natural order.

    Args:
        odd: what may be meant as a clip and cannot be one, with why; "." for the folder itself.
        passed: what nobody means as one, with why.
    """

    folders: list[str]
    videos: list[str]
    odd: dict[str, str]
    passed: dict[str, str]

    @property
    def clips(self) -> list[str]:
        """Files of videos, and folders that are not odd."""
        folders = [name for name in self.folders if name not in self.odd]
        return sorted([*self.videos, *folders], key=natural)


def _inside(folder: Path, *, pictures: bool = False) -> _Inside:
    """What a folder holds. pictures: folders without any are odd."""
    names, odd = entries(folder)
    passed = {name: why for name in (*names, *odd) if (why := passed_over(name, names.get(name)))}
    kept = sorted(names.keys() - passed.keys(), key=natural)
    odd = {name: why for name, why in odd.items() if name not in passed}
    folders = [name for name in kept if names[name]]
    for name in folders if pictures else ():
        try:
            if not any(map(is_picture, os.listdir(folder / name))):
                odd[name] = "holds no pictures"
        except OSError as error:
            odd[name] = f"cannot be read ({error.strerror})"
    return _Inside(folders, [name for name in kept if not names[name]], odd, passed)


def _told(found: Mapping[str, str], after: int = 0) -> str:
    """What was found in place of clips, behind the first `after` of it, for an error."""
    names = list(found.items())[after:]
    more = f"; and {len(names) - 3} more" if len(names) > 3 else ""
    return "".join(f"; {name} {why}" for name, why in names[:3]) + more
