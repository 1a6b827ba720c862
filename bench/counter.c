// SPDX-License-Identifier: GPL-2.0
/*
 * TCG plugin: count instructions, and those that synchronise, between two
 * markers that the guest executes. One line a section, in order, goes to a file:
 *
 *	<insns> <por> <por_entry> <isb> <dsb> <tlbi>
 *
 * Arguments: out=<file>,entry=<start>-<end>; the latter are the addresses of the
 * kernel's exception entry code, whose writes to POR_EL1 are counted apart.
 *
 * The counts are exact. They are the same each time with one CPU, -icount and
 * sleep=off, and a clock that does not follow the host's.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qemu-plugin.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

/* Hints that no CPU has a meaning for: they may be executed at EL0 */
#define HINT(n)		(0xd503201f | (n) << 5)
#define MARK_BEGIN	HINT(126)
#define MARK_END	HINT(127)

enum counter { INSNS, POR, POR_ENTRY, ISB, DSB, TLBI, NR_COUNTERS };

static const struct {
	uint32_t mask, value;
	enum counter counter;
} classes[] = {
	{ 0xffffffe0, 0xd518a280, POR },	/* msr por_el1, xt */
	{ 0xfffff0ff, 0xd50330df, ISB },
	{ 0xfffff0ff, 0xd503309f, DSB },
	{ 0xfff8f000, 0xd5088000, TLBI },	/* sys #op1, c8, ... */
	{ 0xfff8f000, 0xd5089000, TLBI },	/* the same, nXS */
};

static qemu_plugin_u64 counters[NR_COUNTERS];
static uint64_t begin[NR_COUNTERS];
static uint64_t entry_start, entry_end;
static FILE *out;

static void on_begin(unsigned int cpu, void *data)
{
	(void)cpu;
	(void)data;
	for (int i = 0; i < NR_COUNTERS; i++)
		begin[i] = qemu_plugin_u64_sum(counters[i]);
}

static void on_end(unsigned int cpu, void *data)
{
	(void)cpu;
	(void)data;
	for (int i = 0; i < NR_COUNTERS; i++)
		fprintf(out, "%" PRIu64 "%c", qemu_plugin_u64_sum(counters[i]) - begin[i],
			i < NR_COUNTERS - 1 ? ' ' : '\n');
	fflush(out);
}

static void count(struct qemu_plugin_insn *insn, enum counter counter)
{
	qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, QEMU_PLUGIN_INLINE_ADD_U64,
							    counters[counter], 1);
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	(void)id;
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uint64_t pc = qemu_plugin_insn_vaddr(insn);
		uint32_t code = 0;

		qemu_plugin_insn_data(insn, &code, sizeof(code));
		count(insn, INSNS);

		for (size_t c = 0; c < sizeof(classes) / sizeof(*classes); c++) {
			enum counter counter = classes[c].counter;

			if ((code & classes[c].mask) != classes[c].value)
				continue;
			if (counter == POR && pc >= entry_start && pc < entry_end)
				counter = POR_ENTRY;
			count(insn, counter);
		}

		if (code == MARK_BEGIN)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_begin,
							       QEMU_PLUGIN_CB_NO_REGS, NULL);
		if (code == MARK_END)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_end,
							       QEMU_PLUGIN_CB_NO_REGS, NULL);
	}
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
					   int argc, char **argv)
{
	(void)info;
	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "out=", 4))
			out = fopen(argv[i] + 4, "w");
		else if (sscanf(argv[i], "entry=%" SCNx64 "-%" SCNx64, &entry_start,
				&entry_end) != 2)
			goto usage;
	}
	if (!out)
		goto usage;

	for (int i = 0; i < NR_COUNTERS; i++)
		counters[i] = qemu_plugin_scoreboard_u64(
			qemu_plugin_scoreboard_new(sizeof(uint64_t)));
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
	return 0;
usage:
	fprintf(stderr, "counter: out=<file>,entry=<start>-<end>\n");
	return -1;
}
