# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Solutions: What the code does
#
# To the exercises of the [chapter](../12_released_code.ipynb).

# %%
import numpy as np
import torch

from lab import released
from fvlib.clustering import cumulative_clusters
from fvlib.datasets.sampling import window_frames

# %% [markdown]
# ## 1. What even motion loses
#
# *How many of t frames does the released rule lose when the motion is even?* A segment is (t − 1)/g
# long. The last group begins at the first frame above (g − 1)(t − 1)/g and goes to frame t − 1. So
# it has ⌈(t − 1)/g⌉ frames, whether g divides t or not:


# %%
def lost(dist, g):
    return int((released.published_cumulative(dist, g) < 0).sum())


for t, g in ((32, 8), (32, 16), (18, 8)):
    print(f"{t} into {g:2}: {lost(torch.ones(1, t - 1), g)} lost, (t - 1)/g is {(t - 1) / g:.2f}")

# %% [markdown]
# Is it so for all t and g? (With g = 2 a single cluster is handed on, and the code stops.)

# %%
other = [
    (t, g, lost(torch.ones(1, t - 1), g))
    for t in range(3, 65)
    for g in range(3, t)
    if lost(torch.ones(1, t - 1), g) != -(-(t - 1) // g)
]
print(len(other), "exceptions, the first:", other[:4])
print("values of g among them:", sorted({g for _, g, _ in other}))

# %% [markdown]
# Nearly. Where the formula fails, rounding decides: a frame lies on a cut exactly, or the last frame
# is compared with g times (t − 1)/g, which is not always t − 1 in floating point. For a power of two
# it is: 4, 8, 16 and 32 are not in the list. (`fvlib.clustering` compares whole numbers.)

# %%
assert not {g for _, g, _ in other} & {4, 8, 16, 32}

# %% [markdown]
# ## 2. Where a cut loses most
#
# *A clip that stands still, with one cut: at which frame does the released rule lose most?* We try
# all of them:

# %%
after = {}
for cut in range(1, 32):
    dist = torch.zeros(1, 31)
    dist[0, cut - 1] = 1
    try:
        after[cut] = lost(dist, 8)
    except ValueError:
        after[cut] = None
print({cut: after[cut] for cut in (1, 4, 16, 24, 28, 30, 31)})

# %% [markdown]
# A cut at frame 4 loses 22 frames, one at 28 a single one, and at 31 the code stops with an error.
# After the cut each frame is a group of its own until 7 groups are handed on; what is left is
# lost. So the earlier the cut, the more: 25 frames with a cut at frame 1. More is not possible. Of a
# clip that loses two frames or more, all of g − 1 = 7 groups are handed on, since its last frame lies
# above all thresholds but the last; each has a frame, and 32 − 7 = 25.

# %%
assert max(n for n in after.values() if n is not None) == after[1] == 25

# %% [markdown]
# ## 3. What 34 windows show
#
# *A loader draws one of the whole windows of 32 in each of 34 epochs: what share of 2105 frames has
# it shown?* There are 65 windows. Each is missed 34 times with (64/65)^34, and 25 frames are in none:

# %%
expected = (1 - (64 / 65) ** 34) * 65 * 32 / 2105
shares = []
for video in range(400):
    rng = np.random.default_rng(video)
    seen = [window_frames(2105, 32, rng=rng)[0] for _ in range(34)]
    shares.append(len(np.unique(seen)) / 2105)
print(f"expected {100 * expected:.1f} %, drawn {100 * np.mean(shares):.1f} %")
assert abs(np.mean(shares) - expected) < 0.01

# %% [markdown]
# Two fifths of the frames in the whole training, and those not together: what an event at the
# beginning has to do with one at the end is never in one window.
#
# ## 4. Left alone
#
# *Batches of 16 on two GPUs: for which sizes of a test set is a clip left alone?* The last batch has
# as many clips as are left over from 16. Its halves are ⌈r/2⌉ and the rest:


# %%
def alone(total, batch=16, gpus=2):
    left = total % batch or batch
    part = -(-left // gpus)
    parts = [min(part, left - start) for start in range(0, left, part)]
    return parts.count(1)


print("left over and alone:", {r: alone(16 + r) for r in range(1, 6)})
for name, total in (("Something-Something V1", 11522), ("Breakfast", 355), ("Move4MNIST", 600)):
    print(f"{name}: {alone(total)} alone, at most {100 * alone(total) / total:.2f} points")

# %% [markdown]
# When 1, 2 or 3 clips are left over; one clip alone with 1 and 3, two with 2. It is worth a clip or
# two, no more. With a test batch of one it is worth everything: no clip is shifted then.
#
# ## 5. The smallest repair
#
# *Repair the rule so that no frame is lost.* The group that is open at the end has to be handed on,
# too. That is one line after the loop:


# %%
def repaired(dist, g):
    done, groups, group, count = np.cumsum([0, *dist]), [], [], 1
    for frame, here in enumerate(done):
        if here <= done[-1] / g * count:
            group.append(frame)
        else:
            groups.append(group)
            group, count = [frame], count + 1
    groups.append(group)  # the repair
    return np.repeat(np.arange(len(groups)), [len(group) for group in groups])


# %%
draw = torch.Generator().manual_seed(0)
for t, g in ((32, 8), (32, 16)):
    jumps = torch.empty(500, t - 1).exponential_(generator=draw) ** 4
    motion = (1000 * jumps).long()
    ours = np.array([repaired(dist, g) for dist in motion.numpy()])
    assert np.array_equal(ours, released.one_by_one(motion, g).numpy())
    differ = (cumulative_clusters(motion, g).numpy() != ours).any(1)
    fewer = ours.max(1) < g - 1
    print(
        f"{t} into {g:2}: {differ.mean():.0%} differ from split; {fewer.mean():.0%} have fewer groups"
    )
    assert (differ >= fewer).all()

# %% [markdown]
# It is `one by one`, and nearly `split`. Both give the frames after a long jump a cluster each until
# they have caught up. They differ where a jump comes so late that there are not enough frames to catch
# up: `split` keeps a frame for each cluster that is still to come, the repaired rule ends with fewer
# than g groups. (They also differ when a frame lies exactly on a cut, which hardly happens with whole
# numbers as large as real distances.)
