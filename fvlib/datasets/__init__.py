"""Data sets: Move4MNIST, generated; its digits and backgrounds."""

from .backgrounds import BackgroundBank, load_backgrounds
from .digit_frames import DigitFrames
from .digits import DigitBank, load_digits
from .memory import InMemory
from .move4mnist import CLASSES, FrameLabels, Move4MNIST, Options, Plan
from .sampling import segment_frames
from .timelines import BACKGROUND, BLACK, DISTRACTOR, TARGET, parse_timeline, write_timeline

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
