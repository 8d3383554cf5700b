"""Weights from files: checkpoints of this library, of TSM, and of MMAction2; torchvision's.

The tensors may lie at the top of the file, below "state_dict" (the published files) or below
"model" (`fvlib.training`). Nothing is ever run from a file: it is read with weights_only=True. How
they are named is the file's layout, which is found from the names; `module.`, which parallel
training puts in front of a name, may be there or not:

- "tsm": `base_model.` before torchvision's names, `.net` in the name of a convolution that sees
  shifted frames (`base_model.layer1.0.conv1.net.weight`), and `new_fc` (or `base_model.fc`).
- "mmaction2": `backbone.` before the names, a convolution and its normalisation in one module
  (`backbone.layer1.0.conv1.conv.net.weight`, `backbone.layer1.0.conv1.bn.bias`), `cls_head.fc_cls`.
- "fvlib": torchvision's names, as this library, torchvision and timm write them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torchvision.models import get_model_weights

from fvlib.clustering.checks import check_tensor
from fvlib.models.shift import DEPTHS
from fvlib.models.tsm import TSMResNet
from fvlib.values import check_choice, checked

_LAST = ("fc.weight", "fc.bias")


@dataclass(frozen=True)
class LoadReport:
    """What `load_checkpoint` did; as text, in a few lines.

    Args:
        layout: of the names.
        matched: tensors of the network that were read.
        left_out: tensors of the file that were not used.
        missing: tensors of the network that stayed as they were.
        shifted: the blocks that see shifted frames in the file, None where the layout does not say.
        classes: the class list of the file, None where it holds none.
        grey: whether the first kernels were summed over their colours.
    """

    layout: str
    matched: tuple[str, ...]
    left_out: tuple[str, ...]
    missing: tuple[str, ...]
    shifted: tuple[str, ...] | None
    classes: tuple[str, ...] | None
    grey: bool

    def __str__(self) -> str:
        shift = "not said" if self.shifted is None else _blocks(self.shifted)
        classes = "not said" if self.classes is None else str(len(self.classes))
        return (
            f"layout {self.layout}: {len(self.matched)} tensors read"
            f"{', the first kernels summed over their colours' if self.grey else ''}\n"
            f"left out of the file: {few(self.left_out)}\n"
            f"as before in the network: {few(self.missing)}\n"
            f"shifted in the file: {shift}; classes in the file: {classes}"
        )


def load_checkpoint(
    model: TSMResNet,
    source: str | Path | Mapping[str, Any],
    *,
    new_classes: bool = False,
    other_shift: bool = False,
) -> LoadReport:
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
            from it, another depth or width, non-local blocks, optical flow, names or shapes that do
            not fit, tensors with NaN or infinity, and another number of classes or other shifted
            blocks than the network's.
    """
    if not isinstance(model, TSMResNet):
        raise ValueError(f"model is a {type(model).__name__}; a network of tsm_resnet was wanted")
    if not isinstance(source, str | Path | Mapping):
        raise ValueError(
            f"source is a {type(source).__name__}; the path of a checkpoint was wanted, or what "
            "one holds"
        )
    checked(new_classes, bool, "new_classes")
    checked(other_shift, bool, "other_shift")
    where = "the checkpoint" if isinstance(source, Mapping) else f"the checkpoint {source}"
    content = source if isinstance(source, Mapping) else _read(Path(source))
    tensors, classes = _unwrap(content, where)
    layout, state, shifted = translate(tensors, where)
    own = model.state_dict()
    check_kind(state, own, where)
    if shifted is not None and not other_shift:
        _check_shift(shifted, model, where)

    left_out = tuple(name for name in _LAST if new_classes and name in state)
    matched = {name: value for name, value in state.items() if name not in left_out}
    counted = ("num_batches_tracked", "clustering.threshold")  # follow from training, not trained
    optional = {name for name in own if name.endswith(counted)}
    optional |= set(_LAST) if new_classes else set()
    grey = own["conv1.weight"].shape[1] == 1 and matched["conv1.weight"].shape[1] == 3
    if grey:
        matched["conv1.weight"] = first_kernels(matched["conv1.weight"], 1)
    if not new_classes:
        _check_last(matched, own, where)
    _check_fit(matched, own, optional, where)
    _check_finite(matched, where)
    model.load_state_dict({**own, **matched})
    return LoadReport(
        layout,
        tuple(name for name in own if name in matched),
        left_out,
        tuple(name for name in own if name not in matched),
        shifted,
        classes,
        grey,
    )


def _check_finite(state: Mapping[str, Tensor], where: str) -> None:
    """A network of NaN would come through its BatchNorm with scores that look like any."""
    broken = tuple(
        name
        for name, value in state.items()  # an adaptive layer's threshold is infinite at first
        if not value.isfinite().all() and not name.endswith("clustering.threshold")
    )
    if broken:
        raise ValueError(
            f"{where} holds numbers that are not finite, and nothing was loaded: in "
            f"{few(broken)}. Take one from before its training went wrong"
        )


def _read(path: Path) -> Any:
    if not path.is_file():
        raise ValueError(f"there is no file {path}; the path of a checkpoint was wanted")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:  # not allowed, or the disk: nothing to say about what is in the file
        raise
    except Exception as error:  # a file that is none of torch's can fail in any way
        name = re.search(r"GLOBAL (\S+)", str(error))
        if name is None:
            raise ValueError(
                f"{path} ({path.stat().st_size} bytes) is no checkpoint, or not a whole one "
                f"({type(error).__name__}); get the file again and compare its size or digest"
            ) from error
        raise ValueError(
            f"{path} holds objects beside tensors ({name[1]}), and to read them is to run code "
            f"from the file. If you trust it, write one with the tensors alone: torch.save("
            f"torch.load({str(path)!r}, weights_only=False)['state_dict'], 'tensors.pth')"
        ) from error


def _unwrap(content: Any, where: str) -> tuple[dict[str, Tensor], tuple[str, ...] | None]:
    """The tensors of a checkpoint by name, and its class list."""
    tensors, classes = content, None
    if isinstance(content, Mapping):
        tensors = next((content[k] for k in ("state_dict", "model") if k in content), content)
        if isinstance(identity := content.get("identity"), Mapping):
            classes = identity.get("classes")
    if (
        not isinstance(tensors, Mapping)
        or not tensors
        or not all(isinstance(value, Tensor) for value in tensors.values())
    ):
        keys = f" with {few(tuple(map(str, content)))}" if isinstance(content, Mapping) else ""
        raise ValueError(
            f"{where} is a {type(content).__name__}{keys}; wanted a dict of tensors by name, at "
            "the top or below 'state_dict' or 'model'"
        )
    for name, value in tensors.items():
        check_tensor(f"{name} of {where}", value, "of numbers")
    return dict(tensors), None if classes is None else tuple(classes)


def _check_shift(shifted: tuple[str, ...], model: TSMResNet, where: str) -> None:
    own = tuple(
        f"layer{stage}.{i}"
        for stage in (1, 2, 3, 4)
        for i, block in enumerate(getattr(model, f"layer{stage}"))
        if block.shift
    )
    if set(shifted) != set(own):
        raise ValueError(
            f"{where} sees shifted frames in {_blocks(shifted)}, this network in {_blocks(own)}; "
            "build it with the same shift_stages, which are (1, 2, 3, 4) for TSM as published and "
            "() without shift, or take the weights all the same with other_shift=True"
        )


def _check_last(state: dict[str, Tensor], own: dict[str, Tensor], where: str) -> None:
    found = state["fc.bias"].numel() if "fc.bias" in state else 0
    if found != (wanted := own["fc.bias"].numel()):
        raise ValueError(
            f"{where} has {found or 'no last layer, so no'} classes, this network has {wanted}; "
            "new_classes=True leaves the last layer as it is"
        )


def _check_fit(
    state: dict[str, Tensor], own: dict[str, Tensor], optional: set[str], where: str
) -> None:
    missing = [name for name in own if name not in state and name not in optional]
    unknown = [name for name in state if name not in own]
    sizes = [
        f"{name} {tuple(state[name].shape)}, wanted {tuple(value.shape)}"
        for name, value in own.items()
        if name in state and state[name].shape != value.shape
    ]
    wrong = {"missing": missing, "not in this network": unknown, "another shape": sizes}
    if any(wrong.values()):
        found = "; ".join(f"{what}: {few(tuple(names))}" for what, names in wrong.items() if names)
        raise ValueError(f"{where} does not fit this network, and nothing was loaded. {found}")


def _blocks(names: Sequence[str]) -> str:
    """The number of blocks in each stage, in words."""
    counts = {f"layer{s}": sum(n.startswith(f"layer{s}.") for n in names) for s in (1, 2, 3, 4)}
    said = ", ".join(f"{count} of {layer}" for layer, count in counts.items() if count)
    return f"the blocks {said}" if said else "no block"


# What becomes of a name, one after the other.
_RENAME = {
    "tsm": ((r"^base_model\.", ""), (r"^new_fc\.", "fc.")),
    "mmaction2": (
        (r"^backbone\.", ""),
        (r"^cls_head\.fc_cls\.", "fc."),
        (r"downsample\.conv\.", "downsample.0."),
        (r"downsample\.bn\.", "downsample.1."),
        (r"conv(\d)\.conv\.", r"conv\1."),
        (r"conv(\d)\.bn\.", r"bn\1."),
    ),
    "fvlib": (),
}
_BEGINS = {"tsm": "base_model.", "mmaction2": "backbone.", "fvlib": "conv1.weight"}
_SHIFTED = re.compile(r"^(layer\d\.\d+)\.conv1\.net\.")
# Names of published networks that this one is not.
_OTHER = {
    r"\.(nl|non_local_block|block)\.": "non-local blocks (nl in its name)",
    r"^layer\d\.net\.": "temporal pooling (tpool in its name)",
    r"^layer\d\.\d+\.net\.": "a shift of whole blocks (block in its name, not blockres)",
}


def translate(
    tensors: dict[str, Tensor], where: str
) -> tuple[str, dict[str, Tensor], tuple[str, ...] | None]:
    """The layout, the tensors by torchvision's names, and the shifted blocks (None: not said).

    ValueError for names of no layout; `where` is what it calls the file.
    """
    tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    fits = (
        name for name, start in _BEGINS.items() if any(key.startswith(start) for key in tensors)
    )
    if (found := next(fits, None)) is None:
        raise ValueError(
            f"the names in {where} are {few(tuple(tensors))}; wanted a ResNet with names that "
            f"begin with {' or '.join(_BEGINS.values())}"
        )
    state, shifted = {}, []
    for key, value in tensors.items():
        name = key
        for old, new in _RENAME[found]:
            name = re.sub(old, new, name)
        if found != "fvlib" and (block := _SHIFTED.match(name)):
            shifted.append(block[1])
            name = _SHIFTED.sub(r"\1.conv1.", name)
        if name in state:
            raise ValueError(f"{where} holds {name} twice, the second time as {key}")
        state[name] = value
    return found, state, None if found == "fvlib" else tuple(sorted(shifted))


def check_kind(state: dict[str, Tensor], own: dict[str, Tensor], where: str) -> None:
    """ValueError, with the reason, if a state is of a network of another kind than our own."""
    for pattern, what in _OTHER.items():
        if any(re.search(pattern, name) for name in state):
            raise ValueError(f"{where} has {what}, which this network has not; take one without")
    first = state.get("conv1.weight")
    if first is None or first.ndim != 4 or "layer1.0.conv1.weight" not in state:
        raise ValueError(f"{where} is not of a ResNet: its tensors are {few(tuple(state))}")
    channels = first.shape[1]
    if channels not in (1, 3):
        raise ValueError(
            f"{where} takes frames of {channels} channels: optical flow or differences of frames. "
            "This network takes RGB or grey frames; take a checkpoint trained on RGB"
        )
    found, wanted = _kind(state), _kind(own)
    if found != wanted:
        raise ValueError(
            f"{where} is of {found}, this network is {wanted}; build it with the depth of the file"
        )


def _kind(state: Mapping[str, Tensor]) -> str:
    counts = tuple(
        len({name.split(".")[1] for name in state if name.startswith(f"layer{stage}.")})
        for stage in (1, 2, 3, 4)
    )
    block = "bottleneck" if "layer1.0.conv3.weight" in state else "basic"
    for depth, kind in DEPTHS.items():
        if kind == (block, counts):
            return f"a ResNet-{depth}"
    return f"a network with {counts} {block} blocks"


def few(names: Sequence[str]) -> str:
    """The first names and how many more there are, for messages."""
    if not names:
        return "nothing"
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


_LUMA = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)


def load_torchvision(model: TSMResNet, depth: int, weights: str) -> None:
    """Load torchvision's weights of a ResNet into a network with the same names.

    A last layer of another size stays as it is, and so does what a ResNet has not; for frames of
    other channels see `first_kernels`. Raises ValueError for an unknown name, OSError
    with the remedy if the file can neither be found in torchvision's cache nor be downloaded.
    """
    state = torchvision_state(f"resnet{depth}", weights)
    own = model.state_dict()
    fits = "fc.bias" in own and own["fc.bias"].shape == state["fc.bias"].shape
    start_from(model, state, last=fits)


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
