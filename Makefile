# Everything is run from here, inside .venv. `make help` lists it.
SHELL := bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

# The interpreter that .venv is made from, 3.11 or newer.
PYTHON ?= python3
# How many processes the tests are spread over; 0 runs them in one.
WORKERS ?= auto
# What the demo reads; empty: the standard library of the running Python.
FOLDER ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet
PYTEST := $(BIN)/python -m pytest
# Folders that are type-checked beside the library, as far as they exist.
CHECKED := $(patsubst %/,%,$(wildcard tests/ property_tests/ benchmarks/))

.PHONY: help
help:  ## list what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 14

# -- installation ---------------------------------------------------------------------
# A strict editable install is a tree of links under build/, which type checkers follow
# too. Edits show through at once; a new, moved or deleted file needs new links, so the
# stamps depend on the list of files, and not on what is in them.

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.version_info < (3, 11) and sys.exit("Python 3.11 or newer is needed: make PYTHON=/path/to/it")'
	@echo 'setting up $(VENV)'
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install 'setuptools>=77'

.PHONY: FORCE
build/files.txt: FORCE
	@mkdir -p build
	@find actors api stateward_pytest.py -name '*.py' -o -name py.typed | LC_ALL=C sort > $@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

INSTALL := $(PIP) install --no-build-isolation --config-settings editable_mode=strict --editable
INSTALLED_FROM := $(VENV)/pyvenv.cfg setup.cfg pyproject.toml build/files.txt

# The library alone, which is all the demo needs.
build/core.stamp: $(INSTALLED_FROM)
	@$(INSTALL) .
	@touch $@

build/dev.stamp: $(INSTALLED_FROM)
	@$(INSTALL) '.[dev]'
	@touch build/core.stamp $@

.PHONY: setup
setup: build/dev.stamp  ## install stateward and every tool into .venv

# -- use ------------------------------------------------------------------------------

.PHONY: demo
demo: build/core.stamp  ## index a folder of text files (FOLDER=path)
	@$(BIN)/python docs/examples/folder_index.py $(if $(FOLDER),"$(FOLDER)")

# -- gates ----------------------------------------------------------------------------

.PHONY: test
test: setup  ## run every test, then check what they covered
	@set -o pipefail; $(PYTEST) --quiet --numprocesses=$(WORKERS) --dist=loadfile \
	    --cov --cov-report= --cov-fail-under=0 | tee build/pytest.log
	@echo '-- actors/core, which must be covered whole'
	@$(BIN)/coverage report --include='actors/core/*' --fail-under=100
	@echo '-- everything'
	@$(BIN)/coverage report
	@tail -n 1 build/pytest.log

# Pykka ships its tests in its sdist only. Their package is called `tests`, as ours is,
# so they are run from where they lie, and none of our set-up is loaded.
PYKKA = build/pykka/pykka-$(shell $(BIN)/python -c 'import importlib.metadata as m; print(m.version("pykka"))')

.PHONY: pykka-suite
pykka-suite: setup  ## run Pykka's own tests over TurnActor
	@test -d $(PYKKA)/tests || { \
	    $(PIP) download --no-deps --no-binary pykka --dest build/pykka \
	        pykka==$(patsubst pykka-%,%,$(notdir $(PYKKA))) \
	    && tar -xzf $(PYKKA).tar.gz -C build/pykka; }
	@cd $(PYKKA) && PYTHONPATH=$(CURDIR)/tests/pykka_suite \
	    $(CURDIR)/$(PYTEST) --quiet -p over_turns -p no:cacheprovider \
	    --rootdir=. --config-file=pyproject.toml --confcutdir=. tests

# mypy names the links; the reader wants the files behind them.
LINKS := build/__editable__[^/]*/stateward

.PHONY: lint
lint: setup  ## check style, format, types and imports
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@set -o pipefail; \
	$(BIN)/mypy --no-error-summary -p stateward -m conftest -m stateward_pytest $(addprefix -p ,$(CHECKED)) \
	    | sed -e 's|^$(LINKS)/actors/|actors/|' -e 's|^$(LINKS)/|api/|'
	@$(BIN)/mypy --no-error-summary docs/conf.py $(wildcard docs/examples/*.py)
	@$(BIN)/lint-imports --no-logo > build/imports.log || { cat build/imports.log; exit 1; }

.PHONY: format
format: setup  ## rewrite the code as `make lint` wants it
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

.PHONY: docs
docs: setup  ## build the documentation into build/docs
	@$(BIN)/sphinx-build --fresh-env --fail-on-warning --keep-going --quiet docs build/docs

.PHONY: bench
bench: setup  ## measure the figures the design promises
	@$(INSTALL) '.[bench]'
	@$(BIN)/python -m benchmarks

.PHONY: bench-smoke
bench-smoke: setup  ## only see that the benchmarks run, on a small size
	@$(BIN)/python -m benchmarks --smoke

.PHONY: soak
soak: setup  ## run all proofs at length: examples, kills, simulation, seeded bugs
	@STATEWARD_PROFILE=soak $(PYTEST) --numprocesses=$(WORKERS) \
	    --override-ini=faulthandler_timeout=0 --durations=0 \
	    --override-ini=tmp_path_retention_policy=none property_tests \
	    tests/guarantees/test_kill.py tests/guarantees/test_demo_kills.py \
	    tests/guarantees/test_power_loss.py tests/guarantees/test_scale.py
	@$(BIN)/python -m property_tests.simulation --operations 1000000 --seed 1
	@$(BIN)/python -m property_tests.seeded

# -- release --------------------------------------------------------------------------

.PHONY: wheel
wheel: setup  ## build the sdist, and the wheel from it, into dist/
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation --outdir dist . > build/wheel.log
	@ls dist/*

.PHONY: clean
clean:  ## remove all that was made, .venv included
	@rm -rf $(VENV) build dist htmlcov *.egg-info .coverage .coverage.* .hypothesis \
	    .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
