# SPDX-License-Identifier: GPL-2.0
"""'kpkeys run': boot with the protection on and off, and show what it does."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import NoReturn

from . import boot, guest, inputs, kernel, kunit, proc, qemu
from .term import Progress, say

SWITCH = "kpkeys_hardened_pgtables"
TARGETS = {
    "user": "a process",
    "vmalloc": "the kernel's vmalloc area",
    "module": "the kernel's module area",
    "linear": "the linear map itself",
    "fixmap": "the fixmap",
    "image": "the kernel image",
}
Record = dict[str, str]


def records(console: str) -> list[Record]:
    """The guest's lines: the word under the key "", and its key=value pairs."""
    found = []
    for text in re.findall(r"kpkeys-demo: (\S.*)", console):
        word, *pairs = text.split()
        found.append({"": word, **dict(pair.split("=", 1) for pair in pairs if "=" in pair)})
    return found


def select(found: list[Record], word: str) -> list[Record]:
    return [record for record in found if record[""] == word]


def verdict(result: boot.Result) -> str:
    """Empty if the guest says that all was as expected, else what is wrong."""
    found = records(result.console)
    errors = re.findall(r"kpkeys-demo: (error .*)", result.console)
    if errors:
        return errors[0]
    if result.timeout:
        return f"no end after {result.seconds:.0f} s"
    done = select(found, "done")
    if not done:
        return "the kernel died before the demo was done"
    if done[-1].get("status") != "0":
        odd = [r for r in attacked(found) if r["expected"] == "0"]
        if odd:
            return f"{len(odd)} writes not as expected, the first: {_line(odd[0])}"
        points = re.findall(r"kpkeys-demo: (not ok .*)", result.console)
        return "; ".join(["the guest reports a failure", *points[:3]])
    return ""


def attacked(found: list[Record]) -> list[Record]:
    """The attacks' results. The console may print a line in part before it prints it in full."""
    return list({record["id"]: record for record in select(found, "attack-end")
                 if "expected" in record}.values())


def nothing_lost(console: str) -> list[str]:
    """What the guest's last points say of page tables, of their counters, and of leaks."""
    when = r"(?:at the end|after-\S+)"
    kinds = {"checker": f"page tables {when}", "counters": "page table counters",
             "kmemleak": f"kmemleak {when}", "memory": f"memory {when}"}
    said = {name: re.findall(rf"kpkeys-demo: ok \d+ - {kind}: (.*)", console)
            for name, kind in kinds.items()}
    return [f"{name}: {lines[-1]}" for name, lines in said.items() if lines]


def _line(attack: Record) -> str:
    return f"{attack['target']} {attack['level']}: {attack['result']}"


def append(action: str, on: bool, poe: bool = True) -> str:
    """The kernel command line for the guest's init."""
    expect = "protected" if on and poe else "open"
    # Again in userspace, but for what takes long: that is run often enough at boot
    tests = f" kunit.enable=1 kunit.autorun=0 {kunit.QUICK}" if action == "test" else ""
    return (f"{SWITCH}={'on' if on else 'off'} kpkeys_demo={action} kpkeys_demo_expect={expect}"
            + tests)


def _tables(found: list[Record]) -> None:
    scans = select(found, "scan")
    keys = sorted({key for scan in scans for key in scan if re.fullmatch(r"pkey\d+", key)})
    say("Page tables, and the protection key they are mapped with:")
    say(f"  {'of':8} {'level':6} {'tables':>7} " + " ".join(f"{'pkey ' + k[4:]:>7}" for k in keys))
    for scan in scans:
        counts = " ".join(f"{scan.get(key, '-'):>7}" for key in keys)
        fixed = scan.get("pkey0_ro", "0")
        note = "" if fixed == "0" else f"  ({fixed} read-only on every kernel)"
        say(f"  {scan['space']:8} {scan['level']:6} {scan['tables']:>7} {counts}{note}")


def _attacks(protected: list[Record], control: list[Record]) -> None:
    other = {(r["target"], r["level"], r["kind"]): r for r in attacked(control)}
    entries = {(r["target"], r["level"]): r["entry"] for r in select(protected, "table")
               if "entry" in r}
    say("Stores to page-table entries from inside the kernel, not through its helpers:")
    say(f"  {'entry':32} {'address':20} {SWITCH}=on   =off")
    for attack in attacked(protected):
        where = (attack["target"], attack["level"])
        name = f"{where[1].upper()} of {TARGETS.get(where[0], where[0])}"
        second = other.get((*where, attack["kind"]), {}).get("result", "-")
        note = "  (read-only on every kernel)" if attack.get("prot") == "ro" else ""
        say(f"  {name:32} {entries.get(where, ''):20} {attack['result']:27}   {second}{note}")


def report(console: str, target: str = "user", level: str = "pte", lines: int = 24) -> list[str]:
    """The kernel's own report of one refused write."""
    begin = re.search(rf"kpkeys-demo: attack-begin .*target={target} level={level}.*\n", console)
    if not begin:
        return []
    text = console[begin.end():].split("kpkeys-demo: attack-end")[0]
    kept = [re.sub(r"^\[[ .\d]+\] ?", "", line) for line in text.splitlines()]
    own = re.compile(r"kpkeys-demo: |\*\* replaying previous")
    return [line for line in kept if line.strip() and not own.search(line)][:lines]


def _log(action: str, on: bool) -> Path:
    return boot.LOGS / f"{action}-{'on' if on else 'off'}.log"


def boots(
    built: kernel.Kernel, emulator: qemu.Emulator, action: str
) -> dict[bool, boot.Result]:
    """What the guest's init does for an action, with the protection and without it."""
    initrd = guest.initramfs(built)
    progress = Progress("Booting it twice, protected and not")

    def one(on: bool) -> boot.Result:
        argv = boot.command(emulator.binary, boot.EAGER, built.image, initrd, append(action, on))
        return boot.run(argv, _log(action, on))

    calls = [lambda: one(False), lambda: one(True)]
    results = {bool(index): result for index, result in proc.parallel(2, calls)}
    progress.done()
    return results


def heading(built: kernel.Kernel, emulator: qemu.Emulator, found: list[Record]) -> None:
    """What was built, and what it ran on."""
    say()
    series = f" and {built.patches} patches" if built.patches else ""
    say(f"Kernel    {built.source.name}{series}, {built.compiler}")
    say(f"          {built.directory}")
    say(f"          {built.source.origin}")
    say(f"Emulator  {emulator.name}")
    say(f"          {emulator.binary}")
    say(f"          {emulator.origin}")
    for system in select(found, "system"):
        say(f"Machine   {system.get('cpus')} CPUs at EL{system.get('el')}, {system.get('va')}-bit"
            f" addresses, {system.get('levels')} levels, linear map by {system.get('linear')}")
    say()


def show_report(console: str, what: str, target: str = "user", level: str = "pte") -> None:
    text = report(console, target, level)
    if text:
        say(f"The kernel's report of {what}:")
        for line in text:
            say(f"  | {line}")
        say()


def show_failures(results: dict[bool, boot.Result], action: str) -> bool:
    """Say which kernel did not do what it should; False if both did."""
    failed = False
    for on, name in ((True, "protected"), (False, "unprotected")):
        wrong = verdict(results[on])
        if wrong:
            failed = True
            log = _log(action, on)
            say(f"FAILED on the {name} kernel: {wrong}, see {log}:")
            say(proc.tail(log))
    return failed


def by_hand(built: kernel.Kernel, emulator: qemu.Emulator, action: str) -> None:
    say("This demo by hand:")
    argv = boot.command(emulator.binary, boot.EAGER, built.image, guest.initramfs(built),
                        append(action, True))
    say("  " + shlex.join(argv))


def run(known: inputs.Base, linux: str | None, binary: str | None, shell: bool) -> int:
    built = kernel.build(known, linux)
    emulator = qemu.find(known, binary)
    if shell:
        _shell(built, emulator)
    results = boots(built, emulator, "run")
    on, off = (records(results[key].console) for key in (True, False))

    heading(built, emulator, on)
    _tables(on)
    say()
    _attacks(on, off)
    say()
    show_report(results[True].console, "the write to the process's PTE")
    failed = show_failures(results, "run")
    for found, name in ((on, "protected"), (off, "unprotected")):
        for total in select(found, "summary"):
            say(f"On the {name} kernel {total['refused']} of {total['attacks']} writes were"
                f" refused and {total['allowed']} went through.")
    if failed:
        return 1
    say()
    say(f"What an attacker makes of that: scripts/kpkeys run{inputs.option()} --attack")
    say(f"A shell in it: scripts/kpkeys run{inputs.option()} --shell")
    by_hand(built, emulator, "run")
    return 0


def _shell(built: kernel.Kernel, emulator: qemu.Emulator) -> NoReturn:
    initrd = guest.initramfs(built, shell=True)
    argv = boot.command(emulator.binary, boot.EAGER, built.image, initrd, append("shell", True),
                        serial="mon:stdio")
    say(shlex.join(argv))
    say("Leave with 'exit' or Ctrl-A x.")
    os.execv(argv[0], argv)

