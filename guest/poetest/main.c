// SPDX-License-Identifier: GPL-2.0
/*
 * Judges an emulator's FEAT_S1POE. See ../README.rst for how it is started.
 *
 * matrix.c is table-driven: every access through every mapping, compared with
 * judge.c. sequences.c and levels.c test one property at a time.
 */
#include "poetest.h"

static u8 stack[16384] __attribute__((aligned(16)));

struct cpu boot_cpu = { .stack = (u64)stack + sizeof(stack) };

static void fill_arena(void)
{
	static const u64 at[] = { 0, BLOCK_OFF };
	u32 i;

	for (i = 0; i < 2; i++) {
		*(volatile u32 *)(ARENA + at[i]) = 0xd65f03c0;	/* ret */
		*(volatile u64 *)(ARENA + at[i] + OFF_READ) = MAGIC;
	}
}

/* Everything that can be tested at the current level */
static void suite(const char *name)
{
	regime = name;
	mmu_on();
	reset();
	matrices();
	test_hierarchy();
	test_at(false);
	test_at(true);
	if (!have_poe) {
		test_absent();
		return;
	}
	test_registers();
	test_dirty(false);
	test_dirty(true);
	test_no_tlbi();
	test_revoke();
	test_separate();
	test_pan();
	test_atomics();
	test_crossing();
	test_when_el1();
	test_when_el0();
	test_el0_traps();
	if (el3_here)
		test_el3();
}

int main(void)
{
	const char *mode = argument();
	u64 mmfr3 = read_reg(ID_AA64MMFR3_EL1), mmfr1 = read_reg(id_aa64mmfr1_el1);
	bool present = mmfr3 >> 16 & 15;

	if (streq(mode, "probe")) {
		print("poe: %s\n", present ? "present" : "absent");
		quit(!present);
	}
	lazy = streq(mode, "lazy");
	if (!lazy && !streq(mode, "eager") && !streq(mode, "off")) {
		print("poetest: no mode; pass -semihosting-config enable=on,target=native,"
		      "arg=poetest,arg=eager (or lazy, off, probe)\n");
		quit(2);
	}
	print("TAP version 13\n");
	test_begin();
	if (present != !streq(mode, "off"))
		test_fail("ID_AA64MMFR3_EL1 is %x", mmfr3);
	test_end("ID_AA64MMFR3_EL1.S1POE is %s", streq(mode, "off") ? "zero" : "not zero");
	have_tcr2 = mmfr3 & 15;
	have_pie = mmfr3 >> 8 & 15;
	have_poe = present;
	have_dbm = (mmfr1 & 15) >= 2;
	have_pan = mmfr1 >> 20 & 15;
	have_lse = read_reg(id_aa64isar0_el1) >> 20 & 15;

	mmu_build();
	fill_arena();
	if (current_el() == 2) {
		if (have_poe)
			matrix_nvhe();
		suite("el2");
		if (have_poe) {
			test_vhe_names();
			test_smp();
		}
		drop_to_el1();
		suite("el1");
		if (have_poe) {
			test_el1_names();
			test_el2_traps();
			test_tcr2en();
			test_nv();
		}
	} else {
		suite("el1");
		if (have_poe) {
			test_el1_names();
			test_smp();
		}
	}
	quit(test_summary());
}
