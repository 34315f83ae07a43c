# One virtual environment, .venv. `make demo` installs what the toolkit runs on; everything else installs the rest as well.

PYTHON ?= python3
WORKERS ?= 2
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PEERS := $(VENV)-peers
PIP := $(BIN)/python -m pip --disable-pip-version-check
PYTHON_NEEDED := 3.11

.DEFAULT_GOAL := help
.PHONY: help demo test check format torture bench profile services lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.runtime ## Send one story through three legacy systems, and show what became of each event (ARGS=--json)
	@$(BIN)/adaptor demo $(ARGS)

test: $(VENV)/.dev services check ## Check, and run every test on real services (ARGS="-k ledger", WORKERS=4)
	REQUIRE_REAL_SERVICES=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(ARGS)

check: $(VENV)/.dev ## Lint, format, types and the rules of who may import whom: seconds
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache

format: $(VENV)/.dev ## Format the code and mend what the linter can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

EVENTS ?= 2000
KILLS ?= 25
BROKER_RESTARTS ?= 2
SEED ?= 1

torture: $(VENV)/.dev services ## Kill and cut everything, and count each effect (EVENTS=, KILLS=, BROKER_RESTARTS=, SEED=, FAMILIES=sql,files,soap, ORDERED=1, JSON=file)
	$(BIN)/python -m tests.torture --events $(EVENTS) --kills $(KILLS) --broker-restarts $(BROKER_RESTARTS) \
		--seed $(SEED) $(if $(FAMILIES),--families $(FAMILIES)) $(if $(ORDERED),--ordered) $(if $(JSON),--json $(JSON)) $(ARGS)

bench: $(VENV)/.dev $(PEERS)/.installed services ## Measure beside the peers, and say which targets are met (QUICK=1, JSON=file, ARGS="--jobs a,b")
	$(BIN)/python -m tests.benchmarks $(if $(QUICK),--quick) $(if $(JSON),--json $(JSON)) $(ARGS)

profile: $(VENV)/.dev $(PEERS)/.installed services ## Show where the time of an event goes (ARGS="--job b --contender 'toolkit, ledger'")
	$(BIN)/python -m tests.benchmarks.profile $(ARGS)

services: $(VENV)/.dev ## Find RabbitMQ, PostgreSQL and PHP for the tests; as root, install what is missing
	@$(BIN)/python -m tests.services

clean: ## Remove the virtual environment, the caches and what the demo left
	rm -rf $(VENV) $(PEERS) $(VENV)-lock .demo dist .coverage .*_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

# uv resolves for every platform and Python at once and takes its hashes from PyPI alone, never from local folders.
# The locks keep the versions they have as long as pyproject.toml allows: `make lock ARGS=--upgrade` takes the newest.
LOCK = $(VENV)-lock/bin/uv pip compile --quiet --no-config --universal --python-version $(PYTHON_NEEDED) \
	--generate-hashes --no-annotate --custom-compile-command "make lock" $(ARGS)

lock: ## Write requirements/*.lock anew from pyproject.toml, for every platform, with hashes (ARGS=--upgrade)
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet 'uv>=0.13,<0.14'
	$(LOCK) pyproject.toml --group build --output-file requirements/runtime.lock
	$(LOCK) pyproject.toml --all-extras --group dev --constraints requirements/runtime.lock --output-file requirements/dev.lock
	$(LOCK) requirements/peers.in --constraints requirements/runtime.lock --output-file requirements/peers.lock
	rm -rf $(VENV)-lock

# Without an isolated build, pip needs nothing from the network after the locked packages: hatchling is one of them.
$(VENV)/.runtime: requirements/runtime.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < tuple(map(int, "$(PYTHON_NEEDED)".split("."))))' || \
		{ echo "$(PYTHON) is missing or older than Python $(PYTHON_NEEDED): make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make virtual environments: apt-get install python3-venv" >&2; exit 1; }
	@$(PIP) --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(PIP) install --quiet --require-hashes -r requirements/runtime.lock
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements/dev.lock
	$(PIP) install --quiet --require-hashes -r requirements/dev.lock
	@touch $@

# The peers of the benchmarks: an environment of their own, with the toolkit's versions of what both use.
$(PEERS)/.installed: requirements/peers.lock
	$(PYTHON) -m venv --clear $(PEERS)
	$(PEERS)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes -r requirements/peers.lock
	@touch $@
