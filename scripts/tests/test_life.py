# SPDX-License-Identifier: GPL-2.0
"""Reading what the guest says of programs that are not ours."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path
from unittest import mock

from kpkeyslib import boot, demo, kernel, life, qemu, selftests, testcase

CONSOLE = """\
[    1.0] kpkeys-demo: job-begin name=mm-a
[    1.1] kpkeys-demo: | TAP version 13
[    1.1] kpkeys-demo: | ok 1 one
[    1.1] other kernel line
[    1.2] kpkeys-demo: | not ok 2 two
[    1.2] kpkeys-demo: | ok 3 three # SKIP no huge pages
[    1.2] kpkeys-demo: | not ok 4 four # SKIP neither
[    1.3] kpkeys-demo: | # ok 5 is a comment
[    1.3] kpkeys-demo: job-end name=mm-a status=1 signal=0 late=0 seconds=1
[    1.4] kpkeys-demo: job-begin name=mm-b
[    1.5] kpkeys-demo: job-end name=mm-b status=-1 signal=9 late=1 seconds=9
[    1.6] kpkeys-demo: job-begin name=mm-c
[    1.7] kpkeys-demo: | passed, without TAP
[    1.8] kpkeys-demo: job-end name=mm-c status=0 signal=0 late=0 seconds=0
"""


class Selftests(unittest.TestCase):
    def setUp(self) -> None:
        self.found = {name: selftests.outcome(*job)
                      for name, job in life.outcomes(CONSOLE).items()}

    def test_points_are_counted(self) -> None:
        self.assertEqual(self.found["mm-a"], (1, 1, 2, ""))
        self.assertEqual(self.found["mm-c"], (1, 0, 0, ""))

    def test_a_program_that_is_killed_has_failed(self) -> None:
        self.assertEqual(self.found["mm-b"], (0, 1, 0, "late"))

    def test_fewer_passes_are_worse_and_more_are_not(self) -> None:
        better = {**self.found, "mm-a": self.found["mm-a"]._replace(passed=2)}
        self.assertEqual(selftests.worse(better, self.found), [])
        self.assertEqual(len(selftests.worse(self.found, better)), 1)

    def test_a_program_that_did_not_run_is_worse(self) -> None:
        self.assertEqual(selftests.worse({}, {"mm-c": self.found["mm-c"]}),
                         ["mm-c: 0/0/0 did not run, but 1/0/0"])

    def test_table_has_a_row_for_each(self) -> None:
        text = selftests.table({"ours": self.found, "base": {}})
        self.assertEqual(len(text.splitlines()), 4)
        self.assertIn("1/1/2", text)


class NothingLost(unittest.TestCase):
    def test_the_last_of_each_kind(self) -> None:
        text = "".join(f"[    1.0] kpkeys-demo: {line}\n" for line in (
            "ok 1 - page tables after-hogs: tables 1, pages with the pkey 2, wrong 0",
            "ok 2 - page tables of processes after-hogs: +1", "ok 3 - kmemleak after-hogs: 0",
            "ok 4 - page tables at the end: tables 3, pages with the pkey 4, wrong 0",
            "ok 5 - page tables after-hogs # SKIP the feature is off",
            "not ok 6 - kmemleak at the end: 1"))
        self.assertEqual(demo.nothing_lost(text), [
            "checker: tables 3, pages with the pkey 4, wrong 0", "kmemleak: 0"])


class Threads(unittest.TestCase):
    def threads(self, config: str, cpus: int) -> str:
        """What the emulator is told, on a host with two CPUs."""
        with tempfile.TemporaryDirectory() as directory:
            (Path(directory) / ".config").write_text(config)
            setting = testcase.Setting(mock.Mock(spec=kernel.Kernel, directory=Path(directory)),
                                       mock.Mock(spec=qemu.Emulator))
            with mock.patch("os.sched_getaffinity", return_value={0, 1}):
                mode = testcase.suited(setting, boot.with_cpus(boot.LAZY, cpus))
        argv = boot.command(Path("qemu"), mode, Path("Image"), Path("initrd"), "")
        return argv[argv.index("-accel") + 1]

    def test_one_for_many_cpus_and_kmemleak_only(self) -> None:
        leaks = "CONFIG_DEBUG_KMEMLEAK=y\n"
        self.assertEqual(self.threads(leaks, 8), "tcg,thread=single")
        self.assertEqual(self.threads(leaks, 2), "tcg")
        self.assertEqual(self.threads("# CONFIG_DEBUG_KMEMLEAK is not set\n", 8), "tcg")
