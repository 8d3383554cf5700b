"""VideoGraph: frames as a graph whose nodes are learnt, convolved along time and along nodes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from fvlib.models.packing import Frames
from lab.systems.frame_head import HeadNorm, mlp

_POOL = 4  # neighbouring nodes that are averaged first


class NodeAttention(nn.Module):
    """How much each node has to do with each frame, times the node itself.

    nodes: how many; they are random points (d,), drawn from `seed` and kept, of which a linear map
    is learnt. A node's scores are normalised over the frames of a batch.

    Source: Hussein et al., VideoGraph (2019), node attention.
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

    Source: Hussein et al., VideoGraph (2019), graph embedding.
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

    channels: of the features given; features: what a 1x1 convolution makes of them, and the width
    of all that follows. nodes: a multiple of 4. hidden, dropout: of the classifier, as `mlp`. seed:
    of the nodes' points.

    All clips of a batch must have the same number of frames, whatever it is: the convolutions and
    the pooling along time would mix missing frames in.

    Raises ValueError for another number of nodes, and in `forward` for clips of different lengths.
    Source: Hussein et al., VideoGraph: Recognizing Minutes-Long Human Activities in Videos (2019),
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
        dropout: tuple[float, float] = (0.25, 0.25),
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
