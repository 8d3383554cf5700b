# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Solutions: The network
#
# To the exercises of the [chapter](../04_network.ipynb).

# %%
import torch
from torch.utils.flop_counter import FlopCounterMode

from lab import book
from fvlib import cost
from fvlib.clustering import TemporalClustering
from fvlib.models import temporal_shift, tsm_resnet
from fvlib.models.packing import Frames

# %% [markdown]
# ## 1. Sixteen channels
#
# *Shift two frames with 16 channels; how many channels come from the next frame, and what remains of
# a clip of one frame?* An eighth of 16 channels is 16/8 = 2. So channels 0 and 1 come from the next
# frame, 2 and 3 from the one before, and 12 stay. On paper, with the tens of the chapter for frames:
# frame 1 has 200 201 0 0 104 ..., frame 2 has 0 0 102 103 204 ...

# %%
clip = torch.arange(1, 3)[:, None] * 100 + torch.arange(16)
shifted = temporal_shift(clip[:, :, None, None], Frames(1, 2, clip.device))[:, :, 0, 0]
print(shifted[:, :6])
alone = temporal_shift(clip[:1, :, None, None], Frames(1, 1, clip.device))[:, :, 0, 0]
print(alone[0, :6], "zeros:", int((alone == 0).sum()))

# %% [markdown]
# A clip of one frame has no neighbours: four of its 16 channels become zero. A shifting network sees
# a quarter less of a still picture, unless it was trained on such clips.
#
# ## 2. ResNet-50
#
# *How large is the share of the front in a ResNet-50, and what do 8 clusters of 32 frames cost?* As
# in the chapter, by differences of `resnet_multiply_adds`.

# %%
lines = ["| network | front, G | rest, G | front, share | 8 of 32, G | of all frames |"]
lines.append("|---|--:|--:|--:|--:|--:|")
for depth in (18, 50):
    one = cost.resnet_multiply_adds(depth, 4, t=1, g=1)
    front = cost.resnet_multiply_adds(depth, 4, t=2, g=1) - one
    clusters, full = 32 * front + 8 * (one - front), 32 * one
    cells = f"{front / 1e9:.2f} | {(one - front) / 1e9:.2f} | {front / one:.0%}"
    lines.append(f"| ResNet-{depth} | {cells} | {clusters / 1e9:.1f} | {clusters / full:.0%} |")
book.say("{table}", table="\n".join(lines))

# %% [markdown]
# The front is a smaller part of a ResNet-50, so clusters save more: all frames pay for less, and the
# expensive blocks see only the means.
#
# ## 3. Another place for the step
#
# *What would a video cost with the step after block 2, or directly after the stem?* We count the
# multiply-adds of each part of a ResNet-18 for one frame, and let 32 frames pay for the parts in
# front and 8 clusters for the others.

# %%
model, frame = tsm_resnet(18, 4).eval(), torch.rand(1, 1, 3, 224, 224)
totals = [3 * 64 * 49 * 112**2]  # the stem: one convolution with a kernel of 7 x 7
for layer in ("layer1", "layer2", "layer3", "layer4"):
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.features(frame, upto=layer)
    totals.append(counter.get_total_flops() / 2)
for name, front in zip(("stem", "block 1", "block 2", "block 3"), totals, strict=False):
    video = 32 * front + 8 * (totals[-1] - front)
    print(f"after {name:7} {video / 1e9:5.2f} G, {video / totals[-1] / 32:4.0%} of all frames")

# %% [markdown]
# After the stem the step would save more, and after block 2 less. Each block costs nearly the same, so
# each one that all frames pass adds as much. Cost alone speaks for an early step. What speaks against
# the stem is what the signs mean there: its maps are edges and colours, and chapter
# [06](../06_similar_gradients.ipynb) looks at where similar activations mean similar gradients.
#
# ## 4. Half the memory
#
# *Which number of clusters would halve the memory of 32 frames?* The line has three numbers: what is
# constant, what a frame keeps before the step, and what a cluster keeps after it. As in the
# chapter, short clips give them.


# %%
def kept(t, g=None, **options):
    """Bytes that a training step keeps for one clip of t frames."""
    torch.manual_seed(0)
    step = None if g is None else TemporalClustering("cumulative", g)
    network = tsm_resnet(18, 4, clustering=step)
    return cost.peak_memory(network, torch.rand(1, t, 3, 112, 112), torch.tensor([0])) / 1e6


plain = kept(3) - kept(2)
a_frame, a_cluster = kept(4, 2) - kept(3, 2), kept(4, 3) - kept(4, 2)
fixed, everything = kept(4, 2) - 4 * a_frame - 2 * a_cluster, kept(2) + 30 * plain
g = (everything / 2 - fixed - 32 * a_frame) / a_cluster
print(f"a frame {a_frame:.2f} MB, a cluster {a_cluster:.2f} MB, constant {fixed:.2f} MB")
print(f"all frames {everything:.0f} MB, half of it with g = {g:.1f} clusters")
assert g < 0

# %% [markdown]
# The number is negative: there is none. The front alone keeps more than half, so even with no cluster
# at all the memory would not be halved. (The frames have 112 x 112 pixels here, to be quick. All parts
# grow with the pixels, so the answer is the same.) To reach half, the front has to keep less: with a
# step after the stem, or with the chunks of chapter 11.
#
# ## 5. Resolution and width
#
# *Which parts of the front scale with the width, which do not, and how does the share of the front
# change?* We measure what one frame keeps up to the end of block 1, and in the whole network.


# %%
def of_a_frame(width, side):
    """Megabytes that one more frame keeps: up to block 1, and in all blocks."""
    torch.manual_seed(0)
    network = tsm_resnet(18, 4, width=width)

    def upto(t, layer):
        frames = torch.rand(1, t, 3, side, side)
        return cost.saved_activation_bytes(
            lambda: network.features(frames, upto=layer).sum(), network
        )

    return [(upto(3, layer) - upto(2, layer)) / 1e6 for layer in ("layer1", "layer4")]


# %%
lines = ["| pixels | width | front, MB | the frame itself, MB | share of the front |"]
lines.append("|--:|--:|--:|--:|--:|")
found = {}
for side in (64, 96, 128):
    for width in (16, 32, 64):
        front, whole = found[side, width] = of_a_frame(width, side)
        itself = 4 * 3 * side**2 / 1e6
        lines.append(
            f"| {side} x {side} | {width} | {front:.2f} | {itself:.2f} | {front / whole:.1%} |"
        )
book.say("{table}", table="\n".join(lines))

# %%
for side in (64, 96, 128):
    per_channel = [(found[side, w][0] - 12 * side**2 / 1e6) / w for w in (16, 32, 64)]
    print(side, "front without the frame, kB a channel", [f"{1e3 * v:.1f}" for v in per_channel])
    assert max(per_channel) < 1.001 * min(per_channel)

# %% [markdown]
# Every map has as many channels as the network is wide, so all of the front scales with the width
# except the frame itself, which has three channels in any network. Without it, a channel keeps the
# same number of bytes at every width. So the share of the front falls a little as the width grows.
# Pixels scale everything alike, and the share does not change.
