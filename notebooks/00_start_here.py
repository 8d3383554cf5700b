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
#
# *To run this page: `make lab` in the repository's folder. It sets up what is missing.*

# %% [markdown]
# # 00 · Start here
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
# This book reproduces the paper, in the open. Every idea is done by hand on a few frames first,
# then with a small library, `fvlib`, and then measured and set beside the paper's number. What the
# measurements support is said, what they contradict, and what they cannot decide.

# %% [markdown]
# ## Claims tested here
#
# All of them: this page collects what can be said of each claim of the paper from the chapters' records.

# %% tags=["parameters"]
scale: str = "small"
data: str = "real"

# %% [markdown]
# ## How to run it
#
# To read the book, nothing is needed: every chapter is stored with what it gave. To run it, say
# `make lab` in the repository's folder. The first time this sets everything up in `.venv`; then it
# opens this page. (The README has the commands for those without `make`.) In another editor, choose
# `.venv/bin/python` as the kernel. The next cell says so if the library is missing; in another
# chapter, *No module named …* means the same.

# %%
import itertools
from pathlib import Path

try:
    import numpy as np
    import torch

    from lab import claims, plots, records
    from lab.book import chapters, contents, say
except ModuleNotFoundError as missing:
    todo = "run `make lab` in the repository's folder, or choose .venv/bin/python as the kernel"
    raise ModuleNotFoundError(f"{missing}: {todo}") from None

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
# ## The idea, in one picture
#
# The same with the library, on a clip of 25 frames in which a ball is lifted for a moment. A small
# network that knows handwritten digits and nothing else gives the activations. We ask for six
# clusters:

# %%
from fvlib.clustering import cumulative_clusters, hamming_distances
from lab.synthetic import SYNTHETIC
from lab.building import build_network
from lab.recipes import parameters_of

torch.set_num_threads(1)
film = SYNTHETIC["something"].plan(0, False, 32, 16)[32].draw()
parameters, _ = parameters_of(DATA / "recipes.toml", "table5", "v2-tsm-8", "small", "embedded")
network = build_network(parameters, 8, DATA).eval()
with torch.no_grad():
    x = network.features(torch.from_numpy(film).movedim(3, 1)[None], upto="layer1")
labels = cumulative_clusters(hamming_distances(x), 6)[0].numpy()
means = np.stack([film[labels == k].mean(0) for k in range(6)]).round().astype("uint8")

# %% tags=["hide-input"]
plots.use_style()
plots.show(
    plots.method(film, x[0].numpy(), labels, means),
    "All frames go through the first block. Signs that change between neighbours add up, and the sum is cut into equal parts: the clusters. The rest of the network sees one average of each.",
    "From top to bottom: 25 small frames, the signs of their activations, bars of what changes, six clusters, their averages, the rest of the network",
    frames_of_the_clusters=np.bincount(labels),
)

# %% [markdown]
# Where nothing happens many frames share one cluster; where the ball moves, two make one. The last
# frame with the ball has come to a still cluster, and is a ghost in its average: nothing is thrown
# away, but what is averaged becomes faint. (The picture averages pixels so that one can look at it;
# the network averages the activations after its first block.)
#
# ## Paper and measured: every claim
#
# A claim has one part for each comparison in it. First how many parts got which word, by kind of
# evidence, then claim by claim:

# %% tags=["hide-input"]
verdicts = claims.judge_all(DATA, scale=scale, data=data)
say("{summary}", summary=claims.summary(verdicts))

# %% tags=["hide-input"]
say("{table}", table=claims.overview(verdicts))
say("{sentence}", sentence=claims.staleness(DATA))

# %% [markdown]
# A part gets one of five words, by one rule (`lab/claims`). Let d be the difference of two rows,
# paired clip by clip, and δ the smallest difference that would matter: a tenth of the mistakes of
# the row that is compared with, or half of the paper's difference, whichever is more. Of *a is
# better than b* it says
#
# - **supported**, when the whole 95 % interval of d lies above zero;
# - **contradicted**, when it lies below zero;
# - **no difference**, when the 90 % interval lies within ±δ;
# - **undecided** otherwise, and then it says how large a difference could have been seen. A tie at
#   the ceiling is of this kind: it is no refutation;
# - **not tested**, with the reason and what would test it.
#
# *Below δ* beside a word says: real, and too small to matter. With fewer than five seeds a part on
# trained networks is undecided, whatever it shows. The intervals are over seeds and clips; where a
# claim has several parts, the level is shared among them. What was seen on a small made-up set that
# stands for a benchmark says something of the *mechanism*, and the claim itself stays not tested.
# *As released* is the same comparison when the network is tested as the released code does.
#
# Was the rule there before the runs? That is not for us to assert: it is read from the history.

# %% tags=["hide-input"]
before, after = claims.first_tests(DATA)
say(
    "Of {all} claims on trained networks **{before}** had a first test before their first record was made, and for {after} it came "
    "after: {names}. A test that was changed since, or a rule, can be confirmed by new runs alone, with seeds and clips that nobody "
    "has seen; all others explore. The line below the table of kinds counts both.",
    all=len(before) + len(after),
    before=len(before),
    after=len(after),
    names=", ".join(after),
)

# %% [markdown]
# Only the scale `paper` speaks of the paper's own numbers; the others tell whether the idea behind a
# claim works in a smaller world. The chapter of a claim has its numbers, intervals and settings.

# %% [markdown]
# ## The library: what stands behind a number
#
# The paper speaks in block quotes. We speak in plain text. And the numbers speak through cells: no
# measured number in this book was typed by hand; each comes from a value just computed, or from a
# *record*, a small file that a training run has left. Runs are made at three scales, by the same
# code: `smoke` takes seconds and only shows that things work; `small` takes minutes a run on two
# processor cores; `paper` is the paper's own size and wants a GPU. And on two kinds of data:
# `embedded`, the handwritten digits and photographs that scikit-learn ships, which need no download,
# and `real`, MNIST and UCF-101. The book holds:

# %% tags=["hide-input"]
groups = {}
for record in records.select(DATA / "records"):
    if record.experiment != "bench":
        groups.setdefault((record.scale, record.source), []).append((record.experiment, record.row))
lines = ["| scale | data | experiments | rows | records |", "|---|---|--:|--:|--:|"]
for (size, source), rows in sorted(groups.items()):
    different = len({experiment for experiment, _ in rows})
    lines.append(f"| {size} | {source} | {different} | {len(set(rows))} | {len(rows)} |")
say("{table}", table="\n".join(lines))

# %% [markdown]
# A row is one setting; its records differ in the seed.
#
# ## The chapters

# %% tags=["hide-input"]
say("{chapters}", chapters=contents(chapters(Path("."))[1:]))

# %% [markdown]
# Read them in order, or open the one that you need: each runs alone, from top to bottom, in less
# than a minute. *Restart kernel and run all cells* is the way to check one; `make test` checks them
# all against what is stored. For a first hour: chapter 01 for the argument, 05 for the main
# experiment, 13 for what is left of both.

# %% [markdown]
# ## What could be wrong
#
# A small world is not the paper's. Where the table says *contradicted*, the reason may lie in the
# claim, in the scale, or in us; the chapter says which of them we think it is, and how one could
# find out. The paper leaves settings open (its learning rates, its epochs, what happens to empty
# segments). Where it does, we say what we chose.

# %% [markdown]
# ## In short
#
# - The method: cluster the frames behind the first block by the signs of their activations,
#   average, go on.
# - The book: by hand, then with the library, then measured, with a word for each part of a claim.
# - The rules: no typed numbers, one recipe for all methods, fixed on rows without clusters.

# %% [markdown]
# ## Exercises
#
# 1. In the example by hand, set $g = 3$. Which frames share a cluster now, and does a cluster stay
#    empty?
# 2. How many activations of frame 1 must change their sign until the border between the two
#    clusters moves? Try all patterns of its four bits.
# 3. *A is better than B*, by 2 points with the 95 % interval from −1 to 5, of five seeds: which word
#    does the rule give? With the interval from 1 to 3, of five seeds and of three? And from −1 to 1,
#    when differences of less than 2 points do not matter?
# 4. A small study: choose a claim in the table that is *not tested*, and write down which run would
#    test it: row, data, seeds, and the difference that you would accept as an answer.
#
# Solutions: [solutions/00_start_here.ipynb](solutions/00_start_here.ipynb).

# %% [markdown]
# <!-- navigation -->
# [The gradient bound →](01_gradient_bound.ipynb)
