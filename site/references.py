"""The bibliography: each entry with the chapters that name it."""

import re
from collections.abc import Mapping

from pybtex.plugin import register_plugin
from pybtex.richtext import HRef, Text
from pybtex.style.formatting.plain import Style


def register(texts: Mapping[str, str]) -> str:
    """The name of a style in which an entry ends with links to the chapters that name it.

    texts: what is written in a chapter, or for it, by its name. An entry's field `shorthand` is a
    regular expression of what the book calls it.
    """

    class WithChapters(Style):
        def format_entry(self, label, entry, bib_data=None):
            found = super().format_entry(label, entry, bib_data)
            word = re.compile(rf"\b(?:{entry.fields['shorthand']})\b")
            names = [name for name, text in sorted(texts.items()) if word.search(text)]
            links = [HRef(f"notebooks/{name}.html", name[:2]) for name in names]
            if links:
                plural = "s" if len(links) > 1 else ""
                found.text = Text(found.text, f" Chapter{plural} ", Text(", ").join(links), ".")
            return found

    register_plugin("pybtex.style.formatting", "with-chapters", WithChapters)
    return "with-chapters"
