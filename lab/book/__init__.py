"""The book as a program: execute chapters and runs, store their outputs, write their sentences.

`execute` runs notebooks with papermill in parallel and resumes where it was; `store` refreshes what
is committed beside each script; `say` makes a sentence from numbers, so that none is typed.
"""

from lab.book.execute import Job, Outcome, execute, store
from lab.book.notebook import pictures
from lab.book.prose import (
    appendices,
    chapters,
    contents,
    navigation,
    replace_block,
    say,
    sentence,
    table,
)
