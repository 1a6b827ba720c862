// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel's report of a refused write, where there are a lot of processes: it is
 * made on the way to an Oops, with interrupts off, and must not take long for them.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "demo/kpkeys_bug.h"
#include "init.h"

/* A process that has a page table, and says where in the linear map it is */
static void sleeper(int answer)
{
	uint64_t entry = 0;
	const char *found;
	char rows[4096];
	char *p;

	p = mmap(NULL, getpagesize(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p != MAP_FAILED && answer >= 0) {
		*p = 1;
		/* The last row is that of the last level */
		for (found = ask(rows, sizeof(rows), "walk user 0x%lx", (long)p) ? rows : NULL;
		     found && (found = strstr(found, "entry=")); found++)
			entry = strtoull(found + 6, NULL, 0);
		if (write(answer, &entry, sizeof(entry)) != sizeof(entry))
			_exit(1);
	}
	for (;;)
		pause();
}

static void store(uint64_t address)
{
	struct bug_word word = { .address = address };
	int bug = open("/dev/kpkeys_bug", O_RDWR);

	if (bug < 0 || ioctl(bug, BUG_READ, &word))
		_exit(2);
	/* The same value: on a kernel without the protection, nothing happens */
	_exit(ioctl(bug, BUG_WRITE, &word) ? 2 : 0);
}

void test_crowd(int nr)
{
	struct report report = {};
	uint64_t address = 0;
	int answer[2], status, started = 0;
	pid_t *pids = calloc(nr, sizeof(*pids)), pid;
	char wanted[40];

	if (!result(pids && !pipe(answer) && load_module("/kpkeys_bug.ko"), "a driver with a bug"))
		return;
	for (; started < nr; started++) {
		pids[started] = fork();
		if (!pids[started])
			sleeper(started == nr - 1 ? answer[1] : -1);
		if (pids[started] < 0)
			break;
	}
	result(started == nr && read(answer[0], &address, sizeof(address)) == sizeof(address) &&
	       address, "%d processes, and a page table of the last one", started);
	drain_log(NULL);
	say("attack-begin id=1 target=user level=pte kind=same");
	pid = fork();
	if (!pid)
		store(address);
	waitpid(pid, &status, 0);
	/* What is said later, because it takes longer */
	sleep(3);
	drain_log(&report);
	say("attack-end id=1 target=user level=pte kind=same result=%s expected=%d",
	    WIFSIGNALED(status) ? "refused" : "allowed",
	    WIFSIGNALED(status) == (expect == EXPECT_PROTECTED));
	result(WIFSIGNALED(status) == (expect == EXPECT_PROTECTED), "the write is %s",
	       WIFSIGNALED(status) ? "refused" : "allowed");
	if (report.refused) {
		say("crowd pid=%d owner=%d", pids[nr - 1], started);
		snprintf(wanted, sizeof(wanted), "pte table of process %d, ", pids[nr - 1]);
		result(strstr(report.table, wanted), "the report says whose: %s", report.table);
	}
	while (started-- > 0)
		kill(pids[started], SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		;
	free(pids);
}
