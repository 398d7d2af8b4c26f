# The two that matter: `make demo` and `make test`. Both set up what they need; the second time that takes seconds.

PYTHON ?= python3
BIN := .venv/bin
BUDGET := $(PYTHON) tools/budget.py
WEB_STAMP := src/chappe/console/static/.built
NATIVE_SOURCES := $(shell find src/chappe -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -o -name '*.h')
WEB_SOURCES := $(shell find clients/js web -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -not -path '*/build/*' 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help setup installed demo test test-python test-browser test-typescript chromium redis mosquitto check generate docs
.PHONY: proxies paho bench attacks faults soak models sanitize conformance fuzz properties audit flakes

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make .venv, install everything, build the SDK and the console
	@$(BUDGET) 10 set-up -- $(MAKE) --no-print-directory installed

installed: .venv/.installed .venv/.compiled $(WEB_STAMP)
	@:

.venv/.installed: pyproject.toml setup.py
	@echo "set-up: installing Python packages into .venv (about a minute, once)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "chappe needs Python 3.11 or newer, this is " + sys.version.split()[0])'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || \
	  { echo "python cannot make a virtual environment: on Debian, apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

.venv/.compiled: .venv/.installed $(NATIVE_SOURCES)
	@echo "set-up: compiling the native modules (half a minute, when one has changed)"
	@$(BIN)/python setup.py --quiet build_ext --inplace
	@touch $@

$(WEB_STAMP): $(WEB_SOURCES) tools/build_web.py
	@echo "set-up: building the JavaScript SDK and the console with npm (about a minute, once)"
	@$(PYTHON) tools/build_web.py
	@touch $@

demo: setup ## run a hub with its console and sample rooms on http://127.0.0.1:8080
	@$(BIN)/chappe demo

test: setup chromium redis mosquitto proxies test-python test-browser test-typescript ## run every test

# Tests that wait for engines, processes and networks more than they compute: they run beside the others.
WAITING := tests/bridges tests/brokers tests/client tests/integration tests/programmes tests/server

test-python: setup redis mosquitto proxies ## run the Python tests
	@$(BUDGET) 22 "Python tests" -- $(MAKE) --no-print-directory --keep-going -j2 --output-sync=target test-waiting test-computing

.PHONY: test-waiting test-computing
test-waiting:
	@$(BIN)/pytest -p no:cacheprovider $(WAITING)

test-computing:
	@$(BIN)/pytest -p no:cacheprovider tests --ignore=tests/browser $(WAITING:%=--ignore=%)

test-browser: setup chromium proxies ## run the tests that drive Chromium
	@$(BUDGET) 6 "browser tests" -- $(BIN)/pytest tests/browser

test-typescript: setup ## run the tests of the SDK and the console
	@$(BUDGET) 3 "TypeScript tests" -- sh -ec 'for p in clients/js web; do (cd $$p && npm test --silent); done'

chromium:
	@command -v chromium >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "set-up: installing chromium for the browser tests"; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	  else \
	    echo "the browser tests need chromium: sudo apt-get install chromium, then again" >&2; exit 1; \
	  fi; }

redis:
	@command -v redis-server >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "set-up: installing redis-server for the tests of the broker"; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-server >/dev/null; \
	  else \
	    echo "the tests of the broker need redis-server: sudo apt-get install redis-server, then again" >&2; exit 1; \
	  fi; }

mosquitto:
	@PATH="$$PATH:/usr/sbin"; for program in mosquitto mosquitto_pub; do command -v $$program >/dev/null || missing=1; done; \
	[ -z "$$missing" ] || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "set-up: installing mosquitto for the tests of MQTT"; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mosquitto mosquitto-clients >/dev/null; \
	  else \
	    echo "the tests of MQTT need mosquitto: sudo apt-get install mosquitto mosquitto-clients, then again" >&2; exit 1; \
	  fi; }

proxies:
	@for program in nginx caddy haproxy; do command -v $$program >/dev/null || missing="$$missing $$program"; done; \
	[ -z "$$missing" ] || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "set-up: installing$$missing for the tests behind proxies"; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	  else \
	    echo "the tests behind proxies need$$missing: sudo apt-get install$$missing, then again" >&2; exit 1; \
	  fi; }

check: setup ## run the linters, the type checkers and the checks of generated files
	@$(BUDGET) 3 checks -- $(MAKE) --no-print-directory --keep-going \
	  check-style check-types check-layers check-generated check-typescript

.PHONY: check-style check-types check-layers check-generated check-typescript
check-style:
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet

check-types:
	@$(BIN)/mypy

check-layers:
	@$(BIN)/lint-imports --no-logo

check-generated:
	@for tool in tools/generate_*.py; do $(BIN)/python $$tool --check || exit 1; done
	@$(BIN)/python tools/check_version.py

check-typescript:
	@for p in clients/js web; do (cd $$p && npm run --silent check) || exit 1; done

generate: setup ## write the generated files again
	@for tool in tools/generate_*.py; do $(BIN)/python $$tool || exit 1; done

bench: setup ## measure the hub beside its peers and write benchmarks/RESULTS.md (an hour, on an idle machine)
	@$(BIN)/python benchmarks/bench.py $(if $(ROWS),--rows $(ROWS))

faults: setup redis ## do all that must not break anything, judge it, write benchmarks/FAULTS.md (an hour, idle machine; PARTS=...)
	@$(BIN)/python -m tests.programmes.faults $(PARTS)

MINUTES ?= 80
soak: setup redis ## load a hub with 2,000 clients that come and go, fit what grows, write benchmarks/soak (80 minutes; MINUTES=...)
	@$(BIN)/python -m tests.programmes.soak --minutes $(MINUTES)

attacks: setup ## attack a hub in twelve ways, measure healthy clients beside it, write benchmarks/ATTACKS.md (8 minutes, idle machine)
	@$(BIN)/python -m tests.programmes.attacks

models: setup ## run the state machines of the whole hub and of MQTT sessions 20,000 times each (about an hour)
	@CHAPPE_EXAMPLES=20000 $(BIN)/pytest tests/hub/test_hub_machine.py tests/hub/mqtt/test_machine.py --timeout 7200

sanitize: setup ## run the tests of the native modules under AddressSanitizer and UBSan (about 5 minutes)
	@$(BIN)/python tools/sanitize.py tests/wire tests/transports tests/protocols/mqtt tests/hostile/test_frames.py

conformance: setup ## run Autobahn's 517 cases against every server and the client (about 20 minutes)
	@$(BIN)/python -m tests.conformance.autobahn

paho: setup ## run the MQTT interoperability suite of Eclipse Paho against a hub (4 minutes; PAHO=its interoperability folder)
	@test -f "$(PAHO)/client_test5.py" || { echo "make paho needs PAHO=/path/to/paho.mqtt.testing/interoperability" >&2; exit 2; }
	@$(BIN)/python -m tests.conformance.paho_suite "$(PAHO)"

FUZZ_SECONDS ?= 60
FUZZ_FOUND := fuzz/found
fuzz: setup ## fuzz every parser, each for FUZZ_SECONDS (60)
	@for name in $$(ls fuzz/corpus | grep -v websocket_core); do \
	  echo "fuzz: $$name"; $(BIN)/python fuzz/run.py $$name $(FUZZ_SECONDS) || exit 1; done
	@command -v clang >/dev/null || { echo "fuzzing the C parser needs clang: sudo apt-get install clang, then again" >&2; exit 1; }
	@mkdir -p $(FUZZ_FOUND)/websocket_core
	@clang -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
	  -o $(FUZZ_FOUND)/websocket_core_fuzz fuzz/websocket_core_fuzz.c
	@echo "fuzz: websocket_core"; $(FUZZ_FOUND)/websocket_core_fuzz -max_total_time=$(FUZZ_SECONDS) -max_len=4096 \
	  -print_final_stats=1 -artifact_prefix=$(FUZZ_FOUND)/websocket_core/crash- $(FUZZ_FOUND)/websocket_core fuzz/corpus/websocket_core

properties: setup ## look for counterexamples: 2,000 new examples of each property (an hour)
	@HYPOTHESIS_PROFILE=explore $(BIN)/pytest $$(grep -rl 'from hypothesis' tests) --timeout 7200

audit: setup ## ask whether a dependency has a known weakness (needs the network)
	@test -x .venv/audit/bin/pip-audit || { $(PYTHON) -m venv .venv/audit && .venv/audit/bin/pip install --quiet pip-audit; }
	@.venv/audit/bin/pip-audit --strict --skip-editable --path "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
	@for p in clients/js web; do (cd $$p && npm audit) || exit 1; done

flakes: setup ## run the Python tests 20 times
	@for i in $$(seq 20); do $(BIN)/pytest tests --ignore=tests/browser -q || exit 1; done

docs: setup chromium ## take the README's picture and figures again, then run what the docs show
	@$(BIN)/python tools/generate_readme_figures.py
	@$(BIN)/python tools/take_picture.py
	@$(BIN)/pytest -q tests/docs tests/browser/test_documented_pages.py
