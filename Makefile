# One command for each thing one does here; `make help` lists them.
PYTHON_READY := .venv/.keel-ready
ANVIL_READY  := node_modules/.keel-ready
SOURCES      := risk state sequencer fraud_proofs node devnet tests

.DEFAULT_GOAL := help
.PHONY: help setup test lint devnet bench torture soak crash fuzz lock clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 10

setup: $(PYTHON_READY) $(ANVIL_READY)  ## .venv and anvil as the lock files say; again only when they change

$(PYTHON_READY): requirements.lock pyproject.toml .ci/setup
	@.ci/setup python
	@touch $@

$(ANVIL_READY): package-lock.json package.json .ci/setup
	@.ci/setup anvil
	@mkdir -p $(@D)
	@touch $@

# All three run whatever the others say: one run tells everything.
test: setup  ## ruff, mypy and every test, on WORKERS=2; ARGS="-k margin --seed 7" go to pytest
	@.venv/bin/python -m tests.compile; status=0; \
	.venv/bin/ruff check --quiet || status=1; \
	.venv/bin/mypy || status=1; \
	.venv/bin/pytest --numprocesses $(or $(WORKERS),2) $(ARGS) || status=$$?; \
	exit $$status

lint: setup  ## ruff and mypy
	.venv/bin/ruff check --quiet
	.venv/bin/mypy

devnet: setup  ## an L1, the contracts and all actors in one terminal; UNTIL=<moment> LIES=<kinds>
	.venv/bin/python -m devnet $(if $(UNTIL),--until $(UNTIL)) $(if $(LIES),--lies $(LIES)) $(ARGS)

bench: setup  ## operations a second, L1 gas and posted bytes per operation
	.venv/bin/python -m tests.bench $(ARGS)

torture: setup  ## kill -9 at drawn bytes and instants under load, and an audit after each; up to 18 minutes
	.venv/bin/python -m tests.torture $(ARGS)

soak: setup  ## the devnet for MINUTES=60, and what the memory of each process does meanwhile
	.venv/bin/python -m tests.soak --minutes $(or $(MINUTES),60) $(ARGS)

crash: setup  ## three days of December 2017 against 2,000 leveraged accounts; DATA=FILE for another crash
	.venv/bin/python -m tests.crash $(if $(DATA),--data $(DATA)) $(ARGS)

fuzz: setup  ## random histories before Python and bytecode for MINUTES=10
	.venv/bin/python -m tests.fuzz --minutes $(or $(MINUTES),10) $(ARGS)

# A list of hashes and no uv.lock: that one names the index which it was made from, and yours may be another.
lock: setup  ## write both lock files anew from pyproject.toml and package.json
	.venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --all-extras \
	    --no-header --no-annotate --output-file requirements.lock pyproject.toml
	npm install --silent --package-lock-only --ignore-scripts --omit-lockfile-registry-resolved

clean:  ## remove everything that can be made again
	rm -rf .venv node_modules .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache .devnet *.egg-info
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
