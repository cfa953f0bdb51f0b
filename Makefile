# SPDX-License-Identifier: GPL-2.0
#
# Two files in one: inside a kernel build this is Kbuild's, otherwise it is the
# front door ("make help").

ifneq ($(KERNELRELEASE),)

obj-$(CONFIG_REFLOW) += drivers/net/ethernet/reflow/
obj-$(CONFIG_IGB_RS) += drivers/net/ethernet/igb_rs/
obj-$(CONFIG_SAMPLE_NIC) += drivers/net/rust/sample/

else

# Each step shows its progress and uses all CPUs by itself.
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory
Q := $(if $(V),,@)

TOOLBOX := scripts/toolbox
DRIVER := $(CURDIR)/drivers/net/ethernet/reflow
# Where Kbuild finds this file and the drivers: here, or in a copy.
SOURCE := $(CURDIR)
DRIVERS := CONFIG_REFLOW=m CONFIG_IGB_RS=m
SAMPLES := CONFIG_SAMPLE_NIC=m
JOBS ?= $(shell nproc)

# With KDIR the host's own tools build against that tree, which they prepared;
# without it everything comes from the toolbox.
ifdef KDIR
RUN :=
TREE := $(abspath $(KDIR))
else
RUN := $(TOOLBOX) run
TREE = $(shell $(TOOLBOX) kernel-tree)
endif

# The toolbox has an environment of its own: hand over what Kbuild listens to.
PASSED_ON := V W C CLIPPY KCFLAGS KRUSTFLAGS
KBUILD = $(RUN) $(CURDIR)/scripts/kbuild $(TREE) -j$(JOBS) M=$(SOURCE) $(DRIVERS) \
	$(foreach v,$(PASSED_ON),$(if $($(v)),$(v)='$($(v))'))

# Files that Kbuild leaves here and beside the source.
BUILT := *.o *.ko *.mod *.mod.c .*.cmd .*.d *_generated.rs *_generated.rs.tmp \
	modules.order Module.symvers .module-common.c

# A kernel that watches itself, and the module for it: built in a copy, so that the
# one for the stock kernel stays as it is.
SAN ?= kasan
DEBUG_SOURCE := $(CURDIR)/build/debug/$(SAN)
DEBUG_KBUILD = $(TOOLBOX) run $(CURDIR)/scripts/kbuild $(shell scripts/debug-kernel --path $(SAN)) \
	-j$(JOBS) M=$(DEBUG_SOURCE) $(DRIVERS) \
	$(if $(filter kcsan,$(SAN)),KRUSTFLAGS='$(KCSAN_RUST)')
# As scripts/Makefile.kcsan of the kernel has it for C.
KCSAN_RUST := -Zsanitizer=thread $(addprefix -Cllvm-args=-tsan-, \
	compound-read-before-write=1 distinguish-volatile=1 instrument-func-entry-exit=0)

MODEL_BINARIES := reflow-hw reflow-asm sample-nic

.PHONY: all module examples sample model debug toolbox demo test test-debug selftests shell claims fuzz bench bench-chart bench-model mutants lint clean help
all: module model

module: $(if $(KDIR),,toolbox)
	$(Q)$(KBUILD) modules

# The examples in the documentation of the layer: they are to compile, no more.
EXAMPLES := $(CURDIR)/build/examples
examples: $(if $(KDIR),,toolbox)
	$(Q)scripts/layer-examples $(EXAMPLES)
	$(Q)$(MAKE) module SOURCE=$(EXAMPLES)

# The driver of the tutorial; nothing else needs it.
sample:
	$(Q)$(MAKE) module DRIVERS='$(SAMPLES)'

model: toolbox
	$(Q)cd hw-model && ../$(TOOLBOX) run cargo build --release --locked \
		-p reflow-server -p reflow-asm -p reflow-sample
	$(Q)mkdir -p build/bin
	$(Q)$(TOOLBOX) run bash -c 'cd "$$CARGO_TARGET_DIR/release" && \
		install -C -t $(CURDIR)/build/bin $(MODEL_BINARIES)'
	$(Q)mkdir -p build/firmware/reflow
	$(Q)$(TOOLBOX) run build/bin/reflow-asm asm $(DRIVER)/programs/tunnels.rfp \
		-o build/firmware/reflow/parser.rfw

toolbox:
	$(Q)$(TOOLBOX) setup

demo: all
	$(Q)scripts/demo

test: all examples sample
	$(Q)tests/run --again

debug: toolbox
	$(Q)scripts/debug-kernel $(SAN)
	$(Q)mkdir -p $(DEBUG_SOURCE)
	$(Q)tar $(BUILT:%=--exclude='%') -c Makefile drivers | tar -C $(DEBUG_SOURCE) -x
	$(Q)$(DEBUG_KBUILD) modules

test-debug: debug model
	$(Q)tests/run --vm --kernel $(SAN) $(if $(T),-k '$(T)')

# The cases of the guest that make test does in passing, in earnest.
test-hostile: all
	$(Q)tests/run --vm -k vm.hostile. --rounds $(or $(ROUNDS),1000)

endurance: all
	$(Q)tests/run --vm -k vm.endurance. --rounds $(or $(ROUNDS),1000)

selftests: all
	$(Q)tests/run --selftests $(if $(T),-k '$(T)')

shell: all
	$(Q)scripts/shell

claims: toolbox
	$(Q)$(TOOLBOX) run scripts/claims

fuzz: toolbox
	$(Q)scripts/fuzz --seconds $(or $(SECONDS),60)

# BENCH="--dut reflow --dut igb" measures a peer, too; see scripts/bench --help.
bench: all sender
	$(Q)scripts/bench $(BENCH)

.PHONY: sender
sender: toolbox
	$(Q)cd hw-model && ../$(TOOLBOX) run cargo build --release --locked --quiet -p reflow-sender
	$(Q)mkdir -p build/bench
	$(Q)$(TOOLBOX) run bash -c 'install -C -t $(CURDIR)/build/bench \
		"$$CARGO_TARGET_DIR/release/reflow-sender"'

# The chart of Documentation/networking/reflow-cost.rst, from the table beside it.
COST = $(CURDIR)/Documentation/networking/reflow-cost
bench-chart: toolbox
	$(Q)cd hw-model && ../$(TOOLBOX) run cargo run --release --locked --quiet -p reflow-chart -- \
		$(COST).csv igb $(COST).svg

bench-model: toolbox
	$(Q)cd hw-model && ../$(TOOLBOX) run cargo bench --locked --quiet -p reflow-bench --bench pipeline \
		-- --quiet

# M=all, M=200 for a sample, or M=flow/database.rs for the mutants of a file.
mutants: toolbox
	$(Q)scripts/mutants $(if $(SEED),--seed $(SEED)) $(M)

lint: toolbox
	$(Q)scripts/lint

clean:
	$(Q)rm -rf build
	$(Q)find drivers -type f \( -false $(BUILT:%=-o -name '%') \) -delete
	$(Q)find . -maxdepth 1 -type f \( -false $(BUILT:%=-o -name '%') \) -delete

help:
	@echo 'make            the module and the device model'
	@echo 'make module     drivers/net/ethernet/reflow/reflow.ko (KDIR=tree for a kernel of your own,'
	@echo '                CLIPPY=1 to check it with clippy, V=1 to see the commands)'
	@echo 'make examples   the examples in the documentation of drivers/net/rust/, compiled'
	@echo 'make sample     drivers/net/rust/sample/sample_nic.ko, the driver of the tutorial'
	@echo 'make model      build/bin/reflow-hw and build/bin/reflow-asm'
	@echo 'make demo       boot a kernel with the device and watch TCP run through it'
	@echo 'make test       all tests; the last line is "N passed, N failed"'
	@echo 'make test-debug the driver in a guest on a debug kernel, which is built once (15 min);'
	@echo '                T=life for some cases, SAN=kcsan for the kernel that finds data races'
	@echo 'make debug      only that kernel and the module for it: scripts/vm --kernel kasan'
	@echo 'make test-hostile  a device that lies, loses and stops, each fault for long (ROUNDS=1000)'
	@echo 'make endurance  up and down, unload and load, resets, hundreds of times (ROUNDS=1000)'
	@echo 'make selftests  the driver tests of the kernel itself, T=queues for one of them,'
	@echo '                T=gro:test.hw_* for some of its cases'
	@echo 'make shell      a shell in a virtual machine that has the device'
	@echo 'scripts/vm CMD  one command in such a machine; see scripts/vm --help'
	@echo 'make claims     which tests prove which claim, and how they ended last'
	@echo 'make fuzz       fuzz the device model, SECONDS=60 for each of its targets'
	@echo 'make bench      instructions of the guest per packet (BENCH="--dut igb" and more)'
	@echo 'make bench-chart  draw the chart in the documentation anew, from its table'
	@echo 'make bench-model  how fast the device model is, as a table'
	@echo 'make mutants    which changes of the model no test notices: M=40 for a sample (SEED=1),'
	@echo '                M=flow/database.rs for a file, M=all'
	@echo 'make lint       clippy, rustfmt, checkpatch, shellcheck, licences, unsafe boundary'
	@echo 'make toolbox    prepare the tools (the others do so by themselves)'
	@echo 'make clean      remove what was built here; scripts/toolbox clean removes the tools'

endif
