# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# <!-- navigation -->
# [← 10 · Do clusters keep the order of time?](10_something.ipynb) · [Contents](00_start_here.ipynb) · [12 · What the code does →](12_released_code.ipynb)
#
# *To run this page: `make lab` in the repository's folder. It sets up what is missing.*
#
# <details><summary>Opened alone, as on a hosted service?</summary>
#
# Then these lines come first, in a cell of their own, with the address of the repository:
#
#     !git clone -q ADDRESS book && pip install -q "./book[book]"
#     %cd book/notebooks
#     import sys; sys.path.insert(0, "..")
#
# </details>

# %% [markdown]
# # 11 · Videos of any length
#
# **Can a network learn from every frame of a video of any length, with exactly the gradient of the
# dense computation, in memory that does not grow with the video?** (This goes beyond the paper; its
# Section 1 says why it should not be possible.)
#
# > The main computational bottleneck for training video CNNs is memory for frame activations.
#
# With the paper's method memory still grows with every frame (chapter [04](04_network.ipynb)). Here
# it stops growing, at the price of computing every frame more than once. Then we try a number of
# clusters that follows the video, and scores weighted by cluster size.
#
# ## Claims tested here
#
# - C42: what keeps a network from training on all frames is the memory for their activations.
# - C43: methods that trade memory for computation would still have to store every frame.
#
# Everything else is ours. Accuracies are measured on the mini set of chapter
# [07](07_clusters.ipynb). **They test the mechanism, not the benchmark.**

# %% tags=["parameters"]
scale: str = "small"  # of the records of trained rows
data: str = "embedded"
seed: int = 0  # of random weights and pixels
every: int = 4  # the live cells take every so many-th frame of two films, to save time

# %%
import copy
import tempfile
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F

from lab import book, claims, plots, records
from fvlib import cost
from lab.book import say
from fvlib.clustering import (
    TemporalClustering,
    adaptive_counts,
    counts_at,
    cumulative_clusters,
    threshold_of,
)

# %%
from fvlib.datasets import InMemory
from lab.synthetic import SYNTHETIC
from fvlib.datasets.streams import ClipStream
from fvlib.evaluation import views_of
from lab.experiments.benchmarks import plans_tested
from lab.experiments.parts import protocols_of
from fvlib.models import tsm_resnet
from lab.building import build_network
from lab.recipes import looks_of, parameters_of

DATA = Path("../data")
RECORDS = DATA / "records"
torch.set_default_dtype(torch.float64)  # so that every machine finds the same signs
plots.use_style()

# %% [markdown]
# ## By hand: memory is a line
#
# Take Table 1 apart as in chapter [04](04_network.ipynb). A video of $t$ frames in $g$ clusters
# takes `rest + g · cluster + t · front`. The clustered rows leave room for only half of the *front*,
# stem and block 1, that the others imply; we take that smaller half. The videos of Breakfast have 187 to 9746 frames, 2105 on average:

# %%
paper = claims.paper_table(DATA, "table1")
gb = {row: line["memory"] for row, line in paper.items()}
frame = (gb["tsm-32"] - gb["tsm-8"]) / (32 - 8)
rest = gb["tsm-8"] - 8 * frame
cluster = (gb["cumulative-16"] - gb["cumulative-8"]) / (16 - 8)
front = (gb["cumulative-8"] - rest - 8 * cluster) / 32
lengths = {"shortest": 187, "average": 2105, "longest": 9746}
needed = {name: rest + 8 * cluster + t * front for name, t in lengths.items()}
for name, t in lengths.items():
    sums = f"{rest:.3f} + 8 · {cluster:.4f} + {t} · {front:.4f} = {needed[name]:.1f} GB"
    print(f"{name:8} {sums}; without clusters {rest + t * frame:.1f} GB")

# %% tags=["hide-input"]
t, looks = np.array([0, 2500]), looks_of(DATA / "recipes.toml", "cost")
fig, axes = plt.subplots(1, 2, figsize=(9, 3.1))
for ax, reach in zip(axes, (40, 2500), strict=True):
    for name, slope, start in (("tsm", frame, rest), ("cumulative", front, rest + 8 * cluster)):
        ax.plot(t, start + slope * t, color=plots.COLOURS[name])
    ax.set(xlim=(0, reach), ylim=(0, rest + frame * reach), xlabel="frames of a video")
for row, at in (("tsm-8", 8), ("tsm-16", 16), ("tsm-32", 32), ("cumulative-8", 32)):
    style = {"color": looks[row].colour, "marker": looks[row].marker, "mfc": "white", "ms": 7}
    axes[0].plot(at, gb[row], **style)
axes[0].text(17, 2.45, "TSM, all frames", ha="right", color=plots.COLOURS["tsm"])
axes[0].text(39, 0.8, "8 clusters of all frames", ha="right", color=plots.COLOURS["cumulative"])
axes[1].axhline(80, color="#222222", lw=0.8, ls="--")
axes[1].text(2480, 85, "a large GPU, 80 GB", ha="right", fontsize=8)
axes[1].plot(2105, needed["average"], "o", color=plots.COLOURS["cumulative"])
axes[1].text(2480, needed["average"] - 32, "an average Breakfast video", ha="right", fontsize=8)
axes[0].set_ylabel("GB for one video")
plots.show(
    fig,
    "The memory for one video by the numbers of Table 1. Hollow markers are the printed rows; on the right TSM passes 80 GB at "
    "about 900 frames, 8 clusters at about 2,500.",
    "Two panels of two rising lines; at 2105 frames the lower line is at about 66 gigabytes",
    gigabytes_with_8_clusters=list(needed.values()),
)

# %% [markdown]
# Clusters make the line less steep, but it is still a line. The gradient comes back only after the
# last frame has passed, and in block 1 it needs what every frame left there:
#
# > Existing approaches can trade off memory for compute by not storing all intermediate layers, yet
# > they do not scale to video as they would still need to store each frame.
#
# But must they? From each frame we need only two things: in which bits it differs from the frame
# before, and its part in a mean.
#
# ## By hand: two passes over six frames
#
# Take six frames of two numbers each, and a "block 1" of one matrix and a ReLU that makes three
# numbers of a frame. After the two clusters comes a fixed weighted sum. First the dense way, which
# keeps all six activations:

# %%
frames = torch.tensor([[1, 0], [2, 0], [2, 3], [0, 2], [0, 3], [1, 3]]).double()
weight = torch.tensor([[2, -1, 1], [-1, 2, 1]]).double()


def encode(x, w):  # frame by frame
    return torch.relu(x @ w)


def after(means):
    return (means * torch.tensor([[1, 2, 3], [4, 5, 6]])).sum()


w = weight.clone().requires_grad_()
y = encode(frames, w)
bits = y > 0
dist = (bits[1:] != bits[:-1]).sum(1)
labels = cumulative_clusters(dist[None], 2)[0]
after(torch.stack([y[labels == k].mean(0) for k in (0, 1)])).backward()
dense = w.grad

# %% tags=["hide-input"]
lines = [
    [
        i,
        *(" ".join(f"{int(v)}" for v in values) for values in (frames[i], y[i], bits[i])),
        "" if i == 0 else int(dist[i - 1]),
        int(labels[i]),
    ]
    for i in range(6)
]
heads = ["frame", "frame's numbers", "activations", "sign bits", "bits that changed", "cluster"]
say("{table}", table=book.table(heads, lines))
print("gradient of the weights, dense:", dense.long().tolist())

# %% [markdown]
# Now there is room for the activations of only four frames. The first pass keeps the changes and
# the last sign bits. The second pass adds each frame's share to its cluster's mean. Then comes the
# loss, and its gradient with respect to the *means*: two rows of numbers, however long the clip.
# For the weights, every chunk is computed again, now with gradient: each frame receives the
# gradient of its mean, divided by the size of the cluster.


# %%
def in_two_passes(frames, w, g, chunk):
    dist, last, parts = [], encode(frames[:1], w) > 0, frames.split(chunk)
    with torch.no_grad():
        for part in parts:  # the first pass: where does it change?
            bits = torch.cat([last, encode(part, w) > 0])
            dist, last = [*dist, *(bits[1:] != bits[:-1]).sum(1)], bits[-1:]
        labels = cumulative_clusters(torch.stack(dist[1:])[None], g)[0]
        share = (torch.eye(g)[:, labels] / labels.bincount()[:, None]).split(chunk, 1)
        means = sum(s @ encode(part, w) for s, part in zip(share, parts, strict=True))
    after(means.requires_grad_()).backward()  # the second pass is done: g means, nothing else
    for s, part in zip(share, parts, strict=True):  # the backward pass
        encode(part, w).backward(s.T @ means.grad)


# %%
for chunk in (4, 1, 6):
    w = weight.clone().requires_grad_()
    in_two_passes(frames, w, 2, chunk)
    print(f"chunks of {chunk}: {w.grad.long().tolist()}, equal: {torch.allclose(w.grad, dense)}")

# %% [markdown]
# Nothing is approximated: a gradient is a sum over frames, and a sum may be added up in pieces. But
# a frame's activations must not depend on other frames: there is no temporal shift before the
# clusters, and BatchNorm needs care.
#
# ## The idea and its price
#
# The way back through the front costs about twice the way forward, so a dense step costs three
# times the latter. Two passes without gradient, one with, and the way back make
#
# - (1 + 1 + 1 + 2) / 3 = 5/3 = 1.67 times the dense step, for slope and cumulative;
# - (1 + 1 + 2) / 3 = 4/3 = 1.33 times for uniform groups, which are known without looking;
# - recomputing the *whole* network block by block costs 4/3 = 1.33 times as well, but keeps every
#   block's input for each frame.
#
# These factors hold for $t$ much larger than $g$, not for short clips. Memory is that of one chunk
# and of $g$ means.
#
# ## The library
#
# `tsm_resnet(..., chunk=32)` does this in the network. We take the slim ResNet-18 of mini Breakfast
# and two films that no network has seen.

# %%
parameters, _ = parameters_of(DATA / "recipes.toml", "any_length", "all", scale, data)
mini = SYNTHETIC["breakfast"]
shown = protocols_of(parameters)["clustered"]
plans = [plan for plan in mini.plan(7, False, 20, 10) if plan.split == "test"][:2]
films = [torch.from_numpy(plan.draw()[::every]).movedim(3, 1) for plan in plans]
films = [views_of(film[None], shown)[0, 0] for film in films]
t = torch.tensor([len(film) for film in films])
x = torch.stack([F.pad(film, (0, 0) * 3 + (0, int(t.max()) - len(film))) for film in films])
target = torch.tensor([plan.target for plan in plans])
print("clips", tuple(x.shape), "of", t.tolist(), "frames")

# %% [markdown]
# We compare labels and *every parameter's* gradient with those of the dense step. BatchNorm uses
# its running statistics in both.


# %%
def network(**options):
    torch.manual_seed(seed)
    options = {"chunk": None, "empty": None, **options}
    model = build_network(replace(parameters, **options), 10, DATA).double()
    model.early_statistics = "running"
    return model


def step(model, x, lengths=None):
    """Labels and gradients of one training step."""
    model.zero_grad()
    logits, labels = model(x, lengths, return_labels=True)
    F.cross_entropy(logits, target[: len(logits)]).backward()
    return labels, {name: p.grad.clone() for name, p in model.named_parameters()}


# %%
def worst(grads, wanted):
    """The largest distance of a parameter's gradient from the wanted one, in shares of its norm."""
    return max(float((grads[n] - g).norm() / g.norm()) for n, g in wanted.items())


def distance(grads, wanted):
    """Of two gradients of all parameters, in percent of the wanted one's norm."""
    a, b = (torch.cat([g.flatten() for g in some.values()]) for some in (grads, wanted))
    return 100 * float((a - b).norm() / b.norm())


# %%
for method, chunks in (("slope", (32,)), ("uniform", (32,)), ("cumulative", (7, 32))):
    model = network(method=method)
    labels, dense = step(model, x, t)
    for model.chunk in chunks:
        again, grads = step(model, x, t)
        same, near = torch.equal(labels, again), worst(grads, dense) < 1e-10
        print(f"{method:10} chunks of {model.chunk:2}: labels equal {same}, gradients equal {near}")

# %% [markdown]
# All labels are equal, and the gradients of all parameters within one part in ten billion. How many
# bytes does one frame more keep for the backward pass?

# %%
model, kept = network(), {}
for model.chunk in (None, 32):
    halves = [
        cost.saved_activation_bytes(lambda part=part: model(x[:1, :part]).sum(), model)
        for part in (int(t[0]) // 2, int(t[0]))
    ]
    kept[model.chunk] = (halves[1] - halves[0]) / (int(t[0]) - int(t[0]) // 2)
print(f"a frame more keeps {kept[None]:.0f} bytes densely, and {kept[32]:.0f} bytes in chunks")

# %% [markdown]
# In chunks only the number of its cluster remains.
#
# ## BatchNorm, exactly
#
# BatchNorm in training normalises with the mean and the variance of everything it receives, so that
# a frame's activations *do* depend on other frames. By hand: four frames of one number each, 1 3 5
# 11, in two chunks.
#
# - Together: the mean is (1 + 3 + 5 + 11)/4 = 5, so they become −4 −2 0 6 (the division changes no
#   sign), with bits 0 0 0 1. That is one change.
# - Each chunk by itself: the means are 2 and 8, so −1 1 and −3 3, with bits 0 1 0 1. That is three
#   changes.
#
# The clusters would differ, and the gradient too. What the layers *before the clusters* normalise
# with is a choice (`early_statistics`):
#
# - **"running"**: the running statistics collected so far, as constants. Scale and shift are still
#   trained.
# - **"detached"**: mean and variance of *all* frames of the batch, as constants. (The gradient of
#   ordinary BatchNorm also goes through the statistics.) Each BatchNorm of the front needs one more
#   pass: five for a ResNet-18.
# - **"batch"**, the usual way, is the only one not exact in chunks. The library refuses:

# %%
model.early_statistics, model.chunk = "batch", 32
try:
    model(x, t)
except ValueError as error:
    print(error)
model.early_statistics = "detached"
labels, in_chunks = step(copy.deepcopy(model), x, t)
model.chunk = None
again, dense = step(copy.deepcopy(model), x, t)
same = torch.equal(labels, again) and worst(in_chunks, dense) < 1e-10
print(f"detached statistics, in chunks and dense: equal {same}")

# %% [markdown]
# How wrong would chunks be that are normalised by themselves?


# %%
def each_by_itself(size):
    """Gradients of a step in which BatchNorm of the front sees chunks of this size alone."""
    model = network()
    model.early_statistics = "batch"
    encode = model.encode
    model.encode = lambda images, frames: torch.cat([encode(p) for p in images.split(size)])
    return step(model, x, t)


# %%
together, wanted = each_by_itself(int(t.sum()))
mine = together >= 0


def off_by(labels, grads):
    """Frames in another cluster than with ordinary BatchNorm, and the gradient's distance, in %."""
    return float(100 * (labels != together)[mine].double().mean()), distance(grads, wanted)


wrong = {size: off_by(*each_by_itself(size)) for size in (2, 8, 32, 64)}
exact = {}
for way in ("detached", "running"):
    model = network()
    model.early_statistics = way
    exact[way] = off_by(*step(model, x, t))

# %% tags=["hide-input"]
fig, axes = plt.subplots(1, 2, figsize=(9, 2.9))
for i, (ax, what) in enumerate(
    zip(axes, ("labels that change", "gradient's distance"), strict=True)
):
    ax.plot(range(len(wrong)), [values[i] for values in wrong.values()], "o-", color="#222222")
    for way, values in exact.items():
        ax.axhline(values[i], color=plots.COLOURS["cumulative"], ls="--", lw=1)
        if values[i] > exact["detached"][i] or way == "detached":  # labels of one line overlap
            ax.text(-0.1, values[i], f" {way}", va="bottom", fontsize=8)
    ax.set(xlabel="frames in a chunk", ylabel=f"{what}, %", ylim=(-1, None))
    ax.set_xticks(range(len(wrong)), list(wrong))
plots.show(
    fig,
    "The black curve compares chunks normalised by themselves with ordinary BatchNorm over all frames. Dashed lines are the "
    "two definitions that are exact in chunks of any size; with running statistics more labels change than in chunks of 32.",
    "Two panels with a falling black curve over the size of a chunk and horizontal lines near zero",
    labels_changed=[values[0] for values in wrong.values()],
    gradients_apart=[values[1] for values in wrong.values()],
    detached_and_running_gradients_apart=[values[1] for values in exact.values()],
)

# %% tags=["hide-input"]
say(
    "In chunks of 32, {labels:.0f} % of the frames change their cluster and the gradient is **{apart:.0f} %** off; in chunks of "
    "2 it is {small:.0f} %. With running statistics {moved:.0f} % of the frames change their cluster and the gradient differs by "
    "{running:.0f} %: these statistics come with the starting weights. With detached ones {none:.0f} % of the labels change, since "
    "the forward pass is the same, and the gradient differs by {detached:.1f} %.",
    moved=exact["running"][0],
    labels=wrong[32][0],
    apart=wrong[32][1],
    small=wrong[2][1],
    running=exact["running"][1],
    none=exact["detached"][0],
    detached=exact["detached"][1],
)

# %% [markdown]
# Chunks that are normalised by themselves depend on where they happen to end; running statistics do
# not. Hence **the recipe**: train with the statistics of the batch first, on a few frames of each clip, and freeze
# the front's statistics when all frames come.
#
# ## A clip that is never in memory
#
# Do the *frames* have to be in memory all at once? An hour of 15 · 3600 = 54,000 frames of
# 3·112·112 = 37,632 bytes is two gigabytes. The network takes **a tensor**, which may be *mapped*
# from a file, or **a stream**: anything that has the clips' `lengths` and gives all frames in
# `parts` of a given size, as often as it is asked. A mapped file, a stream that counts, and the
# library's own `ClipStream` of stored clips:


# %%
class Counting:
    def __init__(self, films):
        self.films, self.given, self.most = films, 0, 0
        self.lengths = torch.tensor([len(film) for film in films])

    def parts(self, size):
        for part in torch.cat(self.films).split(size):  # a part may go from one clip to the next
            self.given, self.most = self.given + len(part), max(self.most, len(part))
            yield part


# %%
folder = tempfile.TemporaryDirectory()
file = Path(folder.name) / "films.npy"
np.save(file, x.numpy())
mapped = torch.from_numpy(np.load(file, mmap_mode="c"))
stored = ClipStream(InMemory(torch.cat(films), target, t.numpy()), np.array([0, 1]))
model, stream = network(chunk=32), Counting(films)
_, wanted = step(network(), x, t)
for name, source in (("mapped", (mapped, t)), ("counting", (stream,)), ("ClipStream", (stored,))):
    print(f"{name:10} the same:", worst(step(model, *source)[1], wanted) < 1e-10)
each = stream.given / int(t.sum())
print(f"{stream.given} frames given, each {each:.0f} times, {stream.most} at once")

# %% [markdown]
# Each frame was asked for three times, for the distances, for the means, and on the way back.
#
# **How large a chunk?** `chunk="auto"` divides a quarter of the free memory, or `memory` bytes if
# given, by what one frame needs. `cost.predicted_peak` says what a step will take, clusters
# included. Here is a ResNet-18 at 224 pixels with an average clip of Breakfast:

# %%
torch.set_default_dtype(torch.float32)
shape = (1, 2105, 3, 224, 224)
torch.manual_seed(seed)
big = tsm_resnet(18, 10, clustering=TemporalClustering("cumulative", 8), chunk="auto")
big.early_statistics = "running"
budgets = {}
for big.memory in (2**28, 2**30, 2**34):
    budgets[big.memory] = (big.frames_at_once(shape[2:]), cost.predicted_peak(big, shape))
    chunk, peak = budgets[big.memory]
    print(f"budget {big.memory / 2**20:6.0f} MB: chunks of {chunk:2}, peak {peak / 2**20:4.0f} MB")
big.chunk = None
dense_peak = cost.predicted_peak(big, shape)
weights = sum(p.nbytes for p in big.parameters())
print(f"without chunks {dense_peak / 2**30:.0f} GB; its weights are {weights / 2**20:.0f} MB")

# %% [markdown]
# The budget is for the chunk; clusters come on top, and chunks end at 128 frames. (Running statistics
# keep less than those of a batch, which chapter 04 counts.)

# %% [markdown]
# ## Measured: memory and time
#
# We measured one training step of a slim ResNet-18 (16 channels, 8 clusters) on one clip of 112x112
# pixels, in four ways: **dense**; **checkpointed**, in which the stem and every block keep only
# their input and are computed again on the way back, as in the quotation; **chunked**, ours; and
# **uniform**, ours with uniform groups. The first three compute the same gradient. Memory is the
# process's peak, less what the network and the clip already took. The price is counted in
# multiply-adds:

# %% tags=["hide-input"]
WAYS = {"dense": "tsm", "checkpointed": None, "chunked": "cumulative", "uniform": "uniform"}
LENGTH = {
    way: records.load(RECORDS, "length", scale="small", data="embedded", row=way, seed=0)
    for way in (*WAYS, "mapped")
}
CURVES = {way: record.arrays for way, record in LENGTH.items()}


def at(way, quantity, frames):
    """A measured value at a number of frames."""
    return float(CURVES[way][quantity][CURVES[way]["t"] == frames][0])


# %%
settings = LENGTH["dense"].parameters
size = {key: settings[key] for key in ("width", "resolution")}
one = cost.resnet_multiply_adds(18, 10, t=1, g=1, **size)
ahead = cost.resnet_multiply_adds(18, 10, t=2, g=1, **size) - one
rear = 8 * (one - ahead)
PASSES = {"checkpointed": (4, 4), "chunked": (5, 3), "uniform": (4, 3)}


def price(way, t):
    """Multiply-adds of a step, in those of the dense one."""
    front, clusters = PASSES[way]
    return (front * t * ahead + clusters * rear) / (3 * t * ahead + 3 * rear)


# %% tags=["hide-input"]
LOOKS = {
    way: {"color": plots.COLOURS[entity] if entity else "#8c564b", "marker": mark, "ms": 4, "lw": 1}
    for (way, entity), mark in zip(WAYS.items(), "^xoD", strict=True)
}

# %% tags=["hide-input"]
LAST = int(CURVES["dense"]["t"].max())


def draw_memory(ax, reach):
    """Memory of all ways over the number of frames."""
    for way, look in LOOKS.items():
        short = CURVES[way]["t"] <= reach
        t_, mb = (CURVES[way][key][short] for key in ("t", "peak_mb"))
        ax.plot(t_, mb, **look)
        up = {"dense": 0.04, "checkpointed": -0.36, "chunked": 0.05}.get(way)
        if up is not None:
            name = "chunked, uniform" if way == "chunked" else way
            height = mb[-1] + up * CURVES["dense"]["peak_mb"][short].max()
            ax.text(1.02 * t_[-1], height, name, ha="right", fontsize=8, color=look["color"])
    ax.set(xlim=(0, 1.04 * reach), ylim=(0, None), xlabel="frames of the clip", ylabel="MB")


# %% tags=["hide-input"]
def draw_time(ax):
    """Time in that of the dense step: markers are measured, lines counted."""
    for way in PASSES:
        t_, look = CURVES[way]["t"], LOOKS[way]
        ax.plot(t_, CURVES[way]["seconds"] / CURVES["dense"]["seconds"], **{**look, "ls": ""})
        ax.plot(t_, [price(way, frames_) for frames_ in t_], color=look["color"], lw=1)
        up = {"chunked": 0, "checkpointed": 0.06, "uniform": -0.06}[way]
        style = {"va": "center", "fontsize": 8, "color": look["color"]}
        ax.text(1.3 * LAST, price(way, LAST) + up, way, **style)
    ax.axhline(1, color=plots.COLOURS["tsm"], lw=1, ls="--")
    ax.text(30, 0.9, "dense", fontsize=8, color=plots.COLOURS["tsm"])
    ax.set(xscale="log", xlim=(26, 8 * LAST), ylim=(0, None))
    ax.set(xlabel="frames of the clip", ylabel="times the dense step")
    ax.set_xticks([32, 128, 512, 2048], [32, 128, 512, 2048])
    ax.minorticks_off()


# %% tags=["hide-input"]
fig, axes = plt.subplots(1, 3, figsize=(10.5, 3.4), width_ratios=(1, 1, 1.25))
draw_memory(axes[0], LAST)
draw_memory(axes[1], 512)
draw_time(axes[2])
plots.show(
    fig,
    "A training step on one clip. Left and middle: memory. Right: time, in multiples of the dense step; markers are measured, "
    "lines counted.",
    "Three panels: steep and flat lines of memory, and markers of time around and below three level lines",
    frames=CURVES["chunked"]["t"],
    **{f"MB_{way}": CURVES[way]["peak_mb"].round() for way in WAYS},
    **{f"times_{w}": CURVES[w]["seconds"] / CURVES["dense"]["seconds"] for w in PASSES},
)

# %% tags=["hide-input"]
flat = {way: [at(way, "peak_mb", t) for t in (64, 512, LAST)] for way in WAYS}
say(
    "From 64 to {last} frames the chunked step's memory changes by **{flat:.1f} %**, while that of the dense step grows to "
    "**{times:.0f} times**. At {last} frames the dense step takes {dense:.1f} GB, the checkpointed {other:.1f} GB, and the chunked "
    "{chunked:.0f} MB.",
    last=LAST,
    flat=100 * (max(flat["chunked"]) / min(flat["chunked"]) - 1),
    times=flat["dense"][-1] / flat["dense"][0],
    dense=flat["dense"][-1] / 1024,
    other=flat["checkpointed"][-1] / 1024,
    chunked=flat["chunked"][-1],
)

# %% [markdown]
# Checkpointing computes a block again for *all* frames at once, and the maps of the stem are the
# largest of the network. So its line is almost as steep as the dense one.

# %% [markdown]
# Counted and measured times differ. We did not measure why; allocating gigabytes may slow the dense
# step, and every chunk has a fixed cost. On small frames that fit into memory chunks do not pay: a
# step on 256 frames of 48x48 in bfloat16, in 8 clusters, against one in chunks of 32:

# %% tags=["hide-input"]
OTHERS = {
    "chunks_of_128": "8 clusters, in chunks of 128 frames",
    "dense": "8 clusters, all frames at once",
    "checkpointed": "8 clusters, recomputed block by block",
    "tsm_all_frames": "TSM on all frames, without clusters",
    "tsm_8_frames": "TSM on 8 frames",
}
bench = records.load(RECORDS, "bench", scale="small", data="embedded", row="cpu", seed=0)
step_of = bench.results["long_clip_step"]
lines = [[text, f"{step_of[way]:.2f}"] for way, text in OTHERS.items()]
say("{table}", table=book.table(["way", "time, over that in chunks of 32"], lines))

# %% [markdown]
# Was the peak foreseen? The row `mapped` is the whole ResNet-18 with 64 channels, on a clip of
# 10,000 frames of 112x112 in a file:

# %% tags=["hide-input"]
lines = []
for way, frames_ in (("dense", LAST), ("chunked", LAST), ("uniform", LAST), ("mapped", 10_000)):
    mb = [at(way, quantity, frames_) for quantity in ("predicted_mb", "peak_mb")]
    lines.append([way, frames_, *(f"{v:.0f}" for v in mb), f"{mb[1] / mb[0]:.2f}"])
heads = ["way", "frames", "predicted, MB", "measured, MB", "measured / predicted"]
say("{table}", table=book.table(heads, lines))

# %% tags=["hide-input"]
mapped = LENGTH["mapped"]
say(
    "The step on **10,000 frames** took {minutes:.1f} minutes (threads: {threads}). The clip itself has {clip:.0f} MB, "
    "and the pages of its file are in the measured peak.",
    minutes=at("mapped", "seconds", 10_000) / 60,
    threads=mapped.machine["threads"],
    clip=10_000 * 3 * 112**2 / 2**20,
)

# %% [markdown]
# ## A number of clusters that follows the video
#
# > One limitation is that the number of clusters is fixed and thus not well-suited for
# > inhomogeneous videos with more semantic (shot) changes than clusters.
#
# With `TemporalClustering(..., adaptive=True)` the number $g$ is a *mean*: a batch has $n·g$
# clusters to give away, and they go where most changes. By hand, two clips of six frames with 3
# clusters on average. With cumulative clusters every cluster of a clip holds an equal share of its
# changes, so these are the quotients:

# %%
dist = torch.tensor([[2, 1, 3, 1, 3], [6, 0, 9, 1, 8]])
total = dist.sum(1)
for name, change in zip(("calm", "busy"), total.tolist(), strict=True):
    shares = ", ".join(f"{change}/{j} = {change / j:.1f}" for j in range(1, 6))
    print(f"{name}: {change} changes in all; {shares}")

# %% [markdown]
# Of six clusters each clip gets one. The other four go, one by one, to the clip whose clusters hold
# most: busy (24), busy (12), calm (10), busy (8). Now no cluster holds more than 24/4 = 6, the
# threshold $\tau$. For slope clusters the largest jumps of the batch are cut.

# %%
counts = adaptive_counts(dist, 3)
tau = threshold_of(dist, counts)
print(
    f"clusters {counts.tolist()}, tau {tau:.0f}; at that threshold {counts_at(dist, tau).tolist()}"
)
for name, row in zip(("calm", "busy"), cumulative_clusters(dist, counts).tolist(), strict=True):
    print(f"{name}: {row}")
slope = adaptive_counts(dist, 3, method="slope")
print(
    f"slope: the four largest jumps are cut, {sorted(dist.flatten().tolist())[-4:]}: {slope.tolist()}"
)

# %% [markdown]
# In a test a clip must not depend on those beside it, so the running average of the thresholds in
# training decides there.
#
# ### The rows of this chapter
#
# All have the clips and the recipe of Table 2 (chapter [07](07_clusters.ipynb)), a warm-up on
# sampled frames and then all frames in clusters, and are compared with its rows `cumulative-8` and
# `slope-8`. `all` goes through chunks of 32 with running statistics in the front; `windows` trains on
# one window of 32 frames; `adaptive` gives clusters to where most changes; `size` and `sqrt` weigh a
# cluster by its frames, or their root; `slope-size` does so with slope clusters. *Both shapes* counts
# a clip as right if both events are named, in any order; chance is then one in five, not one in ten.

# %% tags=["hide-input"]
FIXED = ("cumulative-8", "slope-8")
ROWS = ("all", "windows", "adaptive", "size", "sqrt", "slope-size")


def runs(row):
    """All seeds of a row; without any, an error that names the command which makes the first."""
    place = {"scale": scale, "data": data, "row": row}
    experiment = "table2" if row in FIXED else "any_length"
    records.load(RECORDS, experiment, **place, seed=0)
    return records.select(RECORDS, experiment, **place)


FOUND = {row: runs(row) for row in (*FIXED, *ROWS)}


def right(row, protocol, alike=1):
    """Seed -> 100 or 0 for each test clip. alike=2: the two shapes in any order."""
    return claims.right(FOUND[row], protocol, alike=alike)


# %% tags=["hide-input"]
def gain(a, b, protocol="clustered", alike=1, other=None):
    """Points of row a over row b in the seeds that both have; other: b's protocol if not a's."""
    return claims.gain(FOUND[a], FOUND[b], protocol=protocol, other=other, alike=alike)


def against(difference):
    """In words on which side of zero an interval lies."""
    if difference.low > 0:
        return "better than"
    return "worse than" if difference.high < 0 else "not clearly different from"


# %% tags=["hide-input"]
def set_beside(a, b, name, other=None):
    """In words: row a against b, of this name, by right answers and by both shapes in any order."""
    right_, shapes = (gain(a, b, "clustered", alike, other) for alike in (1, 2))
    words = f"{against(right_)} {name}"
    if against(shapes) == against(right_):
        return words
    clearly = {"better than": "better", "worse than": "worse"}.get(against(shapes), "undecided")
    return f"{words} (but {clearly} by both shapes: {shapes})"


def accuracies(row, protocol, alike=1):
    return [float(scores.mean()) for scores in right(row, protocol, alike).values()]


# %% tags=["hide-input"]
lines = []
for row in (*FIXED, *ROWS):
    tested = (("clustered", 1), ("clustered", 2), ("sampled", 1))
    cells = [records.mean_sd(accuracies(row, *how), 1) for how in tested]
    lines.append([f"`{row}`", *cells, len(FOUND[row])])
heads = ["row", "clustered", "clustered, both shapes", "sampled", "seeds"]
say(
    "Top-1 in %, scale {scale}, mini Breakfast:\n\n{table}",
    scale=scale,
    table=book.table(heads, lines),
)

# %% [markdown]
# ### Adaptive against fixed

# %% tags=["hide-input"]
tests = plans_tested(FOUND["adaptive"][0])
counts = np.stack([one.arrays["clusters"] for one in FOUND["adaptive"]])  # (seeds, clips)
frames_of = np.array([plan.frames for plan in tests[: counts.shape[1]]])  # of the first test set

# %% tags=["hide-input"]
fig, axes = plt.subplots(1, 2, figsize=(9, 3))
bins = np.arange(0.5, counts.max() + 1.5)
colour, share = plots.COLOURS["cumulative"], np.full(counts.size, 1 / len(counts))
axes[0].hist(counts.ravel(), bins, weights=share, histtype="step", lw=1.8, color=colour)
axes[1].plot(frames_of, counts[0], "o", ms=3, alpha=0.6, color=colour)
axes[0].axvline(8, color="#222222", lw=0.8, ls="--")
axes[0].set(xlabel="clusters of a clip", ylabel="test clips")
axes[1].set(xlabel="frames of a clip", ylabel="clusters", ylim=(0, None))
plots.show(
    fig,
    "The left panel counts the clusters that test clips get, as a mean over the seeds; the dashed line marks the fixed "
    "eight. The right one shows them over the length of a clip, for one seed.",
    "Left: a histogram of the number of clusters with one hump; right: a cloud of markers over the number of frames",
    mean_least_most=[counts.mean(), counts.min(), counts.max()],
)

# %% tags=["hide-input"]
pair = ("adaptive", "cumulative-8")
length = np.mean([np.corrcoef(one, frames_of)[0, 1] for one in counts])
lines = [["clustered", gain(*pair)], ["clustered, both shapes", gain(*pair, alike=2)]]
lines.append(["sampled", gain(*pair, "sampled")])
say("{table}", table=book.table(["`adaptive` − `cumulative-8`", "points [95 % interval]"], lines))
say(
    "In the test a clip gets {mean:.1f} clusters on average, with a deviation of {sd:.1f} over clips and a correlation of "
    "{length:.2f} with its length. Adaptive clusters are {word}.",
    mean=counts.mean(),
    sd=counts.std(1).mean(),
    length=length,
    word=set_beside(*pair, "eight fixed ones"),
)

# %% [markdown]
# So the row differs in the number of clusters too, and not only in who gets them. And mini Breakfast,
# where every clip has two events, lacks the paper's own example, videos with more changes than
# clusters.
#
# ## How much a cluster should weigh
#
# In the paper every cluster's scores count the same, whether it has one frame or a hundred. By
# hand: a cluster of 5 frames whose gradient is 2, and a cluster of 1 frame whose gradient is 8,
# with all frames of a cluster alike.
#
# - All frames: (5 · 2 + 1 · 8)/6 = 3
# - clusters of equal weight: (2 + 8)/2 = 5, which is two thirds too much
# - by size: (5 · 2 + 1 · 8)/(5 + 1) = 3, and by its root: (√5 · 2 + 1 · 8)/(√5 + 1) = 3.85
#
# The clusters are perfect here, and the gradient is still wrong. Unlike the error that the paper
# bounds (chapter [01](01_gradient_bound.ipynb)), this one does not shrink when frames are more
# alike. Which weights come nearest to the gradient of all frames, in a network of Table 2 without
# its temporal shift?

# %%
state = torch.load(DATA / "samples" / "table2-small-embedded-cumulative-8-s0.pt", weights_only=True)
torch.set_default_dtype(torch.float64)
off = {}
for method in ("cumulative", "slope", "uniform"):
    for weighting in ("mean", "sqrt", "size"):
        model = network(method=method, consensus=weighting, shift_stages=())
        model.load_state_dict(state)
        model.eval()
        _, grads = step(model, x, t)
        if not off:  # of all frames, once
            model.clustering = None
            _, all_frames = step(model, x, t)
        off[method, weighting] = distance(grads, all_frames)

# %% tags=["hide-input"]
WAYS_TO_WEIGH = ("mean", "sqrt", "size")
lines = [
    [method, *(f"{off[method, w]:.0f}" for w in WAYS_TO_WEIGH)]
    for method in ("cumulative", "slope", "uniform")
]
say("{table}", table=book.table(["gradient's distance, %", *WAYS_TO_WEIGH], lines))
nearest = [min(WAYS_TO_WEIGH, key=lambda w: off[m, w]) for m in ("cumulative", "slope")]
say(
    "On these two films the gradient of cumulative clusters is nearest to that of all frames with **{one}**, that of "
    "slope clusters with **{two}**.",
    one=nearest[0],
    two=nearest[1],
)

# %% [markdown]
# Uniform groups all have one size, so the three agree; what is left is the error of averaging. But
# what *matters* in these films are short events, and by size an event of 15 frames counts as 15 of
# 300 again. The rows:

# %% tags=["hide-input"]
PEERS = {"size": "cumulative-8", "sqrt": "cumulative-8", "slope-size": "slope-8"}
lines = [
    [f"`{row}` − `{peer}`", gain(row, peer), gain(row, peer, alike=2)]
    for row, peer in PEERS.items()
]
heads = ["points [95 % interval]", "clustered", "clustered, both shapes"]
say("{table}", table=book.table(heads, lines))
say(
    "Weighted by size, cumulative clusters are {size}. Slope clusters weighted by size are {slope}.",
    size=set_beside("size", "cumulative-8", "those of equal weight"),
    slope=set_beside("slope-size", "slope-8", "those of equal weight"),
)

# %% [markdown]
# ## All frames against windows of 32
#
# The released code trains on one window of 32 neighbouring frames of each clip in each epoch
# (chapter [12](12_released_code.ipynb)). What would it show of our test clips?

# %%
seen = {}
for plan in tests:
    for start in range(0, plan.frames - 31, 32):
        word = mini.oracle(plan, np.arange(start, start + 32))[0]
        seen[word] = seen.get(word, 0) + 1 / len(range(0, plan.frames - 31, 32))
for word, count in sorted(seen.items(), key=lambda item: -item[1]):
    print(f"one window of 32: {word:12} {100 * count / len(tests):5.1f} %")

# %% [markdown]
# A window rarely shows what a clip is about. The row `windows` trains on them in its clustered
# epochs. It is tested in a third way too, on ten windows, clustered each, whose scores are
# averaged.

# %% tags=["hide-input"]
IN_ORDER = ("all", "cumulative-8", "windows", "adaptive", "size", "sqrt")
IN_ORDER += ("slope-8", "slope-size")
recipes = DATA / "recipes.toml"
looks = {row: look for t in ("table2", "any_length") for row, look in looks_of(recipes, t).items()}


def draw_row(ax, place, row):
    """Every seed of a row and their mean, by each protocol that it has."""
    tests = {"clustered": (-0.2, None), "windows": (0, None), "sampled": (0.2, "none")}
    for protocol, (aside, face) in tests.items():
        if protocol != "windows" or row == "windows":
            values, look = accuracies(row, protocol, 2), looks[row]
            spread = np.linspace(-0.06, 0.06, len(values))
            marker = "x" if protocol == "windows" else look.marker
            style = {"marker": marker, "ls": "", "ms": 5, "color": look.colour}
            ax.plot(place + aside + spread, values, mfc=face, **style)
            ends = (place + aside - 0.12, place + aside + 0.12)
            ax.plot(ends, [np.mean(values)] * 2, color=look.colour, lw=1.2)


# %% tags=["hide-input"]
fig, ax = plt.subplots(figsize=(9, 3.3))
for place, row in enumerate(IN_ORDER):
    draw_row(ax, place, row)
ax.axhline(20, color="#8c8c8c", lw=1, ls=":")
ax.text(len(IN_ORDER) - 0.5, 21, "chance", ha="right", fontsize=8, color="#666666")
ax.set(ylim=(0, 105), ylabel="both shapes right, %")
ax.set_xticks(range(len(IN_ORDER)), IN_ORDER, rotation=30, ha="right", fontsize=9)
plots.show(
    fig,
    "A marker is a seed and a dash their mean. Filled markers have clusters of all frames at test, hollow ones eight "
    "sampled frames, crosses ten windows.",
    "Columns of filled and hollow markers, one column a row, with crosses in the column of windows",
    both_shapes_clustered=[np.mean(accuracies(row, "clustered", 2)) for row in IN_ORDER],
)

# %% tags=["hide-input"]
lines = []
for a, b, protocol, other, said in (
    ("all", "windows", "clustered", None, "both clustered"),
    ("all", "windows", "clustered", "windows", "clustered, ten windows"),
    ("cumulative-8", "windows", "clustered", None, "both clustered"),
    ("all", "cumulative-8", "clustered", None, "both clustered"),
):
    both = [gain(a, b, protocol, alike, other) for alike in (1, 2)]
    lines.append([f"`{a}` − `{b}`", said, *both])
heads = ["points [95 % interval]", "tested", "right", "both shapes"]
say("{table}", table=book.table(heads, lines, left=2))

# %% tags=["hide-input"]
epoch = {row: np.mean([one.results["epoch_s"] for one in FOUND[row]]) for row in ("all", "windows")}
say(
    "With all frames clustered at test, `all` is {clustered}. When `windows` is tested on ten windows, `all` is {windows}. "
    "Beside the dense row with statistics of the batch, `all` is {dense}. An epoch of `all` took {times:.0f} times as long "
    "as one of `windows`, warm-up included.",
    clustered=set_beside("all", "windows", "`windows`"),
    windows=set_beside("all", "windows", "it", "windows"),
    dense=set_beside("all", "cumulative-8", "`cumulative-8`"),
    times=epoch["all"] / epoch["windows"],
)

# %% [markdown]
# `all` differs from `windows` in its BatchNorm too; `cumulative-8` does not. Ten windows make eighty
# clusters of nearly all frames, ten times what the network after the clusters sees of `all`.
#
# ## Paper and measured

# %% tags=["hide-input"]

facts = {
    "C42": (
        dense_peak > 100 * weights and LENGTH["dense"].results["grows"],
        f"2105 frames at 224 pixels keep {dense_peak / 2**30:.0f} GB, the weights {weights / 2**30:.2f} GB",
    ),
    "C43": (
        LENGTH["checkpointed"].results["grows"],
        f"{LENGTH['checkpointed'].results['mb_per_frame']:.2f} MB a frame when layers are made again",
    ),
}
assert kept[32] <= 8
assert not LENGTH["chunked"].results["grows"]
say("{table}", table=claims.table("11_any_length", DATA, facts=facts))

# %% [markdown]
# Memory for activations grows with the frames and dwarfs the weights; that it is the *main* bottleneck,
# before time, was not tested.
#
# ## What could be wrong
#
# - **Exact is exact for a definition.** Chunked equals dense with running statistics, not with
#   those of the batch; `all` against `cumulative-8` says what that is worth on one mini set.
# - **Times** are indicative: two cores, shared with other work, and no GPU.
# - **The mini set** is made for the question, and clips of 300 frames fit into memory without any
#   of this. What all frames are worth on videos of thousands is *not tested* here.
#
# ## In short

# %% tags=["hide-input"]
say(
    "- The front of the network can be run in chunks, three times, with the gradient of the dense step: {last} frames in "
    "**{chunked:.0f} MB** in place of {dense:.1f} GB. It costs **{counted:.2f} times** the multiply-adds. The measured time is "
    "{factor:.2f} times that of the dense step with {last} frames, and {small:.1f} times with 256 small frames.\n"
    "- The gradient is exact if BatchNorm in the front has constant statistics; chunks that are normalised by themselves would "
    "have been {wrong:.0f} % off (chunks of 32).\n"
    "- On mini Breakfast, with clusters at test, training on all frames is {windows}, and {ten} when these are tested on ten "
    "windows; an epoch takes {times:.0f} times as long. Adaptive numbers of clusters are {adaptive}; weights by size are {size}.",
    ten=set_beside("all", "windows", "them", "windows"),
    times=epoch["all"] / epoch["windows"],
    last=LAST,
    chunked=at("chunked", "peak_mb", LAST),
    dense=at("dense", "peak_mb", LAST) / 1024,
    counted=price("chunked", LAST),
    factor=at("chunked", "seconds", LAST) / at("dense", "seconds", LAST),
    small=1 / step_of["dense"],
    wrong=wrong[32][1],
    windows=set_beside("all", "windows", "training on windows of 32"),
    adaptive=set_beside("adaptive", "cumulative-8", "fixed ones"),
    size=set_beside("size", "cumulative-8", "equal ones"),
)

# %% [markdown]
# ## Exercises
#
# 1. Do the six frames in chunks of three. What is kept after the first pass, and what are the two
#    sums after the first chunk of the second?
# 2. `in_two_passes` runs the encoder three times. Which run could be left out if there were room
#    for the *sign bits* of all frames, and what else would have to be kept? How many bytes a frame
#    are the bits after block 1 of a ResNet-18 at 224 pixels?
# 3. A clip has 40 frames and a chunk 32. By the factors above, is chunking worth it for `g` = 8?
#    And for `g` = 1?
# 4. Three clips with 4, 12 and 32 changes share nine clusters. Give them away by hand. What is
#    $\tau$?
# 5. How many passes over a clip does a step take with "running" statistics in the front, and how
#    many with "detached" ones? Plan the runs that would tell whether accuracy differs.
#
# Solutions: [solutions/11_any_length.ipynb](solutions/11_any_length.ipynb).

# %%
folder.cleanup()

# %% [markdown]
# <!-- navigation -->
# [← 10 · Do clusters keep the order of time?](10_something.ipynb) · [Contents](00_start_here.ipynb) · [12 · What the code does →](12_released_code.ipynb)
