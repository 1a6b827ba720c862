// SPDX-License-Identifier: GPL-2.0
/* Exceptions, the accesses under test, the registers that rule them. */
#include "poetest.h"

bool lazy, have_tcr2, have_pie, have_poe, have_dbm, have_pan, have_lse;
const char *regime;

const char * const access_name[NR_ACCESS] = {
	"EL1 read", "EL1 write", "EL1 exec", "EL0 read", "EL0 write", "EL0 exec", "LDTR", "STTR",
};

/* ---- exceptions ---- */

/* as saved by start.S */
struct frame {
	u64 x[31], elr, spsr;
};

/* what the handler of SVC #2 leaves */
u64 svc_por, svc_traps;

/* From the level the tests run at: record, step over */
void trap(struct frame *f)
{
	struct cpu *c = this_cpu();
	u64 esr = read_reg(esr_el1), ec = ESR_EC(esr);

	if (ec == EC_SVC) {
		u64 before = c->traps;

		if ((esr & 0xffff) == 2)
			write_reg(POR_EL1, svc_por);
		here_read(f->x[1]);
		svc_traps = c->traps - before;
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
volatile u64 hyp_traps, hyp_esr;

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

/* ---- one access ---- */

/* Returns true if it went through; otherwise this_cpu() says why */
bool do_access(enum access a, u64 va, u64 value)
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

bool allowed(enum access a, u64 va)
{
	return do_access(a, va, MAGIC);
}

/* The fault just recorded: a permission fault of this access, at this level */
bool fault_is(enum access a, u64 va, int level)
{
	struct cpu *c = this_cpu();
	bool low = a == U_READ || a == U_WRITE || a == U_EXEC;
	u64 ec = is_exec(a) ? (low ? EC_IABT_LOW : EC_IABT) : (low ? EC_DABT_LOW : EC_DABT);
	u64 far = va + (is_exec(a) ? 0 : is_write(a) ? OFF_WRITE : OFF_READ);

	return ESR_EC(c->esr) == ec && ESR_FSC(c->esr) == (u64)FSC_PERM(level) && c->far == far &&
	       (is_exec(a) || !!(c->esr & ESR_WNR) == is_write(a));
}

void check_access(const struct setup *s, u64 desc, u64 va, enum access a, int level)
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

void set_por(u64 por1, u64 por0)
{
	if (!have_poe)
		return;
	write_reg(POR_EL1, por1);
	write_sync(POR_EL0, por0);
}

void apply_setup(const struct setup *s)
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
const struct setup plain = { .poe = true, .e0poe = true };

void reset(void)
{
	struct setup s = plain;

	s.poe = s.e0poe = have_poe;
	mmu_set_home(0);
	apply_setup(&s);
}

u64 with_field(u64 reg, int i, u64 v)
{
	return (reg & ~(0xful << (4 * i))) | v << (4 * i);
}

/* Every POIndex its own field; @rotation 0..15 brings each value to each index */
u64 por_pattern(int rotation, int home)
{
	u64 por = 0;
	int i;

	for (i = 0; i < 16; i++)
		por = with_field(por, i, (rotation + 5 * i) & 0xf);
	return with_field(por, home, PO_RWX);
}

