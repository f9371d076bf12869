# `make report` and `make test` work from a fresh clone: the first call sets up .venv, later calls only check that it is current.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
AXE := build/node_modules/axe-core/axe.min.js
# Two files of tests at a time, the long ones first; more workers would want more than two cores.
PYTEST := $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder
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

# Install a package where that is done by apt-get, or say what to install.
ifeq ($(shell uname)$(shell command -v apt-get >/dev/null && echo " with apt-get"),Linux with apt-get)
install = { apt-get update -qq && apt-get install -y -qq $(1); } || { sudo apt-get update -qq && sudo apt-get install -y -qq $(1); }
else
install = { echo "the tests that look at pages need $(2), and make again" >&2; exit 1; }
endif

# A browser and axe-core, which checks pages for accessibility, for the tests that look at pages.
browser: setup
	@$(BIN)/python tests/chromium.py >/dev/null || $(call install,chromium,Chrome or Chromium: install one (on macOS: brew install --cask google-chrome))
	@test -f $(AXE) || command -v npm >/dev/null || $(call install,npm,npm: install Node.js (on macOS: brew install node))
	@test -f $(AXE) || npm install --silent --no-save --prefix build axe-core@4.14.1

test: setup browser
	$(BIN)/ruff check nbutils tests benchmarks notebooks
	$(BIN)/ruff format --check nbutils tests benchmarks
	$(PYTEST) -m 'not slow'

test-slow: setup browser
	$(PYTEST) -m slow

lab: setup
	NBUTILS_DATA="$${NBUTILS_DATA:+$$(realpath "$$NBUTILS_DATA")}" NBUTILS_PANELS=1 $(BIN)/jupyter lab notebooks

bench: setup
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) reports build *.egg-info .pytest_cache .ruff_cache .hypothesis
