"""What the check of a data root found, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fvlib.datasets.videos.lists import ClipList


@dataclass(frozen=True)
class Row:
    """One split of one set: its clips, how many the official one has (None: there is none), or what
    is wrong with its list. Explained in chapter 09_ucf_hmdb."""

    name: str
    split: str
    fold: int | None
    official: int | None
    clips: ClipList | None
    problem: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        listed = "no list" if self.clips is None else str(len(self.clips))
        there = "" if self.clips is None else str(len(self.clips) - len(self.clips.absent))
        return (
            *(self.name, self.split, str(self.fold or ""), str(self.official or "")),
            *(listed, there, self.verdict),
        )

    @property
    def verdict(self) -> str:
        if self.clips is None:
            return self.problem
        if self.clips.absent:
            return f"{len(self.clips.absent)} missing"
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
        read: clips that were decoded, now or in an earlier check that the index remembers.
        problems: why a clip cannot be used, for each that was decoded in vain.
        declared: frames (that the container declares, that there are) where these differ.

    Explained in chapter 09_ucf_hmdb.
    """

    root: Path
    rows: tuple[Row, ...]
    not_there: tuple[str, ...]
    absent: tuple[str, ...]
    unlisted: tuple[str, ...] = ()
    read: int = 0
    problems: Mapping[str, str] = field(default_factory=dict)
    declared: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every split is complete and every clip that was decoded is sound."""
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
        for what, names in (("missing", self.absent), ("in no list", self.unlisted)):
            if names:
                more = ", ..." if len(names) > 3 else ""
                lines.append(f"{what} ({len(names)}): {', '.join(names[:3])}{more}")
        if self.read:
            lines.append(f"{self.read} clips decoded, {len(self.problems)} cannot be used")
            lines += [f"  {name} {reason}" for name, reason in sorted(self.problems.items())]
        if self.declared:
            most = max(abs(there - said) for said, there in self.declared.values())
            lines.append(
                f"{len(self.declared)} clips are whole but their containers miscount the frames, "
                f"by at most {most}; the frames themselves are counted"
            )
        # A name need not be valid text; what is printed has to be.
        return "\n".join(lines).encode("utf-8", "backslashreplace").decode()
