# The one entry; CI calls only these. `make help` lists them.
SHELL := /bin/bash
.DELETE_ON_ERROR:
# Last on the path, for machines without Node: set-up puts one there, and the SDK tests call it.
export PATH := $(PATH):$(or $(FINGERPOST_CACHE),$(HOME)/.cache/fingerpost)/venv/bin

# LLM=gemma puts a real llama.cpp server with Gemma 3 270M behind one of the demo's models.
LLM ?= fake
CARGO ?= cargo
FILTER := target/wasm32-wasip1/wasm/fingerpost_filter.wasm
BUILD := $(CARGO) build --locked --release

.PHONY: help setup setup-run setup-gemma setup-package build filter services run test lint bench eval package clean

help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Get what the build does not: wasm target, Envoy, encoder, SDK clients, redis-server
	@scripts/setup.sh test

setup-gemma:
	@scripts/setup.sh gemma

setup-run:
	@scripts/setup.sh run

setup-package:
	@scripts/setup.sh package

build: filter services ## Build the filter and the services

filter:
	$(CARGO) build --locked --profile wasm --target wasm32-wasip1 -p fingerpost-filter
	@python3 scripts/trim_exports.py $(FILTER) proxy_on_done proxy_on_log

services:
	$(BUILD) --workspace --exclude fingerpost-filter --bins

run: $(if $(filter gemma,$(LLM)),setup-gemma,setup-run) build ## Bring the demo up on 127.0.0.1:8801 (LLM=gemma: a real model)
	@exec target/release/fingerpost-demo --llm $(LLM)

test: setup filter ## Run every test, through the real Envoy
	$(CARGO) test --locked --release --workspace --exclude fingerpost-filter

lint: ## Check formatting, clippy's lints, licences and advisories
	@scripts/lint.sh

bench: setup build ## Measure; writes docs/benchmarks.md
	$(CARGO) bench --locked -p fingerpost-core
	target/release/fingerpost-bench
	$(CARGO) run --locked --release --quiet -p fingerpost-core --example affinity | (printf "\n## Affinity\n\n"; cat) >>docs/benchmarks.md

package: setup-package ## Build the clients' wheel and npm tarball into target/packages
	@scripts/package.sh

eval: setup services ## Print the tables of docs/quality.md (TRAIN=1: of heads trained anew)
	@scripts/eval.sh $(if $(TRAIN),train)

clean: ## Remove what the build made
	$(CARGO) clean
