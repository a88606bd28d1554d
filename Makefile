# Two commands matter: `make repro` and `make test`. Both set up what they need.
PYTHON ?= $(firstword $(foreach one,python3.11 python3.12 python3.13,$(shell command -v $(one) >/dev/null && $(one) -c "" 2>/dev/null && echo $(one))) python3.11)
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PATH := $(abspath $(BIN)):$(PATH)
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
unexport PYTHONDONTWRITEBYTECODE # images set it; uv writes no bytecode either, so every process of a run would compile torch and MLflow again

.PHONY: audit sbom site help setup repro test test-all check upstream ui bench campaign clean-runs

help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

setup: $(STAMP) ## install the pinned environment into .venv

PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
LOCKED := $(PIP) --require-hashes --no-deps
UV := .cache/uv/bin/uv
# uv installs ten times faster than pip. It trusts the system's certificates, as pip does, so that a company's own authority is known. Not torch: a CPU build, where pip's configuration has one, calls itself another version, and uv finds no hash for that.
LOCK_OF_TORCH := awk '/^torch==/ {on = 1} on {print} on && !/\\$$/ {on = 0}'
LOCK_WITHOUT_TORCH := awk '/^torch==/ {on = 1} !on {print} on && !/\\$$/ {on = 0}'
BY_UV = $(UV) pip install --quiet --system-certs --python $(BIN)/python --require-hashes --no-deps --no-build-isolation -r $(1)
BY_PIP = { echo "uv could not do it; pip can, in minutes"; $(LOCKED) --no-build-isolation --use-pep517 -r $(1); }
NO_CUDA := import importlib.metadata as m, sys; sys.exit(any(one.startswith(("nvidia", "cuda")) for torch in m.distributions(name="torch") for one in torch.requires or ()))

$(STAMP): requirements-build.lock requirements.lock requirements-cuda.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is not installed. Install Python 3.11, 3.12 or 3.13 (Debian: apt-get install python3 python3-venv), or say which: make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || { echo "make: $(PYTHON) is $$($(PYTHON) --version); 3.11, 3.12 or 3.13 is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "make: $(PYTHON) has no venv module (Debian: apt-get install python3.11-venv)"; exit 1; }
	@command -v git >/dev/null || { echo "make: git is not installed"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(LOCKED) --only-binary :all: -r requirements-build.lock
	@$(LOCK_OF_TORCH) requirements.lock > $(VENV)/torch.lock && $(LOCK_WITHOUT_TORCH) requirements.lock > $(VENV)/others.lock
	$(LOCKED) --only-binary :all: -r $(VENV)/torch.lock
	@test -x $(UV) || { $(PYTHON) -m venv .cache/uv && .cache/uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: -r tools/uv.lock; } || true
	$(call BY_UV,$(VENV)/others.lock) || $(call BY_PIP,requirements.lock)
	$(BIN)/python -c '$(NO_CUDA)' || $(call BY_UV,requirements-cuda.lock) || $(call BY_PIP,requirements-cuda.lock)
	$(PIP) --no-deps --no-build-isolation -e .
	$(BIN)/python -m pip check
	@touch $@

repro: setup ## raw manifest -> audited data -> two fine-tuned voices -> selection; then a summary
	@dvc repro -k; code=$$?; voicelathe summary || code=$$?; exit $$code

test: setup ## the default tests; one process more than cores, because many of them wait
	$(BIN)/python -m pytest --numprocesses $$(($$(getconf _NPROCESSORS_ONLN) + 1)) --dist worksteal

test-all: setup ## everything but what needs a GPU or upstream checkouts
	$(BIN)/python -m pytest -m 'not gpu and not needs_upstream'

upstream: setup ## tests that need upstream's code: make upstream VOICELATHE_COSYVOICE3=CHECKOUT VOICELATHE_INDEXTTS2=CHECKOUT
	VOICELATHE_COSYVOICE3=$(VOICELATHE_COSYVOICE3) VOICELATHE_INDEXTTS2=$(VOICELATHE_INDEXTTS2) $(BIN)/python -m pytest -m needs_upstream

check: setup ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

SITE := .cache/mkdocs
site: ## the manual as a site: .cache/site/index.html; every link is checked
	test -x $(SITE)/bin/mkdocs || { $(PYTHON) -m venv $(SITE) && $(SITE)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: -r tools/site.lock; }
	NO_MKDOCS_2_WARNING=1 $(SITE)/bin/mkdocs build

SBOM := .cache/sbom
sbom: setup ## every installed package with version and licence, as CycloneDX: .cache/sbom.cdx.json
	test -x $(SBOM)/bin/cyclonedx-py || { $(PYTHON) -m venv $(SBOM) && $(SBOM)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: -r tools/sbom.lock; }
	$(SBOM)/bin/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml --output-reproducible --validate -o .cache/sbom.cdx.json

AUDIT := .cache/audit
audit: ## known vulnerabilities of every locked version; needs a network that reaches an advisory database
	test -x $(AUDIT)/bin/pip-audit || { $(PYTHON) -m venv $(AUDIT) && $(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: -r tools/audit.lock; }
	for lock in requirements*.lock deploy/mlflow.lock tools/*.lock envs/*/requirements*.lock; do $(AUDIT)/bin/pip-audit --strict --require-hashes --disable-pip -r $$lock || exit 1; done

ui: setup ## MLflow on this machine, with links
	voicelathe ui

bench: setup ## the measured claims of README, into benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks.run

campaign: setup ## long reliability runs; kills go on where they stopped; date their results in benchmarks/RESULTS.md
	VOICELATHE_KILLS=200 VOICELATHE_SEQUENCES=10 VOICELATHE_REQUESTS=10000 VOICELATHE_SERVER_KILLS=50 VOICELATHE_KILLS_LOG=$(CURDIR)/.cache/campaign-$$(git rev-parse --short HEAD).jsonl VOICELATHE_OUTAGE_S=600 \
	$(BIN)/python -m pytest -m 'slow or campaign' --timeout 3600
