# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Solutions: Videos of any length
#
# To the exercises of the [chapter](../11_any_length.ipynb).

# %%
from pathlib import Path

import torch
import torch.nn.functional as F

from lab import claims, records
from fvlib import cost
from lab.book import say
from fvlib.clustering import TemporalClustering, adaptive_counts, cumulative_clusters, threshold_of
from fvlib.models import tsm_resnet

DATA = Path("../../data")
torch.set_num_threads(1)
frames = torch.tensor([[1, 0], [2, 0], [2, 3], [0, 2], [0, 3], [1, 3]]).double()
weight = torch.tensor([[2, -1, 1], [-1, 2, 1]]).double()

# %% [markdown]
# ## 1. Chunks of three
#
# What is kept after the first pass, and what are the two sums after the first chunk of the second?

# %%
y = torch.relu(frames @ weight)
bits = y > 0
dist = (bits[1:] != bits[:-1]).sum(1)
labels = cumulative_clusters(dist[None], 2)[0]
print("kept: the changes", dist.tolist(), "and the last sign bits", bits[-1].long().tolist())
share = torch.eye(2).double()[:, labels] / labels.bincount()[:, None]
print("after frames 0 to 2:", (share[:, :3] @ y[:3]).tolist())
print("after all six:      ", (share @ y).tolist())

# %% [markdown]
# By hand: frames 0 and 1 are the whole of the first cluster, so half of each is added: (2 + 4)/2 = 3,
# (0 + 0)/2 = 0, (1 + 2)/2 = 1.5. Frame 2 is the first of four in the second: a quarter of 1, 4, 5.

# %% [markdown]
# ## 2. Room for the sign bits
#
# Which of the three runs of the encoder could be left out if there were room for the sign bits of all
# frames, and what else would have to be kept? The last one: where a bit is 0, the ReLU lets no
# gradient through, and where it is 1, all of it. With the bits and the *frames* the gradient of the
# weights needs no activation:


# %%
def after(means):
    return (means * torch.tensor([[1, 2, 3], [4, 5, 6]])).sum()


means = (share @ y).requires_grad_()
after(means).backward()
from_bits = frames.T @ (bits * (share.T @ means.grad))
w = weight.clone().requires_grad_()
after(share @ torch.relu(frames @ w)).backward()
print("the same gradient:", torch.equal(from_bits, w.grad), from_bits.long().tolist())
outputs = 64 * 56 * 56
print(f"bits of block 1 at 224 pixels: {outputs} a frame, {outputs // 8} bytes")

# %% [markdown]
# A ResNet's stem and block 1 have five convolutions. For their gradient one wants the input of each,
# not of the first alone, and the bits of each ReLU. So here the bits of the *last* layer would save
# nothing. (The second run can be left out if all activations are kept; then it is the dense way.)

# %% [markdown]
# ## 3. Forty frames in chunks of 32
#
# Is chunking worth it for $g = 8$, and for $g = 1$? Memory by the lines of Table 1, and time by
# counting multiply-adds:

# %%
gb = {row: line["memory"] for row, line in claims.paper_table(DATA, "table1").items()}
frame = (gb["tsm-32"] - gb["tsm-8"]) / 24
rest = gb["tsm-8"] - 8 * frame
cluster = (gb["cumulative-16"] - gb["cumulative-8"]) / 8
front = (gb["cumulative-8"] - rest - 8 * cluster) / 32
both = cost.resnet_multiply_adds(18, 4, t=1, g=1)
ahead = cost.resnet_multiply_adds(18, 4, t=2, g=1) - both
for g in (8, 1):
    dense, chunked = (rest + g * cluster + t * front for t in (40, 32))
    rear = g * (both - ahead)
    factor = (5 * 40 * ahead + 3 * rear) / (3 * 40 * ahead + 3 * rear)
    print(f"g = {g}: {dense:.2f} GB densely, {chunked:.2f} in chunks, {factor:.2f} times the work")

# %% [markdown]
# Hardly in either case: a quarter of a gigabyte is saved, for half to two thirds more work. With one
# cluster the saved share is a little larger, and so is the factor. It is the number of frames that has to be
# large, not the number of clusters small.

# %% [markdown]
# ## 4. Nine clusters for three clips
#
# The clips have 4, 12 and 32 changes. Each gets one cluster; the other six go, one by one, to the clip
# whose clusters hold most: 32, 32/2 = 16, 12, 32/3 = 10.7, 32/4 = 8, 32/5 = 6.4. So 1, 2 and 6, and
# the fullest cluster is now one of the second clip, with 12/2 = 6. Any spread of the changes will do:

# %%
dist = torch.tensor([[1, 0, 1, 0, 1, 0, 1, 0], [2, 2, 1, 1, 1, 1, 2, 2], [4, 4, 4, 4, 4, 4, 4, 4]])
counts = adaptive_counts(dist, 3)
print(
    f"changes {dist.sum(1).tolist()}: clusters {counts.tolist()}, tau {threshold_of(dist, counts):.0f}"
)

# %% [markdown]
# ## 5. A small study: which statistics the front has
#
# What does `early_statistics = "detached"` cost beside "running"? Each frame that a step asks for is
# one pass of the front. We count them, with a stream of one clip of 48 frames:


# %%
class Counting:
    """A clip as a stream that counts the frames it has given."""

    def __init__(self, film):
        self.film, self.lengths, self.given = film, torch.tensor([len(film)]), 0

    def parts(self, size):
        for part in self.film.split(size):
            self.given += len(part)
            yield part


# %%
torch.manual_seed(0)
film = torch.randint(0, 256, (48, 3, 48, 48), dtype=torch.uint8)
for way in ("running", "detached"):
    model = tsm_resnet(18, 10, width=8, clustering=TemporalClustering("cumulative", 8), chunk=16)
    model.early_statistics = way
    stream = Counting(film)
    F.cross_entropy(model(stream), torch.tensor([0])).backward()
    print(f"{way:9} {stream.given // len(film)} passes over the clip")

# %%
row = records.load(
    DATA / "records", "any_length", scale="small", data="embedded", row="all", seed=0
)
say(
    "Five passes without gradient are added to three, of which one goes back. An epoch of `all` took {seconds:.0f} s, so the study "
    "is minutes a run, not hours: `python -m lab train any_length --row all --scale small --data embedded --seed 0 --out "
    "detached`, after `early_statistics` has been changed in the recipe, and the same for seeds 1 and 2, whose runs with "
    '"running" the book has. One seed will not do: the seeds of `all` differ by a few points among themselves.',
    seconds=row.results["epoch_s"],
)
