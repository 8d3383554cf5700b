"""Loops for a CPU, on as many threads as torch has.

Numba compiles them for a data type when it first comes (a second each) and keeps what it compiled
beside this file, or in the user's cache folder. They take four frames at a time, so that what is
made of them is loaded and stored less often.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int64, Shaped
from numba import njit, types
from numba.extending import overload
from torch import Tensor

from fvlib.clustering.compiled import known

SUMS = {torch.bfloat16: np.float32, torch.float32: np.float32, torch.float64: np.float64}
_WORDS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by their bytes
_COUNTED = 2**14  # features; their changes fit 16 bits
_ADDED = 2**10  # features; their sums stay in the first cache
_LARGE = 2**24  # values; with fewer, threads that torch leaves spinning are in the way of more


def count_changes(frames: Shaped[Tensor, "m features"]) -> tuple[Int64[Tensor, " m"], bool]:
    """How many sign bits of each frame differ from the frame before (0 for the first); any NaN?

    Explained in chapter 02_temporal_clustering.
    """
    frames = known(frames)
    # As integers, positive floats are positive, and NaN, sign or not, is above infinity.
    word = _WORDS[frames.itemsize]
    words, infinity = frames.view(word).numpy(), frames.new_tensor(torch.inf).view(word).item()
    mask, changes = np.iinfo(words.dtype).max, np.zeros(len(words), np.int64)

    def loop(start: int, stop: int) -> int:
        return _count_changes(words, start, stop, words.dtype.type(mask), changes)

    top = max(_in_threads(loop, len(words), words.size))
    return torch.from_numpy(changes), top > infinity


def mean_of_runs(
    frames: Float[Tensor, "m features"], starts: Int64[Tensor, " k"], stops: Int64[Tensor, " k"]
) -> Float[Tensor, "k features"]:
    """The mean of the frames from each start to its stop; zero where there are none.

    frames: of a dtype in `SUMS`, which says in which they are added.
    Explained in chapter 02_temporal_clustering.
    """
    frames, means = frames.contiguous(), frames.new_empty(len(starts), frames.shape[1])
    short = frames.dtype == torch.bfloat16
    words, found = ((x.view(torch.uint16) if short else x).numpy() for x in (frames, means))
    first, last = starts.numpy(), stops.numpy()

    def loop(start: int, stop: int) -> None:
        part, sums = slice(start, stop), np.empty(_ADDED, SUMS[frames.dtype])
        bits = sums.view(f"u{sums.itemsize}")
        _mean_of_runs(words, first[part], last[part], sums, bits, found[part])

    _in_threads(loop, len(starts), words.size)
    return means


def _in_threads(loop: Callable[[int, int], object], count: int, size: int) -> list[object]:
    """What a loop gives for parts of range(count), one for each thread."""
    threads = min(torch.get_num_threads() if size >= _LARGE else 1, max(1, count))
    ends = [count * i // threads for i in range(threads + 1)]
    if threads == 1:
        return [loop(0, count)]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(loop, ends[:-1], ends[1:]))


# no_type_check: what is compiled must be the function itself, not one that checks its arguments.
@njit(nogil=True, cache=True)
@no_type_check
def _count_changes(frames, start, stop, mask, changes):
    word = frames.dtype.type
    top = word(mask - mask)
    for i in range(start, stop, 4):
        i1, i2, i3 = min(i + 1, stop - 1), min(i + 2, stop - 1), min(i + 3, stop - 1)
        for left in range(0, frames.shape[1], _COUNTED):
            part = slice(left, left + _COUNTED)
            before = frames[max(i - 1, 0), part]
            x, x1, x2, x3 = frames[i, part], frames[i1, part], frames[i2, part], frames[i3, part]
            c, c1, c2, c3, most = word(0), word(0), word(0), word(0), word(0)
            for j in range(len(x)):
                sign, sign1, sign2, sign3 = x[j] > 0, x1[j] > 0, x2[j] > 0, x3[j] > 0
                c = word(c + word(sign != (before[j] > 0)))
                c1 = word(c1 + word(sign1 != sign))
                c2 = word(c2 + word(sign2 != sign1))
                c3 = word(c3 + word(sign3 != sign2))
                most = max(most, word(x[j] & mask))
                most = max(most, word(x1[j] & mask))
                most = max(most, word(x2[j] & mask))
                most = max(most, word(x3[j] & mask))
            changes[i] += c
            changes[i1] += c1
            changes[i2] += c2
            changes[i3] += c3
            top = max(top, most)
    return top


@njit(nogil=True, cache=True)
@no_type_check
def _mean_of_runs(frames, starts, stops, sums, bits, means):
    for k in range(len(starts)):
        size = stops[k] - starts[k]
        fours = stops[k] - size % 4
        for left in range(0, frames.shape[1], _ADDED):
            part = slice(left, left + _ADDED)
            mean = means[k, part]
            total = _room(mean, sums[: len(mean)])
            total[:] = 0
            for i in range(starts[k], fours, 4):
                x, x1 = frames[i, part], frames[i + 1, part]
                x2, x3 = frames[i + 2, part], frames[i + 3, part]
                for j in range(len(mean)):
                    first = total[j] + _float(x[j]) + _float(x1[j])
                    total[j] = first + _float(x2[j]) + _float(x3[j])
            for i in range(fours, stops[k]):
                x = frames[i, part]
                for j in range(len(mean)):
                    total[j] = total[j] + _float(x[j])
            if size > 1:
                total /= size
            _write(mean, total, bits)


# Numba does not know bfloat16: its frames and means come as the upper 16 bits of a float32.


def _float(word):
    """The number that a word is."""


def _room(mean, sums):
    """Where the sums are made: where the means will be, if these are as exact."""


def _write(mean, total, bits):
    """Means to where they belong; of two bfloat16 that are as near, the even one."""


@overload(_float)
def _(word):
    if isinstance(word, types.Integer):
        return lambda word: np.uint32(np.uint32(word) << np.uint32(16)).view(np.float32)
    return lambda word: word


@overload(_room)
def _(mean, sums):
    if isinstance(mean.dtype, types.Integer):
        return lambda mean, sums: sums
    return lambda mean, sums: mean


@overload(_write)
def _(mean, total, bits):
    @no_type_check
    def rounded(mean, total, bits):
        for j in range(len(mean)):
            half = np.uint32(0x7FFF) + ((bits[j] >> np.uint32(16)) & np.uint32(1))
            word = np.uint16(np.uint32(bits[j] + half) >> np.uint32(16))
            mean[j] = word if total[j] == total[j] else np.uint16(0x7FC0)

    return rounded if isinstance(mean.dtype, types.Integer) else lambda mean, total, bits: None
