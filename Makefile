# Every target makes the environment that it needs: nothing but Python ≥ 3.11 has to be there.
# A stamp file in .venv says which requirements are in; it is older than a changed lock.

PYTHON ?= python3
# Tests mostly wait for processes. Those on brokers run one after the other, the rest beside them.
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
BASE := $(VENV)/.stamp-base
DEV := $(VENV)/.stamp-dev
LOCKER := build/locker
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
COMPILE := $(LOCKER)/bin/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe \
	--no-annotate --no-header --no-emit-options --no-emit-index-url
LOCK_NOTE := \# Made by `make lock`; holds for Python 3.11 to 3.13 on Linux. Edit pyproject.toml instead.

.PHONY: help demo test lint bench quality sim chaos recovery lock clean

help:
	@echo "make demo   real messages through the whole loop; ends with report.html (ARGS=--no-live)"
	@echo "make test   all tests (ARGS='-k gate' JOBS=1)"
	@echo "make lint   format, rules, types, layers"
	@echo "make bench  speed and memory, as ratios within one run (ARGS=kafka)"
	@echo "make quality  docs/QUALITY.md from ../shared/data, about 20 minutes (ARGS='--jobs 2')"
	@echo "make sim    the whole system under faults (SEEDS=10000 ARGS='--jobs 2'; ARGS='--seed 7')"
	@echo "make chaos  workers, brokers and network of a real Kafka under faults (MINUTES=30 ARGS='--transport fast')"
	@echo "make recovery  how long predictions stop after each kind of fault, about 20 minutes"
	@echo "make lock   resolve requirements/*.txt again"
	@echo "make clean  remove what these targets made"

demo: $(BASE)
	@$(BIN)/stream-al demo $(ARGS)

test: $(DEV)
	@$(BIN)/pytest --numprocesses $(JOBS) --dist loadscope $(ARGS)

lint: $(DEV)
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-cache | tail -n 3

bench: $(DEV)
	@PYTHONHASHSEED=0 $(BIN)/python -m tests.benchmarks.run $(ARGS)

quality: $(DEV)
	@PYTHONHASHSEED=0 $(BIN)/python -m tests.benchmarks.quality $(ARGS)

sim: $(DEV)
	@PYTHONHASHSEED=0 $(BIN)/python -m tests.simulation.run --seeds $(or $(SEEDS),1000) $(ARGS)

chaos: $(DEV)
	@PYTHONHASHSEED=0 $(BIN)/python -m tests.chaos.run --minutes $(or $(MINUTES),5) $(ARGS)

recovery: $(DEV)
	@PYTHONHASHSEED=0 $(BIN)/python -m tests.chaos.recovery $(ARGS)

lock: $(LOCKER)/bin/pip-compile
	@$(COMPILE) --build-deps-for editable --output-file requirements/base.txt pyproject.toml
	@$(LOCKER)/bin/python -c 'import tomllib; \
		found = tomllib.load(open("pyproject.toml", "rb")); \
		extras = found["project"]["optional-dependencies"].values(); \
		print(*sum(extras, found["dependency-groups"]["dev"]), sep="\n")' \
		| $(COMPILE) --output-file requirements/dev.txt requirements/base.txt -
	@sed -i '1i $(LOCK_NOTE)' requirements/base.txt requirements/dev.txt

clean:
	@rm -rf $(VENV) build dist .demo report.html .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "stream_al needs Python 3.11 or later: make PYTHON=python3.x")'
	@$(PYTHON) -m venv $(VENV)

$(BASE): requirements/base.txt pyproject.toml | $(VENV)/bin/python
	@echo "installing into $(VENV) …" >&2
	@$(INSTALL) --require-hashes -r requirements/base.txt
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): requirements/dev.txt $(BASE)
	@echo "installing the tools into $(VENV) …" >&2
	@$(INSTALL) --require-hashes -r requirements/dev.txt
	@touch $@

$(LOCKER)/bin/pip-compile:
	@$(PYTHON) -m venv $(LOCKER)
	@$(LOCKER)/bin/python -m pip install --quiet --disable-pip-version-check pip-tools==7.6.2
