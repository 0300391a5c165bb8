# The README's commands. Everything lives in .venv; nothing outside this directory is changed.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
# What a release is looked at with, in an environment of its own: derms itself is not to depend on it.
RELEASE := $(VENV)/release
SBOM ?= dist/derms.cdx.json
# Tests that run at once; each file of them stays with one.
JOBS ?= auto
# Options of the demo: make demo DEMO="--speed 6".
DEMO ?=
# Python 3.11 reads the path of an editable install in the locale's encoding: in plain C one beyond ASCII stops it.
ifneq ($(filter C POSIX,$(LC_ALL)),)
export LC_ALL := C.UTF-8
endif
PIP := $(BIN)/python -m pip --disable-pip-version-check
COMPILE := CUSTOM_COMPILE_COMMAND="make requirements" $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe \
	--strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options

.DEFAULT_GOAL := help
.PHONY: help demo dev test lint test-slow golden faults requirements docs bench sbom audit clean

help: ## Show what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.run ## Run a whole controlled feeder: broker, database, controller, 60 simulated devices
	@$(BIN)/derms demo $(DEMO)

dev: $(VENV)/.test ## Run controller and simulator, anew with every change of the code; broker and database stay up
	@$(BIN)/python scripts/dev.py $(VENV)/dev

test: lint ## Check format, lint, types and imports, and run the tests
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

lint: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test-slow: $(VENV)/.test ## Run the exhaustive forms of the suites too
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "slow or not slow" --hypothesis-profile=search

golden: $(VENV)/.test ## Write the golden files of the command line anew; read the difference
	DERMS_TEST_GOLDEN=write $(BIN)/python -m pytest tests/unit/cli/test_golden.py

faults: $(VENV)/.test ## Kill, freeze, cut off and starve a running pair, and write what came of it into docs/reliability.md
	FAULT_PAGE=docs/reliability.md $(BIN)/python -m pytest -m faults tests/faults

requirements: $(VENV)/.test ## Pin the dependencies anew
	$(COMPILE) --upgrade -o requirements/build.txt requirements/build.in
	$(COMPILE) --upgrade -o requirements/base.txt pyproject.toml
	$(COMPILE) --upgrade --extra drivers --extra ocpp -o requirements/agent.txt pyproject.toml
	$(COMPILE) --upgrade --extra dev -o requirements/dev.txt pyproject.toml
	$(COMPILE) --upgrade -o requirements/docs.txt requirements/docs.in
	$(COMPILE) --upgrade -o requirements/release.txt requirements/release.in

docs: $(VENV)/.test ## Write the generated pages anew, and build the site into build/site
	$(BIN)/python -m derms.settings_docs
	$(BIN)/python -m derms.cli.reference
	$(BIN)/python -m derms.reference
	$(BIN)/python -m sphinx -W --keep-going -q -c docs -d build/doctrees . build/site
	@echo "The site: build/site/index.html"

bench: $(VENV)/.test ## Measure the engine anew (takes about half an hour) and write the figures and plots of docs/
	$(BIN)/derms bench control --page docs/benchmarks.md --plots docs/plots

sbom: $(RELEASE)/.done ## Write down what a release is made of, as CycloneDX, to dist/ (SBOM=FILE)
	@mkdir -p $(dir $(SBOM))
	@# The version stands in the package; the tool knows none that is dynamic.
	@sed "s/^dynamic = .*/version = \"$$($(BIN)/python -c 'import derms; print(derms.__version__)')\"/" pyproject.toml \
		>$(RELEASE)/pyproject.toml
	@PYTHONWARNINGS=ignore $(RELEASE)/bin/cyclonedx-py requirements --pyproject $(RELEASE)/pyproject.toml \
		--mc-type application --spec-version 1.6 --output-reproducible --output-format JSON --output-file $(SBOM) \
		requirements/base.txt
	@echo "$(SBOM)"

audit: $(RELEASE)/.done ## Ask whether a weakness is known of anything that is pinned (needs the network)
	@for file in requirements/*.txt; do echo "$$file"; \
		$(RELEASE)/bin/pip-audit --strict --progress-spinner off --require-hashes --disable-pip -r $$file || exit 1; done

clean: ## Remove the virtual environment and what tools left behind
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist

$(VENV)/bin/python:
	@scripts/make-venv "$(PYTHON)" "$(VENV)"

$(VENV)/.run: requirements/build.txt requirements/base.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing into $(VENV) ..."
	@$(PIP) install --quiet --require-hashes -r requirements/build.txt -r requirements/base.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@# Dependencies are compiled as they are installed; ours would be at their first start, which takes the longer.
	@$(BIN)/python -m compileall -q derms agent sim
	@touch $@

$(VENV)/.test: $(VENV)/.run requirements/dev.txt requirements/docs.txt
	@$(PIP) install --quiet --require-hashes -r requirements/dev.txt
	@$(PIP) install --quiet --require-hashes -r requirements/docs.txt
	@touch $@

$(RELEASE)/.done: requirements/release.txt | $(VENV)/bin/python
	@echo "Installing into $(RELEASE) ..."
	@$(BIN)/python -m venv $(RELEASE)
	@$(RELEASE)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes -r requirements/release.txt
	@touch $@
