# make study   sets up, then runs a small real study and shows its table
# make test    sets up, then runs the tests
# make gpu     measures a GPU, within nine minutes: the tests that need one, steps, packed studies
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: study test test-slow lint types benchmark gpu clean

study: $(VENV)/ready
	$(BIN)/regnet-train -m study=digits experiment=decide hydra/launcher=packed

test: $(VENV)/ready lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal

test-slow: $(VENV)/ready
	$(BIN)/python -m pytest -q -m slow

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/ready
	$(BIN)/mypy regnet hydra_plugins

benchmark: $(VENV)/ready
	$(BIN)/python scripts/benchmark.py

# where $(PYTHON) has torch already, as on a machine that reaches no package index, it is taken as it is
ifneq ($(filter gpu,$(MAKECMDGOALS)),)
ifeq ($(wildcard $(VENV)/ready),)
HAS_TORCH := $(shell $(PYTHON) -c 'from importlib.util import find_spec as f; print(f("torch") and "yes" or "")')
endif
endif

gpu: $(if $(HAS_TORCH),,$(VENV)/ready)
	$(if $(HAS_TORCH),$(PYTHON),$(BIN)/python) scripts/benchmark.py gpu

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) outputs
