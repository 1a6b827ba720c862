// SPDX-License-Identifier: GPL-2.0
/*
 * Which node page tables come from, and who the kernel says has allocated them:
 * memory policies, cpusets, page_owner, allocinfo and the counters of each node.
 * Protected page tables come from an allocator of their own, and all of it must be
 * as with the page allocator.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init.h"

#define ROOT		"/sys/fs/cgroup"
#define GROUP		ROOT "/owners"
#define PAGE_OWNER	"/sys/kernel/debug/page_owner"
#define ALLOCINFO	"/proc/allocinfo"

#define NR_NODES	2
#define NR_TABLES	400
/* Upper levels, those of fork(), and what the kernel does meanwhile */
#define SOME		40

/* From <linux/mempolicy.h>, for which not every libc has a header */
enum { DEFAULT, PREFERRED, BIND, INTERLEAVE, LOCAL };

static const struct kind {
	const char *name;
	int policy;
	unsigned long nodes;		/* a bit each */
	const char *mems;		/* of a cpuset */
	int share[NR_NODES];		/* of the tables, in percent */
} kinds[] = {
	{ "no policy", DEFAULT, 0, NULL, { 100, 0 } },
	{ "MPOL_LOCAL", LOCAL, 0, NULL, { 100, 0 } },
	{ "MPOL_BIND to node 1", BIND, 2, NULL, { 0, 100 } },
	{ "MPOL_BIND to both", BIND, 3, NULL, { 100, 0 } },
	{ "MPOL_PREFERRED node 1", PREFERRED, 2, NULL, { 0, 100 } },
	{ "MPOL_INTERLEAVE", INTERLEAVE, 3, NULL, { 50, 50 } },
	{ "a cpuset of node 1", DEFAULT, 0, "1\n", { 0, 100 } },
};

/* In pages: what each node counts as page tables */
static bool count_tables(long *tables)
{
	char path[80];

	/* Each CPU keeps some of it to itself */
	write_file("/proc/sys/vm/stat_refresh", "1\n");
	for (int node = 0; node < NR_NODES; node++) {
		snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/vmstat", node);
		tables[node] = value_in(path, "nr_page_table_pages");
		if (tables[node] < 0)
			return false;
	}
	return true;
}

/* A process that makes page tables, and keeps them until it is told to leave */
struct maker {
	pid_t pid;
	int leave;
	bool good;
};

static void make_tables(const struct kind *kind, int cpu, int ready, int leave)
{
	size_t span = (size_t)getpagesize() * getpagesize() / 8;
	volatile char *p;
	char c;

	if (!run_on(cpu) || (kind->mems && !write_file(GROUP "/cgroup.procs", "0\n")))
		_exit(1);
	if (syscall(SYS_set_mempolicy, kind->policy, &kind->nodes, 8 * sizeof(kind->nodes)))
		_exit(1);
	p = mmap(NULL, NR_TABLES * span, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		_exit(1);
	madvise((void *)p, NR_TABLES * span, MADV_NOHUGEPAGE);
	/* To read is to map the page of zeroes, so that this takes page tables only */
	for (int i = 0; i < NR_TABLES; i++)
		(void)p[i * span];
	if (write(ready, "r", 1) != 1 || read(leave, &c, 1) < 0)
		_exit(1);
	_exit(0);
}

static struct maker start_maker(const struct kind *kind, int cpu)
{
	struct maker maker = { .leave = -1 };
	int ready[2], leave[2];
	char c;

	if (pipe(ready) || pipe(leave))
		return maker;
	maker.pid = fork();
	if (!maker.pid) {
		close(leave[1]);
		make_tables(kind, cpu, ready[1], leave[0]);
	}
	close(ready[1]);
	close(leave[0]);
	maker.leave = leave[1];
	maker.good = read(ready[0], &c, 1) == 1;
	close(ready[0]);
	return maker;
}

static bool end_maker(struct maker *maker)
{
	int status = 1;

	close(maker->leave);
	waitpid(maker->pid, &status, 0);
	/* Page tables are free after a grace period */
	usleep(300000);
	return maker->good && !status;
}

static void test_nodes(const struct kind *kind, int cpu)
{
	long before[NR_NODES], after[NR_NODES], left[NR_NODES];
	struct maker maker;
	bool good;

	good = count_tables(before);
	maker = start_maker(kind, cpu);
	good = good && maker.good && count_tables(after);
	good = end_maker(&maker) && good && count_tables(left);
	for (int node = 0; good && node < NR_NODES; node++) {
		after[node] -= before[node];
		left[node] -= before[node];
	}
	if (!good) {
		result(false, "page tables with %s: could not be made", kind->name);
		return;
	}
	for (int node = 0; node < NR_NODES; node++)
		good &= labs(after[node] - NR_TABLES * kind->share[node] / 100) <= SOME &&
			labs(left[node]) <= SOME;
	say("owners kind=%s node0=%ld node1=%ld left0=%ld left1=%ld",
	    kind->mems ? "cpuset" : "policy", after[0], after[1], left[0], left[1]);
	result(good, "page tables with %s: %ld and %ld, then %ld and %ld", kind->name, after[0],
	       after[1], left[0], left[1]);
}

/* How many pages the process has allocated as PTE tables, by the kernel's record of each page */
static int count_owned(pid_t pid)
{
	FILE *file = fopen(PAGE_OWNER, "r");
	bool mine = false;
	char line[512], tgid[32];
	int nr = 0;

	snprintf(tgid, sizeof(tgid), " tgid %d ", pid);
	while (file && fgets(line, sizeof(line), file)) {
		if (!strncmp(line, "Page allocated via", 18))
			mine = strstr(line, tgid);
		else if (mine && (strstr(line, " __pte_alloc+") || strstr(line, " pte_alloc_one+"))) {
			nr++;
			mine = false;
		}
	}
	if (file)
		fclose(file);
	return file ? nr : -1;
}

static void test_page_owner(int cpu)
{
	struct maker maker;
	int before, after;

	if (access(PAGE_OWNER, F_OK)) {
		skip("no page_owner", "page_owner of page tables");
		return;
	}
	maker = start_maker(&kinds[0], cpu);
	before = count_owned(maker.pid);
	end_maker(&maker);
	after = count_owned(maker.pid);
	result(maker.good && before >= NR_TABLES && before <= NR_TABLES + SOME,
	       "page_owner: %d page tables of a process that has made %d", before, NR_TABLES);
	result(!after, "page_owner: %d of them after its end", after);
}

/* In pages: what the kernel has under such a place in its source */
static long count_tagged(const char *wanted)
{
	FILE *file = fopen(ALLOCINFO, "r");
	long bytes, sum = 0;
	char line[512];

	while (file && fgets(line, sizeof(line), file))
		if (strstr(line, wanted) && sscanf(line, "%ld", &bytes) == 1)
			sum += bytes;
	if (file)
		fclose(file);
	return file ? sum / getpagesize() : -1;
}

static void test_allocinfo(int cpu)
{
	static const char site[] = " func:__pte_alloc ";
	long before, during, after;
	struct maker maker;

	if (access(ALLOCINFO, F_OK)) {
		skip("no allocinfo", "allocinfo of page tables");
		return;
	}
	before = count_tagged(site);
	maker = start_maker(&kinds[0], cpu);
	during = count_tagged(site) - before;
	end_maker(&maker);
	after = count_tagged(site) - before;
	result(maker.good && labs(during - NR_TABLES) <= SOME,
	       "allocinfo: __pte_alloc() has %+ld page tables, for %d", during, NR_TABLES);
	result(labs(after) <= SOME, "allocinfo: and %+ld of them after that", after);
}

/* A CPU of node 0; -1: there are no two nodes */
static int find_cpu(void)
{
	char line[64];

	if (!read_line("/sys/devices/system/node/has_memory", line, sizeof(line)) ||
	    strcmp(line, "0-1") ||
	    !read_line("/sys/devices/system/node/node0/cpulist", line, sizeof(line)) || !*line)
		return -1;
	return atoi(line);
}

static bool prepare_cpuset(const char *mems)
{
	mount("cgroup2", ROOT, "cgroup2", 0, NULL);
	write_file(ROOT "/cgroup.subtree_control", "+cpuset\n");
	return (!mkdir(GROUP, 0755) || errno == EEXIST) && write_file(GROUP "/cpuset.mems", mems);
}

void test_owners(void)
{
	int cpu = find_cpu();

	if (!result(cpu >= 0, "there are two nodes with memory"))
		return;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (kinds[i].mems && !prepare_cpuset(kinds[i].mems))
			skip("no cpusets", "page tables with %s", kinds[i].name);
		else
			test_nodes(&kinds[i], cpu);
	}
	rmdir(GROUP);
	test_page_owner(cpu);
	test_allocinfo(cpu);
}
