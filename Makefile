# Every target sets up what it needs, once, in $(VENV).
PYTHON ?= python3
VENV ?= .venv
BUDGETS ?= 150M 300M 600M 1.2G
SEARCH_OUT ?= runs/search-starter

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# pyright would otherwise ask the package index for a newer version of itself at every run.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: install search test test-slow check bench

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ofa_pose needs Python 3.11 or newer; try: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt -e ".[dev,fast,onnx,pretrained,tensorboard]"
	touch $(STAMP)

search: $(STAMP)
	$(BIN)/ofa-pose search $(addprefix --budget ,$(BUDGETS)) --out $(SEARCH_OUT) $(if $(wildcard $(SEARCH_OUT)),--resume)

test: $(STAMP)
	$(BIN)/python -m pytest

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m "slow$(if $(OFA_POSE_TEST_DATA), or data)"

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

bench: $(STAMP)
	$(BIN)/python benchmarks/sampled_step.py
	$(BIN)/python benchmarks/depthwise_gradient.py
