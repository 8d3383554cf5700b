"""Data sets: Move4MNIST, generated; its digits and backgrounds."""

from fvlib.datasets.backgrounds import BackgroundBank, load_backgrounds
from fvlib.datasets.digit_frames import DigitFrames
from fvlib.datasets.digits import DigitBank, load_digits
from fvlib.datasets.memory import InMemory
from fvlib.datasets.move4mnist import CLASSES, FrameLabels, Move4MNIST, Options, Plan
from fvlib.datasets.sampling import segment_frames
from fvlib.datasets.timelines import (
    BACKGROUND,
    BLACK,
    DISTRACTOR,
    TARGET,
    parse_timeline,
    write_timeline,
)

__all__ = [
    "BACKGROUND",
    "BLACK",
    "CLASSES",
    "DISTRACTOR",
    "TARGET",
    "BackgroundBank",
    "DigitBank",
    "DigitFrames",
    "FrameLabels",
    "InMemory",
    "Move4MNIST",
    "Options",
    "Plan",
    "load_backgrounds",
    "load_digits",
    "parse_timeline",
    "segment_frames",
    "write_timeline",
]
