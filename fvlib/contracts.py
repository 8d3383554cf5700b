"""What others can implement: the protocols that the parts of this library know of one another.

Nothing has to inherit from them; an object with these attributes and methods is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float64, Int64, Num, Shaped
from torch import Tensor, nn


@runtime_checkable
class Labeling(Protocol):
    """A rule that cuts clips along time: which cluster each of their frames belongs to.

    name: what messages call it. needs: what its labels follow from. may_be_empty: whether a cluster
    may be without frames although no clip is shorter than g. adaptive: whether `scores` says how
    many clusters a clip is worth.
    """

    name: str
    needs: Literal["nothing", "distances", "activations"]
    may_be_empty: bool
    adaptive: bool

    def labels(
        self,
        seen: Num[Tensor, "n ..."],
        g: int | Int64[Tensor, " n"],
        lengths: Int64[Tensor, " n"] | None = None,
    ) -> Int64[Tensor, "n t"]:
        """Labels 0..g-1 that ascend along time, -1 beyond a clip's length.

        seen: the activations (n, t, *feature) where the rule needs them; otherwise the distances of
        neighbouring frames (n, t-1), of which only the shape counts where it needs nothing. g: one
        number, or one for each clip; a clip shorter than g gets as many clusters as frames.
        """

    def scores(
        self, seen: Num[Tensor, "n ..."], lengths: Int64[Tensor, " n"] | None = None
    ) -> Float64[Tensor, "n s"]:
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

    @property
    def early(self) -> Sequence[nn.Module]:
        """The modules before the clustering step."""

    def encode(self, images: Shaped[Tensor, "m c h w"]) -> Float[Tensor, "m c2 h2 w2"]:
        """Activations of frames, each by itself: stem and first block."""

    def rest(self, y: Float[Tensor, "m c h w"], frames: Any) -> Float[Tensor, "m c2 h2 w2"]:
        """What the blocks behind the clustering step make of images.

        frames: which of them belong to which clip, as `fvlib.models.frames.Frames` says it.
        """

    def frames_at_once(self, frame: Sequence[int]) -> int:
        """The chunk for frames of shape (c, h, w)."""

    def bytes_a_frame(self, frame: Sequence[int]) -> int:
        """What one more frame of shape (c, h, w) takes before the clustering step, in training."""

    def __call__(
        self,
        x: Any,
        lengths: Int64[Tensor, " n"] | None = None,
        *,
        cluster: bool = True,
        return_labels: bool = False,
    ) -> Any:
        """Scores of clips (n, k), and with return_labels the cluster of every frame."""
