# SPDX-License-Identifier: GPL-2.0
"""Tests of what happens to a machine in its life: sleep, another kernel, VMs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from . import boot, demo, guest, guesttests, inputs
from .testcase import Setting, Test, booted, check, needs_machine, suited

_DISK = 1 << 30
_LIMIT = 1200  # s
_STRESS = 60  # s
# With so little memory that each of them gets round, slow as the emulator is
_STRESSORS = {"fork": "", "vm": "--vm-bytes 4M", "mmap": "--mmap-bytes 1M",
              "mremap": "--mremap-bytes 1M", "madvise": "", "pageswap": "",
              "numa": "--numa-bytes 1M", "context": "", "switch": ""}
_TWO_NODES = tuple(word for node in "01" for word in (
    "-object", f"memory-backend-ram,id=node{node},size=1G", "-numa", f"node,memdev=node{node}"))


def remark_on(result: boot.Result, mode: boot.Mode, on: bool = True) -> str:
    """Check a boot as any other; add what the kernel's checkers and its counters say."""
    return "; ".join([booted(result, mode.poe and on), *demo.nothing_lost(result.console)])


def start(
    setting: Setting, mode: boot.Mode, where: Path, action: str, name: str = "console",
    files: dict[str, Path] | None = None, more: tuple[str, ...] = (), on: bool = True,
    limit: float = _LIMIT,
) -> boot.Result:
    needs_machine(setting, mode)
    initrd = guest.initramfs(setting.kernel, more=files)
    argv = boot.command(setting.emulator.binary, suited(setting, mode), setting.kernel.image,
                        initrd, demo.append(action, on, mode.poe))
    return boot.run([*argv, *more], where / f"{name}.log", limit)


def _name(action: str, mode: boot.Mode, variant: str) -> str:
    return ", ".join(filter(None, (f"life: {action}", variant, mode.name)))


def _simple(action: str, mode: boot.Mode, variant: str = "", quick: bool = False) -> Test:
    """A test that is one boot with that mode of init."""

    def run(setting: Setting, where: Path) -> str:
        return remark_on(start(setting, mode, where, action), mode)

    return Test(_name(action, mode, variant), run, variant, quick)


def _kexec(mode: boot.Mode, variant: str = "", quick: bool = False) -> Test:
    # The GIC goes on using tables that the first kernel gave it for LPIs, and without EFI the
    # second one does not know that this memory is in use
    mode = mode._replace(machine=mode.machine + ",its=off")

    def run(setting: Setting, where: Path) -> str:
        files = {"/Image": setting.kernel.image,
                 "/initramfs.cpio": guest.initramfs(setting.kernel)}
        result = start(setting, mode, where, "kexec", files=files)
        remark = remark_on(result, mode)
        begun = [record["mode"] for record in demo.records(result.console)
                 if record[""] == "begin"]
        check(begun == ["kexec", "check"], f"not one kernel after the other: {begun}")
        return remark

    return Test(_name("kexec", mode, variant), run, variant, quick)


def _hibernate(mode: boot.Mode) -> Test:
    def run(setting: Setting, where: Path) -> str:
        disk = where / "disk"
        with disk.open("wb") as stream:
            stream.truncate(_DISK)
        device = ("-drive", f"if=none,id=disk,format=raw,file={disk}",
                  "-device", "virtio-blk-device,drive=disk")
        try:
            first = start(setting, mode, where, "hibernate", "off", more=device)
            check(not first.timeout and "kpkeys-demo: done" not in first.console,
                  "the machine did not hibernate")
            second = start(setting, mode, where, "resume resume=/dev/vda", "on", more=device)
        finally:
            disk.unlink()
        check("kpkeys-demo: begin" not in second.console, "init was started again")
        both = second._replace(console=first.console + second.console)
        return remark_on(both, mode)

    return Test(f"life: hibernate, {mode.name}", run, "life debug", quick=False)


class Job(NamedTuple):
    """What became of one of the commands that the guest was to run, and what it printed."""

    status: str
    late: str
    lines: list[str]


def files_for(commands: list[tuple[str, int, str]], where: Path) -> dict[str, Path]:
    """Files for the guest: the commands, each with a name and a limit in seconds, and a shell."""
    path = where / "jobs"
    path.write_text("".join(f"{name} {limit} {line}\n" for name, limit, line in commands))
    return {"/jobs": path, "/bin/busybox": guest.busybox()}


def outcomes(console: str) -> dict[str, Job]:
    """By the name of the command."""
    found: dict[str, Job] = {}
    lines: list[str] = []
    for text in re.findall(r"kpkeys-demo: (job-begin|job-end .*|\| .*)", console):
        if text == "job-begin":
            lines = []
        elif text.startswith("| "):
            lines.append(text[2:])
        else:
            record = dict(pair.split("=", 1) for pair in text.split()[1:])
            found[record["name"]] = Job(record["status"], record["late"], lines)
    return found


def _stress(variant: str, on: bool = True) -> Test:
    """Debian's stress-ng on 8 CPUs."""
    mode = boot.with_cpus(boot.LAZY, 8)._replace(memory=2)

    def run(setting: Setting, where: Path) -> str:
        args = " ".join(f"--{name} 1 {sizes}" for name, sizes in _STRESSORS.items())
        line = f"stress-ng --timeout {_STRESS} --verify --metrics-brief --temp-path /tmp {args}"
        files = {**guest.stress_ng(), **files_for([("stress-ng", 10 * _STRESS, line)], where)}
        result = start(setting, mode, where, "jobs", files=files, more=_TWO_NODES, on=on)
        remark = remark_on(result, mode, on)
        job = outcomes(result.console)["stress-ng"]
        check(job.status == "0" and job.late == "0", f"stress-ng: {job.lines[-3:]}")
        done = {found[1]: found[2] for found in
                (re.search(r"metrc: \[\d+\] (\w+) +(\d+) ", text) for text in job.lines) if found}
        passed = re.findall(r"(\w+) \(\d+\)", " ".join(
            text for text in job.lines if "passed: " in text))
        gone = [name for name in _STRESSORS if name not in passed]
        check(not gone, f"stress-ng has not run {', '.join(gone)}")
        return f"{remark}; " + ", ".join(f"{name} {number}" for name, number in done.items())

    return Test(f"life: stress-ng, {variant}, {mode.name}{'' if on else ', switched off'}", run,
                variant, quick=False)


def tests() -> list[Test]:
    found = [
        _kexec(boot.LAZY, quick=True),
        *map(_kexec, (boot.LAZY_VHE, boot.NVHE, boot.BLOCKS, boot.LESSER)),
        _kexec(boot.LAZY, "life debug"),
        _simple("suspend", boot.LAZY, quick=True),
        _simple("suspend", boot.with_cpus(boot.LAZY_VHE, 4), "life debug kasan"),
        _simple("hotplug", boot.with_spare_memory(boot.LAZY), "life debug kasan"),
        _simple("hotplug", boot.with_spare_memory(boot.with_cpus(boot.BLOCKS, 4))),
        *map(_hibernate, (boot.LAZY, boot.LAZY_VHE, boot.NVHE, boot.BLOCKS)),
        _stress("life debug"),
        _stress("life debug", on=False),
        _stress("life debug kasan"),
        *(_simple("kvm", mode, quick=True) for mode in (boot.EAGER_VHE, boot.LAZY_VHE, boot.NVHE)),
        _simple("kvm", boot.LAZY_VHE, "life debug"),
        *([_simple("kvm", boot.PKVM)] if inputs.has("protected-kvm") else ()),
    ]
    return [guesttests.kept(test, __file__) for test in found]
