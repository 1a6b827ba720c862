# SPDX-License-Identifier: GPL-2.0
"""Tests of a boot at which something cannot be protected: what the kernel says, and that it panics.

The kernel has no known way to get there, so that QEMU's gdbstub makes a function of it fail.
"""

from __future__ import annotations

import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from . import boot, demo, gdbstub, guest, guesttests
from .testcase import Setting, Test, check, needs_machine, suited, tap

_EINVAL, _ENOMEM = -22, -12
_LIMIT = 60  # s, for a boot that ends in a panic
_PREFIX = f"{demo.SWITCH}: "


class Failure(NamedTuple):
    """What fails, and what the kernel is to say."""

    name: str
    mode: boot.Mode
    function: str
    result: int
    says: str
    most: int | None = None
    within: str = ""
    stays: bool = True  # on, with what could be protected


_FAILURES = (
    Failure("a table", boot.LAZY, "set_memory_pkey", _EINVAL,
            r"incomplete: 1 page tables stay writable \(error -22\)", most=1),
    Failure("each table", boot.LAZY, "set_memory_pkey", _EINVAL,
            r"not enabled: no page table can be protected \(error -22\)",
            within="kpkeys_hardened_pgtables_init", stays=False),
    Failure("static tables", boot.LAZY, "set_memory_pkey", _EINVAL,
            r"incomplete: \d+ page tables stay writable \(error -22\)",
            most=1, within="kpkeys_hardened_pgtables_init_late"),
    Failure("a block of tables", boot.BLOCKS, "set_memory_pkey", _ENOMEM,
            r"incomplete: \d+ page tables stay writable \(error -12\)", most=1),
    # With so little memory, blocks are so small that the reserve takes more of them
    Failure("the reserve", boot.BLOCKS._replace(memory=1 / 16), "__alloc_frozen_pages_noprof", 0,
            r"incomplete: \d+ page tables stay writable \(error -12\)", within="pba_init_late"),
)


def _boot(
    setting: Setting, failure: Failure, more: str, log: Path, limit: float = 400
) -> boot.Result:
    found = re.findall(r"^(\w+) [tT] (\w+)$",
                       (setting.kernel.directory / "System.map").read_text(), re.M)
    symbols = {name: int(address, 16) for address, name in found}
    mode = boot.with_cpus(suited(setting, failure.mode), 1)
    argv = boot.command(setting.emulator.binary, mode, setting.kernel.image,
                        guest.initramfs(setting.kernel),
                        f"{demo.append('idle', failure.stays)} nokaslr {more}")
    with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor(1) as pool:
        path = Path(directory) / "gdb"
        called = pool.submit(gdbstub.override, path, symbols[failure.function],
                             lambda _: failure.result % (1 << 64), failure.most,
                             symbols.get(failure.within))
        result = boot.run([*argv, *gdbstub.arguments(path)], log, limit)
        check(called.result(), f"{failure.function}() was not called")
    return result


def _test(failure: Failure) -> Test:
    def run(setting: Setting, where: Path) -> str:
        needs_machine(setting, failure.mode)
        on = f"{demo.SWITCH}=on"
        result = _boot(setting, failure, on, where / "boot.log")
        check(f"{_PREFIX}enabled" not in result.console, "the kernel says that it is enabled")
        said = re.search(f"{_PREFIX}({failure.says})", result.console)
        check(said, f"the kernel does not say '{failure.says}'")
        wrong = demo.verdict(result)
        check(not wrong, wrong)
        tap(result.console, "kpkeys-demo: ")
        idle = demo.select(demo.records(result.console), "idle")[-1]
        number = re.search(r"incomplete: (\d+)", said[1])  # type: ignore[index]
        wanted = number[1] if number else "-1"
        check(idle["unprotected"] == wanted,
              f"debugfs has {idle['unprotected']} unprotected, not {wanted}")
        # So early that a machine cannot reset itself, it stands still
        result = _boot(setting, failure, f"{on},panic", where / "panic.log", _LIMIT)
        check(re.search(f"Kernel panic - not syncing: {_PREFIX}", result.console),
              "no panic where it was asked for")
        return f"{said[1]}; or a panic"  # type: ignore[index]

    return Test(f"fail closed: {failure.name}, {failure.mode.name}", run)


def tests() -> list[Test]:
    return [guesttests.kept(test, __file__, gdbstub.__file__) for test in map(_test, _FAILURES)]
