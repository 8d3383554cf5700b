"""The head of TRN-Multiscale: relations of two, three, ... all frames in their order.

Source: Zhou et al., Temporal Relational Reasoning in Videos (ECCV 2018).
"""

from __future__ import annotations

from itertools import combinations
from math import comb

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fvlib.models.packing import Frames


class RelationHead(nn.Module):
    """Class scores from ordered tuples of frames, of every size from two to all.

    Each frame is pooled and projected to `features` numbers, as many as each small network has
    units between its input and its scores. For every scale s = frames, ..., 2 there is one small
    network that scores the features of s frames, one behind the other in time order; it is applied
    to `tuples` tuples of that scale (to all, if there are no more), and the scores of all tuples of
    all scales are added up.

    channels: of the activations that come in. frames: how many each clip has; the layers are made
    for this number, so training and testing take the same. In training mode every call draws new
    tuples, the same for all clips of a batch, with torch's global random numbers; in evaluation
    mode they are always those drawn with `seed`, where the authors' code draws anew. dropout:
    before the projection. The layers start as torch starts them.

    Raises ValueError for fewer than two frames or less than one tuple, and in the forward pass for
    clips of another number of frames.
    Source: TRN, section 3 (multi-scale temporal relations).
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
        if tuples < 1:
            raise ValueError(f"tuples is {tuples}; take 1 or more of each scale, as published 3")
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
                f"{self.t}; sample {self.t} frames of every clip, or make the head with another "
                "number of frames and train it"
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
