# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# <!-- navigation -->
# [← 01 · The gradient bound](01_gradient_bound.ipynb) · [Contents](00_start_here.ipynb) · [03 · Move4MNIST, frame by frame →](03_move4mnist.ipynb)
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
# # 02 · Temporal clustering
#
# **How do t frames become g, and what gradient does each frame receive?** (Section 3.3, Eq. 8 and
# Fig. 3.)
#
# Chapter [01](01_gradient_bound.ipynb) gives the reason for grouping frames by signs. Here we group
# them, first in a clip that is easy to follow, then in one with a jump so long that a cluster gets no
# frame. Then we count how often this occurs in clips of Move4MNIST.

# %% [markdown]
# ## Claims tested here
#
# - C6: finding the clusters costs little beside the network itself.
# - C53: Hamming distances are fast. (Fast beside what? We take Euclidean distances, which Fig. 5 uses.)

# %% tags=["parameters"]
data: str = "embedded"  # "real" takes MNIST and UCF-101 from FVLIB_DATA
scale: str = "small"  # of the network whose first block gives the activations
clips: int = 48  # of Move4MNIST

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.nn.functional import cross_entropy, relu

from lab import book, claims, plots, released
from fvlib import cost
from fvlib.clustering import (
    TemporalClustering,
    aggregate,
    cumulative_clusters,
    hamming_distances,
    slope_clusters,
    uniform_clusters,
)
from fvlib.datasets import BLACK
from fvlib.models import tsm_resnet
from lab.building import build_network, move4mnist_sets
from lab.recipes import parameters_of

DATA = Path("../data")
torch.set_default_dtype(torch.float64)  # so that every machine finds the same signs
plots.use_style()

# %% [markdown]
# ## By hand: signs and their distance
#
# A **sign bit** says on which of the ReLU's two straight pieces a number lies: 1 above zero, 0
# otherwise. Here are three frames of four numbers each, before the ReLU, and their bits.

# %%
a = torch.tensor([2.0, -1.0, 3.0, -4.0])
b = torch.tensor([4.0, -3.0, 1.0, -2.0])
c = torch.tensor([-2.0, 5.0, 1.0, -4.0])
for name, frame in {"a": a, "b": b, "c": c}.items():
    print(name, (frame > 0).int().tolist())

# %% [markdown]
# Frames a and b have the same bits, though no number is the same. Frames a and c differ in two
# bits. That count is their **Hamming distance**.
#
# > We use the ReLU (Rectified Linear Unit) activation function, which is linear when the signs of
# > two activations agree, to estimate which parts of the video are approximately linear.
#
# A number is above zero after the ReLU exactly when it was before, so the bit can be read there
# too. (The paper says that activations are averaged before the ReLU; its code, and we, average after
# it.) The library counts between neighbouring frames:

# %%
x = torch.stack([a, b, c])[None]  # n = 1 clip, t = 3 frames
print("before the ReLU", hamming_distances(x).tolist())
print("after it       ", hamming_distances(relu(x)).tolist())

# %% [markdown]
# ## By hand: ten frames
#
# Figure 3 of the paper has ten frames and three clusters. We take the distances 2 3 2 8 2 10 9 2 3,
# chosen so that the clusters are those of the figure's caption. The cumulative distance of a frame
# is the sum of all distances before it:
#
# | frame | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 |
# |---|---|---|---|---|---|---|---|---|---|---|
# | distance from the frame before | | 2 | 3 | 2 | 8 | 2 | 10 | 9 | 2 | 3 |
# | cumulative distance | 0 | 2 | 5 | 7 | 15 | 17 | 27 | 36 | 38 | 41 |
#
# **Cumulative clustering** cuts the range from 0 to 41 into g = 3 even segments, at 41/3 = 13.67
# and 2·41/3 = 27.33. Frames 0 to 3 are below the first cut, frames 4 to 6 between the cuts, and
# frames 7 to 9 above them.
#
# **Slope clustering** cuts where the curve is steepest. The two largest distances are 10 and 9, so
# frame 6, between them, is a cluster of its own.
#
# ## The idea
#
# In the paper's letters, with H the Hamming distance and frames numbered from 1 to N, our t, Eq. 8 is
#
# $$C_N(x) = \sum_{i=1}^{N-1} H(x_i, x_{i+1}),$$
#
# > we divide the total cumulative Hamming distance, $C(x)$, into $g$ even segments, where the
# > cluster id for frame $i$ is $\frac{C_i(x)}{C_N(x)}$.
#
# Here $C_i$ is the same sum up to frame i, so it is 0 for the first frame.
# As printed, the id is between 0 and 1. With a factor g, which we think is meant, and rounded down,
# it counts segments:
#
# $$\mathrm{label}_i = \min\left(g - 1,\ \left\lfloor \frac{g\, C_i}{C_N} \right\rfloor\right).$$
#
# The minimum is for the last frame, at the very end of the last segment. Slope clusters need a
# correction too: the text cuts at the "top-g largest slopes", which would make g + 1 clusters. Fig.
# 3 cuts at g - 1 places, and so do we. Here are both rules as loops.

# %%
dist = [2, 3, 2, 8, 2, 10, 9, 2, 3]


def loop_cumulative(dist, g):
    done, labels = 0, [0]
    for distance in dist:
        done += distance
        labels.append(min(g - 1, g * done // sum(dist)))
    return labels


def loop_slope(dist, g):
    largest = sorted(range(len(dist)), key=lambda i: -dist[i])[: g - 1]
    return [sum(cut < frame for cut in largest) for frame in range(len(dist) + 1)]


print("cumulative", loop_cumulative(dist, 3))
print("slope     ", loop_slope(dist, 3))

# %% [markdown]
# The loops give what we found by hand. In the picture, dashed lines cut the curve into the even
# segments of cumulative clustering, and the two thick pieces are the steepest slopes.


# %% tags=["hide-input"]
def draw_strip(ax, name, labels):
    """A strip of clusters; frames in no cluster get a cross."""
    plots.cluster_strip(ax, labels, name)
    for frame in np.flatnonzero(np.asarray(labels) < 0):
        ax.text(frame, 0.45, "×", ha="center", va="center", color="#b2182b", weight="bold")


def draw(dist, g, strips, types=None):
    """The cumulative distance with g even segments, and strips of clusters below it."""
    done, t = np.cumsum([0, *dist]), len(dist) + 1
    rows = len(strips) + (types is not None)
    size, heights = (7.5, 2.6 + 0.3 * rows), [1] * rows + [8]
    fig, axes = plt.subplots(rows + 1, 1, figsize=size, height_ratios=heights[::-1])
    for k in range(1, g):
        axes[0].axhline(k * done[-1] / g, color=plots.COLOURS["cumulative"], ls="--", lw=0.8)
    axes[0].plot(done, color="#555555", marker="o", ms=3.5, zorder=3)
    axes[0].set(xlim=(-0.5, t - 0.5), xlabel="frame", ylabel="cumulative distance", ylim=(0, None))
    if types is not None:
        plots.type_strip(axes[1], types)
    for ax, (name, labels) in zip(axes[rows + 1 - len(strips) :], strips.items(), strict=True):
        draw_strip(ax, name, labels)
    return fig, axes[0]


# %% tags=["hide-input"]
strips = {"cumulative": loop_cumulative(dist, 3), "slope": loop_slope(dist, 3)}
fig, ax = draw(dist, 3, strips)
ax.set_xticks(range(10))
done = np.cumsum([0, *dist])
for i, distance in enumerate(dist):
    if distance >= 9:
        ax.plot([i, i + 1], done[i : i + 2], color=plots.COLOURS["slope"], lw=6, zorder=2)
    text = ax.text(i + 0.4, done[i : i + 2].mean() + 1.5, distance, ha="right", fontsize=9)
    text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})
plots.show(
    fig,
    "There are ten frames and g = 3 clusters, as in Fig. 3 of the paper. The distances are our choice.",
    "Rising curve over ten frames, cut by two dashed lines; two strips with three clusters each.",
    cumulative_distance=done,
)

# %% [markdown]
# The cumulative rule cuts the curve at equal heights; how much change a cluster really holds depends
# on where the frames fall. The slope rule looks at two places only.
#
# ## The library
#
# `fvlib.clustering` does the same for a batch of clips. Distances are whole numbers, so no rounding
# decides to which side of a cut a frame goes.

# %%
batch = torch.tensor([dist])  # n = 1 clip, t - 1 = 9 distances
print("cumulative", cumulative_clusters(batch, 3)[0].tolist() == loop_cumulative(dist, 3))
print("slope     ", slope_clusters(batch, 3)[0].tolist() == loop_slope(dist, 3))
print("uniform   ", uniform_clusters(batch, 3)[0].tolist())

# %% [markdown]
# `uniform_clusters` cuts into runs of almost equal length without looking at the frames; it is a
# baseline of the paper's Table 1. Of equal distances, slope clusters cut at the earlier one. The
# clusters that Fig. 3 prints for the cumulative rule are the uniform ones too. So the figure does
# not show that the rule differs from a plain ruler.
#
# ### One long jump
#
# Now a clip that is nearly still and changes once. Eight distances are 1 and the one in the middle
# is 30. With g = 4 a segment is (8 + 30)/4 = 9.5 long, and the jump skips two of them.

# %%
jump = torch.tensor([[1, 1, 1, 1, 30, 1, 1, 1, 1]])
keep = cumulative_clusters(jump, 4, empty="keep")
print("labels", keep[0].tolist())
print("frames in clusters 0 to 3", torch.bincount(keep[0], minlength=4).tolist())

# %% [markdown]
# Clusters 1 and 2 have no frames. Only a jump longer than one segment can do this, and one longer
# than two always does. The paper does not say what happens then. We know of three answers.
#
# - **keep** is the formula to the letter. Clusters 1 and 2 stay empty, and the later layers leave
#   them out.
# - **split** is our default. Cluster k starts at the first frame in segment k or later, but after the
#   start of cluster k − 1, and early enough to leave a frame for each later cluster.
# - **released** is the published code. A frame whose cumulative distance is above a threshold closes
#   the open cluster, starts
#   the next one, and raises the threshold by one segment, even after a jump over several. The
#   cluster that is open at the end is never closed, and its frames are lost. Where outputs are
#   missing, the last closed cluster is repeated.
#
# The rule of `split`, as a loop over the clusters:


# %%
def loop_split(labels, g):
    t, start = len(labels), [0]
    for k in range(1, g):
        first = next(i for i in range(t) if labels[i] >= k)
        start.append(min(max(first, start[-1] + 1), t - g + k))
    return [sum(s <= i for s in start) - 1 for i in range(t)]


split = cumulative_clusters(jump, 4, empty="split")
print("by hand", loop_split(keep[0].tolist(), 4))
print("library", split[0].tolist())

# %% [markdown]
# Segments 1, 2 and 3 all begin at frame 5, where the jump lands. The published rule is in
# `lab.released`:

# %%
published = released.published_cumulative(jump, 4)
print("labels ", published[0].tolist(), " (-1: in no cluster)")
print("outputs", released.repeated(published, 4)[0].tolist())

# %% [markdown]
# Frames 7, 8 and 9 are in no cluster, and cluster 2, a single frame, fills two of four outputs. At
# most g - 1 clusters are ever closed, so the frames of the last one are always lost. The three
# answers on the same curve:

# %% tags=["hide-input"]
strips = {"keep": keep[0], "split": split[0], "released": published[0]}
fig, ax = draw(jump[0].tolist(), 4, strips)
ax.set_xticks(range(10))
plots.show(
    fig,
    "One jump skips two segments; the strips show three answers. A cross is a frame in no cluster.",
    "A curve with one jump; strips below: two clusters, four clusters, three clusters and crosses.",
    keep=[5, 0, 0, 5],
    split=torch.bincount(split[0]).numpy(),
    released=torch.bincount(published[0] + 1).numpy()[1:],
)

# %% [markdown]
# Chapter [12](12_released_code.ipynb) asks what the lost frames do to accuracy.
#
# ### Clips of Move4MNIST
#
# We take test clips of Move4MNIST (chapter [03](03_move4mnist.ipynb)), 32 frames each: the moving
# digit, another digit, the bare background, or black. The first block of the network from which the training in chapter 05 starts gives the activations.

# %%
parameters, _ = parameters_of(DATA / "recipes.toml", "facts", "all", scale, data)
network = build_network(parameters, 4, beside=DATA).eval()
test = move4mnist_sets(parameters)["test"]
video, target = test.batch(range(clips))
with torch.no_grad():
    x = network.features(video, upto="layer1")
dist = hamming_distances(x)
print("video      ", list(video.shape))
print("activations", list(x.shape))
print("distances  ", list(dist.shape), "of clip 0:")
for part in dist[0].split(16):
    print(part.tolist())

# %% [markdown]
# Here every distance of 0 lies between two black frames. These are the pairs of neighbours of clip 0
# with the largest distance and with the smallest above 0. On the right, a place is darker where more
# channels change their bit, on a scale of each pair's own.

# %% tags=["hide-input"]
nonzero = dist[0].masked_fill(dist[0] == 0, dist.max() + 1)
pairs = {"largest": int(dist[0].argmax()), "smallest": int(nonzero.argmin())}
fig, axes = plt.subplots(2, 3, figsize=(6, 4))
for row, (name, i) in zip(axes, pairs.items(), strict=True):
    changed = ((x[0, i] > 0) != (x[0, i + 1] > 0)).sum(0)
    for ax, frame in zip(row, (i, i + 1), strict=False):
        ax.imshow(video[0, frame, 0], vmin=0, vmax=255)
        ax.set_title(f"frame {frame}")
    row[2].imshow(changed, vmin=0, cmap="Greys")
    row[2].set_title(f"{dist[0, i]} bits")
    row[0].set_ylabel(name)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
plots.show(
    fig,
    "Two pairs of neighbouring frames of clip 0. On the right is where their signs after block 1 differ.",
    "A scene and a black frame with many dark places; two similar scenes with a few scattered ones.",
    frames=list(pairs.values()),
    distances=[int(dist[0, i]) for i in pairs.values()],
)

# %% [markdown]
# We know what every frame shows, so we can ask how much of the distance comes from black frames:

# %%
types = torch.stack([test.frame_labels(i).type for i in range(clips)])
before, after = types[:, :-1], types[:, 1:]
same = before == after
black = ~same & ((before == BLACK) | (after == BLACK))
for name, chosen in {"same type": same, "one black": black, "other": ~same & ~black}.items():
    share = dist[chosen].sum() / dist.sum()
    print(
        f"{name:10} {int(chosen.sum()):4} pairs, mean {dist[chosen].double().mean():5.0f}", end=""
    )
    print(f", {share:4.0%} of all distance")

# %% tags=["hide-input"]
book.say(
    "Changes to or from black are **{pairs:.0%}** of the pairs and **{share:.0%}** of the "
    "distance, and they show nothing of the action.",
    pairs=float(black.double().mean()),
    share=float(dist[black].sum() / dist.sum()),
)

# %% [markdown]
# This is clip 0 with g = 16. Below the curve are the true types of the frames (T target, D
# distractor, K black, B background), then the clusters of each rule.

# %%
RULES = {
    "keep": lambda dist, g: cumulative_clusters(dist, g, empty="keep"),
    "split": cumulative_clusters,
    "released": released.published_cumulative,
    "slope": slope_clusters,
    "uniform": uniform_clusters,
}


def draw_clip(clip, g, *names):
    """One of the clips in g clusters: its curve, its types, and the clusters of the named rules."""
    labels = {name: RULES[name](dist[[clip]], g)[0] for name in names}
    return draw(dist[clip].tolist(), g, labels, types[clip].tolist())[0], labels


# %% tags=["hide-input"]
fig, labels = draw_clip(0, 16, *RULES)
plots.show(
    fig,
    "Five rules cut clip 0 into g = 16 clusters. A cross is a frame in no cluster.",
    "A curve with tall steps over 32 frames, a strip of frame types, and five strips of clusters.",
    **{f"clusters_of_{name}": len(found[found >= 0].unique()) for name, found in labels.items()},
)

# %% tags=["hide-input", "nbval-skip", "remove-cell"]
# The same picture to play with, for a reader with a kernel and ipywidgets: drag g, and see the
# clusters move. The picture is low, so that the sliders and the strip are seen together.
try:
    from ipywidgets import Dropdown, Image, IntSlider, interact
except ImportError:
    print("The sliders of this cell need the package ipywidgets.")
else:
    picture = Image()  # not what `play` displays: executed without a page, that can stall

    rules = Dropdown(options=[*RULES], value="split")

    @interact(g=IntSlider(16, 1, 32), rule=rules, clip=IntSlider(0, 0, clips - 1))
    def play(g, rule, clip):
        fig = draw_clip(clip, g, rule)[0]
        fig.set_size_inches(7.5, 2.5)
        picture.value = plots.png(fig)

    display(picture)


# %% [markdown]
# `keep` leaves out the segments that the tall steps skip. `split` gives them the frames just after
# the jump, one each, even two black frames in a row. How often does a cut separate two of these?

# %%
for name in ("keep", "split", "slope", "uniform"):
    cut = RULES[name](dist, 16).diff(dim=1) > 0
    wasted = cut & (dist == 0)
    print(f"{name:8} {int(cut.sum())} cuts, {int(wasted.sum()):2} of them between black frames")

# %% [markdown]
# `split` fills all g places, and some hold the same picture twice.
#
# Now the empty segments of every clip:

# %%
empty = {}
for g in (8, 16):
    labels = cumulative_clusters(dist, g, empty="keep")
    used = torch.tensor([len(clip.unique()) for clip in labels])
    empty[g] = g - used
    segments = dist.amax(1) * g / dist.sum(1)  # the longest jump, in segments
    print(f"g = {g:2}: {int((empty[g] > 0).sum())} of {clips} clips have an empty segment,", end="")
    print(
        f" {used.double().mean():.1f} clusters used, longest jump {segments.median():.1f} segments"
    )

# %% tags=["hide-input"]
fig, axes = plt.subplots(1, 2, figsize=(7.5, 2.6), sharey=True)
counts = {g: torch.bincount(count, minlength=7) for g, count in empty.items()}
for ax, (g, count) in zip(axes, counts.items(), strict=True):
    bars = ax.bar(range(len(count)), count, color=plots.COLOURS["cumulative"], width=0.7)
    ax.bar_label(bars, [str(int(c)) if c else "" for c in count], fontsize=9)
    ax.set(title=f"g = {g}", xlabel="empty segments in a clip", xticks=range(len(count)))
axes[0].set(ylabel="clips", yticks=range(0, clips + 1, 10))
plots.show(
    fig,
    "Clips by the number of segments that stay empty when the formula is taken to the letter.",
    "Two bar charts of clips by empty segments: few for 8 clusters, several for 16 clusters.",
    **{f"g_{g}": count.numpy() for g, count in counts.items()},
)

# %% tags=["hide-input"]
book.say(
    "With g = 16, **{mean:.1f}** of 16 segments are empty on average where any is. So the rule for "
    "empty segments decides what fills **{share:.0%}** of the clusters.",
    mean=float(empty[16][empty[16] > 0].double().mean()),
    share=float(empty[16].double().mean() / 16),
)

# %% [markdown]
# This is why chapter [05](05_more_frames.ipynb) runs the cumulative rows of Table 1 with `split` and
# with `keep`. And with the published rule, how many of 32 frames are in no cluster?

# %%
for g in (8, 16):
    labels = released.published_cumulative(dist, g)
    lost = (labels < 0).sum(1)
    repeated = g - torch.tensor([len(clip.unique()) for clip in released.repeated(labels, g)])
    print(f"g = {g:2}: {int((lost > 0).sum())} of {clips} clips lose frames,", end="")
    print(f" {int(lost.min())} to {int(lost.max())} of 32;", end="")
    print(
        f" outputs that repeat the one before: {' or '.join(map(str, repeated.unique().tolist()))}"
    )

# %% [markdown]
# ### Averages, sizes, gradients
#
# `aggregate` averages the activations within each cluster and counts its frames, its **size**. Here
# are ten frames of one number each, 0 to 9, in the clusters of our Fig. 3:

# %%
labels = cumulative_clusters(batch, 3)
frames = torch.arange(10.0).reshape(1, 10, 1).requires_grad_()
y, sizes = aggregate(frames, labels, 3)
print("means", y.flatten().tolist())
print("sizes", sizes[0].tolist())

# %% [markdown]
# On the way back, a frame receives its cluster's gradient divided by the size. We send the
# gradients 12, 12 and 24 into the three clusters:

# %%
gradient = torch.tensor([12.0, 12.0, 24.0])
(y.flatten() * gradient).sum().backward()
print([round(g, 6) for g in frames.grad.flatten().tolist()])

# %% [markdown]
# That all frames of a cluster receive the same gradient is the paper's approximation.
# Chapters [01](01_gradient_bound.ipynb) and [06](06_similar_gradients.ipynb) ask when it is a good
# one.
#
# ### Laws
#
# With g = 1 there is one cluster, the mean of all frames. With g = t nothing changes. And the mean
# of the clusters, each weighted by its size, is the mean of all frames. We check these laws on the
# clips.

# %%
mean = x.mean(1)
one, _, _ = TemporalClustering("cumulative", 1)(x)
print("g = 1 is the mean          ", torch.allclose(one[:, 0], mean))
for method in ("slope", "uniform", "cumulative"):
    y, _, _ = TemporalClustering(method, 32)(x)
    print(f"g = t changes nothing       {torch.equal(y, x)} ({method})")
y, labels, sizes = TemporalClustering("cumulative", 8)(x)
weighted = (y * sizes[:, :, None, None, None]).sum(1) / sizes.sum(1)[:, None, None, None]
print("the weighted mean is kept  ", torch.allclose(weighted, mean))
print("the plain mean of clusters ", torch.allclose(y.mean(1), mean))

# %% [markdown]
# The last line is not a law, and it does not hold. It matters because the network averages the
# scores of its clusters without weights: a cluster of one frame counts as much as a cluster of ten
# (chapter [04](04_network.ipynb)).
#
# ### Clips of different length
#
# In a batch, `lengths` says how many frames of each clip are not padding. Later frames get the label -1
# and have no effect. Here are clips of 10, 6 and 2 frames with the distances of our Fig. 3, and g =
# 3.

# %%
lengths = torch.tensor([10, 6, 2])
labels = cumulative_clusters(batch.expand(3, -1), 3, lengths=lengths)
y, sizes = aggregate(torch.arange(10.0).expand(3, 10)[:, :, None], labels, 3)
for clip, size in zip(labels.tolist(), sizes.tolist(), strict=True):
    print(clip, "sizes", size)

# %% [markdown]
# The third clip can fill two clusters. Its last cluster has size 0, and the network leaves it out.
#
# ### What it costs
#
# Here is the time of a training step on one clip of 32 frames, and of the
# clustering step alone, forward and backward. Both grow with the number of pixels in the same way.

# %% tags=["nbval-ignore-output"]
step = TemporalClustering("cumulative", 8)
network18 = tsm_resnet(18, 4, clustering=step).float()
clip = torch.rand(1, 32, 3, 112, 112, dtype=torch.float32)
block1 = torch.rand(1, 32, 64, 28, 28, dtype=torch.float32, requires_grad=True)
whole = cost.step_time(lambda: cross_entropy(network18(clip), target[:1]).backward(), repeats=2)
alone = cost.step_time(lambda: step(block1)[0].sum().backward(), repeats=15)
share, limit = alone / whole, 0.05
print(f"clustering {1e3 * alone:.0f} ms of {1e3 * whole:.0f} ms, {share:.1%}")
assert share < limit

# %% [markdown]
# ## Paper and measured
#
# C6 depends on the clock of one processor, so we give it as a bound that holds with room to spare.
# C53 is timed by `make bench` on the neighbours in eight clips, against the faster of torch's two
# ways of computing Euclidean distances.

# %% tags=["hide-input"]
facts = {"C6": (share < limit, f"less than {limit:.0%} of a training step, on one CPU thread")}
book.say("{table}", table=claims.table("02_temporal_clustering", DATA, facts=facts))

# %% [markdown]
# ## What could be wrong
#
# - The bits are those after block 1. That later layers agree where block 1 agrees is an assumption
#   of the paper; chapter [06](06_similar_gradients.ipynb) tests it.
# - Our activations come from the network at its start, with fixed BatchNorm. Training changes the
#   weights and with them the distances.
# - Move4MNIST has hard cuts to black. Videos of daily life have fewer, so probably fewer empty segments.
# - `split` is our answer to a question that the paper leaves open, not the authors'.
# - We timed a CPU; on a GPU the share differs.
#
# ## In short
#
# - Few differing signs after block 1 are taken as a hint that the signs in later layers agree too, and
#   then averaging does little harm. The running sum of these differences, cut evenly, gives the clusters.
# - A jump longer than a segment can leave segments empty. With 16 clusters for 32 frames this
#   happens in every clip counted here, and the paper does not discuss it. The published code has a
#   rule of its own, which leaves the last frames of a clip behind.
# - A cluster is the mean of its frames, and each frame receives the cluster's gradient divided by
#   the size. Finding the clusters costs little compared with the network.
#
# ## Exercises
#
# 1. Find six distances for which, with g = 3, only the middle segment is empty. What do `split` and
#    the released rule make of them?
# 2. All distances are equal. Are cumulative clusters then the same as uniform ones? Try t = 10 and
#    g = 3, find the frames that are labelled differently, and explain them with t and t - 1.
# 3. Give Euclidean distances between neighbouring activations to `cumulative_clusters`. In how many
#    of the clips do the labels change, for g = 8, and how much of the curve do black frames take
#    up?
# 4. A small study. Write your own rule for empty segments, one that halves the longest cluster
#    until there are g. A cluster is pure when all its frames have one type. Compare the share of
#    frames in pure clusters for your rule, `split`, `keep`, slope and uniform, with g = 8 and 16.
#
# Solutions: [solutions/02_temporal_clustering.ipynb](solutions/02_temporal_clustering.ipynb).

# %% [markdown]
# <!-- navigation -->
# [← 01 · The gradient bound](01_gradient_bound.ipynb) · [Contents](00_start_here.ipynb) · [03 · Move4MNIST, frame by frame →](03_move4mnist.ipynb)
