# SPDX-License-Identifier: GPL-2.0
"""Quick tests of scripts/kpkeys itself: no network, no build, no emulator."""
