# SPDX-License-Identifier: GPL-2.0
"""What the benchmark makes of the guest's rows and the plugin's sections."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from kpkeyslib import bench, plot
from kpkeyslib.term import Problem

from .support import Scratch

CONSOLE = """\
[    0.1] Run /init as init process
kpkeys-bench: row fork 1 64
kpkeys-bench: row fork 1 64
[    0.2] Summary: fix_size_alloc_test passed: 1
kpkeys-bench: row -alloc 100 0
kpkeys-bench: row alloc 100 0
kpkeys-bench: done
"""
BASE = "1000 0 0 10 5 1\n3000 0 0 20 5 1\n500 0 0 7 7 7\n10500 0 0 107 7 7\n"
ON = "2000 128 9 138 5 1\n4000 128 9 148 5 1\n500 3 0 9 7 7\n11500 403 0 409 7 7\n"


def counted(text: str, console: str = CONSOLE) -> dict[str, bench.Row]:
    return bench.workloads(bench.rows(console, text))


class Rows(Scratch):
    def test_repeats_are_averaged_and_overhead_is_taken_off(self) -> None:
        found = counted(BASE)
        self.assertEqual(list(found), ["fork", "alloc"])
        self.assertEqual(found["fork"], bench.Row("fork", 1, 64, (2000, 0, 0, 15, 5, 1)))
        self.assertEqual(found["alloc"], bench.Row("alloc", 100, 0, (10000, 0, 0, 100, 0, 0)))

    def test_costs(self) -> None:
        found = bench.costs(counted(BASE), counted(ON))
        self.assertEqual(found["fork"], bench.Cost(50.0, 128, 128, 2))
        self.assertAlmostEqual(found["alloc"].insns, 10)
        self.assertEqual(found["alloc"][1:], (3, 4, None))

    def test_a_mismatch_is_refused(self) -> None:
        for console, text, wanted in (
            (CONSOLE, BASE + "1 0 0 0 0 0\n", "4 rows, but 5 sections"),
            (CONSOLE.replace("kpkeys-bench: row alloc", "kpkeys"), BASE, "3 rows, but 4 sections"),
            ("kpkeys-bench: done\n", "", "0 rows"),
            (CONSOLE, BASE.replace(" 7\n", "\n"), "another plugin"),
            (CONSOLE.replace("row alloc", "row other"), BASE, "no row alloc"),
            (CONSOLE, BASE.replace("10500", "500"), "no instructions were counted in alloc"),
            (CONSOLE.replace("bench: done", "bench: don"), BASE, "did not come to its end"),
            (CONSOLE + "kpkeys-bench: error fork: no\n", BASE, "reports: error fork: no"),
        ):
            with self.assertRaisesRegex(Problem, wanted):
                counted(text, console)

    def test_other_workloads_than_on_the_base_kernel_are_refused(self) -> None:
        for old, new in (("row fork 1 64", "row fork 2 64"), ("row fork", "row spoon")):
            other = counted(ON, CONSOLE.replace(old, new))
            with self.assertRaisesRegex(Problem, "not the same as on the base kernel: fork"):
                bench.costs(counted(BASE), other)


class Plot(Scratch):
    def test_ticks_hold_all_values(self) -> None:
        for low, high in ((0, 0), (-6.5, 0.3), (0.2, 7), (0, 1234), (-3, -2)):
            marks = plot.ticks(low, high)
            self.assertLessEqual(marks[0], min(low, 0))
            self.assertGreaterEqual(marks[-1], max(high, 0))
            self.assertTrue(2 <= len(marks) <= 9, marks)
        self.assertEqual(plot.decades(4700), [0.1, 1, 10, 100, 1000, 10000])
        self.assertEqual(plot.decades(-1), [0.1, 1])

    def test_a_bar_for_each_value(self) -> None:
        panels = [plot.Panel("%", [[1, -2], [3, 0]]),
                  plot.Panel("n", [[0, 5], [-1, 1e4]], log=True)]
        text = plot.svg(["a<b", "c"], ["off", "on"], panels)
        bars = [item for item in ElementTree.fromstring(text).iter()
                if item.get("class", "").startswith("bar") and item.get("height") == "11"]
        self.assertEqual(len(bars), 8)
        self.assertTrue(all(float(bar.get("width", "-1")) >= 0 for bar in bars))
