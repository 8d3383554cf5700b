"""Weights from files: checkpoints of this library, of TSM, and of MMAction2.

The tensors may lie at the top of the file, below "state_dict" (the published files) or below
"model" (`fvlib.training`); how they are named is told in `fvlib.models.layouts`. Nothing is ever
run from a file: it is read with weights_only=True.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fvlib.clustering.checks import check_flag, check_tensor
from fvlib.models.layouts import Layout, check_kind, few, translate
from fvlib.models.resnet import TSMResNet
from fvlib.models.weights import first_kernels

_LAST = ("fc.weight", "fc.bias")


@dataclass(frozen=True)
class LoadReport:
    """What `load_checkpoint` did; as text, in a few lines.

    layout: of the names. matched: tensors of the network that were read. left_out: tensors of the
    file that were not used. missing: tensors of the network that stayed as they were. shifted: the
    blocks that see shifted frames in the file, None where the layout does not say. classes: the
    class list of the file, None where it holds none. grey: whether the first kernels were summed
    over their colours.
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
    layout: Layout = "auto",
    *,
    new_classes: bool = False,
    other_shift: bool = False,
    classes: Sequence[str] | None = None,
) -> LoadReport:
    """Load all weights of a checkpoint into a network, or none and say why not.

    source: a file, or what one holds. layout: one of `fvlib.models.layouts`, or "auto" to find it.
    new_classes: the last layer stays as it is, for another set of classes (also for another one of
    the same size). other_shift: take the weights although other blocks see shifted frames in the
    file than in the network: those of a network without shift, or of TSM (all four stages) for a
    network that is shifted after its clustering only, as the released code does. classes: the class
    list of the data, compared with the file's where it has one. For a grey network the first
    kernels are summed over their colours. Counters of batches (`num_batches_tracked`) may be
    missing: old files have none. How many channels are shifted is in no file; it must be an eighth
    each way.

    Raises ValueError, with the network as it was, for a file that cannot be read without running
    code from it, another depth or width, non-local blocks, optical flow, names or shapes that do
    not fit, tensors with NaN or infinity, and other classes or shifted blocks than the network's.
    Explained in chapter 09_ucf_hmdb.
    """
    if not isinstance(model, TSMResNet):
        raise ValueError(f"model is a {type(model).__name__}; a network of tsm_resnet was wanted")
    if not isinstance(source, str | Path | Mapping):
        raise ValueError(
            f"source is a {type(source).__name__}; the path of a checkpoint was wanted, or what "
            "one holds"
        )
    check_flag("new_classes", new_classes)
    check_flag("other_shift", other_shift)
    if classes is not None:
        _check_names("classes", classes)
    where = "the checkpoint" if isinstance(source, Mapping) else f"the checkpoint {source}"
    content = source if isinstance(source, Mapping) else _read(Path(source))
    tensors, found_classes = _unwrap(content, where)
    layout, state, shifted = translate(tensors, layout, where)
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
        if classes is not None and found_classes is not None:
            check_classes(found_classes, classes, where)
    _check_fit(matched, own, optional, where)
    _check_finite(matched, where)
    model.load_state_dict({**own, **matched})
    return LoadReport(
        layout,
        tuple(name for name in own if name in matched),
        left_out,
        tuple(name for name in own if name not in matched),
        shifted,
        found_classes,
        grey,
    )


def check_classes(
    found: Sequence[str], wanted: Sequence[str], where: str = "the checkpoint"
) -> None:
    """Raise ValueError, with the first difference, unless two class lists are the same.

    found: of the checkpoint that `where` names; wanted: of the data. The order counts, as a class
    is its place in the list.

    Explained in chapter 09_ucf_hmdb.
    """
    _check_names("found", found)
    _check_names("wanted", wanted)
    if list(found) == list(wanted):
        return
    pairs = zip(found, wanted, strict=False)
    place = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(found), len(wanted)))
    a, b = (repr(names[place]) if place < len(names) else "none" for names in (found, wanted))
    raise ValueError(
        f"the classes of {where} ({len(found)}) are not those of the data ({len(wanted)}): class "
        f"{place} is {a} there and {b} here"
        + (", the same names in another order" if sorted(found) == sorted(wanted) else "")
        + ". Use the class list that it was trained with, or new_classes=True for a new last layer"
    )


def _check_names(name: str, value: object) -> None:
    if (
        isinstance(value, str)
        or not isinstance(value, Sequence)
        or not all(isinstance(one, str) for one in value)
    ):
        raise ValueError(f"{name} is a {type(value).__name__}; a list of classes was wanted")


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
