// SPDX-License-Identifier: GPL-2.0
/*
 * UDP: datagrams that make the shortest frames.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "sink.h"

#define MARKER		20	/* payload of the datagrams that are answered */

static int udp_socket(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(UDP_PORT) };
	struct timeval patience = { .tv_sec = 30 };
	int room = 8 << 20, fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)))
		err(1, "UDP socket");
	return fd;
}

static void report_datagrams(const struct meter *m)
{
	report(m->seen - m->from, (m->seen - m->from) * DATAGRAM, 0);
}

/*
 * Reads datagrams and answers markers, which say how many datagrams came before
 * them. With @read_here the datagrams themselves are counted, else the markers'
 * word is taken.
 */
static void receive(struct meter *m, bool read_here)
{
	int answers = order_socket(), fd = udp_socket();

	be_first();
	order("udp %d", read_here ? 256 : 1024);
	for (;;) {
		ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
		uint32_t before;

		if (n < 0)
			err(1, "recv");
		if (n == MARKER)
			memcpy(&before, buffer, sizeof(before));
		/* Before the answer: after it what is counted next may be here. */
		if (read_here ? count(m, 1) :
		    n == MARKER && count(m, 1 + ntohl(before)))
			break;
		if (n == MARKER && send(answers, "more", 4, 0) < 0)
			err(1, "answer");
	}
	report_datagrams(m);
}

void udp_read(struct meter *m, char **arguments)
{
	(void)arguments;
	receive(m, true);
}

void udp_drop(struct meter *m, char **arguments)
{
	drop_at(arguments[0], arguments[1]);
	receive(m, false);
}

void udp_send(struct meter *m, char **arguments)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(DISCARD_PORT) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	(void)arguments;
	inet_pton(AF_INET, SOURCE, &to.sin_addr);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)))
		err(1, "UDP socket");
	be_first();
	do {
		if (send(fd, buffer, DATAGRAM, 0) != DATAGRAM)
			err(1, "send");
	} while (!count(m, 1));
	report_datagrams(m);
}
