# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# <!-- navigation -->
# [The gradient bound →](01_gradient_bound.ipynb)

# %% [markdown]
# # Start here
#
# **Can a network be trained on every frame of a video, at the price of a few of them?** (*No frame
# left behind: Full Video Action Recognition*, Xin Liu, Silvia L. Pintea, Fatemeh Karimi Nejadasl,
# Olaf Booij and Jan C. van Gemert, CVPR 2021.)
#
# A video has hundreds of frames. Training a network on all of them takes more memory than there is,
# so most methods pick eight or sixteen and hope that the picked ones tell the story. The paper
# picks none. It lets all frames through the first block of the network, groups neighbours whose
# activations agree in sign, averages each group, and runs the rest of the network on the averages
# alone. Its claim is that the gradient of an average stands for the gradients of its frames.
#
# This book makes the paper again, in the open. Every idea is done by hand on a few frames first,
# then with a small library, `fvlib`, and then measured and set beside the paper's number. What
# holds is said, and what does not.

# %% [markdown]
# ## Claims tested here
#
# All of them: this page collects the verdict on each claim of the paper from the chapters' records.

# %% tags=["parameters"]
scale: str = "small"
data: str = "real"

# %%
from pathlib import Path

from fvlib import claims, records
from fvlib.book import chapters, contents, say
import itertools

DATA = Path("../data")

# %% [markdown]
# ## By hand: the method in ten lines
#
# Here is the whole method on one small example, without the library. Six frames with four
# activations each. A bit is 1 where an activation is positive, and the distance of two neighbours
# is the number of bits in which they differ:

# %%
frames = [[3, 0, 2, 0], [4, 0, 1, 0], [3, 0, 2, 1], [0, 5, 0, 4], [0, 6, 0, 4], [0, 5, 1, 4]]
bits = [[value > 0 for value in frame] for frame in frames]
dist = [sum(a != b for a, b in zip(x, y, strict=True)) for x, y in itertools.pairwise(bits)]
print("distances", dist)

# %% [markdown]
# Frames 0 to 2 are alike, 3 to 5 are alike, and the large distance lies between. We add the
# distances up and cut the sum into $g = 2$ equal parts. A frame belongs to the part that its sum
# lies in:

# %%
g = 2
sums = [sum(dist[:i]) for i in range(len(frames))]
labels = [min(g - 1, g * s // sums[-1]) for s in sums]
means = []
for cluster in range(g):
    members = [frame for frame, label in zip(frames, labels, strict=True) if label == cluster]
    means.append([sum(column) / len(members) for column in zip(*members, strict=True)])
print("labels", labels)
print("means", [[round(value, 2) for value in mean] for mean in means])

# %% [markdown]
# Two averaged frames are left of six, and the rest of the network runs on these two.

# %% [markdown]
# ## The idea of the book: three voices
#
# The paper speaks in block quotes. We speak in plain text. And the numbers speak through cells: no
# measured number in this book was typed by hand; each comes from a value just computed, or from a
# *record*, a small file that a training run has left. The chapters:

# %% tags=["hide-input"]
say("{chapters}", chapters=contents(chapters(Path("."))[1:]))

# %% [markdown]
# Read them in order, or open the one that you need: each runs alone, from top to bottom, in less
# than a minute. *Restart kernel and run all cells* is the way to check one; `make test` checks them
# all against what is stored.

# %% [markdown]
# ## The library: what stands behind a number
#
# Training runs are made at three scales, by the same code: `smoke` takes seconds and only shows
# that things work; `small` takes minutes a run on two processor cores; `paper` is the paper's own
# size and wants a GPU. They are made on two kinds of data: `embedded`, the handwritten digits and
# photographs that scikit-learn ships, which need no download, and `real`, MNIST and UCF-101. These
# are the records that the book holds:

# %% tags=["hide-input"]
lines = ["| experiment | scale | data | rows | records |", "|---|---|---|--:|--:|"]
groups = {}
for record in records.select(DATA / "records"):
    if record.experiment != "bench":
        groups.setdefault((record.experiment, record.scale, record.source), []).append(record.row)
for (experiment, size, source), rows in sorted(groups.items()):
    lines.append(f"| {experiment} | {size} | {source} | {len(set(rows))} | {len(rows)} |")
say("{table}", table="\n".join(lines))

# %% [markdown]
# A verdict is one of four words, given by a rule that was written down before the runs were made
# (`fvlib/claims`):
#
# - **holds**: five seeds or more, and the whole 95 % interval lies on the claimed side;
# - **same direction**: the difference points where the paper says, without that certainty. With
#   fewer than five seeds this is the best word that a claim about accuracy can get;
# - **does not hold**: it points the other way;
# - **not tested**, with the reason.
#
# Every verdict names its scale. Only the scale `paper` speaks of the paper's own numbers; the
# others tell whether the idea behind a claim works in a smaller world.

# %% [markdown]
# ## Paper and measured: the verdict on every claim

# %% tags=["hide-input"]
say("{table}", table=claims.overview(DATA, scale=scale, data=data))

# %% [markdown]
# The chapter of a claim has its numbers, intervals and settings.

# %% [markdown]
# ## What could be wrong
#
# A small world is not the paper's. Where the table says *does not hold*, the reason may lie in the
# claim, in the scale, or in us; the chapter says which of them we think it is, and how one could
# find out. The paper leaves settings open (its learning rates, its epochs, what happens to empty
# segments). Where it does, we say what we chose.

# %% [markdown]
# ## In short
#
# - The method: cluster the frames behind the first block by the signs of their activations,
#   average, go on.
# - The book: by hand, then with the library, then measured, with a verdict for each claim.
# - The rules: no typed numbers, settings fixed before the comparison, the same for all methods.

# %% [markdown]
# ## Exercises
#
# 1. In the example by hand, set $g = 3$. Which frames share a cluster now, and does a cluster stay
#    empty?
# 2. Change one activation of frame 1 so that the boundary between the clusters moves. How many bits
#    did it take?
# 3. A small study: choose a claim in the table that is *not tested*, and write down which run would
#    test it: row, data, seeds, and the difference that you would accept as an answer.

# %% [markdown]
# <!-- navigation -->
# [The gradient bound →](01_gradient_bound.ipynb)
