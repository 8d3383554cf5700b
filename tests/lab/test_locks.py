"""Locks: one holder at a time, whoever dies, sleeps or races."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from lab.records import locks, owners
from lab.records.owners import Owner


def leave(path, **changes):
    """The lock of a holder that is gone, as it lies there."""
    holder = dataclasses.replace(Owner.here(), **changes)
    path.write_text(holder.text())
    return holder


def age(path, seconds):
    then = time.time() - seconds
    os.utime(path, (then, then))


def start(code, *arguments):
    """A process that runs some code; it says each line at once."""
    command = [sys.executable, "-uc", "from lab.records import locks\n" + code, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


HOLDER = """
import sys, time
with locks.held(sys.argv[1]):
    print("held")
    time.sleep(60)
"""


def test_a_lock_says_who_holds_it_and_goes_with_the_block(tmp_path):
    path = tmp_path / "runs" / "a.lock"
    assert locks.owner(path) is None
    with locks.held(path) as confirm:
        confirm()
        holder = locks.owner(path)
        assert (holder.pid, json.loads(path.read_text())["pid"]) == (os.getpid(), os.getpid())
        said = f"process {os.getpid()} on .* since 20"
        with pytest.raises(locks.Busy, match=said), locks.held(path):
            pytest.fail("held twice")
        assert locks.owner(path) == holder
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_lock_goes_with_an_error_too(tmp_path, error):
    path = tmp_path / "a.lock"
    with pytest.raises(error), locks.held(path):
        raise error
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_killed_process_is_taken_over_at_once(tmp_path):
    path = tmp_path / "a.lock"
    process = start(HOLDER, str(path))
    assert process.stdout.readline() == "held\n"
    with pytest.raises(locks.Busy, match=f"process {process.pid} "), locks.held(path):
        pytest.fail("held twice")
    process.send_signal(signal.SIGSTOP)  # a process that stands still still holds it
    age(path, 1e6)
    assert locks.owner(path).pid == process.pid
    process.kill()
    deadline = time.monotonic() + 10
    while locks.owner(path) and time.monotonic() < deadline:
        time.sleep(0.01)
    with locks.held(path):  # nobody has waited for the process: it is a zombie
        assert locks.owner(path).pid == os.getpid()
    process.communicate()
    assert list(tmp_path.iterdir()) == []


def test_another_process_with_the_number_of_a_dead_one_does_not_hold_its_lock(tmp_path):
    path = tmp_path / "a.lock"
    leave(path, started="1")
    assert locks.owner(path) is None
    with locks.held(path):
        pass


def test_a_holder_on_another_machine_is_believed_as_long_as_it_touches(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "SETTLE", 0)
    path = tmp_path / "a.lock"
    holder = leave(path, host="far", kernel="far 1 2", pid=2**22 + 1)  # no process here has it
    age(path, 100)
    assert locks.owner(path) == holder
    with pytest.raises(locks.Busy, match="on far since"), locks.held(path):
        pytest.fail("held twice")
    age(path, 130)
    assert locks.owner(path) is None
    with locks.held(path):
        assert locks.owner(path).pid == os.getpid()


@pytest.mark.parametrize("content", ["", '{"host": "far", "pi', "[]"])
def test_a_lock_without_a_name_is_held_until_it_is_old(tmp_path, monkeypatch, content):
    monkeypatch.setattr(locks, "SETTLE", 0)
    path = tmp_path / "a.lock"
    path.write_text(content)
    with pytest.raises(locks.Busy, match="has not said who it is"), locks.held(path):
        pytest.fail("held twice")
    age(path, 130)
    with locks.held(path):
        assert locks.owner(path).pid == os.getpid()


def test_without_a_kernel_that_tells_the_start_of_processes_silence_decides(tmp_path, monkeypatch):
    monkeypatch.setattr(owners, "_started", lambda pid: "")
    path = tmp_path / "a.lock"
    leave(path)
    assert locks.owner(path) is not None
    age(path, 130)
    assert locks.owner(path) is None


def test_a_held_lock_is_touched(tmp_path):
    path = tmp_path / "a.lock"
    with locks.held(path, beat=0.01):
        age(path, 1000)
        deadline = time.monotonic() + 10
        while time.time() - path.stat().st_mtime > 500 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert time.time() - path.stat().st_mtime < 500


def test_who_slept_too_long_is_told_and_leaves_the_lock_of_the_next(tmp_path):
    path = tmp_path / "a.lock"
    with locks.held(path, beat=0.01) as confirm:
        taker = leave(path, host="far", kernel="far 1 2")
        age(path, 50)
        time.sleep(0.1)
        assert time.time() - path.stat().st_mtime > 40  # not touched for the other
        with pytest.raises(locks.Busy, match=r"taken over by process .* on far"):
            confirm()
    assert locks.owner(path) == taker


def test_a_lock_that_cannot_be_written_is_not_left_half(tmp_path, monkeypatch):
    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Owner, "text", full_disk)
    with pytest.raises(OSError, match="No space left"), locks.held(tmp_path / "a.lock"):
        pytest.fail("held")
    assert list(tmp_path.iterdir()) == []


# Each takes the lock again and again. Who has it makes a file that must not be there yet. Some are
# killed while they hold the lock, which all others then race for; between looking at its file and
# replacing it they sleep, so that the others look too.
RACER = """
import os, random, signal, sys, time
folder, lethal, times = sys.argv[1], sys.argv[2] == "kill", 0
judge = locks.Owner.is_gone
def slowly(*arguments):
    gone = judge(*arguments)
    time.sleep(0.01 * gone)
    return gone
locks.Owner.is_gone = slowly
time.sleep(max(0, float(sys.argv[3]) - time.time()))
while times < 4:
    try:
        with locks.held(folder + "/a.lock"):
            open(folder + "/inside", "x").close()
            time.sleep(0.01 * random.random())
            os.unlink(folder + "/inside")
            times += 1
            if lethal:
                os.kill(os.getpid(), signal.SIGKILL)
    except locks.Busy:
        time.sleep(0.01 * random.random())
"""


def test_of_many_that_race_for_the_locks_of_the_killed_one_is_inside(tmp_path):
    begin = str(time.time() + 1.5)
    racers = [start(RACER, str(tmp_path), kind, begin) for kind in ["kill"] * 5 + ["live"] * 3]
    for racer in racers:
        racer.communicate(timeout=60)
    assert [racer.returncode for racer in racers] == [-signal.SIGKILL] * 5 + [0] * 3
    assert locks.owner(tmp_path / "a.lock") is None  # the last may have been killed
    assert {file.name for file in tmp_path.iterdir()} <= {"a.lock"}
