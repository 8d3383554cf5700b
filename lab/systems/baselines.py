"""The other systems of the paper's tables, and the nearest peers of its method.

Each is the ResNet of `tsm_resnet` with one thing changed: no shift (TSN), other blocks (STM), a
head in place of the average of the frames' scores (TRN, ActionVLAD, VideoGraph, frames), one image
in place of the frames (dynamic images), or less that is kept for the backward pass (checkpointing,
stochastic backpropagation). So they take its options, and are trained and tested as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from jaxtyping import Float, Int64
from torch import Tensor, nn

from fvlib.models.packing import Frames
from fvlib.models.tsm import TSMResNet
from lab.systems.heads import FrameHead, RelationHead, VideoGraphHead, VLADHead
from lab.systems.memory_efficient import CheckpointedResNet, StochasticBackpropResNet
from lab.systems.rank_pooling import DynamicImageResNet
from lab.systems.stm import STMBasicBlock, STMBottleneck


class HeadedResNet(TSMResNet):
    """A ResNet with a head of its own in place of pooling, dropout, last layer and consensus.

    Args:
        head: makes it from the number of channels that layer4 has, the number of classes, width and
            dropout of the network. Heads are as wide as published times width / 64.
    """

    last = None  # a head scores clips, not images

    def __init__(
        self,
        depth: int,
        num_classes: int,
        *,
        head: Callable[[int, int, int, float], nn.Module],
        width: int = 64,
        dropout: float = 0.5,
        **options: Any,
    ):
        super().__init__(depth, num_classes, width=width, dropout=dropout, **options)
        self.head = head(self.fc.in_features, num_classes, width, dropout)
        del self.avgpool, self.dropout, self.fc

    def classify(
        self, y: Float[Tensor, "m c h w"], frames: Frames, sizes: Int64[Tensor, "n g"] | None = None
    ) -> Float[Tensor, "n k"]:
        """Scores of clips from what layer4 makes of their frames, by the head."""
        return self.head(y, frames)


class STMResNet(TSMResNet):
    """A ResNet of STM's blocks."""

    blocks: ClassVar = {"basic": STMBasicBlock, "bottleneck": STMBottleneck}


def tsn(
    depth: int,
    num_classes: int,
    *,
    network: type[TSMResNet] = TSMResNet,
    shift_stages: Sequence[int] = (),
    **options: Any,
) -> TSMResNet:
    """TSN: no frame sees another, and the scores of the frames are averaged.

    This and all that follow take the options of `tsm_resnet`, and have no shift unless it is asked
    for. Source: Wang et al. (ECCV 2016), in Tables 4 and 5.
    """
    return network(depth, num_classes, shift_stages=shift_stages, **options)


def trn_multiscale(depth: int, num_classes: int, *, frames: int, **options: Any) -> TSMResNet:
    """TRN-Multiscale on clips of so many frames: scores of ordered tuples of them.

    Source:
        Zhou et al. (ECCV 2018), in Table 5.
    """

    def head(channels: int, classes: int, width: int, dropout: float) -> nn.Module:
        features = 256 * width // 64
        return RelationHead(channels, classes, frames, features=features, dropout=dropout)

    return tsn(depth, num_classes, network=HeadedResNet, head=head, **options)


def headed(
    head: Callable[..., nn.Module], sizes: Mapping[str, int], shares: Sequence[float]
) -> Callable[..., TSMResNet]:
    """A constructor of a network with a head, whose sizes are those at width 64.

    Args:
        shares: of the network's dropout, before each layer of the head.
    """

    def construct(depth: int, num_classes: int, **options: Any) -> TSMResNet:
        def make(channels: int, classes: int, width: int, dropout: float) -> nn.Module:
            own = {name: size * width // 64 for name, size in sizes.items()}
            return head(channels, classes, **own, dropout=tuple(s * dropout for s in shares))

        return tsn(depth, num_classes, network=HeadedResNet, head=make, **options)

    return construct


def dynamic_image(depth: int, num_classes: int, *, windows: int = 1, **options: Any) -> TSMResNet:
    """A ResNet that sees the dynamic image of each of `windows` parts of a clip.

    Source:
        Bilen et al. (CVPR 2016), in Table 4.
    """
    return tsn(depth, num_classes, network=DynamicImageResNet, windows=windows, **options)


NETWORKS: dict[str, Callable[..., TSMResNet]] = {
    "tsm": TSMResNet,
    "tsn": tsn,
    "trn_multiscale": trn_multiscale,
    # Jiang et al. (ICCV 2019), in Tables 4 and 5.
    "stm": partial(tsn, network=STMResNet),
    # Girdhar et al. (CVPR 2017), in Table 3: residuals of all places and frames around 32 centres.
    "action_vlad": headed(VLADHead, {"features": 512, "hidden": 256}, (1.0, 0.5)),
    # Hussein et al. (2019), in Table 3: frames attend to 128 nodes, a graph convolved in time.
    "videograph": headed(VideoGraphHead, {"features": 1024, "hidden": 512}, (1.0, 1.0)),
    # Table 3, ResNet-152: the mean of the frames' features, classified by a hidden layer.
    "resnet_frames": headed(FrameHead, {"hidden": 512}, (1.0, 1.0)),
    "dynamic_image": dynamic_image,
    "checkpointed": CheckpointedResNet,
    "stochastic_backprop": StochasticBackpropResNet,
}
