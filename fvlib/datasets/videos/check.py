"""The check of a data root: which sets are there, are they complete, does every clip decode."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from fvlib.datasets.sources import check_choice
from fvlib.datasets.videos.benchmarks import BENCHMARKS, read_benchmark
from fvlib.datasets.videos.counts import FrameIndex
from fvlib.datasets.videos.files import VIDEO_SUFFIXES, open_clip
from fvlib.datasets.videos.frames import AnyPath, Scan, UnreadableClip
from fvlib.datasets.videos.lists import read_skip_list, write_skip_list
from fvlib.datasets.videos.places import NotThere
from fvlib.datasets.videos.report import Report, Row
from fvlib.datasets.videos.workers import check_jobs, spread

ABSENT = "is not on disk"
CRASHED = "makes the decoder crash"


def check(
    root: AnyPath,
    *,
    decode: bool = False,
    jobs: int | None = None,
    sets: Sequence[str] = (),
    skip_list: AnyPath | None = None,
    index: AnyPath | None = None,
    progress: bool = False,
) -> Report:
    """Look at what is in a data root, and if wanted at every frame of it.

    Args:
        root: the folder that the data sets are in, or one of them, or a tree class/clip.
        decode: read every clip, also those beside the listed ones. What the index knows unchanged
            is not read again.
        jobs: processes for that (None: one a CPU core, 0: this one).
        sets: names of the sets to look for, of `BENCHMARKS` or "folder"; none: all benchmarks, and
            if there is none of them, the tree.
        skip_list: file to write the clips to that are missing or cannot be used. What it says about
            clips that are not read this time stays.
        index: file that remembers the numbers of frames; see `FrameIndex`.
        progress: show a bar on stderr.

    Whatever stops it, Ctrl-C too, what has been found until then is written.

    Raises ValueError if nothing that was asked for is there, or for files that are something else.
    Explained in chapter 09_ucf_hmdb.
    """
    root = Path(root)
    skip_list = None if skip_list is None else Path(skip_list)
    if not root.is_dir():
        raise ValueError(f"{root} is no folder; wanted the one that holds the data sets")
    check_jobs(jobs)
    rows, not_there = _survey(root, sets)
    clips = [row.clips for row in rows if row.clips is not None]
    names = dict.fromkeys(name for one in clips for name in one.names.tolist())
    absent = dict.fromkeys(name for one in clips for name in one.absent)
    there = [name for name in names if name not in absent]
    unlisted = _unlisted(root, there)
    todo = [*there, *unlisted] if decode else []
    known = FrameIndex(index) if index is not None else None
    before = read_skip_list(skip_list) if skip_list is not None and skip_list.exists() else {}
    if known is not None:  # what cannot be written is better known before the decoding than after
        known.write()
    if skip_list is not None:
        write_skip_list(skip_list, before)
    scans: dict[str, Scan] = {}
    problems: dict[str, str] = {}
    try:
        for name, found in _scans(root, todo, known, jobs, progress):
            if isinstance(found, Scan):
                scans[name] = found
            else:
                problems[name] = found
    finally:
        if known is not None:
            known.write()
        if skip_list is not None:
            seen = {*scans, *problems}
            kept = {n: why for n, why in before.items() if n not in seen and why != ABSENT}
            write_skip_list(skip_list, {**kept, **dict.fromkeys(absent, ABSENT), **problems})
    declared = {
        name: (scan.declared, scan.frames)
        for name, scan in scans.items()
        if scan.declared not in (None, scan.frames)
    }
    read = len(scans) + len(problems)
    found = {"read": read, "problems": problems, "declared": declared}
    return Report(root, tuple(rows), not_there, tuple(absent), tuple(unlisted), **found)


def _survey(root: Path, sets: Sequence[str]) -> tuple[list[Row], tuple[str, ...]]:
    """A row for each split that is there, and the names of the sets that are not."""
    for name in sets:
        check_choice("data set", name, (*BENCHMARKS, "folder"))
    rows, not_there = [], []
    for name in sets or BENCHMARKS:
        found = _tree(root) if name == "folder" else _benchmark_rows(root, name)
        rows += found
        not_there += [] if found else [name]
    reason = "it is no tree class/clip either"
    if not rows and not sets:
        try:
            rows = _tree(root)
        except ValueError as error:
            reason = f"as a tree class/clip: {error}"
    if not rows:
        raise ValueError(
            f"{root} holds none of {', '.join(sets or BENCHMARKS)}: wanted their official lists "
            f"and clips in the usual places; {reason}"
        )
    return rows, tuple(not_there)


def _benchmark_rows(root: Path, name: str) -> list[Row]:
    rows = []
    # A mini set says what it is; it need not have as many clips as the set that it stands for.
    mini = (root / f"mini-{name.removesuffix('_v2')}.json").exists()
    label = f"{name} (mini)" if mini else name
    for (split, fold), number in BENCHMARKS[name].official.items():
        official = None if mini else number
        keep = {} if name == "breakfast" else {"missing": "keep"}
        try:
            clips = read_benchmark(name, root, split, fold, **keep)
            rows.append(Row(label, split, fold, official, clips))
        except NotThere:
            rows.append(Row(label, split, fold, official, None, "its list was not found"))
        except ValueError as error:
            rows.append(Row(label, split, fold, official, None, str(error)))
    return rows if any(row.verdict != "its list was not found" for row in rows) else []


def _tree(root: Path) -> list[Row]:
    """The rows of a tree class/clip or split/class/clip; none if it is no such tree."""
    splits = [name for name in ("train", "validation", "val", "test") if (root / name).is_dir()]
    try:
        clips = [read_benchmark("folder", root, split) for split in splits or [None]]
    except NotThere:
        return []
    return [Row("folder", one.split, None, None, one) for one in clips]


def _unlisted(root: Path, names: Iterable[str]) -> list[str]:
    """Video files in the folders of these clips that are none of them."""
    names = set(names)
    folders = sorted({os.path.dirname(name) for name in names})
    beside = (
        f"{folder}/{file}".removeprefix("/")
        for folder in folders
        for file in os.listdir(root / folder)
    )
    return sorted(
        name
        for name in beside
        if name not in names
        and name.lower().endswith(VIDEO_SUFFIXES)
        and not os.path.basename(name).startswith(".")
    )


def _scans(
    root: Path, names: Sequence[str], known: FrameIndex | None, jobs: int | None, progress: bool
) -> Iterator[tuple[str, Scan | str]]:
    """What is found in each clip: from the index, or by reading it, which the index then knows."""
    todo = []
    for name in names:
        scan = known.get(root, name) if known is not None else None
        if scan is None:
            todo.append(name)
        else:
            yield name, scan
    paths = {root / name: name for name in todo}
    found = spread(_examine, paths, jobs)
    for path, result in tqdm(
        found, total=len(todo), unit="clip", file=sys.stderr, disable=not progress
    ):
        if known is not None and isinstance(result, Scan):
            known.put(root, paths[path], result)
        yield paths[path], CRASHED if result is None else result


def _examine(path: Path) -> Scan | str:
    """Read every frame of a clip, or say why not."""
    try:
        return open_clip(path).scan()
    except UnreadableClip as error:
        file = Path(error.args[0])
        return error.reason if file == path else f"has {file.name}, which {error.reason}"
