"""Residual blocks whose frames exchange channels: what a TSM-ResNet is made of."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, conv1x1

from fvlib.models.frames import Frames
from fvlib.models.norm import BatchNorm, convolved
from fvlib.models.shift import temporal_shift

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

    @property
    def sees_neighbours(self) -> bool:
        """Whether what it makes of a frame hangs on the frames beside it."""
        return self.shift

    def forward(self, x: Tensor, frames: Frames) -> Tensor:
        return self.residual(x, temporal_shift(x, frames) if self.shift else x)

    def residual(self, x: Tensor, seen: Tensor) -> Tensor:
        """What follows the shift, frame by frame; `seen` goes into the first convolution."""
        return self.relu(self.summed(x, seen))

    def summed(self, x: Tensor, seen: Tensor) -> Tensor:
        """`residual` before its last ReLU."""
        identity = x if self.downsample is None else convolved(*self.downsample, x)
        out = self.relu(convolved(self.conv1, self.bn1, seen))
        out = convolved(self.conv2, self.bn2, out)
        if hasattr(self, "conv3"):
            out = convolved(self.conv3, self.bn3, self.relu(out))
        return out + identity


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
