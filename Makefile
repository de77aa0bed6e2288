# Needs Python >= 3.11 and make, nothing else: the first target that is run sets up .venv.
# Other folders and interpreters: make test VENV=/tmp/venv PYTHON=python3.13

.DEFAULT_GOAL := help

VENV ?= .venv
# The newest of these that is 3.11 or later
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11 python; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$name && break; done)
PY := $(abspath $(VENV))/bin/python
STAMP := $(VENV)/.installed
RUN := $(PY) -m trader
CORES := $(shell getconf _NPROCESSORS_ONLN)
# Two more than cores: many tests wait for a process.
WORKERS := $(shell expr $(CORES) + 2)
PYTEST := $(PY) -m pytest -n $(WORKERS) --dist worksteal
N ?=
COVERAGE := tests/harness/coverage.ini
PROTECTED_TESTS := $(addprefix tests/,safety/test_gate.py safety/test_latch.py safety/test_codes.py \
	safety/test_kill.py safety/test_stop.py \
	safety/test_strangers.py risk/test_risk_steps.py risk/test_risk_api.py core/test_scenarios.py \
	feeds/test_finaliser.py feeds/test_finaliser_cases.py)

unexport PYTHONDONTWRITEBYTECODE  # without bytecode every process starts some seconds later
unexport PYTHONPATH

.PHONY: help setup demo quick test trials check format bench golden kill-bench audit-bench coverage mutation crash sim docs build clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## make .venv with everything in it

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "error: no Python >= 3.11 on PATH; set PYTHON=/path/to/python" >&2; exit 1; }
	@echo "setting up $(VENV) with $$($(PYTHON) --version); this happens once" >&2
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(STAMP) ## run a backtest of the bundled trained model: what it learned, and what is left
	$(RUN) backtest -c configs/demo_sklearn.yaml

quick: $(STAMP) ## the tests that start no process, P=room for one folder; the inner loop
	TRADER_TEST_TIER=quick $(PYTEST) -n $(CORES) -q -m "not (process or long or trials)" $(if $(P),tests/$(P),tests)

test: $(STAMP) ## run the tests; under six minutes on two cores
	$(PYTEST)

trials: $(STAMP) ## everything with all its cases, and the long harnesses with fresh seeds, N=cycles
	TRADER_TEST_TIER=trials $(PYTEST) -m "" --timeout 3600
	$(PY) tests/harness/crash.py --count $(or $(N),2000)
	$(PY) tests/harness/sim.py --days 300
	$(PY) tests/harness/kill_bench.py $(if $(N),--trials $(N))
	$(PY) tests/harness/venue_virtual.py --hours 500 --minutes 60
	$(PY) tests/harness/venue_week.py
	$(PY) tests/harness/venue_week.py --venue kraken
	$(PY) tests/harness/venue_hour.py --seconds 3600

check: $(STAMP) ## lint, format, types, import rules, house limits
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m pytest -q tests/house/test_architecture.py tests/house/test_house_limits.py

format: $(STAMP) ## format the sources and sort the imports
	$(PY) -m ruff check --fix-only --select I .
	$(PY) -m ruff format .

bench: $(STAMP) ## measure speed and memory, print them with the hardware
	$(PY) tests/bench/run.py
	$(PY) tests/bench/paper.py
	$(PY) tests/bench/sweep.py
	$(PY) tests/bench/models.py
	$(PY) tests/bench/ema.py

golden: $(STAMP) ## write the golden results anew; look at the diff before committing
	$(PY) -m pytest -q tests/engine/test_golden.py --golden-rewrite

sim: $(STAMP) ## simulated days of the paper loop with everything going wrong, DAYS=days
	$(PY) tests/harness/sim.py --days $(or $(DAYS),1000)

kill-bench: $(STAMP) ## orders after `trader kill`, its latency, the audit's speed, N=trials
	$(PY) tests/harness/kill_bench.py $(if $(N),--trials $(N))
	$(PY) tests/harness/kill_start.py
	$(PY) tests/bench/journal.py

audit-bench: $(STAMP) ## durable appends, and `trader audit verify` of a million records
	$(PY) tests/bench/journal.py

crash: $(STAMP) ## cut paper runs off in every way and compare how they end, N=cycles
	$(PY) tests/harness/crash.py --count $(if $(N),$(N),2000)

coverage: $(STAMP) ## every branch of gate, latch, kill, risk, finaliser is run by its tests
	NUMBA_DISABLE_JIT=1 $(PY) -m coverage run --rcfile=$(COVERAGE) -m pytest -q $(PROTECTED_TESTS)
	$(PY) -m coverage report --rcfile=$(COVERAGE) -m --fail-under=100

mutation: $(STAMP) ## nine in ten small mistakes in them make a test fail; half an hour
	nice -n 15 $(PY) tests/harness/mutate.py

docs: $(STAMP) ## build the site of docs/ into site/; a link that leads nowhere fails
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --site-dir site

build: $(STAMP) ## source package and wheel into dist/
	rm -rf dist
	$(PY) -m hatchling build

clean: ## remove caches and build results, not .venv and not runs/
	rm -rf dist build site .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
