# SPDX-License-Identifier: GPL-2.0
"""Tests of the kernel when memory is short, or made to be, and of races (guest/scarcity.c)."""

from __future__ import annotations

import re
from pathlib import Path

from . import boot, demo, guest, guesttests
from .testcase import Setting, Test, check, needs_machine, suited, tap

_LIMIT = 1800


def _boot(
    setting: Setting, mode: boot.Mode, action: str, on: bool, log: Path
) -> tuple[list[demo.Record], str]:
    """Of a boot in which all went well: the lines that begin with 'scarcity', what is left."""
    argv = boot.command(setting.emulator.binary, suited(setting, mode), setting.kernel.image,
                        guest.initramfs(setting.kernel), demo.append(action, on))
    result = boot.run(argv, log, _LIMIT)
    name = "on" if on else "off"
    wrong = demo.verdict(result)
    check(not wrong, f"{name}: {wrong}")
    tap(result.console, "kpkeys-demo: ")
    return (demo.select(demo.records(result.console), "scarcity"),
            "; ".join(demo.nothing_lost(result.console)))


def _summary(found: list[demo.Record]) -> str:
    """What was made to fail, and who was killed."""
    points = {part: sum(int(record["points"]) for record in found
                        if record.get("part") == part and "points" in record)
              for part in ("any", "refill")}
    storms = [record for record in found if record.get("part") == "storm" and "stuck" in record]
    kills = sum(int(record["oom_kills"]) for record in storms)
    hogs = sum(int(record["hogs_killed"]) for record in storms)
    refills = sum(int(record.get("refills", 0)) for record in found)
    text = f"{kills} OOM kills, {hogs} of them hogs"
    if points["any"]:
        text = f"{points['any']} failures, {points['refill']} within refills, {text}"
    return f"{text}, {refills} refills" if refills else text


def _test(name: str, mode: boot.Mode, action: str, variant: str, quick: bool) -> Test:
    def run(setting: Setting, where: Path) -> str:
        needs_machine(setting, mode)
        ours, left = _boot(setting, mode, action, True, where / "on.log")
        control, _ = _boot(setting, mode, action, False, where / "off.log")
        if action == "scarcity":
            calls = {record["call"] for record in ours if record.get("part") == "refill"}
            check(calls, "no refill was made to fail")
        return f"{_summary(ours)}; without the feature {_summary(control)}; {left}"

    size = f"{mode.memory * 1024:.0f} MB"
    return Test(f"scarcity: {name}, {size}, {mode.name}", run, variant, quick)


def _small(mode: boot.Mode, megabytes: int) -> boot.Mode:
    # Reports of the OOM killer are long: none may be overwritten before the guest has read it
    return mode._replace(memory=megabytes / 1024, args=(*mode.args, "log_buf_len=1M"))


def data_races(console: str, functions: set[str]) -> list[str]:
    """What KCSAN reports of these functions."""
    reports = re.findall(r"BUG: KCSAN: (.*)", console)
    return [text for text in reports if functions & set(re.findall(r"[A-Za-z_]\w*", text))]


def _functions(tree: Path) -> set[str]:
    """The functions of the series in mm/: those of the base have data races, too."""
    return {name for path in (tree / "mm").glob("kpkeys*.c")
            for name in re.findall(r"^(?!\s|#).*?(\w+)\(", path.read_text(), re.M)}


def _races() -> Test:
    mode = boot.with_cpus(boot.EAGER, 8)

    def run(setting: Setting, where: Path) -> str:
        needs_machine(setting, mode)
        _boot(setting, mode, "races", True, where / "on.log")
        console = (where / "on.log").read_text(errors="replace")
        check("kcsan: " in console, "KCSAN does not run")
        found = data_races(console, _functions(setting.kernel.source.tree))
        check(not found, f"data races: {', '.join(sorted(set(found)))}")
        return f"{console.count('BUG: KCSAN: ')} data races, none of them ours"

    return Test(f"races: KCSAN, {mode.name}", run, "kcsan", quick=False)


def tests() -> list[Test]:
    """Storms on small machines; with a kernel for it, failures of allocations, too.

    256 MB are the least with which a refill tries to have a PMD block at once.
    """
    found = [
        *(_test("storms", _small(mode, size), "storms", "", quick=False)
          for mode in (boot.LAZY, boot.BLOCKS) for size in (64, 128)),
        *(_test("one process with all page tables", _small(mode, 128), "hog", "", quick=False)
          for mode in (boot.EAGER, boot.EAGER_BLOCKS)),
        _races(),
        *(_test("failures and storms", _small(mode, 256), "scarcity", "scarcity", quick=False)
          for mode in (boot.EAGER, boot.LAZY, boot.BLOCKS)),
    ]
    return [guesttests.kept(test, __file__) for test in found]
