# SPDX-License-Identifier: GPL-2.0
"""KUnit through the kernel's own kunit.py, in our emulator."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

from . import boot, guest, inputs, kernel, proc, qemu
from .term import Problem

SUITES = ("kpkeys", "kpkeys_arm64", "kpkeys_hardened_pgtables", "kpkeys_pba", "lazy_mmu_mode")
NEED_POE = SUITES[:4]
NEED_FIRMWARE = ("sdei_event_at_raised_level",)
NEED_SMALL_VA = ("kernel_root_entry",)
NEED_BLOCKS = ("split_takes_from_the_reserve", "forced_split", "single_pages",
               "shrink_leaves_the_stock")
NEED_OPTION = {"bad_page": "CONFIG_MEMORY_FAILURE=y",
               "preemption_at_raised_level": "CONFIG_PREEMPTION=y"}
# Cases, or all of a suite, that have no control with the feature off
NEED_FEATURE = ("check_finds_", "kpkeys_pba.", "kpkeys.", "kpkeys_arm64.")
# On the kernel command line: leave out the cases that are marked as slow
QUICK = "kunit.filter=speed>slow"
_TIMEOUT = 300


class Outcome(NamedTuple):
    """One suite: its cases by what became of them."""

    passed: list[str]
    skipped: list[str]
    bad: list[str]


def _cases(group: dict, prefix: str = "") -> list[tuple[str, str]]:
    found = [(prefix + case["name"], case["status"]) for case in group["test_cases"]]
    for inner in group["sub_groups"]:
        found += _cases(inner, f"{prefix}{inner['name']}.")
    return found


def outcomes(text: str) -> dict[str, Outcome]:
    """What kunit.py's JSON says, by suite."""
    found = {}
    for group in json.loads(text)["sub_groups"]:
        cases = _cases(group)
        found[group["name"]] = Outcome(
            [name for name, status in cases if status == "PASS"],
            [name for name, status in cases if status == "SKIP"],
            [name for name, status in cases if status not in ("PASS", "SKIP")],
        )
    return found


def wrong(
    found: dict[str, Outcome], mode: boot.Mode, on: bool = True, config: str = ""
) -> str:
    """Empty if all suites ran as they should: nothing failed, and skipped is what must be.

    That depends on the machine, whether the feature is on, and the kernel's configuration.
    """
    for name, suite in found.items():
        if suite.bad:
            return f"{name}: {', '.join(suite.bad)}"
    for name in SUITES:
        if not inputs.has(name):
            continue
        if name not in found:
            return f"the suite {name} did not run"
        suite = found[name]
        cases = suite.passed + suite.skipped
        skip = [case for case in cases if case in NEED_FIRMWARE and not mode.firmware
                or case in NEED_SMALL_VA and not mode.small_va
                or case in NEED_BLOCKS and not mode.blocks
                or NEED_OPTION.get(case, "") not in config
                or not on and any(what in f"{name}.{case}" for what in NEED_FEATURE)]
        if not mode.poe and name in NEED_POE:
            skip = cases
        if not cases or set(suite.skipped) != set(skip):
            return (f"{name}: {len(cases)} cases, skipped {', '.join(suite.skipped) or 'none'};"
                    f" should be {', '.join(skip) or 'none'}")
    return ""


def _config(where: Path, built: kernel.Kernel, mode: boot.Mode) -> Path:
    """kunit.py's description of the machine: our kernel, machine and CPU."""
    path = where / "machine.py"
    machine = ["-machine", mode.machine, "-cpu", mode.cpu, "-smp", str(mode.cpus)]
    if mode.firmware:
        machine += ["-bios", str(guest.programs() / "el3.bin")]
    path.write_text(
        "from ..qemu_config import QemuArchParams\n"
        "QEMU_ARCH = QemuArchParams(linux_arch='arm64', kconfig='', qemu_arch='aarch64',\n"
        f"    kernel_path={str(built.image)!r},\n"
        "    kernel_command_line='console=ttyAMA0 earlycon panic=-1',\n"
        f"    extra_qemu_params={machine!r})\n"
    )
    return path


def run(
    built: kernel.Kernel, emulator: qemu.Emulator, mode: boot.Mode, where: Path, args: list[str]
) -> dict[str, Outcome]:
    """Run all suites of the kernel in one configuration; the console is in where/test.log."""
    where.mkdir(parents=True, exist_ok=True)
    result = where / "result.json"
    result.unlink(missing_ok=True)
    # kunit.py starts qemu-system-aarch64 from PATH.
    link = where / "bin" / "qemu-system-aarch64"
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(emulator.binary)
    env = {"PATH": f"{link.parent}:{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"}
    argv = [sys.executable, built.source.tree / "tools/testing/kunit/kunit.py", "exec",
            "--arch=arm64", f"--build_dir={where}", f"--kunitconfig={kernel.CONFIGS}",
            f"--qemu_config={_config(where, built, mode)}", f"--timeout={_TIMEOUT}",
            f"--json={result}", *(f"--kernel_args={arg}" for arg in args)]
    log = where / "kunit.log"
    log.unlink(missing_ok=True)
    try:
        proc.run(argv, log, "kunit.py", env=env)
    except Problem:
        if not result.exists():
            raise
    return outcomes(result.read_text())


def alarms(where: Path) -> list[str]:
    """Lines of the console in which the kernel complains."""
    return boot.complaints((where / "test.log").read_text(errors="replace"))
