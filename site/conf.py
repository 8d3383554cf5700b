"""The book as a static site: `python -m sphinx site build/site`.

The pages are the stored notebooks; with `-t executed`, those that `make book` executed. Nothing is
loaded from another host: the maths script comes from an installed package, widgets are left out.
"""

import sys
from importlib.metadata import distribution
from pathlib import Path

here = Path(__file__).parent
sys.path.insert(0, str(here))

import pages  # noqa: E402
import references  # noqa: E402

executed = here.parent / "build" / "book" if tags.has("executed") else None
entries = pages.documented()
uses = pages.chapters(here.parent / "notebooks", entries)
texts = pages.texts(here.parent / "notebooks", uses, entries)
pages.copy_notebooks(here.parent / "notebooks", executed, here / "notebooks", uses, entries)
pages.write_api(here / "api")
for name in ("library", "laboratory"):
    pages.write_list(here / f"{name}.md", here / "api" / f"{name}.txt")

project = "Full video"
author = "the authors of fvlib"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinxcontrib.bibtex"]

nb_execution_mode = "off"
nb_merge_streams = True
nb_render_markdown_format = "myst"  # tables and maths in outputs too
nb_output_stderr = "remove"  # progress bars
nb_ipywidgets_js = {}
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3

add_module_names = False
autodoc_inherit_docstrings = False  # PyTorch's say nothing of ours
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 80
default_role = "py:obj"  # names in backquotes
napoleon_custom_sections = ["Source"]  # where in the paper, or in another one
napoleon_use_param = False  # one explanation may be for several arguments

bibtex_bibfiles = ["references.bib"]
bibtex_default_style = references.register(texts)

html_theme = "furo"
html_title = "Full video: a reproduction book"
html_copy_source = False
html_show_copyright = False
html_css_files = ["book.css"]
mathjax = distribution("sphinx-mathjax-offline").locate_file("sphinx-mathjax-offline")
html_static_path = ["_static", str(mathjax / "static" / "mathjax" / "tex-svg.js")]
mathjax_path = "tex-svg.js"
mathjax3_config = {"options": {"enableMenu": False}}  # only its menu loads from another host


def setup(app):
    app.connect("autodoc-process-docstring", pages.examples, priority=100)  # before napoleon
    app.connect("autodoc-process-docstring", pages.Chapters(uses), priority=900)  # behind it
    app.connect("missing-reference", pages.resolved)
