# Everything a developer does here. `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DOCS := deploy/envoy/docs/node_modules/.package-lock.json
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: help run gateway compose demo test bench drill soak capacity lint types layers contracts check generate packages format migrate lock clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(INSTALLED): requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(DOCS): deploy/envoy/docs/package-lock.json | $(INSTALLED)
	@$(BIN)/python protos/clients.py deploy/envoy/docs

run: $(INSTALLED) ## Start PostgreSQL, migrate, seed and serve on port 50051, until Ctrl-C
	@$(BIN)/training-service migrate
	@$(BIN)/training-service seed
	@$(BIN)/training-service embed || true
	@TRAINING_LOG_FORMAT=$${TRAINING_LOG_FORMAT:-console} $(BIN)/training-service serve

gateway: $(INSTALLED) $(DOCS) ## The same behind Envoy: REST and its documentation on port 8080
	@$(BIN)/training-service migrate
	@$(BIN)/training-service seed
	@$(BIN)/training-service embed || true
	@TRAINING_LOG_FORMAT=$${TRAINING_LOG_FORMAT:-console} $(BIN)/python deploy/envoy/gateway.py run

compose: $(INSTALLED) ## The same in containers, from the image (needs Docker)
	@$(BIN)/python deploy/compose/prepare.py
	docker compose up --build --detach --wait

demo: $(INSTALLED) ## Fill a running service with two athletes' logs and show them
	@$(BIN)/training-service demo

test: $(INSTALLED) ## Run all tests on a real PostgreSQL, with coverage
	$(BIN)/pytest

bench: $(INSTALLED) ## Measure calls beside what they could cost at best (about 5 minutes; needs h2load)
	$(BIN)/python -m benchmarks --output benchmarks/latest.json

drill: $(INSTALLED) ## Let processes, database, disk, clock and network fail under load (about 3 minutes)
	$(BIN)/python -m tests.drills --report docs/reliability.md

soak: $(INSTALLED) ## Put a mixed load on the service for ten minutes and watch its memory (needs h2load)
	$(BIN)/python -m benchmarks.soak --picture docs/soak.svg

capacity: $(INSTALLED) ## Reckon what numbers of athletes need, from measurements, into docs/capacity.md
	$(BIN)/python -m benchmarks.capacity

lint: $(INSTALLED) ## Check style and common mistakes
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(INSTALLED) ## Check types, strictly
	$(BIN)/mypy

layers: $(INSTALLED) ## Check that the layers keep to themselves
	$(BIN)/lint-imports

contracts: $(INSTALLED) ## Check the contracts: style, compatibility, generated code up to date
	$(BIN)/python protos/check.py

check: lint types layers contracts test ## Run every check

generate: $(INSTALLED) ## Regenerate everything under generated/ from protos/
	$(BIN)/python protos/generate.py

packages: $(INSTALLED) ## Build the client packages, Python and npm, into dist/
	$(BIN)/python protos/packages.py

format: $(INSTALLED) ## Format Python and contracts
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/buf format -w protos

migrate: $(INSTALLED) ## Bring the database schema to the newest revision
	$(BIN)/training-service migrate

lock: $(INSTALLED) ## Renew the locked versions of all dependencies
	$(COMPILE) --upgrade pyproject.toml -o requirements.lock
	$(COMPILE) --upgrade pyproject.toml --extra embedded --extra dev -c requirements.lock -o requirements-dev.lock

clean: ## Remove the virtual environment, caches and the development database
	rm -rf $(VENV) .data dist protos/node_modules deploy/envoy/docs/node_modules tests/e2e/clients/node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
