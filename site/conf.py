"""The book as a static site: `python -m sphinx site build/site`.

The pages are the stored notebooks; with `-t executed`, those that `make book` executed. Nothing is
loaded from another host: the maths script comes from an installed package, widgets are left out.
"""

import shutil
from importlib.metadata import distribution
from pathlib import Path

here = Path(__file__).parent
pages = here / "notebooks"  # a copy, because every page has to lie below this folder
shutil.rmtree(pages, ignore_errors=True)
executed = here.parent / "build" / "book"
for notebook in (here.parent / "notebooks").glob("**/[a-z0-9]*.ipynb"):
    name = notebook.relative_to(here.parent / "notebooks")
    if ".ipynb_checkpoints" in name.parts:
        continue
    newest = executed / name
    (pages / name).parent.mkdir(parents=True, exist_ok=True)
    use_executed = tags.has("executed") and newest.exists()
    shutil.copy(newest if use_executed else notebook, pages / name)

project = "Full video"
author = "the authors of fvlib"
extensions = ["myst_nb"]
exclude_patterns = []

nb_execution_mode = "off"
nb_merge_streams = True
nb_output_stderr = "remove"  # progress bars
nb_ipywidgets_js = {}
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "Full video: a reproduction book"
mathjax = distribution("sphinx-mathjax-offline").locate_file("sphinx-mathjax-offline")
html_static_path = [str(mathjax / "static" / "mathjax" / "tex-svg.js")]
mathjax_path = "tex-svg.js"
