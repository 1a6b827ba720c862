// SPDX-License-Identifier: GPL-2.0
/*
 * PSCI (DEN0022) and SDEI 1.0 (DEN0054).
 *
 * One event: number 0, which the specification gives to every PE: private,
 * normal priority, signalled by software. If the PE signals it to itself, the
 * event interrupts the client just after its SMC; if another PE does, anywhere,
 * whatever the client has masked.
 */
#include "el3.h"

_Static_assert(__builtin_offsetof(struct regs, pc) == REGS_ELR &&
	       __builtin_offsetof(struct regs, pstate) == REGS_SPSR &&
	       sizeof(struct regs) == REGS_SIZE, "start.S knows these");

#define SMCCC_VERSION			0x80000000
#define SMCCC_ARCH_FEATURES		0x80000001
#define SMCCC_1_1			0x10001

#define PSCI_VERSION			0x84000000
#define PSCI_CPU_OFF			0x84000002
#define PSCI_CPU_ON			0xc4000003
#define PSCI_AFFINITY_INFO		0xc4000004
#define PSCI_SYSTEM_OFF			0x84000008
#define PSCI_SYSTEM_RESET		0x84000009
#define PSCI_FEATURES			0x8400000a
#define PSCI_1_1			0x10001
#define PSCI_INVALID_PARAMETERS		-2
#define PSCI_ALREADY_ON			-4
#define PSCI_ON				0
#define PSCI_OFF			1

#define SDEI_VERSION			0xc4000020
#define SDEI_EVENT_REGISTER		0xc4000021
#define SDEI_EVENT_ENABLE		0xc4000022
#define SDEI_EVENT_DISABLE		0xc4000023
#define SDEI_EVENT_CONTEXT		0xc4000024
#define SDEI_EVENT_COMPLETE		0xc4000025
#define SDEI_EVENT_COMPLETE_AND_RESUME	0xc4000026
#define SDEI_EVENT_UNREGISTER		0xc4000027
#define SDEI_EVENT_STATUS		0xc4000028
#define SDEI_EVENT_GET_INFO		0xc4000029
#define SDEI_PE_MASK			0xc400002b
#define SDEI_PE_UNMASK			0xc400002c
#define SDEI_EVENT_SIGNAL		0xc400002f
#define SDEI_PRIVATE_RESET		0xc4000031
#define SDEI_SHARED_RESET		0xc4000032
#define SDEI_LAST			0xc400003f
#define SDEI_1_0			BIT(48)
#define SDEI_SUCCESS			0
#define SDEI_INVALID_PARAMETERS		-2
#define SDEI_DENIED			-3
#define SDEI_PENDING			-5
/* SDEI_EVENT_STATUS */
#define SDEI_REGISTERED			BIT(0)
#define SDEI_ENABLED			BIT(1)
#define SDEI_RUNNING			BIT(2)
/* SDEI_EVENT_GET_INFO */
#define SDEI_INFO_TYPE			0
#define SDEI_INFO_SIGNALED		1
#define SDEI_INFO_PRIORITY		2

#define NOT_SUPPORTED			-1	/* the same in all of them */

/* Each CPU touches its own; another one only to turn it on */
static struct pe {
	volatile bool on;
	volatile u64 start, context;	/* arguments of CPU_ON */

	bool unmasked;
	bool registered, enabled, running, pending;	/* event 0 */
	u64 entry, arg;
	u64 x[18], pc, pstate;		/* of what it interrupts */
} pes[MAX_CPUS];

static bool is_cpu(u64 mpidr)
{
	mpidr &= MPIDR_AFFINITY;
	return mpidr < MAX_CPUS && cpus & BIT(mpidr);
}

/* ---- PSCI ---- */

/* This CPU is off until cpu_on() is called for it */
void cpu_start(struct regs *regs)
{
	struct pe *pe = &pes[this_cpu()];

	while (!pe->on)
		asm volatile("wfe");
	setup_cpu();
	*regs = (struct regs) {
		.x = { pe->context },
		.pc = pe->start,
		.pstate = PS_DAIF | PS_EL(client_el()) | PS_SP_ELX,
	};
}

s64 cpu_on(u64 mpidr, u64 start, u64 context)
{
	struct pe *pe;

	if (!is_cpu(mpidr))
		return PSCI_INVALID_PARAMETERS;
	pe = &pes[mpidr & MPIDR_AFFINITY];
	if (pe->on)
		return PSCI_ALREADY_ON;
	pe->start = start;
	pe->context = context;
	dsb();
	pe->on = true;
	dsb();
	asm volatile("sev");
	return 0;
}

static s64 psci_affinity_info(u64 mpidr, u64 level)
{
	if (level || !is_cpu(mpidr))
		return PSCI_INVALID_PARAMETERS;
	return pes[mpidr & MPIDR_AFFINITY].on ? PSCI_ON : PSCI_OFF;
}

static s64 psci_features(u32 function)
{
	switch (function) {
	case SMCCC_VERSION:
	case PSCI_VERSION:
	case PSCI_CPU_OFF:
	case PSCI_CPU_ON:
	case PSCI_AFFINITY_INFO:
	case PSCI_SYSTEM_OFF:
	case PSCI_SYSTEM_RESET:
	case PSCI_FEATURES:
		return 0;
	}
	return NOT_SUPPORTED;
}

/* ---- SDEI ---- */

/*
 * The PSTATE that an exception from @from to the client's exception level
 * would give it. @from may be AArch32 code of EL0 or of a guest.
 */
static u64 exception_pstate(u64 from)
{
	u64 sctlr = client_el() == 2 ? read_reg(sctlr_el2) : read_reg(sctlr_el1);
	u64 pstate = PS_DAIF | PS_EL(client_el()) | PS_SP_ELX | PS_TCO;

	pstate |= from & (PS_NZCV | PS_PAN);
	if (from & (from & PS_AARCH32 ? PS_AARCH32_DIT : PS_DIT))
		pstate |= PS_DIT;
	if (!(sctlr & BIT(23)))		/* SPAN */
		pstate |= PS_PAN;
	if (sctlr & BIT(44))		/* DSSBS */
		pstate |= PS_SSBS;
	if (!(sctlr & BIT(62)))		/* SPINTMASK */
		pstate |= PS_ALLINT;
	return pstate;
}

/* The last step before we return: the event interrupts what we return to */
static void sdei_dispatch(struct pe *pe, struct regs *regs)
{
	if (!pe->pending || !pe->enabled || pe->running || !pe->unmasked)
		return;
	pe->pending = false;
	pe->running = true;
	for (int i = 0; i < 18; i++)
		pe->x[i] = regs->x[i];
	pe->pc = regs->pc;
	pe->pstate = regs->pstate;

	/* the handler sees x4 to x17 as they are, x0 to x3 by EVENT_CONTEXT */
	regs->x[0] = 0;
	regs->x[1] = pe->arg;
	regs->x[2] = pe->pc;
	regs->x[3] = pe->pstate;
	regs->pc = pe->entry;
	regs->pstate = exception_pstate(pe->pstate);
}

/* x18 to x30 and the stack pointers are the handler's to restore */
static void sdei_complete(struct pe *pe, struct regs *regs)
{
	pe->running = false;
	for (int i = 0; i < 18; i++)
		regs->x[i] = pe->x[i];
	regs->pc = pe->pc;
	regs->pstate = pe->pstate;
}

/* Go on at @address as if an exception had been taken there */
static void sdei_complete_and_resume(struct pe *pe, struct regs *regs, u64 address)
{
	sdei_complete(pe, regs);
	if (client_el() == 2) {
		write_reg(elr_el2, pe->pc);
		write_reg(spsr_el2, pe->pstate);
	} else {
		write_reg(elr_el1, pe->pc);
		write_reg(spsr_el1, pe->pstate);
	}
	regs->pc = address;
	regs->pstate = exception_pstate(pe->pstate);
}

static s64 sdei_register(struct pe *pe, u64 entry, u64 arg)
{
	if (pe->registered || pe->running)
		return SDEI_DENIED;
	pe->registered = true;
	pe->entry = entry;
	pe->arg = arg;
	return SDEI_SUCCESS;
}

/* A handler that runs may complete, and there will not be another one */
static s64 sdei_unregister(struct pe *pe)
{
	if (!pe->registered)
		return SDEI_DENIED;
	pe->registered = false;
	pe->enabled = false;
	pe->pending = false;
	return pe->running ? SDEI_PENDING : SDEI_SUCCESS;
}

static s64 sdei_get_info(u64 info)
{
	switch (info) {
	case SDEI_INFO_TYPE:
		return 0;		/* private */
	case SDEI_INFO_SIGNALED:
		return 1;		/* by software */
	case SDEI_INFO_PRIORITY:
		return 0;		/* normal */
	}
	return SDEI_INVALID_PARAMETERS;	/* routing is for shared events */
}

/* Pending for as long as it is disabled or the PE is masked */
static void sdei_set_pending(struct pe *pe)
{
	pe->pending = pe->registered;
}

static s64 sdei_signal(struct pe *pe, u64 mpidr)
{
	if (!is_cpu(mpidr) || !pes[mpidr & MPIDR_AFFINITY].on)
		return SDEI_INVALID_PARAMETERS;
	if ((mpidr & MPIDR_AFFINITY) == this_cpu())
		sdei_set_pending(pe);
	else
		send_sgi(mpidr & MPIDR_AFFINITY);
	return SDEI_SUCCESS;
}

/* The calls whose first argument is the number of an event */
static s64 sdei_event(struct pe *pe, u32 function, const u64 *x)
{
	if ((u32)x[1] != 0)
		return SDEI_INVALID_PARAMETERS;

	switch (function) {
	case SDEI_EVENT_REGISTER:
		return sdei_register(pe, x[2], x[3]);
	case SDEI_EVENT_UNREGISTER:
		return sdei_unregister(pe);
	case SDEI_EVENT_ENABLE:
	case SDEI_EVENT_DISABLE:
		if (!pe->registered)
			return SDEI_DENIED;
		pe->enabled = function == SDEI_EVENT_ENABLE;
		return SDEI_SUCCESS;
	case SDEI_EVENT_STATUS:
		return (pe->registered ? SDEI_REGISTERED : 0) |
		       (pe->enabled ? SDEI_ENABLED : 0) |
		       (pe->running ? SDEI_RUNNING : 0);
	case SDEI_EVENT_GET_INFO:
		return sdei_get_info(x[2]);
	case SDEI_EVENT_SIGNAL:
		return sdei_signal(pe, x[2]);
	}
	return NOT_SUPPORTED;
}

static s64 sdei_pe_mask(struct pe *pe)
{
	bool changed = pe->unmasked;

	pe->unmasked = false;
	return changed;
}

/* As after reset */
static void sdei_reset(struct pe *pe)
{
	pe->unmasked = false;
	pe->registered = false;
	pe->enabled = false;
	pe->running = false;
	pe->pending = false;
}

/* ---- all calls ---- */

static void psci_cpu_off(struct pe *pe, struct regs *regs)
{
	sdei_reset(pe);
	/* last: the next cpu_on() may come at once */
	dsb();
	pe->on = false;
	cpu_start(regs);
}

static s64 call(struct pe *pe, u32 function, const u64 *x)
{
	switch (function) {
	case SMCCC_VERSION:
		return SMCCC_1_1;
	case SMCCC_ARCH_FEATURES:
		return (u32)x[1] == SMCCC_VERSION || (u32)x[1] == function ? 0 : NOT_SUPPORTED;

	case PSCI_VERSION:
		return PSCI_1_1;
	case PSCI_FEATURES:
		return psci_features(x[1]);
	case PSCI_CPU_ON:
		return cpu_on(x[1], x[2], x[3]);
	case PSCI_AFFINITY_INFO:
		return psci_affinity_info(x[1], x[2]);
	case PSCI_SYSTEM_OFF:
		system_off();
	case PSCI_SYSTEM_RESET:
		system_reset();

	case SDEI_VERSION:
		return SDEI_1_0;
	case SDEI_EVENT_REGISTER:
	case SDEI_EVENT_UNREGISTER:
	case SDEI_EVENT_ENABLE:
	case SDEI_EVENT_DISABLE:
	case SDEI_EVENT_STATUS:
	case SDEI_EVENT_GET_INFO:
	case SDEI_EVENT_SIGNAL:
		return sdei_event(pe, function, x);
	case SDEI_EVENT_CONTEXT:
		if (!pe->running)
			return SDEI_DENIED;
		return x[1] < 18 ? (s64)pe->x[x[1]] : SDEI_INVALID_PARAMETERS;
	case SDEI_EVENT_COMPLETE:
	case SDEI_EVENT_COMPLETE_AND_RESUME:
		return SDEI_DENIED;	/* outside a handler; inside: see smc() */
	case SDEI_PE_MASK:
		return sdei_pe_mask(pe);
	case SDEI_PE_UNMASK:
		pe->unmasked = true;
		return SDEI_SUCCESS;
	case SDEI_PRIVATE_RESET:
		if (pe->running)
			return SDEI_DENIED;
		sdei_unregister(pe);
		return SDEI_SUCCESS;
	case SDEI_SHARED_RESET:
		return SDEI_SUCCESS;
	}
	return NOT_SUPPORTED;
}

void smc(struct regs *regs)
{
	struct pe *pe = &pes[this_cpu()];
	u32 function = regs->x[0];

	/* events are for the highest level below us, not for guests of it */
	if (function >= SDEI_VERSION && function <= SDEI_LAST &&
	    (regs->pstate >> 2 & 3) != (u64)client_el())
		regs->x[0] = NOT_SUPPORTED;
	else if (function == PSCI_CPU_OFF)
		psci_cpu_off(pe, regs);
	else if (pe->running && function == SDEI_EVENT_COMPLETE)
		sdei_complete(pe, regs);
	else if (pe->running && function == SDEI_EVENT_COMPLETE_AND_RESUME)
		sdei_complete_and_resume(pe, regs, regs->x[1]);
	else
		regs->x[0] = call(pe, function, regs->x);
	sdei_dispatch(pe, regs);
}

void fiq(struct regs *regs)
{
	struct pe *pe = &pes[this_cpu()];

	if (ack_sgi())
		sdei_set_pending(pe);
	sdei_dispatch(pe, regs);
}
