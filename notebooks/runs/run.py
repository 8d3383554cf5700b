# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # One run
#
# This notebook makes the record of one row of one experiment, with one seed, at any scale: on the data
# itself with `data` "real", on what stands for it with "embedded". `python -m lab runs run` executes
# it with papermill for every run of the plan that has no record yet; `python -m lab train` does the
# same for one run, without Jupyter. The chapters read the records.

# %% tags=["parameters"]
table: str = "table1"  # or another experiment of data/recipes.toml
row: str = "cumulative-8"
scale: str = "smoke"
data: str = "embedded"
seed: int = 0
folder: str = ""  # where the record goes; empty: a temporary folder
recipes: str = "../../data/recipes.toml"
device: str = "cpu"
force: bool = False  # also when its record is up to date
deterministic: bool = False  # the same bits every time on a GPU too

# %%
import tempfile
from pathlib import Path

from lab import records
from lab.experiments import run
from lab.recipes import parameters_of

# %% [markdown]
# The settings of the run, as the recipe file gives them for this row and scale:

# %%
parameters, version = parameters_of(Path(recipes), table, row, scale, data)
for name, value in sorted(parameters.stated().items()):
    print(f"{name:14} {value}")

# %% [markdown]
# The run. It goes on from its last epoch if it was interrupted, and does nothing if its record is
# there and up to date.

# %% tags=["nbval-ignore-output"]
with tempfile.TemporaryDirectory() as temporary:
    path = run(
        table,
        row,
        scale=scale,
        data=data,
        seed=seed,
        recipes=Path(recipes),
        folder=Path(folder or temporary),
        device=device,
        force=force,
        deterministic=deterministic,
    )
    record = records.read(path)
    for name, value in record.results.items():
        print(f"{name:20} {value}")
    assert record.name == records.name_of(table, scale, data, row, seed)
