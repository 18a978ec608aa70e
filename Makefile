# Two commands: `make live` starts the editor, `make test` runs all tests. Both set everything up first, in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= out/live

.PHONY: live test lint setup clean
.DEFAULT_GOAL := live

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt .ci/system-packages
	PYTHON=$(PYTHON) sh .ci/system-packages setup
	$(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/python -m pip install --disable-pip-version-check -e '.[dev]'
	touch $@

live: setup
	$(BIN)/draggan launch live --without-display recorded --out $(OUT)

test: setup
	sh .ci/system-packages test
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) out
