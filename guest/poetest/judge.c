// SPDX-License-Identifier: GPL-2.0
/*
 * What the architecture says, Arm ARM (DDI 0487) D8.4 "Memory access control".
 * Written from there and from the register descriptions of PIR_EL1, PIRE0_EL1
 * and POR_EL1; no emulator's source was used.
 */
#include "poetest.h"

#define R 1
#define W 2
#define X 4
#define WXN 8		/* not both W and X: the overlay, or without one X, gives way */
#define OVERLAY 16	/* asks for the overlay, if that is enabled */

/* PIR_ELx and PIRE0_ELx fields; reserved ones give no access */
static const u8 pir_perm[16] = {
	[0x0] = OVERLAY,
	[0x1] = OVERLAY | R,
	[0x2] = OVERLAY | X,
	[0x3] = OVERLAY | R | X,
	[0x4] = OVERLAY,			/* reserved */
	[0x5] = OVERLAY | R | W,
	[0x6] = OVERLAY | R | W | X | WXN,
	[0x7] = OVERLAY | R | W | X,
	[0x8] = R,
	[0x9] = 0,				/* GCS: not used here */
	[0xa] = R | X,
	[0xb] = 0,				/* reserved */
	[0xc] = R | W,
	[0xd] = 0,				/* reserved */
	[0xe] = R | W | X,
	[0xf] = 0,				/* reserved */
};

/* POR_ELx fields; the rest is reserved and gives no access */
static const u8 por_perm[16] = {
	[PO_R] = R,
	[PO_X] = X,
	[PO_RX] = R | X,
	[PO_W] = W,
	[PO_RW] = R | W,
	[PO_WX] = W | X,
	[PO_RWX] = R | W | X,
};

/* AP[2:1], index AP2 << 1 | AP1 */
static const u8 direct_priv[4]   = { R | W, R | W, R, R };
static const u8 direct_unpriv[4] = { 0, R | W, 0, R };

bool is_write(enum access a)
{
	return a == P_WRITE || a == U_WRITE || a == P_STTR;
}

bool is_exec(enum access a)
{
	return a == P_EXEC || a == U_EXEC;
}

static u8 field(u64 reg, int i)
{
	return reg >> (4 * i) & 0xf;
}

static void base_direct(const struct setup *s, u64 desc, u8 *priv, u8 *unpriv)
{
	int ap = !!(desc & DESC_AP2) << 1 | !!(desc & DESC_AP1);

	if (s->el2) {
		*priv = direct_priv[ap & 2] | OVERLAY | (desc & DESC_UXN ? 0 : X);
		*unpriv = 0;
		return;
	}
	*priv = direct_priv[ap] | OVERLAY;
	*unpriv = direct_unpriv[ap] | OVERLAY;
	/* what EL0 can write, EL1 must not execute */
	if (!(desc & DESC_PXN) && !(*unpriv & W))
		*priv |= X;
	if (!(desc & DESC_UXN))
		*unpriv |= X;
	if (s->wxn && *priv & W && *priv & X)
		*priv |= WXN;
	if (s->wxn && *unpriv & W && *unpriv & X)
		*unpriv |= WXN;
}

static void base_indirect(const struct setup *s, u64 desc, u8 *priv, u8 *unpriv)
{
	int i = !!(desc & DESC_UXN) << 3 | !!(desc & DESC_PXN) << 2 |
		!!(desc & DESC_DBM) << 1 | !!(desc & DESC_AP1);
	u8 pi1 = field(s->pir, i), pi0 = field(s->pire0, i);

	*priv = pir_perm[pi1];
	*unpriv = s->el2 ? 0 : pir_perm[pi0];
	/* R_VFPJF: executable for EL1 and writable for EL0 gives neither anything */
	if (*priv & X && *unpriv & W) {
		*priv &= OVERLAY | WXN;
		*unpriv &= OVERLAY | WXN;
	}
}

/* What the overlay allows: everything if it does not apply. R_QXXPC, R_NPBXC: WXN */
static u8 overlay(u8 *base, bool enabled, u64 por, int poi)
{
	u8 perm;

	if (!enabled || !(*base & OVERLAY)) {
		if (*base & WXN)
			*base &= ~X;
		return R | W | X;
	}
	perm = por_perm[field(por, poi)];
	if (*base & WXN && perm & X)
		perm &= ~W;
	return perm;
}

struct verdict judge(const struct setup *s, u64 desc, enum access a)
{
	bool unprivileged = a >= U_READ;
	int poi = desc >> 60 & 7;
	u8 need = is_write(a) ? W : is_exec(a) ? X : R;
	u8 base, unpriv, over;

	if (s->pie)
		base_indirect(s, desc, &base, &unpriv);
	else
		base_direct(s, desc, &base, &unpriv);
	if (unprivileged) {
		base = unpriv;
		over = overlay(&base, s->e0poe, s->por0, poi);
	} else {
		over = overlay(&base, s->poe, s->por1, poi);
	}
	return (struct verdict) {
		.allowed = base & over & need,
		/* the overlay is looked at first: set even if the base denies, too */
		.overlay = !(over & need),
	};
}
