# SPDX-License-Identifier: GPL-2.0
"""What 'kpkeys check' makes of what tools say."""

from __future__ import annotations

import unittest

from kpkeyslib import check


class Remarks(unittest.TestCase):
    def test_of_gcc_and_of_sparse(self) -> None:
        text = ("  CC      mm/memory.o\n"
                "/home/a/src/mm/memory.c:12:3: warning: unused variable 'a' [-Wunused-variable]\n"
                "../arch/arm64/mm/mmu.c:7:1: warning: symbol 'b' was not declared.\n"
                "/home/a/src/include/linux/mm.h:3:9: error: no\n"
                "make: warning: nothing of ours\n")
        self.assertEqual(check.remarks(text), {
            "mm/memory.c: warning: unused variable 'a' [-Wunused-variable]",
            "arch/arm64/mm/mmu.c: warning: symbol 'b' was not declared.",
            "include/linux/mm.h: error: no",
        })

    def test_the_line_does_not_matter(self) -> None:
        one, other = (check.remarks(f"src/mm/a.c:{line}:1: warning: w\n") for line in (1, 2))
        self.assertEqual(one, other)
