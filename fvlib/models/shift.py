"""The temporal shift of TSM, and the residual blocks with it: how frames know of one another."""

from __future__ import annotations

import torch
from jaxtyping import Num
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, conv1x1

from fvlib.models.batchnorm import BatchNorm, conv_bn
from fvlib.models.packing import Frames


def temporal_shift(
    x: Num[Tensor, "m c h w"], frames: Frames, *, fraction: int = 8
) -> Num[Tensor, "m c h w"]:
    """Shift channels of packed frames along time.

    Of c channels the first c // fraction are taken from the next frame, the second c // fraction
    from the frame before, and the rest stay. Where the neighbour does not exist (the ends of a
    clip, an empty cluster) the channels are zero. Nothing passes from one clip to another, whatever
    the batch.

    Raises:
        ValueError: for x that is not (m, c, h, w) with the m images of `frames`, and for a fraction
            that is no whole number of at least 2.

    Source:
        Lin et al., TSM (ICCV 2019), section 4, the shift that Fig. 2 of the paper builds on.
    """
    if len(x) != frames.images:
        raise ValueError(
            f"x has {len(x)} images; as many as `frames`, {frames.images}, were wanted"
        )
    if fraction < 2:
        raise ValueError(f"fraction is {fraction}; 2 or more was wanted: each way takes a part")
    fold = x.shape[1] // fraction
    return _Shift.apply(x, slice(fold), slice(fold, 2 * fold), frames.first, frames.last)


class _Shift(torch.autograd.Function):
    """One copy of x with the moved channels written into it; the gradient moves the other way.

    Put together from differentiable slices, the backward pass fills and adds up a tensor of the
    size of x for each slice, which is a fifth of a training step of a narrow network.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, of_next: slice, of_before: slice, first: Tensor, last: Tensor) -> Tensor:
        out = x.clone()
        out[:-1, of_next] = x[1:, of_next]
        out[1:, of_before] = x[:-1, of_before]
        out[:, of_next].index_fill_(0, last, 0)
        out[:, of_before].index_fill_(0, first, 0)
        return out

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, ctx.of_next, ctx.of_before, *ends = inputs
        ctx.save_for_backward(*ends)

    @staticmethod
    def backward(ctx, grad: Tensor):
        ends = ctx.saved_tensors
        return _Shift.apply(grad, ctx.of_before, ctx.of_next, *ends), None, None, None, None


DEPTHS = {
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}


class _Shifted:
    """A residual block whose first convolution sees shifted frames (TSM's `blockres`).

    The identity path is not shifted, so that what a frame holds itself is never lost.
    """

    shift = False
    relu: nn.Module
    conv1: nn.Conv2d
    conv2: nn.Conv2d
    conv3: nn.Conv2d
    bn1: BatchNorm
    bn2: BatchNorm
    bn3: BatchNorm
    downsample: nn.Sequential | None

    @property
    def sees_neighbours(self) -> bool:
        """Whether what it makes of a frame depends on the frames beside it."""
        return self.shift

    def forward(self, x: Tensor, frames: Frames) -> Tensor:
        return self.residual(x, temporal_shift(x, frames) if self.shift else x)

    def residual(self, x: Tensor, seen: Tensor) -> Tensor:
        """What follows the shift, frame by frame; `seen` goes into the first convolution."""
        identity = x
        if self.downsample is not None:
            conv, norm = self.downsample
            identity = conv_bn(conv, norm, x)  # pyright: ignore[reportArgumentType]
        out = self.relu(conv_bn(self.conv1, self.bn1, seen))
        out = conv_bn(self.conv2, self.bn2, out)
        if hasattr(self, "conv3"):
            out = conv_bn(self.conv3, self.bn3, self.relu(out))
        return self.relu(out + identity)


class ShiftedBasicBlock(_Shifted, BasicBlock):
    """The block of ResNet-18 and -34: two 3x3 convolutions."""


class ShiftedBottleneck(_Shifted, Bottleneck):
    """The block of ResNet-50, -101 and -152: 1x1, 3x3 and 1x1 convolutions."""


def stage_of(block: type, planes_in: int, planes: int, count: int, stride: int) -> nn.ModuleList:
    """`count` blocks, of which the first may halve the resolution."""
    planes_out = planes * block.expansion
    downsample = None
    if stride != 1 or planes_in != planes_out:
        downsample = nn.Sequential(conv1x1(planes_in, planes_out, stride), BatchNorm(planes_out))
    first = block(planes_in, planes, stride, downsample, norm_layer=BatchNorm)
    others = (block(planes_out, planes, norm_layer=BatchNorm) for _ in range(count - 1))
    return nn.ModuleList([first, *others])
