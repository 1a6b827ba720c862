// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suites, run through debugfs after boot: .rodata is read-only by then,
 * swapper_pg_dir with it, which is a different matter for code that writes to
 * the kernel's page tables.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "init.h"

#define KUNIT "/sys/kernel/debug/kunit/"

static const char * const suites[] = { "kpkeys", "kpkeys_arm64", "kpkeys_hardened_pgtables" };

static void run_suite(const char *suite)
{
	int passed = 0, failed = 0, skipped = 0;
	char path[128], line[256];
	FILE *results;

	snprintf(path, sizeof(path), KUNIT "%s/run", suite);
	if (access(path, W_OK)) {
		skip("the kernel does not have it, or kunit.enable=0", "kunit %s", suite);
		return;
	}
	if (!write_file(path, "1\n")) {
		result(false, "kunit %s: cannot be run", suite);
		return;
	}
	snprintf(path, sizeof(path), KUNIT "%s/results", suite);
	results = fopen(path, "r");
	while (results && fgets(line, sizeof(line), results)) {
		char *text = line + strspn(line, " ");

		if (text == line)	/* the suite as a whole */
			continue;
		if (!strncmp(text, "not ok ", 7)) {
			say("# %.*s", (int)strcspn(text, "\n"), text);
			failed++;
		} else if (!strncmp(text, "ok ", 3)) {
			strstr(text, "# SKIP") ? skipped++ : passed++;
		}
	}
	if (results)
		fclose(results);
	if (!failed && !passed && skipped)
		skip("no POE", "kunit %s", suite);
	else
		result(!failed && passed, "kunit %s: %d passed, %d failed, %d skipped", suite,
		       passed, failed, skipped);
}

void test_kunit(void)
{
	size_t i;

	for (i = 0; i < sizeof(suites) / sizeof(suites[0]); i++)
		run_suite(suites[i]);
}
