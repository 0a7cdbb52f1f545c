# make demo        set up, and label a few pairs with the embedded judge
# make test        set up, and run all tests but the long ones
# make test-fast   unit tests; test-long, test-infra, test-trainers: those alone
# make test-vllm   the engine's tests on each vLLM from 0.26 to 0.31: VLLM="0.28.0" for one
# make lint        ruff and mypy
# make env         set up only: ENGINE=gpu, PYTHON=python3.12, VENV=/somewhere/else
# make lock        after a change of dependencies in pyproject.toml; UPGRADE=--upgrade for new versions
# make sbom        the bill of materials of an image, CycloneDX: LOCKS="cpu torch"
# make audit       known vulnerabilities of what is locked: ADVISORIES=all.zip (infra/OPS.md)
PYTHON ?= python3
VENV ?= .venv
ENGINE ?= cpu
export PYTHON VENV
# uv installs no bytecode: let the first process that imports a module write it, where the
# environment says not to. Each engine and Ray worker would compile all of vLLM again.
unexport PYTHONDONTWRITEBYTECODE

BIN := $(VENV)/bin

# Whose own code reads our exports in `make test-trainers`; each has its own environment.
TRAINERS ?= trl llama-factory ms-swift openrlhf verl

# What `make test-vllm` has in place of the locked vLLM; each has its own environment.
VLLM ?= 0.26.0 0.27.1 0.28.0 0.29.0 0.30.0 0.31.0

LOCKS ?= gpu
ADVISORIES ?= $(OSV_ADVISORIES)

.PHONY: env env-demo env-infra test-tools lock sbom audit demo test test-fast test-long test-infra \
    test-trainers test-vllm lint

env:
	@infra/setup_env.sh $(ENGINE) dev

env-demo:
	@infra/setup_env.sh $(ENGINE)

env-infra:
	@infra/setup_env.sh $(ENGINE) dev infra

test-tools: env-infra
	@infra/setup_test_tools.sh

lock:
	$(PYTHON) infra/requirements/lock.py $(UPGRADE)

sbom:
	@$(PYTHON) infra/requirements/sbom.py $(LOCKS)

audit: env
	@$(BIN)/python infra/requirements/audit.py --advisories $(ADVISORIES)

demo: env-demo
	$(BIN)/python -m jobs.demo

# Three processes on two cores: tests/conftest.py says which tests are whose.
test: test-tools
	$(BIN)/python -m pytest -n 3

test-fast: env
	$(BIN)/python -m pytest -n 3 tests/unit

test-long: test-tools
	$(BIN)/python -m pytest -m long
	$(BIN)/python -m pytest -m hypothesis --hypothesis-profile thorough

test-infra: env-infra
	@infra/setup_test_tools.sh promtool
	$(BIN)/python -m pytest tests/infra

test-trainers: env
	@infra/setup_overlay.sh $(TRAINERS:%=trainers/%)
	@for trainer in $(TRAINERS); do \
	    $(VENV)/trainers/$$trainer/bin/python -m pytest \
	        tests/trainers/test_$$(echo $$trainer | tr - _)*.py || exit 1; \
	done

test-vllm: env
	@infra/setup_overlay.sh $(VLLM:%=vllm/%)
	@for vllm in $(VLLM); do \
	    $(VENV)/vllm/$$vllm/bin/python -m pytest tests/engines || exit 1; \
	done

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
