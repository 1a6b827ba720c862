# SPDX-License-Identifier: GPL-2.0
"""The tests of what vmlinux writes to POR_EL1, and of what it stores while that is raised.

A function that writes its argument there would be what an attacker who can make the
kernel call a function is looking for. So would one that stores an argument through
another, while page tables are writable.
"""

from __future__ import annotations

import re
from pathlib import Path

from .origins import Store, Write, inspect
from .testcase import Setting, Test, check

FINE = {"constant", "POR_EL1"}
# All other writes: functions, registers, origins, and why it is right
ARGUED = (
    ("raised_switch_to", {"POR_EL1"}, {"memory of an argument"},
     "switched to again: thread.por_el1, as saved when it was switched away at a raised level"),
    ("el1h_64_sync el1h_64_irq el1h_64_fiq el1h_64_error el1t_64_sync el1t_64_irq el1t_64_fiq"
     " el1t_64_error", {"POR_EL1"}, {"result of a call"},
     "exception from a raised level: pt_regs, as saved at entry, which the handler has"),
    ("__sdei_asm_handler", {"POR_EL1"}, {"memory of an argument"},
     "return from an SDEI event: pt_regs, as saved at entry"),
    ("power_down_finisher", {"POR_EL1"}, {"argument"},
     "KUnit test of resume only: makes a register that power down has lost"),
    ("cpu_do_resume", {"POR_EL1"}, {"memory of an argument"},
     "resume: what cpu_do_suspend() saved"),
    ("__finalise_el2", {"POR_EL1"}, {"POR_EL12"},
     "switch to VHE at boot: EL1's register becomes that of EL2"),
    ("__kvm_nvhe___sysreg_restore_state_nvhe __kvm_nvhe___sysreg_restore_el1_state",
     {"POR_EL1", "POR_EL12"}, {"memory", "memory of an argument"},
     "KVM without VHE, at EL2: the other one's, host or guest"),
    # The last of them in 6.12, where the first is inlined
    ("__sysreg_restore_el1_state __sysreg_restore_vel2_state __vcpu_load_switch_sysregs",
     {"POR_EL12"},
     {"memory", "memory of an argument", "result of a call"},
     "KVM with VHE: the guest's register, as the vCPU has it"),
    ("vcpu_write_sys_reg write_sr_to_cpu", {"POR_EL12"}, {"argument", "result of a call"},
     "KVM with VHE: the guest's register, as the VMM or a trapped write wants it"),
    # The writes of POR_EL1 among these are replaced with VHE, and never run without
    ("__kvm_at_s1e01_fast __mmu_config_restore", {"POR_EL1", "POR_EL12"},
     {"POR_EL12", "memory of an argument", "result of a call"},
     "KVM with VHE: the guest's register, for address translation, and back"),
)


def argued(write: Write) -> str | None:
    """Why a write is right: empty if it needs no reason, None if there is none."""
    if write.origins <= FINE:
        return ""
    name = re.sub(r"\.(cold|part|isra|constprop)\b.*", "", write.function)
    for functions, registers, origins, why in ARGUED:
        if (name in functions.split() and write.register in registers
                and write.origins - FINE <= origins):
            return why
    return None


# Functions that store an argument through another at the raised level, and that other files
# call by name. None is exported, nor has a landing pad for indirect calls where there is BTI.
_BY_NAME = {
    "contpte_set_ptes": "set_ptes() of more than one entry",
    "set_huge_pte_at": "the helper of hugetlb",
    "__ptep_set_access_flags_anysz": "ptep_set_access_flags() of all sizes",
}
# Functions in which it is something else that is stored
_NOT_ENTRIES = {
    "free_pgd_range": "what the mmu_gather is to free, stored in it",
}


def reached(store: Store, bti: bool) -> str:
    """How others than a caller by name get to a store that forwards arguments; empty if not."""
    name = re.sub(r"\.(cold|part|isra|constprop)\b.*", "", store.function)
    if name in _NOT_ENTRIES:
        return ""
    if store.exported:
        return "exported"
    if store.visible and name not in _BY_NAME:
        return "other files see it"
    return "indirect calls may go to it" if bti and store.pad and store.visible else ""


def table(found: list[Write]) -> str:
    rows = [(f"{w.function}+{w.offset:#x}", w.register, ", ".join(sorted(w.origins)),
             "NOT ARGUED FOR" if argued(w) is None else argued(w) or "") for w in found]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join("  ".join((*map(str.ljust, row, widths), row[3])).rstrip() for row in rows)


def _run(setting: Setting, where: Path) -> str:
    header = setting.kernel.source.tree / "tools/objtool/noreturns.h"
    noreturn = frozenset(re.findall(r"^NORETURN\((\w+)\)", header.read_text(), re.M))
    found, stores = inspect(setting.kernel.directory / "vmlinux", noreturn)
    check(found, "no write of POR_EL1 in vmlinux")
    (where / "gadgets.txt").write_text(table(found) + "\n")
    bad = [write for write in found if argued(write) is None]
    check(not bad, f"{len(bad)} of {len(found)} writes, see {where / 'gadgets.txt'}: "
          + "; ".join(f"{w.function}+{w.offset:#x} writes {w.register}:"
                      f" {', '.join(sorted(w.origins))}" for w in bad[:3]))
    bti = "CONFIG_ARM64_BTI_KERNEL=y" in (setting.kernel.directory / ".config").read_text()
    bad = sorted({f"{store.function} ({reached(store, bti)})" for store in stores
                  if reached(store, bti)})
    check(not bad, "these store what they are told to where they are told to, at the raised level: "
          + ", ".join(bad))
    functions = len({write.function for write in found})
    listed = sum(bool(argued(write)) for write in found)
    return (f"{len(found)} writes in {functions} functions, {listed} argued for;"
            f" {len({store.function for store in stores})} functions store arguments, none is"
            " reached but by name")


def test(variant: str = "", quick: bool = True) -> Test:
    return Test(f"gadgets: POR_EL1 is not set from an argument{variant and ', ' + variant}", _run,
                variant, quick)
