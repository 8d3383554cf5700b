"""Crops: TSM's sizes and places, number by number, the pixels PIL gives, one crop a clip."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fvlib.datasets import CLASSES, Crop, EvalTransform, TrainTransform, clip_rng
from fvlib.datasets.transforms import crop_places, crop_shapes, cut, stack_frames, three_places
from fvlib.datasets.videos import exchanged_classes

law = settings(max_examples=40, deadline=None, derandomize=True)
sides = st.integers(20, 400)
SCALES = (1, 0.875, 0.75, 0.66)


def pictures(n=2, t=3, c=3, h=60, w=80, seed=0):
    """Noise with some smoothness, so that a shift by a pixel or a wrong filter is seen."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, t, c, h // 4 + 1, w // 4 + 1, generator=generator)
    x = torch.nn.functional.interpolate(x.flatten(0, 1), (h, w), mode="bicubic")
    return (x.clamp(0, 1) * 255).to(torch.uint8).unflatten(0, (n, t))


def ruler(n=1, t=2, c=1, h=60, w=80):
    """Clips whose pixels say their column."""
    return torch.arange(w, dtype=torch.uint8).expand(n, t, c, h, w).clone()


def image(frame):
    return Image.fromarray(frame.permute(1, 2, 0).squeeze(2).numpy())


def pixels(picture):
    return torch.from_numpy(np.array(picture, copy=True)).permute(2, 0, 1).int()


def assert_as_pil(found, wanted):
    """Both round between the two passes of the filter: a tenth of the pixels may be one off."""
    off = (found.int() - wanted).abs()
    assert off.max() <= 2
    assert (off > 0).float().mean() < 0.1
    assert (off > 1).float().mean() < 0.001


# --- TSM's rules, written out once more: (width, height) and (x, y), as PIL has them -------------


def tsm_shapes(w, h, wanted=224, scales=SCALES):
    side, shapes = min(w, h), []
    for number, scale in enumerate(scales):
        for other, other_scale in enumerate(scales):
            if number - other in (-1, 0, 1):
                tall, wide = int(side * scale), int(side * other_scale)
                tall = wanted if wanted - 3 < tall < wanted + 3 else tall
                wide = wanted if wanted - 3 < wide < wanted + 3 else wide
                shapes.append((wide, tall))
    return shapes


def tsm_places(w, h, wide, tall):
    x, y = (w - wide) // 4, (h - tall) // 4
    corners = [(0, 0), (4 * x, 0), (0, 4 * y), (4 * x, 4 * y)]
    edges = [(0, 2 * y), (4 * x, 2 * y), (2 * x, 4 * y), (2 * x, 0)]
    inside = [(x, y), (3 * x, y), (x, 3 * y), (3 * x, 3 * y)]
    return [*corners, (2 * x, 2 * y), *edges, *inside]


@given(w=sides, h=sides)
@law
def test_shapes_and_places_are_those_of_tsm(w, h):
    shapes = crop_shapes(h, w, 224, SCALES)
    assert [(wide, tall) for tall, wide in shapes] == tsm_shapes(w, h)
    assert len(shapes) == 10
    for tall, wide in shapes:
        places = crop_places(h, w, tall, wide)
        assert [(left, top) for top, left in places] == tsm_places(w, h, wide, tall)
        assert len(places) == 13


def test_shapes_and_places_by_hand():
    # UCF-101's 240 x 320: 240, 210, 180 and 158 (240 * 0.66 = 158.4)
    assert crop_shapes(240, 320, 224, SCALES) == [
        *((240, 240), (240, 210), (210, 240), (210, 210), (210, 180)),
        *((180, 210), (180, 180), (180, 158), (158, 180), (158, 158)),
    ]
    assert crop_shapes(256, 340, 224, SCALES)[3] == (224, 224)  # 256 * 0.875
    assert crop_shapes(258, 340, 224, SCALES)[3] == (224, 224)  # 225.75, closer than 3 pixels
    assert crop_shapes(260, 340, 224, SCALES)[3] == (227, 227)  # 227.5, not closer
    # Steps of a quarter of 30 and of 110, rounded down: 7 and 27.
    places = crop_places(240, 320, 210, 210)
    assert places[:5] == [(0, 0), (0, 108), (28, 0), (28, 108), (14, 54)]
    assert set(places[9:]) == {(7, 27), (7, 81), (21, 27), (21, 81)}


def test_all_shapes_places_and_both_sides_are_drawn_equally_often():
    transform = TrainTransform("ucf101", flip=True)
    crops = [transform.draw(240, 320, clip_rng(0, 0, i, "crop")) for i in range(3000)]
    shapes = [crop_shapes(240, 320, 224, SCALES).index((c.height, c.width)) for c in crops]
    places = [crop_places(240, 320, c.height, c.width).index((c.top, c.left)) for c in crops]
    flips = [crop.flip for crop in crops]
    for drawn, kinds in [(shapes, 10), (flips, 2)]:
        counts = np.bincount(drawn, minlength=kinds)
        assert len(counts) == kinds
        expected = len(crops) / kinds
        assert (abs(counts - expected) < 5 * np.sqrt(expected)).all()
    # A height of 240 leaves no room up or down: there, some of the 13 places are the same one.
    roomy = [p for p, c in zip(places, crops, strict=True) if c.height < 240]
    assert (np.bincount(roomy) > 0.6 * len(roomy) / 13).all()


# --- pixels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "crop",
    [
        Crop(0, 0, 60, 60),  # smaller afterwards
        Crop(7, 21, 39, 45, flip=True),
        Crop(11, 3, 20, 24),  # larger afterwards
        Crop(5, 9, 48, 48),  # as it is
    ],
)
def test_a_crop_gives_the_pixels_of_pil(crop):
    clip = pictures(n=1)[0]
    found = cut(clip, crop, 48)
    assert found.dtype == torch.uint8
    for frame, out in zip(clip, found, strict=True):
        box = (crop.left, crop.top, crop.left + crop.width, crop.top + crop.height)
        wanted = image(frame).crop(box).resize((48, 48), Image.Resampling.BILINEAR)
        if crop.flip:
            wanted = wanted.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        assert_as_pil(out, pixels(wanted))


def test_a_size_raised_over_the_frame_is_filled_with_black_as_pil_does():
    clip = pictures(n=1, h=222, w=222)[0]
    transform = TrainTransform("ucf101", scales=(1,))
    crops = {transform.draw(222, 222, clip_rng(0, 0, i, "crop")) for i in range(100)}
    assert {(crop.height, crop.width) for crop in crops} == {(224, 224)}
    for crop in crops:
        box = (crop.left, crop.top, crop.left + 224, crop.top + 224)
        wanted = torch.stack([pixels(image(frame).crop(box)) for frame in clip])
        assert torch.equal(cut(clip, crop, 224).int(), wanted)


@pytest.mark.parametrize(("h", "w"), [(60, 80), (80, 60), (48, 64), (24, 30)])
@pytest.mark.parametrize("views", [1, 3])
def test_evaluation_gives_the_pixels_of_pil(h, w, views):
    clips = pictures(h=h, w=w)
    found = EvalTransform(scale=48, size=42, views=views)(clips)
    assert found.shape == (2, views, 3, 3, 42, 42)
    short = min(h, w)
    size = (int(48 * w / short), int(48 * h / short))
    for clip, out in zip(clips, found, strict=True):
        scaled = [image(frame).resize(size, Image.Resampling.BILINEAR) for frame in clip]
        wide, tall = size[0] - 42, size[1] - 42
        if views == 1:
            corners = [(round(wide / 2), round(tall / 2))]
        else:
            corners = [(k * (wide // 4), 2 * (tall // 4)) for k in (0, 2, 4)]
        for (x, y), view in zip(corners, out, strict=True):
            wanted = [pixels(frame.crop((x, y, x + 42, y + 42))) for frame in scaled]
            assert_as_pil(view, torch.stack(wanted))


def test_three_full_resolution_views_cover_left_centre_and_right():
    x = EvalTransform(scale=60, size=60, views=3)(ruler())
    columns = x[0, :, 0, 0, 0].tolist()
    assert columns == [list(range(start, start + 60)) for start in (0, 10, 20)]
    assert {column for view in columns for column in view} == set(range(80))
    assert three_places(256, 341, 256) == [(0, 0), (0, 42), (0, 84)]  # steps of 21, not 21.25
    assert three_places(455, 256, 256) == [(98, 0)] * 3  # upright: one view, three times


def test_a_flip_mirrors_columns():
    crop = Crop(0, 10, 60, 60)
    straight, turned = (cut(ruler()[0], crop._replace(flip=flip), 60) for flip in (False, True))
    assert straight[0, 0, 0].tolist() == list(range(10, 70))
    assert turned[0, 0, 0].tolist() == list(range(69, 9, -1))


# --- clips and batches ----------------------------------------------------------------------------


def test_one_crop_holds_for_all_frames_of_a_clip_and_another_for_the_next():
    still = pictures(n=1, t=1, h=64, w=90).expand(6, 5, 3, 64, 90)
    out = TrainTransform("ucf101", size=32, flip=True)(still, np.arange(6), seed=0, epoch=0)
    assert all(torch.equal(clip, clip[:1].expand_as(clip)) for clip in out)
    assert len({clip[0].numpy().tobytes() for clip in out}) == 6


@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_is_its_clips_in_any_order(channels):
    clips = pictures(n=4, c=channels)
    train, views = TrainTransform("hmdb51", size=24, flip=True), EvalTransform(40, 32, 3)
    indices = np.array([7, 3, 12, 0])
    whole = train(clips, indices, seed=1, epoch=2)
    back = train(clips.flip(0), indices[::-1], seed=1, epoch=2).flip(0)
    one = [train(clips[i : i + 1], indices[i : i + 1], seed=1, epoch=2) for i in range(4)]
    assert whole.shape == (4, 3, channels, 24, 24)
    assert whole.dtype == torch.uint8
    assert torch.equal(whole, back)
    assert torch.equal(whole, torch.cat(one))
    assert torch.equal(views(clips), torch.cat([views(clips[i : i + 1]) for i in range(4)]))


def test_crops_come_from_seed_epoch_and_index():
    clips = pictures(n=1).expand(3, 3, 3, 60, 80)
    transform = TrainTransform("ucf101", size=40)
    same = [transform(clips, np.arange(3), seed=4, epoch=1) for _ in range(2)]
    assert torch.equal(*same)
    for other in ({"seed": 5, "epoch": 1}, {"seed": 4, "epoch": 2}):
        assert not torch.equal(same[0], transform(clips, np.arange(3), **other))


def test_clips_of_different_size_make_a_batch():
    clips = [pictures(n=1, h=60, w=80)[0], pictures(n=1, h=50, w=44)[0]]
    train = TrainTransform("hmdb51", size=32)
    out = train(clips, np.array([2, 5]), seed=0, epoch=0)
    assert torch.equal(out[1:], train(clips[1:], np.array([5]), seed=0, epoch=0))
    assert EvalTransform(40, 32, 3)(clips).shape == (2, 3, 3, 3, 32, 32)


def test_what_comes_in_is_not_changed():
    clips = pictures()
    before = clips.clone()
    TrainTransform("ucf101", flip=True)(clips, np.arange(2), seed=0, epoch=0)
    EvalTransform(60, 60)(clips)
    assert torch.equal(clips, before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_crops():
    clips = pictures()
    for run in (
        lambda x: TrainTransform("ucf101", flip=True)(x, np.arange(2), seed=0, epoch=0),
        EvalTransform(48, 42, 3),
    ):
        found = run(clips.cuda())
        assert found.is_cuda
        assert (found.cpu().int() - run(clips).int()).abs().max() <= 1


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["something_v1", "something-v2", "jester", "move4mnist"])
def test_a_flip_is_refused_where_it_changes_the_class(name):
    with pytest.raises(ValueError, match=f"flip is on for '{name}'"):
        TrainTransform(name, flip=True)
    assert not TrainTransform(name).flip


def test_classes_that_a_flip_exchanges():
    assert exchanged_classes("ucf101") == exchanged_classes("own", ["left behind", "upright"]) == ()
    classes = ["Swipe_Left", "wave", "Swipe_Right", "turn RIGHT", "turn LEFT", "bright"]
    pairs = (("Swipe_Left", "Swipe_Right"), ("turn LEFT", "turn RIGHT"))
    assert exchanged_classes("own", classes) == pairs
    assert exchanged_classes("move4mnist") == exchanged_classes("own", CLASSES)
    with pytest.raises(ValueError, match="as 'Swipe_Left' and 'Swipe_Right'; turn it off"):
        TrainTransform("own", flip=True, classes=classes)
    TrainTransform("own", flip="always", classes=classes)
    for name in ("something_v1", "something_v2"):
        pairs = exchanged_classes(name)
        assert pairs == exchanged_classes("own", [one for pair in pairs for one in pair])


def test_a_flip_that_is_always_meant_mirrors_half_of_any_clips():
    flipped = TrainTransform("Move4MNIST", size=60, scales=(1,), flip="always")
    rows = flipped(ruler(n=20), np.arange(20), seed=0, epoch=0)[:, 0, 0, 0].int()
    assert {bool(row[0] > row[1]) for row in rows} == {False, True}


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="wanted a size of 1 or more"):
        TrainTransform("ucf101", size=0)
    for scales in ((), (1, 0), (1.5,)):
        with pytest.raises(ValueError, match="at least one scale above 0 and up to 1"):
            TrainTransform("ucf101", scales=scales)
    for wrong in ({"size": 300}, {"size": 0}, {"views": 2}):
        with pytest.raises(ValueError, match="wanted a size from 1 to the scale, and 1 or 3"):
            EvalTransform(**wrong)
    train = TrainTransform("ucf101", size=8)
    with pytest.raises(ValueError, match="frames have 1 x 9 pixels; too small to crop"):
        train(torch.zeros(1, 2, 3, 1, 9, dtype=torch.uint8), np.arange(1), seed=0, epoch=0)


def test_colours_stay_side_by_side():
    """As a decoder gives them: the same pixels in the same places of memory, through every crop."""
    x = pictures()
    decoded = [clip.movedim(1, -1).contiguous().movedim(-1, 1) for clip in x]
    assert torch.equal(stack_frames(decoded), torch.stack(decoded))
    assert stack_frames(decoded).stride(2) == 1
    assert stack_frames(list(x)).is_contiguous()
    indices = np.arange(len(x))
    for crop in (
        lambda clips: TrainTransform("ucf101", 48)(clips, indices, seed=0, epoch=1),
        EvalTransform(48, 40, 3),
    ):
        assert torch.equal(crop(decoded), crop(x))
        assert crop(decoded).stride(-3) == 1
