// SPDX-License-Identifier: GPL-2.0
/*
 * Programs that drop frames of the datagrams' length and let others pass, at
 * the device's ingress (tcx) or in its driver (XDP).
 */
#define _GNU_SOURCE
#include <err.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sink.h"

#define FRAME		(HEADERS + DATAGRAM)
#define LENGTH(a)	(sizeof(a) / sizeof(*(a)))

/* r2 = skb->len; r0 = TCX_DROP; if r2 == FRAME goto exit; r0 = TCX_NEXT; exit */
static const struct bpf_insn tcx[] = {
	{ .code = BPF_LDX | BPF_W | BPF_MEM, .dst_reg = 2, .src_reg = 1,
	  .off = offsetof(struct __sk_buff, len) },
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = TCX_DROP },
	{ .code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = 2, .off = 1, .imm = FRAME },
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = TCX_NEXT },
	{ .code = BPF_JMP | BPF_EXIT },
};

/* r2 = data_end - data; r0 = XDP_DROP; if r2 == FRAME goto exit; r0 = XDP_PASS; exit */
static const struct bpf_insn xdp[] = {
	{ .code = BPF_LDX | BPF_W | BPF_MEM, .dst_reg = 2, .src_reg = 1,
	  .off = offsetof(struct xdp_md, data_end) },
	{ .code = BPF_LDX | BPF_W | BPF_MEM, .dst_reg = 3, .src_reg = 1,
	  .off = offsetof(struct xdp_md, data) },
	{ .code = BPF_ALU64 | BPF_SUB | BPF_X, .dst_reg = 2, .src_reg = 3 },
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = XDP_DROP },
	{ .code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = 2, .off = 1, .imm = FRAME },
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = XDP_PASS },
	{ .code = BPF_JMP | BPF_EXIT },
};

static const struct hook {
	const char *name;
	uint32_t program, attach;
	const struct bpf_insn *code;
	size_t length;
} hooks[] = {
	{ "tcx", BPF_PROG_TYPE_SCHED_CLS, BPF_TCX_INGRESS, tcx, LENGTH(tcx) },
	{ "xdp", BPF_PROG_TYPE_XDP, BPF_XDP, xdp, LENGTH(xdp) },
};

static void attach(const struct hook *hook, const char *device)
{
	union bpf_attr load = {
		.prog_type = hook->program,
		.expected_attach_type = hook->attach,
		.insns = (uintptr_t)hook->code,
		.insn_cnt = hook->length,
		.license = (uintptr_t)"GPL",
	};
	union bpf_attr link = {
		.link_create.target_ifindex = if_nametoindex(device),
		.link_create.attach_type = hook->attach,
	};

	link.link_create.prog_fd = syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof(load));
	if ((int)link.link_create.prog_fd < 0)
		err(1, "loading the program for %s", hook->name);
	/* The link holds as long as this process. */
	if (syscall(SYS_bpf, BPF_LINK_CREATE, &link, sizeof(link)) < 0)
		err(1, "attaching the program at %s", hook->name);
}

void wait_for_carrier(const char *device)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/class/net/%s/carrier", device);
	for (int i = 0; i < 300; i++) {
		FILE *file = fopen(path, "r");
		int up = file && fgetc(file) == '1';

		if (file)
			fclose(file);
		if (up)
			return;
		usleep(100000);
	}
	errx(1, "%s has no link", device);
}

void drop_at(const char *name, const char *device)
{
	for (size_t i = 0; i < LENGTH(hooks); i++) {
		if (strcmp(hooks[i].name, name))
			continue;
		attach(&hooks[i], device);
		wait_for_carrier(device);
		return;
	}
	errx(2, "no hook has the name %s", name);
}
