"""The experiments of the book: what `notebooks/runs` and `python -m lab train` run.

An experiment is a function of a run's parameters and seed. It gives the entries of the record that
are its own, and the record's arrays. All take the same arguments:

- parameters: all settings of the run, resolved from the recipe file; seed: of all random numbers.
- beside: the folder that paths among the parameters are relative to.
- checkpoint: where training keeps its state until the record is written; other files of its stem
  beside it are kept as long.
- device, progress: where it runs, and whether it shows progress bars.
"""

from lab.experiments.run import run

__all__ = ["run"]
