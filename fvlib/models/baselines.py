"""The other systems of the paper's tables, and the nearest peers of its method.

Each is the ResNet of `tsm_resnet` with one thing changed: no shift (TSN), other blocks (STM), a
head in place of the average of the frames' scores (TRN, ActionVLAD, VideoGraph, frames), one image
in place of the frames (dynamic images), or less that is kept for the backward pass (recomputation,
stochastic backpropagation). So they take its options, and are trained and tested as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxtyping import Float, Int64
from torch import Tensor, nn

from fvlib.models.frames import Frames
from fvlib.models.resnet import TSMResNet, tsm_resnet


class HeadedResNet(TSMResNet):
    """A ResNet with a head of its own in place of pooling, dropout, last layer and consensus.

    head: makes it from the number of channels that layer4 has and the number of classes.
    """

    def __init__(
        self, depth: int, num_classes: int, *, head: Callable[[int, int], nn.Module], **options: Any
    ):
        super().__init__(depth, num_classes, **options)
        self.head = head(self.fc.in_features, num_classes)
        del self.avgpool, self.dropout, self.fc

    def classify(
        self,
        y: Float[Tensor, "m c h w"],
        frames: Frames,
        sizes: Int64[Tensor, "n g"] | None = None,
    ) -> Float[Tensor, "n k"]:
        """Scores of clips from what layer4 makes of their frames, by the head."""
        return self.head(y, frames)


NETWORKS: dict[str, Callable[..., TSMResNet]] = {"tsm": tsm_resnet}
