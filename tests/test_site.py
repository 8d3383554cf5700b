"""The built site: it loads nothing from elsewhere, its links lead somewhere, nothing is lost."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urldefrag

import nbformat
import pytest
from bs4 import BeautifulSoup

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[1]
CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
CHAPTERS += sorted((ROOT / "notebooks" / "appendix").glob("A[0-9]_*.ipynb"))
NOTEBOOKS = [
    path
    for path in sorted((ROOT / "notebooks").rglob("*.ipynb"))
    if ".ipynb_checkpoints" not in path.parts
]

# Hosts that scripts of the site name: of an XML namespace, in a comment, in MathJax's menu, and for
# speech, which that menu starts; `test_maths_is_typeset_by_a_script_of_the_site`: it is turned off.
NAMED = {"www.w3.org", "snowballstem.org", "developer.mozilla.org", "www.mathjax.org"}
NAMED |= {"cdn.jsdelivr.net"}
LINKS = {"index", "search", "next", "prev", "author", "license", "canonical"}  # only followed


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The site of the stored notebooks, built in a copy, so that nothing in the tree changes."""
    folder = tmp_path_factory.mktemp("site")
    made = shutil.ignore_patterns("notebooks", "api", "__pycache__")
    shutil.copytree(ROOT / "site", folder / "site", ignore=made)
    for name in ("notebooks", "README.md"):
        (folder / name).symlink_to(ROOT / name)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "site", "built"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "built"


@pytest.fixture(scope="session")
def pages(site):
    """Every page, parsed, by its path below the site."""
    return {
        path.relative_to(site).as_posix(): BeautifulSoup(path.read_bytes(), "html.parser")
        for path in sorted(site.rglob("*.html"))
        if "_static" not in path.parts
    }


def page_of(notebook: Path) -> str:
    return "notebooks/" + notebook.relative_to(ROOT / "notebooks").with_suffix(".html").as_posix()


def source(notebook: Path) -> str:
    """The Markdown of a notebook, and that of its outputs, without code."""
    cells = nbformat.read(notebook, as_version=4).cells
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    for output in (output for cell in cells for output in cell.get("outputs", [])):
        texts.append("".join(output.get("data", {}).get("text/markdown", "")))
    return re.sub(r"(?ms)^```.*?^```|`[^`]*`", "", "\n\n".join(texts))


# ---- nothing is loaded from another host


def elsewhere(url: str) -> bool:
    return bool(re.match(r"\s*(https?:)?//", url))


def css_loads(text: str) -> list[str]:
    found = re.findall(r"(?:url\(|@import)\s*[\"']?([^\"')\s;]+)", text)
    return [url for url in found if elsewhere(url)]


def script_loads(text: str) -> list[str]:
    found = re.findall(r"https?://([\w.-]+)", text) + re.findall(r"[\"'`]//([\w-]+\.[\w.-]+)", text)
    return [host for host in found if host not in NAMED]


def page_loads(page: BeautifulSoup) -> list[str]:
    """What a browser fetches for a page from other hosts."""
    found = [tag[name] for name in ("src", "srcset", "poster") for tag in page.select(f"[{name}]")]
    found += [tag["data"] for tag in page.select("object[data]")]
    found += [tag["href"] for tag in page.select("link[href]") if not LINKS & set(tag["rel"])]
    found = [url for url in found if elsewhere(url)]
    styles = [tag["style"] for tag in page.select("[style]")]
    styles += [tag.get_text() for tag in page.select("style")]
    scripts = [tag.get_text() for tag in page.select("script:not([src])")]
    found += [url for text in styles for url in css_loads(text)]
    return found + [host for text in scripts for host in script_loads(text)]


@pytest.mark.parametrize(
    "text",
    [
        "<script src='https://cdn.org/a.js'></script>",
        "<script>fetch('//cdn.org/a.json')</script>",
        "<link rel='stylesheet' href='//fonts.org/a.css'>",
        "<link rel='preconnect' href='http://fonts.org'>",
        "<img src=' https://a.org/b.png'>",
        "<img srcset='https://a.org/b.png 2x'>",
        "<iframe src='https://a.org'></iframe>",
        "<p style='background: url(https://a.org/b.png)'>",
        "<style>@import 'https://a.org/b.css';</style>",
    ],
)
def test_what_is_loaded_is_found(text):
    assert len(page_loads(BeautifulSoup(text, "html.parser"))) == 1


def test_what_is_only_linked_is_not_taken_for_loaded():
    text = """<a href='https://a.org'>a</a><link rel='next' href='https://a.org'><img src='b.png'>
    <style>p { background: url(b.png) }</style><script>"http://www.w3.org/2000/svg"</script>"""
    assert page_loads(BeautifulSoup(text, "html.parser")) == []


def test_pages_load_nothing_from_another_host(pages):
    assert {name: page_loads(page) for name, page in pages.items() if page_loads(page)} == {}


def test_scripts_and_styles_load_nothing_from_another_host(site):
    styles = {path.name: css_loads(path.read_text("utf-8")) for path in site.rglob("*.css")}
    scripts = {path.name: script_loads(path.read_text("utf-8")) for path in site.rglob("*.js")}
    assert len(styles) > 3
    assert len(scripts) > 3
    assert {name: found for name, found in {**styles, **scripts}.items() if found} == {}


# ---- links


def test_every_link_and_anchor_leads_somewhere(site, pages):
    named = {
        name: {tag["id"] for tag in page.select("[id]")} | {""} for name, page in pages.items()
    }
    wrong = []
    for name, page in pages.items():
        urls = [tag[key] for key in ("href", "src") for tag in page.select(f"[{key}]")]
        for url in urls:
            if re.match(r"[a-z]+:|//", url):
                continue
            path, anchor = urldefrag(url)
            path = path.partition("?")[0]
            target = (site / name).parent / unquote(path) if path else site / name
            other = os.path.relpath(target, site)
            if not target.is_file() or unquote(anchor) not in named.get(other, {unquote(anchor)}):
                wrong.append((name, url))
    assert wrong == []


def test_every_notebook_is_in_the_contents(pages):
    contents = {tag["href"] for tag in pages["index.html"].select(".sidebar-tree a")}
    assert {page_of(notebook) for notebook in NOTEBOOKS} <= contents


# ---- maths, tables, pictures, search


def test_maths_is_typeset_by_a_script_of_the_site(site, pages):
    with_maths = {name for name, page in pages.items() if page.select("article .math")}
    wanted = {page_of(path) for path in NOTEBOOKS if re.search(r"(?<!\\)\$", source(path))}
    assert wanted
    assert with_maths == wanted
    for name in with_maths:
        scripts = [tag["src"].partition("?")[0] for tag in pages[name].select("script[src]")]
        own = [url for url in scripts if url.endswith("tex-svg.js")]
        assert len(own) == 1, name
        assert ((site / name).parent / own[0]).stat().st_size > 10**6
        inline = "".join(tag.get_text() for tag in pages[name].select("script:not([src])"))
        assert re.search(r'"enableMenu":\s*false', inline)


def markup_left(html: str) -> list[str]:
    """Dollars, commands of TeX, bars of tables and stars that nobody turned into what they mean."""
    html = re.search("(?s)<article.*</article>|$", html)[0]
    html = re.sub(r"(?s)<(pre|code|script|dt)\b.*?</\1>", "", html)
    html = re.sub(r"(?s)<(span|div) class=\"math [^>]*>.*?</\1>", "", html)
    text = re.sub("<[^>]*>", "", html)
    return re.findall(r"\$\$|\$\S[^$\n]*\$|\\[(\[a-z]|\|\s*:?-+:?\s*\||\*\*\w", text)


@pytest.mark.parametrize("left", ["$$", "$x^2$", "\\(", "\\frac", "|---|", "| :-- |", "**a"])
def test_markup_that_is_left_is_found(left):
    assert len(markup_left(f"<article><p>a {left} b</p></article>")) == 1
    fine = f'<code>{left}</code><span class="math notranslate">{left}</span><pre>{left}</pre>'
    assert markup_left(f"<article>{fine}, 3 $ and 5 * 2</article>") == []


def test_nothing_is_left_of_the_markup(site, pages):
    for name in pages:
        assert markup_left((site / name).read_text("utf-8")) == [], name


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_tables_are_tables_and_scroll(pages, notebook):
    tables = pages[page_of(notebook)].select("article table")
    rules = re.findall(r"(?m)^\s*\|(?:\s*:?-+:?\s*\|)+\s*$", source(notebook))
    assert len(tables) == len(rules)
    assert all("table-wrapper" in table.parent["class"] for table in tables)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_pictures_are_there_with_their_alternative_text(pages, notebook):
    cells = nbformat.read(notebook, as_version=4).cells
    stored = [
        output.metadata[mime]["alt"]
        for cell in cells
        for output in cell.get("outputs", [])
        for mime in output.get("data", {})
        if mime.startswith("image/") and "remove-cell" not in cell.metadata.get("tags", [])
    ]
    shown = [image.get("alt") for image in pages[page_of(notebook)].select("article img")]
    assert shown == stored


def test_search_knows_the_words_of_the_chapters(site):
    text = (site / "searchindex.js").read_text("utf-8")
    index = json.loads(text.removeprefix("Search.setIndex(").rstrip().removesuffix(")"))

    def found(word: str) -> set[str]:
        places = [index[where].get(word, []) for where in ("terms", "titleterms")]
        lists = [place if isinstance(place, list) else [place] for place in places]
        return {index["docnames"][i] for numbers in lists for i in numbers}

    assert "notebooks/02_temporal_clustering" in found("ham")  # the stem of Hamming
    assert {"notebooks/08_breakfast", "api/fvlib.datasets"} <= found("breakfast")
    assert "notebooks/01_gradient_bound" not in found("breakfast")


# ---- how to open a chapter; chapters and functions


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_page_says_how_to_open_its_notebook(pages, notebook):
    note = pages[page_of(notebook)].select_one("article .admonition").get_text()
    assert notebook.relative_to(ROOT).as_posix() in note
    assert "make lab" in note


def links_of(pages) -> tuple[set, set]:
    """Pairs of an entry and a chapter that it links, and of those that a chapter links."""
    there, back = set(), set()
    for page in (page for name, page in pages.items() if name.startswith("api/")):
        for paragraph in page.select("article p"):
            if not paragraph.get_text().startswith("Used in "):
                continue
            entry = paragraph.find_parent("dd")
            if entry:
                name = entry.find_previous_sibling("dt")["id"]
            else:
                name = paragraph.find_parent("section")["id"].removeprefix("module-")
            links = paragraph.select("a[href*='notebooks/']")
            there |= {(name, Path(link["href"]).stem) for link in links}
    for notebook in CHAPTERS:
        links = pages[page_of(notebook)].select("#functions-used-here a[href*='api/']")
        names = [urldefrag(link["href"]).fragment.removeprefix("module-") for link in links]
        assert len(names) == len(set(names))
        back |= {(name, notebook.stem) for name in names}
    return there, back


def test_functions_and_chapters_link_each_other(pages):
    there, back = links_of(pages)
    assert there == back
    for name, chapter in (
        ("fvlib.clustering.labels.cumulative_clusters", "02_temporal_clustering"),  # imported
        ("lab.book.prose.say", "13_verdict"),  # an attribute of what is imported
    ):
        assert (name, chapter) in there
    assert {chapter for _, chapter in there} == {path.stem for path in CHAPTERS}


def test_shapes_can_be_read(pages):
    signature = pages["api/fvlib.clustering.html"].find(id="fvlib.clustering.averages.aggregate")
    text = " ".join(signature.get_text().split())
    assert "x: Float[Tensor, 'n t *feature']" in text
    assert "tuple[Float[Tensor, 'n g *feature'], Int64[Tensor, 'n g']]" in text


def test_every_entry_of_the_bibliography_names_its_pages(pages):
    keys = re.findall(r"(?m)^@\w+\{(\w+),", (ROOT / "site" / "references.bib").read_text("utf-8"))
    entries = pages["bibliography.html"].select("article li")
    assert len(entries) == len(keys)
    for entry in entries:
        assert entry.select("a[href^='notebooks/'], a[href^='api/']"), entry.get_text()


# ---- docstrings


def test_docstrings_have_their_sections(pages):
    entry = pages["api/fvlib.clustering.html"].find(id="fvlib.clustering.averages.aggregate")
    heads = [head.get_text() for head in entry.find_next_sibling("dd").select("dt")]
    assert [head.rstrip(":") for head in heads] == ["Raises"]
    assert entry.find_next_sibling("dd").select_one("p.rubric").get_text() == "Source"


def test_names_in_backquotes_are_links(pages):
    entry = pages["api/fvlib.clustering.html"].find(id="fvlib.clustering.layer.TemporalClustering")
    links = [link["href"] for link in entry.find_next_sibling("dd").select("a.reference")]
    assert "#fvlib.clustering.adaptive.adaptive_counts" in links
