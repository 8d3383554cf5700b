# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Solutions: Your own videos
#
# To the exercises of the [chapter](../14_your_videos.ipynb).

# %%
from pathlib import Path

import numpy as np

from fvlib.datasets.videos import ClipList
from fvlib.own.compare import difference
from fvlib.own.data import Labelled, folds

# %% [markdown]
# ## 1. Three folds
#
# A split needs names, classes and sources, no files:

# %%
names = np.array(
    [f"{side}/room{i % 6}-{i:02}.avi" for side in ("left", "right") for i in range(24)]
)
targets = np.repeat([0, 1], 24)
clips = ClipList("videos", "", Path(), ("left", "right"), names, targets)
labelled = Labelled(clips, tuple(name.split("/")[1][:5] for name in names))
for train, test in folds(labelled, 3):
    print(len(train), len(test), sorted({labelled.groups[i] for i in test}))

# %% [markdown]
# Two rooms each, and every room once.
#
# ## 2. Ten clips a person

# %%
right, other = np.array([1, 0, 1, 1]).repeat(10), np.array([1, 1, 1, 0]).repeat(10)
people = np.array(["ann", "bob", "cleo", "dan"]).repeat(10).tolist()
for name, groups in (("clips", [str(i) for i in range(40)]), ("people", people)):
    low, high = difference(other, right, groups).interval(0.95)
    print(f"over {name:6}: 95 % from {low:+.0f} to {high:+.0f}")

# %% [markdown]
# Over clips the interval shrinks, as if forty had been asked. Over people it stays as it was: ten clips
# that always agree say no more than one.
