# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# <!-- navigation -->
# [← 13 · What holds?](13_verdict.ipynb) · [Contents](00_start_here.ipynb)
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
# # 14 · Your own videos
#
# **Does seeing all frames help on your own clips, and how does one get an answer?** The paper asks
# this about five benchmarks. This chapter goes from a folder of clips to a trained model, to what
# it says about a long video, and to a decision. It uses the command `fvlib` and the functions
# behind it (`pip install '.[video]'` in the repository's folder brings both).
#
# | you want | command |
# |---|---|
# | to see what the clusters of one file are | `fvlib clusters kitchen.mp4` |
# | to know which files are damaged | `fvlib check videos --decode` |
# | a model, tested on sources that it has not seen | `fvlib fit videos --out model --group "room[0-9]"` |
# | its answers on many files | `fvlib predict model new/*.mp4 --csv` |
# | to know whether more frames help | `fvlib compare videos --group "room[0-9]" --minutes 60` |
#
# `videos` has a folder for each class, with files that ffmpeg can read or folders of pictures, of any
# length and rate; or it is a CSV file of `file,label`. `--group` is a regular expression that finds
# the source in a path; without it every file is its own source, and each class needs two. Nothing is
# mirrored unless you say `--mirror`, and there is no class for "none of these": make one.
#
# ## Claims tested here
#
# None.

# %% tags=["parameters"]
clips_a_class: int = 24
epochs: int = 6

# %%
import json
import tempfile
from pathlib import Path

import av
import numpy as np
import torch

from fvlib import fit, load_model, pictures, predict
from fvlib.own.compare import HEADS, Comparison, difference, told
from fvlib.own.data import read_labelled, split_groups, split_table
from lab import book, plots, records
from lab.book import say

DATA, HERE = Path("../data"), Path(tempfile.mkdtemp())
torch.set_num_threads(1)
plots.use_style()

# %% [markdown]
# ## By hand: clips that belong together
#
# A recogniser is tested on clips that it was not trained on. But clips are often cut from one
# recording: the same person, the same room. If some of them train the network and others test it,
# the test also rewards knowing the room. So the split is made over *sources*. Here are eight
# clips of four people, two of each:

# %%
clips = ["ann-1", "ann-2", "bob-1", "bob-2", "cleo-1", "cleo-2", "dan-1", "dan-2"]
right = np.array([1, 1, 0, 0, 1, 1, 1, 1])  # what some network says of them
other = np.array([1, 1, 1, 1, 1, 1, 0, 0])  # and another
people = [clip.split("-")[0] for clip in clips]
by_person = [np.mean((other - right)[np.array(people) == name]) for name in sorted(set(people))]
print("differences by person", *by_person)

# %% [markdown]
# Both are right in 6 of 8. How sure is it that they are equal? The two clips of a person always
# agree, so there are four observations and not eight. The standard error of the difference is
# larger when it is counted over people (with four, a t-interval runs past 100 points: they say nearly
# nothing):

# %%
for name, groups in (("clips", clips), ("people", people)):
    found = difference(other, right, groups)
    low, high = found.interval()
    print(f"over {name:6}: {found.mean:+.0f} points, 95 % from {low:+.0f} to {high:+.0f}")

# %% [markdown]
# ## The idea: a folder with a folder for each class
#
# We make such a folder. In the clips of this chapter a square moves over a still picture, to the
# left or to the right: one frame alone does not tell which. Six backgrounds are the sources. A clip
# has 24 frames, and only some of them show the square.


# %%
def write_clip(path, right, seed, source):
    """A square that walks to one side for a third of the clip."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng, ground = np.random.default_rng(seed), np.random.default_rng(1000 + source)
    picture = ground.integers(0, 140, (6, 8, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    begin, row = int(rng.integers(2, 14)), int(rng.integers(4, 32))
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", 12)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for t in range(24):
            frame, x = picture.copy(), 6 + 5 * (t - begin)
            if begin <= t < begin + 8:
                x = x if right else 54 - x
                frame[row : row + 12, max(x, 0) : x + 12] = 250
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        file.mux(stream.encode())


# %%
for k, name in enumerate(("left", "right")):
    for i in range(clips_a_class):
        write_clip(HERE / "videos" / name / f"room{i % 6}-{i:02}.avi", k, 100 * k + i, i % 6)
labelled = read_labelled(HERE / "videos", group="room[0-9]")
train_on, test_on = split_groups(labelled)
print(split_table(labelled, train_on, test_on))

# %% [markdown]
# Whole rooms are held back. To choose the split yourself, give a CSV file with the lines
# `file,label,split` in place of the folder.
#
# ## The library: fit
#
# On the command line this is
#
# ```
# fvlib fit videos --out model --group "room[0-9]" --weights none --width 8 --size 32 --epochs 6
# ```
#
# and here is the function behind it. What you do not ask for follows from the data, and each setting
# is shown with its reason, the time and the memory before the training starts. (The usual start is
# ImageNet's weights; interrupted, the same command goes on.) We ask for a small network and few epochs:

# %% tags=["nbval-ignore-output"]
small = {"weights": "none", "width": 8, "size": 32, "epochs": epochs}
fitted = fit(HERE / "videos", HERE / "model", group="room[0-9]", say=print, **small)
low, high = fitted.interval
print(f"{fitted.evaluation.top1:.0f} % right, 95 % from {low:.0f} to {high:.0f}")
assert len(fitted.test.files) == len(test_on)

# %% [markdown]
# Look at the interval (Wilson's, for two rooms): sixteen clips from two rooms say little, however many
# of them are right. The folder holds all that is needed to use the model elsewhere:

# %%
for path in sorted((HERE / "model").iterdir()):
    print(path.name)
print(json.loads((HERE / "model" / "config.json").read_text())["settings"]["clusters"], "clusters")

# %% [markdown]
# `report.html` opens in any browser and loads nothing: accuracy with its interval, the confusion of
# classes, and the most confident mistakes, each with its clusters.
#
# ### Scores over time
#
# The scores of a clip are the mean of those of its clusters, so they can be drawn over time: `fvlib
# predict model FILE --timeline`. Files of any length go through: they are decoded as they are needed.

# %% tags=["hide-input"]
video = fitted.test.files[0]
(found,) = predict(load_model(HERE / "model"), [video])
plots.show(
    pictures.timeline(found.edges, found.segment_scores, found.classes, "a held-back clip", "s"),
    "The share of each class in every cluster of a clip, over the seconds of the video.",
    "A stepped curve for each class over time, and a strip that names the largest share in each cluster",
    segments=len(found.sizes),
)
assert np.isclose(found.segment_logits.mean(0), found.logits, atol=1e-5).all()

# %% [markdown]
# Read them with care: the temporal shift carries neighbours into a cluster, and a network that was
# taught whole clips may be sure of a class where nothing happens, as where no square is seen here.

# %% [markdown]
# ### Do more frames help?
#
# `fvlib compare videos` trains five ways on the same folds, each as `fit` would: 8 frames, 16 frames,
# 8 uniform clusters, 8 cumulative clusters, and all frames, in pieces of 8 neighbours whose scores
# are averaged. It plans folds and epochs for the minutes that you give it, and ends with a decision
# by the rule of this book. What does a decision look like? Let one way be right where the other is,
# and in a tenth of the remaining clips too, on more and more clips:

# %%
rng = np.random.default_rng(0)
for count in (50, 400, 3200):
    few = rng.random(count) < 0.7
    more = few | (rng.random(count) < 0.1)
    ways = {"8 frames": few, "8 cumulative clusters": more}
    cost = {"8 frames": 1.0, "8 cumulative clusters": 1.6}
    sources = tuple(str(i // 4) for i in range(count))
    made_up = Comparison(ways, sources, cost, dict.fromkeys(ways, 0), delta=2.0)
    print(f"{count:5} clips: {made_up.decision()}\n")

# %% [markdown]
# With few clips the answer is that nobody can know yet, and a rough number of clips. It takes the
# difference found for the true one, so it is itself uncertain.
#
# ### On real clips
#
# The command on clips of ten classes of UCF-101, 15 of each, from random weights (`--weights none`), on
# one processor core. The clips cannot be shipped, so what it wrote is:

# %% tags=["hide-input"]
recorded = json.loads((DATA / "samples" / "compare-ucf.json").read_text("utf-8"))
say(
    "{clips} clips of {sources} sources: *{decision}*\n\n{table}",
    **{name: recorded[name] for name in ("clips", "sources", "decision")},
    table=book.table(HEADS, told(recorded["ways"]), left=1),
)

# %% [markdown]
# Chance is one in ten, so the ways can hardly be told apart. More clips alone may not help: take
# pretrained weights or more minutes first.
#
# ## Paper and measured: when is it worth it?
#
# The book's own experiments give hints, from made-up videos of 32 frames and small networks; in longer
# clips clusters cost more, since every frame passes the front. All rows below learned from the same
# clips of Move4MNIST; a name has the number of frames or clusters. The table has the difference from
# eight sampled frames, with its interval:

# %% tags=["hide-input"]
from lab import claims

lines = []
for experiment, clips_there in (("table1", 180), ("table1_360", 360)):
    found = records.select(DATA / "records", experiment, scale="small", data="real")
    rows = {row: [one for one in found if one.row == row] for row in {one.row for one in found}}
    for row in ("tsm-32", "uniform-8", "slope-8", "cumulative-8"):
        if len(rows.get(row, [])) > 1:
            gain = claims.gain(rows[row], rows["tsm-8"], "clustered")
            cost = rows[row][0].cost["macs"] / rows["tsm-8"][0].cost["macs"]
            lines.append([clips_there, f"`{row}`", f"{gain}", f"{cost:.1f}"])
heads = ["training clips", "row", "points over `tsm-8` [95 %]", "times its multiply-adds"]
say("{table}", table=book.table(heads, lines, left=2))

# %% [markdown]
# From these and from chapters [08](08_breakfast.ipynb), [09](09_ucf_hmdb.ipynb) and
# [11](11_any_length.ipynb):
#
# | your clips | what to try first |
# |---|---|
# | one frame tells the class (scenes, objects) | a few sampled frames |
# | the telling moment is short, and anywhere | frames chosen by motion, then clusters: `slope` if there are fewer changes than clusters |
# | few clips to learn from | `slope` clusters (uniform ones did not clearly help with 120 clips) |
# | clips of minutes or more | clusters in chunks: memory does not grow with the video (accuracy not tested) |
# | more changes than clusters | more clusters, or all frames |
# | nobody knows | `fvlib compare` |
#
# ## What could be wrong
#
# - **The interval counts sources, not trainings.** Every way is trained once per fold. How much two
#   trainings differ is not in it; with few clips that may be as much.
# - **Frames are squeezed to squares**, and small ones. Where a class depends on a detail, ask for a
#   larger `--size`.
# - **From random weights little is learned from a hundred clips.** Weights of ImageNet, or of a TSM
#   checkpoint (`--weights FILE`), are worth trying first.
#
# ## In short
#
# - A folder with a folder for each class is enough; you only have to say what names a source.
# - `fit` gives a model with an honest test; `predict` draws the scores of every cluster over time.
# - `compare` decides, or gives a rough number of clips that would.
#
# ## Exercises
#
# 1. Split the clips of this chapter into three folds. How many rooms does each test?
# 2. In the example by hand, let every person have ten clips that agree. What happens to the two
#    intervals?
#
# Solutions: [solutions/14_your_videos.ipynb](solutions/14_your_videos.ipynb).

# %% [markdown]
# <!-- navigation -->
# [← 13 · What holds?](13_verdict.ipynb) · [Contents](00_start_here.ipynb)
