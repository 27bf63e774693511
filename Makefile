.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

help:   ## list the tasks
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */  make \1|/' | column -t -s '|'

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Headrace needs Python 3.11 or newer, $(PYTHON) is older: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@echo "installing packages into $(VENV) (a minute or two, once)"
	@$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

setup: $(VENV)/.ready  ## virtual environment with everything

demo: setup  ## the main job on this machine: real sensor data in, flows run, every sample accounted for
	@$(BIN)/headrace demo

test: setup  ## base tests: real Event Hubs SDK, Valkey, Azurite, Metaflow runs, kills
	@$(BIN)/pytest -q -n auto --maxprocesses 4 --dist loadfile -m 'not slow'

test-slow: setup  ## the slower tests: the article's Python 3.10, benchmarks at their smallest
	@$(BIN)/pytest -q -m 'slow and not faults and not long and not cluster'

test-protocol: setup  ## 5,000 schedules, each guard taken out, the models in every interleaving (15 minutes)
	@$(BIN)/pytest -q -n 2 --dist worksteal -m long tests/protocol

test-mutants: setup  ## the service with each guard taken out: some test must fail (10 minutes)
	@$(BIN)/pytest -q -n 2 -m long tests/mutants

test-long: test-protocol test-mutants  ## both, and a flood of a million names (half an hour more)
	@$(BIN)/pytest -q -m long tests/end_to_end

test-faults: setup  ## real servers, disks, clocks and processes broken from outside (ten minutes)
	@$(BIN)/pytest -q -n 2 tests/faults

test-cluster: setup  ## a real Kubernetes node with Argo, and what needs it (root; builds it the first time)
	@$(BIN)/python -m tests.cluster build --images
	@$(BIN)/pytest -q -m cluster

test-installed: setup  ## the shortest proof on it: the chart, the shipped flow, real data, kills, verify (12 minutes)
	@$(BIN)/python -m tests.cluster build --images
	@$(BIN)/pytest -q --durations=10 -m 'not alone' tests/cluster/test_whole.py tests/cluster/test_kills.py

images: setup  ## both container images, by buildah, podman or docker (ENGINE, BASE, PREFIX, TAG)
	@PYTHON=$(BIN)/python containers/build.sh

LOCK := $(BIN)/uv pip compile --quiet --no-header --no-emit-index-url --generate-hashes --upgrade \
  --python-version 3.13 --python-platform linux
lock: setup  ## pin the wheels of both images anew, by hash
	@$(BIN)/pip install --quiet --disable-pip-version-check uv
	@$(LOCK) containers/build.in --output-file containers/build.txt
	@$(LOCK) pyproject.toml --extra argo --output-file containers/ingest.txt
	@$(LOCK) containers/flows.in --constraint containers/ingest.txt --output-file containers/flows.txt

crash-test: setup  ## kill the service at each step of the protocol, alone and in pairs; verify (15 minutes)
	@$(BIN)/python -m tests.crash --seed 1

model: setup  ## search the protocol's models completely (needs spin and gcc; half an hour of one core)
	@$(BIN)/python -m tests.protocol.model_check && $(BIN)/python -m tests.protocol.model_check --mutants

chart: setup  ## lint, render and validate the chart, ask a Prometheus its queries (builds helm where it is missing)
	@command -v helm kubeconform >/dev/null || $(BIN)/python -c 'from tests.cluster.programs import CLI; CLI.build()'
	@$(BIN)/pytest -q tests/helm

check: setup  ## format, lint, types, rooms
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy ingest batching flows && $(BIN)/lint-imports

bench: setup  ## measure: the durable path and the SDK path against bare loops and Bytewax, a JSON line a figure
	@$(BIN)/python -m benchmarks.compare

RECORD ?= peers.jsonl
SHARE ?= 0.1
bench-peers: setup  ## the same against Bytewax, Pathway, Quix Streams, PyFlink, installed once; goes on where it stopped
	@$(BIN)/python -m benchmarks.peers $(RECORD) --share $(SHARE) && $(BIN)/python -m benchmarks.table $(RECORD)

LIMITS ?= limits.jsonl
bench-limits: setup  ## layers, growth, memory, waits, writes and start-up into LIMITS, and their tables (20 minutes)
	@$(BIN)/python -m benchmarks.limits $(LIMITS) && $(BIN)/python -m benchmarks.limits.page $(LIMITS)

MINUTES ?= 2
fuzz: setup  ## fuzz the readers of strangers' bytes for MINUTES (2), coverage-guided
	@$(BIN)/python -m tests.fuzz --minutes $(MINUTES)

soak: setup  ## load and random faults for MINUTES (2), then verify; picture and log in ./soak
	@$(BIN)/python -m tests.soak --minutes $(MINUTES)

.PHONY: help setup demo test test-slow test-protocol test-mutants test-long test-faults test-cluster test-installed images lock crash-test chart check bench bench-peers bench-limits fuzz model soak
