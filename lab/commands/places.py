"""Where the commands find things, from the root of the repository."""

from pathlib import Path

NOTEBOOKS, BUILD, DATA = Path("notebooks"), Path("build"), Path("data")
PLAN, RECIPES = DATA / "plan.toml", DATA / "recipes.toml"
ADOPTED, NEW = DATA / "records", BUILD / "records"
INPUTS = [Path("fvlib"), Path("lab"), DATA]  # what a chapter's outputs depend on, besides itself
