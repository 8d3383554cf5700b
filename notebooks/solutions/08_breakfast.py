# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Solutions: Do all frames help on long videos?
#
# The questions are those at the end of the [chapter](../08_breakfast.ipynb).

# %%
from pathlib import Path

import numpy as np
import torch

from lab import book
from lab.book import say
from fvlib.datasets import segment_frames
from lab.synthetic.breakfast import plans, oracle
from fvlib.evaluation import views_of
from lab.experiments.parts import protocols_of
from lab.building import build_network
from lab.recipes import parameters_of

DATA = Path("../../data")

# %% [markdown]
# ## 1. An event in an average video
#
# *An event of 15 frames in a clip of 2105. How many frames in equal segments are needed to hit it
# always? How many to hit two of them in half of the clips?*
#
# Always: the frames may be at most 15 apart, 2105/n ≤ 15, and 2105/15 = 140.3, so n = 141. Two in
# half of the clips: each has to be hit with √0.5 = 0.707, and of the 140.3 frames for certainty
# this takes 0.707 · 140.3 = 99.2, so n = 100. Over all places of an event:

# %%
starts = np.arange(2105 - 15 + 1)[:, None]
for n in (8, 16, 99, 100, 140, 141):
    shown = segment_frames(2105, n)[0]
    hit = ((starts <= shown) & (shown < starts + 15)).any(1).mean()
    print(f"{n:3} frames: one event hit in {hit:.3f}, two in {hit**2:.3f}")

# %% [markdown]
# Sixteen frames hit both in one or two clips of a hundred. In a real video of this length no event
# is the only thing that tells what is going on, or 16 frames could not name breakfasts.
#
# ## 2. Backwards
#
# *Play clips backwards. Which class should a network name that has learned the order of the events,
# and which does `cumulative-8` name?*
#
# Its partner: activities 2k and 2k + 1 are the same shapes in both orders. Twenty clips that the
# network has not seen, forward and backward. The class divided by two, rounded down, says which
# shapes:

# %%
settings = parameters_of(DATA / "recipes.toml", "table2", "cumulative-8", "small", "embedded")[0]
network = build_network(settings, 10, DATA).eval()
weights = DATA / "samples" / "table2-small-embedded-cumulative-8-s0.pt"
network.load_state_dict(torch.load(weights, weights_only=True))
protocol = protocols_of(settings)["clustered"]  # 64x48 pixels, of which the middle 48x48
fresh = plans(7, False, 0, 20)
target = np.array([plan.target for plan in fresh])
films = [torch.from_numpy(plan.draw()).movedim(3, 1)[None] for plan in fresh]


@torch.no_grad()
def named(films, cluster=True):
    """The class that the network names for each film."""
    shown = [views_of(film, protocol)[:, 0] for film in films]
    return np.array([int(network(x, cluster=cluster).argmax()) for x in shown])


# %%
forward = named(films)
backward = named([film.flip(1) for film in films])
for name, found in (("forward", forward), ("backward", backward)):
    shapes = (found // 2 == target // 2).sum()
    print(f"{name:8}: shapes of {shapes} clips, the activity of {(found == target).sum()}")
same = (forward == backward).sum()
turned = (forward == backward ^ 1).sum()
print(f"backward as forward: {same} clips, its partner: {turned} of {len(fresh)}")

# %% [markdown]
# A network that had learned the order would name the partner. This one names the same activity in
# nearly all clips, and the partner in none. It finds the shapes in about as many clips as before
# and has one fixed guess for their order, which is right for one activity of two.
#
# ## 3. More frames at test
#
# *Show the same network 8, 16, 32 and 64 sampled frames, without clusters. Does it gain from more,
# and as much as a perfect reader would?*

# %%
lines = []
for n in (8, 16, 32, 64):
    frames = [segment_frames(plan.frames, n)[0] for plan in fresh]
    few = [film[:, shown] for film, shown in zip(films, frames, strict=True)]
    found = named(few, cluster=False)
    words = [oracle(plan, shown)[0] for plan, shown in zip(fresh, frames, strict=True)]
    lines.append([n, (found // 2 == target // 2).sum(), words.count("both events")])
lines.append(["all, in 8 clusters", (forward // 2 == target // 2).sum(), len(fresh)])
heads = ["frames", "clips with both shapes right", "clips with both events seen"]
say("Of {n} clips:\n\n{table}", n=len(fresh), table=book.table(heads, lines))

# %% [markdown]
# It gains up to 32 frames and no further, though it was trained with clusters for its last epochs.
# A perfect reader needs no more than 32 either, but it then has all clips right and the network does not:
# what can be seen is one thing, what has been learned another. On these few clips 32 sampled frames
# do no worse than clusters of all; where 32 frames miss nothing, there is nothing to keep. (One
# clip is 100/20 = 5 %, so small differences mean nothing.)
