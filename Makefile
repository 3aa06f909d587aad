# The thin front: every target calls a script or a CMake preset, which also work on their own.
.DEFAULT_GOAL := help
.PHONY: help setup build run cluster test check attacks chaos crash rolling soak packaging bench fuzz coverage format lint clean distclean

help:
	@echo "Meta-MCP"
	@echo
	@echo "Use it"
	@echo "  make run        build it and serve the sample; Ctrl-C ends it (LISTEN=127.0.0.1:0 for another port)"
	@echo "  make cluster    several of each service with PostgreSQL and mutual TLS; Ctrl-C ends it"
	@echo "  make build      build/release/bin/meta-mcp"
	@echo
	@echo "Change it"
	@echo "  make setup      install what is missing to build and test"
	@echo "  make test       lint, unit, client and conformance tests; ends with 'N passed, N failed'"
	@echo "  make lint       layers, coroutines, protos, documents, format"
	@echo "  make format     clang-format on our files"
	@echo
	@echo "Prove it (longer)"
	@echo "  make check      test, sanitizers, coverage, compatibility, real servers, packaging, bare machines"
	@echo "  make chaos      a cluster under load and faults for CHAOS_SECONDS (600)"
	@echo "  make crash      2,000 runs of workflows while processes and the database die"
	@echo "  make rolling    restart and upgrade of a cluster under 500 calls a second"
	@echo "  make soak       10,000 clients and 1,667 calls a second for SOAK_SECONDS (600)"
	@echo "  make packaging  images, chart, compose, units, tarball, backup and restore"
	@echo "  make attacks    attacks on running gateways, each with its outcome (docs/attacks.md)"
	@echo "  make fuzz       each fuzz target for FUZZ_SECONDS (60)"
	@echo "  make coverage   lines covered by the unit tests"
	@echo "  make bench      latency, throughput, CPU and memory"
	@echo
	@echo "Tidy up"
	@echo "  make clean      remove build/ and .run/"
	@echo "  make distclean  also remove what setup put into the project"

setup:
	@scripts/setup

build:
	@scripts/setup --yes --for run
	@scripts/build release meta-mcp meta-mcp-gateway meta-mcp-catalog meta-mcp-connector meta-mcp-workflow meta-mcp-ai meta-mcp-audit

run:
	@scripts/run_sample

cluster:
	@scripts/cluster $(CLUSTER)

test:
	@scripts/test

check:
	@scripts/check

attacks:
	@scripts/build dev meta-mcp
	@METAMCP_BIN=$$PWD/build/dev/bin/meta-mcp .cache/node/node_modules/node-linux-*/bin/node tests/attacks/run.mjs

chaos:
	@scripts/chaos

crash:
	@scripts/crash

rolling:
	@scripts/rolling

soak:
	@scripts/soak

packaging:
	@scripts/setup --yes --for check
	@scripts/build release meta-mcp meta-mcp-gateway meta-mcp-catalog meta-mcp-connector meta-mcp-workflow meta-mcp-ai meta-mcp-audit
	@scripts/test_packaging

bench:
	@scripts/setup --yes --for check
	@scripts/build release programs
	@scripts/bench

fuzz:
	@scripts/setup --yes --for check
	@scripts/fuzz

coverage:
	@scripts/setup --yes --for check
	@scripts/coverage

format:
	@scripts/lint --format

lint:
	@scripts/lint

clean:
	@rm -rf build .run

distclean: clean
	@rm -rf .cache tests/node/node_modules tests/node/real/node_modules samples/quickstart/node_modules
