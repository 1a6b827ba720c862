// SPDX-License-Identifier: GPL-2.0
/* Userspace protection keys (POR_EL0) behave as on the base kernel. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init.h"

/* POR_EL0 fields */
#define NONE	0ul
#define R	1ul
#define X	2ul
#define W	4ul
#define RWX	7ul

#ifndef SEGV_PKUERR
#define SEGV_PKUERR 4
#endif

static uint64_t get_por(void)
{
	uint64_t por;

	asm volatile("mrs %0, s3_3_c10_c2_4" : "=r" (por));
	return por;
}

static void set_por(uint64_t por)
{
	asm volatile("msr s3_3_c10_c2_4, %0\n isb" :: "r" (por) : "memory");
}

static void set_perm(int pkey, uint64_t perm)
{
	set_por((get_por() & ~(15ul << (4 * pkey))) | perm << (4 * pkey));
}

/* pkey 0 for everything, the rest denied: what a signal handler gets */
#define POR_DEFAULT	RWX

static sigjmp_buf env;
static volatile int fault_code, fault_pkey;
static void * volatile fault_addr;
static volatile uint64_t handler_por;

static void on_segv(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	handler_por = get_por();
	fault_code = info->si_code;
	fault_addr = info->si_addr;
	fault_pkey = info->si_pkey;
	siglongjmp(env, 1);
}

enum kind { READ, WRITE, EXEC };

/* Does the access fault? POR_EL0 is put back as it was */
static bool faults(enum kind kind, void *page)
{
	uint64_t por = get_por();
	volatile bool faulted = false;

	fault_code = 0;
	if (sigsetjmp(env, 1))
		faulted = true;
	else if (kind == READ)
		(void)*(volatile char *)page;
	else if (kind == WRITE)
		*(volatile char *)(page + 64) = 1;
	else
		((void (*)(void))page)();
	set_por(por);
	return faulted;
}

static bool pkey_fault(enum kind kind, void *page, int pkey)
{
	return faults(kind, page) && fault_code == SEGV_PKUERR && fault_pkey == pkey &&
	       fault_addr == page + (kind == WRITE ? 64 : 0) && handler_por == POR_DEFAULT;
}

static char *new_page(int pkey)
{
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*(uint32_t *)page = 0xd65f03c0;		/* ret */
	__builtin___clear_cache(page, page + 4);
	syscall(SYS_pkey_mprotect, page, sysconf(_SC_PAGESIZE),
		PROT_READ | PROT_WRITE | PROT_EXEC, pkey);
	return page;
}

static void test_access(int pkey, char *page)
{
	static const struct { uint64_t perm; const char *name; } perms[] = {
		{ NONE, "none" }, { R, "r" }, { X, "x" }, { R | X, "rx" }, { W, "w" },
		{ R | W, "rw" }, { W | X, "wx" }, { RWX, "rwx" },
	};
	size_t i;

	for (i = 0; i < sizeof(perms) / sizeof(perms[0]); i++) {
		uint64_t p = perms[i].perm;
		bool ok;

		set_perm(pkey, p);
		ok = p & R ? !faults(READ, page) : pkey_fault(READ, page, pkey);
		ok &= p & W ? !faults(WRITE, page) : pkey_fault(WRITE, page, pkey);
		ok &= p & X ? !faults(EXEC, page) : pkey_fault(EXEC, page, pkey);
		result(ok, "pkeys: overlay %s: reads, writes, calls as it says; SEGV_PKUERR",
		       perms[i].name);
	}
	set_perm(pkey, RWX);
}

/* The kernel's own accesses on our behalf honour POR_EL0, too */
static void test_uaccess(int pkey, char *page)
{
	int zero = open("/dev/zero", O_RDONLY), pipe_fd[2];
	bool ok;

	if (pipe(pipe_fd))
		return;
	set_perm(pkey, R);
	ok = read(zero, page + 64, 8) < 0 && errno == EFAULT;
	ok &= write(pipe_fd[1], page + 64, 8) == 8;
	set_perm(pkey, NONE);
	ok &= write(pipe_fd[1], page + 64, 8) < 0 && errno == EFAULT;
	set_perm(pkey, RWX);
	ok &= read(zero, page + 64, 8) == 8;
	result(ok, "pkeys: read(2) and write(2) honour POR_EL0");
	close(zero);
	close(pipe_fd[0]);
	close(pipe_fd[1]);
}

/*
 * Some accesses on our behalf are privileged ones, to which POR_EL1 would apply
 * if user mappings were subject to it: the kernel's own pkeys know nothing of
 * ours.
 */
static void test_futex(int pkey, char *page)
{
	uint32_t *word = (uint32_t *)(page + 256);

	set_perm(pkey, RWX);
	*word = 41;
	result(syscall(SYS_futex, word, FUTEX_WAKE_OP_PRIVATE, 0, 0, word,
		       FUTEX_OP(FUTEX_OP_ADD, 1, FUTEX_OP_CMP_EQ, 0)) >= 0 && *word == 42,
	       "pkeys: futex operation on memory with pkey %d", pkey);
}

static bool child_ok(pid_t pid)
{
	int status;

	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       !WEXITSTATUS(status);
}

static void *thread_por(void *arg)
{
	(void)arg;
	return (void *)get_por();
}

static void test_inheritance(int pkey)
{
	uint64_t por;
	pthread_t thread;
	void *seen = NULL;
	pid_t pid;

	set_perm(pkey, R);
	por = get_por();
	pid = fork();
	if (!pid)
		_exit(get_por() != por);
	result(child_ok(pid) && get_por() == por, "pkeys: fork keeps POR_EL0");

	if (!pthread_create(&thread, NULL, thread_por, NULL))
		pthread_join(thread, &seen);
	result((uint64_t)seen == por, "pkeys: a new thread inherits POR_EL0");

	pid = vfork();
	if (!pid) {
		execl("/proc/self/exe", "init", "print-por", NULL);
		_exit(1);
	}
	result(child_ok(pid), "pkeys: execve resets POR_EL0");
	set_perm(pkey, RWX);
}

/* After execve: the exit status says whether the register has its default */
int print_por(void)
{
	return get_por() != POR_DEFAULT;
}

/* Four processes on one CPU, each with its own POR_EL0 */
static void test_switch(int pkey, char *page)
{
	static const uint64_t perm[4] = { NONE, R, R | W, RWX };
	struct sigaction act = { .sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_NODEFER };
	pid_t pid[4];
	bool ok = true;
	int i, turn;

	for (i = 0; i < 4; i++) {
		pid[i] = fork();
		if (pid[i])
			continue;
		sigaction(SIGSEGV, &act, NULL);
		run_on(0);
		set_perm(pkey, perm[i]);
		for (turn = 0; turn < 300; turn++) {
			sched_yield();
			if ((get_por() >> (4 * pkey) & 15) != perm[i] ||
			    faults(READ, page) != !(perm[i] & R) ||
			    faults(WRITE, page) != !(perm[i] & W))
				_exit(1);
		}
		_exit(0);
	}
	for (i = 0; i < 4; i++)
		ok &= child_ok(pid[i]);
	result(ok, "pkeys: POR_EL0 is kept over context switches");
}

static volatile uint64_t usr1_por;

static void on_usr1(int sig)
{
	(void)sig;
	usr1_por = get_por();
	/* the handler's own setting ends with the handler */
	set_por(0x7777777777777777);
}

static void test_signal(int pkey)
{
	uint64_t por;

	signal(SIGUSR1, on_usr1);
	set_perm(pkey, R | W);
	por = get_por();
	kill(getpid(), SIGUSR1);
	result(usr1_por == POR_DEFAULT && get_por() == por,
	       "pkeys: a signal handler has the default POR_EL0, sigreturn restores it");
	set_perm(pkey, RWX);
	signal(SIGUSR1, SIG_DFL);
}

/* What must not change: the kernel can still manage pages that POR_EL0 denies */
static void test_management(int pkey)
{
	size_t size = 1 << 20, i;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool ok = true;
	pid_t pid;

	for (i = 0; i < size; i += 4096)
		p[i] = i >> 12;
	syscall(SYS_pkey_mprotect, p, size, PROT_READ | PROT_WRITE, pkey);
	set_perm(pkey, NONE);
	pid = fork();
	if (!pid) {
		set_perm(pkey, RWX);
		for (i = 0; i < size; i += 4096) {
			ok &= p[i] == (char)(i >> 12);
			p[i] = 1;
		}
		_exit(!ok);
	}
	ok = child_ok(pid);
	p = mremap(p, size, 2 * size, MREMAP_MAYMOVE);
	set_perm(pkey, R);
	for (i = 0; i < size; i += 4096)
		ok &= p[i] == (char)(i >> 12);
	ok &= faults(WRITE, p) && fault_code == SEGV_PKUERR;
	/* also where no page is yet */
	ok &= faults(WRITE, p + size) && fault_code == SEGV_PKUERR;
	munmap(p, 2 * size);
	set_perm(pkey, RWX);
	result(ok, "pkeys: fork, COW and mremap of memory with a pkey");
}

void test_pkeys(void)
{
	struct sigaction act = { .sa_sigaction = on_segv, .sa_flags = SA_SIGINFO }, old;
	int pkey, other;
	char *page;

	if (!have_poe()) {
		errno = 0;
		pkey = syscall(SYS_pkey_alloc, 0, 0);
		result(pkey < 0, "pkeys: without POE, pkey_alloc has nothing to give");
		skip("no FEAT_S1POE", "pkeys: the rest");
		return;
	}
	sigaction(SIGSEGV, &act, &old);
	result(get_por() == POR_DEFAULT, "pkeys: POR_EL0 starts with its default");
	pkey = syscall(SYS_pkey_alloc, 0, 0);
	other = syscall(SYS_pkey_alloc, 0, 0);
	if (!result(pkey > 0 && other > 0 && pkey != other, "pkeys: pkey_alloc"))
		goto out;
	page = new_page(pkey);
	test_access(pkey, page);
	test_uaccess(pkey, page);
	test_futex(pkey, page);
	test_inheritance(pkey);
	test_switch(pkey, page);
	test_signal(pkey);
	test_management(pkey);
	munmap(page, sysconf(_SC_PAGESIZE));
	result(!syscall(SYS_pkey_free, other) && syscall(SYS_pkey_free, other) < 0 &&
	       !syscall(SYS_pkey_free, pkey), "pkeys: pkey_free");
	page = mmap(NULL, sysconf(_SC_PAGESIZE), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	result(syscall(SYS_pkey_mprotect, page, sysconf(_SC_PAGESIZE), PROT_READ, pkey) < 0 &&
	       errno == EINVAL, "pkeys: a freed pkey is refused");
	set_por(POR_DEFAULT);
out:
	sigaction(SIGSEGV, &old, NULL);
}
