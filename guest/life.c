// SPDX-License-Identifier: GPL-2.0
/*
 * What happens to a machine in its life: CPUs and memory that come and go, sleep, another
 * kernel. All of it with work on all CPUs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kexec.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

#define SLEEPS		4
#define ROUNDS		5	/* of taking CPUs down, one after the other */
#define DISK		"/dev/vda"
#define HELD		(32ul << 20)

/* ---- the allocator's counters ---- */

struct counters {
	long blocks, free, allocs, frees, failed;
};

static struct counters get_counters(void)
{
	return (struct counters) {
		.blocks = statistic("node*_pages"),
		.free = statistic("node*_free") + statistic("cpu_free") + statistic("reserve"),
		.allocs = statistic("allocs"),
		.frees = statistic("frees"),
		.failed = statistic("allocs_failed"),
	};
}

void check_counters(void)
{
	struct counters c;
	int i;

	if (statistic("allocs") < 0) {
		skip("the kernel has no statistics of page tables", "page table counters");
		return;
	}
	/* They are no snapshot: wait for a moment in which nobody allocates */
	for (i = 0; i < 50; i++) {
		c = get_counters();
		if (c.blocks - c.free == c.allocs - c.frees)
			break;
		usleep(100000);
	}
	result(c.blocks - c.free == c.allocs - c.frees,
	       "page table counters: %ld pages, %ld free, %ld allocated, %ld freed, %ld failures",
	       c.blocks, c.free, c.allocs, c.frees, c.failed);
}

/* ---- CPUs ---- */

/* One after the other; in every second round all of them are off for a while */
static void test_cpus(void)
{
	int nr_cpus = count_cpus(), turn, cpu;
	bool ok = true;

	for (turn = 0; turn < ROUNDS; turn++) {
		for (cpu = 1; cpu < nr_cpus; cpu++)
			ok &= set_cpu(cpu, false) && (turn % 2 || set_cpu(cpu, true));
		for (cpu = 1; cpu < nr_cpus && turn % 2; cpu++)
			ok &= set_cpu(cpu, true);
	}
	result(ok && count_cpus() == nr_cpus, "%d CPUs off and on, %d times", nr_cpus - 1, ROUNDS);
}

/* ---- suspend to idle ---- */

static double boottime(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static bool sleep_once(void)
{
	static const char alarm[] = "/sys/class/rtc/rtc0/wakealarm";
	static const char wakeups[] = "/sys/power/wakeup_count";
	int seconds;

	/* If it takes so long to fall asleep that the alarm comes first, set it to later */
	for (seconds = 2; seconds < 64; seconds *= 2) {
		char line[16], count[16];
		double start;

		write_file(alarm, "0\n");
		/* Without this, an alarm that comes too early is lost, and so are we */
		if (!read_line(wakeups, count, sizeof(count)) || !write_file(wakeups, count)) {
			say("# %s: %s", wakeups, strerror(errno));
			return false;
		}
		snprintf(line, sizeof(line), "+%d\n", seconds);
		if (!write_file(alarm, line)) {
			say("# wake-up alarm: %s", strerror(errno));
			return false;
		}
		start = boottime();
		if (write_file("/sys/power/state", "freeze\n")) {
			say("# asleep for %.1f s", boottime() - start);
			return true;
		}
		if (errno != EBUSY)
			break;
		say("# woken before it slept");
	}
	say("# suspend: %s", strerror(errno));
	return false;
}

static void test_suspend(void)
{
	long before = 0, after = 0;
	char line[16];
	bool ok = true;
	int i;

	if (read_line("/sys/power/suspend_stats/success", line, sizeof(line)))
		before = atol(line);
	for (i = 0; i < SLEEPS && ok; i++) {
		ok = sleep_once();
		/* awake for a while, so that there is work between */
		usleep(300000);
	}
	if (read_line("/sys/power/suspend_stats/success", line, sizeof(line)))
		after = atol(line);
	result(ok && after == before + SLEEPS, "suspend to idle, %ld of %d times", after - before,
	       SLEEPS);
}

/* ---- kexec ---- */

static void test_kexec(void)
{
	char line[2048], next[2200];
	char *mode;
	int kernel, initrd;

	read_line("/proc/cmdline", line, sizeof(line));
	mode = strstr(line, "kpkeys_demo=kexec");
	if (!mode)
		return;
	snprintf(next, sizeof(next), "%.*skpkeys_demo=check kpkeys_demo_points=%d%s",
		 (int)(mode - line), line, count_points() + 1, mode + strlen("kpkeys_demo=kexec"));
	kernel = open("/Image", O_RDONLY | O_CLOEXEC);
	initrd = open("/initramfs.cpio", O_RDONLY | O_CLOEXEC);
	if (!result(!syscall(SYS_kexec_file_load, kernel, initrd, strlen(next) + 1, next, 0),
		    "kexec: kernel loaded")) {
		say("# %s", strerror(errno));
		return;
	}
	/* with the load still on */
	reboot(RB_KEXEC);
	result(false, "kexec: %s", strerror(errno));
}

/* ---- hibernation ---- */

/* What mkswap does: the whole device, and the size in the first page */
static bool make_swap(void)
{
	size_t page = sysconf(_SC_PAGESIZE);
	char *header = calloc(1, page);
	int fd = open(DISK, O_RDWR | O_CLOEXEC);
	off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	bool ok;

	((uint32_t *)header)[256] = 1;			/* version */
	((uint32_t *)header)[257] = size / page - 1;	/* last page */
	memcpy(header + page - 10, "SWAPSPACE2", 10);
	ok = fd >= 0 && pwrite(fd, header, page, 0) == (ssize_t)page && !fsync(fd);
	if (fd >= 0)
		close(fd);
	free(header);
	return ok && !swapon(DISK, 0);
}

static void test_hibernate(void)
{
	uint64_t *memory = mmap(NULL, HELD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				-1, 0);

	if (!result(make_swap(), "hibernate: swap on " DISK)) {
		say("# %s", strerror(errno));
		return;
	}
	madvise(memory, HELD / 2, MADV_HUGEPAGE);
	pattern(memory, HELD, true);
	write_file("/sys/power/disk", "shutdown\n");
	/* Until this returns the machine is switched off, and another one switched on */
	if (!result(write_file("/sys/power/state", "disk\n"), "hibernate: resumed"))
		say("# %s", strerror(errno));
	result(!pattern(memory, HELD, false), "hibernate: memory is as it was");
	swapoff(DISK);
	munmap(memory, HELD);
}

/* ---- all of them ---- */

bool test_life(const char *mode, uint64_t spare)
{
	bool load;

	if (!strcmp(mode, "check"))
		return true;
	if (!strcmp(mode, "kvm")) {
		test_kvm();
		return true;
	}
	if (!strcmp(mode, "jobs")) {
		test_jobs();
		return true;
	}
	if (!strcmp(mode, "resume")) {
		result(false, "hibernate: the kernel has not found its image");
		return true;
	}
	if (strcmp(mode, "suspend") && strcmp(mode, "hotplug") && strcmp(mode, "kexec") &&
	    strcmp(mode, "hibernate"))
		return false;
	start_load();
	usleep(500000);
	if (!strcmp(mode, "suspend"))
		test_suspend();
	else if (!strcmp(mode, "kexec"))
		test_kexec();
	else if (!strcmp(mode, "hibernate"))
		test_hibernate();
	else {
		test_cpus();
		if (spare)
			test_memory_hotplug(spare);
	}
	usleep(500000);
	load = stop_load();
	result(load, "load: all workers lived, and found their memory as they left it");
	return true;
}
