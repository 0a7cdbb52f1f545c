# make demo   set everything up and label a few pairs with the embedded judge
# make test   set everything up and run all tests
PYTHON ?= python3
VENV ?= .venv
export PYTHON VENV

BIN := $(VENV)/bin

# Whose own code reads our exports in `make test-trainers`; each has its own environment.
TRAINERS ?= trl llama-factory ms-swift

.PHONY: env test-tools demo test test-fast test-trainers lint

env:
	@infra/setup_env.sh

test-tools: env
	@infra/setup_test_tools.sh

demo: env
	$(BIN)/python -m jobs.demo

test: env test-tools
	$(BIN)/python -m pytest

test-fast: env
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/unit

test-trainers: env
	@infra/setup_trainers.sh $(TRAINERS)
	@for trainer in $(TRAINERS); do \
	    $(VENV)/trainers/$$trainer/bin/python -m pytest \
	        tests/trainers/test_$$(echo $$trainer | tr - _)*.py || exit 1; \
	done

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
