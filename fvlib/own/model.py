"""A trained model in a folder of its own: how clips are shown to it, weights, classes, results."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

import fvlib
from fvlib import extra
from fvlib.clustering import METHOD_NAMES, TemporalClustering
from fvlib.contracts import Stream, VideoNetwork
from fvlib.evaluation import Protocol
from fvlib.models import load_checkpoint, tsm_resnet
from fvlib.models.batchnorm import Repetition
from fvlib.models.full_video import SPLITS, full_video, image_network
from fvlib.models.shift import DEPTHS
from fvlib.own import require_model
from fvlib.recipe import Recipe
from fvlib.storage import read_bytes, read_json, write_file
from fvlib.values import check_fields, check_least, checked, read

FORMAT = 1
FRAME_BUDGET = 2048  # frames of whole clips that go through the network at once
RESNETS = {f"resnet{depth}": depth for depth in DEPTHS}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a model is made, trained, and shown a clip.

    backbone: resnet18 to resnet152, which become TSM networks; or any image network of torchvision,
    or timm/NAME, with the clustering step behind the module `after`; None: where it is known.
    width: channels of a ResNet's stem. weights: what it starts from: torchvision's name for them,
    the file of a checkpoint, or "none". method: of clustering; all frames of a clip are seen, in
    `clusters` averages. With "none", `frames` of them are. size: pixels a side of the frames, which
    are squeezed to squares. chunk: frames at once before the clustering step, so that memory does
    not grow with the clip; without clusters the frames of each clip in a piece (`InPieces`).
    warmup_epochs: of the first epochs, how many show 8 frames of a clip and
    no clusters. mirror: show half the clips mirrored, where left and right do not matter.
    """

    backbone: str = "resnet18"
    after: str | None = None
    width: int = 64
    weights: str = "IMAGENET1K_V1"
    method: Literal["none", *METHOD_NAMES] = "cumulative"
    frames: int | Literal["all"] = "all"
    clusters: int | None = 8
    size: int = 112
    batch: int = 8
    epochs: int = 30
    warmup_epochs: int = 10
    lr: float = 0.01
    chunk: int | None = None
    mirror: bool = False
    seed: int = 0

    def __post_init__(self):
        check_fields(self)
        check_least(self, 1, "size", "batch", "epochs", "clusters", "width", "chunk")
        check_least(self, 0, "warmup_epochs", "seed")
        clustered = self.method != "none"
        if clustered != (self.clusters is not None) or (clustered and self.frames != "all"):
            raise ValueError(
                f"method is {self.method!r}, clusters {self.clusters}, frames {self.frames!r}; "
                "wanted a method with clusters of all frames, or no method and no clusters"
            )

    @property
    def protocol(self) -> Protocol:
        """What is shown of a clip."""
        return Protocol(self.frames, self.clusters is not None)

    @property
    def chunked(self) -> bool:
        """Whether frames go through stem and first block in chunks, in front of the clusters."""
        return self.chunk is not None and self.clusters is not None

    def recipe(self, stream: bool = False) -> Recipe:
        """How it is trained; stream: decode frames as they are needed."""
        few = min(8, self.frames) if isinstance(self.frames, int) else 8
        return Recipe(
            epochs=self.epochs,
            frames=self.frames,
            batch_size=self.batch,
            lr=self.lr,
            warmup_epochs=self.warmup_epochs,
            warmup_frames=few,
            crop=None if stream else self.size,
            flip="always" if self.mirror and not stream else False,
            stream=stream,
            frame_budget=FRAME_BUDGET if self.frames == "all" and self.chunk is None else None,
            early_statistics="running" if self.chunked else "batch",
            sync_batchnorm=self.chunked or self.chunk is None,  # pieces are not as many everywhere
        )


class InPieces(nn.Module):
    """A network that sees all frames of clips, a piece of neighbours of each clip at a time.

    The scores of a clip are those of its pieces, averaged over frames. No piece knows of another,
    and of one only its pixels are kept for the backward pass, in which the rest is made again: so
    memory is that of a piece, however long the clips are. The batch of BatchNorm is one piece of
    each clip, and its running statistics follow all pieces of a step as far as they follow a batch.

    network: sees clips of up to `chunk` frames; all else that is asked of this network it answers.
    """

    def __init__(self, network: VideoNetwork, chunk: int):
        super().__init__()
        self.network, self.chunk = network, chunk
        self.last = network.last and f"network.{network.last}"

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("network"), name)

    def forward(
        self,
        x: Shaped[Tensor, "n t c h w"] | Stream,
        lengths: Int64[Tensor, " n"] | None = None,
        *,
        cluster: bool = True,
        return_labels: bool = False,
    ) -> Float[Tensor, "n k"] | tuple[Float[Tensor, "n k"], None]:
        """Class scores; arguments as of `TSMResNet`, a stream with one clip."""
        if isinstance(x, Tensor):
            n, t = x.shape[:2]
            # In training no piece may be a single frame, which has no variance.
            pieces = (
                x.tensor_split(ceil(t / self.chunk), 1) if self.training else x.split(self.chunk, 1)
            )
        else:
            (t,), n, pieces = x.lengths.tolist(), 1, (part[None] for part in x.parts(self.chunk))
        lengths = torch.full((n,), t, device=self.device) if lengths is None else lengths
        norms = [m for m in self.modules() if isinstance(m, _BatchNorm) and self.training]
        usual, start, logits = [norm.momentum for norm in norms], 0, torch.zeros(())
        for norm in norms:
            norm.momentum /= ceil(t / self.chunk)
        for piece in pieces:
            counts = (lengths - start).clamp(0, piece.shape[1])
            start += piece.shape[1]
            there = counts.nonzero()[:, 0]
            found = checkpoint(
                self.network,
                piece if len(there) == n else piece[there],
                None if (counts == piece.shape[1]).all() else counts[there],
                use_reentrant=False,
                context_fn=lambda: (nullcontext(), Repetition(self.network)),
            )
            if not logits.ndim:
                logits = found.new_zeros(n, found.shape[1])
            shares = (counts / lengths.to(found.dtype))[there, None]
            logits = logits.index_add(0, there, found * shares)
        for norm, momentum in zip(norms, usual, strict=True):
            norm.momentum = momentum
        return (logits, None) if return_labels else logits


@dataclass(frozen=True, eq=False)
class Model:
    """A network with what is needed to use it."""

    network: VideoNetwork
    settings: Settings
    classes: tuple[str, ...]


def network_for(settings: Settings, num_classes: int, *, weights: bool = True) -> VideoNetwork:
    """The network of the settings; weights: with those that it starts from.

    Raises ValueError for a backbone or a method that is not there, and OSError for weights that are
    not to be had, both with what to do.
    """
    step = settings.clusters and TemporalClustering(settings.method, settings.clusters)
    start = settings.weights if weights and settings.weights != "none" else None
    file = Path(start) if start is not None and Path(start).is_file() else None
    named = None if file else start
    if named and Path(named).suffix:
        raise ValueError(f"{named} is not there; wanted the file of a checkpoint, or none")
    shared = {"clustering": step, "chunk": settings.chunk if step else None}
    torch.manual_seed(settings.seed)
    try:
        if settings.backbone in RESNETS:
            shared |= {"width": settings.width, "weights": named}
            model = tsm_resnet(RESNETS[settings.backbone], num_classes, **shared)
        else:
            backbone = image_network(settings.backbone, num_classes, weights=named)
            after = settings.after or SPLITS.get(settings.backbone)
            if after is None:
                raise ValueError(
                    f"the backbone is {settings.backbone}; wanted --after MODULE too, the module "
                    "behind which the clusters are made"
                )
            model = full_video(backbone, after=after, **shared)
    except OSError as error:
        missing = str(error).partition(", or leave")[0]  # out, which is the advice for a function
        raise OSError(
            f"{missing}; or begin with random weights: --weights none, which wants more clips and "
            "more epochs; or with a checkpoint: --weights FILE"
        ) from error
    if file is not None:
        if settings.backbone not in RESNETS:
            raise ValueError(
                f"{file} is a checkpoint of TSM; wanted a backbone resnet18 to resnet152"
            )
        load_checkpoint(model, file, new_classes=True, other_shift=True)
    model = model.to(memory_format=torch.channels_last)  # faster on CPUs
    return InPieces(model, settings.chunk) if settings.chunk and step is None else model


def require_same(out: Path, known: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """ValueError, with what differs, unless a folder was begun with what is wanted."""
    if other := [name for name, value in wanted.items() if known.get(name) != value]:
        raise ValueError(
            f"{out} was begun with other {', '.join(other)}; wanted the same, or another --out"
        )


def save_config(folder: Path, settings: Settings, classes: Sequence[str]) -> None:
    """Write config.json: the settings and the classes."""
    config = {"format": FORMAT, "fvlib": fvlib.__version__, "classes": list(classes)}
    write_json(folder / "config.json", config | {"settings": asdict(settings)})


def save_weights(folder: Path, model: nn.Module) -> None:
    """Write weights.safetensors, at once or not at all."""
    state = {name: value.contiguous().cpu() for name, value in model.state_dict().items()}
    write_file(folder / "weights.safetensors", extra("safetensors.torch").save(state))


def load_model(folder: str | os.PathLike) -> Model:
    """The model that `fvlib fit` has left in a folder, in eval mode.

    Raises ValueError for a folder that holds none, that another version wrote, or whose files do
    not belong together.
    """
    safetensors, folder = extra("safetensors.torch"), require_model(Path(folder))
    config = folder / "config.json"
    found = read_json(config)
    if found.get("format") != FORMAT:
        raise ValueError(
            f"{config} has the format {found.get('format')!r}, written by fvlib "
            f"{found.get('fvlib')}; this is fvlib {fvlib.__version__}, which reads {FORMAT}"
        )
    settings = read(Settings, found.get("settings", {}), str(config))
    weights = folder / "weights.safetensors"
    if not weights.is_file():
        raise ValueError(
            f"{weights} is not there: the training has not ended; the same `fvlib fit` "
            "goes on with it"
        )
    classes = checked(found.get("classes"), Sequence[str], f"{config}: classes")
    network = network_for(settings, len(classes), weights=False)
    try:
        network.load_state_dict(safetensors.load(read_bytes(weights)))
    except (RuntimeError, ValueError, extra("safetensors").SafetensorError) as error:
        raise ValueError(f"{weights} does not fit {config}: {str(error).splitlines()[0]}") from None
    return Model(network.eval(), settings, classes)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """A small JSON file, at once or not at all."""
    write_file(path, json.dumps(content, indent=1) + "\n")
