"""Files that are whole or not there, locks that end with their process, files that are damaged."""

import errno
import fcntl
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fvlib import storage
from fvlib.storage import (
    Busy,
    fingerprint,
    holder,
    lock,
    npz_bytes,
    once,
    read_json,
    read_npz,
    remove_unfinished,
    replacing,
    replacing_array,
    stored_array,
    write_file,
)


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def start(code, *arguments):
    """A process that runs some code; it says each line at once."""
    code = "import os, sys, time\nfrom pathlib import Path\nfrom fvlib.storage import *\n" + code
    command = [sys.executable, "-uc", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def wait_until(true):
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- writing ---


def test_a_file_is_written_with_its_folders_and_nothing_else(tmp_path):
    path = tmp_path / "a" / "b.txt"
    write_file(path, "ä\r\n")
    assert path.read_bytes() == "ä\r\n".encode()
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask()
    write_file(path, b"\x00new")
    assert path.read_bytes() == b"\x00new"
    assert names(path.parent) == ["b.txt"]


def umask():
    now = os.umask(0)
    os.umask(now)
    return now


def test_a_link_stays(tmp_path):
    real, link = tmp_path / "real" / "run.sh", tmp_path / "link"
    write_file(real, "old")
    link.symlink_to(real)
    write_file(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert (names(tmp_path), names(real.parent)) == (["link", "real"], ["run.sh"])


def test_a_folder_is_not_replaced(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(IsADirectoryError, match=f"'{tmp_path / 'x'}'$"):
        write_file(tmp_path / "x", "new")
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_an_error_keeps_the_old_file_and_names_it(tmp_path, monkeypatch, function):
    path = tmp_path / "x.pt"
    write_file(path, "old")

    def fail(*arguments):
        more = () if len(arguments) == 1 else (str(arguments[0]), None, str(arguments[1]))
        raise OSError(errno.ENOSPC, "No space left on device", *more)

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(OSError, match=rf"^\[Errno 28\] No space left on device: '{path}'$"):
        write_file(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["x.pt"]


def test_errors_about_other_files_are_left_alone(tmp_path):
    with pytest.raises(FileNotFoundError, match="elsewhere"), replacing(tmp_path / "x"):
        (tmp_path / "elsewhere").read_bytes()
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "x"):
        raise KeyboardInterrupt
    assert names(tmp_path) == []


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 256 KB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small disk is not allowed here")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


@pytest.mark.parametrize("size", [10_000, 1_000_000])
def test_a_full_disk_keeps_the_old_file_and_names_it(small_disk, size):
    path = small_disk / "x.npy"
    with replacing_array(path, (150_000,)) as array:
        array[:] = 1
    filler = small_disk / "filler"
    with open(filler, "wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    said = r"No space left on device: '.*x\.npy'$"
    with pytest.raises(OSError, match=said):
        write_file(path, bytes(size))
    with pytest.raises(OSError, match=said), replacing_array(path, (size,)) as array:
        array[:] = 2  # without its space this would be the end of the process
    assert names(small_disk) == ["filler", "x.npy"]
    assert (stored_array(path, (150_000,)) == 1).all()


WRITER = """
with replacing(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    print("writing")
    time.sleep(60)
"""


def test_what_a_killed_writer_left_is_removed_by_the_next_and_not_before(tmp_path):
    path, other = tmp_path / "x.pt", tmp_path / "x.pt.more"
    write_file(path, "old")
    writers = [start(WRITER, place) for place in (path, other)]
    assert [writer.stdout.readline() for writer in writers] == ["writing\n"] * 2
    write_file(path, "new")  # both still write
    remove_unfinished(tmp_path, other.name)
    assert len(names(tmp_path)) == 3
    for writer in writers:
        writer.kill()
        writer.communicate()
    write_file(path, "newer")
    left, _ = names(tmp_path)
    assert left.startswith(".x.pt.more.")
    remove_unfinished(tmp_path, other.name)
    assert names(tmp_path) == ["x.pt"]
    assert path.read_text() == "newer"


def test_readers_see_whole_files_whoever_writes_and_dies(tmp_path):
    code = """
for i in range(300):
    write_file(sys.argv[1], sys.argv[2] * 100_000)
    if i == 5:
        print("busy")
"""
    path = tmp_path / "x"
    writers = [start(code, path, letter) for letter in "ab"]
    for writer in writers:
        writer.stdout.readline()
    for writer in writers:
        content = path.read_bytes()
        assert (len(content), len(set(content))) == (100_000, 1)
        writer.kill()
        writer.communicate()
    write_file(path, "end")
    assert names(tmp_path) == ["x"]


def test_a_writer_that_another_takes_for_a_killed_one_begins_again(tmp_path, monkeypatch):
    flock, removed = fcntl.flock, []

    def late(file, how):
        if how == fcntl.LOCK_EX and len(removed) < 2:  # the other comes before the lock
            removed.extend(names(tmp_path))
            remove_unfinished(tmp_path, "x")
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    write_file(tmp_path / "x", "whole")
    assert len(set(removed)) == 2
    assert names(tmp_path) == ["x"]
    assert (tmp_path / "x").read_text() == "whole"


def test_a_pipe_is_written_to_and_stays(tmp_path):
    pipe, found = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    write_file(pipe, "through")
    reader.join()
    assert found == [b"through"]
    assert pipe.is_fifo()
    assert names(tmp_path) == ["pipe"]


@given(content=st.binary(max_size=100) | st.text(max_size=100))
def test_what_is_written_is_what_is_read(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "content"
    write_file(path, content)
    wanted = content.encode() if isinstance(content, str) else content
    assert path.read_bytes() == wanted


# --- locks ---

HOLDER = """
with lock(sys.argv[1]):
    print("held")
    time.sleep(60)
"""


def test_a_lock_says_who_holds_it_and_goes_with_the_block(tmp_path):
    path = tmp_path / "runs" / "a.lock"
    assert holder(path) is None
    with lock(path):
        said = holder(path)
        assert said.startswith(f"process {os.getpid()} on ")
        assert " since 20" in said
        with pytest.raises(Busy) as error, lock(path):
            pytest.fail("held twice")
        assert f"a.lock is held by {said}; wait until" in str(error.value)
        assert holder(path) == said
    assert holder(path) is None
    assert names(path.parent) == ["a.lock"]
    assert path.read_bytes() == b""
    with lock(path):
        pass


def test_a_lock_goes_with_an_error_too(tmp_path):
    with pytest.raises(ValueError, match="within"), lock(tmp_path / "a.lock"):
        raise ValueError("within")
    with lock(tmp_path / "a.lock"):
        pass
    assert names(tmp_path) == ["a.lock"]


def test_a_killed_process_holds_nothing_and_a_stopped_one_does(tmp_path):
    path = tmp_path / "a.lock"
    process = start(HOLDER, path)
    assert process.stdout.readline() == "held\n"
    process.send_signal(signal.SIGSTOP)
    with pytest.raises(Busy, match=f"process {process.pid} on "), lock(path):
        pytest.fail("held twice")
    process.kill()
    wait_until(lambda: holder(path) is None)
    with lock(path):  # nobody has waited for the process: it is a zombie
        assert holder(path).startswith(f"process {os.getpid()} on ")
    process.communicate()
    assert names(tmp_path) == ["a.lock"]


def test_a_child_does_not_keep_the_lock_of_its_parent(tmp_path):
    code = """
with lock(sys.argv[1]):
    if os.fork() == 0:
        time.sleep(60)
    print("held")
    time.sleep(60)
"""
    path = tmp_path / "a.lock"
    process = start(code, path)
    assert process.stdout.readline() == "held\n"
    process.kill()
    wait_until(lambda: holder(path) is None)
    with lock(path):
        pass
    process.stdout.close()
    process.wait()


@pytest.mark.parametrize("note", [b"", b"{", b'["a", "b"]'])
def test_a_note_that_is_not_whole_is_no_error(tmp_path, note):
    path = tmp_path / "a.lock"
    with lock(path):
        path.write_bytes(note)
        assert holder(path) == "a process that has not said who it is"
        with pytest.raises(Busy, match="has not said who"), lock(path):
            pytest.fail("held twice")


# --- made once ---


def test_what_several_want_is_made_once_and_leaves_no_lock(tmp_path):
    path, made = tmp_path / "cache" / "x", []

    def make():
        made.append(threading.get_ident())
        time.sleep(0.1)
        write_file(path, "made")

    threads = [threading.Thread(target=once, args=(path, make)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert names(path.parent) == ["x"]


def test_who_is_killed_while_it_makes_something_is_followed_by_the_next(tmp_path):
    code = """
def make():
    print("making")
    time.sleep(60)
once(Path(sys.argv[1]), make)
"""
    path = tmp_path / "x"
    process = start(code, path)
    assert process.stdout.readline() == "making\n"
    threading.Timer(0.2, process.kill).start()
    once(path, lambda: write_file(path, "made"))
    process.communicate()
    assert path.read_text() == "made"
    assert names(tmp_path) == ["x"]
    with pytest.raises(ZeroDivisionError):
        once(tmp_path / "y", lambda: 1 / 0)
    assert names(tmp_path) == ["x"]
    (tmp_path / ".x.lock").touch()  # of one that was killed between the last two steps
    once(path, lambda: pytest.fail("made again"))
    assert names(tmp_path) == ["x"]


def test_a_fingerprint_changes_with_each_part():
    found = [fingerprint(*parts) for parts in ([1], [2], ["1"], [1, 2], [[1, 2]], ["\udcff"], [])]
    assert len(set(found)) == len(found)
    assert fingerprint("a", 1.5, None) == fingerprint("a", 1.5, None)
    assert all(len(one) == 16 and int(one, 16) >= 0 for one in found)


# --- reading ---

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(value=st.dictionaries(st.text(), plain, max_size=4))
def test_json_comes_back_as_it_was(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "value.json"
    write_file(path, json.dumps(value))
    assert read_json(path) == value


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b"[]", "wanted one JSON object"),
        (b'{"a": "\xff"}', "no text in UTF-8"),
        (b"\x00" * 50, "has zeros in it"),
        (b'{"a": NaN}', "NaN is no number"),
        (b'{"a": [-Infinity]}', "-Infinity is no number"),
        (b'{"a": -1e999}', "-1e999 is no number"),
        (b'{} {"a": 1}', "Extra data"),
    ],
)
def test_a_damaged_json_is_a_sentence_with_its_name(tmp_path, content, why):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"x\.json.*{why}"):
        read_json(path)


@pytest.mark.parametrize("read", [read_json, read_npz])
def test_what_is_not_there_is_named(tmp_path, read):
    with pytest.raises(FileNotFoundError, match=r"No such file .*x\.json"):
        read(tmp_path / "x.json")


ARRAYS = {
    "a": np.arange(6, dtype="uint8").reshape(2, 3),
    "b": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "empty": np.zeros((0, 3)),
    "scalar": np.array(7),
    "words": np.array(["a", "bcd"]),
    "no": np.array([True, False]),
}


def test_arrays_come_back_as_they_were(tmp_path):
    content = npz_bytes(**ARRAYS)
    (tmp_path / "x.npz").write_bytes(content)
    assert npz_bytes(**ARRAYS) == content
    for found in (read_npz(content), read_npz(tmp_path / "x.npz")):
        assert list(found) == list(ARRAYS)
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype
    with pytest.raises(ValueError, match="array x holds Python objects"):
        npz_bytes(x=np.array([{}, None]))


def zipped(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_npy", ".npy"), content)
    return buffer.getvalue()


def objects():
    buffer = io.BytesIO()
    np.save(buffer, np.array([print, {}], dtype=object), allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK",
        b"no zip at all",
        zipped(a_npy=b""),
        zipped(a_npy=b"\x93NUMPY"),
        zipped(a_npy=objects()),
        npz_bytes(**ARRAYS)[:-30],
    ],
)
def test_a_damaged_npz_is_a_sentence(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.npz: a damaged npz, or none \("):
        read_npz(tmp_path / "x.npz")


def test_an_npz_with_bytes_that_flipped_or_are_lacking_is_told_or_the_same():
    content = npz_bytes(**ARRAYS)
    for place in range(0, len(content), 3):
        flipped = bytearray(content)
        flipped[place] ^= 0x41
        for damaged in (bytes(flipped), content[:place]):
            try:
                found = read_npz(damaged)
            except ValueError:
                continue
            for name in set(found) & set(ARRAYS):  # dates and names have no checksum
                np.testing.assert_array_equal(found[name], ARRAYS[name])


def test_a_file_of_another_kind_is_no_stored_array(tmp_path):
    path = tmp_path / "x.npy"
    with replacing_array(path, (2, 3)) as array:
        array[:] = np.arange(6).reshape(2, 3)
    found = stored_array(path, (2, 3))
    found[0, 0] = 9  # of the copy in memory
    assert stored_array(path).tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(ValueError, match=r"x\.npy is damaged \(uint8 of shape \(2, 3\), wanted"):
        stored_array(path, (3, 2))
    whole = path.read_bytes()
    np.save(path, np.zeros((2, 3)))
    for content in (b"", b"x" * 200, whole[:-1], whole[:20], path.read_bytes()):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"x\.npy is damaged \(.*; delete it, and it is made"):
            stored_array(path)


def test_the_room_that_is_wanted_is_looked_for(tmp_path):
    storage.require_room(tmp_path / "not" / "yet", 0.1)
    with pytest.raises(OSError, match=r"has \d+\.\d MB left and 1000000000000.0 MB are wanted"):
        storage.require_room(tmp_path, 1e12)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="cannot be written to"):
        storage.require_room(tmp_path / "file" / "below", 0.1)
    assert names(tmp_path) == ["file"]
