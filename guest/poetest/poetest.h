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

#endif
