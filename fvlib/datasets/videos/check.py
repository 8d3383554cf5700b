"""The check of a data root: which sets are there, are they complete, does every clip decode."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from fvlib.datasets.videos.benchmarks import BENCHMARKS, read_benchmark
from fvlib.datasets.videos.files import open_clip
from fvlib.datasets.videos.frames import AnyPath, Scan, UnreadableClip
from fvlib.datasets.videos.lists import ClipList, FrameIndex, read_skip_list, write_skip_list
from fvlib.datasets.videos.official import ABSENT, NotThere, is_video
from fvlib.processes import check_jobs, spread
from fvlib.values import check_choice, on_one_line

CRASHED = "makes the decoder crash"


@dataclass(frozen=True)
class Row:
    """One split of one set: its clips, how many the official one has (None: there is none), or what
    is wrong with its list.
    """

    name: str
    split: str
    fold: int | None
    official: int | None
    clips: ClipList | None
    problem: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        listed = "no list" if self.clips is None else str(len(self.clips))
        there = "" if self.clips is None else str(len(_there(self.clips)))
        return (
            *(self.name, self.split, str(self.fold or ""), str(self.official or "")),
            *(listed, there, on_one_line(self.verdict)),
        )

    @property
    def verdict(self) -> str:
        if self.clips is None:
            return self.problem
        if self.clips.absent:
            missing = sum(why == ABSENT for why in self.clips.absent.values())
            counts = {"missing": missing, "left out": len(self.clips.absent) - missing}
            return ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        if self.official not in (None, len(self.clips)):
            return "not the official number"
        return "complete"


@dataclass(frozen=True)
class Report:
    """What a check found; `table()` is its text.

    Args:
        rows: every split that is there.
        not_there: benchmarks of which there is nothing.
        absent: clips of the lists that are not on disk.
        unlisted: video files beside the clips that no list names.
        passed: what else lies in class folders and is no clip, with why.
        read: clips that were decoded, now or in an earlier check that the index remembers.
        problems: why a clip, a folder or a file cannot be used, by its name.
        declared: frames (that the container declares, that there are) where these differ.
        unchecked: clips that decode, but whose containers declare no length to compare.
    """

    root: Path
    rows: tuple[Row, ...]
    not_there: tuple[str, ...]
    absent: tuple[str, ...]
    unlisted: tuple[str, ...] = ()
    passed: Mapping[str, str] = field(default_factory=dict)
    read: int = 0
    problems: Mapping[str, str] = field(default_factory=dict)
    declared: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    unchecked: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every split is complete and no clip that was decoded is damaged."""
        return not self.problems and all(row.verdict == "complete" for row in self.rows)

    def table(self) -> str:
        """The report as plain text."""
        head = ("set", "split", "fold", "official", "listed", "on disk", "")
        rows = [head, *(row.cells for row in self.rows)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
        right = ("official", "listed", "on disk")
        lines = [
            "  ".join(
                cell.rjust(width) if name in right else cell.ljust(width)
                for cell, width, name in zip(row, widths, head, strict=True)
            ).rstrip()
            for row in rows
        ]
        if self.not_there:
            lines.append(f"not there: {', '.join(self.not_there)}")
        unchecked = "read to their ends, of a length that cannot be checked"
        named = [("missing", self.absent, 3), ("in no list", self.unlisted, 3)]
        named.append((unchecked, self.unchecked, 3))
        for why in sorted(set(self.passed.values())):
            names = [name for name, reason in self.passed.items() if reason == why]
            named.append((f"passed over, {why}", names, 10))
        for what, names, most in named:
            if names:
                some = ", ".join(map(on_one_line, names[:most]))
                lines.append(f"{what} ({len(names)}): {some}{', ...' * (len(names) > most)}")
        if self.read or self.problems:
            lines.append(f"{self.read} clips decoded, {len(self.problems)} cannot be used")
            lines += [on_one_line(f"  {name} {why}") for name, why in sorted(self.problems.items())]
        if self.declared:
            most = max(abs(there - said) for said, there in self.declared.values())
            lines.append(
                f"{len(self.declared)} clips are whole but their containers miscount the frames, "
                f"by at most {most}; the frames themselves are counted"
            )
        return "\n".join(lines)


def _there(clips: ClipList) -> list[str]:
    return [name for name in clips.names.tolist() if name not in clips.absent]


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

    Whatever stops it, Ctrl-C too, what has been found until then is written. What is odd is
    reported, and stops nothing.

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

    Raises:
        ValueError: if nothing that was asked for is there, or for files that are something else.
        OSError: if the root or these files cannot be read.
    """
    root = Path(root)
    skip_list = None if skip_list is None else Path(skip_list)
    if not os.path.isdir(root):
        raise ValueError(f"{root} is no folder; wanted the one that holds the data sets")
    os.listdir(root)  # an error if it may not be read
    check_jobs(jobs)
    rows, not_there = _survey(root, sets)
    clips = [row.clips for row in rows if row.clips is not None]
    there = list(dict.fromkeys(name for one in clips for name in _there(one)))
    absent = {name: why for one in clips for name, why in one.absent.items()}
    unlisted, problems = _unlisted(root, there, absent)
    problems |= {name: why for name, why in absent.items() if why != ABSENT}
    known = FrameIndex(index) if index is not None else None
    before = read_skip_list(skip_list) if skip_list is not None and skip_list.exists() else {}
    scans: dict[str, Scan] = {}
    broken: dict[str, str] = {}

    def save() -> None:
        if known is not None:
            known.write()
        if skip_list is not None:
            seen = {*scans, *broken}
            kept = {n: why for n, why in before.items() if n not in seen and why != ABSENT}
            write_skip_list(skip_list, {**kept, **absent, **broken})

    save()  # what cannot be written is better known before the decoding than after
    try:
        if decode:
            for name, found in _scans(root, [*there, *unlisted], known, jobs, progress):
                (scans if isinstance(found, Scan) else broken)[name] = found
    finally:
        try:
            save()
        except (OSError, ValueError) as error:  # which is no reason to lose the report
            problems["what was found"] = f"could not be written: {error}"
    if not decode:
        locked = (name for name in there if not os.access(root / name, os.R_OK))
        problems |= dict.fromkeys(locked, "may not be read")
    declared = {
        name: (scan.declared, scan.frames)
        for name, scan in scans.items()
        if scan.declared not in (None, scan.frames)
    }
    unchecked = tuple(name for name, scan in scans.items() if not scan.checked)
    missing = tuple(name for name, why in absent.items() if why == ABSENT)
    passed = {name: why for one in clips for name, why in one.passed.items()}
    return Report(
        *(root, tuple(rows), not_there, missing, tuple(unlisted), passed),
        *(len(scans) + len(broken), problems | broken, declared, unchecked),
    )


def _survey(root: Path, sets: Sequence[str]) -> tuple[list[Row], tuple[str, ...]]:
    """A row for each split that is there, and the names of the sets that are not."""
    for name in sets:
        check_choice("data set", name, (*BENCHMARKS, "folder"))
    rows, not_there, reason = [], [], ""
    for name in sets or BENCHMARKS:
        found = _benchmark_rows(root, name) if name != "folder" else []
        not_there += [] if found or name == "folder" else [name]
        rows += found
    if "folder" in sets or not (rows or sets):
        try:
            rows += _tree(root)
        except ValueError as error:
            reason = f"; as a tree class/clip: {error}"
            not_there += ["folder"] if sets else []
    if not rows:
        raise ValueError(
            f"{root} holds none of {', '.join(sets or BENCHMARKS)}: wanted their official lists "
            f"and clips in the usual places{reason}"
        )
    return rows, tuple(not_there)


def _benchmark_rows(root: Path, name: str) -> list[Row]:
    rows = []
    # A mini set says what it is; it need not have as many clips as the set that it stands for.
    mini = os.path.exists(root / f"mini-{name.removesuffix('_v2')}.json")
    label = f"{name} (mini)" if mini else name
    for (split, fold), number in BENCHMARKS[name].official.items():
        official = None if mini else number
        try:
            clips = read_benchmark(name, root, split, fold, missing="keep")
            rows.append(Row(label, split, fold, official, clips))
        except NotThere:
            rows.append(Row(label, split, fold, official, None, "its list was not found"))
        except (OSError, ValueError) as error:
            rows.append(Row(label, split, fold, official, None, str(error)))
    return rows if any(row.verdict != "its list was not found" for row in rows) else []


def _tree(root: Path) -> list[Row]:
    """The rows of a tree class/clip or split/class/clip; ValueError if it is no such tree."""
    splits = [name for name in ("train", "validation", "val", "test") if os.path.isdir(root / name)]
    clips = [read_benchmark("folder", root, split, missing="keep") for split in splits or [None]]
    return [Row("folder", one.split, None, None, one) for one in clips]


def _unlisted(
    root: Path, there: Iterable[str], absent: Iterable[str]
) -> tuple[list[str], dict[str, str]]:
    """Video files in the folders of these clips that are none of them, or known not to be clips;
    and folders that cannot be looked into.
    """
    names, found, problems = {*there, *absent}, [], {}
    for folder in sorted({os.path.dirname(name) for name in there}):
        try:
            beside = os.listdir(root / folder)
        except OSError as error:
            problems[folder] = f"cannot be read ({error.strerror})"
            continue
        found += [f"{folder}/{file}".removeprefix("/") for file in beside if is_video(file)]
    return sorted(path for path in found if path not in names), problems


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
    except Exception as error:  # one odd clip must not end the check of the others
        return f"cannot be read ({type(error).__name__}: {error})"
