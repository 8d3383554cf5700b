"""Pictures of clusters: a contact sheet, the curve of distances above its clusters, a GIF."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from fvlib import extra
from fvlib.values import on_one_line

BLUE = "#08519c"  # of the cumulative method, in the whole book too
MOST_BARS = 1000  # a picture has no more columns to tell them apart
# Of classes, in this order: Okabe and Ito's, which the colour-blind can tell apart.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442", "#000000")
DARK = ("#0072b2", "#009e73", "#d55e00", "#000000")
TONES = ("#b8c9dd", "#52789f")  # of neighbouring clusters


def png(fig, **options) -> bytes:
    """A figure as the bytes of a PNG; the figure is closed. options: of matplotlib's `savefig`."""
    plt = extra("matplotlib.pyplot")
    buffer = io.BytesIO()
    with warnings.catch_warnings():  # of letters that the font has not: boxes stand for them
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        fig.savefig(buffer, format="png", metadata={"Software": None}, **options)
    plt.close(fig)
    return buffer.getvalue()


def gif(frames: np.ndarray, milliseconds: int = 160) -> bytes:
    """Frames, uint8 (t, h, w) or (t, h, w, 3), as the bytes of an endless GIF."""
    from PIL import Image  # torchvision brings it

    first, *others = map(Image.fromarray, frames)
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=milliseconds, loop=0)
    return buffer.getvalue()


def cluster_strip(ax, labels: Sequence[int] | np.ndarray, title: str) -> None:
    """The cluster of every frame in two alternating tones, its number in the middle."""
    labels = np.asarray(labels)
    for order, label in enumerate(np.unique(labels[labels >= 0])):
        frames = np.flatnonzero(labels == label)
        ax.axvspan(frames[0] - 0.5, frames[-1] + 0.5, color=TONES[order % 2], lw=0)
        middle, colour = (frames[0] + frames[-1]) / 2, "white" if order % 2 else "black"
        ax.text(middle, 0.5, str(label), ha="center", va="center", fontsize=8, color=colour)
    strip_axes(ax, len(labels), title)


def ribbon(dist: np.ndarray, labels: np.ndarray, title: str = ""):
    """A figure: the distance of neighbouring frames, its sum so far, and the clusters below."""
    plt = extra("matplotlib.pyplot")
    done, step = np.cumsum([0, *dist]), -(-len(dist) // MOST_BARS) or 1
    starts = np.arange(0, len(dist), step)  # of bars, which show the largest of some where many are
    tops = np.maximum.reduceat(dist, starts) if len(dist) else dist
    fig, (curve, strip) = plt.subplots(
        2, 1, figsize=(9, 3.4), height_ratios=[8, 1], sharex=True, layout="constrained"
    )
    curve.bar(starts + step / 2, tops, width=0.8 * step, color="#bbbbbb")
    curve.set(ylabel="bits that differ", ylim=(0, None))
    curve.set_title(title, parse_math=False)  # a name with two $ is no formula
    total = curve.twinx()
    total.plot(done, color=BLUE)
    total.set(ylabel="added up", ylim=(0, None))
    cluster_strip(strip, labels, "cluster")
    strip.set_xticks(np.unique(np.linspace(0, len(dist), 9).astype(int)))
    strip.set_xlabel("frame")
    return fig


def shown_of_each(labels: np.ndarray, per_row: int = 6) -> dict[int, np.ndarray]:
    """The frames of each cluster that a contact sheet shows, at most so many, ascending."""
    found = {}
    for label in np.unique(labels[labels >= 0]).tolist():
        members = np.flatnonzero(labels == label)
        spread = np.linspace(members[0], members[-1], per_row).round().astype(int)
        found[label] = np.unique(spread)
    return found


def contact_sheet(
    frames: np.ndarray | Mapping[int, np.ndarray],
    labels: np.ndarray,
    means: np.ndarray,
    per_row: int = 6,
):
    """A figure with a row for each cluster: some of its frames, and their mean at the end.

    Args:
        frames: uint8 (h, w, 3) by number, at least those that `shown_of_each` names.
        means: of the clusters, (g, h, w, 3).
    """
    plt = extra("matplotlib.pyplot")
    found = shown_of_each(labels, per_row)
    h, w = means.shape[1:3]
    size = 1.5 * (per_row + 1), (1.5 * h / w + 0.22) * len(found)
    fig, axes = plt.subplots(
        len(found), per_row + 1, figsize=size, squeeze=False, layout="constrained"
    )
    for ax in axes.flat:
        ax.axis("off")
    for row, (label, shown) in zip(axes, found.items(), strict=True):
        for ax, frame in zip(row, shown, strict=False):
            ax.imshow(frames[frame])
            ax.set_title(f"frame {frame}", fontsize=7, pad=2)
        row[-1].imshow(means[label])
        row[-1].set_title(f"mean of {(labels == label).sum()}", fontsize=7, pad=2, weight="bold")
        row[0].text(-0.06, 0.5, label, transform=row[0].transAxes, ha="right", va="center")
    return fig


def timeline(
    edges: np.ndarray, scores: np.ndarray, classes: Sequence[str], title: str = "", unit: str = "s"
):
    """A figure: the shares of the classes in each segment of a video, and below which is largest.

    edges: when the segments begin, and the last one ends, (g + 1,). scores: (g, k). Drawn are the
    classes that are the largest somewhere, at most as many as there are colours; others are grey.
    """
    plt = extra("matplotlib.pyplot")
    best, weights = scores.argmax(1), np.diff(edges)
    seconds = np.bincount(best, weights, len(classes)) + scores.mean(0) * 1e-9
    drawn = [k for k in np.argsort(-seconds, kind="stable") if k in best][: len(COLOURS)]
    colours = dict(zip(drawn, COLOURS, strict=False))
    fig, (curves, strip) = plt.subplots(
        2, 1, figsize=(9, 3.4), height_ratios=[8, 1], sharex=True, layout="constrained"
    )
    for k in reversed(drawn):
        name = on_one_line(classes[k])
        curves.stairs(100 * scores[:, k], edges, baseline=None, color=colours[k], lw=2, label=name)
    curves.set(ylabel="share (%)", ylim=(0, 102))
    curves.set_title(title, parse_math=False)
    legend = curves.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, reverse=True)
    for text in legend.get_texts():
        text.set_parse_math(False)
    for k, start, end in zip(best, edges[:-1], edges[1:], strict=True):
        strip.axvspan(start, end, color=colours.get(k, "#bbbbbb"), lw=0)
        if end - start > 0.04 * (edges[-1] - edges[0]):  # there is room for a letter or more
            name = f"{on_one_line(classes[k]):.{int(90 * (end - start) / edges[-1])}}"
            text = strip.text((start + end) / 2, 0.5, name, ha="center", va="center", fontsize=7)
            text.set(parse_math=False, color="white" if colours.get(k) in DARK else "black")
    strip.set(xlim=(edges[0], edges[-1]), ylim=(0, 1), yticks=[], xlabel=f"time ({unit})")
    strip.set_ylabel("largest", rotation=0, ha="right", va="center")
    return fig


def strip_axes(ax, t: int, title: str) -> None:
    """The axes of a strip of t frames, its title at the left."""
    ax.set(xlim=(-0.5, t - 0.5), ylim=(0, 1), yticks=[], xticks=[])
    ax.set_ylabel(title, rotation=0, ha="right", va="center")
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
