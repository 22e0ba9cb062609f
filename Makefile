# Two commands do everything: `make demo` and `make test`. The others are their parts.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
CACHE ?= $(or $(HUDDLE_CACHE),$(HOME)/.cache/huddle)
HOST = tests/setup/host.sh && eval "$$(tests/setup/host.sh env)"
# What starts a bed: root is asked for first.
BED_HOST = tests/setup/host.sh bed && eval "$$(tests/setup/host.sh env)"
# Without -p: built as the tests build it, with the features that the whole workspace chooses.
BED = cargo run -q --locked --bin bed --
NODES ?= 4
ZONES ?= 2
WIRE ?= cloud

.PHONY: help demo demo-check test bed-up bed-down wasm image fuzz fmt lint docs bench soak soak-faults soak-pressure soak-merge dashboard dashboard-check dashboard-page dashboard-live generate

help: ## What there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

demo: ## A real cluster and mesh on this machine, the shop under load, Huddle improving it (asks before it changes the host; YES=1 answers); PRESSURE=1: first a callee starved by its cpu limit; MERGE=1: at the end two services that become one pod
	@$(BED_HOST) && tests/setup/demo.sh $(if $(PRESSURE),--pressure) $(if $(MERGE),--merge)

demo-check: ## The same, then rollback and uninstall; writes target/demo/report.json
	@$(BED_HOST) && tests/setup/demo.sh --check $(if $(PRESSURE),--pressure) $(if $(MERGE),--merge)

test: ## Every test, rung by rung, with the minutes of each
	@tests/setup/test.sh

bed-up: ## The bed alone: NODES=4 ZONES=2 WIRE=cloud
	@$(BED_HOST) && $(BED) build && $(BED) up --nodes $(NODES) --zones $(ZONES) --wire $(WIRE)

bed-down: ## Stops the bed and takes away all it changed
	@$(BED_HOST) && $(BED) down

wasm: ## The filter as target/wasm/huddle_filter.wasm
	@$(HOST) && filter/build.sh

image: wasm ## The controller as an OCI archive, target/image/huddle.tar; beside it the shop, target/image/shop.tar
	@$(HOST) && supervisor/build.sh && cargo build -q --release --locked -p huddle -p huddle-tests --bin huddle --bin shop && mkdir -p target/image \
	  && $(BED) image target/image/shop.tar registry.local/shop:1 --entrypoint /shop --file target/release/shop:/shop \
	  && $(BED) image target/image/huddle.tar registry.local/huddle:dev --user 65532:65532 --entrypoint /usr/local/bin/huddle \
	     --file target/release/huddle:/usr/local/bin/huddle --file target/wasm/huddle_filter.wasm:/usr/share/huddle/filter.wasm \
	     --file target/supervisor/supervisor:/usr/local/bin/supervisor

fuzz: ## libFuzzer on every decoder: MINUTES=1 for each target, TARGETS="batch dump" for some
	@eval "$$(tests/setup/host.sh env)" && tests/fuzz/run.sh $(or $(MINUTES),1) $(TARGETS)

fmt: ## Formats the sources
	cargo fmt --all

lint: ## Format, clippy, borders
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	tests/setup/borders.sh

docs: ## The API documentation, warnings as errors
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

bench: ## Benchmarks (criterion); results are recorded by hand in docs/results
	cargo bench --locked -p huddle-core -p huddle-filter-core

soak: ## What is too long for CI: three demo checks, one A/A run, half an hour of a merged pair (an hour and a quarter by reckoning); results in docs/results
	@$(BED_HOST) && tests/setup/soak.sh

soak-faults: ## Twenty faults on a bed, one at a time and in pairs: named rightly or not (half an hour; ONLY="words of names")
	@$(BED_HOST) && tests/setup/soak-bed.sh faults --report target/soak/faults.json $(ONLY)

soak-pressure: ## A callee starved by its limit, resized in place, against unlimited runs; far away; under an HPA; given back; given in a template (50 minutes without the last, which was not timed; ONLY="pair far hpa back template")
	@$(BED_HOST) && tests/setup/soak-bed.sh pressure --report target/soak/pressure.json $(ONLY)

soak-merge: ## Two services merged and split: three layouts, ROUNDS=3, of a pair and of the shop's own edge; MINUTES=30 of all that may happen, one pair over loopback, nine kinds of pairs (about two hours and three quarters by reckoning; ONLY="layouts leaf steady direct kinds grpc")
	@$(BED_HOST) && tests/setup/soak-bed.sh merge --report target/soak/merge.json --minutes $(or $(MINUTES),30) --rounds $(or $(ROUNDS),3) $(ONLY)

dashboard: ## Builds the page into controller/dashboard/dist (committed)
	@$(BED_HOST) && cd controller/dashboard && npm ci --no-audit --no-fund --silent && npm run build --silent

dashboard-check: ## The page's unit tests, and that the committed dist is what the sources build
	@$(HOST) && cd controller/dashboard && npm ci --no-audit --no-fund --silent && npm run check --silent

dashboard-page: ## The page in headless Chromium
	@$(HOST) && cd controller/dashboard && npm ci --no-audit --no-fund --silent && npm run page --silent

dashboard-live: ## The page in headless Chromium on a live controller: HUDDLE_DASHBOARD_URL=http://127.0.0.1:8081/; pictures in target/page
	@$(HOST) && cd controller/dashboard && npm ci --no-audit --no-fund --silent && npm run page --silent && npm run shots --silent -- ../../target/page

generate: ## Regenerates what is committed: protobuf, CRDs, manifests
	UPDATE=1 HUDDLE_REGENERATE=1 cargo test --locked -p huddle-proto -p huddle-api
