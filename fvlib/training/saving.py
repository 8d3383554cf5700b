"""Checkpoints of a training: whole or not there, and told from those of other runs."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fvlib import distributed
from fvlib.storage import require_file, require_room, write_file


def save_atomically(state: dict, path: Path) -> None:
    """Write a checkpoint so that a reader finds the old one or the new one, never half of one.

    Of several processes the first one writes it.
    Explained in chapter 05_more_frames.
    """
    if not distributed.is_first():
        return
    content = io.BytesIO()  # what torch says of a full disk does not name it
    torch.save(state, content)
    write_file(path, content.getbuffer())


def read_state(path: Path, device: str | torch.device = "cpu") -> dict[str, Any]:
    """What a training saved; ValueError when the file is damaged or something else.

    No older checkpoint is kept to fall back on, since the file of this name is always whole when it
    gets its name; what damages it later is the disk, and may have damaged both.
    Explained in chapter 05_more_frames.
    """
    require_file(path)
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        missing = {"identity", "epoch", "model", "optimizer", "schedule", "history"} - set(state)
        if not missing:
            return state
        why = f"it lacks {', '.join(sorted(missing))}"
    except (OSError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # a damaged file can fail in any way
        why = f"{type(error).__name__} when it was read"
    raise ValueError(
        f"the checkpoint {path} ({path.stat().st_size} bytes) is damaged, or of something else "
        f"than a training ({why}). Delete it and run again: the run then begins at its first epoch"
    )


def epochs_done(path: Path) -> int:
    """How many epochs a checkpoint has behind it; 0 when there is none, or a damaged one.

    Explained in chapter 05_more_frames.
    """
    try:
        require_file(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)["epoch"]
    except Exception:  # as above
        return 0


def check_identity(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """ValueError unless a checkpoint is of the wanted recipe, seed and classes.

    Explained in chapter 05_more_frames.
    """
    different = [key for key in wanted if found.get(key) != wanted[key]]
    if different:
        lines = "; ".join(f"{key} is {found.get(key)}, wanted {wanted[key]}" for key in different)
        raise ValueError(
            f"the checkpoint {path} belongs to another run: {lines}. "
            f"Move it away to start again, or use the settings it was made with"
        )


def require_room_for(model: nn.Module, checkpoint: Path) -> None:
    """OSError unless there is room for three checkpoints: the old, the new, and weights to keep.

    Explained in chapter 05_more_frames.
    """
    parameters, buffers = (
        sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        for tensors in (model.parameters(), model.buffers())
    )
    require_room(checkpoint.parent, 3 * (2 * parameters + buffers) / 1e6)  # 2: and momentum
