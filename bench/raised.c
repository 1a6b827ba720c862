// SPDX-License-Identifier: GPL-2.0
/*
 * TCG plugin: where the guest's kernel has page tables writable. The address of
 * each block of code that was executed with the bit of POR_EL1 set goes to a file,
 * once each time that the block was translated.
 *
 * Arguments: out=<file>,bit=<of POR_EL1>
 *
 * POR_EL1 is known from the MSRs that write to it. QEMU ends a block of code at an
 * MSR, so that none is at two levels.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>
#include <qemu-plugin.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

#define MSR_POR_EL1	0xd518a280	/* msr por_el1, xt */
#define NR_REGS		31		/* x0 to x30; then there is xzr */

struct write {
	uint64_t pc;
	unsigned int reg;
};

#define NR_FROM		8

struct block {
	uint64_t pc;
	uint64_t from[NR_FROM];	/* the writes that had raised it */
	unsigned int nr;
};

/* All vCPUs number their registers alike, in the order of their names */
static struct qemu_plugin_register *regs[NR_REGS];
/* The address of the MSR that has set the bit; 0 if it is not set */
static qemu_plugin_u64 raised;
static unsigned int bit;
static FILE *out;
static GMutex lock;

static void on_init(qemu_plugin_id_t id, unsigned int cpu)
{
	g_autoptr(GArray) all = qemu_plugin_get_registers();
	int n;

	(void)id;
	(void)cpu;
	for (guint i = 0; i < all->len; i++) {
		qemu_plugin_reg_descriptor *reg =
			&g_array_index(all, qemu_plugin_reg_descriptor, i);

		if (sscanf(reg->name, "x%d", &n) == 1 && n < NR_REGS && !regs[n])
			regs[n] = reg->handle;
	}
}

static void on_write(unsigned int cpu, void *data)
{
	g_autoptr(GByteArray) value = g_byte_array_new();
	const struct write *write = data;
	unsigned int n = write->reg;
	uint64_t por = 0;

	if (n < NR_REGS) {
		if (!regs[n] || !qemu_plugin_read_register(regs[n], value))
			abort();
		memcpy(&por, value->data, sizeof(por));
	}
	qemu_plugin_u64_set(raised, cpu, por >> bit & 1 ? write->pc : 0);
}

static void on_raised(unsigned int cpu, void *data)
{
	uint64_t from = qemu_plugin_u64_get(raised, cpu);
	struct block *block = data;
	unsigned int i;

	g_mutex_lock(&lock);
	for (i = 0; i < block->nr && block->from[i] != from; i++)
		;
	if (i == block->nr && i < NR_FROM) {
		block->from[block->nr++] = from;
		fprintf(out, "%" PRIx64 " %" PRIx64 "\n", block->pc, from);
		fflush(out);
	}
	g_mutex_unlock(&lock);
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	struct block *block = g_new0(struct block, 1);

	(void)id;
	block->pc = qemu_plugin_tb_vaddr(tb);
	qemu_plugin_register_vcpu_tb_exec_cond_cb(tb, on_raised, QEMU_PLUGIN_CB_NO_REGS,
						  QEMU_PLUGIN_COND_NE, raised, 0, block);

	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uint32_t code = 0;

		qemu_plugin_insn_data(insn, &code, sizeof(code));
		if ((code & ~0x1fu) == MSR_POR_EL1) {
			struct write *write = g_new0(struct write, 1);

			write->pc = qemu_plugin_insn_vaddr(insn);
			write->reg = code & 0x1f;
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_write,
							       QEMU_PLUGIN_CB_R_REGS, write);
		}
	}
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
					   int argc, char **argv)
{
	(void)info;
	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "out=", 4))
			out = fopen(argv[i] + 4, "w");
		else if (sscanf(argv[i], "bit=%u", &bit) != 1)
			goto usage;
	}
	if (!out || !bit)
		goto usage;

	raised = qemu_plugin_scoreboard_u64(qemu_plugin_scoreboard_new(sizeof(uint64_t)));
	qemu_plugin_register_vcpu_init_cb(id, on_init);
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
	return 0;
usage:
	fprintf(stderr, "raised: out=<file>,bit=<of POR_EL1>\n");
	return -1;
}
