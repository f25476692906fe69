# All files are created in ignored folders: .venv (packages), .airflow (state of Airflow and caches of tools), dist.
# All paths are relative, so that the checkout may be in any folder.

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.10; do \
	$$python -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& { echo $$python; break; }; done)
RUN := .venv/bin/python
CODE := airflow_provider_hubassoc example_dags tests .ci
ARGS ?=
# The tests wait more than they compute: more workers than cores are faster.
WORKERS ?= 6
PARALLEL := -q -n $(WORKERS)
export HYPOTHESIS_STORAGE_DIRECTORY = .airflow/cache/hypothesis
export UV_SYSTEM_CERTS = true

.PHONY: help demo airflow test test-quick test-faults mutants lint format benchmark build constraints clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

demo: .venv/installed ## run an example DAG in a real Airflow against the simulator (10 seconds)
	@$(RUN) -m airflow_provider_hubassoc demo

airflow: .venv/installed ## run a whole Airflow with its web UI and the simulator, until Ctrl-C
	@$(RUN) -m tests.support.stack

test: .venv/installed ## run all tests in parallel; with ARGS only some, serially (make test ARGS="tests/hubspot -k retries")
ifeq ($(ARGS),)
	$(RUN) -m pytest $(PARALLEL) -m 'not alone'
	$(RUN) -m pytest -m alone
else
	$(RUN) -m pytest $(ARGS)
endif

test-quick: .venv/installed ## run the tests that need no real Airflow, without the slow ones, in a minute
	$(RUN) -m pytest -q -n 4 --dist worksteal -m 'not slow' --ignore tests/real_airflow --ignore tests/faults $(ARGS)

test-faults: .venv/installed ## run the long form of the tests of faults, crashes and load (an hour)
	$(RUN) -m pytest --full tests/faults tests/real_airflow/test_crashes.py tests/real_airflow/test_load.py $(ARGS)

mutants: .venv/installed ## change the code at random, and list the changes that no test notices (ARGS="36 --seed 1")
	$(RUN) -m tests.support.mutants $(ARGS)

lint: .venv/installed ## check with ruff and mypy
	$(RUN) -m ruff check $(CODE)
	$(RUN) -m ruff format --check $(CODE)
	$(RUN) -m mypy

format: .venv/installed ## apply ruff fixes and formatting
	$(RUN) -m ruff check --fix $(CODE)
	$(RUN) -m ruff format $(CODE)

benchmark: .venv/installed ## measure the cost of importing and calling the provider
	@$(RUN) -m tests.benchmarks.benchmark
	@$(RUN) -m tests.benchmarks.sync_benchmark
	@$(RUN) -m tests.benchmarks.trigger_benchmark

build: .venv/installed ## build the wheel and the source distribution in dist/
	rm -rf dist
	$(RUN) -m build --no-isolation --outdir dist

constraints: .venv/installed ## update the pinned versions in constraints.txt
	@{ sed '/^[^#]/,$$d' constraints.txt && \
	printf '%s\n' 'apache-airflow==3.3.2' editables pip \
	| $(RUN) -m uv pip compile --quiet --universal --python-version 3.10 --upgrade --strip-extras --no-header \
		--no-annotate --group dev pyproject.toml -; } > .venv/constraints.txt
	mv .venv/constraints.txt constraints.txt

clean: ## remove everything that make creates
	rm -rf .venv .airflow dist

# The packages are installed again when their list or their pins change. uv takes a third of the time of pip;
# pip takes over where uv cannot reach the index, because pip may be configured for another one.
.venv/installed: pyproject.toml constraints.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo 'Python 3.10, 3.11, 3.12 or 3.13 is required: make PYTHON=/path/to/python3' >&2; exit 1; }
	@echo 'Installing Apache Airflow and the tools into .venv (up to a minute the first time) ...'
	@"$(PYTHON)" -m venv --clear .venv
	@$(RUN) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	@$(RUN) -m uv pip install --quiet --python $(RUN) --compile-bytecode --constraints constraints.txt \
		--build-constraints constraints.txt --editable . --group dev || \
	{ echo 'uv failed; trying pip ...' >&2; \
		$(RUN) -m pip install --quiet --constraint constraints.txt --upgrade pip && \
		$(RUN) -m pip install --quiet --constraint constraints.txt --editable . --group dev; }
	@touch $@
