"""The style of the book and its pictures. Functions take arrays; `show` puts a figure on a page.

Colour is the entity for the whole book, and never colour alone: lines are labelled where they run,
markers differ, and clusters are told apart by two alternating tones.
"""

from __future__ import annotations

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
    plt.rcParams.update(
        {
            "figure.figsize": (7.5, 3.2),
            "figure.dpi": 100,
            "savefig.dpi": 130,
            "figure.constrained_layout.use": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlelocation": "left",
            "axes.titlesize": 11,
            "axes.labelsize": 10,
            "font.size": 10,
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "legend.frameon": False,
            "lines.linewidth": 1.8,
            "image.cmap": "gray",
            "image.interpolation": "nearest",
        }
    )


def show(fig, caption: str, alt: str, **numbers) -> None:
    """Put a figure on the page: the picture, its caption, and the few numbers that make it.

    Args:
        alt: what the picture shows, for readers who do not see it; it goes into the output's
            metadata.
        numbers: printed under the picture, arrays rounded, so that a changed figure changes the
            page's text too, which is what the tests of the stored outputs compare.
    """
    from IPython.display import Image, Markdown, display

    display(Image(png(fig), format="png", alt=alt))
    display(Markdown(f"*{caption}*"))
    for name, value in numbers.items():
        if isinstance(value, float | np.ndarray | list | tuple):
            value = np.array2string(
                np.asarray(value), precision=3, suppress_small=True, separator=", ", threshold=200
            )
        print(f"{name.replace('_', ' ')}: {value}")


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


def accuracy_against_cost(
    ax,
    costs: Mapping[str, float],
    accuracies: Mapping[str, Sequence[float]],
    looks: Mapping[str, Look],
) -> None:
    """Every seed of a table's rows a dot over the row's cost, the mean a line, the images above it.

    Rows of nearly equal cost stand side by side. The legend names the methods.

    Args:
        looks: of the rows, as `lab.recipes.looks_of` gives them.
    """
    means = {row: float(np.mean(values)) for row, values in accuracies.items()}
    lift = 0.02 * max(np.ptp(np.concatenate(list(accuracies.values()))), 0.1)
    step = 0.038 * max(costs.values())
    named, groups = set(), []
    for row in sorted(accuracies, key=costs.get):
        if not groups or costs[row] - costs[groups[-1][-1]] > step:
            groups.append([])
        groups[-1].append(row)
    for rows in groups:
        middle = np.mean([costs[row] for row in rows])
        for place, row in enumerate(sorted(rows, key=means.get)):
            look, x = looks[row], middle + step * (place - (len(rows) - 1) / 2)
            ax.scatter(
                np.full(len(accuracies[row]), x),
                accuracies[row],
                s=24,
                marker=look.marker,
                edgecolor=look.colour,
                facecolor="none" if look.hollow else look.colour,
                label=None if look.label in named else look.label,
            )
            named.add(look.label)
            ax.plot(x, means[row], "_", color=look.colour, ms=13, mew=1.5)
            top, style = max(accuracies[row]) + lift, {"fontsize": 8, "color": look.colour}
            ax.text(x, top, str(look.images), ha="center", va="bottom", **style)
    ax.set_xlim(left=0)
    ax.legend(fontsize=8, loc="lower right")


def field(
    ax,
    costs: Mapping[str, float],
    accuracies: Mapping[str, Sequence[float]],
    looks: Mapping[str, Look],
) -> None:
    """Many methods at once: the mean of each row over its cost, named beside it; seeds are small.

    Names of rows that are close to each other stand one below the other, joined to their markers.
    Accuracies are in percent, and the axis reaches from 0 to 100.
    """
    means = {row: float(np.mean(values)) for row, values in accuracies.items()}
    unit, gap = 0.01 * max(costs.values()), 5.2
    near = 28 * unit  # a name is about as wide
    columns: list[list[str]] = []
    for row in sorted(costs, key=costs.get):
        if not columns or costs[row] - costs[columns[-1][0]] > near:
            columns.append([])
        columns[-1].append(row)
    for rows in columns:
        x, height = max(costs[row] for row in rows) + 2.3 * unit, 106.0
        for row in sorted(rows, key=means.get, reverse=True):
            colour, marker = looks[row].colour, looks[row].marker
            style = {"color": colour, "marker": marker, "ls": ""}
            values = accuracies[row]
            ax.plot([costs[row]] * len(values), values, ms=3, alpha=0.4, **style)
            ax.plot(costs[row], means[row], ms=7, **style)
            height = min(means[row], height - gap)
            ax.plot([costs[row], x], [means[row], height], color=colour, lw=0.5)
            ax.text(x + 0.5 * unit, height, row, fontsize=7, va="center", color="#222222")
    ax.set(xlim=(0, 1.3 * max(costs.values())), ylim=(0, 106))


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
