"""A version has one place, and what names it beside the code agrees."""

import re
from pathlib import Path

import fvlib

ROOT = Path(__file__).parents[2]


def test_citation_and_changelog_name_this_version():
    cited = re.search(r"(?m)^version: (.+)$", (ROOT / "CITATION.cff").read_text("utf-8"))
    newest = re.search(r"(?m)^## (.+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"))
    assert cited[1] == newest[1] == fvlib.__version__
