/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The part of QEMU's plugin interface, version 7, that counter.c uses: Debian
 * builds QEMU with plugins but packages no header for them.
 */
#ifndef _BENCH_PLUGIN_H
#define _BENCH_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLUGIN_API	7
#define PLUGIN_EXPORT	__attribute__((visibility("default")))

struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_hwaddr;

typedef uint32_t qemu_plugin_meminfo_t;

struct qemu_info {
	const char *target_name;
	struct {
		int min;
		int cur;
	} version;
	bool system_emulation;
	struct {
		int smp_vcpus;
		int max_vcpus;
	} system;
};

enum {
	QEMU_PLUGIN_CB_NO_REGS		= 0,
};

enum {
	QEMU_PLUGIN_MEM_R		= 1,
	QEMU_PLUGIN_MEM_W		= 2,
	QEMU_PLUGIN_MEM_RW		= 3,
};

enum {
	QEMU_PLUGIN_DISCON_INTERRUPT	= 1,
	QEMU_PLUGIN_DISCON_EXCEPTION	= 2,
};

typedef void (*plugin_cpu_cb)(unsigned int cpu, void *data);
typedef void (*plugin_mem_cb)(unsigned int cpu, qemu_plugin_meminfo_t info,
			      uint64_t addr, void *data);
typedef void (*plugin_discon_cb)(unsigned int cpu, int type, uint64_t from,
				 uint64_t to, void *data);
typedef void (*plugin_translation_cb)(struct qemu_plugin_tb *tb, void *data);

/* Exported by the plugin. */
extern int qemu_plugin_version;
int qemu_plugin_install(uint64_t id, const struct qemu_info *info, int argc,
			char **argv);

/* Exported by QEMU. */
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb,
						 size_t i);
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *dest,
			     size_t len);
unsigned int qemu_plugin_mem_size_shift(qemu_plugin_meminfo_t info);
bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t info);
struct qemu_plugin_hwaddr *qemu_plugin_get_hwaddr(qemu_plugin_meminfo_t info, uint64_t vaddr);
bool qemu_plugin_hwaddr_is_io(const struct qemu_plugin_hwaddr *haddr);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, plugin_translation_cb cb,
					   void *data);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb,
					  plugin_cpu_cb cb, int flags, void *data);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
					    plugin_cpu_cb cb, int flags,
					    void *data);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn,
				      plugin_mem_cb cb, int flags, int rw,
				      void *data);
void qemu_plugin_register_vcpu_discon_cb(uint64_t id, int types,
					 plugin_discon_cb cb, void *data);

#endif /* _BENCH_PLUGIN_H */
