"""Whether a video file is whole, as far as its container tells: AVI's size, WebM's structure.

The demuxers pass over damage silently: they look for the next thing that they know. Of the common
containers MP4 has an index of all frames and AVI declares their number, so the packets can be
counted. Matroska (WebM) has neither, but it is nested, with sizes, and can be walked.
"""

from __future__ import annotations

import os
from typing import BinaryIO

_EBML, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
_VOID, _CRC = 0xEC, 0xBF
_IN_SEGMENT = {  # seek head, info, tracks, cues, tags, chapters, attachments
    *(_CLUSTER, _VOID, _CRC, 0x114D9B74, 0x1549A966, 0x1654AE6B),
    *(0x1C53BB6B, 0x1254C367, 0x1043A770, 0x1941A469),
}
_IN_CLUSTER = {  # time stamp, simple block, block group, previous size, position, silent, encrypted
    *(_VOID, _CRC, 0xE7, 0xA3, 0xA0, 0xAB, 0xA7, 0x5854, 0xAF),
}


def is_cut(file: BinaryIO) -> bool:
    """Whether an AVI file is shorter than its header says. The position in the file is lost.

    Explained in chapter 09_ucf_hmdb.
    """
    file.seek(0)
    head = file.read(12)
    is_avi = head[:4] == b"RIFF" and head[8:] == b"AVI "
    return is_avi and int.from_bytes(head[4:8], "little") + 8 > _length(file)


def webm_damage(file: BinaryIO) -> str:
    """What is wrong with the structure of a WebM or Matroska file; "" if nothing is, or for others.

    Streams whose writer did not know their sizes cannot be checked. The position in the file is
    lost. Source: RFC 8794 (the nesting) and RFC 9559 (the elements).
    Explained in chapter 09_ucf_hmdb.
    """
    length = _length(file)
    name, start, end = _element(file, 0)
    if name != _EBML or end is None:
        return ""
    name, start, end = _element(file, end)
    if name != _SEGMENT or end is None:
        return ""
    if end > length:
        return f"truncated: {length:,} of {end:,} bytes"
    while start < end:
        name, inside, after = _element(file, start)
        if after is None:
            return ""
        broken = start if name not in _IN_SEGMENT or after > end else None
        if name == _CLUSTER:
            broken = _broken_cluster(file, inside, after)
        if broken is not None:
            return f"damaged at byte {broken:,}, where no Matroska element is"
        start = after
    return ""


def _broken_cluster(file: BinaryIO, start: int, end: int) -> int | None:
    while start < end:
        name, _, after = _element(file, start)
        if name not in _IN_CLUSTER or after is None or after > end:
            return start
        start = after
    return None


def _element(file: BinaryIO, position: int) -> tuple[int, int, int | None]:
    """The name of the element there, where its content begins and ends (None: it does not say)."""
    file.seek(position)
    name, _ = _number(file)
    size, bits = _number(file)
    inside = file.tell()
    size &= (1 << bits) - 1
    return name, inside, None if size == (1 << bits) - 1 else inside + size


def _number(file: BinaryIO) -> tuple[int, int]:
    """A number whose first byte tells its length by its zeros, and its bits after the marker."""
    first = file.read(1)
    if not first or not first[0]:
        return 0, 1  # the end, or no such number: no element has the name 0
    extra = 8 - first[0].bit_length()
    return int.from_bytes(first + file.read(extra), "big"), 7 * (extra + 1)


def _length(file: BinaryIO) -> int:
    return file.seek(0, os.SEEK_END)
