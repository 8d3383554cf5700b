"""The optimiser, the loop, exact resumption, and the parameters of a run."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fvlib.clustering import TemporalClustering
from fvlib.datasets import InMemory, TrainTransform
from fvlib.models import tsm_resnet
from fvlib.training import Recipe, deterministic, parameter_groups, train
from fvlib.training.loop import read_state, save_atomically
from lab.building import build_network
from lab.recipes import parameters_of

RECIPES = Path(__file__).parents[2] / "data" / "recipes.toml"
CLASSES = ["left", "right", "up", "down"]


def toy_clips(clips=12, t=4, size=32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    videos = torch.randint(0, 255, (clips, t, 1, size, size), generator=generator)
    return InMemory(videos.to(torch.uint8), torch.arange(clips) % 4)


def videos_of(clips):
    """Clips of one length side by side."""
    return clips.frames.unflatten(0, (len(clips), -1))


def toy_network(seed=0, **options):
    torch.manual_seed(seed)
    usual = {"dropout": 0.5, "clustering": TemporalClustering("cumulative", 2), "width": 4}
    return tsm_resnet(18, 4, in_channels=1, **usual | options)


RECIPE = Recipe(epochs=3, batch_size=4, lr=0.02)


def weights(model):
    return torch.cat([value.flatten().double() for value in model.state_dict().values()])


def fit(model, clips=None, recipe=RECIPE, **options):
    return train(model, clips or toy_clips(), recipe, **{"seed": 1, "classes": CLASSES, **options})


# --- optimiser ------------------------------------------------------------------------------------


def test_parameter_groups_are_those_of_tsm():
    model = toy_network()
    groups = {g["name"]: g for g in parameter_groups(model, lr=0.1, weight_decay=0.5)}
    settings = {name: (g["lr"], g["weight_decay"]) for name, g in groups.items()}
    assert settings == {
        "weight": (0.1, 0.5),
        "norm": (0.1, 0.0),
        "fc_weight": (0.5, 0.5),
        "fc_bias": (1.0, 0.0),
    }
    assert groups["fc_weight"]["params"] == [model.fc.weight]
    assert len(groups["norm"]["params"]) == 40
    assert sum(len(g["params"]) for g in groups.values()) == len(list(model.parameters()))


def test_a_bias_of_a_convolution_learns_twice_as_fast_and_does_not_decay():
    layer = torch.nn.Conv2d(1, 1, 1)
    (weight, bias) = parameter_groups(torch.nn.Sequential(layer), lr=1.0, weight_decay=0.1)
    assert (bias["lr"], bias["weight_decay"], bias["params"]) == (2.0, 0.0, [layer.bias])
    assert weight["params"] == [layer.weight]


def test_frozen_parameters_are_in_no_group():
    model = toy_network(batchnorm="frozen").train()
    assert "norm" not in {g["name"] for g in parameter_groups(model, 0.1, 0.1)}


def rates(recipe, clips):
    """The rate of the convolutions in each step, read from the optimiser while it trains."""
    seen = []
    model = toy_network()
    step = torch.optim.SGD.step

    def spy(self, *args, **kwargs):
        seen.append(self.param_groups[0]["lr"])
        return step(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.SGD, "step", spy)
        fit(model, clips, recipe)
    return seen


def test_schedules():
    clips = toy_clips(4)  # one step an epoch
    step = Recipe(epochs=4, batch_size=4, lr=0.1, schedule="step", lr_steps=[1, 3])
    assert rates(step, clips) == pytest.approx([0.1, 0.01, 0.01, 0.001])
    cosine = Recipe(epochs=4, batch_size=4, lr=0.1, schedule="cosine")
    expected = [0.05 * (1 + np.cos(np.pi * i / 4)) for i in range(4)]
    assert rates(cosine, clips) == pytest.approx(expected)
    cycle = rates(Recipe(epochs=10, batch_size=4, lr=0.1, schedule="onecycle"), clips)
    assert max(cycle) == pytest.approx(0.1)
    assert cycle[0] == pytest.approx(0.1 / 25)
    assert cycle[-1] < 1e-4


# --- loop -----------------------------------------------------------------------------------------


def test_training_learns_what_a_single_frame_shows():
    videos = torch.zeros(32, 4, 1, 32, 32, dtype=torch.uint8)
    targets = torch.arange(32) % 4
    for i, target in enumerate(targets):
        videos[i, :, :, 8 * target : 8 * target + 8] = 255
    recipe = Recipe(epochs=12, batch_size=8, lr=0.02, schedule="onecycle")
    history = fit(toy_network(dropout=0.0), InMemory(videos, targets), recipe)
    assert history.train_loss[0] > 1.0 > 0.2 > history.train_loss[-1]
    assert history.train_top1[-1] == 100


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    first, again, other = toy_network(), toy_network(), toy_network()
    fit(first)
    torch.manual_seed(99)  # whatever the state of the caller
    fit(again)
    fit(other, seed=2)
    assert torch.equal(weights(first), weights(again))
    assert not torch.equal(weights(first), weights(other))


def test_the_callers_random_numbers_are_not_touched():
    model = toy_network()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(model)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("stop", [1, 2])
def test_a_run_that_stops_after_an_epoch_goes_on_to_the_same_weights(tmp_path, stop):
    whole, broken, resumed = toy_network(), toy_network(), toy_network(seed=7)
    recipe = Recipe(epochs=3, frames=2, batch_size=4, lr=0.02, schedule="onecycle")
    expected = fit(whole, recipe=recipe)

    class Stop(Exception):
        pass

    def interrupt(epoch, model, history):
        if epoch + 1 == stop:
            raise Stop

    with pytest.raises(Stop):
        fit(broken, recipe=recipe, checkpoint=tmp_path / "run.pt", after_epoch=interrupt)
    history = fit(resumed, recipe=recipe, checkpoint=tmp_path / "run.pt")
    assert torch.equal(weights(whole), weights(resumed))
    assert history.train_loss == expected.train_loss


KILLED = """
    import sys, time
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    import torch
    torch.set_num_threads(1)
    import test_training as t
    clips = t.toy_clips(64)
    class Slow:
        lengths, targets = clips.lengths, clips.targets
        def __len__(self): return len(clips)
        def read(self, i, frames):
            time.sleep({pause})
            return clips.read(i, frames)
    model = t.toy_network()
    t.fit(model, Slow(), t.RECIPE, checkpoint=Path({checkpoint!r}))
    torch.save(t.weights(model), {out!r})
"""


@pytest.mark.process
def test_kill_9_in_mid_epoch_and_resume_gives_identical_weights(tmp_path):
    def start(checkpoint, out, pause):
        code = textwrap.dedent(KILLED).format(
            tests=str(Path(__file__).parent),
            checkpoint=str(tmp_path / checkpoint),
            out=str(tmp_path / out),
            pause=pause,
        )
        return subprocess.Popen([sys.executable, "-c", code])

    assert start("whole.pt", "whole", 0).wait() == 0
    victim = start("killed.pt", "killed", 0.025)  # 64 clips an epoch: 1.6 s
    deadline = time.monotonic() + 300  # of a machine with much else to do
    while not (tmp_path / "killed.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.5)
    os.kill(victim.pid, signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed").exists()
    reached = torch.load(tmp_path / "killed.pt")["epoch"]
    assert 1 <= reached < RECIPE.epochs
    assert start("killed.pt", "killed", 0).wait() == 0
    assert torch.equal(torch.load(tmp_path / "whole"), torch.load(tmp_path / "killed"))


def test_epochs_without_clustering_come_first():
    seen = []
    model = toy_network()
    model.register_forward_pre_hook(
        lambda m, args, kwargs: seen.append((args[0].shape[1], kwargs["cluster"])), with_kwargs=True
    )
    recipe = Recipe(epochs=3, batch_size=12, warmup_epochs=2, warmup_frames=2)
    fit(model, recipe=recipe)
    assert seen == [(2, False), (2, False), (4, True)]


def test_a_loss_that_is_not_finite_stops_with_step_and_clips():
    clips = toy_clips()
    model = toy_network()
    with torch.no_grad():
        model.fc.bias.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match=r"loss is nan in step 0 of epoch 1, clips \[\d+"):
        fit(model, clips)


@pytest.mark.parametrize("kind", ["weight", "statistic"])
def test_weights_that_are_no_numbers_are_never_saved(tmp_path, kind, monkeypatch):
    """The last step may ruin them: no loss comes behind it."""
    model, recipe = toy_network(), replace(RECIPE, epochs=2, grad_clip=None)
    ruined = model.layer1[0].conv1.weight if kind == "weight" else model.bn1.running_var
    step, steps = torch.optim.SGD.step, []

    def ruin(self, *args, **kwargs):
        step(self, *args, **kwargs)
        steps.append(self)
        if len(steps) == 6:  # of 12 clips by 4, the last step of the second epoch
            ruined.data[0] = float("nan" if kind == "weight" else "inf")

    name = r"layer1\.0\.conv1\.weight" if kind == "weight" else r"bn1\.running_var"
    message = f"{name} is not finite at the end of epoch 2, of which nothing is saved; a smaller lr"
    path = tmp_path / "run.pt"
    monkeypatch.setattr(torch.optim.SGD, "step", ruin)
    with pytest.raises(FloatingPointError, match=message):
        fit(model, recipe=recipe, checkpoint=path)
    state = torch.load(path, weights_only=True)
    assert state["epoch"] == 1
    assert all(value.isfinite().all() for value in state["model"].values())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seed": -1}, "seed is -1; wanted a whole number of 0 or more"),
        ({"seed": 1.0}, "seed is 1.0; wanted a whole number"),
        ({"seed": True}, "seed is True; wanted a whole number"),
        ({"workers": -1}, "workers is -1; wanted a whole number of 0 or more"),
        ({"classes": ["a", "b", "c"]}, "clip 3 is of class 3, and there are 3 classes"),
        ({"clips": torch.zeros(4, 2, 1, 8, 8)}, "clips are of type Tensor, without lengths"),
        ({"clips": InMemory(torch.zeros(0, 2, 1, 8, 8), np.zeros(0, int))}, "there are no clips"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_arguments_that_cannot_be_meant_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        train(
            **{
                "model": toy_network(),
                "clips": toy_clips(),
                "recipe": RECIPE,
                "seed": 1,
                "classes": CLASSES,
                **wrong,
            }
        )


def test_a_set_may_be_held_or_generated():
    """Whatever gives the same clips gives the same weights."""
    held = toy_clips()

    class Generated:
        lengths, targets = held.lengths, held.targets

        def __len__(self):
            return len(held)

        def read(self, i, frames):
            return held.read(i, frames)

    recipe = replace(RECIPE, epochs=1, frames=2)
    found = []
    for clips, workers in ((held, 0), (Generated(), 0), (held, 2)):
        model = toy_network()
        fit(model, clips, recipe, workers=workers)
        found.append(weights(model))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.parametrize(
    "change",
    [{"seed": 2}, {"classes": ["a", "b", "c", "d"]}, {"recipe": Recipe(epochs=4, batch_size=4)}],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, change):
    fit(toy_network(), checkpoint=tmp_path / "run.pt")
    with pytest.raises(ValueError, match=f"belongs to another run: {next(iter(change))} is"):
        fit(toy_network(), checkpoint=tmp_path / "run.pt", **change)


@pytest.mark.parametrize(
    ("options", "clips", "why"),
    [
        ({"clustering": TemporalClustering("cumulative", 3)}, 12, "clustering is .*g=2.* g=3"),
        ({}, 16, "clips is 12, [0-9a-f]{16}, wanted 16, "),
        ({"width": 8}, 12, r"its network is another \(Error.* loading state_dict"),
    ],
)
def test_a_checkpoint_of_another_network_or_of_other_clips_is_refused(
    tmp_path, options, clips, why
):
    path, recipe = str(tmp_path / "run.pt"), replace(RECIPE, epochs=1)
    history = fit(toy_network(), recipe=recipe, checkpoint=path)
    assert fit(toy_network(seed=7), recipe=recipe, checkpoint=path) == history
    with pytest.raises(ValueError, match=f"run.pt belongs to another run: {why}"):
        fit(toy_network(**options), toy_clips(clips), recipe, checkpoint=path)


def test_what_an_older_checkpoint_does_not_note_may_be_the_same(tmp_path):
    path, recipe = tmp_path / "run.pt", replace(RECIPE, epochs=1)
    history = fit(toy_network(), recipe=recipe, checkpoint=path)
    state = read_state(path)
    del state["identity"]["clustering"], state["identity"]["clips"]
    save_atomically(state, path)
    assert fit(toy_network(), recipe=recipe, checkpoint=path) == history


def test_a_checkpoint_with_a_bit_that_flipped_is_refused(tmp_path):
    path, recipe = tmp_path / "run.pt", replace(RECIPE, epochs=1)
    fit(toy_network(), recipe=recipe, checkpoint=path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"run\.pt \(\d+ bytes\) is damaged.* checksum of "):
        fit(toy_network(), recipe=recipe, checkpoint=path)


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    save_atomically({"epoch": 1}, path)

    def full_disk(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_atomically({"epoch": 2}, path)
    assert torch.load(path) == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"batch_size": 0}, {"schedule": "linear"}, {"flip": "left", "crop": 8}]
)
def test_recipes_that_cannot_work_are_refused(wrong, unchecked):
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        Recipe(**{"epochs": 1, **wrong})


class Watching(torch.nn.Module):
    """Keeps what it is shown, and guesses from the mean of every frame's columns."""

    def __init__(self, side):
        super().__init__()
        self.fc = torch.nn.Linear(side, 4)
        self.seen = []

    def forward(self, x, lengths=None, *, cluster=True):
        self.seen += x
        return self.fc((x / 255).mean((1, 2, 3)))


MIRROR = Recipe(epochs=1, batch_size=4, autocast=False, crop=32, crop_scales=(1.0,), flip="always")


def test_the_released_flip_mirrors_move4mnist():
    toy = toy_clips(clips=16)
    clips = InMemory(videos_of(toy), toy.targets, name="Move4MNIST")
    model = Watching(32)
    fit(model, clips, MIRROR)
    seen = {tuple(x.flatten().tolist()) for x in model.seen}  # a crop of 32 of 32 pixels is all
    mirrored = [tuple(x.flip(-1).flatten().tolist()) in seen for x in videos_of(clips)]
    plain = [tuple(x.flatten().tolist()) in seen for x in videos_of(clips)]
    assert [a != b for a, b in zip(mirrored, plain, strict=True)] == [True] * 16
    assert 3 <= sum(mirrored) <= 13
    rule = TrainTransform("Move4MNIST", 32, (1.0,), "always")
    expected = rule(videos_of(clips), np.arange(16), seed=1, epoch=0)
    assert {tuple(x.flatten().tolist()) for x in expected} == seen


@pytest.mark.parametrize(
    ("name", "flip", "message"),
    [
        ("Move4MNIST", True, "mirror images"),
        ("", True, "do not say of which data set"),
    ],
)
def test_flips_where_left_and_right_are_or_may_be_classes_are_refused(name, flip, message):
    toy = toy_clips()
    clips = InMemory(videos_of(toy), toy.targets, name=name)
    with pytest.raises(ValueError, match=message):
        fit(Watching(32), clips, replace(MIRROR, flip=flip))


def test_clips_without_a_name_are_cropped():
    model = Watching(24)
    fit(model, recipe=replace(MIRROR, crop=24, flip=False))
    assert {x.shape for x in model.seen} == {(4, 1, 24, 24)}


# --- recipes --------------------------------------------------------------------------------------


def test_parameters_are_resolved_from_common_scale_and_row():
    found, version = parameters_of(RECIPES, "table1", "cumulative-8", "small", "real", epochs=90)
    assert version >= 1
    assert found.depth == 18
    assert found.width == 8
    assert (found.method, found.clusters, found.empty) == ("cumulative", 8, "split")
    assert (found.scale, found.data, found.epochs) == ("small", "real", 90)


def test_the_rows_of_table_1_differ_in_frames_and_clusters_alone():
    rows = ["tsm-8", "tsm-16", "tsm-32", "uniform-8", "slope-16", "cumulative-16-keep"]
    for scale in ("smoke", "small", "paper"):
        common = []
        for row in rows:
            found = parameters_of(RECIPES, "table1", row, scale, "embedded")[0].stated()
            for key in ("frames", "method", "clusters", "empty"):
                found.pop(key, None)
            common.append(found)
        assert all(found == common[0] for found in common)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"experiment": "table9"},
            "unknown experiment: 'table9'; there is pretrain, table1",
        ),
        ({"row": "tsm-9"}, "unknown row of table1: 'tsm-9'; there is tsm-8"),
        ({"scale": "big"}, "unknown scale of table1: 'big'; there is smoke, small, paper"),
        ({"epoch": 3}, "table1, row tsm-8, scale smoke: unknown key epoch; did you mean epochs"),
    ],
)
def test_unknown_names_are_refused(change, message):
    place = {"experiment": "table1", "row": "tsm-8", "scale": "smoke", "data": "embedded"}
    settings = {key: value for key, value in change.items() if key not in place}
    with pytest.raises(ValueError, match=message):
        parameters_of(RECIPES, *[change.get(*one) for one in place.items()], **settings)


def test_setting_repeats_table_1_on_validation_clips():
    found, _ = parameters_of(RECIPES, "setting", "tsm-8-180", "small", "real")
    table1, _ = parameters_of(RECIPES, "table1", "tsm-8", "small", "real")
    assert found == replace(table1, test_split="validation", test_clips=1000, test_seed=0)


LIKE = """
    [table2]
    version = 3
    common = { depth = 18, dataset = "breakfast", crop = 64, lr = 0.1, flip = true, test_crops = 3 }
    scale.small = { epochs = 5, width = 8 }
    scale.paper = { epochs = 50 }
    rows.a = { frames = 8 }
    rows.b = { frames = 16 }

    [table5]
    like = "table2"
    version = 1
    common = { flip = false }
    scale.small = { width = 4 }
    scale.smoke = { epochs = 1 }

    [table5_null]
    like = "table5"
    version = 2
    common = { null = true }
    scale.small = { epochs = 6 }
    rows.a = { frames = 2, lr = 0.3 }

    [epoch_time]
    like = "table5"
    version = 1
    common = { rounds = 1, timed_clips = 2, ways = { a = { frames = 2 } } }
    rows.all = {}

    [table3]
    like = "table4"
    version = 1

    [table4]
    like = "table3"
    version = 1

    [any_length]
    like = "fourth"
    version = 1
"""


def test_an_experiment_that_is_like_one_that_is_like_another(tmp_path):
    (tmp_path / "recipes.toml").write_text(LIKE)

    def found(experiment, row, scale):
        place = (tmp_path / "recipes.toml", experiment, row, scale, "embedded")
        values, version = parameters_of(*place)
        keys = ("epochs", "flip", "frames", "lr", "null", "width")
        return tuple(getattr(values, key) for key in keys), version

    assert found("table5", "b", "small") == ((5, False, 16, 0.1, False, 4), 1)
    assert found("table5_null", "a", "small") == ((6, False, 2, 0.3, True, 4), 2)
    # A scale of the first that the others leave alone, and one that the second adds.
    assert found("table5_null", "a", "paper")[0][0] == 50
    assert found("table5_null", "a", "smoke")[0][0] == 1
    assert found("table2", "a", "small") == ((5, True, 8, 0.1, False, 8), 3)
    # What an experiment does not take, it does not take over.
    assert found("epoch_time", "all", "small") == ((5, False, "all", 0.1, False, 4), 1)
    with pytest.raises(ValueError, match="unknown row of table5_null: 'b'; there is a"):
        found("table5_null", "b", "small")  # rows are taken as a whole
    with pytest.raises(ValueError, match="unknown scale of table2: 'smoke'"):
        found("table2", "a", "smoke")
    with pytest.raises(ValueError, match="unknown experiment: 'fourth'"):
        found("any_length", "a", "small")
    with pytest.raises(ValueError, match="table3 is like itself, by table3, table4"):
        found("table3", "a", "small")


def test_a_common_start_is_taken_over_but_for_the_last_layer():
    parameters, _ = parameters_of(RECIPES, "table1", "tsm-8", "small", "embedded")
    model = build_network(parameters, 4, RECIPES.parent)
    start = torch.load(RECIPES.parent / "samples" / "digits-embedded.pt")
    assert torch.equal(model.layer2[0].conv1.weight, start["layer2.0.conv1.weight"].float())
    assert model.fc.weight.shape == (4, 64)
    with pytest.raises(ValueError, match="python -m lab train pretrain"):
        build_network(parameters, 4, Path("nowhere"))


def test_a_published_checkpoint_starts_a_row(tmp_path):
    """Table 4's rows begin with TSM's file, whose classes and first stage's shift are others."""
    parameters, _ = parameters_of(RECIPES, "table4", "ucf101-cumulative-8", "paper", "real")
    small = replace(parameters, depth=18, width=8)
    with pytest.raises(
        ValueError, match=r"checkpoint .*segment8_e50\.pth is missing; its authors'"
    ):
        build_network(small, 101, tmp_path)
    published = tsm_resnet(18, 400, width=8, shift_stages=(1, 2, 3, 4))
    wanted = published.state_dict()
    state = {
        "module.new_fc." + name.removeprefix("fc.")
        if name.startswith("fc.")
        else "module.base_model." + re.sub(r"(layer\d\.\d\.conv1)\.", r"\1.net.", name): value
        for name, value in wanted.items()
    }
    path = tmp_path / parameters.weights
    path.parent.mkdir(parents=True)
    torch.save({"state_dict": state}, path)
    found = build_network(small, 101, tmp_path)
    assert found.fc.out_features == 101
    for name, value in found.state_dict().items():
        assert name.startswith("fc.") or torch.equal(value, wanted[name])


# --- clips of any length --------------------------------------------------------------------------


def film(lengths=(9, 6, 7, 12)):
    shape = (sum(lengths), 1, 32, 32)
    frames = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0))
    targets = np.arange(len(lengths)) % 4
    return InMemory(frames.to(torch.uint8), targets, np.array(lengths), name="film")


def test_statistics_in_front_of_the_clusters_stand_still_after_the_warm_up():
    model, states = toy_network(chunk=4), []
    recipe = replace(RECIPE, warmup_epochs=2, warmup_frames=2, early_statistics="running")

    def look(epoch, model, history):
        state = {name: value.clone() for name, value in model.state_dict().items()}
        states.append((model.early_statistics, state))

    fit(model, film(), recipe, after_epoch=look)
    (first, _), (_, before), (last, after) = states
    assert (first, last) == ("batch", "running")
    for name in ("bn1.running_mean", "layer1.1.bn2.running_var", "bn1.num_batches_tracked"):
        assert torch.equal(before[name], after[name])
    for name in ("layer2.0.bn1.running_mean", "bn1.weight", "conv1.weight"):
        assert not torch.equal(before[name], after[name])


def test_a_stream_trains_as_a_tensor_does():
    recipe = replace(RECIPE, warmup_epochs=1, early_statistics="running", crop=32, autocast=False)
    trained = []
    for stream in (False, True):
        model = toy_network(chunk=4, dropout=0.0).double()
        fit(model, film(), replace(recipe, stream=stream))
        trained.append(weights(model))
    torch.testing.assert_close(*trained, rtol=1e-9, atol=1e-12)


def test_windows_are_what_the_network_sees_of_long_clips():
    seen = []
    model = toy_network()
    model.register_forward_pre_hook(lambda m, args: seen.append(args[0].shape[:2]))
    fit(model, film(), replace(RECIPE, window=3))
    assert seen == 3 * [(4, 3)]


def test_a_stream_of_a_few_frames_is_refused():
    with pytest.raises(ValueError, match="stream wants frames='all' and padding='exact'"):
        Recipe(epochs=1, frames=8, stream=True)


# --- the same bits every time ---


def test_deterministic_holds_for_its_block(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    for before in (False, True):
        monkeypatch.setattr(torch.backends.cudnn, "benchmark", before)
        with deterministic(False):
            assert not torch.are_deterministic_algorithms_enabled()
        with suppress(KeyError), deterministic():
            assert torch.are_deterministic_algorithms_enabled()
            assert not torch.backends.cudnn.benchmark
            assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
            raise KeyError
        assert not torch.are_deterministic_algorithms_enabled()
        assert torch.backends.cudnn.benchmark == before
