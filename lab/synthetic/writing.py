"""Writes a mini set: encoded videos and annotation files, atomically, resumable, in parallel."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from fvlib.processes import check_jobs, spread
from fvlib.storage import once, read_json, write_file
from fvlib.values import check_choice
from lab.synthetic.breakfast import BREAKFAST
from lab.synthetic.scenes import HMDB51, UCF101
from lab.synthetic.sets import Encoding, MiniSet, SyntheticPlan, expected
from lab.synthetic.something import SOMETHING

SYNTHETIC: dict[str, MiniSet] = {mini.name: mini for mini in (BREAKFAST, UCF101, HMDB51, SOMETHING)}
VERSION = 2  # raised by hand when a change here gives other frames or files
FRAMES = (1, 8, 16, 32, None)  # for which a report says what they can show
WARNING = "A mini set tests the mechanism, not the benchmark."


@dataclass(frozen=True)
class MiniReport:
    """What `write_mini` has made.

    `clips` are counted by split (of the first official one), `written` are those of this call,
    `bytes` those of all videos. `sha256` is that of the plans: with `version` it stands for the
    frames before encoding, which are the same everywhere; encoded bytes may differ between
    versions of the codec. `expected` says what numbers of frames of the test clips can show.
    """

    name: str
    version: int
    null: bool
    seed: int
    folder: str
    clips: dict[str, int]
    classes: tuple[str, ...]
    frames: int
    bytes: int
    sha256: str
    expected: tuple[dict, ...]
    written: int
    seconds: float

    def __str__(self) -> str:
        kind = "null version" if self.null else "itself"
        counts = ", ".join(f"{number:,} {split}" for split, number in self.clips.items())
        lines = [
            f"mini {self.name} ({kind}, seed {self.seed}) in {self.folder}",
            f"{counts} clips of {len(self.classes)} classes; {self.frames:,} frames, "
            f"{self.bytes / 1e6:.0f} MB; {self.written:,} clips written in {self.seconds:.0f} s",
        ]
        for row in self.expected:
            number = "all" if row["frames"] is None else row["frames"]
            seen = ", ".join(f"{word} {100 * share:.0f} %" for word, share in row["seen"].items())
            lines.append(
                f"{number} frames of a test clip tell at most {100 * row['accuracy']:.1f} % "
                f"of the classes ({seen})"
            )
        lines.append(WARNING)
        return "\n".join(lines)


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
        name: "breakfast", "ucf101", "hmdb51" or "something"; `SYNTHETIC[name].design` says more.
        folder: a data root, which may hold other sets. The set fills its own folders below it and
            notes what it is in mini-NAME.json. Call again to go on after an interruption: whole
            videos are kept, and there are never halves of one. Of several processes that write the
            same set one does it, and the others wait for it.
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
    began = time.monotonic()
    check_choice("mini set", name, tuple(SYNTHETIC))
    mini = SYNTHETIC[name]
    own = {} if test is None else {"test": test}
    train, test = _counts(mini, clips, test)
    if seed < 0:
        raise ValueError(f"seed is {seed}; wanted 0 or more")
    check_jobs(jobs)
    plans = mini.plan(seed, null, train, test)
    root = Path(folder)
    videos = root / mini.folders[0]
    settings = {"name": name, "version": VERSION, "null": null, "seed": seed, "clips": train}
    settings |= own  # sets that were written before there was a choice have none
    facts = {
        "classes": mini.classes,
        "frames": sum(plan.frames for plan in plans),
        "sha256": sha256("\n".join(map(repr, plans)).encode()).hexdigest(),
        "expected": tuple(expected(mini, [p for p in plans if p.split == "test"], FRAMES)),
    }
    note = root / f"mini-{name}.json"
    texts = {root / path: text for path, text in mini.annotate(plans).items()}
    texts[note] = _json({**settings, **facts, "complete": True, "note": WARNING})

    written = 0
    scratch = root / f".mini-{name}"

    def make() -> None:
        nonlocal written
        _check_folder(mini, root, note, settings)
        missing = _missing(plans, videos)
        if missing:
            write_file(note, _json({**settings, "complete": False}))
            _write_videos(mini, missing, videos, scratch, jobs, progress)
            written = len(missing)
        for path, text in _changed(texts).items():
            write_file(path, text)
        shutil.rmtree(scratch, ignore_errors=True)

    def done() -> bool:
        return not (_missing(plans, videos) or _changed(texts) or scratch.exists())

    once(root / f"mini-{name}", make, done)
    said = {**settings, **facts, "clips": dict(Counter(plan.split for plan in plans))}
    said.pop("test", None)
    return MiniReport(
        **said,
        folder=str(root),
        bytes=sum((videos / plan.path).stat().st_size for plan in plans),
        written=written,
        seconds=time.monotonic() - began,
    )


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


def _counts(mini: MiniSet, clips: int | None, test: int | None) -> tuple[int, int]:
    """Training and test clips."""
    train, most = mini.most
    if test is not None and test != most and (test < mini.step or test % mini.step or test > most):
        raise ValueError(
            f"test is {test}; for the mini set {mini.name} wanted a multiple of {mini.step} up to "
            f"{most}, or {most}, or None for half as many as there are for training"
        )
    if clips is None:
        return train, test or most
    if clips < mini.step or clips % mini.step or clips > train:
        raise ValueError(
            f"clips is {clips}; for the mini set {mini.name} wanted a multiple of {mini.step} up "
            f"to {train}, so that its classes are balanced, or None for {train}"
        )
    return clips, test or min(clips // 2, most)


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
    mini: MiniSet,
    plans: list[SyntheticPlan],
    videos: Path,
    scratch: Path,
    jobs: int | None,
    progress: bool,
) -> None:
    """Write them by way of `scratch`: what is not finished is there, under no video's name."""
    from tqdm import tqdm

    shutil.rmtree(scratch, ignore_errors=True)  # of one that was killed
    scratch.mkdir(exist_ok=True)
    todo = [(mini.name, plan, videos / plan.path, scratch) for plan in plans]
    done = spread(_write_clip, todo, jobs)
    bar = tqdm(done, f"mini {mini.name}", len(todo), unit="clip", disable=not progress)
    for (_, _, path, _), written in bar:
        if not written:
            raise RuntimeError(f"a process died while it wrote {path}; call again to go on")


def _write_clip(task: tuple[str, SyntheticPlan, Path, Path]) -> bool:
    """Draw and encode a clip beside, then give it its name: it is there as a whole or not."""
    name, plan, path, scratch = task
    # With the process's number: one that outlived a kill must not name what a later one writes.
    beside = scratch / f"{os.getpid()}-{plan.path.replace('/', '-')}"
    encode(beside, plan.draw(), SYNTHETIC[name].encoding)
    write_file(path, beside.read_bytes())
    beside.unlink()
    return True


def encode(
    path: str | os.PathLike, frames: UInt8[np.ndarray, "t h w 3"], encoding: Encoding
) -> None:
    """Write frames as a video file; the ending of its name says which container."""
    import av

    with av.open(os.fspath(path), "w", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(encoding.codec, rate=encoding.rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.options = {**dict(encoding.options), "flags": "+bitexact"}
        stream.codec_context.thread_count = 1
        if encoding.tag is not None:
            stream.codec_context.codec_tag = encoding.tag
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
