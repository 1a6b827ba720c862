# SPDX-License-Identifier: GPL-2.0
"""Booting in QEMU: command lines, configurations, the console."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Timer
from typing import NamedTuple

from . import cache, inputs, proc

LOGS = inputs.REPO / "build" / "logs"
_COMPLAINT = re.compile(
    r"WARNING: |BUG: |Oops|Kernel panic|Internal error|rcu: INFO|Unable to handle|soft lockup"
    r"|INFO: trying to register|Bad page|page dumped because(?!: migration failure)|pagealloc: ")


class Mode(NamedTuple):
    """One configuration of the emulator."""

    name: str
    cpu: str
    machine: str
    poe: bool = True
    lazy: bool = False
    firmware: bool = False
    small_va: bool = False
    blocks: bool = False
    nvhe: bool = False
    cpus: int = 2
    memory: float = 1  # GB
    spare: bool = False
    mixed: bool = False
    one_thread: bool = False
    limit: int = 400  # seconds
    args: tuple[str, ...] = ()


_EL2 = "virt,gic-version=3,virtualization=on"
_EL1 = "virt,gic-version=3"

EAGER = Mode("eager, EL1", "max", _EL1)
LAZY = Mode("lazy, EL1", "max,x-poe-lazy=on", _EL1, lazy=True)
EAGER_VHE = Mode("eager, EL2", "max", _EL2)
LAZY_VHE = Mode("lazy, EL2", "max,x-poe-lazy=on", _EL2, lazy=True)
# With our own firmware at EL3 (guest/el3), which has SDEI
FIRMWARE = Mode("lazy, firmware, EL1", "max,x-poe-lazy=on", _EL1 + ",secure=on", lazy=True,
                firmware=True)
FIRMWARE_VHE = FIRMWARE._replace(name="lazy, firmware, EL2", machine=_EL2 + ",secure=on")
# A lesser CPU: 48-bit VA, thus entries of the kernel's root table to fill in; KPTI, thus tables
# that are made late; no pointer authentication, thus no barrier that happens to come with its keys.
LESSER = Mode("lazy, lesser CPU, EL1", "max,x-poe-lazy=on,lpa2=off,pauth=off", _EL1, lazy=True,
              small_va=True, args=("kpti=on",))
NVHE = Mode("lazy, nVHE, EL1", "max,x-poe-lazy=on", _EL2, lazy=True, nvhe=True,
            args=("kvm-arm.mode=nvhe",))
PKVM = NVHE._replace(name="lazy, protected KVM, EL1", args=("kvm-arm.mode=protected",))
# A CPU on which the kernel maps the linear map with blocks, and splits them if need be
BLOCKS = Mode("lazy, block mappings, EL1", "max,x-poe-lazy=on,midr=0x410fd842", _EL1, lazy=True,
              blocks=True)
EAGER_BLOCKS = BLOCKS._replace(name="eager, block mappings, EL1", cpu="max,midr=0x410fd842",
                               lazy=False)
# A machine with further CPUs that cannot split blocks, so that the kernel must map pages again
MIXED = BLOCKS._replace(name="lazy, block mappings on the first CPU only, EL1", blocks=False,
                        mixed=True, args=("nokaslr",))
NO_POE = Mode("no POE", "max,poe=off", _EL1, poe=False)
WITH_FIRMWARE = (FIRMWARE, FIRMWARE_VHE)
WITH_POE = (EAGER, LAZY, EAGER_VHE, LAZY_VHE)
SPECIAL = (LESSER, NVHE, BLOCKS)


def with_cpus(mode: Mode, cpus: int) -> Mode:
    return mode._replace(name=f"{mode.name}, {cpus} CPU{'s' * (cpus > 1)}", cpus=cpus)


def with_kpti(mode: Mode) -> Mode:
    return mode._replace(name=f"{mode.name}, KPTI", args=(*mode.args, "kpti=on"))


def with_spare_memory(mode: Mode) -> Mode:
    """A machine with memory that the kernel does not have at boot, for the guest to plug in."""
    return mode._replace(name=f"{mode.name}, memory hotplug", spare=True)


class Result(NamedTuple):
    """What a boot left: the console, the exit status, and whether time ran out."""

    console: str
    status: int
    timeout: bool
    seconds: float


def command(
    qemu: Path, mode: Mode, image: Path, initrd: Path, append: str, serial: str = "stdio"
) -> list[str]:
    """The full QEMU command line of a Linux boot."""
    machine, memory, args = mode.machine, ["-m", f"{mode.memory * 1024:.0f}M"], mode.args
    if mode.spare:
        # So far away that the memory map, too, needs further tables for it. That is more memory
        # than this host needs to have: little of it is ever touched.
        machine += ",memory-backend=ram"
        memory = ["-m", "68G", "-object", "memory-backend-ram,id=ram,size=68G,reserve=off"]
        args = (*args, f"mem={mode.memory}G", f"kpkeys_demo_spare={66 << 30:#x}")
    return [
        str(qemu), "-M", machine, "-cpu", mode.cpu,
        "-accel", "tcg,thread=single" if mode.one_thread else "tcg", "-smp", str(mode.cpus),
        *memory, "-nodefaults", "-display", "none", "-serial", serial, "-no-reboot",
        "-kernel", str(image), "-initrd", str(initrd),
        "-append", " ".join(["console=ttyAMA0 earlycon panic=-1", *args, append]).strip(),
    ]


def run(argv: Sequence[str], log: Path, limit: float = 400) -> Result:
    """Run QEMU to its end, or to the time limit, with the console in a log."""
    with cache.lock(f"log of {log.stem}", log):
        return _run(argv, log, limit)


def _run(argv: Sequence[str], log: Path, limit: float) -> Result:
    log.parent.mkdir(parents=True, exist_ok=True)
    # Another QEMU, left of a command that was killed, may still write to it
    log.unlink(missing_ok=True)
    start = time.monotonic()
    expired = False
    with log.open("wb") as out:
        child = proc.start(argv, stdout=out)

        def expire() -> None:
            nonlocal expired
            expired = True
            proc.stop(child)

        timer = Timer(limit, expire)
        timer.start()
        try:
            child.wait()
        finally:
            timer.cancel()
            proc.end(child)
    text = log.read_text(errors="replace").replace("\r\n", "\n")
    return Result(text, child.returncode, expired, time.monotonic() - start)


def complaints(console: str) -> list[str]:
    """Lines of the console in which the kernel complains."""
    return [line for line in console.splitlines() if _COMPLAINT.search(line)]
