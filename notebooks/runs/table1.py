# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # One run of Table 1
#
# This notebook trains one row of the table once and writes its record. `python -m fvlib runs table1`
# executes it for many rows and seeds with papermill; `python -m fvlib train table1` does the same
# without Jupyter. Chapter [05](../05_more_frames.ipynb) reads the records.

# %% tags=["parameters"]
row: str = "cumulative-8"
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
parameters, version = parameters_of(Path(recipes), "table1", row, scale, data)
for name, value in sorted(parameters.items()):
    print(f"{name:14} {value}")

# %% [markdown]
# The run. It goes on from its last epoch if it was interrupted, and does nothing if its record is
# there and up to date.

# %% tags=["nbval-ignore-output"]
with tempfile.TemporaryDirectory() as temporary:
    path = run(
        "table1",
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
    print(record.name, {name: record.results[name]["top1"] for name in ("clustered", "sampled")})
    assert record.results["clustered"]["total"] == parameters["test_clips"]
