// SPDX-License-Identifier: GPL-2.0
/*
 * Shows which pkey maps which page table, and attacks the tables: a plain store
 * to a page-table entry, in the context of whoever asks.
 *
 * Never load this on a machine that matters: it hands the page tables to every
 * user. It works alike on a protected and on an ordinary kernel, so it walks
 * the tables as the hardware does and uses none of the kernel's helpers that
 * the protection changes.
 *
 * /dev/kpkeys_demo: write one command, read the answer from the same open file.
 *
 *   info                            el=1 va=48 levels=4 page=4096 and the like
 *   addr vmalloc|module|fixmap      a kernel address of this kind
 *   addr linear <user va>           the linear-map address of its lowest table
 *   walk user|kernel|image <va>     the tables that lead there, one line each
 *   scan user|kernel|image          all tables, counted by level and pkey
 *   poke user|kernel|image <va> <level> same|flip
 *                                   store to the entry at this level
 *   leak                            return at a raised level, as if a helper had
 *                                   forgotten to restore it
 *   memory <start> <size> add|remove
 *                                   plug memory in (it is not online then), or take
 *                                   it offline and pull it out
 *   vmap <tables>                   map a page so often that this takes so many page
 *                                   tables of the kernel
 *   vunmap                          undo all of these
 *
 * The tables are seen and attacked through the linear map; with 'image', through
 * the kernel image's own mapping, which only the static tables have.
 */

#include <linux/bitfield.h>
#include <linux/bits.h>
#include <linux/fs.h>
#include <linux/list.h>
#include <linux/memory_hotplug.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/mutex.h>
#include <linux/module.h>
#include <linux/seq_buf.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include <asm/fixmap.h>
#include <asm/memory.h>
#include <asm/pgtable.h>
#include <asm/sysreg.h>

#define DESC_VALID		BIT_ULL(0)
#define DESC_TABLE		BIT_ULL(1)	/* at the last level: page */
#define DESC_WRITE		BIT_ULL(51)	/* what Linux sets in a writable leaf */
#define DESC_CONT		BIT_ULL(52)
#define DESC_POINDEX		GENMASK_ULL(62, 60)
/* ignored by hardware in tables and leaves; PTE_SPECIAL to Linux, in a PTE */
#define DESC_FLIP		BIT_ULL(56)

/* in POR_EL1, four bits a pkey: this is pkey 1, which has POE_R most of the time */
#define POR_WRITE_PGTABLES	((u64)POE_W << 4)

#define STRIDE			(PAGE_SHIFT - 3)
#define LAST_LEVEL		3
#define NR_LEVELS		5
#define NR_PKEYS		8

struct space {
	phys_addr_t top;
	int va_bits;
	int start;		/* -1 .. 2 */
	bool kernel;
};

struct step {			/* one level of a walk */
	phys_addr_t table;
	u64 *entry;
	u64 desc;
	int level;
};

static void *vmalloc_page;

static phys_addr_t ttbr_to_phys(u64 ttbr)
{
	if (IS_ENABLED(CONFIG_ARM64_PA_BITS_52))
		return (ttbr & GENMASK_ULL(47, 6)) | (ttbr & GENMASK_ULL(5, 2)) << 46;
	return ttbr & GENMASK_ULL(47, 1);
}

static void get_space(struct space *s, bool kernel)
{
	/* on a kernel at EL2 (VHE) these names reach the EL2 registers */
	u64 tcr = read_sysreg(tcr_el1);

	s->kernel = kernel;
	if (kernel) {
		s->top = ttbr_to_phys(read_sysreg(ttbr1_el1));
		s->va_bits = 64 - ((tcr >> 16) & 0x3f);
	} else {
		s->top = __pa(current->mm->pgd);
		s->va_bits = 64 - (tcr & 0x3f);
	}
	s->start = 4 - DIV_ROUND_UP(s->va_bits - PAGE_SHIFT, STRIDE);
}

static int level_shift(int level)
{
	return PAGE_SHIFT + (LAST_LEVEL - level) * STRIDE;
}

static int nr_entries(const struct space *s, int level)
{
	return level == s->start ? 1 << (s->va_bits - level_shift(level)) : 1 << STRIDE;
}

static bool is_table(u64 desc, int level)
{
	return level < LAST_LEVEL && (desc & DESC_VALID) && (desc & DESC_TABLE);
}

static phys_addr_t desc_to_phys(u64 desc)
{
	/* knows where LPA and LPA2 keep the high bits; the same in tables */
	return __pte_to_phys(__pte(desc)) & PAGE_MASK;
}

/* The levels that exist, top first; the last one has the leaf or the hole */
static int walk(const struct space *s, u64 va, struct step steps[NR_LEVELS])
{
	phys_addr_t table = s->top;
	int level, n = 0;

	for (level = s->start; level <= LAST_LEVEL; level++) {
		int i = (va >> level_shift(level)) & (nr_entries(s, level) - 1);
		u64 *entry = (u64 *)phys_to_virt(table) + i;
		u64 desc = READ_ONCE(*entry);

		steps[n++] = (struct step) { table, entry, desc, level };
		if (!is_table(desc, level))
			break;
		table = desc_to_phys(desc);
	}
	return n;
}

static int walk_locked(bool kernel, u64 va, struct step steps[NR_LEVELS])
{
	struct space s;
	int n;

	get_space(&s, kernel);
	if (kernel)
		return walk(&s, va, steps);
	mmap_read_lock(current->mm);
	n = walk(&s, va, steps);
	mmap_read_unlock(current->mm);
	return n;
}

/* Where a table is seen: in the linear map, or in the kernel image */
static u64 *view(bool image, phys_addr_t pa)
{
	return image ? (u64 *)(pa + kimage_voffset) : phys_to_virt(pa);
}

/* The entry that maps a table there; false if the table is not part of the image */
static bool view_leaf(bool image, phys_addr_t pa, struct step *leaf)
{
	struct step steps[NR_LEVELS];
	struct space s;
	u64 va = (u64)view(image, pa), size;

	get_space(&s, true);
	*leaf = steps[walk(&s, va, steps) - 1];
	if (!image)
		return true;
	size = 1ULL << level_shift(leaf->level);
	return (leaf->desc & DESC_VALID) &&
	       ALIGN_DOWN(desc_to_phys(leaf->desc), size) == ALIGN_DOWN(pa, size);
}

static const char *level_name(const struct space *s, int level)
{
	static const char * const names[] = { "p4d", "pud", "pmd", "pte" };

	return level == s->start ? "pgd" : names[level];
}

static void show_walk(struct seq_buf *out, bool kernel, bool image, u64 va)
{
	struct step steps[NR_LEVELS], leaf;
	struct space s;
	int i, n;

	get_space(&s, kernel);
	n = walk_locked(kernel, va, steps);
	for (i = 0; i < n; i++) {
		phys_addr_t entry = virt_to_phys(steps[i].entry);

		if (!view_leaf(image, steps[i].table, &leaf))
			continue;
		seq_buf_printf(out,
			       "level=%s table=0x%llx entry=0x%llx value=0x%llx pkey=%llu map=%s prot=%s\n",
			       level_name(&s, steps[i].level), (u64)steps[i].table,
			       (u64)view(image, entry), steps[i].desc,
			       FIELD_GET(DESC_POINDEX, leaf.desc),
			       leaf.level < LAST_LEVEL ? "block" :
			       leaf.desc & DESC_CONT ? "cont" : "page",
			       leaf.desc & DESC_WRITE ? "rw" : "ro");
	}
}

struct counts {
	unsigned long tables[NR_LEVELS];
	unsigned long by_pkey[NR_LEVELS][NR_PKEYS];
	/* default pkey, but no write permission either */
	unsigned long read_only[NR_LEVELS];
};

static void count_tables(const struct space *s, bool image, phys_addr_t table, int level,
			 struct counts *c)
{
	u64 *entries = phys_to_virt(table);
	int i, row = level - s->start;
	phys_addr_t last = 0;
	struct step leaf;

	if (view_leaf(image, table, &leaf)) {
		int pkey = FIELD_GET(DESC_POINDEX, leaf.desc);

		c->tables[row]++;
		c->by_pkey[row][pkey]++;
		if (!pkey && !(leaf.desc & DESC_WRITE))
			c->read_only[row]++;
	}
	if (level == LAST_LEVEL)
		return;
	for (i = 0; i < nr_entries(s, level); i++) {
		u64 desc = READ_ONCE(entries[i]);
		phys_addr_t child = desc_to_phys(desc);

		/* KASAN's shadow of nothing is one table, many times in a row */
		if (!is_table(desc, level) || child == last)
			continue;
		last = child;
		count_tables(s, image, child, level + 1, c);
	}
	cond_resched();
}

static int show_scan(struct seq_buf *out, bool kernel, bool image)
{
	struct counts *c = kzalloc_obj(*c);
	struct space s;
	int level, i;

	if (!c)
		return -ENOMEM;
	get_space(&s, kernel);
	if (!kernel)
		mmap_read_lock(current->mm);
	count_tables(&s, image, s.top, s.start, c);
	if (!kernel)
		mmap_read_unlock(current->mm);
	for (level = s.start; level <= LAST_LEVEL; level++) {
		int row = level - s.start;

		seq_buf_printf(out, "level=%s tables=%lu", level_name(&s, level), c->tables[row]);
		for (i = 0; i < NR_PKEYS; i++)
			if (c->by_pkey[row][i])
				seq_buf_printf(out, " pkey%d=%lu", i, c->by_pkey[row][i]);
		if (c->read_only[row])
			seq_buf_printf(out, " pkey0_ro=%lu", c->read_only[row]);
		seq_buf_puts(out, "\n");
	}
	kfree(c);
	return 0;
}

/* How much of the linear map is mapped by blocks, and by PTE tables */
static void show_linear_map(struct seq_buf *out)
{
	u64 va, end = (u64)high_memory, blocks = 0, pages = 0;
	struct step steps[NR_LEVELS];
	struct space s;

	get_space(&s, true);
	/* not PAGE_OFFSET, if there are fewer bits than the kernel can do */
	va = -(1ULL << s.va_bits);
	while (va < end) {
		struct step leaf = steps[walk(&s, va, steps) - 1];
		/* a whole PTE table at a time */
		u64 size = 1ULL << level_shift(min(leaf.level, LAST_LEVEL - 1));

		if (leaf.level == LAST_LEVEL)
			pages += size;
		else if (leaf.desc & DESC_VALID)
			blocks += size;
		va = ALIGN_DOWN(va, size) + size;
	}
	seq_buf_printf(out, " linear_block_mb=%llu linear_page_mb=%llu", blocks >> 20,
		       pages >> 20);
}

/*
 * The attack. No lock is held here: on a protected kernel the first store does
 * not return, and the task dies as it is.
 */
static int poke(struct seq_buf *out, bool kernel, bool image, u64 va, const char *name, bool flip)
{
	struct step steps[NR_LEVELS], leaf;
	struct space s;
	u64 *entry, old, seen;
	int i, n;

	get_space(&s, kernel);
	n = walk_locked(kernel, va, steps);
	for (i = 0; i < n; i++)
		if (!strcmp(level_name(&s, steps[i].level), name))
			break;
	if (i == n || !view_leaf(image, steps[i].table, &leaf))
		return -ENOENT;
	entry = view(image, virt_to_phys(steps[i].entry));
	old = READ_ONCE(*entry);
	WRITE_ONCE(*entry, flip ? old ^ DESC_FLIP : old);
	seen = READ_ONCE(*entry);
	if (flip)
		WRITE_ONCE(*entry, old);
	seq_buf_printf(out, "stored=1 changed=%d\n", seen != old);
	return 0;
}

/* ---- page tables of the vmalloc area ---- */

struct mapping {
	struct list_head list;
	void *address;
};

static LIST_HEAD(mappings);
static DEFINE_MUTEX(mappings_mutex);

static int map_page(unsigned int tables)
{
	unsigned int i, nr = tables << STRIDE;
	struct mapping *mapping = kzalloc_obj(*mapping);
	struct page **pages = kvmalloc_array(nr, sizeof(*pages), GFP_KERNEL);

	if (mapping && pages) {
		for (i = 0; i < nr; i++)
			pages[i] = vmalloc_to_page(vmalloc_page);
		mapping->address = vmap(pages, nr, VM_MAP, PAGE_KERNEL);
	}
	kvfree(pages);
	if (!mapping || !mapping->address) {
		kfree(mapping);
		return -ENOMEM;
	}
	guard(mutex)(&mappings_mutex);
	list_add(&mapping->list, &mappings);
	return 0;
}

static void unmap_all(void)
{
	struct mapping *mapping, *next;

	guard(mutex)(&mappings_mutex);
	list_for_each_entry_safe(mapping, next, &mappings, list) {
		vunmap(mapping->address);
		kfree(mapping);
	}
	INIT_LIST_HEAD(&mappings);
}

/* ---- the device ---- */

#define ANSWER_SIZE	4096

struct session {
	size_t len;
	char answer[ANSWER_SIZE];
};

/* Not by the kernel's functions: the unprotected kernel may not have them */
static void leak_level(void)
{
	u64 mmfr3 = read_sysreg_s(SYS_ID_AA64MMFR3_EL1);

	if (!SYS_FIELD_GET(ID_AA64MMFR3_EL1, S1POE, mmfr3))
		return;
	write_sysreg_s(read_sysreg_s(SYS_POR_EL1) | POR_WRITE_PGTABLES, SYS_POR_EL1);
	isb();
}

static int run_command(struct seq_buf *out, char *cmd)
{
	char *word[5] = {};
	u64 va = 0;
	struct space s;
	bool kernel, image;
	int n = 0;

	while (n < ARRAY_SIZE(word) && (word[n] = strsep(&cmd, " \n")))
		if (*word[n])
			n++;
	if (!n)
		return -EINVAL;

	if (!strcmp(word[0], "memory") && n == 4) {
		u64 start, size;
		int ret;

		if (kstrtou64(word[1], 0, &start) || kstrtou64(word[2], 0, &size))
			return -EINVAL;
		ret = strcmp(word[3], "add") ? offline_and_remove_memory(start, size) :
					       add_memory(0, start, size, MHP_NONE);
		seq_buf_puts(out, "done\n");
		return ret;
	}
	if (!strcmp(word[0], "vmap") && n == 2) {
		unsigned int tables;

		if (kstrtouint(word[1], 0, &tables) || tables > 64)
			return -EINVAL;
		seq_buf_puts(out, "done\n");
		return map_page(tables);
	}
	if (!strcmp(word[0], "vunmap") && n == 1) {
		seq_buf_puts(out, "done\n");
		unmap_all();
		return 0;
	}
	if (n >= 3 && kstrtou64(word[2], 0, &va))
		return -EINVAL;

	if (!strcmp(word[0], "info") && n == 1) {
		get_space(&s, true);
		seq_buf_printf(out, "el=%llu va=%d levels=%d page=%lu",
			       (u64)read_sysreg(CurrentEL) >> 2, s.va_bits, 4 - s.start,
			       PAGE_SIZE);
		show_linear_map(out);
		seq_buf_puts(out, "\n");
		return 0;
	}
	if (!strcmp(word[0], "leak") && n == 1) {
		seq_buf_puts(out, "leaked\n");
		leak_level();
		return 0;
	}
	if (!strcmp(word[0], "addr") && n >= 2) {
		if (!strcmp(word[1], "vmalloc")) {
			va = (u64)vmalloc_page;
		} else if (!strcmp(word[1], "module")) {
			va = (u64)run_command;
		} else if (!strcmp(word[1], "fixmap")) {
			va = __fix_to_virt(FIX_PGD);
		} else if (!strcmp(word[1], "linear") && n == 3) {
			struct step steps[NR_LEVELS];
			int last = walk_locked(false, va, steps) - 1;

			va = (u64)phys_to_virt(steps[last].table);
		} else {
			return -EINVAL;
		}
		seq_buf_printf(out, "0x%llx\n", va);
		return 0;
	}

	if (n < 2)
		return -EINVAL;
	image = !strcmp(word[1], "image");
	kernel = image || !strcmp(word[1], "kernel");
	if (!kernel && strcmp(word[1], "user"))
		return -EINVAL;
	if (!strcmp(word[0], "scan") && n == 2)
		return show_scan(out, kernel, image);
	/* no walk beyond the region that the registers describe */
	if (kernel != !!(va & BIT_ULL(55)))
		return -EINVAL;
	if (!strcmp(word[0], "walk") && n == 3) {
		show_walk(out, kernel, image, va);
		return 0;
	}
	if (!strcmp(word[0], "poke") && n == 5 &&
	    (!strcmp(word[4], "same") || !strcmp(word[4], "flip")))
		return poke(out, kernel, image, va, word[3], !strcmp(word[4], "flip"));
	return -EINVAL;
}

static int demo_open(struct inode *inode, struct file *file)
{
	file->private_data = kzalloc_obj(struct session);
	if (!file->private_data)
		return -ENOMEM;
	return stream_open(inode, file);
}

static int demo_release(struct inode *inode, struct file *file)
{
	kfree(file->private_data);
	return 0;
}

static ssize_t demo_write(struct file *file, const char __user *buf, size_t count, loff_t *pos)
{
	struct session *session = file->private_data;
	struct seq_buf out;
	char cmd[128];
	int ret;

	if (!count || count >= sizeof(cmd))
		return -EINVAL;
	if (copy_from_user(cmd, buf, count))
		return -EFAULT;
	cmd[count] = '\0';
	seq_buf_init(&out, session->answer, ANSWER_SIZE);
	session->len = 0;
	ret = run_command(&out, cmd);
	if (ret)
		return ret;
	session->len = seq_buf_used(&out);
	return count;
}

static ssize_t demo_read(struct file *file, char __user *buf, size_t count, loff_t *pos)
{
	struct session *session = file->private_data;

	count = min(count, session->len);
	if (copy_to_user(buf, session->answer, count))
		return -EFAULT;
	memmove(session->answer, session->answer + count, session->len - count);
	session->len -= count;
	return count;
}

static const struct file_operations demo_fops = {
	.owner		= THIS_MODULE,
	.open		= demo_open,
	.release	= demo_release,
	.read		= demo_read,
	.write		= demo_write,
};

static struct miscdevice demo_device = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "kpkeys_demo",
	.mode	= 0666,
	.fops	= &demo_fops,
};

static int __init demo_init(void)
{
	int ret;

	vmalloc_page = vzalloc(PAGE_SIZE);
	if (!vmalloc_page)
		return -ENOMEM;
	ret = misc_register(&demo_device);
	if (ret)
		vfree(vmalloc_page);
	return ret;
}
module_init(demo_init);

static void __exit demo_exit(void)
{
	misc_deregister(&demo_device);
	unmap_all();
	vfree(vmalloc_page);
}
module_exit(demo_exit);

MODULE_DESCRIPTION("Shows and attacks page tables, to demonstrate kpkeys");
MODULE_LICENSE("GPL");
