"""The files around the project agree with one another, and with what they speak of."""

import ast
import re
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from twine.commands.check import check as twine_check

import fvlib

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = PYPROJECT["project"]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))


def read(name):
    return (ROOT / name).read_text("utf-8")


def test_the_licence_is_the_one_that_is_named():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert read("LICENSE").startswith("MIT License\n")
    assert PROJECT["license"] == citation["license"] == "MIT"


def test_the_citation_has_what_the_format_wants_and_names_the_paper():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    changes = read("CHANGELOG.md")
    newest = re.search(r"(?m)^## (.+)$", changes)[1]
    assert citation["version"] == newest == fvlib.__version__
    (paper,) = citation["references"]
    assert f"*{paper['title']}*" in read("README.md")
    for author in paper["authors"]:  # the README names all of them
        assert author["family-names"].split()[-1] in read("README.md")


def test_the_commands_of_contributing_are_there():
    text = read("CONTRIBUTING.md")
    named = set(re.findall(r"^make ([a-z-]+)", text, re.M))
    assert len(named) == 4
    assert named <= TARGETS


@pytest.mark.parametrize("name", ["README.md", "STYLE.md", "CONTRIBUTING.md"])
def test_every_make_target_and_link_of_the_text_exists(name):
    text = read(name)
    named = re.findall(r"`make ([a-z-]+)`|^make ([a-z-]+)", text, re.M)
    assert {a or b for a, b in named} <= TARGETS
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert link.startswith("http") or (ROOT / link).exists(), link


def test_the_workflow_runs_the_test_command_on_push_and_every_month():
    flow = yaml.safe_load(read(".github/workflows/test.yml"))
    when, job = flow[True], flow["jobs"]["test"]  # YAML reads "on" as true
    assert "push" in when
    *_, day, month, weekday = when["schedule"][0]["cron"].split()
    assert (month, weekday) == ("*", "*")
    assert day.isdigit()
    runs = [step["run"] for step in job["steps"] if "run" in step]
    assert "make test" in runs
    assert "test" in TARGETS
    keys = [step["with"]["key"] for step in job["steps"] if "cache" in step.get("uses", "")]
    assert len(keys) == 2
    assert all("hashFiles('requirements-lock.txt')" in key for key in keys)


def test_the_lock_holds_every_package_that_is_asked_for():
    extras = PROJECT["optional-dependencies"]
    locked = {canonicalize_name(re.split("==| ", line)[0]) for line in read_lock()}
    chosen = re.findall(r"--extra ([a-z]+)", read("CONTRIBUTING.md"))
    assert {"book", "flow", "site", "test", "timm"} == set(chosen)
    own = {re.split("[>=]", line)[0]: line for line in extras["book"]}
    for extra in ("video", "embedded"):  # the book has all that these have, in the same range
        assert {own[re.split("[>=]", line)[0]] for line in extras[extra]} == set(extras[extra])
    build = PYPROJECT["build-system"]["requires"]
    for line in [
        *(*build, *PROJECT["dependencies"]),
        *(line for extra in chosen for line in extras[extra]),
    ]:
        wanted = Requirement(line)
        assert canonicalize_name(wanted.name) in locked, line
        assert wanted.specifier, f"{line} has no range"


def test_the_environment_is_as_conda_wants_it_and_has_what_the_lock_has():
    environment = yaml.safe_load(read("environment.yml"))
    assert environment.keys() == {"name", "channels", "dependencies"}
    assert re.fullmatch(r"[^/ :#]+", environment["name"])
    assert all(isinstance(channel, str) for channel in environment["channels"])
    *own, last = environment["dependencies"]
    specs = {spec.name: str(spec.specifier) for spec in map(Requirement, own)}
    assert specs["python"] == PROJECT["requires-python"]
    assert "pip" in specs  # conda warns where a list for pip is there and pip is not
    assert last.keys() == {"pip"}
    (editable,) = last["pip"]
    extras = re.fullmatch(r"-e \.\[([a-z,]+)\]", editable)[1].split(",")
    assert set(extras) == set(re.findall(r"--extra ([a-z]+)", read("CONTRIBUTING.md")))


def read_lock():
    return [line for line in read("requirements-lock.txt").splitlines() if line]


def test_no_file_names_a_package_index():
    for name in ("requirements-lock.txt", "pyproject.toml", "README.md", "Makefile"):
        assert "index-url" not in read(name)
        assert "pypi" not in read(name).lower()


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> list[str]:
    """The wheel and the sdist of this checkout."""
    builders, folder = (WheelBuilder, SdistBuilder), str(tmp_path_factory.mktemp("built"))
    return [path for kind in builders for path in kind(str(ROOT)).build(directory=folder)]


def test_wheel_and_sdist_are_as_an_index_wants_them(built):
    assert not twine_check(built, strict=True)


def test_the_wheel_holds_all_of_the_library_and_nothing_else(built):
    (wheel,) = [path for path in built if path.endswith(".whl")]
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        (entry,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        assert "fvlib = fvlib.cli:main" in archive.read(entry).decode()
    there = (ROOT / "fvlib").rglob("*.py")
    assert held == {path.relative_to(ROOT).as_posix() for path in there} | {"fvlib/py.typed"}


def test_the_sdist_holds_what_it_names():
    builder = SdistBuilder(str(ROOT))
    held = {file.distribution_path for file in builder.recurse_included_files()}
    assert {path.split("/")[0] for path in held} == {"fvlib", "CITATION.cff", "CHANGELOG.md"}


def without_encoding(source: str) -> Iterator[int]:
    """Lines with calls that read or write text as the user's locale has it."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        owner = getattr(getattr(node.func, "value", None), "id", "")
        named = {keyword.arg: keyword.value for keyword in node.keywords}
        if "encoding" in named or (owner in ("av", "Image", "os") and name == "open"):
            continue
        path_first = name == "fdopen" or isinstance(node.func, ast.Name)
        modes = [*node.args[int(path_first) :][:1], *([named["mode"]] if "mode" in named else [])]
        mode = "".join(map(ast.unparse, modes)).strip("'") or "r"
        if (
            (name == "read_text" and not node.args)
            or (name == "write_text" and len(node.args) < 2)
            or (name in ("open", "fdopen") and path_first and "b" not in mode)
            or (name == "open" and not path_first and re.fullmatch(r"[rwaxt+]+", mode))
            or (name in ("run", "Popen", "check_output") and "text" in named)
        ):
            yield node.lineno


@pytest.mark.parametrize("folder", ["fvlib", "lab", "site"])
def test_text_is_read_and_written_in_one_encoding(folder):
    found = {
        f"{path.relative_to(ROOT)}:{line}"
        for path in (ROOT / folder).rglob("*.py")
        for line in without_encoding(path.read_text("utf-8"))
    }
    assert not found


def test_the_search_for_encodings_sees_every_form():
    wrong = ["p.read_text()", "p.write_text('a')", "open(p)", "open(p, 'w')", "p.open('r')"]
    wrong += ["p.open('a')", "os.fdopen(1, mode='w')", "run(x, text=True)", "p.open()"]
    right = ["p.read_text('utf-8')", "p.write_text('a', 'utf-8')", "open(p, 'rb')", "p.open('wb')"]
    right += ["open(p, encoding='utf-8')", "av.open(p)", "Image.open(p)", "run(x)"]
    right += ["clips.open(i)", "open(p, 'rb+' if writable else 'rb')"]
    assert [line for line in wrong if not list(without_encoding(line))] == []
    assert [line for line in right if list(without_encoding(line))] == []
