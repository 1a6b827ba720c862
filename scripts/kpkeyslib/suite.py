# SPDX-License-Identifier: GPL-2.0
"""'kpkeys test': the list of tests, and running it."""

from __future__ import annotations

import os
import re
import shutil
import time
import traceback
import unittest
from pathlib import Path

from . import (attack, boot, cache, failclosed, gadgets, guesttests, inputs, kernel, kunit, life,
               matrix, needs, owners, patchtests, proc, qemu, raised, results, scarcity, sidebyside,
               vendor)
from .results import Result
from .term import Problem, say
from .testcase import Setting, Skip, Test, check


def _self_tests() -> list[Test]:
    """The unit tests of this command, each a test of its own."""
    found: list[unittest.TestCase] = []

    def collect(group: unittest.TestSuite) -> None:
        for item in group:
            collect(item) if isinstance(item, unittest.TestSuite) else found.append(item)

    here = inputs.REPO / "scripts"
    collect(unittest.TestLoader().discover(str(here / "tests"), top_level_dir=str(here)))

    def make(case: unittest.TestCase) -> Test:
        def run(_: Setting, where: Path) -> str:
            result = unittest.TestResult()
            # As a suite, so that what a class sets up for its tests is there
            unittest.TestSuite([case]).run(result)
            problems = [text for _, text in result.errors + result.failures]
            (where / "traceback.log").write_text("\n".join(problems))
            check(not problems, problems[0].splitlines()[-1] if problems else "")
            if result.skipped:
                raise Skip(result.skipped[0][1])
            return ""

        return Test(f"self: {case.id().split('.', 1)[1]}", run)

    return [make(case) for case in found]


def tests() -> list[Test]:
    """All tests, but for those of the command itself."""
    return [
        # They take longest: the others can run beside them
        guesttests.forks(2000, quick=True),
        guesttests.forks(10000, quick=False),
        Test("emulator: POE is seen and can be turned off", guesttests.probe),
        *map(guesttests.bare_metal, (*boot.WITH_POE, boot.NO_POE)),
        *patchtests.tests(),
        gadgets.test(),
        raised.test(),
        *map(guesttests.suites, (*boot.WITH_POE, *boot.WITH_FIRMWARE, *boot.SPECIAL, boot.NO_POE)),
        guesttests.suites(boot.EAGER, on=False),
        # With lockdep, and memory that goes bad
        guesttests.kept(guesttests.suites(boot.LAZY._replace(small_va=True), variant=matrix.a_variant(
            va="39", checker="pagealloc", locks="debug")), kunit.__file__),
        *map(guesttests.attacks, (*boot.WITH_POE, *boot.SPECIAL, boot.MIXED, boot.NO_POE)),
        guesttests.attacks(boot.EAGER, on=False),
        guesttests.crowd(2000),
        *failclosed.tests(),
        *attack.tests(),
        *owners.tests(),
        *scarcity.tests(),
        *matrix.tests(),
        *life.tests(),
        *sidebyside.tests(),
        *vendor.tests(),
    ]


def _one(test: Test, setting: Setting | None, again: bool) -> Result:
    """Run a test, if it did not pass before, and print its line."""
    where = boot.LOGS / re.sub(r"\W+", "-", test.name)
    with cache.lock(f"test {test.name}", where):
        return _one_alone(test, setting, again, where)


def _one_alone(test: Test, setting: Setting | None, again: bool, where: Path) -> Result:
    result = results.recall(test, setting) if setting and test.inputs and not again else None
    if result is None:
        shutil.rmtree(where, ignore_errors=True)
        where.mkdir(parents=True)
        start = time.monotonic()
        try:
            remark, outcome = test.run(setting, where), "passed"  # type: ignore[arg-type]
        except Skip as err:
            remark, outcome = str(err), "skipped"
        except Exception as err:  # a fault of a test must not end the others
            remark, outcome = f"{err or type(err).__name__}", "failed"
            if not isinstance(err, (AssertionError, Problem)):
                (where / "traceback.log").write_text(traceback.format_exc())
        result = Result(test.name, outcome, time.monotonic() - start, remark)
        if setting and test.inputs:
            results.remember(test, setting, result)
    text = result.line()
    if result.outcome == "failed":
        logs = sorted(where.glob("*.log"), key=lambda log: log.stat().st_mtime)
        for log in logs[-1:]:
            text += f"\n    see {log}, which ends:\n{proc.tail(log)}"
    say(text)
    return result


def _run(
    own: list[Test], rest: list[Test], linux: str | None, binary: str | None, again: bool,
    found: dict[str, Result], about: list[str]
) -> None:
    """Run the tests, kernel after kernel; what is found so far counts if this is interrupted."""
    for test in own:
        found[test.name] = _one(test, None, again)
    if not rest:
        return
    known = inputs.base()
    # One more than the CPUs are good for: there are tests that wait, rather than compute
    workers = len(os.sched_getaffinity(0)) // 2 + 2
    emulator = None
    for variant in dict.fromkeys(test.variant for test in rest):
        try:
            built = kernel.build(known, linux, variant)
        except Problem as err:
            if not variant:
                raise
            # The other kernels can be tested all the same
            for test in rest:
                if test.variant == variant:
                    found[test.name] = Result(test.name, "failed", 0.0, f"no kernel: {err}")
                    say(found[test.name].line())
            continue
        emulator = emulator or qemu.find(known, binary)
        setting = Setting(built, emulator)
        about[:] = [f"{built.source.name} and {built.patches} patches, {built.compiler};"
                    f" {setting.emulator.name}"]
        calls = [lambda test=test, setting=setting: _one(test, setting, again)
                 for test in rest if test.variant == variant]
        for _, result in proc.parallel(workers, calls):
            found[result.name] = result


def run(
    linux: str | None, binary: str | None, wanted: list[str], only_list: bool, full: bool,
    fresh: bool
) -> int:
    own, rest = (
        [test for test in group if (full or test.quick)
         and (not wanted or any(text in test.name for text in wanted))]
        for group in (_self_tests(), tests())
    )
    if only_list or not own + rest:
        for test in own + rest:
            say(test.name)
        if not own + rest:
            raise Problem(f"no test has {' or '.join(wanted)} in its name; see --list --full")
        return 0
    # All at once, rather than the last ones after an hour
    needs.ensure("build", *dict.fromkeys(axis for test in rest for axis in test.variant.split()
                                         if axis == kernel.DEBIAN))
    found: dict[str, Result] = {}
    about: list[str] = []
    try:
        _run(own, rest, linux, binary, fresh or not full, found, about)
    finally:
        all_ = [found.get(test.name, Result(test.name, "not run")) for test in own + rest]
        results.write(all_, "".join(about), results.DIRECTORY)
    say(f"results: {results.DIRECTORY / 'results.md'} and results.xml")
    say(results.summary(all_))
    return 1 if any(result.outcome == "failed" for result in all_) else 0
