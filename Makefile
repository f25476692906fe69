# Everything is made in ignored folders: .venv (the packages), .airflow (what Airflows and tools leave behind), dist.
# All paths are relative, so that the folder of the checkout may have any name.

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.10; do \
	$$python -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& { echo $$python; break; }; done)
RUN := .venv/bin/python
CODE := airflow_provider_hubassoc example_dags tests .ci
ARGS ?=
export HYPOTHESIS_STORAGE_DIRECTORY = .airflow/cache/hypothesis
export UV_SYSTEM_CERTS = true

.PHONY: help demo airflow test test-faults lint format benchmark build constraints clean
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

demo: .venv/installed ## run an example DAG in a real Airflow against an embedded HubSpot (10 seconds)
	@$(RUN) -m airflow_provider_hubassoc demo

airflow: .venv/installed ## a whole Airflow with its web UI and an embedded HubSpot, until Ctrl-C
	@$(RUN) -m tests.support.stack

test: .venv/installed ## all tests (some of them: make test ARGS="tests/hubspot -k retries")
	$(RUN) -m pytest $(ARGS)

test-faults: .venv/installed ## the tests of faults, kills, fuzzing and load in their long form (an hour)
	$(RUN) -m pytest --full tests/faults tests/real_airflow/test_crashes.py tests/real_airflow/test_load.py $(ARGS)

lint: .venv/installed ## ruff and mypy
	$(RUN) -m ruff check $(CODE)
	$(RUN) -m ruff format --check $(CODE)
	$(RUN) -m mypy

format: .venv/installed ## put the code into ruff's form
	$(RUN) -m ruff check --fix $(CODE)
	$(RUN) -m ruff format $(CODE)

benchmark: .venv/installed ## what importing and calling the provider costs
	@$(RUN) -m tests.benchmarks.benchmark
	@$(RUN) -m tests.benchmarks.sync_benchmark
	@$(RUN) -m tests.benchmarks.trigger_benchmark

build: .venv/installed ## wheel and source distribution, in dist
	rm -rf dist
	$(RUN) -m build --no-isolation --outdir dist

constraints: .venv/installed ## pin every package anew, in constraints.txt
	@{ sed '/^[^#]/,$$d' constraints.txt && \
	printf '%s\n' 'apache-airflow==3.3.2' editables pip \
	| $(RUN) -m uv pip compile --quiet --universal --python-version 3.10 --upgrade --strip-extras --no-header \
		--no-annotate --group dev pyproject.toml -; } > .venv/constraints.txt
	mv .venv/constraints.txt constraints.txt

clean: ## remove all that make has made
	rm -rf .venv .airflow dist

# The packages, installed again when their list or their pins change. uv takes a third of the time of pip,
# which takes over where uv cannot reach the index (pip may be configured for another one).
.venv/installed: pyproject.toml constraints.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo 'Python 3.10, 3.11, 3.12 or 3.13 is needed: make PYTHON=/path/to/python3' >&2; exit 1; }
	@echo 'Installing Apache Airflow and the tools into .venv (up to a minute the first time) ...'
	@"$(PYTHON)" -m venv --clear .venv
	@$(RUN) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	@$(RUN) -m uv pip install --quiet --python $(RUN) --compile-bytecode --constraints constraints.txt \
		--build-constraints constraints.txt --editable . --group dev || \
	{ echo 'uv could not do it; trying pip ...' >&2; \
		$(RUN) -m pip install --quiet --constraint constraints.txt --upgrade pip && \
		$(RUN) -m pip install --quiet --constraint constraints.txt --editable . --group dev; }
	@touch $@
