"""Writes a mini set: encoded videos and annotation files, atomically, resumable, in parallel."""

from __future__ import annotations

import json
import os
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from fvlib.processes import check_jobs, spread
from fvlib.storage import once, read_json, replacing, write_file
from fvlib.values import check_choice, check_whole
from lab.synthetic.breakfast import BREAKFAST
from lab.synthetic.scenes import HMDB51, UCF101
from lab.synthetic.sets import Encoding, MiniSet, SyntheticPlan
from lab.synthetic.something import SOMETHING

SYNTHETIC: dict[str, MiniSet] = {mini.name: mini for mini in (BREAKFAST, UCF101, HMDB51, SOMETHING)}
VERSION = 2  # raised by hand when a change here gives other frames or files
WARNING = "A mini set tests the mechanism, not the benchmark."


class MiniReport(NamedTuple):
    """A mini set that is there: clips by split (of the first official one), frames of all clips,
    and how many clips this call has written.
    """

    clips: dict[str, int]
    frames: int
    written: int


def write_mini(
    name: str,
    folder: str | os.PathLike,
    *,
    null: bool = False,
    seed: int = 0,
    clips: int | None = None,
    test: int | None = None,
    jobs: int | None = None,
    progress: bool = False,
) -> MiniReport:
    """Write a mini version of a benchmark in its real layout, with real encoded videos.

    Args:
        name: "breakfast", "ucf101", "hmdb51" or "something"; its module says more.
        folder: a data root, which may hold other sets. The set fills its own folders below it and
            notes what it is in mini-NAME.json. Call again to go on after an interruption: whole
            videos are kept, and there are never halves of one. Of several processes that write the
            same set one does it, and the others wait for it. The sha256 in the note is that of the
            plans: with `version` it stands for the frames before encoding, which are the same
            everywhere, while encoded bytes may differ between versions of the codec.
        null: the version in which clustering and more frames should not help.
        seed: of the whole set.
        clips: how many for training: the first ones of the whole set. None for the whole set.
        test: how many for testing, the first ones too. None for half as many as for training, at
            most all.
        jobs: processes; None for one a core, 0 for this one alone. They start afresh, so a script
            with jobs calls this below `if __name__ == "__main__":`.
        progress: a bar on stderr.

    Raises:
        ValueError: for an unknown name, null where the set is its own null version, a seed below 0,
            a number of clips that is not balanced, jobs < 0, and a folder in which the set's
            folders hold other files or a mini set with other settings.
    """
    check_choice("mini set", name, tuple(SYNTHETIC))
    mini, root = SYNTHETIC[name], Path(folder)
    train, tested = clip_counts(mini, clips, test)
    check_whole("seed", seed, 0)
    check_jobs(jobs)
    plans = mini.plan(seed, null, train, tested)
    videos, note = root / mini.folders[0], root / f"mini-{name}.json"
    settings = {"name": name, "version": VERSION, "null": null, "seed": seed, "clips": train}
    # Sets that were written before there was a choice have none.
    settings |= {} if test is None else {"test": test}
    sums = {"sha256": sha256("\n".join(map(repr, plans)).encode()).hexdigest(), "note": WARNING}
    texts = {root / path: text for path, text in mini.annotate(plans).items()}
    texts[note] = _json({**settings, **sums, "complete": True})
    written = 0

    def make() -> None:
        nonlocal written
        _check_folder(mini, root, note, settings)
        if missing := _missing(plans, videos):
            write_file(note, _json({**settings, "complete": False}))
            _write_videos(mini, missing, videos, jobs, progress)
            written = len(missing)
        for path, text in _changed(texts).items():
            write_file(path, text)

    once(root / f"mini-{name}", make, lambda: not (_missing(plans, videos) or _changed(texts)))
    counts = dict(Counter(plan.split for plan in plans))
    return MiniReport(counts, sum(plan.frames for plan in plans), written)


def _missing(plans: list[SyntheticPlan], videos: Path) -> list[SyntheticPlan]:
    return [plan for plan in plans if not (videos / plan.path).exists()]


def _changed(texts: dict[Path, str]) -> dict[Path, str]:
    """The text files that are not there, or are not as they should be."""
    return {
        path: text
        for path, text in texts.items()
        if not path.exists() or path.read_bytes() != text.encode()
    }


def _json(entries: dict) -> str:
    return json.dumps(entries, indent=1) + "\n"


def clip_counts(mini: MiniSet, clips: int | None, test: int | None) -> tuple[int, int]:
    """Training and test clips."""
    most = dict(zip(("clips", "test"), mini.most, strict=True))
    for name, count in (("clips", clips), ("test", test)):
        whole = count is None or (0 < count <= most[name] and count % mini.step == 0)
        if not whole and (name, count) != ("test", most["test"]):
            raise ValueError(
                f"{name} is {count}; for the mini set {mini.name} wanted a multiple of {mini.step} "
                f"up to {most[name]}, so that its classes are balanced, or None"
            )
    usual = most["test"] if clips is None else min(clips // 2, most["test"])
    return clips or most["clips"], test or usual


def _check_folder(mini: MiniSet, root: Path, note: Path, settings: dict) -> None:
    if note.exists():
        there = read_json(note)
        there = {key: there.get(key) for key in settings}
        if there != settings:
            raise ValueError(
                f"{root} holds a mini set with the settings {there}; wanted {settings}: give "
                f"another folder, or remove {note.name} and {', '.join(mini.folders)} first"
            )
        return
    for folder in mini.folders:
        if (root / folder).exists() and any((root / folder).iterdir()):
            raise ValueError(
                f"{root / folder} holds files that are not of a mini set; nothing is written over "
                "them: give another folder"
            )


def _write_videos(
    mini: MiniSet, plans: list[SyntheticPlan], videos: Path, jobs: int | None, progress: bool
) -> None:
    from tqdm import tqdm

    todo = [(mini.name, plan, videos / plan.path) for plan in plans]
    done = spread(_write_clip, todo, jobs)
    bar = tqdm(done, f"mini {mini.name}", len(todo), unit="clip", disable=not progress)
    for (_, _, path), written in bar:
        if not written:
            raise RuntimeError(f"a process died while it wrote {path}; call again to go on")


def _write_clip(task: tuple[str, SyntheticPlan, Path]) -> bool:
    """Draw and encode a clip, which is there as a whole or not."""
    name, plan, path = task
    with replacing(path) as file:
        encode(file.name, plan.draw(), SYNTHETIC[name].encoding, path.suffix[1:])
    return True


def encode(
    path: str | os.PathLike,
    frames: UInt8[np.ndarray, "t h w 3"],
    encoding: Encoding,
    container: str | None = None,
) -> None:
    """Write frames as a video file, in a container such as "avi", or as its name's ending says."""
    import av

    options = {"fflags": "+bitexact"}
    with av.open(os.fspath(path), "w", format=container, options=options) as file:
        stream = file.add_stream(encoding.codec, rate=encoding.rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.options = {**dict(encoding.options), "flags": "+bitexact"}
        stream.codec_context.thread_count = 1
        if encoding.tag is not None:
            stream.codec_context.codec_tag = encoding.tag
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())
