# Two commands for a newcomer: `make demo` and `make test`. Both make .venv first.
PYTHON ?= python3
VENV := .venv
PEERS := .venv-peers
BIN := $(VENV)/bin
PIP := install --quiet --disable-pip-version-check --constraint constraints.txt
AZURITE := .node/azurite-3.35.0
REAL := PENSTOCK_DVC=$(CURDIR)/$(PEERS)/bin/dvc PENSTOCK_MLFLOW_PYTHON=$(CURDIR)/$(PEERS)/bin/python \
	PENSTOCK_AZURITE=$(CURDIR)/$(AZURITE)/node_modules/.bin/azurite-blob
PROGRAMS := git curl prometheus ceph-mon ceph-osd radosgw ceph-common postgresql openssh-server chromium

.PHONY: demo test check format docs schema bench-data bench-dvc-suite bench-serving bench-tracking bench-judgement clean programs

demo: $(VENV)/.installed
	$(BIN)/penstock demo --force

test: $(VENV)/.tested $(PEERS)/.installed $(AZURITE)/.installed programs
	$(REAL) $(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

check: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict src
	$(BIN)/lint-imports

format: $(VENV)/.tested
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Write the reference of commands anew.
docs: $(VENV)/.tested
	$(BIN)/python docs/generate_commands.py

# Write the schema of a new SQLite store anew, after a migration was added.
schema: $(VENV)/.installed
	$(BIN)/python bin/write-schema

bench-data: $(VENV)/.tested $(PEERS)/.installed programs
	$(REAL) $(BIN)/python bench/bench_data.py

# DVC's own benchmark suite, driven against both programs.
bench-dvc-suite: $(VENV)/.tested $(PEERS)/.installed
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-peers.txt \
		pytest pytest-benchmark pytest-mock pytest-rerunfailures pytest-xdist
	$(REAL) $(BIN)/python bench/bench_dvc_suite.py

bench-tracking: $(VENV)/.tested $(PEERS)/.installed
	$(REAL) $(BIN)/python bench/bench_tracking.py

bench-serving: $(VENV)/.tested
	$(BIN)/python bench/bench_serving.py

# How often the guardrails are wrong, and how soon they are right: simulations on one core.
bench-judgement: $(VENV)/.tested
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python bench/bench_judgement.py

# The product with what the demo needs.
$(VENV)/.installed: pyproject.toml constraints.txt
	bin/ensure-venv $(PYTHON) $(VENV)
	$(BIN)/python -m pip $(PIP) --editable '.[demo]'
	touch $@

# The same with what the tests need.
$(VENV)/.tested: $(VENV)/.installed
	$(BIN)/python -m pip $(PIP) --editable '.[dev]'
	touch $@

# Real programs the tests talk to, apart from ours so that neither bends the other's dependencies.
$(PEERS)/.installed: constraints-peers.txt
	bin/ensure-venv $(PYTHON) $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-peers.txt \
		dvc dvc-s3 dvc-ssh dvc-azure mlflow xgboost-cpu lightgbm
	touch $@

# Microsoft's emulator of Azure Blob Storage.
$(AZURITE)/.installed:
	bin/ensure-npm $(AZURITE) azurite@3.35.0
	touch $@

programs:
	@bin/ensure-programs $(PROGRAMS)

clean:
	rm -rf $(VENV) $(PEERS) .node penstock-demo .mypy_cache .ruff_cache .pytest_cache .hypothesis build
