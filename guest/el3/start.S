/* SPDX-License-Identifier: GPL-2.0 */
/* Reset, and entry from the Non-secure state. */
#include "el3.h"

	.section .text.start, "ax"
	.global	_start
_start:
	/* all CPUs start here */
	ldr	x0, =SCTLR_EL3_RES1
	msr	sctlr_el3, x0
	ldr	x0, =vectors
	msr	vbar_el3, x0
	isb
	mrs	x2, mpidr_el1
	and	x2, x2, #0xffff
	cmp	x2, #MAX_CPUS
0:	b.hs	0b
	ldr	x0, =(stack + STACK_SIZE - REGS_SIZE)
	mov	x1, #STACK_SIZE
	madd	x0, x1, x2, x0
	mov	sp, x0
	cbz	x2, first

	ldr	x1, =GICD_CTLR
1:	ldr	w2, [x1]
	tbz	w2, #GICD_ARE_S, 1b
	bl	cpu_start
	b	leave

first:	ldr	x0, =bss_start
	ldr	x1, =bss_end
2:	str	xzr, [x0], #8
	cmp	x0, x1
	b.lo	2b
	mov	x0, sp
	bl	boot
	b	leave

	.macro	regs op
	\op	x2, x3, [sp, #16]
	\op	x4, x5, [sp, #32]
	\op	x6, x7, [sp, #48]
	\op	x8, x9, [sp, #64]
	\op	x10, x11, [sp, #80]
	\op	x12, x13, [sp, #96]
	\op	x14, x15, [sp, #112]
	\op	x16, x17, [sp, #128]
	\op	x18, x19, [sp, #144]
	\op	x20, x21, [sp, #160]
	\op	x22, x23, [sp, #176]
	\op	x24, x25, [sp, #192]
	\op	x26, x27, [sp, #208]
	\op	x28, x29, [sp, #224]
	.endm

	/* FP and SIMD registers are not touched: -mgeneral-regs-only */
	.macro	save
	sub	sp, sp, #REGS_SIZE
	stp	x0, x1, [sp]
	regs	stp
	str	x30, [sp, #240]
	mrs	x0, elr_el3
	mrs	x1, spsr_el3
	str	x0, [sp, #REGS_ELR]
	str	x1, [sp, #REGS_SPSR]
	.endm

from_sync:
	save
	/* SMC from AArch64; anything else is a trap that setup_cpu() left on */
	mrs	x0, esr_el3
	lsr	x0, x0, #26
	cmp	x0, #0x17
	mov	x0, #8
	b.ne	unexpected
	mov	x0, sp
	bl	smc
	b	leave

from_fiq:
	save
	mov	x0, sp
	bl	fiq
leave:
	ldr	x0, [sp, #REGS_ELR]
	ldr	x1, [sp, #REGS_SPSR]
	msr	elr_el3, x0
	msr	spsr_el3, x1
	ldr	x30, [sp, #240]
	regs	ldp
	ldp	x0, x1, [sp]
	add	sp, sp, #REGS_SIZE
	eret

	.balign	0x800
vectors:
	.set	n, 0
	.rept	16
	.balign	0x80
	.if	n == 8
	b	from_sync
	.elseif	n == 10 || n == 14
	b	from_fiq
	.else
	mov	x0, #n
	b	unexpected
	.endif
	.set	n, n + 1
	.endr

	.bss
	.balign	16
stack:
	.space	MAX_CPUS * STACK_SIZE
