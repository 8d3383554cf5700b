"""A report on a model as one HTML page that loads nothing from elsewhere."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64

from fvlib import extra, pictures
from fvlib.contracts import Clips, VideoNetwork
from fvlib.evaluation import in_eval_mode
from fvlib.own.fit import Fitted
from fvlib.storage import write_file

WRONG = 6  # clips that are shown
LONGEST = 2000  # frames of a clip that is shown
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse } td, th { padding: .15rem .8rem; text-align: left }
tr { border-bottom: 1px solid #ddd } img { max-width: 100% } figure { margin: 1rem 0 }
figcaption { color: #555 }
"""


def write_report(
    path: Path, fitted: Fitted, model: VideoNetwork, reasons: Mapping[str, str], clips: Clips
) -> None:
    """Write the page: accuracy, curves, confusion, and the clips it is surest wrong about.

    clips: those of the test, as the network sees them; of the wrong ones the clusters are shown.
    """
    extra("matplotlib").use("agg")
    found, test, (low, high) = fitted.evaluation, fitted.test, fitted.interval
    sources = len(set(test.groups))
    chance = 100 * np.bincount(found.target).max() / len(found.target)
    parts = [
        f"<p><strong>{found.top1:.1f} %</strong> of {len(found.target)} clips that were not "
        f"trained on are named rightly; 95 % interval {low:.0f} to {high:.0f} %, which counts the "
        f"{sources} sources they come from. By chance it would be {chance:.0f} %: "
        "the share of the most frequent class.</p>",
        figure(_curves(fitted), "Loss and accuracy on the clips trained on, epoch by epoch."),
        figure(
            _confusion(fitted.confusion, test.classes),
            "What the clips of each class were taken for, in clips.",
        ),
        "<h2>The clips it is surest wrong about</h2>",
        *_mistakes(fitted, model, clips),
        "<h2>Settings</h2>",
        table(
            ("setting", "value", "why"),
            [(name, value, reasons[name]) for name, value in asdict(fitted.settings).items()],
        ),
    ]
    write_file(path, page("What the model has learned", parts))


def page(title: str, parts: Sequence[str]) -> str:
    """An HTML page that may load nothing."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body><h1>{escape(title)}</h1>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def figure(fig, caption: str) -> str:
    """A figure below its caption, in the page itself."""
    data = b64encode(pictures.png(fig, dpi=110)).decode()
    text = escape(caption)
    image = f'<img alt="{text}" src="data:image/png;base64,{data}">'
    return f"<figure><figcaption>{text}</figcaption>{image}</figure>"


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table; what stands in it is escaped."""

    def line(cells: Sequence[object], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    return "<table>" + line(heads, "th") + "".join(line(row, "td") for row in rows) + "</table>"


def _curves(fitted: Fitted):
    plt, history = extra("matplotlib.pyplot"), fitted.history
    fig, axes = plt.subplots(1, 2, figsize=(9, 2.8), layout="constrained")
    epochs = range(1, len(history.train_loss) + 1)
    named = (("loss", history.train_loss), ("right, %", history.train_top1))
    for ax, (name, values) in zip(axes, named, strict=True):
        ax.plot(epochs, values, color=pictures.BLUE)
        ax.set(xlabel="epoch", ylabel=name, ylim=(0, None))
        ax.xaxis.get_major_locator().set_params(integer=True)
        if fitted.settings.warmup_epochs:
            ax.axvline(fitted.settings.warmup_epochs + 0.5, color="#999999", lw=0.8, ls="--")
    return fig


def _confusion(counts: Int64[np.ndarray, "k k"], classes: Sequence[str]):
    plt, k = extra("matplotlib.pyplot"), len(classes)
    side = min(12.0, 2.5 + 0.45 * k)
    fig, ax = plt.subplots(figsize=(side, side), layout="constrained")
    ax.imshow(counts / np.maximum(counts.sum(1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    for i, j in np.argwhere(counts):
        dark = counts[i, j] > counts[i].sum() / 2
        ax.text(j, i, counts[i, j], ha="center", va="center", color="white" if dark else "black")
    names = [name if len(name) <= 24 else name[:22] + "…" for name in classes]
    ax.set(xticks=range(k), yticks=range(k), xlabel="taken for", ylabel="class")
    ax.set_xticklabels(names, rotation=60, ha="right", parse_math=False)
    ax.set_yticklabels(names, parse_math=False)
    return fig


def _mistakes(fitted: Fitted, model: VideoNetwork, clips: Clips) -> list[str]:
    """The wrong clips with the highest scores for a wrong class, and their clusters."""
    found, test = fitted.evaluation, fitted.test
    shares = torch.from_numpy(found.scores).softmax(1).numpy()
    wrong = np.flatnonzero(found.prediction != found.target)
    wrong = wrong[np.argsort(-shares[wrong].max(1), kind="stable")][:WRONG]
    if not len(wrong):
        return ["<p>There is none.</p>"]
    parts = []
    for i in wrong:
        named, truly = test.classes[found.prediction[i]], test.classes[found.target[i]]
        caption = (
            f"{test.clips.names[i]}: taken for {named} with {100 * shares[i].max():.0f} %; it is "
            f"{truly}, which got {100 * shares[i, found.target[i]]:.0f} %."
        )
        t = int(clips.lengths[i])
        shown = fitted.settings.protocol.of_clip(t, 0)
        if len(shown) > LONGEST:
            parts.append(f"<p>{escape(caption)}</p>")
            continue
        frames = clips.read(int(i), shown)
        labels = np.arange(len(shown))
        if fitted.settings.clusters:
            with torch.no_grad(), in_eval_mode(model):
                _, found_labels = model(frames[None].to(model.device), return_labels=True)
            labels = found_labels[0].cpu().numpy()
        film = frames.movedim(1, -1).numpy()
        means = np.stack([film[labels == k].mean(0) for k in np.unique(labels)])
        sheet = pictures.contact_sheet(film, labels, means.round().astype(np.uint8), 3)
        parts.append(figure(sheet, f"{caption} A row is a cluster, its average at the end."))
    return parts
