# SPDX-License-Identifier: GPL-2.0
"""The matrix of kernels and machines: each pair of values meets in a row at least.

A kernel takes minutes to build and a boot one or two, so that the rows share 14 kernels,
which is what the pairs of the first five columns need at least, or nearly so. Each
kernel is booted with POE in one row or more.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from . import boot, gadgets, guesttests, inputs
from .testcase import Setting, Skip, Test

# The values of each column, with the words that the names of the tests have for them. "-" is
# without. Not here: 36, 42 and 47 bits of VA, that differ in nothing from 39 and 48; CPUs of
# which some only can split blocks, that have a test of their own.
AXES = {
    # The kernel
    "page": {"4k": "4K pages", "16k": "16K pages", "64k": "64K pages"},
    "va": {"52": "52-bit VA", "48": "48-bit VA", "39": "39-bit VA"},
    "checker": {"-": "", "kasan": "KASAN", "kfence": "KFENCE", "pagealloc": "DEBUG_PAGEALLOC"},
    # What arm64 has in 7.3: no PREEMPT_NONE or PREEMPT_VOLUNTARY, not with PREEMPT_DYNAMIC either
    "preempt": {"full": "", "lazy": "PREEMPT_LAZY", "rt": "PREEMPT_RT"},
    "locks": {"-": "", "debug": "lockdep"},  # and checks of memory management
    # The machine
    "level": {"el1": "EL1", "vhe": "VHE", "nvhe": "nVHE"},
    "poe": {"eager": "eager", "lazy": "lazy", "off": "no POE"},
    "linear": {"page": "", "block": "block mappings"},
    # The lesser CPU has no LPA2: 48-bit VA with pages of 4K, and 47 with 16K, if configured for
    # 52; no pointer authentication: no barrier that happens to come with its keys
    "cpu": {"max": "", "lesser": "lesser CPU"},
    "kpti": {"-": "", "kpti": "KPTI"},
    # CONFIG_NR_CPUS=1 there is not: arm64 is always SMP, and the least is 2
    "cpus": {"1": "1 CPU", "8": "8 CPUs"},
    "plug": {"-": "", "plug": "memory hotplug"},
}
KERNEL = tuple(AXES)[:5]


class Row(NamedTuple):
    """A row: one value of each axis."""

    page: str
    va: str
    checker: str
    preempt: str
    locks: str
    level: str
    poe: str
    linear: str
    cpu: str
    kpti: str
    cpus: str
    plug: str
    quick: bool


_TABLE = """
page va checker   preempt locks level poe   linear cpu    kpti cpus plug
4k   52 -         full    -     nvhe  lazy  block  lesser -    8    -
4k   52 -         full    -     el1   off   block  lesser -    1    -
4k   48 kfence    full    debug nvhe  eager block  max    kpti 8    plug
4k   39 -         rt      -     nvhe  eager page   lesser kpti 1    -
4k   39 kasan     full    debug vhe   lazy  page   max    -    8    plug
4k   39 kfence    lazy    -     nvhe  eager block  max    kpti 1    plug
4k   39 pagealloc lazy    debug el1   lazy  page   lesser kpti 8    -
4k   39 pagealloc lazy    debug el1   off   page   max    -    1    plug
16k  52 -         full    debug vhe   lazy  page   max    -    8    plug quick
16k  52 -         full    debug el1   lazy  page   lesser kpti 1    -    quick
16k  52 kfence    lazy    -     vhe   lazy  page   lesser kpti 8    -
16k  48 kasan     lazy    -     el1   eager block  lesser -    8    -
16k  48 kasan     lazy    -     nvhe  off   page   max    kpti 8    -
16k  48 pagealloc rt      debug vhe   lazy  page   max    -    8    -
64k  52 kasan     rt      debug vhe   eager block  max    -    1    -
64k  52 pagealloc full    -     nvhe  eager page   lesser -    1    plug
64k  48 -         lazy    -     el1   eager page   lesser kpti 8    plug
64k  48 kfence    rt      -     el1   lazy  page   max    -    1    plug
64k  48 kfence    rt      -     vhe   off   block  max    -    8    plug
"""
ROWS = [Row(*line.split()[:12], line.endswith("quick"))  # type: ignore[arg-type]
        for line in _TABLE.strip().splitlines()[1:]]
# Values, or pairs, that an older base does not have, by the word that its BASE has for them: what
# stands in
_INSTEAD = {
    "blocks": ({"linear": "block"}, {"linear": "page"}),
    "preempt-lazy": ({"preempt": "lazy"}, {"preempt": "voluntary"}),
    "pagealloc-hotplug": ({"checker": "pagealloc", "plug": "plug"}, {"plug": "-"}),
}
# Why, for a pair
_WHY = {"pagealloc-hotplug":
        "unmap_hotplug_pte_range() complains of pages that DEBUG_PAGEALLOC has unmapped"}
_WORDS = {"voluntary": "PREEMPT_VOLUNTARY"}
# Not in one row: PREEMPT_RT, lockdep and KPTI. For KPTI the base allocates pages in stop_machine(),
# and if the CPU's own list has none, takes a lock that may sleep with PREEMPT_RT, and says so.
# Pairs that cannot meet
CANNOT = (
    ({"page": "16k", "va": "39"}, "Kconfig has 39-bit VA for pages of 4K only"),
    ({"page": "64k", "va": "39"}, "Kconfig has 39-bit VA for pages of 4K only"),
    ({"checker": "pagealloc", "linear": "block"},
     "force_pte_mapping(): with DEBUG_PAGEALLOC the linear map is mapped with pages"),
)


def rows() -> list[Row]:
    """The rows for the base that was chosen."""
    found = ROWS
    for word, (values, other) in _INSTEAD.items():
        if not inputs.has(word):
            found = [row._replace(**other) if values.items() <= row._asdict().items() else row
                     for row in found]
    return found


def variant(row: Row) -> str:
    """The kernel's configuration fragments, besides the usual ones."""
    names = [row.page if row.page != "4k" else "", f"va{row.va}" if row.va != "52" else "",
             row.checker, f"preempt-{row.preempt}" if row.preempt != "full" else "", row.locks]
    return " ".join(name for name in names if name not in ("", "-"))


def a_variant(**values: str) -> str:
    """A kernel with these values, of those that the matrix has."""
    return next(variant(row) for row in rows() if values.items() <= row._asdict().items())


def va(row: Row) -> int:
    """The bits of VA that the kernel comes up with."""
    if row.va == "52" and row.cpu == "lesser":
        return {"4k": 48, "16k": 47, "64k": 52}[row.page]
    return int(row.va)


def mode(row: Row) -> boot.Mode:
    """The machine, and what is passed to the kernel there."""
    cpu = ["max", {"eager": "", "lazy": "x-poe-lazy=on", "off": "poe=off"}[row.poe],
           "lpa2=off,pauth=off" if row.cpu == "lesser" else "",
           "midr=0x410fd842" if row.linear == "block" else ""]
    args = ["kvm-arm.mode=nvhe" if row.level == "nvhe" else "",
            "kpti=on" if row.kpti == "kpti" else "",
            "page_poison=1" if row.locks == "debug" else ""]
    return boot.Mode(
        name="", cpu=",".join(filter(None, cpu)), args=tuple(filter(None, args)),
        machine=boot.EAGER.machine if row.level == "el1" else boot.EAGER_VHE.machine,
        poe=row.poe != "off", lazy=row.poe == "lazy", nvhe=row.level == "nvhe",
        blocks=row.linear == "block", cpus=int(row.cpus), spare=row.plug == "plug",
        # A huge page of 64K pages has 512M, and so has a block of the linear map: 1G would not do
        memory=4 if row.page == "64k" else 1, limit=1200)


def name(row: Row) -> str:
    words = (AXES[axis].get(value, _WORDS.get(value, "")) for axis, value in row._asdict().items()
             if axis in AXES)
    return "matrix: " + ", ".join(word for word in words if word)


def _boots(row: Row) -> Test:
    machine, geometry = mode(row), {"page": int(row.page[:-1]) * 1024, "va": va(row)}
    test = guesttests.attacks(machine, **geometry)
    return Test(name(row), test.run, variant(row), row.quick,
                (repr(machine), repr(geometry), *guesttests.MODULES))


def _cannot(pair: dict[str, str], why: str) -> Test:
    def run(_: Setting, where: Path) -> str:
        raise Skip(why)

    words = ", ".join(AXES[axis][value] for axis, value in pair.items())
    return Test(f"matrix: {words}", run, quick=False)


def tests() -> list[Test]:
    """The rows, the pairs that cannot be, and what is in each kernel's code."""
    chosen = rows()
    quick = {variant(row): False for row in chosen}
    quick.update((variant(row), True) for row in chosen if row.quick)
    return [
        *map(_boots, chosen),
        *(_cannot(*pair) for pair in CANNOT),
        *(_cannot(_INSTEAD[word][0], why) for word, why in _WHY.items() if not inputs.has(word)),
        *(gadgets.test(kernel, fast) for kernel, fast in quick.items() if kernel),
    ]
