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
 * Plugin arguments: symbols=FILE, a copy of the guest's /proc/kallsyms that is
 * there when MARK_SYMBOLS is executed; out=FILE, which gets a line "window N
 * counted idle tick user" for each pair of marks, followed by "symbol COUNT
 * NAME" for each function, if profile=on.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mark.h"
#include "plugin.h"

#define MAX_CPUS	8
#define MAX_DEPTH	16
#define KERNEL_HALF	(1ULL << 63)

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

/* A translated block of instructions. */
struct block {
	struct block *next;
	uint64_t addr;
	uint32_t insns;		/* without repeated string instructions */
	enum role role;
	bool returns;		/* it ends with IRET */
	uint64_t runs[DOINGS];
	uint64_t bytes[DOINGS];	/* moved by its string instructions */
};

struct cpu {
	enum doing doing;
	int depth;
	struct {
		enum doing before;
		bool tick;
	} stack[MAX_DEPTH];
};

struct symbol {
	uint64_t addr;
	uint64_t count;
	char name[72];
};

static struct {
	const char *symbols_path;
	bool profile;
	FILE *out;
	pthread_mutex_t lock;	/* of blocks and symbols */
	struct block *blocks;
	struct symbol *symbols;
	size_t symbol_count;
	uint64_t idle[2], softirq[2], switch_to, rx_action, tx_action, tick_entry;
	struct cpu cpus[MAX_CPUS];
	bool on;
	unsigned int windows;
} state = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Symbols ----------------------------------------------------------------- */

static int by_address(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	return (x->addr > y->addr) - (x->addr < y->addr);
}

static void read_symbols(FILE *from)
{
	size_t room = 0, n = 0;
	char line[512];

	while (fgets(line, sizeof(line), from)) {
		struct symbol *s;
		char type, module[64] = "", name[256];

		if (n == room) {
			room = room ? 2 * room : 1 << 18;
			state.symbols = realloc(state.symbols,
						room * sizeof(*state.symbols));
			if (!state.symbols)
				abort();
		}
		s = &state.symbols[n];
		if (sscanf(line, "%" SCNx64 " %c %255s %63s", &s->addr, &type,
			   name, module) < 3 || !strchr("tTwW", type))
			continue;
		s->count = 0;
		snprintf(s->name, sizeof(s->name), "%.50s%s%.18s", name,
			 module[0] ? " " : "", module);
		n++;
	}
	qsort(state.symbols, n, sizeof(*state.symbols), by_address);
	state.symbol_count = n;
}

/* The function that @addr is in: the last of those that begin before it. */
static struct symbol *symbol_at(uint64_t addr)
{
	size_t lo = 0, hi = state.symbol_count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (state.symbols[mid].addr <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo ? &state.symbols[lo - 1] : NULL;
}

/* Sets @range to the first and the last address of a function. */
static void find(const char *name, uint64_t range[2])
{
	for (size_t i = 0; i + 1 < state.symbol_count; i++) {
		size_t next = i + 1;

		if (strcmp(state.symbols[i].name, name))
			continue;
		while (next + 1 < state.symbol_count &&
		       state.symbols[next].addr == state.symbols[i].addr)
			next++;
		range[0] = state.symbols[i].addr;
		range[1] = state.symbols[next].addr - 1;
		return;
	}
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
	FILE *from = fopen(state.symbols_path, "r");
	uint64_t range[2];

	if (!from) {
		fprintf(stderr, "counter: %s cannot be read\n", state.symbols_path);
		return;
	}
	read_symbols(from);
	fclose(from);
	find("do_idle", state.idle);
	find("handle_softirqs", state.softirq);
	find("__switch_to", range);
	state.switch_to = range[0];
	find("net_rx_action", range);
	state.rx_action = range[0];
	find("net_tx_action", range);
	state.tx_action = range[0];
	find("asm_sysvec_apic_timer_interrupt", range);
	state.tick_entry = range[0];
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
		block->runs[cpu->doing]++;
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
		block->bytes[cpu->doing] += 1U << qemu_plugin_mem_size_shift(info);
}

/* Marks ------------------------------------------------------------------- */

static uint64_t cost(const struct block *b, enum doing doing)
{
	return b->runs[doing] * b->insns + b->bytes[doing] / 8;
}

static int by_count(const void *a, const void *b)
{
	const struct symbol *const *x = a, *const *y = b;

	return ((*x)->count < (*y)->count) - ((*x)->count > (*y)->count);
}

static void report_profile(void)
{
	struct symbol **sorted = calloc(state.symbol_count, sizeof(*sorted));
	size_t n = 0;

	if (!sorted)
		return;
	for (size_t i = 0; i < state.symbol_count; i++)
		if (state.symbols[i].count)
			sorted[n++] = &state.symbols[i];
	qsort(sorted, n, sizeof(*sorted), by_count);
	for (size_t i = 0; i < n; i++) {
		fprintf(state.out, "symbol %" PRIu64 " %s\n", sorted[i]->count,
			sorted[i]->name);
		sorted[i]->count = 0;
	}
	free(sorted);
}

static void report(void)
{
	uint64_t total[DOINGS] = { 0 };

	for (struct block *b = state.blocks; b; b = b->next) {
		struct symbol *s;

		for (int i = 0; i < DOINGS; i++)
			total[i] += cost(b, i);
		s = state.profile && cost(b, COUNTED) ? symbol_at(b->addr) : NULL;
		if (s)
			s->count += cost(b, COUNTED);
	}
	fprintf(state.out, "window %u %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
		state.windows++, total[COUNTED], total[IDLE], total[TICK],
		total[USER]);
	if (state.profile)
		report_profile();
	fflush(state.out);
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
		for (struct block *b = state.blocks; b; b = b->next) {
			memset(b->runs, 0, sizeof(b->runs));
			memset(b->bytes, 0, sizeof(b->bytes));
		}
		state.on = true;
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
}

static void on_translation(struct qemu_plugin_tb *tb, void *data)
{
	size_t n = qemu_plugin_tb_n_insns(tb);
	struct block *block = calloc(1, sizeof(*block));

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

PLUGIN_EXPORT int qemu_plugin_version = PLUGIN_API;

PLUGIN_EXPORT int qemu_plugin_install(uint64_t id, const struct qemu_info *info,
				      int argc, char **argv)
{
	if (!info->system_emulation || strcmp(info->target_name, "x86_64")) {
		fprintf(stderr, "counter: only for the system emulator of x86_64\n");
		return -1;
	}
	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "symbols=", 8))
			state.symbols_path = argv[i] + 8;
		else if (!strncmp(argv[i], "out=", 4))
			state.out = fopen(argv[i] + 4, "w");
		else if (!strcmp(argv[i], "profile=on"))
			state.profile = true;
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
