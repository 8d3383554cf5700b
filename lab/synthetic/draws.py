"""Random numbers for the plans of the mini sets: the same on every machine, for good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


class PlanRNG:
    """Random numbers that depend on the seed and on a key alone.

    Everything is made from uniform numbers of a Philox generator: NumPy may change how it draws
    integers or choices from one version to the next.
    """

    def __init__(self, seed: int, *key: int):
        sequence = np.random.SeedSequence(seed, spawn_key=key)
        self._random = np.random.Generator(np.random.Philox(sequence)).random

    def number(self, low: float | int = 0, high: float | int = 1) -> float:
        """A number from low up to high."""
        return float(low + self._random() * (high - low))

    def numbers(self, count: int, low: float | int = 0, high: float | int = 1) -> tuple[float, ...]:
        """So many of them."""
        return tuple((low + self._random(count) * (high - low)).tolist())

    def integer(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return int(low + int(self._random() * (high - low + 1)))

    def choice(self, items: Sequence) -> Any:
        """One of the items."""
        return items[self.integer(0, len(items) - 1)]

    def order(self, count: int) -> list[int]:
        """The numbers from 0 to count - 1, shuffled."""
        return np.argsort(self._random(count), kind="stable").tolist()
