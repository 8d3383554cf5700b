"""Whether a test was there before the records it judges: read from git, kept in a file.

A record is *confirmatory* for a claim when the claim's test at the commit that the record names is
today's, and its seeds and test clips are in no record from before the test's last change. All other
records are *exploratory*. A test is what the claim's entry `tests` in `paper.toml` says of the
record's experiment, together with the number of the rule. Chapters read the answer from
`data/provenance.json`, since the history is not there in every copy of the book.
"""

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.claims.paper import Claim
from lab.claims.rule import RULE
from lab.records.identity import run_git

FILE = "provenance.json"
RULES = ("lab/claims/rule.py",)  # where the rule's number stands, in any commit


@dataclass(frozen=True)
class Provenance:
    """What `provenance.json` says: claim -> its test, since when, and its confirmatory records."""

    claims: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, folder: str | os.PathLike) -> "Provenance":
        """That of a data folder; without the file nothing is confirmatory."""
        path = Path(folder) / FILE
        return cls(json.loads(path.read_text("utf-8"))["claims"] if path.exists() else {})

    def confirms(self, claim: Claim, records: Iterable[str]) -> bool:
        """Whether all of these records are confirmatory for a claim by today's test of it."""
        known, names = self.claims.get(claim.id, {}), [*records]
        today = known.get("test") == fingerprint(claim.tests, RULE)
        return today and bool(names) and {*names} <= {*known["confirmatory"]}

    def came_first(self, claim: Claim) -> bool | None:
        """Whether the claim's first test was committed before its first record was made.

        None when there is no record of what its test reads.
        """
        known = self.claims.get(claim.id, {})
        if not (known.get("first_test") and known.get("first_record")):
            return None
        return known["first_test"] < known["first_record"]


def fingerprint(tests: Iterable[Mapping[str, Any]], rule: int) -> str:
    """Eight hex digits that change when a claim's tests or the rule change."""
    text = json.dumps([*map(dict, tests), rule], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def write_provenance(folder: str | os.PathLike, repository: str | os.PathLike = ".") -> Path:
    """Read the history of a repository and write `folder/provenance.json`; returns its path.

    OSError where there is no history, or only a part of it: a shallow copy gives no answer.
    """
    from fvlib.storage import write_file

    found = provenance(folder, repository)
    path = Path(folder) / FILE
    write_file(path, json.dumps(found, indent=1, sort_keys=True) + "\n")
    return path


def provenance(folder: str | os.PathLike, repository: str | os.PathLike = ".") -> dict[str, Any]:
    """What `write_provenance` writes: for each claim since when its test stands, and more."""
    git = Git(Path(repository))
    paper = (Path(folder).resolve() / "paper.toml").relative_to(git.root)
    tests = _History(git, str(paper))
    records = [*_records(git, str(paper.parent / "records"))]
    claims = {}
    for claim in tomllib.loads((git.root / paper).read_text("utf-8"))["claims"]:
        name, today = claim["id"], claim.get("tests", ())
        own = [record for record in records if _read_by(record, today)]
        confirmed = []
        for experiment in sorted({record["experiment"] for record in own}):
            since = tests.since(name, experiment)
            before = [r for r in records if since is not None and r["added"] in git.before(since)]
            confirmed += [
                record["name"]
                for record in own
                if record["experiment"] == experiment
                and since is not None
                and record["stands"]
                and not record["dirty"]
                and tests.same(name, experiment, record["commit"])
                and not any(record["clips"] == r["clips"] for r in before)
                and not any(record["trained"] == r["trained"] for r in before)
            ]
        first = tests.first(name)
        claims[name] = {
            "test": fingerprint(today, RULE),
            "since": tests.since(name),
            "first_test": git.date(first) if first else None,
            "first_record": min((record["made"] for record in own), default=None),
            "confirmatory": sorted(set(confirmed)),
        }
    return {"rule": RULE, "claims": claims}


def _read_by(record: Mapping[str, Any], tests: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a test may read a record; only scale paper speaks of printed accuracies."""
    for test in tests:
        printed = test["kind"] == "number" and "tolerance" not in test
        if _names(test, record["experiment"]) and (not printed or "/paper-" in record["name"]):
            return True
    return False


def _names(test: Mapping[str, Any], experiment: str) -> bool:
    return experiment in (test.get("experiment"), test.get("other"))


class Git:
    """What is asked of a repository; each question is one call of git."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = Path(self("rev-parse", "--show-toplevel").strip())
        if self("rev-parse", "--is-shallow-repository").strip() == "true":
            raise OSError(f"{self.root} has a part of its history only; `git fetch --unshallow`")
        self._before: dict[str, frozenset[str]] = {}

    def __call__(self, *arguments: str, stdin: bytes = b"") -> str:
        return self.bytes(*arguments, stdin=stdin).decode()

    def bytes(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """What git says, as it says it; OSError where it complains."""
        done = run_git(self.folder, *arguments, stdin=stdin)
        if done.returncode:
            raise OSError(f"git {arguments[0]}: {done.stderr.decode().strip()}")
        return done.stdout

    def show(self, commit: str, path: str) -> str | None:
        """A file at a commit; None where either is unknown."""
        try:
            return self("show", f"{commit}:{path}")
        except OSError:
            return None

    def touching(self, *paths: str) -> list[str]:
        """Commits that changed these paths, the last one first."""
        return self("log", "--full-history", "--topo-order", "--format=%H", "--", *paths).split()

    def before(self, commit: str) -> frozenset[str]:
        """All commits that a commit comes after."""
        if commit not in self._before:
            self._before[commit] = frozenset(self("rev-list", commit).split()) - {commit}
        return self._before[commit]

    def date(self, commit: str) -> str:
        """When a commit was made, UTC, as records write it."""
        form = "--date=format-local:%Y-%m-%dT%H:%M:%S+00:00"
        return self("show", "-s", form, "--format=%cd", commit).strip()


class _History:
    """All claims' tests at any commit, and in the working tree, as `None`."""

    def __init__(self, git: Git, paper: str) -> None:
        self.git = git
        self.paper = paper
        self.commits = git.touching(paper, *RULES)
        today = tomllib.loads((git.root / paper).read_text("utf-8"))["claims"]
        self._at = {None: ({c["id"]: c.get("tests", ()) for c in today}, RULE)}

    def at(self, commit: str | None) -> tuple[Mapping[str, Any], int]:
        """Claim -> its tests at a commit, and the rule's number; empty where they are not known."""
        if commit not in self._at:
            text = self.git.show(commit, self.paper)
            claims = tomllib.loads(text).get("claims", []) if text else []
            rule = next(filter(None, (self.git.show(commit, path) for path in RULES)), "")
            number = re.search(r"^RULE = (\d+)", rule, re.MULTILINE)
            of_claims = {claim["id"]: claim.get("tests", ()) for claim in claims}
            self._at[commit] = (of_claims, int(number[1]) if number else 1)
        return self._at[commit]

    def same(self, claim: str, experiment: str | None, commit: str | None) -> bool:
        """Whether a claim's tests of an experiment, or all of them, were at a commit as today."""
        if commit is None:
            return False
        then, now = (self._print(claim, experiment, place) for place in (commit, None))
        return then == now

    def since(self, claim: str, experiment: str | None = None) -> str | None:
        """The commit since which these tests stand without a break; None if they do not."""
        found = None
        for commit in self.commits:
            if not self.same(claim, experiment, commit):
                break
            found = commit
        return found

    def first(self, claim: str) -> str | None:
        """The first commit in which a claim had a test at all."""
        return next((c for c in reversed(self.commits) if self.at(c)[0].get(claim)), None)

    def _print(self, claim: str, experiment: str | None, commit: str | None) -> str:
        claims, rule = self.at(commit)
        tests = claims.get(claim, ())
        if experiment is not None:
            tests = [test for test in tests if _names(test, experiment)]
        return fingerprint(tests, rule)


def _records(git: Git, folder: str) -> Iterator[dict[str, Any]]:
    """Every record that the history ever had: what identifies it, and the commit that added it."""
    log = git(
        "log", "--reverse", "--topo-order", "--raw", "--no-abbrev", "--format=%H", "--", folder
    )
    blobs, commit, last = [], None, {}
    for line in log.splitlines():
        if not line.startswith(":"):
            commit = line or commit
            continue
        change, _, path = line.partition("\t")
        blob = change.split()[3]
        path = path.rpartition("\t")[2]
        if path.endswith(".json") and set(blob) != {"0"}:
            blobs.append((blob, commit, path))
            last[path] = len(blobs) - 1
        elif path in last:
            del last[path]
    standing = set(last.values())
    for i, ((_, added, path), text) in enumerate(zip(blobs, _contents(git, blobs), strict=True)):
        try:
            record = json.loads(text)
        except ValueError:
            continue
        if isinstance(record, dict) and {"experiment", "data", "code", "seed"} <= set(record):
            yield _identity(record, path) | {"added": added, "stands": i in standing}


def _contents(git: Git, blobs: list[tuple[str, str, str]]) -> Iterator[str]:
    asked = "".join(f"{blob}\n" for blob, *_ in blobs).encode()
    done, place = git.bytes("cat-file", "--batch", stdin=asked), 0
    for _ in blobs:
        end = done.index(b"\n", place)
        size = int(done[place:end].split()[2])
        yield done[end + 1 : end + 1 + size].decode()
        place = end + 2 + size


def _identity(record: Mapping[str, Any], path: str) -> dict[str, Any]:
    """A record's name, commit and time, its test clips, and its seed on this data set.

    Clips that a generator makes are named by their seed; how many of them does not matter, since
    more of them begin with the same.
    """
    data = record["data"]
    clips = [
        data[key].get("test", data[key]) if isinstance(data.get(key), dict) else data.get(key)
        for key in ("sha256", "seed", "options")
    ]
    clips = json.dumps([data.get("name"), data.get("fold"), clips], sort_keys=True)
    return {
        "name": "/".join(path.removesuffix(".json").split("/")[-2:]),
        "experiment": record["experiment"],
        "made": record["made"],
        "commit": record["code"].get("commit"),
        "dirty": record["code"].get("dirty") is not False,
        "clips": clips,
        "trained": (data.get("name"), record["seed"]),
    }
