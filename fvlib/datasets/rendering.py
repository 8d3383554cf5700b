"""From a plan to pixels: steps 6 and 7 of the Move4MNIST generator."""

import io

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from fvlib.datasets.digits import SIZE as PATCH
from fvlib.datasets.options import Options
from fvlib.datasets.plans import CANVAS, Plan
from fvlib.datasets.timelines import BLACK, DISTRACTOR, TARGET

CONTRAST = 20  # grey levels above the background from which on a pixel counts as visible


def render(
    plan: Plan, options: Options, digits: np.ndarray, clip: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The grey video, uint8 (t, 64, 64), and the visible pixels of each target frame, (T,).

    `digits` are the images of the bank, `clip` the letterboxed background. Of digit and background
    the brighter pixel shows; the background runs on behind every frame, black ones too.
    Explained in chapter 03_move4mnist.
    """
    t = len(plan.types)
    shown = np.flatnonzero(plan.types <= DISTRACTOR)
    y, x = plan.path(options)[1][shown].clip(-PATCH, CANVAS).T + PATCH
    patches = digits[plan.images()[shown]]
    # With a border, a patch may hang over the edge; at 255 nothing in it counts as visible.
    wide = np.full((t, CANVAS + 2 * PATCH, CANVAS + 2 * PATCH), 255, np.uint8)
    video = wide[:, PATCH:-PATCH, PATCH:-PATCH]
    video[:] = clip[plan.offset : plan.offset + t]
    windows = sliding_window_view(wide, (PATCH, PATCH), axis=(1, 2), writeable=True)
    behind = windows[shown, y, x]
    windows[shown, y, x] = np.maximum(behind, patches)
    video[plan.types == BLACK] = 0
    visible = (patches > behind.astype(np.int16) + CONTRAST).sum(axis=(1, 2))
    return video, visible[plan.types[shown] == TARGET]


def jpeg_round_trip(video: np.ndarray, quality: int) -> np.ndarray:
    """The frames as they come back from grey JPEG files, one a frame, as published.

    Explained in chapter 03_move4mnist.
    """
    from PIL import Image

    frames = []
    for frame in video:
        file = io.BytesIO()
        Image.fromarray(frame).save(file, "JPEG", quality=quality)
        frames.append(np.asarray(Image.open(file)))
    return np.stack(frames)
