// SPDX-License-Identifier: GPL-2.0
/*
 * The receiving process of the benchmark, in the guest. It tells the source at
 * the other end of the wire what to send, reads it, and marks for the counter
 * where measuring begins and ends.
 *
 *	sink symbols
 *	sink bulk|mix FLOWS WARM_MIB MIB	TCP, FLOWS connections
 *	sink udp WARM COUNT			datagrams, read here
 *	sink drop IFINDEX WARM COUNT		datagrams, dropped at tc ingress
 *
 * Prints "measured PACKETS BYTES", as on the wire, for what lay between the
 * marks.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mark.h"

#define SOURCE		"192.0.2.2"
#define CONTROL_PORT	7000	/* where the source takes orders */
#define TCP_PORT	5001
#define UDP_PORT	5002
#define MSS		1448
#define HEADERS		42	/* Ethernet, IP, UDP */
#define DATAGRAM	18	/* payload of a 60-byte frame */
#define MARKER		20	/* payload of the datagrams that are answered */
#define MIB		(1ULL << 20)
#define READ_SIZE	(1 << 18)
#define MAX_FLOWS	1024

static char buffer[READ_SIZE];

static int order_socket(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(CONTROL_PORT) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	inet_pton(AF_INET, SOURCE, &to.sin_addr);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)))
		err(1, "order socket");
	return fd;
}

static void order(const char *text)
{
	int fd = order_socket();

	if (send(fd, text, strlen(text), 0) < 0)
		err(1, "order");
	close(fd);
}

static void order_flows(const char *pattern, long flows)
{
	char text[64];

	snprintf(text, sizeof(text), "%s %ld", pattern, flows);
	order(text);
}

/* A process that nothing but interrupts can hold up. */
static void be_first(void)
{
	struct sched_param first = { .sched_priority = 50 };

	if (sched_setscheduler(0, SCHED_FIFO, &first))
		err(1, "SCHED_FIFO");
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		err(1, "mlockall");
	memset(buffer, 1, sizeof(buffer));
}

/* Keeps count of what was read, and sets the marks. */
struct meter {
	uint64_t warm, until, seen, from;
	bool on;
};

/* Returns true at the end. */
static bool count(struct meter *m, uint64_t n)
{
	m->seen += n;
	if (!m->on && m->seen >= m->warm) {
		m->on = true;
		m->from = m->seen;
		m->until += m->seen;
		MARK(MARK_START);
	} else if (m->on && m->seen >= m->until) {
		MARK(MARK_STOP);
		return true;
	}
	return false;
}

/* TCP ---------------------------------------------------------------------- */

static int listen_tcp(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(TCP_PORT) };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, MAX_FLOWS))
		err(1, "listen");
	return fd;
}

static void read_one(int fd, struct meter *m)
{
	for (;;) {
		ssize_t n = recv(fd, buffer, sizeof(buffer), 0);

		if (n <= 0)
			err(1, "recv");
		if (count(m, n))
			return;
	}
}

static void read_many(const int *fds, long flows, struct meter *m)
{
	struct epoll_event events[64];
	int poll = epoll_create1(0);

	for (long i = 0; i < flows; i++) {
		struct epoll_event e = { .events = EPOLLIN, .data.fd = fds[i] };

		if (epoll_ctl(poll, EPOLL_CTL_ADD, fds[i], &e))
			err(1, "epoll_ctl");
	}
	for (;;) {
		int ready = epoll_wait(poll, events, 64, -1);

		for (int i = 0; i < ready; i++) {
			ssize_t n = recv(events[i].data.fd, buffer, sizeof(buffer), 0);

			if (n <= 0)
				err(1, "recv");
			if (count(m, n))
				return;
		}
	}
}

static void tcp(const char *pattern, long flows, struct meter *m)
{
	struct linger hard = { .l_onoff = 1 };
	struct timeval patience = { .tv_sec = 5 };
	int fds[MAX_FLOWS], listener = listen_tcp(), room = flows > 64 ? 1 << 15 : 1 << 17;
	uint64_t bytes;

	/* Unread data must be small compared with the measured data. */
	setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	if (flows < 1 || flows > MAX_FLOWS)
		errx(2, "1 to %d flows", MAX_FLOWS);
	setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	order_flows(pattern, flows);
	for (long i = 0; i < flows; i++) {
		fds[i] = accept(listener, NULL, NULL);
		if (fds[i] < 0)
			err(1, "accept");
		setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	}
	be_first();
	order("go");
	if (flows == 1)
		read_one(fds[0], m);
	else
		read_many(fds, flows, m);
	bytes = m->seen - m->from;
	order("stop");
	printf("measured %llu %llu\n", (unsigned long long)(bytes / MSS),
	       (unsigned long long)bytes);
}

/* UDP ---------------------------------------------------------------------- */

static int udp_socket(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(UDP_PORT) };
	struct timeval patience = { .tv_sec = 5 };
	int room = 8 << 20, fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)))
		err(1, "UDP socket");
	return fd;
}

/*
 * Reads datagrams and answers markers, which say how many datagrams came before
 * them. With @read_here the datagrams themselves are counted, else the markers'
 * word is taken.
 */
static void udp(struct meter *m, bool read_here)
{
	int answers = order_socket(), fd = udp_socket();

	be_first();
	order_flows("udp", read_here ? 256 : 1024);
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
	order("stop");
	printf("measured %llu %llu\n", (unsigned long long)(m->seen - m->from),
	       (unsigned long long)(m->seen - m->from) * DATAGRAM);
}

/* A program at the device's ingress that drops frames of the datagrams' length. */
static void drop_at(int ifindex)
{
	/* r2 = skb->len; r0 = TCX_DROP; if r2 == 60 goto exit; r0 = TCX_NEXT; exit */
	const struct bpf_insn code[] = {
		{ .code = BPF_LDX | BPF_W | BPF_MEM, .dst_reg = 2, .src_reg = 1,
		  .off = offsetof(struct __sk_buff, len) },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = TCX_DROP },
		{ .code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = 2, .off = 1,
		  .imm = HEADERS + DATAGRAM },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = TCX_NEXT },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr load = {
		.prog_type = BPF_PROG_TYPE_SCHED_CLS,
		.expected_attach_type = BPF_TCX_INGRESS,
		.insns = (uintptr_t)code,
		.insn_cnt = sizeof(code) / sizeof(*code),
		.license = (uintptr_t)"GPL",
	};
	union bpf_attr attach = {
		.link_create.target_ifindex = ifindex,
		.link_create.attach_type = BPF_TCX_INGRESS,
	};

	attach.link_create.prog_fd = syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof(load));
	if ((int)attach.link_create.prog_fd < 0)
		err(1, "loading the program");
	/* The link holds as long as this process. */
	if (syscall(SYS_bpf, BPF_LINK_CREATE, &attach, sizeof(attach)) < 0)
		err(1, "attaching the program");
}

int main(int argc, char **argv)
{
	struct meter m = { 0 };

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 2 && !strcmp(argv[1], "symbols")) {
		MARK(MARK_SYMBOLS);
		return 0;
	}
	if (argc == 5 && (!strcmp(argv[1], "bulk") || !strcmp(argv[1], "mix"))) {
		m.warm = atoll(argv[3]) * MIB;
		m.until = atoll(argv[4]) * MIB;
		tcp(argv[1], atol(argv[2]), &m);
		return 0;
	}
	if (argc == 4 && !strcmp(argv[1], "udp")) {
		m.warm = atoll(argv[2]);
		m.until = atoll(argv[3]);
		udp(&m, true);
		return 0;
	}
	if (argc == 5 && !strcmp(argv[1], "drop")) {
		m.warm = atoll(argv[3]);
		m.until = atoll(argv[4]);
		drop_at(atoi(argv[2]));
		udp(&m, false);
		return 0;
	}
	errx(2, "see the top of sink.c for what it is told");
}
