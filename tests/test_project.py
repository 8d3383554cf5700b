"""The files around the project agree with one another, and with what they speak of."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))


def read(name):
    return (ROOT / name).read_text("utf-8")


def test_the_licence_is_the_one_that_is_named():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert read("LICENSE").startswith("MIT License\n")
    assert PROJECT["license"] == citation["license"] == "MIT"


def test_the_citation_has_what_the_format_wants_and_names_the_paper():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["version"] == PROJECT["version"]
    (paper,) = citation["references"]
    assert f"*{paper['title']}*" in read("README.md")
    for author in paper["authors"]:  # the README names all of them
        assert author["family-names"].split()[-1] in read("README.md")


def test_contributing_is_short_and_its_commands_are_there():
    text = read("CONTRIBUTING.md")
    assert len(text.splitlines()) <= 50
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
    assert {"book", "flow", "site", "slurm", "test"} == set(chosen)
    for line in [*PROJECT["dependencies"], *(line for extra in chosen for line in extras[extra])]:
        wanted = Requirement(line)
        assert canonicalize_name(wanted.name) in locked, line
        assert wanted.specifier, f"{line} has no range"


def read_lock():
    return [line for line in read("requirements-lock.txt").splitlines() if line]


def test_no_file_names_a_package_index():
    for name in ("requirements-lock.txt", "pyproject.toml", "README.md", "Makefile"):
        assert "index-url" not in read(name)
        assert "pypi" not in read(name).lower()
