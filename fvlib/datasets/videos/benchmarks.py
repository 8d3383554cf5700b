"""The registry of the data sets that are read from files: an entry says all that is special to one.

To add a data set, write its reader in `readers` (it gives a `ClipList`), an entry here, and a test.
The readers' names, `check`, the refusal of flips that change classes, the command line and the
experiments all follow from the entry.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fvlib.datasets.videos.frames import AnyPath
from fvlib.datasets.videos.lists import ClipList
from fvlib.datasets.videos.readers import (
    breakfast,
    hmdb51,
    something_v1,
    something_v2,
    ucf101,
    video_folder,
)
from fvlib.values import check_choice

Pairs = tuple[tuple[str, str], ...]
_LEFT_RIGHT: Pairs = (
    ("Pulling something from left to right", "Pulling something from right to left"),
    ("Pushing something from left to right", "Pushing something from right to left"),
    (
        "Turning the camera left while filming something",
        "Turning the camera right while filming something",
    ),
)


@dataclass(frozen=True)
class Benchmark:
    """A data set that is read from files.

    Args:
        read: of its lists: (root, split, fold if there are several, missing=..., skip=...).
        official: clips in its official lists, by split and fold (None where there is one alone);
            the split for training first, and last the one that results are given on.
        rate: frames a second of its frame folders, where the clips were published as such.
        exchanged: pairs of classes that are each other's mirror image, left to right.
    """

    read: Callable[..., ClipList]
    official: dict[tuple[str, int | None], int]
    rate: int | float | None = None
    exchanged: Pairs = ()

    @property
    def splits(self) -> tuple[str, ...]:
        """For training first, then the one that results are given on."""
        return tuple(dict.fromkeys(split for split, _ in self.official))

    @property
    def folds(self) -> tuple[int | None, ...]:
        """The numbers of its official splits; (None,) where there is one alone."""
        return tuple(dict.fromkeys(fold for _, fold in self.official))


BENCHMARKS = {
    "breakfast": Benchmark(breakfast, {("train", None): 1357, ("test", None): 355}),
    "ucf101": Benchmark(
        ucf101,
        {
            **{("train", 1): 9537, ("test", 1): 3783},
            **{("train", 2): 9586, ("test", 2): 3734},
            **{("train", 3): 9624, ("test", 3): 3696},
        },
    ),
    "hmdb51": Benchmark(
        hmdb51,
        {
            (split, fold): count
            for fold in (1, 2, 3)
            for split, count in (("train", 3570), ("test", 1530))
        },
    ),
    "something_v1": Benchmark(
        something_v1,
        {("train", None): 86017, ("validation", None): 11522},
        rate=12,
        exchanged=_LEFT_RIGHT,
    ),
    "something_v2": Benchmark(
        something_v2,
        {("train", None): 168913, ("validation", None): 24777},
        exchanged=_LEFT_RIGHT,
    ),
}


def read_benchmark(
    name: str, root: AnyPath, split: str | None, fold: int | None = None, **options
) -> ClipList:
    """The clips of a data set by its name: one of `BENCHMARKS`, or "folder".

    Raises:
        ValueError: for another name, a split without classes, or a fold where there is none; and as
            the reader.
    """
    check_choice("data set", name, (*BENCHMARKS, "folder"))
    if name == "folder":
        folds, read = (None,), video_folder
    else:
        entry = BENCHMARKS[name]
        folds, read = entry.folds, entry.read
        check_choice(f"split of {name}", split, entry.splits)
    if fold is not None and folds == (None,):
        raise ValueError(f"fold is {fold}, but {name} has one split alone; leave it out (None)")
    if fold is not None:
        check_choice(f"fold of {name}", fold, folds)
    return read(root, split, *([] if fold is None else [fold]), **options)


def exchanged_classes(name: str, classes: Iterable[str] = ()) -> Pairs:
    """Pairs of classes of a data set that a flip, left to right, turns into each other.

    Args:
        name: of `BENCHMARKS`, "Move4MNIST" or "Jester", however it is spelt.
        classes: of other sets; those are pairs whose names become each other when left and right
            change places.
    """
    known = {"mnist": (("left", "right"),), "jester": (("Swiping Left", "Swiping Right"),)}
    known |= {name: entry.exchanged for name, entry in BENCHMARKS.items()}
    usual = re.sub(r"\W", "_", name.lower())
    if found := [pairs for known_name, pairs in known.items() if known_name in usual]:
        return found[0]
    names = {one.lower(): one for one in classes}
    swapped = {"left": "right", "right": "left"}
    mirrored = ((one, re.sub("left|right", lambda word: swapped[word[0]], one)) for one in names)
    return tuple((names[one], names[two]) for one, two in mirrored if one < two and two in names)
