# All commands make what they need: .venv from python3 (3.11 or later), the packages from uv.lock.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
BIN := .venv/bin
SYNC := $(BIN)/uv sync --quiet --frozen --all-extras
READY := .venv/raddle-ready
# In two goes: polars brings threads of its own, and the tests that fork want a process without any.
ENGINE := pytest --ignore tests/workloads
WORKLOADS := pytest tests/workloads

export UV_SYSTEM_CERTS := 1
export UV_PYTHON_DOWNLOADS := never
unexport VIRTUAL_ENV

.PHONY: help demo test lint types tests docs bench chaos

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

demo: $(READY)  ## filter the weights of made-up people and draw them: demo/index.html
	$(BIN)/raddle demo -o demo

test: lint types tests test-3.11 test-3.12 test-3.13  ## everything that must hold, on each Python found

lint: $(READY)  ## style, formatting, and who may import whom
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

types: $(READY)  ## mypy --strict
	$(BIN)/mypy

tests: $(READY)  ## the tests, on the Python of .venv alone
	RADDLE_HISTORIES=20000 $(BIN)/python -m $(ENGINE)
	$(BIN)/python -m $(WORKLOADS)

docs: $(READY)  ## build/site from docs/, warnings are errors; every name and option is there, examples run, links hold
	$(SYNC) --inexact --group docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	RADDLE_SITE=$(CURDIR)/build/site $(BIN)/python -m pytest tests/test_docs.py

bench: $(READY)  ## one table per question, beside the standard library and other libraries; some 20 minutes
	$(SYNC) --inexact --group bench
	$(BIN)/python benchmarks/run_all.py

chaos: $(READY)  ## thousands of kills, power cuts and faults, two million simulated histories; hours
	@rm -f build/chaos.jsonl
	RADDLE_CHAOS=1 $(BIN)/python -m pytest -s -m chaos --timeout 7200
	$(BIN)/python tests/chaos/histories.py 2_000_000
	$(BIN)/python tests/chaos/summary.py

# ---------------------------------------------------------------------------------------------- environments

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "raddle needs Python 3.11 or later, but $(PYTHON) is $$($(PYTHON) -V 2>&1): make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv .venv \
	  || { echo "$(PYTHON) cannot make a virtual environment: apt-get install python3-venv, or make PYTHON=..."; exit 1; }
	$(BIN)/pip install --quiet uv

$(READY): $(BIN)/uv uv.lock pyproject.toml
	$(SYNC)
	@touch $@

# Python 3.N on the PATH, else of pyenv, else nothing (a pyenv shim that is not switched on fails to run).
find-python = $$(python$(1) -c 'import sys; print(sys.executable)' 2>/dev/null \
	|| ls $${PYENV_ROOT:-$$HOME/.pyenv}/versions/$(1).*/bin/python$(1) 2>/dev/null | tail -n 1)

# The same tests and the same lock on another Python than that of .venv, but for what is slow. What the
# workloads do with raddle's public face is tested on the oldest and the newest.
.PHONY: test-3.11 test-3.12 test-3.13
test-3.11 test-3.12 test-3.13: test-%: $(READY)
	@if [ "$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')" = $* ]; then exit 0; fi; \
	python="$(call find-python,$*)"; \
	if [ -z "$$python" ]; then echo "Python $*: not found, skipped"; exit 0; fi; \
	echo "Python $*: $$python"; \
	UV_PROJECT_ENVIRONMENT=.venv-$* $(SYNC) --python "$$python"; \
	RADDLE_HISTORIES=1000 .venv-$*/bin/python -m $(ENGINE) --ignore tests/chaos -m "not slow"; \
	if [ $* != 3.12 ]; then .venv-$*/bin/python -m $(WORKLOADS) -m "not slow"; fi
