/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Marks: a no-op of 8 bytes whose displacement no compiler would choose, put
 * into a program of the guest and recognised by the counter.
 */
#ifndef _BENCH_MARK_H
#define _BENCH_MARK_H

/* nopl 0x??57464c(%rax,%rax,1): all bytes but the last, which is the mark. */
#define MARK_BYTES	{ 0x0f, 0x1f, 0x84, 0x00, 0x4c, 0x46, 0x57 }

#define MARK_SYMBOLS	0x01	/* the copy of /proc/kallsyms is there */
#define MARK_START	0x02	/* counting begins */
#define MARK_STOP	0x03	/* counting ends, the window is reported */

#define MARK_TEXT(n)	#n
#define mark(n)								\
	({								\
		asm volatile(".byte 0x0f, 0x1f, 0x84, 0x00, 0x4c, 0x46, 0x57, " \
			     MARK_TEXT(n) ::: "memory");		\
	})
#define MARK(n)		mark(n)

#endif /* _BENCH_MARK_H */
