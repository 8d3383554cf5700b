# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# <!-- navigation -->
# [← Do clusters keep the order of time?](10_something.ipynb) · [Contents](00_start_here.ipynb) · [What the code does →](12_released_code.ipynb)
#
# *To run this page: `make lab` in the repository's folder. It sets up what is missing.*

# %% [markdown]
# # Videos of any length
#
# **Can a network learn from every frame of a video of any length, with the gradient of the dense
# computation to the last digit, in memory that does not grow with the video?** (Beyond the paper;
# its Section 1 says why it should not be possible, and its Section 5 what else is open.)
#
# > The main computational bottleneck for training video CNNs is memory for frame activations.
#
# The paper's method makes memory grow more slowly, but it still grows with every frame (chapter
# [04](04_network.ipynb)). On the videos of Breakfast, minutes long, "all frames" cannot have been
# trained in this way (chapter [07](07_clusters.ipynb)). This chapter closes the gap. The price is
# that every frame is computed more than once. Then two things that the paper leaves open become
# easy to try: a number of clusters that follows the video, and scores that count the frames of a
# cluster.

# %% [markdown]
# ## Claims tested here
#
# What follows is ours, and there is no number of the paper to compare it with. Only two sentences
# of its introduction speak of it:
#
# - C42: what keeps a network from training on all frames is the memory for their activations.
# - C43: methods that trade memory for computation would still have to store every frame.
#
# Accuracies below are measured on the mini set of chapters 07 and 08. **They test the mechanism,
# not the benchmark**: no number here is a number on Breakfast.

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

from lab import claims, plots, records
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
from fvlib.storage import digest
from fvlib.datasets.streams import ClipStream
from fvlib.evaluation import views_of
from lab.experiments.parts import protocols_of
from fvlib.models import tsm_resnet
from fvlib.models.batchnorm import conv_bn
from lab.building import build_network
from lab.recipes import looks_of, parameters_of

DATA = Path("../data")
RECORDS = DATA / "records"
torch.set_default_dtype(torch.float64)  # so that every machine finds the same signs
plots.use_style()


# %% tags=["hide-input"]
def markdown(heads, lines):
    """A Markdown table of texts: words to the left, numbers to the right."""
    rows = [heads, ["---", *["--:"] * (len(heads) - 1)], *lines]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)


# %% [markdown]
# ## By hand: the memory of Table 1 is a line
#
# Table 1 prints the memory of one video of 32 frames. TSM's rows with 8 and with 32 frames give
# what a frame takes, and what is there without any; the two rows with clusters what a cluster
# takes. What is left of a clustered row is the *front*, stem and block 1, for 32 frames:

# %%
paper = claims.paper_table(DATA, "table1")
gb = {row: line["memory"] for row, line in paper.items()}
frame = (gb["tsm-32"] - gb["tsm-8"]) / (32 - 8)
rest = gb["tsm-8"] - 8 * frame
cluster = (gb["cumulative-16"] - gb["cumulative-8"]) / (16 - 8)
front = (gb["cumulative-8"] - rest - 8 * cluster) / 32
print(f"a frame without clusters {frame:.4f} GB, without any frame {rest:.3f} GB")
print(f"a cluster {cluster:.4f} GB, a frame in front of the clusters {front:.4f} GB")

# %% [markdown]
# So with $g$ clusters a video of $t$ frames takes `rest + g · cluster + t · front`. The videos of
# Breakfast have 187 to 9746 frames, 2105 on average:

# %%
lengths = {"shortest": 187, "average": 2105, "longest": 9746}
needed = {name: rest + 8 * cluster + t * front for name, t in lengths.items()}
for name, t in lengths.items():
    print(
        f"{name:8} {rest:.3f} + 8 · {cluster:.4f} + {t} · {front:.4f} = {needed[name]:.1f} GB",
        end="",
    )
    print(f" with 8 clusters, {rest + t * frame:.1f} GB without")

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
    "Memory for one video by the numbers of Table 1. Left: the printed rows, hollow. Right: the same two lines, further.",
    "Two panels of two rising lines; at 2105 frames the lower line is at about 66 gigabytes",
    gigabytes_with_8_clusters=list(needed.values()),
)

# %% [markdown]
# Clusters make the line less steep, and no more. Why is there a line at all? The loss is known when
# the last frame has passed. Only then the gradient comes back, and to go through block 1 it wants
# to see what every frame left there. The clusters lie *behind* block 1, and so save what comes
# behind it. This is what the paper means in its Section 1:
#
# > Existing approaches can trade off memory for compute by not storing all intermediate layers, yet
# > they do not scale to video as they would still need to store each frame.
#
# But must they? Of a frame's activations nobody wants anything but two things: where they differ
# from those of the frame before, and their share in a mean.

# %% [markdown]
# ## By hand: two passes over six frames
#
# A clip of six frames with two numbers each, and a "block 1" of one matrix and a ReLU, which makes
# three numbers of a frame. What lies behind the clusters is a fixed weighted sum here.

# %%
frames = torch.tensor([[1, 0], [2, 0], [2, 3], [0, 2], [0, 3], [1, 3]]).double()
weight = torch.tensor([[2, -1, 1], [-1, 2, 1]]).double()


def encode(x, w):  # frame by frame
    return torch.relu(x @ w)


def behind(means):
    return (means * torch.tensor([[1, 2, 3], [4, 5, 6]])).sum()


# %% [markdown]
# First the dense way, which keeps all six activations. Two clusters:

# %%
w = weight.clone().requires_grad_()
y = encode(frames, w)
bits = y > 0
dist = (bits[1:] != bits[:-1]).sum(1)
labels = cumulative_clusters(dist[None], 2)[0]
behind(torch.stack([y[labels == k].mean(0) for k in (0, 1)])).backward()
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
say("{table}", table=markdown(heads, lines))
print("gradient of the weights, dense:", dense.long().tolist())

# %% [markdown]
# Now with room for the activations of only four frames: a chunk of four, and one of two. The first
# pass keeps the changes and the last sign bits, no activations. Once the clusters are known, the
# second pass adds each frame's share to its mean. Then the loss, and its gradient with respect to
# the *means*: two rows of numbers, for a clip of any length. For the weights every chunk is made
# again, now with gradient, and gets what its frames are due: the gradient of their mean, divided by
# its size.


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
    behind(means.requires_grad_()).backward()  # the second pass is done: g means, nothing else
    for s, part in zip(share, parts, strict=True):  # the backward pass
        encode(part, w).backward(s.T @ means.grad)


# %%
for chunk in (4, 1, 6):
    w = weight.clone().requires_grad_()
    in_two_passes(frames, w, 2, chunk)
    print(f"chunks of {chunk}: {w.grad.long().tolist()}, equal: {torch.allclose(w.grad, dense)}")

# %% [markdown]
# The same gradient. Nothing is approximated: a gradient is a sum over frames, and a sum may be
# added up in pieces. What the pieces need is that a frame's activations do not depend on other
# frames. So there must be no temporal shift before the clusters (there is none, chapter
# [04](04_network.ipynb)), and something has to be said about BatchNorm (below).
#
# ## The idea, and its price
#
# Let $F$ be the work of the front for one frame, forward; going back costs about twice that. A
# dense step does 1 + 2 = 3 times $F$ a frame. Two passes without gradient, one with, and the way
# back make
#
# - (1 + 1 + 1 + 2) / 3 = 5/3 = 1.67 times that of the dense step, for slope and cumulative;
# - (1 + 1 + 2) / 3 = 4/3 = 1.33 for uniform groups, which are known without looking;
# - to keep no layer of the *whole* network, as others do (each block is made again on the way
#   back), costs 4/3 = 1.33 as well, but keeps every block's input for each frame.
#
# These are the factors for $t$ much larger than $g$. What lies behind the clusters costs the same
# in all cases, so the fewer frames a clip has, the less the front's price is felt. Memory is that
# of one chunk and of $g$ means.
#
# ## The library
#
# `tsm_resnet(..., chunk=32)` does this in the network. We take the row `all` of this chapter: the
# slim ResNet-18 of mini Breakfast, from its common start, and two films that no network has seen,
# of which we show every fourth frame.

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
# The films differ in length: the shorter one is filled up with zeros, which the network never looks
# at. We compare labels and *every parameter's* gradient with those of the dense step, each as the
# norm of the difference in shares of its norm. Statistics of BatchNorm are the running ones in
# both; why, comes below.


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


def worst(grads, wanted):
    """The largest distance of a parameter's gradient from the wanted one, in shares of its norm."""
    return max(float((grads[n] - g).norm() / g.norm()) for n, g in wanted.items())


# %%
for method, chunks in (("cumulative", (7, 32)), ("slope", (32,)), ("uniform", (32,))):
    model = network(method=method)
    labels, dense = step(model, x, t)
    for model.chunk in chunks:
        again, grads = step(model, x, t)
        same, near = torch.equal(labels, again), worst(grads, dense) < 1e-10
        print(f"{method:10} chunks of {model.chunk:2}: labels equal {same}, gradients equal {near}")

# %% [markdown]
# All labels are equal, and so are the gradients of all parameters, within one part in ten billion,
# which is what double precision leaves of a sum that is added up in another order. Chunks of 7 and
# of 32 do not end where a film ends; that does not matter.
#
# ### Single precision: count the bits
#
# In training one computes in single precision or less. Then a chunk and a whole batch may differ
# in the last digit of an activation, and where that activation is almost zero, its sign may differ.
# A bit more in a distance can move the end of a cluster by a frame. How likely is that? We add some
# bits to each of the distances in turn, and count how often a label moves:

# %%
model = network()
with torch.no_grad():
    y = model.features(x[:1, : t[0]], upto="layer1")
bits = (y > 0).flatten(2)
dist = (bits[:, 1:] != bits[:, :-1]).sum(2)
before = cumulative_clusters(dist, 8)
one = torch.eye(dist.shape[1]).long()  # a copy of the clip for each of its distances
print(f"distances {int(dist.min())} to {int(dist.max())} of {bits.shape[2]} bits")
for more in (1, 4, 16, 64):
    moved = (cumulative_clusters(dist + more * one, 8) != before).any(1)
    print(f"{more:2} bits more move a label in {int(moved.sum()):2} of {len(moved)} places")

# %% [markdown]
# And if it happens: how much is one frame in another cluster? At three of the seven borders we let
# a frame go over, and look at the gradient of all parameters together:


# %%
def distance(grads, wanted):
    """Of two gradients of all parameters, in percent of the wanted one's norm."""
    a, b = (torch.cat([g.flatten() for g in some.values()]) for some in (grads, wanted))
    return 100 * float((a - b).norm() / b.norm())


labels, dense = step(model, x, t)
apart = []
for border in (0, 3, 6):
    other = labels.clone()
    other[0, int((labels[0] == border).nonzero().max())] += 1
    model.clustering.labels = lambda dist, lengths, other=other: other
    apart.append(distance(step(model, x, t)[1], dense))
print("gradient's distance, %:", *(f"{value:.2f}" for value in apart))

# %% [markdown]
# So in single precision "equal" means: equal, unless bits flip where a cluster happens to end. Then
# the gradient is a little other; that is the same as what one frame of chance does anywhere in
# training. How many bits flip depends on the machine and its libraries. We count them, on this one:

# %% tags=["nbval-ignore-output"]
single = network().float()
with torch.no_grad():
    whole = single.encode(films[0])
    parts = torch.cat([single.encode(part) for part in films[0].split(7)])
flipped = int(((whole > 0) != (parts > 0)).sum())
labels, at_once = step(single, x, t)
single.chunk = 7
again, in_chunks = step(single, x, t)
print(f"{flipped} of {whole.numel()} bits flipped, labels equal {torch.equal(labels, again)}")
apart = worst(at_once, dense), worst(in_chunks, dense), worst(in_chunks, at_once)
for what, value in zip(("dense from exact", "chunked from exact", "apart"), apart, strict=True):
    print(f"{what:18} {value:.0e}")
assert not torch.equal(labels, again) or apart[1] < 3 * apart[0]

# %% [markdown]
# *Exact* is the gradient in double precision. The worst tensor of the dense step is off by its own
# rounding, about as much as that of the chunked step; more agreement between the two cannot be
# asked for.
#
# Where it is: `fvlib.models.memory_efficient` has the two passes (`FrameEncoder`, what is done to a
# frame by itself, and `cluster_in_chunks`) and counts what fits, `model.encode` is the front,
# `fvlib.models.batchnorm` the BatchNorm below, `fvlib.models.packing` what a network takes as clips.
#
# ### What a frame leaves behind
#
# Now what it is for. We count the bytes that a forward pass keeps for the backward pass, of the
# first half of the film and of the whole, and so for one frame more:

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
# What remains of a frame is the number of its cluster. To these come, at the highest point, the
# activations of one chunk and those of the clusters, however long the clip.
#
# ## BatchNorm, exactly
#
# BatchNorm in training normalises with the mean and the variance of all it receives. So there *is*
# something that makes a frame's activations depend on other frames. By hand: four frames of one
# number each, 1 3 5 11, in two chunks. Normalised together (we leave out the division, it changes
# no sign):
#
# - the mean is (1 + 3 + 5 + 11)/4 = 5, so they become −4 −2 0 6, and after the ReLU only the last
#   has its bit: 0 0 0 1. One change, between the last two frames;
# - each chunk by itself: means 2 and 8, so −1 1 and −3 3: bits 0 1 0 1. Three changes.
#
# The clusters would be others, and the gradient too. There are three ways out, by what the layers
# *in front of the clusters* normalise with (`early_statistics`):
#
# - **"running"**: the running statistics that they have collected so far, which then stay as they
#   are. Scale and shift are trained on. Chunked and dense are the same, exactly. So it is if these
#   layers are frozen, and in evaluation.
# - **"detached"**: mean and variance of *all* frames of the batch, as constants. Chunked and dense
#   are the same, exactly, by this definition; but it is not quite ordinary BatchNorm, whose
#   gradient goes through the statistics too. As what reaches a layer depends on the layer before,
#   each takes a pass of its own: five more in a ResNet-18.
# - **"batch"**, as ever: not exact in chunks. The library refuses:

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
# How wrong would it have been? We normalise every chunk by itself and compare with ordinary
# BatchNorm over all frames: how many frames change their cluster, and how far is the gradient, all
# parameters together, in shares of its norm. Beside it stand the two exact definitions, whose
# gradient is another one *on purpose*.


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
wrong = {}
for size in (2, 8, 32, 64):
    labels, grads = each_by_itself(size)
    moved = 100 * (labels != together)[mine].double().mean()
    wrong[size] = (float(moved), distance(grads, wanted))

# %%
exact = {}
for way in ("detached", "running"):
    model = network()
    model.early_statistics = way
    labels, grads = step(model, x, t)
    exact[way] = (
        float(100 * (labels != together)[mine].double().mean()),
        distance(grads, wanted),
    )

# %% tags=["hide-input"]
fig, axes = plt.subplots(1, 2, figsize=(9, 2.9))
for i, (ax, what) in enumerate(
    zip(axes, ("labels that change", "gradient's distance"), strict=True)
):
    ax.plot(range(len(wrong)), [values[i] for values in wrong.values()], "o-", color="#222222")
    for (way, values), style in zip(exact.items(), ("--", ":"), strict=True):
        ax.axhline(values[i], color=plots.COLOURS["cumulative"], ls=style, label=way)
    ax.set(xlabel="frames of a chunk", ylabel=f"{what}, %", ylim=(0, None))
    ax.set_xticks(range(len(wrong)), list(wrong))
axes[1].legend(fontsize=8, title="exact, other definition", title_fontsize=8)
plots.show(
    fig,
    "Chunks normalised by themselves, against ordinary BatchNorm over all frames. Lines: the two definitions that are "
    "exact in chunks; that of `detached` lies on the axis.",
    "Two panels with a black curve over the size of a chunk and two horizontal lines",
    labels_changed=[values[0] for values in wrong.values()],
    gradients_apart=[values[1] for values in wrong.values()],
    detached_and_running_gradients_apart=[values[1] for values in exact.values()],
)

# %% tags=["hide-input"]
say(
    "In chunks of 32, {labels:.0f} % of the frames change their cluster and the gradient is **{apart:.0f} %** off; in chunks of "
    "2 it is {small:.0f} %. With running statistics it is {running:.0f} % from that of ordinary BatchNorm, on purpose. With "
    "detached ones no label changes ({none:.0f} %), since the forward pass is the same, and the gradient is {detached:.1f} % away.",
    labels=wrong[32][0],
    apart=wrong[32][1],
    small=wrong[2][1],
    running=exact["running"][1],
    none=exact["detached"][0],
    detached=exact["detached"][1],
)

# %% [markdown]
# An error of the first kind is noise that comes from where the chunks happen to end. A difference
# of the second kind is a choice: the statistics belong to the network then, not to the batch. Hence
# **the recipe**: train with the statistics of the batch first, while a few frames of each clip are
# shown, and let the front's statistics stand when all frames come. In a recipe that is
# `warmup_epochs` and `early_statistics = "running"`, and the training loop makes the change. A
# start from ImageNet with frozen layers, as the paper has it for UCF-101 and HMDB51, needs nothing.
#
# Running statistics have one more use. With a constant mean $\mu$ and deviation $\sigma$, what
# BatchNorm makes of a convolution's result is a convolution again:
#
# $$ \gamma\,\frac{w * x - \mu}{\sigma} + \beta \;=\; \Big(\frac{\gamma}{\sigma}\,w\Big) * x + \Big(\beta - \frac{\gamma\,\mu}{\sigma}\Big). $$
#
# With one weight $w = 2$, $\mu = 3$, $\sigma = 4$, $\gamma = 2$ and $\beta = 1$, a pixel of 5 becomes
# $2 · (2·5 - 3)/4 + 1 = 4.5$, and on the right $1·5 + (1 - 1.5) = 4.5$. So the network
# (`fvlib.models.batchnorm.conv_bn`) makes new weights, which are few, and saves a pass over the
# activations, which are many: what comes out of the convolution is neither written, nor read
# again, nor kept for the way back. The gradients of $w$, $\gamma$ and $\beta$ come through the new
# weights, by the chain rule, and are the same.

# %%
torch.manual_seed(seed)
front = network()
front.early_statistics = "running"
images, grads = torch.randn(4, 3, 16, 16).double(), []
for way in (conv_bn, lambda conv, norm, x: norm(conv(x))):
    y = way(front.conv1, front.bn1, images)
    grads.append(
        torch.autograd.grad(y.square().sum(), [front.conv1.weight, *front.bn1.parameters()])
    )
apart = max(float((a - b).norm() / b.norm()) for a, b in zip(*grads, strict=True))
print("gradients of weights, scale and shift equal:", apart < 1e-12)

# %% [markdown]
# ## A clip that is never in memory
#
# The activations no longer have to be there at once. Do the frames? An hour of frames of 112x112
# is 3·112·112 = 37,632 bytes a frame, and 15 · 3600 = 54,000 frames: two gigabytes. The network
# takes them in three ways.
#
# **A tensor**, as ever, also one that is *mapped*: the operating system reads what is looked at and
# forgets it again. For the network nothing is different:

# %%
folder = tempfile.TemporaryDirectory()
file = Path(folder.name) / "film.npy"
np.save(file, x[:1, : t[0]].numpy())
mapped = torch.from_numpy(np.load(file, mmap_mode="c"))
model = network(chunk=32)
_, from_memory = step(model, x[:1, : t[0]])
_, from_file = step(model, mapped)
print("from the file the same:", worst(from_file, from_memory) == 0)


# %% [markdown]
# **A stream**: anything that has the clips' `lengths` and gives all frames in `parts` of a wanted
# size, as often as it is asked. Here is one that counts what is asked of it:


# %%
class Counting:
    def __init__(self, films):
        self.films, self.given, self.most = films, 0, 0
        self.lengths = torch.tensor([len(film) for film in films])

    def parts(self, size):
        for part in torch.cat(self.films).split(size):  # a part may go from one clip to the next
            self.given, self.most = self.given + len(part), max(self.most, len(part))
            yield part


stream = Counting(films)
_, streamed = step(model, stream)
_, dense = step(network(), x, t)
print(
    f"{stream.given} frames given, {stream.given / int(t.sum()):.0f} of each, {stream.most} at once"
)
print("the same as from a tensor:", worst(streamed, dense) < 1e-10)

# %% [markdown]
# Each frame was asked for three times: for the distances, for the means, and on the way back
# (uniform groups need two). So a stream that *decodes* decodes three times. The library's own,
# `fvlib.datasets.streams.ClipStream`, does it for stored clips of any data set, in one pass over a
# file each time, and makes the next part while one is used:

# %%
frames_of_both = torch.cat(films)
stored = InMemory(frames_of_both, target, t.numpy())
stream = ClipStream(stored, np.array([0, 1]))
_, streamed = step(model, stream)
print("clips of", stream.lengths.tolist(), "frames; the same:", worst(streamed, dense) < 1e-10)

# %% [markdown]
# **Clips of different length** need no padding at all in a stream; in a tensor what fills up is not
# looked at. In both, what a clip gives does not depend on its company (in evaluation, or wherever
# statistics are constants):

# %%
model.eval()
with torch.no_grad():
    both = model(x, t)
    alone = torch.cat([model(film[None]) for film in films])
print("alone as together:", torch.allclose(both, alone, rtol=1e-10, atol=1e-12))

# %% [markdown]
# ### How large a chunk?
#
# `chunk="auto"` takes a quarter of the memory that is free, or `memory` bytes if given, finds out
# what one frame needs, and divides; more than 128 frames on a CPU or 256 on a GPU hardly bring speed.
# And `cost.predicted_peak` says, before anything is trained, what a step will take. A ResNet-18 at
# 224 pixels, and an average clip of Breakfast:

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
# The budget is that of the chunk alone; the clusters behind it come on top, in the predicted peak.
# (Without chunks it is about half of what the line of Table 1 says, which contains what a GPU takes
# beside activations; chapter [04](04_network.ipynb) asks what that may be.) How good is the
# prediction? That is measured next.
#
# ## Measured: memory and time against the number of frames
#
# Records of the experiment `length`: one training step of a slim ResNet-18 (16 channels) with 8
# clusters, on one clip of 112x112 pixels. Four ways: **dense**; **checkpointed**, in which the stem
# and every block of the network keep nothing but what goes in and are made again on the way back
# (`torch.utils.checkpoint`, what the paper's quotation speaks of); **chunked**, ours; and
# **uniform**, ours with uniform groups. The first three compute the same gradient. Every number of
# frames has a process of its own. Memory is the operating system's highest count for the process
# beyond what the network and the clip took.

# %% tags=["hide-input"]
WAYS = {"dense": "tsm", "checkpointed": None, "chunked": "cumulative", "uniform": "uniform"}
LENGTH = {
    way: records.load(RECORDS, "length", scale="small", data="embedded", row=way, seed=0)
    for way in (*WAYS, "mapped")
}
CURVES = {way: record.arrays for way, record in LENGTH.items()}


def draw_ways(ax, quantity, per_frame=False):
    """A quantity of all ways over the number of frames."""
    for (way, entity), mark in zip(WAYS.items(), "^xoD", strict=True):
        found = CURVES[way]
        values = 1000 * found[quantity] / found["t"] if per_frame else found[quantity]
        colour = plots.COLOURS[entity] if entity else "#8c564b"
        ax.plot(found["t"], values, f"{mark}-", ms=4, color=colour, label=way)
    ax.set(xlabel="frames of the clip", ylim=(0, None))


# %% tags=["hide-input"]
fig, axes = plt.subplots(1, 3, figsize=(10, 3.2))
for ax, quantity in zip(axes, ("peak_mb", "peak_mb", "seconds"), strict=True):
    draw_ways(ax, quantity, per_frame=quantity == "seconds")
axes[0].set(title="memory, MB", xlim=(0, None))
axes[1].set(title="memory, MB, short clips", xlim=(0, 530))
axes[1].set_ylim(0, 1.05 * CURVES["dense"]["peak_mb"][CURVES["dense"]["t"] <= 512].max())
axes[2].set(title="time, ms for each frame", xscale="log")
axes[2].set_xticks([32, 256, 2048], [32, 256, 2048])
axes[2].minorticks_off()
axes[0].legend(fontsize=8)
plots.show(
    fig,
    "A training step on one clip. Left and middle: memory; right: time for each frame of the clip.",
    "Three panels: steep and flat lines of memory over the number of frames, and time for a frame, nearly level",
    frames=CURVES["chunked"]["t"],
    **{f"MB_{way}": CURVES[way]["peak_mb"].round() for way in WAYS},
)

# %% [markdown]
# Is memory flat, and is time a line? And from which length on does each way need less than another?
# The next cells read that from the records:


# %% tags=["hide-input"]
def at(way, quantity, frames):
    """A measured value at a number of frames."""
    return float(CURVES[way][quantity][CURVES[way]["t"] == frames][0])


def crossing(a, b, quantity):
    """From how many frames on a needs less than b at every measured length, in words."""
    common = np.intersect1d(CURVES[a]["t"], CURVES[b]["t"])
    less = np.array([at(a, quantity, t) < at(b, quantity, t) for t in common])
    since = len(less) - int(np.argmin(less[::-1])) if not less.all() else 0
    return "at no length" if since == len(less) else f"from {common[since]} frames on"


def step_costs(way):
    """Milliseconds for one frame more, between neighbouring lengths from 512 frames on."""
    long = CURVES[way]["t"] >= 512
    return 1000 * np.diff(CURVES[way]["seconds"][long]) / np.diff(CURVES[way]["t"][long])


# %% tags=["hide-input"]
PAIRS = [("chunked", "dense"), ("checkpointed", "dense"), ("chunked", "checkpointed")]
PAIRS += [("uniform", "dense"), ("uniform", "checkpointed")]
lines = [
    [f"{a} less than {b}", *(crossing(a, b, q) for q in ("peak_mb", "seconds"))] for a, b in PAIRS
]
say("{table}", table=markdown(["", "memory", "time"], lines))
flat = {way: [at(way, "peak_mb", t) for t in (64, 512, 4096)] for way in WAYS}
lines = []
for way in WAYS:
    spread = 100 * (max(flat[way]) / min(flat[way]) - 1)
    costs = step_costs(way)
    change = f"{costs.min():.1f} to {costs.max():.1f}"
    lines.append([way, *(f"{mb:.0f}" for mb in flat[way]), f"{spread:.0f} %", change])
heads = ["way", "MB at 64", "512", "4096 frames", "largest over smallest", "ms for a frame more"]
say("{table}", table=markdown(heads, lines))

# %% tags=["hide-input"]
last = int(CURVES["dense"]["t"].max())
off = np.abs(step_costs("chunked") / step_costs("chunked").mean() - 1).max()
say(
    "From 64 to 4096 frames the chunked step's memory changes by **{flat:.1f} %**, and that of the dense step grows to "
    "**{times:.0f} times**. At {last} frames the dense step takes {dense:.1f} GB, the checkpointed {other:.1f} GB, and the chunked {chunked:.0f} MB. From 512 frames on "
    "what a frame more costs in time stays within {off:.0f} % of its mean.",
    flat=100 * (max(flat["chunked"]) / min(flat["chunked"]) - 1),
    times=at("dense", "peak_mb", last) / at("dense", "peak_mb", 64),
    last=last,
    dense=at("dense", "peak_mb", last) / 1024,
    other=at("checkpointed", "peak_mb", last) / 1024,
    chunked=at("chunked", "peak_mb", last),
    off=100 * off,
)

# %% [markdown]
# Checkpointing keeps less of each frame, but what it makes again it makes for *all* frames at once,
# block by block, and the maps of the stem are the largest of the network. So its line is not much
# less steep; with what the paper says of it in Section 1 it agrees. A chunk makes again, too, but
# for its own frames.
#
# And the price? By counting multiply-adds, forward 1 and back 2, with those behind the clusters
# counted too, a step of $t$ frames should take these multiples of the dense one:

# %%
settings = LENGTH["dense"].parameters
size = {key: settings[key] for key in ("width", "resolution")}
one = cost.resnet_multiply_adds(18, 10, t=1, g=1, **size)
ahead = cost.resnet_multiply_adds(18, 10, t=2, g=1, **size) - one
after = 8 * (one - ahead)
PASSES = {"checkpointed": (4, 4), "chunked": (5, 3), "uniform": (4, 3)}
price = {
    (way, t): (a * t * ahead + b * after) / (3 * t * ahead + 3 * after)
    for way, (a, b) in PASSES.items()
    for t in (32, 512, last)
}

# %% tags=["hide-input"]
lines = []
for way in PASSES:
    cells = []
    for frames_ in (32, 512, last):
        ratio = at(way, "seconds", frames_) / at("dense", "seconds", frames_)
        cells += [f"{price[way, frames_]:.2f}", f"{ratio:.2f}"]
    lines.append([way, *cells])
heads = ["times the dense step", "32 frames, counted", "measured", "512, counted", "measured"]
say("{table}", table=markdown([*heads, f"{last}, counted", "measured"], lines))

# %% [markdown]
# Counting knows only convolutions. A dense step of a long clip also has to get its memory from the
# operating system and to write and read through all of it, while a chunk stays where the processor
# can reach it; distances and means, on the other hand, are read more than once. So the measured
# factor may lie on either side of the counted one. It is the second number that one pays.
#
# Was the peak foreseen?

# %% tags=["hide-input"]
lines = []
for way in ("dense", "chunked", "uniform", "mapped"):
    found = CURVES[way]
    for i in sorted({0, len(found["t"]) // 2, len(found["t"]) - 1}):
        mb = found["predicted_mb"][i], found["peak_mb"][i]
        line = [way, int(found["t"][i]), *(f"{v:.0f}" for v in mb), f"{mb[1] / mb[0]:.2f}"]
        lines.append(line)
heads = ["way", "frames", "predicted, MB", "measured, MB", "measured / predicted"]
say("{table}", table=markdown(heads, lines))

# %% [markdown]
# What is predicted are activations, by counting on a few frames. What libraries take for
# themselves, what the allocator cannot give back, and in the last line the pages of the file, are
# not in it.
#
# The last line is the row `mapped`: the whole ResNet-18 with 64 channels, and a clip of 10,000
# frames of 112x112 in a file, longer than any of Breakfast:

# %% tags=["hide-input"]
mapped = LENGTH["mapped"]
clip_mb = 10_000 * 3 * 112**2 / 2**20
say(
    "One training step on **{frames}** frames took **{minutes:.1f} minutes** (threads: {threads}) and a peak of **{peak:.0f} MB**, pages "
    "of the file included; the clip itself has {clip:.0f} MB. It {fits} the goal of 2 GB.",
    frames=int(mapped.arrays["t"][0]),
    threads=LENGTH["mapped"].machine["threads"],
    minutes=float(mapped.arrays["seconds"][0]) / 60,
    peak=float(mapped.arrays["peak_mb"][0]),
    clip=clip_mb,
    fits="keeps" if float(mapped.arrays["peak_mb"][0]) < 2048 else "misses",
)

# %% [markdown]
# ### How fast is the clustering step?
#
# Distances have to read the activations once, means once more, and the means have to be written;
# on the way back the gradient of the means is read, and that of the activations written. That many
# bytes must move, and a machine that only copied them would take a certain time. `make bench`
# measures how often that time the step takes, and in *reads*, one read being a plain sum of the
# activations. We want at most eight reads in float32, and at most 3 % of a training step.
#
# PyTorch has no call that compares the signs of two frames and counts. The library puts it together
# from those that it has, a few frames at a time, so that all but the first find them in the cache:
# signs become bytes, eight bytes are compared as one word, and the words are added up. A float is
# compared as the integer that its bits are, since that has the same sign. A compiled loop of our own
# would need about half as long; for less than a hundredth of a step that is not worth a compiler.
# The record `bench` has 8 clips of 32 frames and one thread:

# %% tags=["hide-input"]
bench = records.load(RECORDS, "bench", scale="small", data="embedded", row="cpu", seed=0)
speed = bench.results["clustering_bandwidth"]
parts = ("forward", "backward", "reads", "reads_goal", "fresh_reads")
kinds = ("float32", "bfloat16")
lines = [[kind, *(f"{speed[f'{part}_{kind}_1']:.1f}" for part in parts)] for kind in kinds]
heads = ["", "forward, times a copy", "backward, times a copy", "reads, forward", "wanted"]
say("{table}", table=markdown([*heads, "fresh memory, reads"], lines))

# %% tags=["hide-input"]
over = max(speed[f"reads_float32_{k}"] - speed[f"reads_goal_float32_{k}"] for k in (1, 2))
say(
    "The goal is **{verdict}**, by {over:.1f} reads on the worse of one thread and two. In bfloat16 a read "
    "is half as many bytes, and the work between the reads is the same. The last column is what "
    "writing zeros over the means costs, which is part of the step. Of a training step of the whole network the "
    "clustering step is {share:.1f} %, and {alone:.1f} % on one thread.",
    verdict="missed" if over > 0 else "met",
    over=abs(over),
    alone=bench.results["clustering_share"]["percent_1"],
    share=bench.results["clustering_share"]["percent"],
)

# %% [markdown]
# ### Where the time of a step goes
#
# The clustering step is hardly worth a look, then. What is? `make bench` also takes a step on a clip
# of 256 frames of 48x48, in chunks of 32 and in bfloat16, and asks PyTorch's profiler. These are
# the calls that take most of it:

# %% tags=["hide-input"]
step_of = bench.results["long_clip_step"]
shares = {k.removeprefix("percent_"): v for k, v in step_of.items() if k.startswith("percent")}
most = sorted(shares, key=shares.get, reverse=True)
lines = [[f"`{call}`", f"{shares[call]:.0f}"] for call in most]
say("{table}", table=markdown(["call", "% of the step"], lines))

# %% [markdown]
# Most is convolutions, which is as it should be. `_Means` and `_MeansBackward` are the two passes
# themselves, less all that they call: what Python does between the calls. That grows with the number
# of chunks, not of frames, so with frames as small as these a larger chunk is faster (see below).
#
# It was not always so: a profile like this one showed three things that nobody had ordered. What
# each costs, against what is done now, forward and back, on the activations of such a chunk:

# %% tags=["hide-input"]
saved = bench.results["step_savings"]
WHAT = {
    "two_layouts": "a ReLU on the way back, where gradient and images lie in two memory layouts",
    "two_layers": "a convolution, then BatchNorm with constants, in place of one convolution",
    "shift_by_index": "the temporal shift by an index of frames, in place of slices",
}
lines = [[text, f"{saved[name]:.1f}"] for name, text in WHAT.items()]
say("{table}", table=markdown(["before", "times as long as now"], lines))

# %% [markdown]
# The first is the least known. Images may lie in memory channel by channel or pixel by pixel
# ("channels last", which convolutions like better). `index_select` gives the first kind, whatever it
# gets, and so did the gradient of every mean that was handed back to its frames. Nothing fails: an
# operation that meets both kinds only becomes slow. `fvlib.models.packing` now picks and places
# images in the layout that they have (`in_layout`, `images_at`, `images_among`), and a test looks
# at every operation of a step.
#
# Against other ways of training, on the same clip (over 1: the other way takes longer):

# %% tags=["hide-input"]
OTHERS = {
    "chunks_of_128": "the same, in chunks of 128 frames",
    "dense": "the same, all frames at once",
    "checkpointed": "the same, block by block made again",
    "tsm_all_frames": "TSM on all frames, without clusters",
    "tsm_8_frames": "TSM on 8 frames",
    "frame_by_frame_scipy": "clusters by a loop over frames with SciPy, as was published",
}
lines = [[text, f"{step_of[way]:.2f}"] for way, text in OTHERS.items()]
say("{table}", table=markdown(["way", "time over that of chunks"], lines))

# %% [markdown]
# ### When not to use it
#
# - **Short clips.** Where $t$ is not much more than a chunk, nothing is saved and the front is
#   still paid for more than once. The table of crossings says where that ends.
# - **$t$ near $g$.** Then most of the memory lies *behind* the clusters, and nothing here makes
#   that smaller; checkpointing of the whole network does.
# - **A shift before the clusters.** With TSM's shift in block 1 frames are not by themselves, and a
#   chunk would need its neighbours. The library refuses.
# - **Statistics of the batch wanted** in the front, through which a gradient goes.
# - **Slow reading.** A stream that decodes does so three times (twice for uniform groups). If the
#   decoded clip fits into memory as uint8, keep it there: its activations are what is large, not
#   its frames.
#
# ## A number of clusters that follows the video
#
# > One limitation is that the number of clusters is fixed and thus not well-suited for
# > inhomogeneous videos with more semantic (shot) changes than clusters.
#
# With `TemporalClustering(..., adaptive=True)` the number $g$ is a *mean*: a batch has $n·g$
# clusters to give away, and they go where most changes. One threshold $\tau$ holds for all clips:
# no cluster may hold more change than that. By hand, with two clips of six frames, and 3 clusters
# on average. The distances of the neighbours:

# %%
dist = torch.tensor([[2, 1, 3, 1, 3], [6, 0, 9, 1, 8]])
total = dist.sum(1)
for name, change in zip(("calm", "busy"), total.tolist(), strict=True):
    shares = ", ".join(f"{change}/{j} = {change / j:.1f}" for j in range(1, 6))
    print(f"{name}: {change} changes in all; {shares}")

# %% [markdown]
# With cumulative clusters every cluster of a clip holds an equal share of its changes. A clip of 10
# changes has 10 in one cluster, 5 in each of two, and so on: these are the quotients above. Six
# clusters are to be given. Each clip gets one. The other four go, one by one, to the clip whose
# clusters hold most: busy (24), busy (12), calm (10), busy (8). Now the fullest cluster holds 24/4
# = 6, of which $\tau$ is made:

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
# For slope clusters the rule is simpler still: of all jumps in the batch the largest are cut. In
# training the budget of each batch is kept exactly. In a test a clip must not depend on those beside
# it, so there the threshold alone decides, a running average of those in training. The mean number
# of clusters then is what comes out, and has to be looked at.
#
# ### The rows of this chapter
#
# All are trained on Table 2's clips with Table 2's recipe (chapter [07](07_clusters.ipynb)), and
# compared with its rows `cumulative-8` and `slope-8`: three quarters of the epochs on eight sampled
# frames, then all frames in clusters. What differs is in the name. `all` goes through chunks of 32
# with running statistics in the front; the others are dense, like Table 2.

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


# %% tags=["hide-input"]
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
    return "worse than" if difference.high < 0 else "no different, as far as can be told, from"


# %% tags=["hide-input"]
def set_beside(a, b, name, other=None):
    """In words: row a against b, of this name, by right answers and by both shapes in any order."""
    right_, shapes = (gain(a, b, "clustered", alike, other) for alike in (1, 2))
    words = f"{against(right_)} {name}"
    if against(shapes) == against(right_):
        return words
    clearly = {"better than": "better", "worse than": "worse"}.get(against(shapes), "no different")
    return f"{words} (but {clearly} by both shapes: {shapes})"


def accuracies(row, protocol, alike=1):
    return [float(scores.mean()) for scores in right(row, protocol, alike).values()]


# %% tags=["hide-input"]
lines = []
for row in (*FIXED, *ROWS):
    cells = [records.mean_sd(accuracies(row, name), 1) for name in ("clustered", "sampled")]
    cells.append(records.mean_sd(accuracies(row, "windows"), 1) if row == "windows" else "–")
    cells.append(records.mean_sd(accuracies(row, "clustered", 2), 1))
    table = "Table 2" if row in FIXED else "here"
    lines.append([f"`{row}`", table, *cells, len(FOUND[row]), scale, "mini"])
heads = ["top-1, %", "from", "clustered", "sampled", "ten windows", "clustered, both shapes"]
say("{table}", table=markdown([*heads, "seeds", "scale", "data"], lines))
COUNTS = sorted({len(FOUND[row]) for row in ROWS})
say("Seeds of a row of this chapter: {seeds}.", seeds=" to ".join(map(str, COUNTS)))

# %% [markdown]
# *Clustered* shows all frames and clusters them at test, *sampled* eight frames without clusters,
# as in the chapters before. *Both shapes* forgets the order of the two events, which no row of
# chapter 07 learned: it is the less noisy number.
#
# ### Adaptive against fixed
#
# First what the clips got. The left picture counts the test clips by their number of clusters, the
# right one sets it over their length.

# %% tags=["hide-input"]
tests = [plan for plan in mini.plan(0, False, 400, 200) if plan.split == "test"]
tests.sort(key=lambda plan: plan.path)
names = np.char.encode(np.array([f"breakfast/{plan.path}" for plan in tests]), "utf-8")
targets, frames_of = (np.array([getattr(p, key) for p in tests]) for key in ("target", "frames"))
assert digest(names, targets, frames_of) == FOUND["adaptive"][0].data["sha256"]["test"]
counts = np.stack([one.arrays["clusters"] for one in FOUND["adaptive"]])  # (seeds, clips)

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
    "How many clusters the test clips get. Dashed: the eight of a fixed number. Left: mean over the seeds; right: one seed.",
    "Left: a histogram of the number of clusters with one hump; right: a cloud of markers over the number of frames",
    mean_least_most=[counts.mean(), counts.min(), counts.max()],
)

# %% tags=["hide-input"]
pair, length = ("adaptive", "cumulative-8"), [np.corrcoef(one, frames_of)[0, 1] for one in counts]
line = ["`adaptive` − `cumulative-8`", f"{counts.mean():.1f}", f"{counts.std(1).mean():.1f}"]
line += [f"{np.mean(length):.2f}", gain(*pair), gain(*pair, alike=2), gain(*pair, "sampled")]
heads = ["", "mean clusters (fixed: 8)", "sd over clips", "correlation with length"]
heads += ["clustered, points", "both shapes", "sampled"]
say("{table}", table=markdown(heads, [line]))

# %% tags=["hide-input"]
say(
    "At a mean of {mean:.1f} clusters in the test, adaptive clusters are {word}.",
    mean=counts.mean(),
    word=set_beside("adaptive", "cumulative-8", "eight fixed ones"),
)

# %% [markdown]
# A fair comparison has the same mean cost. If the mean in the test is far from 8, the difference
# has two causes. And mini Breakfast is no place where much is to be won: every clip has two events,
# so clips are alike in what they need. The paper's own example, videos with more changes of scene
# than clusters, is not in it.
#
# ## How much a cluster should weigh
#
# The network has a score for each cluster and averages them. In the paper every cluster counts the
# same, one of a single frame as one of a hundred. By hand: a cluster of 5 frames whose gradient is
# 2, and a cluster of 1 frame whose gradient is 8, all frames of a cluster alike.
#
# - All frames: (5 · 2 + 1 · 8)/6 = 3
# - clusters that weigh the same: (2 + 8)/2 = 5, which is two thirds too much
# - by size: (5 · 2 + 1 · 8)/(5 + 1) = 3, and by its root: (√5 · 2 + 1 · 8)/(√5 + 1) = 3.85
#
# The clusters are perfect here, no two frames of one differ, and the gradient is still wrong. This
# error, $\sum_k (s_k/t - 1/g)\,G_k$ for clusters of $s_k$ of $t$ frames with gradients $G_k$, does
# not get smaller when frames are more alike, unlike the one that the paper bounds (chapter
# [01](01_gradient_bound.ipynb)). The network's `consensus` can be "mean", "size" or "sqrt". Which
# is nearest to the gradient of all frames? We ask the trained network of Table 2, without the
# temporal shift, so that "all frames, each by itself" has one meaning:

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
lines = [
    [method, *(f"{off[method, w]:.0f}" for w in ("mean", "sqrt", "size"))]
    for method in ("cumulative", "slope", "uniform")
]
say("{table}", table=markdown(["gradient's distance, %", "mean", "sqrt", "size"], lines))

# %% tags=["hide-input"]
nearest = {
    m: min(("mean", "sqrt", "size"), key=lambda w, m=m: off[m, w]) for m in ("cumulative", "slope")
}
say(
    "On these two films the gradient of cumulative clusters is nearest to that of all frames with **{one}**, that of slope "
    "clusters with **{two}**. Equal weights are {mean:.0f} and {slope:.0f} % off, weights by size {size:.0f} and {slope2:.0f} %.",
    one=nearest["cumulative"],
    two=nearest["slope"],
    mean=off["cumulative", "mean"],
    slope=off["slope", "mean"],
    size=off["cumulative", "size"],
    slope2=off["slope", "size"],
)

# %% [markdown]
# Uniform groups are all of one size, give or take a frame, so that the three agree; what is left of
# their error is that of averaging. Two films are no statistics. And the nearest gradient is not
# all: what *matters* in these films are short events, and cumulative and slope clusters give them
# clusters of their own. Weights by size make an event of 15 frames count as 15 of 300 again. The
# faithful gradient may be the worse teacher here. What do the rows say?

# %% tags=["hide-input"]
WEIGHTS = {"size": "cumulative-8", "sqrt": "cumulative-8"}
WEIGHTS |= {"slope-size": "slope-8"}
lines = [
    [f"`{row}` − `{peer}`", gain(row, peer), gain(row, peer, alike=2), gain(row, peer, "sampled")]
    for row, peer in WEIGHTS.items()
]
heads = ["points [95 % interval]", "clustered", "clustered, both shapes", "sampled"]
say("{table}", table=markdown(heads, lines))

# %% tags=["hide-input"]
say(
    "Weighted by size, cumulative clusters are {size}; by the root of the size, {sqrt}. Slope clusters weighted by size are {slope}.",
    size=set_beside("size", "cumulative-8", "those of equal weight"),
    sqrt=set_beside("sqrt", "cumulative-8", "them"),
    slope=set_beside("slope-size", "slope-8", "those of equal weight"),
)

# %% [markdown]
# ## All frames against windows of 32
#
# The released code trains on one window of 32 neighbouring frames of each clip in each epoch (chapter
# [12](12_released_code.ipynb)). With what we have now, it can be done on truly all frames. What does
# such a window show? Over the
# test clips, for the windows that the released loader can take, and for ten at equal distances as
# in a test:

# %%
lines = {}
for plan in tests:
    for start in range(0, plan.frames - 31, 32):
        word = mini.oracle(plan, np.arange(start, start + 32))[0]
        lines[word] = lines.get(word, 0) + 1 / len(range(0, plan.frames - 31, 32))
for word, count in sorted(lines.items(), key=lambda item: -item[1]):
    print(f"one window of 32: {word:12} {100 * count / len(tests):5.1f} %")
print(f"ten windows: 10 · 32 = 320 of {frames_of.min()} to {frames_of.max()} frames")

# %% [markdown]
# A window rarely shows what a clip is about. The row `windows` (`window = 32` in its recipe) trains
# on them in its clustered epochs and is tested in three ways: on all frames in clusters, on eight
# sampled frames, and on ten windows, clustered each, whose scores are averaged. `all` trains on all
# frames. And beside both `cumulative-8` of Table 2, which is `all` with the statistics of its
# batch, and dense.

# %% tags=["hide-input"]
fig, ax = plt.subplots(figsize=(9, 3.3))
IN_ORDER = ("all", "cumulative-8", "windows", "adaptive", "size", "sqrt")
IN_ORDER += ("slope-8", "slope-size")
recipes = DATA / "recipes.toml"
looks = {row: look for t in ("table2", "any_length") for row, look in looks_of(recipes, t).items()}
for place, row in enumerate(IN_ORDER):
    look = looks[row]
    for protocol, aside, face in (("clustered", -0.15, look.colour), ("sampled", 0.15, "none")):
        values = accuracies(row, protocol, 2)
        style = {"marker": look.marker, "edgecolor": look.colour, "s": 30}
        place_of = np.full(len(values), place + aside)
        ax.scatter(place_of, values, facecolor=face, **style)
values = accuracies("windows", "windows", 2)
ax.scatter(np.full(len(values), 2.0), values, marker="x", color=plots.COLOURS["cumulative"])
ax.axhline(20, color="#8c8c8c", lw=1, ls=":")
ax.set(ylim=(0, 105), ylabel="both shapes right, %")
ax.set_xticks(range(len(IN_ORDER)), IN_ORDER, rotation=30, ha="right", fontsize=9)
plots.show(
    fig,
    "All rows; a marker is a seed. Filled: clusters of all frames at test; hollow: eight sampled frames; cross: ten windows. "
    "Dotted: chance.",
    "Columns of filled and hollow markers, one column a row, with crosses in the column of windows",
    both_shapes_clustered=[np.mean(accuracies(row, "clustered", 2)) for row in IN_ORDER],
)

# %% tags=["hide-input"]
lines = []
for a, b, protocol, other, said in (
    ("all", "windows", "clustered", None, "both clustered"),
    ("all", "windows", "clustered", "windows", "`all` clustered, `windows` on ten windows"),
    ("all", "windows", "sampled", None, "both sampled"),
    ("all", "cumulative-8", "clustered", None, "both clustered"),
    ("all", "cumulative-8", "sampled", None, "both sampled"),
):
    both = [gain(a, b, protocol, alike, other) for alike in (1, 2)]
    lines.append([f"`{a}` − `{b}`", said, *both])
say("{table}", table=markdown(["points [95 % interval]", "tested", "right", "both shapes"], lines))

# %% tags=["hide-input"]
say(
    "With all frames clustered at test, `all` is {clustered}. When `windows` is tested on ten windows, `all` is {windows}. Beside "
    "the dense row with statistics of the batch, `all` is {dense}.",
    clustered=set_beside("all", "windows", "`windows`"),
    windows=set_beside("all", "windows", "it", "windows"),
    dense=set_beside("all", "cumulative-8", "`cumulative-8`"),
)

# %% [markdown]
# Ten windows are no small test: they make eighty clusters of nearly all frames, ten times what
# the network behind the clusters sees of `all`, and each event has clusters of its own. A fair
# price for that is on the side of training: an epoch of windows is by far the shorter one (below).
#
# The last comparison is not one of chunks against none: these are equal by law. It asks what it
# costs, or brings, to let the front's statistics stand after the warm-up.
#
# What the rows cost on this machine, an epoch on average, warm-up included, and the highest memory
# of the whole process:

# %% tags=["hide-input"]
lines = []
for row in (*FIXED, "all", "windows"):
    ran = FOUND[row]
    seconds = np.mean([one.results["epoch_s"] for one in ran])
    peak = np.mean([one.cost["peak_mem_mb"] for one in ran])
    lines.append([f"`{row}`", f"{seconds:.1f}", f"{peak / 1024:.1f}"])
say("{table}", table=markdown(["row", "seconds of an epoch", "peak memory, GB"], lines))

# %% [markdown]
# The runs shared the machine with others, so the seconds say little. Memory of a whole training
# counts the decoded clips as well, and the test, which is the same for all rows.
#
# ## Paper and measured
#
# The two sentences of the paper. "Stored" is judged by what was found above: whether activations
# are what fills memory, and whether recomputation has to keep anything of each frame beyond its
# cluster's number.

# %% tags=["hide-input"]
flat_memory = bool(kept[32] <= 8 and worst(streamed, dense) < 1e-10)
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
assert flat_memory
assert not LENGTH["chunked"].results["grows"]
say("{table}", table=claims.table("11_any_length", DATA, facts=facts))

# %% [markdown]
# Both sentences are right. The second is about methods that recompute layer by layer and have to keep
# what goes into the first one of them. A network in which frames meet in averages only can do more,
# and that is a finding of our own: there a frame can be read again when it is wanted, and forgotten.
#
# ## What could be wrong
#
# - **Exact is exact for a definition.** With running statistics the network in training is another
#   one than with those of the batch. Chunked equals dense, but not the dense one of the chapters
#   before; the row `all` against `cumulative-8` says what that is worth on one mini set.
# - **Floating point.** Chunked and dense add in another order. In double precision that is nothing;
#   in single precision, and in bfloat16 more so, bits flip, and a flipped bit at the edge of a
#   cluster moves a frame. That is no worse than running on another machine.
# - **Peaks by the operating system** count pages, depend on the allocator, and on a GPU would be
#   other numbers. The counted bytes are the same on every machine.
# - **Two cores.** Chunks of 32 small frames keep a CPU waiting for a part of the step (see above),
#   and a GPU for more of it; `chunk="auto"` takes larger ones. No GPU has run anything of this
#   chapter yet. For one, the two loops of the clustering step are written in Triton; the tests
#   interpret them and compile them, and `make bench` will time them where there is one.
# - **The mini set is made for the question**, and clips of 300 frames fit into memory without any
#   of this. What all frames are worth on videos of thousands is *not tested* here.
# - **Adaptive numbers** were tried where clips are alike; sizes as weights where the short clusters
#   are what matters. Both could turn out the other way on other videos.
# - **Few seeds.** An interval over few seeds hides what the next seed would do.
#
# ## In short

# %% tags=["hide-input"]
say(
    "- The front of the network can be run in chunks, three times, with the gradient of the dense step: {last} frames in "
    "**{chunked:.0f} MB** in place of {dense:.1f} GB. It costs **{counted:.2f} times** the multiply-adds. Measured, it takes "
    "{short:.2f} times the time with 32 frames and {factor:.2f} times with {last}, where the dense step waits for its memory.\n"
    "- The gradient is exact if BatchNorm in the front has constant statistics; chunks that are normalised by themselves would "
    "have been {wrong:.0f} % off (chunks of 32).\n"
    "- On mini Breakfast, with clusters at test, training on all frames is {windows}; adaptive numbers of clusters are {adaptive}; "
    "weights by size are {size}.",
    last=last,
    chunked=at("chunked", "peak_mb", last),
    dense=at("dense", "peak_mb", last) / 1024,
    counted=price["chunked", last],
    short=at("chunked", "seconds", 32) / at("dense", "seconds", 32),
    factor=at("chunked", "seconds", last) / at("dense", "seconds", last),
    wrong=wrong[32][1],
    windows=set_beside("all", "windows", "training on windows of 32"),
    adaptive=set_beside("adaptive", "cumulative-8", "fixed ones"),
    size=set_beside("size", "cumulative-8", "equal ones"),
)

# %% [markdown]
# ## Exercises
#
# 1. Do the six frames on paper with chunks of three: what is kept after the first pass, and what
#    are the two sums after the first chunk of the second?
# 2. In `in_two_passes` the encoder is run three times. Which of the three could be left out if
#    there were room for the *sign bits* of all frames, and what else would have to be kept? How many
#    bytes a frame are the bits of a ResNet-18 at 224 pixels, where block 1 has 64·56·56 outputs?
# 3. A clip has 40 frames and a chunk 32. With the numbers of the section on the price, is chunking
#    worth it for `g` = 8? And for `g` = 1?
# 4. Three clips with 4, 12 and 32 changes share nine clusters. Give them away by hand, then check
#    with `adaptive_counts`. What is $\tau$?
# 5. A small study: which statistics has the front? Count how many passes over a clip a step takes with
#    "running" and with "detached". Does it matter for accuracy? Plan the runs that would tell.
#
# Solutions: [solutions/11_any_length.ipynb](solutions/11_any_length.ipynb).

# %%
folder.cleanup()

# %% [markdown]
# <!-- navigation -->
# [← Do clusters keep the order of time?](10_something.ipynb) · [Contents](00_start_here.ipynb) · [What the code does →](12_released_code.ipynb)
