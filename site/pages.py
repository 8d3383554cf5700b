"""The pages of the site that are made anew by every build: copies of the notebooks, and the API."""

import ast
import contextlib
import importlib
import inspect
import pkgutil
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat

import fvlib
import lab

NOTE = """```{{admonition}} Open in JupyterLab
:class: tip
This page is the notebook `{path}`{stored}. To run it and to change it: `make lab` in the
repository, then open `{file}` in the list of files on the left.
```"""


Entries = list[tuple[str, str, Any]]  # name, "mod" or "obj", and the object


def modules() -> list[ModuleType]:
    return [
        module
        for package in (fvlib, lab)
        for module in (
            package,
            *(
                importlib.import_module(found.name)
                for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
            ),
        )
    ]


def public(owner: ModuleType | type) -> dict[str, Any]:
    """The documented classes and functions that a module defines, or the members of a class."""
    home = owner.__name__ if inspect.ismodule(owner) else owner.__module__
    named = {name: item for name, item in vars(owner).items() if not name.startswith("_")}
    mine = {name: getattr(item, "__func__", item) for name, item in named.items()}
    return {
        name: item
        for name, item in mine.items()
        if isinstance(item, property)
        or (callable(item) and getattr(item, "__module__", "") == home and item.__doc__)
        if not (inspect.isclass(item) and item.__name__ != name)  # another name of the same class
    }


def documented() -> Entries:
    """Everything that has an entry on the API pages."""
    found: Entries = []
    for module in modules():
        found.append((module.__name__, "mod", module))
        for name, item in public(module).items():
            found.append((f"{module.__name__}.{name}", "obj", item))
            for member, inner in (public(item) if inspect.isclass(item) else {}).items():
                found.append((f"{module.__name__}.{name}.{member}", "obj", inner))
    return found


def used(path: Path, entries: Entries) -> set[str]:
    """Names of the entries that a chapter imports, or takes from a module that it imports."""
    cells = nbformat.read(path, as_version=4).cells
    code = "\n".join(
        re.sub(r"(?m)^\s*[%!].*$", "", c.source) for c in cells if c.cell_type == "code"
    )
    tree, known = ast.parse(code), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in ("fvlib", "lab"):
            for alias in node.names:
                known[alias.asname or alias.name] = found_at(f"{node.module}.{alias.name}")
    taken = [
        getattr(known[node.value.id], node.attr, None)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and inspect.ismodule(known.get(node.value.id))
    ]
    here = {id(item) for item in [*known.values(), *taken] if item is not None}
    return {name for name, _, item in entries if id(item) in here}


def found_at(name: str) -> Any:
    """What has a dotted name; None if nothing has, as where a stored notebook is older."""
    with contextlib.suppress(ImportError, AttributeError, ValueError):
        return pkgutil.resolve_name(name)
    return None


def chapters(source: Path, entries: Entries) -> dict[str, set[str]]:
    """The names of the entries that each chapter uses, and each part of the appendix."""
    paths = [*source.glob("[0-9]*.ipynb"), *source.glob("appendix/A[0-9]_*.ipynb")]
    return {
        path.relative_to(source).with_suffix("").as_posix(): used(path, entries)
        for path in sorted(paths)
    }


def texts(source: Path, uses: Mapping[str, set[str]], entries: Entries) -> dict[str, str]:
    """What is written on a page: in a chapter and the docstrings of what it uses; in a module's."""
    found = {}
    for chapter, names in uses.items():
        cells = nbformat.read(source / f"{chapter}.ipynb", as_version=4).cells
        docs = [item.__doc__ or "" for name, _, item in entries if name in names]
        found[f"notebooks/{chapter}"] = "\n".join([*(cell.source for cell in cells), *docs])
    for name, _, item in entries:
        if "." in (home := module_of(name)):
            page = "api/" + ".".join(home.split(".")[:2])
            found[page] = found.get(page, "") + (item.__doc__ or "")
    return found


def functions_of(names: set[str], entries: Entries) -> str:
    """A Markdown list of these entries, by module."""
    groups: dict[str, list[str]] = {}
    for name, kind, _ in entries:
        if name in names:
            home = module_of(name)
            shown = "the module itself" if kind == "mod" else name.removeprefix(home + ".")
            groups.setdefault(home, []).append(f"{{py:{kind}}}`{shown} <{name}>`")
    return "\n".join(f"- `{home}`: {', '.join(links)}" for home, links in sorted(groups.items()))


def module_of(name: str) -> str:
    """The module in which something lies, by its full name."""
    while name not in sys.modules:
        name = name.rpartition(".")[0]
    return name


def alternative_text(cell: nbformat.NotebookNode) -> str | None:
    """That of a cell's picture, which is stored with the output."""
    about = [output.get("metadata", {}) for output in cell.get("outputs", [])]
    texts = [value["alt"] for item in about for value in item.values() if "alt" in value]
    return texts[0] if texts else None


def copy_notebooks(
    source: Path,
    executed: Path | None,
    target: Path,
    uses: Mapping[str, set[str]],
    entries: Entries,
) -> None:
    """The notebooks as pages: how to open each, and what of the code it uses, are added.

    executed: where newer versions of some of them are; these are copied then.
    """
    shutil.rmtree(target, ignore_errors=True)
    for path in sorted(source.glob("**/[a-z0-9A]*.ipynb")):
        name = path.relative_to(source)
        if ".ipynb_checkpoints" in name.parts:
            continue
        newer = executed / name if executed else path
        notebook = nbformat.read(newer if newer.exists() else path, as_version=4)
        # The site has its own navigation.
        cells = [cell for cell in notebook.cells if "<!-- navigation -->" not in cell.source]
        title = next(i for i, cell in enumerate(cells) if re.match("# ", cell.source))
        stored = ", executed" if any(cell.get("outputs") for cell in cells) else ""
        note = NOTE.format(path=f"notebooks/{name.as_posix()}", file=name.as_posix(), stored=stored)
        cells.insert(title + 1, nbformat.v4.new_markdown_cell(note))
        for cell in cells:
            if alt := alternative_text(cell):
                cell.metadata["mystnb"] = {"image": {"alt": alt}}
        names = uses.get(name.with_suffix("").as_posix(), set())
        if functions := functions_of(names, entries):
            text = f"## Functions used here\n\n{functions}"
            cells.append(nbformat.v4.new_markdown_cell(text))
        notebook.cells = cells
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, target / name)


def write_api(target: Path) -> None:
    """A page for each top-level module of fvlib and lab, with its submodules as sections."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    pages: dict[str, list[str]] = {}
    for module in modules():
        name = module.__name__
        if "." not in name:
            continue
        top = ".".join(name.split(".")[:2])
        lines = pages.setdefault(top, [])
        members = ", ".join(public(module))
        title = name.removeprefix(f"{top}.")
        lines += [title, ("-" if lines else "=") * len(title), "", f".. automodule:: {name}"]
        lines += [f"   :members: {members}"] if members else []
        lines += ["", *exported(module), ""]
    for top, lines in pages.items():
        (target / f"{top}.rst").write_text("\n".join(lines), "utf-8")


def write_list(page: Path, target: Path) -> None:
    """Markdown: the modules whose pages a page names, in its order, and what each one is."""
    lines = []
    for name in re.findall(r"(?m)^api/(\S+)$", page.read_text("utf-8")):
        about = inspect.getdoc(importlib.import_module(name)) or ""
        first = re.split(r"(?<=[.?])\s|\n\n", about)[0].rstrip(".:")
        lines.append(f"- {{doc}}`{name} <api/{name}>`: {' '.join(first.split())}\n")
    target.write_text("".join(lines), "utf-8")


def exported(module: ModuleType) -> list[str]:
    """What may be imported from a package, as links to where it is defined."""
    inside = f"{module.__name__}."
    names = getattr(module, "__all__", None) or [
        name
        for name, item in sorted(vars(module).items())
        if getattr(item, "__module__", "").startswith(inside)
    ]
    links = [
        f":py:obj:`{name} <{item.__module__}.{item.__qualname__}>`"
        for name, item in ((name, getattr(module, name)) for name in names)
        if getattr(item, "__doc__", None) and hasattr(item, "__qualname__")
    ]
    return [f"To be imported from ``{module.__name__}``: {', '.join(links)}."] if links else []


class Chapters:
    """A hook of autodoc: each entry ends with links to the chapters that use it."""

    def __init__(self, uses: Mapping[str, set[str]]):
        self.uses = uses

    def __call__(self, app: Any, what: str, name: str, item: Any, options: Any, lines: list[str]):
        links = [
            f":doc:`{chapter.split('/')[-1]} </notebooks/{chapter}>`"
            for chapter, names in self.uses.items()
            if name in names
        ]
        if links:
            lines += ["", f"Used in {', '.join(links)}.", ""]


def examples(app: Any, what: str, name: str, item: Any, options: Any, lines: list[str]) -> None:
    """A hook of autodoc: what a command's help gives as examples is shown as it is."""
    text = "\n".join(lines).replace("\nexamples:\n", "\nexamples::\n\n")
    lines[:] = text.split("\n")


def resolved(app: Any, env: Any, node: Any, content: Any) -> Any:
    """A hook of Sphinx: a name in backquotes is one that its module, or the one above, knows."""
    module = sys.modules.get(node.get("py:module"))
    if node["reftype"] != "obj" or module is None:
        return None
    above = sys.modules[module.__name__.rpartition(".")[0] or module.__name__]
    item = {**vars(above), **vars(module)}.get(node["reftarget"])
    full = f"{getattr(item, '__module__', None)}.{getattr(item, '__qualname__', None)}"
    domain = env.get_domain("py")
    if full not in domain.objects:
        return None
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", full, node, content)
