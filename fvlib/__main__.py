"""`python -m fvlib` is the command `fvlib`."""

import sys

from fvlib.cli import main

if __name__ == "__main__":
    sys.exit(main())
