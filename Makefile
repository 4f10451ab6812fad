# Each target does all of its own set-up in .venv, from a fresh clone.
PYTHON ?= python3
VENV := .venv
SEEDS ?= 10000
BIN := $(VENV)/bin
SOURCES := $(wildcard src/switch/*.pyx src/switch/*.pxd) setup.py pyproject.toml

.PHONY: demo test lint bench crash simulate build debug clean

demo: $(VENV)/.run  ## generate a small nation, run one payday, show what happened
	$(BIN)/switch demo

test: $(VENV)/.dev  ## build, lint, types, tests
	$(MAKE) lint
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint src/switch
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

bench: $(VENV)/.dev  ## lines/s of the core, of a run from files to files, and of other tools beside it
	$(BIN)/python -m pytest bench -o addopts= -q -s --benchmark-only --benchmark-columns=median,min,rounds
	$(BIN)/python -m bench.compare.run --lines 100000 1000000 --docs docs
	$(BIN)/python -m bench.settlement.run

simulate: $(VENV)/.run  ## SEEDS lives of a small switch, engine and auditor in lockstep
	$(BIN)/python -m switch.sim.simulate --seeds 1:$(SEEDS) --processes 2

crash: $(VENV)/.dev  ## every command failed at every call, random points, power cuts; half an hour
	CRASH=1 $(BIN)/python -m pytest -n 2 -rs tests/crash

build: $(VENV)/.run

debug: $(VENV)/.dev  ## bounds checks and assertions in the kernels, then the tests
	SWITCH_BUILD=debug $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	$(BIN)/python -m pytest -n 2 tests
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .

# The package in place, with what it needs to run.
$(VENV)/.run: $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e .
	touch $@

# The same with the tools that tests, lint and benchmarks need.
$(VENV)/.dev: $(VENV)/.run constraints.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf build $(VENV) demo src/*.egg-info src/switch/*.so

.PHONY: instructions
instructions: $(VENV)/.dev  ## instructions per line of every kernel, against the record
	$(BIN)/python -m bench.instructions
