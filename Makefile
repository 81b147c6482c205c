# Each target does all the set-up it needs, once: the stamps in .venv say what is already installed.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:
.PHONY: help setup demo run test deployment conformance resume crash-store chaos lint format bench bench-faults fuzz claims bench-quality lock clean

VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
BASE := $(VENV)/.base
DEV := $(VENV)/.dev
CODE := platform workers web migrations tests bench examples
INSTALL := VIRTUAL_ENV=$(CURDIR)/$(VENV) $(UV) pip install --quiet --compile-bytecode
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --no-header --no-emit-index-url
ARGS ?=

help: ## Show the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; \
		do printf '  make %-11s %s\n' "$$name" "$$text"; done

setup: $(BASE) ## Install Headrace and what it needs into .venv

demo: $(BASE) ## Upload digits, train a network on them, evaluate, predict: within a minute
	$(BIN)/headrace demo $(ARGS)

run: $(BASE) ## Run everything on this machine until Ctrl-C, data in ./headrace-data
	$(BIN)/headrace up $(ARGS)

test: lint ## Run the whole gate: format, lint, types, import contracts, tests (ARGS= goes to pytest)
	@scripts/install_test_services.sh
	TMPDIR=$$(scripts/test_folder.sh) $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

deployment: $(DEV) ## Run the compose file, RabbitMQ, a rolling upgrade, backup and restore for real
	@scripts/install_test_services.sh
	$(BIN)/pytest tests/deployment $(ARGS)

conformance: $(BASE) ## Check that every installed algorithm does what all must (ARGS=--thorough: more of it)
	$(BIN)/python -m headrace_workers.testing $(ARGS)

resume: $(DEV) ## Kill trainings at 20 random moments each: they must end in the same bits
	KILLS=20 $(BIN)/pytest tests/integration/processes/test_networks.py $(ARGS)

crash-store: $(DEV) ## Kill the artifact store at every system call, and fail each call to its disk: fsck stays clean
	@scripts/install_test_services.sh
	CRASH_STRIDE=1 $(BIN)/pytest -s tests/integration/store $(ARGS)

chaos: $(DEV) ## Kill, freeze, fill and cut everything at random under load: nothing is lost (JOBS=, SEED=, ARGS=--help)
	@scripts/install_test_services.sh
	PYTHONPATH=tests:tests/plugins $(BIN)/python -m chaos \
		$(if $(JOBS),--jobs $(JOBS)) $(if $(SEED),--seed $(SEED)) $(ARGS)

lint: $(DEV) ## Check format, lint, types and the direction of imports
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV) ## Rewrite the code in the one format, and mend what lint can mend
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

bench: $(BASE) ## Measure what the README claims about speed; fails where a claim does not hold
	@failed=; for script in bench/train.py bench/queue.py bench/ingest.py; do echo "== $$script"; \
		$(BIN)/python $$script || failed="$$failed $$script"; done; \
		test -z "$$failed" || { echo "not met:$$failed" >&2; exit 1; }

bench-faults: $(DEV) ## Measure a million jobs, a broker that is frozen or gone, and kills beside other queues
	@scripts/install_test_services.sh
	@failed=; for script in bench/scale.py bench/broker.py bench/faults.py; do echo "== $$script"; \
		$(BIN)/python $$script || failed="$$failed $$script"; done; \
		test -z "$$failed" || { echo "not met:$$failed" >&2; exit 1; }

fuzz: $(DEV) ## Send thousands of requests made from the OpenAPI document: no fault, no leak, as documented
	EXAMPLES=60 $(BIN)/pytest --timeout 1800 tests/contract/test_schema.py $(ARGS)

claims: $(DEV) ## Start 10,000 queued jobs of three projects, on each database: in the very order of the rule
	STARTS=10000 $(BIN)/pytest --timeout 1800 tests/contract/domain/test_claim_order.py $(ARGS)

bench-quality: $(BASE) ## Measure how good the models are beside the libraries used directly: bench/quality.md
	$(BIN)/python bench/quality.py $(ARGS)

lock: $(BASE) ## Compile the pinned requirements again (UPGRADE=--upgrade for newer versions)
	$(COMPILE) $(UPGRADE) pyproject.toml -o requirements/base.txt
	$(COMPILE) $(UPGRADE) -c requirements/base.txt --extra dev pyproject.toml -o requirements/dev.txt
	$(COMPILE) $(UPGRADE) -c requirements/dev.txt requirements/build.in -o requirements/build.txt

clean: ## Remove .venv and every cache; data stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

# The project itself is installed as a path to these folders, so changed code needs no new set-up.
$(BASE): pyproject.toml requirements/base.txt requirements/build.txt scripts/create_venv.sh
	@scripts/create_venv.sh $(VENV) $(PYTHON)
	@echo "Installing into $(VENV): about 2 GB, a minute or two the first time."
	@PIP_NO_INPUT=1 $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--only-binary :all: -r requirements/build.txt
	@$(INSTALL) --require-hashes --no-build -r requirements/base.txt
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): $(BASE) requirements/dev.txt
	@$(INSTALL) --require-hashes --no-build -r requirements/dev.txt
	@touch $@
