# `make run` and `make test` need nothing done by hand before; `make help` lists the rest.
.DEFAULT_GOAL := help
CARGO := cargo
export PATH := $(HOME)/.cargo/bin:$(PATH)

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## find or install nats-server and the embedded Lean into .cache
	@scripts/setup

.PHONY: build
build: ## compile everything
	@$(CARGO) build --locked --workspace

.PHONY: run
run: setup ## formalize examples/numbers and write a report
	@$(CARGO) build --locked --workspace
	@target/debug/atlas run -f examples/numbers/atlasrun.yaml

.PHONY: test
test: setup ## run every test
	@scripts/test

.PHONY: soak
soak: ## simulate small runs with faults on all processors until one fails or you stop it
	@$(CARGO) build --locked --workspace
	@target/debug/atlas simulate --seed $${SEED:-1000} --seeds $${SEEDS:-1000000} --agents 16 --turns 6

.PHONY: soak-real
soak-real: setup ## 120 faults in one run by many real processes on three nats-servers, and whether every promise held
	@scripts/soak-real

.PHONY: fuzz
fuzz: ## hostile bytes for the parser and the exporter, SECONDS_EACH (60) each
	@scripts/fuzz

.PHONY: lint
lint: ## rustfmt, clippy, cargo deny
	@scripts/lint

.PHONY: clean
clean: ## remove the runs (not the cache, not target)
	@rm -rf runs
