// SPDX-License-Identifier: GPL-2.0
/*
 * The init process of a benchmark boot: runs each workload between two markers
 * that counter.c knows, and names it on the console, in the same order:
 *
 *	kpkeys-bench: row <name> <operations> <page table pages>
 *
 * The last number is that of page table pages that come or go in the workload.
 * Before that, it says what memory is free when nothing has run yet, how much the
 * kernel keeps beside it for page tables to come, and how much it has in all, in kB:
 *
 *	kpkeys-bench: memory <free> <kept> <total>
 *
 * All repeats of a workload do the same, on all kernels: see settle() and main().
 * The first one, for which caches, free lists and the like are as the workload
 * before left them, has no markers and no row.
 *
 * Run with the argument "native", and the path of test_vmalloc.ko or none, it is
 * a program like any other, which takes the time: that of the row, in ns, is one
 * more number in each line.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define MB		(1UL << 20)
#define HUGE_SIZE	(2 * MB)	/* what a page table of 4K pages maps */
#define REGION		(128 * MB)
#define PAGES		(REGION / 4096)
#define HUGE_PAGES	(REGION / HUGE_SIZE)
#define REPEATS		2	/* for each boot */

/* Nothing else is there, so that a region has upper-level tables of its own */
#define PLACE		((char *)(1UL << 40))
#define OTHER_PLACE	((char *)(1UL << 41))
/* Those for PTEs, and one for PMDs and for PUDs each */
#define TABLES		(HUGE_PAGES + 2)

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

static int native;
static long took;	/* by the last section, in ns */

static long now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return ts.tv_sec * 1000000000L + ts.tv_nsec;
}

/*
 * Hints that no CPU has a meaning for; see counter.c. They are next to what is
 * measured, so that reading the clock does not count.
 */
static inline __attribute__((always_inline)) void mark_begin(void)
{
	if (native)
		took = -now();
	asm volatile("hint #126" ::: "memory");
}

static inline __attribute__((always_inline)) void mark_end(void)
{
	asm volatile("hint #127" ::: "memory");
	if (native)
		took += now();
}

static void __attribute__((noreturn)) die(const char *what)
{
	printf("kpkeys-bench: error %s: %m\n", what);
	if (!native)
		reboot(RB_POWER_OFF);
	_exit(1);
}

static void row(const char *name, long ops, long tables)
{
	printf("kpkeys-bench: row %s %ld %ld", name, ops, tables);
	if (native)
		printf(" %ld", took);
	putchar('\n');
}

static void set(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		die(path);
	close(fd);
}

/* The sum of the numbers that a file of the kernel has behind a name */
static long value_in(const char *path, const char *name)
{
	size_t length = strlen(name);
	FILE *file = fopen(path, "re");
	char line[200];
	long value = 0;

	while (file && fgets(line, sizeof(line), file)) {
		char *at = line + strspn(line, " ");

		if (!strncmp(at, name, length) && strchr(": ", at[length]))
			value += strtol(at + length + strspn(at + length, ": "), NULL, 10);
	}
	if (file)
		fclose(file);
	return value;
}

/*
 * The CPU's lists of free pages, and their size, are as what was before left
 * them. Depending on that, a section finds pages there or fills and empties the
 * lists time and again. Make them nearly empty, of a fixed size, and large.
 */
static void drain(void)
{
	set("/proc/sys/vm/percpu_pagelist_high_fraction", "1024");
	/* Each time, an eighth of what is too much goes */
	for (int i = 0; i < 64; i++)
		set("/proc/sys/vm/stat_refresh", "1");
	set("/proc/sys/vm/percpu_pagelist_high_fraction", "8");
}

/*
 * Let what was put off be done now rather than in the section: RCU callbacks,
 * statistics, page tables that are given back a second after they were freed.
 * Then begin at the same distance from the next tick as always, and half a second
 * from the timers that are rounded to full seconds.
 */
static void settle(void)
{
	struct timespec when;

	/* The settings of a machine are its owner's */
	if (native) {
		usleep(100000);
		return;
	}

	drain();
	clock_gettime(CLOCK_MONOTONIC, &when);
	when.tv_sec += 3;
	when.tv_nsec = 500100000;
	if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL))
		die("clock_nanosleep");
}

/* Kernel threads that become runnable in a section have to wait */
static void go_first(void)
{
	struct sched_param first = { .sched_priority = 1 };

	if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &first))
		die("sched_setscheduler");
}

static void begin(int counted)
{
	settle();
	if (counted)
		mark_begin();
}

static void end(int counted, const char *name, long ops, long tables)
{
	if (!counted)
		return;
	mark_end();
	row(name, ops, tables);
}

/* Of two rows, the first is to be taken off the second: what is not the operation itself */
static void end_less(int counted, const char *name, int less, long ops)
{
	char label[100];

	snprintf(label, sizeof(label), "%s%s", less ? "-" : "", name);
	end(counted, label, ops, 0);
}

static char *new_region(int huge)
{
	char *p = mmap(PLACE, REGION, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (p != PLACE)
		die("mmap");
	if (madvise(p, REGION, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
		die("madvise");
	return p;
}

static void touch(char *p)
{
	for (unsigned long at = 0; at < REGION; at += 4096)
		p[at] = 1;
}

/* Give a page of each huge folio another protection, so that it is mapped with pages */
static void protect_one_each(char *p, int prot)
{
	for (unsigned long at = 0; at < REGION; at += HUGE_SIZE) {
		if (mprotect(p + at, 4096, prot))
			die("mprotect");
	}
}

/*
 * A region that is mapped with pages, in which each page has been touched. If
 * @huge, the pages belong to huge folios nevertheless: each is mapped as a whole
 * at first, and then one page of it is given another protection for a moment.
 */
static char *map_region(int huge)
{
	char *p = new_region(huge);

	touch(p);
	if (huge) {
		protect_one_each(p, PROT_READ);
		protect_one_each(p, PROT_READ | PROT_WRITE);
	}
	return p;
}

static void unmap(char *p)
{
	if (munmap(p, REGION))
		die("munmap");
}

static void bench_fork(const char *name, int huge)
{
	char *p = map_region(huge);

	for (int i = 0; i <= REPEATS; i++) {
		int fds[2];
		pid_t pid;
		char c;

		if (pipe(fds))
			die("pipe");
		begin(i);
		pid = fork();
		if (!pid) {
			close(fds[1]);
			/* Until the parent has closed the other end */
			_exit(read(fds[0], &c, 1));
		}
		/* The child has a few more tables, for its stack, say */
		end(i, name, 1, TABLES);
		close(fds[0]);
		close(fds[1]);
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			die("fork");
	}
	unmap(p);
}

static void bench_munmap(const char *name, int huge)
{
	for (int i = 0; i <= REPEATS; i++) {
		char *p = map_region(huge);

		begin(i);
		unmap(p);
		end(i, name, 1, TABLES);
	}
}

static void bench_fault(void)
{
	for (int i = 0; i <= REPEATS; i++) {
		char *p = new_region(0);

		begin(i);
		touch(p);
		end(i, "fault", PAGES, 0);
		unmap(p);
	}
}

/* The kernel maps what is in the page cache around the page that is read, too */
static void bench_fault_file(void)
{
	enum { AROUND = 65536 };
	int fd = memfd_create("file", MFD_CLOEXEC);

	if (fd < 0 || fallocate(fd, 0, 0, REGION))
		die("memfd");
	for (int i = 0; i <= REPEATS; i++) {
		char *p = mmap(PLACE, REGION, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);

		if (p != PLACE)
			die("mmap");
		begin(i);
		for (unsigned long at = 0; at < REGION; at += AROUND)
			*(volatile char *)(p + at);
		end(i, "fault-file", REGION / AROUND, 0);
		unmap(p);
	}
	close(fd);
}

/* The way into the kernel and back, with next to nothing in between */
static void bench_syscall(void)
{
	enum { NR = 10000 };

	for (int i = 0; i <= REPEATS; i++) {
		begin(i);
		for (int n = 0; n < NR; n++)
			syscall(SYS_getppid);
		end(i, "syscall", NR, 0);
	}
}

/* Go on behind the load */
static void handle_segv(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)info;
	((ucontext_t *)context)->uc_mcontext.pc += 4;
}

/* A fault that changes no page table */
static void bench_segv(void)
{
	enum { NR = 2000 };
	struct sigaction action = { .sa_sigaction = handle_segv, .sa_flags = SA_SIGINFO };

	if (sigaction(SIGSEGV, &action, NULL))
		die("sigaction");
	for (int i = 0; i <= REPEATS; i++) {
		begin(i);
		for (int n = 0; n < NR; n++)
			asm volatile("ldr xzr, [%0]" : : "r" (8UL) : "memory");
		end(i, "segv", NR, 0);
	}
	signal(SIGSEGV, SIG_DFL);
}

/* Each takes longer than the timer below; a real CPU does more in that time */
static void stay_in_user_space(void)
{
	unsigned long n = native ? 50000 : 2000;

	asm volatile("1: subs %0, %0, #1\n\tb.ne 1b" : "+r" (n) : : "cc");
}

/* Look at a pipe many times, but not so often that the kernel has to allocate for that */
static void stay_in_kernel(void)
{
	static struct pollfd polled[1000];
	static int fds[2];
	int nr = native ? 1000 : 30;

	if (!fds[1]) {
		if (pipe(fds))
			die("pipe");
		for (int i = 0; i < nr; i++)
			polled[i].fd = fds[0];
	}
	if (poll(polled, nr, 0))
		die("poll");
}

/*
 * A timer that is set, and its interrupt, for which nobody waits. What there is
 * besides is for the reader to take off: the same with a timer that is not set.
 * All that ends before the next tick.
 */
static void bench_irq(const char *name, void (*stay)(void))
{
	static const struct itimerspec soon = { .it_value.tv_nsec = 2000 }, never;
	enum { NR = 1000 };
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	for (int i = -1; i <= 2 * REPEATS; i++) {
		int less = i & 1;
		long expired;

		begin(i > 0);
		for (int n = 0; n < NR; n++) {
			if (timerfd_settime(fd, 0, less ? &never : &soon, NULL))
				die("timerfd_settime");
			stay();
		}
		end_less(i > 0, name, less, NR);
		/* It has expired if it was set, and only then */
		if (!native && less == (read(fd, &expired, sizeof(expired)) > 0))
			die(name);
	}
	close(fd);
}

/*
 * Switches to a process that waits at a pipe, and back. What both ask of the pipes is
 * for the reader to take off: one process asks the same, and need not wait.
 */
static void bench_switch(void)
{
	enum { NR = 1000 };
	int to[2], from[2];
	pid_t pid;
	char c = 0;

	if (pipe(to) || pipe(from))
		die("pipe");
	pid = fork();
	if (!pid) {
		if (!native)
			go_first();
		close(to[1]);
		while (read(to[0], &c, 1) == 1 && write(from[1], &c, 1) == 1)
			;
		_exit(0);
	}
	for (int i = -1; i <= 2 * REPEATS; i++) {
		int less = i & 1;

		begin(i > 0);
		for (int n = 0; n < NR; n++) {
			if (less) {
				if (write(from[1], &c, 1) != 1 || read(from[0], &c, 1) != 1 ||
				    write(from[1], &c, 1) != 1 || read(from[0], &c, 1) != 1)
					die("pipe");
			} else if (write(to[1], &c, 1) != 1 || read(from[0], &c, 1) != 1) {
				die("pipe");
			}
		}
		end_less(i > 0, "switch", less, 2 * NR);
	}
	close(to[0]);
	close(to[1]);
	close(from[0]);
	close(from[1]);
	if (pid < 0 || waitpid(pid, NULL, 0) != pid)
		die("fork");
}

/* To where page tables can be moved as a whole, or one page from there */
static void bench_mremap(const char *name, int aligned)
{
	char *to = OTHER_PLACE + (aligned ? 0 : 4096);

	for (int i = 0; i <= REPEATS; i++) {
		char *p = map_region(0);

		begin(i);
		if (mremap(p, REGION, REGION, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
			die("mremap");
		/*
		 * Old and new ones, and one more, as the new ones begin in the
		 * middle; hardly any if they are moved
		 */
		end(i, name, 1, aligned ? 0 : 2 * TABLES + 1);
		unmap(to);
	}
}

static void bench_mprotect(void)
{
	char *p = map_region(0);

	for (int i = 0; i <= REPEATS; i++) {
		begin(i);
		if (mprotect(p, REGION, PROT_READ) || mprotect(p, REGION, PROT_READ | PROT_WRITE))
			die("mprotect");
		end(i, "mprotect", 2, 0);
	}
	unmap(p);
}

/* Huge pages to pages; the tables for that are there from the beginning */
static void bench_split(void)
{
	for (int i = 0; i <= REPEATS; i++) {
		char *p = new_region(1);

		touch(p);
		begin(i);
		protect_one_each(p, PROT_READ);
		end(i, "split", HUGE_PAGES, 0);
		unmap(p);
	}
}

/* And back */
static void bench_collapse(void)
{
	for (int i = 0; i <= REPEATS; i++) {
		char *p = map_region(0);

		if (madvise(p, REGION, MADV_HUGEPAGE))
			die("madvise");
		begin(i);
		if (madvise(p, REGION, MADV_COLLAPSE))
			die("collapse");
		end(i, "collapse", HUGE_PAGES, 0);
		unmap(p);
	}
}

static const char *module = "/test_vmalloc.ko";

static void load(const char *options)
{
	int fd = open(module, O_RDONLY | O_CLOEXEC);

	/* It runs its test and then does not want to stay */
	if (fd < 0 || syscall(SYS_finit_module, fd, options, 0) != -1 || errno != EAGAIN)
		die(module);
	close(fd);
}

/* Load a module, whose init starts a thread and waits for it, and unload it */
static void bench_module(void)
{
	enum { NR = 10 };

	for (int i = 0; i <= REPEATS; i++) {
		begin(i);
		for (int n = 0; n < NR; n++)
			load("nr_threads=1 run_test_mask=0");
		end(i, "module", NR, 0);
	}
}

/*
 * One test of the kernel's test_vmalloc. The module is loaded to run it; this is
 * done with a single loop, too, and what that counts is for the reader to take
 * off.
 */
static void bench_vmalloc(const char *name, int test, int loops, const char *more)
{
	/* A clock sees how long it takes to load a module, which varies */
	if (native)
		loops *= 100;

	for (int i = 0; i <= 2 * REPEATS; i++) {
		char options[200];
		int less = i & 1;

		snprintf(options, sizeof(options),
			 "nr_threads=1 run_test_mask=%d test_loop_count=%d %s", 1 << test,
			 less ? 1 : loops + 1, more);
		begin(i);
		load(options);
		end_less(i, name, less, loops);
	}
}

/* What a build does: processes that come, load a program, use memory and go */
static void bench_processes(const char *self)
{
	enum { NR = 20 };

	for (int i = 0; i <= REPEATS; i++) {
		begin(i);
		for (int n = 0; n < NR; n++) {
			pid_t pid = fork();
			int status;

			if (!pid) {
				execl(self, self, "child", NULL);
				_exit(127);
			}
			if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
				die("process");
		}
		end(i, "processes", NR, 0);
	}
}

static int child(void)
{
	for (int i = 0; i < 8; i++) {
		char *p = mmap(NULL, MB, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			return 1;
		for (unsigned long at = 0; at < MB; at += 4096)
			p[at] = 1;
		if (i % 2)
			munmap(p, MB);
		else if (mprotect(p, MB / 2, PROT_READ))
			return 1;
	}
	return 0;
}

/* Nothing in the background, and no message of the test on the console */
static void quieten(void)
{
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	/* It would collapse what has been split */
	set("/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs", "4294967295");
	set("/proc/sys/vm/compaction_proactiveness", "0");
	go_first();
	/* Warnings, and what is worse */
	if (klogctl(8, NULL, 5) < 0)
		die("klogctl");
}

static void report_memory(void)
{
	static const char zones[] = "/proc/zoneinfo",
			  tables[] = "/sys/kernel/debug/kpkeys/pgtables";
	long page = sysconf(_SC_PAGESIZE) / 1024, free, kept;

	settle();
	/* What the CPU has on its own lists is free as well, but not for the kernel's MemFree */
	free = value_in(zones, "nr_free_pages") + value_in(zones, "count");
	/* There is one node */
	kept = value_in(tables, "node0_free") + value_in(tables, "cpu_free") +
	       value_in(tables, "reserve");
	printf("kpkeys-bench: memory %ld %ld %ld\n", free * page, kept * page,
	       value_in("/proc/meminfo", "MemTotal"));
}

/* Processes that do nothing but have a stack in the vmalloc area, for another layout */
static void start_sleepers(const char *nr)
{
	for (int i = nr ? atoi(nr) : 0; i > 0; i--) {
		pid_t pid = fork();

		if (!pid) {
			pause();
			_exit(0);
		}
		if (pid < 0)
			die("fork");
	}
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int test, loops;
		const char *options;
		int quick;
	} tests[] = {
		{ "fix_size-1", 0, 2000, "nr_pages=1", 1 },
		{ "fix_size-4", 0, 1000, "nr_pages=4", 0 },
		{ "fix_size-16", 0, 500, "nr_pages=16", 0 },
		{ "fix_size-64", 0, 200, "nr_pages=64", 0 },
		{ "fix_size-256", 0, 100, "nr_pages=256", 0 },
		{ "fix_size-huge-16", 0, 500, "nr_pages=16 use_huge=1", 0 },
		{ "fix_size-huge-64", 0, 200, "nr_pages=64 use_huge=1", 0 },
		{ "fix_size-huge-256", 0, 100, "nr_pages=256 use_huge=1", 0 },
		{ "fix_size-huge-512", 0, 100, "nr_pages=512 use_huge=1", 0 },
		{ "random_size", 3, 200, "seed=1", 0 },
		{ "vm_map_ram-1", 10, 5000, "nr_pages=1", 1 },
	};
	/* The kernel makes an environment variable of what it does not know itself */
	const char *mode = getenv("bench");
	int quick = mode && !strcmp(mode, "quick");

	if (argc > 1 && !strcmp(argv[1], "child"))
		return child();

	if (argc > 1 && !strcmp(argv[1], "native")) {
		native = 1;
		module = argv[2];
	} else {
		quieten();
		start_sleepers(getenv("sleepers"));
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!native)
		report_memory();
	bench_fork("fork-small", 0);
	bench_fork("fork-huge", 1);
	bench_munmap("munmap-small", 0);
	bench_munmap("munmap-huge", 1);
	bench_syscall();
	bench_segv();
	bench_irq("irq-user", stay_in_user_space);
	bench_irq("irq-kernel", stay_in_kernel);
	bench_switch();
	bench_fault_file();
	if (module)
		bench_module();
	if (!quick) {
		bench_fault();
		bench_mremap("mremap", 0);
		bench_mremap("mremap-aligned", 1);
		bench_mprotect();
		bench_split();
		bench_collapse();
		bench_processes(argv[0]);
	}
	for (unsigned int i = 0; i < sizeof(tests) / sizeof(*tests); i++) {
		if (!module || (quick && !tests[i].quick))
			continue;
		bench_vmalloc(tests[i].name, tests[i].test, tests[i].loops, tests[i].options);
	}
	puts("kpkeys-bench: done");
	if (!native)
		reboot(RB_POWER_OFF);
	return 0;
}
