# SPDX-License-Identifier: GPL-2.0
"""The kernel's own tests of mm and arm64 on our kernel and on the base, results side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from . import boot, demo, guesttests, kernel, kunit, life, proc, selftests
from .testcase import Setting, Skip, Test, booted, check

_VARIANT = "selftests"


def _kernels(setting: Setting) -> dict[str, tuple[Setting, bool]]:
    """The protected kernel, the same switched off, and the base, all with the same options."""
    source = setting.kernel.source
    if source.commit is None:
        raise Skip("--linux names a tree with the series in it")
    base = setting._replace(kernel=kernel.build_from(source, _VARIANT, kernel.BASE))
    return {"protected": (setting, True), "switched off": (setting, False), "base": (base, False)}


def _compare(found: Mapping[str, Mapping[str, selftests.Outcome]], where: Path) -> None:
    """Write the table; nothing may be worse on the protected kernel."""
    path = where / "table.txt"
    path.write_text(selftests.table(found))
    for name in list(found)[1:]:
        worse = selftests.worse(found["protected"], found[name])
        check(not worse, f"worse than {name}, see {path}: {'; '.join(worse)}")


def _selftests(mode: boot.Mode) -> Test:
    """Those in tools/testing/selftests."""
    mode = mode._replace(memory=4, args=(*mode.args, "log_buf_len=4M"))

    def run(setting: Setting, where: Path) -> str:
        kernels = _kernels(setting)
        source = setting.kernel.source
        programs = selftests.programs(source, source.commit or "")
        wanted = [(name, selftests.LIMIT, line) for name, line in selftests.jobs(programs)]
        files = {**selftests.files(programs), **life.files_for(wanted, where)}

        def one(name: str) -> boot.Result:
            which, on = kernels[name]
            return life.start(which, mode, where, "jobs", name.replace(" ", "-"), files, on=on,
                              limit=4 * selftests.LIMIT)

        results = {list(kernels)[index]: result for index, result in
                   proc.parallel(len(kernels), [lambda name=name: one(name) for name in kernels])}
        found = {name: {job: selftests.outcome(*what) for job, what in
                        life.outcomes(results[name].console).items()} for name in kernels}
        remark = life.remark_on(results["protected"], mode)
        for name in kernels:
            if name != "protected":
                booted(results[name], kernels[name][1])
            gone = [job for job, *_ in wanted if job not in found[name]]
            check(not gone, f"{name}: not run: {', '.join(gone)}")
        _compare(found, where)
        counts = ", ".join(f"{sum(item.passed for item in found[name].values())} {name}"
                           for name in kernels)
        return f"{len(wanted)} programs, points passed: {counts}; {remark}"

    return Test(f"life: selftests of mm and arm64, {mode.name}", run, _VARIANT, quick=False)


def _kunit_of_mm(mode: boot.Mode) -> Test:
    """The KUnit suites of mm."""

    def run(setting: Setting, where: Path) -> str:
        found = {}
        for name, (which, on) in _kernels(setting).items():
            args = [*mode.args, f"{demo.SWITCH}={'on' if on else 'off'}"]
            suites = kunit.run(which.kernel, which.emulator, mode, where / name, args)
            found[name] = {suite: selftests.Outcome(len(what.passed), len(what.bad),
                                                    len(what.skipped), "")
                           for suite, what in suites.items()}
        _compare(found, where)
        theirs = list(found["base"])
        check("damon" in theirs and "kfence" in theirs, f"not the suites of mm: {theirs}")
        return ", ".join(f"{suite} {found['protected'][suite]}" for suite in theirs)

    return Test(f"life: kunit of mm, {mode.name}", run, _VARIANT, quick=False)


def tests() -> list[Test]:
    return [guesttests.kept(test, __file__, life.__file__, kunit.__file__, selftests.__file__)
            for test in (_selftests(boot.LAZY), _kunit_of_mm(boot.LAZY))]
