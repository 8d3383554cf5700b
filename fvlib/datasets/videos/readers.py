"""The readers of the five data sets' official lists, and of anyone's own class folders.

Every reader takes the data root (the folder that the data sets lie in, or the data set's own),
finds the official annotation files, unchanged, and the clips in one of the `places`, and gives a
`ClipList`. What lies elsewhere may be linked there. Common arguments (`found`)::

    missing         "error" (default), "skip" or "keep": listed clips that are not on disk
    skip            a skip list; clips named in it are left out

Clips may be video files (also re-encoded: .mp4 for .avi) or folders of frames of the same name.
Where there is no list, what lies there and is no clip is an error, or with "skip" and "keep" noted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fvlib.datasets.videos.frames import AnyPath, is_picture
from fvlib.datasets.videos.lists import ClipList, natural
from fvlib.datasets.videos.official import (
    MISSING,
    Inside,
    NotThere,
    below_root,
    fields_of,
    find_list,
    inside,
    is_video,
    lines_of,
    listed_clips,
    places,
)
from fvlib.storage import read_json
from fvlib.values import brief, check_choice

ACTIVITIES = (
    *("cereals", "coffee", "friedegg", "juice", "milk"),
    *("pancake", "salat", "sandwich", "scrambledegg", "tea"),
)
PERSONS = {"train": range(3, 47), "test": range(47, 55)}  # 85 % of the 52 persons, as numbers


def ucf101(root: AnyPath, split: str, fold: int = 1, **found: Any) -> ClipList:
    """UCF-101: `classInd.txt`, `trainlist0{fold}.txt`, `testlist0{fold}.txt`.

    The class of a clip is its folder in the list; the classes have the order of `classInd.txt`.

    Raises:
        ValueError: for lists that are not there or are no such lists, and as `listed_clips`.

    Source:
        Table 4.
    """
    root = Path(root)
    index = find_list(root, "ucf101", ["classInd.txt"])
    numbered = [fields_of(*line) for line in lines_of(index)]
    classes = [name for _, name in numbered]
    if [number for number, _ in numbered] != [str(i + 1) for i in range(len(classes))]:
        raise ValueError(f"{index} does not number its classes 1, 2, 3, ...; get it again")
    source = find_list(index.parent, "ucf101", [f"{split}list0{fold}.txt"])
    listed = []
    for where, line in lines_of(source):
        clip = fields_of(where, line, last=True)[0] if split == "train" else line
        listed.append((where, clip, clip.partition("/")[0]))
    found |= {"fold": fold, "source": source}
    return listed_clips("ucf101", split, root, classes, listed, **found)


def hmdb51(root: AnyPath, split: str, fold: int = 1, **found: Any) -> ClipList:
    """HMDB51: a file `<class>_test_split{fold}.txt` a class, with 1 for training clips, 2 for
    test clips, 0 for those that the fold does not use. The classes are alphabetical.

    Raises:
        ValueError: for lists that are not there or are no such lists, and as `listed_clips`.

    Source:
        Table 4.
    """
    root, every = Path(root), "*_test_split[123].txt"
    check_choice("split of hmdb51", split, ("train", "test"))
    source = find_list(root, "hmdb51", [every]).parent
    classes = sorted({path.name.rpartition("_test_split")[0] for path in source.glob(every)})
    listed = []
    for name in classes:
        for where, line in lines_of(source / f"{name}_test_split{fold}.txt"):
            clip, use = fields_of(where, line, last=True)
            if use not in ("0", "1", "2"):
                raise ValueError(f"{where}: {brief(line)}; wanted a clip, then 0, 1 or 2")
            if use == {"train": "1", "test": "2"}[split]:
                listed.append((where, f"{name}/{clip}", name))
    found |= {"fold": fold, "source": source}
    return listed_clips("hmdb51", split, root, classes, listed, **found)


def something_v1(
    root: AnyPath, split: str, *, order: str = "alphabetical", **found: Any
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
    root, start = Path(root), "something-something-v1-"
    check_choice("order of the classes", order, ("alphabetical", "csv"))
    labels = find_list(root, "something_v1", [f"{start}labels.csv"])
    classes = [line for _, line in lines_of(labels)]
    if order == "alphabetical":
        classes = sorted(classes)
    source = find_list(labels.parent, "something_v1", [f"{start}{split}.csv"])
    listed = [(where, *fields_of(where, line, ";")) for where, line in lines_of(source)]
    return listed_clips("something_v1", split, root, classes, listed, source=source, **found)


def something_v2(root: AnyPath, split: str, **found: Any) -> ClipList:
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
    root, start = Path(root), "something-something-v2-"
    known, wanted = ([f"{start}{kind}.json", f"{kind}.json"] for kind in ("labels", split))
    labels = find_list(root, "something_v2", known)
    source = find_list(labels.parent, "something_v2", wanted)
    try:
        numbers = {name: int(number) for name, number in read_json(labels).items()}
        classes = sorted(numbers, key=numbers.__getitem__)
        if [numbers[name] for name in classes] != list(range(len(classes))):
            raise ValueError("its numbers are not 0, 1, 2, ...")
        listed = [
            (
                f"{source}, clip {i}",
                f"{int(item['id'])}.webm",
                re.sub(r"[\[\]]", "", item["template"]),
            )
            for i, item in enumerate(read_json(source, kind=list))
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"the lists of something_v2, {labels} and {source.name}, are not as published "
            f"({error}); get them again"
        ) from error
    return listed_clips("something_v2", split, root, classes, listed, source=source, **found)


def breakfast(
    root: AnyPath, split: str, *, missing: str = "error", skip: AnyPath | None = None
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
    tops = places(root, "breakfast")
    there, top = next(
        ((names, top) for top in tops if (names := _breakfast_names(top))), ([], root)
    )
    below = below_root(root, top)
    found: dict[tuple[str, ...], str] = {}
    odd: dict[str, str] = {}
    for name in there:
        try:
            if not (top / name).exists():
                raise ValueError("is a link to nothing")
            key = _breakfast_clip(name)
            if key in found:
                raise ValueError(f"is there twice: it is the clip {found[key]}")
        except ValueError as error:
            odd[f"{below}{name}"] = str(error)
        else:
            if key is not None and int(key[0]) in PERSONS[split]:
                found[key] = f"{below}{name}"
    if odd and missing == "error":
        raise ValueError(f"in {root}{_told(odd)}; mend it, or leave it out (missing='skip')")
    if not found:
        raise NotThere(
            f"no Breakfast clip of {split} is below {root}; wanted names such as "
            f"P03/cam01/P03_cereals.avi or P03_cam01_P03_cereals.avi{_told(odd)}"
        )
    targets = np.array([ACTIVITIES.index(key[2]) for key in sorted(found)], np.int64)
    names = np.array([found[key] for key in sorted(found)], str)
    clips = ClipList("breakfast", split, root, ACTIVITIES, names, targets, absent=odd)
    return clips if skip is None else clips.without(skip)


def _breakfast_names(top: Path) -> list[str]:
    """All that is named as clips are, or lies where they do, and the links to nothing there."""
    person = "P[0-9][0-9]"
    clips = [*top.glob(f"{person}[_-]*"), *top.glob(f"{person}/*/*")]
    found = [path for path in clips if is_video(path.name) or path.is_dir()]
    found += [path for path in (*top.glob(person), *top.glob(f"{person}/*")) if not path.exists()]
    return sorted(path.relative_to(top).as_posix() for path in found)


_BREAKFAST_NAME = re.compile(
    r"P(?P<person>\d+)[/_-](?P<camera>(?:web)?cam\d+|stereo)\d*[/_-]P(?P<again>\d+)_"
    r"(?P<activity>[a-z]+)(?:_ch(?P<channel>\d))?(?:\.\w+)?"
)


def _breakfast_clip(name: str) -> tuple[str, str, str] | None:
    """Person, camera and activity of a clip's name; None for another stereo channel than 0."""
    found = _BREAKFAST_NAME.fullmatch(name)
    if not found or found["again"] != found["person"] or found["activity"] not in ACTIVITIES:
        raise ValueError("is no Breakfast clip; wanted names such as P03/cam01/P03_tea.avi")
    if int(found["person"]) not in range(3, 55):
        raise ValueError(f"is of person {found['person']}; Breakfast has P03 to P54")
    if found["channel"] not in (None, "0"):
        return None
    return found["person"], found["camera"], found["activity"]


def video_folder(
    root: AnyPath, split: str | None = None, *, missing: str = "error", skip: AnyPath | None = None
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
    tree = root if split is None else root / split
    if not tree.is_dir():
        raise ValueError(f"{tree} is no folder; wanted one with a folder for each class in it")
    clips, odd, passed = _classes_of(tree)
    others = [] if split is None else {"train", "validation", "val", "test"} - {split}
    every = [clips, *(_classes_of(root / other)[0] for other in others)]
    order = sorted({name for found in every for name in found if found[name]}, key=natural)
    wanted = "wanted class/clip with files of videos or folders of pictures"
    if not any(clips.values()):
        told = _told({**odd, **passed})
        raise NotThere(f"no clip is in the class folders of {tree}; {wanted}{told}")
    if odd and missing == "error":
        name, why = next(iter(odd.items()))
        raise ValueError(
            f"{tree / name} {why}; {wanted}{_told(odd, 1)}; mend it, or ask for those that are "
            "there (missing='skip')"
        )
    before = "" if split is None else f"{split}/"
    names = [f"{before}{name}/{clip}" for name in order for clip in clips.get(name, ())]
    targets = [i for i, name in enumerate(order) for _ in clips.get(name, ())]
    found = ClipList(
        name="folder",
        split=split or "all",
        root=root,
        classes=tuple(order),
        names=np.array(names, str),
        targets=np.array(targets, np.int64),
        absent={f"{before}{name}": why for name, why in odd.items()},
        passed={f"{before}{name}": why for name, why in passed.items()},
    )
    return found if skip is None else found.without(skip)


def _classes_of(tree: Path) -> tuple[dict[str, list[str]], dict[str, str], dict[str, str]]:
    """The clips of each class folder, what can be none there, and what was passed over."""
    top, clips = inside(tree), {}
    odd, passed = top.odd, top.passed | dict.fromkeys(top.videos, "in no class folder")
    for name in top.folders:
        here = _class(tree / name)
        clips[name] = sorted(here.clips, key=natural)
        if not clips[name] and "." not in here.odd:
            direct = any(map(is_picture, here.passed))
            odd[name] = "holds no clip" + direct * ", but pictures: a clip is a folder of them"
        odd |= {f"{name}/{clip}".removesuffix("/."): why for clip, why in here.odd.items()}
        passed |= {f"{name}/{clip}": why for clip, why in here.passed.items()}
    return clips, odd, passed


def _class(folder: Path) -> Inside:
    """What a class folder holds, in which folders without pictures are odd."""
    found = inside(folder)
    for name in found.folders:
        try:
            if not any(map(is_picture, os.listdir(folder / name))):
                found.odd[name] = "holds no pictures"
        except OSError as error:
            found.odd[name] = f"cannot be read ({error.strerror})"
    return found


def _told(found: Mapping[str, str], after: int = 0) -> str:
    """What was found in place of clips, behind the first `after` of it, for an error."""
    names = list(found.items())[after:]
    more = f"; and {len(names) - 3} more" if len(names) > 3 else ""
    return "".join(f"; {name} {why}" for name, why in names[:3]) + more
