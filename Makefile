# make demo   set everything up and label a few pairs with the embedded judge
# make test   set everything up and run all tests
PYTHON ?= python3
VENV ?= .venv
export PYTHON VENV

BIN := $(VENV)/bin

.PHONY: env test-tools demo test test-fast lint

env:
	@infra/setup_env.sh

test-tools: env
	@infra/setup_test_tools.sh

demo: env
	$(BIN)/python -m jobs.demo

test: env test-tools
	$(BIN)/python -m pytest

test-fast: env
	$(BIN)/python -m pytest tests/unit

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
