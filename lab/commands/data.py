"""Data: mini sets, and a pack of what Move4MNIST needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from fvlib.cli import application
from lab.commands.options import BUILD, Jobs, command

data_app = application("Write a mini set, or pack what Move4MNIST needs.")


@command(data_app)
def mini(
    name: Annotated[str, Argument(help="breakfast, ucf101, hmdb51 or something.")],
    folder: Annotated[Path | None, Option(help="Where to; build/minis/NAME.")] = None,
    null: Annotated[bool, Option("--null", help="The version without an effect.")] = False,
    clips: Annotated[int | None, Option(metavar="N", help="For training; all.")] = None,
    seed: int = 0,
    jobs: Jobs = None,
) -> int:
    """Write a mini version of a benchmark in its own layout.

    It tests the mechanism, not the benchmark. The same command goes on after an interruption.

    examples:
      python -m lab data mini something --folder /data/mini
    """
    from lab.synthetic import write_mini

    folder = folder or BUILD / "minis" / (f"{name}-null" if null else name)
    options = {"null": null, "seed": seed, "clips": clips, "jobs": jobs}
    found = write_mini(name, folder, **options, progress=True)
    print(f"{folder}: {found.clips} clips, {found.frames:,} frames; {found.written} written now")
    return 0


@command(data_app)
def pack(file: Annotated[Path, Argument(metavar="FILE")]) -> int:
    """Write MNIST and decoded backgrounds from FVLIB_DATA to one file of at most 60 MB.

    It is for machines that cannot decode video: FVLIB_DATA may then name the file.

    examples:
      FVLIB_DATA=/data python -m lab data pack pack.npz
    """
    from fvlib.datasets.move4mnist import pack_real

    pack_real(file, progress=True)
    print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")
    return 0
