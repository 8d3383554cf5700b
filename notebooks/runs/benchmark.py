# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # One run on a benchmark
#
# This notebook trains one row of Tables 2 to 5 once and writes its record, at any scale: on the data
# set itself with `data` "real", on the mini set that stands for it with "embedded". The mini set is
# written when it is first needed. `python -m fvlib runs table4` executes this for many rows and seeds
# with papermill; `python -m fvlib train table4` does the same without Jupyter. Chapters 07 to 10 read
# the records.

# %% tags=["parameters"]
table: str = "table4"  # or another experiment of data/recipes.toml
row: str = "ucf101-cumulative-8"
scale: str = "smoke"
data: str = "embedded"
seed: int = 0
folder: str = ""  # where the record goes; empty: a temporary folder
recipes: str = "../../data/recipes.toml"
device: str = "cpu"
force: bool = False  # also when its record is up to date

# %%
import tempfile
from pathlib import Path

from fvlib import records
from fvlib.experiments import run
from fvlib.training import parameters_of

# %% [markdown]
# The settings of the run, as the recipe file gives them for this row and scale:

# %%
parameters, version = parameters_of(Path(recipes), table, row, scale, data)
for name, value in sorted(parameters.items()):
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
    )
    record = records.read(path)
    for name, value in record.results.items():
        print(f"{name:20} {value}")
    assert record.name == records.name_of(table, scale, data, row, seed)
