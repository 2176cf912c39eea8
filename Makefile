# Two commands on a bare machine: `make demo` and `make test`. Each makes .venv first if it is missing.
PYTHON ?= python3
VENV := .venv
DEMO ?= demo

.PHONY: demo test lint format clean

$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet --editable '.[test]'
	touch $@

demo: $(VENV)/ready
	$(VENV)/bin/python tools/demo.py --output_dir $(DEMO)

test: $(VENV)/ready
	$(VENV)/bin/python -m pytest -q

lint: $(VENV)/ready
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

format: $(VENV)/ready
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

clean:
	rm -rf $(VENV) $(DEMO)
