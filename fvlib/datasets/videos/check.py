"""The check of a data root: which sets are there, are they complete, does every clip decode."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from fvlib.datasets.videos.benchmarks import BENCHMARKS, read_benchmark
from fvlib.datasets.videos.files import open_clip
from fvlib.datasets.videos.frames import AnyPath, Scan, UnreadableClip
from fvlib.datasets.videos.lists import ClipList, FrameIndex, read_skip_list, write_skip_list
from fvlib.datasets.videos.official import ABSENT, NotThere
from fvlib.datasets.videos.readers import video_folder
from fvlib.processes import spread
from fvlib.values import columns, on_one_line

CRASHED, NO_LIST = "makes the decoder crash", "its list was not found"


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
        """What the table shows of it."""
        counts = ("no list", "") if self.clips is None else (len(self.clips), len(self.there))
        shown = (self.name, self.split, self.fold or "", self.official or "", *counts, self.verdict)
        return tuple(on_one_line(str(cell)) for cell in shown)

    @property
    def there(self) -> list[str]:
        """Names of the clips that are on disk."""
        return [name for name in self.clips.names.tolist() if name not in self.clips.absent]

    @property
    def verdict(self) -> str:
        """Whether it is complete, or what is missing, in words."""
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
        scans: what was found in the clips that were decoded, now or in an earlier check that the
            index remembers; of a damaged one, why it cannot be used.
        problems: why a clip, a folder or a file cannot be used, by its name; those among them too.
    """

    rows: tuple[Row, ...]
    not_there: tuple[str, ...]
    scans: Mapping[str, Scan | str]
    problems: Mapping[str, str]

    @property
    def ok(self) -> bool:
        """Whether every split is complete and no clip that was decoded is damaged."""
        return not self.problems and all(row.verdict == "complete" for row in self.rows)

    @property
    def absent(self) -> tuple[str, ...]:
        """Clips of the lists that are not on disk."""
        absent = _noted(self.rows, "absent")
        return tuple(name for name, why in absent.items() if why == ABSENT)

    def table(self) -> str:
        """The report as plain text."""
        head = ("set", "split", "fold", "official", "listed", "on disk", "")
        lines = [columns([head, *(row.cells for row in self.rows)], right=(3, 4, 5))]
        if self.not_there:
            lines.append(f"not there: {', '.join(self.not_there)}")
        named = {"missing": [*self.absent]}
        named["read to their ends, of a length that cannot be checked"] = [
            name for name, scan in self.scans.items() if isinstance(scan, Scan) and not scan.checked
        ]
        for name, why in _noted(self.rows, "passed").items():
            named.setdefault(f"passed over, {why}", []).append(name)
        for what, names in named.items():
            if names:
                some = ", ".join(map(on_one_line, names[:10]))
                lines.append(f"{what} ({len(names)}): {some}{', ...' * (len(names) > 10)}")
        if self.scans or self.problems:
            lines.append(f"{len(self.scans)} clips decoded, {len(self.problems)} cannot be used")
            lines += [on_one_line(f"  {name} {why}") for name, why in sorted(self.problems.items())]
        return "\n".join(lines)


def _noted(rows: Iterable[Row], what: str) -> dict[str, str]:
    """What all lists note as "absent" or "passed", with why."""
    lists = (row.clips for row in rows if row.clips is not None)
    return {name: why for clips in lists for name, why in getattr(clips, what).items()}


def check(
    root: AnyPath,
    *,
    decode: bool = False,
    jobs: int | None = None,
    skip_list: AnyPath | None = None,
    index: AnyPath | None = None,
    progress: bool = False,
) -> Report:
    """Look at what is in a data root, and if wanted at every frame of it.

    Whatever stops it, Ctrl-C too, what has been found until then is written. What is odd is
    reported, and stops nothing.

    Args:
        root: the folder that the data sets are in, or one of them, or a tree class/clip.
        decode: read every clip. What the index knows unchanged is not read again.
        jobs: processes for that (None: one a CPU core, 0: this one).
        skip_list: file to write the clips to that are missing or cannot be used. What it says about
            clips that are not read this time stays.
        index: file that remembers the numbers of frames; see `FrameIndex`.
        progress: show a bar on stderr.

    Raises:
        ValueError: if none of the benchmarks and no tree is there, or for files that are something
            else.
        OSError: if the root or these files cannot be read.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"{root} is no folder; wanted the one that holds the data sets")
    rows, not_there = _survey(root)
    there = dict.fromkeys(name for row in rows if row.clips is not None for name in row.there)
    absent = _noted(rows, "absent")
    problems = {name: why for name, why in absent.items() if why != ABSENT}
    known = None if index is None else FrameIndex(index)
    skip_list = None if skip_list is None else Path(skip_list)
    before = read_skip_list(skip_list) if skip_list is not None and skip_list.exists() else {}
    scans: dict[str, Scan | str] = {}

    def save() -> None:
        if known is not None:
            known.write()
        if skip_list is not None:
            kept = {n: why for n, why in before.items() if n not in scans and why != ABSENT}
            write_skip_list(skip_list, {**kept, **absent, **_broken(scans)})

    save()  # what cannot be written is better known before the decoding than after
    try:
        for name, found in _scans(root, [*there] * decode, known, jobs, progress):
            scans[name] = found
    finally:
        try:
            save()
        except (OSError, ValueError) as error:  # which is no reason to lose the report
            problems["what was found"] = f"could not be written: {error}"
    return Report(tuple(rows), not_there, scans, problems | _broken(scans))


def _broken(scans: Mapping[str, Scan | str]) -> dict[str, str]:
    return {name: found for name, found in scans.items() if isinstance(found, str)}


def _survey(root: Path) -> tuple[list[Row], tuple[str, ...]]:
    """A row for each split that is there, and the names of the sets that are not."""
    found = {name: _benchmark_rows(root, name) for name in BENCHMARKS}
    rows = [row for some in found.values() for row in some]
    if not rows:
        try:
            splits = [
                name for name in ("train", "validation", "val", "test") if (root / name).is_dir()
            ]
            trees = [video_folder(root, split, missing="keep") for split in splits or [None]]
        except ValueError as error:
            raise ValueError(
                f"{root} holds none of {', '.join(BENCHMARKS)}: wanted their official lists and "
                f"clips; as a tree class/clip: {error}"
            ) from None
        rows = [Row("folder", one.split, None, None, one) for one in trees]
    return rows, tuple(name for name, some in found.items() if not some)


def _benchmark_rows(root: Path, name: str) -> list[Row]:
    """None for a benchmark of which no list is there."""
    rows = []
    # A mini set says what it is; it need not have as many clips as the set that it stands for.
    mini = (root / f"mini-{name.removesuffix('_v2')}.json").exists()
    label = f"{name} (mini)" if mini else name
    for (split, fold), number in BENCHMARKS[name].official.items():
        clips, problem = None, ""
        try:
            clips = read_benchmark(name, root, split, fold, missing="keep")
        except NotThere:
            problem = NO_LIST
        except (OSError, ValueError) as error:
            problem = str(error)
        rows.append(Row(label, split, fold, None if mini else number, clips, problem))
    return rows if any(row.problem != NO_LIST for row in rows) else []


def _scans(
    root: Path, names: Sequence[str], known: FrameIndex | None, jobs: int | None, progress: bool
) -> Iterator[tuple[str, Scan | str]]:
    """What is found in each clip: from the index, or by reading it, which the index then knows."""
    old = {} if known is None else {name: known.get(root, name) for name in names}
    yield from ((name, scan) for name, scan in old.items() if scan is not None)
    paths = {root / name: name for name in names if old.get(name) is None}
    found = spread(_examine, paths, jobs)
    for path, result in tqdm(
        found, total=len(paths), unit="clip", file=sys.stderr, disable=not progress
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
