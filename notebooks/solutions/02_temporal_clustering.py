# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Solutions: Temporal clustering
#
# To the exercises of the [chapter](../02_temporal_clustering.ipynb), on the same clips.

# %%
from pathlib import Path

import torch

from lab import book, released
from fvlib.clustering import cumulative_clusters, hamming_distances
from fvlib.clustering import slope_clusters, uniform_clusters
from fvlib.datasets import BLACK
from lab.building import build_network, move4mnist_sets
from lab.recipes import parameters_of

DATA = Path("../../data")
torch.set_default_dtype(torch.float64)

# %% [markdown]
# ## 1. Only the middle segment is empty
#
# *Six distances for which, with g = 3, only the middle segment is empty; what do `split` and the
# released rule make of them?* One jump in the middle has to be longer than a third of the sum, with
# frames on both sides of it. We take 1 1 10 1 1 1: the sum is 15, so the cuts are at 5 and 10, and
# the frames lie at 0 1 2 12 13 14 15.

# %%
dist = torch.tensor([[1, 1, 10, 1, 1, 1]])
found = released.published_cumulative(dist, 3)
print("keep    ", cumulative_clusters(dist, 3, empty="keep")[0].tolist())
print("split   ", cumulative_clusters(dist, 3)[0].tolist())
print("released", found[0].tolist(), " outputs", released.repeated(found, 3)[0].tolist())

# %% [markdown]
# `keep` leaves cluster 1 out. `split` gives it the frame after the jump, frame 3. The released rule
# gives it the same frame, when frame 4 passes the raised threshold. But no frame closes the cluster
# that begins there. Frames 4 to 6 are lost, and the third output repeats the second.
#
# ## 2. Equal distances
#
# *Are cumulative clusters the same as uniform ones when all distances are equal?* With t = 10 and
# g = 3:

# %%
t, g = 10, 3
cumulative = cumulative_clusters(torch.ones(1, t - 1, dtype=torch.int64), g)[0]
uniform = uniform_clusters(t, g)[0]
print("cumulative", cumulative.tolist())
print("uniform   ", uniform.tolist())
print("not the same:", (cumulative != uniform).nonzero().flatten().tolist())

# %% [markdown]
# No: frames 3 and 6 get other labels. The cumulative rule divides t - 1 steps, not t frames. Frame i is
# at i/(t - 1) of the way, and the cuts, at 3 and 6 of 9 steps, hit frames 3 and 6, which then begin
# a cluster. Frame 9 is alone at the very end, and the minimum in the formula puts it into the last
# cluster, which is the long one. The uniform rule has i/t: frame 3 is at
# 3/10 = 0.3, below 1/3 = 0.33, and stays in cluster 0.
#
# ## 3. Euclidean distances
#
# *In how many of the clips do the labels change, for g = 8, with Euclidean distances, and how much of
# the curve do black frames take up?* The clips and their activations, as in the chapter:

# %%
parameters, _ = parameters_of(DATA / "recipes.toml", "facts", "all", "small", "embedded")
network = build_network(parameters, 4, beside=DATA).eval()
test = move4mnist_sets(parameters)["test"]
clips = 48
video, _ = test.batch(range(clips))
types = torch.stack([test.frame_labels(i).type for i in range(clips)]).long()
with torch.no_grad():
    x = network.features(video, upto="layer1")
dist = hamming_distances(x)

# %%
euclidean = x.diff(dim=1).flatten(2).norm(dim=2)
black = (types[:, 1:] == BLACK) != (types[:, :-1] == BLACK)  # going to black or coming from it
labels = cumulative_clusters(dist, 8)
for name, d in {"bits": dist, "lengths": euclidean, "squared lengths": euclidean**2}.items():
    changed = int((cumulative_clusters(d, 8) != labels).any(1).sum())
    print(f"{name:15} {d[black].sum() / d.sum():4.0%} beside black", end="")
    print(f", labels changed in {changed} of {clips} clips")

# %% [markdown]
# The labels change in every clip, for lengths and for squared lengths. In both, less of the curve is at
# black frames. One reason is the square root. A count of bits that differ is the *square* of the
# Euclidean distance between the bits, and a root makes long jumps shorter relative to small movements.
# The other reason is what is counted. A length weighs every number by how far it moves. A bit counts
# every change across zero the same, and a cut to black makes many of them.
#
# ## 4. Halve the longest cluster
#
# *A rule for empty segments of your own, and how many frames it keeps in pure clusters.* Ours starts
# from the clusters of `keep` and cuts the longest one in half until there are g. Of equally long
# ones it takes the first.


# %%
def halved(dist, g):
    """Labels (n, t) of `keep` with the longest cluster cut in half until there are g."""
    found = []
    for labels in cumulative_clusters(dist, g, empty="keep"):
        size = labels.unique_consecutive(return_counts=True)[1].tolist()
        while len(size) < g:
            k = size.index(max(size))
            size[k : k + 1] = [(size[k] + 1) // 2, size[k] // 2]
        found.append(torch.arange(g).repeat_interleave(torch.tensor(size)))
    return torch.stack(found)


def in_pure(labels, types):
    """The share of frames that are in a cluster with frames of their own type alone."""
    same = labels[:, :, None] == labels[:, None]
    alike = types[:, :, None] == types[:, None]
    return float((alike | ~same).all(2).double().mean())


# %%
rules = {
    "halve the longest": halved,
    "split": cumulative_clusters,
    "keep": lambda dist, g: cumulative_clusters(dist, g, empty="keep"),
    "slope": slope_clusters,
    "uniform": uniform_clusters,
}
pure = {name: [in_pure(rule(dist, g), types) for g in (8, 16)] for name, rule in rules.items()}
lines = ["| rule | g = 8 | g = 16 |", "|---|--:|--:|"]
lines += [f"| {name} | {eight:.0%} | {sixteen:.0%} |" for name, (eight, sixteen) in pure.items()]
book.say("{table}", table="\n".join(lines))

# %%
assert pure["slope"] == max(pure.values(), key=sum)
assert pure["halve the longest"][1] > pure["split"][1] > pure["keep"][1]

# %% [markdown]
# With 16 clusters, halving beats `split`: the longest cluster of a clip is the one most likely to
# mix types, while `split` puts its extra clusters after a jump, on frames that belong together.
# With 8 clusters few segments are empty, so the rules hardly differ. Slope clusters are the purest,
# as chapter [03](../03_move4mnist.ipynb) finds with another measure.
