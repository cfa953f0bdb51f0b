// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's process of the benchmark. It tells the source at the other end of
 * the wire what to send, reads it, or sends itself, and marks for the counter
 * where measuring begins and ends.
 *
 *	sink symbols
 *	sink MODE WARM AMOUNT [ARGUMENT...]
 *
 * Counting begins after WARM and ends after AMOUNT more; the modes and their
 * units are in sink.h. Prints "measured PACKETS BYTES COPIED" for what lay between the
 * marks, see report().
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mark.h"
#include "sink.h"

#define CONTROL_PORT	7000	/* where the source takes orders */

char buffer[READ_SIZE];

static const struct mode {
	const char *name;
	int arguments;
	uint64_t unit;
	mode_fn run;
} modes[] = {
	{ "bulk", 1, MIB, tcp_bulk },
	{ "long", 1, MIB, tcp_long },
	{ "giant", 1, MIB, tcp_giant },
	{ "mix", 3, MIB, tcp_mix },
	{ "send", 1, MIB, tcp_send },
	{ "map", 0, MIB, tcp_map },
	{ "uring", 2, MIB, tcp_uring },
	{ "exchange", 1, 1, tcp_exchange },
	{ "udp-read", 0, 1, udp_read },
	{ "udp-drop", 2, 1, udp_drop },
	{ "udp-send", 0, 1, udp_send },
};

int order_socket(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(CONTROL_PORT) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	inet_pton(AF_INET, SOURCE, &to.sin_addr);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)))
		err(1, "order socket");
	return fd;
}

void order_text(const char *text)
{
	int fd = order_socket();

	if (send(fd, text, strlen(text), 0) < 0)
		err(1, "order");
	close(fd);
}

void be_first(void)
{
	struct sched_param first = { .sched_priority = 50 };

	if (sched_setscheduler(0, SCHED_FIFO, &first))
		err(1, "SCHED_FIFO");
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		err(1, "mlockall");
	memset(buffer, 1, sizeof(buffer));
}

long to_number(const char *text, long least, long most)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (*end || n < least || n > most)
		errx(2, "%s is not a number from %ld to %ld", text, least, most);
	return n;
}

bool count(struct meter *m, uint64_t n)
{
	m->seen += n;
	if (!m->on && m->seen >= m->warm) {
		m->on = true;
		m->from = m->seen;
		MARK(MARK_START);
	} else if (m->on && m->seen - m->from >= m->amount) {
		MARK(MARK_STOP);
		return true;
	}
	return false;
}

void report(uint64_t packets, uint64_t bytes, uint64_t copied)
{
	order("stop");
	printf("measured %llu %llu %llu\n", (unsigned long long)packets,
	       (unsigned long long)bytes, (unsigned long long)copied);
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 2 && !strcmp(argv[1], "symbols")) {
		MARK(MARK_SYMBOLS);
		return 0;
	}
	for (size_t i = 0; argc > 3 && i < sizeof(modes) / sizeof(*modes); i++) {
		const struct mode *mode = &modes[i];
		struct meter m;

		if (strcmp(argv[1], mode->name))
			continue;
		if (argc != 4 + mode->arguments)
			errx(2, "%s takes %d arguments of its own", mode->name, mode->arguments);
		m = (struct meter) {
			.warm = to_number(argv[2], 0, 1L << 30) * mode->unit,
			.amount = to_number(argv[3], 1, 1L << 30) * mode->unit,
		};
		mode->run(&m, argv + 4);
		return 0;
	}
	errx(2, "see the top of sink.c for what it is told");
}
