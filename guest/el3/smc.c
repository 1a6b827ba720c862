// SPDX-License-Identifier: GPL-2.0
/*
 * PSCI (DEN0022) and SDEI 1.0 (DEN0054) for one CPU.
 *
 * One event: number 0, which the specification gives to every PE: private,
 * normal priority, signalled by software. The PE signals it to itself, so that
 * what an event interrupts is always the client, just after its SMC.
 */
#include "el3.h"

_Static_assert(__builtin_offsetof(struct regs, pc) == REGS_ELR &&
	       __builtin_offsetof(struct regs, pstate) == REGS_SPSR &&
	       sizeof(struct regs) == REGS_SIZE, "start.S knows these");

#define SMCCC_VERSION			0x80000000
#define SMCCC_ARCH_FEATURES		0x80000001
#define SMCCC_1_1			0x10001

#define PSCI_VERSION			0x84000000
#define PSCI_CPU_ON			0xc4000003
#define PSCI_SYSTEM_OFF			0x84000008
#define PSCI_SYSTEM_RESET		0x84000009
#define PSCI_FEATURES			0x8400000a
#define PSCI_1_1			0x10001
#define PSCI_INVALID_PARAMETERS		-2
#define PSCI_ALREADY_ON			-4

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

#define MPIDR_AFFINITY			0xff00fffffful

static bool unmasked;
static struct {
	bool registered, enabled, running, pending;
	u64 entry, arg;
	u64 x[18], pc, pstate;		/* of what is interrupted */
} event;

/* ---- PSCI ---- */

static s64 psci_features(u32 function)
{
	switch (function) {
	case SMCCC_VERSION:
	case PSCI_VERSION:
	case PSCI_CPU_ON:
	case PSCI_SYSTEM_OFF:
	case PSCI_SYSTEM_RESET:
	case PSCI_FEATURES:
		return 0;
	}
	return NOT_SUPPORTED;
}

static bool is_this_pe(u64 mpidr)
{
	return mpidr == (read_reg(mpidr_el1) & MPIDR_AFFINITY);
}

/* ---- SDEI ---- */

/*
 * The PSTATE that an exception from @from to the client's exception level
 * would give it. Both are AArch64, see above.
 */
static u64 exception_pstate(u64 from)
{
	u64 sctlr = client_el() == 2 ? read_reg(sctlr_el2) : read_reg(sctlr_el1);
	u64 pstate = PS_DAIF | PS_EL(client_el()) | PS_SP_ELX | PS_TCO;

	pstate |= from & (PS_NZCV | PS_DIT | PS_PAN);
	if (!(sctlr & BIT(23)))		/* SPAN */
		pstate |= PS_PAN;
	if (sctlr & BIT(44))		/* DSSBS */
		pstate |= PS_SSBS;
	if (!(sctlr & BIT(62)))		/* SPINTMASK */
		pstate |= PS_ALLINT;
	return pstate;
}

/* The last step of each SMC: an event interrupts the client at its return */
static void sdei_dispatch(struct regs *regs)
{
	if (!event.pending || !event.enabled || event.running || !unmasked)
		return;
	event.pending = false;
	event.running = true;
	for (int i = 0; i < 18; i++)
		event.x[i] = regs->x[i];
	event.pc = regs->pc;
	event.pstate = regs->pstate;

	/* the handler sees x4 to x17 as they are, x0 to x3 by EVENT_CONTEXT */
	regs->x[0] = 0;
	regs->x[1] = event.arg;
	regs->x[2] = event.pc;
	regs->x[3] = event.pstate;
	regs->pc = event.entry;
	regs->pstate = exception_pstate(event.pstate);
}

/* x18 to x30 and the stack pointers are the handler's to restore */
static void sdei_complete(struct regs *regs)
{
	event.running = false;
	for (int i = 0; i < 18; i++)
		regs->x[i] = event.x[i];
	regs->pc = event.pc;
	regs->pstate = event.pstate;
}

/* Go on at @address as if an exception had been taken there */
static void sdei_complete_and_resume(struct regs *regs, u64 address)
{
	sdei_complete(regs);
	if (client_el() == 2) {
		write_reg(elr_el2, event.pc);
		write_reg(spsr_el2, event.pstate);
	} else {
		write_reg(elr_el1, event.pc);
		write_reg(spsr_el1, event.pstate);
	}
	regs->pc = address;
	regs->pstate = exception_pstate(event.pstate);
}

static s64 sdei_register(u64 entry, u64 arg)
{
	if (event.registered || event.running)
		return SDEI_DENIED;
	event.registered = true;
	event.entry = entry;
	event.arg = arg;
	return SDEI_SUCCESS;
}

/* A handler that runs may complete, and there will not be another one */
static s64 sdei_unregister(void)
{
	if (!event.registered)
		return SDEI_DENIED;
	event.registered = false;
	event.enabled = false;
	event.pending = false;
	return event.running ? SDEI_PENDING : SDEI_SUCCESS;
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

/* The calls whose first argument is the number of an event */
static s64 sdei_event(u32 function, const u64 *x)
{
	if (x[1] != 0)
		return SDEI_INVALID_PARAMETERS;

	switch (function) {
	case SDEI_EVENT_REGISTER:
		return sdei_register(x[2], x[3]);
	case SDEI_EVENT_UNREGISTER:
		return sdei_unregister();
	case SDEI_EVENT_ENABLE:
	case SDEI_EVENT_DISABLE:
		if (!event.registered)
			return SDEI_DENIED;
		event.enabled = function == SDEI_EVENT_ENABLE;
		return SDEI_SUCCESS;
	case SDEI_EVENT_STATUS:
		return (event.registered ? SDEI_REGISTERED : 0) |
		       (event.enabled ? SDEI_ENABLED : 0) |
		       (event.running ? SDEI_RUNNING : 0);
	case SDEI_EVENT_GET_INFO:
		return sdei_get_info(x[2]);
	case SDEI_EVENT_SIGNAL:
		if (!is_this_pe(x[2]))
			return SDEI_INVALID_PARAMETERS;
		/* kept while it is disabled or the PE is masked */
		event.pending = event.registered;
		return SDEI_SUCCESS;
	}
	return NOT_SUPPORTED;
}

static s64 sdei_pe_mask(void)
{
	bool changed = unmasked;

	unmasked = false;
	return changed;
}

/* ---- all calls ---- */

static s64 call(u32 function, const u64 *x)
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
		return is_this_pe(x[1]) ? PSCI_ALREADY_ON : PSCI_INVALID_PARAMETERS;
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
		return sdei_event(function, x);
	case SDEI_EVENT_CONTEXT:
		if (!event.running)
			return SDEI_DENIED;
		return x[1] < 18 ? (s64)event.x[x[1]] : SDEI_INVALID_PARAMETERS;
	case SDEI_EVENT_COMPLETE:
	case SDEI_EVENT_COMPLETE_AND_RESUME:
		return SDEI_DENIED;	/* outside a handler; inside: see smc() */
	case SDEI_PE_MASK:
		return sdei_pe_mask();
	case SDEI_PE_UNMASK:
		unmasked = true;
		return SDEI_SUCCESS;
	case SDEI_PRIVATE_RESET:
		if (event.running)
			return SDEI_DENIED;
		sdei_unregister();
		return SDEI_SUCCESS;
	case SDEI_SHARED_RESET:
		return SDEI_SUCCESS;
	}
	return NOT_SUPPORTED;
}

void smc(struct regs *regs)
{
	u32 function = regs->x[0];

	/* events are for the highest level below us, not for guests of it */
	if (function >= SDEI_VERSION && function <= SDEI_LAST &&
	    (regs->pstate >> 2 & 3) != (u64)client_el())
		regs->x[0] = NOT_SUPPORTED;
	else if (event.running && function == SDEI_EVENT_COMPLETE)
		sdei_complete(regs);
	else if (event.running && function == SDEI_EVENT_COMPLETE_AND_RESUME)
		sdei_complete_and_resume(regs, regs->x[1]);
	else
		regs->x[0] = call(function, regs->x);
	sdei_dispatch(regs);
}
