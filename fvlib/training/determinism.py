"""Sums in the same order every time, on GPUs too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def deterministic(on: bool = True) -> Iterator[None]:
    """While the block runs, torch uses no operation that gives other bits when it is repeated.

    On a CPU none does, as long as the number of threads is the same, and the block costs nothing
    that could be measured. On a GPU the backward passes of convolutions and pooling, and matrix
    products, may add up in any order; here cuDNN and cuBLAS are told not to (the latter by
    CUBLAS_WORKSPACE_CONFIG, which counts only if no product was computed before), and an operation
    that has no other way is a RuntimeError that names it. Another GPU or another release of torch
    gives other bits all the same.
    Explained in chapter 05_more_frames.
    """
    if not on:
        yield
        return
    was = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # torch's manual, on randomness
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(was[0])
        torch.backends.cudnn.benchmark = was[1]
