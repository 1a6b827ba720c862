/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Entry, vectors, and the accesses under test.
 *
 * TPIDR_EL1 points to this CPU's struct cpu. An access that faults is recorded
 * there and stepped over: see trap() in main.c for EL1, and el0_run below.
 */
#include "hw.h"

/* offsets in struct cpu, checked in lib.c */
#define CPU_TRAPS	0
#define CPU_ESR		8
#define CPU_FAR		16
#define CPU_ELR		24
#define CPU_X0		32
#define CPU_STACK	40

	.macro	fn name
	.global	\name
	.balign	16
\name:
	.endm

	.section .text.start, "ax"
	.global	_start
_start:
	mrs	x1, CurrentEL
	cmp	x1, #(3 << 2)
	b.ne	1f
	/* without firmware all CPUs start here */
	mrs	x1, mpidr_el1
	tst	x1, #0xff
	b.ne	park
	bl	el3_leave
1:	ldr	x0, =boot_cpu
	bl	cpu_init
	ldr	x1, =bss_start
	ldr	x2, =bss_end
1:	cmp	x1, x2
	b.hs	2f
	str	xzr, [x1], #8
	b	1b
2:	bl	main
	b	.

park:	wfi
	b	park

	/* entered by PSCI CPU_ON with the struct cpu in x0 */
fn	secondary_start
	bl	cpu_init
	bl	secondary_main
	b	.

cpu_init:
	msr	spsel, #1
	ldr	x1, [x0, #CPU_STACK]
	mov	sp, x1
	msr	tpidr_el1, x0
	mrs	x1, CurrentEL
	cmp	x1, #(2 << 2)
	b.ne	1f
	ldr	x1, =(HCR_RW | HCR_E2H | HCR_TGE)
	msr	hcr_el2, x1
	isb
1:	ldr	x1, =SCTLR_RES1
	msr	sctlr_el1, x1
	ldr	x1, =vectors
	msr	vbar_el1, x1
	isb
	ret

/* ---- EL3: only with -M virt,secure=on ---- */

	/* Return at the highest level below; keep a handler here */
el3_leave:
	ldr	x1, =el3_vectors
	msr	vbar_el3, x1
	ldr	x1, =SCR_ALL
	msr	scr_el3, x1
	msr	cptr_el3, xzr
	mov	x1, #1
	ldr	x2, =el3_here
	str	x1, [x2]
	mrs	x1, id_aa64pfr0_el1
	ubfx	x1, x1, #8, #4
	mov	x2, #0x3c5
	cbz	x1, 1f
	mov	x2, #0x3c9
1:	msr	spsr_el3, x2
	msr	elr_el3, x30
	msr	hcr_el2, xzr
	eret

	/*
	 * SMC #0: x0 is the new SCR_EL3; SMC #1: write x0 to POR_EL3, read it
	 * back. Anything else is a trap: count it, keep the syndrome.
	 * Scratch: x14 to x17, which callers and EL0 code do not use here.
	 */
el3_sync:
	mrs	x14, esr_el3
	lsr	x15, x14, #26
	cmp	x15, #EC_SMC
	b.eq	1f
	ldr	x15, =el3_esr
	str	x14, [x15]
	ldr	x15, =el3_traps
	ldr	x14, [x15]
	add	x14, x14, #1
	str	x14, [x15]
	mrs	x14, elr_el3
	add	x14, x14, #4
	msr	elr_el3, x14
	eret
1:	tbnz	x14, #0, 2f
	msr	scr_el3, x0
	eret
2:	msr	POR_EL3, x0
	isb
	mrs	x0, POR_EL3
	eret

	.pushsection .data, "aw"
	.balign	8
	.global	el3_here, el3_traps, el3_esr
el3_here:
	.quad	0
el3_traps:
	.quad	0
el3_esr:
	.quad	0
	.popsection

/* ---- exceptions ---- */

	.macro	save
	sub	sp, sp, #288
	stp	x0, x1, [sp, #0]
	stp	x2, x3, [sp, #16]
	stp	x4, x5, [sp, #32]
	stp	x6, x7, [sp, #48]
	stp	x8, x9, [sp, #64]
	stp	x10, x11, [sp, #80]
	stp	x12, x13, [sp, #96]
	stp	x14, x15, [sp, #112]
	stp	x16, x17, [sp, #128]
	stp	x18, x19, [sp, #144]
	stp	x20, x21, [sp, #160]
	stp	x22, x23, [sp, #176]
	stp	x24, x25, [sp, #192]
	stp	x26, x27, [sp, #208]
	stp	x28, x29, [sp, #224]
	mrs	x0, elr_el1
	mrs	x1, spsr_el1
	stp	x30, x0, [sp, #240]
	str	x1, [sp, #256]
	.endm

	.macro	restore
	ldr	x1, [sp, #256]
	ldp	x30, x0, [sp, #240]
	msr	elr_el1, x0
	msr	spsr_el1, x1
	ldp	x0, x1, [sp, #0]
	ldp	x2, x3, [sp, #16]
	ldp	x4, x5, [sp, #32]
	ldp	x6, x7, [sp, #48]
	ldp	x8, x9, [sp, #64]
	ldp	x10, x11, [sp, #80]
	ldp	x12, x13, [sp, #96]
	ldp	x14, x15, [sp, #112]
	ldp	x16, x17, [sp, #128]
	ldp	x18, x19, [sp, #144]
	ldp	x20, x21, [sp, #160]
	ldp	x22, x23, [sp, #176]
	ldp	x24, x25, [sp, #192]
	ldp	x26, x27, [sp, #208]
	ldp	x28, x29, [sp, #224]
	add	sp, sp, #288
	eret
	.endm

	.macro	vector target
	.balign	0x80
	b	\target
	.endm

	.text
	.balign	0x800
fn	vectors
	vector	unexpected
	vector	unexpected
	vector	unexpected
	vector	unexpected
	vector	from_here
	vector	unexpected
	vector	unexpected
	vector	unexpected
	vector	from_el0
	vector	unexpected
	vector	unexpected
	vector	unexpected
	vector	unexpected
	vector	unexpected
	vector	unexpected
	vector	unexpected

	/* EL2 under an EL1 that is being tested */
	.balign	0x800
fn	hyp_vectors
	.rept	8
	vector	unexpected
	.endr
	vector	from_el1
	.rept	7
	vector	unexpected
	.endr

	.balign	0x800
el3_vectors:
	.rept	8
	vector	.
	.endr
	vector	el3_sync
	.rept	7
	vector	.
	.endr

	/* EL2 without E2H: record as trap() does, step over */
	.balign	0x800
fn	nvhe_vectors
	.rept	4
	vector	nvhe_unexpected
	.endr
	vector	nvhe_sync
	.rept	11
	vector	nvhe_unexpected
	.endr

nvhe_sync:
	stp	x0, x1, [sp, #-32]!
	str	x2, [sp, #16]
	mrs	x1, tpidr_el1
	mrs	x0, esr_el2
	str	x0, [x1, #CPU_ESR]
	lsr	x2, x0, #26
	and	x2, x2, #0x3f
	mrs	x0, far_el2
	str	x0, [x1, #CPU_FAR]
	ldr	x0, [x1, #CPU_TRAPS]
	add	x0, x0, #1
	str	x0, [x1, #CPU_TRAPS]
	mrs	x0, elr_el2
	add	x0, x0, #4
	cmp	x2, #EC_IABT
	csel	x0, x30, x0, eq
	msr	elr_el2, x0
	ldr	x2, [sp, #16]
	ldp	x0, x1, [sp], #32
	eret

nvhe_unexpected:
	mrs	x3, sctlr_el2
	bic	x3, x3, #SCTLR_M
	msr	sctlr_el2, x3
	isb
	mrs	x0, esr_el2
	mrs	x1, elr_el2
	mrs	x2, far_el2
	bl	die
	b	.

from_here:
	save
	mov	x0, sp
	bl	trap
	restore

from_el1:
	save
	mov	x0, sp
	bl	hyp_trap
	restore

	/* Record, and return from el0_run(): the stack is as that left it */
from_el0:
	mrs	x1, tpidr_el1
	str	x0, [x1, #CPU_X0]
	mrs	x0, esr_el1
	str	x0, [x1, #CPU_ESR]
	mrs	x0, far_el1
	str	x0, [x1, #CPU_FAR]
	mrs	x0, elr_el1
	str	x0, [x1, #CPU_ELR]
	ldr	x0, [x1, #CPU_TRAPS]
	add	x0, x0, #1
	str	x0, [x1, #CPU_TRAPS]
	ldp	x19, x20, [sp, #0]
	ldp	x21, x22, [sp, #16]
	ldp	x23, x24, [sp, #32]
	ldp	x25, x26, [sp, #48]
	ldp	x27, x28, [sp, #64]
	ldp	x29, x30, [sp, #80]
	add	sp, sp, #96
	ret

	/* The tables may be what is wrong: go on without them */
fn	unexpected
	mrs	x3, sctlr_el1
	bic	x3, x3, #SCTLR_M
	msr	sctlr_el1, x3
	isb
	mrs	x0, esr_el1
	mrs	x1, elr_el1
	mrs	x2, far_el1
	bl	die
	b	.

/* ---- accesses from EL1 (or EL2): x0 address, x1 value to store ---- */

fn	here_read
	ldr	x0, [x0]
	ret
fn	here_write
	str	x1, [x0]
	ret
fn	here_exec
	stp	x29, x30, [sp, #-16]!
	blr	x0
	ldp	x29, x30, [sp], #16
	ret
fn	here_ldtr
	ldtr	x0, [x0]
	ret
fn	here_sttr
	sttr	x1, [x0]
	ret
	.arch	armv8.1-a
fn	here_ldadd
	ldadd	x1, x0, [x0]
	ret
	.arch	armv8-a

/* ---- x0 value for POR_EL1, x1 address to load from ---- */

fn	por1_ldr
	msr	POR_EL1, x0
	ldr	x0, [x1]
	isb
	ret
fn	por1_dsb_ldr
	msr	POR_EL1, x0
	dsb	sy
	ldr	x0, [x1]
	isb
	ret
fn	por1_isb_ldr
	msr	POR_EL1, x0
	isb
	ldr	x0, [x1]
	ret
	/* the handler of SVC #1 loads from [x1] */
fn	por1_svc_ldr
	msr	POR_EL1, x0
	svc	#1
	ret
	/* the handler of SVC #2 writes POR_EL1 and loads; then ERET and a load here */
fn	svc_por1_eret_ldr
	svc	#2
	ldr	x0, [x1]
	ret
	/* x2: what to write before the ISB, after x0 */
fn	por1_por1_isb_ldr
	msr	POR_EL1, x0
	msr	POR_EL1, x2
	isb
	ldr	x0, [x1]
	ret
	/* read back between the write and the ISB */
fn	por1_mrs
	msr	POR_EL1, x0
	mrs	x0, POR_EL1
	isb
	ret
fn	por0_ldtr
	msr	POR_EL0, x0
	ldtr	x0, [x1]
	isb
	ret

/* ---- EL0: el0_run(pc, x0, x1) ---- */

fn	el0_run
	sub	sp, sp, #96
	stp	x19, x20, [sp, #0]
	stp	x21, x22, [sp, #16]
	stp	x23, x24, [sp, #32]
	stp	x25, x26, [sp, #48]
	stp	x27, x28, [sp, #64]
	stp	x29, x30, [sp, #80]
	msr	elr_el1, x0
	mov	x3, #0x3c0
	msr	spsr_el1, x3
	mov	x0, x1
	mov	x1, x2
	eret

	.section .el0text, "ax"
fn	el0_read
	ldr	x0, [x0]
	svc	#0
fn	el0_write
	str	x1, [x0]
	svc	#0
fn	el0_exec
	blr	x0
	svc	#0
fn	el0_mrs_por0
	mrs	x0, POR_EL0
	svc	#0
fn	el0_msr_por0
	msr	POR_EL0, x0
	svc	#0
fn	el0_mrs_por1
	mrs	x0, POR_EL1
	svc	#0
fn	el0_por0_ldr
	msr	POR_EL0, x1
	ldr	x0, [x0]
	svc	#0
fn	el0_por0_isb_ldr
	msr	POR_EL0, x1
	isb
	ldr	x0, [x0]
	svc	#0
