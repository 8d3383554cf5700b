"""How `pytest --nbval` compares the stored outputs, as `make store` made them."""

import os

# The kernels inherit these: one thread, so that sums are added up in one order, and no real data.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.pop("FVLIB_DATA", None)


def pytest_collectstart(collector):
    """Leave out what differs between two equal runs: progress bars, and the bytes of a GIF.

    PNG is not compared either (nbval's own rule): the numbers that make a picture are its text.
    """
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr", "image/gif")
