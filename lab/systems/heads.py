"""What can stand in place of a network's last layer: the plainest head, and what all heads share.

A head takes what layer4 makes of the frames of some clips and gives the clips' scores. It is part
of a network, or stands alone on features that were stored.
"""

from __future__ import annotations

from itertools import combinations
from math import comb

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from fvlib.contracts import Lengths
from fvlib.models.batchnorm import SyncableNorm
from fvlib.models.packing import Frames

Dropouts = tuple[float, float]  # before the hidden layer, and before the last


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


def mlp(channels: int, hidden: int, num_classes: int, dropout: Dropouts) -> nn.Sequential:
    """From a vector of each clip to its scores, by one hidden layer.

    Args:
        dropout: before the hidden layer and before the last.

    Source:
        Hussein et al., VideoGraph (2019), the classifier of all its heads.
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

    Args:
        channels: of the features.
        hidden: width of the hidden layer.
        dropout: as `mlp`.

    Source:
        Hussein et al., VideoGraph (2019), the ResNet-152 that Table 3 quotes.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        *,
        hidden: int = 512,
        dropout: Dropouts = (0.25, 0.25),
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
        self, x: Float[Tensor, "n t c h w"], lengths: Lengths = None, *, cluster: bool = True
    ) -> Float[Tensor, "n k"]:
        """Scores of n clips, from features in any precision.

        Args:
            lengths: frames of each clip where they differ.
            cluster: nothing is clustered here; it is taken so that a head is trained and tested as
                any network is.

        Raises:
            ValueError: for what is not (n, t, c, h, w) in floats.
        """
        if x.ndim != 5 or not x.is_floating_point():
            raise ValueError(
                f"features are {x.dtype} of shape {tuple(x.shape)}; wanted floats (n, t, c, h, w), "
                "as lab.experiments.benchmarks gives them"
            )
        mask = None
        if lengths is not None:
            mask = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
        frames = Frames(x.shape[0], x.shape[1], x.device, mask)
        return self.head(frames.pack(x).to(next(self.parameters()).dtype), frames)


class RelationHead(nn.Module):
    """Class scores from ordered tuples of frames, of every size from two to all.

    Each frame is pooled and projected to `features` numbers, as many as each small network has
    units between its input and its scores. For every scale s = frames, ..., 2 there is one small
    network that scores the features of s frames, one behind the other in time order; it is applied
    to `tuples` tuples of that scale (to all, if there are no more), and the scores of all tuples of
    all scales are added up. In training mode every call draws new tuples, the same for all clips of
    a batch, with torch's global random numbers; in evaluation mode they are always those drawn with
    `seed`, where the authors' code draws anew. The layers start as torch starts them.

    Args:
        channels: of the activations that come in.
        frames: how many each clip has; the layers are made for this number, so training and testing
            take the same.
        dropout: before the projection.

    Raises:
        ValueError: for fewer than two frames, and in the forward pass for clips of another number
            of frames.

    Source:
        TRN, section 3 (multi-scale temporal relations).
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        frames: int,
        *,
        features: int = 256,
        tuples: int = 3,
        seed: int = 0,
        dropout: float = 0.0,
    ):
        super().__init__()
        if frames < 2:
            raise ValueError(f"frames is {frames}; a relation is between 2 frames or more")
        self.t, self.tuples = frames, tuples
        self.scales = range(frames, 1, -1)
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(channels, features)
        self.relations = nn.ModuleList(_relation(s, features, num_classes) for s in self.scales)
        self.fixed = self._draw(torch.Generator().manual_seed(seed))

    def forward(self, y: Float[Tensor, "m c h w"], frames: Frames) -> Float[Tensor, "n k"]:
        """Scores of n clips with all their frames."""
        if frames.t != self.t or len(y) != frames.n * frames.t:
            counts = sorted(set(frames.mask.sum(1).tolist()))
            raise ValueError(
                f"the clips have {', '.join(map(str, counts))} frames, and the relations are of "
                f"{self.t}; sample so many of every clip"
            )
        x = frames.unpack(self.project(self.dropout(y.mean((2, 3)))))
        drawn = self._draw() if self.training else self.fixed
        scores = []
        for relation, places in zip(self.relations, drawn, strict=True):
            several = x[:, torch.tensor(places, device=x.device)].flatten(2)
            scores.append(relation(several).sum(1, dtype=torch.promote_types(x.dtype, torch.float)))
        return sum(scores)

    def _draw(self, generator: torch.Generator | None = None) -> list[list[tuple[int, ...]]]:
        return [draw_tuples(self.t, s, self.tuples, generator) for s in self.scales]


def draw_tuples(
    t: int, s: int, count: int, generator: torch.Generator | None = None
) -> list[tuple[int, ...]]:
    """`count` different ordered tuples of s of t frames, all equally likely; all if no more exist.

    Args:
        generator: None takes torch's global random numbers.
    """
    if comb(t, s) <= count:
        return list(combinations(range(t), s))
    # Nobody writes down the 10^8 tuples of 15 of 30 frames: a few are drawn, again if twice.
    drawn: dict[tuple[int, ...], None] = {}
    while len(drawn) < count:
        places = torch.randperm(t, generator=generator)[:s]
        drawn[tuple(places.sort().values.tolist())] = None
    return list(drawn)


def _relation(s: int, features: int, num_classes: int) -> nn.Sequential:
    # The projection's ReLU stands here, as published: the features themselves keep their sign.
    return nn.Sequential(
        nn.ReLU(), nn.Linear(s * features, features), nn.ReLU(), nn.Linear(features, num_classes)
    )


def vlad(
    x: Float[Tensor, "n p d"], assignment: Float[Tensor, "n p k"], centres: Float[Tensor, "k d"]
) -> Float[Tensor, "n k d"]:
    """Sums of residuals around each centre: V[k] = sum over p of a[p, k] (x[p] - c[k]).

    With one centre and a = 1 this is p times the mean residual, so that `V / |V|` is its direction.
    Nothing of the size of all residuals is made: V[k] is a sum of descriptors less a multiple of
    the centre. As the two nearly cancel, they are added up in float32 at least, under autocast too.

    Args:
        x: descriptors of p places.
        assignment: how much of each place belongs to each centre; 0 for a place that is missing.

    Source:
        Girdhar et al., ActionVLAD (CVPR 2017), Eq. 1, which Table 3 quotes.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    with torch.autocast(x.device.type, enabled=False):
        x, assignment, centres = (tensor.to(dtype) for tensor in (x, assignment, centres))
        return assignment.mT @ x - assignment.sum(1)[..., None] * centres


class VLADHead(nn.Module):
    """ActionVLAD on features: soft assignment to centres, sums of residuals, a hidden layer.

    Assignment and centres are learnt apart from each other, and both start at random: the original
    starts from k-means.

    Args:
        channels: of the features given.
        features: what a 1x1 convolution makes of them first.
        centres: how many.
        hidden, dropout: of the classifier, as `mlp`.

    Source:
        Girdhar et al., ActionVLAD (CVPR 2017), with the sizes and the classifier that Hussein et
        al., VideoGraph (2019), gave it on Breakfast.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        *,
        features: int = 512,
        centres: int = 32,
        hidden: int = 256,
        dropout: Dropouts = (0.5, 0.25),
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


_POOL = 4  # neighbouring nodes that are averaged first


class NodeAttention(nn.Module):
    """How much each node has to do with each frame, times the node itself.

    A node's scores are normalised over the frames of a batch.

    Args:
        nodes: how many; they are random points (d,), drawn from `seed` and kept, of which a linear
            map is learnt.

    Source:
        Hussein et al., VideoGraph (2019), node attention.
    """

    def __init__(self, features: int, nodes: int, seed: int):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("points", torch.randn(features, nodes, generator=generator))
        self.embed = nn.Conv1d(features, features, 1)
        self.normalise = nn.Sequential(HeadNorm(nodes), nn.LeakyReLU(0.2), HeadNorm(nodes))

    def forward(self, x: Float[Tensor, "m d"]) -> Float[Tensor, "m d pooled"]:
        """Score times node for every frame, with neighbouring nodes averaged by four.

        The averages are made in one product, so that frames x nodes x d numbers are never kept.
        """
        nodes = self.embed(self.points)
        scores = self.normalise(x @ nodes).unflatten(1, (-1, _POOL))
        return torch.einsum("mjf,djf->mdj", scores, nodes.unflatten(1, (-1, _POOL))) / _POOL


class GraphLayer(nn.Module):
    """Convolutions over channels, over time and over nodes, then both axes pooled by three.

    The two of width 7 are depth-wise and keep the size; behind the last frame and the last node are
    zeros. What is left over at the end of an axis is pooled by itself, so that every frame counts
    and any number of them will do; the published pooling leaves it out.

    Source:
        Hussein et al., VideoGraph (2019), graph embedding.
    """

    def __init__(self, features: int):
        super().__init__()
        self.convolve = nn.Sequential(
            nn.Conv2d(features, features, 1, bias=False),
            nn.Conv2d(features, features, (7, 1), padding="same", groups=features, bias=False),
            nn.Conv2d(features, features, (1, 7), padding="same", groups=features, bias=False),
            HeadNorm(features),
            nn.LeakyReLU(0.2),
        )

    def forward(self, z: Float[Tensor, "n d t nodes"]) -> Float[Tensor, "n d t2 nodes2"]:
        return F.max_pool2d(self.convolve(z), 3, ceil_mode=True)


class VideoGraphHead(nn.Module):
    """VideoGraph on features: node attention, two graph layers, a hidden layer.

    All clips of a batch must have the same number of frames, whatever it is: the convolutions and
    the pooling along time would mix missing frames in.

    Args:
        channels: of the features given.
        features: what a 1x1 convolution makes of them, and the width of all that follows.
        nodes: a multiple of 4.
        hidden, dropout: of the classifier, as `mlp`.
        seed: of the nodes' points.

    Raises:
        ValueError: for another number of nodes, and in `forward` for clips of different lengths.

    Source:
        Hussein et al., VideoGraph: Recognizing Minutes-Long Human Activities in Videos (2019),
        which Table 3 quotes.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        *,
        features: int = 1024,
        nodes: int = 128,
        hidden: int = 512,
        dropout: Dropouts = (0.25, 0.25),
        seed: int = 0,
    ):
        super().__init__()
        if nodes < _POOL or nodes % _POOL:
            raise ValueError(f"nodes is {nodes}; they are averaged by {_POOL}: give a multiple")
        self.embed = nn.Sequential(
            nn.Conv2d(channels, features, 1, bias=False), HeadNorm(features), nn.LeakyReLU(0.2)
        )
        self.attend = NodeAttention(features, nodes, seed)
        self.layers = nn.Sequential(GraphLayer(features), GraphLayer(features))
        self.classifier = mlp(features, hidden, num_classes, dropout)

    def forward(self, y: Float[Tensor, "m c h w"], frames: Frames) -> Float[Tensor, "n k"]:
        """Scores of clips of one length."""
        if len(y) != frames.n * frames.t:
            raise ValueError(
                f"the clips have {frames.mask.sum(1).tolist()} frames; VideoGraph wants the same "
                "number of each: show a fixed number of frames in place of all"
            )
        z = self.attend(self.embed(y).amax((2, 3)))
        z = self.layers(frames.unpack(z).transpose(1, 2))
        return self.classifier(z.mean(3).amax(2))
