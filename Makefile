# Each target does all of its own set-up in .venv, from a fresh clone.
PYTHON ?= python3
VENV := .venv
SEEDS ?= 10000
SECONDS ?= 600
PYTHONS ?= 3.11 3.12 3.13
BIN := $(VENV)/bin
# What builds in place needs the builder that pip otherwise brings: that of an old Python is too old.
BUILDER = $(BIN)/python -m pip install -q --disable-pip-version-check 'setuptools>=77'
SOURCES := $(wildcard src/switch/*.pyx src/switch/native/*.p*) setup.py pyproject.toml

.PHONY: cluster-test demo docs test check lint bench crash simulate flips build debug clean sanitize mutants event fuzz coverage pythons package

demo: $(VENV)/.run  ## generate a small nation, run one payday, show what happened
	$(BIN)/switch demo

docs: $(VENV)/.run  ## docs/api.md, from the docstrings of the library
	$(BIN)/python docs/make_api.py

test: $(VENV)/.dev  ## build, lint, types, tests
	$(MAKE) lint
	$(BIN)/python -m pytest -n 2 --dist loadgroup
	$(BUILDER)
	$(BIN)/python tests/package/run.py --short

check: $(VENV)/.dev  ## lint, types and a choice of tests in two minutes; SINCE=REVISION: tests of what changed
	$(MAKE) lint
	$(BIN)/python tests/check.py $(SINCE)

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

flips: $(VENV)/.dev  ## 10,000 bits of a home changed, one at a time: each is found and named
	FLIPS=10000 $(BIN)/python -m pytest tests/proof/test_evidence.py -k flipped -s -o timeout=3600

cluster-test: $(VENV)/.dev  ## a catalog on PostgreSQL, disturbed at every message; files in a store; lines judged on Spark, and in shares by all tests of clearing; what is missing is skipped by name
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev,spark]'
	$(BIN)/python -m pip install -q --disable-pip-version-check 'moto[server]>=5'
	CLUSTER=1 $(BIN)/python -m pytest -rs -o timeout=1800 tests/home/test_postgres*.py tests/home/test_objects.py tests/spark
	$(BIN)/python -m pytest -q --shares 3 tests/clearing tests/registry --deselect tests/clearing/test_partitioned.py -k 'not changes_while_it_is_read'

build: $(VENV)/.run

package: $(VENV)/.dev  ## what is handed out, installed with the lowest and the newest versions, runs a payday
	$(BUILDER)
	$(BIN)/python tests/package/run.py

debug: $(VENV)/.dev  ## bounds checks and assertions in the kernels, then the tests
	SWITCH_BUILD=debug $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	$(BIN)/python -m pytest -n 2 tests
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .

sanitize: $(VENV)/.dev  ## all tests on a core under AddressSanitizer and UBSan, in build/sanitize
	$(BUILDER)
	$(BIN)/python tests/sanitize/run.py

mutants: $(VENV)/.dev  ## some two hundred small mistakes in the core and the commit, each caught by a test
	$(BUILDER)
	$(BIN)/python tests/mutants/run.py

event: $(VENV)/.dev  ## gifts and an advance of a nation, from preparation to closed dossiers (docs/events.md)
	$(BIN)/python -m switch.sim.events.play

fuzz: $(VENV)/.dev  ## SECONDS of coverage-guided fuzzing for each reader
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[fuzz]'
	$(BIN)/python tests/fuzz/run.py --seconds $(SECONDS)

coverage: $(VENV)/.dev  ## every branch of the modules that money passes through
	mkdir -p build
	$(BIN)/python -m coverage run -m pytest tests --ignore tests/crash --ignore tests/whole/test_everywhere.py
	$(BIN)/python -m coverage report

pythons: constraints.txt  ## a venv for each supported Python that is here, for tests/whole/test_everywhere.py
	for version in $(PYTHONS); do \
	  if python$$version -c '' 2>/dev/null; then \
	    python$$version -m venv build/pythons/$$version && \
	    build/pythons/$$version/bin/python -m pip install -q --disable-pip-version-check \
	      -c constraints.txt -e . || exit 1; \
	  else echo "no python$$version here"; fi; \
	done

# The package in place, with what it needs to run.
$(VENV)/.run: $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e .
	touch $@

# The same with the tools that tests, lint and benchmarks need.
$(VENV)/.dev: $(VENV)/.run constraints.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev$(EXTRAS)]'
	touch $@

clean:
	rm -rf build $(VENV) demo src/*.egg-info src/switch/*.so

.PHONY: instructions
instructions: $(VENV)/.dev  ## instructions per line of every kernel, against the record
	$(BIN)/python -m bench.instructions
