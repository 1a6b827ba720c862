# SPDX-License-Identifier: GPL-2.0
"""Which base a command is about: that at the top of the repository, or a backport."""

from __future__ import annotations

import re

from kpkeyslib import boot, inputs, kernel, matrix, series, suite, testcase
from kpkeyslib.term import Problem

from .support import Scratch

BACKPORTS = sorted(path.parent.name for path in (inputs.REPO / "backports").glob("*/BASE"))


class Bases(Scratch):
    def test_the_top_is_what_there_is_without_an_option(self) -> None:
        for version in (None, inputs.base()["linux"]["version"]):
            inputs.choose(version)
            self.assertEqual((inputs.home(), inputs.option()), (inputs.REPO, ""))
            self.assertTrue(inputs.has("blocks"))

    def test_a_backport_that_is_not_there(self) -> None:
        with self.assertRaisesRegex(Problem, "no series for Linux 5.4; --base takes .*6.12"):
            inputs.choose("5.4")

    def test_a_backport_has_its_kernel_and_the_emulator_of_all(self) -> None:
        qemu = dict(inputs.archives(inputs.base(), "qemu"))
        self.assertTrue(BACKPORTS)
        for version in BACKPORTS:
            inputs.choose(version)
            known = inputs.base()
            self.assertEqual(known["linux"]["version"], version)
            self.assertTrue(inputs.release(known, "linux").startswith(f"{version}."))
            self.assertEqual(dict(inputs.archives(known, "qemu")), qemu)
            archives = dict(inputs.archives(known, "linux"))
            self.assertTrue(archives)
            for total in archives.values():
                self.assertRegex(total, "^[0-9a-f]{64}$")
            self.assertEqual(inputs.option(), f" --base {version}")

    def test_each_archive_has_a_place_that_keeps_it(self) -> None:
        for version in (None, *BACKPORTS):
            inputs.choose(version)
            known = inputs.base()
            for which in ("linux", "qemu"):
                self.assertRegex(inputs.release(known, which), r"^\d+\.\d+\.\d+$")
                for name, _ in inputs.archives(known, which):
                    name = known[name].get("inside", name)
                    self.assertRegex(known[name]["keeps"],
                                     rf"^https://\S+\nhttps://\S+/{re.escape(name)}$")

    def test_the_series_of_a_backport_is_its_own(self) -> None:
        for version in BACKPORTS:
            inputs.choose(version)
            files = series.patches()
            self.assertEqual({path.parent for path in files}, {inputs.home() / "patches"})
            there = {path.name for path in (inputs.home() / "patches").glob("*.patch")}
            self.assertEqual(there, {path.name for path in files})

    def test_fragments_of_a_backport_come_after_those_of_all(self) -> None:
        inputs.choose("6.12")
        ours, theirs = kernel.configs(".kunitconfig")
        self.assertEqual(ours, kernel.CONFIGS / ".kunitconfig")
        self.assertEqual(theirs, inputs.home() / "configs" / ".kunitconfig")
        for row in matrix.rows():
            for path in kernel.fragments(matrix.variant(row)):
                self.assertTrue(path.is_file(), path)

    def test_the_matrix_has_no_value_that_the_kernel_does_not_have(self) -> None:
        inputs.choose("6.12")
        rows = matrix.rows()
        self.assertEqual(len(rows), len(matrix.ROWS))
        self.assertFalse([row for row in rows if row.linear == "block" or row.preempt == "lazy"])
        self.assertFalse([row for row in rows if row.checker == "pagealloc" and row.plug == "plug"])
        names = [test.name for test in suite.tests()]
        self.assertEqual(len(names), len(set(names)))
        self.assertTrue([name for name in names if re.search("matrix: .*PREEMPT_VOLUNTARY", name)])

    def test_a_machine_with_blocks_says_why_it_is_skipped(self) -> None:
        inputs.choose("6.12")
        source = kernel.Source(self.dir, "", "Linux 6.12.1")
        built = kernel.Kernel(self.dir, self.dir, source, 0, "")
        setting = testcase.Setting(built, None)  # type: ignore[arg-type]
        mode = boot.BLOCKS._replace(lazy=False)
        with self.assertRaisesRegex(testcase.Skip, "Linux 6.12.1 does not split blocks"):
            testcase.needs_machine(setting, mode)
        testcase.needs_machine(setting, boot.EAGER)
