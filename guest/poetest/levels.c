// SPDX-License-Identifier: GPL-2.0
/* What EL2 and EL3 can do to the overlays of those below. */
#include "poetest.h"

/* ---- EL2 ---- */

static u8 stack_hyp[16384] __attribute__((aligned(16)));

static void hyp_controls(u64 hcr, u64 hfgrtr, u64 hfgwtr, u64 hcrx)
{
	register u64 x0 asm("x0") = hcr;
	register u64 x1 asm("x1") = hfgrtr;
	register u64 x2 asm("x2") = hfgwtr;
	register u64 x3 asm("x3") = hcrx;

	asm volatile("hvc #0" : "+r" (x0), "+r" (x1), "+r" (x2), "+r" (x3) :: "memory");
	hyp_traps = 0;
}

static void hyp_no_traps(void)
{
	hyp_controls(0, HFGXTR_NO_TRAPS, HFGXTR_NO_TRAPS, HCRX_TCR2EN);
}

void test_vhe_names(void)
{
	u64 a = deny(1, PO_R), b = deny(2, PO_R);

	test_begin();
	write_sync(POR_EL1, a);		/* is POR_EL2 here */
	write_sync(POR_EL12, b);
	CHECK(read_reg(POR_EL2) == a);
	CHECK(read_reg(POR_EL1) == a);
	CHECK(read_reg(POR_EL12) == b);
	write_sync(POR_EL2, POR_ALL);
	CHECK(read_reg(POR_EL1) == POR_ALL && read_reg(POR_EL12) == b);
	/* the guest's register does not rule the host */
	write_sync(POR_EL12, 0);
	CHECK(allowed(P_WRITE, page(3, 0)));
	write_reg(TCR2_EL12, 0);
	CHECK(read_reg(TCR2_EL1) & TCR2_POE);
	reset();
	test_end("el2: with E2H, POR_EL1 is POR_EL2, and POR_EL12 is POR_EL1");
}

void test_el1_names(void)
{
	test_begin();
	CHECK(undefined(read_reg(POR_EL2)));
	CHECK(undefined(write_reg(POR_EL2, 0)));
	CHECK(undefined(read_reg(POR_EL12)));
	CHECK(undefined(write_reg(POR_EL12, 0)));
	test_end("%s: POR_EL2 and POR_EL12 are UNDEFINED at EL1", regime);
}

/* Does @op go to this level once and with this ISS? */
#define trapped(level, op, iss) ({				\
	level##_traps = 0;					\
	op;							\
	level##_traps == 1 &&					\
	ESR_EC(level##_esr) == EC_SYSREG &&			\
	(level##_esr & ISS_SYSREG_MASK) == (u64)(iss); })
#define not_trapped(level, op) ({ level##_traps = 0; op; level##_traps == 0; })

#define to_el2(op, iss) trapped(hyp, op, iss)
#define not_to_el2(op) not_trapped(hyp, op)

void test_el2_traps(void)
{
	const u64 none = HFGXTR_NO_TRAPS;

	test_begin();
	hyp_controls(HCR_TVM, none, none, HCRX_TCR2EN);
	CHECK(to_el2(write_reg(POR_EL1, POR_ALL), ISS_POR_EL1(0)));
	CHECK(to_el2(write_reg(POR_EL0, POR_ALL), ISS_POR_EL0(0)));
	CHECK(not_to_el2(read_reg(POR_EL1)) && not_to_el2(read_reg(POR_EL0)));
	hyp_controls(HCR_TRVM, none, none, HCRX_TCR2EN);
	CHECK(to_el2(read_reg(POR_EL1), ISS_POR_EL1(1)));
	CHECK(to_el2(read_reg(POR_EL0), ISS_POR_EL0(1)));
	CHECK(not_to_el2(write_reg(POR_EL1, POR_ALL)) && not_to_el2(write_reg(POR_EL0, POR_ALL)));
	hyp_no_traps();
	test_end("el1: HCR_EL2.TVM and TRVM trap POR_EL1 and POR_EL0");

	test_begin();
	hyp_controls(0, none & ~HFGXTR_nPOR_EL1, none, HCRX_TCR2EN);
	CHECK(to_el2(read_reg(POR_EL1), ISS_POR_EL1(1)));
	CHECK(not_to_el2(write_reg(POR_EL1, POR_ALL)) && not_to_el2(read_reg(POR_EL0)));
	hyp_controls(0, none, none & ~HFGXTR_nPOR_EL1, HCRX_TCR2EN);
	CHECK(to_el2(write_reg(POR_EL1, 0), ISS_POR_EL1(0)));
	CHECK(not_to_el2(read_reg(POR_EL1)) && not_to_el2(write_reg(POR_EL0, POR_ALL)));
	CHECK(read_reg(POR_EL1) == POR_ALL);
	hyp_controls(0, none & ~HFGXTR_nPOR_EL0, none, HCRX_TCR2EN);
	CHECK(to_el2(read_reg(POR_EL0), ISS_POR_EL0(1)));
	CHECK(not_to_el2(write_reg(POR_EL0, POR_ALL)) && not_to_el2(read_reg(POR_EL1)));
	hyp_controls(0, none, none & ~HFGXTR_nPOR_EL0, HCRX_TCR2EN);
	CHECK(to_el2(write_reg(POR_EL0, 0), ISS_POR_EL0(0)));
	CHECK(not_to_el2(read_reg(POR_EL0)) && not_to_el2(write_reg(POR_EL1, POR_ALL)));
	hyp_no_traps();
	test_end("el1: HFGRTR_EL2 and HFGWTR_EL2 nPOR_EL1, nPOR_EL0");

	test_begin();
	write_sync(cpacr_el1, CPACR_E0POE);
	hyp_controls(0, none & ~HFGXTR_nPOR_EL0, none, HCRX_TCR2EN);
	CHECK(to_el2(el0_run(el0_addr(el0_mrs_por0), 0, 0), ISS_POR_EL0(1)));
	hyp_controls(0, none, none & ~HFGXTR_nPOR_EL0, HCRX_TCR2EN);
	CHECK(to_el2(el0_run(el0_addr(el0_msr_por0), 0, 0), ISS_POR_EL0(0)));
	/* EL1's own trap comes first */
	write_sync(cpacr_el1, 0);
	hyp_traps = 0;
	el0_run(el0_addr(el0_msr_por0), 0, 0);
	CHECK(!hyp_traps && ESR_EC(this_cpu()->esr) == EC_SYSREG);
	hyp_no_traps();
	reset();
	test_end("el1: nPOR_EL0 traps EL0's accesses to EL2, after CPACR_EL1");
}

void test_tcr2en(void)
{
	u64 va = page(3, 0), user = page(3, 1);

	test_begin();
	set_por(deny(3, PO_R), deny(3, PO_R));
	CHECK(!allowed(P_WRITE, va) && !allowed(U_WRITE, user));
	hyp_controls(0, HFGXTR_NO_TRAPS, HFGXTR_NO_TRAPS, 0);
	CHECK(allowed(P_WRITE, va) && allowed(U_WRITE, user));
	hyp_no_traps();
	CHECK(!allowed(P_WRITE, va) && !allowed(U_WRITE, user));
	reset();
	test_end("el1: HCRX_EL2.TCR2En=0 makes TCR2_EL1 zero, no overlay");
}

/* What a guest hypervisor at EL1 reaches instead of the registers */
static volatile u64 nv_page[512] __attribute__((aligned(4096)));

static bool have_nv2(void)
{
	return (read_reg(id_aa64mmfr2_el1) >> 24 & 15) >= 2;
}

void test_nv(void)
{
	const u64 none = HFGXTR_NO_TRAPS;
	volatile u64 *mem = &nv_page[VNCR_POR_EL1 / 8];
	u64 sctlr = read_reg(sctlr_el1), seen, moved;

	if (!have_nv2())
		return test_skip("no FEAT_NV2", "el1: nested virtualization");
	test_begin();
	hyp_controls(HCR_NV, none, none, HCRX_TCR2EN);
	CHECK(to_el2(read_reg(POR_EL12), ISS_POR_EL12(1)));
	CHECK(to_el2(write_reg(POR_EL12, 0), ISS_POR_EL12(0)));
	CHECK(to_el2(read_reg(POR_EL2), ISS_POR_EL2(1)));
	CHECK(to_el2(write_reg(POR_EL2, 0), ISS_POR_EL2(0)));
	hyp_no_traps();
	test_end("el1: HCR_EL2.NV traps POR_EL12 and POR_EL2");

	test_begin();
	hyp_controls(HCR_NV | HCR_NV2, none, none, HCRX_TCR2EN);
	*mem = 0x1111;
	CHECK(not_to_el2(CHECK(read_reg(POR_EL12) == 0x1111)));
	CHECK(not_to_el2(write_reg(POR_EL12, 0x2222)) && *mem == 0x2222);
	CHECK(read_reg(POR_EL1) == POR_ALL && *mem == 0x2222);
	CHECK(to_el2(read_reg(POR_EL2), ISS_POR_EL2(1)));
	hyp_no_traps();
	test_end("el1: NV2: POR_EL12 is in memory");

	/* NV1 changes what descriptors mean: without the MMU */
	test_begin();
	write_sync(sctlr_el1, SCTLR_RES1);
	hyp_controls(HCR_NV | HCR_NV1 | HCR_NV2, none, none, HCRX_TCR2EN);
	*mem = 0x3333;
	seen = read_reg(POR_EL1);
	write_reg(POR_EL1, 0x4444);
	moved = *mem;
	hyp_no_traps();
	write_sync(sctlr_el1, sctlr);
	CHECK(seen == 0x3333);
	CHECK(moved == 0x4444);
	CHECK(read_reg(POR_EL1) == POR_ALL);
	test_end("el1: NV2 with NV1: POR_EL1 is in memory");
}

void drop_to_el1(void)
{
	bool fgt = read_reg(id_aa64mmfr0_el1) >> 56 & 15;
	bool hcx = read_reg(id_aa64mmfr1_el1) >> 40 & 15;

	/* EL2's own accesses stay without overlay */
	if (have_tcr2)
		write_reg(TCR2_EL1, 0);
	write_reg(vbar_el1, hyp_vectors);
	write_reg(cpacr_el1, 3ul << 20);	/* of EL2: no FP traps */
	write_reg(hcr_el2, HCR_RW | HCR_E2H);
	isb();
	if (fgt) {
		write_reg(HFGRTR_EL2, HFGXTR_NO_TRAPS);
		write_reg(HFGWTR_EL2, HFGXTR_NO_TRAPS);
	}
	if (hcx)
		write_reg(HCRX_EL2, HCRX_TCR2EN);
	if (have_nv2())
		write_reg(VNCR_EL2, nv_page);
	write_reg(s3_5_c1_c0_0, SCTLR_RES1);	/* SCTLR_EL12 */
	write_reg(s3_5_c12_c0_0, vectors);	/* VBAR_EL12 */
	write_reg(spsr_el1, 0x3c5);
	/* EL1 goes on with this stack */
	asm volatile("adr x0, 1f\n msr elr_el1, x0\n mov x0, sp\n msr sp_el1, x0\n"
		     "mov sp, %0\n eret\n1:"
		     :: "r" (stack_hyp + sizeof(stack_hyp)) : "x0", "memory");
}

/* ---- EL3 ---- */

#define to_el3(op, iss) trapped(el3, op, iss)
#define not_to_el3(op) not_trapped(el3, op)

static void set_scr(u64 scr)
{
	register u64 x0 asm("x0") = scr;

	asm volatile("smc #0" : "+r" (x0) :: "x14", "x15", "memory");
	tlbi_all();
}

static u64 el3_por(u64 por)
{
	register u64 x0 asm("x0") = por;

	asm volatile("smc #1" : "+r" (x0) :: "x14", "x15", "memory");
	return x0;
}

void test_el3(void)
{
	u64 va = page(3, 0), user = page(3, 1);
	static const struct setup no_overlay;

	test_begin();
	write_sync(cpacr_el1, CPACR_E0POE);
	/* whether PIEn=0 changes what overlays do is not judged here */
	apply_setup(&no_overlay);
	set_scr(SCR_ALL & ~SCR_PIEN);
	CHECK(to_el3(read_reg(POR_EL1), ISS_POR_EL1(1)));
	CHECK(to_el3(write_reg(POR_EL1, 0), ISS_POR_EL1(0)));
	CHECK(to_el3(read_reg(POR_EL0), ISS_POR_EL0(1)));
	CHECK(to_el3(write_reg(POR_EL0, 0), ISS_POR_EL0(0)));
	CHECK(to_el3(el0_run(el0_addr(el0_mrs_por0), 0, 0), ISS_POR_EL0(1)));
	CHECK(to_el3(el0_run(el0_addr(el0_msr_por0), 0, 0), ISS_POR_EL0(0)));
	if (current_el() == 2) {
		CHECK(to_el3(read_reg(POR_EL2), ISS_POR_EL2(1)));
		CHECK(to_el3(write_reg(POR_EL2, 0), ISS_POR_EL2(0)));
	}
	set_scr(SCR_ALL);
	CHECK(not_to_el3(read_reg(POR_EL1)) && not_to_el3(write_reg(POR_EL0, POR_ALL)));
	CHECK(read_reg(POR_EL1) == POR_ALL && read_reg(POR_EL0) == POR_ALL);
	reset();
	test_end("%s: SCR_EL3.PIEn traps the POR registers to EL3", regime);

	test_begin();
	set_por(deny(3, PO_R), deny(3, PO_R));
	set_scr(SCR_ALL & ~SCR_TCR2EN);
	CHECK(allowed(P_WRITE, va) && allowed(U_WRITE, user));
	set_scr(SCR_ALL);
	CHECK(!allowed(P_WRITE, va) && !allowed(U_WRITE, user));
	reset();
	test_end("%s: SCR_EL3.TCR2En=0 makes TCR2_ELx zero, no overlay", regime);

	test_begin();
	CHECK(el3_por(0x0123456789abcdef) == 0x0123456789abcdef);
	CHECK(read_reg(POR_EL1) == POR_ALL);
	CHECK(allowed(P_WRITE, va));
	CHECK(undefined(read_reg(POR_EL3)));
	test_end("%s: POR_EL3 is EL3's alone", regime);
}

