"""Notebook files: read from a script, written whole, without what differs between two runs."""

import base64
import hashlib
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from fvlib.storage import write_file

METADATA = {  # of every notebook: its kernel, and no version that would differ between machines
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "pygments_lexer": "ipython3"},
}


def read(source: Path):
    """The notebook in a percent script or an .ipynb, for this project's kernel.

    Cells tagged `hide-input`, which the site folds, are collapsed in JupyterLab too.
    """
    import jupytext
    import nbformat

    notebook = jupytext.read(source)
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        if "hide-input" in cell.metadata.get("tags", []):
            cell.metadata["jupyter"] = {"source_hidden": True}
    tidy(notebook)
    return notebook


def write(notebook, path: Path) -> None:
    """Write a notebook at once or not at all."""
    import nbformat

    write_file(path, nbformat.writes(notebook, version=4).rstrip("\n") + "\n")


def tidy(notebook) -> None:
    """Take out what differs between two equal runs: times, papermill's notes, random cell ids."""
    seen: dict[str, int] = {}
    for part in (notebook, *notebook.cells):
        for key in ("papermill", "execution"):
            part.metadata.pop(key, None)
        if not part.metadata.get("tags", True):
            del part.metadata["tags"]
    for cell in notebook.cells:
        name = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
        seen[name] = seen.get(name, 0) + 1
        cell.id = name if seen[name] == 1 else f"{name}-{seen[name]}"


def require_all_executed(notebook) -> None:
    """RuntimeError when a cell was left out: `sys.exit()` in a cell counts as success elsewhere."""
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and cell.source.strip() and not cell.execution_count:
            raise RuntimeError(f"it stopped before its end: cell {index} was not executed")


def drop_what_does_not_last(notebook) -> str:
    """Take progress bars, warnings and widgets out of the outputs; returns what stderr said."""
    said = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            said += [output.text for output in cell.outputs if output.get("name") == "stderr"]
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        if "remove-cell" in cell.metadata.get("tags", []):
            cell.outputs = []
    return "".join(said).strip()


class Picture(NamedTuple):
    """A picture of a stored notebook: its file's bytes, its alternative text and its caption."""

    png: bytes
    alt: str
    caption: str


def pictures(path: Path) -> list[Picture]:
    """The PNG pictures of a stored notebook that `plots.show` made, in their order."""
    import nbformat

    found = []
    for cell in nbformat.read(path, as_version=4).cells:
        shown = cell.get("outputs", [])
        for output, after in pairwise(shown):
            if encoded := output.get("data", {}).get("image/png"):
                alt = output.metadata["image/png"]["alt"]
                caption = after["data"]["text/markdown"].strip("*")
                found.append(Picture(base64.b64decode(encoded), alt, caption))
    return found
