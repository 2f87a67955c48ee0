# make demo    attest the bundled checkpoint and verify the bundle
# make test    everything that CI runs: lint, types, tests with coverage
# make bench   the benchmarks whose figures are in bench/RESULTS.md

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DEMO   := demo

.PHONY: demo test lint bench test-slow test-gpu clean
.DELETE_ON_ERROR:

# torch comes first and by exact version: whoever wants the CPU build installs it into $(VENV) before `make`.
$(VENV)/user: pyproject.toml mbom/__init__.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet --editable '.[engine]'
	@touch $@

$(VENV)/developer: $(VENV)/user
	$(BIN)/python -m pip install --quiet --group test --group lint
	@touch $@

# Another implementation of CycloneDX, which the tests hold every BOM against. Without Node, or where npm cannot install
# it, those tests are skipped and say so.
PEERS := tests/node/node_modules/.package-lock.json
NPM   := $(and $(shell command -v node),$(shell command -v npm))

$(PEERS): tests/node/package.json tests/node/package-lock.json
	npm ci --prefix tests/node --ignore-scripts --no-audit --no-fund --silent --fetch-retries 1 --fetch-retry-mintimeout 1000 && touch $@ \
	  || { rm -rf tests/node/node_modules; echo "npm: the validator of tests/node could not be installed" >&2; }

demo: $(VENV)/user
	@rm -rf $(DEMO) && mkdir $(DEMO)
	$(BIN)/mbom keygen $(DEMO)/release.pem
	$(BIN)/mbom attest fixtures/tiny-gpt-oss --key $(DEMO)/release.pem -o $(DEMO)/tiny-gpt-oss.mbom
	$(BIN)/mbom verify $(DEMO)/tiny-gpt-oss.mbom fixtures/tiny-gpt-oss --key $(DEMO)/release.pub --behaviour
	@echo
	@echo "The evidence is in $(DEMO)/tiny-gpt-oss.mbom: begin with bom.cdx.json and behaviour.json."

lint: $(VENV)/developer
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint $(if $(NPM),$(PEERS))
	@rm -f .coverage .coverage.*
	$(BIN)/python .ci/offline.py $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal \
	    --cov --cov-report= -m 'not slow and not gpu and not online'
	$(BIN)/python -m coverage report --skip-covered --fail-under=93

test-slow: $(VENV)/developer
	$(BIN)/python -m pytest -m slow

test-gpu: $(VENV)/developer
	$(BIN)/python -m pytest -m gpu

bench: $(VENV)/developer
	$(BIN)/python bench/hashing.py
	$(BIN)/python bench/dequantise.py
	$(BIN)/python bench/behaviour.py
	$(BIN)/python bench/prompts.py
	PYTHONPATH=. $(BIN)/python bench/detection.py
	$(BIN)/python bench/offload.py
	PYTHONPATH=.:tests $(BIN)/python bench/bom.py
	PYTHONPATH=.:tests $(BIN)/python bench/bom.py --tensors 1000 --files 90000 --runs 1
	PYTHONPATH=.:tests $(BIN)/python bench/bitflips.py

clean:
	rm -rf $(VENV) $(DEMO) tests/node/node_modules build dist .mypy_cache .ruff_cache .pytest_cache .coverage .coverage.*
