# SPDX-License-Identifier: GPL-2.0
"""Tests of what happens to a machine in its life: sleep, another kernel, VMs."""

from __future__ import annotations

import re
from pathlib import Path

from . import boot, demo, guest
from .testcase import Setting, Test, booted, check, needs_lazy

_LIMIT = 600  # s


def _remark(result: boot.Result, mode: boot.Mode, on: bool = True) -> str:
    """Check a boot as any other; add what the kernel's checker and its counters say."""
    remark = booted(result, mode.poe and on)
    said = re.findall(r"kpkeys-demo: ok \d+ - page table(?:s at the end| counters): (.*)",
                      result.console)
    return "; ".join([remark, *said[-2:]])


def _boot(
    setting: Setting, mode: boot.Mode, where: Path, action: str, name: str = "console",
    files: dict[str, Path] | None = None, more: tuple[str, ...] = (), on: bool = True,
    limit: float = _LIMIT,
) -> boot.Result:
    needs_lazy(setting, mode)
    initrd = guest.initramfs(setting.kernel, more=files)
    argv = boot.command(setting.emulator.binary, mode, setting.kernel.image, initrd,
                        demo.append(action, on, mode.poe))
    return boot.run([*argv, *more], where / f"{name}.log", limit)


def _simple(action: str, mode: boot.Mode, variant: str = "", quick: bool = False) -> Test:
    """A test that is one boot with that mode of init."""

    def run(setting: Setting, where: Path) -> str:
        return _remark(_boot(setting, mode, where, action), mode)

    checks = f", {variant}" if variant else ""
    return Test(f"life: {action}{checks}, {mode.name}", run, variant, quick)


def _kexec(mode: boot.Mode, quick: bool = False) -> Test:
    # The GIC goes on using tables that the first kernel gave it for LPIs, and without EFI the
    # second one does not know that this memory is in use
    mode = mode._replace(machine=mode.machine + ",its=off")

    def run(setting: Setting, where: Path) -> str:
        files = {"/Image": setting.kernel.image,
                 "/initramfs.cpio": guest.initramfs(setting.kernel)}
        result = _boot(setting, mode, where, "kexec", files=files)
        remark = _remark(result, mode)
        begun = [record["mode"] for record in demo.records(result.console)
                 if record[""] == "begin"]
        check(begun == ["kexec", "check"], f"not one kernel after the other: {begun}")
        return remark

    return Test(f"life: kexec, {mode.name}", run, quick=quick)


def tests() -> list[Test]:
    return [
        _kexec(boot.LAZY, quick=True),
        *map(_kexec, (boot.LAZY_VHE, boot.NVHE, boot.BLOCKS, boot.LESSER)),
        _simple("suspend", boot.LAZY, quick=True),
        _simple("suspend", boot.with_cpus(boot.LAZY_VHE, 4), "debug kasan"),
        _simple("hotplug", boot.with_spare_memory(boot.with_cpus(boot.LAZY, 4)), "debug kasan"),
        _simple("hotplug", boot.with_spare_memory(boot.with_cpus(boot.BLOCKS, 4))),
        *(_simple("kvm", mode, quick=True) for mode in (boot.EAGER_VHE, boot.LAZY_VHE, boot.NVHE)),
    ]
