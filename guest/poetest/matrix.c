// SPDX-License-Identifier: GPL-2.0
/*
 * The bulk of the test: every access through every mapping, under every overlay
 * and permission, compared with judge().
 */
#include "poetest.h"

u64 leaf_bits(int i)
{
	return page_table[i] & (7ul << 60 | DESC_UXN | DESC_PXN | DESC_DBM | DESC_AP2 | DESC_AP1);
}

/* All mappings x all accesses under the current registers */
static void sweep(struct setup *s, int home, int rotation, bool blocks)
{
	u64 base = blocks ? BLOCKS_VA + BLOCK_OFF : PAGES_VA;
	int i, n = 0;
	enum access a;

	if (rotation & 1)
		base |= TTBR1_VA;
	s->por1 = por_pattern(rotation, home);
	s->por0 = por_pattern(rotation + 3, home);
	set_por(s->por1, s->por0);
	for (i = 0; i < 256; i++) {
		u64 desc = leaf_bits(i);
		int poi = desc >> 60;

		/* root 0 serves POIndex 1 to 7, root 1 the POIndex 0 */
		if ((poi == 0) != (home == 1))
			continue;
		/* direct: DBM has no effect here; indirect: AP2 is another test's */
		if (desc & (s->pie ? DESC_AP2 : DESC_DBM))
			continue;
		if (s->pie && PI_IS_HOME(i >> 1 & 15))
			continue;
		for (a = 0; a < NR_ACCESS; a++, n++)
			check_access(s, desc, base + (u64)i * (blocks ? 0x200000 : 0x1000), a,
				     blocks ? 2 : 3);
	}
}

/* Guarded Control Stacks are another test program's subject */
static u64 pi_value(int n)
{
	return (n & 0xf) == PI_GCS ? PI_NONE_O : n & 0xf;
}

/* PIIndexes of test mappings get the pairs (privileged, unprivileged) in turn */
void pir_pattern(struct setup *s, int round)
{
	int i, pair = round * 14;

	s->pir = PIR_HOME;
	s->pire0 = PIRE0_HOME;
	for (i = 0; i < 16; i++) {
		if (PI_IS_HOME(i))
			continue;
		s->pir = with_field(s->pir, i, pi_value(pair));
		s->pire0 = with_field(s->pire0, i, pi_value(pair / 16 + pair));
		pair = (pair + 1) & 0xff;
	}
}

#define PIR_ROUNDS	19	/* 14 indexes a round: all 256 pairs */

static void matrix(struct setup s, bool blocks)
{
	int rounds = s.pie ? PIR_ROUNDS : 1, round, home, rotation;

	test_begin();
	for (round = 0; round < rounds; round++) {
		/* every overlay value with two rounds, then the pairs of permissions */
		int step = round < 2 && (s.poe || s.e0poe) ? 1 : 11;
		int first = step == 1 ? 0 : round % 16;

		if (s.pie)
			pir_pattern(&s, round);
		apply_setup(&s);
		for (home = 0; home < 2; home++) {
			set_por(POR_ALL, POR_ALL);
			mmu_set_home(home);
			for (rotation = first; rotation < 16; rotation += step)
				sweep(&s, home, rotation, blocks);
			set_por(POR_ALL, POR_ALL);
		}
	}
	reset();
	test_end("%s: matrix: %s permissions, POE=%d E0POE=%d WXN=%d, %s", regime,
		 s.pie ? "indirect" : "direct", s.poe, s.e0poe, s.wxn,
		 blocks ? "2M blocks" : "pages");
}

void matrices(void)
{
	struct setup s = {};
	int n;

	for (n = 0; n < 16; n++) {
		s.pie = n & 8;
		s.poe = !(n & 2);
		s.e0poe = !(n & 4);
		if ((s.pie && !have_pie) || ((s.poe || s.e0poe) && !have_poe))
			continue;
		matrix(s, n & 1);
	}
	s = (struct setup) { .wxn = true };
	matrix(s, false);
	/* with POE=1 the program could not both write and run: EL0's overlay only */
	s.e0poe = true;
	if (have_poe)
		matrix(s, false);
}

/* The EL2 regime: entered and left with the MMU off */
void matrix_nvhe(void)
{
	struct setup s = { .el2 = true };
	int pie, poe, rotation, i;
	enum access a;

	write_sync(hcr_el2, HCR_RW);
	if (read_reg(hcr_el2) & HCR_E2H)
		return test_skip("E2H is fixed", "el2 without E2H");
	regime = "el2 without E2H";
	write_sync(vbar_el2, nvhe_vectors);
	mmu_nvhe(true);
	for (pie = 0; pie < 2; pie++) {
		for (poe = 0; poe < 2; poe++) {
			test_begin();
			s.pie = pie;
			s.poe = poe;
			for (rotation = 0; rotation < 16; rotation++) {
				/* POIndex 0 and PIIndex 1 are the program's own */
				s.por1 = por_pattern(rotation, 0);
				s.pir = 0;
				for (i = 0; i < 16; i++)
					s.pir = with_field(s.pir, i, pi_value(rotation + i));
				s.pir = with_field(s.pir, 1, PI_RWX);
				write_reg(PIR_EL2, s.pir);
				write_reg(POR_EL2, s.por1);
				write_reg(TCR2_EL2, (pie ? TCR2_PIE : 0) | (poe ? TCR2_POE : 0));
				isb();
				asm volatile("tlbi alle2\n dsb sy\n isb" ::: "memory");
				for (i = 32; i < 256; i++) {
					u64 desc = leaf_bits(i);

					if (pie ? desc & DESC_AP2 || (i >> 1 & 15) == 1 :
					    !(desc & DESC_AP1) || desc & (DESC_DBM | DESC_PXN))
						continue;
					for (a = P_READ; a <= P_EXEC; a++)
						check_access(&s, desc, PAGES_VA + i * 4096ul, a, 3);
				}
			}
			write_reg(POR_EL2, POR_ALL);
			write_sync(TCR2_EL2, 0);
			test_end("%s: matrix: %s permissions, POE=%d, pages", regime,
				 pie ? "indirect" : "direct", poe);
		}
	}
	mmu_nvhe(false);
	write_sync(hcr_el2, HCR_RW | HCR_E2H | HCR_TGE);
	write_sync(vbar_el1, vectors);
}

