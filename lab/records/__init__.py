"""One JSON record a run: what was run, on what, what came out, and what it cost.

A record is the only thing from which a table or a sentence with a measured number is made. It is
named `<experiment>/<scale>-<data>-<row>-s<seed>`, written whole or not at all, and checked when
it is written and when it is read. Arrays (predictions of every test clip, curves) lie in an `.npz`
beside it, whose checksum the JSON holds, so that the two cannot be mixed up.
"""

from lab.records.identity import code, machine, new
from lab.records.record import SCALES, MissingRecord, Record, command, name_of
from lab.records.store import (
    adopt,
    listing,
    load,
    lock_of,
    mean_sd,
    problems,
    read,
    require_records,
    select,
    why_not,
    why_stale,
    write,
)
