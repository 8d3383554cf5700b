"""Full video action recognition: the code that the chapters of the reproduction book share."""

__version__ = "0.1.0"
