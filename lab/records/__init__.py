"""One JSON record a run: what was run, on what, what came out, and what it cost.

A record is the only thing from which a table or a sentence with a measured number is made. It is
named `<experiment>/<scale>-<data>-<row>-s<seed>`, written whole or not at all, and checked when
it is written and when it is read. Arrays (predictions of every test clip, curves) lie in an `.npz`
beside it, whose checksum the JSON holds, so that the two cannot be mixed up.
"""

from lab.records.provenance import code, machine, new
from lab.records.record import (
    MAX_JSON_BYTES,
    MAX_NPZ_BYTES,
    SCALES,
    SCHEMA,
    MissingRecord,
    Record,
    command,
    name_of,
    validate,
)
from lab.records.store import (
    Adopted,
    adopt,
    check,
    is_current,
    load,
    lock_of,
    read,
    require_records,
    select,
    why_stale,
    write,
)
from lab.records.tables import TOP1_COLUMNS, listing, mean_sd, table

__all__ = [
    "MAX_JSON_BYTES",
    "MAX_NPZ_BYTES",
    "SCALES",
    "SCHEMA",
    "TOP1_COLUMNS",
    "Adopted",
    "MissingRecord",
    "Record",
    "adopt",
    "check",
    "code",
    "command",
    "is_current",
    "listing",
    "load",
    "lock_of",
    "machine",
    "mean_sd",
    "name_of",
    "new",
    "read",
    "require_records",
    "select",
    "table",
    "validate",
    "why_stale",
    "write",
]
