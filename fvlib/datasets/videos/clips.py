"""Clips of a list, ready for training: read from disk each time, or decoded once into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from tqdm import tqdm

from fvlib.datasets.loading import InMemory
from fvlib.datasets.videos.frames import Rate
from fvlib.datasets.videos.lists import ClipList
from fvlib.storage import fingerprint, once, replacing_array, stored_array


class VideoClips:
    """The clips of a list, whose frames are decoded when they are asked for.

    Args:
        clips: which files.
        lengths: frames of each clip, as `count_frames` finds them at the same fps.
        fps, rate: frames a second to read, and of frame folders; as `open_clip`.
        size: (h, w) to which frames are resized while they are decoded; None leaves them.
        channels: 3, or 1 for grey.

    Raises:
        ValueError: for lengths that do not fit the list, or other channels.
    """

    def __init__(
        self,
        clips: ClipList,
        lengths: Int64[np.ndarray, " m"],
        *,
        fps: Rate | None = None,
        rate: Rate | None = None,
        size: tuple[int, int] | None = None,
        channels: int = 3,
    ):
        if lengths.shape != (len(clips),) or (len(lengths) and lengths.min() < 1):
            raise ValueError(
                f"there are {lengths.shape} lengths for {clips}; one of at least 1 was wanted for "
                "each clip, see count_frames"
            )
        if channels not in (1, 3):
            raise ValueError(f"channels is {channels}; frames have 3 (RGB) or 1 (grey)")
        self.clips, self.lengths, self.targets = clips, lengths, clips.targets
        self.name, self.classes, self.names = clips.name, clips.classes, clips.names
        self.size, self.channels = size, channels
        self._speed = {"fps": fps, "rate": rate}

    def __len__(self) -> int:
        return len(self.clips)

    def read(self, i: int, frames: Int64[np.ndarray, " t"]) -> UInt8[Tensor, "t c h w"]:
        """These frames of clip i. Raises UnreadableClip, which names the file."""
        return self._shown(self.clips.open(i, **self._speed).read(frames, size=self.size))

    def iter_chunks(
        self, i: int, pieces: Sequence[Int64[np.ndarray, " _"]]
    ) -> Iterator[UInt8[Tensor, "t c h w"]]:
        """What `read` gives for each piece of clip i, in one pass over its file.

        Raises:
            UnreadableClip: at the piece that cannot be given.
            ValueError: for frames that go back.
        """
        clip = self.clips.open(i, **self._speed)
        with closing(clip.iter_chunks(pieces, size=self.size)) as walked:
            yield from map(self._shown, walked)

    def _shown(self, frames: UInt8[np.ndarray, "t h w 3"]) -> UInt8[Tensor, "t c h w"]:
        """Colours or grey, as a view: each pixel's colours stay side by side."""
        x = torch.from_numpy(frames)
        if self.channels == 1:
            weights = torch.tensor([0.299, 0.587, 0.114])  # ITU-R 601, as PIL makes grey
            x = (x.float() @ weights).round().to(torch.uint8)[..., None]
        return x.movedim(-1, -3)

    def materialise(self, cache: Path | None = None, progress: bool = False) -> InMemory:
        """All clips decoded once, for sets that fit into memory; needs a size.

        Args:
            cache: a folder in which the frames are kept as one array. They are found again there,
                and mapped into memory, as long as the files have the same sizes and times of
                change; several processes then share them.

        Raises:
            ValueError: without a size.
            UnreadableClip: for a damaged file.
        """
        if self.size is None:
            raise ValueError(f"{self.clips}: frames of one size were wanted; give size=(h, w)")
        shape = (int(self.lengths.sum()), self.channels, *self.size)
        if cache is None:
            frames = np.empty(shape, np.uint8)
            self._decode_into(frames, progress)
        else:
            file = Path(cache) / f"{self.name}-{self.fingerprint()}.npy"
            once(file, partial(self._decode_to, file, shape, progress))
            frames = stored_array(file, shape)
        known = {"name": self.name, "classes": self.classes, "names": self.names}
        return InMemory(torch.from_numpy(frames), self.targets, self.lengths, **known)

    def _decode_to(self, file: Path, shape: tuple[int, ...], progress: bool) -> None:
        with replacing_array(file, shape) as frames:
            self._decode_into(frames, progress)

    def _decode_into(self, frames: np.ndarray, progress: bool) -> None:
        starts = np.cumsum(self.lengths) - self.lengths
        for i in tqdm(range(len(self)), self.name, disable=not progress, unit="clip"):
            t = int(self.lengths[i])
            frames[starts[i] : starts[i] + t] = self.read(i, np.arange(t)).numpy()

    def fingerprint(self) -> str:
        """Changes with the files and with how they are read."""
        found = [(self.size, self.channels, self._speed, self.lengths.tolist())]
        for i, name in enumerate(self.clips.names.tolist()):
            path = self.clips.path(i)
            for file in [path, *sorted(path.iterdir())] if path.is_dir() else [path]:
                state = file.stat()
                found.append((name, file.name, state.st_size, state.st_mtime_ns))
        return fingerprint(found)
