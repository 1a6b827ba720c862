// SPDX-License-Identifier: GPL-2.0
/*
 * The init process of a benchmark boot: runs each workload between two markers
 * that counter.c knows, and names it on the console, in the same order:
 *
 *	kpkeys-bench: row <name> <operations> <page table pages>
 *
 * The last number is that of page table pages that come or go in the workload.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MB		(1UL << 20)
#define HUGE_SIZE	(2 * MB)	/* what a page table of 4K pages maps */
#define REGION		(128 * MB)
#define REPEATS		3

/* Hints that no CPU has a meaning for; see counter.c */
#define mark_begin()	asm volatile("hint #126" ::: "memory")
#define mark_end()	asm volatile("hint #127" ::: "memory")

static void __attribute__((noreturn)) die(const char *what)
{
	printf("kpkeys-bench: error %s: %m\n", what);
	reboot(RB_POWER_OFF);
	_exit(1);
}

static void row(const char *name, long ops, long tables)
{
	printf("kpkeys-bench: row %s %ld %ld\n", name, ops, tables);
}

/*
 * A region that is mapped with pages, in which each page has been touched. If
 * @huge, the pages belong to huge folios nevertheless: each is mapped as a whole
 * at first, and then one page of it is given another protection for a moment.
 */
static char *map_region(int huge)
{
	char *p = mmap(NULL, REGION + HUGE_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	p = (char *)(((unsigned long)p + HUGE_SIZE - 1) & -HUGE_SIZE);
	if (madvise(p, REGION, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
		die("madvise");
	for (unsigned long at = 0; at < REGION; at += getpagesize())
		p[at] = 1;
	for (unsigned long at = 0; huge && at < REGION; at += HUGE_SIZE) {
		if (mprotect(p + at, getpagesize(), PROT_READ) ||
		    mprotect(p + at, getpagesize(), PROT_READ | PROT_WRITE))
			die("mprotect");
	}
	return p;
}

static void bench_fork(const char *name, int huge)
{
	char *p = map_region(huge);

	for (int i = 0; i < REPEATS; i++) {
		int fds[2];
		pid_t pid;
		char c;

		if (pipe(fds))
			die("pipe");
		mark_begin();
		pid = fork();
		if (!pid) {
			close(fds[1]);
			/* Until the parent has closed the other end */
			_exit(read(fds[0], &c, 1));
		}
		mark_end();
		row(name, 1, REGION / HUGE_SIZE);
		close(fds[0]);
		close(fds[1]);
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			die("fork");
	}
	munmap(p, REGION);
}

static void bench_munmap(const char *name, int huge)
{
	for (int i = 0; i < REPEATS; i++) {
		char *p = map_region(huge);

		mark_begin();
		munmap(p, REGION);
		mark_end();
		row(name, 1, REGION / HUGE_SIZE);
	}
}

static void load(const char *module, const char *options)
{
	int fd = open(module, O_RDONLY | O_CLOEXEC);

	/* It runs its test and then does not want to stay */
	if (fd < 0 || syscall(SYS_finit_module, fd, options, 0) != -1 || errno != EAGAIN)
		die(module);
	close(fd);
}

/*
 * One test of the kernel's test_vmalloc. The module is loaded to run it; this is
 * done once with a single loop, and what that counts is for the reader to take
 * off.
 */
static void bench_vmalloc(const char *name, int test, int loops, const char *more)
{
	for (int i = 0; i < 2; i++) {
		char options[200], label[100];

		snprintf(options, sizeof(options),
			 "nr_threads=1 run_test_mask=%d test_loop_count=%d %s", 1 << test,
			 i ? loops + 1 : 1, more);
		snprintf(label, sizeof(label), "%s%s", i ? "" : "-", name);
		mark_begin();
		load("/test_vmalloc.ko", options);
		mark_end();
		row(label, loops, 0);
	}
}

/* What a build does: processes that come, load a program, use memory and go */
static void bench_processes(const char *self)
{
	enum { NR = 30 };

	mark_begin();
	for (int i = 0; i < NR; i++) {
		pid_t pid = fork();

		if (!pid) {
			execl(self, self, "child", NULL);
			_exit(127);
		}
		int status;

		if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
			die("process");
	}
	mark_end();
	row("processes", NR, 0);
}

static int child(void)
{
	for (int i = 0; i < 8; i++) {
		char *p = mmap(NULL, MB, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			return 1;
		for (unsigned long at = 0; at < MB; at += getpagesize())
			p[at] = 1;
		if (i % 2)
			munmap(p, MB);
		else if (mprotect(p, MB / 2, PROT_READ))
			return 1;
	}
	return 0;
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
		{ "fix_size-huge-512", 0, 100, "nr_pages=512 use_huge=1", 0 },
		{ "random_size", 3, 200, "", 0 },
		{ "vm_map_ram-1", 10, 2000, "nr_pages=1", 1 },
	};
	/* The kernel makes an environment variable of what it does not know itself */
	const char *mode = getenv("bench");
	int quick = mode && !strcmp(mode, "quick");

	if (argc > 1 && !strcmp(argv[1], "child"))
		return child();

	mount("proc", "/proc", "proc", 0, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	bench_fork("fork-small", 0);
	bench_fork("fork-huge", 1);
	bench_munmap("munmap-small", 0);
	bench_munmap("munmap-huge", 1);
	if (!quick)
		bench_processes(argv[0]);
	for (unsigned int i = 0; i < sizeof(tests) / sizeof(*tests); i++) {
		if (quick && !tests[i].quick)
			continue;
		bench_vmalloc(tests[i].name, tests[i].test, tests[i].loops, tests[i].options);
	}
	puts("kpkeys-bench: done");
	reboot(RB_POWER_OFF);
	return 0;
}
