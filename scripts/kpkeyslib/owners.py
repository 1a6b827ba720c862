# SPDX-License-Identifier: GPL-2.0
"""Tests of where page tables come from and to whom the kernel counts them (guest/owners.c)."""

from __future__ import annotations

import re
from pathlib import Path

from . import boot, demo, guest, guesttests
from .testcase import Setting, Test, check, needs_machine, suited, tap

# With the records of who has allocated what
_VARIANT = "16k debug owners"
_RECORDS = ("page_owner=on", "sysctl.vm.mem_profiling=1")
_NODES = tuple(word for node in "01" for word in (
    "-object", f"memory-backend-ram,id=node{node},size=1G",
    "-numa", f"node,nodeid={node},cpus={node},memdev=node{node}"))


def _test(mode: boot.Mode, on: bool) -> Test:
    """The same with the protection and without it: that is what makes it right."""
    machine = mode._replace(memory=2, args=(*mode.args, *_RECORDS))

    def run(setting: Setting, where: Path) -> str:
        needs_machine(setting, mode)
        argv = boot.command(setting.emulator.binary, suited(setting, machine),
                            setting.kernel.image, guest.initramfs(setting.kernel),
                            demo.append("owners", on))
        result = boot.run([*argv, *_NODES], where / "console.log", 1200)
        wrong = demo.verdict(result)
        check(not wrong, wrong)
        remark = tap(result.console, "kpkeys-demo: ")
        # Without a kernel that keeps them, this would be no test
        missing = re.findall(r"# SKIP (no (?:cpusets|page_owner|allocinfo))", result.console)
        check(not missing, f"the kernel has {', '.join(missing)}")
        return remark

    return Test(f"owners: {mode.name}{'' if on else ', switched off'}", run, _VARIANT)


def tests() -> list[Test]:
    found = [_test(boot.LAZY, True), _test(boot.BLOCKS, True), _test(boot.LAZY, False)]
    # A kernel of its own
    return [guesttests.kept(test, __file__)._replace(quick=False) for test in found]
