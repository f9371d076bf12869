# `make report` and `make test` work from a fresh clone: the first call sets up .venv, later calls only check that it is current.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup report browser test test-slow lab bench clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,scale]'
	touch $(READY)

report: setup
	$(BIN)/nbutils run --profile quick --out reports

# A browser and axe-core, which checks pages for accessibility, for the tests that look at pages.
browser:
	command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq chromium; } || { sudo apt-get update -qq && sudo apt-get install -y -qq chromium; }
	test -f build/node_modules/axe-core/axe.min.js || { command -v npm >/dev/null || apt-get install -y -qq npm || sudo apt-get install -y -qq npm; npm install --silent --no-save --prefix build axe-core@4.14.1; }

test: setup browser
	$(BIN)/ruff check nbutils tests benchmarks
	$(BIN)/ruff format --check nbutils tests benchmarks
	$(BIN)/pytest -m 'not slow'

test-slow: setup browser
	$(BIN)/pytest -m slow

lab: setup
	NBUTILS_PANELS=1 $(BIN)/jupyter lab notebooks

bench: setup
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) reports build *.egg-info .pytest_cache .ruff_cache .hypothesis
