// SPDX-License-Identifier: GPL-2.0
/*
 * A VM that writes what registers of permission overlays it can, while the host's
 * page tables depend on its own values of the same registers.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init.h"

#define MEMORY		0x80000000ul	/* guest-physical */
#define MEMORY_SIZE	(1ul << 20)
#define MMIO		0x10000000ul	/* nothing there: each access is an exit */
#define TURNS		300
#define LIMIT		120		/* s */

/* Offsets from MMIO */
#define GET_VALUE	0x00	/* read: what to write to POR_EL1 and POR_EL0 */
#define PUT_POR_EL1	0x08	/* written: what was found there after a while */
#define PUT_POR_EL0	0x10
#define PUT_FOUND	0x18	/* POR_EL1 before it is written */
#define PUT_UNDEFINED	0x20	/* how many accesses were undefined, in total */
#define PUT_HYPERCALL	0x28	/* its result */

#define POR_EL1		ARM64_SYS_REG(3, 0, 10, 2, 4)
#define ID_AA64MMFR3	ARM64_SYS_REG(3, 0, 0, 7, 3)
#define MMFR3_TCRX	(0xful << 0)
#define MMFR3_S1POE	(0xful << 16)
#define CORE_REG(name)	(KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | \
			 KVM_REG_ARM_CORE_REG(name))

/*
 * What the VM runs, with the MMU off. x19: MMIO, x20: undefined accesses. What is not there
 * is skipped by the exception vector. The loop is there for the host's ticks to come in it.
 */
extern const char payload[], payload_end[];
asm(
"	.pushsection .rodata\n"
"	.balign	2048\n"
"	.globl	payload, payload_end\n"
"payload:\n"
"	b	1f\n"
"	.balign	512\n"			/* synchronous, from this EL with SP_ELx: 0x200 */
"	mrs	x9, elr_el1\n"
"	add	x9, x9, #4\n"
"	msr	elr_el1, x9\n"
"	add	x20, x20, #1\n"
"	eret\n"
"1:	adr	x1, payload\n"
"	msr	vbar_el1, x1\n"
"	isb\n"
"	mov	x20, xzr\n"
"2:	ldr	x21, [x19, #0x00]\n"
"	mov	x2, xzr\n"
"	mrs	x2, s3_0_c10_c2_4\n"		/* POR_EL1 */
"	str	x2, [x19, #0x18]\n"
"	msr	s3_0_c10_c2_4, x21\n"
"	mvn	x3, x21\n"
"	and	x3, x3, #0x7777777777777777\n"
"	msr	s3_3_c10_c2_4, x3\n"		/* POR_EL0 */
"	isb\n"
"	msr	s3_4_c10_c2_4, x3\n"		/* POR_EL2 */
"	msr	s3_5_c10_c2_4, x3\n"		/* POR_EL12 */
"	str	x20, [x19, #0x20]\n"
"	mov	x4, #20000\n"
"3:	subs	x4, x4, #1\n"
"	b.ne	3b\n"
"	mov	w0, #0x84000000\n"		/* PSCI_VERSION */
"	hvc	#0\n"
"	str	x0, [x19, #0x28]\n"
"	mov	x2, xzr\n"
"	mrs	x2, s3_0_c10_c2_4\n"
"	str	x2, [x19, #0x08]\n"
"	mov	x2, xzr\n"
"	mrs	x2, s3_3_c10_c2_4\n"
"	str	x2, [x19, #0x10]\n"
"	b	2b\n"
"payload_end:\n"
"	.popsection\n"
);

struct vm {
	int fd, vcpu;
	struct kvm_run *run;
	int run_size;
	char *memory;
};

static bool set_reg(int vcpu, uint64_t id, uint64_t value)
{
	struct kvm_one_reg reg = { .id = id, .addr = (uintptr_t)&value };

	return !ioctl(vcpu, KVM_SET_ONE_REG, &reg);
}

static bool get_reg(int vcpu, uint64_t id, uint64_t *value)
{
	struct kvm_one_reg reg = { .id = id, .addr = (uintptr_t)value };

	return !ioctl(vcpu, KVM_GET_ONE_REG, &reg);
}

static const char *make_vm(struct vm *vm, uint64_t hidden)
{
	struct kvm_userspace_memory_region region = {
		.guest_phys_addr = MEMORY, .memory_size = MEMORY_SIZE,
	};
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	struct kvm_vcpu_init init;
	uint64_t mmfr3;

	vm->memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			  -1, 0);
	if (kvm < 0 || vm->memory == MAP_FAILED)
		return "no /dev/kvm";
	memcpy(vm->memory, payload, payload_end - payload);
	__builtin___clear_cache(vm->memory, vm->memory + (payload_end - payload));
	region.userspace_addr = (uintptr_t)vm->memory;

	vm->run_size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	vm->fd = ioctl(kvm, KVM_CREATE_VM, 0);
	close(kvm);
	if (vm->fd < 0 || ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region))
		return "no VM";
	vm->vcpu = ioctl(vm->fd, KVM_CREATE_VCPU, 0);
	if (vm->vcpu < 0 || ioctl(vm->fd, KVM_ARM_PREFERRED_TARGET, &init))
		return "no VCPU";
	init.features[0] |= 1 << KVM_ARM_VCPU_PSCI_0_2;
	if (ioctl(vm->vcpu, KVM_ARM_VCPU_INIT, &init))
		return "VCPU init";
	vm->run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vm->vcpu, 0);
	if (vm->run == MAP_FAILED)
		return "no kvm_run";
	if (!get_reg(vm->vcpu, ID_AA64MMFR3, &mmfr3) ||
	    !set_reg(vm->vcpu, ID_AA64MMFR3, mmfr3 & ~hidden))
		return "ID_AA64MMFR3_EL1";
	if (!set_reg(vm->vcpu, CORE_REG(regs.pc), MEMORY) ||
	    !set_reg(vm->vcpu, CORE_REG(regs.regs[19]), MMIO))
		return "registers";
	return NULL;
}

struct seen {
	long turns, exits, wrong, undefined, hypercall;
	uint64_t value, found;
};

/* One exit; @poe: the VM has POR_EL1 */
static const char *handle(struct vm *vm, struct seen *seen, bool poe)
{
	uint64_t data, value, *where = (uint64_t *)vm->run->mmio.data;

	if (vm->run->exit_reason != KVM_EXIT_MMIO || vm->run->mmio.len != 8)
		return "an exit that is no access to MMIO";
	seen->exits++;
	data = *where;
	switch (vm->run->mmio.phys_addr - MMIO) {
	case GET_VALUE:
		/* a read: the answer. All combinations for pkeys 0 and 1, and some of the rest */
		seen->found = seen->value;
		seen->value = seen->turns++ * 0x1234567890abcdeful & 0x7777777777777777ul;
		*where = seen->value;
		return NULL;
	case PUT_FOUND:
		seen->wrong += poe && seen->turns > 1 && data != seen->found;
		return NULL;
	case PUT_POR_EL1:
		if (!poe)
			return NULL;
		seen->wrong += data != seen->value || !get_reg(vm->vcpu, POR_EL1, &value) ||
			       value != data;
		return NULL;
	case PUT_POR_EL0:
		seen->wrong += poe && data != (~seen->value & 0x7777777777777777ul);
		return NULL;
	case PUT_UNDEFINED:
		seen->undefined = data;
		return NULL;
	case PUT_HYPERCALL:
		seen->hypercall = data;
		return NULL;
	}
	return "an access to where nothing is";
}

static volatile bool late;

static void on_alarm(int sig)
{
	(void)sig;
	late = true;
}

/* Run the VM; @turns 0: for ever */
static const char *run_vm(struct vm *vm, struct seen *seen, long turns, bool poe)
{
	const char *wrong = NULL;

	while (!wrong && (!turns || seen->turns <= turns))
		if (late)
			wrong = "no end";
		else if (!ioctl(vm->vcpu, KVM_RUN, 0))
			wrong = handle(vm, seen, poe);
		else if (errno != EINTR && errno != EAGAIN)
			wrong = "KVM_RUN";
	return wrong;
}

/* A child that runs a VM on this CPU, until it is killed */
static pid_t start_vm(uint64_t hidden)
{
	pid_t pid = fork();
	struct seen seen = {};
	struct vm vm = {};

	if (pid)
		return pid;
	if (!make_vm(&vm, hidden))
		run_vm(&vm, &seen, 0, false);
	_exit(1);
}

static void end_vm(struct vm *vm)
{
	munmap(vm->run, vm->run_size);
	munmap(vm->memory, MEMORY_SIZE);
	close(vm->vcpu);
	close(vm->fd);
}

/* Undefined in each turn: two accesses; without POE, the five others, too, two of them late */
static long undefined_accesses(long turns, bool poe)
{
	return poe ? 2 * turns : 7 * turns - 2;
}

/* Linux 7.3.y takes POE away from a VM that does not have what POE implies; others do not */
static bool has_poe(uint64_t hidden)
{
	struct seen seen = {};
	struct vm vm = {};

	if (make_vm(&vm, hidden))
		return true;
	if (!run_vm(&vm, &seen, 2, false))
		end_vm(&vm);
	return seen.undefined != undefined_accesses(2, false);
}

static void test_one(const char *name, uint64_t hidden, bool poe)
{
	struct seen seen = {};
	const char *wrong;
	int cpu, status, nr_cpus = count_cpus();
	pid_t pids[64];
	cpu_set_t all;
	struct vm vm = {};

	wrong = make_vm(&vm, hidden);
	/* interrupts KVM_RUN */
	sigaction(SIGALRM, &(struct sigaction) { .sa_handler = on_alarm }, NULL);
	alarm(LIMIT);
	if (!wrong)
		wrong = run_vm(&vm, &seen, TURNS, poe);
	alarm(0);
	if (wrong)
		say("# %s: %s (%s), exit reason %d", name, wrong, strerror(errno),
		    vm.run ? (int)vm.run->exit_reason : -1);
	result(!wrong && !seen.wrong && seen.hypercall >= 2 &&
	       seen.undefined == undefined_accesses(TURNS, poe),
	       "kvm: %s: %ld turns, %ld exits, %ld undefined accesses, %ld wrong values", name,
	       seen.turns, seen.exits, seen.undefined, seen.wrong);
	if (!wrong)
		end_vm(&vm);

	/* A VM on each CPU, and our attacks between its turns */
	sched_getaffinity(0, sizeof(all), &all);
	for (cpu = 0; cpu < nr_cpus && cpu < 64; cpu++) {
		run_on(cpu);
		pids[cpu] = start_vm(hidden);
	}
	sched_setaffinity(0, sizeof(all), &all);
	usleep(300000);
	attack_on_each_cpu();
	for (cpu = 0; cpu < nr_cpus && cpu < 64; cpu++) {
		kill(pids[cpu], SIGKILL);
		result(waitpid(pids[cpu], &status, 0) > 0 && WIFSIGNALED(status) &&
		       WTERMSIG(status) == SIGKILL, "kvm: %s: ran on CPU %d until now", name, cpu);
	}
}

void test_kvm(void)
{
	bool poe = have_poe();

	test_one("VM with POE", 0, poe);
	test_one("VM with POE, but no TCR2_EL1", MMFR3_TCRX, poe && has_poe(MMFR3_TCRX));
	test_one("VM without POE", MMFR3_S1POE, false);
}
