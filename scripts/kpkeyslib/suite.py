# SPDX-License-Identifier: GPL-2.0
"""'kpkeys test': the list of tests, and running it."""

from __future__ import annotations

import functools
import os
import re
import shutil
import tempfile
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from . import (attack, bench, boot, cache, demo, gadgets, gdbstub, guest, inputs, kernel, kunit,
               needs, proc, qemu, series)
from .term import Problem, say
from .testcase import Setting, Skip, Test, check, needs_lazy, tap


def _poetest(mode: boot.Mode) -> Test:
    argument = "off" if not mode.poe else "lazy" if mode.lazy else "eager"

    def run(setting: Setting, where: Path) -> str:
        needs_lazy(setting, mode)
        program = guest.programs() / "poetest.elf"
        argv = [str(setting.emulator.binary), "-M", mode.machine, "-cpu", mode.cpu, "-smp", "2",
                "-accel", "tcg", "-nodefaults", "-display", "none", "-serial", "stdio",
                "-kernel", str(program), "-semihosting-config",
                f"enable=on,target=native,arg=poetest,arg={argument}"]
        result = boot.run(argv, where / "console.log")
        check(not result.timeout, "no end")
        remark = tap(result.console)
        check(result.status == 0, f"exit status {result.status}")
        return remark

    return Test(f"emulator: bare metal, {mode.name}", run)


def _probe(setting: Setting, where: Path) -> str:
    program = guest.programs() / "poetest.elf"
    check(not qemu.probe(setting.emulator.binary, program), "POE not seen where it is")
    check(qemu.probe(setting.emulator.binary, program, "max,poe=off"), "POE seen where it is off")
    return ""


def _kunit(mode: boot.Mode, on: bool = True) -> Test:
    def run(setting: Setting, where: Path) -> str:
        needs_lazy(setting, mode)
        args = [*mode.args, f"{demo.SWITCH}={'on' if on else 'off'}"]
        # These machines are for a few cases; the slow ones have nothing to do with them
        if mode.firmware or mode.nvhe:
            args.append(kunit.QUICK)
        found = kunit.run(setting.kernel, setting.emulator, mode, where, args)
        check(not kunit.wrong(found, mode, on), kunit.wrong(found, mode, on))
        alarms = kunit.alarms(where)
        check(not alarms, f"the kernel complains: {alarms[:1]}")
        passed, skipped = (sum(len(suite[index]) for suite in found.values()) for index in (0, 1))
        return f"{passed} cases passed" + (f", {skipped} skipped as they must" if skipped else "")

    return Test(f"kunit: {mode.name}{'' if on else ', switched off'}", run)


def _run_mixed(setting: Setting, mode: boot.Mode, argv: list[str], log: Path) -> boot.Result:
    """Boot a machine whose first CPU can split blocks of the linear map, and no other one."""
    symbols = (setting.kernel.directory / "System.map").read_text()
    symbol = re.search(r"^(\w+) t has_bbml3$", symbols, re.M)
    check(symbol, "no has_bbml3() in the kernel")
    with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor(1) as pool:
        path = Path(directory) / "gdb"
        called = pool.submit(gdbstub.override, path, int(symbol[1], 16),  # type: ignore[index]
                             lambda cpu: int(cpu == 0))
        result = boot.run([*argv, *gdbstub.arguments(path)], log)
        missed = set(range(mode.cpus)) - set(called.result())
    check(not missed, f"has_bbml3() was not called on CPU {missed}")
    return result


def _boot(mode: boot.Mode, on: bool = True, **geometry: int) -> Test:
    def run(setting: Setting, where: Path) -> str:
        needs_lazy(setting, mode)
        initrd = guest.initramfs(setting.kernel)
        argv = boot.command(setting.emulator.binary, mode, setting.kernel.image, initrd,
                            demo.append("test", on, mode.poe))
        log = where / "console.log"
        result = (_run_mixed(setting, mode, argv, log) if mode.mixed else boot.run(argv, log))
        wrong = demo.verdict(result)
        check(not wrong, wrong)
        remark = tap(result.console, "kpkeys-demo: ")
        found = demo.records(result.console)
        system = next(record for record in found if record[""] == "system")
        level = 2 if "virtualization" in mode.machine and not mode.nvhe else 1
        asked = {"poe": int(mode.poe), "el": level, "cpus": mode.cpus, **geometry,
                 "linear": "block" if mode.blocks else "page"}
        check(all(system[key] == str(value) for key, value in asked.items()),
              f"not the machine that was asked for, {asked}: {system}")
        total = next(record for record in found if record[""] == "summary")
        check(total["unexpected"] == "0" and int(total["attacks"]) > 0, f"summary: {total}")
        wanted = "refused" if mode.poe and on else "allowed"
        check(int(total[wanted]) > 0, f"no write was {wanted}: {total}")
        rest = re.sub(r"kpkeys-demo: attack-begin.*?kpkeys-demo: attack-end", "", result.console,
                      flags=re.S)
        complaints = boot.complaints(rest)
        check(not complaints, f"the kernel complains: {complaints[:1]}")
        return f"{remark}, {total[wanted]} of {total['attacks']} writes {wanted}"

    return Test(f"boot: {mode.name}{'' if on else ', switched off'}", run)


class Row(NamedTuple):
    """A row of the matrix: a kernel, a machine, and the page size and VA the two come up with."""

    variant: str
    page: int  # KB
    va: int
    mode: boot.Mode
    quick: bool = False
    cannot: str = ""


_8 = functools.partial(boot.with_cpus, cpus=8)
_1 = functools.partial(boot.with_cpus, cpus=1)
_KPTI = boot.with_kpti
_SPARE = boot.with_spare_memory
# LESSER has KPTI, and fewer bits where 52 depend on LPA2: with pages of 4K and 16K.
MATRIX = (
    Row("16k debug", 16, 52, _SPARE(_8(boot.LAZY_VHE)), quick=True),
    Row("16k debug", 16, 47, boot.LESSER, quick=True),
    Row("16k debug", 16, 52, _1(_KPTI(boot.EAGER))),
    Row("16k debug", 16, 52, boot.BLOCKS),
    Row("", 4, 52, _SPARE(_8(boot.LAZY))),
    Row("", 4, 52, _SPARE(_1(boot.EAGER_VHE))),
    Row("", 4, 52, _SPARE(boot.BLOCKS)),
    Row("", 4, 48, _SPARE(_8(boot.LESSER))),
    Row("debug kasan", 4, 52, boot.EAGER_VHE),
    Row("debug kasan", 4, 52, _SPARE(_1(boot.LAZY))),
    Row("debug kasan", 4, 48, boot.LESSER),
    Row("debug kasan", 4, 52, _SPARE(boot.BLOCKS)),
    Row("va39 debug", 4, 39, _SPARE(_8(boot.EAGER))),
    Row("va39 debug", 4, 39, _1(_KPTI(boot.LAZY))),
    Row("va39 debug", 4, 39, boot.LAZY_VHE),
    Row("va39 debug", 4, 39, boot.BLOCKS),
    Row("64k debug", 64, 52, _SPARE(_8(boot.LAZY))),
    Row("64k debug", 64, 52, _1(boot.EAGER_VHE)),
    Row("64k debug", 64, 52, _KPTI(boot.EAGER)),
    Row("64k debug", 64, 52, _SPARE(boot.BLOCKS)),
    Row("64k va48 debug kasan", 64, 48, boot.LAZY_VHE),
    Row("64k va48 debug kasan", 64, 48, _SPARE(_KPTI(boot.EAGER))),
    Row("16k va39", 16, 39, boot.LAZY, cannot="39-bit VA is for pages of 4K only"),
    Row("64k va39", 64, 39, boot.LAZY, cannot="39-bit VA is for pages of 4K only"),
)


def _row(row: Row) -> Test:
    checks = [axis for axis in ("debug", "kasan") if axis in row.variant]
    name = ", ".join((f"matrix: {row.page}K pages", f"{row.va}-bit VA", *checks, row.mode.name))
    if row.cannot:
        def listed(_: Setting, where: Path) -> str:
            raise Skip(row.cannot)

        return Test(name, listed, quick=row.quick)
    args = ("page_poison=1",) if "debug" in row.variant else ()
    mode = row.mode._replace(args=(*row.mode.args, *args))
    if row.page == 64:
        # A huge page has 512M, and so has a block of the linear map: 1G would not do
        mode = mode._replace(memory=4)
    test = _boot(mode, page=row.page * 1024, va=row.va)
    return Test(name, test.run, row.variant, row.quick)


def _forks(number: int, quick: bool) -> Test:
    """What page tables cost in memory and in splits, with a linear map that has blocks."""
    mode = boot.with_cpus(boot.BLOCKS, 8)

    def run(setting: Setting, where: Path) -> str:
        needs_lazy(setting, mode)
        initrd = guest.initramfs(setting.kernel)
        idle = []
        for on in (True, False):
            action = f"forks kpkeys_demo_forks={number}" if on else "idle"
            argv = boot.command(setting.emulator.binary, mode, setting.kernel.image, initrd,
                                demo.append(action, on))
            result = boot.run(argv, where / f"{'on' if on else 'off'}.log")
            wrong = demo.verdict(result)
            check(not wrong, wrong)
            tap(result.console, "kpkeys-demo: ")
            idle += [record for record in demo.records(result.console) if record[""] == "idle"]
        free = [int(record["memfree_kb"]) for record in idle]
        kept = (int(idle[0]["free"]) + int(idle[0]["reserve"])) * 4
        return (f"MemFree {free[0]} kB, {free[1]} kB without the feature; "
                f"{kept} kB kept for page tables")

    return Test(f"boot: {mode.name}, {number} forks", run, quick=quick)


def _variable_level(setting: Setting, where: Path) -> str:
    log = setting.kernel.directory / kernel.VARIABLE_LEVEL
    errors = re.findall(r"error: (.*)", log.read_text())
    check(any("level must be a constant" in text for text in errors), f"see {log}")
    return errors[0]


def _base(setting: Setting) -> tuple[Path, str]:
    source = setting.kernel.source
    if source.commit is None:
        raise Skip("--linux names a tree with the series in it")
    return source.tree, source.commit


def _git_am(setting: Setting, where: Path) -> str:
    repo, commit = _base(setting)
    files = series.patches()
    with series.sparse_tree(repo, commit, files) as tree:
        # As the README says, cover letter and all
        everything = sorted(series.PATCHES.glob("*.patch"))
        series.git(tree, "am", "--quiet", "--empty=drop", *everything, what="git am")
        count = series.git(tree, "rev-list", "--count", f"{commit}..HEAD").strip()
        check(int(count) == len(files), f"{count} commits, series has {len(files)} patches")
        head = series.commits(repo, commit, files)
        check(not series.git(tree, "diff", "--stat", head), "not the tree of the build")
    with series.sparse_tree(repo, commit, bench.patches()) as tree:
        series.am(tree, bench.patches())
    return f"{len(files)} patches"


def _quilt(setting: Setting, where: Path) -> str:
    repo, commit = _base(setting)
    files = series.patches()
    env = {"QUILT_PATCHES": str(series.PATCHES), "QUILT_SERIES": str(series.SERIES)}
    with series.sparse_tree(repo, commit, files) as tree:
        (tree / ".git").unlink()
        proc.run(["quilt", "--quiltrc=-", "push", "-a", "--fuzz=0"], where / "quilt.log",
                 "quilt push", cwd=tree, env=env)
    log = (where / "quilt.log").read_text(errors="replace")
    moved = re.search(r"^Hunk .*(with fuzz|\(offset).*$", log, re.M)
    check(not moved, f"not an exact fit: {moved and moved.group()}")
    return f"{len(files)} patches"


def _mock(setting: Setting, where: Path) -> str:
    """The patches that are for benchmarks on hardware without POE; git allows no fuzz."""
    repo, commit = _base(setting)
    files = sorted((inputs.REPO / "bench" / "mock").glob("*.patch"))
    check(files, "there is none in bench/mock")
    head = series.commits(repo, commit, series.patches())
    with series.sparse_tree(repo, head, files) as tree:
        series.am(tree, files)
    return f"{len(files)} patch" + "es" * (len(files) > 1)


# What checkpatch says and the series does not follow, and why
_ARGUED = (
    r"CAMELCASE",  # names that the architecture gives: PIRx_ELx_PERM_PREP and the like
    r"FILE_PATH_CHANGES",  # MAINTAINERS names the new files by pattern
    r"Reset-POR_EL1-on-exception.*LEADING_SPACE",  # the style of asm-offsets.c
    r"asm-kpkeys\.h.*ARCH_INCLUDE_LINUX",  # the header of an architecture includes its own
    r"arm64-Add-KUnit.*AVOID_EXTERNS",  # cpu_soft_restart() has no prototype in any header
)


_REMARK = re.compile(r"/([^/\n]+\.patch:\d+: .*)$", re.M)  # of checkpatch.pl --terse


def _checkpatch(setting: Setting, where: Path) -> str:
    tree = setting.kernel.source.tree
    script = tree / "scripts/checkpatch.pl"
    words = [script.with_name(name) for name in ("spelling.txt", "const_structs.checkpatch")]
    files = [*series.patches(), *bench.patches()]
    remarks = []
    for file in files:
        argv = ["perl", script, "--strict", "--no-summary", "--terse", "--show-types",
                f"--root={tree}", file]

        def make(partial: Path, argv: list[str | Path] = argv) -> None:
            try:
                # Without a git directory it leaves out spdxcheck.py, which needs further modules.
                proc.run(argv, partial / "log", "checkpatch.pl", cwd=tree, env={"GIT_DIR": "none"})
            except Problem:
                # Remarks, or is it broken?
                if not _REMARK.search((partial / "log").read_text(errors="replace")):
                    raise

        key = cache.digest([Path(__file__), script, *words, file])
        log = cache.entry("checkpatch", key, make) / "log"
        remarks += _REMARK.findall(log.read_text(errors="replace"))
    (where / "checkpatch.log").write_text("\n".join(remarks))
    open_ = [line for line in remarks if not any(re.search(why, line) for why in _ARGUED)]
    check(not open_, "; ".join(open_))
    return f"{len(files)} patches, {len(remarks)} remarks argued for"


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
            case.run(result)
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
        _forks(2000, quick=True),
        _forks(10000, quick=False),
        Test("emulator: POE is seen and can be turned off", _probe),
        *(_poetest(mode) for mode in (*boot.WITH_POE, boot.NO_POE)),
        Test("series: git am", _git_am),
        Test("series: quilt, no fuzz", _quilt),
        Test("series: bench/mock applies on top", _mock),
        Test("series: checkpatch --strict", _checkpatch),
        Test("series: a kpkeys level in a variable does not compile", _variable_level),
        gadgets.test(),
        *(_kunit(mode) for mode in (*boot.WITH_POE, *boot.WITH_FIRMWARE, *boot.SPECIAL,
                                    boot.NO_POE)),
        _kunit(boot.EAGER, on=False),
        *(_boot(mode) for mode in (*boot.WITH_POE, *boot.SPECIAL, boot.MIXED, boot.NO_POE)),
        _boot(boot.EAGER, on=False),
        *attack.tests(),
        *map(_row, MATRIX),
    ]


def _one(test: Test, setting: Setting | None) -> str:
    """Run a test and print its line; 'passed', 'failed' or 'skipped'."""
    where = boot.LOGS / re.sub(r"\W+", "-", test.name)
    shutil.rmtree(where, ignore_errors=True)
    where.mkdir(parents=True)
    start = time.monotonic()
    try:
        remark, outcome = test.run(setting, where), "passed"  # type: ignore[arg-type]
    except Skip as err:
        remark, outcome = str(err), "skipped"
    except (AssertionError, Problem, OSError, KeyError, ValueError, StopIteration) as err:
        remark, outcome = f"{err or type(err).__name__}", "failed"
    seconds = time.monotonic() - start
    word = {"passed": "ok", "failed": "not ok", "skipped": "skip"}[outcome]
    text = f"{word:6} {test.name} ({seconds:.1f} s)" + (f": {remark}" if remark else "")
    if outcome == "failed":
        logs = sorted(where.glob("*.log"), key=lambda log: log.stat().st_mtime)
        for log in logs[-1:]:
            text += f"\n    see {log}, which ends:\n{proc.tail(log)}"
    say(text)
    return outcome


def run(
    linux: str | None, binary: str | None, wanted: list[str], only_list: bool, full: bool
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
    needs.ensure()
    results = [_one(test, None) for test in own]
    if rest:
        known = inputs.base()
        # One more than the CPUs are good for: there are tests that wait, rather than compute
        workers = len(os.sched_getaffinity(0)) // 2 + 2
        for variant in dict.fromkeys(test.variant for test in rest):
            built = kernel.build(known, linux, variant)
            setting = Setting(built, qemu.find(known, binary))
            calls = [lambda test=test, setting=setting: _one(test, setting)
                     for test in rest if test.variant == variant]
            results += [outcome for _, outcome in proc.parallel(workers, calls)]
    passed, failed, skipped = (results.count(word) for word in ("passed", "failed", "skipped"))
    say(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0
