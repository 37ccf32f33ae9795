# The project's verbs. `make demo` and `make test` install what they need; a second call starts at once.

PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: demo test check bench contracts slither clean

demo: .venv/.installed
	@$(BIN)/fedledger demo --out demo/$$(date +%Y%m%d-%H%M%S) $(ARGS)

# Everything that must hold before a change lands.
test: check .venv/.tested-with contracts/node_modules/.installed tests/peers/node_modules/.installed
	cd contracts && PATH="$(CURDIR)/$(BIN):$$PATH" node_modules/.bin/forge fmt --check
	cd contracts && PATH="$(CURDIR)/$(BIN):$$PATH" node_modules/.bin/forge test
	FEDLEDGER_REQUIRE_SOLC=1 $(BIN)/pytest -n auto $(ARGS)

# What can be said without running anything.
check: .venv/.tested-with
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Speed and memory, as ratios measured in one run.
bench: .venv/.tested-with .venv-bench/.installed
	$(BIN)/python -m benchmarks $(ARGS)

# Compile the Solidity sources into contracts/artifacts.
contracts: .venv/.tested-with contracts/node_modules/.installed
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m contracts.build

# Static analysis of the contracts. Slither needs an older web3 than the project, so it has its own place.
slither: .venv-slither/.installed contracts/node_modules/.installed
	cd contracts && PATH="$(CURDIR)/$(BIN):$(CURDIR)/contracts/node_modules/.bin:$$PATH" ../.venv-slither/bin/slither .

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fedledger needs Python 3.11 or newer; got %d.%d: set PYTHON" % sys.version_info[:2])'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

.venv/.tested-with: .venv/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .[test]
	@touch $@

contracts/node_modules/.installed: contracts/package.json contracts/package-lock.json | .venv/.tested-with
	cd contracts && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --silent --ignore-scripts
	@touch $@

# Real peers of the tests: js-ipfs' daemon.
tests/peers/node_modules/.installed: tests/peers/package.json tests/peers/package-lock.json | .venv/.tested-with
	cd tests/peers && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --silent --ignore-scripts
	@touch $@

# Flower in a place of its own: it is measured against, never imported beside the project.
.venv-bench/.installed: benchmarks/flower-requirements.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.venv-slither/.installed: contracts/slither-requirements.txt
	$(PYTHON) -m venv .venv-slither
	.venv-slither/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

clean:
	rm -rf .venv .venv-bench .venv-slither contracts/node_modules contracts/out contracts/cache tests/peers/node_modules
