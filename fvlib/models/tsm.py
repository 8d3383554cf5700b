"""ResNet with temporal shift and one clustering step: the network of the paper (Fig. 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, get_args

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn

from fvlib.contracts import Lengths, Stream, Videos
from fvlib.models.batchnorm import BatchNorm, Moments, Statistics, conv_bn, given
from fvlib.models.memory_efficient import (
    FrameEncoder,
    bytes_per_frame,
    chunk_that_fits,
    encode_clips,
)
from fvlib.models.packing import Frames, frame_shape
from fvlib.models.shift import DEPTHS, ShiftedBasicBlock, ShiftedBottleneck, stage_of
from fvlib.values import check_arguments, check_choice, check_whole

Consensus = Literal["mean", "size", "sqrt"]
BatchNormMode = Literal["trained", "partial", "frozen"]

_STAGES = ("layer1", "layer2", "layer3", "layer4")
# Means and standard deviations of ImageNet in RGB, and of its luminance, for pixels in [0, 1].
PIXELS = {3: ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), 1: ((0.449,), (0.226,))}
_FLOW = ((0.5,), (0.226,))  # of optical flow, in any number of channels; as TSN takes it


class TSMResNet(nn.Module):
    """A 2D ResNet with temporal shift and, after its first residual stage, temporal clustering.

    The parameters have torchvision's names. The number of frames is not part of the network: any t
    goes in at run time.

    Args:
        depth: 18, 34, 50, 101 or 152.
        width: channels of the stem (64 in the published networks).
        in_channels: 3, 1 for grey frames, or an even number for optical flow.
        clustering: the step between layer1 and layer2; None is the plain TSM network.
        shift_stages: residual stages with shift; with (2, 3, 4) everything before the clustering
            works frame by frame, (1, 2, 3, 4) is TSM as published.
        dropout: before the last layer.
        consensus: how the scores of the clusters are averaged: "mean" as in the paper, or weighted
            by the "size" of the clusters or its square root ("sqrt").
        stem_pool: False leaves out the max pooling of the stem, for small frames.
        batchnorm: "trained", "partial" (all but the first layer frozen, as TSM does for UCF-101 and
            HMDB51) or "frozen".
        early_statistics: what BatchNorm before the clustering step normalises with in training: the
            "batch"; "running", its running statistics, which stay as they are; or "detached", those
            of all frames of the batch, as constants.
        weights: a name of torchvision's weights for this depth, for example "IMAGENET1K_V1" or
            "DEFAULT"; torchvision looks in its cache first and downloads otherwise. The last layer
            is new unless num_classes fits. For grey frames the first kernels are summed over their
            colours.
        chunk: stem, layer1 and clustering work on so many frames at once, all over again in the
            backward pass: the results are the same, and memory does not grow with t. "auto" finds
            the number from the memory there is. In training this wants early_statistics to be
            "running" or "detached".
        memory: bytes that an "auto" chunk may take; None: a quarter of what is free.

    Raises:
        ValueError: for what no network can be made of, with what was wanted.

    Source:
        Section 3.3 and Fig. 2; TSM for the shift and the last layer.
    """

    blocks: ClassVar = {"basic": ShiftedBasicBlock, "bottleneck": ShiftedBottleneck}
    last: str | None = "fc"  # the layer that scores images
    clustering: nn.Module | None
    chunk: int | Literal["auto"] | None
    consensus: Consensus
    layer1: nn.ModuleList
    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self,
        depth: Literal[18, 34, 50, 101, 152],
        num_classes: int,
        *,
        width: int = 64,
        in_channels: int = 3,
        clustering: nn.Module | None = None,
        shift_stages: Sequence[Literal[1, 2, 3, 4]] = (2, 3, 4),
        dropout: float = 0.5,
        consensus: Consensus = "mean",
        stem_pool: bool = True,
        batchnorm: BatchNormMode = "trained",
        early_statistics: Statistics = "batch",
        chunk: int | Literal["auto"] | None = None,
        memory: int | None = None,
        weights: str | None = None,
    ):
        check_arguments(TSMResNet.__init__, locals())
        counts = {"num_classes": num_classes, "width": width, "in_channels": in_channels}
        for name, value in {**counts, "chunk": chunk, "memory": memory}.items():
            if isinstance(value, int):
                check_whole(name, value)
        if in_channels not in PIXELS and in_channels % 2:
            raise ValueError(
                f"in_channels is {in_channels}; frames have 3 channels (RGB), 1 (grey), or an even "
                "number of them (optical flow: across and down)"
            )
        if weights is not None and (width != 64 or not stem_pool):
            raise ValueError(
                f"weights={weights!r} belong to width=64 and stem_pool=True, not to width={width}, "
                f"stem_pool={stem_pool}; leave weights out to start from random ones"
            )
        super().__init__()
        self.num_classes, self.in_channels = num_classes, in_channels
        self.clustering = clustering
        self.consensus = consensus
        self.batchnorm = batchnorm
        self.chunk = chunk
        self.memory = memory
        self._needed: dict[tuple, int] = {}
        kind, blocks = DEPTHS[depth]
        block = self.blocks[kind]

        self.conv1 = nn.Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = BatchNorm(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if stem_pool else nn.Identity()
        # TSM shifts every second block where a stage of the network has 23 blocks or more.
        every = 2 if max(blocks) >= 23 else 1
        planes_in = width
        for stage, count in enumerate(blocks, start=1):
            planes, stride = width * 2 ** (stage - 1), 1 if stage == 1 else 2
            layer = stage_of(block, planes_in, planes, count, stride)
            for i, b in enumerate(layer):
                b.shift = stage in shift_stages and i % every == 0  # pyright: ignore
            setattr(self, f"layer{stage}", layer)
            planes_in = planes * block.expansion
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(planes_in, num_classes)

        self.early_statistics = early_statistics

        mean, std = PIXELS.get(in_channels, _FLOW)
        self.register_buffer("pixel_mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(std).view(-1, 1, 1), persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.fc.weight, std=0.001)
        nn.init.zeros_(self.fc.bias)
        if weights is not None:
            from fvlib.models.checkpoints import load_torchvision  # late: it knows this network

            load_torchvision(self, depth, weights)
        self.train()

    @property
    def early_statistics(self) -> Statistics:
        """What BatchNorm before the clustering step normalises with in training."""
        return self.bn1.statistics

    @early_statistics.setter
    def early_statistics(self, value: Statistics) -> None:
        check_choice("early_statistics", value, get_args(Statistics))
        for norm in self._early_norms():
            norm.statistics = value

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.conv1.weight.device

    @property
    def early(self) -> list[nn.Module]:
        """The modules before the clustering step: stem and layer1's blocks."""
        return [self.conv1, self.bn1, *self.layer1]

    @property
    def late(self) -> list[nn.Module]:
        """The blocks behind the clustering step."""
        return [block for name in _STAGES[1:] for block in getattr(self, name)]

    def _early_norms(self) -> list[BatchNorm]:
        return [m for part in self.early for m in part.modules() if isinstance(m, BatchNorm)]

    def train(self, mode: bool = True) -> TSMResNet:
        """Training mode, in which frozen BatchNorm layers keep their statistics and parameters."""
        super().train(mode)
        if self.batchnorm != "trained":
            norms = [m for m in self.modules() if isinstance(m, nn.BatchNorm2d)]
            for norm in norms[1:] if self.batchnorm == "partial" else norms:
                norm.eval().requires_grad_(False)
        return self

    def forward(
        self,
        x: Videos,
        lengths: Lengths = None,
        *,
        cluster: bool = True,
        return_labels: bool = False,
    ) -> Float[Tensor, "n k"] | tuple[Float[Tensor, "n k"], Int64[Tensor, "n t"] | None]:
        """Class scores of n clips.

        Args:
            x: frames, uint8 (normalised here) or float (taken as it is); or a stream of clips,
                which makes them as they are wanted.
            lengths: frames of each clip where they differ; what lies beyond a clip's length is
                never looked at.
            cluster: False leaves the clustering step out, as the released code does at test time.
            return_labels: also give the cluster of every frame, or None without clustering.
        """
        y, frames, labels, sizes = self._features(x, lengths, "layer4", cluster)
        logits = self.classify(y, frames, sizes)
        return (logits, labels) if return_labels else logits

    def classify(
        self, y: Float[Tensor, "m c h w"], frames: Frames, sizes: Int64[Tensor, "n g"] | None = None
    ) -> Float[Tensor, "n k"]:
        """Scores of clips from what layer4 makes of their frames: of each frame, then averaged.

        Args:
            sizes: frames in each cluster, where the images are clusters.
        """
        scores = self.fc(self.dropout(self.avgpool(y).flatten(1)))
        weights = _consensus_weights(frames, sizes, self.consensus, scores.dtype)
        return (frames.unpack(scores) * weights.unsqueeze(-1)).sum(1)

    def features(
        self, x: Videos, lengths: Lengths = None, *, upto: str = "layer4", cluster: bool = True
    ) -> Float[Tensor, "n t_or_g c2 h2 w2"]:
        """Activations after a residual stage: of t frames after layer1, of g clusters later.

        Args:
            upto: "layer1" ... "layer4". Frames beyond a clip's length are zero.
        """
        check_choice("upto", upto, _STAGES)
        y, frames, _, _ = self._features(x, lengths, upto, cluster)
        return frames.unpack(y)

    def _features(self, x: Tensor | Stream, lengths: Tensor | None, upto: str, cluster: bool):
        step = self.clustering if cluster and upto != "layer1" else None
        y, frames, labels, sizes = encode_clips(self, x, lengths, step, self._encoder)
        return self.rest(y, frames, upto=upto), frames, labels, sizes

    def encode(
        self, images: Shaped[Tensor, "m c h w"], frames: Frames | None = None
    ) -> Float[Tensor, "m c2 h2 w2"]:
        """Everything before the clustering step: stem and layer1.

        Without shift in layer1 no image needs the others, and `frames` is not needed.
        """
        frames = Frames(len(images), 1, images.device) if frames is None else frames
        y = self.stem(images)
        for block in self.layer1:
            y = self.pass_block(block, y, frames)
        return y

    def rest(
        self, y: Float[Tensor, "m c h w"], frames: Frames, *, upto: str = "layer4"
    ) -> Float[Tensor, "m c2 h2 w2"]:
        """The residual stages behind the clustering step, on frames or clusters as images."""
        for name in _STAGES[1 : _STAGES.index(upto) + 1]:
            for block in getattr(self, name):
                y = self.pass_block(block, y, frames)
        return y

    def pass_block(self, block: nn.Module, y: Tensor, frames: Frames) -> Tensor:
        """A residual block on packed frames; what is saved of it for the backward pass."""
        return block(y, frames)

    def stem(self, images: Shaped[Tensor, "m c h w"]) -> Float[Tensor, "m c2 h2 w2"]:
        """Normalised pixels, the first convolution, and the pooling that may follow."""
        y = conv_bn(self.conv1, self.bn1, self._normalise(images))
        return self.maxpool(self.relu(y))

    def frames_at_once(self, frame: Sequence[int]) -> int:
        """The chunk for frames of this shape (c, h, w), found from memory if it is "auto"."""
        if isinstance(self.chunk, int):
            return self.chunk
        device = self.device
        key = (*frame, device.type, torch.is_autocast_enabled(device.type))
        if key not in self._needed:
            self._needed[key] = self.bytes_a_frame(frame)
        return chunk_that_fits(self._needed[key], device, self.memory)

    def bytes_a_frame(self, frame: Sequence[int]) -> int:
        """What one more frame of shape (c, h, w) takes before the clustering step, in training."""
        pixels = torch.zeros(1, *frame, dtype=torch.uint8, device=self.device)
        mode, norms, constants = self.training, self._early_norms(), None
        if self.early_statistics == "detached":  # which must not follow these pixels
            constants = [Moments(norm.running_mean, norm.running_var, 1) for norm in norms]
        self.train(self.early_statistics != "batch")  # eval mode keeps the same as that
        with given(norms, constants):
            found = bytes_per_frame(self.encode, pixels)
        self.train(mode)
        return found

    def _encoder(self, x: Tensor | Stream) -> FrameEncoder:
        if any(block.sees_neighbours for block in self.layer1):
            raise ValueError(
                "chunk is set, but block 1 shifts channels between frames, or STM's looks at them; "
                "take TSM's blocks and leave 1 out of shift_stages, so that every frame is by "
                "itself before the clustering step"
            )
        chunk = self.chunk if isinstance(self.chunk, int) else self.frames_at_once(frame_shape(x))
        return FrameEncoder(self.encode, self.early, chunk)

    def _normalise(self, x: Tensor) -> Tensor:
        if x.dtype == torch.uint8:
            x = x.to(self.pixel_mean.dtype)  # in place from here: of one tensor, not of three
            x.sub_(255 * self.pixel_mean).div_(255 * self.pixel_std)
        return x


def _consensus_weights(
    frames: Frames, sizes: Tensor | None, consensus: Consensus, dtype: torch.dtype
) -> Tensor:
    dtype = torch.promote_types(dtype, torch.float32)
    if sizes is None or consensus == "mean":
        weights = frames.mask.to(dtype)
    else:
        weights = sizes.to(dtype) if consensus == "size" else sizes.to(dtype).sqrt()
    return weights / weights.sum(1, keepdim=True)


tsm_resnet = TSMResNet
