# make run     installs what is missing, builds, and boots the tour guest to a prompt on the terminal
# make test    the same, for the tests
# make check   the ABI's past, the installed tree and the documents; after make test
# make bench   the measurements, as ratios in one run
# make install PREFIX=/usr/local [DESTDIR=]
PREFIX ?= /usr/local
DESTDIR ?=
SWIFT_FLAGS = -c release
BACKPLANE = .build/release/backplane
TOUR = .build/guests/tour.elf

.PHONY: all run test check bench build guests setup setup-bench install lint format clean
all: build guests

setup:
	@scripts/setup.sh

setup-bench: setup
	@scripts/setup.sh bench

build: setup
	swift build $(SWIFT_FLAGS)

guests: setup
	@$(MAKE) --no-print-directory -C Guests/tour OUT=$(CURDIR)/$(TOUR)

run: build guests
	@$(BACKPLANE) run machines/tour.yaml

# Tests run optimized, with testability, in a build folder of their own; so do the plugins that they load.
TESTS = $(SWIFT_FLAGS) --scratch-path .build-tests -Xswiftc -enable-testing
test: setup guests
	@scripts/setup-qmp.sh .build-tests/qmp-venv
	swift build $(TESTS) --build-tests
	swift test $(TESTS) --skip-build

# With what `make test` has built: the ABI's past minors, the tree that `make install` makes (with the toolchain hidden), and the documents' commands and code.
INSTALLED = $(CURDIR)/.build-tests/installed
check:
	BACKPLANE_BUILD=$(CURDIR)/.build-tests/release scripts/install.sh $(INSTALLED)
	scripts/check-abi.sh .build-tests/release/backplane
	scripts/check-installed.sh $(INSTALLED)
	scripts/check-docs.py $(INSTALLED)

bench: build guests setup-bench
	@scripts/bench.py

install: build guests
	@scripts/install.sh "$(PREFIX)" "$(DESTDIR)"

lint:
	@swift-format lint --strict --recursive Sources Plugins Tests Guests Package.swift

format:
	@swift-format format --in-place --recursive Sources Plugins Tests Guests Package.swift

clean:
	rm -rf .build .build-tests
