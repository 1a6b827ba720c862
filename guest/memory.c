// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that is plugged in, used, and pulled out again: the linear map and
 * the memory map grow tables of their own for it, and lose them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "init.h"

#define BLOCKS		"/sys/devices/system/memory/"
#define USED		(64ul << 20)
#define TURNS		2

/* How many pages of our memory are in this range */
static long pages_within(const char *memory, uint64_t start, uint64_t size)
{
	long page = sysconf(_SC_PAGESIZE), found = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY);
	size_t offset;

	for (offset = 0; offset < USED; offset += page) {
		uint64_t entry, at = ((uintptr_t)memory + offset) / page * sizeof(entry);

		if (pread(fd, &entry, sizeof(entry), at) != sizeof(entry))
			break;
		/* the number of the page frame; bit 63: present */
		found += entry >> 63 && (entry & ((1ull << 55) - 1)) * page - start < size;
	}
	close(fd);
	return found;
}

long pattern(uint64_t *memory, size_t size, bool write)
{
	long wrong = 0;
	size_t i;

	for (i = 0; i < size / sizeof(*memory); i += 64) {
		if (write)
			memory[i] = ~i;
		wrong += memory[i] != ~i;
	}
	return wrong;
}

static bool unplug(uint64_t start, uint64_t size)
{
	char answer[16];
	int i;

	/* a page that is in use for a moment cannot move */
	for (i = 0; i < 10; i++) {
		if (ask(answer, sizeof(answer), "memory 0x%lx 0x%lx remove", (long)start,
			(long)size))
			return true;
		usleep(100000);
	}
	say("# remove: %s", strerror(errno));
	return false;
}

static void turn(uint64_t start, uint64_t size)
{
	char answer[16], path[80];
	uint64_t *memory;
	long inside, left;

	if (!result(ask(answer, sizeof(answer), "memory 0x%lx 0x%lx add", (long)start, (long)size),
		    "memory hot-add: %lu MB", (long)size >> 20)) {
		say("# add: %s", strerror(errno));
		return;
	}
	snprintf(path, sizeof(path), BLOCKS "memory%lu/state", (long)(start / size));
	result(write_file(path, "online_movable\n"), "memory hot-add: online");
	memory = mmap(NULL, USED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		result(false, "memory hot-add: %s", strerror(errno));
		return;
	}
	pattern(memory, USED, true);
	inside = pages_within((char *)memory, start, size);
	result(inside, "memory hot-add: in use");
	check_pgtables("after memory hot-add");
	scan("kernel", true);
	/* what is in it has to move */
	result(unplug(start, size), "memory hot-remove: offline and gone");
	left = pages_within((char *)memory, start, size);
	if (!result(!left && access(path, F_OK) && !pattern(memory, USED, false),
		    "memory hot-remove: what was in it is elsewhere"))
		say("# pages inside: %ld, then %ld", inside, left);
	munmap(memory, USED);
	check_pgtables("after memory hot-remove");
}

void test_memory_hotplug(uint64_t spare)
{
	char line[32];
	int i;

	if (!read_line(BLOCKS "block_size_bytes", line, sizeof(line))) {
		result(false, "memory hot-add: the kernel cannot");
		return;
	}
	/* the second turn finds what the first one left of the tables */
	for (i = 0; i < TURNS; i++)
		turn(spare, strtoull(line, NULL, 16));
}
