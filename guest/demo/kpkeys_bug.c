// SPDX-License-Identifier: GPL-2.0
/*
 * A driver with a bug, for a rehearsal of what attackers do with one: whoever
 * opens /dev/kpkeys_bug reads and writes any word of the kernel's memory, and
 * learns some addresses. Never load this on a machine that matters.
 *
 * The driver also has data that nobody should be able to change, in a page of
 * its own; read(2) gives what is there, as the kernel sees it.
 */

#include <linux/fs.h>
#include <linux/io.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include <asm/memory.h>
#include <asm/sysreg.h>

#include "kpkeys_bug.h"

static char data[PAGE_SIZE] __aligned(PAGE_SIZE) __ro_after_init = "written-by-the-driver";

static void bug_leak(struct bug_leak *leak)
{
	*leak = (struct bug_leak) {
		.pgd = (u64)current->mm->pgd,
		.pgd_phys = __pa(current->mm->pgd),
		.data = (u64)data,
		.data_phys = page_to_phys(vmalloc_to_page(data)),
		/* on a kernel at EL2 (VHE) this name reaches the EL2 register */
		.va_bits = 64 - (read_sysreg(tcr_el1) & 0x3f),
	};
}

static long bug_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *user = (void __user *)arg;
	struct bug_leak leak;
	struct bug_word word;

	switch (cmd) {
	case BUG_LEAK:
		bug_leak(&leak);
		return copy_to_user(user, &leak, sizeof(leak)) ? -EFAULT : 0;
	case BUG_READ:
		if (copy_from_user(&word, user, sizeof(word)))
			return -EFAULT;
		word.value = READ_ONCE(*(u64 *)word.address);
		return copy_to_user(user, &word, sizeof(word)) ? -EFAULT : 0;
	case BUG_WRITE:
		if (copy_from_user(&word, user, sizeof(word)))
			return -EFAULT;
		/* The bug: nobody asked whose memory this is */
		WRITE_ONCE(*(u64 *)word.address, word.value);
		return 0;
	}
	return -ENOTTY;
}

static ssize_t bug_read(struct file *file, char __user *buf, size_t count, loff_t *pos)
{
	/* Others may have changed it, whatever the compiler thinks */
	const char *text = data;

	OPTIMIZER_HIDE_VAR(text);
	return simple_read_from_buffer(buf, count, pos, text, strnlen(text, PAGE_SIZE));
}

static const struct file_operations bug_fops = {
	.owner		= THIS_MODULE,
	.read		= bug_read,
	.unlocked_ioctl	= bug_ioctl,
};

static struct miscdevice bug_device = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "kpkeys_bug",
	.mode	= 0666,
	.fops	= &bug_fops,
};
module_misc_device(bug_device);

MODULE_DESCRIPTION("A driver with a bug, to rehearse attacks that kpkeys stop");
MODULE_LICENSE("GPL");
