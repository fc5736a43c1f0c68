# Everything happens in .venv; the system's Python is only used to make it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= $(shell nproc)
ROWS ?= 500000
REPEATS ?= 5

.PHONY: help demo test fuzz chaos lint format bench peers clean

help:
	@echo "make demo    run the main job on 336,776 real rows, on all cores"
	@echo "make test    run every test"
	@echo "make fuzz    give 10,000,000 hostile rows to random models, beside pydantic (ROWS= SEED= BLOCK=)"
	@echo "make chaos   disturb 1,120 runs, one fault each, on every engine, and resume them (SEED=); needs strace"
	@echo "make lint    style and types"
	@echo "make format  put the code into the house's format"
	@echo "make bench   measure, beside other tools, and draw a chart (ROWS=$(ROWS) REPEATS=$(REPEATS))"

# The stamp is younger than pyproject.toml when the environment has what it asks for.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/zoopipe demo --workers $(WORKERS)

# Those that start no cluster and measure no time share the CPUs.
test: $(VENV)/.installed
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile tests/unit tests/fuzz
	$(BIN)/python -m pytest --ignore tests/unit --ignore tests/fuzz

fuzz: ROWS = 10000000
fuzz: $(VENV)/.installed
	PYTHONPATH=tests $(BIN)/python -m marathon --rows $(ROWS) $(if $(SEED),--seed $(SEED)) $(if $(BLOCK),--block $(BLOCK))

# Half an hour on two cores.
chaos: $(VENV)/.installed
	PYTHONPATH=tests $(BIN)/python -m chaos --faults 1000 $(if $(SEED),--seed $(SEED))
	PYTHONPATH=tests $(BIN)/python -m chaos --faults 60 --engine ray $(if $(SEED),--seed $(SEED))
	PYTHONPATH=tests $(BIN)/python -m chaos --faults 60 --engine dask $(if $(SEED),--seed $(SEED))

lint: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks --rows $(ROWS) --repeats $(REPEATS)
	$(BIN)/python -m benchmarks.chart --rows $(ROWS)

# The environments of contenders that cannot share ours; without them their tests are skipped.
peers: $(VENV)/.installed
	$(BIN)/python -c 'from benchmarks.environments import contenders, install; [install(name) for name in contenders()]'

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis zoopipe-demo benchmarks/.envs
