# `make demo` and `make test` do everything on a fresh machine: both set up .venv by themselves.
# `make test-all` adds the tests marked slow.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
export KERAS_BACKEND := tensorflow
export TF_CPP_MIN_LOG_LEVEL := 3

.PHONY: setup demo test unit conformance test-all lint format measure

setup: $(VENV)/.ready

# tensorflow-cpu instead of the extra `tf` (which names tensorflow): the same package without several hundred MB of CUDA.
$(VENV)/.ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt tensorflow-cpu keras --editable ".[torch,demo,dev]"
	touch $@

demo: setup
	$(BIN)/python tools/demo.py

# The two halves run side by side, one core each; each prints its own summary at its end.
test: lint
	$(MAKE) --jobs=2 --output-sync=target unit conformance

unit: setup
	$(BIN)/python -m pytest -q -m "not slow" tests

conformance: setup
	$(BIN)/python -m pytest -q -m "not slow" conformance/suite

test-all: lint
	$(BIN)/python -m pytest -q

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

measure: setup
	$(BIN)/python tools/measure_tolerances.py
