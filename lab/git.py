"""What is asked of git, as if by hand: without its hooks and what it tells them, dates in UTC."""

import os
import subprocess
from pathlib import Path


def environment() -> dict[str, str]:
    """This process's, without what git tells its hooks."""
    return {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}


def run_git(
    folder: Path, *arguments: str, stdin: bytes = b"", timeout: float | None = None
) -> subprocess.CompletedProcess[bytes]:
    """One call in a folder, whatever its exit status. FileNotFoundError where there is no git."""
    command = ["git", "-C", str(folder), "-c", "core.hooksPath=/dev/null", *arguments]
    own = {**environment(), "TZ": "UTC"}
    return subprocess.run(
        command, input=stdin, capture_output=True, env=own, timeout=timeout, check=False
    )
