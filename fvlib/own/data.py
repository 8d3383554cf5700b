"""Your own clips with their classes, and splits that keep clips of one source together."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from tqdm import tqdm

from fvlib import distributed
from fvlib.contracts import Clips
from fvlib.datasets.videos import ClipList, FrameIndex, UnreadableClip, count_frames, video_folder
from fvlib.datasets.videos.clips import VideoClips
from fvlib.datasets.videos.lists import natural
from fvlib.own import WANTED, require_videos
from fvlib.storage import read_text, require_room
from fvlib.values import check_whole, columns

SPLITS = ("train", "test")
IN_MEMORY = 8 << 30  # bytes of frames that are decoded once, and kept beside the results meanwhile


@dataclass(frozen=True, eq=False)
class Labelled:
    """Clips with their classes.

    clips: which files. groups: the source of each; clips of one source (a recording, a person) look
    alike, and one that was trained on must not be tested on. splits: "train" or "test" for each,
    where somebody has said so.
    """

    clips: ClipList
    groups: tuple[str, ...]
    splits: tuple[str, ...] | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        return self.clips.paths

    @property
    def classes(self) -> tuple[str, ...]:
        return self.clips.classes

    @property
    def targets(self) -> Int64[np.ndarray, " n"]:
        return self.clips.targets

    def subset(self, indices: Sequence[int] | np.ndarray) -> Labelled:
        """The clips at these places, in this order; the classes stay."""
        groups = tuple(self.groups[i] for i in indices)
        splits = None if self.splits is None else tuple(self.splits[i] for i in indices)
        return Labelled(self.clips.select(np.asarray(indices, int)), groups, splits)


def read_labelled(path: str | os.PathLike, *, group: str | None = None) -> Labelled:
    """The clips of a folder with a folder for each class, or of a CSV file: file,label[,split].

    In a CSV file, paths are those below its folder, or absolute ones; a first line "file,label" is
    its head; split is train or test. group: a pattern (regular expression) that is searched in the
    path of every clip; what it finds, or its first group in brackets, names the clip's source.

    Raises ValueError, with what was wanted, for what is neither, a label or a file that is missing,
    fewer than two classes, and a pattern that does not fit a clip.
    """
    path = require_videos(Path(path))
    if path.is_dir():
        clips, splits = video_folder(path), None
    elif path.suffix.lower() in (".csv", ".txt"):
        clips, splits = _of_csv(path)
    else:
        raise ValueError(f"{path} is a file; {WANTED}")
    if len(clips.classes) < 2:
        raise ValueError(
            f"{path} has one class, {clips.classes[0]!r}; wanted two or more to tell apart"
        )
    names = clips.names.tolist()
    return Labelled(clips, tuple(_groups(names, group)), splits)


def _of_csv(path: Path) -> tuple[ClipList, tuple[str, ...] | None]:
    table = csv.reader(io.StringIO(read_text(path)))
    rows = [cells for row in table if any(cells := [cell.strip() for cell in row])]
    if rows and [cell.lower() for cell in rows[0][:2]] == ["file", "label"]:
        rows = rows[1:]
    wide = {len(row) for row in rows}
    if wide not in ({2}, {3}):
        raise ValueError(
            f"{path} has lines of {sorted(wide)} columns; wanted file,label in every line, or "
            "file,label,split"
        )
    files, labels, *splits = zip(*rows, strict=True)
    places = [Path(os.path.abspath(path.parent / file)) for file in files]
    for file, label, place in zip(files, labels, places, strict=True):
        if not label or not place.exists():
            what = "has no label" if place.exists() else f"is not there (looked for {place})"
            raise ValueError(f"{path}: {file} {what}")
    if wrong := sorted({split for part in splits for split in part} - {*SPLITS}):
        raise ValueError(f"{path} has the split {wrong[0]!r}; wanted train or test")
    root = Path(os.path.commonpath([place.parent for place in places]))
    classes = tuple(sorted(set(labels), key=natural))
    names = np.array([place.relative_to(root).as_posix() for place in places])
    targets = np.array([classes.index(label) for label in labels])
    clips = ClipList(path.stem, "", root, classes, names, targets)
    return clips, splits[0] if splits else None


def _groups(names: Sequence[str], pattern: str | None) -> list[str]:
    if pattern is None:
        return list(names)
    try:
        found = {name: re.search(pattern, name) for name in names}
    except re.error as error:
        raise ValueError(f"the group {pattern!r} is no regular expression: {error}") from None
    if without := [name for name in names if found[name] is None]:
        raise ValueError(f"the group {pattern!r} is not in {without[0]}; wanted it in every clip")
    return [found[name][1 if found[name].re.groups else 0] for name in names]


def folds(
    labelled: Labelled, k: int, *, seed: int = 0
) -> list[tuple[Int64[np.ndarray, " a"], Int64[np.ndarray, " b"]]]:
    """k splits into training and test, in which every clip is tested once.

    Groups stay whole. They are dealt in random order, the large ones first, each to the fold whose
    classes then differ least from an equal share; so classes are stratified as well as whole groups
    allow. Raises ValueError for fewer groups than folds, and for a class that has one group, since
    it would be trained on or tested, never both.
    """
    check_whole("k", k, 2)
    targets, classes = labelled.targets, labelled.classes
    names, of_clip = np.unique(labelled.groups, return_inverse=True)
    counts = np.zeros((len(names), len(classes)), int)
    np.add.at(counts, (of_clip, targets), 1)
    for name, sources in zip(classes, (counts > 0).sum(0).tolist(), strict=True):
        if sources < 2:
            raise ValueError(
                f"the class {name!r} has clips of {sources} source; wanted two or more, one to "
                "train on and one to test"
            )
    if len(names) < k:
        raise ValueError(f"there are {len(names)} sources; wanted {k} or more, for as many folds")
    counts = np.column_stack([counts, counts.sum(1)])  # all clips are balanced as a class is
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-counts[order, -1], kind="stable")]
    held = np.zeros((k, counts.shape[1]))
    fold = np.empty(len(names), int)
    share = counts / counts.sum(0)  # of each class
    for group in order:
        fold[group] = np.argmin(
            [((held[i] + share[group]) ** 2 - held[i] ** 2).sum() for i in range(k)]
        )
        held[fold[group]] += share[group]
    tested = [fold[of_clip] == i for i in range(k)]
    return [(np.flatnonzero(~test), np.flatnonzero(test)) for test in tested]


def split_groups(
    labelled: Labelled, *, share: float = 0.25, seed: int = 0
) -> tuple[Int64[np.ndarray, " a"], Int64[np.ndarray, " b"]]:
    """Indices of the clips to train on and to test: those of the list, or about a share to test.

    Raises ValueError for a share that is none, for a class that is only tested, and without clips.
    """
    if labelled.splits is not None:
        parts = [np.flatnonzero(np.array(labelled.splits) == name) for name in SPLITS]
    elif not 0 < share <= 0.5:
        raise ValueError(f"the share to test is {share}; wanted more than 0 and at most 0.5")
    else:
        parts = list(folds(labelled, round(1 / share), seed=seed)[0])
    train, test = parts
    if not len(test) or not len(train):
        raise ValueError(f"{len(train)} clips to train on and {len(test)} to test; wanted both")
    shown = {*labelled.targets[train].tolist()}
    if alone := sorted({*labelled.targets[test].tolist()} - shown):
        raise ValueError(
            f"the class {labelled.classes[alone[0]]!r} is tested and not trained on; wanted clips "
            "of every class to train on"
        )
    return train, test


def split_table(labelled: Labelled, train: np.ndarray, test: np.ndarray) -> str:
    """A line a class: how many clips of how many sources are trained on and tested."""
    rows = [("class", "train", "(sources)", "test", "(sources)")]
    for k, name in enumerate((*labelled.classes, "together")):
        cells = [name]
        for part in (train, test):
            mine = [i for i in part if k in (labelled.targets[i], len(labelled.classes))]
            cells += [str(len(mine)), f"({len({labelled.groups[i] for i in mine})})"]
        rows.append(tuple(cells))
    return columns(rows, right=(1, 3))


def counted(
    path: str | os.PathLike,
    out: Path,
    check: Callable[[Labelled], object],
    *,
    group: str | None,
    skip_damaged: bool,
    progress: bool,
) -> tuple[Labelled, Int64[np.ndarray, " n"]]:
    """The clips at a path that can be read, and how many frames each has, which `out` keeps.

    check: raises ValueError for clips that will not do, before anything is decoded. As
    `read_labelled`, and raises ValueError too for clips that cannot be read, unless they are
    skipped, and if a class loses all.
    """
    labelled = read_labelled(path, group=group)
    check(labelled)
    if distributed.is_rank_zero():
        out.mkdir(parents=True, exist_ok=True)
    with distributed.in_turn():
        index, counts, damaged = FrameIndex(out / "frames.json"), [], {}
        for i in tqdm(range(len(labelled.files)), "frames", leave=False, disable=not progress):
            try:
                counts.append(int(count_frames(labelled.subset([i]).clips, index)[0]))
            except UnreadableClip as error:
                damaged[labelled.clips.names[i]] = error.reason
                counts.append(0)
        index.write()
    if damaged and not skip_damaged:
        told = "; ".join(f"{name}: {reason}" for name, reason in list(damaged.items())[:5])
        raise ValueError(
            f"clips that cannot be read ({len(damaged)}): {told}{'; ...' * (len(damaged) > 5)}. "
            "--skip-damaged leaves them out"
        )
    lengths = np.array(counts)
    kept = labelled.subset(np.flatnonzero(lengths))
    if lost := {*labelled.targets.tolist()} - {*kept.targets.tolist()}:
        raise ValueError(f"no clip of {labelled.classes[min(lost)]!r} can be read")
    return kept, lengths[lengths > 0]


class Subset:
    """Some clips of a set, as a set."""

    def __init__(self, clips: Clips, indices: Int64[np.ndarray, " m"]):
        self.clips, self.indices = clips, indices
        self.targets, self.lengths = clips.targets[indices], clips.lengths[indices]
        self.name, self.classes = clips.name, clips.classes
        self.names = np.asarray(clips.names)[indices]
        if hasattr(clips, "iter_chunks"):
            self.iter_chunks = lambda i, pieces: clips.iter_chunks(int(indices[i]), pieces)

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, i: int, frames: Int64[np.ndarray, " t"]) -> torch.Tensor:
        """These frames of the i-th of them."""
        return self.clips.read(int(self.indices[i]), frames)


def clips_of(
    labelled: Labelled, lengths: Int64[np.ndarray, " n"], size: int, out: Path, progress: bool
) -> Clips:
    """The clips as squares of this size; decoded once into `out`/cache, unless they are too many.

    Raises OSError without room on the disk.
    """
    needed = int(lengths.sum()) * 3 * size**2
    require_room(out, (needed if needed <= IN_MEMORY else 0) / 1e6 + 300)
    clips = VideoClips(labelled.clips, lengths, size=(size, size))
    with distributed.in_turn():
        return clips.materialise(out / "cache", progress) if needed <= IN_MEMORY else clips
