# make run     installs what is missing, builds, gets Debian's kernel and boots it to a shell on the terminal; where it cannot be
#              had, the tour guest
# make tour    boots the tour guest
# make test    the same, for the tests
# make soak    the software CPU's tests, for minutes instead of seconds
# make check   the ABI's past, the installed tree and the documents; after make test
# make deb     Debian packages, in .build/deb
# make check-deb  Debian packages of what `make test` has built, by lintian and in a clean Debian
# make check-kvm  EngineKVM on a KVM that is real: this host's, or that of a host in a box; after make test
# make check-pc  firmware and boot loaders of Debian on machines/pc.yaml; after make test
# make check-net  Debian with virtio on machines/server.yaml: disk, network, ssh; three guests on networks of their own; as root, after make test
# make bench   the measurements, as ratios in one run
# make install PREFIX=/usr/local [DESTDIR=]
PREFIX ?= /usr/local
DESTDIR ?=
SWIFT_FLAGS = -c release
BACKPLANE = .build/release/backplane
TOUR = .build/guests/tour.elf

.PHONY: all run tour check-linux check-pc check-net test check check-kvm check-deb bench build guests setup soak setup-bench install deb lint format clean
all: build guests

setup:
	@scripts/setup.sh
	@scripts/moved.sh .build .build-tests .build-asan

setup-bench: setup
	@scripts/setup.sh bench

build: setup
	swift build $(SWIFT_FLAGS)

guests: setup
	@$(MAKE) --no-print-directory -C Guests/tour OUT=$(CURDIR)/$(TOUR)

run: build guests
	@if scripts/fetch-linux.sh; then $(BACKPLANE) run machines/linux.yaml; else \
	    echo "Debian's kernel cannot be had: this is the tour guest instead."; $(BACKPLANE) run machines/tour.yaml; fi

tour: build guests
	@$(BACKPLANE) run machines/tour.yaml

# Debian's kernels to poweroff, their results compared with this host's; after make test.
check-linux:
	scripts/fetch-linux.sh
	scripts/fetch-linux.sh i386
	scripts/check-linux.sh .build-tests/release/backplane $(OPTIONS)

# SeaBIOS and what it boots - GRUB, Debian from a disk - driven by the serial console, and by the VGA's cells and keys; after make test.
check-pc:
	@scripts/setup.sh pc
	@scripts/setup-pypi.sh .build-tests/vnc-venv vncdotool vncdo
	@if [ "$$(id -u)" = 0 ]; then scripts/make-debian-disk.sh || echo "Debian's disk cannot be made here: it is not booted."; fi
	scripts/check-pc.py .build-tests/release/backplane

# Debian's disk once more, by virtio: booted by SeaBIOS, reached by ssh, killed while it writes, and three in one process on hubs; after make test.
check-net:
	@scripts/setup.sh pc
	@scripts/setup.sh net
	scripts/make-debian-disk.sh
	scripts/check-net.py .build-tests/release/backplane

# EngineKVM where KVM runs supervisor code on the CPU: on this host, or in a box (scripts/kvm-box.sh); after make test.
KVM_BUILD = $(CURDIR)/.build-tests/release
check-kvm: guests
	@scripts/setup.sh kvm
	scripts/fetch-linux.sh
	scripts/fetch-linux.sh i386
	scripts/check-pc.py --fetch
	BACKPLANE_BUILD=$(KVM_BUILD) scripts/install.sh $(INSTALLED)
	scripts/check-kvm.sh $(INSTALLED)/bin/backplane $(KVM_BUILD)/backplanePackageTests.xctest $(OPTIONS)

# Tests run optimized, with testability, in a build folder of their own; so do the plugins that they load.
TESTS = $(SWIFT_FLAGS) --scratch-path .build-tests -Xswiftc -enable-testing
test: setup guests
	@scripts/setup.sh test
	@scripts/setup-pypi.sh .build-tests/qmp-venv qemu.qmp qmp-shell
	swift build $(TESTS) --build-tests
	BACKPLANE_ALONE=1 swift test $(TESTS) --skip-build --filter 'NativeTests/instructionsWhoseSizesDiffer'
	swift test $(TESTS) --skip-build
	BACKPLANE_TRANSLATE=off swift test $(TESTS) --skip-build --filter EngineSoftTests
	BACKPLANE_TRANSLATE=always swift test $(TESTS) --skip-build --filter EngineSoftTests

# The software CPU's tests for longer: millions of cases against the host's CPU, thousands against KVM, and random guests, of the CPU alone and with
# devices, these also with the address sanitizer (but for leaks, which XCTest has); every plugin on the bench by ten million operations; Debian's graphical
# installer in a browser, whose picture is .build/installer.png then. BACKPLANE_SEED=N gives others; SOAK=N takes N times as long as `make test`.
SOAK ?= 20
SANITIZED = $(SWIFT_FLAGS) --scratch-path .build-asan -Xswiftc -enable-testing -Xswiftc -DSANITIZED --sanitize address
soak: setup
	swift build $(TESTS) --build-tests
	BACKPLANE_SOAK=$(SOAK) swift test $(TESTS) --skip-build --no-parallel --filter 'EngineSoftTests|WitnessTests|DeviceFuzzTests|BoardFuzzTests'
	BACKPLANE_TRANSLATE=check BACKPLANE_SOAK=$(SOAK) swift test $(TESTS) --skip-build --no-parallel --filter EngineSoftTests
	BACKPLANE_BENCH_OPERATIONS=10000000 swift test $(TESTS) --skip-build --no-parallel --filter 'PluginBenchTests.BundledTests'
	$(MAKE) --no-print-directory check-kvm OPTIONS=--soak
	@scripts/setup.sh pc
	@scripts/setup.sh net
	scripts/check-net.py --only 'kill -9' --kills 100 .build-tests/release/backplane
	scripts/check-installer.py .build-tests/release/backplane
	swift build $(SANITIZED) --build-tests
	ASAN_OPTIONS=detect_leaks=0 BACKPLANE_SOAK=$(SOAK) swift test $(SANITIZED) --skip-build --no-parallel --filter 'EngineSoftTests.FuzzTests|DeviceFuzzTests|BoardFuzzTests'

# With what `make test` has built: the ABI's past minors, the tree that `make install` makes (with the toolchain hidden), and the documents' commands and code.
INSTALLED = $(CURDIR)/.build-tests/installed
check:
	@scripts/setup.sh check
	@scripts/fetch-linux.sh || echo "Debian's kernel cannot be had: what needs it is not checked."
	BACKPLANE_BUILD=$(CURDIR)/.build-tests/release scripts/install.sh $(INSTALLED)
	scripts/check-abi.sh .build-tests/release/backplane
	scripts/check-installed.sh $(INSTALLED)
	scripts/check-docs.py $(INSTALLED)

check-deb:
	@scripts/setup.sh deb
	BACKPLANE_BUILD=$(CURDIR)/.build-tests/release scripts/make-deb.sh .build-tests/deb
	scripts/check-deb.sh .build-tests/deb

bench: build guests setup-bench
	@scripts/bench.py

install: build guests
	@scripts/install.sh "$(PREFIX)" "$(DESTDIR)"

deb: build guests
	@scripts/setup.sh deb
	@scripts/make-deb.sh

lint:
	@scripts/generate-handlers.py --check
	@scripts/generate-rust-bindings.py --check
	@swift-format lint --strict --recursive Sources Plugins Tests Guests Package.swift

format:
	@swift-format format --in-place --recursive Sources Plugins Tests Guests Package.swift

clean:
	rm -rf .build .build-tests
