# Thin: every target is one or two commands that can be typed as well. `make help` lists them.
PLATFORM ?= qemu-virt
CARGO := scripts/cargo

.PHONY: run test bench soak lives attack fuzz check setup install clean mutants miri states help
.DEFAULT_GOAL := help

run: setup ## set up what is missing, build, boot the demo (PLATFORM=qemu-virt)
	@scripts/demo $(PLATFORM)

test check attack: SETUP := --tests
test: setup ## set up what is missing, format and lints, host tests, QEMU system tests
	@scripts/lint
	@scripts/test

bench: setup ## what everything costs, beside no hypervisor and Xen (BENCH=--docs: into docs/ too)
	@$(CARGO) run -q --locked -p partita-tests --bin bench -- --json target/bench.json $(BENCH)

soak: setup ## 10 million timer interrupts and 1 million SGIs on each GIC: none lost, none twice (TIMERS=, SGIS=)
	@$(CARGO) run -q --locked -p partita-tests --bin soak -- $(TIMERS) $(SGIS)

lives: setup ## a partition that ends in every way and comes back, 1,000 times on each GIC and 100 on the Pi (LIVES=)
	@$(CARGO) run -q --locked -p partita-tests --bin lives -- $(LIVES)

fuzz: setup ## fuzz for long (TARGET=plan|bundle|...|machine, RUNS= executions or FUZZ_SECONDS= each)
	@scripts/fuzz $(TARGET)

attack: setup ## every attack on every target, and every guard taken away: what held, what missed it
	@$(CARGO) run -q --locked -p partita-tests --bin attack -- --json target/attack.json

check: setup ## format, lints and host tests: what a commit needs
	@scripts/lint
	@scripts/test --host

mutants: setup ## which changes of the model no test notices: hours (SHARD=k/n: a part of them)
	@scripts/mutants

states: setup ## all that three partitions on four cores can come to, by every interleaving: minutes
	@$(CARGO) test -q --locked --release -p partita-model --test lives -- --include-ignored --nocapture

miri: setup ## the model's tests under Miri, an interpreter that finds undefined behaviour: half an hour or more
	@scripts/miri

setup: ## install what is missing
	@scripts/setup $(SETUP)

install: setup ## put `partita` on the path (cargo's bin folder); it goes on using this folder
	@$(CARGO) install --locked --path cli

clean: ## remove what was built; the cache of fetched images stays
	@rm -rf target

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' Makefile | expand -t 16
