"""The lines of official lists, and what is wrong with them."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterable
from pathlib import Path


def text_of(path: Path) -> str:
    """The text of an official list, whatever its line ends, its mark at the start, its packing.

    Explained in chapter 09_ucf_hmdb.
    """
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    return content.decode("utf-8-sig")


def lines_of(path: Path) -> list[str]:
    """The lines that are not empty; ValueError if there are none.

    Explained in chapter 09_ucf_hmdb.
    """
    lines = [line.strip() for line in text_of(path).split("\n") if line.strip()]
    if not lines:
        raise ValueError(f"{path} is empty; get the official file again")
    return lines


def fields_of(path: Path, line: str, by: str | None = None, *, last: bool = False) -> list[str]:
    """The two fields of a line, cut where the separator comes first, or last; ValueError if it has
    none.

    Explained in chapter 09_ucf_hmdb.
    """
    parts = (line.rsplit if last else line.split)(by, 1)
    if len(parts) != 2:
        raise ValueError(f"{path}: {line!r}; wanted two fields in each line")
    return parts


def targets_of(path: Path, labels: Iterable[str], classes: list[str]) -> list[int]:
    """The places of labels in the list of classes; ValueError if one is not in it.

    Explained in chapter 09_ucf_hmdb.
    """
    numbers = {name: i for i, name in enumerate(classes)}
    if len(numbers) < len(classes):
        twice = Counter(classes).most_common(1)[0][0]
        raise ValueError(f"class {twice!r} is listed twice beside {path}; get the lists again")
    labels = list(labels)
    if unknown := [label for label in labels if label not in numbers]:
        raise ValueError(f"{path} has the class {unknown[0]!r}, which the list of classes has not")
    return [numbers[label] for label in labels]
