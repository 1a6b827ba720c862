# SPDX-License-Identifier: GPL-2.0
"""What is written down of the tests, and what need not run again."""

from __future__ import annotations

import contextlib
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from kpkeyslib import boot, guest, kernel, results, suite
from kpkeyslib.results import Result
from kpkeyslib.term import Problem
from kpkeyslib.testcase import Setting, Skip, Test

from .support import Scratch

FOUND = [
    Result("boot: a|b", "passed", 1.25, "3 points"),
    Result("boot: c", "failed", 2, "not <this>\x1b[0m\nbut that"),
    Result("matrix: d", "kept", 60, "104 points"),
    Result("matrix: e", "skipped", 0, "there is none"),
    Result("matrix: f", "not run"),
]


class Tables(Scratch):
    def test_the_last_line(self) -> None:
        self.assertEqual(results.summary(FOUND[:2]), "1 passed, 1 failed")
        self.assertEqual(results.summary(FOUND), "2 passed, 1 failed, 1 skipped, 1 not run (1 of"
                         " those that passed did so before)")

    def test_markdown(self) -> None:
        text = results.markdown(FOUND, "Linux 7.3")
        self.assertIn("| boot: a\\|b | passed | 1.2 | 3 points |", text)
        self.assertIn("| boot: c | failed | 2.0 | not <this>?[0m |", text)
        self.assertEqual(text.count("\n"), 11)

    def test_junit(self) -> None:
        results.write(FOUND, "", self.dir)
        suite_ = ET.parse(self.dir / "results.xml").getroot()[0]
        self.assertEqual([suite_.get(key) for key in ("tests", "failures", "skipped")],
                         ["5", "1", "2"])
        cases = list(suite_)
        self.assertEqual((cases[1].get("classname"), cases[1].get("name"), cases[1].get("time")),
                         ("kpkeys.boot", "c", "2.0"))
        self.assertEqual(cases[1][0].text, "not <this>?[0m\nbut that")
        self.assertEqual([case[0].tag for case in cases],
                         ["system-out", "failure", "system-out", "skipped", "skipped"])


class Again(Scratch):
    """Tests with inputs, in a suite of their own."""

    def setUp(self) -> None:
        super().setUp()
        for name in ("Image", *kernel.MODULES, "qemu"):
            (self.dir / name).write_text(name)
        built = mock.Mock(image=self.dir / "Image", directory=self.dir, patches=1, compiler="gcc")
        built.source.name = "Linux"
        emulator = mock.Mock(binary=self.dir / "qemu")
        emulator.name = "QEMU"
        self.setting = Setting(built, emulator)
        self.ran: list[str] = []
        self.outcome: list[BaseException] = []

    def make(self, name: str, *inputs: str) -> Test:
        def run(_: Setting, where: Path) -> str:
            self.ran.append(name)
            if self.outcome:
                raise self.outcome.pop()
            return "done"

        return Test(name, run, inputs=inputs)

    @contextlib.contextmanager
    def suite(self, *tests: Test) -> Iterator[None]:
        with mock.patch.multiple(suite, tests=lambda: list(tests), _self_tests=lambda: []), \
                mock.patch.object(suite.kernel, "build", return_value=self.setting.kernel), \
                mock.patch.object(suite.qemu, "find", return_value=self.setting.emulator), \
                mock.patch.object(suite.needs, "ensure"), \
                mock.patch.object(suite.inputs, "base"), \
                mock.patch.object(boot, "LOGS", self.dir / "logs"), \
                mock.patch.object(results, "DIRECTORY", self.dir / "results"), \
                mock.patch.object(guest, "programs", return_value=self.dir / "programs"):
            yield

    def run_(self, *tests: Test, full: bool = True, fresh: bool = False) -> list[str]:
        self.ran.clear()
        with self.suite(*tests):
            suite.run(None, None, [], False, full, fresh)
        return self.ran

    def test_what_passed_is_kept(self) -> None:
        row, other = self.make("matrix: a", "1"), self.make("boot: b")
        self.assertEqual(self.run_(row), ["matrix: a"])
        self.assertEqual(self.run_(row, other), ["boot: b"])
        self.assertIn("kept   matrix: a", self.screen.getvalue())
        self.assertIn("2 passed, 0 failed", self.screen.getvalue())
        self.assertEqual(self.run_(row, fresh=True), ["matrix: a"])
        self.assertEqual(self.run_(row, full=False), ["matrix: a"])
        self.assertEqual(self.run_(row), [])

    def test_other_inputs(self) -> None:
        self.run_(self.make("matrix: a", "1"))
        self.assertEqual(self.run_(self.make("matrix: a", "2")), ["matrix: a"])
        for name in ("Image", *kernel.MODULES, "qemu"):
            (self.dir / name).write_text("other")
            self.assertEqual(self.run_(self.make("matrix: a", "1")), ["matrix: a"], name)
            self.assertEqual(self.run_(self.make("matrix: a", "1")), [], name)

    def test_what_did_not_pass_runs_again(self) -> None:
        row = self.make("matrix: a", "1")
        for error in (AssertionError("wrong"), Skip("not here")):
            self.outcome.append(error)
            self.assertEqual(self.run_(row), ["matrix: a"])
        self.assertEqual(self.run_(row), ["matrix: a"])
        # and if it fails when asked to run again, it has not passed any more
        self.outcome.append(AssertionError("wrong"))
        self.run_(row, fresh=True)
        self.assertEqual(self.run_(row), ["matrix: a"])

    def test_a_kernel_that_cannot_be_built(self) -> None:
        first, second = self.make("boot: a"), self.make("debian: b")._replace(variant="debian")

        def build(_: object, __: object, variant: str) -> object:
            if variant:
                raise Problem("no configuration to be had")
            return self.setting.kernel

        with self.suite(second, first), mock.patch.object(suite.kernel, "build", build):
            self.assertEqual(suite.run(None, None, [], False, True, False), 1)
            self.assertEqual(self.ran, ["boot: a"])
            self.assertIn("not ok debian: b (0.0 s): no kernel: no configuration to be had",
                          self.screen.getvalue())

    def test_an_interrupted_run(self) -> None:
        first, second, third = (self.make(f"matrix: {name}", "1")._replace(variant=name)
                                for name in "abc")
        with self.assertRaises(KeyboardInterrupt):
            self.outcome += [KeyboardInterrupt(), AssertionError()]
            self.run_(first, second, third)
        text = (self.dir / "results/results.md").read_text()
        self.assertIn("0 passed, 1 failed, 2 not run", text)
        self.assertTrue((self.dir / "results/results.xml").is_file())
