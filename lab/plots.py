"""The style of the book and its pictures. Functions take arrays; `show` puts a figure on a page.

Colour is the entity for the whole book, and never colour alone: lines are labelled where they run,
markers differ, and clusters are told apart by two alternating tones.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fvlib.pictures import TONES as TONES
from fvlib.pictures import cluster_strip as cluster_strip
from fvlib.pictures import contact_sheet as contact_sheet
from fvlib.pictures import gif, png, strip_axes
from fvlib.pictures import ribbon as ribbon
from lab.recipes import Look, entities_of

ENTITIES = entities_of(Path(__file__).parents[1] / "data" / "recipes.toml")
COLOURS = {name: entity.colour for name, entity in ENTITIES.items()}
MARKERS = {name: entity.marker for name, entity in ENTITIES.items()}
# Frame types of Move4MNIST, from light to dark where the frame tells less.
TYPES = ("target", "distractor", "black", "background")
TYPE_COLOURS = ("#2a7f3f", "#d6a4c4", "#222222", "#cfcfcf")
TYPE_LETTERS = "TDKB"


def use_style() -> None:
    """Set the style of all figures of the book: called once at the top of a chapter."""
    import matplotlib.pyplot as plt
    import seaborn as sns

    sns.set_theme(context="notebook", style="ticks", font="DejaVu Sans")
    plt.style.use(Path(__file__).with_name("book.mplstyle"))


def show(fig, caption: str, alt: str, **numbers) -> None:
    """Put a figure on the page: the picture, and its caption.

    Args:
        alt: what the picture shows, for readers who do not see it; it goes into the output's
            metadata.
        numbers: the few that make the picture, arrays rounded. They are the picture's text for
            those who have no pictures, so nobody sees them below it, and the tests of the stored
            outputs compare them: a changed figure is a changed text.
    """
    from IPython.display import Markdown, display

    said = [f"{name.replace('_', ' ')}: {_rounded(value)}" for name, value in numbers.items()]
    picture = {"image/png": b64encode(png(fig)).decode(), "text/plain": "\n".join(said) or alt}
    display(picture, metadata={"image/png": {"alt": alt}}, raw=True)
    display(Markdown(f"*{caption}*"))


def _rounded(value) -> str:
    if not isinstance(value, float | np.ndarray | list | tuple):
        return str(value)
    shown = {"precision": 3, "suppress_small": True, "separator": ", ", "threshold": 200}
    return np.array2string(np.asarray(value), **shown)


def animate(
    video: np.ndarray, caption: str, alt: str, *, zoom: int = 2, milliseconds: int = 160
) -> None:
    """Put a moving picture on the page: the frames (t, h, w), uint8, as an endless GIF.

    It has 16 greys, which take a quarter of the bytes of 256.
    """
    from IPython.display import Image, Markdown, display

    enlarged = (video // 16 * 17).repeat(zoom, axis=1).repeat(zoom, axis=2)
    display(Image(gif(enlarged, milliseconds), format="gif", alt=alt))
    display(Markdown(f"*{caption}*"))


def type_strip(ax, types: Sequence[int], title: str = "ground truth") -> None:
    """The type of every frame as a coloured cell with its letter: T, D, K (black), B."""
    for frame, kind in enumerate(types):
        ax.axvspan(frame - 0.5, frame + 0.5, color=TYPE_COLOURS[kind], lw=0)
        colour = "white" if kind in (0, 2) else "black"
        ax.text(frame, 0.5, TYPE_LETTERS[kind], ha="center", va="center", fontsize=8, color=colour)
    strip_axes(ax, len(types), title)


def method(film: np.ndarray, x: np.ndarray, labels: np.ndarray, means: np.ndarray):
    """A figure: the method from frames to scores, on one clip (Fig. 2 of the paper, drawn anew).

    Args:
        film: frames, uint8 (t, h, w, 3).
        x: their activations after block 1, (t, c, h, w); the signs of one channel are shown.
        labels: the cluster of each frame.
        means: averages of the clusters' frames, (g, h, w, 3), for the eye: the network averages
            the activations.
    """
    import matplotlib.pyplot as plt

    t, g = len(film), len(means)
    on = x > 0
    bits = on[:, (on[1:] != on[:-1]).sum((0, 2, 3)).argmax()]  # of the channel that changes most
    changed = (on[1:] != on[:-1]).sum((1, 2, 3))
    fig, ax = plt.subplots(figsize=(11, 2.9))
    high = 0.92 * film.shape[1] / film.shape[2]  # of a frame that is 0.92 wide
    for i in range(t):
        for bottom, picture in ((4.75, film[i]), (3.75, bits[i])):
            box = (i + 0.04, i + 0.96, bottom, bottom + high)
            ax.imshow(picture, extent=box, cmap="gray_r", vmin=0, interpolation="nearest")
    ax.bar(np.arange(1, t), 0.7 * changed / changed.max(), 0.5, 2.95, color="#bbbbbb")
    middles = (np.arange(g) + 0.5) * t / g  # of the averages
    wide = 1.6  # each, to both sides of its middle
    for k in range(g):
        members = np.flatnonzero(labels == k)
        tone, ends = TONES[k % 2], (members[0], members[-1] + 1)
        ax.fill_between(ends, 2.55, 2.8, color=tone, lw=0)
        left, right = box = (middles[k] - wide / 2, middles[k] + wide / 2)
        for above, below in zip(ends, box, strict=True):
            ax.plot((above, below), (2.55, 2.2), color=tone, lw=0.8)
        bottom = 2.2 - wide * film.shape[1] / film.shape[2]
        ax.imshow(means[k], extent=(left, right, bottom, 2.2), interpolation="bilinear")
    _stages(ax, t, middles, bottom)
    ax.set(xlim=(-4.2, t + 0.1), ylim=(-0.85, 5.5), aspect="equal")
    ax.axis("off")
    return fig


def _stages(ax, t: int, middles: np.ndarray, bottom: float) -> None:
    """What happens in each row of `method`, at its left, and the rest of the network below."""
    texts = {
        5.1: f"all {t} frames",
        4.1: "signs of the activations\nafter block 1",
        3.2: "signs that change",
        2.67: f"{len(middles)} clusters",
        1.6: "one average each",
    }
    for height, text in texts.items():
        ax.text(-0.25, height, text, ha="right", va="center", fontsize=9)
    ax.fill_between((0, t), 0, 0.6, color="#e8e8e8", lw=0)
    ax.text(t / 2, 0.28, "blocks 2 to 4, on the averages alone", **_CENTRED)
    ax.text(t / 2, -0.65, "mean of the scores: the class of the video", **_CENTRED)
    arrow = {"arrowstyle": "->", "color": "#666666", "lw": 0.8, "shrinkA": 0, "shrinkB": 0}
    for x in middles:
        ax.annotate("", (x, 0.6), (x, bottom), arrowprops=arrow)
    ax.annotate("", (t / 2, -0.4), (t / 2, 0.0), arrowprops=arrow)


_CENTRED = {"ha": "center", "va": "center", "fontsize": 9}


def field(
    ax,
    costs: Mapping[str, float],
    accuracies: Mapping[str, Sequence[float]],
    looks: Mapping[str, Look],
    low: float = 0.0,
) -> None:
    """The mean of each row over its cost, named beside it; every seed is a small marker.

    Names of rows that are close to each other stand one below the other, joined to their markers:
    at the right, or at the left where others are near at the right alone.
    Accuracies are in percent, and the axis reaches from `low` to 100.
    """
    means = {row: float(np.mean(values)) for row, values in accuracies.items()}
    high = 100 + 0.06 * (100 - low)
    unit, gap = 0.01 * max(costs.values()), 0.052 * (100 - low)
    wide = 18 * unit  # a name is about as wide, and would lie over the next markers
    columns: list[list[str]] = []
    for row in sorted(costs, key=costs.get):
        if not columns or costs[row] - costs[columns[-1][-1]] > wide / 3:
            columns.append([])
        columns[-1].append(row)
    edges = [(costs[rows[0]], costs[rows[-1]]) for rows in columns]
    for place, rows in enumerate(columns):
        left = edges[place][0] - (edges[place - 1][1] if place else 0) > wide
        right = place + 1 == len(columns) or edges[place + 1][0] - edges[place][1] > wide
        side = 1 if right or not left else -1
        x, height = edges[place][side > 0] + 2.3 * side * unit, high
        for row in sorted(rows, key=means.get, reverse=True):
            colour, marker = looks[row].colour, looks[row].marker
            style = {"color": colour, "marker": marker, "ls": ""}
            style |= {"mfc": "none"} if looks[row].hollow else {}
            values = accuracies[row]
            ax.plot([costs[row]] * len(values), values, ms=3, alpha=0.4, **style)
            ax.plot(costs[row], means[row], ms=7, **style)
            height = min(means[row], height - gap)
            ax.plot([costs[row], x], [means[row], height], color=colour, lw=0.5)
            style = {"fontsize": 7, "va": "center", "ha": "left" if side > 0 else "right"}
            ax.text(x + 0.5 * side * unit, height, row, color="#222222", **style)
    ax.set(xlim=(0, 1.3 * max(costs.values())), ylim=(low, high))


def ranges(
    ax, scores: Mapping[str, np.ndarray], styles: Mapping[str, Mapping[str, object]]
) -> None:
    """Scores (seeds, clips) of every name side by side, in the style of that name (color, marker).

    Thin: 90 % of all clips; thick: the middle half; a marker for the median of each seed.
    """
    for place, (name, values) in enumerate(scores.items()):
        low, first, third, high = np.nanquantile(values, [0.05, 0.25, 0.75, 0.95])
        colour = styles[name]["color"]
        ax.plot([place, place], [low, high], color=colour, lw=1)
        ax.plot([place, place], [first, third], color=colour, lw=6, alpha=0.3)
        medians = np.nanmedian(values, axis=1)
        across = place + 0.13 * (np.arange(len(medians)) - (len(medians) - 1) / 2)
        ax.plot(across, medians, **{"ls": "", "ms": 3.5, **styles[name]})
    ax.set(xlim=(-0.6, len(scores) - 0.4), xticks=range(len(scores)))
    long = max(map(len, scores)) > 8
    ax.set_xticklabels(scores, fontsize=9, rotation=40 * long, ha="right" if long else "center")
