// SPDX-License-Identifier: GPL-2.0
/*
 * From reset to the first instruction of the kernel, on QEMU's virt machine.
 *
 * QEMU started with -bios leaves its device tree at the start of RAM and the
 * files of -kernel and -initrd in the fw_cfg device; -append is in the tree.
 * It resets every register that is not written here to what
 * Documentation/arch/arm64/booting.rst asks for (CNTFRQ_EL0 among them), and
 * has no caches that would have to be cleaned.
 */
#include "el3.h"

#define GICD		((u64)GICD_CTLR)
#define GICD_TYPER	(GICD + 0x4)
#define GICD_IGROUPR(n)	(GICD + 0x80 + 4 * (n))
#define GICR(cpu)	(0x080a0000ul + 0x20000 * (cpu))
#define GICR_TYPER	0x8
#define GICR_WAKER	0x14
#define GICR_IGROUPR0	0x10080
#define GICR_ISENABLER0	0x10100
#define GICR_IPRIORITYR	0x10400
#define SGI		15		/* Linux leaves 8 to 15 to the Secure state */
#define UART_DR		0x09000000ul
#define UART_FR		0x09000018ul
#define FW_CFG_DMA	0x09020010ul
#define GPIO		0x090b0000ul	/* the Secure one */
#define GPIO_DIR	(GPIO + 0x400)
#define RAM		0x40000000ul

/* Where things go in RAM */
#define QEMU_DTB	RAM
#define DTB		(RAM + 0x100000)
#define DTB_SIZE	0x80000
#define SCRATCH		(RAM + 0x1ff000)
#define IMAGE		(RAM + 0x200000)
#define INITRD_ALIGN	0x200000

u64 cpus;

static void print(const char *s)
{
	for (; *s; s++) {
		while (mmio32(UART_FR) & BIT(5))
			;
		mmio32(UART_DR) = *s;
	}
}

static void print_hex(const char *name, u64 v)
{
	char digits[19] = "0x";

	for (int i = 0; i < 16; i++)
		digits[2 + i] = "0123456789abcdef"[v >> (60 - 4 * i) & 15];
	print(name);
	print(digits);
}

static void gpio_set(int line)
{
	mmio32(GPIO_DIR) = BIT(line);
	mmio32(GPIO + (BIT(line) << 2)) = BIT(line);
	for (;;)
		asm volatile("wfi");
}

void system_off(void)
{
	gpio_set(0);
	__builtin_unreachable();
}

void system_reset(void)
{
	gpio_set(1);
	__builtin_unreachable();
}

static void __attribute__((noreturn)) die(const char *what)
{
	print("el3: ");
	print(what);
	print("\n");
	system_off();
}

void unexpected(u64 vector)
{
	print_hex("el3: vector ", vector);
	print_hex(" esr ", read_reg(esr_el3));
	print_hex(" elr ", read_reg(elr_el3));
	print_hex(" far ", read_reg(far_el3));
	print("\n");
	die("unexpected exception");
}

/* ---- registers ---- */

/*
 * What a kernel below may use without a trap, as far as the architecture goes
 * today: bits of features that this CPU does not have are RES0. Group 0
 * interrupts come here (FIQ). Not set: IRQs and aborts come here (1, 3), SMC is
 * off (7), traps (12-15, 40), Secure EL2 (18), Root and Realm states (48, 62).
 */
#define SCR_NS		BIT(0)
#define SCR_FIQ		BIT(2)
#define SCR_HCE		BIT(8)
#define SCR_RW		BIT(10)
#define SCR_FEATURES	(BIT(16) | BIT(17) |	/* APK, API */		\
			 BIT(25) | BIT(26) |	/* EnSCXT, ATA */	\
			 BIT(27) | BIT(28) |	/* FGTEn, ECVEn */	\
			 BIT(35) | BIT(36) |	/* AMVOFFEN, EnAS0 */	\
			 BIT(37) | BIT(38) |	/* ADEn, HXEn */	\
			 BIT(39) | BIT(41) |	/* GCSEn, EnTP2 */	\
			 BIT(42) | BIT(43) |	/* RCWMASKEn, TCR2En */	\
			 BIT(44) | BIT(45) |	/* SCTLR2En, PIEn */	\
			 BIT(46) | BIT(47) |	/* AIEn, D128En */	\
			 BIT(50) | BIT(59))	/* EnFPM, FGTEn2 */

#define MDCR_EL3_INIT	(BIT(7) |		/* EnPM2 */		\
			 3ul << 12 | 3ul << 24 | /* NSPB, NSTB */	\
			 3ul << 32 |		/* SBRBE */		\
			 BIT(36) | BIT(42))	/* EnPMSN, EnPMS3 */

#define CPTR_EZ		BIT(8)
#define CPTR_ESM	BIT(12)

#define ZCR_EL3		s3_6_c1_c2_0
#define SMCR_EL3	s3_6_c1_c2_6
#define SMCR_FA64	BIT(31)
#define SMCR_EZT0	BIT(30)
#define ICC_SRE_EL3	s3_6_c12_c12_5
#define ICC_PMR_EL1	s3_0_c4_c6_0
#define ICC_IAR0_EL1	s3_0_c12_c8_0
#define ICC_EOIR0_EL1	s3_0_c12_c8_1
#define ICC_SGI0R_EL1	s3_0_c12_c11_7
#define ICC_IGRPEN0_EL1	s3_0_c12_c12_6

/* SCTLR_EL1 and SCTLR_EL2: the bits that are RES1 in Armv8.0; MMU off */
#define SCTLR_EL1_RES1	0x30d00800
#define SCTLR_EL2_RES1	0x30c50830
#define HCR_RW		BIT(31)

/* The redistributor and the interface of this CPU */
static void setup_gic_cpu(void)
{
	u64 gicr = GICR(this_cpu());

	/* SRE, DFB, DIB, and Enable for the levels below */
	write_reg(ICC_SRE_EL3, 0xf);
	isb();

	/* ProcessorSleep is ours to clear, Non-secure writes are ignored */
	mmio32(gicr + GICR_WAKER) &= ~BIT(1);
	while (mmio32(gicr + GICR_WAKER) & BIT(2))
		;
	/* a Secure SGI has a higher priority than anything Non-secure */
	mmio32(gicr + GICR_IGROUPR0) = ~(u32)BIT(SGI);
	mmio8(gicr + GICR_IPRIORITYR + SGI) = 0;
	mmio32(gicr + GICR_ISENABLER0) = BIT(SGI);
	dsb();
	/* Non-secure writes of PMR do nothing while it is in the Secure half */
	write_reg(ICC_PMR_EL1, 0xff);
	write_reg(ICC_IGRPEN0_EL1, 1);
	isb();
}

/* The other interrupts belong to the Non-secure state; it does the rest */
static void setup_gic(void)
{
	u32 lines;

	if (!(read_reg(id_aa64pfr0_el1) >> 24 & 15))
		die("no GICv3: add gic-version=3 to -M");
	/* affinity routing first: it decides what the other registers mean */
	mmio32(GICD_CTLR) = BIT(5) | BIT(GICD_ARE_S) | BIT(0);
	lines = mmio32(GICD_TYPER) & 0x1f;
	for (u32 i = 1; i <= lines; i++)
		mmio32(GICD_IGROUPR(i)) = ~0u;
	dsb();
}

void send_sgi(u64 cpu)
{
	write_reg(ICC_SGI0R_EL1, (u64)SGI << 24 | BIT(cpu));
	isb();
}

bool ack_sgi(void)
{
	u64 intid = read_reg(ICC_IAR0_EL1);

	if (intid != SGI)
		return false;
	write_reg(ICC_EOIR0_EL1, intid);
	return true;
}

/* A redistributor for each of them */
static void find_cpus(void)
{
	u64 cpu = 0;

	do
		cpus |= BIT(cpu);
	while (!(mmio32(GICR(cpu) + GICR_TYPER) & BIT(4)) && ++cpu < MAX_CPUS);
}

/* Every CPU, each time that it starts */
void setup_cpu(void)
{
	u64 pfr0 = read_reg(id_aa64pfr0_el1);
	u64 pfr1 = read_reg(id_aa64pfr1_el1);

	write_reg(scr_el3, SCR_NS | SCR_FIQ | SCR_RW | SCR_FEATURES |
		  (client_el() == 2 ? SCR_HCE : 0));
	write_reg(mdcr_el3, MDCR_EL3_INIT);
	write_reg(cptr_el3, CPTR_EZ | CPTR_ESM);
	isb();
	/* all vector lengths; the fields go up to 15 */
	if (pfr0 >> 32 & 15)
		write_reg(ZCR_EL3, 15);
	if (pfr1 >> 24 & 15)
		write_reg(SMCR_EL3, 15 | SMCR_FA64 | SMCR_EZT0);
	write_reg(sctlr_el1, SCTLR_EL1_RES1);
	if (client_el() == 2) {
		write_reg(hcr_el2, HCR_RW);
		write_reg(sctlr_el2, SCTLR_EL2_RES1);
	}
	isb();
	setup_gic_cpu();
}

/* ---- fw_cfg ---- */

#define FW_CFG_KERNEL_SIZE	0x08
#define FW_CFG_INITRD_SIZE	0x0b
#define FW_CFG_KERNEL_DATA	0x11
#define FW_CFG_INITRD_DATA	0x12

#define DMA_ERROR		BIT(0)
#define DMA_READ		BIT(1)
#define DMA_SELECT		BIT(3)

static void fw_cfg_read(u32 key, u64 to, u32 size)
{
	/* the device does not see the Secure RAM, where our variables are */
	volatile struct { u32 control, length; u64 address; } *dma = (void *)SCRATCH;

	dma->control = __builtin_bswap32(key << 16 | DMA_SELECT | DMA_READ);
	dma->length = __builtin_bswap32(size);
	dma->address = __builtin_bswap64(to);
	dsb();
	mmio64(FW_CFG_DMA) = __builtin_bswap64(SCRATCH);
	while (__builtin_bswap32(dma->control) & ~DMA_ERROR)
		;
	if (dma->control)
		die("the kernel and the initrd do not fit in RAM: raise -m");
}

static u32 fw_cfg_size(u32 key)
{
	fw_cfg_read(key, SCRATCH + 64, 4);
	return mmio32(SCRATCH + 64);
}

/* ---- device tree ---- */

#define FDT_MAGIC	0xd00dfeed
#define FDT_BEGIN_NODE	1
#define FDT_END_NODE	2
#define FDT_PROP	3
#define FDT_END		9

/* all big-endian */
struct fdt {
	u32 magic, totalsize, off_struct, off_strings, off_rsvmap;
	u32 version, last_comp_version, boot_cpuid, size_strings, size_struct;
	u64 rsvmap[2];
};

/* The names of the properties that we add go behind those which are there */
static const char new_names[] = "compatible\0method\0enable-method\0"
				"linux,initrd-start\0linux,initrd-end";

static u32 *out;
static u32 nr_old_names;

static u32 be32(u32 v)
{
	return __builtin_bswap32(v);
}

static bool streq(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static void put_bytes(const void *from, u32 size)
{
	u32 words = (size + 3) / 4;

	out[words - 1] = 0;
	for (u32 i = 0; i < size; i++)
		((u8 *)out)[i] = ((const u8 *)from)[i];
	out += words;
}

static u32 length(const char *s)
{
	return __builtin_strlen(s) + 1;
}

static void put_node(const char *name)
{
	*out++ = be32(FDT_BEGIN_NODE);
	put_bytes(name, length(name));
}

static void put_prop(const char *name, const void *value, u32 size)
{
	const char *s = new_names;

	while (!streq(s, name))
		s += length(s);
	*out++ = be32(FDT_PROP);
	*out++ = be32(size);
	*out++ = be32(nr_old_names + (s - new_names));
	put_bytes(value, size);
}

static void put_string(const char *name, const char *value)
{
	put_prop(name, value, length(value));
}

static void put_u64(const char *name, u64 value)
{
	value = __builtin_bswap64(value);
	put_prop(name, &value, sizeof(value));
}

static bool is_cpu(const char *name)
{
	return name[0] == 'c' && name[1] == 'p' && name[2] == 'u' && name[3] == '@';
}

/*
 * Copy the tree and add to it:
 *
 *	/ {
 *		chosen { linux,initrd-start = ...; linux,initrd-end = ...; };
 *		cpus { cpu@... { enable-method = "psci"; }; };
 *		psci { compatible = "arm,psci-1.0"; method = "smc"; };
 *		firmware {
 *			sdei { compatible = "arm,sdei-1.0"; method = "smc"; };
 *		};
 *	};
 */
static void make_dtb(u64 initrd, u32 initrd_size)
{
	struct fdt *from = (struct fdt *)QEMU_DTB, *to = (struct fdt *)DTB;
	const u32 *in = (const u32 *)(QEMU_DTB + be32(from->off_struct));
	int depth = 0;
	u32 token;

	if (be32(from->magic) != FDT_MAGIC)
		die("no device tree at the start of RAM");
	if (be32(from->size_struct) + be32(from->size_strings) > DTB_SIZE)
		die("QEMU's device tree is larger than expected");
	nr_old_names = be32(from->size_strings);

	*to = *from;
	to->off_rsvmap = be32(__builtin_offsetof(struct fdt, rsvmap));
	to->rsvmap[0] = 0;
	to->rsvmap[1] = 0;
	out = (u32 *)(to + 1);
	to->off_struct = be32((u64)out - DTB);
	do {
		token = be32(*in++);
		if (token == FDT_BEGIN_NODE) {
			const char *name = (const char *)in;

			put_node(name);
			in += (length(name) + 3) / 4;
			if (++depth == 2 && streq(name, "chosen") && initrd_size) {
				put_u64("linux,initrd-start", initrd);
				put_u64("linux,initrd-end", initrd + initrd_size);
			}
			if (depth == 3 && is_cpu(name))
				put_string("enable-method", "psci");
		} else if (token == FDT_PROP) {
			u32 size = be32(in[0]);

			*out++ = be32(FDT_PROP);
			put_bytes(in, 8 + size);
			in += 2 + (size + 3) / 4;
		} else if (token == FDT_END_NODE) {
			if (--depth == 0) {
				put_node("psci");
				put_string("compatible", "arm,psci-1.0");
				put_string("method", "smc");
				*out++ = be32(FDT_END_NODE);
				put_node("firmware");
				put_node("sdei");
				put_string("compatible", "arm,sdei-1.0");
				put_string("method", "smc");
				*out++ = be32(FDT_END_NODE);
				*out++ = be32(FDT_END_NODE);
			}
			*out++ = be32(FDT_END_NODE);
		}
		/* what is left is FDT_NOP */
	} while (token != FDT_END);
	*out++ = be32(FDT_END);
	to->size_struct = be32((u64)out - DTB - be32(to->off_struct));

	to->off_strings = be32((u64)out - DTB);
	to->size_strings = be32(nr_old_names + sizeof(new_names));
	for (u32 i = 0; i < nr_old_names; i++)
		((u8 *)out)[i] = ((u8 *)from)[be32(from->off_strings) + i];
	for (u32 i = 0; i < sizeof(new_names); i++)
		((u8 *)out)[nr_old_names + i] = new_names[i];
	to->totalsize = be32((u64)out - DTB + nr_old_names + sizeof(new_names));
}

/* ---- the kernel ---- */

struct image_header {
	u32 code[2];
	u64 text_offset, image_size, flags, res[3];
	u32 magic, res_pe;
};

#define IMAGE_MAGIC	0x644d5241	/* "ARM\x64" */

void boot(struct regs *regs)
{
	const struct image_header *header = (void *)SCRATCH + 128;
	u32 kernel_size, initrd_size;
	u64 kernel, initrd;

	setup_gic();
	find_cpus();

	kernel_size = fw_cfg_size(FW_CFG_KERNEL_SIZE);
	if (kernel_size < sizeof(*header))
		die("no kernel: start QEMU with -kernel and an arm64 Image");
	fw_cfg_read(FW_CFG_KERNEL_DATA, (u64)header, sizeof(*header));
	if (header->magic != IMAGE_MAGIC)
		die("what -kernel gave is not an arm64 Image");
	kernel = IMAGE + header->text_offset;
	initrd = (kernel + header->image_size + INITRD_ALIGN - 1) & -INITRD_ALIGN;
	fw_cfg_read(FW_CFG_KERNEL_DATA, kernel, kernel_size);
	initrd_size = fw_cfg_size(FW_CFG_INITRD_SIZE);
	if (initrd_size)
		fw_cfg_read(FW_CFG_INITRD_DATA, initrd, initrd_size);
	make_dtb(initrd, initrd_size);

	cpu_on(0, kernel, DTB);
	cpu_start(regs);
}
