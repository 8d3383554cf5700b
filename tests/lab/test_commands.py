"""The tree of commands: what there is, where it works, and commands that look after data."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from fvlib import cli
from lab.__main__ import main
from lab.commands import app
from lab.synthetic import write_mini

ROOT = Path(__file__).parents[2]
TREE = {
    "book": {"run", "store"},
    "runs": {"list", "status", "plan", "run", "verify"},
    "records": {"list", "check", "adopt"},
    "data": {"mini", "pack"},
    **dict.fromkeys(("train", "claims", "power", "tuned", "history", "fingerprints")),
}
top = typer.main.get_command(app)


def test_the_tree_is_complete_and_every_command_explains_itself(capsys):
    assert {
        name: set(command.commands) if hasattr(command, "commands") else None
        for name, command in top.commands.items()
    } == TREE
    for name, actions in TREE.items():
        for words in [[name], *([name, action] for action in actions or ())]:
            assert main([*words, "--help"]) == 0
            assert f"Usage: python -m lab {' '.join(words)}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ("records", "list", "--new", "x"),
        ("records", "check", "--new", "x"),
        ("data", "pack", "x", "--seed", "1"),
        ("data", "mini", "breakfast", "--decode"),
        ("runs", "plan", "--out", "x"),
        ("runs", "list", "--jobs", "2"),
        ("runs", "verify", "x", "--rows", "y"),
        ("book", "run", "--jobs", "0"),
        ("runs", "run", "--threads", "0"),
        ("runs", "run", "--scale", "huge"),
        ("train", "table1"),
        ("history", "--seeds", "2"),
        ("power", "--seeds", "1"),
    ],
)
def test_an_action_has_its_own_options_alone(words, capsys):
    assert main(list(words)) == 2
    assert "Error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("runs", "list"),
        ("runs", "status"),
        ("runs", "plan"),
        ("runs", "run"),
        ("runs", "run", "--plain"),
        ("runs", "verify", "x.json"),
        ("train", "table1", "--row", "tsm-8"),
        ("claims",),
    ],
)
def test_elsewhere_one_line_says_where_to_go(tmp_path, monkeypatch, words, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(list(words)) == 1
    assert capsys.readouterr().err == (
        f"lab: this is not the repository (no data/recipes.toml in {tmp_path}): "
        "run it from its root\n"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.process
def test_a_poor_environment_is_enough():
    """No home, an ASCII locale, a package that nobody may write to."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LC_ALL": "C"}
    environment |= {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    for words in (["records", "check"], ["claims"], ["runs", "status"]):
        command = [sys.executable, "-m", "lab", *words]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        assert done.stdout.isascii()


@pytest.mark.process
def test_a_damaged_clip_of_a_mini_set_is_named_and_listed(tmp_path, capsys):
    root, skip = tmp_path / "mini", tmp_path / "skip.txt"
    write_mini("something", root, clips=32, jobs=0)
    assert cli.main(["check", str(root)]) == 0
    assert "something_v2 (mini)" in capsys.readouterr().out
    video = next(root.rglob("*.webm"))
    video.write_bytes(video.read_bytes()[:100])
    options = ["--decode", "--jobs", "1", "--skip-list", str(skip)]
    assert cli.main(["check", str(root), *options]) == 1
    report = capsys.readouterr().out
    assert "48 clips decoded, 1 cannot be used" in report
    assert video.name in skip.read_text("utf-8")


def test_a_mini_set_out_of_balance_is_refused(tmp_path, capsys):
    assert main(["data", "mini", "something", "--folder", str(tmp_path), "--clips", "16"]) == 1
    assert "wanted a multiple of 32" in capsys.readouterr().err
