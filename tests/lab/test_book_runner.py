"""lab.book and the command line, on small notebooks made here."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from lab import book
from lab.__main__ import main
from lab.book import notebook
from lab.book.execute import fingerprint, is_current
from lab.book.prose import SETUP, with_navigation

pytestmark = pytest.mark.process

GOOD = """\
# %% [markdown]
# # Good
# %% tags=["parameters"]
n: int = 2
# %%
import os, sys
print("progress", file=sys.stderr)
print(n, sorted({"OMP_NUM_THREADS", "FVLIB_DATA"} & set(os.environ)), os.path.basename(os.getcwd()))
"""
BAD = """\
# %% [markdown]
# # Bad
# %%
before = 1
# %%
divisor = before - 1
print(1 / divisor)
# %%
print("never")
"""
WIDGET = """\
# %% [markdown]
# # Widget
# %% tags=["nbval-skip", "remove-cell"]
from ipywidgets import Image, IntSlider, interact
picture = Image()
@interact(n=(1, 9))
def play(n):
    picture.value = bytes(n)
display(picture)
# %%
IntSlider()
"""
EXITS = """\
# %% [markdown]
# # Exits
# %%
raise SystemExit(0)
# %%
print("never")
"""


def printed(notebook: Path) -> list[str]:
    cells = [cell for cell in nbformat.read(notebook, as_version=4).cells if "outputs" in cell]
    return [out.text for cell in cells for out in cell.outputs if out.get("name") == "stdout"]


@pytest.fixture(scope="module")
def run_of_three(tmp_path_factory):
    """One call of `book run` on four notebooks, two of which fail, from a shell."""
    folder = tmp_path_factory.mktemp("book")
    (folder / "notebooks" / "appendix").mkdir(parents=True)
    texts = {"00_good": GOOD, "01_bad": BAD, "02_exits": EXITS, "appendix/A1_more": GOOD}
    for name, text in texts.items():
        (folder / "notebooks" / f"{name}.py").write_text(text)
    command = [sys.executable, "-m", "lab", "book", "run", "--jobs", "3"]
    return folder, subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_failing_cell_is_shown_and_kept(run_of_three):
    folder, done = run_of_three
    assert done.returncode == 1
    assert "01_bad.py failed in this cell:" in done.stderr
    assert "    print(1 / divisor)\n" in done.stderr
    assert "ZeroDivisionError: division by zero" in done.stderr
    assert "kept: build/book/failed/01_bad.ipynb" in done.stderr
    assert "Traceback" not in done.stderr
    assert (folder / "build" / "book" / "failed" / "01_bad.ipynb").exists()
    assert not (folder / "build" / "book" / "01_bad.ipynb").exists()


def test_leaving_early_is_a_failure(run_of_three):
    folder, done = run_of_three
    assert "02_exits.py failed" in done.stderr
    assert "was not executed" in done.stderr
    assert not (folder / "build" / "book" / "02_exits.ipynb").exists()


def test_the_others_are_executed(run_of_three):
    folder, done = run_of_three
    assert re.search(r"executed +\d+ s  00_good", done.stderr)
    for name, place in (("00_good", "notebooks"), ("appendix/A1_more", "appendix")):
        made = folder / "build" / "book" / f"{name}.ipynb"
        assert printed(made) == [f"2 ['OMP_NUM_THREADS'] {place}\n"]
    text = (folder / "build" / "book" / "00_good.ipynb").read_text()
    assert "papermill" not in text
    assert not re.search(r"20\d\d-\d\d-\d\dT", text)


def test_up_to_date_is_not_run_again(run_of_three, tmp_path):
    folder, _ = run_of_three
    script, data = folder / "notebooks" / "00_good.py", tmp_path / "data"
    data.mkdir()
    (data / "a.json").write_text("1")
    job = book.Job(script, tmp_path / "good.ipynb", {"n": 7})

    assert [out.status for out in book.execute([job], inputs=[data])] == ["done"]
    assert printed(job.output)[0].startswith("7 ")
    made = job.output.stat().st_mtime_ns
    assert [out.status for out in book.execute([job], inputs=[data])] == ["current"]
    assert job.output.stat().st_mtime_ns == made
    assert [out.status for out in book.execute([job], inputs=[data], force=True)] == ["done"]
    assert job.output.stat().st_mtime_ns > made

    assert is_current(job, [data])
    assert not is_current(book.Job(script, job.output, {"n": 8}), [data])
    (data / "a.json").write_text("2")
    assert not is_current(job, [data])
    (data / "a.json").write_text("1")
    assert is_current(job, [data])
    job.output.write_text(job.output.read_text().replace("7 ", "8 "))
    assert not is_current(job, [data])


def test_changes_that_count_as_changes(tmp_path):
    (tmp_path / "a.py").write_text("1")
    (tmp_path / "cache").mkdir()
    first = fingerprint([tmp_path], {"n": 1})
    (tmp_path / "cache" / "b").write_text("not counted")
    assert fingerprint([tmp_path], {"n": 1}) == first
    assert fingerprint([tmp_path], {"n": 2}) != first
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    assert fingerprint([tmp_path], {"n": 1}) != first


def test_store(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FVLIB_DATA", "/nowhere")
    notebooks, stamps = tmp_path / "notebooks", tmp_path / "stamps"
    for folder in ("runs", "appendix"):
        (notebooks / folder).mkdir(parents=True)
    (notebooks / "00_good.py").write_text(GOOD)
    (notebooks / "01_bad.py").write_text(BAD)
    (notebooks / "appendix" / "A1_more.py").write_text(GOOD)
    (notebooks / "runs" / "table1.py").write_text('# %% tags=["parameters"]\nn: int = 1\n')

    assert [out.status for out in book.store(notebooks, stamps)] == ["done", "failed", "done"]
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert not (notebooks / "01_bad.ipynb").exists()
    assert (stamps / "failed" / "01_bad.ipynb").exists()
    assert printed(notebooks / "00_good.ipynb") == ["2 ['OMP_NUM_THREADS'] notebooks\n"]
    more = notebooks / "appendix" / "A1_more.ipynb"
    assert printed(more) == ["2 ['OMP_NUM_THREADS'] appendix\n"]
    assert "navigation" not in more.read_text()
    run = nbformat.read(notebooks / "runs" / "table1.ipynb", as_version=4)
    assert [cell.execution_count for cell in run.cells] == [None]

    text = (notebooks / "00_good.ipynb").read_text()
    cells = json.loads(text)["cells"]
    assert [out.get("name") for cell in cells for out in cell.get("outputs", [])] == ["stdout"]
    assert len({cell["id"] for cell in cells}) == len(cells) == 5
    first, last = ("".join(cells[place]["source"]) for place in (0, -1))
    assert last.endswith("[Bad →](01_bad.ipynb)")
    assert first == f"{last}\n\n{SETUP}"

    good = {"names": ["00"]}
    assert [out.status for out in book.store(notebooks, stamps, **good)] == ["current"]
    (notebooks / "00_good.ipynb").write_text(text.replace("2 [", "3 ["))
    assert [out.status for out in book.store(notebooks, stamps, **good)] == ["done"]
    assert (notebooks / "00_good.ipynb").read_text() == text


def test_a_full_disk_leaves_scripts_and_notebooks_as_they_were(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    script = tmp_path / "notebooks" / "00_good.py"
    script.parent.mkdir()
    script.write_text(GOOD)
    with pytest.raises(OSError, match=r"No space left on device: '.*00_good\.py'$"):
        book.store(script.parent, tmp_path / "stamps")
    script.with_suffix(".ipynb").write_text("old")
    with pytest.raises(OSError, match=r"No space left on device: '.*00_good\.ipynb'$"):
        notebook.write(notebook.read(script), script.with_suffix(".ipynb"))
    assert (script.read_text(), script.with_suffix(".ipynb").read_text()) == (GOOD, "old")
    assert len(list(tmp_path.rglob("*"))) == 3


def test_store_leaves_nothing_of_a_widget(tmp_path):
    script = tmp_path / "notebooks" / "00_widget.py"
    script.parent.mkdir()
    script.write_text(WIDGET)
    assert [out.status for out in book.store(script.parent, tmp_path / "stamps")] == ["done"]
    notebook = json.loads(script.with_suffix(".ipynb").read_text())
    assert "widgets" not in notebook["metadata"]
    tagged, plain = [cell for cell in notebook["cells"] if "outputs" in cell]
    assert tagged["execution_count"] == 1
    assert tagged["outputs"] == []
    assert "application/vnd.jupyter.widget-view+json" in plain["outputs"][0]["data"]


def test_sentence():
    assert book.sentence("**{top1:.1f} %** of {n}", top1=98.76, n=600) == "**98.8 %** of 600"
    assert book.sentence("{a[0]} {a[1]:.0f} {{}}", a=[1, 2.0]) == "1 2 {}"
    with pytest.raises(ValueError, match="no value for n in"):
        book.sentence("{n} clips", top1=1)
    with pytest.raises(ValueError, match="top1 given, but not used"):
        book.sentence("{n} clips", n=1, top1=1)


def test_navigation_and_contents(tmp_path):
    scripts = [tmp_path / f"0{i}_c.py" for i in (0, 2, 3)]
    for script, name in zip(scripts, ["Start", "Middle", "End"], strict=True):
        script.write_text(f"# %% [markdown]\n# # {name}\n")
    lines = [book.navigation(scripts, script).splitlines()[1] for script in scripts]
    assert lines == [
        "[Middle →](02_c.ipynb)",
        "[← Start](00_c.ipynb) · [End →](03_c.ipynb)",
        "[← Middle](02_c.ipynb) · [Contents](00_c.ipynb)",
    ]
    assert book.contents(scripts, "notebooks/").splitlines()[1] == (
        "* [Middle](notebooks/02_c.ipynb)"
    )
    once = with_navigation(scripts[1].read_text(), book.navigation(scripts, scripts[1]))
    assert with_navigation(once, book.navigation(scripts, scripts[1])) == once
    assert once.count(lines[1]) == 2
    assert once.count("# # Middle") == 1
    with pytest.raises(ValueError, match=r"no chapter NN_name\.py in"):
        book.chapters(tmp_path / "nothing")


PICTURES = """\
# %% [markdown]
# # Pictures
# %%
import matplotlib.pyplot as plt
from lab import plots
for k in (1, 2):
    fig, ax = plt.subplots(figsize=(1, k))
    plots.show(fig, f"Caption {k}.", f"Figure {k}.", size=k)
print("no picture")
"""


def test_pictures_are_those_that_show_made(tmp_path):
    (tmp_path / "00_pictures.py").write_text(PICTURES)
    (outcome,) = book.store(tmp_path, tmp_path / "stamps", progress=False)
    assert outcome.status == "done", outcome.message
    first, second = book.pictures(outcome.job.output)
    assert first[1:] == ("Figure 1.", "Caption 1.")
    assert second[1:] == ("Figure 2.", "Caption 2.")
    heights = [int.from_bytes(found.png[20:24]) for found in (first, second)]  # in a PNG's header
    assert heights == [100, 200]


def test_replace_block():
    text = "a\n<!-- x -->\nold\n<!-- /x -->\nb"
    assert book.replace_block(text, "x", "new\n") == "a\n<!-- x -->\nnew\n<!-- /x -->\nb"
    for wrong in ("nothing", text + text, "<!-- /x --> <!-- x -->"):
        with pytest.raises(ValueError, match="the marks <!-- x --> and <!-- /x -->"):
            book.replace_block(wrong, "x", "new")


def test_a_folder_without_chapters_is_told(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for action in ("run", "store"):
        assert main(["book", action]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("lab: no chapter NN_name.py in ")
        assert line.endswith("notebooks; run this from the repository's root")
