"""Runs that are killed, stopped, starved or doubled end as if nothing had happened."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from shutil import copy

import pytest
import torch

from fvlib.storage import holder, lock
from fvlib.training import loop
from lab import records
from lab.experiments import run
from lab.records.identity import note_of

RECIPES = """
[table1]
version = 1
[table1.common]
depth = 18
width = 4
in_channels = 1
stem_pool = false
resolution = 16
shift_stages = [2]
consensus = "mean"
timeline = "pooled"
test_split = "test"
autocast = false
dropout = 0.5
train_clips = 8
test_clips = 4
batch_size = 4
lr = 0.02
weight_decay = 5e-4
schedule = "cosine"
epochs = 4
[table1.scale.smoke]
[table1.rows]
cumulative-8 = { method = "cumulative", clusters = 8, empty = "split" }
long = { frames = 8, epochs = 500 }
"""
STEPS, EPOCHS = 2, 4  # steps an epoch
NAME = "table1/smoke-embedded-cumulative-8-s0"


def options_in(root):
    (root / "data").mkdir(parents=True, exist_ok=True)
    (root / "data" / "recipes.toml").write_text(RECIPES)
    options = {"scale": "smoke", "data": "embedded", "seed": 0}
    return options | {"recipes": root / "data" / "recipes.toml", "folder": root / "records"}


def made(root, row="cumulative-8", **options):
    """The run's record, and how many steps of training this call took."""
    with pytest.MonkeyPatch.context() as patch:
        taken = counted_steps(patch)
        record = records.read(run("table1", row, **{**options_in(root), **options}))
    return record, len(taken)


def counted_steps(patch, at=None, what=None):
    """A list that grows with each step of training; before step `at`, from 1, `what` is called."""
    taken, step = [], torch.optim.SGD.step

    def counted(self, *arguments, **options):
        taken.append(self)
        if len(taken) == at:
            what()
        return step(self, *arguments, **options)

    patch.setattr(torch.optim.SGD, "step", counted)
    return taken


def hidden(root):
    return [file for file in (root / "records").rglob(".*") if file.is_file()]


def require_clean(root):
    """Nothing but the record, its arrays, its log and the file of its lock."""
    folder = root / "records"
    files = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert files == {f"{NAME}.json", f"{NAME}.npz", f"logs/{NAME}.log", f"locks/{NAME}.lock"}
    log = (root / "records" / "logs" / f"{NAME}.log").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in log] == [1, 2, 3, 4]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The record of a run that nothing disturbed."""
    record, steps = made(tmp_path_factory.mktemp("whole"))
    assert steps == STEPS * EPOCHS
    return record


def require_same(record, whole):
    assert record.results == whole.results
    assert record.checksum == whole.checksum  # of the arrays, bit for bit
    assert record.parameters == whole.parameters


# --- killed ---

# A process that has been through a run. It makes a child for each piece of code, which is quick.
NURSERY = """
import os, signal, sys, tempfile, traceback
import torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[1])
import test_interruption as t
with tempfile.TemporaryDirectory() as folder:
    t.made(t.Path(folder))
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        try:
            exec(eval(line), {"t": t, "os": os, "signal": signal, "torch": torch})
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def nursery():
    """A function that runs code in a process of its own and gives its exit status."""
    command = [sys.executable, "-c", NURSERY, str(Path(__file__).parent)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        assert process.stdout.readline() == "ready\n"

        def execute(code):
            process.stdin.write(repr(code) + "\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        yield execute
        process.stdin.close()


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def die_in(module, name, call, before=True, ending="", first=lambda *_: None):
    """Let a function kill the process in its so-manyth call on a file name of this ending."""
    function, calls = getattr(module, name), []

    def lethal(*arguments):
        counts = str(arguments[-1]).endswith(ending)
        calls.extend([0] * counts)
        if before and counts and len(calls) == call:
            first(*arguments)
            die()
        result = function(*arguments)
        if counts and len(calls) == call:
            die()
        return result

    setattr(module, name, lethal)


def cut(handle):
    """Half of what was written is all that arrives."""
    os.ftruncate(handle, os.fstat(handle).st_size // 2)


MOMENTS = {  # hook: epochs that are kept then
    "t.counted_steps(t.pytest.MonkeyPatch(), 4, t.die)": 1,
    "import fvlib.training.loop as m; t.die_in(m, 'save_atomically', 2)": 1,
    # Five see whether there is room, two are of the note, one of the first checkpoint.
    "t.die_in(os, 'fsync', 9, first=t.cut)": 1,
    "t.die_in(os, 'replace', 3, ending='.pt')": 2,
    "t.die_in(os, 'replace', 3, before=False, ending='.pt')": 3,
    "t.die_in(os, 'replace', 1, ending='.npz')": 4,
    "t.die_in(os, 'replace', 1, before=False, ending='.npz')": 4,
    "t.die_in(os, 'replace', 1, ending='.json')": 4,
    "t.die_in(os, 'replace', 1, before=False, ending='.json')": 4,
}


@pytest.mark.process
@pytest.mark.parametrize("hook", MOMENTS)
def test_a_killed_run_goes_on_to_the_same_record(tmp_path, nursery, whole, hook):
    kept, folder = MOMENTS[hook], tmp_path / "records"
    code = f"{hook}; t.made(t.Path({str(tmp_path)!r}))"
    assert nursery(code) == -signal.SIGKILL
    checkpoint = folder / "checkpoints" / f"{NAME}.pt"
    assert loop.read_state(checkpoint)["epoch"] == kept
    assert records.lock_of(folder, NAME).exists()
    assert holder(records.lock_of(folder, NAME)) is None
    recorded = hook.endswith("before=False, ending='.json')")
    assert len(records.select(folder)) == recorded
    record, steps = made(tmp_path)
    assert steps == STEPS * (EPOCHS - kept)
    require_same(record, whole)
    require_clean(tmp_path)


@pytest.mark.process
def test_a_run_that_is_killed_at_any_moment_goes_on_to_the_same_record(tmp_path, nursery, whole):
    code = (
        "import random, signal; signal.setitimer(signal.ITIMER_REAL, {}); "
        f"t.made(t.Path({str(tmp_path)!r}))"
    )
    ends = [nursery(code.format(0.15 + 0.11 * i)) for i in range(6)]
    assert ends[0] == -signal.SIGALRM
    record, _ = made(tmp_path)
    require_same(record, whole)
    require_clean(tmp_path)


@pytest.mark.process
def test_of_two_at_once_one_trains(tmp_path, nursery, whole):
    code = f"""
import time
from fvlib.storage import Busy
from lab.experiments import run as _
import sys
m = sys.modules["lab.experiments.run"]
root = t.Path({str(tmp_path)!r})
import lab.experiments.table1 as table1
execute = table1.run_table1
def noted(*arguments):
    (root / f"trains-{{os.getpid()}}").touch()
    time.sleep(1)
    return execute(*arguments)
table1.run_table1 = noted
for _ in range(2):
    if os.fork() == 0:
        try:
            t.made(root)
        except Busy as error:
            (root / f"busy-{{os.getpid()}}").write_text(str(error))
        os._exit(0)
assert [os.wait()[1], os.wait()[1]] == [0, 0]
"""
    options_in(tmp_path)
    assert nursery(code) == 0
    (trains,), (busy,) = list(tmp_path.glob("trains-*")), list(tmp_path.glob("busy-*"))
    assert f"held by process {trains.name.split('-')[1]} on" in busy.read_text()
    trains.unlink()
    busy.unlink()
    record, steps = made(tmp_path)
    assert steps == 0
    require_same(record, whole)
    require_clean(tmp_path)


def test_a_record_that_was_made_while_the_lock_was_awaited_is_taken(tmp_path, monkeypatch):
    module = sys.modules["lab.experiments.run"]

    def after_another(path):
        monkeypatch.setattr(module, "lock", lock)
        made(tmp_path)
        return lock(path)

    monkeypatch.setattr(module, "lock", after_another)
    record, steps = made(tmp_path)
    assert (record.name, steps) == (NAME, STEPS * EPOCHS)  # of the other alone


# --- stopped ---


@pytest.mark.process
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_command_says_how_to_go_on(tmp_path, monkeypatch, number, status):
    options_in(tmp_path)
    command = [
        sys.executable,
        "-m",
        "lab",
        "train",
        "table1",
        "--row",
        "long",
        "--out",
        "records",
    ]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    )
    log = tmp_path / "records" / "logs" / "table1" / "smoke-embedded-long-s0.log"
    deadline = time.monotonic() + 300  # of a machine with much else to do
    while not (log.exists() and log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == status
    assert "Traceback" not in said
    last = said.splitlines()[-1].split("lab: ")[-1]  # behind the bar
    kept = loop.epochs_done(tmp_path / "records/checkpoints/table1/smoke-embedded-long-s0.pt")
    assert last == (
        f"interrupted; {kept} of 500 epochs are kept, and the same command goes on; "
        "to go on: python -m lab train table1 --row long --out records"
        if kept
        else "interrupted; the same command begins again; "
        "to go on: python -m lab train table1 --row long --out records"
    )
    (left,) = tmp_path.glob("records/locks/*/*.lock")
    assert holder(left) is None
    # The next call goes on there: an interruption in its second epoch keeps one more.
    steps = counted_steps(monkeypatch, STEPS + 1, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt) as error:
        made(tmp_path, "long")
    assert error.value.__notes__[0].startswith(f"{kept + 1} of 500 epochs are kept")
    assert len(steps) == STEPS + 1


PLAN = """
[[runs]]
for = "a test"
experiment = "table1"
rows = ["long"]
scale = "smoke"
data = "embedded"
seeds = [0, 1, 2]
"""


@pytest.mark.process
@pytest.mark.parametrize(
    ("number", "send"),  # to the parent alone; Ctrl-C goes to all processes of the terminal
    [(signal.SIGTERM, os.kill), (signal.SIGKILL, os.kill), (signal.SIGINT, os.killpg)],
)
def test_a_stopped_sweep_leaves_no_process_and_keeps_its_epochs(tmp_path, family, number, send):
    """Two runs at once, each in a kernel of a worker, and a third that waits."""
    root = Path(__file__).parents[2]
    options_in(tmp_path)
    (tmp_path / "data" / "plan.toml").write_text(PLAN, "utf-8")
    (tmp_path / "notebooks" / "runs").mkdir(parents=True)
    copy(root / "notebooks" / "runs" / "run.py", tmp_path / "notebooks" / "runs")
    words = ["runs", "run", "--scale", "smoke", "--jobs", "2", "--out", "records"]
    with subprocess.Popen(
        [sys.executable, "-m", "lab", *words],
        **{"cwd": tmp_path, "stderr": subprocess.PIPE, "text": True, "start_new_session": True},
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)},
    ) as process:
        logs = [
            tmp_path / f"records/logs/table1/smoke-embedded-long-s{seed}.log" for seed in (0, 1)
        ]
        until = time.monotonic() + 300  # of a machine with much else to do
        while not all(log.exists() and log.read_text("utf-8") for log in logs):
            assert time.monotonic() < until
            assert process.poll() is None
            time.sleep(0.05)
        everyone = family(process.pid)
        assert len(everyone) >= 5  # it, two workers, two kernels
        send(process.pid, number)
        said = process.communicate(timeout=30)[1]
    assert everyone.ended()
    assert "Traceback" not in said
    if number != signal.SIGKILL:
        assert process.returncode == {signal.SIGTERM: 143, signal.SIGINT: 130}[number]
        last = said.splitlines()[-1].split("lab: ")[-1]  # behind the bar
        assert last == f"interrupted; to go on: python -m lab {' '.join(words)}"
    for seed in (0, 1):
        checkpoint = tmp_path / f"records/checkpoints/table1/smoke-embedded-long-s{seed}.pt"
        assert loop.epochs_done(checkpoint) >= 1
    assert not (tmp_path / "records/logs/table1/smoke-embedded-long-s2.log").exists()


def raising(error):
    def function():
        raise error

    return function


@pytest.mark.parametrize("starve", [torch.OutOfMemoryError("CUDA"), MemoryError("CUDA")])
def test_exhausted_memory_keeps_the_checkpoint(tmp_path, monkeypatch, whole, starve):
    with monkeypatch.context() as patch:
        counted_steps(patch, STEPS + 1, raising(starve))
        with pytest.raises(MemoryError, match="CUDA") as error:
            run("table1", "cumulative-8", **options_in(tmp_path))
    assert error.value.__notes__ == ["1 of 4 epochs are kept, and the same command goes on"]
    record, steps = made(tmp_path)
    assert steps == STEPS * (EPOCHS - 1)
    require_same(record, whole)


def test_other_errors_are_left_alone(tmp_path, monkeypatch):
    counted_steps(monkeypatch, 1, raising(RuntimeError("shapes do not fit")))
    with pytest.raises(RuntimeError, match=r"^shapes do not fit$") as error:
        run("table1", "cumulative-8", **options_in(tmp_path))
    assert not hasattr(error.value, "__notes__")


def test_force_begins_at_the_start_and_says_so(tmp_path, monkeypatch, whole):
    for force in (False, True):
        with monkeypatch.context() as patch:
            counted_steps(patch, STEPS + 1, raising(KeyboardInterrupt()))
            with pytest.raises(KeyboardInterrupt) as error:
                run("table1", "cumulative-8", force=force, **options_in(tmp_path))
    assert error.value.__notes__ == ["the same command begins again"]
    record, steps = made(tmp_path, force=True)
    assert steps == STEPS * EPOCHS
    require_same(record, whole)


# --- the disk ---


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of its own with 24 MB."""
    folder = tmp_path / "records"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small disk is not allowed here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder):
    with open(folder / "filler", "wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass


def test_a_full_disk_is_told_before_training(small_disk, tmp_path, monkeypatch):
    steps = counted_steps(monkeypatch)
    (small_disk / "filler").write_bytes(bytes(20 * 2**20))
    with pytest.raises(OSError, match=r"has 4.2 MB left and 10.0 MB are wanted, so nothing was"):
        run("table1", "cumulative-8", **options_in(tmp_path))
    (small_disk / "filler").unlink()
    with pytest.raises(OSError, match=r"checkpoints.table1 has 25.\d MB left and 2\d\d.\d MB are"):
        run("table1", "cumulative-8", **options_in(tmp_path), width=64)
    assert not steps


@pytest.mark.parametrize("step", [STEPS + 1, None])
def test_a_disk_that_fills_up_keeps_the_last_checkpoint(
    small_disk, tmp_path, monkeypatch, whole, step
):
    with monkeypatch.context() as patch:
        if step is None:  # when all but the record is done
            write = records.write
            patch.setattr(records, "write", lambda *given: (fill(small_disk), write(*given)))
        else:
            counted_steps(patch, step, lambda: fill(small_disk))
        with pytest.raises(OSError, match=r"No space left on device: .*smoke-embedded") as error:
            run("table1", "cumulative-8", **options_in(tmp_path))
    kept = 1 if step else EPOCHS
    note = f"{kept} of 4 epochs are kept, and the same command goes on"
    assert error.value.__notes__ == [note]
    assert not hidden(tmp_path)
    (small_disk / "filler").unlink()
    record, steps = made(tmp_path)
    assert steps == STEPS * (EPOCHS - kept)
    require_same(record, whole)
    require_clean(tmp_path)


@pytest.mark.process
def test_a_limit_on_files_keeps_the_last_checkpoint(tmp_path, nursery, whole):
    code = f"""
import resource
limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
t.counted_steps(t.pytest.MonkeyPatch(), 4, limit)
try:
    t.made(t.Path({str(tmp_path)!r}))
except OSError as error:
    assert "File too large" in str(error) and "s0.pt" in str(error), error
    assert error.__notes__[0].startswith("1 of 4"), error.__notes__
    os._exit(9)
"""
    assert nursery(code) == 9
    assert not hidden(tmp_path)
    record, steps = made(tmp_path)
    assert steps == STEPS * (EPOCHS - 1)
    require_same(record, whole)


@pytest.mark.parametrize("place", ["", "table1", "checkpoints", "samples", "logs"])
def test_a_folder_that_cannot_be_written_is_told_before_training(tmp_path, monkeypatch, place):
    steps, options = counted_steps(monkeypatch), options_in(tmp_path)
    path = tmp_path / "records" / place
    path.parent.mkdir(exist_ok=True)
    path.write_text("in the way")
    with pytest.raises(OSError, match=r"cannot be written to \(Not a directory"):
        run("table1", "cumulative-8", **options)
    assert not steps


def test_a_read_only_folder_is_told_before_training(small_disk, tmp_path, monkeypatch):
    steps, options = counted_steps(monkeypatch), options_in(tmp_path)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(OSError, match=r"cannot be written to \(Read-only file system"):
        run("table1", "cumulative-8", **options)
    assert not steps


@pytest.mark.parametrize("content", [b"", "cut", "other"])
def test_a_damaged_checkpoint_is_named_with_the_remedy(tmp_path, monkeypatch, whole, content):
    path = tmp_path / "records" / "checkpoints" / f"{NAME}.pt"
    with monkeypatch.context() as patch:
        counted_steps(patch, STEPS + 1, raising(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            run("table1", "cumulative-8", **options_in(tmp_path))
    if content == "other":
        torch.save({"weight": torch.zeros(3)}, path)
    else:
        path.write_bytes(path.read_bytes()[:-5000] if content == "cut" else content)
    with pytest.raises(ValueError, match=rf"{path.name} \(\d+ bytes\) is damaged.*Delete it"):
        run("table1", "cumulative-8", **options_in(tmp_path))
    assert loop.epochs_done(path) == 0
    path.unlink()
    require_same(made(tmp_path)[0], whole)


# --- another run ---


def interrupted(root, **options):
    """A run that was stopped in its second epoch; gives its checkpoint."""
    with pytest.MonkeyPatch.context() as patch:
        counted_steps(patch, STEPS + 1, raising(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            run("table1", "cumulative-8", **options_in(root) | options)
    return root / "records" / "checkpoints" / f"{NAME}.pt"


def raise_version(root):
    (root / "data" / "recipes.toml").write_text(RECIPES.replace("version = 1", "version = 2"))


def noted(root, **changes):
    """As if the run had been begun by other hands."""
    note = note_of(root / "records" / "checkpoints" / f"{NAME}.pt")
    note.write_text(json.dumps(json.loads(note.read_text()) | changes))


OTHERS = {  # what is changed: what is said of it
    "method": "parameters.empty is 'split' in the checkpoint, 'absent' now; parameters.method is "
    "'cumulative' in the checkpoint, 'slope' now",
    "train_clips": "parameters.train_clips is 8 in the checkpoint, 12 now",
    "version": "version is 1 in the checkpoint, 2 now",
    "threads": "threads is 1 in the checkpoint, 2 now",
    "processes": "processes is 2 in the checkpoint, 1 now",
    "device": "device is 'cuda' in the checkpoint, 'cpu' now",
    "data": "data is 'others' in the checkpoint, ",
    "nothing": "no smoke-embedded-cumulative-8-s0.run beside it",
}


@pytest.mark.parametrize("change", OTHERS)
def test_a_run_does_not_go_on_as_another(tmp_path, monkeypatch, whole, change):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    checkpoint = interrupted(tmp_path)
    options = options_in(tmp_path)
    if change == "method":
        options |= {"method": "slope", "empty": None}
    elif change == "train_clips":
        options |= {"train_clips": 12}
    elif change == "version":
        raise_version(tmp_path)
    elif change == "threads":
        monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    elif change == "nothing":
        note_of(checkpoint).unlink()
    else:
        noted(tmp_path, **{change: {"processes": 2, "device": "cuda"}.get(change, "others")})
    before = checkpoint.read_bytes()
    steps = counted_steps(monkeypatch)
    with pytest.raises(
        ValueError, match=r"belongs to another run: .* begin again with --force"
    ) as e:
        run("table1", "cumulative-8", **options)
    assert OTHERS[change] in str(e.value)
    assert not steps
    assert checkpoint.read_bytes() == before
    assert not records.select(tmp_path / "records")
    if change in ("method", "train_clips"):  # with the old settings it goes on
        require_same(made(tmp_path)[0], whole)
    else:
        record = records.read(run("table1", "cumulative-8", **options, force=True))
        assert record.checksum == whole.checksum
    assert not list(checkpoint.parent.glob("smoke*"))


def test_what_lies_about_without_a_checkpoint_is_of_no_run(tmp_path, whole):
    checkpoint = interrupted(tmp_path, train_clips=12)
    assert note_of(checkpoint).exists()
    assert not checkpoint.exists()  # stopped before its first epoch was done
    require_same(made(tmp_path)[0], whole)
