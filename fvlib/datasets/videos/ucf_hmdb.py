"""UCF-101 and HMDB51 from their official lists."""

from __future__ import annotations

import re
from pathlib import Path

from fvlib.datasets.sources import check_choice
from fvlib.datasets.videos.frames import AnyPath
from fvlib.datasets.videos.lists import ClipList
from fvlib.datasets.videos.places import Layout, find_list, listed_clips
from fvlib.datasets.videos.texts import fields_of, lines_of, targets_of

TRAIN_TEST = ("train", "test")
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


def ucf101(
    root: AnyPath,
    split: str,
    fold: int = 1,
    *,
    annotations: AnyPath | None = None,
    folder: AnyPath | None = None,
    missing: str = "error",
    skip: AnyPath | None = None,
) -> ClipList:
    """UCF-101: `classInd.txt`, `trainlist0{fold}.txt`, `testlist0{fold}.txt`.

    The class of a clip is its folder in the list; the classes have the order of `classInd.txt`.

    Raises ValueError for lists that are not there or are no such lists, and as `listed_clips`.
    Source: Table 4. Explained in chapter 09_ucf_hmdb.
    """
    root = Path(root)
    check_choice("split of ucf101", split, TRAIN_TEST)
    check_choice("fold of ucf101", fold, (1, 2, 3))
    index = find_list(root, annotations, _UCF, ["classInd.txt"])
    numbered = [fields_of(index, line) for line in lines_of(index)]
    classes = [name for _, name in numbered]
    if [number for number, _ in numbered] != [str(i + 1) for i in range(len(classes))]:
        raise ValueError(f"{index} does not number its classes 1, 2, 3, ...; get it again")
    file = find_list(root, index.parent, _UCF, [f"{split}list0{fold}.txt"])
    lines = lines_of(file)
    train = split == "train"
    pairs = [fields_of(file, line, last=True) if train else (line, None) for line in lines]
    listed = [name for name, _ in pairs]
    targets = targets_of(file, [name.partition("/")[0] for name in listed], classes)
    for (name, number), target in zip(pairs, targets, strict=True):
        if number not in (None, str(target + 1)):
            raise ValueError(f"{file}: {name} is {number}, but its folder is class {target + 1}")
    options = {"fold": fold, "folder": folder, "missing": missing, "skip": skip}
    return listed_clips("ucf101", split, root, classes, listed, targets, _UCF, **options)


def hmdb51(
    root: AnyPath,
    split: str,
    fold: int = 1,
    *,
    annotations: AnyPath | None = None,
    folder: AnyPath | None = None,
    missing: str = "error",
    skip: AnyPath | None = None,
) -> ClipList:
    """HMDB51: a file `<class>_test_split{fold}.txt` a class, with 1 for training clips, 2 for
    test clips, 0 for those that the fold does not use. The classes are alphabetical.

    Raises ValueError for lists that are not there or are no such lists, and as `listed_clips`.
    Source: Table 4. Explained in chapter 09_ucf_hmdb.
    """
    root = Path(root)
    check_choice("split of hmdb51", split, TRAIN_TEST)
    check_choice("fold of hmdb51", fold, (1, 2, 3))
    some = [f"{name}_test_split{fold}.txt" for name in ("brush_hair", "wave", "golf")]
    places = [Path(annotations)] if annotations else [root / f for f in _HMDB.folders("lists")]
    lists = next((found for place in places if (found := _split_files(place))), {})
    if not lists:
        find_list(root, annotations, _HMDB, some)
    classes = sorted({name for name, _ in lists})
    listed, targets = [], []
    for target, name in enumerate(classes):
        if (name, fold) not in lists:
            raise ValueError(f"{name}_test_split{fold}.txt is not with the other lists of HMDB51")
        file = lists[name, fold]
        for line in lines_of(file):
            clip, use = fields_of(file, line, last=True)
            if use not in ("0", "1", "2"):
                raise ValueError(f"{file}: {line!r}; wanted a clip, then 0, 1 or 2")
            if use == {"train": "1", "test": "2"}[split]:
                listed.append(f"{name}/{clip}")
                targets.append(target)
    options = {"fold": fold, "folder": folder, "missing": missing, "skip": skip}
    return listed_clips("hmdb51", split, root, classes, listed, targets, _HMDB, **options)


def _split_files(folder: Path) -> dict[tuple[str, int], Path]:
    """The split files of HMDB51 in a folder by class and fold."""
    found = {}
    for path in folder.glob("*_test_split[123].txt"):
        name, fold = re.fullmatch(r"(.+)_test_split(\d)", path.stem).groups()
        found[name, int(fold)] = path
    return found
