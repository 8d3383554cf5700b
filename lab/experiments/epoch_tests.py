"""The accuracy on test clips after every epoch, for those who choose the best of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from torch import nn

from fvlib import distributed
from fvlib.storage import npz_bytes, read_npz, write_file
from lab.experiments.parts import catch_up


class EpochTests:
    """Measures a network after each epoch of a training.

    measure: gives the accuracy in percent. checkpoint: of the training; what is known so far lies
    beside it, so that a training which goes on loses nothing.
    """

    def __init__(self, checkpoint: Path, measure: Callable[[], float]):
        self.checkpoint, self.file = checkpoint, checkpoint.with_suffix(".tests.npz")
        self.measure, self.found = measure, []

    def begin(self, model: nn.Module) -> None:
        """Before a training begins or goes on, in the place where it will."""
        if not distributed.from_rank_zero(self.checkpoint.exists):
            return
        self.found = distributed.from_rank_zero(self._known)
        if not catch_up(self.checkpoint, len(self.found), model, self):
            self._forget()

    def __call__(self, epoch: int, model: nn.Module, history: Any = None) -> None:
        """After an epoch."""
        self.found = [*self.found[:epoch], self.measure()]
        if distributed.is_rank_zero():
            write_file(self.file, npz_bytes(found=np.array(self.found)))

    def top1(self) -> Float32[np.ndarray, " epochs"]:
        """The record's array: accuracy (%) after each epoch."""
        return np.array(self.found, np.float32)

    def _known(self) -> list[float]:
        return read_npz(self.file)["found"].tolist() if self.file.exists() else []

    def _forget(self) -> None:
        """Begin again: of this checkpoint the first tests are not known."""
        self.found = []
        distributed.all_reduce_sum(0)  # all have read it
        if distributed.is_rank_zero():
            self.checkpoint.unlink()
