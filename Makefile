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

RELEASE := .venv-release

DOCS_VERSIONS := .venv-docs

# Of each target of the fuzzer.
SECONDS ?= 60

.PHONY: fuzz meta oracle benchmark peers test-oldest clients setup demo test unit keras conformance test-all lint format docs docs-version measure dist release-check

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

docs docs-version: export EDIT_URI := $(if $(REPOSITORY_URL),edit/main/docs/)

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# The pages of this version beside those of others, on the branch gh-pages; OPTIONS=--push also pushes it.
docs-version: export NO_MKDOCS_2_WARNING := 1
docs-version: export PATH := $(CURDIR)/$(DOCS_VERSIONS)/bin:$(PATH)
docs-version: $(DOCS_VERSIONS)/.ready
	mike deploy --update-aliases $(OPTIONS) \
	  "$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)" latest
	mike set-default $(OPTIONS) latest

$(DOCS_VERSIONS)/.ready: pyproject.toml constraints.txt
	test -x $(DOCS_VERSIONS)/bin/python || $(PYTHON) -m venv $(DOCS_VERSIONS)
	$(DOCS_VERSIONS)/bin/python -m pip install --quiet --constraint constraints.txt mike==2.2.0 mkdocs-material "mkdocstrings[python]" ruff
	touch $@

# The wheel and the source archive, in dist/.
dist: setup
	$(BIN)/python -m build

# What is to be released: built twice, the same to the last byte; described as PyPI asks; in a bare environment it runs.
release-check: export SOURCE_DATE_EPOCH := $(shell git log -1 --format=%ct 2>/dev/null || echo 1577836800)
release-check: setup $(RELEASE)/.ready
	rm -rf dist $(RELEASE)/again
	$(BIN)/python -m build
	$(BIN)/python -m build --outdir $(RELEASE)/again
	for file in dist/*; do cmp "$$file" "$(RELEASE)/again/$${file#dist/}" || exit 1; done
	$(RELEASE)/bin/twine check --strict dist/*
	WHEEL=$$(echo dist/*.whl) $(BIN)/python -m pytest -q tests/meta/test_wheel.py

$(RELEASE)/.ready:
	test -x $(RELEASE)/bin/python || $(PYTHON) -m venv $(RELEASE)
	$(RELEASE)/bin/python -m pip install --quiet twine==7.0.0
	touch $@

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
