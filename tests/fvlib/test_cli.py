"""The command `fvlib`, and what every command line of this project does."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
import torch
import typer
from PIL import Image

from fvlib import cli, pictures
from fvlib.cli import application, main, one_by_one, run
from fvlib.clustering import METHOD_NAMES, TemporalClustering, hamming_distances
from fvlib.models import tsm_resnet
from fvlib.pictures import shown_of_each

plt = pytest.importorskip("matplotlib.pyplot")

WRITTEN = {"contact.png", "ribbon.png", "averages.gif"}


@pytest.fixture
def clip(tmp_path, monkeypatch):
    """A frame folder of 12 frames: four shades, three frames each, with a little noise."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "my clip"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(12):
        base = np.full((40, 60, 3), 60 * (i // 3), np.uint8)
        base[:, 15 * (i // 3) :][:, :15] = 255
        noisy = base + rng.integers(0, 3, base.shape).astype(np.uint8) * (base < 250)
        Image.fromarray(noisy).save(folder / f"{i:03}.png")
    return folder


# --- clusters ---


@pytest.mark.parametrize("method", [name for name in METHOD_NAMES if name != "cumulative"])
def test_clusters_of_a_clip_are_named_and_drawn(clip, tmp_path, capsys, method):
    out = tmp_path / "out"
    torch.manual_seed(0)
    options = ["-g", "4", "--method", method, "--weights", "none", "--out", str(out)]
    assert main(["clusters", str(clip), *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [f"cluster  {i}: frames {3 * i:5} to {3 * i + 2:5} (3)" for i in range(4)]
    assert {file.name for file in out.iterdir()} == WRITTEN
    with Image.open(out / "averages.gif") as averages:
        assert averages.n_frames == 4
        assert averages.size == (216, 144)


def test_whatever_the_name_of_a_clip_its_clusters_are_drawn(clip, tmp_path):
    clip = clip.rename(tmp_path / os.fsdecode("cost $5_and_$6\n日本".encode() + b"\xff"))
    assert main(["clusters", str(clip), "-g", "4", "--weights", "none", "--out", "out"]) == 0
    assert {file.name for file in Path("out").iterdir()} == WRITTEN


def test_where_nothing_can_be_written_nothing_is_computed(clip, monkeypatch, capsys):
    monkeypatch.setattr(cli, "clusters_of", None)
    Path("out").touch()
    assert main(["clusters", str(clip), "-g", "4", "--weights", "none", "--out", "out"]) == 1
    assert "--out out is a file; wanted a folder" in capsys.readouterr().err


def test_pictures_of_parts_are_those_of_the_whole():
    frames = np.random.default_rng(0).integers(0, 256, (9, 4, 6, 3)).astype(np.uint8)
    labels = np.array([0, 1, 1, 1, 1, 1, 1, 1, 2])
    wanted = shown_of_each(labels, 3)
    assert {label: shown.tolist() for label, shown in wanted.items()} == {
        0: [0],
        1: [1, 4, 7],
        2: [8],
    }
    for parts in (frames[None], np.split(frames, [4, 5]), frames[:, None]):
        kept, means = cli.pictures_of(parts, labels, wanted)
        assert sorted(kept) == [0, 1, 4, 7, 8]
        assert all((kept[i] == frames[i]).all() for i in kept)
        for label, mean in enumerate(means):
            assert (mean == frames[labels == label].mean(0).round()).all()
        assert not any(np.shares_memory(kept[i], frames) for i in kept)


def test_memory_does_not_grow_with_the_frames():
    """Neither for the pictures, of which one part is there at a time, nor for the distances."""
    code = """
import numpy as np, resource, torch
from fvlib.cli import clusters_of, pictures_of
from fvlib.clustering import TemporalClustering
class Network:
    def encode(self, x):
        torch.ones(8, 64, 112, 112)  # of the stem
        return torch.ones(8, 16, 112, 112)
parts = lambda n: (np.ones((8, 224, 300, 3), np.uint8) for _ in range(n))
for n in (20, 80):
    labels, _ = clusters_of(Network(), parts(n), 8 * n, TemporalClustering("uniform", 4))
    pictures_of(parts(n), labels, dict.fromkeys(range(4), ()))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    few, many = map(int, done.stdout.split())  # kB
    assert many - few < 200_000  # holes that no part fits into would be 600 MB


def test_a_long_clip_has_as_few_bars_as_a_picture_has_columns():
    dist = np.arange(2500)
    fig = pictures.ribbon(dist, np.zeros(2501, int))
    bars = [(bar.get_x(), bar.get_width(), bar.get_height()) for bar in fig.axes[0].patches]
    plt.close(fig)
    assert len(bars) == 834
    assert bars[0] == pytest.approx((0.3, 2.4, 2))  # frames 0 to 3
    assert bars[-1][2] == 2499


def test_more_clusters_than_frames_are_refused(clip, capsys):
    assert main(["clusters", str(clip), "-g", "13", "--weights", "none"]) == 1
    assert "has 12 frames; that many clusters are the most, not 13" in capsys.readouterr().err


def test_a_missing_clip_is_named(tmp_path, capsys):
    assert main(["clusters", str(tmp_path / "nothing.mp4")]) == 1
    assert "nothing.mp4" in capsys.readouterr().err


def offline(monkeypatch):
    built = tsm_resnet

    def no_network(*arguments, weights=None, **options):
        if weights:
            raise OSError("no route to the weights")
        return built(*arguments, **options)

    monkeypatch.setattr("fvlib.models.tsm_resnet", no_network)


def test_without_a_network_the_advice_is_one_that_helps(clip, monkeypatch, capsys):
    offline(monkeypatch)
    assert main(["clusters", str(clip), "--weights", "IMAGENET1K_V1"]) == 1
    assert capsys.readouterr().err == (
        "fvlib: the weights IMAGENET1K_V1 are not here and could not be downloaded; --weights none "
        "takes random ones, --weights FILE those of a checkpoint\n"
    )


def test_without_options_and_network_the_weights_are_random_and_said_to_be(
    clip, tmp_path, monkeypatch, capsys
):
    offline(monkeypatch)
    monkeypatch.chdir(tmp_path)
    assert main(["clusters", str(clip)]) == 0
    assert "could not be downloaded: random ones are taken" in capsys.readouterr().err
    assert len(list(tmp_path.glob("clusters/*/*.png"))) == 2


def test_the_folder_to_check_may_be_named_by_the_environment(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FVLIB_DATA", str(tmp_path))
    assert main(["check"]) == 1
    assert f"{tmp_path} holds none of" in capsys.readouterr().err


def test_distances_do_not_hang_on_the_chunk():
    torch.manual_seed(0)
    network = tsm_resnet(18, 4, width=8).eval()
    frames = np.random.default_rng(1).integers(0, 256, (7, 224, 224, 3)).astype(np.uint8)
    with torch.no_grad():
        x = torch.from_numpy(frames).permute(0, 3, 1, 2)[None]
        whole = hamming_distances(network.features(x, upto="layer1"))[0].numpy()
    for chunk in (1, 3, 7):
        # A batch of another size may round one of thousands of signs to the other side.
        parts = np.split(frames, range(chunk, 7, chunk))
        labels, dist = cli.clusters_of(network, parts, 7, TemporalClustering("optimal", 7))
        assert np.abs(dist - whole).max() <= 2
        assert labels.tolist() == list(range(7))


# --- check ---


def test_check_wants_a_folder(tmp_path, capsys):
    assert main(["check", str(tmp_path / "nowhere")]) == 1
    assert "nowhere is no folder" in capsys.readouterr().err


@pytest.mark.process
def test_check_tells_what_is_there_and_fails_for_a_damaged_clip(clip, capsys):
    root, skip = clip.parent / "sets", clip.parent / "skip.txt"
    (root / "class0").mkdir(parents=True)
    clip.rename(root / "class0" / "clip")
    assert main(["check", str(root)]) == 0
    assert "folder" in capsys.readouterr().out
    (root / "class0" / "clip" / "003.png").write_bytes(b"")
    assert main(["check", str(root), "--decode", "--jobs", "1", "--skip-list", str(skip)]) == 1
    assert "1 cannot be used" in capsys.readouterr().out
    assert "class0/clip" in skip.read_text("utf-8")


# --- every command line ---

app = application("Something to try.")


@app.command(cls=cli.Command)
def first(
    names: Annotated[list[str], typer.Option()] = (),
    numbers: Annotated[list[int], typer.Option("-n", "--numbers")] = (),
    loud: bool = False,
) -> int:
    """The first.

    examples:
      try first --names a b
          --loud
    """
    print(*names, *numbers, loud)
    return 3


@app.command()
def fails(how: str) -> int:
    eval(how)
    return 0


def attempt(*words):
    return run(app, "python -m tried", list(words))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--names a b --loud", "a b True"),
        ("--loud --names a b", "a b True"),
        ("--names a --names b c", "a b c False"),
        ("--names=a -n 1 2 --numbers -3", "a 1 2 -3 False"),
        ("", "False"),
    ],
)
def test_an_option_takes_several_values(words, told, capsys):
    assert attempt("first", *words.split()) == 3
    assert capsys.readouterr().out == f"{told}\n"


def test_only_options_of_several_values_are_repeated():
    command = typer.main.get_command(app)
    words = ["fails", "--names", "a", "b"]
    assert one_by_one(command, words) == words


def test_help_keeps_its_lines(capsys):
    assert attempt("first", "--help") == 0
    assert "    try first --names a b\n        --loud\n" in capsys.readouterr().out


@pytest.mark.parametrize("words", [(), ("nothing",), ("first", "--no"), ("first", "-n", "a")])
def test_a_wrong_command_line_ends_with_2(words, capsys):
    assert attempt(*words) == 2
    said = capsys.readouterr()
    assert "Usage: python -m tried" in said.out + said.err


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ("int('x')", "invalid literal for int() with base 10: 'x'"),
        ("open('/nowhere/x')", "[Errno 2] No such file or directory: '/nowhere/x'"),
        ("(_ for _ in ()).throw(MemoryError)", "MemoryError"),
        (
            "exec('import nbformat.nothing')",
            "nbformat is not installed; pip install 'fvlib[book]'",
        ),
    ],
)
def test_a_failure_is_one_line(how, line, capsys):
    assert attempt("fails", how) == 1
    assert capsys.readouterr().err == f"tried: {line}\n"


def test_an_error_of_the_program_itself_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        attempt("fails", "1 / 0")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_says_how_to_go_on(number, status, capsys):
    before = signal.getsignal(signal.SIGTERM)
    how = f"__import__('signal').raise_signal({int(number)})"
    assert attempt("fails", how) == status
    said = capsys.readouterr().err
    assert said.startswith("tried: interrupted; to go on: python -m tried fails '__import__(")
    assert signal.getsignal(signal.SIGTERM) == before


MUCH = """
import sys
from fvlib.cli import application, run
app = application("It says much.")
@app.command()
def one():
    print("x" * 100_000)
@app.command()
def other(): ...
sys.exit(run(app, "much", ["one"]))
"""


def test_a_reader_that_has_enough_is_no_failure_to_tell(tmp_path):
    (tmp_path / "much.py").write_text(MUCH, "utf-8")
    head = f'"{sys.executable}" "{tmp_path / "much.py"}" | head -c 1'
    done = subprocess.run(head, shell=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("x", "")


def test_help_does_not_wait_for_torch():
    code = "import sys; from fvlib.cli import main; main(['--help']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize("module", ["fvlib", "fvlib.cli"])
def test_the_module_is_the_command(module):
    command = [sys.executable, "-m", module, "check", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: fvlib check")
