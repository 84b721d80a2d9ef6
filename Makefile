PYTHON ?= $(firstword $(foreach p,python3.12 python3.11 python3,$(if $(shell $(p) -c 'import sys; sys.exit(not (3,11) <= sys.version_info[:2] <= (3,12))' 2>/dev/null && echo ok),$(p))))
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: train drive test lint clean

train: $(VENV)/.ready
	$(RUN) -m avtd3_jax.train --config configs/town01.py $(ARGS)

drive: $(VENV)/.ready
	$(RUN) -m avtd3_jax.drive $(ARGS)

test: $(VENV)/.ready
	$(RUN) -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(VENV)/.ready
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

# An interrupted install leaves no marker, so the next call makes the environment again.
$(VENV)/.ready: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "avtd3-jax needs Python 3.11 or 3.12: install one, or name it with 'make PYTHON=/path/to/python3.12 ...'" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info minicarla/build minicarla/*.egg-info
