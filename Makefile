# One virtual environment, made on first use; everything else runs in it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_OUT ?= demo-out

.DEFAULT_GOAL := help
.PHONY: help demo test chaos cluster browser check format bench quality virtual dynamic constraints clean

help:  ## what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/installed: pyproject.toml constraints.txt
	@echo "Installing into $(VENV); the first time takes a few minutes."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(VENV)/installed  ## make a small archive of brackets, fuse it, show the report
	$(BIN)/bracketflow demo $(DEMO_OUT)

test: $(VENV)/installed  ## the default test suite
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(PYTEST_ARGS)

chaos: $(VENV)/installed  ## kill, starve and damage runs; tables in chaos-out/
	$(BIN)/python -m pytest tests/chaos -s $(CHAOS_ARGS)

cluster: $(VENV)/installed  ## nodes, schedules and the runbook with real engines; tables in cluster-out/
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,cluster]'
	$(BIN)/python -m pytest tests/cluster -s $(CLUSTER_ARGS)

browser: $(VENV)/installed  ## the report's page in a real Chromium (apt install chromium)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,browser]'
	$(BIN)/python -m pytest tests/browser -v $(BROWSER_ARGS)

check: $(VENV)/installed  ## lint, format check and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/installed  ## measure, side by side in one run, into bench-out/
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m tests.benchmarks $(BENCH_ARGS)

quality: $(VENV)/installed  ## models side by side: make quality QUALITY_ARGS="ARCHIVE ..."
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m tests.benchmarks.quality $(QUALITY_ARGS)

virtual: $(VENV)/installed  ## what usme makes of single frames: make virtual VIRTUAL_ARGS="WEIGHTS SHARDS"
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m tests.benchmarks.virtual $(VIRTUAL_ARGS)

dynamic: $(VENV)/installed  ## networks for radiance: make dynamic DYNAMIC_ARGS="--model FILE"
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m tests.benchmarks.dynamic_quality $(DYNAMIC_ARGS)

constraints:  ## freeze the versions of a fresh environment
	rm -rf .constraints-venv && $(PYTHON) -m venv .constraints-venv
	.constraints-venv/bin/python -m pip install --quiet -e '.[dev,s3,gcs,k8s,cluster]'
	{ echo '# Exact versions that were tested together on Python 3.11; `make` installs with them.'; \
	  echo '# Made by `make constraints` (pip freeze of a fresh environment).'; \
	  .constraints-venv/bin/python -m pip freeze --exclude-editable | sed 's/+cpu//' | sort -f; } > constraints.txt
	rm -rf .constraints-venv

clean:  ## remove what was built
	rm -rf $(VENV) $(DEMO_OUT) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
