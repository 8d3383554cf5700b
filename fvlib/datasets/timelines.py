"""Which frames show the target, the distractor, nothing (black) or the background alone.

A timeline is int8 (t,): the type of each frame, one of the four codes below, written T, D, K, B.
"""

from collections.abc import Callable

import numpy as np

TARGET, DISTRACTOR, BLACK, BACKGROUND = range(4)
LETTERS = "TDKB"


def parse_timeline(text: str) -> np.ndarray:
    """The types of a timeline that is written out, such as "DDTTKTB".

    Raises ValueError for an empty text or any other letter.
    Explained in chapter 03_move4mnist.
    """
    unknown = sorted(set(text) - set(LETTERS))
    if unknown or not text:
        raise ValueError(
            f"timeline {text!r} is no name of a rule and cannot be read as one letter a frame: "
            f"wanted T (target), D (distractor), K (black), B (background); got {unknown}"
        )
    return np.array([LETTERS.index(letter) for letter in text], np.int8)


def write_timeline(types) -> str:
    """The letters of a timeline: the inverse of `parse_timeline`.

    Explained in chapter 03_move4mnist.
    """
    return "".join(LETTERS[code] for code in types)


def pooled_timeline(starts, order, quotas, *, t: int, chunk_len: int) -> np.ndarray:
    """Timeline of the published videos: chunks pooled frame by frame.

    Each start begins a chunk of `chunk_len` frames. All frames of all chunks are sorted; the first
    `quotas[0]` of them get the type `order[0]`, the next `quotas[1]` the type `order[1]`, and so
    on. A frame that occurs more than once keeps its last type; what lies beyond the end is cut.
    All other frames show the target.
    Explained in chapter 03_move4mnist.
    """
    frames = np.sort(np.add.outer(np.asarray(starts), np.arange(chunk_len)), axis=None)
    return _overwrite(frames, np.repeat(np.asarray(order, np.int8), quotas), t)


def thirds_timeline(starts, order, quotas, *, t: int, chunk_len: int) -> np.ndarray:
    """A simpler rule: whole chunks get a type, by thirds of their sorted starts.

    It gives three frames of the four published videos another type.
    Explained in chapter 03_move4mnist.
    """
    frames = np.add.outer(np.sort(starts), np.arange(chunk_len)).ravel()
    types = np.repeat(np.asarray(order, np.int8), np.multiply(quotas, chunk_len))
    return _overwrite(frames, types, t)


def literal_timeline(starts, order, lengths, *, t: int) -> np.ndarray:
    """The paper's words (Sec. 4): "a consecutive chunk" of each type among the target frames.

    The chunk of type `order[i]` begins at `starts[i]` and is `lengths[i]` frames long.
    Explained in chapter 03_move4mnist.
    """
    types = np.full(t, TARGET, np.int8)
    for start, length, code in zip(starts, lengths, order, strict=True):
        types[start : start + length] = code
    return types


def _overwrite(frames, types, t) -> np.ndarray:
    timeline = np.full(t, TARGET, np.int8)
    inside = frames < t
    timeline[frames[inside]] = types[inside]  # of equal indices the last one wins
    return timeline


def draw_timeline(options, random: Callable) -> tuple[np.ndarray, tuple[int, ...]]:
    """A timeline by the rule of `options.timeline`, and the starts of its chunks.

    `random(m)` gives m numbers in [0, 1). Those for the order of the types are drawn even when it
    is fixed, so that the option does not move the chunks.
    Explained in chapter 03_move4mnist.
    """
    t = options.frames
    order = options.type_codes
    shuffle = np.argsort(random(len(order)))
    if options.type_order == "shuffled":
        order = [order[i] for i in shuffle]
    if options.timeline == "pooled":
        starts = np.sort((random(options.chunks) * t).astype(int))
        types = pooled_timeline(starts, order, options.shares, t=t, chunk_len=options.chunk_len)
    elif options.timeline == "thirds":
        starts = np.sort(np.argsort(random(t))[: options.chunks])
        types = thirds_timeline(starts, order, options.shares, t=t, chunk_len=options.chunk_len)
    elif options.timeline == "paper-literal":
        shortest, longest = options.literal_lengths
        lengths = shortest + (random(len(order)) * (longest - shortest + 1)).astype(int)
        # Drawn among the target frames, so that no two chunks can overlap.
        gaps = np.sort((random(len(order)) * (t - lengths.sum() + 1)).astype(int))
        starts = gaps + np.cumsum([0, *lengths[:-1]])
        types = literal_timeline(starts, order, lengths, t=t)
    else:
        types, starts = parse_timeline(options.timeline), np.array([], int)
    return types, tuple(starts.tolist())
