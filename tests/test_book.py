"""The gates of the book: what is stored, form, pairs, and everything that is generated."""

import ast
import re
import tomllib
from pathlib import Path

import jupytext
import nbformat
import pytest

from lab import book, records
from lab.book.prose import SETUP
from lab.commands.book import readme_pictures, readme_text

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"
CHAPTERS = sorted(NOTEBOOKS.glob("[0-9]*.py"))
APPENDIX = sorted((NOTEBOOKS / "appendix").glob("A[0-9]_*.py"))
SOLUTIONS = sorted((NOTEBOOKS / "solutions").glob("[0-9]*.py"))
RUNS = sorted((NOTEBOOKS / "runs").glob("*.py"))
TAGS = {"parameters", "hide-input", "nbval-ignore-output", "nbval-skip", "remove-cell"}
MIME = {"text/plain", "text/markdown", "text/latex", "image/png", "image/gif"}

every_notebook = pytest.mark.parametrize(
    "script", [*CHAPTERS, *APPENDIX, *SOLUTIONS, *RUNS], ids=lambda script: script.stem
)
every_chapter = pytest.mark.parametrize(
    "script", [*CHAPTERS, *APPENDIX, *SOLUTIONS], ids=lambda script: script.stem
)


def stored(script: Path):
    return nbformat.read(script.with_suffix(".ipynb"), as_version=4)


def code_cells(script: Path) -> list:
    return [cell for cell in stored(script).cells if cell.cell_type == "code"]


def outputs(script: Path) -> list:
    return [output for cell in code_cells(script) for output in cell.outputs]


def tags(cell) -> set[str]:
    return set(cell.metadata.get("tags", []))


def essence(notebook) -> list[tuple]:
    return [
        (cell.cell_type, cell.source.rstrip(), sorted(cell.metadata.get("tags", [])))
        for cell in notebook.cells
    ]


def test_gate_pair_the_chapters_are_there():
    scripts = {path for path in NOTEBOOKS.rglob("*.py") if path.name != "conftest.py"}
    notebooks = {
        path for path in NOTEBOOKS.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts
    }
    assert CHAPTERS
    assert scripts == {*CHAPTERS, *APPENDIX, *SOLUTIONS, *RUNS}
    assert notebooks == {path.with_suffix(".ipynb") for path in scripts}


@every_notebook
def test_gate_pair_notebook_says_what_its_script_says(script):
    notebook = stored(script)
    nbformat.validate(notebook)
    assert essence(notebook) == essence(jupytext.read(script)), "run `make store`"
    assert notebook.metadata.kernelspec.name == "python3"


@every_chapter
def test_gate_form_size(script):
    lengths = [
        sum(bool(line.strip()) for line in cell.source.splitlines()) for cell in code_cells(script)
    ]
    assert max(lengths) <= 25
    assert sum(length <= 15 for length in lengths) >= 0.9 * len(lengths)
    assert script.with_suffix(".ipynb").stat().st_size <= 2**20


@every_notebook
def test_gate_form_one_title(script):
    prose = "\n".join(cell.source for cell in stored(script).cells if cell.cell_type == "markdown")
    without_code = re.sub(r"^```.*?^```", "", prose, flags=re.MULTILINE | re.DOTALL)
    heading = re.findall(r"^# .*", without_code, re.MULTILINE)
    assert len(heading) == 1
    if script.parent.name not in ("solutions", "runs"):
        assert heading[0].startswith(f"# {script.stem[:2]} · ")


@every_chapter
def test_gate_form_executed_in_order(script):
    counts = [cell.execution_count for cell in code_cells(script)]
    assert counts == list(range(1, len(counts) + 1))


@pytest.mark.parametrize("script", RUNS, ids=lambda script: script.stem)
def test_gate_form_runs_store_nothing_and_have_parameters(script):
    assert all(cell.execution_count is None and not cell.outputs for cell in code_cells(script))
    assert sum("parameters" in tags(cell) for cell in code_cells(script)) == 1


@every_chapter
def test_gate_form_outputs(script):
    shown = [output for output in outputs(script) if output.output_type != "stream"]
    assert {output.name for output in outputs(script) if output.output_type == "stream"} <= {
        "stdout"
    }
    assert {output.output_type for output in shown} <= {"display_data", "execute_result"}
    assert {mime for output in shown for mime in output.data} <= MIME


@every_chapter
def test_gate_form_pictures_have_an_alternative_text(script):
    pictures = [
        output.metadata.get(mime, {}).get("alt", "")
        for output in outputs(script)
        for mime in output.get("data", {})
        if mime.startswith("image/")
    ]
    assert len(pictures) <= 8
    assert all(len(text.split()) >= 4 for text in pictures)


@every_chapter
def test_gate_form_tags(script):
    ignored = [cell for cell in code_cells(script) if "nbval-ignore-output" in tags(cell)]
    assert len(ignored) <= 3, [cell.source for cell in ignored]
    for cell in ignored:
        assert isinstance(ast.parse(cell.source).body[-1], ast.Assert), cell.source
    for cell in code_cells(script):
        assert tags(cell) <= TAGS
        assert ("nbval-skip" in tags(cell)) == ("remove-cell" in tags(cell))
        collapsed = cell.metadata.get("jupyter", {}).get("source_hidden", False)
        assert collapsed == ("hide-input" in tags(cell))  # in JupyterLab as on the site


def numbers(entry) -> set[float]:
    """Every number in a parsed TOML file."""
    if isinstance(entry, dict | list):
        values = entry.values() if isinstance(entry, dict) else entry
        return set().union(*map(numbers, values))
    is_number = isinstance(entry, int | float) and not isinstance(entry, bool)
    return {float(entry)} if is_number else set()


def typed_decimals(text: str, known: set[float]) -> list[str]:
    """Decimals in prose that are neither known nor part of arithmetic on a line with its `=`."""
    text = re.sub(r"(?i)\b(sections?|sec\.|python|version)\s+\d+(\.\d+)+", "", text)
    return [
        number
        for line in text.splitlines()
        if "=" not in line
        for number in re.findall(r"(?<![\w.])\d+\.\d+(?![\w.]*\.\w)", line)
        if float(number) not in known
    ]


def test_typed_decimals_are_found():
    known = numbers({"table1": [{"top1": 75.8, "yes": True}], "x": {"y": 40}})
    assert known == {75.8, 40.0}
    assert typed_decimals("The paper has 75.8 %, or 40.0, in Section 4.2.", known) == []
    assert typed_decimals("We reach 98.5 %, against 75.8 %.", known) == ["98.5"]
    assert typed_decimals("1/4 = 0.25\n**0.26**", known) == ["0.26"]


@every_chapter
def test_gate_form_no_measured_number_is_typed(script):
    known = numbers(tomllib.loads((ROOT / "data" / "paper.toml").read_text("utf-8")))
    for cell in stored(script).cells:
        if cell.cell_type == "markdown":
            assert typed_decimals(cell.source, known) == [], cell.source


def test_gate_records_are_sound():
    assert records.problems(ROOT / "data" / "records") == []


def test_gate_records_readme_is_generated(monkeypatch):
    monkeypatch.chdir(ROOT)
    text, pictures = Path("README.md").read_text("utf-8"), readme_pictures()
    assert readme_text(text, pictures) == text, "run `make store`"
    for path, picture in pictures.items():
        assert picture.png == path.read_bytes(), "run `make store`"


@pytest.mark.parametrize("script", CHAPTERS, ids=lambda script: script.stem)
def test_gate_records_navigation_is_generated(script):
    cells = stored(script).cells
    navigation = book.navigation(CHAPTERS, script)
    assert cells[0].source == f"{navigation}\n\n{SETUP}", "run `make store`"
    assert cells[-1].source == navigation, "run `make store`"
    assert sum("<!-- navigation -->" in cell.source for cell in cells) == 2
