/* SPDX-License-Identifier: GPL-2.0 */
#ifndef POETEST_H
#define POETEST_H

#include "hw.h"

/* The last exception on this CPU; start.S knows the offsets */
struct cpu {
	u64 traps;
	u64 esr;
	u64 far;
	u64 elr;
	u64 x0;		/* of EL0, when it came back */
	u64 stack;
};

static inline struct cpu *this_cpu(void)
{
	struct cpu *c;

	asm volatile("mrs %0, tpidr_el1" : "=r" (c));
	return c;
}

static inline int current_el(void)
{
	return read_reg(CurrentEL) >> 2;
}

/* lib.c */
void print(const char *fmt, ...);	/* %s %d %x (64 bit); nothing else */
bool streq(const char *a, const char *b);
const char *argument(void);
void quit(int status) __attribute__((noreturn));
void die(u64 esr, u64 elr, u64 far);

void test_begin(void);
void test_fail(const char *fmt, ...);	/* detail; the first few are printed */
void test_end(const char *fmt, ...);
void test_skip(const char *why, const char *fmt, ...);
int test_summary(void);
/* one condition, inside test_begin() and test_end() */
#define CHECK(cond) do { if (!(cond)) test_fail("failed: %s", #cond); } while (0)

/* mmu.c */
extern u64 page_table[512];		/* the leaves of PAGES_VA */
void mmu_build(void);
void mmu_on(void);
void mmu_nvhe(bool on);		/* EL2 without E2H */
/* POIndex of the program's own memory: 0 or 1 */
void mmu_set_home(int poi);
void mmu_set_apt(u64 table_bits);
u64 apt_va(int entry);

/* judge.c: what the architecture says */
enum access { P_READ, P_WRITE, P_EXEC, U_READ, U_WRITE, U_EXEC, P_LDTR, P_STTR, NR_ACCESS };

struct setup {				/* the registers that decide */
	bool pie, poe, e0poe, wxn;
	bool el2;			/* one privilege level */
	u64 pir, pire0, por1, por0;
};

struct verdict {
	bool allowed;
	bool overlay;			/* if denied: the syndrome's Overlay bit */
};

struct verdict judge(const struct setup *s, u64 desc, enum access a);
bool is_write(enum access a);
bool is_exec(enum access a);

/* start.S */
extern char el0_text[], vectors[], hyp_vectors[], nvhe_vectors[], secondary_start[];
u64 here_read(u64 va), here_write(u64 va, u64 v), here_exec(u64 va);
u64 here_ldtr(u64 va), here_sttr(u64 va, u64 v), here_ldadd(u64 va, u64 v);
u64 por1_ldr(u64 por, u64 va), por1_dsb_ldr(u64 por, u64 va), por1_isb_ldr(u64 por, u64 va);
u64 por1_svc_ldr(u64 por, u64 va), svc_por1_eret_ldr(u64 por, u64 va);
u64 por1_por1_isb_ldr(u64 por, u64 va, u64 por2), por1_mrs(u64 por);
u64 por0_ldtr(u64 por, u64 va);
void el0_run(u64 pc, u64 x0, u64 x1);
extern volatile u64 el3_here, el3_traps, el3_esr;	/* started at EL3; its traps */
/* only to be passed to el0_addr() */
extern char el0_read[], el0_write[], el0_exec[], el0_mrs_por0[], el0_msr_por0[];
extern char el0_mrs_por1[], el0_por0_ldr[], el0_por0_isb_ldr[];
#define el0_addr(f)	(EL0_VA + (u64)(f) - (u64)el0_text)

/* core.c */
#define MAGIC		0x600df00d12345678ul
#define OFF_READ	0x100
#define OFF_WRITE	0x108
#define BLOCK_OFF	0x150000	/* where in a block we look */
#define POR_ALL		0x7777777777777777ul
/* the program's own mapping: RWX for EL1; its EL0 page: RX for EL0; no overlay */
#define PIR_HOME	((u64)PI_RWX << (4 * 8))
#define PIRE0_HOME	((u64)PI_RX << (4 * 5))
#define PI_IS_HOME(i)	((i) == 8 || (i) == 5)

extern bool lazy, have_tcr2, have_pie, have_poe, have_dbm, have_pan, have_lse;
extern const char *regime;		/* prefix of test names */
extern const char * const access_name[NR_ACCESS];
extern const struct setup plain;
extern u64 svc_por, svc_traps;		/* SVC #2: what to write; faults in the handler */
extern volatile u64 hyp_traps, hyp_esr;	/* from EL1 to our EL2 */

/* true if it went through; otherwise this_cpu() says why */
bool do_access(enum access a, u64 va, u64 value);
bool allowed(enum access a, u64 va);
bool fault_is(enum access a, u64 va, int level);
/* make the access, compare with judge() */
void check_access(const struct setup *s, u64 desc, u64 va, enum access a, int level);

void set_por(u64 por1, u64 por0);
void apply_setup(const struct setup *s);
void reset(void);			/* plain, POR registers allow all */
u64 with_field(u64 reg, int i, u64 v);
u64 por_pattern(int rotation, int home);

/* entries of page_table for the tests that follow */
static inline int entry(int poi, int ap)	/* AP[2:1], UXN=0, PXN=0 */
{
	return poi * 32 + (ap >> 1) + (ap & 1) * 2;
}

static inline u64 page(int poi, int ap)
{
	return PAGES_VA + entry(poi, ap) * 4096ul;
}

static inline u64 deny(int poi, u64 perm)
{
	return with_field(POR_ALL, poi, perm);
}

/* Is @op, one instruction at the current level, UNDEFINED? */
#define undefined(op) ({					\
	u64 _before = this_cpu()->traps;			\
	op;							\
	this_cpu()->traps != _before && ESR_EC(this_cpu()->esr) == EC_UNDEF; })

/* matrix.c */
u64 leaf_bits(int i);
void pir_pattern(struct setup *s, int round);
void matrices(void);
void matrix_nvhe(void);

/* sequences.c */
void test_hierarchy(void);
void test_at(bool pie);
void test_absent(void);
void test_registers(void);
void test_dirty(bool pie);
void test_no_tlbi(void);
void test_revoke(void);
void test_separate(void);
void test_pan(void);
void test_atomics(void);
void test_crossing(void);
void test_when_el1(void);
void test_when_el0(void);
void test_el0_traps(void);
void test_smp(void);

/* levels.c */
void test_vhe_names(void);
void test_el1_names(void);
void test_el2_traps(void);
void test_tcr2en(void);
void test_nv(void);
void test_el3(void);
void drop_to_el1(void);

#endif
