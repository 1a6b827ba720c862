/* SPDX-License-Identifier: GPL-2.0 */
#ifndef GUEST_INIT_H
#define GUEST_INIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* init.c: one line in the kernel log, with the prefix that README.rst describes */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* TAP; result() returns @good */
bool result(bool good, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void skip(const char *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* One command to the module; false with errno set if it was refused */
bool ask(char *answer, int size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* What the kernel under test should be */
enum expect { EXPECT_NOTHING, EXPECT_PROTECTED, EXPECT_OPEN };
extern enum expect expect;

struct report {			/* what the kernel log says of one write */
	bool write, overlay;	/* the fault: a write, that the overlay did not permit */
	bool unmapped;		/* the fault: there is nothing at the address */
	bool refused;		/* kpkeys: write to page table ... refused */
	char table[160];	/* the line after that: which table */
	bool survived;		/* LKDTM: the write went through */
	int left_raised;	/* kpkeys: raised level on return to user space */
	char xfail[80];		/* LKDTM: the test cannot be made, and why */
};

/* The kernel shows where it is when memory is short, which is no complaint */
extern bool traces_expected;

/*
 * init.c: read what is new in the kernel log, before it gets lost; @report: we
 * just made it complain
 */
void drain_log(struct report *report);

bool load_module(const char *path);

bool write_file(const char *path, const char *text);
/* false if the file cannot be read; the text is cut at the first newline */
bool read_line(const char *path, char *line, int size);
/* From a file with lines of a name and a value; -1 if there is none */
long value_in(const char *path, const char *name);
/* What kmemleak has found since we began, if the kernel has it */
void check_leaks(const char *when);
/* The kernel's statistics of page tables: sum of those that match; -1 if none does */
long statistic(const char *pattern);
int count_cpus(void);
/* From now on on this CPU; false if that is not possible */
bool run_on(int cpu);
/* In seconds, since whenever */
double now(void);
bool have_poe(void);

/* pkeys.c: userspace protection keys. The second is run after exec */
void test_pkeys(void);
int print_por(void);

/* churn.c: keeps the kernel's page-table code busy, checks memory contents */
void test_churn(void);
void test_lazy_free(void);
void test_cpu_hotplug(void);
/* Says why if it cannot be done */
bool set_cpu(int cpu, bool online);
/* The same work on all CPUs until stop_load(); false if a worker died, or found other contents */
void start_load(void);
bool stop_load(void);

/* forks.c: what the kernel says of its page tables, when idle and after many forks */
void test_idle(void);
void test_forks(int nr);
void test_tracepoints(void);

/* owners.c: where page tables come from, and who has allocated them */
void test_owners(void);

/* crowd.c: a refused write to a table of the last of @nr processes */
void test_crowd(int nr);

/* memcg.c: page tables are charged to a memory cgroup */
void test_memcg(void);

/* memory.c: memory that comes and goes, @spare is where there is some */
void test_memory_hotplug(uint64_t spare);
/* With @write: fill it, else count the words that are not what was filled in */
long pattern(uint64_t *memory, size_t size, bool write);

struct tally {
	int attacks, refused, allowed, errors, unexpected;
	int reported, misreported;	/* refused, and the kernel said (wrongly) which table */
};

/* attack.c: what an attacker makes of a driver with a bug */
void rehearse_attacks(struct tally *t);

/* scarcity.c: no memory for page tables. @points: allocations fail one after the other, too */
void test_hog(void);
void test_races(void);
void test_scarcity(bool points);

/* init.c: the kernel's own check of all page tables, if it has one */
void check_pgtables(const char *when);
/* and ours: all tables by pkey. With the default pkey and write permission: unprotected */
void scan(const char *space, bool tap);

/* lkdtm.c: the kernel's own attacks */
void test_lkdtm(bool protected);
void test_lkdtm_panic(void);

/* init.c: a store to a page table of ours, once on each CPU */
void attack_on_each_cpu(void);
/* How many points there have been */
int count_points(void);

/* life.c: what happens to a machine in its life: sleep, kexec ... false: no such mode */
bool test_life(const char *mode, uint64_t spare);
/* The kernel's own counts of page tables add up */
void check_counters(void);

/* jobs.c: programs of others, listed in /jobs */
void test_jobs(void);

/* kvm.c: a VM that writes what registers of POE it can */
void test_kvm(void);

/* kunit.c: the kernel's own tests again, now that booting is over */
void test_kunit(void);

#endif
