"""ResNet with temporal shift and one clustering step: the network of the paper (Fig. 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, conv1x1

from fvlib.clustering import TemporalClustering
from fvlib.models.frames import Frames
from fvlib.models.shift import temporal_shift
from fvlib.models.weights import load_torchvision

Consensus = Literal["mean", "size", "sqrt"]
BatchNormMode = Literal["trained", "partial", "frozen"]

_STAGES = ("layer1", "layer2", "layer3", "layer4")
DEPTHS = {
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}
# Means and standard deviations of ImageNet in RGB, and of its luminance, for pixels in [0, 1].
_PIXELS = {3: ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), 1: ((0.449,), (0.226,))}


class _Shifted:
    """A residual block whose first convolution sees shifted frames (TSM's `blockres`).

    The identity path is not shifted, so that what a frame holds itself is never lost.
    """

    shift = False

    def forward(self, x: Tensor, frames: Frames) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out = temporal_shift(x, frames) if self.shift else x
        out = self.relu(self.bn1(self.conv1(out)))
        out = self.bn2(self.conv2(out))
        if hasattr(self, "conv3"):
            out = self.bn3(self.conv3(self.relu(out)))
        return self.relu(out + identity)


class ShiftedBasicBlock(_Shifted, BasicBlock):
    """The block of ResNet-18 and -34: two 3x3 convolutions."""


class ShiftedBottleneck(_Shifted, Bottleneck):
    """The block of ResNet-50, -101 and -152: 1x1, 3x3 and 1x1 convolutions."""


class TSMResNet(nn.Module):
    """See `tsm_resnet`. The parameters have torchvision's names."""

    def __init__(
        self,
        depth: int,
        num_classes: int,
        *,
        width: int,
        in_channels: int,
        clustering: TemporalClustering | None,
        shift_stages: Sequence[int],
        dropout: float,
        consensus: Consensus,
        stem_pool: bool,
        batchnorm: BatchNormMode,
    ):
        super().__init__()
        self.clustering = clustering
        self.consensus = consensus
        self.batchnorm = batchnorm
        kind, blocks = DEPTHS[depth]
        block = ShiftedBasicBlock if kind == "basic" else ShiftedBottleneck

        self.conv1 = nn.Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if stem_pool else nn.Identity()
        # TSM shifts every second block where a stage of the network has 23 blocks or more.
        every = 2 if max(blocks) >= 23 else 1
        planes_in = width
        for stage, count in enumerate(blocks, start=1):
            planes, stride = width * 2 ** (stage - 1), 1 if stage == 1 else 2
            layer = _stage(block, planes_in, planes, count, stride)
            for i, b in enumerate(layer):
                b.shift = stage in shift_stages and i % every == 0
            setattr(self, f"layer{stage}", layer)
            planes_in = planes * block.expansion
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(planes_in, num_classes)

        mean, std = _PIXELS[in_channels]
        self.register_buffer("pixel_mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(std).view(-1, 1, 1), persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.fc.weight, std=0.001)
        nn.init.zeros_(self.fc.bias)

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
        x: Shaped[Tensor, "n t c h w"],
        lengths: Int64[Tensor, " n"] | None = None,
        *,
        cluster: bool = True,
        return_labels: bool = False,
    ) -> Float[Tensor, "n k"] | tuple[Float[Tensor, "n k"], Int64[Tensor, "n t"] | None]:
        """Class scores of n clips.

        x: frames, uint8 (normalised here) or float (taken as it is). lengths: frames of each clip
        where they differ; what lies beyond a clip's length is never looked at. cluster=False leaves
        the clustering step out, as the released code does at test time. return_labels adds the
        cluster of every frame, or None without clustering.
        Explained in chapter 04_network.
        """
        y, frames, labels, sizes = self._features(x, lengths, "layer4", cluster)
        scores = self.fc(self.dropout(self.avgpool(y).flatten(1)))
        weights = _consensus_weights(frames, sizes, self.consensus, scores.dtype)
        logits = (frames.unfold(scores) * weights.unsqueeze(-1)).sum(1)
        return (logits, labels) if return_labels else logits

    def features(
        self,
        x: Shaped[Tensor, "n t c h w"],
        lengths: Int64[Tensor, " n"] | None = None,
        *,
        upto: str = "layer4",
        cluster: bool = True,
    ) -> Float[Tensor, "n t_or_g c2 h2 w2"]:
        """Activations after a residual stage: of t frames after layer1, of g clusters later.

        upto: "layer1" ... "layer4". Frames beyond a clip's length are zero.
        Explained in chapter 04_network.
        """
        if upto not in _STAGES:
            raise ValueError(f"upto is {upto!r}; the stages are {', '.join(_STAGES)}")
        y, frames, _, _ = self._features(x, lengths, upto, cluster)
        return frames.unfold(y)

    def _features(self, x: Tensor, lengths: Tensor | None, upto: str, cluster: bool):
        n, t = _check_clips(x, lengths, self.conv1.in_channels)
        mask = None if lengths is None else torch.arange(t, device=x.device) < lengths[:, None]
        frames = Frames(n, t, x.device, mask)
        labels = sizes = None
        y = self._normalise(frames.fold(x))
        y = self.maxpool(self.relu(self.bn1(self.conv1(y))))
        for name in _STAGES[: _STAGES.index(upto) + 1]:
            for block in getattr(self, name):
                y = block(y, frames)
            if name == "layer1" and upto != "layer1" and cluster and self.clustering is not None:
                y, labels, sizes = self.clustering(frames.unfold(y), lengths)
                # Only these two cases can leave a cluster without a frame.
                holes = lengths is not None or self.clustering.empty == "keep"
                frames = Frames(n, y.shape[1], x.device, sizes > 0 if holes else None)
                y = frames.fold(y)
        return y, frames, labels, sizes

    def _normalise(self, x: Tensor) -> Tensor:
        if x.dtype == torch.uint8:
            x = (x / 255).to(self.pixel_mean.dtype)
            x.sub_(self.pixel_mean).div_(self.pixel_std)  # in place: of one tensor, not of three
        return x


def tsm_resnet(
    depth: int,
    num_classes: int,
    *,
    width: int = 64,
    in_channels: int = 3,
    clustering: TemporalClustering | None = None,
    shift_stages: Sequence[int] = (2, 3, 4),
    dropout: float = 0.5,
    consensus: Consensus = "mean",
    stem_pool: bool = True,
    batchnorm: BatchNormMode = "trained",
    weights: str | None = None,
) -> TSMResNet:
    """A 2D ResNet with temporal shift and, after its first residual stage, temporal clustering.

    depth: 18, 34, 50, 101 or 152. width: channels of the stem (64 in the published networks).
    in_channels: 3, or 1 for grey frames. clustering: the step between layer1 and layer2; None is
    the plain TSM network. shift_stages: residual stages with shift; with (2, 3, 4) everything
    before the clustering works frame by frame, (1, 2, 3, 4) is TSM as published. dropout: before
    the last layer. consensus: how the scores of the clusters are averaged: "mean" as in the paper,
    or weighted by the "size" of the clusters or its square root ("sqrt"). stem_pool=False leaves
    out the max pooling of the stem, for small frames. batchnorm: "trained", "partial" (all but the
    first layer frozen, as TSM does for UCF-101 and HMDB51) or "frozen". weights: a name of
    torchvision's weights for this depth, for example "IMAGENET1K_V1" or "DEFAULT"; torchvision
    looks in its cache first and downloads otherwise. The last layer is new unless num_classes fits.
    For grey frames the first kernels are summed over their colours.

    The number of frames is not part of the network: any t goes in at run time.
    Source: section 3.3 and Fig. 2; TSM for the shift and the last layer.
    Explained in chapter 04_network.
    """
    if depth not in DEPTHS:
        raise ValueError(f"depth is {depth}; a ResNet has depth {', '.join(map(str, DEPTHS))}")
    if in_channels not in _PIXELS:
        raise ValueError(f"in_channels is {in_channels}; frames have 3 channels (RGB) or 1 (grey)")
    if not set(shift_stages) <= {1, 2, 3, 4}:
        raise ValueError(f"shift_stages is {tuple(shift_stages)}; the stages are 1, 2, 3 and 4")
    for name, value, known in (
        ("consensus", consensus, ("mean", "size", "sqrt")),
        ("batchnorm", batchnorm, ("trained", "partial", "frozen")),
    ):
        if value not in known:
            raise ValueError(f"{name} is {value!r}; choose one of {', '.join(known)}")
    if weights is not None and (width != 64 or not stem_pool):
        raise ValueError(
            f"weights={weights!r} belong to width=64 and stem_pool=True, not to width={width}, "
            f"stem_pool={stem_pool}; leave weights out to start from random ones"
        )
    model = TSMResNet(
        depth,
        num_classes,
        width=width,
        in_channels=in_channels,
        clustering=clustering,
        shift_stages=shift_stages,
        dropout=dropout,
        consensus=consensus,
        stem_pool=stem_pool,
        batchnorm=batchnorm,
    )
    if weights is not None:
        load_torchvision(model, depth, weights)
    return model.train()


def _stage(block: type, planes_in: int, planes: int, count: int, stride: int) -> nn.ModuleList:
    planes_out = planes * block.expansion
    downsample = None
    if stride != 1 or planes_in != planes_out:
        downsample = nn.Sequential(
            conv1x1(planes_in, planes_out, stride), nn.BatchNorm2d(planes_out)
        )
    first = block(planes_in, planes, stride, downsample)
    return nn.ModuleList([first, *(block(planes_out, planes) for _ in range(count - 1))])


def _consensus_weights(
    frames: Frames, sizes: Tensor | None, consensus: Consensus, dtype: torch.dtype
) -> Tensor:
    dtype = torch.promote_types(dtype, torch.float32)
    if sizes is None or consensus == "mean":
        weights = frames.mask.to(dtype)
    else:
        weights = sizes.to(dtype) if consensus == "size" else sizes.to(dtype).sqrt()
    return weights / weights.sum(1, keepdim=True)


def _check_clips(x: Tensor, lengths: Tensor | None, channels: int) -> tuple[int, int]:
    if x.ndim != 5 or x.shape[2] != channels:
        raise ValueError(
            f"clips have shape {tuple(x.shape)}; wanted (n, t, {channels}, h, w), "
            f"one clip alone is x.unsqueeze(0)"
        )
    n, t = x.shape[:2]
    if n == 0 or t == 0:
        raise ValueError(f"clips have shape {tuple(x.shape)}; there must be a clip and a frame")
    if lengths is not None and (
        lengths.shape != (n,) or int(lengths.min()) < 1 or int(lengths.max()) > t
    ):
        raise ValueError(f"lengths is {lengths.tolist()}; wanted {n} numbers between 1 and {t}")
    return n, t
