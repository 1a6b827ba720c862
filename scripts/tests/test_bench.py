# SPDX-License-Identifier: GPL-2.0
"""The benchmark: its kernels, and what it makes of the guest's rows and the plugin's counts."""

from __future__ import annotations

import contextlib
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from unittest import mock

from kpkeyslib import bench, kernel, plot, series
from kpkeyslib.term import Problem

from .support import Scratch, commit, edit, mini_kernel

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


class Kernels(Scratch):
    def setUp(self) -> None:
        super().setUp()
        self.known = {"linux": {"version": "7.3"}}
        self.tree = self.dir / "linux"
        self.tree.mkdir()
        mini_kernel(self.tree)
        work = self.dir / "work"
        series.git(self.dir, "clone", "--quiet", self.tree, work)
        for old, new in (("line0", "series"), ("series", "more")):
            edit(work / "mm/memory.c", f"int {old};", f"int {new};")
            commit(work, new)
            text = series.git(work, "format-patch", "-1", "--stdout")
            (self.dir / f"{new}.patch").write_text(text)

    def patch(self, name: str) -> Path:
        return self.dir / f"{name}.patch"

    def columns(self, linux: Path, more: bool) -> list[tuple[str, str, int]]:
        """The columns' names, what their tree holds when it is compiled, and their patches."""
        held: list[str] = []
        (self.dir / "bench/patches").mkdir(parents=True)
        if more:
            shutil.copy(self.patch("more"), self.dir / "bench/patches")

        def collect(objects: Path, into: Path, kind: kernel.Kind) -> None:
            (into / "held").write_text(held[-1])

        def compiled(tree: Path, *_: object) -> None:
            held.append((tree / "mm/memory.c").read_text())

        with contextlib.ExitStack() as stack:
            for where, name, new in (
                (bench, "BENCH", self.dir / "bench"), (kernel, "compiler", lambda: "gcc"),
                (kernel, "_compile", compiled), (kernel, "_collect", collect),
                (series, "patches", lambda: [self.patch("series")]),
            ):
                stack.enter_context(mock.patch.object(where, name, new))
            found = bench._columns(self.known, str(linux))
        return [(column.name, (column.kernel.directory / "held").read_text().splitlines()[0],
                 column.kernel.patches) for column in found]

    def test_the_base_is_built_without_the_series(self) -> None:
        self.assertEqual(self.columns(self.tree, more=False), [
            ("base", "int line0;", 0), ("off", "int series;", 1), ("on", "int series;", 1)])

    def test_patches_of_the_benchmark_come_on_top(self) -> None:
        self.assertEqual(self.columns(self.tree, more=True)[1:], [
            ("off", "int series;", 1), ("on", "int series;", 1), ("unbatched", "int more;", 2)])

    def test_a_tree_that_has_the_series_needs_another_base(self) -> None:
        asked = []

        def build(_: object, linux: str | None, variant: str, kind: kernel.Kind) -> kernel.Kernel:
            asked.append((linux, variant, bool(kind.patches())))
            source = kernel.Source(self.tree, "base" if linux is None else None, "Linux")
            return kernel.Kernel(self.dir, self.dir, source, 0, "gcc")

        with mock.patch.object(kernel, "build", build):
            bench._columns(self.known, "tree")
        self.assertEqual(asked, [("tree", "bench protected", True), (None, "bench", False)])


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
