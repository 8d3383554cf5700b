"""Data sets: Move4MNIST, generated; real video and its mini sets; sampling, crops, batches."""

from fvlib.datasets.backgrounds import BackgroundBank, load_backgrounds
from fvlib.datasets.digits import DigitBank, load_digits
from fvlib.datasets.memory import InMemory
from fvlib.datasets.move4mnist import CLASSES, FrameLabels, Move4MNIST, Options, Plan
from fvlib.datasets.sampling import (
    all_frames,
    clip_rng,
    dense_frames,
    pad_with_last,
    segment_frames,
    twice_frames,
    validation_frames,
)
from fvlib.datasets.timelines import (
    BACKGROUND,
    BLACK,
    DISTRACTOR,
    TARGET,
    parse_timeline,
    write_timeline,
)
from fvlib.datasets.transforms import Crop, EvalTransform, TrainTransform

__all__ = [
    "BACKGROUND",
    "BLACK",
    "CLASSES",
    "DISTRACTOR",
    "TARGET",
    "BackgroundBank",
    "Crop",
    "DigitBank",
    "EvalTransform",
    "FrameLabels",
    "InMemory",
    "Move4MNIST",
    "Options",
    "Plan",
    "TrainTransform",
    "all_frames",
    "clip_rng",
    "dense_frames",
    "load_backgrounds",
    "load_digits",
    "pad_with_last",
    "parse_timeline",
    "segment_frames",
    "twice_frames",
    "validation_frames",
    "write_timeline",
]
