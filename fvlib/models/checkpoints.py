"""Weights from files: checkpoints of this library, of TSM, and of MMAction2; torchvision's.

The tensors may lie at the top of the file, below "state_dict" (the published files) or below
"model" (`fvlib.training`). Nothing is ever run from a file: it is read with weights_only=True. How
they are named is the file's layout, which is found from the names; `module.`, which parallel
training puts in front of a name, may be there or not:

- "tsm": `base_model.` before torchvision's names, `.net` in the name of a convolution that sees
  shifted frames (`base_model.layer1.0.conv1.net.weight`), and `new_fc` (or `base_model.fc`).
- "mmaction2": `backbone.` before the names, a convolution and its normalisation in one module
  (`backbone.layer1.0.conv1.conv.net.weight`, `backbone.layer1.0.conv1.bn.bias`), `cls_head.fc_cls`.
- torchvision's names, as this library, torchvision and timm write them.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torchvision.models import get_model_weights

from fvlib.models.tsm import TSMResNet
from fvlib.values import check_choice

_LAST = ("fc.weight", "fc.bias")
_COUNTED = ("num_batches_tracked", "clustering.threshold")  # follow from training, not trained
# With what the names of a layout begin, and what becomes of them, one after the other.
_LAYOUTS = {
    "base_model.": ((r"^base_model\.", ""), (r"^new_fc\.", "fc.")),
    "backbone.": (
        (r"^backbone\.", ""),
        (r"^cls_head\.fc_cls\.", "fc."),
        (r"downsample\.conv\.", "downsample.0."),
        (r"downsample\.bn\.", "downsample.1."),
        (r"conv(\d)\.conv\.", r"conv\1."),
        (r"conv(\d)\.bn\.", r"bn\1."),
    ),
}
_SHIFTED = re.compile(r"^(layer\d\.\d+)\.conv1\.net\.")


def load_checkpoint(
    model: TSMResNet,
    source: str | Path | Mapping[str, Any],
    *,
    new_classes: bool = False,
    other_shift: bool = False,
) -> None:
    """Load all weights of a checkpoint into a network, or none and say why not.

    For a grey network the first kernels are summed over their colours. Counters of batches
    (`num_batches_tracked`) may be missing: old files have none. How many channels are shifted is in
    no file; it must be an eighth each way.

    Args:
        source: a file, or what one holds.
        new_classes: the last layer stays as it is, for another set of classes (also for another one
            of the same size).
        other_shift: take the weights although other blocks see shifted frames in the file than in
            the network: those of a network without shift, or of TSM (all four stages) for a network
            that is shifted after its clustering only, as the released code does.

    Raises:
        ValueError: with the network as it was, for a file that cannot be read without running code
            from it, names or shapes that do not fit (another depth, other classes), other shifted
            blocks, and tensors with NaN or infinity.
    """
    where = "the checkpoint" if isinstance(source, Mapping) else f"the checkpoint {source}"
    content = source if isinstance(source, Mapping) else read_torch(source)
    state, shifted = _translate(_tensors(content, where))
    own = model.state_dict()
    if new_classes:
        state = {name: value for name, value in state.items() if name not in _LAST}
    first = state.get("conv1.weight")
    if first is not None and first.ndim == 4 and (first.shape[1], model.in_channels) == (3, 1):
        state["conv1.weight"] = first_kernels(first, 1)
    _require_fit(state, own, _LAST if new_classes else (), where)
    blocks = {
        f"layer{stage}.{i}"
        for stage in (1, 2, 3, 4)
        for i, block in enumerate(getattr(model, f"layer{stage}"))
        if block.shift
    }
    if shifted is not None and shifted != blocks and not other_shift:
        raise ValueError(
            f"{where} sees shifted frames in {_few(sorted(shifted))}, this network in "
            f"{_few(sorted(blocks))}; build it with the same shift_stages, which are (1, 2, 3, 4) "
            "for TSM as published and () without shift, or take the weights all the same with "
            "other_shift=True"
        )
    broken = [
        name
        for name, value in state.items()  # an adaptive layer's threshold is infinite at first
        if not value.to(own[name].dtype).isfinite().all() and not name.endswith(_COUNTED)
    ]
    if broken:  # a network of NaN would come through its BatchNorm with scores that look like any
        raise ValueError(
            f"{where} holds numbers that are not finite, and nothing was loaded: in "
            f"{_few(broken)}. Take one from before its training went wrong"
        )
    model.load_state_dict({**own, **state})


def read_torch(path: str | Path) -> Any:
    """What a file of torch's holds, on the CPU; no code from it is run.

    Torch itself does not look at the checksums in its files. Raises ValueError for a damaged file
    and for another kind, OSError when it is not there or cannot be read.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as parts:
                if (part := parts.testzip()) is not None:
                    raise ValueError(f"the checksum of {part} is another")
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # a damaged file can fail in any way
        raise ValueError(
            f"{path} is no checkpoint, or not a whole one, or one that holds objects beside "
            f"tensors, which only code from the file could read ({type(error).__name__}: "
            f"{str(error).partition(chr(10))[0]})"
        ) from error


def _tensors(content: Any, where: str) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, without what parallel training puts before a name."""
    found = content
    if isinstance(content, Mapping):
        found = next((content[key] for key in ("state_dict", "model") if key in content), content)
    if not (
        isinstance(found, Mapping)
        and found
        and all(isinstance(name, str) and isinstance(x, Tensor) for name, x in found.items())
    ):
        raise ValueError(
            f"{where} is a {type(content).__name__} without weights; wanted a dict of tensors by "
            "name, at the top or below 'state_dict' or 'model'"
        )
    return {name.removeprefix("module."): value for name, value in found.items()}


def _translate(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], set[str] | None]:
    """The tensors by torchvision's names, and the shifted blocks (None: not said)."""
    begins = (start for start in _LAYOUTS if any(name.startswith(start) for name in tensors))
    if (layout := next(begins, None)) is None:
        return tensors, None
    state, shifted = {}, set()
    for name, value in tensors.items():
        for old, new in _LAYOUTS[layout]:
            name = re.sub(old, new, name)
        if block := _SHIFTED.match(name):
            shifted.add(block[1])
        state[_SHIFTED.sub(r"\1.conv1.", name)] = value
    return state, shifted


def _require_fit(
    state: Mapping[str, Tensor], own: Mapping[str, Tensor], left: Iterable[str], where: str
) -> None:
    missing = {name for name in own if not name.endswith(_COUNTED)} - set(state) - set(left)
    sizes = [
        f"{name} {tuple(state[name].shape)}, wanted {tuple(value.shape)}"
        for name, value in own.items()
        if name in state and state[name].shape != value.shape
    ]
    wrong = {
        "missing": sorted(missing),
        "not in this network": [name for name in state if name not in own],
        "another shape": sizes,
    }
    if any(wrong.values()):
        found = "; ".join(f"{what}: {_few(names)}" for what, names in wrong.items() if names)
        raise ValueError(
            f"{where} does not fit this network, and nothing was loaded. {found}. Build it with "
            "the depth of the file; new_classes=True leaves the last layer as it is"
        )


def _few(names: list[str]) -> str:
    """The first names and how many more there are, for messages."""
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more if names else "nothing"


_LUMA = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)


def load_torchvision(model: TSMResNet, depth: int, weights: str) -> None:
    """Load torchvision's weights of a ResNet into a network with the same names.

    A last layer of another size stays as it is, and so does what a ResNet has not; for frames of
    other channels see `first_kernels`. Raises ValueError for an unknown name, OSError
    with the remedy if the file can neither be found in torchvision's cache nor be downloaded.
    """
    state = torchvision_state(f"resnet{depth}", weights)
    start_from(model, state, last=model.fc.out_features == len(state["fc.bias"]))


def torchvision_state(network: str, weights: str) -> dict[str, Tensor]:
    """Weights of one of torchvision's networks, by both names; errors as of `load_torchvision`."""
    known = get_model_weights(network)
    check_choice(f"weights of {network}", weights, tuple(known.__members__))
    entry = known[weights]
    try:
        return entry.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        cache = f"{torch.hub.get_dir()}/checkpoints"
        raise OSError(
            f"the weights {entry} could not be had ({error}). Without a network, put the file "
            f"{entry.url.rsplit('/', 1)[-1]} into {cache} (TORCH_HOME moves that folder), "
            f"or leave weights out to start from random ones"
        ) from error


def start_from(model: TSMResNet, state: Mapping[str, Tensor], *, last: bool) -> None:
    """Start from the weights of a ResNet with the same names, with or without its last layer.

    What the state has not stays as it is; for frames of other channels see `first_kernels`.
    """
    state = {name: value for name, value in state.items() if last or not name.startswith("fc.")}
    state["conv1.weight"] = first_kernels(state["conv1.weight"], model.in_channels)
    model.load_state_dict({**model.state_dict(), **state})


def first_kernels(
    kernels: Float[Tensor, "out c kh kw"], channels: int
) -> Float[Tensor, "out c2 kh kw"]:
    """The kernels of a first layer, for frames of another number of channels.

    From colours to grey: their sum. From grey to colours: they see the luminance (ITU-R 601). For
    optical flow, as TSN starts it: their mean, for each channel.
    """
    known = kernels.shape[1]
    if known == channels:
        return kernels
    if channels == 1:
        return kernels.sum(1, keepdim=True)
    if (known, channels) == (1, 3):
        return kernels * _LUMA.to(kernels)
    return kernels.mean(1, keepdim=True).repeat(1, channels, 1, 1)
