# Every target that people use says how long it takes on two cores.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
REFERENCE := .venv-reference
MODEL ?= stand-in
PLAN ?= $(if $(filter tiny,$(MODEL)),data/sweeps/ci.yaml,data/sweeps/quick.yaml)

.DEFAULT_GOAL := help
.PHONY: help env test test-slow lint report publish lab tune reference unseen check proofs
.PHONY: bench-kernels bench-models bench-peers bench-engine bench-endure clean

help:
	@echo "make env        set up $(VENV) with pinned dependencies         (2 to 4 minutes)"
	@echo "make report     build the model, run the quick sweep, report   (3 minutes after make env; MODEL=tiny: 2)"
	@echo "make test       lint, types and tests                          (6 minutes)"
	@echo "make test-slow  whole-size models, every notebook, kernels     (5 minutes)"
	@echo "make lab        JupyterLab on notebooks/index.ipynb             (starts in seconds)"
	@echo "make tune       measure the variants here; the engine then opens the fastest equivalent one"
	@echo "make publish    keep the newest report in results/published/    (1 minute)"
	@echo "make proofs     100 A/A pairs, a slow-down, a placebo, a hog: that the instrument can be believed (12 minutes)"
	@echo "make reference  parity with upstream PyTorch, in $(REFERENCE)  (5 minutes, 1 GB)"
	@echo "make unseen     import, optimise, quantise, verify with weights nobody has seen (10 minutes)"
	@echo "make check      kernels under sanitizers, and every notebook and report in Chromium (10 minutes)"
	@echo "make bench-kernels | bench-models | bench-peers | bench-engine | bench-endure (10 to 60 minutes on a quiet machine)"
	@echo "make clean      remove environments and caches, not results"

env: $(VENV)/.installed

KERNEL_SOURCES := $(wildcard kokoro_lab/kernels/source/*) kokoro_lab/kernels/build.py

$(VENV)/.installed: pyproject.toml setup.py constraints.txt $(KERNEL_SOURCES)
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Setting up $(VENV): this takes a few minutes the first time"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --quiet -c constraints.txt -e '.[test]'
	@touch $@

report: env
	$(BIN)/kokoro-lab sweep $(PLAN) --model $(MODEL)
	$(BIN)/kokoro-lab report

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -m "not slow and not browser"

test-slow: env
	$(BIN)/python -m pytest -m slow

lab: env
	cd notebooks && ../$(BIN)/jupyter lab index.ipynb

$(REFERENCE)/.installed: tests/reference/requirements.txt
	@echo "Setting up $(REFERENCE): PyTorch's CPU build takes a few minutes"
	test -x $(REFERENCE)/bin/python || $(PYTHON) -m venv $(REFERENCE)
	$(REFERENCE)/bin/python -m pip install --disable-pip-version-check --progress-bar off --quiet -r tests/reference/requirements.txt
	$(REFERENCE)/bin/python -m pip install --disable-pip-version-check --quiet --no-deps kokoro==0.9.4
	@touch $@

reference: $(REFERENCE)/.installed
	PYTHONPATH=. $(REFERENCE)/bin/python -m pytest tests/reference -m reference

$(VENV)/.check: $(VENV)/.installed
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --quiet -c constraints.txt -e '.[test,check]'
	@touch $@

proofs: env
	$(BIN)/python -m kokoro_lab.commands.proofs --noise-out tests/measure/machine_noise.json
	$(BIN)/python -m kokoro_lab.measure.simulate --noise tests/measure/machine_noise.json

unseen: env $(REFERENCE)/.installed
	KOKORO_REFERENCE_PYTHON=$(REFERENCE)/bin/python $(BIN)/python -m pytest tests/reference/test_unseen.py -m unseen -s

tune: env
	$(BIN)/kokoro-lab models tune

publish: env
	$(BIN)/kokoro-lab report --publish

check: $(VENV)/.check
	tests/kernels/sanitize
	$(BIN)/python -m pytest tests/browser -m browser

bench-engine: env
	$(BIN)/kokoro-lab models optimize stand-in --kernels
	$(BIN)/python -m kokoro_lab.commands.bench_engine --best stand-in-kernels-int16

# The two below run against the file that upstream's exporter makes with the same weights; a run is kept and continued.
bench-kernels: env $(REFERENCE)/.installed
	base=$$(PYTHONPATH=. $(REFERENCE)/bin/python tests/reference/export_base.py) && \
	$(BIN)/python -m kokoro_lab.kernels.bench --export "$$base"

bench-models: env $(REFERENCE)/.installed
	$(BIN)/kokoro-lab models optimize stand-in
	$(BIN)/kokoro-lab models quantize stand-in --recipe int8
	base=$$(PYTHONPATH=. $(REFERENCE)/bin/python tests/reference/export_base.py) && \
	$(BIN)/kokoro-lab models bench stand-in-optimized stand-in-int8 --base "$$base" --gate stand-in --keep results/bench-models

bench-peers: env
	$(BIN)/kokoro-lab bench-peers

bench-endure: env
	$(BIN)/python -m kokoro_lab.kernels.endure

clean:
	rm -rf $(VENV) $(REFERENCE) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
