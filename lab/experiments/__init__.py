"""The experiments of the book: what `notebooks/runs` and `python -m lab train` run.

An experiment is a function of a `Trial`, which has the parameters of a run, its seed, and where its
files lie. It gives the entries of the record that are its own, and the record's arrays.
"""

from lab.experiments.run import run
