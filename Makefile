# make up     a running cluster on loopback        make check   format, lints, docs
# make test   everything                           make bench   how fast it is here
# make bench-repair   how fast an emptied device is filled, beside rsync: SMALL=100000 objects, LARGE_MIB=2048
# make bench-overload   far more asked than can be served: FACTOR=5 times the best throughput, RESULTS=FILE.md
# make bench-peers    beside OpenStack Swift in one run: PEERS=swift,ceph BENCH='--only put-4k --seconds 3', RESULTS=FILE.md
# make bench-scale    what grows with the number of objects stored: SIZES=10k,100k,1m (10m takes 30 GB), RESULTS=FILE.md, PLOT=FILE.svg
# make storm  faults on purpose for some minutes: SEED=7 MINUTES=5, at random without
# make test-swift   the real Swift's own functional suite, against a cluster of Apus

# Build output lives outside the checkout, so that RocksDB is compiled once per machine.
CACHE ?= $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/apus
export CARGO_TARGET_DIR ?= $(CACHE)/target
VENV := $(CACHE)/venv
export APUS_VENV := $(VENV)
export APUS_SWIFT_PYTHON := $(VENV)/bin/python
CARGO := cargo
# nextest isolates and limits the stories better; cargo's own runner does where it is not installed.
TEST := $(shell cargo nextest --version >/dev/null 2>&1 && echo "nextest run --no-fail-fast" || echo "test --no-fail-fast")
UP ?=
SMALL ?= 100000
LARGE_MIB ?= 2048
FACTOR ?= 5
PEERS ?= swift
BENCH ?=
RESULTS ?=
SIZES ?= 10k,100k,1m
PLOT ?=

.PHONY: up test test-swift storm check bench bench-repair bench-overload bench-peers bench-scale build tools python help

help:
	@sed -n 's/^# //p' Makefile

build: tools
	@echo "Building apus (the first time takes about 15 minutes: RocksDB is compiled) ..."
	$(CARGO) build --release --locked

up: build
	$(CARGO_TARGET_DIR)/release/apus up $(UP)

test: build python
	$(CARGO) $(TEST) --release --locked --workspace

test-swift: build python
	@./tools/fetch-swift $(VENV) $(CACHE)/swift-sources
	APUS_SWIFT_SOURCES=$(CACHE)/swift-sources $(CARGO) test --release --locked -p apus-tests --test swift_suite --test s3_suite -- --ignored --nocapture --test-threads 1

storm: build
	STORM_SEED=$(SEED) STORM_MINUTES=$(MINUTES) $(CARGO) test --release --locked -p apus-tests --test storm -- --ignored --nocapture --test-threads 1

check: tools
	./tools/check

bench: build
	$(CARGO) bench --locked --workspace

bench-repair: build
	@./tools/install-debian rsync
	$(CARGO) bench --locked -p apus-tests --bench repair -- --small $(SMALL) --large-mib $(LARGE_MIB)

bench-overload: build
	$(CARGO) bench --locked -p apus-tests --bench overload -- --factor $(FACTOR) $(if $(RESULTS),--markdown '$(abspath $(RESULTS))') $(BENCH)

# The peers are measured as their own packages bring them: Swift in an environment of its own.
bench-peers: export APUS_VENV := $(CACHE)/venv-peers
bench-peers: build
	@./tools/install-debian memcached python3-venv $(if $(findstring ceph,$(PEERS)),ceph-mon ceph-mgr ceph-osd radosgw)
	@./tools/make-venv $(APUS_VENV) tests/benches/peers/requirements.txt
	$(CARGO) bench --locked -p apus-tests --bench peers -- --peers '$(PEERS)' $(if $(RESULTS),--markdown '$(abspath $(RESULTS))') $(BENCH)

bench-scale: build
	$(CARGO) bench --locked -p apus-tests --bench scale -- --sizes '$(SIZES)' $(if $(RESULTS),--markdown '$(abspath $(RESULTS))') $(if $(PLOT),--plot '$(abspath $(PLOT))') $(BENCH)

# Debian's libclang for RocksDB's bindings; below, what the tests run.
tools:
	@./tools/install-debian libclang-dev

python:
	@./tools/install-debian memcached python3-venv curl rclone restic
	@./tools/make-venv $(VENV) tests/requirements.txt
