"""The command `fvlib`, for one's own videos; and what every command line of this project does."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from typing import Annotated, Literal

import typer

from fvlib import EXTRAS, extra
from fvlib.clustering import METHOD_NAMES
from fvlib.own import require_model, require_videos
from fvlib.values import on_one_line

EXPECTED = (ValueError, OSError, MemoryError, FloatingPointError)  # told in a line, not traced
SHORTER = 144  # pixels of the pictures that are shown
STORED = "IMAGENET1K_V1"  # weights, the first choice
CHUNK, SIDE = 32, 224  # frames that the network sees at once, and pixels of them


def _folder(path: Path | None) -> Path | None:
    if path is not None and path.exists() and not path.is_dir():
        raise ValueError(f"--out {path} is a file; wanted a folder, which need not be there yet")
    return path


Out = Annotated[Path, typer.Option(help="Folder of what is written.", callback=_folder)]


class Command(typer.core.TyperCommand):
    """A command whose docstring is its help, line by line."""

    def format_help_text(self, ctx, formatter) -> None:
        formatter.write_paragraph()
        for line in (self.help or "").splitlines():
            formatter.write(f"  {line}".rstrip() + "\n")


def application(about: str) -> typer.Typer:
    """A group of commands, without colours, completion and tracebacks with frames."""
    return typer.Typer(
        help=about,
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )


app = application("Temporal clusters of your own videos, and a look at folders of data sets.")


@app.command(cls=Command)
def clusters(
    video: Annotated[Path, typer.Argument(metavar="VIDEO", help="A file, or a folder of frames.")],
    g: Annotated[int, typer.Option("-g", min=1, help="Clusters.")] = 8,
    method: Literal[METHOD_NAMES] = "cumulative",
    weights: Annotated[
        str | None, typer.Option(help=f"torchvision's name, a file, or none; {STORED}, or random.")
    ] = None,
    depth: Annotated[int, typer.Option(help="Of the ResNet.")] = 18,
    fps: Annotated[float | None, typer.Option(help="Frames a second to read; all.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder; clusters/VIDEO.")] = None,
) -> int:
    """Show the clusters of your own clip: which frames go together, and what is left of them.

    Every frame goes through stem and first block of a ResNet. Neighbours whose activations differ
    in many signs are told apart, and g averages are what the rest of the network would see. Writes
    a contact sheet, the curve of distances with the clusters below it, and a GIF of the averages.
    Offline its weights are random, and it says so: their distances are rougher. A video may be of
    any length; but the method optimal keeps the activations of all frames, 0.8 MB each.

    examples:
      fvlib clusters kitchen.mp4
      fvlib clusters kitchen.mp4 -g 16 --method slope --fps 5
      fvlib clusters frames/00042 --weights tsm_kinetics.pth --depth 50
    """
    import numpy as np
    import torch

    from fvlib import pictures
    from fvlib.clustering import TemporalClustering
    from fvlib.datasets.videos import open_clip
    from fvlib.storage import write_file

    extra("matplotlib").use("agg")
    video = Path(os.path.abspath(video))  # "." has no name
    out = _folder(out or Path("clusters", video.stem))
    clip = open_clip(video)
    shown = np.arange(clip.count()) if fps is None else open_clip(video, fps=fps).shown(None)
    if g > len(shown):
        raise ValueError(
            f"{video} has {len(shown)} frames; that many clusters are the most, not {g}"
        )
    network = _network(depth, weights).to(memory_format=torch.channels_last)
    out.mkdir(parents=True, exist_ok=True)  # what cannot be written is better known now
    layer = TemporalClustering(method, g)
    labels, dist = clusters_of(network, _walk(clip, shown, SIDE, "distances"), len(shown), layer)
    wanted = pictures.shown_of_each(labels)
    frames, means = pictures_of(_walk(clip, shown, SHORTER, "means"), labels, wanted)

    title = f"{on_one_line(video.name):.60}: {len(shown)} frames, {g} {method} clusters"
    ribbon = pictures.ribbon(dist, labels, title)
    contact = pictures.contact_sheet(frames, labels, means)
    write_file(out / "ribbon.png", pictures.png(ribbon, dpi=130))
    write_file(out / "contact.png", pictures.png(contact, dpi=130))
    write_file(out / "averages.gif", pictures.gif(means, milliseconds=600))
    starts = np.searchsorted(labels, range(g + 1))
    for label, (first, end) in enumerate(pairwise(starts)):
        print(f"cluster {label:2}: frames {first:5} to {end - 1:5} ({end - first})")
    print(f"contact.png, ribbon.png and averages.gif are in {on_one_line(str(out))}")
    return 0


@app.command(cls=Command)
def check(
    root: Annotated[Path, typer.Argument(envvar="FVLIB_DATA", help="The folder of data sets.")],
    decode: Annotated[bool, typer.Option("--decode", help="Decode every clip.")] = False,
    skip_list: Annotated[Path | None, typer.Option(help="File for what cannot be used.")] = None,
    index: Annotated[Path | None, typer.Option(help="File for the numbers of frames.")] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Processes; one a CPU core.")
    ] = None,
) -> int:
    """Tell which of the benchmarks a folder holds, and count them against the official lists.

    With --decode every clip is decoded, in parallel; clips that cannot be used are named, and
    --skip-list writes them down, for training to leave out. Fails when something is wrong.

    examples:
      fvlib check /data
      fvlib check /data --decode --skip-list skip.txt --index frames.json
    """
    from fvlib.processes import prepare

    if decode:
        prepare("fvlib.datasets.videos.check", "av")
    from fvlib.datasets.videos import check as look

    report = look(root, decode=decode, jobs=jobs, skip_list=skip_list, index=index, progress=True)
    print(report.table())
    return int(not report.ok)


ABOUT_VIDEOS = "A folder a class, or a CSV: file,label."
Videos = Annotated[
    Path, typer.Argument(metavar="VIDEOS", help=ABOUT_VIDEOS, callback=require_videos)
]
Group = Annotated[str | None, typer.Option(metavar="PATTERN", help="What names a clip's source.")]
Backbone = Annotated[str | None, typer.Option(help="resnet18 to 152; torchvision's; timm/NAME.")]
Module = Annotated[str | None, typer.Option(metavar="MODULE", help="Clusters behind it.")]
Width = Annotated[int | None, typer.Option(min=1, help="Channels of a ResNet's stem.")]
Weights = Annotated[str | None, typer.Option(help="torchvision's name, a file, or none.")]
Method = Annotated[Literal["none", *METHOD_NAMES] | None, typer.Option(help="Of clustering.")]
Frames = Annotated[str | None, typer.Option(help="With --method none: a number, or all.")]
Size = Annotated[int | None, typer.Option(min=16, help="Pixels a side.")]
Batch = Annotated[int | None, typer.Option(min=1, help="Clips at once.")]
Device = Annotated[str | None, typer.Option(help="cpu or cuda; what there is.")]
Skip = Annotated[bool, typer.Option("--skip-damaged", help="Leave out clips that cannot be read.")]


@app.command(cls=Command)
def fit(
    videos: Videos,
    out: Out,
    group: Group = None,
    share: Annotated[float, typer.Option(help="Of the clips, to test on.")] = 0.25,
    backbone: Backbone = None,
    after: Module = None,
    width: Width = None,
    weights: Weights = None,
    method: Method = None,
    clusters: Annotated[int | None, typer.Option("--clusters", "-g", min=1)] = None,
    frames: Frames = None,
    size: Size = None,
    batch: Batch = None,
    epochs: Annotated[int | None, typer.Option(min=1)] = None,
    lr: Annotated[float | None, typer.Option(help="Highest learning rate.")] = None,
    chunk: Annotated[int | None, typer.Option(min=1, help="Frames at once.")] = None,
    mirror: Annotated[bool | None, typer.Option("--mirror", help="Sides do not matter.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    device: Device = None,
    skip_damaged: Skip = False,
) -> int:
    """Train a recogniser on your own clips, and test it on some that are held back.

    Clips of one source (--group) are never both trained on and tested. What is not given follows
    from the data, and is shown with its reason before anything starts, with the time and memory
    that it will take. The folder --out then holds the weights, the settings, the split and
    report.html. Interrupted, the same command goes on. With several GPUs: torchrun
    --nproc-per-node N -m fvlib fit ...

    examples:
      fvlib fit videos --out model
      fvlib fit UCF-101 --out model --group "[A-Za-z]+_g[0-9]+" --weights none
      fvlib fit clips.csv --out model --backbone convnext_tiny --clusters 16
    """
    from fvlib import distributed
    from fvlib.own.fit import fit as train

    with distributed.init_group(_device(device)) as own:
        options = {"group": group, "share": share, "skip_damaged": skip_damaged, "device": own}
        found = train(videos, out, **options, **_shown(), **_settings(locals()))
        if distributed.is_rank_zero():
            low, high = found.interval
            print(
                f"{found.evaluation.top1:.1f} % of {len(found.test.files)} clips that were held "
                f"back are right (95 %: {low:.0f} to {high:.0f}); see "
                f"{on_one_line(str(out / 'report.html'))}"
            )
    return 0


@app.command(cls=Command)
def compare(
    videos: Videos,
    out: Out = Path("compare"),
    minutes: Annotated[float, typer.Option(min=0, metavar="M", help="That there are.")] = 60,
    points: Annotated[float, typer.Option(help="Of accuracy that would matter.")] = 2.0,
    group: Group = None,
    backbone: Backbone = None,
    after: Module = None,
    width: Width = None,
    weights: Weights = None,
    size: Size = None,
    batch: Batch = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="At most.")] = None,
    device: Device = None,
    skip_damaged: Skip = False,
) -> int:
    """Tell whether seeing all frames helps on your own clips: 8 frames, 16, clusters, or all.

    Five ways are trained on the same folds, of whole sources (--group), within the minutes that
    there are. What is said of each: better or worse than 8 frames, no difference of as many points
    as matter, or undecided, with the number of clips that would decide. Interrupted, the same
    command goes on.

    examples:
      fvlib compare videos
      fvlib compare UCF-101 --group "[A-Za-z]+_g[0-9]+" --minutes 90 --weights none --size 64
    """
    from fvlib.own.compare import ONE_TRAINING
    from fvlib.own.compare import compare as look

    options = {"group": group, "skip_damaged": skip_damaged, "device": _device(device)}
    options |= {"minutes": minutes, "delta": points}
    found = look(videos, out, **options, **_shown(), **_settings(locals()))
    print(f"{found.table()}\n\n{found.decision()}\n\n{ONE_TRAINING}")
    return 0


def _settings(options: dict) -> dict:
    """Those of the options of a command that are fields of `Settings`, where they are given."""
    from dataclasses import fields

    from fvlib.own.model import Settings

    names = {field.name for field in fields(Settings)}
    given = {name: value for name, value in options.items() if name in names and value is not None}
    frames = str(given.get("frames", ""))
    return given | ({"frames": int(frames)} if frames.isdecimal() else {})


def _device(name: str | None) -> str:
    import torch

    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        why = str(error).partition("\n")[0]
        raise ValueError(f"--device {name} is not to be had ({why}); cpu always is") from error
    return name


def _shown() -> dict:
    """How `fit` and `compare` tell what they do."""
    tell = partial(print, end="\n\n", flush=True)
    return {"progress": sys.stderr.isatty(), "say": tell}


@app.command(cls=Command)
def predict(
    model: Annotated[Path, typer.Argument(help="What fit has written.", callback=require_model)],
    files: Annotated[list[Path], typer.Argument(help="Videos, or folders of frames.")],
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Classes to tell.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, errors in it too.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    timeline: Annotated[bool, typer.Option("--timeline", help="Tell each part's classes.")] = False,
    out: Out = Path("timeline"),
) -> int:
    """Tell what your own videos show: the classes with their shares, of files of any length.

    A file is decoded as a stream, so that memory does not grow with it. One that is damaged is
    named, the others go on, and the command fails at the end. --timeline writes the shares in each
    segment of a video, as a picture and as CSV (start and end in seconds, class, score); with
    --json they are printed too. The segments are the clusters of the network: their scores, which
    are no shares yet, average to those of the video.

    examples:
      fvlib predict model kitchen.mp4
      fvlib predict model videos/*.mp4 --csv > predictions.csv
      fvlib predict model match.mkv --timeline --out match
    """
    if not any(file.exists() for file in files):
        raise ValueError(f"{files[0]} is not there; wanted videos, or folders of frames")
    if as_json and as_csv:
        raise ValueError("--json and --csv are given; choose one of them")
    import csv
    import json

    from fvlib.own.model import load_model
    from fvlib.own.predict import Prediction
    from fvlib.own.predict import predict as look

    loaded, failed, stems, told = load_model(model), 0, Counter(), []
    names = [on_one_line(str(file)) for file in files]
    wide = max(map(len, [*names, "file"])), max(map(len, [*loaded.classes, "class"]))
    if as_csv:
        write = csv.writer(sys.stdout, lineterminator="\n").writerow
    else:
        write = lambda row: print(f"{row[0]:{wide[0]}}  {row[1]:{wide[1]}}  {row[2]}")  # noqa: E731
    if not as_json:
        write(("file", "class", "score"))
    predictions = look(loaded, files, device=_device(None), progress=sys.stderr.isatty())
    for file, name, found in zip(files, names, predictions, strict=True):
        if not isinstance(found, Prediction):
            told.append({"file": str(file), "error": found.reason})
            failed += 1
            print(f"fvlib: {name}: {on_one_line(found.reason)}", file=sys.stderr)
            continue
        told.append(found.as_json(top, timeline=timeline) | {"file": str(file)})
        for label, score in () if as_json else found.top(top):
            write((file if as_csv else name, label, f"{score:.4f}"))
        if timeline:
            stems[file.stem] += 1  # files of one name may be in several folders
            again = f"-{stems[file.stem]}" * (stems[file.stem] > 1)
            found.write_timeline(out, f"{file.stem}{again}")
    if as_json:
        print(json.dumps(told, indent=1))
    elif stems and not as_csv:
        print(f"the timelines are in {on_one_line(str(out))}")
    return int(failed > 0)


def clusters_of(network, parts, t, layer):
    """The cluster of every frame, and in how many bits of block 1 neighbours differ, as arrays.

    parts: the t frames, some (k, h, w, 3) at a time. The network sees the middle of each. Memory
    does not grow with t, unless the labels need all activations.
    """
    import torch
    from torchvision.transforms.v2.functional import center_crop

    from fvlib.models.memory_efficient import distances_of_chunks

    kept = []

    def block1(frames):
        x = center_crop(torch.from_numpy(frames).permute(0, 3, 1, 2), [SIDE, SIDE])
        y = network.encode(x)
        kept.extend([y] if layer.labeling.needs == "activations" else [])
        return y

    with torch.no_grad():
        dist = distances_of_chunks(map(block1, parts), t)[1:]
        labels = layer.labels(torch.cat(kept)[None] if kept else dist[None])[0]
    return labels.numpy(), dist.numpy()


def pictures_of(parts, labels, wanted):
    """The wanted frames of each cluster, by number, and the clusters' means, uint8 (g, h, w, 3).

    parts: the frames, as for `clusters_of`. Kept are these pictures and the sum of one cluster.
    """
    import numpy as np

    kept, means, total = {}, [], 0
    sizes = np.bincount(labels)
    for number, frame in enumerate(chain.from_iterable(parts)):
        label = labels[number]
        total = total + frame.astype(np.int64)
        if number in wanted[label]:
            kept[number] = frame.copy()  # not a view, which would keep its part
        if number + 1 == len(labels) or labels[number + 1] != label:
            means.append((total / sizes[label]).round().astype(np.uint8))
            total = 0
    return kept, np.stack(means)


def _walk(clip, shown, shorter: int, what: str):
    """These frames of a clip, a few at a time, their shorter side so long; with a bar on stderr."""
    from tqdm import tqdm

    height, width = clip.display_size()
    scale = shorter / min(height, width)
    parts = [shown[i : i + CHUNK] for i in range(0, len(shown), CHUNK)]
    with tqdm(total=len(shown), desc=what, unit="frame") as bar:
        for frames in clip.iter_chunks(parts, size=(round(height * scale), round(width * scale))):
            yield frames
            bar.update(len(frames))


def _network(depth: int, weights: str | None):
    """A ResNet whose first block works frame by frame; weights None are the best to be had."""
    from fvlib.models import load_checkpoint, tsm_resnet

    if weights == "none":
        return tsm_resnet(depth, 1000).eval()
    if weights and Path(weights).is_file():
        model = tsm_resnet(depth, 1000)
        load_checkpoint(model, Path(weights), new_classes=True, other_shift=True)
        return model.eval()
    try:
        return tsm_resnet(depth, 1000, weights=weights or STORED).eval()
    except OSError as error:
        missing = f"the weights {weights or STORED} are not here and could not be downloaded"
        if weights is None:
            print(f"{missing}: random ones are taken, whose distances are rougher", file=sys.stderr)
            return tsm_resnet(depth, 1000).eval()
        raise OSError(
            f"{missing}; --weights none takes random ones, --weights FILE those of a checkpoint"
        ) from error


# ---- what every command line does ----


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command of `fvlib`; its exit status, as of `run`."""
    return run(app, "fvlib", arguments)


def run(
    app: typer.Typer,
    program: str,
    arguments: Sequence[str] | None = None,
    expected: tuple[type[Exception], ...] = (),
) -> int:
    """Run one command and return its exit status.

    0 when all went well, 1 when something failed, with one line on stderr, 2 for a wrong command
    line. Ctrl-C ends it with 130 and SIGTERM with 143, as in a shell, and a line that says how to
    go on. expected: errors of the program's own whose message is that line.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    name, command = program.split()[-1], typer.main.get_command(app)
    if hasattr(sys.stdout, "reconfigure"):  # what a locale has no letter for is no reason to fail
        sys.stdout.reconfigure(errors="backslashreplace")

    def say(what: str, error: BaseException, *more: str) -> None:
        notes = getattr(error, "__notes__", [])
        lines = "; ".join([what, *notes, *more]).split("\n")
        print(f"{name}: " + "\n".join(map(on_one_line, lines)), file=sys.stderr)

    try:
        with (
            _terminable(),
            command.make_context(program, one_by_one(command, arguments)) as context,
        ):
            status = command.invoke(context)
            sys.stdout.flush()  # so that what cannot be written is told here
            return status or 0
    except typer.Exit as stop:
        return stop.exit_code
    except typer.TyperException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:  # of `| head`, which has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        if package in EXTRAS:
            say(f"{package} is not installed; pip install 'fvlib[{EXTRAS[package]}]'", error)
        elif "pip install" in str(error):
            say(str(error), error)
        else:
            raise
    except (*EXPECTED, *expected) as error:
        say(str(error) or type(error).__name__, error)
    except KeyboardInterrupt as error:
        say("interrupted", error, f"to go on: {program} {shlex.join(arguments)}")
        return 143 if isinstance(error, _Terminated) else 130
    return 1


def one_by_one(command, arguments: Sequence[str]) -> list[str]:
    """`--set a=1 b=2` as `--set a=1 --set b=2`, for the options that take several values."""
    several: set[str] = set()
    option, values, found = None, 0, []
    for word in arguments:
        if re.match(r"--?[a-zA-Z]", word):
            option, values = (word if word in several else None), 0
        elif option:
            found += [option] * (values > 0)
            values += 1
        elif word in getattr(command, "commands", {}):
            command = command.commands[word]
            several = {name for one in command.params if one.multiple for name in one.opts}
        found.append(word)
    return found


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which schedulers send, ends a command as Ctrl-C does."""


@contextmanager
def _terminable() -> Iterator[None]:
    def terminate(*_) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(main())
