"""How the published files name the tensors of a ResNet, and how these names become ours.

`module.`, which parallel training puts in front of a name, may be there or not.

- "tsm": `base_model.` before torchvision's names, `.net` in the name of a convolution that sees
  shifted frames (`base_model.layer1.0.conv1.net.weight`), and `new_fc` (or `base_model.fc`).
- "mmaction2": `backbone.` before the names, a convolution and its normalisation in one module
  (`backbone.layer1.0.conv1.conv.net.weight`, `backbone.layer1.0.conv1.bn.bias`), `cls_head.fc_cls`.
- "fvlib": torchvision's names, as this library, torchvision and timm write them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor

from fvlib.clustering.checks import shown
from fvlib.models.blocks import DEPTHS

Layout = Literal["auto", "tsm", "mmaction2", "fvlib"]

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
    tensors: dict[str, Tensor], layout: Layout, where: str
) -> tuple[str, dict[str, Tensor], tuple[str, ...] | None]:
    """The layout, the tensors by torchvision's names, and the shifted blocks (None: not said).

    where: what messages call the file. Raises ValueError for names of no layout, or of another than
    the one asked for. Explained in chapter 09_ucf_hmdb.
    """
    if not isinstance(layout, str) or layout not in ("auto", *_RENAME):
        raise ValueError(f"layout is {shown(layout)}; choose one of auto, {', '.join(_RENAME)}")
    tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    fits = [
        name for name, start in _BEGINS.items() if any(key.startswith(start) for key in tensors)
    ]
    if not fits or layout not in ("auto", fits[0]):
        raise ValueError(
            f"the names in {where} are {few(tuple(tensors))}; wanted "
            f"{'a ResNet' if layout == 'auto' else 'the layout ' + layout} with names that begin "
            f"with {' or '.join(_BEGINS.values() if layout == 'auto' else [_BEGINS[layout]])}"
        )
    layout = fits[0]
    state, shifted = {}, []
    for key, value in tensors.items():
        name = key
        for old, new in _RENAME[layout]:
            name = re.sub(old, new, name)
        if layout != "fvlib" and (block := _SHIFTED.match(name)):
            shifted.append(block[1])
            name = _SHIFTED.sub(r"\1.conv1.", name)
        if name in state:
            raise ValueError(f"{where} holds {name} twice, the second time as {key}")
        state[name] = value
    return layout, state, None if layout == "fvlib" else tuple(sorted(shifted))


def check_kind(state: dict[str, Tensor], own: dict[str, Tensor], where: str) -> None:
    """Raise ValueError, with the reason, if a state is of a network of another kind than our own.

    Explained in chapter 09_ucf_hmdb.
    """
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
