/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Parts of the guest's process of the benchmark. Each way of receiving or
 * sending is a function that is given a meter and its own arguments.
 */
#ifndef _BENCH_SINK_H
#define _BENCH_SINK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define SOURCE		"192.0.2.2"
#define TCP_PORT	5001
#define UDP_PORT	5002
#define DISCARD_PORT	5003	/* nobody at the other end of the wire looks at it */
#define MSS		1448
#define BURST		44	/* segments */
#define LONG_BURST	127
#define HEADERS		42	/* Ethernet, IP, UDP */
#define DATAGRAM	18	/* payload of a 60-byte frame */
#define MIB		(1ULL << 20)
#define READ_SIZE	(1 << 18)
#define MAX_FLOWS	1024

extern char buffer[READ_SIZE];

/* How much is done before counting begins and while it lasts. */
struct meter {
	uint64_t warm, amount, seen, from;
	bool on;
};

/* Keeps count of what was done, and sets the marks. Returns true at the end. */
bool count(struct meter *m, uint64_t n);
/* Says what lay between the marks; @copied bytes are those that were meant not to be. */
void report(uint64_t packets, uint64_t bytes, uint64_t copied);

/* Orders for the other end of the wire; see hw-model/crates/sender/src/order.rs. */
int order_socket(void);
void order_text(const char *text);
#define order(...)							\
	do {								\
		char text[128];						\
		snprintf(text, sizeof(text), __VA_ARGS__);		\
		order_text(text);					\
	} while (0)

/* Makes this a process that nothing but interrupts can hold up. */
void be_first(void);

/* Reads a number that lies between two others, or ends the process. */
long to_number(const char *text, long least, long most);

typedef void (*mode_fn)(struct meter *m, char **arguments);

/* sink_tcp.c; amounts are in MiB, those of exchange in rounds. */
void tcp_bulk(struct meter *m, char **arguments);	/* FLOWS */
void tcp_long(struct meter *m, char **arguments);	/* FLOWS */
void tcp_giant(struct meter *m, char **arguments);	/* FLOWS */
void tcp_mix(struct meter *m, char **arguments);	/* FLOWS WINDOW step|batch */
void tcp_send(struct meter *m, char **arguments);	/* FLOWS */
void tcp_exchange(struct meter *m, char **arguments);	/* SIZE */

/*
 * Receives bursts on one connection with functions of the caller: @open is given it
 * before anything is sent, @some waits for a part of the bytes that are left.
 */
void tcp_receive_one(struct meter *m, void (*open)(int fd),
		     uint64_t (*some)(int fd, uint64_t left), const uint64_t *copied);

/* sink_zc.c; amounts are in MiB. */
void tcp_map(struct meter *m, char **arguments);
void tcp_uring(struct meter *m, char **arguments);	/* IFNAME QUEUE */

/* sink_udp.c; amounts are in datagrams. */
void udp_read(struct meter *m, char **arguments);
void udp_drop(struct meter *m, char **arguments);	/* tcx|xdp IFNAME */
void udp_send(struct meter *m, char **arguments);

/* sink_bpf.c: drops frames of the datagrams' length as long as the process lives. */
void drop_at(const char *hook, const char *device);
/* Drivers that set rings up anew may lose the link for a while. */
void wait_for_carrier(const char *device);

#endif /* _BENCH_SINK_H */
