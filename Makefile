# Every target sets up .venv by itself, and again only when pyproject.toml or constraints.txt have changed.
# `ARGS` is passed on: make demo ARGS="--exit", make test ARGS="tests/core -x", make bench ARGS="plain".

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready-in
PEERS := .bench-venv
SECONDS ?= 60
PIP_INSTALL := -m pip install -qq --disable-pip-version-check --no-input

# A copied or moved folder brings an environment that still points to the old place: it is made anew.
ifneq ($(shell cat $(READY) 2>/dev/null),$(CURDIR))
.PHONY: $(READY)
endif

.PHONY: help setup demo run test lint bench fuzz faults clean

help:
	@echo 'make setup   set up .venv (every other target does it by itself)'
	@echo 'make demo    two applications, a gateway and the story of a migration; ARGS="--exit" ends after it'
	@echo 'make run     the gateway with ./config.yaml; ARGS="-c FILE" for another'
	@echo 'make test    all tests; ARGS="tests/core -x" for some'
	@echo 'make fuzz    hostile conversations at random with the wire, for SECONDS=60; SEED=7 repeats a run'
	@echo 'make lint    ruff and mypy'
	@echo 'make bench   cost per request beside nginx, HAProxy, Envoy, Traefik and Caddy; ARGS="plain" for one job'
	@echo 'make faults  what becomes of requests while things fail; ARGS="F1 F5 --seconds 20" for some, longer'
	@echo 'make clean   remove what was built; your config.yaml, rules and .banyan stay'

setup: $(READY)

demo: $(READY)
	@$(BIN)/banyan demo $(ARGS)

run: $(READY)
	@$(BIN)/banyan run $(ARGS)

test: $(READY)
	@$(BIN)/python -m pytest -n 2 $(ARGS)

fuzz: $(READY)
	@$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy --strict proxy

bench: $(READY) $(PEERS)/.ready
	@$(BIN)/python -m tests.bench $(ARGS)

faults: $(READY)
	@$(BIN)/python -m tests.faults $(ARGS)

clean:
	rm -rf $(VENV) $(PEERS) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage dist build tests/bench/out tests/faults/out
	find proxy tests -name __pycache__ -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo 'Banyan needs Python 3.11 or newer; $(PYTHON) is' "$$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12" >&2; \
	  exit 1; }
	@echo 'Setting up $(VENV): once, and again when pyproject.toml or constraints.txt change'
	@case "$$(cat $(READY) 2>/dev/null)" in \
	  '$(CURDIR)') ;; \
	  '') $(PYTHON) -m venv $(VENV) ;; \
	  *) $(PYTHON) -m venv --clear $(VENV) ;; \
	esac
	@$(BIN)/python $(PIP_INSTALL) -c constraints.txt hatchling editables
	@$(BIN)/python $(PIP_INSTALL) -c constraints.txt --no-build-isolation -e '.[dev]'
	@printf '%s\n' '$(CURDIR)' > $@

# Without these packages the benchmark measures the peers that are there, and says so.
$(PEERS)/.ready: tests/bench/peers.txt
	@echo 'Setting up $(PEERS) with the peers of the benchmark: once'
	@$(PYTHON) -m venv --clear $(PEERS)
	@for peer in $$(grep -v '^#' $<); do \
	  $(PEERS)/bin/python $(PIP_INSTALL) "$$peer" || { echo "not to be had here: $$peer" >&2; missing=1; }; \
	done; [ -n "$$missing" ] || touch $@
