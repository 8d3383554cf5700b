"""Stem, block 1 and clustering of clips of any length, a chunk of frames at a time.

Without temporal shift before the clustering step, every frame goes through stem and block 1 by
itself, and of its activations nothing is wanted but their share in a cluster's mean. So they need
not be kept. A first pass finds the distances of neighbouring frames and with them the labels; a
second adds the frames to the means; the backward pass runs every chunk again, now with gradient.
Memory is that of one chunk and of g means, whatever t is, and the gradient is that of the dense
computation: the same sums, added up in another order. How many frames fit at once is found from
what a training step keeps and what is free.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from fvlib.clustering import TemporalClustering, cluster_sizes, hamming_distances
from fvlib.contracts import Lengths, Stream, Videos
from fvlib.models.batchnorm import BatchNorm, Moments, given
from fvlib.models.packing import Frames, TensorStream, check_clips, images, images_at


class FrameEncoder:
    """What a network does to each frame by itself before the clustering step, chunk by chunk.

    Args:
        layers: from frames (m, c, h, w) to activations `(m, *feature)`, frame by frame.
        modules: those that the layers are made of.
        chunk: how many frames at once.

    Raises:
        ValueError: for BatchNorm in training with the statistics of its batch: here that would be a
            chunk.
    """

    def __init__(
        self, layers: Callable[[Tensor], Tensor], modules: Sequence[nn.Module], chunk: int
    ):
        self.layers, self.chunk = layers, chunk
        self.parameters = [p for m in modules for p in m.parameters() if p.requires_grad]
        norms = [m for module in modules for m in module.modules() if isinstance(m, BatchNorm)]
        self.norms = [norm for norm in norms if norm.training]
        if any(norm.statistics == "batch" for norm in self.norms):
            raise ValueError(
                "chunk is set, but BatchNorm before the clustering step normalises with the "
                "statistics of its batch, and would see chunks by themselves. Train some epochs "
                "without clusters first, then set early_statistics to 'running' (or 'detached', "
                "or freeze these layers by batchnorm)"
            )
        self.device = next(modules[0].parameters()).device
        self._autocast = autocast_of_now(self.device)
        self.moments: list[Moments] | None = None

    def __call__(self, frames: Tensor) -> Tensor:
        """Activations of one chunk."""
        with torch.autocast(**self._autocast), given(self.norms, self.moments):
            return self.layers(frames.to(self.device))

    def chunks(self, clips: Stream) -> Iterator[Tensor]:
        """Activations of all chunks."""
        return (self(part) for part in clips.parts(self.chunk))

    @torch.no_grad()
    def find_moments(self, clips: Stream) -> None:
        """The statistics of all frames, for layers whose `statistics` are "detached".

        What reaches a layer depends on the statistics of those before it, so each takes a pass.
        """
        self.moments = []
        for norm in self.norms:
            self.moments.append(_moments_at(norm, self, clips))
            norm.follow(self.moments[-1])


def autocast_of_now(device: torch.device) -> dict[str, Any]:
    """Arguments of `torch.autocast` for passes without gradient, and for the same ones with it."""
    return {
        "device_type": device.type,
        "dtype": torch.get_autocast_dtype(device.type),
        "enabled": torch.is_autocast_enabled(device.type),
        # A weight that is cast without gradient must not be found there by those with one.
        "cache_enabled": False,
    }


def encode_clips(
    network: Any,
    x: Tensor | Stream,
    lengths: Tensor | None,
    clustering: Any,
    encoder: Callable[[Tensor | Stream], FrameEncoder],
) -> tuple[Tensor, Frames, Tensor | None, Tensor | None]:
    """What is behind the clustering step of a network: images in a pack, where they are, and
    labels and sizes, which are None without a step.

    Args:
        network: a `VideoNetwork` whose `encode` takes the images' frames too.
        clustering: the step, or None.
        encoder: makes what encodes chunks of x, where the network has a `chunk`.
    """
    x, lengths, (n, t) = check_clips(x, lengths, network)
    device = network.device
    mask = None if lengths is None else torch.arange(t, device=device) < lengths[:, None]
    frames = Frames(n, t, device, mask)
    if clustering is None:
        return network.encode(images(x, frames), frames), frames, None, None
    if network.chunk is None:
        y = network.encode(images(x, frames), frames)
        y, labels, sizes = clustering(frames.unpack(y), lengths)
    else:
        y, labels, sizes = cluster_in_chunks(encoder(x), x, frames, clustering, lengths)
    # Only these two cases can leave a cluster without a frame.
    holes = lengths is not None or clustering.may_be_empty
    frames = Frames(n, y.shape[1], device, sizes > 0 if holes else None)
    return frames.pack(y), frames, labels, sizes


def cluster_in_chunks(
    encoder: FrameEncoder,
    x: Videos,
    frames: Frames,
    clustering: TemporalClustering,
    lengths: Lengths,
) -> tuple[Float[Tensor, "n g *feature"], Int64[Tensor, "n t"], Int64[Tensor, "n g"]]:
    """What `clustering` gives for the activations of all frames: means, labels and sizes.

    Args:
        frames: where the clips' frames are in the pack.

    Raises:
        ValueError: for labels that need the activations themselves: those of all frames are never
            there at once.
    """
    if clustering.labeling.needs == "activations":
        raise ValueError(
            f"chunk is set, but method {clustering.method!r} needs the activations of all frames "
            "at once, which chunks are there to avoid; set chunk to None, or take another method"
        )
    clips = x if isinstance(x, Stream) else TensorStream(x.detach(), lengths)
    if any(norm.statistics == "detached" for norm in encoder.norms):
        encoder.find_moments(clips)
    with torch.no_grad():
        if clustering.labeling.needs == "distances":
            dist = frames.unpack(distances_of_chunks(encoder.chunks(clips), frames.images))[:, 1:]
        else:
            dist = torch.zeros(frames.n, frames.t - 1, device=encoder.device)
        labels = clustering.labels(dist, lengths)
        g = clustering.count(labels)
        sizes = cluster_sizes(labels, g)
        bag = frames.pack(labels + g * torch.arange(frames.n, device=labels.device)[:, None])
    wanted = x if isinstance(x, Tensor) and x.requires_grad else None
    y = _Means.apply(encoder, clips, frames, bag, sizes, wanted, *encoder.parameters)
    return y.unflatten(0, (frames.n, g)), labels, sizes


def distances_of_chunks(chunks: Iterator[Tensor], m: int) -> Int64[Tensor, " m"]:
    """The distance of every frame to the one before it in the pack, 0 for the first.

    Args:
        chunks: activations (k, c, h, w) of the next k frames, of which one chunk is kept at a time.
        m: how many frames there are.
    """
    start, dist = 0, torch.empty(0)
    for found in chunk_distances(chunks):
        if not start:  # small tensors that outlive large ones leave holes: memory would grow
            dist = torch.empty(m, dtype=torch.int64, device=found.device)
        dist[start : start + len(found)] = found
        start += len(found)
    return dist


def chunk_distances(chunks: Iterator[Tensor]) -> Iterator[Int64[Tensor, " k"]]:
    """The same chunk by chunk, for frames of which nobody knows how many are to come."""
    last = None
    for y in chunks:
        found = torch.zeros(len(y), dtype=torch.int64, device=y.device)
        if last is not None:
            found[0] = hamming_distances(torch.stack([last, y[0]])[None])[0, 0]
        found[1:] = hamming_distances(y[None])[0]
        last = y[-1].clone()  # not a view, which would keep the chunk
        yield found


class _Means(torch.autograd.Function):
    """The mean activation of each cluster; in the backward pass the activations are made again."""

    @staticmethod
    def forward(ctx, encoder, clips, frames, bag, sizes, x, *parameters) -> Tensor:
        sums = y = None
        for y, place in zip(encoder.chunks(clips), bag.split(encoder.chunk), strict=True):
            if sums is None:
                dtype = torch.promote_types(y.dtype, torch.float32)
                sums = y.new_zeros(sizes.numel(), *y.shape[1:], dtype=dtype)
                sums = sums.contiguous(memory_format=_layout(y))
            sums.index_add_(0, place, y.to(sums.dtype))
        if y is None or sums is None:
            raise ValueError("there are clips without a frame; wanted one or more")
        ctx.encoder, ctx.clips, ctx.frames, ctx.of_x = encoder, clips, frames, x is not None
        ctx.save_for_backward(bag, sizes, *parameters)  # which notices if a step comes in between
        return sums.div_(_column(sizes, sums).clamp(min=1)).to(y.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        bag, sizes, *parameters = ctx.saved_tensors
        encoder, frames_grad = ctx.encoder, []
        totals = [torch.zeros_like(parameter) for parameter in parameters]
        grad = grad / _column(sizes, grad).clamp(min=1)  # a frame's gradient is that / size
        places = bag.split(encoder.chunk)
        for part, place in zip(ctx.clips.parts(encoder.chunk), places, strict=True):
            part = part.detach().requires_grad_() if ctx.of_x else part
            with torch.enable_grad():
                y = encoder(part)
            found = torch.autograd.grad(
                y, [*parameters, part] if ctx.of_x else parameters, images_at(grad, place)
            )
            for total, one in zip(totals, found, strict=False):
                total += one
            frames_grad += found[len(totals) :]
        of_x = ctx.frames.unpack(torch.cat(frames_grad)) if ctx.of_x else None
        return None, None, None, None, None, of_x, *totals


class Reached(Exception):
    """A pass has come to the layer that it was for, with these activations."""

    def __init__(self, y: Tensor):
        super().__init__()
        self.y = y


def _moments_at(norm: BatchNorm, encoder: FrameEncoder, clips: Stream) -> Moments:
    """The statistics of what reaches a layer, over all frames."""
    found: list[Moments] = []

    def look(_: nn.Module, received: tuple[Tensor]) -> None:
        moments = Moments.of(received[0])
        found[:] = [found[0].merged(moments) if found else moments]
        raise Reached(received[0])

    handle = norm.register_forward_pre_hook(look)
    try:
        for part in clips.parts(encoder.chunk):
            try:
                encoder(part)
            except Reached:
                continue
    finally:
        handle.remove()
    return found[0]


def _column(sizes: Int64[Tensor, "n g"], like: Tensor) -> Tensor:
    return sizes.view(-1, *[1] * (like.ndim - 1))


def _layout(y: Tensor) -> torch.memory_format:
    channels_last = y.ndim == 4 and y.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if channels_last else torch.contiguous_format


MOST = {"cpu": 128, "cuda": 256}  # frames of a chunk; with more a device is hardly faster


def saved_activation_bytes(step: Callable[[], Tensor], exclude: nn.Module | None = None) -> int:
    """Bytes that the forward pass keeps for the backward pass: the activations of a training step.

    step gives the loss. Every storage counts once, however many tensors look into it, and what the
    gradient does not need is not counted. The parameters of `exclude` are left out.

    Source:
        Table 1, column Runtime Mem.
    """
    seen: dict[int, int] = {}
    own = set()
    if exclude is not None:
        own = {t.untyped_storage().data_ptr() for t in (*exclude.parameters(), *exclude.buffers())}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = step()
    # The graph is alive until here, so that no address was used twice.
    del loss
    return sum(seen.values())


def bytes_per_frame(layers: Callable[[Tensor], Tensor], frame: Shaped[Tensor, "1 c h w"]) -> int:
    """Bytes that one more frame needs in a training step of layers that see frames one by one.

    What is kept for the backward pass, from two frames and from one, so that what one frame more
    does not change falls out; and, twice, the output, for the gradients on their way back.
    """
    output = 0

    def step(frames: int) -> Tensor:
        nonlocal output
        y = layers(frame.expand(frames, -1, -1, -1).contiguous())
        output = y.nbytes // frames
        return y.sum()

    one, two = (saved_activation_bytes(lambda count=count: step(count)) for count in (1, 2))
    return two - one + 2 * output


def free_bytes(device: torch.device) -> int:
    """Memory that could be taken now: of the GPU, or what the operating system says."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    info = Path("/proc/meminfo")
    if info.exists():
        lines = dict(line.split(":") for line in info.read_text("utf-8").splitlines())
        return 1024 * int(lines["MemAvailable"].split()[0])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def chunk_that_fits(needed: int, device: torch.device, budget: int | None = None) -> int:
    """How many frames of `needed` bytes each are worked on at once: at least 1.

    Args:
        budget: bytes that they may take; None is a quarter of what is free.
    """
    budget = free_bytes(device) // 4 if budget is None else budget
    return max(1, min(budget // max(1, needed), MOST.get(device.type, 128)))
