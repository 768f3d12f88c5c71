# Everything from a clean clone: each target does the set-up that it needs, once. `make help` lists them.
#
#   PYTHON=python3.12 make test      another interpreter
#   DURATION=20 make demo            stop after 20 seconds
#   make test ARGS="-k journal -x"   options for pytest

PYTHON   ?= python3
VENV     ?= .venv
DURATION ?=
ARGS     ?=
BIN      := $(VENV)/bin
COMPILE   = $(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
            --no-emit-index-url --no-header --no-annotate $(UPGRADE)

export PYTHON VENV
.DEFAULT_GOAL := help
.PHONY: help demo test quick lint audit-packages format bench soak setup setup-analysts setup-dev database database-all browser pictures lock clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup database  ## simulated venues, an embedded database and the daemon on a live screen (DURATION=seconds)
	@$(BIN)/collector demo $(if $(DURATION),--duration $(DURATION)) $(ARGS)

# Four at a time: most tests wait for time to pass. All tests of a file share a process, and its servers; the files go
# in their order, which puts those that wait long before those that do not.
test: lint database-all browser  ## lint, then run every test (ARGS="-k name" for some)
	$(BIN)/python -m pytest -m "not soak" -n 4 --dist loadfile --no-loadscope-reorder $(ARGS)

quick: lint  ## lint, then the tests that need no server: a minute (ARGS="-k name" for some)
	$(BIN)/python -m pytest -m quick -q -n 4 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: setup-dev audit-packages  ## ruff, mypy, and known vulnerabilities of the locked packages
	$(BIN)/python -m ruff check --quiet
	$(BIN)/python -m ruff format --check --quiet
	$(BIN)/python -m mypy --no-error-summary

# Its service is on the net: where that cannot be reached, one line says so and nothing fails.
audit-packages: setup-dev  ## look for known vulnerabilities of the locked packages
	@$(BIN)/python scripts/audit_packages.py

format: setup-dev  ## put the sources into shape
	$(BIN)/python -m ruff check --quiet --fix
	$(BIN)/python -m ruff format --quiet

bench: setup-dev database  ## measure how many rows a second go from socket to table
	$(BIN)/python -m benchmarks $(ARGS)

soak: setup-dev database-all browser  ## the tests that take minutes
	$(BIN)/python -m pytest -m soak -o timeout=1800 $(ARGS)

setup:
	@scripts/setup run

setup-analysts:  ## what exports, data frames and charts need, into .venv
	@scripts/setup analysts

setup-dev:
	@scripts/setup dev

database: setup
	@$(BIN)/python -m collector.store.embedded install

database-all: setup-dev
	@$(BIN)/python -m collector.store.embedded install --all

browser: setup-dev
	@scripts/browser

pictures: database browser  ## make the pictures of the status page in docs/images anew, from simulated venues
	$(BIN)/python -m tests.web.pictures $(ARGS)

lock: setup-dev  ## pin the newest versions that pyproject.toml allows (UPGRADE= keeps those that still fit)
	$(COMPILE) pyproject.toml --output-file requirements.lock
	$(COMPILE) pyproject.toml --extra analysts --constraints requirements.lock --output-file requirements-analysts.lock
	$(COMPILE) pyproject.toml --extra analysts --group dev --group build --constraints requirements-analysts.lock --output-file requirements-dev.lock
	$(COMPILE) --group build --constraints requirements-dev.lock --output-file requirements-build.lock
lock: UPGRADE ?= --upgrade

clean:  ## remove what was built and installed here; recorded data stays
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
