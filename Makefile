# make run     installs what is missing, builds, and boots the tour guest to a prompt on the terminal
# make test    the same, for the tests
# make bench   the measurements, as ratios in one run
# make install PREFIX=/usr/local [DESTDIR=]
PREFIX ?= /usr/local
DESTDIR ?=
SWIFT_FLAGS = -c release
BACKPLANE = .build/release/backplane
TOUR = .build/guests/tour.elf

.PHONY: all run test bench build guests setup setup-bench install lint format soak clean
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

# Tests run optimized, with testability; the plugins that they load are the release build's.
test: build guests
	swift build $(SWIFT_FLAGS) --build-tests -Xswiftc -enable-testing
	swift test $(SWIFT_FLAGS) -Xswiftc -enable-testing --skip-build

bench: build guests setup-bench
	@scripts/bench.py

install: build guests
	@scripts/install.sh "$(PREFIX)" "$(DESTDIR)"

lint:
	@swift-format lint --strict --recursive Sources Plugins Tests Guests Package.swift

format:
	@swift-format format --in-place --recursive Sources Plugins Tests Guests Package.swift

clean:
	rm -rf .build
