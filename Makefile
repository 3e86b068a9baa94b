# Each target makes .venv and installs what it needs; nothing else on the machine is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCH ?= torch==2.13.0
unexport PYTHONDONTWRITEBYTECODE  # tests start many processes, which would compile all sources anew
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test lint bench docs operators schemas lock clean

demo: $(VENV)/.demo
	$(BIN)/lydite demo $(ARGS)

# Debian's chromium shows the dashboard's pages to the tests; without it, they say so at the end.
CHROMIUM := chromium
test: $(VENV)/.dev
	@command -v $(CHROMIUM) >/dev/null || [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null \
		|| { apt-get update -qq && apt-get install -y -qq --no-install-recommends $(CHROMIUM); } \
		|| echo "$(CHROMIUM) cannot be installed: the tests of pages in a browser are left out"
	$(BIN)/python -m pytest -n 2 -q $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

# make bench runs every benchmark, make bench NAME=accuracy one of them
bench: $(VENV)/.dev
	for file in $(if $(NAME),benchmarks/$(NAME).py,$(wildcard benchmarks/[a-z]*.py)); do \
		$(BIN)/python $$file $(ARGS) || exit 1; done

# the tables of docs/reference/operators.md
operators: $(VENV)/.dev
	$(BIN)/python -m lydite.report.operators docs/reference/operators.md

# the site: docs/_build/html/index.html
docs: $(VENV)/.dev
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html

schemas: $(VENV)/.dev
	$(BIN)/python -m lydite.api.schemas docs/schema

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..."; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
		|| { echo "the module venv is missing: apt-get install python3-venv"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(BIN)/python pyproject.toml
	$(PIP) -e '.[report]'
	touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) -c constraints.txt -e '.[dev]' '$(TORCH)'
	touch $@ $(VENV)/.demo

# Newest releases of everything that the checks use; commit what changes once they pass.
lock:
	$(MAKE) clean
	$(MAKE) $(BIN)/python
	$(PIP) -e '.[dev]' '$(TORCH)'
	$(BIN)/python -m pip freeze --exclude-editable | grep -v '^torch==' > constraints.txt

clean:
	rm -rf $(VENV) dist build docs/_build docs/reference/commands .pytest_cache .ruff_cache .hypothesis
