# SPDX-License-Identifier: GPL-2.0
"""Tests that run the emulator: what judges it, KUnit, boots with attacks on page tables."""

from __future__ import annotations

import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import boot, demo, gdbstub, guest, kunit, qemu, testcase
from .testcase import Setting, Test, booted, check, needs_machine, tap

# What the result of a boot depends on, besides what is booted
MODULES = (*(Path(module.__file__ or "") for module in (boot, demo, guest, testcase)),
           Path(__file__))


def kept(test: Test, *modules: str) -> Test:
    """The same test, of which --full keeps the result until these modules change, or its name."""
    return test._replace(inputs=(*MODULES, *map(Path, modules)))


def bare_metal(mode: boot.Mode) -> Test:
    argument = "off" if not mode.poe else "lazy" if mode.lazy else "eager"

    def run(setting: Setting, where: Path) -> str:
        needs_machine(setting, mode)
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


def probe(setting: Setting, where: Path) -> str:
    program = guest.programs() / "poetest.elf"
    check(not qemu.probe(setting.emulator.binary, program), "POE not seen where it is")
    check(qemu.probe(setting.emulator.binary, program, "max,poe=off"), "POE seen where it is off")
    return ""


def suites(mode: boot.Mode, on: bool = True, variant: str = "") -> Test:
    def run(setting: Setting, where: Path) -> str:
        needs_machine(setting, mode)
        args = [*mode.args, f"{demo.SWITCH}={'on' if on else 'off'}"]
        # These machines are for a few cases; the slow ones have nothing to do with them
        if mode.firmware or mode.nvhe:
            args.append(kunit.QUICK)
        found = kunit.run(setting.kernel, setting.emulator, mode, where, args)
        wrong = kunit.wrong(found, mode, on, (setting.kernel.directory / ".config").read_text())
        check(not wrong, wrong)
        alarms = kunit.alarms(where)
        check(not alarms, f"the kernel complains: {alarms[:1]}")
        passed, skipped = (sum(len(suite[index]) for suite in found.values()) for index in (0, 1))
        return f"{passed} cases passed" + (f", {skipped} skipped as they must" if skipped else "")

    name = f"kunit: {mode.name}{'' if on else ', switched off'}"
    return Test(f"{name}, kernel: {variant}" if variant else name, run, variant, not variant)


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


def attacks(mode: boot.Mode, on: bool = True, **geometry: int) -> Test:
    def run(setting: Setting, where: Path) -> str:
        needs_machine(setting, mode)
        initrd = guest.initramfs(setting.kernel)
        argv = boot.command(setting.emulator.binary, mode, setting.kernel.image, initrd,
                            demo.append("test", on, mode.poe))
        log = where / "console.log"
        result = (_run_mixed(setting, mode, argv, log) if mode.mixed
                  else boot.run(argv, log, mode.limit))
        remark = booted(result, mode.poe and on)
        system = next(record for record in demo.records(result.console)
                      if record[""] == "system")
        level = 2 if "virtualization" in mode.machine and not mode.nvhe else 1
        asked = {"poe": int(mode.poe), "el": level, "cpus": mode.cpus, **geometry,
                 "linear": "block" if mode.blocks else "page"}
        check(all(system[key] == str(value) for key, value in asked.items()),
              f"not the machine that was asked for, {asked}: {system}")
        return remark

    return Test(f"boot: {mode.name}{'' if on else ', switched off'}", run)


def forks(number: int, quick: bool) -> Test:
    """What page tables cost in memory and in splits, with a linear map that has blocks."""
    mode = boot.with_cpus(boot.BLOCKS, 8)

    def run(setting: Setting, where: Path) -> str:
        needs_machine(setting, mode)
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

    return Test(f"boot: {mode.name}, {number} forks", run, quick=quick,
                inputs=(str(number), *MODULES))


# What the report of a refused write may take, in ms at a billion instructions a second
_REPORT = 10


def crowd(number: int) -> Test:
    """The report of a refused write to a table of the last of so many processes.

    QEMU counts instructions, and takes that for the time, so that the kernel's log tells how many
    there are between two of its lines.
    """
    mode = boot.with_cpus(boot.EAGER, 1)._replace(memory=2)

    def run(setting: Setting, where: Path) -> str:
        needs_machine(setting, mode)
        argv = boot.command(setting.emulator.binary, mode, setting.kernel.image,
                            guest.initramfs(setting.kernel),
                            demo.append(f"crowd kpkeys_demo_forks={number}", True))
        result = boot.run([*argv, "-icount", "shift=0,sleep=off"], where / "console.log", 1200)
        wrong = demo.verdict(result)
        check(not wrong, wrong)
        tap(result.console, "kpkeys-demo: ")
        first, last = (re.search(rf"^\[ *([\d.]+)\] {text}", result.console, re.M) for text in (
            r"kpkeys: write to page table \w+ refused", r"kpkeys:   pkey 1, POR_EL1"))
        check(first and last, "no report")
        took = 1000 * (float(last[1]) - float(first[1]))  # type: ignore[index]
        check(took < _REPORT, f"the report took {took:.1f} ms, the most is {_REPORT}")
        return f"the report took {took:.1f} ms"

    return Test(f"boot: the report of a write, {number} processes", run,
                inputs=(str(number), *MODULES))
