# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A1 · The gradient bound: proofs
#
# This belongs to chapter [01](../01_gradient_bound.ipynb), which has the question and the letters.
# Here are the proofs, each with a check by numbers.

# %% tags=["parameters"]
seed: int = 0
pairs: int = 2000  # random pairs of frames, for each size of the logits
features: int = 64
classes: int = 10

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.nn.functional import cross_entropy

from lab import book, plots
from lab.gradients import corrected_bound, exact_gradient, gradient_difference, jensen_gap
from lab.gradients import loss_gap, paper_bound, sign_disagreements, single_gradient

ROUNDING = 1 + 1e-9
torch.set_default_dtype(torch.float64)
torch.manual_seed(seed)
plots.use_style()


def show(name, *vectors):
    """A line with a name and some vectors, rounded."""
    numbers = [" ".join(f"{round(float(v), 3) + 0.0:6.3f}" for v in vector) for vector in vectors]
    print(f"{name:34}", "   ".join(numbers))


# %% [markdown]
# The two frames of the chapter:

# %%
x, w, target = torch.tensor([[2.0, 2.0], [1.0, 3.0]]), torch.eye(2), torch.tensor(0)
mean = x.mean(0)
q, q_mean = (x @ w).softmax(-1), (mean @ w).softmax(-1)
G, G_hat = exact_gradient(x, w, target), single_gradient(x, w, target)
show("G, G-hat, column 0", G[:, 0], G_hat[:, 0])

# %% [markdown]
# ## 1. How we read the equations
#
# Three small things have to be read into the printed equations. None touches the idea.
#
# - **Eq. 3 has no mask.** It gives every column a gradient, also where the ReLU is off.
# - **Eq. 5 lacks a pair of brackets**, at least in the copy that we read: we read
#   $\bar x\,(q_c - y_c)$ for $\bar x\, q_c - y_c$.
# - **Eq. 1 adds frames up; from Eq. 2 on they are averaged.** For the softmax this makes a
#   difference, as the chapter shows.
#
# The mask: a layer makes class 1, the right one, negative for both frames. Column 1, once by Eq. 3
# as printed, once by automatic differentiation:

# %%
w_off = torch.tensor([[1.0, -1.0], [1.0, -1.0]])
share = (x @ w_off).relu().softmax(-1)[:, 1]
show("Eq. 3 without a mask", (x * (share - 1)[:, None]).mean(0))
w_var = w_off.clone().requires_grad_()
cross_entropy((x @ w_var).relu(), torch.tensor([1, 1])).backward()
show("automatic", w_var.grad[:, 1])

# %% [markdown]
# A ReLU that is off passes no gradient back. In all that follows $q_c - y_c$ has its mask.
#
# ## 2. The identity and the theorem
#
# The chapter derives the identity for a class whose ReLU is on:
#
# $$G_c - \hat G_c = \mathrm{Cov}(x, q_c) + \bar x\, J_c, \qquad J_c = \overline{q_c} - q_c(\bar x).$$
#
# As a loop over any number of frames:


# %%
def two_terms(x, w, c):
    """Cov(x, q_c), and the mean frame times J_c; x holds any number of frames."""
    q = [(frame @ w).relu().softmax(-1)[c] for frame in x]
    mean_x, mean_q = sum(x) / len(x), sum(q) / len(q)
    cov = sum((frame - mean_x) * (share - mean_q) for frame, share in zip(x, q, strict=True))
    return cov / len(x), mean_x * (mean_q - (mean_x @ w).relu().softmax(-1)[c])


cov, rest = two_terms(x, w, 0)
show("covariance, mean frame times J", cov, rest)
show("their sum, and G - G-hat", cov + rest, (G - G_hat)[:, 0])

# %% [markdown]
# Both terms are of second order, so their ratio settles as the frames come together. The columns
# are distance, error, right side of Eq. 7, and the ratio of the two.

# %%
for halvings in range(6):
    close = mean + (x - mean) / 2**halvings
    cov, rest = two_terms(close, w, 0)
    error, right = (cov + rest)[0].abs(), cov[0].abs()
    distance = (close[0] - close[1]).norm()
    print(f"{distance:6.3f}   {error:9.6f}   {right:9.6f}   {error / right:5.2f}")

# %% [markdown]
# No closeness of the frames turns Eq. 7 into a bound.
#
# Write $\mathrm{osc}(v)$ for the largest entry of a vector minus its smallest. Like the softmax, it
# does not change when the same number is added to all logits.
#
# **Theorem.** Let the frames $x_i$ of a cluster have weights $\lambda_i \ge 0$ with sum 1, and let
# the signs of $x_i w$ agree in every class. With means and standard deviations over the frames, in
# every coordinate $j$ of every column $c$,
#
# $$|G_{jc} - \hat G_{jc}| \;\le\; \mathrm{sd}(x_j)\,\mathrm{sd}(q_c) \;+\;
# |\bar x_j|\,\frac{V}{12\sqrt3}, \qquad V = \sum_i \lambda_i\,\mathrm{osc}(z_i - \bar z)^2 .$$
#
# For two frames of equal weight this is
#
# $$|G_{jc} - \hat G_{jc}| \;\le\; \tfrac14\,|x_{1j} - x_{2j}|\,|q_c(x_1) - q_c(x_2)| \;+\;
# |\bar x_j|\,\frac{\mathrm{osc}(z_1 - z_2)^2}{48\sqrt3}.$$
#
# The first term is the paper's, the second is what it lacks.
#
# **Proof**, in four steps. If the ReLU of class $c$ is off, both columns are 0. Let it be on.
#
# *Step 1, the identity*, holds with weights too.
#
# *Step 2, the first term.* A covariance is at most the product of the two standard deviations
# (Cauchy and Schwarz). For two frames of equal weight, $\mathrm{sd}(x_j) = \frac12|x_{1j} - x_{2j}|$,
# and the two sides are equal.
#
# *Step 3, the second term, by Taylor.* On the straight line from the mean logits $\bar z$ to those
# of frame $i$ the share is $f_i(s) = q_c(\bar z + s\,(z_i - \bar z))$. It ends at $f_i(1) = q_c(x_i)$
# and starts at $f_i(0) = q_c(\bar x)$, since signs agree: only then are the logits of the mean frame
# the mean of the logits. For some $s_i$ between 0 and 1,
#
# $$f_i(1) = f_i(0) + f_i'(0) + \tfrac12 f_i''(s_i).$$
#
# Averaged over the frames, the left side is $\overline{q_c}$. The slope $f_i'(0)$ is linear in
# $z_i - \bar z$, whose mean is 0: **the first order cancels**. What is left is
# $J_c = \frac12 \sum_i \lambda_i f_i''(s_i)$.
#
# *Step 4, the bend.* By the lemma below $|f_i''| \le \mathrm{osc}(z_i - \bar z)^2/(6\sqrt3)$. So
# $|J_c| \le V/(12\sqrt3)$. For two frames $z_i - \bar z = \pm\frac12(z_1 - z_2)$, hence
# $V = \frac14\mathrm{osc}(z_1 - z_2)^2$. $\blacksquare$
#
# Logits and shares change at most in proportion to the frames. So both terms, and with them the
# error, are of second order.

# %% [markdown]
# ## 3. The lemma: how strongly a share can bend
#
# **Lemma.** Along a straight line in the logits, $f(s) = q_c(z + s\Delta)$ has
# $|f''| \le \mathrm{osc}(\Delta)^2/(6\sqrt3)$.
#
# *Proof.* Let $E$ be the mean of the entries of $\Delta$, each weighted by its class's share, and
# $\mathrm{Var}$ their variance, weighted in the same way. Then $q_c' = q_c\,(\Delta_c - E)$ and
# $E' = \mathrm{Var}$, so
#
# $$f'' = q_c\,\big[(\Delta_c - E)^2 - \mathrm{Var}\big].$$
#
# *Two classes.* Let $p = q_c$ be the one share, $1 - p$ the other, and $a$ the difference of the two
# entries of $\Delta$, so that $\mathrm{osc}(\Delta) = |a|$. Then $\Delta_c - E = (1 - p)\,a$ and
# $\mathrm{Var} = p\,(1 - p)\,a^2$, which gives
#
# $$f'' = p\,(1 - p)\,(1 - 2p)\,a^2 .$$
#
# This is positive below one half and negative above. With $\sigma = 1 - 2p$ the factor is
# $\frac14 \sigma\,(1 - \sigma^2)$, which is largest at $\sigma = 1/\sqrt3$, where it is
# $\frac14\cdot\frac{1}{\sqrt3}\cdot\frac23 = \frac{1}{6\sqrt3} = 0.0962$. The same holds below
# zero.
#
# *More classes.* Gather all classes but $c$ into one. Let $m$ be the mean of their entries of
# $\Delta$, $v$ the variance within, and $a = \Delta_c - m$. Then
# $\mathrm{Var} = (1 - p)\,v + p\,(1 - p)\,a^2$, so
#
# $$f'' = p\,(1 - p)\,\big[(1 - 2p)\,a^2 - v\big].$$
#
# Upwards, $v$ only helps, and since $|a| \le \mathrm{osc}(\Delta)$ we are back at two classes.
# Downwards, measure $\Delta$ so that its smallest entry is 0 and its largest 1. Entries between 0 and 1
# are at least their squares, so $v \le m - m^2 \le \frac14$.
#
# - If $p \le \frac12$, then $-f'' \le p\,(1 - p)\,v \le \frac14\cdot\frac14 = 0.0625 < 0.0962$.
# - If $p > \frac12$, we may assume $\Delta_c \ge m$ (else turn $\Delta$ into $1 - \Delta$). With
#   $r = 1 - m$ we have $0 \le a \le r$ and $v \le r\,(1 - r)$, so
#   $(2p - 1)\,a^2 + v \le r - 2\,(1 - p)\,r^2$. For $p \ge \frac34$ this is largest at $r = 1$, and we
#   are back at two classes. For smaller $p$ it is largest at $r = 1/(4(1 - p))$, where it is
#   $1/(8(1 - p))$, and $-f'' \le \frac p8 < \frac{3}{32} = 0.09375 < 0.0962$. $\blacksquare$
#
# Random logits and steps for 2, 3 and 10 classes: the bend $f''$, measured in
# $\mathrm{osc}(\Delta)^2$, over the share.


# %% tags=["hide-input"]
def random_bends(k, count=1500):
    """Random shares of a class among k, and how they bend along a random step of osc 1."""
    shares, step = (4 * torch.randn(count, k)).softmax(-1), torch.rand(count, k)
    off = step - (shares * step).sum(-1, keepdim=True)
    bend = shares * (off**2 - (shares * off**2).sum(-1, keepdim=True))
    return shares[:, 0], bend[:, 0] / (step.amax(-1) - step.amin(-1)) ** 2


# %% tags=["hide-input"]
fig, ax = plt.subplots(figsize=(6.5, 3.6))
limit, largest = 1 / (6 * 3**0.5), []
for k, colour, mark in ((10, "#c6c4e0", "s"), (3, "#807dba", "^"), (2, "#3f007d", "o")):
    share, bend = random_bends(k)
    largest.append(float(bend.abs().max() / limit))
    ax.plot(share, bend, mark, ms=3, color=colour, mew=0, label=f"{k} classes")
ax.hlines([-limit, limit], -0.05, 1.05, color="#b2182b", lw=1.2)
ax.text(0.99, limit, r"$1/(6\sqrt{3})$", color="#b2182b", ha="right", va="bottom")
ax.set(xlabel="share $q_c$", ylabel=r"bend $f''/\mathrm{osc}(\Delta)^2$", ylim=(-0.12, 0.12))
ax.legend(markerscale=2, loc=(0.68, 0.58), fontsize=9, handletextpad=0.3)
plots.show(
    fig,
    "With two classes all points are on one curve, which touches the lines of the lemma. With more, points also lie inside, and "
    "below zero for shares under one half.",
    "A wave-shaped curve that touches two horizontal lines, and clouds of points between them.",
    largest_bend_over_limit=largest,
)

# %% [markdown]
# With more classes a share can bend down below one half too, because of the $-v$: with three or
# more, no share is convex anywhere.
#
# ## 4. No smaller constant would do
#
# The proof tells where the worst case is: two classes, the share where it bends most,
# $p = \frac12 - \frac{1}{2\sqrt3}$, and a feature that is the same in both frames, such as a bias
# or a still background. For that feature Eq. 7 says that there is no error. How much of the
# corrected bound is used as the frames come together?

# %%
p = 0.5 - 0.5 / 3**0.5
z0 = 9 + np.log(p / (1 - p))  # the logit of class 0, on average; that of class 1 is 9
layer = torch.eye(3)[:, :2]  # the third feature, always 1, is in no logit
for apart in (2.0, 1.0, 0.1, 0.01):
    frames = torch.tensor([[z0 + apart / 2, 9.0, 1.0], [z0 - apart / 2, 9.0, 1.0]])
    used = gradient_difference(frames, layer, target) / corrected_bound(frames, layer, target)
    print(f"logits apart by {apart:4}: {used[2, 0]:.6f} of the bound")

# %% [markdown]
# ## 5. Where Jensen's inequality does apply
#
# While signs agree, Jensen's inequality does apply to the **loss**, $-z_y + \log \sum_j e^{z_j}$. Its
# first part is straight, its second convex: along a line its bend is the variance $\mathrm{Var}$ of
# the lemma. So the mean loss $L$ over the frames is at least the loss $\hat L$ of the mean. Since the
# straight part cancels, the gap is the same whatever the label:

# %%
gap = loss_gap((x @ w).relu())
for label in (0, 1):
    y = torch.tensor(label)
    apart = cross_entropy((x @ w).relu(), y.expand(2)) - cross_entropy((mean @ w).relu(), y)
    print(f"label {label}: L - L-hat = {apart:.6f}, loss_gap gives {gap:.6f}")
w_var = w.clone().requires_grad_()
loss_gap((x @ w_var).relu()).backward()
show("gradient of loss_gap, G - G-hat", w_var.grad[:, 0], (G - G_hat)[:, 0])

# %% [markdown]
# The gradient of the gap is $G - \hat G$, which training on averages leaves out.
#
# For two frames of equal weight both gaps, of the loss and of the shares, have a closed form. The softmax of the mean logits is the geometric mean of the shares,
# divided by its sum $B = \sum_j \sqrt{q_j(x_1)\,q_j(x_2)}$, which is at most 1. So
# $L - \hat L = -\log B$, and
#
# $$J_c = \tfrac12 \big(\sqrt{q_c(x_1)} - \sqrt{q_c(x_2)}\big)^2 - (1 - B)\,q_c(\bar x).$$
#
# This is a difference of two positive terms, so $|J_c|$ is at most the larger one. With it in place of
# the worst case the bound is much tighter (`corrected_bound(..., gap="hellinger")`).

# %%
B = (q[0] * q[1]).sqrt().sum()
print(f"-log B = {-B.log():.6f}")
closed = (q[0].sqrt() - q[1].sqrt()) ** 2 / 2 - (1 - B) * q_mean
show("J from the shares, jensen_gap", closed, jensen_gap(x @ w))

# %% [markdown]
# ## 6. When signs differ
#
# If signs differ, two things change. The mean frame's logits are smaller than the mean of the
# logits by some $\kappa \ge 0$ in every class whose sign differs. And a frame's ReLU may be on
# while the mean frame's is off, or the other way round. With $m$ for the masks (1 for on, 0 for
# off; $\bar m$ for the mean frame's), sorting the terms gives
#
# $$G_c - \hat G_c = \bar m_c\,\big[\mathrm{Cov}(x, q_c) + \bar x\,(J_c + K_c)\big] +
# \sum_i \lambda_i\,(m_{ic} - \bar m_c)\,x_i\,(q_c(x_i) - y_c).$$
#
# $J_c$ is as before, with the softmax of the mean logits. $K_c$ is the share from the mean of the
# logits minus the share from the logits of the mean; it is of order 1. The last sum is of order 0,
# and here the label does not cancel. Both terms vanish when signs agree. The corrected bound has
# them too: $|K_c| \le \tanh(\mathrm{osc}(\kappa)/4)$, because the log-odds of a class move by at
# most $\mathrm{osc}(\kappa)$, and a share moves most around one half. The last sum stays as it is.
#
# So the Hamming distance of $x w$ counts the columns with an error of order 0. At distance 0 there
# is none, nor one of order 1. What it cannot see is length: without a bias the distance is 0 between
# $x$ and any $a x$ with $a > 0$, such as a scene before and after the light is turned up, and yet the gradients
# differ.

# %%
frame = torch.tensor([[2.0, 1.0]])
bright = torch.cat([frame, 3 * frame])
print("signs that differ:", int(sign_disagreements(bright, w)))
show("G,     column 0", exact_gradient(bright, w, target)[:, 0])
show("G-hat, column 0", single_gradient(bright, w, target)[:, 0])

# %% [markdown]
# Do the formula and the corrected bound hold for many pairs, with several changes of sign?

# %%
frames = torch.randn(pairs, 2, features)
wide = 3 * torch.randn(pairs, features, classes) / features**0.5
y = torch.randint(classes, (pairs,))
direct = exact_gradient(frames, wide, y) - single_gradient(frames, wide, y)
error, bound = gradient_difference(frames, wide, y), corrected_bound(frames, wide, y)
print(f"signs that differ, of {classes}: {sign_disagreements(frames, wide).double().mean():.1f}")
print(f"formula minus difference: at most {(error - direct).abs().max():.6f}")
print(f"above the bound: {int((error.abs() > bound * ROUNDING).sum())} of {error.numel():,}")

# %% [markdown]
# ## 7. How often Eq. 7 fails
#
# Two frames move apart from a random mean frame along a random direction, under random layers.
# `size` says how large the logits are. Only pairs whose signs agree at the largest distance are
# kept.


# %%
def place(middle, way, distance):
    """Two frames at a distance, as a part of the middle's length."""
    return middle + distance * way * torch.tensor([[0.5], [-0.5]])


def draw(size):
    """Middles, ways of the same length, layers and targets of random pairs whose signs agree."""
    middle, way = torch.randn(2, pairs, 1, features)
    w = size * torch.randn(pairs, features, classes) / features**0.5
    target = torch.randint(classes, (pairs,))
    way = way * middle.norm(dim=-1, keepdim=True) / way.norm(dim=-1, keepdim=True)
    keep = sign_disagreements(place(middle, way, 0.5), w) == 0
    return [values[keep] for values in (middle, way, w, target)]


# %%
distances = (1e-4, 1e-3, 1e-2, 0.1, 0.2, 0.5)
drawn = {size: draw(size) for size in (1, 3, 10)}
fails, below, times = {}, [], {}
for size, (middle, way, wide, y) in drawn.items():
    on = (middle @ wide)[:, 0] > 0  # columns that get a gradient
    for distance in distances:
        frames = place(middle, way, distance)
        error = gradient_difference(frames, wide, y).abs().mT[on]
        bound = paper_bound(frames, wide).mT[on]
        whole = error.norm(dim=-1) / bound.norm(dim=-1)
        fails[size, distance] = (error > bound).double().mean(), (whole > 1).double().mean()
        below.append((error <= bound).all(-1))
        times[size, distance] = whole.median()


# %% tags=["hide-input"]
def draw_rates(ax, which, title):
    """How often Eq. 7 fails over the distance, a line for each size of the logits."""
    for size, colour, mark in ((10, "#3f007d", "o"), (3, "#807dba", "s"), (1, "#a9a6cf", "^")):
        rate = [100 * float(fails[size, distance][which]) for distance in distances]
        ax.semilogx(distances, rate, marker=mark, ms=5, color=colour)
        lift = {10: 1.5, 3: -2.5, 1: 0}[size] if which else 0  # so that the names keep apart
        ax.text(0.7, rate[-1] + lift, f"size {size}", va="center", color=colour, weight="bold")
    ax.set(title=title, xlabel="distance of the frames", ylim=(0, 104), xlim=(6e-5, 6))
    ax.set_xticks(10.0 ** np.arange(-4, 1))
    ax.minorticks_off()


# %% tags=["hide-input"]
fig, axes = plt.subplots(1, 2, figsize=(8.5, 3.2), sharey=True)
draw_rates(axes[0], 0, "single coordinates")
draw_rates(axes[1], 1, "columns, by their length")
axes[0].set_ylabel("Eq. 7 fails, %")
plots.show(
    fig,
    "Eq. 7 fails equally often however close the frames are, for logits of size 1, 3 and 10. The distance is a part of the mean "
    "frame's length.",
    "Two panels of flat lines: failure rates that do not change with the distance of the frames.",
    pairs_that_agree=[len(y) for *_, y in drawn.values()],
    percent_of_coordinates=[round(100 * float(fails[size, 1e-4][0])) for size in drawn],
    percent_of_columns=[round(100 * float(fails[size, 1e-4][1])) for size in drawn],
)

# %% tags=["hide-input"]
below = torch.cat(below)
book.say(
    "The lines are flat: nearer frames are no help. The inequality fails in more "
    "than half of the coordinates, at all distances and sizes. Taken by their length, between "
    "**{low:.0%}** and **{high:.0%}** of the columns break it. Of {all:,} columns, over all "
    "distances, **{good}** obey it in every coordinate. For close frames the length of a column's "
    "error is **{one:.2f}** times that of the right side with logits of size 1, and **{ten:.1f}** "
    "times with size 10 (medians).",
    low=min(float(column) for _, column in fails.values()),
    high=max(float(column) for _, column in fails.values()),
    all=len(below),
    good=int(below.sum()),
    one=float(times[1, 1e-4]),
    ten=float(times[10, 1e-4]),
)

# %% [markdown]
# ### Read as if frames were single numbers
#
# Section 3.2 is written as if frames were single numbers. Read so, with two classes whose ReLUs are on,
# Eq. 7 holds for close frames up to where the difference $u$ of the mean frame's logits has
# $u \tanh(u/2) = 4$ (exercise 2 of the chapter derives it).

# %% tags=["hide-input"]
u = 4.0
for _ in range(50):
    u = 4 / np.tanh(u / 2)
book.say(
    "It fails only where the network gives one class more than **{share:.3f}**.",
    share=1 / (1 + np.exp(-u)),
)
