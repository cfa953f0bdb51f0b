// SPDX-License-Identifier: GPL-2.0
/*
 * TCP without a copy: the pages of a socket mapped, or a queue of the device that
 * fills memory of this process. The data itself is not looked at.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <linux/io_uring/zcrx.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <linux/tcp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sink.h"

#define PAGE		4096

/* Bytes that had to be copied after all. */
static uint64_t copied;

/* TCP_ZEROCOPY_RECEIVE ----------------------------------------------------- */

#define WINDOW		(1 << 20)
#define ENOUGH		(1 << 16)	/* bytes that are waited for */

static void *window;

static void open_window(int fd)
{
	int enough = ENOUGH;

	munlockall();
	window = mmap(NULL, WINDOW, PROT_READ, MAP_SHARED, fd, 0);
	if (window == MAP_FAILED ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &enough, sizeof(enough)))
		err(1, "mapping the socket");
}

static uint64_t map_some(int fd, uint64_t left)
{
	struct tcp_zerocopy_receive request = { .address = (uintptr_t)window, .length = WINDOW };
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	int enough = left < ENOUGH ? left : ENOUGH;
	socklen_t size = sizeof(request);
	ssize_t n;

	if (left < ENOUGH && setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &enough, sizeof(enough)))
		err(1, "SO_RCVLOWAT");
	if (poll(&ready, 1, 30000) != 1)
		errx(1, "nothing came for 30 s");
	if (getsockopt(fd, IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, &request, &size))
		err(1, "TCP_ZEROCOPY_RECEIVE");
	if (request.length || !request.recv_skip_hint)
		return request.length;
	n = recv(fd, buffer, request.recv_skip_hint < READ_SIZE ? request.recv_skip_hint :
		 READ_SIZE, 0);
	if (n <= 0)
		err(1, "recv");
	copied += n;
	return n;
}

void tcp_map(struct meter *m, char **arguments)
{
	(void)arguments;
	tcp_receive_one(m, open_window, map_some, &copied);
}

/* io_uring ----------------------------------------------------------------- */

#define AREA		(16 << 20)
#define REFILL		4096		/* buffers on their way back */
#define REFILL_SIZE	(PAGE + REFILL * sizeof(struct io_uring_zcrx_rqe))
#define ENTRIES		256

static struct {
	const char *device;
	int queue;
	int fd;
	char *rings;
	struct io_uring_sqe *sqes;
	struct io_uring_params params;
	struct io_uring_zcrx_ifq_reg queue_reg;
	struct io_uring_zcrx_area_reg area;
	char *refill;
	struct zcrx_stats *stats;
	bool armed;
} ring;

static void *map_memory(size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (at == MAP_FAILED)
		err(1, "mmap");
	return at;
}

static void *map_ring(size_t size, uint64_t offset)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd, offset);

	if (at == MAP_FAILED)
		err(1, "mapping the rings");
	return at;
}

static void enter(unsigned int submit, unsigned int wait)
{
	if (syscall(SYS_io_uring_enter, ring.fd, submit, wait, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		err(1, "io_uring_enter");
}

static void open_ring(void)
{
	struct io_uring_params *p = &ring.params;

	p->flags = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_CQE32 |
		   IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
		   IORING_SETUP_NO_SQARRAY;
	ring.fd = syscall(SYS_io_uring_setup, ENTRIES, p);
	if (ring.fd < 0)
		err(1, "io_uring_setup");
	ring.rings = map_ring(p->cq_off.cqes + p->cq_entries * 2 * sizeof(struct io_uring_cqe),
			      IORING_OFF_SQ_RING);
	ring.sqes = map_ring(p->sq_entries * sizeof(*ring.sqes), IORING_OFF_SQES);
}

/* Lends our memory to the queue. */
static void lend(void)
{
	struct io_uring_region_desc region = {
		.user_addr = (uintptr_t)map_memory(REFILL_SIZE + PAGE),
		.size = REFILL_SIZE + PAGE,
		.flags = IORING_MEM_REGION_TYPE_USER,
	};
	struct zcrx_event_desc events = {
		.flags = ZCRX_EVENT_DESC_FLAG_STATS,
		.stats_offset = REFILL_SIZE,
	};

	ring.area.addr = (uintptr_t)map_memory(AREA);
	ring.area.len = AREA;
	ring.queue_reg = (struct io_uring_zcrx_ifq_reg) {
		.if_idx = if_nametoindex(ring.device),
		.if_rxq = ring.queue,
		.rq_entries = REFILL,
		.area_ptr = (uintptr_t)&ring.area,
		.region_ptr = (uintptr_t)&region,
		.event_desc = (uintptr_t)&events,
	};
	if (syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_ZCRX_IFQ, &ring.queue_reg,
		    1) < 0)
		err(1, "lending memory to queue %d of %s", ring.queue, ring.device);
	ring.refill = (char *)(uintptr_t)region.user_addr;
	ring.stats = (struct zcrx_stats *)(ring.refill + REFILL_SIZE);
}

static void open_queue(int fd)
{
	(void)fd;
	/* The memory is pinned by whoever needs it so. */
	munlockall();
	open_ring();
	lend();
	wait_for_carrier(ring.device);
}

static void arm(int fd)
{
	_Atomic uint32_t *tail = (void *)(ring.rings + ring.params.sq_off.tail);
	struct io_uring_sqe *request = &ring.sqes[*tail & (ring.params.sq_entries - 1)];

	*request = (struct io_uring_sqe) {
		.opcode = IORING_OP_RECV_ZC,
		.ioprio = IORING_RECV_MULTISHOT,
		.fd = fd,
		.zcrx_ifq_idx = ring.queue_reg.zcrx_id,
	};
	atomic_store(tail, *tail + 1);
	enter(1, 0);
	ring.armed = true;
}

static void give_back(uint64_t place, uint32_t length)
{
	_Atomic uint32_t *tail = (void *)(ring.refill + ring.queue_reg.offsets.tail);
	struct io_uring_zcrx_rqe *entries = (void *)(ring.refill + ring.queue_reg.offsets.rqes);
	struct io_uring_zcrx_rqe *entry = &entries[*tail & (ring.queue_reg.rq_entries - 1)];

	entry->off = (place & ~IORING_ZCRX_AREA_MASK) | ring.area.rq_area_token;
	entry->len = length;
	atomic_store(tail, *tail + 1);
}

/* Takes what came without a copy, and gives its memory back at once. */
static uint64_t take_some(int fd, uint64_t left)
{
	_Atomic uint32_t *head = (void *)(ring.rings + ring.params.cq_off.head);
	_Atomic uint32_t *tail = (void *)(ring.rings + ring.params.cq_off.tail);
	uint64_t bytes = 0;

	(void)left;
	if (!ring.armed)
		arm(fd);
	enter(0, 1);
	for (; *head != *tail; atomic_store(head, *head + 1)) {
		/* A completion of 32 bytes. */
		struct io_uring_cqe *cqe = (void *)(ring.rings + ring.params.cq_off.cqes +
						    (*head & (ring.params.cq_entries - 1)) *
						    2 * sizeof(*cqe));
		struct io_uring_zcrx_cqe *zc = (void *)(cqe + 1);

		if (cqe->flags & IORING_CQE_F_MORE) {
			bytes += cqe->res;
			give_back(zc->off, cqe->res);
		} else if (cqe->res == -ENOSPC) {
			ring.armed = false;
		} else {
			errx(1, "zero-copy receive: %s", strerror(-cqe->res));
		}
	}
	copied = ring.stats->copy_bytes;
	return bytes;
}

void tcp_uring(struct meter *m, char **arguments)
{
	ring.device = arguments[0];
	ring.queue = to_number(arguments[1], 0, 255);
	tcp_receive_one(m, open_queue, take_some, &copied);
}
