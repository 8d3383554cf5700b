"""What is followed through a training: clusters of test clips (Fig. 8), accuracy on all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import nn

from fvlib import distributed
from fvlib.contracts import Clips
from fvlib.datasets.loading import batches, chunks, parts_of
from fvlib.datasets.sampling import FrameSampler
from fvlib.evaluation import Protocol, views_of
from fvlib.models import TSMResNet
from fvlib.storage import npz_bytes, read_npz, write_file
from lab.parameters import Trained

FEW = 6  # clips of Fig. 8


def catch_up(
    checkpoint: Path, known: int, model: nn.Module, measure: Callable[[int, nn.Module], None]
) -> bool:
    """Before a training goes on: measure its last epoch, if it stopped before that was kept.

    Args:
        known: after how many epochs it was measured. False if more than the last one is missing.
    """
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    if known == state["epoch"] - 1:
        model.load_state_dict(state["model"])
        measure(state["epoch"] - 1, model)
    return known >= state["epoch"] - 1


class ClusterWatch:
    """Follows the clusters of a few test clips through a training; compares the first and the last.

    After each epoch the sizes of the clusters of six clips are taken, of different classes where
    there are as many, and of all clips at the start and at the end, always in eval mode.

    Args:
        clips: of the test.
        protocol: how they are shown.
        checkpoint: of the training; what is known so far lies beside it, so that a training which
            goes on loses nothing, and stays until the run's record is written.
        parameters: of the run (clusters, frame_budget, autocast).

    Source:
        Fig. 8.
    """

    def __init__(self, clips: Clips, protocol: Protocol, checkpoint: Path, parameters: Trained):
        first = np.sort(np.unique(clips.targets, return_index=True)[1])
        others = np.setdiff1d(np.arange(len(clips)), first)
        self.few = np.concatenate([first, others])[:FEW]
        self.clips, self.protocol, self.parameters = clips, protocol, parameters
        self.checkpoint, self.file = checkpoint, checkpoint.with_suffix(".clusters.npz")
        self.g = parameters.clusters
        self.sampler = FrameSampler("all", stride=protocol.stride)

    def begin(self, model: TSMResNet) -> None:
        """Before a training begins or goes on."""
        if self.checkpoint.exists() and self.file.exists():
            known = read_npz(self.file)
            self.sizes, start = list(known["sizes"]), known["start"]
            self.start = np.split(start, self.sampler.shown(self.clips.lengths).cumsum()[:-1])
            if catch_up(self.checkpoint, len(self.sizes) - 1, model, self):
                return
        self.checkpoint.unlink(missing_ok=True)  # of which not all clusters are known
        self.sizes, self.start = [], self._labels(model, np.arange(len(self.clips)))
        self(-1, model)

    def __call__(self, epoch: int, model: TSMResNet, history: Any = None) -> None:
        """After an epoch."""
        sizes = self._sizes(self._labels(model, self.few))
        self.sizes = [*self.sizes[: epoch + 1], sizes]
        known = {"sizes": np.array(self.sizes), "start": np.concatenate(self.start)}
        write_file(self.file, npz_bytes(**known))

    def end(self, model: TSMResNet) -> dict[str, np.ndarray]:
        """The record's arrays.

        cluster_sizes (epochs + 1, 6, g): frames in each cluster of the six clips. Of every test
        clip: spread, the standard deviation of its clusters' sizes at the end in % of their mean;
        between, how far the sizes are from those of the mean clip (root mean square), in % of their
        mean, where all clips are taken to be of one length; moved, the % of its frames that are in
        another cluster at the end than at the start.
        """
        last = self._labels(model, np.arange(len(self.clips)))
        sizes = self._sizes(last)
        relative = sizes / sizes.mean(1, keepdims=True)
        between = np.sqrt(((relative - relative.mean(0)) ** 2).mean(1))
        moved = [(a != b).mean() for a, b in zip(self.start, last, strict=True)]
        return {
            "cluster_sizes": np.array(self.sizes).astype("uint16"),
            "spread": (100 * sizes.std(1) / sizes.mean(1)).astype("float32"),
            "between": (100 * between).astype("float32"),
            "moved": (100 * np.array(moved)).astype("float32"),
        }

    def counts(self, model: TSMResNet) -> Int64[np.ndarray, " clips"]:
        """How many clusters every test clip has now; they differ where they are adaptive."""
        labels = self._labels(model, np.arange(len(self.clips)))
        return np.array([of_clip.max() + 1 for of_clip in labels])

    def _sizes(self, labels: list[np.ndarray]) -> Int64[np.ndarray, "clips g"]:
        return np.array([np.bincount(of_clip, minlength=self.g) for of_clip in labels])

    @torch.no_grad()
    def _labels(self, model: TSMResNet, indices: np.ndarray) -> list[np.ndarray]:
        """The cluster of every frame of each of these clips."""
        was_training, device = model.training, next(model.parameters()).device
        model.eval()
        budget = self.parameters.frame_budget
        parts = parts_of(chunks(indices, 16), self.clips, self.sampler, budget)
        found = []
        for batch in batches(self.clips, [part for step in parts for part in step], self.sampler):
            x, _, lengths, _ = batch.to(device)
            with torch.autocast(device.type, torch.bfloat16, self.parameters.autocast):
                _, labels = model(views_of(x, self.protocol)[:, 0], lengths, return_labels=True)
            found += [of_clip[of_clip >= 0].cpu().numpy() for of_clip in labels]
        model.train(was_training)
        return found


class EpochTests:
    """The accuracy after each epoch of a training, for those who choose the best of them.

    Args:
        measure: gives the accuracy in percent.
        checkpoint: of the training; what is known so far lies beside it, so that a training which
            goes on loses nothing.
    """

    def __init__(self, checkpoint: Path, measure: Callable[[], float]):
        self.checkpoint, self.file = checkpoint, checkpoint.with_suffix(".tests.npz")
        self.measure, self.found = measure, []

    def begin(self, model: nn.Module) -> None:
        """Before a training begins or goes on, in the place where it will."""
        if not distributed.from_rank_zero(self.checkpoint.exists):
            return
        known = distributed.from_rank_zero(lambda: self.file.exists() and read_npz(self.file))
        self.found = known["found"].tolist() if known else []
        if not catch_up(self.checkpoint, len(self.found), model, self):
            self.found = []  # of this checkpoint the first tests are not known
            distributed.all_reduce_sum(0)  # all have read it
            if distributed.is_rank_zero():
                self.checkpoint.unlink()

    def __call__(self, epoch: int, model: nn.Module, history: Any = None) -> None:
        """After an epoch."""
        self.found = [*self.found[:epoch], self.measure()]
        if distributed.is_rank_zero():
            write_file(self.file, npz_bytes(found=np.array(self.found)))

    def top1(self) -> Float32[np.ndarray, " epochs"]:
        """The record's array: accuracy (%) after each epoch."""
        return np.array(self.found, np.float32)
