# Tests, linters and the image. `make help` lists the targets.
# The directory of rustup's cargo, which a shell opened before its installation does not have in PATH.
export PATH := $(PATH):$(HOME)/.cargo/bin
TOOLS := target/deploy-tools/bin
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
REVISION = $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
# For `make fuzz`: seconds, and the longest input in bytes.
TIME = 600
MAX_LEN = 8192

.PHONY: help test test-browsers lint format-check clippy docs instructions bench-peers run demo demo-replicas image fuzz deny lint-deploy ci

help: ## list the targets (the default)
	@sed -n 's/^\([a-z-]*\):.* ## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

test: ## run all tests but those with browsers; on Debian and Ubuntu, first install the programs they use
	@.ci/install tests
	@if cargo nextest --version >/dev/null 2>&1; then \
	  set -x; cargo nextest run --locked --no-fail-fast; \
	else \
	  echo "cargo-nextest is not installed: cargo test runs the same tests, more slowly"; \
	  set -x; cargo test --locked --no-fail-fast -- --skip browsers::; \
	fi
	@cat target/missing-for-tests
	@echo "Tests with real browsers are apart: make test-browsers"

test-browsers: ## run the tests with Chromium and Firefox; on Debian and Ubuntu, first install the programs they use
	@.ci/install browsers
	@if cargo nextest --version >/dev/null 2>&1; then \
	  set -x; cargo nextest run --locked --no-fail-fast --profile browsers; \
	else \
	  set -x; cargo test --locked --no-fail-fast --test it -- browsers::; \
	fi
	@cat target/missing-for-browsers

lint: format-check clippy ## check the format and run clippy; warnings are errors

format-check:
	cargo fmt --all --check
	rustfmt --check --edition 2024 fuzz/fuzz_targets/*.rs

clippy:
	cargo clippy --locked --workspace --all-targets -- -D warnings

docs: ## build the source's documentation and run its examples; warnings are errors
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items
	cargo test --locked --doc

instructions: ## count the instructions of a cached hit (valgrind), and compare them with the stored figure
	@.ci/install instructions
	cargo bench --quiet --locked --package taskgate-bench --bench instructions

bench-peers: ## measure taskgate beside nginx, HAProxy and Varnish, see docs/performance.md (forty minutes)
	bench/peers/run

run: ## run the gateway with ./config.toml and the key in LEMONDATA_API_KEY or LEMONDATA_API_KEY_FILE
	cargo run --release --locked -- serve

demo: ## run the gateway against the built-in sandbox; needs no key
	cargo run --locked -- demo

demo-replicas: ## run three gateways with a Redis and a balancer, and kill one; half a minute, needs no key
	@.ci/install replicas
	cargo build --locked
	@deploy/demo-replicas

image: ## build the Docker image taskgate
	docker build --tag taskgate --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) .

fuzz: ## fuzz one check, such as TARGET=id, for TIME=600 seconds; fuzz/README.md lists its tools
	@test -d fuzz/seeds/$(or $(TARGET),none) || { echo "make fuzz TARGET=…, one of:" $$(ls fuzz/seeds); exit 2; }
	@mkdir -p fuzz/corpus/$(TARGET)
	cargo +nightly fuzz run $(TARGET) fuzz/corpus/$(TARGET) fuzz/seeds/$(TARGET) -- \
	  -max_total_time=$(TIME) -max_len=$(MAX_LEN)

deny: ## check the dependencies by deny.toml: licences, versions, sources, known vulnerabilities
	@.ci/install deny
	cargo deny --locked check licenses bans sources
	@if cargo deny fetch db; then \
	  set -x; cargo deny --locked check --disable-fetch advisories; \
	else \
	  echo "!! NOT RUN: the check for known vulnerabilities; the RustSec database on GitHub cannot be reached."; \
	fi

lint-deploy: ## lint Dockerfile, compose files, deploy/, YAML and shell scripts
	@.ci/install deploy
	$(TOOLS)/hadolint Dockerfile
	$(TOOLS)/yamllint --strict -c .ci/yamllint.yml docker-compose.yml docker-compose.replicas.yml .ci deploy
	$(TOOLS)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml docker-compose.replicas.yml
	$(TOOLS)/kubernetes-validate --strict --kubernetes-version 1.30.0 deploy/kubernetes.yaml
	$(TOOLS)/kubernetes-validate --strict deploy/kubernetes.yaml
	.ci/check-deploy
	$(TOOLS)/shellcheck .ci/install .ci/run .ci/check-deploy bench/peers/run deploy/demo-replicas

ci: ## run all checks that a change must pass, as CI does
	.ci/run
