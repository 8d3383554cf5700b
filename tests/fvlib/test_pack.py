"""Machines with torch and little else: data as one file, runs in one process in limited time."""

import gzip
import inspect
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fvlib.datasets import Move4MNIST, load_backgrounds, load_digits, move4mnist
from fvlib.datasets.backgrounds import SCENES
from fvlib.datasets.move4mnist import pack_real
from fvlib.storage import Busy
from lab import experiments, records
from lab.__main__ import main
from lab.building import build_network
from lab.commands.options import parameter
from lab.commands.runs import TIME_IS_UP
from lab.experiments import parts
from lab.experiments.parts import TimeIsUp, require_time, time_limit
from lab.recipes import parameters_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to run commands in, with the recipes and the plan, and no records yet."""
    (tmp_path / "data").mkdir()
    for name in ("recipes.toml", "plan.toml", "samples"):
        (tmp_path / "data" / name).symlink_to(ROOT / "data" / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder as FVLIB_DATA names one: little of MNIST, and clips whose frames are noise."""
    av = pytest.importorskip("av", reason="PyAV writes the clips")
    root = tmp_path_factory.mktemp("real")
    rng = np.random.default_rng(0)
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        images = rng.integers(0, 256, (60, 28, 28)).astype(np.uint8)
        for kind, array in (("images", images), ("labels", np.arange(60, dtype=np.uint8) % 10)):
            head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
            name = f"{part}-{kind}-idx{array.ndim}-ubyte.gz"
            (raw / name).write_bytes(gzip.compress(head + array.tobytes(), 1))
    (root / "UCF-101").mkdir()
    first = {split: names[0] for split, names in SCENES.items()}
    for name in first.values():
        with av.open(str(root / "UCF-101" / f"{name}.avi"), "w") as file:
            stream = file.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for picture in rng.integers(0, 256, (64, 48, 64, 3)).astype(np.uint8):
                file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            file.mux(stream.encode())
    for split, names in SCENES.items():
        for name in names[1:]:
            shutil.copy(root / "UCF-101" / f"{first[split]}.avi", root / "UCF-101" / f"{name}.avi")
    return root


@pytest.fixture(scope="module")
def pack(folder, tmp_path_factory):
    """What `data pack` makes of that folder."""
    path = tmp_path_factory.mktemp("pack") / "pack.npz"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FVLIB_DATA", str(folder))
        assert main(["data", "pack", str(path)]) == 0
    return path


def banks(place):
    """All that Move4MNIST can ask for below a place, digests and names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FVLIB_DATA", str(place))
        found = [load_digits("real", split) for split in ("train", "test", "train+validation")]
        found += [load_backgrounds("real", split) for split in ("train", "validation", "test")]
        found += [load_backgrounds("real", split, 2) for split in ("train", "pretrain")]
        found += [load_backgrounds("real", "pretrain")]
        clips = Move4MNIST("test", clips=3, digits="real", backgrounds="real")
        return [(bank.sha256, bank.name) for bank in found], clips.describe(), clips.materialise()


# --- the file ---


def test_a_pack_gives_what_the_folder_gives(folder, pack):
    (one, about, (x, _)), (other, about_other, (y, _)) = banks(folder), banks(pack)
    assert one == other
    assert about == about_other
    assert torch.equal(x, y)
    assert len({sha for sha, _ in one}) == 6  # splits share a scene, or its few digits


BLOCKED = """
import sys
sys.modules.update(dict.fromkeys({names}))  # to import what is None is an error
from lab.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def beyond_the_dependencies() -> list[str]:
    """Modules of all packages that a machine with those that pyproject.toml names lacks."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed, todo = set(), list(project["dependencies"])
    while todo:
        wanted = Requirement(todo.pop())
        name = canonicalize_name(wanted.name)
        if name not in needed and (wanted.marker is None or wanted.marker.evaluate({"extra": ""})):
            needed.add(name)
            todo += metadata.requires(name) or []
    found = metadata.packages_distributions()
    return [
        module
        for module, packages in found.items()
        if needed.isdisjoint(map(canonicalize_name, packages)) and module not in ("fvlib", "lab")
    ]


SMOKE = ["--table", "table1", "--rows", "slope-8", "--scale", "smoke", "--data", "real"]
SMALLER = ["train_clips=8", "test_clips=4", "resolution=16", "init=none"]
NAME = "table1/smoke-real-slope-8-s0"


@pytest.mark.process
def test_a_run_takes_torch_and_no_decoder_and_is_the_same(folder, pack, here, monkeypatch):
    command = ["runs", "run", *SMOKE, "--plain", "--set", *SMALLER, "--out"]
    code = [sys.executable, "-c", BLOCKED.format(names=beyond_the_dependencies())]
    environment = {"FVLIB_DATA": str(pack), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*code, *command, "packed"], env=os.environ | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    monkeypatch.setenv("FVLIB_DATA", str(folder))
    assert main([*command, "folder"]) == 0
    one, other = (records.read(Path(place, f"{NAME}.json")) for place in ("packed", "folder"))
    assert one.data == other.data
    assert one.checksum == other.checksum
    assert one.results == other.results
    assert "init" not in one.parameters  # from scratch
    assert one.cost["epoch_s"] > 0


def test_a_pack_is_not_written_without_a_clip_that_is_named(folder, tmp_path, monkeypatch):
    part = tmp_path / "part"
    shutil.copytree(folder, part)
    (part / "UCF-101" / f"{SCENES['test'][3]}.avi").unlink()
    monkeypatch.setenv("FVLIB_DATA", str(part))
    with pytest.raises(ValueError, match=rf"{SCENES['test'][3]}\.avi is not below"):
        pack_real(tmp_path / "part.npz")
    assert not (tmp_path / "part.npz").exists()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"no pack at all",
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:5000] + b"12345678" + data[5008:],
    ],
)
def test_a_damaged_pack_is_told(pack, tmp_path, monkeypatch, spoil):
    path = tmp_path / "spoilt.npz"
    path.write_bytes(spoil(pack.read_bytes()))
    monkeypatch.setenv("FVLIB_DATA", str(path))
    with pytest.raises(ValueError, match=r"spoilt\.npz, a file without train-images-idx3"):
        load_digits("real", "train")


def test_a_pack_has_nothing_else(pack, here, monkeypatch, capsys):
    monkeypatch.setenv("FVLIB_DATA", str(pack))
    options = ["--row", "ucf101-tsm-1", "--scale", "smoke", "--data", "real"]
    assert main(["train", "table4", *options]) == 1
    assert "pack.npz" in capsys.readouterr().err


@pytest.mark.skipif(
    not os.path.isdir(os.environ.get("FVLIB_DATA", "")), reason="FVLIB_DATA names no folder"
)
def test_the_real_data_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(move4mnist, "SCENES", {k: SCENES[k] for k in ("shared", "pretrain")})
    place, path = os.environ["FVLIB_DATA"], tmp_path / "pack.npz"
    pack_real(path)
    assert path.stat().st_size < 60e6
    found = []
    for where in (place, path):
        monkeypatch.setenv("FVLIB_DATA", str(where))
        found.append(Move4MNIST("train", digits="real", backgrounds="real").sha256)
        found[-1]["pretrain"] = load_backgrounds("real", "pretrain", 6).sha256
        record = records.read(ROOT / "data/records/pretrain/small-real-digits-s0.json")
        assert found[-1]["pretrain"] == record.data["sha256"]["backgrounds"]
    assert found[0] == found[1]


# --- the limit ---


def test_a_limit_stops_when_the_longest_stretch_does_not_fit(monkeypatch):
    times = iter([0.0, 10.0, 13.0, 16.0, 26.0, 0.0, 10.0])  # the start, then each look
    monkeypatch.setattr(parts, "time", SimpleNamespace(monotonic=times.__next__))
    with time_limit(26.0):
        require_time()
        require_time()
        require_time()
        with pytest.raises(TimeIsUp):
            require_time()  # 10 s are the longest, and none is left
    require_time()  # there is none now
    with time_limit(1.0), pytest.raises(TimeIsUp):
        require_time()


CHEAP = ["--table", "table1", "--rows", "tsm-8", "--scale", "smoke", "--data", "embedded"]
NAMES_OF_TWO = [f"table1/smoke-embedded-tsm-8-s{seed}" for seed in (0, 1)]


def cheap(out, *more, seeds="0 1"):
    small = ["train_clips=8", "test_clips=4", "resolution=16", "epochs=3"]
    options = [*CHEAP, "--seeds", *seeds.split(), "--out", out]
    return main(["runs", "run", *options, "--plain", "--set", *small, *more])


def test_a_run_in_pieces_has_the_record_of_one(here, capsys):
    assert cheap("whole", seeds="0") == 0
    said, tiny = [], ["--minutes", "1e-6"]
    for _ in range(3):  # an epoch each, then the test; the second run is not begun
        assert cheap("pieces", *tiny) == TIME_IS_UP
        said.append(capsys.readouterr().err.splitlines()[-1])
    assert said == [
        f"time is up; {kept} of 3 epochs are kept, and the same command goes on; "
        f"left: {', '.join(NAMES_OF_TWO)}"
        for kept in (1, 2, 3)
    ]
    found = {str(file) for file in Path("pieces").rglob("*") if file.is_file()}
    one = NAMES_OF_TWO[0]
    kinds = (("checkpoints", "pt"), ("checkpoints", "run"), ("locks", "lock"), ("logs", "log"))
    assert found == {f"pieces/{folder}/{one}.{ending}" for folder, ending in kinds}
    assert cheap("pieces", *tiny) == TIME_IS_UP
    assert capsys.readouterr().err.splitlines()[-1] == f"time is up; left: {NAMES_OF_TWO[1]}"
    whole, pieces = (records.read(Path(place, f"{one}.json")) for place in ("whole", "pieces"))
    assert whole.results == pieces.results
    assert whole.checksum == pieces.checksum
    assert whole.parameters == pieces.parameters
    assert not [file for file in Path("pieces", "checkpoints").rglob("*") if file.is_file()]
    assert cheap("pieces", "--minutes", "60", seeds="0") == 0
    assert "1 runs: 1 done" in capsys.readouterr().err


@pytest.fixture
def stub(monkeypatch):
    """In place of a run: notes what it was told, and fails for seed 0."""
    told = []

    def run(experiment, row, *, seed, **options):
        told.append(options | {"row": row, "seed": seed, "threads": torch.get_num_threads()})
        if seed == 0:
            raise RuntimeError("shapes do not fit")
        if seed == 1:
            raise Busy("held by process 7")
        return Path("a record")

    # The options of the command line look at the signature, which is that of the real one.
    run.__signature__ = inspect.signature(experiments.run)
    monkeypatch.setattr(experiments, "run", run)
    return told


def test_a_failing_run_stops_no_other(here, stub, capsys):
    threads = torch.get_num_threads()
    assert cheap("records", "--threads", "2", seeds="0 1 2") == 1
    said = capsys.readouterr().err
    assert "RuntimeError: shapes do not fit" in said
    ends = [line.split()[0] for line in said.splitlines() if line.endswith(("-s0", "-s1", "-s2"))]
    assert ends == ["FAILED", "to", "done"]
    assert [(run["seed"], run["threads"], run["epochs"]) for run in stub] == [
        (0, 2, 3),
        (1, 2, 3),
        (2, 2, 3),
    ]
    assert torch.get_num_threads() == threads


# --- the command line ---


def test_parameters_are_given_as_in_the_recipe_file():
    assert parameter("lr=0.01") == ("lr", 0.01)
    assert parameter("shift_stages=[2, 3]") == ("shift_stages", [2, 3])
    assert parameter("flip=true") == ("flip", True)
    assert parameter("weights=none") == ("weights", "none")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--minutes", "9"], "--set and --minutes are for runs in this process"),
        (["--set", "lr=0.1"], "--set and --minutes are for runs in this process"),
        (["--plain", "--jobs", "2"], "give --jobs 1"),
        (["--plain", "--minutes", "9", "--force"], "--force begins at the start"),
        (["--plain", "--set", "nothing=1"], "unknown key nothing; there is"),
    ],
)
def test_options_that_do_not_go_together(here, capsys, options, complaint):
    assert main(["runs", "run", *CHEAP, *options]) == 1
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--set", "seed=1"], ["--set", "lr"], ["--minutes", "0"]])
def test_values_that_cannot_be(options, capsys):
    assert main(["runs", "run", "--plain", *options]) == 2
    assert options[1] in capsys.readouterr().err or options[1] == "seed=1"


def test_train_takes_other_parameters_too(here, stub):
    options = ["--row", "tsm-8", "--seed", "2", "--set", "init=none", "lr=0.5"]
    assert main(["train", "table1", *options]) == 0
    assert (stub[0]["init"], stub[0]["lr"]) == ("none", 0.5)


def test_weights_none_is_from_scratch(tmp_path):
    recipes = ROOT / "data" / "recipes.toml"
    parameters, _ = parameters_of(recipes, "table1", "tsm-8", "paper", "real", weights="none")
    torch.manual_seed(0)
    one = build_network(parameters, 4, tmp_path)
    torch.manual_seed(0)
    other = build_network(replace(parameters, weights=None), 4, tmp_path)
    assert torch.equal(one.conv1.weight, other.conv1.weight)
    with pytest.raises(ValueError, match="is 'nothing'"):
        build_network(replace(parameters, weights="nothing"), 4, tmp_path)
