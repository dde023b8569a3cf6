# Each target makes its own .venv and installs what it needs; nothing else has to be installed by hand.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lab bench lint clean

demo: $(VENV)/lab.stamp  ## Run the demo agent, capture it, write the report, say how to open the notebook
	$(BIN)/workbench demo --output out

lab: $(VENV)/lab.stamp  ## Open JupyterLab on the example notebooks
	$(BIN)/workbench lab

test: $(VENV)/test.stamp  ## Everything: Python, real Postgres, browser, JavaScript, notebooks
	$(BIN)/python scripts/install_browser.py
	$(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST_ARGS)

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: $(VENV)/test.stamp
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) out .pytest_cache .ruff_cache .hypothesis

$(BIN)/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(VENV)/lab.stamp: pyproject.toml | $(BIN)/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[lab,otlp]'
	touch $@

$(VENV)/test.stamp: pyproject.toml | $(BIN)/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[test]'
	touch $@ $(VENV)/lab.stamp
