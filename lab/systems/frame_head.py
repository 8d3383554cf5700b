"""What can stand in place of a network's last layer: the plainest head, and what all heads share.

A head takes what layer4 makes of the frames of some clips and gives the clips' scores. It is part
of a network, or stands alone on features that were stored.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from fvlib.models.batchnorm import SyncableNorm
from fvlib.models.packing import Frames


class HeadNorm(SyncableNorm):
    """BatchNorm of a head: over all axes but the second, for clips, frames and places alike.

    A batch with one value in each channel, such as the only clip of an epoch's last step, has no
    variance: in training too it is normalised with the running statistics, which then stay as they
    are. And as a head is always new, it is no BatchNorm2d, which a network that is fine-tuned may
    freeze.
    """

    def _check_input_dim(self, x: Tensor) -> None:
        """There may be any number of axes behind the channels."""

    def forward(self, x: Float[Tensor, "n c *rest"]) -> Float[Tensor, "n c *rest"]:
        if not self.training or self.synchronised or x.numel() > x.shape[1]:
            return super().forward(x)
        mean, var = self.running_mean, self.running_var
        return F.batch_norm(x, mean, var, self.weight, self.bias, False, 0.0, self.eps)


def mlp(
    channels: int, hidden: int, num_classes: int, dropout: tuple[float, float]
) -> nn.Sequential:
    """From a vector of each clip to its scores, by one hidden layer.

    dropout: before the hidden layer and before the last. Source: Hussein et al., VideoGraph (2019),
    the classifier of all its heads.
    """
    return nn.Sequential(
        nn.Dropout(dropout[0]),
        nn.Linear(channels, hidden, bias=False),  # a bias would be taken away by the next layer
        HeadNorm(hidden),
        nn.LeakyReLU(0.2),
        nn.Dropout(dropout[1]),
        nn.Linear(hidden, num_classes),
    )


class FrameHead(nn.Module):
    """Frames without their order: the mean over places, then over frames, then a hidden layer.

    channels: of the features. hidden: width of the hidden layer. dropout: as `mlp`.
    Source: Hussein et al., VideoGraph (2019), the ResNet-152 that Table 3 quotes.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        *,
        hidden: int = 512,
        dropout: tuple[float, float] = (0.25, 0.25),
    ):
        super().__init__()
        self.classifier = mlp(channels, hidden, num_classes, dropout)

    def forward(self, y: Float[Tensor, "m c h w"], frames: Frames) -> Float[Tensor, "n k"]:
        """Scores of clips; frames that are missing do not count."""
        each = y.to(torch.promote_types(y.dtype, torch.float32)).mean((2, 3))
        count = frames.mask.sum(1, keepdim=True)
        return self.classifier(frames.unpack(each).sum(1) / count)


class FeatureClassifier(nn.Module):
    """A head as a network of its own, for clips that are given as features."""

    def __init__(self, head: nn.Module):
        super().__init__()
        self.head = head

    def forward(
        self,
        x: Float[Tensor, "n t c h w"],
        lengths: Int64[Tensor, " n"] | None = None,
        *,
        cluster: bool = True,
    ) -> Float[Tensor, "n k"]:
        """Scores of n clips, from features in any precision.

        lengths: frames of each clip where they differ. cluster: nothing is clustered here; it is
        taken so that a head is trained and tested as any network is.

        Raises ValueError for what is not (n, t, c, h, w) in floats.
        """
        if x.ndim != 5 or not x.is_floating_point():
            raise ValueError(
                f"features are {x.dtype} of shape {tuple(x.shape)}; wanted floats (n, t, c, h, w), "
                "as lab.experiments.features stores them"
            )
        mask = None
        if lengths is not None:
            mask = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
        frames = Frames(x.shape[0], x.shape[1], x.device, mask)
        return self.head(frames.pack(x).to(next(self.parameters()).dtype), frames)
