// SPDX-License-Identifier: GPL-2.0
/*
 * What becomes of page tables when there is no memory for them: allocations
 * that are made to fail one after the other, or at random, and a machine whose
 * memory is used up.
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
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

#define DEBUGFS		"/sys/kernel/debug/"
#define FAIL_NTH	"/proc/thread-self/fail-nth"
#define MODULE		"/kpkeys_bug.ko"

#define NR_TABLES	24	/* that a call needs, more than the smallest refill has */
#define MOST_POINTS	5000
#define STORM_SECONDS	6
#define PATIENCE	240	/* in seconds, before it counts as a deadlock; an emulator may be slow */

static const char * const attrs[] = { "failslab", "fail_page_alloc" };

static bool have_pools;		/* the feature is on */
static size_t span;		/* what the last level of a page table maps */

/* ---- memory ---- */

static char *map_spans(int nr)
{
	char *p = mmap(NULL, nr * span, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	madvise(p, nr * span, MADV_NOHUGEPAGE);
	return p;
}

/* Have page tables for them: with pages of memory, which fork() copies, or without */
static void touch(char *p, int nr, bool write)
{
	for (volatile char *at = p; nr--; at += span) {
		if (write)
			*at = 1;
		else
			(void)*at;
	}
}

/* Page tables that can be had without a refill */
static long nr_free_tables(void)
{
	return statistic("node*_free") + statistic("cpu_free");
}

static long nr_refills(void)
{
	return statistic("refill_order*");
}

/* ---- fault injection ---- */

static void set_fault(const char *name, const char *fmt, ...)
{
	char path[128], text[32];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), DEBUGFS "%s/%s", attrs[i], name);
		if (!write_file(path, text))
			say("error cannot write %s: %s", path, strerror(errno));
	}
}

/* pba_alloc() is where a page table is asked for: what it allocates is for a refill */
static unsigned long refill_start, refill_end;

static void find_refills(void)
{
	FILE *file = fopen("/proc/kallsyms", "r");
	char line[256], name[200];
	unsigned long address;

	while (file && !refill_end && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx %*c %199s", &address, name) != 2)
			continue;
		if (refill_start && address > refill_start)
			refill_end = address;
		else if (!strcmp(name, "pba_alloc"))
			refill_start = address;
	}
	if (file)
		fclose(file);
}

/* Only allocations for refills fail, or any */
static void aim(bool refills)
{
	set_fault("require-start", "%lu\n", refills ? refill_start : 0);
	set_fault("require-end", "%lu\n", refills ? refill_end : ~0ul);
}

static bool prepare_faults(void)
{
	if (access(DEBUGFS "failslab", F_OK) || access(DEBUGFS "fail_page_alloc", F_OK))
		return false;
	set_fault("verbose", "0\n");
	set_fault("task-filter", "Y\n");
	set_fault("ignore-gfp-wait", "N\n");
	write_file(DEBUGFS "fail_page_alloc/ignore-gfp-highmem", "N\n");
	write_file(DEBUGFS "fail_page_alloc/min-order", "0\n");
	find_refills();
	return refill_end || !have_pools;
}

/* Of the tasks that want it, make @percent of the allocations fail, @times of them at most */
static void fail(int percent, int times)
{
	set_fault("times", "%d\n", times);
	set_fault("probability", "%d\n", percent);
}

static void fail_me(bool me)
{
	write_file("/proc/self/make-it-fail", me ? "1\n" : "0\n");
}

/* ---- calls that need page tables ---- */

static char *copied;		/* what fork() has to copy */

static bool call_fork(void)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	return pid > 0 && waitpid(pid, &status, 0) == pid && !status;
}

static bool call_fault(void)
{
	char *p = map_spans(NR_TABLES);
	bool ok = p;

	if (p)
		touch(p, NR_TABLES, false);
	/* if it fails, the second time it does not */
	while (p && munmap(p, NR_TABLES * span))
		ok = false;
	return ok;
}

/* In a part of the vmalloc area that has no page tables yet: these are never freed */
static bool call_vmap(void)
{
	char answer[32];

	return ask(answer, sizeof(answer), "vmap %d", 2);
}

static bool call_module(void)
{
	return load_module(MODULE) && !syscall(SYS_delete_module, "kpkeys_bug", O_NONBLOCK);
}

static const struct call {
	const char *name;
	bool (*run)(void);
	bool refills;		/* it needs more page tables than are kept anyway */
} calls[] = {
	{ "fork", call_fork, true },
	{ "fault", call_fault, true },
	{ "vmap", call_vmap, true },
	{ "module", call_module, false },
};

#define NR_CALLS	((int)(sizeof(calls) / sizeof(calls[0])))

#define MOST_KEPT	8192

static char *kept;		/* what has taken the free page tables */
static int nr_kept;

static void forget_kept(void)
{
	munmap(kept, MOST_KEPT * span);
	kept = NULL;
	nr_kept = 0;
	/* they are free after a grace period */
	usleep(200000);
}

/*
 * Use up the free page tables, so that the next one that is wanted takes a
 * refill: have what goes back to the page allocator go back, and keep the rest
 * in use. Returns how many are still free.
 */
static long make_dry(void)
{
	long left, some;

	if (nr_kept > MOST_KEPT / 2)
		forget_kept();
	if (!kept) {
		kept = map_spans(MOST_KEPT);
		/* fork() shall not copy it: next to memory that it copies, it is one area with that */
		madvise(kept, MOST_KEPT * span, MADV_DONTFORK);
	}
	/* Let others run, who get no CPU while we do */
	usleep(2000);
	write_file("/proc/sys/vm/drop_caches", "2\n");
	/* No refill for us meanwhile; if we want one too many, a few go wrong and then one works */
	aim(true);
	fail_me(true);
	for (int turn = 0; turn < 100 && (left = nr_free_tables()) > 0 && nr_kept + left < MOST_KEPT;
	     turn++) {
		some = left > 32 ? left - 32 : 1;
		fail(100, 500);
		touch(kept + nr_kept * span, some, false);
		nr_kept += some;
	}
	fail(0, -1);
	fail_me(false);
	return left;
}

struct points {
	int points, failed, dry;
	long refills;
	bool complete;
};

/* Make the first allocation of a call fail, then the second ... until there is none left */
static struct points each_in_turn(const struct call *call, bool refills)
{
	int fd = open(FAIL_NTH, O_RDWR);
	struct points p = {};
	int others = 0;

	for (int n = 1; fd >= 0 && n < MOST_POINTS; n++) {
		long before;
		char left = '?';

		if (!refills)
			usleep(2000);
		else if (!make_dry())
			p.dry++;
		aim(refills);
		before = nr_refills();
		dprintf(fd, "%d", n);
		p.failed += !call->run();
		/* Nothing may be allocated before we know, nor while it is in force */
		if (pread(fd, &left, 1, 0) != 1 || pwrite(fd, "0", 1, 0) != 1)
			break;
		p.refills += nr_refills() - before;
		if (left != '0') {
			/* Has someone else made the refill? Only on machines with blocks */
			if (refills && ++others < 5) {
				n--;
				continue;
			}
			p.complete = true;
			break;
		}
		others = 0;
		p.points++;
	}
	if (fd >= 0)
		close(fd);
	return p;
}

static void test_points(const struct call *call)
{
	struct points p;
	long lacking;

	p = each_in_turn(call, false);
	say("scarcity part=any call=%s points=%d failed=%d refills=%ld", call->name, p.points,
	    p.failed, p.refills);
	result(p.complete && p.points && call->run(),
	       "%s: each of %d allocations fails once, %d calls do, %ld refills", call->name,
	       p.points, p.failed, p.refills);
	if (!have_pools || !call->refills)
		return;

	p = each_in_turn(call, true);
	say("scarcity part=refill call=%s points=%d failed=%d refills=%ld dry=%d", call->name,
	    p.points, p.failed, p.refills, p.dry);
	result(p.complete && p.points && p.refills && p.dry,
	       "%s: each of %d allocations of refills fails once, %d calls do, %ld refills",
	       call->name, p.points, p.failed, p.refills);

	/*
	 * A page fault is tried again and again, and must succeed once it can.
	 * Someone else may have made a refill before we came.
	 */
	lacking = 0;
	for (int turn = 0; turn < 10 && !lacking; turn++) {
		make_dry();
		aim(true);
		lacking = statistic("allocs_failed");
		fail_me(true);
		fail(100, call->run == call_fault ? 200 : -1);
		p.failed = !call->run();
		fail(0, -1);
		fail_me(false);
		lacking = statistic("allocs_failed") - lacking;
	}
	say("scarcity part=none call=%s failed=%d allocs_failed=%ld", call->name, p.failed, lacking);
	result(lacking > 0 && p.failed == (call->run != call_fault) && call->run(),
	       "%s: no refill possible, %ld page tables not allocated; then it is", call->name,
	       lacking);
}

/* On one CPU, so that nothing refills the pools but what we call; we never wait for anything */
static void all_points(void)
{
	static const struct sched_param first = { .sched_priority = 1 }, none;
	char path[80], answer[32];
	int nr = count_cpus();

	write_file("/proc/sys/kernel/sched_rt_runtime_us", "-1\n");
	for (int cpu = 1; cpu < nr; cpu++) {
		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
		write_file(path, "0\n");
	}
	sched_setscheduler(0, SCHED_FIFO, &first);
	copied = map_spans(NR_TABLES);
	touch(copied, NR_TABLES, true);
	for (int i = 0; i < NR_CALLS; i++) {
		test_points(&calls[i]);
		/* the log must not overflow */
		drain_log(NULL);
	}
	munmap(copied, NR_TABLES * span);
	if (kept)
		forget_kept();
	ask(answer, sizeof(answer), "vunmap");
	sched_setscheduler(0, SCHED_OTHER, &none);
	for (int cpu = 1; cpu < nr; cpu++) {
		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
		write_file(path, "1\n");
	}
	result(count_cpus() == nr, "all %d CPUs are back", nr);
}

/* ---- storms ---- */

enum { FORKS, MAPS, VMAPS, NR_KINDS };

static struct shared {
	bool stop;
	int sated;		/* hogs that have all they want */
	long done[NR_KINDS];
} *shared;

static void count(int kind)
{
	__atomic_add_fetch(&shared->done[kind], 1, __ATOMIC_RELAXED);
}

static bool stopped(void)
{
	return __atomic_load_n(&shared->stop, __ATOMIC_RELAXED);
}

static void storm_fork(void)
{
	char *p = map_spans(8);

	touch(p, 8, true);
	while (!stopped()) {
		pid_t pid = fork();

		if (!pid) {
			touch(p, 8, true);
			_exit(0);
		}
		if (pid > 0 && waitpid(pid, NULL, 0) == pid)
			count(FORKS);
	}
}

static void storm_map(void)
{
	while (!stopped()) {
		char *p = map_spans(8), *q;

		if (!p)
			continue;
		touch(p, 8, true);
		mprotect(p, 4 * span, PROT_READ);
		q = mremap(p + 4 * span, 4 * span, 4 * span, MREMAP_MAYMOVE | MREMAP_FIXED, p);
		munmap(q == MAP_FAILED ? p : q, (q == MAP_FAILED ? 8 : 4) * span);
		count(MAPS);
	}
}

static void storm_vmap(void)
{
	char answer[32];

	while (!stopped()) {
		if (ask(answer, sizeof(answer), "vmap 2"))
			count(VMAPS);
		ask(answer, sizeof(answer), "vunmap");
	}
}

static void (* const storms[])(void) = { storm_fork, storm_map, storm_vmap };

/*
 * A hog takes this much memory: pages, or nothing but page tables. If a single one
 * takes all for these, others may get killed for it, with any kernel: the OOM
 * killer regards it as gone when its pages are, before its page tables are free,
 * and then kills whomever it finds.
 */
static void hog(bool tables, long kilobytes)
{
	size_t page = getpagesize(), step = tables ? span : page;
	long nr = kilobytes * 1024 / page;
	volatile char *p = mmap(NULL, nr * step, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		_exit(1);
	madvise((char *)p, nr * step, MADV_NOHUGEPAGE);
	while (nr--) {
		if (tables)
			(void)p[nr * step];
		else
			p[nr * step] = 1;
	}
	__atomic_add_fetch(&shared->sated, 1, __ATOMIC_RELAXED);
	pause();
}

/* Wait for a child, but not for ever, and read the log meanwhile */
static bool wait_for(pid_t pid, int *status, int seconds)
{
	double end = now() + seconds;
	pid_t found;

	while (!(found = waitpid(pid, status, WNOHANG)) && now() < end) {
		drain_log(NULL);
		usleep(20000);
	}
	return found == pid;
}

#define NR_HOGS		8	/* what they want is more than there is, what half of them have is not */
#define HOG_SHARE	6

enum hogs { NO_HOGS, PAGE_HOGS, TABLE_HOGS, ONE_TABLE_HOG };

static pid_t hogs[NR_HOGS];
static int nr_hogs;

/* Returns once each hog has what it wants, or is gone; false: that goes on and on */
static bool start_hogs(enum hogs kind)
{
	/* A single one wants more than there is */
	long share = kind == ONE_TABLE_HOG ? 2 * value_in("/proc/meminfo", "MemTotal:") :
		     value_in("/proc/meminfo", "MemAvailable:") / HOG_SHARE;
	double end = now() + PATIENCE;
	siginfo_t info;
	int ended;

	nr_hogs = kind == ONE_TABLE_HOG ? 1 : NR_HOGS;
	shared->sated = 0;
	for (int i = 0; i < nr_hogs; i++) {
		hogs[i] = fork();
		if (!hogs[i])
			hog(kind != PAGE_HOGS, share);
	}
	do {
		drain_log(NULL);
		usleep(20000);
		ended = 0;
		for (int i = 0; i < nr_hogs; i++) {
			info.si_pid = 0;
			waitid(P_PID, hogs[i], &info, WEXITED | WNOHANG | WNOWAIT);
			ended += info.si_pid == hogs[i];
		}
		/* One that was killed may have been sated before */
	} while (ended + shared->sated < nr_hogs && now() < end);
	return now() < end;
}

/* Returns how many of them the kernel has killed; -1: one does not end */
static int end_hogs(void)
{
	int killed = 0, status;

	for (int i = 0; i < nr_hogs; i++)
		kill(hogs[i], SIGTERM);
	for (int i = 0; i < nr_hogs; i++) {
		if (!wait_for(hogs[i], &status, PATIENCE))
			return -1;
		killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
	}
	return killed;
}

static void test_storm(const char *name, int percent, enum hogs kind)
{
	long kills = value_in("/proc/vmstat", "oom_kill"), refills = nr_refills();
	int nr = count_cpus() * NR_KINDS, killed = 0, lost = 0, stuck = 0, status;
	bool settled = true;
	pid_t pids[64];

	if (nr > 64)
		nr = 64;
	memset(shared, 0, sizeof(*shared));
	if (percent) {
		aim(false);
		fail(percent, -1);
	}
	for (int i = 0; i < nr; i++) {
		pids[i] = fork();
		if (pids[i])
			continue;
		if (percent)
			fail_me(true);
		storms[i % NR_KINDS]();
		_exit(0);
	}
	if (kind)
		settled = start_hogs(kind);
	for (double end = now() + (kind ? 1 : STORM_SECONDS); now() < end; usleep(100000))
		drain_log(NULL);
	shared->stop = true;
	for (int i = 0; i < nr; i++) {
		if (wait_for(pids[i], &status, PATIENCE))
			lost += status != 0;
		else
			stuck++;
	}
	/*
	 * Not before: the OOM killer passes over a hog that is about to end, and
	 * whoever needs memory before it has given back its own gets killed instead
	 */
	if (kind)
		killed = end_hogs();
	if (percent)
		fail(0, -1);
	kills = value_in("/proc/vmstat", "oom_kill") - kills;
	say("scarcity part=storm storm=%s forks=%ld maps=%ld vmaps=%ld refills=%ld oom_kills=%ld hogs_killed=%d lost=%d stuck=%d",
	    name, shared->done[FORKS], shared->done[MAPS], shared->done[VMAPS],
	    have_pools ? nr_refills() - refills : 0, kills, killed, lost, stuck);
	result(settled && !stuck && shared->done[FORKS] && shared->done[MAPS] &&
	       shared->done[VMAPS],
	       "storm of %s: %ld forks, %ld maps, %ld vmaps, and it ends", name,
	       shared->done[FORKS], shared->done[MAPS], shared->done[VMAPS]);
	if (kind == ONE_TABLE_HOG)
		result(killed == 1, "storm of %s: %ld OOM kills, among them the hog, and %d of %d others",
		       name, kills, lost, nr);
	else if (kind)
		result(killed > 0 && kills == killed && !lost,
		       "storm of %s: %ld OOM kills, %d of the %d hogs", name, kills, killed,
		       nr_hogs);
}

/* ---- what is left ---- */

struct counters {
	long user, kernel;	/* page tables */
	long pool;		/* free, but kept for page tables */
	long available;		/* memory, in kB */
};

/* Of the kernel itself: those of the vmalloc area are never freed */
static long nr_kernel_tables(void)
{
	char answer[4096];
	long sum = 0;

	if (!ask(answer, sizeof(answer), "scan kernel"))
		return -1;
	for (char *at = answer; (at = strstr(at, " tables=")); )
		sum += strtol(at + 8, &at, 10);
	return sum;
}

static bool count_kernel;	/* nr_page_table_pages does so: Linux since 6.16 */

static struct counters get_counters(void)
{
	struct counters c;

	/* what goes back later, after grace periods, or because nobody needs it */
	sleep(2);
	write_file("/proc/sys/vm/drop_caches", "3\n");
	/* to have what CPUs keep for themselves: pages, differences of counters */
	write_file("/proc/sys/vm/compact_memory", "1\n");
	write_file("/proc/sys/vm/stat_refresh", "1\n");
	sleep(1);
	c.kernel = nr_kernel_tables();
	c.user = value_in("/proc/vmstat", "nr_page_table_pages") - (count_kernel ? c.kernel : 0);
	c.pool = have_pools ? nr_free_tables() : 0;
	c.available = value_in("/proc/meminfo", "MemAvailable:");
	return c;
}

/* To be seen, rather than told by the version: vendors have older kernels with newer parts */
static struct counters look_what_counts(void)
{
	struct counters before = get_counters(), after;
	char answer[32];

	/*
	 * Tables of the vmalloc area are never freed. A mapping is not larger than the memory,
	 * and stays, so that the next one needs tables, too.
	 */
	for (int i = 0; i < 4; i++)
		ask(answer, sizeof(answer), "vmap %d", 8);
	after = get_counters();
	count_kernel = 2 * (after.user - before.user) > after.kernel - before.kernel;
	result(after.kernel - before.kernel >= 16, "%ld tables for vmap(), and %ld are counted",
	       after.kernel - before.kernel, after.user - before.user);
	after.user -= count_kernel ? after.kernel : 0;
	return after;
}

/*
 * How much may be missing: slabs that are not full any more but cannot go. The
 * storms leave 4 MB of them without the feature, too.
 */
#define MOST_KB		8192

/* Seconds after which what goes back does so no more: the pool looks again for 50 */
#define SETTLED		60

static void check_clean(const char *when, const struct counters *before)
{
	long user, kernel, kept, less, block = getpagesize() / sizeof(uint64_t), most;
	double start = now();
	struct counters left;

	/* It goes back by work items and grace periods: on a busy host these take their time */
	do {
		left = get_counters();
		user = left.user - before->user;
		kernel = left.kernel - before->kernel;
		kept = left.pool - before->pool;
		less = before->available - left.available - (kernel + kept) * getpagesize() / 1024;
		/* A table in use keeps all of its block, in the worst case each a block of its own */
		most = (kernel + 8) * block;
	} while ((labs(user) >= 8 || less >= MOST_KB || kept > most) && now() < start + SETTLED);

	check_pgtables(when);
	say("scarcity part=left when=%s user=%+ld kernel=%+ld kept=%+ld available_kb=%+ld seconds=%.0f",
	    when, user, kernel, kept, -less, now() - start);
	/* init is the only process, but the kernel starts one now and then */
	result(labs(user) < 8, "page tables of processes %s: %+ld", when, user);
	result(less < MOST_KB, "memory %s: %+ld kB, without %ld new tables of vmalloc()", when,
	       -less, kernel);
	if (have_pools)
		result(kept <= most, "page tables kept for later %s: %+ld", when, kept);
	check_leaks(when);
}

static void prepare(void)
{
	have_pools = statistic("allocs") >= 0;
	span = (size_t)getpagesize() * getpagesize() / 8;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	write_file("/proc/sys/vm/oom_dump_tasks", "0\n");
	write_file("/proc/sys/kernel/hung_task_timeout_secs", "20\n");
}

#define HOG_TURNS	3
#define RACE_TURNS	3

/* One process that fills the machine with page tables; how many others are killed is reported */
void test_hog(void)
{
	prepare();
	for (int turn = 0; turn < HOG_TURNS; turn++)
		test_storm("one-table-hog", 0, ONE_TABLE_HOG);
}

/* What the tests for races are about, too: giving back, and looking at the counters */
static __attribute__((noreturn)) void look_and_shrink(void)
{
	for (;;) {
		write_file("/proc/sys/vm/drop_caches", "2\n");
		statistic("*");
		usleep(20000);
	}
}

/* For a kernel that looks for data races: all that the allocator does, on all CPUs */
void test_races(void)
{
	int status;
	pid_t pid;

	prepare();
	pid = fork();
	if (!pid)
		look_and_shrink();
	for (int turn = 0; turn < RACE_TURNS; turn++)
		test_storm("races", 0, NO_HOGS);
	kill(pid, SIGKILL);
	result(pid > 0 && wait_for(pid, &status, PATIENCE), "what looks at the counters ends");
}

void test_scarcity(bool points)
{
	struct counters before;

	prepare();
	before = look_what_counts();
	say("# before: %ld kB available", before.available);
	if (points && result(prepare_faults(), "the kernel can make allocations fail")) {
		all_points();
		check_clean("after-points", &before);
		test_storm("failures", 2, NO_HOGS);
		check_clean("after-failures", &before);
	}
	test_storm("hogs", 0, PAGE_HOGS);
	check_clean("after-hogs", &before);
	test_storm("table-hogs", 0, TABLE_HOGS);
	check_clean("after-table-hogs", &before);
}
