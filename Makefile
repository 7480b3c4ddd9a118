# Every target that needs the environment in .venv makes it first, and again only when the
# dependencies change.
#
#   make run ARGS="--graph dynamic"     another run than the default one
#   make test PYTHON=python3.12         another interpreter than python3, for a new .venv
#   make setup PIP_OPTIONS="..."        options for pip, such as --extra-index-url or --find-links
#                                       for the CPU or CUDA build of torch that fits the machine

PYTHON ?= python3
ARGS ?=
PIP_OPTIONS ?=

VENV := .venv
VENV_PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup run test lint types fast slow docs clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1	\2/p' $(MAKEFILE_LIST)

setup: $(INSTALLED)  ## make the environment in .venv

run: $(INSTALLED)  ## train and evaluate one system (ARGS="--help" lists the options)
	$(VENV_PYTHON) experiments/run.py $(ARGS)

test: lint types fast slow  ## every check and test

lint: $(INSTALLED)  ## style and format
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m ruff format --check .

types: $(INSTALLED)  ## mypy --strict on gnnreloc/
	$(VENV_PYTHON) -m mypy

# A process for each core, with one thread each.
fast: $(INSTALLED)  ## doctests and the tests that take seconds
	OMP_NUM_THREADS=1 $(VENV_PYTHON) -m pytest -m "not slow" -n logical --maxprocesses 8 --dist loadfile

# Two processes, as most tests start some of their own. pytest ends with 5 when no test is marked slow.
slow: $(INSTALLED)  ## the tests that take longer
	OMP_NUM_THREADS=1 $(VENV_PYTHON) -m pytest -m slow -n 2 --dist loadfile || [ $$? -eq 5 ]

docs: $(INSTALLED)  ## build the pages into docs/_build (a warning is an error)
	$(VENV_PYTHON) -m sphinx -W --keep-going -q docs docs/_build

clean:  ## remove the environment, caches and builds (runs/ stays)
	rm -rf $(VENV) .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist docs/_build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): setup.cfg constraints.txt
	@$(VENV_PYTHON) -m pip --version >/dev/null 2>&1 || { \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1 || { \
	    echo "error: Python 3.10 or newer is needed; '$(PYTHON)' is: $$($(PYTHON) --version 2>&1)." \
	      "Name one with: make PYTHON=python3.11 ..." >&2; \
	    exit 1; \
	  }; \
	  echo "Making $(VENV) with $$($(PYTHON) --version)"; \
	  $(PYTHON) -m venv $(VENV); \
	}
	@echo "Installing gnnreloc and its dependencies into $(VENV) (once; it may take some minutes)"
	@$(VENV_PYTHON) -m pip install -qq --disable-pip-version-check $(PIP_OPTIONS) -c constraints.txt -e '.[test,docs,video,search,cluster,demo]'
	@touch $@
