// SPDX-License-Identifier: GPL-2.0
/*
 * Must not compile: a kpkeys level that is not a constant could be changed by an
 * attacker. Without VARIABLE_LEVEL it must, so that the refusal is for this reason.
 */
#include <linux/kpkeys.h>
#include <linux/module.h>

static int level = KPKEYS_LVL_PGTABLES;
module_param(level, int, 0600);

static int __init variable_level_init(void)
{
#ifdef VARIABLE_LEVEL
	u64 pkey_reg = kpkeys_set_level(level);
#else
	u64 pkey_reg = kpkeys_set_level(KPKEYS_LVL_PGTABLES);
#endif

	kpkeys_restore_pkey_reg(pkey_reg);

	return -ENODEV;
}
module_init(variable_level_init);

MODULE_DESCRIPTION("Raises a kpkeys level that is not a constant");
MODULE_LICENSE("GPL");
