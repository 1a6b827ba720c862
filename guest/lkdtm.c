// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel's own crash tests (LKDTM) that write to page tables: each is
 * refused and reported, or goes through, as it should.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init.h"

#define TRIGGER		"/sys/kernel/debug/provoke-crash/DIRECT"
#define PANICS		"PGTABLE_IRQ"
#define LEAVES_RAISED	"KPKEYS_LEVEL_LEFT_RAISED"
#define LIMIT_SECONDS	5	/* of the report's rate limit */

/* What the report says of the table */
static const struct {
	const char *prefix, *table;
} tables[] = {
	{ "PGTABLE_USER_", "%s table of process " },
	{ "PGTABLE_KERNEL_", "%s table of the kernel" },
	{ "PGTABLE_AFTER_FREE", "free, kept to become a page table" },
	{ "PGTABLE_REUSED", "pte table of process " },
	{ "PGTABLE_OTHER_CPU", "pte table of process " },
};

static bool right_table(const char *name, const struct report *report)
{
	char level[8] = "", wanted[64];

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		size_t len = strlen(tables[i].prefix);

		if (strncmp(name, tables[i].prefix, len))
			continue;
		for (int j = 0; j < 3 && name[len + j]; j++)
			level[j] = name[len + j] | 0x20;
		snprintf(wanted, sizeof(wanted), tables[i].table, level);
		return strstr(report->table, wanted);
	}
	return false;
}

/* Both by the same child, the second one if there is one; the child's status */
static int provoke_both(const char *name, const char *second, struct report *report)
{
	int status = -1;
	pid_t pid;

	memset(report, 0, sizeof(*report));
	drain_log(NULL);
	say("attack-begin lkdtm=%s", name);
	pid = fork();
	if (!pid)
		_exit(!write_file(TRIGGER, name) || (second && !write_file(TRIGGER, second)));
	if (pid > 0)
		waitpid(pid, &status, 0);
	drain_log(report);
	say("attack-end lkdtm=%s", name);
	return status;
}

static int provoke(const char *name, struct report *report)
{
	return provoke_both(name, NULL, report);
}

/* A system call leaves the level raised: the next one of the process must not have it */
static void test_left_raised(bool protected)
{
	struct report report;
	int status;

	/* Others have left it raised before */
	write_file("/sys/kernel/debug/clear_warn_once", "1");
	/* It cannot be repeated, as it is reported once: have room for its reports */
	if (protected)
		sleep(LIMIT_SECONDS);
	status = provoke_both(LEAVES_RAISED, "PGTABLE_USER_PTE", &report);
	if (!protected) {
		result(WIFEXITED(status) && !report.left_raised, "lkdtm " LEAVES_RAISED
		       ": nothing to report");
		return;
	}
	result(WIFSIGNALED(status) && report.refused && !report.survived,
	       "lkdtm " LEAVES_RAISED ": the next system call is at the default level");
	result(report.left_raised == 1, "lkdtm " LEAVES_RAISED ": reported");
	status = provoke(LEAVES_RAISED, &report);
	result(WIFEXITED(status) && !report.left_raised, "lkdtm " LEAVES_RAISED
	       ": reported once");
}

static void test_one(const char *name, bool protected)
{
	struct report report;
	int status = provoke(name, &report);

	if (WIFSIGNALED(status) && !report.refused) {
		/* Was that one too many in too short a time? */
		sleep(LIMIT_SECONDS);
		status = provoke(name, &report);
	}
	if (*report.xfail && !report.survived) {
		skip(report.xfail, "lkdtm %s", name);
	} else if (protected) {
		if (!result(WIFSIGNALED(status) && report.refused && report.write &&
			    report.overlay && right_table(name, &report),
			    "lkdtm %s: refused, and reported", name))
			say("# status %x, report: %d, table: %s", status, report.refused,
			    report.table);
	} else if (!strcmp(name, "PGTABLE_AFTER_FREE") && WIFSIGNALED(status) && report.unmapped) {
		skip("DEBUG_PAGEALLOC: what is free is not mapped", "lkdtm %s", name);
	} else {
		result(WIFEXITED(status) && !WEXITSTATUS(status) && report.survived,
		       "lkdtm %s: goes through", name);
	}
}

void test_lkdtm(bool protected)
{
	FILE *file = fopen(TRIGGER, "r");
	char line[64];
	int nr = 0;

	while (file && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strcmp(line, LEAVES_RAISED))
			test_left_raised(protected);
		if (!strncmp(line, "PGTABLE_", 8) && strcmp(line, PANICS)) {
			test_one(line, protected);
			nr++;
		}
	}
	if (file)
		fclose(file);
	result(nr, "lkdtm: the kernel has tests of page tables");
	/* What comes next is to be reported, too */
	if (protected)
		sleep(LIMIT_SECONDS);
}

/* On a protected kernel it is the last thing that happens */
void test_lkdtm_panic(void)
{
	struct report report;
	int status = provoke(PANICS, &report);

	result(WIFEXITED(status) && !WEXITSTATUS(status) && report.survived,
	       "lkdtm " PANICS ": goes through");
}
