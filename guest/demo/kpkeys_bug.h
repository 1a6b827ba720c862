/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/* /dev/kpkeys_bug: what a driver with a bug does for whoever opens it */
#ifndef KPKEYS_BUG_H
#define KPKEYS_BUG_H

#include <linux/ioctl.h>
#include <linux/types.h>

struct bug_word {
	__u64 address;		/* any in the kernel */
	__u64 value;
};

/* Addresses that the kernel should keep to itself */
struct bug_leak {
	__u64 pgd;		/* of the caller's top-level page table, in the linear map */
	__u64 pgd_phys;
	__u64 data;		/* of the driver's read-only data */
	__u64 data_phys;
	__u64 va_bits;
};

#define BUG_LEAK	_IOR('K', 0, struct bug_leak)
#define BUG_READ	_IOWR('K', 1, struct bug_word)
#define BUG_WRITE	_IOW('K', 2, struct bug_word)

#endif
