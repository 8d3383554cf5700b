"""Looking after data: what is in a data root, mini sets to put into one, a pack of one."""

from __future__ import annotations

from pathlib import Path

from lab.commands.places import BUILD


def data_command(
    action: str,
    name: str,
    decode: bool,
    skip_list: Path | None,
    index: Path | None,
    folder: Path | None,
    null: bool,
    clips: int | None,
    seed: int,
    jobs: int | None,
) -> int:
    """Check a folder of data sets, write a mini set, or pack what Move4MNIST needs.

    check ROOT  tells which of the benchmarks are there and counts them against the official lists.
                With --decode every clip is decoded, in parallel; clips that cannot be used are
                named, and --skip-list writes them down, for training to leave out. Fails when
                something is wrong.
    mini NAME   writes a mini version of breakfast, ucf101, hmdb51 or something in the benchmark's
                own layout. It tests the mechanism, not the benchmark. The same command goes on
                after an interruption.
    pack FILE   writes MNIST and decoded backgrounds from FVLIB_DATA to one file of at most 60 MB,
                for machines that cannot decode video: FVLIB_DATA may then name the file.

    examples:
      python -m lab data check /data
      python -m lab data check /data --decode --skip-list skip.txt --index frames.json
      python -m lab data mini something --folder /data/mini
      FVLIB_DATA=/data python -m lab data pack pack.npz
    """
    if action == "pack":
        from fvlib.datasets.packing import pack_real

        pack_real(Path(name), progress=True)
        print(f"{name}: {Path(name).stat().st_size / 1e6:.1f} MB")
        return 0
    if action == "mini":
        from lab.synthetic import write_mini

        folder = folder or BUILD / "minis" / (f"{name}-null" if null else name)
        options = {"null": null, "seed": seed, "clips": clips, "jobs": jobs}
        print(write_mini(name, folder, **options, progress=True))
        return 0
    from fvlib.datasets.videos import check

    files = {"skip_list": skip_list, "index": index}
    report = check(Path(name), decode=decode, jobs=jobs, **files, progress=True)
    print(report.table())
    return int(not report.ok)
