"""Training on all frames with less memory: what a network keeps for its backward pass.

A plain network keeps all activations of all frames. It can keep only what goes into each block and
make the rest again (checkpointing): the same results and gradients for one forward pass more. Or
only what goes into each block of some frames (stochastic backpropagation): the same results, and
the gradient of these frames alone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from fvlib.contracts import Stream
from fvlib.models.batchnorm import BatchNorm, Repetition, Statistics
from fvlib.models.memory_efficient import autocast_of_now
from fvlib.models.packing import Frames, images_among, images_at
from fvlib.models.shift import temporal_shift
from fvlib.models.tsm import TSMResNet


class CheckpointedResNet(TSMResNet):
    """A ResNet whose stem and blocks keep what goes in, and make the rest again.

    Results, gradients and running statistics are those of the plain network.

    Source:
        Chen et al., Training Deep Nets with Sublinear Memory Cost (2016).
    """

    def stem(self, images: Shaped[Tensor, "m c h w"]) -> Float[Tensor, "m c2 h2 w2"]:
        """As in the plain network."""
        return _made_again(super().stem, self.bn1, images)

    def pass_block(self, block: nn.Module, y: Tensor, frames: Frames) -> Tensor:
        """As in the plain network."""
        return _made_again(block, block, y, frames)


def _made_again(layers: Callable[..., Tensor], norms: nn.Module, *inputs: object) -> Tensor:
    # Without the second context the running statistics would follow the batch once more.
    contexts = nullcontext(), Repetition(norms)
    return checkpoint(layers, *inputs, use_reentrant=False, context_fn=lambda: contexts)


class StochasticBackpropResNet(TSMResNet):
    """A ResNet that sees all frames of a clip and sends the gradient back through some of them.

    The chosen frames by themselves have another mean and variance than all. So BatchNorm, in all
    layers, trains with constants: early_statistics "detached" (the moments of all frames; "batch"
    means the same here) or "running". The gradient with share = 1 is that of a plain network whose
    layers do so; it lacks what goes through the statistics of a batch. With cluster=False, as in a
    warm-up on a few sampled frames, it is the plain network, with the statistics of the batch.

    Stem and blocks keep their inputs at the chosen frames and run once more on them in the backward
    pass. The other frames give and pass no gradient, not even to a chosen neighbour whose channels
    the shift has given them. The gradient of the last layer is exact; what goes on from there to
    layer4 is divided by the share, so that without shift the expected gradient is that of all
    frames. The published code divides by nothing, and takes every (1 / share)-th frame, always the
    same, in all blocks, where the paper speaks of a random choice in each layer.

    Args:
        share: of the frames of each clip, rounded up; drawn anew in every pass with gradient, and
            the same in all blocks.

    Raises:
        ValueError: for a clustering step, behind which there are no frames.

    Source:
        Cheng et al., Stochastic Backpropagation (CVPR 2022).
    """

    def __init__(
        self,
        depth: int,
        num_classes: int,
        *,
        share: float = 0.25,
        early_statistics: Statistics = "detached",
        **options: Any,
    ):
        if options.get("clustering") is not None:
            raise ValueError(
                "stochastic backpropagation chooses frames, and behind a clustering step there "
                "are none; leave the clustering out, or train it in chunks (chunk)"
            )
        constants = "detached" if early_statistics == "batch" else early_statistics
        super().__init__(depth, num_classes, early_statistics=constants, **options)
        self.share = share
        self._plain = False  # whether the pass that is made has the gradient of all frames
        self._chosen: Tensor | None = None  # in the pass that is made; None without gradient

    def _early_norms(self) -> list[BatchNorm]:
        return [m for m in self.modules() if isinstance(m, BatchNorm)]

    def _features(self, x: Tensor | Stream, lengths: Tensor | None, upto: str, cluster: bool):
        constants, self._plain = self.early_statistics, not cluster
        if self._plain:
            self.early_statistics = "batch"
        try:
            return super()._features(x, lengths, upto, cluster)
        finally:
            self.early_statistics, self._plain = constants, False

    def encode(
        self, images: Shaped[Tensor, "m c h w"], frames: Frames | None = None
    ) -> Float[Tensor, "m c2 h2 w2"]:
        """As in the plain network; draws the frames of the pass that begins."""
        if self._plain:
            self._chosen = None
            return super().encode(images, frames)
        frames = Frames(len(images), 1, images.device) if frames is None else frames
        self._chosen = choose(frames, self.share) if torch.is_grad_enabled() else None
        return super().encode(images, frames)

    def stem(self, images: Shaped[Tensor, "m c h w"]) -> Float[Tensor, "m c2 h2 w2"]:
        """As in the plain network, with the gradient of the chosen frames."""
        if self._chosen is None:
            return super().stem(images)
        return _on_chosen(super().stem, nn.ModuleList(self.early[:2]), self._chosen, images)

    def pass_block(self, block: nn.Module, y: Tensor, frames: Frames) -> Tensor:
        """As in the plain network, with the gradient of the chosen frames."""
        if self._chosen is None:
            return block(y, frames)
        if not block.shift:
            return _on_chosen(lambda y: block.residual(y, y), block, self._chosen, y)
        # The shift needs neighbours, so it comes before; kept is what a frame has from them.
        foreign = 2 * (y.shape[1] // 8)
        moved = temporal_shift(y[:, :foreign], frames, fraction=2)

        def layers(y: Tensor, moved: Tensor) -> Tensor:
            return block.residual(y, torch.cat([moved, y[:, foreign:]], 1))

        return _on_chosen(layers, block, self._chosen, y, moved)

    def classify(
        self, y: Float[Tensor, "m c h w"], frames: Frames, sizes: Int64[Tensor, "n g"] | None = None
    ) -> Float[Tensor, "n k"]:
        """As in the plain network; on its way to layer4 the gradient is divided by the share."""
        if self._chosen is not None and y.requires_grad:
            lengths = frames.mask.sum(1, keepdim=True)
            scale = frames.pack((lengths / _count(lengths, self.share)).expand_as(frames.mask))
            y.register_hook(lambda grad: grad * scale.to(grad.dtype).view(-1, 1, 1, 1))
        return super().classify(y, frames, sizes)


def choose(frames: Frames, share: float) -> Int64[Tensor, " chosen"]:
    """A random share of the frames of each clip, rounded up: their places in the pack, in order."""
    mask = frames.mask
    dice = torch.rand(mask.shape, device=mask.device).masked_fill(~mask, 2)
    rank = dice.argsort(1).argsort(1)
    return frames.pack(rank < _count(mask.sum(1, keepdim=True), share)).nonzero().squeeze(1)


def _count(lengths: Int64[Tensor, "n 1"], share: float) -> Int64[Tensor, "n 1"]:
    count = (lengths.double() * share - 1e-9).ceil()  # 0.07 * 100 is a little more than 7
    return count.long().clamp(min=1)


def _on_chosen(
    layers: Callable[..., Tensor], modules: nn.Module, chosen: Tensor, *inputs: Tensor
) -> Tensor:
    parameters = [p for p in modules.parameters() if p.requires_grad]
    return _OnChosen.apply(layers, modules, chosen, len(inputs), *inputs, *parameters)


class _OnChosen(torch.autograd.Function):
    """Layers on all frames, and in the backward pass once more on the chosen ones."""

    @staticmethod
    def forward(ctx, layers, modules, chosen, count, *tensors) -> Tensor:
        again, ctx.autocast = Repetition(modules), autocast_of_now(chosen.device)
        with torch.autocast(**ctx.autocast):
            y = layers(*tensors[:count])
        ctx.layers, ctx.count, ctx.again = layers, count, again.with_moments_used()
        kept = [images_at(one, chosen) for one in tensors[:count]]
        ctx.save_for_backward(chosen, *kept, *tensors[count:])
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        chosen, *saved = ctx.saved_tensors
        kept, parameters = saved[: ctx.count], saved[ctx.count :]
        wanted = ctx.needs_input_grad[4 : 4 + ctx.count]
        kept = [one.detach().requires_grad_(w) for one, w in zip(kept, wanted, strict=True)]
        with torch.enable_grad(), ctx.again, torch.autocast(**ctx.autocast):
            y = ctx.layers(*kept)
        sources = [one for one in kept if one.requires_grad]
        found = torch.autograd.grad(y, [*sources, *parameters], images_at(grad, chosen))
        parts = iter(found[: len(sources)])
        of_inputs = [images_among(next(parts), chosen, len(grad)) if w else None for w in wanted]
        return None, None, None, None, *of_inputs, *found[len(sources) :]
