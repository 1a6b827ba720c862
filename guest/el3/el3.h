/* SPDX-License-Identifier: GPL-2.0 */
#ifndef EL3_H
#define EL3_H

/* struct regs, for start.S; checked in smc.c */
#define REGS_ELR	248
#define REGS_SPSR	256
#define REGS_SIZE	272

#define MAX_CPUS	8
#define STACK_SIZE	0x4000

/* GICD_CTLR.ARE_S is 0 until the first CPU has cleared .bss */
#define GICD_CTLR	0x08000000
#define GICD_ARE_S	4

/* SCTLR_EL3: the bits that are RES1 in Armv8.0; MMU and caches off */
#define SCTLR_EL3_RES1	0x30c50830

#ifndef __ASSEMBLER__

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long u64;
typedef long s64;
typedef _Bool bool;
#define true		1
#define false		0

#define BIT(n)		(1ul << (n))

#define str_(x)		#x
#define str(x)		str_(x)
#define read_reg(reg) ({ u64 val_; asm volatile("mrs %0, " str(reg) : "=r" (val_)); val_; })
#define write_reg(reg, val) asm volatile("msr " str(reg) ", %0" : : "r" ((u64)(val)))
#define isb()		asm volatile("isb" : : : "memory")
#define dsb()		asm volatile("dsb sy" : : : "memory")

#define mmio8(addr)	(*(volatile u8 *)(addr))
#define mmio32(addr)	(*(volatile u32 *)(addr))
#define mmio64(addr)	(*(volatile u64 *)(addr))

/* PSTATE as SPSR_EL3 holds it */
#define PS_SP_ELX	BIT(0)
#define PS_AARCH32	BIT(4)
#define PS_EL(el)	((u64)(el) << 2)
#define PS_DAIF		(0xful << 6)
#define PS_SSBS		BIT(12)
#define PS_ALLINT	BIT(13)
#define PS_PAN		BIT(22)
#define PS_DIT		BIT(24)
#define PS_AARCH32_DIT	BIT(21)
#define PS_TCO		BIT(25)
#define PS_NZCV		(0xful << 28)

/* What the lower exception level had, and gets back */
struct regs {
	u64 x[31];
	u64 pc, pstate;
	u64 pad;
};

/* The exception level of the kernel: the highest one below us */
static inline int client_el(void)
{
	return read_reg(id_aa64pfr0_el1) & (0xful << 8) ? 2 : 1;
}

/* Numbers of CPUs, as QEMU gives them to up to 16 */
#define MPIDR_AFFINITY	0xff00fffffful

static inline u64 this_cpu(void)
{
	return read_reg(mpidr_el1) & MPIDR_AFFINITY;
}

/* One bit for each CPU that is there */
extern u64 cpus;

s64 cpu_on(u64 mpidr, u64 start, u64 context);
void setup_cpu(void);
void send_sgi(u64 cpu);
bool ack_sgi(void);

/* start.S calls these */
void boot(struct regs *regs);
void cpu_start(struct regs *regs);
void smc(struct regs *regs);
void fiq(struct regs *regs);
void unexpected(u64 vector);

void system_off(void) __attribute__((noreturn));
void system_reset(void) __attribute__((noreturn));

#endif
#endif
