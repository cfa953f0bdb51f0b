// SPDX-License-Identifier: GPL-2.0
/*
 * A plugin of QEMU's emulator that counts the instructions which a guest's
 * kernel executes between two marks.
 *
 * A mark is a no-op that a program of the guest executes, see mark.h. Counted
 * is what runs in the kernel's half of the address space, on each CPU by
 * itself, without
 *
 * - the idle task, until it is interrupted or switches to another task;
 * - the tick: the local timer's interrupt, and of the softirqs on its way out
 *   all but those of networking.
 *
 * A string instruction with a repeat prefix counts as one instruction for each
 * 8 bytes that it writes (reads, if it only reads); every other instruction
 * counts as one. A block of instructions that a fault cuts short counts whole.
 *
 * Counted beside the instructions are calls of functions, and accesses to device
 * registers: by moves of up to 32 bits in modules. What modules access through
 * functions of the kernel itself is to be counted as calls of these.
 *
 * Plugin arguments: symbols=FILE, a copy of the guest's /proc/kallsyms that is
 * there when MARK_SYMBOLS is executed; out=FILE; calls=NAME:NAME..., functions
 * whose calls are counted. For each pair of marks the file gets a line "window N
 * counted idle tick user", then "registers READS WRITES", a line "call COUNT
 * NAME" for each of those functions that the kernel has, and "symbol COUNT NAME"
 * for each function in which instructions were counted.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mark.h"
#include "plugin.h"
#include "symbols.h"

#define MAX_CPUS	8
#define MAX_DEPTH	16
#define MAX_CALLS	64
#define KERNEL_HALF	(1ULL << 63)
#define MODULES		0xffffffffc0000000ULL	/* and what BPF programs become */

/* Activity of a CPU, for counting. */
enum doing { COUNTED, IDLE, TICK, USER, DOINGS };

/* Blocks of code at which that changes. */
enum role {
	ROLE_NONE,
	ROLE_IDLE,		/* in do_idle() */
	ROLE_SWITCH,		/* __switch_to() begins */
	ROLE_SOFTIRQ,		/* in handle_softirqs() */
	ROLE_NETWORK,		/* net_rx_action() or net_tx_action() begins */
	ROLE_USER,		/* not in the kernel's half */
};

/* Work of a CPU in a block. */
struct tally {
	uint64_t runs[DOINGS];
	uint64_t bytes[DOINGS];	/* moved by its string instructions */
};

/* A translated block of instructions. */
struct block {
	struct block *next;
	uint64_t addr;
	uint32_t insns;		/* without repeated string instructions */
	enum role role;
	bool returns;		/* it ends with IRET */
	struct tally cpus[];
};

struct cpu {
	enum doing doing;
	int depth;
	struct {
		enum doing before;
		bool tick;
	} stack[MAX_DEPTH];
	uint64_t registers[2];	/* reads and writes */
};

/* A function whose calls are counted. */
struct call {
	char *name;
	uint64_t addr;
	uint64_t count;
};

static struct {
	const char *symbols_path;
	FILE *out;
	pthread_mutex_t lock;	/* of blocks and symbols */
	struct block *blocks;
	struct symbols symbols;
	struct call calls[MAX_CALLS];
	size_t call_count;
	uint64_t idle[2], softirq[2], switch_to, rx_action, tx_action, tick_entry;
	struct cpu cpus[MAX_CPUS];
	int cpu_count;
	bool on;
	unsigned int windows;
} state = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Symbols ----------------------------------------------------------------- */

/* Sets @range to the addresses of a function without which nothing can be counted. */
static void need(const char *name, uint64_t range[2])
{
	if (symbol_find(&state.symbols, name, range))
		return;
	fprintf(stderr, "counter: the guest's kernel has no %s\n", name);
	fprintf(state.out, "missing %s\n", name);
}

static enum role role_of(uint64_t addr)
{
	if (!(addr & KERNEL_HALF))
		return ROLE_USER;
	if (addr >= state.idle[0] && addr <= state.idle[1])
		return ROLE_IDLE;
	if (addr >= state.softirq[0] && addr <= state.softirq[1])
		return ROLE_SOFTIRQ;
	if (addr == state.switch_to)
		return ROLE_SWITCH;
	if (addr == state.rx_action || addr == state.tx_action)
		return ROLE_NETWORK;
	return ROLE_NONE;
}

static void load_symbols(void)
{
	uint64_t range[2];

	if (!symbols_read(&state.symbols, state.symbols_path)) {
		fprintf(stderr, "counter: %s cannot be read\n", state.symbols_path);
		return;
	}
	need("do_idle", state.idle);
	need("handle_softirqs", state.softirq);
	need("__switch_to", range);
	state.switch_to = range[0];
	need("net_rx_action", range);
	state.rx_action = range[0];
	need("net_tx_action", range);
	state.tx_action = range[0];
	need("asm_sysvec_apic_timer_interrupt", range);
	state.tick_entry = range[0];
	for (size_t i = 0; i < state.call_count; i++) {
		struct call *call = &state.calls[i];

		if (symbol_find(&state.symbols, call->name, range))
			call->addr = range[0];
	}
	for (struct block *b = state.blocks; b; b = b->next)
		b->role = role_of(b->addr);
}

/* Activity of a CPU ------------------------------------------------------- */

static void enter_role(struct cpu *cpu, enum role role)
{
	bool tick = cpu->depth && cpu->stack[cpu->depth - 1].tick;

	switch (role) {
	case ROLE_NONE:
		break;
	case ROLE_IDLE:
		cpu->depth = 0;
		cpu->doing = IDLE;
		break;
	case ROLE_SWITCH:
		/* From here on another task runs, whatever this one was in. */
		cpu->depth = 0;
		cpu->doing = COUNTED;
		break;
	case ROLE_SOFTIRQ:
		cpu->doing = tick ? TICK : COUNTED;
		break;
	case ROLE_NETWORK:
		cpu->doing = COUNTED;
		break;
	case ROLE_USER:
		cpu->depth = 0;
		cpu->doing = USER;
		break;
	}
}

static void on_block(unsigned int index, void *data)
{
	struct cpu *cpu = &state.cpus[index % MAX_CPUS];
	struct block *block = data;

	if (block->role == ROLE_NONE && cpu->doing == USER)
		cpu->doing = COUNTED;	/* a system call */
	else if (block->role != ROLE_NONE)
		enter_role(cpu, block->role);
	if (state.on)
		block->cpus[cpu - state.cpus].runs[cpu->doing]++;
	if (block->returns && cpu->depth)
		cpu->doing = cpu->stack[--cpu->depth].before;
}

/* An interrupt or an exception: what was done goes on after IRET. */
static void on_discontinuity(unsigned int index, int type, uint64_t from,
			     uint64_t to, void *data)
{
	struct cpu *cpu = &state.cpus[index % MAX_CPUS];
	bool interrupt = type == QEMU_PLUGIN_DISCON_INTERRUPT;
	bool tick = interrupt && to == state.tick_entry && to;

	(void)from;
	(void)data;
	if (cpu->depth < MAX_DEPTH) {
		cpu->stack[cpu->depth].before = cpu->doing;
		cpu->stack[cpu->depth].tick = tick;
		cpu->depth++;
	}
	if (tick)
		cpu->doing = TICK;
	else if (interrupt || cpu->doing == USER)
		cpu->doing = COUNTED;
}

static void on_string(unsigned int index, qemu_plugin_meminfo_t info,
		      uint64_t addr, void *data)
{
	struct cpu *cpu = &state.cpus[index % MAX_CPUS];
	struct block *block = data;

	(void)addr;
	if (state.on)
		block->cpus[cpu - state.cpus].bytes[cpu->doing] +=
			1U << qemu_plugin_mem_size_shift(info);
}

static void on_access(unsigned int index, qemu_plugin_meminfo_t info,
		      uint64_t addr, void *data)
{
	struct cpu *cpu = &state.cpus[index % MAX_CPUS];
	struct qemu_plugin_hwaddr *at;

	(void)data;
	if (!state.on)
		return;
	at = qemu_plugin_get_hwaddr(info, addr);
	if (at && qemu_plugin_hwaddr_is_io(at))
		cpu->registers[qemu_plugin_mem_is_store(info)]++;
}

/* Marks ------------------------------------------------------------------- */

static uint64_t cost(const struct block *b, enum doing doing)
{
	uint64_t total = 0;

	for (int i = 0; i < state.cpu_count; i++)
		total += b->cpus[i].runs[doing] * b->insns + b->cpus[i].bytes[doing] / 8;
	return total;
}

static uint64_t runs(const struct block *b)
{
	uint64_t total = 0;

	for (int i = 0; i < state.cpu_count; i++)
		for (int doing = 0; doing < DOINGS; doing++)
			total += b->cpus[i].runs[doing];
	return total;
}

static int by_count(const void *a, const void *b)
{
	const struct symbol *const *x = a, *const *y = b;

	return ((*x)->count < (*y)->count) - ((*x)->count > (*y)->count);
}

static void report_profile(void)
{
	struct symbol **sorted = calloc(state.symbols.count, sizeof(*sorted));
	size_t n = 0;

	if (!sorted)
		return;
	for (size_t i = 0; i < state.symbols.count; i++)
		if (state.symbols.all[i].count)
			sorted[n++] = &state.symbols.all[i];
	qsort(sorted, n, sizeof(*sorted), by_count);
	for (size_t i = 0; i < n; i++) {
		fprintf(state.out, "symbol %" PRIu64 " %s\n", sorted[i]->count,
			sorted[i]->name);
		sorted[i]->count = 0;
	}
	free(sorted);
}

static void report_calls(void)
{
	uint64_t registers[2] = { 0 };

	for (int i = 0; i < state.cpu_count; i++)
		for (int write = 0; write < 2; write++)
			registers[write] += state.cpus[i].registers[write];
	fprintf(state.out, "registers %" PRIu64 " %" PRIu64 "\n", registers[0], registers[1]);
	for (size_t i = 0; i < state.call_count; i++) {
		struct call *call = &state.calls[i];

		if (call->addr)
			fprintf(state.out, "call %" PRIu64 " %s\n", call->count, call->name);
		call->count = 0;
	}
}

static void add_call(const struct block *block)
{
	for (size_t i = 0; i < state.call_count; i++)
		if (state.calls[i].addr == block->addr)
			state.calls[i].count += runs(block);
}

static void report(void)
{
	uint64_t total[DOINGS] = { 0 };

	for (struct block *b = state.blocks; b; b = b->next) {
		struct symbol *s;

		for (int i = 0; i < DOINGS; i++)
			total[i] += cost(b, i);
		s = cost(b, COUNTED) ? symbol_at(&state.symbols, b->addr) : NULL;
		if (s)
			s->count += cost(b, COUNTED);
		add_call(b);
	}
	fprintf(state.out, "window %u %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
		state.windows++, total[COUNTED], total[IDLE], total[TICK],
		total[USER]);
	report_calls();
	report_profile();
	fflush(state.out);
}

static void begin(void)
{
	for (struct block *b = state.blocks; b; b = b->next)
		memset(b->cpus, 0, state.cpu_count * sizeof(*b->cpus));
	for (int i = 0; i < state.cpu_count; i++)
		memset(state.cpus[i].registers, 0, sizeof(state.cpus[i].registers));
	state.on = true;
}

static void on_mark(unsigned int index, void *data)
{
	(void)index;
	pthread_mutex_lock(&state.lock);
	switch ((uintptr_t)data) {
	case MARK_SYMBOLS:
		load_symbols();
		break;
	case MARK_START:
		begin();
		break;
	case MARK_STOP:
		state.on = false;
		report();
		break;
	}
	pthread_mutex_unlock(&state.lock);
}

/* Translation ------------------------------------------------------------- */

/* Whether an instruction is a string instruction that repeats. */
static bool repeats(const uint8_t *code, size_t len, bool *reads)
{
	bool prefix = false;
	size_t i = 0;

	for (; i < len; i++) {
		if (code[i] == 0xf2 || code[i] == 0xf3)
			prefix = true;
		else if (code[i] != 0x66 && code[i] != 0x67 && (code[i] & 0xf0) != 0x40)
			break;
	}
	if (!prefix || i + 1 != len)
		return false;
	*reads = code[i] == 0xa6 || code[i] == 0xa7 || (code[i] >= 0xac && code[i] <= 0xaf);
	return *reads || code[i] == 0xa4 || code[i] == 0xa5 || code[i] == 0xaa ||
	       code[i] == 0xab;
}

/* Whether an instruction moves up to 32 bits between memory and a register, or stores them. */
static bool moves(const uint8_t *code, size_t len)
{
	size_t i = 0;

	while (i < len && (code[i] == 0x66 || (code[i] & 0xf8) == 0x40))
		i++;
	return i < len && ((code[i] >= 0x88 && code[i] <= 0x8b) || code[i] == 0xc7);
}

static void instrument(struct block *block, struct qemu_plugin_insn *insn)
{
	static const uint8_t iretq[] = { 0x48, 0xcf };
	static const uint8_t mark[] = MARK_BYTES;
	uint8_t code[16];
	size_t len = qemu_plugin_insn_data(insn, code, sizeof(code));
	bool reads = false;

	if (len == sizeof(iretq) && !memcmp(code, iretq, len))
		block->returns = true;
	if (len == sizeof(mark) + 1 && !memcmp(code, mark, sizeof(mark)))
		qemu_plugin_register_vcpu_insn_exec_cb(insn, on_mark,
						       QEMU_PLUGIN_CB_NO_REGS,
						       (void *)(uintptr_t)code[sizeof(mark)]);
	if (repeats(code, len, &reads))
		qemu_plugin_register_vcpu_mem_cb(insn, on_string,
						 QEMU_PLUGIN_CB_NO_REGS,
						 reads ? QEMU_PLUGIN_MEM_R : QEMU_PLUGIN_MEM_W,
						 block);
	else
		block->insns++;
	if (block->addr >= MODULES && moves(code, len))
		qemu_plugin_register_vcpu_mem_cb(insn, on_access, QEMU_PLUGIN_CB_NO_REGS,
						 QEMU_PLUGIN_MEM_RW, NULL);
}

static void on_translation(struct qemu_plugin_tb *tb, void *data)
{
	size_t n = qemu_plugin_tb_n_insns(tb);
	struct block *block = calloc(1, sizeof(*block) + state.cpu_count * sizeof(*block->cpus));

	(void)data;
	if (!block)
		abort();
	block->addr = qemu_plugin_tb_vaddr(tb);
	for (size_t i = 0; i < n; i++)
		instrument(block, qemu_plugin_tb_get_insn(tb, i));
	pthread_mutex_lock(&state.lock);
	block->role = role_of(block->addr);
	block->next = state.blocks;
	state.blocks = block;
	pthread_mutex_unlock(&state.lock);
	qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, QEMU_PLUGIN_CB_NO_REGS,
					     block);
}

static void take_calls(const char *names)
{
	char *copy = strdup(names), *rest = copy, *name;

	while (copy && (name = strsep(&rest, ":")) && state.call_count < MAX_CALLS)
		state.calls[state.call_count++].name = name;
}

PLUGIN_EXPORT int qemu_plugin_version = PLUGIN_API;

PLUGIN_EXPORT int qemu_plugin_install(uint64_t id, const struct qemu_info *info,
				      int argc, char **argv)
{
	if (!info->system_emulation || strcmp(info->target_name, "x86_64")) {
		fprintf(stderr, "counter: only for the system emulator of x86_64\n");
		return -1;
	}
	if (info->system.max_vcpus > MAX_CPUS) {
		fprintf(stderr, "counter: for %d CPUs at most\n", MAX_CPUS);
		return -1;
	}
	state.cpu_count = info->system.max_vcpus;
	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "symbols=", 8))
			state.symbols_path = argv[i] + 8;
		else if (!strncmp(argv[i], "out=", 4))
			state.out = fopen(argv[i] + 4, "w");
		else if (!strncmp(argv[i], "calls=", 6))
			take_calls(argv[i] + 6);
	}
	if (!state.symbols_path || !state.out) {
		fprintf(stderr, "counter: symbols=FILE and out=FILE are needed\n");
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation, NULL);
	qemu_plugin_register_vcpu_discon_cb(id, QEMU_PLUGIN_DISCON_INTERRUPT |
					    QEMU_PLUGIN_DISCON_EXCEPTION,
					    on_discontinuity, NULL);
	return 0;
}
