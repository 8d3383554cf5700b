# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Solutions: The gradient bound
#
# To the exercises of the [chapter](../01_gradient_bound.ipynb), which has the words and the letters.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.nn.functional import cross_entropy, softplus

from lab import book, plots
from lab.gradients import corrected_bound, exact_gradient, gradient_difference
from lab.gradients import paper_bound, single_gradient

torch.set_default_dtype(torch.float64)
torch.manual_seed(0)
plots.use_style()


def rounded(values):
    """Numbers as they are printed here."""
    return [round(float(value), 3) + 0.0 for value in values]


# %% [markdown]
# ## 1. A feature that stands still
#
# *What does Eq. 7 say about the first feature of $x_1 = (1, 1)$ and $x_2 = (1, 3)$, and what is its
# error?* On paper: the first features are equal, so the right side of Eq. 7 is
# $\frac14 \cdot 0 \cdot |q_c(x_1) - q_c(x_2)| = 0$, and so is the covariance. What is left of the error
# is $\bar x\,J_c = 1 \cdot J_c$. The logits differ by 0 in one frame, by 2 in the other, by 1 in the
# mean, so
#
# $$J_0 = \tfrac12\Big(\frac{1}{1 + e^0} + \frac{1}{1 + e^2}\Big) - \frac{1}{1 + e^1}
# = \tfrac12 (0.500 + 0.119) - 0.269 = 0.041.$$

# %%
x, w, target = torch.tensor([[1.0, 1.0], [1.0, 3.0]]), torch.eye(2), torch.tensor(0)
error = exact_gradient(x, w, target) - single_gradient(x, w, target)
print("first feature, both classes: Eq. 7", rounded(paper_bound(x, w)[0]), end=" ")
print("error", rounded(error[0]))

# %% [markdown]
# Eq. 7 promises that there is no error, and there is one. In a video, whatever stands still is such
# a feature: the background, a bias, a person who waits. The feature is the same in both frames, but
# the shares are not, and the mean frame's share is not the mean of the shares.
#
# ## 2. Where Eq. 7 begins to fail
#
# *One dimension, two classes, $w = (1, 2)$: for which frames that are close does Eq. 7 hold?* First
# by trying. Two frames stand at a small distance about $x$; the interval in which the border must
# lie is halved until it is short.

# %%
w = torch.tensor([[1.0, 2.0]])


def holds(middle, apart=1e-3):
    """Whether Eq. 7 holds for two frames of one number about the middle."""
    pair = torch.tensor([[middle - apart / 2], [middle + apart / 2]])
    error = gradient_difference(pair, w, torch.tensor(0)).abs()
    return bool((error <= paper_bound(pair, w)).all())


low, high = 1.0, 10.0
while high - low > 1e-6:
    middle = (low + high) / 2
    low, high = (middle, high) if holds(middle) else (low, middle)
print(f"holds at 1: {holds(1.0)}, at 10: {holds(10.0)}, border {low:.4f}")

# %% [markdown]
# Now by solving. The logits are $x$ and $2x$, so their difference is $u = x$, and class 1 has the
# share $q = \sigma(u)$, with $\sigma(u) = 1/(1 + e^{-u})$. For two frames at $u \pm \varepsilon$, up to
# higher orders, $\mathrm{Cov}(x, q) = \varepsilon^2 \sigma'(u)$ and
# $J = \frac12 \varepsilon^2 \sigma''(u)$. Since $\sigma'' = -\sigma' \tanh(u/2)$, the error is
#
# $$\varepsilon^2 \sigma'(u)\,\big(1 - \tfrac12\,u \tanh(u/2)\big).$$
#
# The right side of Eq. 7 is this without the second term. So Eq. 7 holds while
# $|1 - \frac12 u \tanh(u/2)| \le 1$, that is, up to $u \tanh(u/2) = 4$:

# %%
u = 4.0
for _ in range(50):
    u = 4 / np.tanh(u / 2)
print(f"u = {u:.4f}, u tanh(u/2) = {u * np.tanh(u / 2):.4f}")
assert abs(u - low) < 1e-3

# %% [markdown]
# The same border. A network is beyond it as soon as it is sure of a frame:
# $\sigma(4.13) = 1/(1 + e^{-4.13}) = 0.984$.
#
# ## 3. A cluster that drifts
#
# *How does the error grow with the number $n$ of frames that drift with constant steps?* We draw
# random clips whose frames take small steps and divide error and bound by $n^2 - 1$.

# %%
middle, way = torch.randn(2, 200, 1, 16)
layer, y = torch.randn(200, 16, 5) / 4, torch.randint(5, (200,))


def drifting(n, step=1e-4):
    """Clusters of n frames with constant steps, about the same middles."""
    return middle + step * (torch.arange(n)[:, None] - (n - 1) / 2) * way


near = drifting(2, step=3e-3)  # as wide as the widest cluster below: no sign may change
keep = ((near @ layer > 0).sum(1) % 2 == 0).all(-1)
for n in (2, 4, 8, 16, 32):
    found = [f(drifting(n), layer, y)[keep] for f in (gradient_difference, corrected_bound)]
    sizes = [1e9 * value.norm(dim=(1, 2)).median() / (n**2 - 1) for value in found]
    print(f"n = {n:2}: error / (n² − 1) {sizes[0]:.3f}, bound / (n² − 1) {sizes[1]:.3f}", "(1e-9)")

# %% [markdown]
# Both columns are constant: error and bound grow as $n^2 - 1$. They have to. Both are of second
# order, so they grow with the variance of the frames, and $n$ numbers with steps of 1 have the
# variance $(n^2 - 1)/12$. A cluster of twice as many drifting frames is four times as wrong; it is
# better to cut a drift into even parts than into one long and some short ones.
#
# ## 4. A smooth function in place of the ReLU
#
# *Which of the errors of order 0, 1 and 2 are left with a softplus?* The softplus
# $\log(1 + e^{\beta z})/\beta$ is a ReLU with a round corner, about $1/\beta$ wide. Automatic
# differentiation gives both gradients, for many pairs at once. The middle of every pair lies near a
# corner of class 0, as where a sign changes in the chapter.

# %%
pairs, features, classes = 300, 16, 5
wide = torch.randn(pairs, features, classes) / features**0.5
centre, way = torch.randn(2, pairs, 1, features)
way = way / way.norm(dim=-1, keepdim=True)
first = wide[:, :, :1]
corner = first / first.norm(dim=1, keepdim=True) ** 2  # to where the logit of class 0 is 0
centre = centre - (centre @ first) * corner.mT
goal = torch.randint(classes, (pairs,))


def gradients(frames, function):
    """Of each pair's mean loss, by automatic differentiation: (pairs, features, classes)."""
    variable = wide.clone().requires_grad_()
    logits = function(frames @ variable)  # (pairs, n, classes)
    labels = goal[:, None].expand(logits.shape[:2])
    loss = cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")
    return torch.autograd.grad(loss / frames.shape[1], variable)[0]


# %% [markdown]
# We measure three errors: that of the mean in the column whose corner lies between the frames, that
# of the mean in the other columns, and that of one frame in place of two. The order is the slope
# between the two smallest distances.

# %%
steps, side = (1e-4, 1e-3, 1e-2, 1e-1, 1.0), torch.tensor([[0.8], [-0.2]])
functions = {f"softplus, β = {b}": lambda z, b=b: softplus(z, beta=b) for b in (100, 1)}
curves = {}
for name, function in {"ReLU": torch.relu, **functions}.items():
    errors = []
    for step in steps:
        frames = centre + step * side * way
        full = gradients(frames, function)
        mean = gradients(frames.mean(1, keepdim=True), function) - full
        one = gradients(frames[:, :1], function) - full
        parts = mean[:, :, :1], mean[:, :, 1:], one[:, :, 1:]
        errors.append([part.norm(dim=(1, 2)).median() for part in parts])
    curves[name] = np.array(errors)
    order = np.log10(curves[name][1] / curves[name][0]).round(1) + 0.0
    print(f"{name:18} orders: its column {order[0]}, others {order[1]}, one frame {order[2]}")

# %% tags=["hide-input"]
fig, axes = plt.subplots(1, 3, figsize=(9, 3), sharey=True)
looks = (("#b2182b", "s", "mean: its column"), ("#333333", "o", "mean: others"))
looks += ((plots.COLOURS["tsm"], "^", "one frame"),)
for ax, (name, curve) in zip(axes, curves.items(), strict=True):
    for column, (colour, mark, label) in enumerate(looks):
        ax.loglog(steps, curve[:, column], marker=mark, color=colour, label=label)
    ax.set(title=name, xlabel="distance of the frames")
axes[0].set_ylabel("length of the error")
axes[2].legend(fontsize=8)
plots.show(
    fig,
    "The error over the distance, with the corner of the ReLU and with two round ones.",
    "Three log-log plots: a flat line that becomes a steep one when the corner is rounded.",
)

# %% tags=["hide-input"]
book.say(
    "Without a corner the error of order 0 is gone, and with it the order 1 of the columns beside "
    "it: the mean is of order 2 everywhere, and one frame stays at order 1. But *how near* is near "
    "depends on the corner. With β = 100 and frames at a distance of {step}, its column is "
    "**{share:.0%}** as wrong as with the ReLU; order 2 begins where distances are well below "
    "1/β = {width}.",
    step=steps[-2],
    share=curves["softplus, β = 100"][-2, 0] / curves["ReLU"][-2, 0],
    width=1 / 100,
)

# %% [markdown]
# So for grouping: with a smooth function the sign is not what matters. Closeness is, measured by the
# width of the corner. A sign is the limit of a corner of width 0, where no closeness is close enough.
