"""What a network says of videos of any length, and when."""

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fvlib import Protocol, TemporalClustering, evaluate, full_video, tsm_resnet, video_folder
from fvlib import pictures as drawings
from fvlib.cli import main
from fvlib.datasets.videos import UnreadableClip, VideoFile, count_frames
from fvlib.datasets.videos.clips import VideoClips
from fvlib.models.full_video import image_network
from fvlib.models.memory_efficient import saved_activation_bytes
from fvlib.own.model import Settings, network_for, save_config, save_weights
from fvlib.own.predict import Predictor, predict

av = pytest.importorskip("av")
pytest.importorskip("safetensors")

CLASSES = ("a", "b", "c")
SIZE = (32, 40)
LENGTHS = (25, 9, 3, 40)


def write(path, frames, rate=10):
    """A video of pictures (t, h, w, 3)."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        file.mux(stream.encode())


def pictures(t, seed=0, h=48, w=64):
    """Scenes of five frames: a colour, and a square that wanders."""
    rng = np.random.default_rng(seed)
    frames = np.repeat(rng.integers(0, 256, (-(-t // 5), 1, 1, 3), np.uint8), 5, 0)[:t]
    frames = np.tile(frames, (1, h, w, 1))
    for i, frame in enumerate(frames):
        frame[10:20, i % 40 : i % 40 + 12] = 255 - frame[0, 0]
    return frames


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Four clips in files, as an evaluation reads them."""
    root = tmp_path_factory.mktemp("videos")
    for i, t in enumerate(LENGTHS):
        (root / CLASSES[i % 3]).mkdir(exist_ok=True)
        write(root / CLASSES[i % 3] / f"{i}.avi", pictures(t, i))
    found = video_folder(root)
    return VideoClips(found, count_frames(found), size=SIZE)


def network(method="cumulative", g=4, **options):
    torch.manual_seed(0)
    step = None if method is None else TemporalClustering(method, g)
    model = tsm_resnet(18, 3, width=8, clustering=step, **options)
    torch.nn.init.normal_(model.fc.weight)
    return model.eval()


def predictor(model, protocol=None, **options):
    options = {"size": SIZE, "autocast": False, **options}
    return Predictor(
        network=model, classes=CLASSES, protocol=protocol or Protocol.clustered(), **options
    )


@pytest.mark.parametrize(
    ("options", "protocol"),
    [
        ({"chunk": 5}, Protocol.clustered()),
        ({}, Protocol.clustered(24)),
        ({"method": "slope", "chunk": 7}, Protocol("all", True, scale=28, crop=24)),
        ({"method": "uniform", "consensus": "size"}, Protocol.clustered()),
        ({"consensus": "sqrt", "chunk": "auto"}, Protocol.clustered()),
        ({"method": "optimal", "g": 3}, Protocol.clustered()),
        ({"method": None}, Protocol.sampled(8)),
        ({"g": 2}, Protocol(8, True)),
        ({"chunk": 4}, Protocol("all", True, stride=2)),
    ],
)
def test_logits_are_those_of_the_evaluation(clips, options, protocol):
    model = network(**options)
    wanted = evaluate(model, clips, protocol, batch_size=4, autocast=False)
    found = list(predict(predictor(model, protocol), clips.clips.paths))
    logits = np.stack([one.logits for one in found])
    assert np.abs(logits - wanted.scores).max() < 1e-5 * np.abs(wanted.scores).max()
    assert [one.top(1)[0][0] for one in found] == [CLASSES[k] for k in wanted.prediction]
    assert np.ptp(wanted.scores, axis=0).min() > 0.01  # clips differ, so that this says something


@pytest.mark.parametrize("autocast", [False, True])
def test_in_the_same_chunks_the_logits_are_equal_to_the_last_bit(clips, autocast):
    model = network("slope", 3, chunk=5)
    options = {"batch_size": 1, "stream": True, "autocast": autocast}
    wanted = evaluate(model, clips, Protocol.clustered(), **options)
    found = predict(predictor(model, autocast=autocast), clips.clips.paths)
    assert (np.stack([one.logits for one in found]) == wanted.scores).all()


ALL = Settings(
    weights="none", width=8, method="none", clusters=None, frames="all", chunk=4, size=32
)


def test_all_frames_in_pieces(clips):
    """By `predict`, by `evaluate`, and from the scores of the pieces one by one."""
    model = network_for(ALL, 3).eval()
    torch.nn.init.normal_(model.network.fc.weight)
    wanted = evaluate(model, clips, Protocol("all", False), batch_size=3, autocast=False)
    for i, found in enumerate(predict(predictor(model, ALL.protocol), clips.clips.paths)):
        frames = clips.read(i, np.arange(clips.lengths[i]))[None]
        with torch.no_grad():
            by_hand = sum(len(x[0]) * model.network(x)[0] for x in frames.split(4, 1))
        assert np.abs(found.logits - by_hand.numpy() / clips.lengths[i]).max() < 1e-5
        assert np.abs(found.logits - wanted.scores[i]).max() < 1e-5
        assert np.abs(found.segment_logits.mean(0) - found.logits).max() < 1e-5


def test_gradients_in_pieces_are_those_of_the_pieces_together():
    """And the running statistics follow each piece once, all of them as far as one batch."""
    x = torch.randint(256, (2, 7, 3, 32, 32), dtype=torch.uint8)
    lengths, target = torch.tensor([7, 5]), torch.tensor([0, 2])
    model, plain = (network_for(ALL, 3).double() for _ in range(2))
    for network in (model, plain):
        network.network.dropout.p = 0.0
        torch.nn.init.normal_(network.network.fc.weight, generator=torch.Generator().manual_seed(0))
    torch.nn.functional.cross_entropy(model(x, lengths), target).backward()
    plain = plain.network  # without chunks: four frames of both, then three and one
    for norm in (m for m in plain.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        norm.momentum = 0.05
    first, last = plain(x[:, :4]), plain(x[:, 4:], torch.tensor([3, 1]))
    logits = torch.stack([(4 * first[0] + 3 * last[0]) / 7, (4 * first[1] + last[1]) / 5])
    torch.nn.functional.cross_entropy(logits, target).backward()
    for (name, found), wanted in zip(
        model.network.named_parameters(), plain.parameters(), strict=True
    ):
        assert torch.allclose(found.grad, wanted.grad, rtol=1e-9, atol=1e-12), name
    for (name, found), wanted in zip(model.network.named_buffers(), plain.buffers(), strict=True):
        assert torch.equal(found, wanted), name
    assert {m.momentum for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {0.1}


def test_memory_in_pieces_does_not_grow_with_the_clip():
    """Of many pieces little more than their pixels is kept, far less than of one by itself."""
    model = network_for(ALL, 3)
    x = torch.randint(256, (1, 64, 3, 32, 32), dtype=torch.uint8)
    one = saved_activation_bytes(lambda: model.network(x[:, :4]).sum(), model)
    kept = saved_activation_bytes(lambda: model(x).sum(), model) - x.nbytes
    assert kept < one / 10


def test_any_backbone_gives_the_logits_of_the_evaluation(clips):
    torch.manual_seed(0)
    step = TemporalClustering("cumulative", 4)
    model = full_video(image_network("resnet18", 3), clustering=step)
    wanted = evaluate(model, clips, Protocol.clustered(), autocast=False)
    for i, found in enumerate(predict(predictor(model), clips.clips.paths)):
        assert np.abs(found.logits - wanted.scores[i]).max() < 1e-5
        assert np.allclose(found.segment_logits.mean(0), found.logits, atol=1e-6)
        assert len(found.segment_logits) == min(4, clips.lengths[i])
    assert model.training
    assert model.chunk is None
    assert model.clustering is step


@pytest.mark.parametrize("consensus", ["mean", "size", "sqrt"])
def test_logits_are_the_average_of_those_of_the_segments(clips, consensus):
    found = predictor(network(consensus=consensus))(clips.clips.paths[1])
    weights = {"mean": np.ones(4), "size": found.sizes, "sqrt": np.sqrt(found.sizes)}[consensus]
    average = np.average(found.segment_logits, axis=0, weights=weights)
    assert np.allclose(average, found.logits, atol=1e-5)
    assert np.ptp(found.segment_logits, axis=0).min() > 0.01
    assert found.sizes.sum() == found.frames
    assert len(set(found.sizes.tolist())) > 1


def test_segments_lie_where_the_clusters_are(tmp_path):
    """At 10 frames a second: 12 dark frames, 6 light ones, 2 dark ones."""
    frames = np.full((20, 48, 64, 3), 20, np.uint8)
    frames[12:18] = 220
    write(tmp_path / "three.mp4", frames)
    found = predictor(network("slope", 3, shift_stages=()))(tmp_path / "three.mp4")
    assert (found.frames, found.seconds) == (20, pytest.approx(2.0))
    assert found.edges == pytest.approx([0, 1.2, 1.8, 2.0])
    assert found.sizes.tolist() == [12, 6, 2]
    shares = found.segment_scores
    assert np.allclose(shares.sum(1), 1)
    assert np.allclose(shares[0], shares[2], atol=0.2)
    rows = found.segments()
    assert [row["end"] for row in rows] == pytest.approx([1.2, 1.8, 2.0])
    assert [row["class"] for row in rows] == [CLASSES[k] for k in shares.argmax(1)]
    assert [row["score"] for row in rows] == pytest.approx(shares.max(1))


def test_a_frame_of_few_stands_for_the_time_to_halfway_to_the_next(tmp_path):
    write(tmp_path / "a.mp4", pictures(40))
    found = predictor(network(None), Protocol.sampled(4))(tmp_path / "a.mp4")  # 5, 15, 25, 35
    assert found.edges == pytest.approx([0, 1, 2, 3, 4])
    assert found.sizes.tolist() == [1, 1, 1, 1]
    assert np.allclose(found.segment_logits.mean(0), found.logits, atol=1e-6)


def test_a_folder_without_a_rate_is_told_in_frames(tmp_path):
    for i, frame in enumerate(pictures(10)):
        Image.fromarray(frame).save(tmp_path / f"{i}.png")
    found = predictor(network("uniform", 2))(tmp_path)
    assert found.seconds is None
    assert found.edges.tolist() == [0, 5, 10]


def test_a_file_is_decoded_as_often_as_it_has_to_be(clips, monkeypatch):
    decoded, original = [], VideoFile.decoded

    def counted(self):
        decoded.append(self.path)
        return original(self)

    monkeypatch.setattr(VideoFile, "decoded", counted)
    for method, passes in (("cumulative", 3), ("slope", 3), ("uniform", 2), ("optimal", 2)):
        predictor(network(method))(clips.clips.paths[0])
        assert len(decoded) == passes
        decoded.clear()
    predictor(network(None), Protocol.sampled(8))(clips.clips.paths[0])
    assert len(decoded) == 2


def test_what_cannot_be_read_is_told_and_the_others_go_on(clips, tmp_path):
    good = clips.clips.paths[0]
    cut, text = tmp_path / "cut.avi", tmp_path / "text.mp4"
    cut.write_bytes(good.read_bytes()[: 4 * good.stat().st_size // 5])
    text.write_text("no video")
    files = [cut, good, tmp_path / "gone.mp4", text, good]
    found = list(predict(predictor(network()), files))
    assert [isinstance(one, UnreadableClip) for one in found] == [True, False, True, True, False]
    assert "is not there" in str(found[2])
    assert (found[1].logits == found[4].logits).all()


def test_numbers_that_are_no_scores_are_no_answer(clips):
    model = network()
    torch.nn.init.constant_(model.fc.bias, torch.nan)
    with pytest.raises(FloatingPointError, match="not finite"):
        predictor(model)(clips.clips.paths[0])


@pytest.mark.parametrize("options", [{"views": 2}, {"order": "reversed"}])
def test_other_views_are_refused(options):
    with pytest.raises(ValueError, match="shown once, forward"):
        predictor(network(), replace(Protocol.sampled(8), **options))


# --- the command ---


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Runs `fvlib predict` with a model in a folder."""
    settings = Settings(width=8, clusters=4, size=32, weights="none")
    save_config(tmp_path / "model", settings, CLASSES)
    save_weights(tmp_path / "model", network())
    monkeypatch.chdir(tmp_path)
    return lambda *words: main(["predict", "model", *map(str, words)])


def test_the_command_tells_classes_and_fails_for_a_damaged_file(clips, command, capsys):
    good, bad = clips.clips.paths[0], Path("bad.avi")
    bad.write_bytes(b"")
    assert command(good) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["file", "class", "score"]
    assert rows[0].startswith(str(good))
    assert sorted(row.split()[-2] for row in rows) == list(CLASSES)
    shares = [float(row.split()[-1]) for row in rows]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1, abs=0.002)

    assert command(bad, good, "--csv", "--top", 2) == 1
    said = capsys.readouterr()
    assert said.err == "fvlib: bad.avi: is empty (0 bytes)\n"
    table = list(csv.DictReader(said.out.splitlines()))
    assert [(row["file"], row["class"]) for row in table] == [
        (str(good), row.split()[-2]) for row in rows[:2]
    ]

    assert command(good, bad, "--json", "--timeline", "--top", 1) == 1
    first, second = json.loads(capsys.readouterr().out)
    assert second == {"file": "bad.avi", "error": "is empty (0 bytes)"}
    assert (first["frames"], first["seconds"]) == (LENGTHS[0], pytest.approx(LENGTHS[0] / 10))
    assert [one["class"] for one in first["classes"]] == [rows[0].split()[-2]]
    segments = first["segments"]
    assert len(segments) == 4
    assert [one["start"] for one in segments[1:]] == [one["end"] for one in segments[:-1]]
    for one in segments:
        assert one["class"] == max(one["scores"], key=one["scores"].get)
        assert one["score"] == one["scores"][one["class"]]
    written = list(csv.DictReader(Path("timeline/0.csv").read_text().splitlines()))
    assert [row["class"] for row in written] == [one["class"] for one in segments]
    assert float(written[-1]["end"]) == pytest.approx(LENGTHS[0] / 10)
    with Image.open("timeline/0.png") as picture:
        assert picture.size[0] > 900


def test_files_of_one_name_have_timelines_of_their_own(clips, command):
    good = clips.clips.paths[0]
    Path("0.avi").write_bytes(good.read_bytes())
    assert command(good, "0.avi", "--timeline", "--out", "found") == 0
    assert {file.name for file in Path("found").iterdir()} == {
        *("0.csv", "0.png", "0-2.csv", "0-2.png")
    }


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nowhere", "a.mp4"), "nowhere is no model; wanted a folder that `fvlib fit` has written"),
        (("model", "a.mp4", "b.mp4"), "a.mp4 is not there"),
        (("model", "model", "--json", "--csv"), "choose one of them"),
    ],
)
def test_a_wrong_command_is_told_before_anything_is_loaded(words, told, command, capsys):
    assert main(["predict", *words]) == 1
    assert told in capsys.readouterr().err


# --- the picture ---


def test_the_timeline_draws_the_classes_that_are_largest_somewhere():
    plt = pytest.importorskip("matplotlib.pyplot")
    edges, names = np.array([0, 1, 4, 5.0]), ["walk", "run $1", "never", "sit"]
    scores = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.6, 0.3, 0.0], [0.5, 0.2, 0.2, 0.1]])
    fig = drawings.timeline(edges, scores, names, "a $ title $")
    curves, strip = fig.axes
    drawn = {one.get_label(): one.get_data() for one in curves.patches}
    assert set(drawn) == {"walk", "run $1"}
    assert drawn["walk"].values.tolist() == pytest.approx([70, 10, 50])
    assert drawn["walk"].edges.tolist() == edges.tolist()
    colours = [bar.get_facecolor() for bar in strip.patches]
    assert colours[0] == colours[2] != colours[1]
    spans = [(bar.get_x(), bar.get_width()) for bar in strip.patches]
    assert spans == [(0, 1), (1, 3), (4, 1)]
    plt.close(fig)


# --- memory ---

PEAKS = """
import sys
from pathlib import Path
import torch
from fvlib import Protocol, TemporalClustering, tsm_resnet
from fvlib.own.predict import Predictor
network = tsm_resnet(18, 3, width=4, clustering=TemporalClustering("cumulative", 8), chunk=32)
look = Predictor(
    network=network, classes=("a", "b", "c"), protocol=Protocol.clustered(), size=(32, 32)
)
for file in sys.argv[1:]:
    assert look(file).segment_logits.shape == (8, 3)
    print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


@pytest.mark.process
def test_memory_does_not_grow_with_the_video(tmp_path):
    """In kB, of 200 and of 2000 frames; the activations of so many would be hundreds of MB."""
    files = [str(tmp_path / f"{t}.mp4") for t in (200, 2000)]
    for file, t in zip(files, (200, 2000), strict=True):
        write(file, np.broadcast_to(pictures(1), (t, 48, 64, 3)))
    command = [sys.executable, "-c", PEAKS, files[0], files[0], files[1]]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    _, short, long = map(int, done.stdout.split())
    assert long - short < 0.05 * short
