# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# <!-- navigation -->
# [01 · The gradient bound →](01_gradient_bound.ipynb)
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
# # 00 · Start here
#
# **Can a network be trained on every frame of a video, for the cost of a few?** (*No frame
# left behind: Full Video Action Recognition*, Xin Liu, Silvia L. Pintea, Fatemeh Karimi Nejadasl,
# Olaf Booij and Jan C. van Gemert, CVPR 2021.)
#
# A video has hundreds of frames. Training a network on all of them takes more memory than there is,
# so most methods pick eight or sixteen and hope that these tell the story. The paper does not pick. It
# passes all frames through the first block of the network, groups neighbours whose activations
# differ in few signs, averages each group, and runs the rest of the network on the averages alone. Its
# claim is that the gradient of an average can replace the gradients of its frames.
#
# This book reproduces the paper, in the open. Every idea is worked out by hand on a few frames first,
# then with a small library, `fvlib`, and then measured and compared with the paper's number. We say
# what the measurements support, what they contradict, and what they cannot decide.

# %% [markdown]
# ## Claims
#
# This page lists all claims of the paper, with what the chapters found about each.

# %% tags=["parameters"]
scale: str = "small"
data: str = "real"

# %% [markdown]
# ## How to run it
#
# To read the book, nothing is needed: every chapter is stored with its outputs. To run it, type
# `make lab` in the repository's folder. The first time, this sets everything up in `.venv`; then it
# opens this page. (Without `make`, use the commands in the README.) In another editor, choose
# `.venv/bin/python` as the kernel; the next cell says so if the library is missing.

# %%
import itertools
from pathlib import Path

try:
    import matplotlib.pyplot as plt
    import numpy as np
    import torch

    from lab import claims, plots, records
    from lab.book import appendices, chapters, contents, say
except ModuleNotFoundError as missing:
    todo = "run `make lab` in the repository's folder, or choose .venv/bin/python as the kernel"
    raise ModuleNotFoundError(f"{missing}: {todo}") from None

DATA = Path("../data")

# %% [markdown]
# ## By hand: the method in ten lines
#
# Here is the whole method on one small example, without the library: six frames with four
# activations each. A bit is 1 where an activation is positive. The distance of two neighbours is the
# number of bits in which they differ:

# %%
frames = [[3, 0, 2, 0], [4, 0, 1, 0], [3, 0, 2, 1], [0, 5, 0, 4], [0, 6, 0, 4], [0, 5, 1, 4]]
bits = [[value > 0 for value in frame] for frame in frames]
dist = [sum(a != b for a, b in zip(x, y, strict=True)) for x, y in itertools.pairwise(bits)]
print("distances", dist)

# %% [markdown]
# Frames 0 to 2 are alike, frames 3 to 5 are alike, and the large distance is between them. We add the
# distances up and cut the sum into $g = 2$ equal parts. A frame belongs to the part that contains the
# sum of the distances before it:

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
# ## The idea, in one picture
#
# Now the same with the library, on a clip of 25 frames in which a ball is lifted for a moment. The
# activations come from a small network that has seen nothing but handwritten digits. We ask for six
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
# Where nothing happens, many frames share one cluster; where the ball moves, a cluster has two. The last
# frame with the ball has joined a still cluster and is a ghost in its average. Nothing is thrown away,
# but what is averaged becomes faint. (The picture averages pixels; the network
# averages the activations after its first block.)
#
# A real clip, a high jump of UCF-101. It cannot be shipped; this sheet was made from it by `fvlib
# clusters` with random weights. Each line is a cluster: some of its frames, and at the right the
# average of all.

# %% tags=["hide-input"]
fig, ax = plt.subplots(figsize=(6, 6.2), layout="constrained")
ax.imshow(plt.imread("../site/clusters.png"))
ax.axis("off")
plots.show(
    fig,
    "The run-up fills five large clusters, take-off and flight a small one each, the landing another large one.",
    "Eight lines of pictures of a high jump: five of the run-up, one of the take-off, one of the flight over the bar, one of the landing; at the end of each the average of its frames.",
)

# %% [markdown]
# ## Paper and measured: every claim
#
# A *row* is one setting of a network, as a row of a table in the paper, and a *record* is what one
# training run of it leaves, with one seed. A claim has one part for each comparison in it, and each
# part gets a word by the rule below the tables: *supported*, *contradicted*, *no difference*,
# *undecided*, *not tested*. *Mechanism* is a result on a small made-up set; *as released*, the same
# networks tested as the released code tests. First the number of parts with each word, by kind of
# evidence, and then claim by claim:

# %% tags=["hide-input"]
verdicts = claims.judge_all(DATA, scale=scale, data=data)
say("{summary}", summary=claims.summary(verdicts))

# %% tags=["hide-input"]
say("{table}", table=claims.overview(verdicts))
say("{sentence}", sentence=claims.staleness(DATA))

# %% [markdown]
# A part that compares accuracies gets its word by one rule (`lab/claims`); a count or a fact is supported
# or contradicted as its chapter says. Let d be the accuracy of row a minus that
# of row b, on the same clips. Let δ be the smallest difference that would matter: a tenth of the share
# of clips that b gets wrong, or half of the paper's difference, whichever is more. Then the claim *a is
# better than b* gets the first of these words that applies:
#
# - **supported**: the whole 95 % interval of d is above zero;
# - **contradicted**: the whole interval is below zero;
# - **no difference**: the 90 % interval is within ±δ;
# - **undecided**: otherwise, with the smallest difference that could have been seen. (Two rows
#   near 100 % usually end here: no difference can show.)
# - **not tested**, with the reason and what would test it.
#
# *Below δ* beside a word means real, but too small to matter. With fewer than five seeds a part on
# trained networks is undecided, whatever it shows. The intervals are over seeds and clips. Where a
# claim has several parts, they share the 5 % (Holm's method; *no difference* does not). The released code
# shows a network 8 or 16 sampled frames at test and clusters nothing then.
#
# Was the rule there before the runs? We do not assert it; it is read from the history.

# %% tags=["hide-input"]
before, after = claims.first_tests(DATA)
say(
    "Of {all} claims on trained networks **{before}** had a first test before their first record was made, and {after} only "
    "after it: {names}. The line below the first table counts what was confirmed since.",
    all=len(before) + len(after),
    before=len(before),
    after=len(after),
    names=", ".join(after),
)

# %% [markdown]
# Only results at scale `paper` are about the paper's own numbers. The others show whether the idea behind
# a claim works in a smaller world. The chapter of a claim has its numbers, intervals and settings.

# %% [markdown]
# ## The library: where a number comes from
#
# Block quotes are the paper's words; plain text is ours. No result in this book was typed by
# hand. Each comes from a value just computed, or from a *record*, a small file that a training run
# leaves. The same code runs at three scales. `smoke` takes seconds and only shows that things work;
# `small` takes minutes a run on two processor cores; `paper` is the paper's own size and needs a GPU.
# There are two kinds of data. `embedded` are handwritten digits and photographs from scikit-learn,
# which need no download; `real` are MNIST and UCF-101. The book has these records:

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
# ## The chapters

# %% tags=["hide-input"]
parts = contents(chapters(Path("."))[1:]), contents(appendices(Path(".")), "appendix/")
say("{chapters}", chapters="\n".join(parts))

# %% [markdown]
# Read them in order, or open the one that you need: each runs alone, from top to bottom, in less
# than a minute. If you have ten minutes, read this page and the first half of chapter 01. If
# you have an hour, add 02 for the clusters, 05 for the main experiment and 13 for what holds.

# %% [markdown]
# ## What could be wrong
#
# Our small world is not the paper's. Where the table says *contradicted*, the reason may be the claim,
# the scale, or a mistake of ours. The chapter says which of them we think it is, and how one could find
# out. The paper leaves settings open (its learning rates, its epochs, what happens to empty segments).
# Where it does, we say what we chose.

# %% [markdown]
# ## In short

# %% tags=["hide-input"]
words = [part.word for verdict in verdicts for part in verdict.parts]
trained = claims.count(verdicts)
say(
    "- The method clusters the frames by the signs of their activations after the first block, and runs the rest of the network on "
    "one average for each cluster.\n"
    "- Of {all} parts of claims **{yes}** are supported, **{no}** contradicted and {rest} not tested. On Move4MNIST, where networks "
    "were trained, {ours} are supported and {against} contradicted.\n"
    "- Chapter 13 says what carries over.",
    all=len(words),
    yes=words.count("supported"),
    no=words.count("contradicted"),
    rest=words.count("not tested"),
    ours=trained["trained on Move4MNIST", "supported"],
    against=trained["trained on Move4MNIST", "contradicted"],
)

# %% [markdown]
# ## Exercises
#
# 1. In the example by hand, set $g = 3$. Which frames share a cluster now, and does a cluster stay
#    empty?
# 2. How many activations of frame 1 must change their sign until the border between the two
#    clusters moves? Try all patterns of its four bits.
# 3. *A is better than B* by 2 points, with a 95 % interval from −1 to 5 and five seeds. Which word does
#    the rule give? And for an interval from 1 to 3, with five seeds and with three? And from −1 to 1,
#    when differences of less than 2 points do not matter?
# 4. A small study: choose a claim in the table that is *not tested*, for example C23. Write down which
#    run would test it: row, data, seeds, and the difference that you would accept as an answer.
#
# Solutions: [solutions/00_start_here.ipynb](solutions/00_start_here.ipynb).

# %% [markdown]
# <!-- navigation -->
# [01 · The gradient bound →](01_gradient_bound.ipynb)
