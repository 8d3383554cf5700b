"""Two processes that train one network do what one process does with the same batches.

The file is a script too: each of the two processes runs all cases once and leaves what came out,
which the tests compare with the same cases in this process.
"""

import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from fvlib import distributed
from fvlib.clustering import TemporalClustering
from fvlib.datasets import InMemory
from fvlib.evaluation import Protocol, evaluate
from fvlib.models import tsm_resnet
from fvlib.training import Recipe, train
from fvlib.training.loop import save_atomically
from lab import records
from lab.__main__ import main
from lab.experiments import run
from lab.systems.heads import FeatureClassifier, FrameHead
from lab.systems.memory_efficient import CheckpointedResNet

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
CLASSES = ["left", "right", "up", "down"]
# Seven clips in batches of four: 2 + 2, then 2 + 1. With five the last batch is one clip alone.
LENGTHS = (9, 6, 7, 12, 5, 8, 6)
RECIPE = Recipe(epochs=1, batch_size=4, lr=0.02, autocast=False)


def film(lengths=LENGTHS):
    shape = (sum(lengths), 1, 32, 32)
    frames = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0))
    targets = np.arange(len(lengths)) % 4
    return InMemory(frames.to(torch.uint8), targets, np.array(lengths), name="film")


def network(**options):
    torch.manual_seed(0)
    clustering = TemporalClustering("cumulative", 3)
    options = {"dropout": 0.0, "clustering": clustering, "width": 8, **options}
    return tsm_resnet(18, 4, in_channels=1, **options).double()


class Looking(torch.nn.Module):
    """A head on tiny frames as they are, each pixel a channel."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.head = FeatureClassifier(FrameHead(64, 4, hidden=16, dropout=(0.0, 0.0)))

    def forward(self, x, lengths=None, *, cluster=True):
        small = torch.nn.functional.avg_pool2d(x.flatten(0, 2).double(), 4).flatten(1) / 255
        return self.head(small.view(*x.shape[:2], 64, 1, 1), lengths)


def checkpointed():
    model = network(clustering=None)
    torch.manual_seed(0)
    other = CheckpointedResNet(18, 4, width=8, in_channels=1, dropout=0.0).double()
    other.load_state_dict(model.state_dict())
    return other


FROZEN = partial(network, batchnorm="frozen")
DETACHED = replace(RECIPE, epochs=2, warmup_epochs=1, warmup_frames=4, early_statistics="detached")
# What two processes do as one does, since no batch decides what a layer does.
CASES = {
    "epochs": (FROZEN, LENGTHS, replace(RECIPE, epochs=2)),
    "float32": (lambda: FROZEN().float(), LENGTHS, RECIPE),
    "one clip left": (FROZEN, LENGTHS[:5], RECIPE),
    "several passes": (FROZEN, LENGTHS, replace(RECIPE, frame_budget=24)),
    "filled up": (FROZEN, LENGTHS[:5], replace(RECIPE, padding="last")),
    "a few frames": (lambda: FROZEN(clustering=None), LENGTHS, replace(RECIPE, frames=4)),
    "chunks": (lambda: FROZEN(chunk=5), LENGTHS[:5], DETACHED),
    "streams": (lambda: FROZEN(chunk=5), LENGTHS, replace(DETACHED, stream=True)),
}
# On CPUs BatchNorm sees its own process's share.
APART = {
    "batchnorm": (network, LENGTHS, replace(RECIPE, epochs=2)),
    "detached": (network, LENGTHS, DETACHED),
    "made again": (checkpointed, LENGTHS[:5], RECIPE),
    "head": (lambda: Looking().double(), LENGTHS[:5], RECIPE),
}


def fit(make, lengths, recipe, **options):
    model = make()
    history = train(model, film(lengths), recipe, seed=1, classes=CLASSES, **options)
    return model, history


def case(name):
    model, history = fit(*(CASES | APART)[name])
    return {"weights": model.state_dict(), "loss": history.train_loss, "top1": history.train_top1}


PROTOCOLS = {
    "clustered": (Protocol.clustered(), {"batch_size": 2}),
    "two views": (Protocol(3, False, views=2), {"batch_size": 2}),
    "by budget": (Protocol.clustered(), {"frame_budget": 13}),
    "one batch": (Protocol.clustered(), {"batch_size": 16}),
}


def measured(name):
    protocol, options = PROTOCOLS[name]
    return evaluate(network(), film(), protocol, autocast=False, **options)


SMOKE = {"scale": "smoke", "data": "embedded", "seed": 0, "recipes": ROOT / "data/recipes.toml"}


TSM = "table1/smoke-embedded-tsm-8-s0"


class Stop(Exception):
    pass


def stop_after_one(epoch, model, history):
    raise Stop


def session(out):
    """What each of the processes does: a command first, then the cases."""
    row = ["table1", "--row", "tsm-8", "--world", "2", "--out", str(out / "command")]
    assert main(["train", *row]) == 0
    with distributed.init_group("cpu", 2) as device:
        rank, found = distributed.rank(), {"device": str(device), "world": distributed.world()}
        found["cases"] = {name: case(name) for name in CASES | APART}
        found["measured"] = {name: measured(name) for name in PROTOCOLS}

        found["shares"] = [tuple(distributed.share(np.arange(n))) for n in (1, 2, 3, 5)]
        items = [10 * item for item in distributed.shard(range(5))]
        found["collected"] = distributed.gather(items)
        found["first"] = distributed.from_rank_zero(lambda: f"made by {rank}")
        found["total"] = (
            distributed.all_reduce_sum(rank + 1, 0.5),
            distributed.all_reduce_max(3 - rank),
        )
        with distributed.in_turn():
            made = out / "turns.txt"
            made.write_text((made.read_text() if made.exists() else "") + str(rank))
        save_atomically({"rank": rank}, out / f"saved-{rank}.pt")

        kept = out / "two.pt"
        try:
            fit(*CASES["epochs"], checkpoint=kept, after_epoch=stop_after_one)
        except Stop:
            distributed.all_reduce_sum(0)
            found["stopped"] = torch.load(kept)["epoch"]
        model, history = fit(*CASES["epochs"], checkpoint=out / "one.pt")
        found["resumed"] = model.state_dict(), history.train_loss

        model = network(clustering=TemporalClustering("cumulative", 3, adaptive=True))
        try:
            train(model, film(), RECIPE, seed=1, classes=CLASSES)
        except ValueError as error:
            found["adaptive"] = str(error)
        try:
            run("facts", "all", folder=out / "records", **SMOKE)
        except ValueError as error:
            found["alone"] = str(error)
        found["path"] = run("table2", "cumulative-8", folder=out / "records", **SMOKE)
        found["again"] = run("table2", "cumulative-8", folder=out / "records", **SMOKE)
        torch.save(found, out / f"{rank}.pt")


# ---- the tests ----


def environment():
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}


def torchrun(*arguments, timeout):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", *map(str, arguments)]
    options = {"env": environment(), "cwd": ROOT, "capture_output": True, "text": True}
    return subprocess.run(command, **options, timeout=timeout)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """What came out in each of the two processes, and the folder that they wrote to."""
    out = tmp_path_factory.mktemp("session")
    with pytest.raises(Stop):
        fit(*CASES["epochs"], checkpoint=out / "one.pt", after_epoch=stop_after_one)
    done = torchrun(__file__, out, timeout=1800)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(out / "command" / f"{TSM}.json")]  # said by one of them
    found = [torch.load(out / f"{rank}.pt", weights_only=False) for rank in range(2)]
    return found, out


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As in the two processes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def assert_same(found, wanted, **tolerance):
    assert found.keys() == wanted.keys()
    for name in wanted:
        explain = partial("{}: {}".format, name)
        torch.testing.assert_close(found[name], wanted[name], msg=explain, **tolerance)


@pytest.mark.parametrize("name", list(CASES))
def test_two_processes_train_as_one_does(both, name):
    alone = case(name)
    single = next(iter(alone["weights"].values())).dtype == torch.float32
    exact = {"rtol": 1e-5, "atol": 1e-5} if single else {"rtol": 1e-10, "atol": 1e-10}
    for found in both[0]:
        found = found["cases"][name]
        assert_same(found["weights"], alone["weights"], **exact)
        assert found["loss"] == pytest.approx(alone["loss"], rel=exact["rtol"])
        assert found["top1"] == alone["top1"]


@pytest.mark.parametrize("name", list(CASES | APART))
def test_all_processes_end_in_the_same_network(both, name):
    first, second = (found["cases"][name] for found in both[0])
    assert_same(first["weights"], second["weights"], rtol=0, atol=0)
    assert first["loss"] == second["loss"]


def test_on_cpus_each_process_has_its_own_batch(both):
    found, alone = both[0][0]["cases"]["batchnorm"], case("batchnorm")
    assert abs(found["loss"][0] / alone["loss"][0] - 1) > 1e-4


@pytest.mark.parametrize("name", list(PROTOCOLS))
def test_every_clip_is_tested_once_and_as_by_one_process(both, name):
    alone = measured(name)
    for found in both[0]:
        found = found["measured"][name]
        assert np.array_equal(found.target, alone.target)
        assert np.array_equal(found.prediction, alone.prediction)
        assert np.array_equal(found.scores, alone.scores)


def test_a_training_goes_on_with_another_number_of_processes(both, tmp_path):
    found, out = both
    alone = case("epochs")
    assert [one["stopped"] for one in found] == [1, 1]
    for weights, loss in (one["resumed"] for one in found):  # one process, then two
        assert_same(weights, alone["weights"], rtol=1e-10, atol=1e-10)
        assert loss == pytest.approx(alone["loss"], rel=1e-10)
    model, history = fit(*CASES["epochs"], checkpoint=out / "two.pt")  # two, then one
    assert_same(model.state_dict(), alone["weights"], rtol=1e-10, atol=1e-10)
    assert history.train_loss == pytest.approx(alone["loss"], rel=1e-10)


def test_what_processes_tell_one_another(both):
    found, out = both
    assert [(one["device"], one["world"]) for one in found] == [("cpu", 2)] * 2
    for i, n in enumerate((1, 2, 3, 5)):
        shares = [one["shares"][i] for one in found]
        assert sorted(np.concatenate([clips for clips, counts in shares if counts])) == [*range(n)]
        assert all(len(clips) for clips, _ in shares)
        assert shares[0][1]
    for one in found:
        assert one["collected"] == [0, 10, 20, 30, 40]
        assert one["first"] == "made by 0"
        assert one["total"] == ([3.0, 1.0], 3)
    assert (out / "turns.txt").read_text() == "01"
    assert sorted(path.name for path in out.glob("saved-*")) == ["saved-0.pt"]


def test_what_cannot_be_done_together_is_refused(both):
    for one in both[0]:
        assert "shares out the clusters of a batch, which 2 processes do not see" in one["adaptive"]
        assert "facts is an experiment for one process, and there are 2" in one["alone"]


def test_a_run_of_two_processes_has_one_record(both):
    found, out = both
    record = records.read(found[0]["path"])
    assert {one[key] for one in found for key in ("path", "again")} == {record.path}
    assert record.machine["processes"] == 2
    assert records.read(out / "command" / f"{TSM}.json").machine["processes"] == 2
    alone = records.read(run("table2", "cumulative-8", folder=out / "alone", **SMOKE))
    assert alone.machine["processes"] == 1
    assert {name: x.shape for name, x in record.arrays.items()} == {
        name: x.shape for name, x in alone.arrays.items()
    }
    for name in ("target", "train_top1"):
        assert np.array_equal(record.arrays[name], alone.arrays[name]), name


FAILING = """
    from fvlib import distributed
    with distributed.init_group():
        if distributed.rank():
            raise OSError("the disk of this process is gone")
        distributed.all_reduce_sum(0)  # waits for the other
        print("never reached")
"""


def test_a_process_that_fails_ends_all_of_them(tmp_path):
    script = tmp_path / "failing.py"
    script.write_text(textwrap.dedent(FAILING))
    done = torchrun(script, timeout=300)  # far less than the processes' patience
    assert done.returncode != 0
    assert "the disk of this process is gone" in done.stderr
    assert "never reached" not in done.stdout


@pytest.mark.parametrize(
    ("started", "wrong", "message"),
    [
        (1, {"world": 2}, "world is 2, but 1 processes were started; start as many with torchrun"),
        (2, {"world": 3}, "world is 3, but 2 processes were started"),
        (2, {"device": "cuda:1"}, "device is cuda:1 for several processes; give cuda without"),
        (2, {"device": "cuda"}, "process 99 of this machine finds [0-9]+ GPUs; start one process"),
    ],
)
def test_another_number_of_processes_or_gpus_is_refused(monkeypatch, started, wrong, message):
    monkeypatch.setenv("WORLD_SIZE", str(started))
    monkeypatch.setenv("LOCAL_RANK", "99")
    with pytest.raises(ValueError, match=message), distributed.init_group(**wrong):
        pass


def test_alone_nothing_is_shared():
    with distributed.init_group("cpu", 1) as device:
        assert (device, distributed.world(), distributed.rank()) == (torch.device("cpu"), 1, 0)
    part = distributed.share(np.arange(3))
    assert (part.clips.tolist(), part.counts) == ([0, 1, 2], True)
    model = torch.nn.Linear(1, 1)
    assert distributed.replica(model) is model


if __name__ == "__main__":
    session(Path(sys.argv[1]))
