# `make demo` and `make test` do everything on a fresh machine: both set up .venv by themselves.
# `make test-all` adds the tests marked slow.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
export KERAS_BACKEND := tensorflow
export TF_CPP_MIN_LOG_LEVEL := 3

ORACLE := .venv-oracle

PEERS := .venv-peers

OLDEST := .venv-oldest

CLIENTS := .venv-clients

# Of each target of the fuzzer.
SECONDS ?= 60

.PHONY: fuzz meta oracle benchmark peers test-oldest clients setup demo test unit keras conformance test-all lint format docs measure dist

setup: $(VENV)/.ready

# Triton comes with torch's CUDA builds; its interpreter runs our kernels in tests. Only for Linux.
# tensorflow-cpu instead of the extra `tf` (which names tensorflow): the same package without several hundred MB of CUDA.
$(VENV)/.ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt tensorflow-cpu keras --editable ".[torch,demo,benchmark,docs,dev]"
	$(BIN)/python -m pip install --quiet --no-deps --constraint constraints.txt triton
	touch $@

demo: setup
	$(BIN)/python tools/demo.py

# Two run side by side, one core each, the next when a core is free; each prints its own summary at its end.
test: lint
	$(MAKE) --jobs=2 --output-sync=target unit keras conformance meta

# Of the small models' operations, threads of a core that is taken take a quarter more time and give nothing; `test-all`
# has them, as users do.
unit meta keras conformance: export OMP_NUM_THREADS := 1
unit meta keras conformance: export TF_NUM_INTRAOP_THREADS := 1
unit meta keras conformance: export TF_NUM_INTEROP_THREADS := 1

unit: setup
	$(BIN)/python -m pytest -q -m "not slow" tests --ignore=tests/tf --ignore=tests/meta

# The repository itself: its layers, names and sizes, and every snippet of the pages.
meta: setup
	$(BIN)/python -m pytest -q -m "not slow" tests/meta

keras: setup
	$(BIN)/python -m pytest -q -m "not slow" tests/tf

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

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# The wheel and the source archive, in dist/.
dist: setup
	$(BIN)/python -m build

measure: setup
	$(BIN)/python tools/measure_tolerances.py

# Damaged files for everything that reads files, for SECONDS a target; failures go to fuzz-failures/.
fuzz: setup
	$(BIN)/python -m tools.fuzz --seconds $(SECONDS) $(OPTIONS)

# Loads what we write in transformers 4.57.1, PyTorch and TensorFlow, which need an environment of their own.
oracle: $(ORACLE)/.ready
	PYTHONPATH=. $(ORACLE)/bin/python -m pytest -q tests/oracle

$(ORACLE)/.ready:
	test -x $(ORACLE)/bin/python || $(PYTHON) -m venv $(ORACLE)
	$(ORACLE)/bin/python -m pip install --quiet transformers==4.57.1 torch==2.13.0 tensorflow-cpu==2.21.0 tf-keras==2.21.0 \
	  safetensors==0.8.0 h5py==3.14.0 ml_dtypes sentencepiece pytest
	touch $@

# The unit tests and goldens with the oldest versions that pyproject.toml allows. By hand: torch comes as a CUDA build.
test-oldest: export OMP_NUM_THREADS := 1
test-oldest: $(OLDEST)/.ready
	$(OLDEST)/bin/python -m pytest -q -m "not slow" tests --ignore=tests/tf --ignore=tests/meta
	$(OLDEST)/bin/python -m pytest -q -m "not slow" tests/tf
	$(OLDEST)/bin/python -m pytest -q -m "not slow" conformance/suite

$(OLDEST)/.ready: tools/oldest/requirements.txt pyproject.toml
	test -x $(OLDEST)/bin/python || $(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --requirement $< --editable .
	touch $@

# Whether our wheel installs beside what people have, then every script of tools/clients in its environments. By hand.
CLIENT_NAMES := $(basename $(notdir $(wildcard tools/clients/requirements/*.txt)))

clients: setup $(CLIENT_NAMES:%=$(CLIENTS)/%/.ready)
	rm -rf $(CLIENTS)/wheel
	$(BIN)/python -m build --wheel --outdir $(CLIENTS)/wheel
	$(BIN)/python -m tools.clients.resolve $(CLIENTS)/wheel/*.whl
	$(BIN)/python -m tools.clients --environments $(CLIENTS)

$(CLIENTS)/%/.ready: tools/clients/requirements/%.txt pyproject.toml
	test -x $(CLIENTS)/$*/bin/python || $(PYTHON) -m venv $(CLIENTS)/$*
	$(CLIENTS)/$*/bin/python -m pip install --quiet --requirement $< --editable .
	touch $@

# What the benchmarks compare with: an environment per file of tools/benchmark/requirements.
PEER_NAMES := $(basename $(notdir $(wildcard tools/benchmark/requirements/*.txt)))

peers: $(PEER_NAMES:%=$(PEERS)/%/.ready)

$(PEERS)/%/.ready: tools/benchmark/requirements/%.txt
	test -x $(PEERS)/$*/bin/python || $(PYTHON) -m venv $(PEERS)/$*
	$(PEERS)/$*/bin/python -m pip install --quiet --requirement $<
	touch $@

# Takes hours, on a machine that does nothing else. OPTIONS chooses: make benchmark OPTIONS="--sections keras_models"
benchmark: setup peers
	$(BIN)/python -m tools.benchmark $(foreach name,$(PEER_NAMES),--$(name) $(PEERS)/$(name)/bin/python) $(OPTIONS)
