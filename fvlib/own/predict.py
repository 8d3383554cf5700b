"""What a trained network says of a video of any length, and which part of it says so.

A file is decoded several times: to know how many frames there are and when each is shown, then to
see how much neighbours differ, which says where the clusters begin, and to add the frames to their
means. So memory is that of one chunk of frames, however long the video is. Of the network nothing
is wanted that it does not compute anyway: the scores of a video are an average of those of its
clusters, and a cluster has a place in time.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor, nn
from tqdm import tqdm

from fvlib import extra, pictures
from fvlib.contracts import VideoNetwork
from fvlib.datasets.streams import ClipStream
from fvlib.datasets.videos import ClipList, UnreadableClip, open_clip
from fvlib.datasets.videos.clips import VideoClips
from fvlib.datasets.videos.frames import AnyPath
from fvlib.evaluation import Protocol, check_scores, in_eval_mode, views_of
from fvlib.storage import write_file
from fvlib.values import on_one_line

CHUNK = 32  # frames at once, for networks that do not say it themselves


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a network says of one video.

    logits: of the classes. seconds: how long the video is; None if it has no clock, and then times
    are numbers of frames. edges: when its segments begin, and the last one ends; a segment is a
    cluster, or what one of a few frames stands for. sizes: frames shown of each segment.
    segment_logits: of each segment by itself. Their mean is `logits`, weighted by sizes where the
    network's consensus is; of shares (softmax), that are easier to read, it is not.
    """

    file: Path
    classes: tuple[str, ...]
    logits: Float32[np.ndarray, " k"]
    frames: int
    seconds: float | None
    edges: Float64[np.ndarray, " _"]
    sizes: Int64[np.ndarray, " g"]
    segment_logits: Float32[np.ndarray, "g k"]

    @property
    def scores(self) -> Float64[np.ndarray, " k"]:
        """The share of each class, together 1."""
        return shares(self.logits)

    @property
    def segment_scores(self) -> Float64[np.ndarray, "g k"]:
        """The shares of the classes in each segment."""
        return shares(self.segment_logits)

    def top(self, count: int) -> list[tuple[str, float]]:
        """So many classes with their shares, the largest first."""
        best = np.argsort(-self.scores, kind="stable")[:count]
        return [(self.classes[k], float(self.scores[k])) for k in best]

    def segments(self) -> list[dict[str, Any]]:
        """Start, end, best class and its share of each segment, one after the other in time."""
        best, scores = self.segment_scores.argmax(1), self.segment_scores.max(1)
        classes = [self.classes[k] for k in best]
        each = zip(pairwise(self.edges.tolist()), classes, scores.tolist(), strict=True)
        return [
            {"start": start, "end": end, "class": name, "score": score}
            for (start, end), name, score in each
        ]

    def as_json(self, count: int, *, timeline: bool = False) -> dict[str, Any]:
        """What JSON can say of it: the best classes, and of each segment the shares of all."""
        found = {"file": str(self.file), "frames": self.frames, "seconds": self.seconds}
        found["classes"] = [{"class": name, "score": score} for name, score in self.top(count)]
        if timeline:
            named = [dict(zip(self.classes, row, strict=True)) for row in self.segment_scores]
            both = zip(self.segments(), named, strict=True)
            found["segments"] = [segment | {"scores": scores} for segment, scores in both]
        return found

    def write_timeline(self, folder: Path, name: str) -> None:
        """Write the segments as NAME.csv, and a picture of them as NAME.png."""
        extra("matplotlib").use("agg")
        rows = io.StringIO()
        writer = csv.DictWriter(rows, ("start", "end", "class", "score"), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.segments())
        unit = "frames" if self.seconds is None else "s"
        title = f"{on_one_line(self.file.name):.60}: {len(self.sizes)} segments"
        fig = pictures.timeline(self.edges, self.segment_scores, self.classes, title, unit)
        folder.mkdir(parents=True, exist_ok=True)
        write_file(folder / f"{name}.csv", rows.getvalue())
        write_file(folder / f"{name}.png", pictures.png(fig, dpi=130))


def shares(logits: Float32[np.ndarray, "*n k"]) -> Float64[np.ndarray, "*n k"]:
    """Softmax over the last axis."""
    powers = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A network with all that is needed to show it a file as its training and its test did.

    protocol: which frames are shown, and how, once and forward. size: (h, w) to which frames are
    resized while they are decoded, as of `VideoClips`. autocast: in bfloat16, as in `evaluate`.
    progress: show how many frames have been seen.

    Memory does not grow with the video where all frames are shown, one after the other, and the
    clusters follow from distances or from nothing; otherwise the frames shown are there at once.

    Raises ValueError for a protocol of several views or crops, or another order.
    """

    network: VideoNetwork
    classes: tuple[str, ...]
    protocol: Protocol
    size: tuple[int, int] | None = None
    autocast: bool = True
    progress: bool = False

    def __post_init__(self):
        shown = self.protocol
        if (shown.views, shown.crops, shown.order) != (1, 1, "forward"):
            raise ValueError(
                f"views is {shown.views}, crops {shown.crops}, order {shown.order!r}; a video is "
                "shown once, forward: wanted 1, 1 and 'forward'"
            )

    @torch.no_grad()
    def __call__(self, file: AnyPath) -> Prediction:
        """What the network says of one file, or of one folder of frames.

        Raises UnreadableClip for a file that is not there, damaged, or no video.
        """
        clip, network = open_clip(os.path.abspath(file)), self.network
        scan, times = clip.times()
        shown = self.protocol.of_clip(scan.frames, 0)
        one = np.array([clip.path.name]), np.array([0])
        alone = ClipList("", "", clip.path.parent, self.classes, *one)
        clips = VideoClips(alone, np.array([scan.frames]), size=self.size)
        with (
            tqdm(desc=clip.path.name, unit="frame", leave=False, disable=not self.progress) as bar,
            in_eval_mode(network),
            _fitted(network, len(shown)),
            _watched(network) as seen,
            torch.autocast(network.device.type, torch.bfloat16, enabled=self.autocast),
        ):

            def as_seen(x: Tensor, _: np.ndarray) -> Tensor:
                bar.update(x.shape[1])
                return views_of(x, self.protocol)[0].to(network.device)

            stream = ClipStream(clips, np.array([0]), [shown], as_seen)
            logits, labels = network(stream, cluster=self.protocol.cluster, return_labels=True)
        logits, each = logits.float(), torch.cat(seen).float()
        check_scores(logits, np.array([0]), clips)
        labels = np.arange(len(shown)) if labels is None else labels[0].cpu().numpy()
        _, first, sizes = np.unique(labels, return_index=True, return_counts=True)
        cuts = (shown[first[1:] - 1] + shown[first[1:]] + 1) // 2  # halfway between frames shown
        if scan.seconds is None:
            times = np.arange(scan.frames, dtype=float)
        end = scan.frames if scan.seconds is None else scan.seconds
        edges = np.concatenate([[0.0], times[cuts], [end]])
        return Prediction(
            file=clip.path,
            classes=self.classes,
            logits=logits[0].cpu().numpy(),
            frames=scan.frames,
            seconds=scan.seconds,
            edges=edges,
            sizes=sizes,
            segment_logits=each.cpu().numpy(),
        )


def predict(
    model: Any, files: Iterable[AnyPath], *, device: str | None = None, **options: Any
) -> Iterator[Prediction | UnreadableClip]:
    """What a model says of each file; in the place of one that cannot be read, the error.

    model: a `Predictor`, or what `load_model` gives: (network, settings, classes). device: where
    the network is put; None leaves it where it is. options: of `Predictor`.

    Raises FloatingPointError, which names the file, for scores that are not finite.
    """
    if not isinstance(model, Predictor):
        known = {"network": model.network, "classes": model.classes}
        side = model.settings.size
        model = Predictor(**known, protocol=model.settings.protocol, size=(side, side))
    predictor = replace(model, **options)
    if device is not None:
        predictor.network.to(device)
    for file in files:
        try:
            yield predictor(file)
        except UnreadableClip as error:
            yield error


@contextmanager
def _fitted(network: Any, t: int) -> Iterator[None]:
    """The network for one clip of t frames: with at most as many clusters, and in chunks, unless
    its labels need the activations of all frames at once.
    """
    step, chunk = network.clustering, network.chunk
    if step is not None:
        network.clustering = copy(step)
        network.clustering.g = min(step.g, t)
        if step.labeling.needs != "activations":
            network.chunk = chunk or CHUNK
    try:
        yield
    finally:
        network.clustering, network.chunk = step, chunk


@contextmanager
def _watched(network: VideoNetwork) -> Iterator[list[Tensor]]:
    """The scores of single images (m, k) that the last layer gives meanwhile."""
    if network.last is None:
        raise ValueError(
            "the network has no last layer that scores images one by one; wanted one that ends in "
            "a Linear"
        )
    seen: list[Tensor] = []
    module: nn.Module = network.get_submodule(network.last)  # pyright: ignore
    handle = module.register_forward_hook(lambda _module, _received, y: seen.append(y))
    try:
        yield seen
    finally:
        handle.remove()
