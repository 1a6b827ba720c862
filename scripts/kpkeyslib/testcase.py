# SPDX-License-Identifier: GPL-2.0
"""What a test of 'kpkeys test' is made of."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from . import boot, demo, inputs, kernel, qemu


class Skip(Exception):
    """A test that cannot run here; says why."""


class Setting(NamedTuple):
    """What the tests need to have built."""

    kernel: kernel.Kernel
    emulator: qemu.Emulator


class Test(NamedTuple):
    """A test: run(setting, directory for logs) returns a remark or raises AssertionError."""

    name: str
    run: Callable[[Setting, Path], str]
    variant: str = ""  # of the kernel
    quick: bool = True  # not only with --full
    inputs: tuple[str | Path, ...] = ()  # what it is made of; if given, --full runs it once


def check(good: object, text: str) -> None:
    if not good:
        raise AssertionError(text)


def tap(text: str, prefix: str = "") -> str:
    """Check TAP: a plan that was kept, and no failure; a remark with the count."""
    found = re.findall(rf"^.*?{prefix}((not )?ok (\d+).*)$", text, re.M)
    plans = re.findall(rf"^.*?{prefix}1\.\.(\d+)$", text, re.M)
    bad = [line for line, failed, _ in found if failed]
    # By number: the console may print a line in part before it prints it in full.
    points = {number: line for line, _, number in found}
    check(not bad, f"{len(bad)} of {len(points)}: {'; '.join(bad[:3])}")
    check(plans, "no plan: the program did not come to its end")
    check(int(plans[-1]) == len(points) > 0, f"plan 1..{plans[-1]}, but {len(points)} points")
    skipped = sum("# SKIP" in line for line in points.values())
    return f"{len(points)} points" + (f", {skipped} of them skipped" if skipped else "")


def booted(result: boot.Result, protected: bool) -> str:
    """Check what the guest's init says of its tests and attacks, and what the kernel says."""
    wrong = demo.verdict(result)
    check(not wrong, wrong)
    remark = tap(result.console, "kpkeys-demo: ")
    total = [record for record in demo.records(result.console) if record[""] == "summary"][-1]
    check(total["unexpected"] == "0" and int(total["attacks"]) > 0, f"summary: {total}")
    wanted = "refused" if protected else "allowed"
    check(int(total[wanted]) > 0, f"no write was {wanted}: {total}")
    rest = re.sub(r"kpkeys-demo: attack-begin.*?kpkeys-demo: attack-end", "", result.console,
                  flags=re.S)
    complaints = boot.complaints(rest)
    check(not complaints, f"the kernel complains: {complaints[:1]}")
    return f"{remark}, {total[wanted]} of {total['attacks']} writes {wanted}"


def needs_machine(setting: Setting, mode: boot.Mode) -> None:
    if mode.lazy and not setting.emulator.lazy:
        raise Skip("this QEMU has no lazy mode")
    if (mode.blocks or mode.mixed) and not inputs.has("blocks"):
        raise Skip(f"{setting.kernel.source.name} does not split blocks of the linear map")


def suited(setting: Setting, mode: boot.Mode) -> boot.Mode:
    """How the machine is emulated best.

    kmemleak takes one lock for each allocation. Emulated CPUs with a thread each, and more of them
    than the host has, spend nearly all of their time waiting for one that the host does not run;
    if they share a thread, they give way.
    """
    config = (setting.kernel.directory / ".config").read_text().splitlines()
    return mode._replace(one_thread="CONFIG_DEBUG_KMEMLEAK=y" in config
                         and mode.cpus > len(os.sched_getaffinity(0)))
