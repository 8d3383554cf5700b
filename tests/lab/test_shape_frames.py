"""Still frames with mini Breakfast's shapes: what the start of Tables 2 and 3 has seen."""

import numpy as np
import pytest
import torch

from fvlib.contracts import require_clips
from fvlib.datasets import FrameSampler
from fvlib.datasets.loading import batches
from lab.synthetic.breakfast import COLOURS
from lab.synthetic.still_frames import FRAMES_OF_A_ROOM, ShapeFrames


@pytest.fixture(scope="module")
def frames():
    return ShapeFrames("train", 60, seed=0, size=48)


def test_the_class_is_the_shape_in_the_frame(frames):
    """Its colour is there in as many pixels as a shape has, and nowhere where there is none."""
    assert frames.classes == ("nothing", "disc", "square", "triangle", "cross", "ring")
    require_clips(frames, 6)
    (batch,) = batches(frames, [np.arange(60)], FrameSampler("all"))
    x, target = batch.x, batch.target
    assert x.shape == (60, 1, 3, 48, 48)
    assert target.bincount().tolist() == [10] * 6
    for kind, colour in enumerate(COLOURS, 1):
        off = (x[:, 0].int() - torch.tensor(colour)[:, None, None]).abs().amax(1)
        pixels = (off <= 45).sum((1, 2))
        assert pixels[target == kind].min() >= 12
        assert pixels[target != kind].max() <= 4


def test_frames_hang_on_seed_split_and_place_alone(frames):
    again = ShapeFrames("train", 12, seed=0, size=48)
    assert torch.equal(again.frames, frames.frames[:12])
    for other in (
        ShapeFrames("validation", 12, seed=0, size=48),
        ShapeFrames("train", 12, seed=1, size=48),
    ):
        assert (other.frames != again.frames).flatten(1).any(1).all()
    (batch,) = batches(frames, [np.array([7, 3])], FrameSampler("all"))
    assert torch.equal(batch.x[:, 0], frames.frames[[7, 3]])
    assert batch.target.tolist() == [1, 3]


def test_rooms_change_after_so_many_frames(frames):
    corner = frames.frames[:, :, :6, :6].float().mean((2, 3))
    same = (corner[0] - corner[1:12:6]).abs().max()
    assert (corner[0] - corner[FRAMES_OF_A_ROOM]).abs().max() > same


def test_an_unknown_split_is_an_error():
    with pytest.raises(ValueError, match="test"):
        ShapeFrames("test", 4, seed=0, size=48)
