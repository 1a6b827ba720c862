// SPDX-License-Identifier: GPL-2.0
/*
 * Programs of others: each line of /jobs is a name, a limit in seconds, and what the shell
 * shall run. What they print goes to the log, with a bar before it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

/* Say the whole lines in @buf; what remains of it */
static size_t say_lines(char *buf, size_t len, bool all)
{
	char *line = buf, *end;

	while ((end = memchr(line, '\n', buf + len - line))) {
		say("| %.*s", (int)(end - line), line);
		line = end + 1;
	}
	len -= line - buf;
	memmove(buf, line, len);
	if (len && (all || len > 500)) {
		say("| %.*s", (int)len, buf);
		len = 0;
	}
	return len;
}

static void run_job(const char *name, int limit, const char *command)
{
	time_t start = time(NULL);
	bool late = false, ended = false;
	int out[2], status = 0;
	size_t len = 0;
	char buf[1024];
	pid_t pid;

	say("job-begin name=%s", name);
	if (pipe2(out, O_CLOEXEC))
		return;
	pid = fork();
	if (!pid) {
		setpgid(0, 0);
		dup2(open("/dev/null", O_RDONLY), 0);
		dup2(out[1], 1);
		dup2(out[1], 2);
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	close(out[1]);
	for (;;) {
		struct pollfd poller = { .fd = out[0], .events = POLLIN };
		ssize_t n = 0;

		if (poll(&poller, 1, 200) > 0) {
			n = read(out[0], buf + len, sizeof(buf) - len);
			if (n > 0)
				len = say_lines(buf, len + n, false);
			drain_log(NULL);
		}
		/* others may still hold the pipe: do not wait for its end */
		if (n <= 0 && ended)
			break;
		ended = ended || waitpid(pid, &status, WNOHANG) == pid;
		if (!ended && time(NULL) > start + limit) {
			late = true;
			kill(-pid, SIGKILL);
		}
		if (n <= 0)
			usleep(10000);
	}
	say_lines(buf, len, true);
	kill(-pid, SIGKILL);
	close(out[0]);
	say("job-end name=%s status=%d signal=%d late=%d seconds=%ld", name,
	    WIFEXITED(status) ? WEXITSTATUS(status) : -1,
	    WIFSIGNALED(status) ? WTERMSIG(status) : 0, late, (long)(time(NULL) - start));
	/* what a job left behind */
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

void test_jobs(void)
{
	FILE *file = fopen("/jobs", "re");
	char line[1024], name[64];
	int limit, at, nr = 0;

	setenv("PATH", "/bin", 1);
	setenv("HOME", "/tmp", 1);
	while (file && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "%63s %d %n", name, &limit, &at) == 2) {
			run_job(name, limit, line + at);
			nr++;
		}
	}
	if (file)
		fclose(file);
	result(nr, "%d jobs have run", nr);
}
