"""The commands of `python -m lab`, one function each; its docstring is the command's help.

A command returns 0 when all went well and 1 when something failed, and works from the root of the
repository.
"""
