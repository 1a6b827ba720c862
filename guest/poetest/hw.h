/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Registers and descriptor bits, as the Arm ARM (DDI 0487) numbers them.
 *
 * The names with _EL1 are used at EL2 as well: with HCR_EL2.E2H=1 they reach
 * the EL2 register, so that one body of code tests both regimes.
 */
#ifndef POETEST_HW_H
#define POETEST_HW_H

#define TCR2_EL1		s3_0_c2_c0_3
#define PIRE0_EL1		s3_0_c10_c2_2
#define PIR_EL1			s3_0_c10_c2_3
#define PIR_EL2			s3_4_c10_c2_3
#define TCR2_EL2		s3_4_c2_c0_3
#define POR_EL0			s3_3_c10_c2_4
#define POR_EL1			s3_0_c10_c2_4
#define POR_EL2			s3_4_c10_c2_4
#define POR_EL3			s3_6_c10_c2_4
#define POR_EL12		s3_5_c10_c2_4
#define TCR2_EL12		s3_5_c2_c0_3
#define ID_AA64MMFR3_EL1	s3_0_c0_c7_3
#define HCRX_EL2		s3_4_c1_c2_2
#define VNCR_EL2		s3_4_c2_c2_0
#define HFGRTR_EL2		s3_4_c1_c1_4
#define HFGWTR_EL2		s3_4_c1_c1_5
#define PSTATE_PAN		s3_0_c4_c2_3

/* TCR2_ELx */
#define TCR2_PIE		0x2
#define TCR2_E0POE		0x4
#define TCR2_POE		0x8

/* SCTLR_ELx: the bits that are RES1 in Armv8.0, EIS and EOS among them */
#define SCTLR_RES1		0x30d00800
#define SCTLR_M			(1 << 0)
#define SCTLR_C			(1 << 2)
#define SCTLR_I			(1 << 12)
#define SCTLR_WXN		(1 << 19)

/* TCR_ELx with 39-bit regions, 4K granule, Inner Shareable, Write-Back */
#define TCR_BASE		(25ul | 1ul << 8 | 1ul << 10 | 3ul << 12 |	\
				 25ul << 16 | 1ul << 24 | 1ul << 26 |		\
				 3ul << 28 | 2ul << 30 | 2ul << 32)
/* TCR_EL2 without E2H */
#define TCR_NVHE		(25ul | 1ul << 8 | 1ul << 10 | 3ul << 12 |	\
				 2ul << 16 | 1ul << 23 | 1ul << 31)
#define TCR_HA			(1ul << 39)
#define TCR_HD			(1ul << 40)

#define CPACR_E0POE		(1ul << 29)

#define HCR_TVM			(1ul << 26)
#define HCR_TGE			(1ul << 27)
#define HCR_TRVM		(1ul << 30)
#define HCR_RW			(1ul << 31)
#define HCR_E2H			(1ul << 34)
#define HCR_NV			(1ul << 42)
#define HCR_NV1			(1ul << 43)
#define HCR_NV2			(1ul << 45)

/* where POR_EL1 is in the page of VNCR_EL2 */
#define VNCR_POR_EL1		0x2a8

/* SCR_EL3: NS, HCE, RW, FGTEn, HXEn, TCR2En, PIEn */
#define SCR_TCR2EN		(1ul << 43)
#define SCR_PIEN		(1ul << 45)
#define SCR_ALL			(1ul << 0 | 1ul << 8 | 1ul << 10 | 1ul << 27 |	\
				 1ul << 38 | SCR_TCR2EN | SCR_PIEN)

#define HCRX_TCR2EN		(1ul << 14)

/* HFGRTR_EL2, HFGWTR_EL2: every trap of inverse sense off */
#define HFGXTR_NO_TRAPS		(0xffful << 52 | 1ul << 50)
#define HFGXTR_nPOR_EL0		(1ul << 59)
#define HFGXTR_nPOR_EL1		(1ul << 60)

/* ESR_ELx */
#define ESR_EC(esr)		(((esr) >> 26) & 0x3f)
#define EC_UNDEF		0x00
#define EC_SVC			0x15
#define EC_HVC			0x16
#define EC_SMC			0x17
#define EC_SYSREG		0x18
#define EC_IABT_LOW		0x20
#define EC_IABT			0x21
#define EC_DABT_LOW		0x24
#define EC_DABT			0x25
#define ESR_FSC(esr)		((esr) & 0x3f)
#define FSC_PERM(level)		(0x0c + (level))
#define ESR_WNR			(1ul << 6)
#define ESR_OVERLAY		(1ul << 38)

/* The ISS of a trapped MRS or MSR, without Rt */
#define ISS_SYSREG(op0, op1, crn, crm, op2, read)				\
	((op0) << 20 | (op2) << 17 | (op1) << 14 | (crn) << 10 | (crm) << 1 | (read))
#define ISS_SYSREG_MASK		(0x1fffffful & ~(0x1ful << 5))
#define ISS_POR_EL0(read)	ISS_SYSREG(3, 3, 10, 2, 4, read)
#define ISS_POR_EL1(read)	ISS_SYSREG(3, 0, 10, 2, 4, read)
#define ISS_POR_EL2(read)	ISS_SYSREG(3, 4, 10, 2, 4, read)
#define ISS_POR_EL12(read)	ISS_SYSREG(3, 5, 10, 2, 4, read)

/* PAR_EL1 */
#define PAR_F			(1ul << 0)
#define PAR_FST(par)		(((par) >> 1) & 0x3f)
#define PAR_OVERLAY		(1ul << 14)

/* Stage 1 descriptors */
#define DESC_BLOCK		(1ul << 0)
#define DESC_TABLE		(3ul << 0)
#define DESC_PAGE		(3ul << 0)
#define DESC_AP1		(1ul << 6)	/* unprivileged access; PIIndex[0] */
#define DESC_AP2		(1ul << 7)	/* read-only; nDirty with PIE */
#define DESC_SH_INNER		(3ul << 8)
#define DESC_AF			(1ul << 10)
#define DESC_DBM		(1ul << 51)	/* PIIndex[1] */
#define DESC_PXN		(1ul << 53)	/* PIIndex[2] */
#define DESC_UXN		(1ul << 54)	/* PIIndex[3] */
#define DESC_POI(i)		((u64)(i) << 60)
#define TABLE_AP_NO_EL0		(1ul << 61)
#define TABLE_AP_RO		(1ul << 62)
#define TABLE_UXN		(1ul << 60)
#define TABLE_PXN		(1ul << 59)

/* POR_ELx fields */
#define PO_NONE			0
#define PO_R			1
#define PO_X			2
#define PO_RX			3
#define PO_W			4
#define PO_RW			5
#define PO_WX			6
#define PO_RWX			7

/* PIR_ELx fields: 0b0xxx asks for the overlay, 0b1xxx does not */
#define PI_NONE_O		0x0
#define PI_R_O			0x1
#define PI_RX_O			0x3
#define PI_RW_O			0x5
#define PI_RWX_O		0x7
#define PI_GCS			0x9
#define PI_RX			0xa
#define PI_RW			0xc
#define PI_RWX			0xe

/* Layout, see mmu.c */
#define RAM_BASE		0x40000000ul
#define ARENA			0x44000000ul	/* the 2M that all test mappings show */
#define PAGES_VA		0x100000000ul
#define BLOCKS_VA		0x140000000ul
#define EL0_VA			0x180000000ul
#define TTBR1_VA		0xffffff8000000000ul	/* the same once more */

#ifndef __ASSEMBLER__

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long u64;
typedef _Bool bool;
#define true 1
#define false 0

#define _STR(x) #x
#define STR(x) _STR(x)

#define read_reg(r) ({						\
	u64 _v;							\
	asm volatile("mrs %0, " STR(r) : "=r" (_v) :: "memory");\
	_v;							\
})
#define write_reg(r, v)						\
	asm volatile("msr " STR(r) ", %x0" :: "rZ" ((u64)(v)) : "memory")
#define isb()	asm volatile("isb" ::: "memory")
#define dsb()	asm volatile("dsb sy" ::: "memory")

/* A write that takes effect at once in every mode */
#define write_sync(r, v) do { write_reg(r, v); isb(); } while (0)

static inline void tlbi_all(void)
{
	/* at EL2 with E2H and TGE set: the EL2&0 regime */
	asm volatile("dsb ishst\n tlbi vmalle1is\n dsb ish\n isb" ::: "memory");
}

#endif
#endif
