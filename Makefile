# Everything a fresh machine needs is a Rust toolchain (rustup installs the pinned one by itself), a C compiler, make and
# Python 3. What else a target needs it installs itself, pinned, below target/.
.DEFAULT_GOAL := help
.PHONY: help run demo test test-rust test-clients test-faults test-shop lint conformance fuzz bench bench-instructions soak clean

CARGO ?= cargo
BIN_DEV := $(CURDIR)/target/debug/polybus
BIN := $(CURDIR)/target/release/polybus
CLIENTS := $(CURDIR)/target/clients
SECONDS ?= 180

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

run: ## build the broker and start it on port 5672 with its data in ./data
	@$(CARGO) build --release -p polybus-server
	@$(BIN) serve --data ./data $(ARGS)

demo: ## run the shop against a broker that is killed in the middle
	@$(CARGO) build --release -p polybus-server
	@CARGO_TARGET_DIR=$(CLIENTS) $(CARGO) build --locked --manifest-path examples/shop/Cargo.toml
	@POLYBUS_BIN=$(BIN) $(CLIENTS)/debug/demo $(ARGS)

test: lint test-rust test-clients test-faults test-shop ## the whole suite, real clients included

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

test-rust:
	$(CARGO) test --workspace --locked

test-clients: ## real clients of every protocol against a broker of our own
	$(CARGO) build --locked -p polybus-server
	POLYBUS_BIN=$(BIN_DEV) WORK=$(CURDIR)/target/clients-env tests/clients/run.sh $(LANGUAGES)

test-faults: ## kills, full disks, damaged folders, hostile peers against the real binary
	$(CARGO) build --locked -p polybus-server
	POLYBUS_BIN=$(BIN_DEV) WORK=$(CURDIR)/target/clients-env tests/faults/run.sh $(ARGS)

test-shop:
	$(CARGO) build --locked -p polybus-server
	CARGO_TARGET_DIR=$(CLIENTS) $(CARGO) build --locked --manifest-path examples/shop/Cargo.toml
	CARGO_TARGET_DIR=$(CLIENTS) $(CARGO) test --locked --manifest-path examples/shop/Cargo.toml
	POLYBUS_BIN=$(BIN_DEV) $(CLIENTS)/debug/demo --quick

conformance: ## suites that no one here wrote: py-amqp, lapin, amqp-tools, librdkafka, kafka-python, nats-py, nats.go
	$(CARGO) build --release --locked -p polybus-server
	POLYBUS_BIN=$(BIN) WORK=$(CURDIR)/target/clients-env tests/clients/amqp091/conformance.sh
	POLYBUS_BIN=$(BIN) WORK=$(CURDIR)/target/clients-env tests/clients/kafka/conformance.sh
	POLYBUS_BIN=$(BIN) WORK=$(CURDIR)/target/clients-env tests/clients/nats/conformance.sh

fuzz: ## a minute for each fuzz target (needs the nightly toolchain and cargo-fuzz, which it installs)
	fuzz/run.sh

bench: ## the load generator, side by side with RabbitMQ, Apache Kafka and nats-server where they are installed; writes docs/reference/performance*.md
	$(CARGO) build --release --locked -p polybus-server
	$(CARGO) run --release --locked -p polybus-bench -- $(ARGS)
	$(if $(ARGS),,$(CARGO) run --release --locked -p polybus-bench -- compare --kafka)
	$(if $(ARGS),,$(CARGO) run --release --locked -p polybus-bench -- compare --nats)

bench-instructions: ## instructions that a message costs, step by step, against those last recorded (needs valgrind)
	@scripts/bench-instructions.py $(ARGS)

soak: ## all that the broker is to survive, in full (an hour; ARGS=--quick); writes docs/reference/survival.md; SECONDS each of new seeds and fuzzing
	$(CARGO) build --release --locked -p polybus-server -p polybus-sim
	POLYBUS_BIN=$(BIN) tests/faults/soak.py --page docs/reference/survival.md $(ARGS)
	$(CARGO) run --release --locked -p polybus-sim -- --seconds $(SECONDS)
	SECONDS_EACH=$(SECONDS) fuzz/run.sh

clean:
	$(CARGO) clean
