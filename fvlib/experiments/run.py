"""One run of an experiment: from a row of the recipe file to the record of one seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fvlib import records
from fvlib.experiments.benchmarks import run_benchmark
from fvlib.experiments.bound import run_bound
from fvlib.experiments.epoch_time import run_epoch_time
from fvlib.experiments.gradients import run_gradients
from fvlib.experiments.length import run_length
from fvlib.experiments.start import run_pretrain
from fvlib.experiments.table1 import run_table1
from fvlib.experiments.untrained import run_cost, run_facts, run_purity
from fvlib.training import parameters_of

_EXPERIMENTS: dict[str, Callable] = {
    "bound": run_bound,
    "cost": run_cost,
    "epoch_time": run_epoch_time,
    "facts": run_facts,
    "gradients": run_gradients,
    "length": run_length,
    "pretrain": run_pretrain,
    "purity": run_purity,
    "setting": run_table1,
    **dict.fromkeys(("table1", "table1_peers"), run_table1),
    **dict.fromkeys(("table2", "table2_null", "table2_peers", "table2_setting"), run_benchmark),
    **dict.fromkeys(("table3", "any_length"), run_benchmark),
    **dict.fromkeys(("table4", "table4_setting", "ucf101_tiny"), run_benchmark),
    **dict.fromkeys(("table5", "table5_null", "table5_setting"), run_benchmark),
}


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
    **overrides: Any,
) -> Path:
    """Train and evaluate one row and write its record below folder; return the record's path.

    A record that is there and current is left alone unless force is true. A run that was
    interrupted goes on from its last epoch: checkpoints lie in folder/checkpoints until the record
    is written. recipes: the recipe file; files that it names are looked for beside it.
    Explained in chapter 05_more_frames.
    """
    recipes, folder = Path(recipes), Path(folder)
    parameters, version = parameters_of(recipes, experiment, row, scale, data, **overrides)
    name = {"scale": scale, "data": data, "row": row, "seed": seed}
    if not force and records.is_current(
        folder, experiment, **name, parameters=parameters, version=version
    ):
        return records.load(folder, experiment, **name).path
    checkpoint = folder / "checkpoints" / f"{records.name_of(experiment, **name)}.pt"
    if force:
        checkpoint.unlink(missing_ok=True)
    execute = _EXPERIMENTS[experiment]
    entry, arrays = execute(parameters, seed, recipes.parent, checkpoint, device, progress)
    record = records.new(
        experiment, **name, version=version, parameters=parameters, device=device, **entry
    )
    path = records.write(record, arrays, folder)
    checkpoint.unlink(missing_ok=True)
    return path
