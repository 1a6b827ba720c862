# SPDX-License-Identifier: GPL-2.0
"""'kpkeys run --attack': an attack with a bug in a driver, stopped and not, and its tests.

What happens is in guest/attack.c, this shows it.
"""

from __future__ import annotations

import re
from pathlib import Path

from . import boot, demo, guest, inputs, kernel, matrix, qemu
from .term import say
from .testcase import Setting, Test, booted, check, needs_machine, tap

_INTRODUCTION = """\
A driver has a bug: whoever opens its device can read and write any word of the kernel's memory.
An attacker without privileges wants to change data of that driver that is read-only. What came
of each step, on the same kernel with the protection on and off:
"""
_ATTACKS = {
    "data": "1. Straight: the data itself",
    "pte": "2. By a page table (PTE): a page of the attacker's own becomes the data's page",
    "pmd": "3. By a page table (PMD): such a PTE, in a forged table that replaces the true one",
}
# What a step is called, and which of its values to show
_STEPS = {
    "leak": ("learn where the data is", "data"),
    "walk": ("follow the page tables, by the bug, to the entry", "entry"),
    "store": ("store there, by the bug", ""),
    "flushed": ("fork(), which flushes the TLB", ""),
    "written": ("write to the page in user space", ""),
    "restored": ("put the entry back, so that nobody notices", ""),
}
_WIDTH = 24


def _cell(steps: list[demo.Record], what: str) -> str:
    """What a kernel made of a step: a value of it, or how it ended."""
    found = {record.get("what", ""): record for record in demo.select(steps, "step")}
    if what not in found:
        return "-"
    if what == "store" and "stored" not in found:
        return "REFUSED, process killed"
    return found[what].get(_STEPS[what][1] or "-", "done")


def _by_id(found: list[demo.Record]) -> dict[str, list[demo.Record]]:
    """The lines of each attack, by its level. A line that came in part came again in full."""
    levels = {record["id"]: record["level"] for record in demo.select(found, "attack-begin")
              if "level" in record}
    return {level: [record for record in found if record.get("id") == number]
            for number, level in levels.items()}


def _show(protected: list[demo.Record], control: list[demo.Record]) -> None:
    sides = [_by_id(found) for found in (protected, control)]
    say(_INTRODUCTION)
    say(f"  {'':51} {'protected':{_WIDTH}} unprotected")
    for level, title in _ATTACKS.items():
        steps = [side.get(level, []) for side in sides]
        if not any(steps):
            continue
        say(f"  {title}")
        for what, (text, _) in _STEPS.items():
            cells = [_cell(lines, what) for lines in steps]
            if cells != ["-", "-"]:
                say(f"     {text:48} {cells[0]:{_WIDTH}} {cells[1]}")
        ends = [demo.select(lines, "attack-end") for lines in steps]
        cells = [end[-1].get("data", "-") if end else "-" for end in ends]
        say(f"     {'=> the data after that':48} {cells[0]:{_WIDTH}}"
            f" {cells[1]}")
    say()


def run(known: inputs.Base, linux: str | None, binary: str | None) -> int:
    built = kernel.build(known, linux)
    emulator = qemu.find(known, binary)
    results = demo.boots(built, emulator, "attack")
    on, off = (demo.records(results[key].console) for key in (True, False))
    demo.heading(built, emulator, on)
    _show(on, off)
    demo.show_report(results[True].console, "the store to the attacker's PTE", "driver")
    if demo.show_failures(results, "attack"):
        return 1
    demo.by_hand(built, emulator, "attack")
    return 0


def test(mode: boot.Mode, on: bool = True, variant: str = "", quick: bool = True) -> Test:
    def run_it(setting: Setting, where: Path) -> str:
        needs_machine(setting, mode)
        argv = boot.command(setting.emulator.binary, mode, setting.kernel.image,
                            guest.initramfs(setting.kernel), demo.append("attack", on))
        result = boot.run(argv, where / "console.log")
        booted(result, on)
        found = demo.records(result.console)
        ends = demo.attacked(found)
        levels = {record["level"]: record["result"] for record in ends}
        stopped = "refused" if on else "allowed"
        check(levels == {"data": "refused", "pte": stopped, "pmd": stopped}, f"attacks: {levels}")
        linear = "block" if mode.blocks else "page"
        system = demo.select(found, "system")[0]
        check(system["linear"] == linear, f"not the machine that was asked for: {system}")
        return ", ".join(f"{level} {end}" for level, end in levels.items())

    parts = (mode.name, "" if on else "switched off", variant and f"kernel: {variant}")
    return Test(f"attack: {', '.join(filter(None, parts))}", run_it, variant, quick)


def _interrupt(mode: boot.Mode, on: bool = True) -> Test:
    """An interrupt that writes to a page table, in the midst of code that may."""

    def run_it(setting: Setting, where: Path) -> str:
        needs_machine(setting, mode)
        argv = boot.command(setting.emulator.binary, mode, setting.kernel.image,
                            guest.initramfs(setting.kernel), demo.append("panic", on))
        result = boot.run(argv, where / "console.log")
        if not on:
            return tap(result.console, "kpkeys-demo: ")
        for text in (r"kpkeys: write to page table \w+ refused", r"kpkeys:   pte table of process",
                     "kpkeys:   pkey 1, POR_EL1 = .*, level: default",
                     "Kernel panic - not syncing: .*in interrupt"):
            check(re.search(text, result.console), f"no '{text}'")
        check("survived bad write" not in result.console, "the write went through")
        return "refused, and the kernel panics"

    return Test(f"attack: by an interrupt, {mode.name}{'' if on else ', switched off'}", run_it)


def tests() -> list[Test]:
    """On both kinds of the linear map, with all page sizes; and the control, where it succeeds."""
    huge = [mode._replace(memory=4) for mode in (boot.LAZY, boot.BLOCKS)]
    large = matrix.a_variant(page="64k", va="48", checker="-")
    return [
        *(test(mode) for mode in (boot.EAGER, boot.LAZY, boot.EAGER_BLOCKS, boot.BLOCKS,
                                   boot.LESSER)),
        *(test(mode, on=False) for mode in (boot.EAGER, boot.BLOCKS, boot.LESSER)),
        *(test(boot.LAZY, on, "16k debug") for on in (True, False)),
        *(test(mode, on, large, quick=False)
          for mode in huge for on in (True, False)),
        _interrupt(boot.EAGER), _interrupt(boot.LAZY), _interrupt(boot.EAGER, on=False),
    ]
