"""How many frames each clip has, remembered in a file, since finding out means decoding it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from fvlib.datasets.videos.frames import AnyPath, Rate, Scan, frames_at
from fvlib.datasets.videos.lists import ClipList, write_atomically

_SCHEMA = 1


class FrameIndex:
    """Frames and seconds of clips, by their names below a data root.

    An entry holds while the file has the same size and time of change (of a frame folder: the
    folder has). `FrameIndex(path)` reads what is there, `write()` replaces it.

    Raises ValueError if the file is no such index. Explained in chapter 09_ucf_hmdb.
    """

    def __init__(self, path: AnyPath):
        self.path = path = Path(path)
        self._clips: dict[str, list] = {}
        if path.exists():
            try:
                found = json.loads(path.read_text("utf-8", "surrogateescape"))
                self._clips = dict(found["clips"]) if found["schema"] == _SCHEMA else None
            except (ValueError, KeyError, TypeError):
                self._clips = None
            if self._clips is None:
                raise ValueError(f"{path} is no index of frames; delete it or name another file")

    def __len__(self) -> int:
        return len(self._clips)

    def get(self, root: Path, name: str) -> Scan | None:
        """What is known of a clip; None if nothing, or if it has changed since."""
        entry = self._clips.get(name)
        if entry is None or entry[:2] != _state(root / name):
            return None
        return Scan(*entry[2:])

    def put(self, root: Path, name: str, scan: Scan) -> None:
        """Remember what a scan of the clip has found."""
        state = _state(root / name)
        if state is not None:
            self._clips[name] = [*state, scan.frames, scan.seconds, scan.declared]

    def write(self) -> None:
        """Save it, at once or not at all."""
        entries = sorted(self._clips.items())
        clips = ",\n".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries)
        write_atomically(self.path, f'{{"schema": {_SCHEMA}, "clips": {{\n{clips}\n}}}}\n')


def count_frames(
    clips: ClipList,
    index: FrameIndex | None = None,
    *,
    fps: Rate | None = None,
    rate: Rate | None = None,
) -> Int64[np.ndarray, " n"]:
    """Frames of each clip, from the index where it knows them, else by decoding the clip.

    fps, rate: as in `open_clip`. New counts are put into the index, which is not written.

    Raises UnreadableClip for a clip that is missing or damaged.
    Explained in chapter 09_ucf_hmdb.
    """
    counts = np.empty(len(clips), np.int64)
    for i, name in enumerate(clips.names.tolist()):
        scan = index.get(clips.root, name) if index is not None else None
        if scan is None:
            scan = clips.open(i).measure()  # without a rate: it is no property of the files
            if index is not None:
                index.put(clips.root, name, scan)
        counts[i] = scan.frames
        if fps is not None:
            seconds = scan.seconds or (rate and scan.frames / rate)
            shown = clips.open(i, fps=fps, rate=rate).count  # says what is missing
            counts[i] = frames_at(seconds, fps) if seconds else shown()
    return counts


def _state(path: Path) -> list[int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]
