# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Solutions: Move4MNIST, frame by frame
#
# To the exercises of the [chapter](../03_move4mnist.ipynb). What needs a network is counted on the
# first 48 clips of its test set.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.nn.functional import one_hot, pad

from lab import book, plots
from fvlib.clustering import cumulative_clusters, hamming_distances
from fvlib.clustering import slope_clusters, uniform_clusters
from fvlib.datasets import CLASSES, Move4MNIST, Plan, parse_timeline, segment_frames
from fvlib.evaluation import purity
from lab.building import build_network, move4mnist_sets
from lab.recipes import parameters_of

DATA = Path("../../data")
torch.set_default_dtype(torch.float64)  # so that every machine finds the same signs
plots.use_style()

# %% [markdown]
# ## 1. A plan of your own
#
# *The target moves up for ten frames among twenty; which frame does `frame_labels` call step 3?* The
# set has to know that its videos have twenty frames.

# %%
timeline = "BBTTTDDTTKKTTBTTTBBB"
short = Move4MNIST("train", clips=1, frames=len(timeline))
up = CLASSES.index("up")
plan = Plan(up, target=0, distractor=1, start=(30.0, 12.0), types=parse_timeline(timeline))
labels, video = short.frame_labels(plan), short.render(plan)
print("video", video.shape, " step of each frame", labels.step.tolist())
print("step 3 is frame", int((labels.step == 3).nonzero()))

# %% tags=["hide-input"]
fig, (top, strip) = plt.subplots(2, 1, figsize=(10, 1.1), height_ratios=[3, 1])
top.imshow(np.concatenate(list(video[:, 0]), axis=1), extent=(-0.5, 19.5, 0, 1), aspect="auto")
top.set_axis_off()
plots.type_strip(strip, labels.type, "type")
plots.show(
    fig,
    "The video of the plan, and the type of each frame.",
    "Twenty small frames in which a digit moves up, between black ones and bare background.",
    y_of_the_boxes=labels.box[:, 0].numpy(),
)

# %% [markdown]
# Steps are counted from 0 over the frames that show the target: step 3 is the fourth T, frame 7, and
# the frames between it and step 2 are the distractor's. The y of the target goes down from 30, since
# rows are counted from the top.
#
# ## 2. Frames drawn at random
#
# *In how many clips does every one of ten draws of 8 frames miss the motion?* In training each
# eighth of a clip gives a random frame.

# %%
parameters, _ = parameters_of(DATA / "recipes.toml", "facts", "all", "small", "embedded")
test = move4mnist_sets(parameters)["test"]
clips = [test.frame_labels(i) for i in range(len(test))]
draws = segment_frames(32, 8, clips=10 * len(clips), rng=np.random.default_rng(0))
draws = draws.reshape(len(clips), 10, 8)
seen = np.array(
    [[clip.movement_seen(f) for f in drawn] for clip, drawn in zip(clips, draws, strict=True)]
)
middle = np.array([clip.movement_seen(segment_frames(32, 8)[0]) for clip in clips])
print(f"middle frames show nothing in {(middle == 0).sum()} of {len(clips)} clips")
print(f"one draw shows nothing in     {(seen == 0).sum(0).mean():.1f}, on average")
print(f"all ten draws show nothing in {(seen == 0).all(1).sum()}")

# %% [markdown]
# A draw misses about as many clips as the fixed frames do, but each draw misses different ones. So in
# training every clip shows its motion in some epoch. In a test with one fixed choice the missed clips
# stay missed.
#
# ## 3. Purity over g
#
# *How do purity and the best possible purity change with g, and from which g on is slope within half a
# point of the best?* First the distances and types, then the best for every g at once: it is built up
# cluster by cluster anyway.

# %%
torch.manual_seed(0)  # of the last layer alone, which is not used
network = build_network(parameters, len(CLASSES), DATA).eval()
videos = test.batch(range(48))[0]
with torch.inference_mode():
    parts = [hamming_distances(network.features(x, upto="layer1")) for x in videos.split(10)]
dist, types = torch.cat(parts), torch.stack([clip.type for clip in clips[:48]])


def best_for_all(types):
    """The highest purity of contiguous clusters, for g from 1 to t: a list of (n,)."""
    t = types.shape[1]
    count = pad(one_hot(types, 4).cumsum(1), (0, 0, 1, 0))
    named = (count[:, None] - count[:, :, None]).amax(3)  # a cluster of the frames j..i-1
    named = named.masked_fill(torch.ones(t + 1, t + 1).tril(-1).bool(), -t)
    best, found = named[:, 0], []
    for _ in range(t):
        found.append(best[:, -1].double() / t)
        best = (best[:, :, None] + named).amax(1)
    return found


# %%
best, counts = best_for_all(types.long()), range(2, 33)
methods = {"cumulative": cumulative_clusters, "slope": slope_clusters, "uniform": uniform_clusters}
scores = {
    name: [float(purity(find(dist, g), types).mean()) for g in counts]
    for name, find in methods.items()
}
scores["best"] = [float(best[g - 1].mean()) for g in counts]
gap = np.array(scores["best"]) - scores["slope"]

# %% tags=["hide-input"]
fig, ax = plt.subplots(figsize=(7, 3.2))
for name, curve in scores.items():
    colour = plots.COLOURS.get(name, "#333333")
    mark = plots.MARKERS.get(name, "")
    style = {"ls": "--" if name == "best" else "-", "marker": mark, "ms": 4}
    ax.plot(counts, 100 * np.array(curve), color=colour, label=name, **style)
ax.set(xlabel="clusters g", ylabel="purity, %", ylim=(40, 105))
ax.legend(loc="lower right")
plots.show(
    fig,
    "Purity of three methods, and the best that contiguous clusters can have, over g.",
    "Four rising curves that meet at 100 %: the best possible first, then slope, cumulative, uniform.",
)

# %% tags=["hide-input"]
reached = next(g for g, distance in zip(counts, gap, strict=True) if distance < 0.005)
book.say(
    "With 8 clusters {eight:.0%} is possible. Slope comes to within half a point of the best from "
    "**g = {reached}** on. Cumulative clusters need {cumulative} for the purity that slope has with "
    "{reached}, uniform ones {uniform}.",
    eight=scores["best"][6],
    reached=reached,
    **{
        name: next(g for g in counts if scores[name][g - 2] >= scores["slope"][reached - 2])
        for name in ("cumulative", "uniform")
    },
)

# %% [markdown]
# ## 4. Empty clusters
#
# *What does `empty="keep"` do to purity, and how many clusters have frames?*

# %%
for g in (8, 16):
    for empty in ("keep", "split"):
        found = cumulative_clusters(dist, g, empty=empty)
        used = (found.diff(dim=1) > 0).sum(1).double().mean() + 1
        score = purity(found, types).mean()
        print(f"g = {g:2} {empty:5} {used:4.1f} clusters with frames, purity {score:.1%}")

# %% [markdown]
# Fewer clusters have frames, so each has more, and purity falls. It falls only a little: the clusters
# that `split` adds come after jumps, where often nothing changes and nothing was mixed.
#
# ## 5. Distances to a power
#
# *Which power p of the distances gives the purest cumulative clusters?* Distances of 0 stay 0, also
# for p = 0, where all others become 1.

# %%
powers = (0, 0.25, 0.5, 0.75, 1, 1.5, 2, 8)
lines = ["| p | g = 8 | g = 16 |", "|--:|--:|--:|"]
table = {}
for p in powers:
    d = torch.where(dist > 0, dist.double() ** p, 0)
    d = d / d.amax(1, keepdim=True)  # so that no power overflows
    table[p] = [float(purity(cumulative_clusters(d, g), types).mean()) for g in (8, 16)]
    lines.append(f"| {p} | {table[p][0]:.1%} | {table[p][1]:.1%} |")
lines.append(f"| slope | {scores['slope'][6]:.1%} | {scores['slope'][14]:.1%} |")
book.say("{table}", table="\n".join(lines))

# %%
best8, best16 = (max(powers, key=lambda p, k=k: table[p][k]) for k in (0, 1))
book.say(
    "With 8 clusters p = **{best8}** is the best of these, with 16 **{best16}**.",
    best8=best8,
    best16=best16,
)
for k, g in ((0, 8), (1, 16)):
    assert scores["slope"][g - 2] > max(row[k] for row in table.values())

# %% [markdown]
# With p = 0 every frame that differs from the one before counts the same. That gives uniform clusters,
# except for frames that repeat. With a very large p the longest jump of a clip is the whole curve. Then
# all segments but the first and the last are empty, and `split` fills them with the frames after that
# jump. The best power is between them. With more clusters it is smaller: there are more cuts, and a
# square root gives them to changes between digit and background, which are smaller than those to black.
# No power makes cumulative clusters as pure as slope clusters, which use only the order of the
# distances.
