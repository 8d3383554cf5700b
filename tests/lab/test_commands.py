"""Commands that look after data: data check, data mini, clusters."""

import numpy as np
import pytest
import torch
from PIL import Image

from fvlib.clustering import TemporalClustering, hamming_distances
from fvlib.models import tsm_resnet
from lab.__main__ import main
from lab.commands.own_clip import clusters_of
from lab.synthetic import write_mini


@pytest.fixture
def clip(tmp_path):
    """A frame folder of 12 frames: four shades, three frames each, with a little noise."""
    folder = tmp_path / "my clip"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(12):
        base = np.full((40, 60, 3), 60 * (i // 3), np.uint8)
        base[:, 15 * (i // 3) :][:, :15] = 255
        noisy = base + rng.integers(0, 3, base.shape).astype(np.uint8) * (base < 250)
        Image.fromarray(noisy).save(folder / f"{i:03}.png")
    return folder


def test_clusters_of_a_clip_are_named_and_drawn(clip, tmp_path, capsys):
    out = tmp_path / "out"
    torch.manual_seed(0)
    options = ["-g", "4", "--method", "slope", "--weights", "none", "--out", str(out)]
    assert main(["clusters", str(clip), *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [f"cluster  {i}: frames {3 * i:5} to {3 * i + 2:5} (3)" for i in range(4)]
    assert {file.name for file in out.iterdir()} == {"contact.png", "ribbon.png", "averages.gif"}
    with Image.open(out / "averages.gif") as averages:
        assert averages.n_frames == 4
        assert averages.size == (216, 144)


def test_more_clusters_than_frames_are_refused(clip, capsys):
    assert main(["clusters", str(clip), "-g", "13", "--weights", "none"]) == 1
    assert "has 12 frames; that many clusters are the most, not 13" in capsys.readouterr().err


def test_a_missing_clip_is_named(tmp_path, capsys):
    assert main(["clusters", str(tmp_path / "nothing.mp4")]) == 1
    assert "nothing.mp4" in capsys.readouterr().err


def test_distances_do_not_hang_on_the_chunk(monkeypatch):
    torch.manual_seed(0)
    network = tsm_resnet(18, 4, width=8).eval()
    frames = np.random.default_rng(1).integers(0, 256, (7, 224, 224, 3)).astype(np.uint8)
    with torch.no_grad():
        x = torch.from_numpy(frames).permute(0, 3, 1, 2)[None]
        whole = hamming_distances(network.features(x, upto="layer1"))[0]
    for chunk in (1, 3, 7):
        monkeypatch.setattr("lab.commands.own_clip.CHUNK", chunk)
        # A batch of another size may round one of thousands of signs to the other side.
        labels, dist = clusters_of(network, frames, TemporalClustering("optimal", 7))
        assert (dist - whole).abs().max() <= 2
        assert labels.tolist() == list(range(7))


@pytest.mark.process
def test_a_damaged_clip_of_a_mini_set_is_named_and_listed(tmp_path, capsys):
    root, skip = tmp_path / "mini", tmp_path / "skip.txt"
    write_mini("something", root, clips=32, jobs=0)
    assert main(["data", "check", str(root)]) == 0
    assert "something_v2 (mini)" in capsys.readouterr().out
    video = next(root.rglob("*.webm"))
    video.write_bytes(video.read_bytes()[:100])
    options = ["--decode", "--jobs", "1", "--skip-list", str(skip)]
    assert main(["data", "check", str(root), *options]) == 1
    report = capsys.readouterr().out
    assert "48 clips decoded, 1 cannot be used" in report
    assert video.name in skip.read_text()


def test_a_mini_set_out_of_balance_is_refused(tmp_path, capsys):
    assert main(["data", "mini", "something", "--folder", str(tmp_path), "--clips", "16"]) == 1
    assert "wanted a multiple of 32" in capsys.readouterr().err


def test_check_wants_a_folder(tmp_path, capsys):
    assert main(["data", "check", str(tmp_path / "nowhere")]) == 1
    assert "nowhere is no folder" in capsys.readouterr().err
