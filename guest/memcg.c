// SPDX-License-Identifier: GPL-2.0
/*
 * Are page tables charged to the memory cgroup of whoever causes them, and
 * uncharged when they go? They do not take the way of other pages if they are
 * protected.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init.h"

#define ROOT		"/sys/fs/cgroup"
#define GROUP		ROOT "/test"
#define NR_TABLES	50
/* In tenths of a second; the kernel sums up every two seconds, on a machine that is not busy */
#define PATIENCE	300
#define SPIN		0.03	/* in seconds: a few ticks */

/* In bytes; both are exact only after a while, as the kernel sums up in batches */
static long charged(const char *what)
{
	return value_in(GROUP "/memory.stat", what);
}

/*
 * It does so from a timer that waits for its CPU to be busy with something
 * else. On a machine that is idle but for us that can be never: be busy on one
 * CPU after the other.
 */
static void wait_for_sums(int turn)
{
	double end;

	run_on(turn % count_cpus());
	end = now() + SPIN;
	while (now() < end)
		;
	usleep(100000 - SPIN * 1e6);
}

static void child(int ready, int leave)
{
	/* As much as the last level of a page table maps */
	size_t span = (size_t)getpagesize() * getpagesize() / 8;
	char *p, c;

	if (!write_file(GROUP "/cgroup.procs", "0\n"))
		_exit(1);
	p = mmap(NULL, NR_TABLES * span, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	/* EINVAL: there are no huge pages in any case */
	if (p == MAP_FAILED || (madvise(p, NR_TABLES * span, MADV_NOHUGEPAGE) && errno != EINVAL))
		_exit(1);
	for (int i = 0; i < NR_TABLES; i++)
		p[i * span] = 1;
	if (write(ready, "r", 1) != 1 || read(leave, &c, 1) < 0)
		_exit(1);
	_exit(0);
}

void test_memcg(void)
{
	long least = (long)NR_TABLES * getpagesize(), tables = 0, kernel = 0;
	int ready[2], leave[2], status = 1;
	cpu_set_t all;
	bool good;
	char c;

	sched_getaffinity(0, sizeof(all), &all);
	mount("cgroup2", ROOT, "cgroup2", 0, NULL);
	if (!write_file(ROOT "/cgroup.subtree_control", "+memory\n") || mkdir(GROUP, 0755)) {
		skip("no memory cgroups", "page tables in a memory cgroup");
		return;
	}
	if (pipe(ready) || pipe(leave)) {
		result(false, "pipe");
		return;
	}
	if (!fork()) {
		close(leave[1]);
		child(ready[1], leave[0]);
	}
	close(ready[1]);
	good = read(ready[0], &c, 1) == 1;
	for (int i = 0; good && i < PATIENCE && (tables < least || kernel < tables); i++) {
		wait_for_sums(i);
		tables = charged("pagetables");
		kernel = charged("kernel");
	}
	result(good && tables >= least && kernel >= tables,
	       "page tables charged to a memory cgroup: %ld of %ld bytes of the kernel, at least %ld",
	       tables, kernel, least);
	close(leave[1]);
	wait(&status);
	tables = kernel = least;
	for (int i = 0; i < PATIENCE && (tables || kernel >= least); i++) {
		wait_for_sums(i);
		tables = charged("pagetables");
		kernel = charged("kernel");
	}
	result(!status && !tables && kernel < least,
	       "and uncharged: %ld left, and %ld of the kernel", tables, kernel);
	sched_setaffinity(0, sizeof(all), &all);
	close(ready[0]);
	close(leave[0]);
	result(!rmdir(GROUP), "the memory cgroup can be removed");
}
