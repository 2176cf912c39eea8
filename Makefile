# On a bare machine: `make demo` and `make test`. Each makes .venv first if it is missing.
PYTHON ?= python3
VENV := .venv
DEMO ?= demo
# Tests at a time; each computes on one thread. Files with slow tests come first, so that the workers end together.
WORKERS ?= 2
CHROMIUM ?= /usr/bin/chromium

export CHROMIUM

# How often make flaky runs the tests of several processes, and how often make kill kills.
N ?= 20

.PHONY: demo demo-label quick test test-browser full flaky fuzz kill coverage lint types format docs clean

$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet --editable '.[test]'
	touch $@

demo: $(VENV)/ready
	$(VENV)/bin/python tools/demo.py --output_dir $(DEMO)

# Opens the labeller on drawn people; Ctrl-C ends it.
demo-label: $(VENV)/ready
	$(VENV)/bin/python tools/demo_label.py --output_dir $(DEMO)

PYTEST := OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -q
SHARED := -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# What to run after every change: a minute.
quick: lint types
	$(PYTEST) $(SHARED) -m "not process and not slow and not browser and not full"

test: $(VENV)/ready
	$(PYTEST) $(SHARED)

# The few runs at the size that the documents report.
full: $(VENV)/ready
	$(PYTEST) -m full

# Branch coverage of the package by make test, as a report; what other processes run is not counted.
coverage: $(VENV)/ready
	$(PYTEST) $(SHARED) --cov --cov-report=term:skip-covered

# Several processes meet and part in these; a fault in the order shows only in some runs.
flaky: $(VENV)/ready
	@for run in $$(seq $(N)); do \
	  echo "run $$run of $(N)"; $(PYTEST) tests/training/test_split_fc.py || exit 1; \
	done

# N damaged files for each reader (make fuzz N=3000), in processes that may hang or crash; prints a table, and the command that
# repeats each fault. SEED=2 damages them otherwise. make test has the first 50 of seed 0.
SEED ?= 1
fuzz: N = 300
fuzz: $(VENV)/ready
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m tests.fuzz --attempts $(N) --seed $(SEED) --workers $(WORKERS)

# Every stage killed with SIGKILL at N random moments in all: ends with 1 if a file is half, a rerun differs or an answer is lost.
kill: $(VENV)/ready
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m tests.kill.harness --rounds $(N)

# The labeller in a real browser. Needs Debian's chromium, which is installed where it is missing and that is allowed.
test-browser: $(VENV)/browser-ready $(CHROMIUM)
	$(VENV)/bin/python -m pytest -q -n $(WORKERS) -m browser -rA tests/labelling/web

$(VENV)/browser-ready: $(VENV)/ready
	$(VENV)/bin/python -m pip install --quiet --editable '.[test,browser]'
	touch $@

$(CHROMIUM):
	@echo "installing chromium (Debian, Ubuntu: apt-get install chromium)"
	@(apt-get update -qq && apt-get install -y -qq chromium) >/dev/null || \
	  { echo "chromium could not be installed: as root, run apt-get install chromium, then make test-browser again" >&2; exit 1; }

lint: $(VENV)/ready
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(VENV)/ready
	$(VENV)/bin/mypy

format: $(VENV)/ready
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

# docs/flags.md from the scripts' own parsers, the list of modules in docs/architecture.md from their first sentences.
docs: $(VENV)/ready
	$(VENV)/bin/python tools/write_flags.py
	$(VENV)/bin/python tools/write_modules.py

clean:
	rm -rf $(VENV) $(DEMO)
