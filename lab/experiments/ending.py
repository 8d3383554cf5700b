"""How a run ends early: with a word on what is kept of it, and nothing half done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from fvlib.storage import remove_unfinished, require_room
from fvlib.training.contexts import TimeIsUp
from fvlib.training.loop import epochs_done

_LEAST = 10.0  # MB: of a record, of a log and of what else is small


@contextmanager
def explained(checkpoint: Path, parameters: Mapping[str, Any], goes_on: bool) -> Iterator[None]:
    """Errors that a run is not to blame for say what is kept of it, in a note.

    These are interruptions, a limit of time, full disks and exhausted memory, which is always a
    MemoryError here and names the settings that need less. goes_on: whether the same call goes on
    where this one ended.
    """
    try:
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            raise MemoryError(_less(error, parameters)) from error
    except (KeyboardInterrupt, OSError, MemoryError, TimeIsUp) as error:
        done, epochs = epochs_done(checkpoint), parameters.get("epochs")
        if done and goes_on:
            error.add_note(f"{done} of {epochs} epochs are kept, and the same command goes on")
        else:
            error.add_note("the same command begins again")
        raise


def remove_state(checkpoint: Path) -> None:
    """Remove the checkpoint, what lies beside it, and what killed processes left of either."""
    for file in checkpoint.parent.glob(f"{checkpoint.stem}.*"):
        file.unlink(missing_ok=True)
        remove_unfinished(file.parent, file.name)


def require_places(*folders: Path) -> None:
    """OSError unless small files can be written to all of them."""
    for folder in folders:
        require_room(folder, _LEAST)


def _out_of_memory(error: Exception) -> bool:
    """Whether it says so: torch has a class for GPUs alone."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return "can't allocate memory" in str(error) or "bad_alloc" in str(error)


def _less(error: Exception, parameters: Mapping[str, Any]) -> str:
    said = str(error).strip().split("\n")[0]
    now = ", ".join(
        f"{name} (now {parameters.get(name, 'not set')})"
        for name in ("chunk", "frame_budget", "batch_size")
    )
    return (
        f"out of memory{f': {said}' if said else ''}. Smaller numbers in the recipe file need less "
        f"at once: {now}. With another frame_budget or batch_size it is another run, from its start"
    )
