# SPDX-License-Identifier: GPL-2.0
"""The cache, running tools, reading what the guest and kunit.py say, the command line."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import shutil
import threading
import time
from pathlib import Path
from unittest import mock

from kpkeyslib import boot, cache, cli, demo, kernel, kunit, needs, proc, qemu, scarcity, testcase
from kpkeyslib.term import Problem

from .support import Scratch, commit, mini_kernel


class Cache(Scratch):
    def test_half_an_entry_is_never_taken(self) -> None:
        def broken(partial: Path) -> None:
            (partial / "a").touch()
            raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            cache.entry("kind", "key", broken, resume=True)
        seen: list[bool] = []
        found = cache.entry("kind", "key", lambda p: seen.append((p / "a").exists()), resume=True)
        self.assertEqual(seen, [True])
        self.assertTrue(found.is_dir())

    def test_without_resume_it_starts_afresh(self) -> None:
        (cache.root() / "kind/key.partial").mkdir(parents=True)
        (cache.root() / "kind/key.partial/old").touch()
        found = cache.entry("kind", "key", lambda p: (p / "new").touch())
        self.assertEqual([p.name for p in found.iterdir()], ["new"])

    def test_what_was_not_used_for_long_goes(self) -> None:
        for key, age in (("old", 40), ("young", 20)):
            path = cache.entry("kind", key, lambda partial: None)
            os.utime(path, (time.time() - age * 86400,) * 2)
        cache._used.clear()  # as another command that comes later
        cache.entry("kind", "new", lambda partial: None)
        self.assertEqual(sorted(p.name for p in (cache.root() / "kind").iterdir()),
                         ["new", "young"])

    def test_another_is_completed_meanwhile(self) -> None:
        gone = cache.root() / "kind/other.partial"
        with mock.patch.object(Path, "iterdir", return_value=iter((gone,))):
            self.assertTrue(cache.entry("kind", "key", lambda partial: None).is_dir())

    def test_two_at_once_build_once(self) -> None:
        begun, go, made = threading.Event(), threading.Event(), []

        def make(partial: Path) -> None:
            begun.set()
            go.wait(5)
            made.append(partial)

        threads = [threading.Thread(target=cache.entry, args=("kind", "key", make))
                   for _ in range(2)]
        threads[0].start()
        begun.wait(5)
        threads[1].start()
        go.set()
        for thread in threads:
            thread.join(5)
        self.assertEqual(len(made), 1)

    def test_digest_tells_contents_apart(self) -> None:
        (self.dir / "d").mkdir()
        (self.dir / "d/file").write_text("1")
        first = cache.digest(["a", self.dir / "d"])
        self.assertEqual(first, cache.digest(["a", self.dir / "d"]))
        (self.dir / "d/file").write_text("2")
        self.assertNotEqual(first, cache.digest(["a", self.dir / "d"]))
        self.assertNotEqual(cache.digest(["ab", "c"]), cache.digest(["a", "bc"]))

    def test_no_room(self) -> None:
        with self.assertRaisesRegex(Problem, "make room, or set XDG_CACHE_HOME"):
            cache.need_space(1e18)


class Tools(Scratch):
    def test_a_tool_that_is_missing(self) -> None:
        with self.assertRaisesRegex(Problem, "step: no command no-such-tool"):
            proc.run(["no-such-tool"], self.dir / "log", "step")

    def test_a_tool_that_fails_shows_its_end(self) -> None:
        with self.assertRaisesRegex(Problem, r"(?s)step failed, see \S+log:.*the reason"):
            proc.run(["sh", "-c", "echo the reason; exit 3"], self.dir / "log", "step")

    def test_a_tool_on_a_full_disk(self) -> None:
        with self.assertRaisesRegex(Problem, "step: the disk is full"):
            proc.run(["dd", "if=/dev/zero", "of=/dev/full", "count=1"], self.dir / "log", "step")

    def test_an_error_ends_what_runs_beside_it(self) -> None:
        def wrong() -> None:
            raise Problem("wrong")

        calls = [lambda: proc.run(["sleep", "60"], self.dir / "log", "sleep"), wrong]
        with self.assertRaises(Problem):
            list(proc.parallel(2, calls))

    def test_what_is_missing_is_named_where_there_is_no_apt(self) -> None:
        with mock.patch.object(shutil, "which", return_value=None):
            with self.assertRaisesRegex(Problem, r"flex \(Debian: flex\).*gcc-aarch64"):
                needs.ensure("build")

    def test_a_qemu_without_poe(self) -> None:
        fake = self.dir / "qemu"
        fake.write_text("#!/bin/sh\necho poe: absent\nexit 1\n")
        fake.chmod(0o755)
        self.assertEqual(qemu.probe(fake, self.dir / "poetest.elf"), "poe: absent")
        with mock.patch.object(qemu.guest, "programs", return_value=self.dir):
            with self.assertRaisesRegex(Problem, r"has no POE \(poe: absent\)"):
                qemu.find({}, str(fake))
            with self.assertRaisesRegex(Problem, "no such QEMU"):
                qemu.find({}, str(self.dir / "nothing"))


class Kernels(Scratch):
    def test_what_a_build_does_not_read(self) -> None:
        tree = self.dir / "linux"
        mini_kernel(tree)
        (tree / ".gitignore").unlink()
        (tree / "Documentation").mkdir()

        def after(name: str) -> str:
            with (tree / name).open("a") as stream:
                stream.write("more\n")
            return kernel._content(tree, commit(tree, name))

        first = after("Documentation/Kconfig")
        self.assertEqual(first, after("Documentation/some.rst"))
        self.assertEqual(first, after("MAINTAINERS"))
        self.assertNotEqual(first, after("Documentation/Kconfig"))
        self.assertNotEqual(after("mm/memory.c"), after("mm/memory.c"))


class CommandLine(Scratch):
    def status(self, error: BaseException) -> tuple[int, str]:
        text = io.StringIO()
        with mock.patch.object(cli, "_setup", side_effect=error), contextlib.redirect_stderr(text):
            return cli.main(["setup"]), text.getvalue()

    def test_a_problem_is_one_line_and_status_2(self) -> None:
        self.assertEqual(self.status(Problem("what to do")), (2, "kpkeys: what to do\n"))

    def test_a_full_disk(self) -> None:
        status, text = self.status(OSError(errno.ENOSPC, "No space left on device", "x"))
        self.assertEqual(status, 2)
        self.assertIn("the disk is full", text)
        self.assertEqual(text.count("\n"), 1)

    def test_interrupted(self) -> None:
        status, text = self.status(KeyboardInterrupt())
        self.assertEqual((status, text.count("\n")), (130, 1))

    COMMANDS = ("setup", "run", "test", "check", "bench", "docs", "tree", "refresh")

    def test_help_for_each_command(self) -> None:
        for command in self.COMMANDS:
            with self.assertRaises(SystemExit) as caught:
                cli.main([command, "--help"])
            self.assertEqual(caught.exception.code, 0)

    def test_each_command_gets_to_its_work(self) -> None:
        for command in self.COMMANDS:
            with mock.patch.object(cli, f"_{command}", return_value=0) as act:
                self.assertEqual(cli.main([command]), 0)
                act.assert_called_once()


CONSOLE = """\
[    0.1] kpkeys-demo: system kernel=7.3.0 poe=1 el=1
[    0.2] kpkeys-demo: attack-begin id=1 target=user level=pte kind=flip
[    0.3] Unable to handle kernel write
[    0.4] kpkeys-demo: attack-end id=1 target=user level=pte kind=flip result=refused exp
[    0.4] kpkeys-demo: attack-end id=1 target=user level=pte kind=flip result=refused expected=1
[    0.5] kpkeys-demo: 
** replaying previous printk message **
[    0.5] kpkeys-demo: ok 1 - write refused
[    0.6] kpkeys-demo: 1..1
[    0.7] kpkeys-demo: done status=0
"""


def result(console: str, timeout: bool = False) -> boot.Result:
    return boot.Result(console, 0, timeout, 1.0)


class Reading(Scratch):
    def test_a_good_console(self) -> None:
        self.assertEqual(demo.verdict(result(CONSOLE)), "")
        self.assertEqual(demo.report(CONSOLE), ["Unable to handle kernel write"])
        self.assertEqual(testcase.tap(CONSOLE, "kpkeys-demo: "), "1 points")

    def test_bad_consoles(self) -> None:
        self.assertIn("died", demo.verdict(result(CONSOLE.replace("done", "gone"))))
        self.assertIn("no end", demo.verdict(result(CONSOLE, timeout=True)))
        odd = CONSOLE.replace("status=0", "status=1").replace("expected=1", "expected=0")
        self.assertIn("user pte: refused", demo.verdict(result(odd)))
        self.assertIn("error no", demo.verdict(result("kpkeys-demo: error no module\n")))

    def test_data_races_of_ours(self) -> None:
        ours = {"pba_alloc", "pool_push"}
        console = ("[ 1.0] BUG: KCSAN: data-race in my_pba_alloc / do_exit\n"
                   "[ 1.1] BUG: KCSAN: data-race in pba_alloc / pool_has_excess\n"
                   "[ 1.2] BUG: KCSAN: data-race in pool_push+0x2c0/0x330\n")
        self.assertEqual(scarcity.data_races(console, ours),
                         ["data-race in pba_alloc / pool_has_excess",
                          "data-race in pool_push+0x2c0/0x330"])
        self.assertEqual(scarcity.data_races(console, {"pba_free"}), [])

    def test_tap_that_is_not_complete(self) -> None:
        for text in ("", "ok 1 - a\n", "1..0\n", "ok 1 - a\n1..2\n",
                     "ok 1 - a\nnot ok 2 - b\n1..2\n"):
            with self.assertRaises(AssertionError, msg=text):
                testcase.tap(text)

    def test_kunit_skips(self) -> None:
        def suites(skip: bool, sdei: bool) -> dict[str, kunit.Outcome]:
            found = {}
            for name in kunit.SUITES:
                cases = ["a", *(kunit.NEED_FIRMWARE if name == "kpkeys_arm64" else ())]
                skipped = [case for case in cases if case != "a" and sdei
                           or skip and name in kunit.NEED_POE]
                passed = [case for case in cases if case not in skipped]
                found[name] = kunit.Outcome(passed, skipped, [])
            return found

        good = {boot.EAGER: suites(False, True), boot.FIRMWARE: suites(False, False),
                boot.NO_POE: suites(True, True)}
        for mode in good:
            for other, found in good.items():
                self.assertEqual(kunit.wrong(found, mode) == "", mode == other, (mode, other))
            missing = {name: good[mode][name] for name in kunit.SUITES[1:]}
            self.assertIn("did not run", kunit.wrong(missing, mode))
        case, option = next(iter(kunit.NEED_OPTION.items()))
        found = {**good[boot.EAGER], "kpkeys_pba": kunit.Outcome(["a"], [case], [])}
        self.assertEqual(kunit.wrong(found, boot.EAGER), "")
        self.assertIn(case, kunit.wrong(found, boot.EAGER, config=f"{option}\n"))

    def test_kunit_json(self) -> None:
        def group(name: str, cases: dict[str, str], groups: tuple = ()) -> dict:
            return {"name": name, "sub_groups": list(groups),
                    "test_cases": [{"name": n, "status": s} for n, s in cases.items()]}

        inner = group("levels", {"pte": "PASS", "pmd": "ERROR"})
        outer = group("kpkeys", {"nest": "PASS", "late": "SKIP"}, (inner,))
        found = kunit.outcomes(json.dumps({"sub_groups": [outer]}))
        self.assertIn("levels.pmd", kunit.wrong(found, boot.EAGER))
        wanted = kunit.Outcome(["nest", "levels.pte"], ["late"], ["levels.pmd"])
        self.assertEqual(found, {"kpkeys": wanted})
