"""The blocks of STM: a convolution over time, and the motion from frame to frame, in each of them.

Source:
    Jiang et al., STM: SpatioTemporal and Motion Encoding for Action Recognition (ICCV 2019).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, conv1x1

from fvlib.models.batchnorm import conv_bn
from fvlib.models.packing import Frames

_REDUCTION = 16  # channels of a block to channels of its motion


class TemporalConv(nn.Module):
    """Each channel's own convolution of three frames, the same at every pixel, without bias.

    weight (c, 3): what the frame before, the frame itself and the frame after count. At the start a
    shift: the first quarter of the channels comes from the frame before, the last quarter from the
    frame after, the rest stays. A neighbour that does not exist is zero.

    A module of its own and not a Conv2d, so that no initialisation of Conv2d overwrites the shift.

    Source:
        STM, section 3.1 (CSTM).
    """

    def __init__(self, channels: int):
        super().__init__()
        quarter = channels // 4
        weight = torch.zeros(channels, 3)
        weight[:quarter, 0] = 1
        weight[quarter : channels - quarter, 1] = 1
        weight[channels - quarter :, 2] = 1
        self.weight = nn.Parameter(weight)

    def forward(self, x: Float[Tensor, "m c h w"], frames: Frames) -> Float[Tensor, "m c h w"]:
        return frames.pack(_Convolve.apply(frames.unpack(x), self.weight))


class _Convolve(torch.autograd.Function):
    """x (n t c h w) with weight (c, 3): three passes over x each way, and nothing kept but x.

    Put together from differentiable slices it would keep a copy for each tap; torch's own
    depth-wise convolution over time is many times slower on a CPU.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor) -> Tensor:
        before, centre, after = weight.to(x.dtype)[..., None, None].unbind(1)
        out = x * centre
        out[:, 1:].addcmul_(x[:, :-1], before)
        out[:, :-1].addcmul_(x[:, 1:], after)
        return out

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, grad: Tensor):
        x, weight = ctx.saved_tensors
        taps = ((grad[:, 1:], x[:, :-1]), (grad, x), (grad[:, :-1], x[:, 1:]))
        sums = [(g * y).sum((0, 1, 3, 4), dtype=weight.dtype) for g, y in taps]
        return _Convolve.apply(grad, weight.flip(1)), torch.stack(sums, 1)


class ChannelMotion(nn.Module):
    """What changes from each frame to the next, in a sixteenth of the channels.

    A 1x1 convolution to c / 16 channels (at least one) with BatchNorm and, as in the authors' code,
    no ReLU; then a depth-wise 3x3 convolution of the frame after, minus the frame itself; then a
    1x1 convolution back to c channels. No frame after: zero. A clip that stands still has motion
    all the same, as far as the 3x3 convolution is not the identity.

    Args:
        norm_layer: makes the BatchNorm from its channels.
        stride: 1, or 2, with which the result is max pooled over 2x2 pixels to the size that a 3x3
            convolution of stride 2 has (of an odd number of pixels the last is pooled by itself).

    Source:
        STM, section 3.2 (CMM).
    """

    def __init__(self, channels: int, norm_layer: type[nn.Module], stride: int = 1):
        super().__init__()
        reduced = max(1, channels // _REDUCTION)
        self.reduce = conv1x1(channels, reduced)
        self.bn = norm_layer(reduced)
        self.conv = nn.Conv2d(reduced, reduced, 3, padding=1, groups=reduced, bias=False)
        self.expand = conv1x1(reduced, channels)
        self.pool = nn.MaxPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity()

    def forward(self, x: Float[Tensor, "m c h w"], frames: Frames) -> Float[Tensor, "m c h2 w2"]:
        now = self.bn(self.reduce(x))
        after = self.conv(now)[1:]
        change = F.pad(after - now[:-1], (0, 0, 0, 0, 0, 0, 0, 1)).index_fill(0, frames.last, 0)
        return self.pool(self.expand(change))


class _SpatioTemporal:
    """A residual block that gives its first convolution's result to time and to motion.

    The 3x3 convolution behind it works on what `temporal` makes of the frames, and `motion` is
    added to what comes out. Every frame sees its neighbours in every block, whatever the network
    sets `shift` to.
    """

    sees_neighbours = True

    def __init__(
        self,
        planes_in: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        *,
        norm_layer: type[nn.Module],
    ):
        super().__init__(planes_in, planes, stride, downsample, norm_layer=norm_layer)
        self.temporal = TemporalConv(planes)
        self.motion = ChannelMotion(planes, norm_layer, self.conv2.stride[0])

    def forward(self, x: Tensor, frames: Frames) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        y = self.relu(conv_bn(self.conv1, self.bn1, x))
        out = conv_bn(self.conv2, self.bn2, self.temporal(y, frames))
        if hasattr(self, "conv3"):
            out = conv_bn(self.conv3, self.bn3, self.relu(out) + self.motion(y, frames))
        else:
            out = out + self.motion(y, frames)
        return self.relu(out + identity)


class STMBasicBlock(_SpatioTemporal, BasicBlock):
    """Two 3x3 convolutions, of which the second sees the neighbours in time.

    The paper has no such block; this is ours, for ResNet-18 and -34: motion is added behind the
    second convolution, and the ReLU comes after the sum with the identity. The stride is in the
    first convolution, so that motion is of the smaller frames and nothing is pooled.
    """


class STMBottleneck(_SpatioTemporal, Bottleneck):
    """The block of STM: 1x1; 3x3 over space and time, plus motion; 1x1.

    Source:
        STM, section 3.3.
    """
