// SPDX-License-Identifier: GPL-2.0
/*
 * TCP: the source connects to us, whoever sends.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mark.h"
#include "sink.h"

#define SEND_SIZE	(1 << 16)	/* bytes of a call that sends */
#define SEND_ROOM	(1 << 19)

static int listen_tcp(int receive_room)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(TCP_PORT) };
	struct timeval patience = { .tv_sec = 30 };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive_room, sizeof(receive_room)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, MAX_FLOWS))
		err(1, "listen");
	return fd;
}

static void accept_all(int listener, int *fds, long flows)
{
	struct linger hard = { .l_onoff = 1 };

	for (long i = 0; i < flows; i++) {
		fds[i] = accept(listener, NULL, NULL);
		if (fds[i] < 0)
			err(1, "accept");
		setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	}
	be_first();
}

/* Receiving ---------------------------------------------------------------- */

/* Some of the connections, and who reads them. */
struct reader {
	int fds[MAX_FLOWS];
	long flows;
	int poll;
};

static void prepare(struct reader *reader)
{
	reader->poll = epoll_create1(0);
	for (long i = 0; i < reader->flows; i++) {
		struct epoll_event e = { .events = EPOLLIN, .data.fd = reader->fds[i] };

		if (epoll_ctl(reader->poll, EPOLL_CTL_ADD, reader->fds[i], &e))
			err(1, "epoll_ctl");
	}
}

static uint64_t read_some(int fd)
{
	ssize_t n = recv(fd, buffer, sizeof(buffer), 0);

	if (n <= 0)
		err(1, "recv");
	return n;
}

/* Reads at least one of the connections that have data; returns the bytes. */
static uint64_t read_ready(struct reader *reader)
{
	struct epoll_event events[64];
	uint64_t bytes = 0;
	int ready;

	if (reader->flows == 1)
		return read_some(reader->fds[0]);
	ready = epoll_wait(reader->poll, events, 64, 30000);
	if (ready <= 0)
		errx(1, "nothing came for 30 s");
	for (int i = 0; i < ready; i++)
		bytes += read_some(events[i].data.fd);
	return bytes;
}

/* Processes that read, and their parent, which waits for all that was ordered. */
struct shared {
	_Atomic int64_t left;	/* bytes */
	int done;		/* event descriptor: nothing is left */
};

static void read_forever(struct reader *reader, struct shared *shared, int cpu)
{
	cpu_set_t only;

	CPU_ZERO(&only);
	CPU_SET(cpu, &only);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || sched_setaffinity(0, sizeof(only), &only))
		err(1, "reader");
	be_first();
	prepare(reader);
	for (;;) {
		int64_t n = read_ready(reader);

		if (atomic_fetch_sub(&shared->left, n) == n && eventfd_write(shared->done, 1))
			err(1, "eventfd");
	}
}

/* On each CPU a process that reads its part of the connections. */
static struct shared *fork_readers(const struct reader *all, int cpus)
{
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (shared == MAP_FAILED)
		err(1, "mmap");
	shared->done = eventfd(0, 0);
	for (int cpu = 0; cpu < cpus && cpu < all->flows; cpu++) {
		struct reader part = { 0 };

		for (long i = cpu; i < all->flows; i += cpus)
			part.fds[part.flows++] = all->fds[i];
		if (!fork())
			read_forever(&part, shared, cpu);
	}
	return shared;
}

/*
 * Has @bytes sent and reads them, or has them read. Nothing is under way or unread
 * before and after that, so that all that is counted belongs to these bytes.
 */
static void receive_all(struct reader *reader, struct shared *shared, uint64_t bytes)
{
	struct pollfd done = { .events = POLLIN };
	eventfd_t one;

	if (shared)
		atomic_store(&shared->left, bytes);
	order("go %llu", (unsigned long long)bytes / MSS);
	if (!shared) {
		for (uint64_t seen = 0; seen < bytes;)
			seen += read_ready(reader);
		return;
	}
	done.fd = shared->done;
	if (poll(&done, 1, 300000) != 1 || eventfd_read(shared->done, &one))
		errx(1, "%lld bytes did not come within 5 minutes",
		     (long long)atomic_load(&shared->left));
}

/* So many whole bursts. */
static uint64_t round_down(uint64_t bytes)
{
	return bytes / (BURST * MSS) * (BURST * MSS);
}

static void receive(struct meter *m, long flows, int listener)
{
	struct reader reader = { .flows = flows };
	uint64_t bytes = round_down(m->amount);
	int cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct shared *shared = NULL;

	accept_all(listener, reader.fds, flows);
	if (cpus > 1)
		shared = fork_readers(&reader, cpus);
	else
		prepare(&reader);
	receive_all(&reader, shared, round_down(m->warm));
	MARK(MARK_START);
	receive_all(&reader, shared, bytes);
	MARK(MARK_STOP);
	report(bytes / MSS, bytes, 0);
}

/* Room for what one of @flows connections has under way. */
static int room_for(long flows, long under_way)
{
	long least = flows > 64 ? 1 << 15 : 1 << 17, wanted = 4 * under_way / flows * MSS;

	return wanted > least ? wanted : least;
}

/* Two bursts of each connection are under way. */
static void receive_bursts(struct meter *m, const char *how, const char *text, long under_way)
{
	long flows = to_number(text, 1, MAX_FLOWS);
	int listener = listen_tcp(room_for(flows, flows * under_way));

	order("%s %ld", how, flows);
	receive(m, flows, listener);
}

void tcp_bulk(struct meter *m, char **arguments)
{
	receive_bursts(m, "bulk", arguments[0], 0);
}

void tcp_long(struct meter *m, char **arguments)
{
	receive_bursts(m, "long", arguments[0], 2 * LONG_BURST);
}

void tcp_giant(struct meter *m, char **arguments)
{
	receive_bursts(m, "giant", arguments[0], 2 * BURST);
}

void tcp_mix(struct meter *m, char **arguments)
{
	long flows = to_number(arguments[0], 1, MAX_FLOWS);
	long window = to_number(arguments[1], 1, 1 << 16);
	int listener = listen_tcp(room_for(flows, window));

	order("mix %ld %ld %s", flows, window, arguments[2]);
	receive(m, flows, listener);
}

void tcp_receive_one(struct meter *m, void (*open)(int fd),
		     uint64_t (*some)(int fd, uint64_t left), const uint64_t *copied)
{
	uint64_t amounts[] = { round_down(m->warm), round_down(m->amount) }, before = 0;
	int fd, listener = listen_tcp(room_for(1, 4 * BURST));

	order("bulk 1");
	accept_all(listener, &fd, 1);
	open(fd);
	for (int i = 0; i < 2; i++) {
		before = *copied;
		if (i)
			MARK(MARK_START);
		order("go %llu", (unsigned long long)amounts[i] / MSS);
		for (uint64_t left = amounts[i]; left;)
			left -= some(fd, left);
	}
	MARK(MARK_STOP);
	report(amounts[1] / MSS, amounts[1], *copied - before);
}

/* Sending ------------------------------------------------------------------ */

void tcp_send(struct meter *m, char **arguments)
{
	long flows = to_number(arguments[0], 1, MAX_FLOWS);
	int room = SEND_ROOM, fds[MAX_FLOWS], listener = listen_tcp(room_for(flows, 0));

	order("take %ld", flows);
	accept_all(listener, fds, flows);
	order("go 0");
	for (long i = 0; i < flows; i++)
		setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	for (long i = 0;; i = (i + 1) % flows) {
		ssize_t n = send(fds[i], buffer, SEND_SIZE, 0);

		if (n <= 0)
			err(1, "send");
		if (count(m, n))
			break;
	}
	report((m->seen - m->from) / MSS, m->seen - m->from, 0);
}

/* There and back ----------------------------------------------------------- */

void tcp_exchange(struct meter *m, char **arguments)
{
	size_t size = to_number(arguments[0], 1, MSS);
	int one = 1, fd, listener = listen_tcp(room_for(1, 0));

	order("exchange %zu", size);
	accept_all(listener, &fd, 1);
	order("go 0");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	do {
		if (recv(fd, buffer, size, MSG_WAITALL) != (ssize_t)size)
			err(1, "recv");
		if (send(fd, buffer, size, 0) != (ssize_t)size)
			err(1, "send");
	} while (!count(m, 1));
	/* A packet there and one back is a round, and a round is what the cost is told for. */
	report(m->seen - m->from, (m->seen - m->from) * size, 0);
}
