"""One's own videos: what is wanted of paths, told before anything heavy is loaded."""

from pathlib import Path

WANTED = "wanted a folder with a folder for each class, or a CSV file of file,label"


def require_videos(path: Path) -> Path:
    """The path; ValueError, with what was wanted, where nothing is."""
    if not path.exists():
        raise ValueError(f"{path} is not there; {WANTED}")
    return path


def require_model(folder: Path) -> Path:
    """The folder; ValueError unless `fvlib fit` has begun a model there."""
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder} is no model; wanted a folder that `fvlib fit` has written")
    return folder
