"""The command line, `python -m lab`: the book, its runs, its records, its claims, and data."""

import sys

from lab.commands import main

if __name__ == "__main__":
    sys.exit(main())
