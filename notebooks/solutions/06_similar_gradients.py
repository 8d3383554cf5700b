# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Solutions: Do similar frames have similar gradients?
#
# The questions are those at the end of the [chapter](../06_similar_gradients.ipynb).

# %%
from pathlib import Path

import torch

from lab import gradients
from fvlib.clustering import hamming_distances, slope_clusters
from lab.building import build_network, move4mnist_sets
from lab.recipes import parameters_of

DATA = Path("../../data")
torch.set_default_dtype(torch.float64)  # so that every machine finds the same signs

# %% [markdown]
# ## 1. Weights alone
#
# *Take 12 clusters of one frame and 4 of five, and let the gradients of all 32 frames be equal. How
# large is the summed error with the weights 1/16, in percent? And with size/t?*
#
# Let every frame's gradient be $u$ before its weight, of length 1. A frame adds $u/32$, and all
# lengths add up to 1. With 1/16 a cluster of one frame is off by 1/16 − 1/32 = 1/32, a cluster of
# five by 5/32 − 1/16 = 3/32. Together 12 · 1/32 + 4 · 3/32 = 24/32, which is 75 %. With size/t the
# weights are 1/32 and 5/32, and nothing is wrong. The library has the same sum:

# %%
sizes = torch.tensor([1] * 12 + [5] * 4)
labels = torch.arange(16).repeat_interleave(sizes)[None]
frames = {"weight": torch.full((1, 32, 1), 1 / 32)}
percent = []
for name, weights in (("1/16", torch.full((16,), 1 / 16)), ("size/t", sizes / 32)):
    error = gradients.cluster_errors(frames, {"weight": weights[None, :, None]}, labels)
    percent.append(float(100 * error.distance.sum() / error.frames_norm[0]))
    print(f"{name:6} {percent[-1]:.0f} %")
assert percent == [75, 0]

# %% [markdown]
# So the weights alone can make three quarters of the error, though one gradient for a cluster is
# exact here. This is why the chapter counts with both weights.
#
# ## 2. Without the black frames
#
# *Leave out all pairs with a black frame from Fig. 5. What becomes of the rank correlation of the
# Hamming distance, with either loss?*
#
# The network and the clips of the chapter:

# %%
settings, _ = parameters_of(DATA / "recipes.toml", "facts", "all", "small", "embedded")
network = build_network(settings, 4, beside=DATA).eval()
weights = DATA / "samples" / "tsm-32-embedded.pt"
network.load_state_dict(torch.load(weights, weights_only=True))
test = move4mnist_sets(settings)["test"]
video, target = test.batch(range(4))
black = torch.stack([test.frame_labels(i).type == 2 for i in range(4)])
with torch.no_grad():
    block1 = network.features(video, upto="layer1")

# %%
near = gradients.pairs(gradients.activation_distances(block1, "hamming"))
kept = ~gradients.pairs(black[:, :, None] | black[:, None, :])
for setting in ("clip", "frame"):
    terms = gradients.frame_gradients(network, video, target, stage="layer1", setting=setting)
    far = gradients.pairs(gradients.gradient_distances(terms))
    for name, chosen in (("all pairs", torch.ones_like(kept)), ("no black frame", kept)):
        ranks = [
            gradients.relation(near[[i], chosen[i]][None], far[[i], chosen[i]][None]).spearman[0]
            for i in range(4)
        ]
        print(f"{setting:5} {name:14}", *(f"{round(rank, 2) + 0:5.2f}" for rank in ranks))

# %% [markdown]
# It rises in every clip and in both readings. With the clip's own loss it was below zero or close
# to it, and is now about zero: black frames explain why it was negative, and not why there is no
# relation. With one loss a frame there was a weak relation, and it becomes a little stronger. To
# block 1 black is far from everything, while the loss hardly notices it.
#
# ## 3. Which block makes the error of single frames?
#
# *Switch the shift off in block 2 alone, then in blocks 2 and 3, and so on.*
#
# As in the section *Why* of the chapter: slope clusters of one frame, weights size/t, the loss held
# still, gradients of block 3. Here on two clips:

# %%
video, target, block1 = video[:2], target[:2], block1[:2]
labels = slope_clusters(hamming_distances(block1), 16)
alone = gradients.sum_by_cluster(torch.ones_like(labels), labels, 16) == 1


def error_alone():
    """Percent of their gradients by which clusters of a single frame are wrong."""
    true = gradients.frame_gradients(network, video, target, stage="layer3")
    how = {"weighting": "size", "residual": gradients.full_residual(network, video, target)}
    one = gradients.cluster_gradients(network, video, target, labels, 16, stage="layer3", **how)
    error = gradients.cluster_errors(true, one, labels)
    return float(100 * error.distance[alone].sum() / error.norm[alone].sum())


# %%
found = {}
for off in ((), (2,), (3,), (4,), (2, 3), (3, 4), (2, 3, 4)):
    for block in (2, 3, 4):
        for module in network.get_submodule(f"layer{block}").modules():
            if hasattr(module, "shift"):
                module.shift = block not in off
    found[off] = error_alone()
    print(f"shift off in {', '.join(map(str, off)) or 'no block':8} {found[off]:5.1f} %")
assert found[2, 3, 4] < 1e-6 < found[2, 3]

# %% [markdown]
# Block 2 does most of it. With its shift off alone, the error falls by more than half; with that of
# block 3 off alone it does not fall at all. Block 2 is the first after the averages, so what it
# mixes into a frame passes all other blocks. Block 4 has a share, although it lies after block 3,
# where we measure: the gradient comes back through it, and its shift mixes the gradients of
# neighbours as it mixes their activations. Only without any shift a single frame is left alone, and
# then its gradient is exact. (A network without its shift is another function with the same
# weights, so these are errors of seven different networks.)
