# make demo    attest the bundled checkpoint and verify the bundle
# make test    everything that CI runs: lint, types, tests with coverage
# make fuzz    the readers of hostile bytes under a fuzzer
# make lock    write .ci/lock.txt again, with every version and digest that is installed here
# make bench   the benchmarks whose figures are in bench/RESULTS.md

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DEMO   := demo

# Everything is installed by the digests of .ci/lock.txt, and what builds mbom too. Of torch the lock has the digests of
# PyPI's builds and of those without CUDA, which save gigabytes where the index has them; whoever wants another installs
# it into $(VENV) before `make`.
TORCH   := $(shell sed -n 's/^torch==\([^ ]*\).*/\1/p' .ci/lock.txt)
INSTALL := $(BIN)/python -m pip install --quiet --require-hashes --constraint .ci/lock.txt

.PHONY: demo test lint bench test-slow test-gpu fuzz fuzz-smoke lock clean
.DELETE_ON_ERROR:

$(VENV)/user: pyproject.toml mbom/__init__.py .ci/lock.txt .ci/pip.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement .ci/pip.txt
	$(BIN)/python .ci/lock.py requirements > $(VENV)/requirements.txt
	$(BIN)/python -m pip show --quiet torch 2>/dev/null || $(INSTALL) torch==$(TORCH)+cpu 2>/dev/null || true
	$(INSTALL) --requirement $(VENV)/requirements.txt --group build
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/developer: $(VENV)/user
	$(INSTALL) --group test --group lint
	@touch $@

$(VENV)/fuzz: $(VENV)/developer
	$(INSTALL) --group fuzz
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

# Coverage-guided, each target in a process of its own: a minute in CI, and as long as you like by FUZZ_SECONDS.
FUZZ_SECONDS ?= 600

fuzz-smoke: $(VENV)/fuzz
	PYTHONPATH=.:tests $(BIN)/python tests/fuzz/run.py --seconds 60 --seed 1

fuzz: $(VENV)/fuzz
	PYTHONPATH=.:tests $(BIN)/python tests/fuzz/run.py --seconds $(FUZZ_SECONDS)

# Locked versions stay where the ranges of pyproject.toml allow it; `make lock UPGRADE=--upgrade` takes the newest.
lock:
	test -x $(BIN)/uv || $(INSTALL) --group lock
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python .ci/lock.py write $(UPGRADE)

bench: $(VENV)/developer
	$(BIN)/python bench/hashing.py
	$(BIN)/python bench/dequantise.py
	$(BIN)/python bench/behaviour.py
	$(BIN)/python bench/prompts.py
	PYTHONPATH=. $(BIN)/python bench/detection.py
	$(BIN)/python bench/offload.py
	PYTHONPATH=.:tests $(BIN)/python bench/bom.py
	PYTHONPATH=.:tests $(BIN)/python bench/bom.py --tensors 1000 --files 90000 --runs 1
	PYTHONPATH=.:tests $(BIN)/python bench/bundlediff.py
	$(BIN)/python bench/faults.py
	PYTHONPATH=.:tests $(BIN)/python bench/bitflips.py

clean:
	rm -rf $(VENV) $(DEMO) tests/node/node_modules build dist .mypy_cache .ruff_cache .pytest_cache .coverage .coverage.*
