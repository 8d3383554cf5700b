"""Move4MNIST: the four published videos, the options, the laws, the banks, the errors."""

import gzip
import hashlib
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fvlib.contracts import require_clips
from fvlib.datasets import (
    BackgroundBank,
    DigitBank,
    FrameSampler,
    InMemory,
    Move4MNIST,
    Options,
    Plan,
    load_backgrounds,
    load_digits,
    move4mnist,
    parse_timeline,
    plans,
    write_timeline,
)
from fvlib.datasets.backgrounds import SCENE, SCENES, shrink
from fvlib.datasets.loading import batches
from fvlib.datasets.plans import DIRECTIONS, draw_timeline, pooled_timeline, thirds_timeline
from lab.synthetic.still_frames import DigitFrames

# The four published videos: class, indices of target and distractor in MNIST's training file and
# their classes, a start that gives the measured boxes, timeline, one set of chunk starts that gives
# the timeline, and the measured place of each target frame on the axis of the motion.
PUBLISHED = {
    "down_322": dict(
        label=3,
        digits=(39165, 9291, 6, 5),
        start=(17.0, 9.0),
        timeline="DDTTDDTTDDTKKKTTKKTBBTTTTBBTTTTB",
        chunks=[0, 4, 4, 8, 11, 12, 16, 16, 19, 25, 25, 31],
        places=[17, 17, 18, 18, 19, 19, 20, 20, 21, 21, 22, 22, 23, 23, 24, 24],
    ),
    "left_435": dict(
        label=0,
        digits=(53328, 8669, 0, 9),
        start=(29.0, 12.0),
        timeline="TTDDDDDDKKTTKKTTKBTTTBBTBBBTTTTT",
        chunks=[2, 4, 4, 6, 8, 12, 12, 16, 16, 21, 24, 25],
        places=[12, 11, 11, 10, 10, 9, 9, 8, 8, 7, 7, 6, 6, 5, 5],
    ),
    "right_399": dict(
        label=1,
        digits=(53834, 17980, 4, 6),
        start=(31.0, 28.5),
        timeline="TTTTTTTTTTTTDDTDDDKKKTKBBBTTTTBB",
        chunks=[12, 15, 15, 17, 17, 19, 19, 22, 22, 24, 24, 30],
        places=[28, 29, 29, 30, 30, 31, 31, 32, 32, 33, 33, 34, 34, 35, 35, 36, 36, 37],
    ),
    "up_420": dict(
        label=2,
        digits=(36623, 6010, 3, 9),
        start=(33.0, 5.0),
        timeline="DDDDTTDDTTTDKKKKKKBTTTTTBBTTTTBB",
        chunks=[0, 2, 6, 11, 11, 13, 15, 17, 17, 24, 24, 30],
        places=[33, 32, 32, 31, 31, 30, 30, 29, 29, 28, 28, 27, 27, 26],
    ),
}
# First target and first distractor frame: the centroid (y, x) that box and MNIST digit give.
CENTROIDS = {
    "down_322": ((30.64, 23.21), (30.78, 22.89)),
    "left_435": ((43.14, 26.30), (43.47, 25.72)),
    "right_399": ((44.86, 41.78), (44.99, 41.64)),
    "up_420": ((46.65, 18.94), (46.50, 18.83)),
}


def small_digits() -> DigitBank:
    """Forty digits of ten classes, each a block of its own size and grey with a faint shadow."""
    images = np.zeros((40, 28, 28), np.uint8)
    images[:, 10:24, 8:24] = 90
    for i, image in enumerate(images):
        image[4 : 12 + i % 9, 5 : 15 + i % 7] = 250 - i % 5
        image[4 : 8 + i % 3, 5:9] = 255
    return DigitBank(images, np.arange(40) % 10, "blocks")


def small_backgrounds(clips: int = 3) -> BackgroundBank:
    """Clips of 40 frames whose every frame can be told from the others."""
    y, x = np.mgrid[:48, :64]
    frames = [[(50 * clip + 2 * i + y + x // 2) % 200 for i in range(40)] for clip in range(clips)]
    return BackgroundBank(np.array(frames, np.uint8), "slopes")


def small_set(split="train", clips=40, **options) -> Move4MNIST:
    """A set of small banks."""
    options = {"digits": small_digits(), "backgrounds": small_backgrounds()} | options
    return Move4MNIST(split, clips=clips, **options)


def letters(data: Move4MNIST) -> list[str]:
    return [write_timeline(data.plan(i).types) for i in range(len(data))]


def published_plan(name: str, **changes) -> Plan:
    video = PUBLISHED[name]
    plan = Plan(
        label=video["label"],
        target=video["digits"][0],
        distractor=video["digits"][1],
        start=video["start"],
        types=parse_timeline(video["timeline"]),
    )
    return replace(plan, **changes)


# ---------------------------------------------------------------- the published videos


@pytest.mark.parametrize("name", PUBLISHED)
def test_boxes_of_the_published_videos(name):
    video = PUBLISHED[name]
    truth = small_set().frame_labels(published_plan(name, target=0, distractor=1))
    target, distractor = truth.type == 0, truth.type == 1

    across = [int(video["start"][0])] * len(video["places"])
    if video["label"] >= 2:
        across = [int(video["start"][1])] * len(video["places"])
    pairs = list(zip(video["places"], across, strict=True))
    boxes = pairs if video["label"] >= 2 else [pair[::-1] for pair in pairs]
    assert truth.box[target].tolist() == [list(box) for box in boxes]

    first_box = [int(coordinate) for coordinate in video["start"]]
    assert truth.box[distractor].tolist() == [first_box] * int(distractor.sum())
    assert truth.box[~(target | distractor)].unique().tolist() == [-1]
    assert truth.step[target].tolist() == list(range(int(target.sum())))
    assert truth.step[~target].unique().tolist() == [-1]
    assert truth.relevant.tolist() == [letter == "T" for letter in video["timeline"]]
    travel = video["places"][-1] - video["places"][0]
    assert truth.displacement == ((travel, 0) if video["label"] >= 2 else (0, travel))
    assert truth.movement_seen(np.arange(len(target))) == abs(travel)
    some = target.nonzero().flatten()[[0, 2, -2]]
    seen = video["places"][-2] - video["places"][0]
    assert truth.movement_seen(some) == abs(seen)
    assert truth.movement_seen((~target).nonzero().flatten()) == 0


@pytest.mark.parametrize("name", PUBLISHED)
def test_timelines_of_the_published_videos(name):
    video = PUBLISHED[name]
    types = pooled_timeline(video["chunks"], 32)
    assert write_timeline(types) == video["timeline"]


@pytest.mark.skipif("FVLIB_DATA" not in os.environ, reason="FVLIB_DATA does not name real MNIST")
@pytest.mark.parametrize("name", PUBLISHED)
def test_digits_of_the_published_videos(name):
    digits = load_digits("real", "train+validation")
    video = PUBLISHED[name]
    data = small_set(digits=digits)
    truth = data.frame_labels(published_plan(name))
    target, distractor = truth.type == 0, truth.type == 1
    assert truth.digit[target].unique().tolist() == [video["digits"][2]]
    assert truth.digit[distractor].unique().tolist() == [video["digits"][3]]
    assert truth.digit[truth.type > 1].unique().tolist() == [-1]
    for mask, expected in zip((target, distractor), CENTROIDS[name], strict=True):
        image = digits.images[truth.plan.images()[mask][0]].astype(float)
        centroid = (np.mgrid[:28, :28] * image).sum((1, 2)) / image.sum()
        np.testing.assert_allclose(truth.box[mask][0] + centroid, expected, atol=0.005)


# ---------------------------------------------------------------- timelines


def test_statistics_of_the_measured_timelines():
    random = np.random.default_rng(0).random
    drawn = [draw_timeline(Options(), random)[0] for _ in range(2000)]
    counts = np.array([np.bincount(types, minlength=4) for types in drawn])
    assert abs(counts[:, 0].mean() - 15.0) < 0.2
    assert counts[:, 1:].max() == 8
    np.testing.assert_allclose(counts[:, 1:].mean(axis=0), [5.7, 5.6, 5.7], atol=0.15)
    for types in drawn:
        inserted = types[types > 0]
        assert (np.diff(inserted) >= 0).all()  # all D before all K before all B
        text = "".join("x" if code else "T" for code in types)
        assert all(len(run) > 1 for run in text[:-1].split("T")[:-1] if run)


def test_chunk_starts_make_the_timeline():
    data = small_set(clips=8)
    for i in range(8):
        plan = data.plan(i)
        assert len(plan.chunk_starts) == 12
        types = pooled_timeline(plan.chunk_starts, 32)
        np.testing.assert_array_equal(types, plan.types)


def test_later_types_win_and_the_end_is_cut():
    # Pooled and sorted: 0 1 | 1 2 | 7 8, where the second 1 belongs to the second type.
    assert write_timeline(pooled_timeline([0, 1, 7], 8)) == "DKKTTTTB"
    assert write_timeline(thirds_timeline([4, 0, 1], 6)) == "DKKTBB"


def test_thirds():
    data = small_set(timeline="thirds")
    for i in range(len(data)):
        plan = data.plan(i)
        starts = plan.chunk_starts
        assert len(set(starts)) == 9
        types = np.zeros(33, int)
        for rank, start in enumerate(sorted(starts)):
            types[start : start + 2] = 1 + rank // 3
        np.testing.assert_array_equal(plan.types, types[:32])
        assert 14 <= (plan.types == 0).sum() <= 23


def test_paper_literal_has_one_chunk_of_each_type():
    data = small_set(timeline="paper-literal", clips=200)
    lengths = set()
    for text, plan in zip(letters(data), map(data.plan, range(200)), strict=True):
        for letter, start in zip("DKB", plan.chunk_starts, strict=True):
            chunk = letter * text.count(letter)
            assert text.index(chunk) == start == text.index(letter)
            lengths.add(len(chunk))
    assert lengths == {4, 5, 6, 7}
    assert {text[0] for text in letters(data)} == set("TD")
    assert {text[-1] for text in letters(data)} == set("TB")


def test_explicit_timeline():
    text = PUBLISHED["up_420"]["timeline"]
    data = small_set(timeline=text, clips=3)
    assert letters(data) == [text] * 3
    assert data.plan(0).chunk_starts == ()


def test_frames():
    assert small_set(frames=24)[0][0].shape == (24, 1, 64, 64)


# ---------------------------------------------------------------- motion and distractor


def test_starts():
    """Where the starts lie for a path of 15 pixels to the left, and for other directions."""
    uniform = small_set(timeline="T" * 31 + "K", clips=800)
    y, x = np.array([uniform.plan(i).start for i in range(0, 800, 4)]).T  # left
    assert 0 <= y.min() < 2 < 34 < y.max() < 36
    assert 14 <= x.min() < 15.5 < 34.5 < x.max() < 36  # x - 15 >= -1
    y, x = np.array([uniform.plan(i).start for i in range(1, 800, 4)]).T  # right
    assert 0 <= x.min() < 2 < 21 < x.max() < 23  # x + 15 < 38


def test_a_patch_hangs_over_the_edge_by_a_pixel_at_most():
    data = small_set(clips=400)
    truths = [data.frame_labels(i) for i in range(400)]
    boxes = torch.cat([truth.box[truth.type == 0] for truth in truths])
    assert (boxes.min(), boxes.max()) == (-1, 37)


def test_a_distractor_has_another_class():
    data = small_set(clips=400)
    labels = data.digits.labels
    plans = [data.plan(i) for i in range(400)]
    assert all(labels[p.target] != labels[p.distractor] for p in plans)
    assert {p.target for p in plans} == set(range(40)) == {p.distractor for p in plans}


def test_distractor_classes_are_uniform():
    """A distractor is any digit of the bank that has another class, each as often as the next."""
    images = np.full((4, 28, 28), 255, np.uint8)
    bank = DigitBank(images, np.array([2, 1, 1, 2]), "four")
    data = small_set(digits=bank, clips=400)
    plans = [data.plan(i) for i in range(400)]
    counts = np.zeros((4, 4), int)
    for p in plans:
        counts[p.target, p.distractor] += 1
    seen = np.array([[0, 1, 1, 0], [1, 0, 0, 1], [1, 0, 0, 1], [0, 1, 1, 0]])
    assert (counts[seen == 0] == 0).all()
    assert (counts[seen == 1] > 25).all()  # 50 expected


def test_distractor_position():
    faithful = small_set(clips=50)
    apart = small_set(clips=50, distractor_pos="random")
    for i in range(50):
        plan, other = faithful.plan(i), apart.plan(i)
        assert plan.distractor_start == plan.start == other.start
        assert other.distractor_start != other.start


# ---------------------------------------------------------------- pictures


def slow_video(data: Move4MNIST, i: int) -> np.ndarray:
    """Pixel by pixel, from the ground truth."""
    truth = data.frame_labels(i)
    plan = truth.plan
    video = np.zeros((len(plan.types), 64, 64), np.uint8)
    for f, code in enumerate(plan.types):
        if code != 2:
            video[f, 8:56] = data.backgrounds.frames[plan.background, f]
        if code <= 1:
            digit = data.digits.images[plan.target if code == 0 else plan.distractor]
            top, left = truth.box[f].tolist()
            for y in range(28):
                for x in range(28):
                    if 0 <= top + y < 64 and 0 <= left + x < 64:
                        video[f, top + y, left + x] = max(video[f, top + y, left + x], digit[y, x])
    return video


@pytest.mark.parametrize("margin", [1, 12])
def test_pictures_equal_the_slow_ones(margin, monkeypatch):
    monkeypatch.setattr(plans, "MARGIN", margin)
    data = small_set()
    for i in range(4):
        np.testing.assert_array_equal(data[i][0][:, 0], slow_video(data, i))


def test_ink_beyond_the_edge_is_not_visible(monkeypatch):
    """A block of 16x16 at the patch's corner, hanging half over the canvas, shows 128 pixels."""
    images = np.zeros((2, 28, 28), np.uint8)
    images[:, :16, :16] = 255
    bank = DigitBank(images, np.arange(2), "corners")
    dark = BackgroundBank(np.zeros((1, 32, 48, 64), np.uint8), "dark")
    options = dict(digits=bank, backgrounds=dark, timeline="T" * 32)
    monkeypatch.setattr(plans, "MARGIN", 20)
    monkeypatch.setattr(move4mnist, "MIN_VISIBLE", 128)
    data = small_set(clips=200, **options)
    for i in range(200):
        truth = data.frame_labels(i)
        assert truth.box[:, 0].min() >= -8
        assert truth.box[:, 1].min() >= -8
    monkeypatch.setattr(move4mnist, "MIN_VISIBLE", 1)
    loose = small_set(clips=200, **options)
    assert min(loose.frame_labels(i).box.min() for i in range(200)) < -8


def test_background_clips():
    still = small_set(clips=60)
    assert {still.plan(i).background for i in range(60)} == {0, 1, 2}


def test_channels():
    plain, coded = small_set()[2][0], small_set(channels=3)[2][0]
    assert coded.shape == (32, 3, 64, 64)
    assert torch.equal(coded, plain.expand(-1, 3, -1, -1))


# ---------------------------------------------------------------- laws


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**64),
    split=st.sampled_from(["train", "validation", "test"]),
    first=st.integers(0, 10_000),
    options=st.fixed_dictionaries(
        {
            "timeline": st.sampled_from(["pooled", "thirds", "paper-literal"]),
            "distractor_pos": st.sampled_from(["start", "random"]),
        }
    ),
)
def test_laws_of_every_video(seed, split, first, options):
    data = small_set(split, clips=first + 4, seed=seed, **options)
    for i in range(first, first + 4):
        video, label = data[i]
        truth = data.frame_labels(i)
        video, types = video[:, 0].numpy(), truth.type.numpy()
        target, black = types == 0, types == 2
        assert label == i % 4 == truth.plan.label
        assert target.sum() >= 10
        # The direction is what the first and the last target frame say.
        moved = (truth.box[target][-1] - truth.box[target][0]).numpy()
        assert moved @ DIRECTIONS[label] >= 4
        assert moved @ DIRECTIONS[label][::-1] == 0
        assert tuple(moved) == truth.displacement
        # It never turns, and it waits while other frames are shown.
        along = (truth.box[target].numpy() @ DIRECTIONS[label]).astype(int)
        assert (np.diff(along) >= 0).all()
        assert np.diff(along).max() <= 1
        assert video[black].sum() == 0
        # Background frames show the background's own frame; all others the bars where no digit is.
        clip = data.backgrounds.letterboxed[truth.plan.background]
        np.testing.assert_array_equal(video[types == 3], clip[:32][types == 3])
        assert (video[~black] >= clip[:32][~black]).all()
        for frame, (top, left) in zip(video[target], truth.box[target].tolist(), strict=True):
            outside = np.ones((64, 64), bool)
            outside[max(top, 0) : top + 28, max(left, 0) : left + 28] = False
            outside[8:56] = False
            assert frame[outside].sum() == 0
        nothing = types > 1
        assert (truth.digit.numpy()[nothing] == -1).all()


def test_any_order_gives_the_same_bytes():
    data = small_set(clips=24)
    videos, targets = data.materialise()
    assert targets.tolist() == [0, 1, 2, 3] * 6 == data.targets.tolist()
    for i in reversed(range(24)):
        video, label = data[i]
        assert torch.equal(video, videos[i])
        assert label == targets[i]
    some, labels = data.batch([7, 3, 7])
    assert torch.equal(some, videos[[7, 3, 7]])
    assert labels.tolist() == [3, 3, 3]
    assert torch.equal(small_set(clips=5)[4][0], videos[4])
    assert torch.equal(data.render(data.plan(9)), videos[9])
    assert torch.equal(data[-1][0], videos[23])
    assert len(list(data)) == 24


def test_other_seed_split_or_number_gives_other_bytes():
    data = small_set()
    assert not torch.equal(data[0][0], data[4][0])
    assert not torch.equal(data[0][0], small_set(seed=1)[0][0])
    assert not torch.equal(data[0][0], small_set("test")[0][0])


def test_an_option_does_not_shift_other_streams():
    plans = [data.plan(5) for data in (small_set(), small_set(timeline="paper-literal"))]
    assert plans[0].target == plans[1].target
    assert plans[0].background == plans[1].background
    assert plans[0].start[0] == plans[1].start[0]  # across; along depends on the path's length
    assert small_set(distractor_pos="random").plan(5).types.tolist() == plans[0].types.tolist()


def test_the_bytes_of_a_seed_are_fixed():
    """A change of the generator changes recorded results: then raise the experiments' version."""
    videos, _ = small_set(clips=16).materialise()
    assert hashlib.sha256(videos.numpy()).hexdigest() == (
        "92466acc3dbd852e2af2e22029038ad48497a0f06b0cd4059beff7b2e3dffdf9"
    )


def test_redrawn_until_decidable():
    data = small_set(clips=60, min_target=15)
    drawn = [data.plan(i) for i in range(60)]
    assert all((plan.types == 0).sum() >= 15 for plan in drawn)
    attempts = [plan.attempts for plan in drawn]
    assert min(attempts) == 1 < max(attempts)
    data = small_set(clips=20, min_target=15, min_displacement=8)
    moved = [np.abs(data.frame_labels(i).displacement).sum() for i in range(20)]
    assert min(moved) == 8


def test_sizes_and_description():
    banks = dict(digits=small_digits(), backgrounds=small_backgrounds())
    assert [len(Move4MNIST(s, **banks)) for s in ("train", "validation", "test")] == [
        1800,
        600,
        600,
    ]
    entry = small_set("test", clips=6, seed=3, timeline="thirds").describe()
    assert entry == {
        "name": "Move4MNIST test: blocks; slopes",
        "sha256": {"digits": small_digits().sha256, "backgrounds": small_backgrounds().sha256},
        "counts": {"clips": 6, "frames": 32, "digits": 40, "backgrounds": 3},
        "seed": 3,
        "options": {"timeline": "thirds"},
    }


# ---------------------------------------------------------------- banks


def test_embedded_digits():
    parts = [load_digits("embedded", split) for split in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [1000, 297, 500]
    both = load_digits("embedded", "train+validation")
    np.testing.assert_array_equal(both.images, np.concatenate([p.images for p in parts[:2]]))
    assert len({part.sha256 for part in parts}) == 3
    for part in parts:
        assert np.bincount(part.labels).min() >= 20
        assert not part.images[:, :4].any()
        assert not part.images[:, :, 24:].any()
        bright = (part.images > 244).sum(axis=(1, 2))
        assert bright.min() >= 25  # so that each can be seen on the brightest background


def test_embedded_backgrounds():
    shared = [load_backgrounds("embedded", split) for split in ("train", "validation", "test")]
    assert len({bank.sha256 for bank in shared}) == 1
    assert shared[0].frames.shape == (1, 64, 48, 64)
    change = np.abs(np.diff(shared[0].frames[0, :32].astype(int), axis=0)).mean()
    assert 1 < change < 2.5  # measured on the published videos: 0.9 to 2.5
    banks = [load_backgrounds("embedded", s, 3) for s in ("train", "validation", "test")]
    banks += [load_backgrounds("embedded", "pretrain", 3)]
    clips = {clip.tobytes() for bank in [*banks, shared[0]] for clip in bank.frames}
    assert len(clips) == 12  # the shared scene is the first of the training scenes
    assert max(bank.frames.max() for bank in banks) <= 224
    assert shared[0].letterboxed.shape == (1, 64, 64, 64)
    assert not shared[0].letterboxed[:, :, :8].any()
    np.testing.assert_array_equal(shared[0].letterboxed[:, :, 8:56], shared[0].frames)


def write_idx(path, array, packed):
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    data = head + array.tobytes()
    path.write_bytes(gzip.compress(data) if packed else data)


@pytest.mark.parametrize("packed", [True, False])
def test_real_digits(tmp_path, monkeypatch, packed):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    monkeypatch.setenv("FVLIB_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=r"neither .*t10k-images"):
        load_digits("real", "test")
    digits = small_digits()
    end = ".gz" if packed else ""
    write_idx(raw / f"t10k-images-idx3-ubyte{end}", digits.images, packed)
    write_idx(raw / f"t10k-labels-idx1-ubyte{end}", digits.labels.astype(np.uint8), packed)
    before = sorted(raw.iterdir())
    read = load_digits("real", "test")
    assert read.sha256 == digits.sha256
    assert read.name == "MNIST test"
    assert sorted(raw.iterdir()) == before


def write_clip(folder, name, grey, frames=66):
    """A video whose top left quarter has one grey, the rest another."""
    import av

    with av.open(str(folder / f"{name}.avi"), "w") as file:
        stream = file.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        picture = np.full((240, 320, 3), grey, np.uint8)
        picture[:120, :160] = 20
        for _ in range(frames):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode())


def test_pictures_are_shrunk_to_the_nearest_pixels():
    picture = np.arange(240 * 320).reshape(240, 320)
    np.testing.assert_array_equal(shrink(picture), picture[2::5, 2::5])


def test_real_backgrounds(tmp_path, monkeypatch):
    pytest.importorskip("av", reason="PyAV decodes the clips")
    folder = tmp_path / "UCF-101"
    folder.mkdir()
    monkeypatch.setenv("FVLIB_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=f"{SCENE}.avi is not below"):
        load_backgrounds("real")
    write_clip(folder, SCENE, 100)
    shared = [load_backgrounds("real", split) for split in ("train", "validation", "test")]
    assert len({bank.sha256 for bank in shared}) == 1
    assert abs(int(shared[0].frames[0, 0, 40, 40]) - 100) <= 3
    assert abs(int(shared[0].frames[0, 63, 23, 31]) - 20) <= 3  # the quarter ends at 24, 32
    assert abs(int(shared[0].frames[0, 63, 24, 31]) - 100) <= 3
    for name, grey in zip(SCENES["train"][:2], (250, 200), strict=True):
        (folder / "a class").mkdir(exist_ok=True)
        write_clip(folder / "a class", name, grey)
    train = load_backgrounds("real", "train", 2)
    assert train.frames.shape == (2, 64, 48, 64)
    assert train.frames[0].max() == 224  # 250 was scaled down
    assert abs(int(train.frames[1, 0, 40, 40]) - 200) <= 3


def test_real_backgrounds_are_those_that_are_named(tmp_path, monkeypatch):
    pytest.importorskip("av", reason="PyAV decodes the clips")
    folder = tmp_path / "UCF-101"
    folder.mkdir()
    monkeypatch.setenv("FVLIB_DATA", str(tmp_path))
    one, two = SCENES["pretrain"][:2]
    write_clip(folder, one, 160)
    bank = load_backgrounds("real", "pretrain")
    with pytest.raises(ValueError, match=f"{two}.avi is not below"):
        load_backgrounds("real", "pretrain", 2)
    (folder / f"{one}.avi").rename(tmp_path / f"{one}.avi")
    (folder / "BandMarching").symlink_to(tmp_path)
    assert load_backgrounds("real", "pretrain").sha256 == bank.sha256
    for name in ("v_Archery_g11_c01", "v_Archery_g14_c01", "v_JumpingJack_g13_c01"):
        write_clip(folder, name, 40)  # a fuller folder
    assert load_backgrounds("real", "pretrain").sha256 == bank.sha256
    write_clip(folder, two, 100, frames=20)
    with pytest.raises(ValueError, match=rf"{two}\.avi: has 20 frames, but frame 63"):
        load_backgrounds("real", "pretrain", 2)
    (folder / f"{two}.avi").write_bytes(b"text")
    with pytest.raises(ValueError, match=rf"{two}\.avi: cannot be read"):
        load_backgrounds("real", "pretrain", 2)
    with pytest.raises(ValueError, match=r"99 background clips of test .* 16 are named"):
        load_backgrounds("real", "test", 99)


def test_no_scene_is_shown_in_two_splits():
    def scene(name):  # clips of one class and group share theirs
        return name.rsplit("_", 1)[0]

    scenes = [scene(name) for names in SCENES.values() for name in names]
    assert len(scenes) == len(set(scenes))
    groups = {"pretrain": (11, 13), "train": (14, 25), "validation": (8, 10), "test": (1, 7)}
    for split, (first, last) in groups.items():
        assert len(SCENES[split]) == 16
        assert all(first <= int(name.split("_g")[1][:2]) <= last for name in SCENES[split])


# ---------------------------------------------------------------- errors


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(split="dev"), "split is 'dev'; choose one of 'train'"),
        (dict(clips=0), "clips is 0"),
        (dict(digits="mnist"), "digit source is 'mnist'"),
        (dict(backgrounds="ucf"), "background source is 'ucf'"),
        (dict(timeline="third"), "no name of a rule"),
        (dict(timeline=""), "no name of a rule"),
        (dict(timeline="TTT"), "a letter for each frame, and there are 3"),
        (dict(timeline="TTT" + "D" * 29), "min_target is 10; the timeline has 3 target frames"),
        (dict(timeline="thirds", frames=8), "9 chunks; wanted a multiple of three"),
        (dict(n_chunks=4), "n_chunks is 4, .* wanted a multiple of three"),
        (dict(n_chunks=0), "n_chunks is 0"),
        (dict(chunk_len=0), "chunk_len is 0"),
        (dict(literal_lengths=(4, 6)), "timeline 'pooled'; it means nothing"),
        (dict(timeline="paper-literal", literal_lengths=(5, 4)), "shortest <= longest"),
        (dict(timeline="paper-literal", n_chunks=9), "it means nothing"),
        (dict(speed=0.0), "speed is 0"),
        (dict(min_target=0), "min_target is 0"),
        (dict(timeline="paper-literal", frames=20), "room for three chunks"),
        (dict(distractor_pos="end"), "distractor_pos is 'end'"),
        (dict(channels=2), "channels is 2"),
        (dict(frames=41), "clips have 40 frames; 41 were wanted"),
    ],
)
def test_bad_settings(changes, message):
    with pytest.raises(ValueError, match=message):
        small_set(**changes)


def test_impossible_videos(monkeypatch):
    for changes, message in (
        (dict(min_target=32), r"100 attempts gave no video 0.*min_target is 32"),
        (dict(min_displacement=16), "pixels, min_displacement is 16"),
        (dict(speed=9.0), "does not fit into the canvas"),
    ):
        with pytest.raises(ValueError, match=message):
            small_set(**changes)[0]
    with monkeypatch.context() as patch:
        patch.setattr(move4mnist, "MIN_VISIBLE", 900)
        with pytest.raises(ValueError, match="pixels are visible, fewer than 900"):
            small_set()[0]
    with pytest.raises(IndexError):
        small_set(clips=4)[4]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(label=4), "label is 4"),
        (dict(types=parse_timeline("KB")), "no target frame"),
    ],
)
def test_bad_plans(changes, message):
    data = small_set()
    with pytest.raises(ValueError, match=message):
        data.render(published_plan("up_420", **({"target": 0, "distractor": 1} | changes)))


def test_bad_banks(monkeypatch, tmp_path):
    good = small_digits()
    with pytest.raises(ValueError, match="wanted uint8"):
        DigitBank(good.images[:, :20], good.labels, "small")
    with pytest.raises(ValueError, match=r"wanted int64 \(40,\)"):
        DigitBank(good.images, good.labels[:3], "short")
    with pytest.raises(ValueError, match="two classes"):
        DigitBank(good.images[:1], good.labels[:1], "one")
    with pytest.raises(ValueError, match="without ink"):
        DigitBank(good.images * 0, good.labels, "empty")
    with pytest.raises(ValueError, match="wanted uint8"):
        BackgroundBank(np.zeros((1, 32, 64, 64), np.uint8), "square")
    with pytest.raises(ValueError, match="is empty"):
        BackgroundBank(np.zeros((0, 32, 48, 64), np.uint8), "none")
    with pytest.raises(ValueError, match="reaches grey 225"):
        BackgroundBank(np.full((1, 32, 48, 64), 225, np.uint8), "bright")
    with pytest.raises(ValueError, match="count is 0"):
        load_backgrounds("embedded", "train", 0)
    with pytest.raises(ValueError, match="split of the digits is 'pretrain'"):
        load_digits("embedded", "pretrain")
    monkeypatch.delenv("FVLIB_DATA", raising=False)
    with pytest.raises(ValueError, match=r"FVLIB_DATA is not set.*MNIST/raw"):
        load_digits("real")
    monkeypatch.setenv("FVLIB_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="UCF-101 does not exist"):
        load_backgrounds("real")


# --- single frames, and clips in memory -----------------------------------------------------------


def shown(clips, indices):
    """Some clips, and their classes, as they reach a network."""
    (batch,) = batches(clips, [np.array(indices)], FrameSampler("all"))
    return batch.x, batch.target


def test_digit_frames_show_their_digit_over_their_scene():
    digits, scenes = small_digits(), load_backgrounds("embedded", "pretrain", 2)
    frames = DigitFrames("train", 30, seed=3, digits=digits, backgrounds=scenes)
    require_clips(frames, 10)
    x, target = shown(frames, range(30))
    assert x.shape == (30, 1, 1, 64, 64)
    scene = scenes.letterboxed.reshape(-1, 64, 64)
    for image, label in zip(x[:, 0, 0].numpy(), target.tolist(), strict=True):
        # The scene is what most pixels agree with; the digit is brighter than it somewhere.
        best = scene[(scene == image).sum((1, 2)).argmax()]
        rows, columns = np.nonzero(image != best)
        assert (image >= best).all()
        assert max(np.ptp(rows), np.ptp(columns)) < 28
        drawn = [
            np.isin(image[rows, columns], d).all() for d in digits.images[digits.labels == label]
        ]
        assert any(drawn)


def test_a_digit_frame_depends_on_seed_and_split_alone():
    options = {"digits": small_digits(), "backgrounds": load_backgrounds("embedded", "pretrain", 1)}
    frames = DigitFrames("train", 20, seed=0, **options)
    x, _ = shown(frames, range(20))
    again, _ = shown(DigitFrames("train", 20, seed=0, **options), [7, 2])
    assert torch.equal(again, x[[7, 2]])
    for split, seed in (("validation", 0), ("train", 1)):
        other, _ = shown(DigitFrames(split, 20, seed=seed, **options), range(20))
        assert not torch.equal(other, x)
    with pytest.raises(ValueError, match="split is 'test'"):
        DigitFrames("test", 20, seed=0, **options)


def test_clips_in_memory_are_those_of_the_set():
    clips = small_set(clips=6)
    memory = InMemory(*clips.materialise())
    assert len(memory) == 6
    for found, wanted in zip(shown(memory, [5, 1]), clips.batch([5, 1]), strict=True):
        assert torch.equal(found, wanted)


def test_bursts_are_as_long_as_asked_for_and_the_digit_moves_as_fast():
    """With the settings of Table 1 at scale `small`, counted in the pictures' ground truth."""
    kind = dict(timeline="paper-literal", literal_lengths=(7, 9), speed=1.0)
    data = small_set(clips=60, min_target=4, min_displacement=3, **kind)
    for i in range(60):
        truth = data.frame_labels(i)
        counts = [int((truth.type == code).sum()) for code in (1, 2, 3)]
        assert all(7 <= count <= 9 for count in counts)
        assert int(truth.relevant.sum()) == 32 - sum(counts)
        assert max(map(abs, truth.displacement)) == 32 - sum(counts) - 1


def test_chunks_are_as_many_and_as_long_as_asked_for():
    data = small_set(clips=60, n_chunks=3, chunk_len=8)
    for i in range(60):
        starts = data.plan(i).chunk_starts
        covered = {t for start in starts for t in range(start, start + 8)} & set(range(32))
        assert len(starts) == 3
        assert set(np.flatnonzero(data.plan(i).types).tolist()) == covered
