"""Data files that are not what their names say: damaged in many ways, no files, leading elsewhere.

Every one of them ends as an error that names the file, or reads right; nothing waits for ever.
"""

import gzip
import json
import os
import random
import signal
import socket
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fvlib.datasets import load_backgrounds, load_digits
from fvlib.datasets.backgrounds import SCENES
from fvlib.datasets.packing import write_pack
from fvlib.datasets.videos import (
    FrameFolder,
    FrameIndex,
    UnreadableClip,
    VideoFile,
    breakfast,
    check,
    hmdb51,
    read_skip_list,
    something_v1,
    something_v2,
    ucf101,
    video_folder,
    write_skip_list,
)
from fvlib.training.loop import epochs_done, read_state

av = pytest.importorskip("av")
check_module = sys.modules[check.__module__]  # the package has the function under that name


@contextmanager
def in_time(seconds=20):
    """An error in place of waiting for what nobody writes."""

    def stop(*_):
        raise TimeoutError("this waits for ever")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def put(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


# --- small files of every kind --------------------------------------------------------------------


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.tobytes()


def video(path, codec):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        frames = np.random.default_rng(0).integers(0, 255, (6, 4, 6, 3)).astype(np.uint8)
        for small in frames.repeat(8, 1).repeat(8, 2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(small, format="rgb24")))
        container.mux(stream.encode())
    return path.read_bytes()


def picture(suffix, folder):
    pixels = np.random.default_rng(0).integers(0, 255, (24, 32, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(folder / f"one{suffix}")
    return (folder / f"one{suffix}").read_bytes()


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """By kind: the files of a small data set, and what reads it below its root."""
    scratch = tmp_path_factory.mktemp("scratch")
    rng = np.random.default_rng(0)
    digits = rng.integers(1, 256, (12, 28, 28)).astype(np.uint8), np.arange(12, dtype=np.uint8) % 10
    raw = {f"t10k-{kind}-ubyte": idx(array) for kind, array in zip(KINDS, digits, strict=True)}
    scenes = np.zeros((16, 64, 48, 64), np.uint8)
    write_pack(
        scratch / "pack.npz",
        {f"t10k-{kind}-ubyte": array for kind, array in zip(KINDS, digits, strict=True)}
        | {"backgrounds-test": scenes},
        names={"backgrounds": {"test": list(SCENES["test"])}},
    )
    entries = {"a/1.avi": [100, 5, 12, 0.5, None, True], "a/2.avi": [7, 5, 1, None, 3, False]}
    labels = {"Holding something": "1", "Dropping something": "0"}
    items = [{"id": "12", "template": "Holding [something]"}] * 1
    v2 = "something-something-v2-"
    clips = {"12.webm": b"", "A/v_a.avi": b"", "B/v b.avi": b"", "run/a b.avi": b"", "7/1.jpg": b""}
    return {
        "mnist.gz": (
            {f"MNIST/raw/{name}.gz": gzip.compress(data) for name, data in raw.items()},
            lambda root: from_data(root, load_digits, "real", "test"),
        ),
        "mnist": (
            {f"MNIST/raw/{name}": data for name, data in raw.items()},
            lambda root: from_data(root, load_digits, "real", "test"),
        ),
        "pack": (
            {"pack.npz": (scratch / "pack.npz").read_bytes()},
            lambda root: [
                from_data(root / "pack.npz", load_digits, "real", "test"),
                from_data(root / "pack.npz", load_backgrounds, "real", "test", 2),
            ],
        ),
        "index": (
            {"index.json": json.dumps({"schema": 2, "clips": entries})},
            lambda root: FrameIndex(root / "index.json"),
        ),
        "skip list": (
            {"skip.txt": "# mine\na/1.avi  # is empty\nb/2 é.avi\n"},
            lambda root: read_skip_list(root / "skip.txt"),
        ),
        "ucf101": (
            {
                "classInd.txt": "1 A\n2 B\n",
                "trainlist01.txt": "A/v_a.avi 1\nB/v b.avi 2\n",
                **clips,
            },
            lambda root: ucf101(root, "train"),
        ),
        "hmdb51": (
            {"run_test_split1.txt": "a b.avi 1 \nc.avi 2\n", "hmdb51/run/a b.avi": b""},
            lambda root: hmdb51(root, "train"),
        ),
        "something_v1": (
            {
                "something-something-v1-labels.csv": "Holding something\nPushing something\n",
                "something-something-v1-train.csv": "7;Holding something\n",
                **clips,
            },
            lambda root: something_v1(root, "train"),
        ),
        "something_v2": (
            {
                f"{v2}labels.json": json.dumps(labels),
                f"{v2}train.json.gz": gzip.compress(json.dumps(items).encode()),
                **clips,
            },
            lambda root: something_v2(root, "train"),
        ),
        **{
            f"pictures {suffix}": (
                {f"clip/{i}{suffix}": picture(suffix, scratch) for i in range(2)},
                lambda root: FrameFolder(root / "clip").read(),
            )
            for suffix in (".png", ".jpg", ".bmp", ".webp")
        },
        **{
            name: ({name: video(scratch / name, codec)}, lambda root, n=name: everything(root / n))
            for name, codec in {"a.avi": "mpeg4", "a.mp4": "mpeg4", "a.webm": "libvpx"}.items()
        },
    }


KINDS = ("images-idx3", "labels-idx1")


def everything(path):
    clip = VideoFile(path)
    return clip.count(), clip.read(), VideoFile(path, fps=10).read(size=(8, 8))


def from_data(place, read, *what):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FVLIB_DATA", str(place))
        return read(*what)


def damages(content, rng):
    """The same file, cut, flipped, filled, and in other types: by name."""
    n = len(content)
    for part in (0, 0.1, 0.5, 0.9):
        yield f"cut at {part}", content[: int(part * n)]
    yield "cut by one", content[:-1]
    for bits in (1, 8, 64):
        flipped = bytearray(content)
        for _ in range(bits):
            flipped[rng.randrange(n)] ^= 1 << rng.randrange(8)
        yield f"{bits} bits", bytes(flipped)
    head = bytearray(content)
    head[rng.randrange(min(n, 32))] ^= 1 << rng.randrange(8)
    yield "a bit of the head", bytes(head)
    for fill in (0, 255):
        start = rng.randrange(n)
        length = min(n - start, rng.randrange(1, n + 1))
        yield (
            f"{fill} from {start}",
            content[:start] + bytes([fill]) * length + content[start + length :],
        )
    yield "twice", content + content
    yield "noise", rng.randbytes(n)
    for name, other in OTHERS.items():
        yield name, other
        yield f"{name}, gz", gzip.compress(other)
    with suppress(UnicodeDecodeError):
        yield "UTF-16", content.decode().encode("utf-16")
        yield "Latin-1", ("é" + content.decode()).encode("latin-1")


OTHERS = {
    "a list": b"[]",
    "an object": b"{}",
    "a number": b"7",
    "deep": b"[" * 100_000,
    "deep object": b'{"schema": 2, "clips": ' + b'{"a":' * 20_000,
    "wrong entry": b'{"schema": 2, "clips": {"a": [1, 2, -3, 0.5, null, true]}}',
    "short entry": b'{"schema": 2, "clips": {"a": [1, 2]}}',
    "large entry": b'{"schema": 2, "clips": {"a": [1, 2, 1e999, NaN, null, true]}}',
    "digits": b"9" * 5000,
    "lines": b"one\ntwo three four\n",
    "outside": b"../../../secret.avi 1\n",
    "picture": b"P5 100000 100000 255\n",
    "magic": bytes([0, 0, 8, 3]) + b"\xff" * 12,
}


KINDS_OF_FILES = (
    *("mnist.gz", "mnist", "pack", "index", "skip list", "ucf101", "hmdb51", "something_v1"),
    *("something_v2", "pictures .png", "pictures .jpg", "pictures .bmp", "pictures .webp"),
    *("a.avi", "a.mp4", "a.webm"),
)


@pytest.mark.parametrize("kind", KINDS_OF_FILES)
def test_damaged_files_are_named_or_read_right(samples, kind, tmp_path):
    files, read = samples[kind]
    put(tmp_path, files)
    read(tmp_path)
    tried = refused = 0
    for victim, content in files.items():
        content = content.encode() if isinstance(content, str) else content
        for what, damage in damages(content, random.Random(f"{kind} {victim}")) if content else ():
            put(tmp_path, {victim: damage})
            tried += 1
            message = None
            try:
                with in_time():
                    read(tmp_path)
            except ValueError as error:
                message = str(error)
            if message is not None:
                refused += 1
                assert any(Path(name).stem in message for name in files), f"{what}: {message}"
                assert len(message) < 2000, f"{victim}, {what}"
        put(tmp_path, {victim: content})
    assert tried >= 35
    assert refused >= 10
    read(tmp_path)


def test_packs_that_are_sound_and_are_no_packs(tmp_path, monkeypatch):
    path, images = tmp_path / "pack.npz", np.ones((2, 28, 28), np.uint8)
    monkeypatch.setenv("FVLIB_DATA", str(path))
    for about in ("[]", "7", "{}", "[" * 9999, "no", '{"version": 1, "sha256": []}'):
        np.savez(path, **{"about.json": np.array(about)})
        with pytest.raises(ValueError, match=r"pack\.npz, which is no pack, or a damaged one"):
            load_digits("real", "test")
    for labels in (np.array([3, 12], np.uint8), np.array([1, 2]), np.ones((2, 2), np.uint8)):
        write_pack(path, {"t10k-images-idx3-ubyte": images, "t10k-labels-idx1-ubyte": labels})
        with pytest.raises(ValueError, match=r"t10k-labels-idx1-ubyte in .*pack\.npz holds"):
            load_digits("real", "test")


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (idx(np.ones((3, 28, 28), np.uint8)), idx(np.arange(2, dtype=np.uint8)), "3 images and"),
        (idx(np.ones((2, 27, 28), np.uint8)), idx(np.arange(2, dtype=np.uint8)), "images-idx3-ub"),
        (idx(np.ones((2, 28, 28), np.uint8)), idx(np.uint8([1, 10])), "labels-idx1-ubyte holds"),
        (idx(np.zeros((2, 28, 28), np.uint8)), idx(np.uint8([1, 2])), "an image without ink"),
        (idx(np.ones((2, 28, 28), np.uint8)), idx(np.uint8([2, 2])), "digits of two classes"),
        (idx(np.ones((2, 28, 28), np.uint8))[:-1], idx(np.uint8([1, 2])), "is no file of MNIST"),
        (idx(np.ones((2, 28, 28), np.uint8)), idx(np.uint8([1, 2])) + b"1", "is no file of MNIST"),
        (b"\0\0\x0d\3" + idx(np.ones((2, 28, 28), np.uint8))[4:], b"", "begin with 00 00 0d 03"),
    ],
)
def test_mnist_that_is_not_as_published(tmp_path, monkeypatch, images, labels, message):
    start = "MNIST/raw/t10k-"
    put(tmp_path, {f"{start}images-idx3-ubyte": images, f"{start}labels-idx1-ubyte": labels})
    monkeypatch.setenv("FVLIB_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=message):
        load_digits("real", "test")


@pytest.mark.parametrize(
    "entry", [[10, 5, 3.5, 0.5, None, True], [10, 5, 3, float("inf"), None, True], [10, 5, 3], {}]
)
def test_entries_of_an_index(tmp_path, entry):
    path = tmp_path / "index.json"
    for clips in ({"a.avi": [10, -5, 3, 0.5, None, True]}, {"a.avi": [10, 5, 3, None, 4, False]}):
        path.write_text(json.dumps({"schema": 2, "clips": clips}))
        assert len(FrameIndex(path)) == 1
    path.write_text(json.dumps({"schema": 2, "clips": {"a.avi": entry}}))
    with pytest.raises(ValueError, match=r"index\.json is no index of frames \("):
        FrameIndex(path)


def test_a_picture_that_would_fill_the_memory(tmp_path):
    (tmp_path / "0.bmp").write_bytes(
        b"BM"
        + bytes(8)
        + b"\x36\0\0\0\x28\0\0\0"
        + np.array([60000, 60000], "<i4").tobytes()
        + b"\1\0\x18\0"
        + bytes(24)
    )
    with pytest.raises(UnreadableClip, match=r"0\.bmp: is no picture that can be read .*pixels"):
        FrameFolder(tmp_path).read()


# --- names that lead elsewhere --------------------------------------------------------------------

OUTSIDE = [
    *("../secret.avi", "A/../../../../secret.avi", "A/..", "/secret.avi", "//host/secret.avi"),
    "..",
]
V1, V2 = "something-something-v1-", "something-something-v2-"


@pytest.fixture
def secret(tmp_path, monkeypatch):
    """A data root beside a file that no list may reach; opening it is an error."""
    put(tmp_path, {"secret.avi": "", "secret.webm": "", "data/A/v_a.avi": ""})
    return tmp_path / "data"


@pytest.mark.parametrize("entry", OUTSIDE)
@pytest.mark.parametrize("missing", ["error", "skip", "keep"])
def test_no_list_leads_out_of_the_data_root(secret, entry, missing):
    labels, items = json.dumps({"a": 0}), json.dumps([{"id": entry, "template": "a"}])
    for files, read, where in (
        (
            {"classInd.txt": "1 A\n", "trainlist01.txt": f"A/v_a.avi 1\n{entry} 1\n"},
            ucf101,
            r"trainlist01\.txt, line 2",
        ),
        ({"wave_test_split1.txt": f"../{entry} 1\n"}, hmdb51, r"wave_test_split1\.txt, line 1"),
        (
            {f"{V1}labels.csv": "a\n", f"{V1}train.csv": f"\n{entry};a\n"},
            something_v1,
            r"v1-train\.csv, line 2",
        ),
        ({f"{V2}labels.json": labels, f"{V2}train.json": items}, something_v2, r"v2-train\.json"),
    ):
        root = put(secret / read.__name__, files)
        with pytest.raises(ValueError, match=where) as caught:
            read(root, "train", missing=missing)
        assert "secret" not in entry or "secret" in str(caught.value)


@pytest.mark.parametrize("entry", OUTSIDE)
def test_no_skip_list_leads_out_of_the_data_root(tmp_path, entry):
    put(tmp_path, {"skip.txt": f"a/1.avi\n{entry}  # why\n"})
    with pytest.raises(
        ValueError, match=r"skip\.txt, line 2: .*; wanted paths below the data root"
    ):
        read_skip_list(tmp_path / "skip.txt")


def test_a_class_of_hmdb51_is_no_way_out(secret):
    put(secret, {".._test_split1.txt": "secret.avi 1\n"})
    with pytest.raises(ValueError, match=r"_test_split1\.txt, line 1: '\.\./secret\.avi'"):
        hmdb51(secret, "train")


def test_links_that_lie_in_the_data_root_are_followed(tmp_path):
    put(tmp_path, {"disk/A/v_a.avi": "", "disk/one.avi": ""})
    put(tmp_path / "data", {"classInd.txt": "1 A\n2 B\n", "UCF-101/B/x": ""})
    put(tmp_path / "data", {"trainlist01.txt": "A/v_a.avi 1\nB/v_b.avi 2\n"})
    (tmp_path / "data" / "UCF-101" / "A").symlink_to(tmp_path / "disk" / "A")
    (tmp_path / "data" / "UCF-101" / "B" / "v_b.avi").symlink_to(tmp_path / "disk" / "one.avi")
    names = ["UCF-101/A/v_a.avi", "UCF-101/B/v_b.avi"]
    assert ucf101(tmp_path / "data", "train").names.tolist() == names
    (tmp_path / "disk" / "one.avi").unlink()
    with pytest.raises(ValueError, match=r"1 are not on disk below .*B/v_b\.avi"):
        ucf101(tmp_path / "data", "train")


# --- what is no file ------------------------------------------------------------------------------


def make(kind, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "a FIFO":
        os.mkfifo(path)
    elif kind == "a folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    return path


@pytest.mark.parametrize("kind", ["a FIFO", "a device", "a folder"])
def test_what_is_no_file_is_not_opened(tmp_path, kind, monkeypatch):
    name = rf"{kind}, and a file was wanted"
    lists = tmp_path / "lists"
    with in_time():
        for file, read in (
            ("index.json", FrameIndex),
            ("skip.txt", read_skip_list),
            ("skip.txt", lambda path: write_skip_list(path, {})),
            ("checkpoint.pt", read_state),
        ):
            path = tmp_path / file
            with pytest.raises(ValueError, match=rf"{file} is {name}"):
                read(path if path.exists() else make(kind, path))
        assert epochs_done(tmp_path / "checkpoint.pt") == 0
        make(kind, lists / "classInd.txt")
        with pytest.raises(ValueError, match=rf"classInd\.txt is {name}"):
            ucf101(tmp_path, "train")
        make(kind, tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte.gz")
        monkeypatch.setenv("FVLIB_DATA", str(tmp_path))
        with pytest.raises(ValueError, match=rf"t10k-images-idx3-ubyte\.gz is {name}"):
            load_digits("real", "test")
        if kind != "a folder":
            monkeypatch.setenv("FVLIB_DATA", str(make(kind, tmp_path / "pack.npz")))
            with pytest.raises(ValueError, match=rf"pack\.npz is {name}"):
                load_digits("real", "test")


# --- one odd thing does not stop a check ----------------------------------------------------------


def test_a_check_goes_on_past_whatever_is_odd(samples, tmp_path, monkeypatch):
    root, sound = tmp_path / "root", samples["a.avi"][0]["a.avi"]
    odd = {"b/line\nbreak.avi": "text", os.fsdecode(b"b/\xff.avi"): "text", "b/\x1b[1m.avi": "text"}
    put(root, {"a/1.avi": sound, "b/2.avi": sound, "locked/3.avi": sound, **odd})
    (root / "b" / "empty").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(root / "a")  # names of sockets are short
        server.bind("s.avi")
    skip, index = tmp_path / "skip.txt", tmp_path / "index.json"
    (root / "locked").chmod(0)
    user = os.geteuid()
    if not user:  # root may read everything
        for path in (tmp_path, root):
            path.chmod(0o777)
        for parent in tmp_path.parents[:-2]:
            parent.chmod(0o755)
        os.seteuid(65534)
    try:
        report = check(root, decode=True, jobs=0, skip_list=skip, index=index)
    finally:
        os.seteuid(user)
        (root / "locked").chmod(0o755)
    wanted = {*odd, "b/empty", "a/s.avi", "locked"}
    assert set(report.problems) == wanted == set(read_skip_list(skip))
    assert report.problems["locked"] == "cannot be read (Permission denied)"
    assert report.problems["a/s.avi"] == "is no file"
    assert len(FrameIndex(index)) == 2
    lines = report.table().splitlines()
    assert r"  b/line\nbreak.avi cannot be read" in report.table()
    assert r"  b/\udcff.avi cannot be read" in report.table()
    assert r"  b/\x1b[1m.avi cannot be read" in report.table()
    assert "2 clips decoded" not in lines
    assert len(video_folder(root, missing="skip", skip=skip)) == 3
    with pytest.raises(ValueError, match="b/empty holds no pictures"):
        video_folder(root)


def test_a_list_or_a_name_that_is_odd_does_not_hide_the_others(tmp_path):
    tea = "BreakfastII_15fps_qvga_sync/P03/cam01/P03_"
    put(tmp_path, {f"{tea}tea.avi": "", f"{tea}tea.mp4": "", f"{tea}beer.avi": ""})
    put(tmp_path, {f"{tea.replace('03', '47')}tea.avi": "", "UCF-101/A/v_a.avi": ""})
    put(tmp_path, {"classInd.txt": "1 A\n", "trainlist01.txt": "A/v_a.avi 1\n"})
    put(tmp_path, {"testlist01.txt": b"\xff\xfe", "trainlist02.txt": "A/../../v_a.avi 1\n"})
    report = check(tmp_path)
    rows = {(row.name, row.split, row.fold): row.verdict for row in report.rows}
    assert rows["ucf101", "train", 1] == "not the official number"
    assert "testlist01.txt is no text in UTF-8" in rows["ucf101", "test", 1]
    assert "trainlist02.txt, line 1: 'A/../../v_a.avi'" in rows["ucf101", "train", 2]
    assert rows["ucf101", "train", 3] == "its list was not found"
    assert rows["breakfast", "train", None] == "2 left out"
    assert set(report.problems) == {f"{tea}beer.avi", f"{tea}tea.mp4"}
    with pytest.raises(ValueError, match=r"P03_beer\.avi is no Breakfast clip"):
        breakfast(tmp_path, "train")
    assert breakfast(tmp_path, "train", missing="skip").names.tolist() == [f"{tea}tea.avi"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("A/v_a.avi 1\n".encode("utf-16"), "is no text in UTF-8"),
        ("A/v_a.avi 1\n".encode("utf-16-le"), "has zeros in it"),
        ("A/v_ä.avi 1\n".encode("latin-1"), "is no text in UTF-8"),
        (gzip.compress(b"A/v_a.avi 1\n", mtime=0)[:-9], "is damaged"),
    ],
)
def test_a_list_that_cannot_be_read_is_named_with_what_to_do(tmp_path, content, why):
    put(tmp_path, {"classInd.txt": "1 A\n", "testlist01.txt": "A/v_a.avi\n", "A/v_a.avi": ""})
    name = "trainlist01.txt" + ".gz" * (why == "is damaged")
    put(tmp_path, {name: content})
    rows = {(row.split, row.fold): row.verdict for row in check(tmp_path).rows}
    assert f"{name} {why}" in rows["train", 1]
    assert "get it again" in rows["train", 1]
    assert "iconv" in rows["train", 1] or why == "is damaged"
    assert rows["test", 1] == "not the official number"


def test_a_skip_list_in_other_letters_is_refused(tmp_path):
    put(tmp_path, {"skip.txt": "a/1.avi\n".encode("utf-16-le")})
    with pytest.raises(ValueError, match=r"skip\.txt has zeros in it.*convert it to UTF-8"):
        read_skip_list(tmp_path / "skip.txt")


def test_the_report_comes_also_where_nothing_can_be_written(samples, tmp_path, monkeypatch):
    put(tmp_path, {"a/1.avi": samples["a.avi"][0]["a.avi"], "a/2.avi": "text"})
    skip = tmp_path / "lists" / "skip.txt"

    def examine(path):
        if skip.is_file():
            skip.unlink()
            skip.mkdir()  # as a disk that is full by now
        return examined(path)

    examined = check_module._examine
    monkeypatch.setattr(check_module, "_examine", examine)
    report = check(tmp_path, decode=True, jobs=0, skip_list=skip)
    assert set(report.problems) == {"a/2.avi", "what was found"}
    assert "skip.txt" in report.problems["what was found"]
    assert len(report.scans) == 2


def test_a_picture_that_is_too_large_is_named(samples, tmp_path):
    put(tmp_path, {"a/1.avi": samples["a.avi"][0]["a.avi"]})
    (tmp_path / "a" / "bomb").mkdir()
    Image.new("1", (15000, 12500)).save(tmp_path / "a" / "bomb" / "1.png")
    report = check(tmp_path, decode=True, jobs=0)
    assert len(report.scans) == 2
    assert list(report.problems) == ["a/bomb"]
    assert report.problems["a/bomb"].startswith("has 1.png, which is no picture that can be read")


def test_a_check_survives_what_a_decoder_may_raise(samples, tmp_path, monkeypatch):
    put(tmp_path, {"a/1.avi": samples["a.avi"][0]["a.avi"], "a/2.avi": "text"})

    def fail(self):
        raise MemoryError("too large")

    monkeypatch.setattr(VideoFile, "scan", fail)
    report = check(tmp_path, decode=True, jobs=0)
    assert report.problems["a/1.avi"] == "cannot be read (MemoryError: too large)"
