"""Something-Something V1 and V2 from their official lists."""

from __future__ import annotations

import json
import re
from pathlib import Path

from fvlib.datasets.sources import check_choice
from fvlib.datasets.videos.frames import AnyPath
from fvlib.datasets.videos.lists import ClipList
from fvlib.datasets.videos.places import Layout, find_list, listed_clips
from fvlib.datasets.videos.texts import fields_of, lines_of, targets_of, text_of

TRAIN_VALIDATION = ("train", "validation")
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


def something_v1(
    root: AnyPath,
    split: str,
    *,
    order: str = "alphabetical",
    annotations: AnyPath | None = None,
    folder: AnyPath | None = None,
    missing: str = "error",
    skip: AnyPath | None = None,
) -> ClipList:
    """Something-Something V1: `something-something-v1-{labels,train,validation}.csv`.

    The clips are folders of frames, `<id>/00001.jpg`, 12 frames a second. The test split has no
    public classes: results are those on "validation".

    Args:
        order: of the classes. "alphabetical" is what TSM's lists and published checkpoints have,
            "csv" is the order of the labels file.

    Raises ValueError for lists that are not there or are no such lists, and as `listed_clips`.
    Source: Table 5. Explained in chapter 10_something.
    """
    root = Path(root)
    check_choice("split of something_v1", split, TRAIN_VALIDATION)
    check_choice("order of the classes", order, ("alphabetical", "csv"))
    start = "something-something-v1-"
    labels = find_list(root, annotations, _V1, [f"{start}labels.csv"])
    classes = lines_of(labels)
    if order == "alphabetical":
        classes = sorted(classes)
    file = find_list(root, labels.parent, _V1, [f"{start}{split}.csv"])
    pairs = [fields_of(file, line, ";") for line in lines_of(file)]
    listed = [clip for clip, _ in pairs]
    targets = targets_of(file, [label for _, label in pairs], classes)
    options = {"folder": folder, "missing": missing, "skip": skip}
    return listed_clips("something_v1", split, root, classes, listed, targets, _V1, **options)


def something_v2(
    root: AnyPath,
    split: str,
    *,
    annotations: AnyPath | None = None,
    folder: AnyPath | None = None,
    missing: str = "error",
    skip: AnyPath | None = None,
) -> ClipList:
    """Something-Something V2: `something-something-v2-{labels,train,validation}.json`, or the same
    files without that beginning, as they were released again.

    The clips are `<id>.webm`, or folders of frames. The class is the template without its brackets,
    in the order of the labels file. The test split has no public classes: results are those on
    "validation".

    Raises ValueError for lists that are not there or are no such lists, and as `listed_clips`.
    Source: Table 5. Explained in chapter 10_something.
    """
    root = Path(root)
    check_choice("split of something_v2", split, TRAIN_VALIDATION)
    start = "something-something-v2-"
    labels = find_list(root, annotations, _V2, [f"{start}labels.json", "labels.json"])
    try:
        numbers = {name: int(number) for name, number in json.loads(text_of(labels)).items()}
        classes = sorted(numbers, key=numbers.__getitem__)
        if [numbers[name] for name in classes] != list(range(len(classes))):
            raise ValueError("its numbers are not 0, 1, 2, ...")
        file = find_list(root, labels.parent, _V2, [f"{start}{split}.json", f"{split}.json"])
        items = json.loads(text_of(file))
        listed = [f"{item['id']}.webm" for item in items]
        templates = [re.sub(r"[\[\]]", "", item["template"]) for item in items]
    except (AttributeError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"the lists of something_v2 in {labels.parent} are not as published ({error!r}); "
            "get them again"
        ) from error
    targets = targets_of(file, templates, classes)
    options = {"folder": folder, "missing": missing, "skip": skip}
    return listed_clips("something_v2", split, root, classes, listed, targets, _V2, **options)
