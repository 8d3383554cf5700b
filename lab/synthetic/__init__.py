"""Mini sets: small versions of the benchmarks in their real layout, made from embedded material.

A mini set tests the mechanism that the paper claims on a benchmark, not the benchmark. Each has its
design in the docstring of its module, written before any comparison: what tells the classes apart,
what is noise, what its null version changes, and what a number of frames can show at best.

- `breakfast`: long clips; two short events in order make the activity. Frames miss them.
- `ucf101`, `hmdb51`: the scene gives the class, any frame shows it. Their own null version.
- `something`: short clips; only the direction of time tells two classes apart.
"""

from lab.synthetic.sets import MiniSet, expected
from lab.synthetic.writing import SYNTHETIC, MiniReport, write_mini
