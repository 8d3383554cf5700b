"""Which records are confirmatory, in small histories made for it."""

import json
import subprocess
from pathlib import Path

import pytest

from lab import claims
from lab.claims.history import Git, fingerprint

CLAIM = """
[[claims]]
id = "C1"
title = "t"
statement = "s"
place = "p"
setting = "s"
quantity = "q"
chapter = "05"
tests = [{ kind = "greater", a = "x", b = "y", experiment = "table1"%s }]
"""


class Repository:
    """A repository with a rule, a claim and records; each commit is a minute after the last."""

    def __init__(self, folder):
        self.folder, self.minute = folder, 0
        self.git("init", "-q")
        self.test()
        self.rule(claims.RULE)
        self.commit()

    def git(self, *arguments):
        date = f"2026-01-01T00:{self.minute:02}:00+00:00"
        names = {"GIT_AUTHOR_NAME": "a", "GIT_COMMITTER_NAME": "a", "GIT_AUTHOR_EMAIL": "e"}
        names |= {"GIT_COMMITTER_EMAIL": "e", "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        command = ["git", "-C", str(self.folder), *arguments]
        return subprocess.run(
            command, env=names, check=True, capture_output=True, text=True
        ).stdout.strip()

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def test(self, more="", beside=""):
        text = CLAIM % more
        self.write("data/paper.toml", text.replace(" }]", f" }}, {beside}]") if beside else text)

    def rule(self, number):
        self.write("lab/claims/rule.py", f"RULE = {number}\n")

    def commit(self):
        self.minute += 1
        self.git("add", "-A")
        self.git("commit", "-qm", "a step")
        return self.git("rev-parse", "HEAD")

    def record(self, row, seed, commit, clips=1, dirty=False, experiment="table1"):
        record = {
            "experiment": experiment,
            "seed": seed,
            "data": {"name": "Move4MNIST", "sha256": {"test": "a"}, "seed": {"test": clips}},
            "code": {"commit": commit, "dirty": dirty},
            "made": f"2026-01-01T00:{self.minute:02}:30+00:00",
        }
        self.write(f"data/records/{experiment}/small-real-{row}-s{seed}.json", json.dumps(record))

    def found(self):
        return claims.provenance(self.folder / "data", self.folder)["claims"]["C1"]


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path)


def confirmed(repository):
    return [name.rsplit("-", 2)[1:] for name in repository.found()["confirmatory"]]


def test_a_test_that_stood_before_the_runs_is_confirmed_by_them(repository):
    first = repository.git("rev-parse", "HEAD")
    repository.record("x", 1, first)
    repository.record("y", 1, first)
    repository.commit()
    found = repository.found()
    assert confirmed(repository) == [["x", "s1"], ["y", "s1"]]
    assert found["since"] == first
    assert (found["first_test"], found["first_record"]) == (
        "2026-01-01T00:01:00+00:00",
        "2026-01-01T00:01:30+00:00",
    )


def test_a_test_that_came_after_the_runs_is_not(repository):
    first = repository.git("rev-parse", "HEAD")
    repository.record("x", 1, first)
    repository.commit()
    repository.test(", unit = 'points'")
    later = repository.commit()
    assert (confirmed(repository), repository.found()["since"]) == ([], later)
    repository.record("x", 1, later)  # made again, but the seeds and clips are known
    repository.commit()
    assert confirmed(repository) == []
    repository.record("x", 2, later)  # a new seed on known clips
    repository.record("y", 1, later, clips=2)  # a known seed on new clips
    repository.record("x", 3, later, clips=2)
    repository.commit()
    assert confirmed(repository) == [["x", "s3"]]


def test_a_test_of_another_experiment_leaves_the_first_as_it_was(repository):
    first = repository.git("rev-parse", "HEAD")
    repository.record("x", 1, first)
    repository.commit()
    repository.test(beside='{ kind = "greater", a = "x", b = "y", experiment = "other" }')
    later = repository.commit()
    repository.record("x", 2, later, experiment="other")  # on clips that were known then
    repository.record("x", 3, later, clips=2, experiment="other")
    repository.record("x", 4, later)
    repository.commit()
    assert confirmed(repository) == [["x", "s3"], ["x", "s1"], ["x", "s4"]]


def test_the_rule_is_part_of_the_test(repository):
    first = repository.git("rev-parse", "HEAD")
    repository.rule(claims.RULE - 1)
    other = repository.commit()
    repository.record("x", 1, other)
    repository.record("x", 2, first, clips=2)
    repository.commit()
    assert repository.found()["since"] is None  # the rule of this history is not today's
    assert confirmed(repository) == []
    repository.rule(claims.RULE)
    again = repository.commit()
    assert repository.found()["since"] == again  # it stood before, but not without a break
    repository.record("x", 3, again, clips=3)
    repository.commit()
    assert confirmed(repository) == [["x", "s3"]]


def test_what_is_not_known_is_not_confirmatory(repository):
    first = repository.git("rev-parse", "HEAD")
    repository.record("x", 1, "0" * 40, clips=2)  # a commit that is not in the history
    repository.record("x", 2, None, clips=3)
    repository.record("x", 3, first, clips=4, dirty=True)
    repository.record("x", 4, first, clips=5)
    repository.commit()
    assert confirmed(repository) == [["x", "s4"]]
    repository.record("x", 4, first, clips=6, dirty=True)  # what was there before does not count
    repository.commit()
    assert confirmed(repository) == []


def test_a_test_that_is_not_committed_confirms_nothing(repository):
    repository.record("x", 1, repository.git("rev-parse", "HEAD"))
    repository.commit()
    repository.test(", unit = 'points'")
    assert (confirmed(repository), repository.found()["since"]) == ([], None)


def test_the_file_answers_for_todays_tests_alone(repository):
    first = repository.git("rev-parse", "HEAD")
    repository.record("x", 1, first)
    repository.commit()
    data = repository.folder / "data"
    claims.write_provenance(data, repository.folder)
    (claim,) = claims.load(data)
    known, name = claims.Provenance.read(data), "table1/small-real-x-s1"
    assert known.confirms(claim, [name])
    assert not known.confirms(claim, [name, "table1/small-real-y-s1"])
    assert not known.confirms(claim, [])
    repository.test(", unit = 'points'")
    assert not known.confirms(claims.load(data)[0], [name])
    assert claims.Provenance.read(repository.folder).claims == {}  # no file, nothing confirmed
    assert known.came_first(claim) is True


def test_a_part_of_a_history_gives_no_answer(repository, tmp_path):
    repository.rule(1)
    repository.commit()
    shallow = tmp_path / "shallow"
    repository.git("clone", "-q", "--depth", "1", f"file://{repository.folder}", str(shallow))
    with pytest.raises(OSError, match="has a part of its history only"):
        Git(shallow)


def test_the_stored_answer_is_about_todays_tests():
    """Otherwise `python -m lab history` has to be run again."""
    data = Path(__file__).parents[2] / "data"
    known = claims.Provenance.read(data).claims
    tests = {claim.id: fingerprint(claim.tests, claims.RULE) for claim in claims.load(data)}
    assert {name: entry["test"] for name, entry in known.items()} == tests


def test_a_confirmed_part_says_so(repository):
    """From the file to the table; the records themselves are those that the file names."""
    from lab.claims import tables, verdict

    data = repository.folder / "data"
    (claim,) = claims.load(data)
    names = ["table1/small-real-x-s1"]
    known = {"test": fingerprint(claim.tests, claims.RULE), "confirmatory": names}
    path = data / "provenance.json"
    path.write_text(json.dumps({"rule": claims.RULE, "claims": {"C1": known}}), "utf-8")
    difference = claims.Difference(2.0, 0.5, seeds=5, clips=600)
    comparison = claims.Comparison("greater", difference)
    for read, confirmed in ((names, True), ([*names, "table1/small-real-y-s1"], False)):
        draft = verdict.Draft("x − y", comparison, records=tuple(read))
        decision = claims.decide_all([comparison])[0]
        place = (claim, claim.tests[0], data, "small", "real", "clustered")
        one = verdict._Found(verdict.Evidence(*place), draft, True)
        part = verdict._part(one, decision, claims.Provenance.read(data))
        assert part.confirmatory is confirmed
        assert ("confirmatory" in tables._counts(part)) is confirmed
        found = claims.Verdict(claim, (part,), (part,))
        text = "1 is *confirmatory*" if confirmed else "none are *confirmatory*"
        assert text in claims.summary([found])
