// SPDX-License-Identifier: GPL-2.0
/* Short sequences, one property each, at the level we run at. */
#include "poetest.h"

/* x0 of a primitive that loads; did it fault just now? */
static bool faulted(u64 before)
{
	return this_cpu()->traps != before;
}

void test_no_tlbi(void)
{
	u64 va = page(3, 0), other = page(4, 0), user = page(5, 1);
	int i;

	test_begin();
	for (i = 0; i < 50; i++) {
		set_por(deny(3, PO_R), POR_ALL);
		CHECK(allowed(P_READ, va) && !allowed(P_WRITE, va));
		CHECK(fault_is(P_WRITE, va, 3) && this_cpu()->esr & ESR_OVERLAY);
		CHECK(allowed(P_WRITE, other) && allowed(P_EXEC, other));
		set_por(POR_ALL, deny(5, PO_NONE));
		CHECK(allowed(P_WRITE, va) && allowed(P_READ, va) && allowed(P_EXEC, va));
		CHECK(!allowed(U_READ, user) && allowed(P_READ, user));
		set_por(deny(3, PO_RW), POR_ALL);
		CHECK(allowed(P_WRITE, va) && !allowed(P_EXEC, va) && allowed(U_WRITE, user));
		set_por(deny(3, PO_W), deny(5, PO_R));
		CHECK(allowed(P_WRITE, va) && !allowed(P_READ, va));
		CHECK(allowed(U_READ, user) && !allowed(U_WRITE, user));
	}
	reset();
	test_end("%s: a page in the TLB follows POR without TLBI", regime);
}

/*
 * One permission is revoked after it has been used, and nothing else changes:
 * what a kernel does all the time, and where an emulator may get by without
 * looking at its TLB.
 */
void test_revoke(void)
{
	static const struct { enum access priv, unpriv; u64 perm; } uses[] = {
		{ P_READ, U_READ, PO_R }, { P_WRITE, U_WRITE, PO_W }, { P_EXEC, U_EXEC, PO_X },
	};
	u64 less;
	u32 u;
	int i;

	test_begin();
	for (i = 1; i < 8; i++) {
		for (u = 0; u < 3; u++) {
			less = deny(i, 7 & ~uses[u].perm);
			set_por(POR_ALL, POR_ALL);
			CHECK(allowed(uses[u].priv, page(i, 0)));
			CHECK(allowed(uses[u].unpriv, page(i, 1)));
			set_por(less, POR_ALL);
			CHECK(!allowed(uses[u].priv, page(i, 0)));
			CHECK(allowed(uses[u].unpriv, page(i, 1)));
			set_por(POR_ALL, less);
			CHECK(allowed(uses[u].priv, page(i, 0)));
			CHECK(!allowed(uses[u].unpriv, page(i, 1)));
		}
		set_por(deny(i, PO_RW), deny(i, PO_RW));
		CHECK(allowed(P_WRITE, page(i, 0)) && allowed(U_WRITE, page(i, 1)));
		set_por(deny(i, PO_R), deny(i, PO_R));
		CHECK(!allowed(P_WRITE, page(i, 0)) && !allowed(U_WRITE, page(i, 1)));
	}
	reset();
	test_end("%s: one permission revoked after its use", regime);
}

void test_separate(void)
{
	int i, j;

	test_begin();
	for (i = 1; i < 8; i++) {
		set_por(deny(i, PO_R), deny(8 - i, PO_R));
		for (j = 1; j < 8; j++) {
			CHECK(allowed(P_WRITE, page(j, 1)) == (j != i));
			CHECK(allowed(U_WRITE, page(j, 1)) == (j != 8 - i));
			CHECK(allowed(P_STTR, page(j, 1)) == (j != 8 - i));
		}
	}
	/* fields 8 to 15 belong to no descriptor of this format */
	set_por(0x0000000077777777, 0x0000000077777777);
	for (j = 0; j < 8; j++)
		CHECK(allowed(P_WRITE, page(j, 1)) && allowed(U_WRITE, page(j, 1)));
	reset();
	test_end("%s: each POIndex has its own field, POR_EL1 and POR_EL0 apart", regime);
}

void test_pan(void)
{
	u64 user = page(2, 1), kernel = page(2, 0);

	if (!have_pan)
		return test_skip("no FEAT_PAN", "%s: PAN", regime);
	test_begin();
	write_sync(PSTATE_PAN, 1ul << 22);
	CHECK(!allowed(P_READ, user) && fault_is(P_READ, user, 3));
	CHECK(!(this_cpu()->esr & ESR_OVERLAY));
	CHECK(!allowed(P_WRITE, user) && allowed(P_LDTR, user) && allowed(P_STTR, user));
	set_por(POR_ALL, deny(2, PO_R));
	CHECK(!allowed(P_READ, user));
	CHECK(allowed(P_LDTR, user) && !allowed(P_STTR, user));
	CHECK(fault_is(P_STTR, user, 3) && this_cpu()->esr & ESR_OVERLAY);
	CHECK(allowed(P_WRITE, kernel));
	set_por(deny(2, PO_R), POR_ALL);
	CHECK(!allowed(P_WRITE, kernel) && this_cpu()->esr & ESR_OVERLAY);
	CHECK(allowed(P_STTR, user));
	write_sync(PSTATE_PAN, 0);
	/* without PAN: EL1's access to EL0's page is ruled by POR_EL1 alone */
	CHECK(allowed(P_READ, user) && !allowed(P_WRITE, user));
	set_por(POR_ALL, deny(2, PO_NONE));
	CHECK(allowed(P_READ, user) && allowed(P_WRITE, user) && !allowed(P_LDTR, user));
	reset();
	test_end("%s: PAN and the overlays", regime);
}

void test_atomics(void)
{
	u64 va = page(6, 0) + OFF_WRITE, *target = (u64 *)(ARENA + OFF_WRITE);
	struct cpu *c = this_cpu();
	u64 before, old;
	static const u64 perms[] = { PO_R, PO_W, PO_X };
	u32 i;

	if (!have_lse)
		return test_skip("no FEAT_LSE", "%s: atomics", regime);
	test_begin();
	for (i = 0; i < 3; i++) {
		set_por(deny(6, perms[i]), POR_ALL);
		before = c->traps;
		old = *target;
		here_ldadd(va, 1);
		CHECK(faulted(before) && *target == old && c->far == va);
		CHECK(ESR_FSC(c->esr) == FSC_PERM(3) && c->esr & ESR_OVERLAY);
	}
	set_por(deny(6, PO_RW), POR_ALL);
	before = c->traps;
	here_ldadd(va, 1);
	CHECK(!faulted(before) && *target == old + 1);
	reset();
	test_end("%s: an atomic needs both read and write", regime);
}

void test_crossing(void)
{
	/* two neighbours in the table with different POIndex */
	int first = 3 * 32 + 31;
	u64 va = PAGES_VA + first * 4096ul, saved = page_table[first];
	u64 before;

	test_begin();
	page_table[first] = (saved & ~(DESC_AP2 | DESC_AP1 | DESC_PXN | DESC_DBM));
	tlbi_all();
	set_por(deny(4, PO_NONE), POR_ALL);
	before = this_cpu()->traps;
	here_read(va + 4096 - 4);
	CHECK(faulted(before) && this_cpu()->far == va + 4096);
	set_por(deny(3, PO_NONE), POR_ALL);
	before = this_cpu()->traps;
	here_read(va + 4096 - 4);
	CHECK(faulted(before) && this_cpu()->far == va + 4096 - 4);
	set_por(POR_ALL, POR_ALL);
	before = this_cpu()->traps;
	here_read(va + 4096 - 4);
	CHECK(!faulted(before));
	page_table[first] = saved;
	reset();
	test_end("%s: an access across two POIndexes", regime);
}

/* With an overlay or PIE enabled the bits of table descriptors are ignored */
void test_hierarchy(void)
{
	u64 va = apt_va(entry(2, 1));	/* AP=01: both RW */
	u64 kernel = apt_va(entry(2, 0));
	struct setup s = plain;
	int poe;

	test_begin();
	mmu_set_apt(TABLE_AP_NO_EL0 | TABLE_AP_RO | TABLE_UXN | TABLE_PXN);
	for (poe = 0; poe < (have_poe ? 4 : 1); poe++) {
		s.poe = poe & 1;
		s.e0poe = poe & 2;
		apply_setup(&s);
		CHECK(allowed(P_WRITE, va) == !!poe);
		CHECK(allowed(U_READ, va) == !!poe);
		CHECK(allowed(U_EXEC, va) == !!poe);
		CHECK(allowed(P_EXEC, kernel) == !!poe);
	}
	mmu_set_apt(0);
	reset();
	test_end("%s: hierarchical permissions count only without overlays", regime);
}

void test_dirty(bool pie)
{
	/* writable-clean: direct AP2=1 with DBM; indirect nDirty=1 with a writable PIR */
	u64 va = PAGES_VA + 300 * 4096ul;
	u64 clean = DESC_PAGE | DESC_AF | DESC_SH_INNER | ARENA | DESC_AP2 | DESC_DBM | DESC_AP1 |
		    DESC_PXN | DESC_UXN | DESC_POI(4);
	u64 dirty = clean & ~DESC_AP2;
	struct setup s = plain;
	int user, allow, read_first;

	if (!have_dbm || (pie && !have_pie))
		return test_skip("no FEAT_HAFDBS or FEAT_S1PIE", "%s: dirty state, PIE=%d",
				 regime, pie);
	s.pie = pie;
	/* all four bits set: PIIndex 15 */
	s.pir = PIR_HOME | (u64)PI_RW_O << 60;
	s.pire0 = PIRE0_HOME | (u64)PI_RW_O << 60;
	apply_setup(&s);
	write_sync(tcr_el1, TCR_BASE | TCR_HA | TCR_HD);
	for (allow = 0; allow < 2; allow++) {
		test_begin();
		for (user = 0; user < 2; user++) {
			enum access rd = user ? U_READ : P_READ, wr = user ? U_WRITE : P_WRITE;

			for (read_first = 0; read_first < 2; read_first++) {
				set_por(user ? POR_ALL : deny(4, PO_R),
					user ? deny(4, PO_R) : POR_ALL);
				page_table[300] = clean;
				tlbi_all();
				if (read_first)
					CHECK(allowed(rd, va));
				if (allow)
					set_por(POR_ALL, POR_ALL);
				/* now with a TLB entry that the overlay does not restrict */
				if (allow && read_first)
					CHECK(allowed(rd, va));
				CHECK(allowed(wr, va) == allow);
				if (!allow)
					CHECK(fault_is(wr, va, 3) &&
					      this_cpu()->esr & ESR_OVERLAY);
				if (page_table[300] != (allow ? dirty : clean))
					test_fail("%s%s: descriptor is %x", access_name[wr],
						  read_first ? " after a read" : "",
						  page_table[300]);
			}
		}
		test_end("%s: %s write, PIE=%d", regime, allow ?
			 "the descriptor becomes dirty by an allowed" :
			 "the descriptor stays clean after a refused", pie);
	}
	page_table[300] = 0;
	write_reg(tcr_el1, TCR_BASE);
	reset();
}

static u64 do_at(enum access a, u64 va)
{
	switch (a) {
	case P_READ:
		asm volatile("at s1e1r, %0\n isb" :: "r" (va) : "memory");
		break;
	case P_WRITE:
		asm volatile("at s1e1w, %0\n isb" :: "r" (va) : "memory");
		break;
	case U_READ:
		asm volatile("at s1e0r, %0\n isb" :: "r" (va) : "memory");
		break;
	default:
		asm volatile("at s1e0w, %0\n isb" :: "r" (va) : "memory");
		break;
	}
	return read_reg(par_el1);
}

void test_at(bool pie)
{
	static const enum access kinds[] = { P_READ, P_WRITE, U_READ, U_WRITE };
	struct setup s = plain;
	int rotation, i, k;

	if (pie && !have_pie)
		return test_skip("no FEAT_S1PIE", "%s: AT, PIE=1", regime);
	test_begin();
	s.poe = s.e0poe = have_poe;
	s.pie = pie;
	for (rotation = 0; rotation < (have_poe ? 16 : 1); rotation++) {
		if (pie)
			pir_pattern(&s, rotation);
		apply_setup(&s);
		s.por1 = por_pattern(rotation, 0);
		s.por0 = por_pattern(rotation + 3, 0);
		set_por(s.por1, s.por0);
		for (i = 32; i < 256; i++) {
			u64 desc = leaf_bits(i), va = PAGES_VA + i * 4096ul;

			if (desc & (pie ? DESC_AP2 : DESC_DBM))
				continue;
			if (pie && PI_IS_HOME(i >> 1 & 15))
				continue;
			for (k = 0; k < 4; k++) {
				struct verdict v = judge(&s, desc, kinds[k]);
				u64 par = do_at(kinds[k], va);
				bool good = v.allowed ?
					!(par & PAR_F) && (par & 0xffffffffff000) == ARENA :
					par & PAR_F && PAR_FST(par) == FSC_PERM(3) &&
					!!(par & PAR_OVERLAY) == v.overlay;

				if (!good)
					test_fail("AT for %s: va %x desc %x par %x, expected %s%s pir %x pire0 %x por1 %x por0 %x",
						  access_name[kinds[k]], va, desc, par,
						  v.allowed ? "success" : "permission fault",
						  v.overlay ? " by overlay" : "", s.pir,
						  s.pire0, s.por1, s.por0);
			}
		}
	}
	reset();
	test_end("%s: AT S1E1R, S1E1W, S1E0R, S1E0W, PIE=%d", regime, pie);
}

/* When does a write take effect? What is expected before the event: */
#define BEFORE(old, new)	(lazy ? (old) : (new))

void test_when_el1(void)
{
	u64 va = page(2, 0) + OFF_READ, no = deny(2, PO_NONE), all = POR_ALL;
	struct cpu *c = this_cpu();
	u64 t;
	int i;

	test_begin();
	for (i = 0; i < 3; i++) {
		/* i=0: the page is not in the TLB; later: it is */
		set_por(all, all);
		if (!i)
			tlbi_all();
		t = c->traps;
		por1_ldr(no, va);
		CHECK(faulted(t) == BEFORE(false, true));
		t = c->traps;
		here_read(va);
		CHECK(faulted(t));

		set_por(no, all);
		if (!i)
			tlbi_all();
		t = c->traps;
		por1_ldr(all, va);
		CHECK(faulted(t) == BEFORE(true, false));
		t = c->traps;
		here_read(va);
		CHECK(!faulted(t));
	}
	test_end("%s: MSR POR_EL1 alone: %s", regime, lazy ? "the old value holds" : "at once");

	test_begin();
	set_por(all, all);
	t = c->traps;
	por1_dsb_ldr(no, va);
	CHECK(faulted(t) == BEFORE(false, true));
	test_end("%s: DSB after MSR POR_EL1 changes nothing", regime);

	test_begin();
	set_por(all, all);
	t = c->traps;
	por1_isb_ldr(no, va);
	CHECK(faulted(t));
	t = c->traps;
	por1_isb_ldr(all, va);
	CHECK(!faulted(t));
	t = c->traps;
	por1_por1_isb_ldr(no, va, all);
	CHECK(!faulted(t));
	t = c->traps;
	por1_por1_isb_ldr(all, va, no);
	CHECK(faulted(t));
	test_end("%s: ISB makes the last value written take effect", regime);

	test_begin();
	set_por(all, all);
	CHECK(por1_mrs(no) == no);
	CHECK(por1_mrs(all) == all);
	CHECK(por1_mrs(0x0123456701234567) == 0x0123456701234567);
	CHECK(por1_mrs(all) == all);
	test_end("%s: MRS returns the new value at once", regime);

	test_begin();
	set_por(all, all);
	por1_svc_ldr(no, va);
	CHECK(svc_traps == 1);
	por1_svc_ldr(all, va);
	CHECK(svc_traps == 0);
	test_end("%s: exception entry makes it take effect", regime);

	test_begin();
	set_por(all, all);
	svc_por = no;
	t = c->traps;
	svc_por1_eret_ldr(0, va);
	CHECK(svc_traps == BEFORE(0, 1));
	CHECK(c->traps - t - svc_traps == 1);
	svc_por = all;
	set_por(no, all);
	t = c->traps;
	svc_por1_eret_ldr(0, va);
	CHECK(svc_traps == BEFORE(1, 0));
	/* where the handler's own load faulted, that exception already was the event */
	CHECK(c->traps - t - svc_traps == 0);
	reset();
	test_end("%s: exception return makes it take effect", regime);
}

static bool el0_faulted(void)
{
	return ESR_EC(this_cpu()->esr) == EC_DABT_LOW;
}

void test_when_el0(void)
{
	u64 va = page(2, 1) + OFF_READ, no = deny(2, PO_NONE), all = POR_ALL;
	struct cpu *c = this_cpu();
	u64 t;

	test_begin();
	write_sync(cpacr_el1, CPACR_E0POE);
	set_por(all, all);
	el0_run(el0_addr(el0_por0_ldr), va, no);
	CHECK(el0_faulted() == BEFORE(false, true));
	el0_run(el0_addr(el0_read), va, 0);
	CHECK(el0_faulted());
	el0_run(el0_addr(el0_por0_ldr), va, all);
	CHECK(el0_faulted() == BEFORE(true, false));
	el0_run(el0_addr(el0_read), va, 0);
	CHECK(!el0_faulted());
	el0_run(el0_addr(el0_por0_isb_ldr), va, no);
	CHECK(el0_faulted());
	el0_run(el0_addr(el0_por0_isb_ldr), va, all);
	CHECK(!el0_faulted() && c->x0 == MAGIC);
	/* written at EL0, used by EL1's LDTR after exception entry */
	el0_run(el0_addr(el0_msr_por0), no, 0);
	t = c->traps;
	here_ldtr(va);
	CHECK(faulted(t));
	/* written at EL1, used at EL0 after exception return */
	write_reg(POR_EL0, all);
	el0_run(el0_addr(el0_read), va, 0);
	CHECK(!el0_faulted());
	write_reg(POR_EL0, no);
	el0_run(el0_addr(el0_read), va, 0);
	CHECK(el0_faulted());
	set_por(all, all);
	t = c->traps;
	por0_ldtr(no, va);
	CHECK(faulted(t) == BEFORE(false, true));
	t = c->traps;
	here_ldtr(va);
	CHECK(faulted(t));
	reset();
	test_end("%s: when a write to POR_EL0 takes effect (EL0, LDTR)", regime);
}

void test_registers(void)
{
	static const u64 values[] = { 0, ~0ul, 0x0123456789abcdef, 0xfedcba9876543210 };
	u64 i, want = TCR2_POE | TCR2_E0POE;

	test_begin();
	for (i = 0; i < 4; i++) {
		/* own memory has POIndex 0; bits are storage whatever they mean */
		u64 v = with_field(values[i], 0, PO_RWX);

		write_sync(POR_EL1, v);
		CHECK(read_reg(POR_EL1) == v);
		write_sync(POR_EL0, v);
		CHECK(read_reg(POR_EL0) == v);
		CHECK(read_reg(POR_EL1) == v);
		set_por(POR_ALL, POR_ALL);
	}
	write_sync(TCR2_EL1, want);
	CHECK((read_reg(TCR2_EL1) & want) == want);
	reset();
	test_end("%s: POR_EL1, POR_EL0, TCR2_EL1 keep what is written", regime);
}

void test_el0_traps(void)
{
	struct cpu *c = this_cpu();

	test_begin();
	write_sync(cpacr_el1, 0);
	CHECK(!(read_reg(cpacr_el1) & CPACR_E0POE));
	write_sync(POR_EL0, POR_ALL);
	el0_run(el0_addr(el0_mrs_por0), 0, 0);
	CHECK(ESR_EC(c->esr) == EC_SYSREG);
	CHECK((c->esr & ISS_SYSREG_MASK) == ISS_POR_EL0(1) && (c->esr >> 5 & 31) == 0);
	el0_run(el0_addr(el0_msr_por0), 0, 0);
	CHECK(ESR_EC(c->esr) == EC_SYSREG && (c->esr & ISS_SYSREG_MASK) == ISS_POR_EL0(0));
	CHECK(read_reg(POR_EL0) == POR_ALL);
	write_sync(cpacr_el1, CPACR_E0POE);
	CHECK(read_reg(cpacr_el1) & CPACR_E0POE);
	el0_run(el0_addr(el0_mrs_por0), 0, 0);
	CHECK(ESR_EC(c->esr) == EC_SVC && c->x0 == POR_ALL);
	el0_run(el0_addr(el0_msr_por0), deny(3, PO_R), 0);
	CHECK(ESR_EC(c->esr) == EC_SVC && read_reg(POR_EL0) == deny(3, PO_R));
	test_end("%s: CPACR_EL1.E0POE traps EL0's use of POR_EL0", regime);

	test_begin();
	el0_run(el0_addr(el0_mrs_por1), 0, 0);
	CHECK(ESR_EC(c->esr) == EC_UNDEF);
	reset();
	test_end("%s: POR_EL1 is UNDEFINED at EL0", regime);
}

/* ---- a second CPU ---- */

static u8 stack[16384] __attribute__((aligned(16)));
static struct cpu second_cpu = { .stack = (u64)stack + sizeof(stack) };

enum mail { MAIL_EMPTY, MAIL_POR, MAIL_READ, MAIL_WRITE, MAIL_OFF };

static volatile struct {
	u64 what, arg, answer;
} mail;

void secondary_main(void)
{
	mmu_on();
	reset();
	mail.answer = 1;
	for (;;) {
		u64 what = mail.what, arg = mail.arg, answer = 0;

		if (what == MAIL_EMPTY)
			continue;
		dsb();
		if (what == MAIL_POR)
			write_sync(POR_EL1, arg);
		else if (what == MAIL_READ)
			answer = allowed(P_READ, arg);
		else if (what == MAIL_WRITE)
			answer = allowed(P_WRITE, arg);
		mail.answer = answer;
		dsb();
		mail.what = MAIL_EMPTY;
		if (what == MAIL_OFF)
			for (;;)
				asm volatile("wfi");
	}
}

static u64 ask(u64 what, u64 arg)
{
	mail.arg = arg;
	dsb();
	mail.what = what;
	while (mail.what != MAIL_EMPTY)
		;
	dsb();
	return mail.answer;
}

static u64 psci_cpu_on(bool smc)
{
	register u64 x0 asm("x0") = 0xc4000003;
	register u64 x1 asm("x1") = 1;
	register u64 x2 asm("x2") = (u64)secondary_start;
	register u64 x3 asm("x3") = (u64)&second_cpu;

	if (smc)
		asm volatile("smc #0" : "+r" (x0), "+r" (x1), "+r" (x2), "+r" (x3) :: "memory");
	else
		asm volatile("hvc #0" : "+r" (x0), "+r" (x1), "+r" (x2), "+r" (x3) :: "memory");
	return x0;
}

void test_smp(void)
{
	u64 va = page(3, 0);
	int i;

	/* with our own EL3 there is no PSCI */
	if (el3_here)
		return;
	if (psci_cpu_on(current_el() == 2))
		return test_skip("one CPU", "%s: each CPU has its own POR_EL1", regime);
	test_begin();
	while (!mail.answer)
		;
	for (i = 0; i < 5; i++) {
		set_por(deny(3, PO_R), POR_ALL);
		CHECK(ask(MAIL_WRITE, va) && !allowed(P_WRITE, va));
		ask(MAIL_POR, deny(3, PO_NONE));
		CHECK(!ask(MAIL_READ, va) && allowed(P_READ, va));
		set_por(POR_ALL, POR_ALL);
		CHECK(!ask(MAIL_READ, va) && allowed(P_WRITE, va));
		tlbi_all();
		CHECK(!ask(MAIL_READ, va) && allowed(P_WRITE, va));
		ask(MAIL_POR, POR_ALL);
		CHECK(ask(MAIL_WRITE, va) && allowed(P_WRITE, va));
	}
	ask(MAIL_OFF, 0);
	test_end("%s: each CPU has its own POR_EL1", regime);
}

/* ---- absent ---- */

void test_absent(void)
{
	int i;

	test_begin();
	CHECK(undefined(read_reg(POR_EL1)));
	CHECK(undefined(write_reg(POR_EL1, 0)));
	CHECK(undefined(read_reg(POR_EL0)));
	CHECK(undefined(write_reg(POR_EL0, 0)));
	el0_run(el0_addr(el0_mrs_por0), 0, 0);
	CHECK(ESR_EC(this_cpu()->esr) == EC_UNDEF);
	if (current_el() == 2) {
		CHECK(undefined(read_reg(POR_EL2)));
		CHECK(undefined(read_reg(POR_EL12)));
	}
	test_end("%s: without FEAT_S1POE the POR registers are UNDEFINED", regime);

	/* RES0: whether they keep a 1 is not said, only that it does nothing */
	test_begin();
	if (have_tcr2)
		write_sync(TCR2_EL1, TCR2_POE | TCR2_E0POE);
	write_sync(cpacr_el1, CPACR_E0POE);
	tlbi_all();
	el0_run(el0_addr(el0_mrs_por0), 0, 0);
	CHECK(ESR_EC(this_cpu()->esr) == EC_UNDEF);
	for (i = 1; i < 8; i++) {
		CHECK(allowed(P_WRITE, page(i, 0)) && allowed(P_EXEC, page(i, 0)));
		CHECK(allowed(U_WRITE, page(i, 1)) && allowed(P_STTR, page(i, 1)));
	}
	if (have_tcr2)
		write_sync(TCR2_EL1, 0);
	write_sync(cpacr_el1, 0);
	tlbi_all();
	test_end("%s: without FEAT_S1POE the control bits do nothing", regime);
}

