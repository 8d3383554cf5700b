"""ActionVLAD: what the places of all frames add up to around a few learnt centres."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from fvlib.models.packing import Frames
from lab.systems.frame_head import HeadNorm, mlp


def vlad(
    x: Float[Tensor, "n p d"],
    assignment: Float[Tensor, "n p k"],
    centres: Float[Tensor, "k d"],
    mask: Bool[Tensor, "n p"] | None = None,
) -> Float[Tensor, "n k d"]:
    """Sums of residuals around each centre: V[k] = sum over p of a[p, k] (x[p] - c[k]).

    x: descriptors of p places. assignment: how much of each place belongs to each centre. mask:
    places that exist; x must be finite at the others, and is not looked at. Nothing of the size of
    all residuals is made: V[k] is a sum of descriptors less a multiple of the centre. As the two
    nearly cancel, they are added up in float32 at least, under autocast too.

    With one centre and a = 1 this is p times the mean residual, so that V / |V| is its direction.
    Source: Girdhar et al., ActionVLAD (CVPR 2017), Eq. 1, which Table 3 quotes.
    """
    if mask is not None:
        assignment = assignment.masked_fill(~mask[..., None], 0)
    dtype = torch.promote_types(x.dtype, torch.float32)
    with torch.autocast(x.device.type, enabled=False):
        x, assignment, centres = (tensor.to(dtype) for tensor in (x, assignment, centres))
        return assignment.mT @ x - assignment.sum(1)[..., None] * centres


class VLADHead(nn.Module):
    """ActionVLAD on features: soft assignment to centres, sums of residuals, a hidden layer.

    channels: of the features given; features: what a 1x1 convolution makes of them first. centres:
    how many. hidden, dropout: of the classifier, as `mlp`. Assignment and centres are learnt apart
    from each other, and both start at random: the original starts from k-means.

    Source: Girdhar et al., ActionVLAD (CVPR 2017), with the sizes and the classifier that Hussein
    et al., VideoGraph (2019), gave it on Breakfast.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        *,
        features: int = 512,
        centres: int = 32,
        hidden: int = 256,
        dropout: tuple[float, float] = (0.5, 0.25),
    ):
        super().__init__()
        self.embed = nn.Sequential(
            nn.Conv1d(channels, features, 1, bias=False), HeadNorm(features), nn.ReLU()
        )
        self.assign = nn.Conv1d(features, centres, 1)
        # Where the descriptors are: those of a normalised layer behind its ReLU.
        self.centres = nn.Parameter(torch.randn(centres, features).relu_())
        self.classifier = mlp(centres * features, hidden, num_classes, dropout)

    def forward(self, y: Float[Tensor, "m c h w"], frames: Frames) -> Float[Tensor, "n k"]:
        """Scores of clips; frames that are missing do not count."""
        return self.classifier(self.describe(y, frames).flatten(1))

    def describe(
        self, y: Float[Tensor, "m c h w"], frames: Frames
    ) -> Float[Tensor, "n centres features"]:
        """What the classifier sees: each centre's sum with norm 1, then all of them together."""
        x = self.embed(y.flatten(2))
        assignment = self.assign(x).float().softmax(1)
        # From images (m, _, places) to all places of a clip, one behind the other. Missing frames
        # are zeros in both: their places belong to no centre.
        x, assignment = (frames.unpack(z.mT).flatten(1, 2) for z in (x, assignment))
        sums = F.normalize(vlad(x, assignment, self.centres), dim=2)
        return F.normalize(sums.flatten(1), dim=1).view_as(sums)
