# Every target that people use says how long it takes on two cores.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
REFERENCE := .venv-reference
MODEL ?= stand-in
# Benchmarks of one commit are one run: a second call measures only its missing blocks.
RUN ?= $(shell git rev-parse --short HEAD)
PLAN ?= $(if $(filter tiny,$(MODEL)),data/sweeps/ci.yaml,data/sweeps/quick.yaml)

.DEFAULT_GOAL := help
.PHONY: help env test test-slow wheel lint docs lock audit sbom report publish lab tune reference unseen check self-test proofs chaos
.PHONY: bench-kernels bench-models bench-peers bench-engine bench-endurance bench-endure clean

help:
	@echo "make env        set up $(VENV) with pinned dependencies                    (2 to 4 minutes)"
	@echo "make report     build the model, run the quick sweep, render the report  (8 minutes after make env; MODEL=tiny: 2)"
	@echo "make test       run lint, type checks and tests                          (10 minutes)"
	@echo "make test-slow  test full-size models, every notebook and the kernels    (12 minutes)"
	@echo "make wheel      build the wheel, install it alone and speak with it      (3 minutes)"
	@echo "make docs       build the documentation as a site in build/docs          (1 minute)"
	@echo "make lock       resolve the pinned versions; UPGRADE=1 takes the newest  (1 minute)"
	@echo "make audit      look the locked versions up among the published vulnerabilities (1 minute)"
	@echo "make sbom       write build/sbom.json, the bill of materials, as CycloneDX   (1 minute)"
	@echo "make lab        open notebooks/index.ipynb in JupyterLab                 (seconds)"
	@echo "make tune       measure the variants; the fastest equivalent variant becomes the default (5 minutes)"
	@echo "make publish    copy the newest report to results/published/             (1 minute)"
	@echo "make self-test  check that measurements on this machine can be trusted   (25 minutes)"
	@echo "make reference  compare with upstream PyTorch, in $(REFERENCE)     (5 minutes, 1 GB)"
	@echo "make unseen     import, optimize, quantize and verify an export with random weights (10 minutes)"
	@echo "make check      run the kernels under sanitizers, and notebooks and reports in Chromium (10 minutes)"
	@echo "make chaos      damage files, kill processes, fill disks; count what fails (30 minutes; SHORT=1: 2 minutes)"
	@echo "make bench-kernels | bench-models | bench-peers | bench-engine | bench-endurance (10 to 60 minutes, on a quiet machine)"
	@echo "make clean      remove environments and caches, but no results"

env: $(VENV)/.installed

KERNEL_SOURCES := $(wildcard kokoro_lab/kernels/source/*) kokoro_lab/kernels/build.py

PIP := $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --quiet

# Every package is one whose hash the lock has. The project itself is built with the setuptools of the lock.
$(VENV)/.installed: pyproject.toml setup.py requirements.lock $(KERNEL_SOURCES)
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Setting up $(VENV): this takes a few minutes the first time"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes -r requirements.lock
	$(PIP) --no-build-isolation --no-deps -e .
	@touch $@

# The plan `quick` compares the model with its variants on compiled kernels.
report: env
	$(if $(findstring quick,$(PLAN)),$(BIN)/kokoro-lab models list --json | grep -q '"$(MODEL)-kernels-int16"' || \
		$(BIN)/kokoro-lab models optimize $(MODEL) --kernels)
	$(BIN)/kokoro-lab sweep $(PLAN) --model $(MODEL)
	$(BIN)/kokoro-lab report

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Most tests wait for processes and files of their own: several processes of pytest finish sooner. The tests of one file
# stay together, because they share what took long to set up. TESTERS=0 runs everything in one process.
TESTERS ?= 3

test: lint
	$(BIN)/python -m pytest -n $(TESTERS) --dist loadfile -m "not slow and not browser"

wheel: env
	$(BIN)/python -m pytest tests/wheel -m wheel

test-slow: env
	$(BIN)/python -m pytest -n $(TESTERS) --dist loadfile -m "slow and not wheel"

docs: env
	$(BIN)/python docs/generate.py
	$(BIN)/zensical build --strict --clean
	$(BIN)/python -m pytest tests/docs/test_site.py

# requirements.lock has the hash of every published file for every platform, all extras included; `make env` installs from it. constraints.txt has
# its versions for this Python and machine, without hashes, for `pip install -c constraints.txt` of a part of the project.
LOCK_PYTHON := 3.11.5 # the oldest that every pinned package supports
LOCK = $(BIN)/uv pip compile pyproject.toml --all-extras --no-header --no-annotate --quiet $(if $(UPGRADE),--upgrade)

lock: env
	$(LOCK) --python $(BIN)/python -o constraints.txt > /dev/null
	{ echo '# What the environment was tested with: pip installs exactly these versions. Made by `make lock`.'; cat constraints.txt; } > constraints.txt.new && mv constraints.txt.new constraints.txt
	$(LOCK) --universal --python-version $(LOCK_PYTHON) -c constraints.txt --generate-hashes -o requirements.lock > /dev/null
	{ echo '# Every file of every platform by its hash, in the versions of constraints.txt. Made by `make lock`.'; cat requirements.lock; } > requirements.lock.new && mv requirements.lock.new requirements.lock

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

# The versions of the lock against the published vulnerabilities: asks the registry, installs nothing.
audit: env
	$(BIN)/pip-audit --require-hashes --disable-pip --progress-spinner off -r requirements.lock

sbom: env
	mkdir -p build
	$(BIN)/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --mc-type application \
		--output-reproducible --spec-version 1.6 --output-format JSON --output-file build/sbom.json

self-test: env
	$(BIN)/kokoro-lab bench self-test --noise-out tests/benchmarks/machine_noise.json
	$(BIN)/kokoro-lab bench simulation tests/benchmarks/machine_noise.json

proofs: self-test

unseen: env $(REFERENCE)/.installed
	KOKORO_REFERENCE_PYTHON=$(REFERENCE)/bin/python $(BIN)/python -m pytest tests/reference/test_unseen.py -m unseen -s

tune: env
	$(BIN)/kokoro-lab models tune

publish: env
	$(BIN)/kokoro-lab report --publish

check: env
	tests/kernels/sanitize
	@command -v npm >/dev/null || echo "npm is missing: install it to check the accessibility of the report" >&2
	! command -v npm >/dev/null || npm install --prefix tests/browser --no-package-lock --no-audit --no-fund --ignore-scripts --silent
	$(BIN)/python -m pytest tests/browser -m browser

# ONLY="kills full-disks" runs these attacks alone, SEED=1 draws other cases, WRITE=docs/robustness.md writes the page.
chaos: env
	PYTHONPATH=.:tests $(BIN)/python -m chaos $(if $(SHORT),--short) $(if $(SEED),--seed $(SEED)) \
		$(if $(WRITE),--write $(WRITE)) $(if $(ONLY),--only $(ONLY))

bench-engine: env
	$(BIN)/kokoro-lab models optimize stand-in --kernels
	$(BIN)/kokoro-lab bench engine --best stand-in-kernels-int16 --run-id bench-engine-$(RUN)

# The next two compare with the file that upstream's exporter writes with the same weights.
bench-kernels: env $(REFERENCE)/.installed
	base=$$(PYTHONPATH=. $(REFERENCE)/bin/python tests/support/export_base.py) && \
	$(BIN)/kokoro-lab bench kernels --export "$$base" --run-id bench-kernels-$(RUN)

bench-models: env $(REFERENCE)/.installed
	$(BIN)/kokoro-lab models optimize stand-in
	$(BIN)/kokoro-lab models quantize stand-in --recipe int8
	base=$$(PYTHONPATH=. $(REFERENCE)/bin/python tests/support/export_base.py) && \
	$(BIN)/kokoro-lab bench models stand-in-optimized stand-in-int8 --base "$$base" --gate stand-in \
		--run-id bench-models-$(RUN)

bench-peers: env
	$(BIN)/kokoro-lab bench peers

bench-endurance: env
	$(BIN)/kokoro-lab bench endurance

bench-endure: bench-endurance

clean:
	rm -rf $(VENV) $(REFERENCE) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
