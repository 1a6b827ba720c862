// SPDX-License-Identifier: GPL-2.0
/*
 * Judges an emulator's FEAT_S1POE. See ../README.rst for how it is started.
 *
 * The bulk is table-driven: matrix() makes every access through every mapping
 * and compares with judge(). The rest are short sequences, one property each.
 */
#include "poetest.h"

#define MAGIC		0x600df00d12345678ul
#define OFF_READ	0x100
#define OFF_WRITE	0x108
#define BLOCK_OFF	0x150000	/* where in a block we look */
#define POR_ALL		0x7777777777777777ul
/* the program's own mapping: RWX for EL1; its EL0 page: RX for EL0; no overlay */
#define PIR_HOME	((u64)PI_RWX << (4 * 8))
#define PIRE0_HOME	((u64)PI_RX << (4 * 5))
#define PI_IS_HOME(i)	((i) == 8 || (i) == 5)

static u8 stack0[16384] __attribute__((aligned(16)));
static u8 stack1[16384] __attribute__((aligned(16)));
static u8 stack_hyp[16384] __attribute__((aligned(16)));

struct cpu boot_cpu = { .stack = (u64)stack0 + sizeof(stack0) };
static struct cpu second_cpu = { .stack = (u64)stack1 + sizeof(stack1) };

static bool lazy, have_tcr2, have_pie, have_poe, have_dbm, have_pan, have_lse;
static const char *regime;

static const char * const access_name[NR_ACCESS] = {
	"EL1 read", "EL1 write", "EL1 exec", "EL0 read", "EL0 write", "EL0 exec", "LDTR", "STTR",
};

/* ---- exceptions ---- */

/* as saved by start.S */
struct frame {
	u64 x[31], elr, spsr;
};

/* what the handler of SVC #2 leaves */
static u64 svc_por, svc_traps, svc_value;

/* From the level the tests run at: record, step over */
void trap(struct frame *f)
{
	struct cpu *c = this_cpu();
	u64 esr = read_reg(esr_el1), ec = ESR_EC(esr);

	if (ec == EC_SVC) {
		u64 before = c->traps;

		if ((esr & 0xffff) == 2)
			write_reg(POR_EL1, svc_por);
		svc_value = here_read(f->x[1]);
		svc_traps = c->traps - before;
		f->x[0] = svc_value;
		return;
	}
	c->traps++;
	c->esr = esr;
	c->far = read_reg(far_el1);
	c->elr = f->elr;
	if (ec == EC_IABT)
		f->elr = f->x[30];
	else if (ec == EC_DABT || ec == EC_UNDEF || ec == EC_SYSREG)
		f->elr += 4;
	else
		die(esr, f->elr, c->far);
}

/* EL2 below an EL1 under test: HVC #0 asks for new trap controls */
static volatile u64 hyp_traps, hyp_esr;

void hyp_trap(struct frame *f)
{
	u64 esr = read_reg(esr_el1), ec = ESR_EC(esr);

	if (ec == EC_HVC) {
		write_reg(hcr_el2, HCR_RW | HCR_E2H | f->x[0]);
		write_reg(HFGRTR_EL2, f->x[1]);
		write_reg(HFGWTR_EL2, f->x[2]);
		write_reg(HCRX_EL2, f->x[3]);
		isb();
		tlbi_all();
	} else if (ec == EC_SYSREG) {
		hyp_traps++;
		hyp_esr = esr;
		f->elr += 4;
	} else {
		die(esr, f->elr, read_reg(far_el1));
	}
}

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

/* ---- one access ---- */

/* Returns true if it went through; otherwise this_cpu() says why */
static bool do_access(enum access a, u64 va, u64 value)
{
	struct cpu *c = this_cpu();
	u64 before = c->traps;

	switch (a) {
	case P_READ:
		c->x0 = here_read(va + OFF_READ);
		break;
	case P_WRITE:
		here_write(va + OFF_WRITE, value);
		break;
	case P_EXEC:
		here_exec(va);
		break;
	case P_LDTR:
		c->x0 = here_ldtr(va + OFF_READ);
		break;
	case P_STTR:
		here_sttr(va + OFF_WRITE, value);
		break;
	case U_READ:
		el0_run(el0_addr(el0_read), va + OFF_READ, 0);
		break;
	case U_WRITE:
		el0_run(el0_addr(el0_write), va + OFF_WRITE, value);
		break;
	case U_EXEC:
		el0_run(el0_addr(el0_exec), va, 0);
		break;
	default:
		break;
	}
	if (a >= U_READ && a <= U_EXEC)
		return ESR_EC(c->esr) == EC_SVC;
	return c->traps == before;
}

static bool allowed(enum access a, u64 va)
{
	return do_access(a, va, MAGIC);
}

/* The fault just recorded: a permission fault of this access, at this level */
static bool fault_is(enum access a, u64 va, int level)
{
	struct cpu *c = this_cpu();
	bool low = a == U_READ || a == U_WRITE || a == U_EXEC;
	u64 ec = is_exec(a) ? (low ? EC_IABT_LOW : EC_IABT) : (low ? EC_DABT_LOW : EC_DABT);
	u64 far = va + (is_exec(a) ? 0 : is_write(a) ? OFF_WRITE : OFF_READ);

	return ESR_EC(c->esr) == ec && ESR_FSC(c->esr) == (u64)FSC_PERM(level) && c->far == far &&
	       (is_exec(a) || !!(c->esr & ESR_WNR) == is_write(a));
}

static void check_access(const struct setup *s, u64 desc, u64 va, enum access a, int level)
{
	static u64 serial = MAGIC;
	volatile u64 *target = (u64 *)(ARENA + (va & (level == 2 ? 0x1fffff : 0xfff)) + OFF_WRITE);
	struct verdict v = judge(s, desc, a);
	struct cpu *c = this_cpu();
	u64 old = *target;
	bool ok = do_access(a, va, ++serial);
	const char *what = 0;

	if (ok != v.allowed)
		what = ok ? "allowed, must fault" : "faulted, must be allowed";
	else if (!ok && !fault_is(a, va, level))
		what = "wrong syndrome or address";
	else if (!ok && !!(c->esr & ESR_OVERLAY) != v.overlay)
		what = v.overlay ? "Overlay bit must be set" : "Overlay bit must be clear";
	else if (is_write(a) && *target != (v.allowed ? serial : old))
		what = v.allowed ? "memory not written" : "memory written";
	else if (v.allowed && (a == P_READ || a == P_LDTR || a == U_READ) && c->x0 != MAGIC)
		what = "wrong value read";
	if (what)
		test_fail("%s: %s: va %x desc %x esr %x far %x pir %x pire0 %x por1 %x por0 %x",
			  access_name[a], what, va, desc, c->esr, c->far, s->pir, s->pire0,
			  s->por1, s->por0);
}

/* ---- registers ---- */

static void set_por(u64 por1, u64 por0)
{
	if (!have_poe)
		return;
	write_reg(POR_EL1, por1);
	write_sync(POR_EL0, por0);
}

static void apply_setup(const struct setup *s)
{
	set_por(POR_ALL, POR_ALL);
	if (have_pie) {
		write_reg(PIR_EL1, s->pir);
		write_reg(PIRE0_EL1, s->pire0);
	}
	if (have_tcr2)
		write_reg(TCR2_EL1, (s->pie ? TCR2_PIE : 0) | (s->poe ? TCR2_POE : 0) |
				    (s->e0poe ? TCR2_E0POE : 0));
	write_reg(sctlr_el1, SCTLR_RES1 | SCTLR_M | SCTLR_C | SCTLR_I |
			     (s->wxn ? SCTLR_WXN : 0));
	isb();
	tlbi_all();
}

/* The usual state between tests: direct permissions, overlays on for both */
static const struct setup plain = { .poe = true, .e0poe = true };

static void reset(void)
{
	struct setup s = plain;

	s.poe = s.e0poe = have_poe;
	mmu_set_home(0);
	apply_setup(&s);
}

static u64 with_field(u64 reg, int i, u64 v)
{
	return (reg & ~(0xful << (4 * i))) | v << (4 * i);
}

/* Every POIndex its own field; @rotation 0..15 brings each value to each index */
static u64 por_pattern(int rotation, int home)
{
	u64 por = 0;
	int i;

	for (i = 0; i < 16; i++)
		por = with_field(por, i, (rotation + 5 * i) & 0xf);
	return with_field(por, home, PO_RWX);
}

/* ---- the matrix ---- */

static u64 leaf_bits(int i)
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
static void pir_pattern(struct setup *s, int round)
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

static void matrices(void)
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

/* ---- sequences ---- */

/* entries of page_table for the tests that follow */
static int entry(int poi, int ap)	/* AP[2:1], UXN=0, PXN=0 */
{
	return poi * 32 + (ap >> 1) + (ap & 1) * 2;
}

static u64 page(int poi, int ap)
{
	return PAGES_VA + entry(poi, ap) * 4096ul;
}

static u64 deny(int poi, u64 perm)
{
	return with_field(POR_ALL, poi, perm);
}

/* x0 of a primitive that loads; did it fault just now? */
static bool faulted(u64 before)
{
	return this_cpu()->traps != before;
}

static void test_no_tlbi(void)
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

static void test_separate(void)
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

static void test_pan(void)
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

static void test_atomics(void)
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

static void test_crossing(void)
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
static void test_hierarchy(void)
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

static void test_dirty(bool pie)
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

static void test_at(bool pie)
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

static void test_when_el1(void)
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

static void test_when_el0(void)
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

static void test_registers(void)
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

static void test_el0_traps(void)
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

#define undefined(op) ({					\
	u64 _before = this_cpu()->traps;			\
	op;							\
	this_cpu()->traps != _before && ESR_EC(this_cpu()->esr) == EC_UNDEF; })

/* ---- EL2 ---- */

static void test_vhe_names(void)
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

static void test_el1_names(void)
{
	test_begin();
	CHECK(undefined(read_reg(POR_EL2)));
	CHECK(undefined(write_reg(POR_EL2, 0)));
	CHECK(undefined(read_reg(POR_EL12)));
	CHECK(undefined(write_reg(POR_EL12, 0)));
	test_end("%s: POR_EL2 and POR_EL12 are UNDEFINED at EL1", regime);
}

/* Does @op go to EL2 with this ISS? */
#define to_el2(op, iss) ({					\
	hyp_traps = 0;						\
	op;							\
	hyp_traps == 1 && ESR_EC(hyp_esr) == EC_SYSREG &&	\
	(hyp_esr & ISS_SYSREG_MASK) == (u64)(iss); })
#define not_to_el2(op) ({ hyp_traps = 0; op; hyp_traps == 0; })

static void test_el2_traps(void)
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

static void test_tcr2en(void)
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

/* ---- EL3 ---- */

#define to_el3(op, iss) ({					\
	el3_traps = 0;						\
	op;							\
	el3_traps == 1 && ESR_EC(el3_esr) == EC_SYSREG &&	\
	(el3_esr & ISS_SYSREG_MASK) == (u64)(iss); })
#define not_to_el3(op) ({ el3_traps = 0; op; el3_traps == 0; })

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

static void test_el3(void)
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

/* ---- a second CPU ---- */

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

static void test_smp(void)
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
	for (i = 0; i < 20; i++) {
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

static void test_absent(void)
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

/* ---- */

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

/* The EL2 regime: entered and left with the MMU off */
static void suite_nvhe(void)
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

static void drop_to_el1(void)
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
	write_reg(s3_5_c1_c0_0, SCTLR_RES1);	/* SCTLR_EL12 */
	write_reg(s3_5_c12_c0_0, vectors);	/* VBAR_EL12 */
	write_reg(spsr_el1, 0x3c5);
	/* EL1 goes on with this stack */
	asm volatile("adr x0, 1f\n msr elr_el1, x0\n mov x0, sp\n msr sp_el1, x0\n"
		     "mov sp, %0\n eret\n1:"
		     :: "r" (stack_hyp + sizeof(stack_hyp)) : "x0", "memory");
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
			suite_nvhe();
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
