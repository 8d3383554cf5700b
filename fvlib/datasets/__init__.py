"""Data sets: Move4MNIST, generated; real video; sampling, crops, batches.

Names are looked up when they are used: what chooses frames does not wait for torch.
"""

from importlib import import_module
from typing import Any

_WHERE = {
    "backgrounds": ("BackgroundBank", "load_backgrounds"),
    "digits": ("DigitBank", "load_digits"),
    "loading": ("InMemory",),
    "move4mnist": ("CLASSES", "FrameLabels", "Move4MNIST"),
    "plans": (
        *("BACKGROUND", "BLACK", "DISTRACTOR", "TARGET", "Options", "Plan"),
        *("parse_timeline", "write_timeline"),
    ),
    "sampling": (
        *("FrameSampler", "all_frames", "clip_rng", "dense_frames", "pad_with_last"),
        *("segment_frames", "twice_frames"),
    ),
    "transforms": ("Crop", "EvalTransform", "TrainTransform"),
}
_MODULES = {name: module for module, names in _WHERE.items() for name in names}
__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
