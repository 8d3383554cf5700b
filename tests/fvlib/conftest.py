"""Small videos that several test modules share."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def moving_square():
    """Writes a video in which a square goes to the left (0) or to the right (1)."""
    av = pytest.importorskip("av")

    def write(path, k, seed, t=12):
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(seed)
        with av.open(str(path), "w") as file:
            stream = file.add_stream("mpeg4", 10)
            stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
            ground, row = rng.integers(0, 120, (48, 64, 3), np.uint8), rng.integers(4, 30)
            for i in range(t):
                frame, x = ground.copy(), 4 + 3 * (i if k else t - i)
                frame[row : row + 12, x : x + 12] = 250
                file.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
            file.mux(stream.encode())

    return write


@pytest.fixture(scope="session")
def videos(tmp_path_factory, moving_square):
    """A folder of two classes of eight clips, of four sources each."""
    root = tmp_path_factory.mktemp("videos")
    for k, name in enumerate(("left", "right")):
        for i in range(8):
            moving_square(root / name / f"s{i // 2}_{i}.avi", k, seed=10 * k + i)
    return root
