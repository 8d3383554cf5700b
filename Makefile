# Every target wraps plain commands, which README.md gives too. Two of them are enough:
# `make book` and `make test`. They set up .venv when it is missing and leave it alone otherwise.

PYTHON ?= python3
JOBS ?= 2
RUNS ?=

PY := .venv/bin/python
PYTEST := env -u FVLIB_DATA OMP_NUM_THREADS=1 $(PY) -m pytest
# The stamp's name follows what was asked for and where: a changed lock file or a moved folder
# installs again, a touched file does not.
READY := .venv/ready-$(firstword $(shell { cat pyproject.toml requirements-lock.txt; echo "$(CURDIR)"; } | cksum))
LOG := .venv/setup.log

.PHONY: help setup book test unit check check-pair check-form check-records check-code check-fresh
.PHONY: store lab runs bench site clean

help: ## show this list
	@echo "make TARGET, where TARGET is"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' Makefile
	@echo "Variables: PYTHON=python3.12 (setup), JOBS=4 (processes), RUNS='--table table1 --scale smoke' (runs)"

setup: $(READY) ## create .venv and install the locked packages, if that is not done yet

$(READY):
	@command -v $(PYTHON) > /dev/null || { \
	  echo "setup: no $(PYTHON) found; install Python 3.11 or later, or name one: make PYTHON=python3.12 setup" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || { \
	  echo "setup: $(PYTHON) is $$($(PYTHON) --version 2>&1), but 3.11 or later is needed; name another: make PYTHON=python3.12 setup" >&2; exit 1; }
	@$(PY) -m pip --version > /dev/null 2>&1 || { rm -rf .venv; $(PYTHON) -m venv .venv > /dev/null 2>&1; } || { rm -rf .venv; \
	  echo "setup: $(PYTHON) cannot create a virtual environment; install its venv module (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@rm -f .venv/ready-*
	@echo "setup: installing the locked packages into .venv (a minute or two, 6 GB)"
	@$(PY) -m pip install --quiet uv > $(LOG) 2>&1 || { \
	  echo "setup: pip could not install uv; is a package index within reach? (details: $(LOG))" >&2; exit 1; }
	@.venv/bin/uv pip install --python $(PY) -r requirements-lock.txt >> $(LOG) 2>&1 || \
	  $(PY) -m pip install --quiet -r requirements-lock.txt >> $(LOG) 2>&1 || { \
	  echo "setup: the locked packages could not be installed; is a package index within reach, and the disk not full? (details: $(LOG))" >&2; exit 1; }
	@$(PY) -m pip install --quiet --no-deps --no-build-isolation -e . >> $(LOG) 2>&1 || { \
	  echo "setup: fvlib itself could not be installed (details: $(LOG))" >&2; exit 1; }
	@touch $@

book: $(READY) ## execute every chapter into build/book, then build the site from them
	@$(PY) -m lab book run --jobs $(JOBS)
	@$(PY) -m sphinx -q -W --keep-going -t executed site build/site
	@echo "The book: build/site/index.html; the executed notebooks: build/book"

test: $(READY) ## unit tests, every chapter against its stored outputs, and the gates
	@$(PY) -m ruff format --check --quiet . || { echo "ruff: run .venv/bin/python -m ruff format ." >&2; exit 1; }
	@$(PY) -m ruff check --quiet .
	@$(PYTEST) --nbval -n $(JOBS) --dist loadfile

unit: $(READY) ## the tests that need no process of their own: minutes less, while you write
	@$(PYTEST) -q tests -m "not process" -k "not gate" -n $(JOBS) --dist loadfile

check: check-pair check-form check-records check-code check-fresh ## the five gates, one after the other

check-pair: $(READY) ## gate: a notebook says what its script says
	@$(PYTEST) -q tests/test_book.py -k gate_pair

check-form: $(READY) ## gate: the chapters keep the rules of STYLE.md that can be counted
	@$(PYTEST) -q tests/test_book.py -k gate_form

check-records: $(READY) ## gate: the records are sound, and what is generated from them is up to date
	@$(PYTEST) -q tests/test_book.py -k gate_records

check-code: $(READY) ## gate: format, lint, unit tests, imports; a warning is an error
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PYTEST) -q tests -k "not gate" -n $(JOBS) --dist loadfile

check-fresh: $(READY) ## gate: every cell gives what is stored
	@$(PYTEST) -q notebooks --nbval -n $(JOBS) --dist loadfile

store: $(READY) ## execute changed chapters and store their outputs, navigation and README tables
	@$(PY) -m lab book store --jobs $(JOBS)

lab: $(READY) ## open the book in JupyterLab
	@$(PY) -m jupyterlab notebooks/00_start_here.ipynb

runs: $(READY) ## make the records that the plan lacks at scale small; RUNS="--table table1" chooses
	@$(PY) -m lab runs run $(RUNS) --jobs $(JOBS)

bench: $(READY) ## how fast: clustering, data, a training step (ratios within one run)
	@$(PY) tests/bench.py

site: $(READY) ## build the site in build/site from the stored chapters
	@$(PY) -m sphinx -q -W --keep-going site build/site

clean: ## remove what was built (build/ and caches; .venv stays)
	rm -rf build site/api site/notebooks .pytest_cache .ruff_cache .hypothesis
	find fvlib lab tests notebooks site -name __pycache__ -prune -exec rm -rf {} +
