# Tests, linters and the image. `make help` lists the targets.
# Where rustup puts cargo: found even in a shell that was opened before.
export PATH := $(PATH):$(HOME)/.cargo/bin
TOOLS := target/deploy-tools/bin
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
REVISION = $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)

.PHONY: help test lint format-check clippy docs run demo image lint-deploy ci

help: ## list the targets (the default)
	@sed -n 's/^\([a-z-]*\):.* ## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

test: ## run all tests; on Debian and Ubuntu, first install what they need
	@.ci/install tests
	@if cargo nextest --version >/dev/null 2>&1; then \
	  set -x; cargo nextest run --locked --no-fail-fast; \
	else \
	  echo "cargo-nextest is not installed: cargo test runs the same tests, more slowly"; \
	  set -x; cargo test --locked --no-fail-fast; \
	fi
	@cat target/clients-missing

lint: format-check clippy ## check format and run clippy; no warning passes

format-check:
	cargo fmt --all --check

clippy:
	cargo clippy --locked --all-targets -- -D warnings

docs: ## build the source's documentation and run its examples; no warning passes
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items
	cargo test --locked --doc

run: ## run the gateway on ./config.toml (the key: LEMONDATA_API_KEY or LEMONDATA_API_KEY_FILE)
	cargo run --release --locked -- serve

demo: ## run the gateway against the built-in sandbox; needs no key
	cargo run --locked -- demo

image: ## build the Docker image taskgate
	docker build --tag taskgate --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) .

lint-deploy: ## lint Dockerfile, compose file, deploy/, YAML and shell scripts
	@.ci/install deploy
	$(TOOLS)/hadolint Dockerfile
	$(TOOLS)/yamllint --strict -c .ci/yamllint.yml docker-compose.yml .ci deploy
	$(TOOLS)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	$(TOOLS)/kubernetes-validate --strict --kubernetes-version 1.30.0 deploy/kubernetes.yaml
	$(TOOLS)/kubernetes-validate --strict deploy/kubernetes.yaml
	.ci/check-deploy
	$(TOOLS)/shellcheck .ci/install .ci/run .ci/check-deploy

ci: ## all of the above that a change must pass, as CI runs it
	.ci/run
