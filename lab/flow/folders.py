"""Flow that lies in frame folders, as TSN's tools and those after them write it."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from fvlib.datasets.videos.frames import UnreadableClip
from fvlib.datasets.videos.lists import ClipList
from fvlib.storage import require_file


class FlowFolders:
    """Clips whose flow is made already: two grey pictures a flow, in a folder for each clip.

    Args:
        clips: whose paths are the folders; the frames themselves may lie there too.
        names: of the pictures across and down, with a place for the number, which begins at 1.

    A clip has as many frames as flows. Raises UnreadableClip for a folder without flow, with gaps,
    or with other numbers across than down; when reading, for a picture that is damaged.
    """

    flow = True

    def __init__(
        self,
        clips: ClipList,
        names: tuple[str, str] = ("flow_x_{:05d}.jpg", "flow_y_{:05d}.jpg"),
    ):
        self.clips, self.names = clips, names
        self.targets, self.name, self.classes = clips.targets, clips.name, clips.classes
        counts = [self._count(clips.path(i)) for i in range(len(clips))]
        self.lengths = np.array(counts, np.int64)

    def __len__(self) -> int:
        return len(self.clips)

    def read(self, i: int, frames: Int64[np.ndarray, " t"]) -> UInt8[Tensor, "t c h w"]:
        """These flows of clip i. Raises UnreadableClip, which names the file."""
        folder = self.clips.path(i)
        return torch.from_numpy(
            np.stack([[_grey(folder / name.format(f + 1)) for name in self.names] for f in frames])
        )

    def _count(self, folder: Path) -> int:
        files = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
        for name in self.names:
            start = name.partition("{")[0]
            there = sum(file.startswith(start) for file in files)
            first_missing = next(n for n in count(1) if name.format(n) not in files)
            if first_missing == 1 or first_missing <= there:
                raise UnreadableClip(folder, f"has no {name.format(first_missing)}")
            if name == self.names[0]:
                across = there
        if there != across:
            raise UnreadableClip(folder, f"has {across} flows across and {there} down")
        return there


def _grey(file: Path) -> UInt8[np.ndarray, "h w"]:
    from PIL import Image

    try:
        require_file(file)
        with Image.open(file) as picture:
            return np.asarray(picture.convert("L"))
    except Exception as error:  # a damaged picture can fail in any way
        raise UnreadableClip(file, f"is no picture that can be read ({error})") from error
