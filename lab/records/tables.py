"""Markdown tables made from records."""

import os
from collections.abc import Container, Mapping, Sequence
from statistics import fmean, stdev

from lab.records.record import MissingRecord, Record, command
from lab.records.store import select

TOP1_COLUMNS = {
    "top-1 clustered (%)": "results.clustered.top1",
    "top-1 sampled (%)": "results.sampled.top1",
}


def mean_sd(values: Sequence[float], digits: int = 2) -> str:
    """`mean ± sd` (sd of the sample, n-1) as text; only the mean when there is one value."""
    if not values:
        return "–"
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{fmean(values):.{digits}f} ± {stdev(values):.{digits}f}"


def table(
    folder: str | os.PathLike,
    experiment: str,
    *,
    scale: str,
    data: str,
    rows: Sequence[str],
    columns: Mapping[str, str] = TOP1_COLUMNS,
    digits: int = 2,
) -> str:
    """One line a row: mean ± sd over its seeds, then how many seeds, the scale and the data.

    `columns` maps a heading, which has to name the protocol and the unit, to the dotted path of a
    value in the records. MissingRecord, with the commands, when a row has no record at all; a row
    with records but without that value gets a dash.
    """
    found: dict[str, list[Record]] = {row: [] for row in rows}
    for record in select(folder, experiment, scale=scale, data=data, row=list(rows)):
        found[record.row].append(record)
    if missing := [row for row in rows if not found[row]]:
        commands = "\n".join(f"    {command(experiment, scale, data, row, 0)}" for row in missing)
        raise MissingRecord(
            f"no {scale} record on {data} data under {folder} for {', '.join(missing)}; make\n"
            f"{commands}\nand move them there with\n    python -m lab records adopt"
        )
    versions = {record.version for records in found.values() for record in records}
    if len(versions) > 1:
        raise ValueError(
            f"{experiment} has records of versions {sorted(versions)}: make the old again"
        )
    lines = [_line(["row", *columns, "seeds", "scale", "data"]), "|---|" + "--:|" * len(columns)]
    lines[1] += "--:|---|---|"
    for row in rows:
        cells = []
        for path in columns.values():
            values = [record.value(path) for record in found[row]]
            cells.append(mean_sd([value for value in values if value is not None], digits))
        lines.append(_line([row, *cells, str(len(found[row])), scale, data]))
    return "\n".join(lines)


def listing(records: Sequence[Record], stale: Container[str] = ()) -> str:
    """One line a record: its name, accuracies in percent, time, commit ("+": changed) and date.

    stale: the names of those that are not of today's code, which are marked.
    """
    lines = [_line(["record", *TOP1_COLUMNS, "wall (s)", "commit", "made"])]
    lines.append("|---|" + "--:|" * (len(TOP1_COLUMNS) + 1) + "---|---|")
    for record in records:
        values = [record.value(path) for path in (*TOP1_COLUMNS.values(), "cost.wall_s")]
        numbers = ["–" if value is None else f"{value:.1f}" for value in values]
        commit = (record.code["commit"] or "–")[:7] + ("+" if record.code["dirty"] else "")
        name = record.name + " (stale)" * (record.name in stale)
        lines.append(_line([name, *numbers, commit, record.made[:10]]))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
