// SPDX-License-Identifier: GPL-2.0
/*
 * Keeps the kernel's page-table code busy on all CPUs for a while and checks
 * that memory still holds what was written.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

#define MB		(1ul << 20)
#define CHURN_SECONDS	2
#define MAX_CPUS	64

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL	102
#define MADV_GUARD_REMOVE	103
#endif
#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT	26
#endif

static size_t page_size(void)
{
	return sysconf(_SC_PAGESIZE);
}

/* One word a page that depends on its place */
static void fill(char *p, size_t size, uint64_t seed)
{
	size_t i;

	for (i = 0; i < size; i += page_size())
		*(uint64_t *)(p + i) = seed + i;
}

static bool check(const char *p, size_t size, uint64_t seed)
{
	size_t i;

	for (i = 0; i < size; i += page_size())
		if (*(uint64_t *)(p + i) != seed + i)
			return false;
	return true;
}

static bool reap(pid_t pid)
{
	int status;

	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       !WEXITSTATUS(status);
}

static char *map(size_t size, int fd, int flags)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       (fd < 0 ? MAP_ANONYMOUS : 0) | flags, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* Fork of a large PTE-mapped region, writes on both sides */
static bool fork_cow(void)
{
	size_t size = 8 * MB;
	char *p = map(size, -1, MAP_PRIVATE);
	bool ok;
	pid_t pid;

	if (!p)
		return false;
	madvise(p, size, MADV_NOHUGEPAGE);
	fill(p, size, 1);
	pid = fork();
	if (!pid) {
		ok = check(p, size, 1);
		fill(p, size / 2, 2);
		_exit(!(ok && check(p, size / 2, 2) &&
			check(p + size / 2, size / 2, 1 + size / 2)));
	}
	fill(p + size / 2, size / 2, 3);
	ok = reap(pid) && check(p, size / 2, 1) && check(p + size / 2, size / 2, 3);
	munmap(p, size);
	return ok;
}

/* Huge pages: fault, split by mprotect and madvise, fork, collapse */
static bool huge(void)
{
	size_t pmd = page_size() / 8 * page_size(), size = 2 * pmd;
	char *area, *p;
	bool ok;
	pid_t pid;

	/* with 64K pages a huge page is 512M: more than we have */
	if (pmd > 32 * MB)
		return true;
	area = map(size + pmd, -1, MAP_PRIVATE);
	if (!area)
		return false;
	p = (char *)(((uintptr_t)area + pmd - 1) & ~(pmd - 1));
	madvise(p, size, MADV_HUGEPAGE);
	fill(p, size, 4);
	mprotect(p + pmd / 2, page_size(), PROT_READ);
	ok = check(p, size, 4);
	pid = fork();
	if (!pid) {
		madvise(p + pmd, pmd / 2, MADV_DONTNEED);
		_exit(!(check(p, pmd, 4) && *(uint64_t *)(p + pmd) == 0));
	}
	ok &= reap(pid);
	mprotect(p + pmd / 2, page_size(), PROT_READ | PROT_WRITE);
	madvise(p, pmd, MADV_COLLAPSE);
	ok &= check(p, size, 4);
	munmap(p + pmd / 4, pmd / 4);
	ok &= check(p, pmd / 4, 4) && check(p + pmd, pmd, 4 + pmd);
	munmap(area, size + pmd);
	return ok;
}

/* mprotect, mremap by whole tables, madvise that clears young and dirty */
static bool remap(void)
{
	size_t size = 4 * MB;
	char *p = map(size, -1, MAP_PRIVATE), *q;
	bool ok;
	int i;

	if (!p)
		return false;
	fill(p, size, 5);
	for (i = 0; i < 4; i++) {
		mprotect(p, size, PROT_READ);
		ok = check(p, size, 5);
		mprotect(p, size, PROT_READ | PROT_WRITE);
		fill(p, size, 5);
	}
	madvise(p, size, MADV_COLD);
	q = mremap(p, size, 2 * size, MREMAP_MAYMOVE);
	if (q == MAP_FAILED)
		return false;
	p = map(2 * size, -1, MAP_PRIVATE);
	q = mremap(q, 2 * size, 2 * size, MREMAP_MAYMOVE | MREMAP_FIXED, p);
	if (q == MAP_FAILED)
		return false;
	ok &= check(q, size, 5);
	madvise(q, size / 2, MADV_DONTNEED);
	ok &= *(uint64_t *)q == 0 && check(q + size / 2, size / 2, 5 + size / 2);
	munmap(q, 2 * size);
	return ok;
}

/* A file, shared and private, seen by a child */
static bool file(void)
{
	size_t size = 2 * MB;
	int fd = memfd_create("churn", 0);
	char *shared, *private;
	bool ok;
	pid_t pid;

	if (fd < 0 || ftruncate(fd, size))
		return false;
	shared = map(size, fd, MAP_SHARED);
	private = map(size, fd, MAP_PRIVATE);
	if (!shared || !private)
		return false;
	fill(shared, size, 6);
	ok = check(private, size, 6);
	pid = fork();
	if (!pid) {
		fill(shared, size / 2, 7);
		fill(private, size, 8);
		_exit(!check(private, size, 8));
	}
	ok &= reap(pid) && check(shared, size / 2, 7) &&
	      check(shared + size / 2, size / 2, 6 + size / 2) && check(private, size / 2, 7);
	msync(shared, size, MS_SYNC);
	munmap(shared, size);
	munmap(private, size);
	close(fd);
	return ok;
}

static void *thread_body(void *arg)
{
	char *p = map(256 * 1024, -1, MAP_PRIVATE);
	bool ok;

	if (!p)
		return NULL;
	fill(p, 256 * 1024, (uint64_t)arg);
	sched_yield();
	ok = check(p, 256 * 1024, (uint64_t)arg);
	munmap(p, 256 * 1024);
	return ok ? arg : NULL;
}

/* Threads that map and unmap in one address space */
static bool threads(void)
{
	pthread_t id[4];
	bool ok = true;
	uint64_t i;
	void *ret;

	for (i = 0; i < 4; i++)
		if (pthread_create(&id[i], NULL, thread_body, (void *)(i + 1)))
			return false;
	for (i = 0; i < 4; i++) {
		pthread_join(id[i], &ret);
		ok &= ret == (void *)(i + 1);
	}
	return ok;
}

/* 'init true' is a usage error: exit status 2 */
static bool exec(void)
{
	pid_t pid = vfork();
	int status;

	if (!pid) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, 2);
		execl("/proc/self/exe", "init", "true", NULL);
		_exit(1);
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 2;
}

/* The page-table walkers of procfs */
static bool proc(void)
{
	static const char * const files[] = { "/proc/self/smaps", "/proc/self/pagemap" };
	char buf[4096];
	int i, n, fd;

	for (i = 0; i < 2; i++) {
		fd = open(files[i], O_RDONLY);
		for (n = 0; fd >= 0 && n < 16 && read(fd, buf, sizeof(buf)) > 0; n++)
			;
		if (fd >= 0)
			close(fd);
	}
	write_file("/proc/self/clear_refs", "1\n");
	return true;
}

/* Whole upper tables change place: 1G of address space, sparsely filled */
static bool move_tables(void)
{
	size_t gb = 1ul << 30, step = 64 * MB, i;
	char *area = map(4 * gb, -1, MAP_PRIVATE | MAP_NORESERVE), *p, *q;
	bool ok = true;

	if (!area)
		return false;
	madvise(area, 4 * gb, MADV_NOHUGEPAGE);
	p = (char *)(((uintptr_t)area + gb - 1) & ~(gb - 1));
	q = p + 2 * gb;
	for (i = 0; i < gb; i += step)
		*(uint64_t *)(p + i) = i + 10;
	if (mremap(p, gb, gb, MREMAP_MAYMOVE | MREMAP_FIXED, q) != q)
		return false;
	for (i = 0; i < gb; i += step)
		ok &= *(uint64_t *)(q + i) == i + 10;
	munmap(q, gb);
	munmap(area, 4 * gb);
	return ok;
}

/* Equal pages that the kernel may merge behind our back; guard pages */
static bool merge(void)
{
	size_t size = 256 * page_size(), i;
	char *p = map(size, -1, MAP_PRIVATE);
	struct timespec nap = { .tv_nsec = 20000000 };
	bool ok;

	if (!p)
		return false;
	for (i = 0; i < size; i += page_size())
		*(uint64_t *)(p + i) = 11;
	madvise(p, size, MADV_MERGEABLE);
	nanosleep(&nap, NULL);
	fill(p, size / 2, 12);
	ok = check(p, size / 2, 12);
	for (i = size / 2; i < size; i += page_size())
		ok &= *(uint64_t *)(p + i) == 11;
	madvise(p, size / 4, MADV_GUARD_INSTALL);
	madvise(p, size / 4, MADV_GUARD_REMOVE);
	ok &= check(p + size / 4, size / 4, 12 + size / 4);
	munmap(p, size);
	return ok;
}

/* Page sizes of hugetlbfs with 4K pages, contiguous ones among them */
static const int hugetlb_shift[] = { 16, 21, 25 };
static bool have_hugetlb[3];

/* Rare failures must say what they are about */
static bool hugetlb_step(bool good, size_t size, const char *what)
{
	if (!good)
		say("# churn: hugetlb, %lu kB: %s (errno %d)", (long)(size / 1024), what, errno);
	return good;
}

static bool hugetlb(void)
{
	bool ok = true;
	size_t i;

	for (i = 0; i < 3; i++) {
		size_t size = 1ul << hugetlb_shift[i];
		char *p, *private;
		pid_t pid;

		if (!have_hugetlb[i])
			continue;
		p = map(size, -1, MAP_SHARED | MAP_HUGETLB | hugetlb_shift[i] << MAP_HUGE_SHIFT);
		private = map(size, -1,
			      MAP_PRIVATE | MAP_HUGETLB | hugetlb_shift[i] << MAP_HUGE_SHIFT);
		if (p) {
			fill(p, size, 9);
			mprotect(p, size, PROT_READ);
			ok &= hugetlb_step(check(p, size, 9), size, "shared memory");
			munmap(p, size);
		}
		if (private) {
			fill(private, size, 10);
			pid = fork();
			if (!pid)
				_exit(!hugetlb_step(check(private, size, 10), size, "child's memory"));
			ok &= hugetlb_step(pid > 0, size, "fork");
			ok &= hugetlb_step(reap(pid), size, "child");
			ok &= hugetlb_step(check(private, size, 10), size, "memory after fork");
			/* write-protected by the fork */
			fill(private, size, 11);
			ok &= hugetlb_step(check(private, size, 11), size, "memory after a write");
			munmap(private, size);
		}
	}
	return ok;
}

static bool setup_hugetlb(bool on)
{
	char path[96], line[16] = "0";
	bool any = false;
	size_t i;

	for (i = 0; i < 3; i++) {
		snprintf(path, sizeof(path),
			 "/sys/kernel/mm/hugepages/hugepages-%lukB/nr_hugepages",
			 (1ul << hugetlb_shift[i]) / 1024);
		write_file(path, on ? "4\n" : "0\n");
		have_hugetlb[i] = read_line(path, line, sizeof(line)) && atoi(line) > 0;
		any |= have_hugetlb[i];
	}
	return any;
}

static const struct {
	const char *name;
	bool (*run)(void);
} jobs[] = {
	{ "fork and COW of PTE-mapped memory", fork_cow },
	{ "huge pages: split, fork, collapse", huge },
	{ "mprotect, mremap, madvise", remap },
	{ "file mappings", file },
	{ "threads", threads },
	{ "vfork and execve", exec },
	{ "procfs walkers", proc },
	{ "mremap of whole tables", move_tables },
	{ "merged pages, guard pages", merge },
	{ "hugetlbfs", hugetlb },
};

#define NR_JOBS (int)(sizeof(jobs) / sizeof(jobs[0]))

static volatile bool *stop;	/* shared with the workers of start_load() */

/* One process a CPU; its exit status is the job that failed, or NR_JOBS */
static int worker(int cpu, double end, bool use_hugetlb)
{
	int turn, job;

	run_on(cpu);
	/* a whole round at least */
	for (turn = 0; turn < NR_JOBS || (now() < end && !(stop && *stop)); turn++) {
		job = (turn + cpu) % NR_JOBS;
		if (jobs[job].run == hugetlb && !use_hugetlb)
			continue;
		if (!jobs[job].run())
			return job;
	}
	return NR_JOBS;
}

/* What no job does: free lazily, with folios of all sizes, more of them than are in a batch */
void test_lazy_free(void)
{
	size_t size = 4 * MB, i;
	char *p = map(size, -1, MAP_PRIVATE);
	bool ok = p;

	for (i = 0; ok && i < 4; i++) {
		madvise(p, size, i % 2 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
		fill(p, size, i);
		ok = !madvise(p + page_size(), size - 2 * page_size(), MADV_FREE);
		ok &= check(p, page_size(), i);
		munmap(p + size / 2, size / 4);
		ok &= mmap(p, size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p;
	}
	if (p)
		munmap(p, size);
	result(ok, "memory that is freed lazily");
}

void test_churn(void)
{
	int cpus = count_cpus(), i, running, status, lost = 0;
	struct timespec nap = { .tv_nsec = 100000000 };
	double end = now() + CHURN_SECONDS;
	bool use_hugetlb, failed[NR_JOBS] = {};
	pid_t worker_pid[MAX_CPUS], pid;

	if (cpus > MAX_CPUS)
		cpus = MAX_CPUS;
	/* folios smaller than a PMD: mapped with the contiguous bit */
	write_file("/sys/kernel/mm/transparent_hugepage/hugepages-64kB/enabled", "always\n");
	write_file("/sys/kernel/mm/ksm/sleep_millisecs", "5\n");
	write_file("/sys/kernel/mm/ksm/pages_to_scan", "500\n");
	write_file("/sys/kernel/mm/ksm/run", "1\n");
	use_hugetlb = setup_hugetlb(true);
	for (i = 0; i < cpus; i++) {
		worker_pid[i] = fork();
		if (!worker_pid[i])
			_exit(worker(i, end, use_hugetlb));
	}
	do {
		/* pages move while they work */
		write_file("/proc/sys/vm/compact_memory", "1\n");
		nanosleep(&nap, NULL);
		for (i = running = 0; i < cpus; i++) {
			if (!worker_pid[i])
				continue;
			pid = waitpid(worker_pid[i], &status, WNOHANG);
			if (!pid) {
				running++;
				continue;
			}
			worker_pid[i] = 0;
			if (pid < 0 || !WIFEXITED(status))
				lost++;
			else if (WEXITSTATUS(status) < NR_JOBS)
				failed[WEXITSTATUS(status)] = true;
		}
	} while (running);
	write_file("/sys/kernel/mm/ksm/run", "2\n");
	setup_hugetlb(false);
	result(!lost, "churn: all workers lived");
	for (i = 0; i < NR_JOBS; i++) {
		if (jobs[i].run == hugetlb && !use_hugetlb)
			skip("no huge pages", "churn: %s", jobs[i].name);
		else
			result(!failed[i], "churn: %s", jobs[i].name);
	}
}

static pid_t load_pid[MAX_CPUS];

void start_load(void)
{
	int cpu;

	stop = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (cpu = 0; cpu < count_cpus() && cpu < MAX_CPUS; cpu++) {
		load_pid[cpu] = fork();
		if (!load_pid[cpu])
			_exit(worker(cpu, now() + 3600, false));
	}
}

bool stop_load(void)
{
	bool ok = true;
	int cpu, status;

	*stop = true;
	for (cpu = 0; cpu < MAX_CPUS && load_pid[cpu]; cpu++) {
		bool good = waitpid(load_pid[cpu], &status, 0) > 0 && WIFEXITED(status) &&
			    WEXITSTATUS(status) == NR_JOBS;

		if (!good)
			say("# load on CPU %d: %s", cpu, WIFEXITED(status) &&
			    WEXITSTATUS(status) < NR_JOBS ? jobs[WEXITSTATUS(status)].name :
			    "died");
		ok &= good;
		load_pid[cpu] = 0;
	}
	munmap((void *)stop, page_size());
	stop = NULL;
	return ok;
}

bool set_cpu(int cpu, bool online)
{
	char path[80];

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
	if (write_file(path, online ? "1\n" : "0\n"))
		return true;
	say("# CPU %d %s: %s", cpu, online ? "on" : "off", strerror(errno));
	return false;
}

void test_cpu_hotplug(void)
{
	bool ok = true;
	int turn, cpu = 1;

	if (count_cpus() == 1) {
		skip("one CPU", "CPU off and on, with work on it");
		return;
	}
	for (turn = 0; turn < 5 && ok; turn++) {
		pid_t pid;

		ok = set_cpu(cpu, false) && set_cpu(cpu, true);
		pid = fork();
		if (!pid)
			_exit(worker(cpu, 0, false) != NR_JOBS);
		ok &= reap(pid);
	}
	result(ok, "CPU off and on, with work on it");
}
