// SPDX-License-Identifier: GPL-2.0
/*
 * What page tables cost in memory and in splits of the linear map: many forks on
 * all CPUs, with an eye on the kernel's statistics (kpkeys/pgtables in debugfs).
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init.h"

struct statistics {
	long pages, free, cpu_free, reserve;
	long split_refill, split_other;
	long allocs, allocs_locked, mem_free;
};

static struct statistics get_statistics(void)
{
	return (struct statistics) {
		.pages = statistic("node*_pages"),
		.free = statistic("node*_free"),
		.cpu_free = statistic("cpu_free"),
		.reserve = statistic("reserve"),
		.split_refill = statistic("split_refill"),
		.split_other = statistic("split_other"),
		.allocs = statistic("allocs"),
		.allocs_locked = statistic("allocs_locked"),
		.mem_free = value_in("/proc/meminfo", "MemFree:"),
	};
}

static void say_statistics(const char *when, struct statistics s)
{
	say("# %s: MemFree %ld kB; pages %ld, of which free %ld and per CPU %ld, in reserve %ld; splits for refills %ld, other %ld; allocations %ld, %ld times with the lock",
	    when, s.mem_free, s.pages, s.free, s.cpu_free, s.reserve, s.split_refill,
	    s.split_other, s.allocs, s.allocs_locked);
}

/* A child that has page tables of its own: its stack, and memory here and there */
static void child(void)
{
	char *p = mmap(NULL, 16 << 20, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	for (long at = 0; p != MAP_FAILED && at < 16 << 20; at += 4 << 20)
		p[at] = 1;
	_exit(p == MAP_FAILED);
}

static int fork_many(int nr)
{
	int nr_cpus = count_cpus(), bad = 0, status;

	for (int cpu = 0; cpu < nr_cpus; cpu++) {
		if (fork())
			continue;
		for (int i = 0; i < nr / nr_cpus; i++) {
			pid_t pid = fork();

			if (!pid)
				child();
			if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
				_exit(1);
		}
		_exit(0);
	}
	for (int cpu = 0; cpu < nr_cpus; cpu++)
		bad += wait(&status) < 0 || status;
	return bad;
}

/* What the kernel has of free page tables, and the memory that it has left */
void test_idle(void)
{
	long block = getpagesize() / sizeof(uint64_t);
	struct statistics s;

	/* It gives back what it does not need, after a while; make others do so, too */
	sleep(3);
	write_file("/proc/sys/vm/drop_caches", "3\n");
	write_file("/proc/sys/vm/compact_memory", "1\n");
	s = get_statistics();
	say_statistics("idle", s);
	say("idle memfree_kb=%ld pages=%ld free=%ld reserve=%ld unprotected=%ld", s.mem_free,
	    s.pages, s.free + s.cpu_free, s.reserve, statistic("unprotected"));
	if (s.pages > 0)
		result(s.free + s.cpu_free <= block,
		       "%ld free pages are kept, a block has %ld", s.free + s.cpu_free, block);
	else
		skip("the kernel has no statistics of page tables", "free pages");
}

#define TRACING		"/sys/kernel/tracing/"

/* Have more page tables than are in store, and give them back */
void test_tracepoints(void)
{
	long nr = statistic("node*_free") + statistic("cpu_free") + 64, shrunk;
	size_t span = (size_t)getpagesize() * getpagesize() / sizeof(uint64_t);
	static const char * const events[] = { "refill", "split", "shrink" };
	int found[3] = {};
	char line[256];
	FILE *trace;
	char *p;

	if (access(TRACING "events/kpkeys", F_OK) || statistic("allocs") < 0) {
		skip("the kernel has no trace events of page tables", "trace events");
		return;
	}
	shrunk = statistic("shrunk");
	write_file(TRACING "events/kpkeys/enable", "1\n");
	p = mmap(NULL, nr * span, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	for (long i = 0; p != MAP_FAILED && i < nr; i++)
		(void)*(volatile char *)(p + i * span);
	munmap(p, nr * span);
	/* They are free after a grace period */
	for (int turn = 0; turn < 30 && statistic("shrunk") == shrunk; turn++) {
		usleep(100000);
		write_file("/proc/sys/vm/drop_caches", "2\n");
	}
	write_file(TRACING "events/kpkeys/enable", "0\n");
	trace = fopen(TRACING "trace", "r");
	while (trace && fgets(line, sizeof(line), trace)) {
		for (int i = 0; i < 3; i++) {
			char name[64];

			snprintf(name, sizeof(name), "kpkeys_pgtables_%s: ", events[i]);
			if (strstr(line, name) && !found[i]++)
				say("# %.*s", (int)strcspn(line, "\n"), line);
		}
	}
	if (trace)
		fclose(trace);
	/* With many CPUs, all that is free may be in their caches, and stay there */
	result(p != MAP_FAILED && found[0] && !found[2] == (statistic("shrunk") == shrunk),
	       "trace events of %ld page tables: %d refills, %d splits, %d shrinks", nr, found[0],
	       found[1], found[2]);
}

void test_forks(int nr)
{
	struct statistics before, after;
	long allocs, locked;

	/* Once to warm up: what splits are needed are made now */
	result(!fork_many(nr / 10), "%d forks", nr / 10);
	before = get_statistics();
	result(!fork_many(nr), "%d forks", nr);
	after = get_statistics();
	say_statistics("after the forks", after);

	result(after.split_refill + after.split_other == before.split_refill + before.split_other,
	       "no split of the linear map in %d forks", nr);
	allocs = after.allocs - before.allocs;
	locked = after.allocs_locked - before.allocs_locked;
	result(allocs > nr && locked * 20 < allocs,
	       "%ld of %ld allocations took the lock of a pool", locked, allocs);
}
