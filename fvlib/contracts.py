"""What others can implement: the protocols that the parts of this library know of one another.

Nothing has to inherit from them; an object with these attributes and methods is enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64, Num, Shaped, UInt8
from torch import Tensor, nn

# What many signatures say.
Lengths = Int64[Tensor, " n"] | None  # frames of each clip, where they differ
Counts = int | Int64[Tensor, " n"]  # clusters: one number, or one for each clip


@runtime_checkable
class Labeling(Protocol):
    """A rule that cuts clips along time: which cluster each of their frames belongs to.

    name: what messages call it. needs: what its labels follow from. may_be_empty: whether a cluster
    may be without frames although no clip is shorter than g. adaptive: whether `scores` says how
    many clusters a clip is worth.
    """

    @property
    def name(self) -> str: ...

    @property
    def needs(self) -> Literal["nothing", "distances", "activations"]: ...

    @property
    def may_be_empty(self) -> bool: ...

    @property
    def adaptive(self) -> bool: ...

    def labels(
        self, seen: Num[Tensor, "n ..."], g: Counts, lengths: Lengths = None
    ) -> Int64[Tensor, "n t"]:
        """Labels 0..g-1 that ascend along time, -1 beyond a clip's length.

        Args:
            seen: the activations `(n, t, *feature)` where the rule needs them; otherwise the
                distances of neighbouring frames (n, t-1), of which only the shape counts where it
                needs nothing.
            g: one number, or one for each clip; a clip shorter than g gets as many clusters as
                frames.
        """

    def scores(self, seen: Num[Tensor, "n ..."], lengths: Lengths = None) -> Float64[Tensor, "n s"]:
        """What each clip's second, third, ... cluster is worth, descending, 0 if it has no use."""


@runtime_checkable
class VideoNetwork(Protocol):
    """A network of clips that may average their frames inside: what is asked of it from outside.

    Before its clustering step it sees frames one by one, behind it as many images as there are
    clusters. clustering: the step, which gives (means, labels, sizes) of activations and says in
    `may_be_empty` whether a cluster can be without frames; None for a network without one. chunk:
    how many frames are worked on at once before the step, "auto" to find it from memory, None for
    all. early: the modules that see frames. last: the name of the layer that scores single images,
    None if there is none.
    """

    clustering: nn.Module | None
    chunk: int | Literal["auto"] | None
    num_classes: int
    in_channels: int
    last: str | None

    @property
    def device(self) -> torch.device:
        """Where the weights are, and frames must be."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """All that is trained, as of a module."""

    @property
    def early(self) -> Sequence[nn.Module]:
        """The modules before the clustering step."""

    def encode(self, images: Shaped[Tensor, "m c h w"]) -> Float[Tensor, "m c2 h2 w2"]:
        """Activations of frames, each by itself: stem and first block."""

    def rest(self, y: Float[Tensor, "m c h w"], frames: Any) -> Float[Tensor, "m ..."]:
        """What the layers behind the clustering step make of images: activations, or scores.

        Args:
            frames: which of them belong to which clip, as `fvlib.models.packing.Frames` says it.
        """

    def frames_at_once(self, frame: Sequence[int]) -> int:
        """The chunk for frames of shape (c, h, w)."""

    def bytes_a_frame(self, frame: Sequence[int]) -> int:
        """What one more frame of shape (c, h, w) takes before the clustering step, in training."""

    def __call__(
        self, x: Any, lengths: Lengths = None, *, cluster: bool = True, return_labels: bool = False
    ) -> Any:
        """Scores of clips (n, k), and with return_labels the cluster of every frame."""


@runtime_checkable
class Clips(Protocol):
    """Clips of any length, of which frames are read one clip at a time.

    They may also say: `name`, of the data set (without it the clips are never mirrored); `classes`,
    their names; `names`, of the clips, for messages; `flow`, True where the frames are optical
    flow, across and down in turn.
    """

    lengths: Int64[np.ndarray, " m"]  # frames of each clip
    targets: Int64[np.ndarray, " m"]  # class of each clip

    def __len__(self) -> int: ...

    def read(self, i: int, frames: Int64[np.ndarray, " t"]) -> Shaped[Tensor, "t c h w"]:
        """These frames of clip i: uint8, or floats if they are features."""


@runtime_checkable
class ChunkedClips(Clips, Protocol):
    """Clips that can be read from first to last in one pass, a piece at a time."""

    def iter_chunks(
        self, i: int, pieces: Sequence[Int64[np.ndarray, " _"]]
    ) -> Iterator[UInt8[Tensor, "t c h w"]]:
        """What `read` gives for each piece of clip i. No frame is before the one asked for last."""


@runtime_checkable
class Stream(Protocol):
    """Clips whose frames are made when they are wanted, as often as they are wanted."""

    lengths: Int64[Tensor, " n"]  # frames of each clip

    def parts(self, size: int) -> Iterator[Shaped[Tensor, "m c h w"]]:
        """All frames, clip by clip, in parts of `size` of them; the last may be smaller."""


Videos = Shaped[Tensor, "n t c h w"] | Stream


def require_clips(clips: object, classes: int | None = None) -> None:
    """ValueError, which says what is missing, unless these are clips that can be shown.

    Args:
        classes: how many there are, if it is known; no clip may be of another one.
    """
    wanted = ("__len__", "lengths", "targets", "read")
    if missing := [name for name in wanted if not hasattr(clips, name)]:
        raise ValueError(
            f"clips are of type {type(clips).__name__}, without {', '.join(missing)}; wanted an "
            "object as described in fvlib.contracts.Clips; InMemory(frames, targets) makes one of "
            "two tensors"
        )
    if not len(clips):
        raise ValueError("there are no clips; wanted one or more")
    for name, least in (("lengths", 1), ("targets", 0)):
        found = getattr(clips, name)
        if (
            not isinstance(found, np.ndarray)
            or found.dtype.kind not in "iu"
            or found.shape != (len(clips),)
        ):
            raise ValueError(
                f"{name} of {len(clips)} clips are {found!r:.100}; wanted a NumPy array of as many "
                "whole numbers"
            )
        if found.min() < least:
            i = int(found.argmin())
            raise ValueError(
                f"{name} of the clips are {least} or more, but {clip_name(clips, i)} has {found[i]}"
            )
    if classes is not None and clips.targets.max() >= classes:
        i = int(clips.targets.argmax())
        raise ValueError(
            f"{clip_name(clips, i)} is of class {clips.targets[i]}, and there are {classes} "
            "classes, from 0 on; give as many classes as the clips have"
        )


def clip_name(clips: Clips, i: int) -> str:
    """How a message speaks of clip i: by its place, and by its name if the clips have names."""
    names = getattr(clips, "names", None)
    return f"clip {i}" if names is None or not len(names) else f"clip {i} ({names[i]})"
