"""The plan of all runs: which there are, what each differs in, how far they are.

`data/plan.toml` lists what the book wants, by experiment, scale, data and seeds; the recipe file
beside it has the parameters. Nothing here runs anything.
"""

from lab.plan.reference import read_things, reference_of
from lab.plan.runs import Run, choose, read_plan
from lab.plan.status import WORDS, Status, statuses, time_left
