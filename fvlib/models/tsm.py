"""How a network is asked for: `tsm_resnet`, which checks what is wanted and starts from weights."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any, Literal, get_args

from torch import nn

from fvlib.clustering import TemporalClustering
from fvlib.clustering.checks import check_count, check_flag, shown
from fvlib.models.blocks import DEPTHS
from fvlib.models.norm import Statistics
from fvlib.models.resnet import PIXELS, BatchNormMode, Consensus, TSMResNet
from fvlib.models.weights import load_torchvision


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
    early_statistics: Statistics = "batch",
    chunk: int | Literal["auto"] | None = None,
    memory: int | None = None,
    weights: str | None = None,
    network: type[TSMResNet] = TSMResNet,
    **own: Any,
) -> TSMResNet:
    """A 2D ResNet with temporal shift and, after its first residual stage, temporal clustering.

    depth: 18, 34, 50, 101 or 152. width: channels of the stem (64 in the published networks).
    in_channels: 3, 1 for grey frames, or an even number for optical flow. clustering: the step
    between layer1 and layer2; None is the plain TSM network. shift_stages: residual stages with
    shift; with (2, 3, 4) everything before the clustering works frame by frame, (1, 2, 3, 4) is TSM
    as published. dropout: before the last layer. consensus: how the scores of the clusters are
    averaged: "mean" as in the paper, or weighted by the "size" of the clusters or its square root
    ("sqrt"). stem_pool=False leaves out the max pooling of the stem, for small frames. batchnorm:
    "trained", "partial" (all but the first layer frozen, as TSM does for UCF-101 and HMDB51) or
    "frozen". weights: a name of torchvision's weights for this depth, for example "IMAGENET1K_V1"
    or "DEFAULT"; torchvision looks in its cache first and downloads otherwise. The last layer is
    new unless num_classes fits. For grey frames the first kernels are summed over their colours.
    network: a subclass in place of TSMResNet, and options of its own.

    chunk: stem, layer1 and clustering work on so many frames at once, all over again in the
    backward pass: the results are the same, and memory does not grow with t. "auto" finds the
    number from the memory that is free, or from `memory`, in bytes. In training this wants
    early_statistics, what BatchNorm before the clustering step normalises with, to be "running"
    (its running statistics, which stay as they are) or "detached" (those of all frames of the
    batch, as constants) in place of "batch".

    The number of frames is not part of the network: any t goes in at run time.
    Source: section 3.3 and Fig. 2; TSM for the shift and the last layer.
    Explained in chapter 04_network.
    """
    if isinstance(depth, bool) or not isinstance(depth, int) or depth not in DEPTHS:
        raise ValueError(
            f"depth is {shown(depth)}; a ResNet has depth {', '.join(map(str, DEPTHS))}"
        )
    check_count(num_classes, "num_classes", "classes")
    check_count(width, "width", "channels")
    check_count(in_channels, "in_channels", "channels")
    if width % 4:
        raise ValueError(f"width is {width}; a multiple of 4 was wanted, as frames share channels")
    if in_channels not in PIXELS and in_channels % 2:
        raise ValueError(
            f"in_channels is {in_channels}; frames have 3 channels (RGB), 1 (grey), or an even "
            "number of them (optical flow: across and down)"
        )
    if clustering is not None and not isinstance(clustering, nn.Module):
        raise ValueError(
            f"clustering is {shown(clustering)}; a layer was wanted, as "
            "TemporalClustering('cumulative', 8) makes it, or None"
        )
    stages = list(shift_stages) if isinstance(shift_stages, Sequence | Set) else [None]
    if not all(type(stage) is int and stage in (1, 2, 3, 4) for stage in stages):
        raise ValueError(f"shift_stages is {shown(shift_stages)}; the stages are 1, 2, 3 and 4")
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise ValueError(
            f"dropout is {shown(dropout)}; a share of at least 0 and below 1 was wanted"
        )
    check_flag("stem_pool", stem_pool)
    for name, value, known in (
        ("consensus", consensus, get_args(Consensus)),
        ("batchnorm", batchnorm, get_args(BatchNormMode)),
        ("early_statistics", early_statistics, get_args(Statistics)),
    ):
        if not isinstance(value, str) or value not in known:
            raise ValueError(f"{name} is {shown(value)}; choose one of {', '.join(known)}")
    if chunk is not None and not (isinstance(chunk, str) and chunk == "auto"):
        check_count(chunk, "chunk", "frames ('auto' finds it, None is all)")
    if memory is not None:
        check_count(memory, "memory", "bytes")
    if weights is not None and not isinstance(weights, str):
        raise ValueError(f"weights is {shown(weights)}; the name of torchvision's weights, or None")
    if not (isinstance(network, type) and issubclass(network, TSMResNet)):
        raise ValueError(f"network is {shown(network)}; a subclass of TSMResNet was wanted")
    if weights is not None and (width != 64 or not stem_pool):
        raise ValueError(
            f"weights={weights!r} belong to width=64 and stem_pool=True, not to width={width}, "
            f"stem_pool={stem_pool}; leave weights out to start from random ones"
        )
    model = network(
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
        early_statistics=early_statistics,
        chunk=chunk,
        memory=memory,
        **own,
    )
    if weights is not None:
        load_torchvision(model, depth, weights)
    return model.train()
