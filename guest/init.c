// SPDX-License-Identifier: GPL-2.0
/*
 * PID 1 of the guest. What it prints is described in README.rst; keep the two
 * in step, scripts parse it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

#define DEVICE		"/dev/kpkeys_demo"
#define MODULE		"/kpkeys_demo.ko"
#define KPKEYS_DEBUGFS	"/sys/kernel/debug/kpkeys/"
#define HWCAP2_POE_BIT	(1UL << 63)

static int nr_tests, nr_failed;
static int kmsg_out = -1, kmsg_in = -1;

enum expect expect;
static uint64_t spare;		/* where there is memory that the kernel does not have yet */
static int forks = 10000;

/* ---- output ---- */

static void vsay(const char *fmt, va_list ap)
{
	char line[800];
	int n;

	n = snprintf(line, sizeof(line), "<5>kpkeys-demo: ");
	vsnprintf(line + n, sizeof(line) - n, fmt, ap);
	if (kmsg_out < 0 || write(kmsg_out, line, strlen(line)) < 0)
		fprintf(stderr, "%s\n", line + 3);
}

void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsay(fmt, ap);
	va_end(ap);
}

bool result(bool good, const char *fmt, ...)
{
	char name[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	nr_failed += !good;
	say("%sok %d - %s", good ? "" : "not ", ++nr_tests, name);
	return good;
}

void skip(const char *why, const char *fmt, ...)
{
	char name[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	say("ok %d - %s # SKIP %s", ++nr_tests, name, why);
}

int count_points(void)
{
	return nr_tests;
}

static void error(const char *fmt, ...)
{
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	say("error %s", text);
}

/* ---- small helpers ---- */

bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

bool read_line(const char *path, char *line, int size)
{
	int fd = open(path, O_RDONLY);
	int n = fd < 0 ? -1 : read(fd, line, size - 1);

	if (fd >= 0)
		close(fd);
	if (n < 0)
		return false;
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	return true;
}

long value_in(const char *path, const char *name)
{
	FILE *file = fopen(path, "r");
	char line[128], key[64];
	long value = -1, found;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "%63s %ld", key, &found) == 2 && !strcmp(key, name))
			value = found;
	if (file)
		fclose(file);
	return value;
}

long statistic(const char *pattern)
{
	FILE *file = fopen(KPKEYS_DEBUGFS "pgtables", "r");
	long sum = -1, found;
	char line[128], name[64];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "%63s %ld", name, &found) == 2 && !fnmatch(pattern, name, 0))
			sum = sum < 0 ? found : sum + found;
	if (file)
		fclose(file);
	return sum;
}

int count_cpus(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN);
}

bool run_on(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	return !sched_setaffinity(0, sizeof(one), &one);
}

double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

bool have_poe(void)
{
	return getauxval(AT_HWCAP2) & HWCAP2_POE_BIT;
}

/* The value of key= in a line of key=value words */
static const char *value_of(const char *line, const char *key)
{
	static char value[8][64];
	static int turn;
	char *out = value[turn++ % 8];
	size_t len = strlen(key);
	const char *p = line;

	out[0] = '\0';
	while ((p = strstr(p, key))) {
		if ((p == line || p[-1] == ' ') && p[len] == '=') {
			snprintf(out, 64, "%.*s", (int)strcspn(p + len + 1, " \n"), p + len + 1);
			break;
		}
		p += len;
	}
	return out;
}

bool ask(char *answer, int size, const char *fmt, ...)
{
	char cmd[128];
	va_list ap;
	int fd, n;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	fd = open(DEVICE, O_RDWR);
	if (fd < 0)
		return false;
	n = write(fd, cmd, strlen(cmd)) < 0 ? -1 : read(fd, answer, size - 1);
	if (n >= 0)
		answer[n] = '\0';
	close(fd);
	return n >= 0;
}

/* ---- the kernel log ---- */

static int nr_complaints;	/* that nobody announced */
bool traces_expected;

static const char * const complaints[] = {
	"WARNING: ", "BUG: ", "BUG in ", "Oops", "Internal error", "Unable to handle kernel",
	"Call trace:", "rcu: INFO:", "INFO: task ", "INFO: trying to register", "Bad page",
	"page dumped because", "bad: scheduling", "pagealloc: ",
};

static void note(struct report *report, const char *text)
{
	const char *found;

	report->write |= strstr(text, "WnR = 1") != NULL;
	report->overlay |= strstr(text, "Overlay = 1") != NULL;
	report->unmapped |= strstr(text, "translation fault") != NULL;
	/* Whose table it is may be said later, in a line that replaces the first one */
	if (report->refused && strstr(text, "kpkeys:   ") &&
	    (!*report->table || strstr(text, " table of ")))
		snprintf(report->table, sizeof(report->table), "%s", text);
	report->refused |= strstr(text, "kpkeys: write to page table ") && strstr(text, " refused");
	report->survived |= strstr(text, "lkdtm: FAIL: survived bad write") != NULL;
	report->left_raised += strstr(text, "kpkeys: raised level on return to user space") != NULL;
	found = strstr(text, "XFAIL: ");
	if (found)
		snprintf(report->xfail, sizeof(report->xfail), "%s", found + 7);
}

void drain_log(struct report *report)
{
	char rec[2048];
	ssize_t n;
	size_t i;

	while ((n = read(kmsg_in, rec, sizeof(rec) - 1)) > 0 || (n < 0 && errno == EPIPE)) {
		char *text;

		if (n < 0) {	/* overwritten before we came: not a pass */
			say("# part of the kernel log was lost");
			nr_complaints++;
			continue;
		}
		rec[n] = '\0';
		text = strchr(rec, ';');
		if (!text || strstr(text, "kpkeys-demo: "))
			continue;
		text[strcspn(text, "\n")] = '\0';
		if (report) {
			note(report, text);
			continue;
		}
		/* The base kernel has data races, too: who reads the console tells which are ours */
		if (strstr(text, "BUG: KCSAN: "))
			continue;
		/* Memory that is being unplugged is moved until that succeeds */
		if (strstr(text, "page dumped because: migration failure"))
			continue;
		for (i = 0; i < sizeof(complaints) / sizeof(complaints[0]); i++) {
			if (strstr(text, complaints[i]) &&
			    !(traces_expected && !strcmp(complaints[i], "Call trace:"))) {
				say("# kernel log: %s", text + 1);
				nr_complaints++;
				break;
			}
		}
	}
}

/* ---- targets and attacks ---- */

static char *user_page;		/* what the target 'user' is */

/* 'image': the tables of the fixmap, seen through the kernel image's own mapping */
static const char * const targets[] = { "user", "vmalloc", "module", "linear", "fixmap", "image" };
#define NR_TARGETS 6

/* The space and address of a target; false if the module does not know it */
static bool find_target(const char *target, const char **space, uint64_t *va)
{
	char answer[64];
	bool ok;

	if (!strcmp(target, "user")) {
		*space = "user";
		*va = (uintptr_t)user_page;
		return true;
	}
	*space = !strcmp(target, "image") ? "image" : "kernel";
	if (!strcmp(target, "image"))
		target = "fixmap";
	if (!strcmp(target, "linear"))
		ok = ask(answer, sizeof(answer), "addr linear %p", (void *)user_page);
	else
		ok = ask(answer, sizeof(answer), "addr %s", target);
	*va = ok ? strtoull(answer, NULL, 0) : 0;
	return ok;
}

struct attack {
	char cmd[128];
	char answer[64];
	bool leak;	/* with a raised level that the system call before left behind */
};

/* The child shares our memory, not our fate */
static int attacker(void *arg)
{
	struct attack *a = arg;
	int fd = open(DEVICE, O_RDWR);

	if (fd < 0 || (a->leak && write(fd, "leak", 4) < 0) ||
	    write(fd, a->cmd, strlen(a->cmd)) < 0)
		_exit(2);
	if (read(fd, a->answer, sizeof(a->answer) - 1) <= 0)
		_exit(2);
	_exit(0);
}

/* Does the kernel name the table? It does not say so every time: there is a limit */
static void check_report(const struct report *report, const char *target, const char *level,
			 struct tally *t)
{
	char wanted[40];

	if (!report->refused)
		return;
	t->reported++;
	snprintf(wanted, sizeof(wanted), "%s table of %s", level,
		 !strcmp(target, "user") ? "process " : "the kernel");
	if (!strstr(report->table, wanted)) {
		say("# not '%s': %s", wanted, report->table);
		t->misreported++;
	}
}

/*
 * One store to one entry by a child process. @row is the module's line for the
 * table. In test mode the outcome is a TAP line, too.
 */
static void attack(const char *target, const char *row, const char *kind, bool tap,
		   struct tally *t)
{
	static char stack[65536] __attribute__((aligned(16)));
	struct report report = {};
	struct attack a = {};
	char level[8], entry[32], pkey[8], prot[8];
	bool refused, allowed, changed, want_refused;
	const char *space, *expected = "-";
	int id = ++t->attacks, status;
	uint64_t va;
	pid_t pid;

	snprintf(level, sizeof(level), "%s", value_of(row, "level"));
	snprintf(entry, sizeof(entry), "%s", value_of(row, "entry"));
	snprintf(pkey, sizeof(pkey), "%s", value_of(row, "pkey"));
	snprintf(prot, sizeof(prot), "%s", value_of(row, "prot"));
	if (!find_target(target, &space, &va))
		return;
	a.leak = !strcmp(kind, "leaked");
	snprintf(a.cmd, sizeof(a.cmd), "poke %s 0x%lx %s %s", space, (long)va, level,
		 a.leak ? "flip" : kind);

	drain_log(NULL);
	say("attack-begin id=%d target=%s level=%s kind=%s", id, target, level, kind);
	pid = clone(attacker, stack + sizeof(stack), CLONE_VM | SIGCHLD, &a);
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		error("cannot start a child: %s", strerror(errno));
		t->errors++;
		return;
	}
	drain_log(&report);
	refused = WIFSIGNALED(status);
	allowed = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	changed = allowed && !strcmp(value_of(a.answer, "changed"), "1");
	/* what is read-only in every kernel is refused by every kernel */
	want_refused = expect == EXPECT_PROTECTED || !strcmp(prot, "ro");
	if (expect != EXPECT_NOTHING)
		expected = (want_refused ? refused : allowed && (changed || !strcmp(kind, "same"))) ?
			   "1" : "0";
	say("attack-end id=%d target=%s level=%s kind=%s pkey=%s prot=%s result=%s changed=%d overlay=%d expected=%s",
	    id, target, level, kind, pkey, prot,
	    refused ? "refused" : allowed ? "allowed" : "error", changed, report.overlay,
	    expected);
	t->refused += refused;
	t->allowed += allowed;
	t->errors += !refused && !allowed;
	t->unexpected += *expected == '0';
	check_report(&report, target, level, t);
	if (!tap)
		return;
	if (expect == EXPECT_NOTHING)
		skip("no expectation", "%s %s: %s", target, level, kind);
	else if (want_refused)
		/* for the right reason: a write, and the overlay's doing */
		result(refused && report.write && (report.overlay || !strcmp(prot, "ro")),
		       "%s %s: %s refused%s", target, level, kind,
		       !strcmp(prot, "ro") ? " (read-only everywhere)" : " by the overlay");
	else
		result(*expected == '1', "%s %s: %s goes through", target, level, kind);
}

static void summary(const struct tally *t)
{
	say("summary attacks=%d refused=%d allowed=%d errors=%d unexpected=%d",
	    t->attacks, t->refused, t->allowed, t->errors, t->unexpected);
}

static struct tally tally;

/* Each CPU has a POR_EL1 of its own: the same attack on all of them */
void attack_on_each_cpu(void)
{
	cpu_set_t all;
	char row[4096];
	int cpu;

	if (!ask(row, sizeof(row), "walk user 0x%lx", (long)user_page)) {
		error("cannot walk to user: %s", strerror(errno));
		tally.errors++;
		return;
	}
	row[strcspn(row, "\n")] = '\0';
	sched_getaffinity(0, sizeof(all), &all);
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all) || !run_on(cpu))
			continue;
		say("# on CPU %d", cpu);
		attack("user", row, "flip", true, &tally);
	}
	sched_setaffinity(0, sizeof(all), &all);
}

#define MAX_ROWS 32

/* Show the tables of all targets and attack each of them once a kind; 0 if all went as expected */
static int attack_all(bool tap)
{
	static char rows[MAX_ROWS][256];
	struct tally *t = &tally;
	const char *target_of[MAX_ROWS];
	int nr_rows = 0, i, j;

	for (i = 0; i < NR_TARGETS; i++) {
		char answer[4096], *line, *save = NULL;
		const char *space;
		uint64_t va;

		if (!find_target(targets[i], &space, &va) ||
		    !ask(answer, sizeof(answer), "walk %s 0x%lx", space, (long)va)) {
			error("cannot walk to %s: %s", targets[i], strerror(errno));
			t->errors++;
			continue;
		}
		for (line = strtok_r(answer, "\n", &save); line;
		     line = strtok_r(NULL, "\n", &save)) {
			bool seen = false;

			say("table target=%s %s", targets[i], line);
			/* the kernel's targets share their upper levels */
			for (j = 0; j < nr_rows; j++)
				seen |= !strcmp(value_of(rows[j], "entry"),
						value_of(line, "entry"));
			if (seen || nr_rows == MAX_ROWS)
				continue;
			target_of[nr_rows] = targets[i];
			snprintf(rows[nr_rows++], sizeof(rows[0]), "%s", line);
		}
	}
	for (i = 0; i < nr_rows; i++) {
		if (tap)
			attack(target_of[i], rows[i], "same", tap, t);
		attack(target_of[i], rows[i], "flip", tap, t);
		if (tap && !strcmp(target_of[i], "user"))
			attack(target_of[i], rows[i], "leaked", tap, t);
	}
	if (tap)
		attack_on_each_cpu();
	summary(t);
	return t->errors || t->unexpected || !t->attacks;
}

void scan(const char *space, bool tap)
{
	char answer[4096], *line, *save = NULL;
	bool protected = true, open = true;

	if (!ask(answer, sizeof(answer), "scan %s", space)) {
		error("cannot scan %s: %s", space, strerror(errno));
		return;
	}
	for (line = strtok_r(answer, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		say("scan space=%s %s", space, line);
		protected &= !strcmp(value_of(line, "pkey0"), value_of(line, "pkey0_ro"));
		open &= !strcmp(value_of(line, "pkey0"), value_of(line, "tables"));
	}
	if (!tap)
		return;
	if (expect == EXPECT_NOTHING)
		skip("no expectation", "%s: pkey of every table", space);
	else
		result(expect == EXPECT_PROTECTED ? protected : open,
		       "%s: every table has %s", space,
		       expect == EXPECT_PROTECTED ? "a protected pkey or is read-only" :
		       "the default pkey");
}

/* ---- modules ---- */

bool load_module(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && !syscall(SYS_finit_module, fd, "", 0);

	if (fd >= 0)
		close(fd);
	return ok;
}

static void test_modules(void)
{
	bool ok = true;
	int i;

	for (i = 0; i < 20 && ok; i++)
		ok = !syscall(SYS_delete_module, "kpkeys_demo", O_NONBLOCK) && load_module(MODULE);
	result(ok, "module unloaded and loaded 20 times");
	if (!ok)
		say("# turn %d: %s", i, strerror(errno));
}

/* ---- what the kernel itself says ---- */

/* The last line counts: tables N, pages with the pkey N, wrong N. Before it: what is wrong */
void check_pgtables(const char *when)
{
	FILE *file = fopen(KPKEYS_DEBUGFS "check_pgtables", "r");
	char line[256], last[256] = "";
	const char *wrong;
	int shown = 0;

	if (!file) {
		if (expect == EXPECT_PROTECTED)
			result(false, "page tables %s: no " KPKEYS_DEBUGFS "check_pgtables", when);
		else
			skip("the feature is off", "page tables %s", when);
		return;
	}
	while (fgets(line, sizeof(line), file)) {
		if (*last && shown++ < 5)
			say("# %s", last);
		snprintf(last, sizeof(last), "%.*s", (int)strcspn(line, "\n"), line);
	}
	fclose(file);
	wrong = strstr(last, "wrong ");
	result(wrong && !atoi(wrong + 6), "page tables %s: %s", when, *last ? last : "no answer");
}

static void show_statistics(void)
{
	FILE *file = fopen(KPKEYS_DEBUGFS "pgtables", "r");
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		say("# pgtables: %.*s", (int)strcspn(line, "\n"), line);
	if (file)
		fclose(file);
}

/* Lockdep turns itself off at its first complaint, and at anybody else's */
static void test_lockdep(void)
{
	static const char path[] = "/proc/lockdep_stats";

	if (!access(path, F_OK))
		result(value_in(path, "debug_locks:") == 1, "lockdep is still on");
}

#define KMEMLEAK	"/sys/kernel/debug/kmemleak"

static int nr_leaks(void)
{
	FILE *file = fopen(KMEMLEAK, "r");
	char line[256];
	int nr = 0;

	/* It wants objects to be older than 5 seconds, and to be found twice */
	sleep(6);
	if (!write_file(KMEMLEAK, "scan\n") || !write_file(KMEMLEAK, "scan\n")) {
		/* It turns itself off if it lacks memory */
		result(false, "kmemleak can scan");
		nr = -1;
	}
	while (file && fgets(line, sizeof(line), file)) {
		nr += !strncmp(line, "unreferenced object", 19);
		if (nr <= 3)
			say("# kmemleak: %.*s", (int)strcspn(line, "\n"), line);
	}
	if (file)
		fclose(file);
	return nr;
}

/* What was lost before we did anything is not ours */
static void forget_leaks(void)
{
	if (access(KMEMLEAK, F_OK))
		return;
	say("# kmemleak: %d before anything is done", nr_leaks());
	write_file(KMEMLEAK, "clear\n");
}

void check_leaks(const char *when)
{
	int nr;

	if (access(KMEMLEAK, F_OK))
		return;
	nr = nr_leaks();
	result(!nr, "kmemleak %s: %d", when, nr);
}

/* ---- modes ---- */

static void show_system(void)
{
	char info[256] = "";
	struct utsname u;

	uname(&u);
	ask(info, sizeof(info), "info");
	info[strcspn(info, "\n")] = '\0';
	say("system kernel=%s cpus=%d poe=%d linear=%s %s", u.release, count_cpus(), have_poe(),
	    atoi(value_of(info, "linear_block_mb")) > atoi(value_of(info, "linear_page_mb")) ?
	    "block" : "page", info);
}

static int mode_run(void)
{
	scan("user", false);
	scan("kernel", false);
	scan("image", false);
	return attack_all(false);
}

/* The last points, and the plan; the status */
static int finish(void)
{
	drain_log(NULL);
	result(!nr_complaints, "no unannounced complaint in the kernel log");
	say("1..%d", nr_tests);
	return nr_failed != 0;
}

/* What comes after each test of a machine's life */
static int conclude(bool lkdtm)
{
	check_counters();
	check_pgtables("at the end");
	check_leaks("at the end");
	show_statistics();
	/* A refused write turns it off, as any Oops does */
	if (!tally.attacks)
		test_lockdep();
	if (lkdtm && expect != EXPECT_NOTHING)
		test_lkdtm(expect == EXPECT_PROTECTED);
	scan("user", true);
	scan("kernel", true);
	scan("image", true);
	attack_all(true);
	result(!tally.errors && tally.attacks, "all attacks could be made");
	if (expect == EXPECT_PROTECTED)
		result(tally.reported && !tally.misreported,
		       "%d reports name the table that was attacked", tally.reported);
	return finish();
}

static int mode_test(void)
{
	test_pkeys();
	test_churn();
	test_memcg();
	test_modules();
	test_cpu_hotplug();
	if (spare)
		test_memory_hotplug(spare);
	test_kunit();
	test_tracepoints();
	return conclude(true);
}

/* What writes page tables, without anything that has them writable on purpose */
static int mode_busy(void)
{
	test_pkeys();
	test_churn();
	test_lazy_free();
	test_memcg();
	test_modules();
	test_cpu_hotplug();
	test_tracepoints();
	check_counters();
	check_pgtables("at the end");
	test_lockdep();
	return finish();
}

static int mode_attack(void)
{
	struct tally t = {};

	rehearse_attacks(&t);
	summary(&t);
	check_pgtables("at the end");
	return finish() || t.errors || !t.attacks;
}

static int mode_scarcity(const char *mode)
{
	traces_expected = true;
	if (!strcmp(mode, "hog"))
		test_hog();
	else if (!strcmp(mode, "races"))
		test_races();
	else
		test_scarcity(!strcmp(mode, "scarcity"));
	check_counters();
	show_statistics();
	test_lockdep();
	return finish();
}

static int mode_panic(void)
{
	test_lkdtm_panic();
	say("1..%d", nr_tests);
	return nr_failed != 0;
}

static int mode_forks(bool many)
{
	test_idle();
	if (many) {
		test_forks(forks);
		check_pgtables("at the end");
	}
	test_lockdep();
	return finish();
}

static int mode_owners(void)
{
	test_owners();
	check_counters();
	check_pgtables("at the end");
	test_lockdep();
	return finish();
}

static int mode_crowd(void)
{
	test_crowd(forks);
	check_pgtables("at the end");
	return finish();
}

static int mode_shell(void)
{
	char tty[64] = "console", path[80];
	int status;
	pid_t pid;

	if (!vfork()) {
		execl("/bin/busybox", "busybox", "--install", "-s", "/bin", NULL);
		_exit(1);
	}
	wait(&status);
	read_line("/sys/class/tty/console/active", tty, sizeof(tty));
	/* several consoles: the last is the one that is /dev/console */
	snprintf(path, sizeof(path), "/dev/%s", strrchr(tty, ' ') ? strrchr(tty, ' ') + 1 : tty);
	pid = fork();
	if (!pid) {
		int fd;

		setsid();
		fd = open(path, O_RDWR);
		ioctl(fd, TIOCSCTTY, 0);
		dup2(fd, 0);
		dup2(fd, 1);
		dup2(fd, 2);
		setenv("PATH", "/bin:/sbin:/usr/bin:/usr/sbin:/", 1);
		setenv("HOME", "/", 1);
		printf("\nPage tables by pkey:         /init scan\n"
		       "Tables that lead somewhere:  /init walk user|vmalloc|module|linear|fixmap|image\n"
		       "Store to one of them:        /init poke user pte flip\n"
		       "All kernel mappings:         less /sys/kernel/debug/kernel_page_tables\n"
		       "Leave and power off:         exit\n\n");
		fflush(stdout);
		execl("/bin/sh", "sh", NULL);
		perror("/bin/sh");
		_exit(127);
	}
	while (waitpid(pid, &status, 0) != pid)
		;
	return WIFEXITED(status) && WEXITSTATUS(status) == 127 ? 2 : 0;
}

/* From the shell: the same by hand, in this very process */
static int by_hand(int argc, char **argv)
{
	char answer[4096];
	const char *space;
	uint64_t va;

	if (argc == 2 && !strcmp(argv[1], "scan")) {
		static const char * const spaces[] = { "user", "kernel", "image" };

		for (int i = 0; i < 3; i++) {
			space = spaces[i];
			if (!ask(answer, sizeof(answer), "scan %s", space))
				goto fail;
			printf("%s:\n%s", space, answer);
		}
		return 0;
	}
	if ((argc == 3 && !strcmp(argv[1], "walk")) || (argc == 5 && !strcmp(argv[1], "poke"))) {
		if (!find_target(argv[2], &space, &va) ||
		    !ask(answer, sizeof(answer), "%s %s 0x%lx %s %s", argv[1], space, (long)va,
			 argc == 5 ? argv[3] : "", argc == 5 ? argv[4] : ""))
			goto fail;
		printf("%s", answer);
		return 0;
	}
	if (argc == 2 && !strcmp(argv[1], "print-por"))
		return print_por();
	fprintf(stderr, "usage: init scan\n"
			"       init walk user|vmalloc|module|linear|fixmap|image\n"
			"       init poke <target> pgd|p4d|pud|pmd|pte same|flip\n");
	return 2;
fail:
	fprintf(stderr, "init: %s: %s\n", argv[1], strerror(errno));
	return 1;
}

static void mount_all(void)
{
	static const char * const what[][2] = {
		{ "proc", "/proc" }, { "sysfs", "/sys" }, { "devtmpfs", "/dev" },
		{ "debugfs", "/sys/kernel/debug" }, { "tmpfs", "/tmp" },
		{ "tracefs", "/sys/kernel/tracing" },
	};
	size_t i;

	for (i = 0; i < sizeof(what) / sizeof(what[0]); i++) {
		mkdir(what[i][1], 0755);
		/* devtmpfs may be there already, debugfs and tracefs not at all */
		mount(what[i][0], what[i][1], what[i][0], 0, NULL);
	}
}

static void parse_cmdline(char *mode, int size)
{
	char line[2048], *word, *save = NULL;

	snprintf(mode, size, "shell");
	if (!read_line("/proc/cmdline", line, sizeof(line)))
		return;
	for (word = strtok_r(line, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		if (!strncmp(word, "kpkeys_demo=", 12))
			snprintf(mode, size, "%s", word + 12);
		else if (!strncmp(word, "kpkeys_demo_spare=", 18))
			spare = strtoull(word + 18, NULL, 0);
		else if (!strncmp(word, "kpkeys_demo_forks=", 18))
			forks = atoi(word + 18);
		else if (!strncmp(word, "kpkeys_demo_points=", 19))
			nr_tests = atoi(word + 19);
		else if (!strcmp(word, "kpkeys_demo_expect=protected"))
			expect = EXPECT_PROTECTED;
		else if (!strcmp(word, "kpkeys_demo_expect=open"))
			expect = EXPECT_OPEN;
	}
}

int main(int argc, char **argv)
{
	char mode[16];
	int status = 2;

	user_page = aligned_alloc(65536, 65536);
	memset(user_page, 1, 65536);
	if (getpid() != 1)
		return by_hand(argc, argv);

	mount_all();
	kmsg_out = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	kmsg_in = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	write_file("/proc/sys/kernel/printk_devkmsg", "on\n");
	write_file("/proc/sys/kernel/panic_on_oops", "0\n");
	parse_cmdline(mode, sizeof(mode));
	say("begin mode=%s protocol=1", mode);
	if (!load_module(MODULE)) {
		error("cannot load " MODULE ": %s", strerror(errno));
	} else {
		show_system();
		forget_leaks();
		if (!strcmp(mode, "run"))
			status = mode_run();
		else if (!strcmp(mode, "test"))
			status = mode_test();
		else if (!strcmp(mode, "busy"))
			status = mode_busy();
		else if (!strcmp(mode, "attack"))
			status = mode_attack();
		else if (!strcmp(mode, "scarcity") || !strcmp(mode, "storms") ||
			 !strcmp(mode, "hog") || !strcmp(mode, "races"))
			status = mode_scarcity(mode);
		else if (!strcmp(mode, "forks") || !strcmp(mode, "idle"))
			status = mode_forks(!strcmp(mode, "forks"));
		else if (!strcmp(mode, "owners"))
			status = mode_owners();
		else if (!strcmp(mode, "crowd"))
			status = mode_crowd();
		else if (!strcmp(mode, "panic"))
			status = mode_panic();
		else if (test_life(mode, spare))
			status = conclude(false);
		else if (!strcmp(mode, "shell"))
			status = mode_shell();
		else
			error("no such mode: %s", mode);
	}
	say("done status=%d", status);
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}
