"""Handwritten digits, 28x28: scikit-learn's, which need no download, or MNIST."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from fvlib import extra
from fvlib.datasets.data_root import packed, real_data
from fvlib.storage import digest, read_bytes
from fvlib.values import check_choice

SIZE = 28
SPLITS = ("train", "validation", "test", "train+validation")

# The first digits of the training file train and its last ones validate, so that an index into
# "train+validation" is an index into the file.
EMBEDDED_RANGES = {
    "train": (0, 1000),
    "validation": (1000, 1297),
    "train+validation": (0, 1297),
    "test": (1297, 1797),
}
REAL_RANGES = {
    "train": ("train", 0, 50_000),
    "validation": ("train", 50_000, 60_000),
    "train+validation": ("train", 0, 60_000),
    "test": ("t10k", 0, 10_000),
}
FILES = tuple(
    f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
)


@dataclass(frozen=True, eq=False)
class DigitBank:
    """Grey digits to draw from.

    Args:
        images: uint8 (m, 28, 28), ink bright on 0.
        labels: int64 (m,), the digit's class 0..9.
        name: says where the digits come from; goes into the records.

    Raises:
        ValueError: for other shapes or types, and for fewer than two classes (a distractor has
            another class than its target).
    """

    images: np.ndarray
    labels: np.ndarray
    name: str

    def __post_init__(self):
        m = len(self.images)
        if self.images.dtype != np.uint8 or self.images.shape != (m, SIZE, SIZE):
            raise ValueError(
                f"digit images are {self.images.dtype} {self.images.shape}; "
                f"wanted uint8 (m, {SIZE}, {SIZE})"
            )
        if self.labels.dtype != np.int64 or self.labels.shape != (m,):
            raise ValueError(
                f"digit labels are {self.labels.dtype} {self.labels.shape}; wanted int64 ({m},)"
            )
        if not self.images.reshape(m, -1).max(axis=1, initial=0).all():
            raise ValueError(f"bank {self.name!r} has an image without ink; leave it out")
        if len(np.unique(self.labels)) < 2:
            raise ValueError(f"a bank needs digits of two classes or more; {self.name!r} has fewer")

    def __len__(self):
        return len(self.images)

    @cached_property
    def sha256(self) -> str:
        return digest(self.images, self.labels)


def load_digits(source: str = "embedded", split: str = "train") -> DigitBank:
    """The digits of one split.

    Args:
        source: "embedded", the 1,797 digits of scikit-learn, enlarged from 8x8; or "real", MNIST,
            read from `$FVLIB_DATA/MNIST/raw` (the four original files, packed or unpacked), or from
            the pack that `FVLIB_DATA` names.
        split: "train", "validation" and "test" are disjoint; "train+validation" is the training
            file in its own order (for MNIST all 60,000), as the published indices count it.

    Raises:
        ValueError: for an unknown source or split, and when MNIST is not there or is damaged.
    """
    check_choice("digit source", source, ("embedded", "real"))
    check_choice("split of the digits", split, SPLITS)
    if source == "embedded":
        first, last = EMBEDDED_RANGES[split]
        images, labels = _embedded()
        return _bank(images[first:last], labels[first:last], f"scikit-learn digits {split}")
    part, first, last = REAL_RANGES[split]
    images, labels = (read_idx(name) for name in FILES if name.startswith(part))
    try:
        return _bank(images[first:last], labels[first:last], f"MNIST {split}")
    except ValueError as error:
        raise ValueError(
            f"MNIST's {part}-images-idx3-ubyte or {part}-labels-idx1-ubyte is not as published "
            f"({error}); get both again"
        ) from error


def _bank(images: np.ndarray, labels: np.ndarray, name: str) -> DigitBank:
    return DigitBank(np.ascontiguousarray(images), labels.astype(np.int64), name)


def _embedded() -> tuple[np.ndarray, np.ndarray]:
    from PIL import Image

    small = extra("sklearn.datasets").load_digits()
    images = np.zeros((len(small.images), SIZE, SIZE), np.uint8)
    for image, grey in zip(images, small.images * (255 / 16), strict=True):
        # Pillow resizes 8-bit images in integers: the same bytes on every machine.
        enlarged = Image.fromarray(grey.astype(np.uint8)).resize((20, 20), Image.Resampling.BICUBIC)
        image[4:24, 4:24] = enlarged
    # Enlarging blurs. A steeper grey curve gives strokes about as thin and bright as MNIST's.
    steeper = (images.astype(np.int16) - 90) * 3
    return steeper.clip(0, 255).astype(np.uint8), small.target


def read_idx(name: str) -> np.ndarray:
    """One file of MNIST, compressed or not, or from a pack: uint8 (m, 28, 28) or (m,).

    torchvision's `MNIST` class unpacks into the folder it reads, and its readers take unpacked
    files only; this reads what is there and writes nothing.

    Raises:
        ValueError: which names the file, when it is not there or is damaged.
    """
    if (array := packed(name)) is not None:
        return array
    folder = real_data("MNIST", "raw")
    files = folder / name, folder / f"{name}.gz"
    if (place := next((path for path in files if path.exists()), None)) is None:
        raise ValueError(
            f"MNIST is incomplete: neither {files[1]} nor {files[0]} exists; put the file there, "
            "or ask for the source 'embedded'"
        )
    return _idx(read_bytes(place), place)


def _idx(data: bytes, path: Path) -> np.ndarray:
    """The array in a file of MNIST: zeros, type 8, the number of axes, their lengths, bytes."""
    try:
        start = 4 + 4 * data[3]
        shape = np.frombuffer(data[4:start], ">i4") if data[:3] == bytes([0, 0, 8]) else ()
        return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
    except (ValueError, IndexError) as error:
        raise ValueError(
            f"{path} is no file of MNIST, or a damaged one ({error}); get it again"
        ) from error
