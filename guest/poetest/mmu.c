// SPDX-License-Identifier: GPL-2.0
/*
 * The translation tables: 4K granule, 39-bit regions, TTBR0 and TTBR1 show the
 * same. Everything under test is an alias of ARENA:
 *
 *  PAGES_VA   256 pages: every POIndex x {AP2, AP1, DBM, PXN, UXN}, then pages
 *             for the tests that edit descriptors
 *  +2M        the same pages once more, below a table descriptor whose
 *             hierarchical permission bits can be set
 *  BLOCKS_VA  256 2M blocks: every POIndex x {AP2, AP1, DBM, PXN, UXN}
 *
 * The program's own memory needs a POIndex too, and an overlay that allows all
 * of it. Two roots, one for each choice, leave every POIndex free for tests.
 */
#include "poetest.h"

typedef u64 table[512] __attribute__((aligned(4096)));

static table nvhe_root, nvhe_ram, root[2], ram[2], el0_l2[2], el0_l3[2], pages_l2, blocks_l2;
u64 page_table[512] __attribute__((aligned(4096)));

#define LEAF	(DESC_AF | DESC_SH_INNER)

static u64 base_bits(int n)
{
	return (n & 1 ? DESC_AP2 : 0) | (n & 2 ? DESC_AP1 : 0) | (n & 4 ? DESC_DBM : 0) |
	       (n & 8 ? DESC_PXN : 0) | (n & 16 ? DESC_UXN : 0);
}

void mmu_build(void)
{
	int h, i;

	for (h = 0; h < 2; h++) {
		/* privileged RWX, PIIndex 8 */
		u64 home = LEAF | DESC_UXN | DESC_POI(h);

		/* devices: attribute index 1 */
		root[h][0] = DESC_BLOCK | home | 1 << 2;
		root[h][RAM_BASE >> 30] = DESC_TABLE | (u64)ram[h];
		for (i = 0; i < 512; i++)
			ram[h][i] = (RAM_BASE + i * 0x200000ul) | DESC_BLOCK | home;
		ram[h][1] |= DESC_AP2;		/* the program's text */
		root[h][PAGES_VA >> 30] = DESC_TABLE | (u64)pages_l2;
		root[h][BLOCKS_VA >> 30] = DESC_TABLE | (u64)blocks_l2;
		/* unprivileged RX, PIIndex 5 */
		root[h][EL0_VA >> 30] = DESC_TABLE | (u64)el0_l2[h];
		el0_l2[h][0] = DESC_TABLE | (u64)el0_l3[h];
		el0_l3[h][0] = DESC_PAGE | LEAF | (u64)el0_text | DESC_AP1 | DESC_AP2 |
			       DESC_PXN | DESC_POI(h);
	}
	/* the same with one privilege level: AP1 is RES1, UXN is XN; PIIndex 1 */
	nvhe_root[0] = DESC_BLOCK | LEAF | DESC_AP1 | 1 << 2;
	nvhe_root[RAM_BASE >> 30] = DESC_TABLE | (u64)nvhe_ram;
	for (i = 0; i < 512; i++)
		nvhe_ram[i] = (RAM_BASE + i * 0x200000ul) | DESC_BLOCK | LEAF | DESC_AP1;
	nvhe_root[PAGES_VA >> 30] = DESC_TABLE | (u64)pages_l2;
	pages_l2[0] = DESC_TABLE | (u64)page_table;
	pages_l2[1] = DESC_TABLE | (u64)page_table;
	for (i = 0; i < 256; i++) {
		page_table[i] = DESC_PAGE | LEAF | ARENA | base_bits(i % 32) | DESC_POI(i / 32);
		blocks_l2[i] = DESC_BLOCK | LEAF | ARENA | base_bits(i % 32) | DESC_POI(i / 32);
	}
}

/* The entry for apt_va() only; the caller invalidates the TLB */
void mmu_set_apt(u64 table_bits)
{
	pages_l2[1] = DESC_TABLE | (u64)page_table | table_bits;
	tlbi_all();
}

u64 apt_va(int entry)
{
	return PAGES_VA + 0x200000 + entry * 4096ul;
}

void mmu_set_home(int poi)
{
	write_reg(ttbr0_el1, root[poi]);
	write_reg(ttbr1_el1, root[poi]);
	isb();
	tlbi_all();
}

void mmu_on(void)
{
	write_reg(mair_el1, 0x00ff);	/* 0 normal, 1 device nGnRnE */
	write_reg(tcr_el1, TCR_BASE);
	isb();
	mmu_set_home(0);
	asm volatile("ic iallu\n dsb sy" ::: "memory");
	write_sync(sctlr_el1, SCTLR_RES1 | SCTLR_M | SCTLR_C | SCTLR_I);
}

void mmu_nvhe(bool on)
{
	if (!on) {
		write_sync(sctlr_el2, SCTLR_RES1);
		return;
	}
	write_reg(mair_el2, 0x00ff);
	write_reg(tcr_el2, TCR_NVHE);
	write_reg(ttbr0_el2, nvhe_root);
	isb();
	asm volatile("tlbi alle2\n ic iallu\n dsb sy" ::: "memory");
	write_sync(sctlr_el2, SCTLR_RES1 | SCTLR_M | SCTLR_C | SCTLR_I);
}
