/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Functions of the guest's kernel, from a copy of its /proc/kallsyms.
 */
#ifndef _BENCH_SYMBOLS_H
#define _BENCH_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct symbol {
	uint64_t addr;
	uint64_t count;		/* for the profile */
	char *name;		/* with a blank and the module in brackets, if it is in one */
};

/* Sorted by address. */
struct symbols {
	struct symbol *all;
	size_t count;
};

/* Returns false if the file cannot be read. */
bool symbols_read(struct symbols *symbols, const char *path);

/* The function that @addr is in: the last of those that begin before it, or NULL. */
struct symbol *symbol_at(const struct symbols *symbols, uint64_t addr);

/*
 * Sets @range to the first and the last address of a function, or of the copy that
 * the compiler made of it for its callers. Returns false if there is none.
 */
bool symbol_find(const struct symbols *symbols, const char *name, uint64_t range[2]);

#endif /* _BENCH_SYMBOLS_H */
