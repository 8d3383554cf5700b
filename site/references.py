"""The bibliography: each entry with the pages that name it."""

import re
from collections.abc import Mapping

from pybtex.plugin import register_plugin
from pybtex.richtext import HRef, Text
from pybtex.style.formatting.plain import Style


def register(texts: Mapping[str, str]) -> str:
    """The name of a style in which an entry ends with links to the pages that name it.

    These are chapters, or else those of the code. texts: what is written on or for a page, by its
    path. An entry's field `shorthand` is a
    regular expression of what the book calls it.
    """

    class WithChapters(Style):
        def format_entry(self, label, entry, bib_data=None):
            found = super().format_entry(label, entry, bib_data)
            word = re.compile(rf"\b(?:{entry.fields['shorthand']})\b")
            names = [name for name, text in sorted(texts.items()) if word.search(text)]
            chapters = [name for name in names if name.startswith("notebooks/")]
            links = [HRef(f"{name}.html", name.split("/")[-1][:2]) for name in chapters]
            head = " Chapters " if len(links) > 1 else " Chapter "
            if not links:  # the code alone
                links = [HRef(f"{name}.html", name.split("/")[1]) for name in names]
                head = " Code: "
            if links:
                found.text = Text(found.text, head, Text(", ").join(links), ".")
            return found

    register_plugin("pybtex.style.formatting", "with-chapters", WithChapters)
    return "with-chapters"
