// SPDX-License-Identifier: GPL-2.0
/*
 * Functions of the guest's kernel, see symbols.h.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "symbols.h"

static int by_address(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	return (x->addr > y->addr) - (x->addr < y->addr);
}

bool symbols_read(struct symbols *symbols, const char *path)
{
	FILE *from = fopen(path, "r");
	size_t room = 0, n = 0;
	char line[1024];

	if (!from)
		return false;
	while (fgets(line, sizeof(line), from)) {
		struct symbol *s;
		char type, module[64] = "", name[512];

		if (n == room) {
			room = room ? 2 * room : 1 << 18;
			symbols->all = realloc(symbols->all, room * sizeof(*symbols->all));
			if (!symbols->all)
				abort();
		}
		s = &symbols->all[n];
		if (sscanf(line, "%" SCNx64 " %c %511s %63s", &s->addr, &type, name, module) < 3 ||
		    !strchr("tTwW", type))
			continue;
		s->count = 0;
		if (asprintf(&s->name, "%s%s%s", name, module[0] ? " " : "", module) < 0)
			abort();
		n++;
	}
	fclose(from);
	qsort(symbols->all, n, sizeof(*symbols->all), by_address);
	symbols->count = n;
	return true;
}

struct symbol *symbol_at(const struct symbols *symbols, uint64_t addr)
{
	size_t lo = 0, hi = symbols->count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (symbols->all[mid].addr <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo ? &symbols->all[lo - 1] : NULL;
}

/* A copy has a suffix; ".cold" is no copy, but what a function seldom does. */
static bool is_named(const struct symbol *symbol, const char *name)
{
	size_t len = strlen(name);
	const char *rest = symbol->name + len;

	return !strncmp(symbol->name, name, len) &&
	       (!*rest || *rest == ' ' || (*rest == '.' && !strstr(rest, ".cold")));
}

bool symbol_find(const struct symbols *symbols, const char *name, uint64_t range[2])
{
	for (size_t i = 0; i + 1 < symbols->count; i++) {
		size_t next = i + 1;

		if (!is_named(&symbols->all[i], name))
			continue;
		while (next + 1 < symbols->count &&
		       symbols->all[next].addr == symbols->all[i].addr)
			next++;
		range[0] = symbols->all[i].addr;
		range[1] = symbols->all[next].addr - 1;
		return true;
	}
	return false;
}
