# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Solutions: Are more frames better?
#
# The questions are those at the end of the [chapter](../05_more_frames.ipynb).

# %%
from pathlib import Path

import numpy as np
import torch

from lab import book, claims, records
from lab.book import say
from fvlib.clustering import TemporalClustering
from fvlib.datasets import InMemory, Move4MNIST, segment_frames
from fvlib.evaluation import Protocol, evaluate
from lab.building import build_network
from lab.recipes import parameters_of

DATA = Path("../../data")

# %% [markdown]
# ## 1. Sets of eight frames
#
# *Which eight frames does `tsm-8` see in an epoch of training, and how many different sets of eight
# are there?*
#
# One of the four frames of each segment, drawn anew in every epoch. The eight choices are free of
# each other, so there are $4^8 = 65536$ sets. We draw a small case until nothing new comes, 8 frames
# in 2 segments, where there should be $4^2 = 16$. Then one clip in three epochs:

# %%
rng = np.random.default_rng(0)
small = {tuple(segment_frames(8, 2, rng=rng)[0]) for _ in range(1000)}
assert small == {(i, j) for i in range(4) for j in range(4, 8)}
print("8 frames in 2 segments:", len(small), "sets; 32 in 8:", 4**8)
for epoch in range(3):
    print(f"epoch {epoch}:", *segment_frames(32, 8, rng=rng)[0])

# %% [markdown]
# All 16 come and no other. In 80 epochs a clip shows at most 80 of its 65536 sets. Over the epochs
# the network does see every frame of a clip, but never more than eight of them at once.
#
# ## 2. Half of the seeds
#
# *How much wider are the intervals of four differences with the first half of the seeds alone?*
#
# An interval comes from the scatter of seeds and that of clips. More seeds make only the first
# smaller, by the root of two at most:

# %%
ROWS = ("tsm-8", "tsm-32", "uniform-8", "slope-8", "cumulative-8")
runs = {
    row: records.select(DATA / "records", "table1", scale="small", data="real", row=row)
    for row in ROWS
}

# %%
lines = []
for a, b in zip(ROWS[1:], ("tsm-8", "tsm-8", "uniform-8", "slope-8"), strict=True):
    seeds = sorted({one.seed for one in runs[a]} & {one.seed for one in runs[b]})
    if len(seeds) < 4:
        lines.append([f"`{a}` − `{b}`", "not run yet", "–", "–"])
        continue
    every, half = (
        claims.gain(*([r for r in runs[row] if r.seed in some] for row in (a, b)))
        for some in (seeds, seeds[: len(seeds) // 2])
    )
    wide = [float(np.diff(one.interval())[0]) for one in (every, half)]
    lines.append([f"`{a}` − `{b}`", every, half, f"{wide[1] / wide[0]:.2f}"])
say("{table}", table=book.table(["points", "all seeds", "first half", "times as wide"], lines))

# %% [markdown]
# The scatter of the seeds is itself estimated from few of them, so a factor may also be below one or
# well above the root of two.
#
# ## 3. The same mistakes?
#
# *Do `tsm-8` and `tsm-32` fail on the same clips?*
#
# If their mistakes had nothing to do with each other, a clip that one row misses would be missed by
# the other as rarely as any clip. So we count, over the seeds, the mistakes of each, those that both
# make, and how many these would be by chance:

# %%
wrong = {}
for row in ("tsm-8", "tsm-32"):
    runs = records.select(DATA / "records", "table1", scale="small", data="real", row=row)
    wrong[row] = np.array([scores == 0 for _, scores in sorted(claims.right(runs).items())])
a, b = wrong.values()
chance = (a.sum(1) * b.sum(1) / a.shape[1]).sum()
print("mistakes:", {row: int(missed.sum()) for row, missed in wrong.items()}, "of", a.size)
print(f"of both: {(a & b).sum()}, by chance {chance:.1f}")
again = {row: int((missed.sum(0) > 1).sum()) for row, missed in wrong.items()}
print("clips that a row misses with more than one seed:", again)

# %% [markdown]
# Few mistakes are common to both rows, but many more than chance would have it. There are clips that
# are hard in either way, and others that one seed happens to miss. This is why rows are compared clip
# by clip: what a hard clip costs both of them cancels in the difference.
#
# ## 4. Averages for a network that never saw one
#
# *The network `tsm-32` was trained on single frames. Show it four images of a clip: four sampled
# frames, or four clusters of all 32. Which does it stand better?*

# %%
settings, _ = parameters_of(DATA / "recipes.toml", "facts", "all", "small", "embedded")
model = build_network(settings, 4, beside=DATA)
weights = DATA / "samples" / "tsm-32-embedded.pt"
model.load_state_dict(torch.load(weights, weights_only=True))
clips = InMemory(*Move4MNIST("test", clips=60).materialise())
missed = {"4 frames": 60 - evaluate(model, clips, Protocol.sampled(4)).correct}
for method in ("uniform", "slope", "cumulative"):
    model.clustering = TemporalClustering(method, 4)
    missed[f"4 {method}"] = 60 - evaluate(model, clips, Protocol.clustered()).correct
for name, count in missed.items():
    print(f"{name:12} {count:2} of 60 clips wrong")
assert missed["4 frames"] > 3 * max(count for name, count in missed.items() if "fr" not in name)

# %% [markdown]
# Four frames miss much of the movement, and the network fails on many clips. Four averages of eight
# frames each are pictures of a kind that it has never seen, and it names almost all clips. So the
# clusters' advantage at test owes little to training with them, at this scale: what counts is that
# every frame comes in. The reverse is not as harmless. Networks trained with clusters lose points on
# sampled frames, as the chapter's tables show, since no training brings back what these miss.
