// SPDX-License-Identifier: GPL-2.0
/* Console (PL011 of QEMU's virt machine), semihosting, TAP. */
#include <stdarg.h>
#include "poetest.h"

_Static_assert(__builtin_offsetof(struct cpu, x0) == 32 &&
	       __builtin_offsetof(struct cpu, stack) == 40, "start.S knows these");

#define UART_DR		(*(volatile u32 *)0x09000000ul)
#define UART_FR		(*(volatile u32 *)0x09000018ul)
#define UART_FR_TXFF	(1 << 5)

static void put(char c)
{
	while (UART_FR & UART_FR_TXFF)
		;
	UART_DR = c;
}

static void vprint(const char *fmt, va_list ap)
{
	char digits[24];

	for (; *fmt; fmt++) {
		if (*fmt != '%') {
			put(*fmt);
			continue;
		}
		fmt++;
		if (*fmt == 's') {
			const char *s = va_arg(ap, const char *);

			while (*s)
				put(*s++);
		} else {
			u64 base = *fmt == 'x' ? 16 : 10, n = 0;
			u64 v = base == 16 ? va_arg(ap, u64) : (u64)va_arg(ap, int);

			do
				digits[n++] = "0123456789abcdef"[v % base];
			while (v /= base);
			while (n)
				put(digits[--n]);
		}
	}
}

void print(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprint(fmt, ap);
	va_end(ap);
}

bool streq(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static u64 semihost(u64 op, void *arg)
{
	register u64 x0 asm("x0") = op;
	register void *x1 asm("x1") = arg;

	asm volatile("hlt #0xf000" : "+r" (x0) : "r" (x1) : "memory");
	return x0;
}

#define SYS_GET_CMDLINE		0x15
#define SYS_EXIT_EXTENDED	0x20
#define STOPPED_APPLICATION_EXIT 0x20026

/* The last word of the command line: 'poetest lazy' */
const char *argument(void)
{
	static char line[256];
	struct { char *buf; u64 len; } arg = { line, sizeof(line) };
	const char *word = line, *p;

	/* without semihosting HLT is undefined, and stepped over */
	if (semihost(SYS_GET_CMDLINE, &arg) || this_cpu()->traps)
		return "";
	for (p = line; *p; p++)
		if (*p == ' ' && p[1])
			word = p + 1;
	return word;
}

void quit(int status)
{
	u64 arg[2] = { STOPPED_APPLICATION_EXIT, status };

	semihost(SYS_EXIT_EXTENDED, arg);
	for (;;)
		asm volatile("wfi");
}

void die(u64 esr, u64 elr, u64 far)
{
	print("\nBail out! unexpected exception: esr %x elr %x far %x\n", esr, elr, far);
	quit(2);
}

static int nr_tests, nr_failed, nr_skipped, details;

void test_begin(void)
{
	details = 0;
}

void test_fail(const char *fmt, ...)
{
	va_list ap;

	if (details++ >= 4)
		return;
	va_start(ap, fmt);
	print("# ");
	vprint(fmt, ap);
	print("\n");
	va_end(ap);
}

void test_end(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (details > 4)
		print("# %d failures in all\n", details);
	nr_failed += details > 0;
	print("%sok %d - ", details ? "not " : "", ++nr_tests);
	vprint(fmt, ap);
	print("\n");
	va_end(ap);
	details = 0;
}

void test_skip(const char *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	nr_skipped++;
	print("ok %d - ", ++nr_tests);
	vprint(fmt, ap);
	print(" # SKIP %s\n", why);
	va_end(ap);
}

int test_summary(void)
{
	print("1..%d\n# %d passed, %d failed, %d skipped\n", nr_tests,
	      nr_tests - nr_failed - nr_skipped, nr_failed, nr_skipped);
	return nr_failed != 0;
}
