"""The five data sets of Tables 2-5 from their official lists, and anyone's own class folders.

Every reader takes the data root (the folder that the data sets lie in, or the data set's own),
finds the official annotation files, unchanged, and the clips in their usual places, and gives a
`ClipList`. Common arguments:

    annotations     the folder of the official lists, if it is not a usual one
    folder          the folder of the clips, if it is not a usual one
    missing         "error" (default), "skip" or "keep": listed clips that are not on disk
    skip            a skip list; clips named in it are left out

Clips may be video files (also re-encoded: .mp4 for .avi) or folders of frames of the same name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fvlib.datasets.sources import check_choice
from fvlib.datasets.videos.frames import AnyPath
from fvlib.datasets.videos.lists import ClipList
from fvlib.datasets.videos.named import breakfast, video_folder
from fvlib.datasets.videos.something import something_v1, something_v2
from fvlib.datasets.videos.ucf_hmdb import hmdb51, ucf101


@dataclass(frozen=True)
class Benchmark:
    """How a data set is read, and how many clips its official lists have by split and fold.

    Explained in chapter 09_ucf_hmdb.
    """

    read: Callable[..., ClipList]
    official: dict[tuple[str, int | None], int]

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
    "something_v1": Benchmark(something_v1, {("train", None): 86017, ("validation", None): 11522}),
    "something_v2": Benchmark(something_v2, {("train", None): 168913, ("validation", None): 24777}),
}


def read_benchmark(
    name: str, root: AnyPath, split: str | None, fold: int | None = None, **options
) -> ClipList:
    """The clips of a data set by its name: one of `BENCHMARKS`, or "folder".

    Raises ValueError for another name, or a fold where there is none; and as the reader.
    Explained in chapter 09_ucf_hmdb.
    """
    check_choice("data set", name, (*BENCHMARKS, "folder"))
    folds = BENCHMARKS[name].folds if name in BENCHMARKS else (None,)
    if fold is not None and folds == (None,):
        raise ValueError(f"fold is {fold}, but {name} has one split alone; leave it out (None)")
    read = BENCHMARKS[name].read if name in BENCHMARKS else video_folder
    return read(root, split, *([] if fold is None else [fold]), **options)
