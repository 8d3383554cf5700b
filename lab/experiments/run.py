"""One run of an experiment: from a row of the recipe file to the record of one seed.

And how it ends early: with a word on what is kept of it, and nothing half done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from fvlib import cost, distributed, training
from fvlib.storage import lock, remove_unfinished, require_room
from fvlib.training.loop import epochs_done
from lab import records
from lab.building import starts_of
from lab.experiments.parts import TimeIsUp, Trial
from lab.parameters import experiment_of
from lab.recipes import parameters_of
from lab.records.identity import go_on

_LEAST = 10.0  # MB: of a record, of a log and of what else is small


def run(
    experiment: str,
    row: str,
    *,
    scale: str,
    data: str,
    seed: int,
    recipes: Path,
    folder: Path,
    device: str = "cpu",
    progress: bool = False,
    force: bool = False,
    deterministic: bool = False,
    **overrides: Any,
) -> Path:
    """Train and evaluate one row and write its record below folder; return the record's path.

    A record that is there and current is left alone unless force is true, which begins at the
    start. A run that was interrupted goes on from its last epoch, and its record is the same in
    every result and array: checkpoints lie in folder/checkpoints until the record is written,
    and go on only as the same run (`lab.records.identity`). One line an epoch is left in
    folder/logs.

    Processes that are joined (`fvlib.distributed`) make one run together: all call this, the
    first one alone looks after files, and all get the path.

    Args:
        deterministic: as of `fvlib.training.deterministic`, which GPUs need for the same bits every
            time.
        recipes: the recipe file; its files are looked for beside it.

    Raises:
        ValueError: for parameters that the experiment does not take or that cannot be meant, for
            the checkpoint of another run, and for an experiment that several processes cannot make
            together.
        Busy: when another process is at the same run in this folder.
        OSError: before anything is run when the folder cannot be written to or is full. What ends a
            run early, be it a KeyboardInterrupt, a TimeIsUp, an OSError or a MemoryError, carries a
            note on what is kept of it.
    """
    recipes, folder = Path(recipes), Path(folder)
    parameters, version = parameters_of(recipes, experiment, row, scale, data, **overrides)
    stated = parameters.stated()
    name = {"scale": scale, "data": data, "row": row, "seed": seed}
    whole = records.name_of(experiment, **name)
    checkpoint = folder / "checkpoints" / f"{whole}.pt"

    def recorded() -> Path | None:
        if force or records.why_not(folder, experiment, stated, version, **name) != "":
            return None
        return records.load(folder, experiment, **name).path

    made_by = experiment_of(experiment)
    if distributed.world() > 1 and not made_by.together:
        raise ValueError(
            f"{experiment} is an experiment for one process, and there are {distributed.world()}; "
            "start it without torchrun"
        )
    cost.memory_now(device)  # the peak of a run is its own, whatever this process did before
    if path := distributed.from_rank_zero(lambda: None if checkpoint.exists() else recorded()):
        return path
    if not distributed.is_rank_zero():
        if path := distributed.from_rank_zero(recorded):
            return path
        with training.deterministic(deterministic):
            made_by.function(Trial(parameters, seed, recipes.parent, checkpoint, device))
        return distributed.from_rank_zero(recorded)
    for place in (folder / experiment, checkpoint.parent, folder / "samples", folder / "logs"):
        require_room(place, _LEAST)
    with lock(records.lock_of(folder, whole)):
        if force or recorded() or not checkpoint.exists():
            remove_state(checkpoint)
        if path := distributed.from_rank_zero(recorded):  # perhaps by another one, in the meantime
            return path
        go_on(
            checkpoint,
            {
                "parameters": stated,
                "version": version,
                "threads": torch.get_num_threads(),
                "processes": distributed.world(),
                "device": torch.device(device).type,
                "deterministic": deterministic,
                "starts": starts_of(parameters, recipes.parent),
            },
        )
        with (
            explained(checkpoint, stated, goes_on=not force),
            training.deterministic(deterministic),
        ):
            log = folder / "logs" / f"{whole}.log"
            trial = Trial(parameters, seed, recipes.parent, checkpoint, device, progress, log)
            entry, arrays = made_by.function(trial)
            record = records.new(
                experiment, **name, version=version, parameters=stated, device=device, **entry
            )
            path = records.write(record, arrays, folder)
        remove_state(checkpoint)
    return distributed.from_rank_zero(lambda: path)


@contextmanager
def explained(checkpoint: Path, parameters: Mapping[str, Any], goes_on: bool) -> Iterator[None]:
    """Errors that a run is not to blame for say what is kept of it, in a note.

    These are interruptions, a limit of time, full disks and exhausted memory, which is a
    MemoryError here where a GPU has no more, too.

    Args:
        goes_on: whether the same call goes on where this one ended.
    """
    try:
        yield
    except (KeyboardInterrupt, OSError, MemoryError, torch.OutOfMemoryError, TimeIsUp) as error:
        if isinstance(error, torch.OutOfMemoryError):
            hint = "a smaller chunk, frame_budget or batch_size needs less"
            error = MemoryError(f"out of memory ({error}); {hint}")
        done, epochs = epochs_done(checkpoint), parameters.get("epochs")
        if done and goes_on:
            error.add_note(f"{done} of {epochs} epochs are kept, and the same command goes on")
        else:
            error.add_note("the same command begins again")
        raise error


def remove_state(checkpoint: Path) -> None:
    """Remove the checkpoint, what lies beside it, and what killed processes left of either."""
    for file in checkpoint.parent.glob(f"{checkpoint.stem}.*"):
        file.unlink(missing_ok=True)
        remove_unfinished(file.parent, file.name)
