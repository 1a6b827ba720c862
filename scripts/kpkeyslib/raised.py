# SPDX-License-Identifier: GPL-2.0
"""The test of what runs while page tables are writable.

bench/raised.c, a plugin of the emulator, writes down each block of code that was executed with
the bit of POR_EL1 set. The functions that these belong to must be those that are listed here,
with the reason why they may write to page tables.
"""

from __future__ import annotations

import re
import textwrap
from bisect import bisect_right
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from . import bench, boot, demo, guest, inputs, series
from .testcase import Setting, Skip, Test, check, tap

# What POR_EL1 has for a pkey is 4 bits, of which the third is for writing; that of tables is 1
_BIT = 4 * 1 + 2
# System.map has the addresses only of a kernel that is where it was linked to be
_MODE = boot.EAGER._replace(args=("nokaslr",))


class Group(NamedTuple):
    """Functions that run at the raised level for one reason."""

    why: str
    functions: str


_GUARDS = "clear_tables collapse_huge_page free_pte_range __create_pgd_mapping_locked" \
          " split_huge_pmd_locked"
_STORES = (
    Group("Exception entry, until POR_EL1 is reset, and the return, from where it is restored",
          "vectors el1h_64_sync el1h_64_irq el1h_64_fiq el1h_64_error ret_to_kernel"),
    Group("A switch to another thread, until POR_EL1 is reset; no section of this boot sleeps",
          "__switch_to raised_switch_to"),
    Group("Helpers that store entries, with the TLB flush between two series of stores, and what"
          " they do ahead of their stores in a section that has raised the level",
          "kpkeys_write_entry kpkeys_xchg_entry kpkeys_store_ptes kpkeys_clear_ptes"
          " kpkeys_get_and_clear_ptes kpkeys_set_wrprotect __set_pte __xchg_case_64"
          " __ptep_set_access_flags_anysz __ptep_test_and_clear_young __clear_young_dirty_pte"
          " clear_ptes __contpte_try_fold __contpte_try_unfold contpte_try_unfold_partial"
          " contpte_convert contpte_set_ptes contpte_clear_full_ptes"
          " contpte_get_and_clear_full_ptes contpte_test_and_clear_young_ptes"
          " contpte_clear_young_dirty_ptes contpte_wrprotect_ptes contpte_ptep_get"
          " contpte_ptep_set_access_flags modify_prot_start_ptes modify_prot_commit_ptes"
          " set_huge_pte_at huge_ptep_get_and_clear huge_pte_clear get_clear_contig"
          " arch_make_huge_pte __flush_tlb_range __sync_cache_and_tags __sync_icache_dcache"
          " mte_sync_tags queue_pte_barriers"),
    Group("Stores in a loop with a guard around it: tables that are cleared or freed, huge pages"
          " that are split or collapsed, mappings of the kernel that are made; what they ask of"
          " each entry",
          f"{_GUARDS} clear_page pgattr_change_is_safe userfaultfd_rwp"),
)
_SECTIONS = (
    Group("Loops over entries of processes in lazy MMU sections: unmap, fork, mprotect, mremap,"
          " madvise",
          "__zap_vma_range copy_page_range copy_nonpresent_pte change_protection move_page_tables"
          " madvise_cold_or_pageout_pte_range madvise_free_pte_range lazy_mmu_mode_disable"),
    Group("Loops over entries of the kernel in lazy MMU sections: vmalloc, permissions and pkeys of"
          " the linear map",
          "vmap_range_noflush vmap_small_pages_range_noflush __vunmap_range_noflush"
          " update_range_prot walk_kernel_page_table_range_lockless walk_pgd_range"
          " walk_pte_range_inner pageattr_pte_entry pageattr_pmd_entry"),
    Group("What these loops ask of an entry and of its page",
          "vm_normal_page vm_normal_folio folio_pte_batch folio_pte_batch_flags softleaf_type"
          " maybe_change_pte_writable vma_flags_is_cow_mapping userfaultfd_wp"
          " cond_install_uffd_wp_ptes"),
    Group("rmap and references of what is unmapped or shared, and a large folio that is now mapped"
          " in part",
          "folio_remove_rmap_ptes folio_try_dup_anon_rmap_ptes deferred_split_folio"
          " list_lru_lock_irqsave list_lru_unlock_irqrestore __list_lru_add set_shrinker_bit"),
    Group("Pages that were accessed, are cold, or may be freed, to batches for other lists; a batch"
          " that is full gets to the lists at the default level",
          "folio_mark_accessed folio_deactivate folio_mark_lazyfree folio_unlock"
          " workingset_activation workingset_age_nonresident __folio_batch_add_and_move"
          " memset"),
    Group("What is entered from these loops, and goes on at the default level: file systems, lists of"
          " pages, secondary MMUs, the scheduler",
          "folio_mark_dirty folio_mapping folio_batch_move_lru folio_wake_bit tlb_next_batch"
          " __mmu_notifier_clear_flush_young __mmu_notifier_clear_young"
          " __mmu_notifier_test_young __mmu_notifier_arch_invalidate_secondary_tlbs"),
    Group("Counters",
          "__mod_memcg_lruvec_state mod_memcg_lruvec_state mod_node_page_state mod_node_state"
          " mod_mthp_stat lruvec_stat_mod_folio memcg_rstat_updated memcg_state_val_in_pages"
          " __css_rstat_updated count_memcg_events count_vm_event percpu_counter_add_batch"),
    Group("The batches of the mmu_gather",
          "__tlb_remove_folio_pages __tlb_remove_folio_pages_size"),
    Group("Locks, and RCU read-side sections, of all these",
          "_raw_spin_lock _raw_spin_lock_irqsave _raw_spin_trylock _raw_spin_unlock"
          " _raw_spin_unlock_irqrestore queued_spin_lock_slowpath __rcu_read_lock"
          " __rcu_read_unlock"),
)
LISTED = (*_STORES, *_SECTIONS)
# In the scope of a guard there are but stores. This is what else there is: a function that has
# raised the level, and another one that is called from there
_BESIDE_STORES = {
    ("split_huge_pmd_locked", "__rcu_read_unlock"),  # pte_unmap(), which is not the last one
}
Found = dict[str, set[str]]  # functions, and those that had raised the level for them


def names(groups: Iterable[Group]) -> set[str]:
    return {name for group in groups for name in group.functions.split()}


def _plain(name: str) -> str:
    return re.sub(r"\.(cold|part|isra|constprop)\b.*", "", name)


def read(trace: str, system_map: str) -> Found:
    """The functions of what the plugin has written. What is outside of the kernel is an address."""
    found = re.findall(r"^(\w+) (\w) (\S+)$", system_map, re.M)
    end = next(int(address, 16) for address, _, name in found if name == "_etext")
    listed = names(LISTED)
    by_address: dict[int, str] = {}
    for address, kind, name in found:
        if kind in "tTwW" and (_plain(name) in listed or int(address, 16) not in by_address):
            by_address[int(address, 16)] = _plain(name)
    starts = sorted(by_address)

    def function(text: str) -> str:
        address = int(text, 16)
        index = bisect_right(starts, address) - 1
        return by_address[starts[index]] if index >= 0 and address < end else hex(address)

    functions: Found = {}
    for line in trace.splitlines():
        address, by = line.split()
        functions.setdefault(function(address), set()).add(function(by))
    return functions


def wrong(found: Found) -> list[str]:
    """Functions that must not run at the raised level, and who has raised it."""
    listed, stores, guards = names(LISTED), names(_STORES), set(_GUARDS.split())
    bad = [f"{name}, by {', '.join(sorted(by))}" for name, by in found.items()
           if name not in listed]
    bad += [f"{name}, in the scope of the guard of {guard}" for name, by in found.items()
            if name in listed - stores for guard in by & guards
            if (guard, name) not in _BESIDE_STORES]
    return sorted(bad)


def _is_in_source(name: str, tree: Path) -> bool:
    word = re.compile(rf"\b{name}\b")
    where = ("mm", "arch/arm64", "include/linux", "include/asm-generic", "kernel", "lib")
    files = [path for directory in where for path in sorted((tree / directory).glob("**/*.[chS]"))]
    return any(word.search(path.read_text(errors="replace")) for path in files + series.patches())


def gone(system_map: str, tree: Path) -> list[str]:
    """Names in the list that the kernel does not have, neither as a symbol nor inlined."""
    there = {_plain(name) for name in re.findall(r"^\w+ [tTwW] (\S+)$", system_map, re.M)}
    return [name for name in sorted(names(LISTED) - there) if not _is_in_source(name, tree)]


def table(found: Found) -> str:
    """What ran, by the reasons."""
    groups = [*LISTED, Group("NOT LISTED", " ".join(set(found) - names(LISTED)))]
    text = ""
    for group in groups:
        ran = sorted(name for name in group.functions.split() if name in found)
        if ran:
            text += group.why + "\n" + "".join(
                f"    {name:40} by {', '.join(sorted(found[name]))}\n" for name in ran)
    return text


def listing() -> str:
    """The list as threat-model.rst has it."""
    def item(group: Group) -> str:
        functions = " ".join(f"``{name}``" for name in sorted(group.functions.split()))
        return textwrap.fill(f"* {group.why}: {functions}", 105, subsequent_indent="  ",
                             break_long_words=False, break_on_hyphens=False) + "\n"

    return "".join(map(item, LISTED))


def _run(setting: Setting, where: Path) -> str:
    if not inputs.has("raised"):
        raise Skip(f"the list is not that of {setting.kernel.source.name}")
    symbols = (setting.kernel.directory / "System.map").read_text()
    lost = gone(symbols, setting.kernel.source.tree)
    check(not lost, f"listed, but no function of the kernel: {', '.join(lost)}")
    trace = where / "raised.trace"
    argv = boot.command(setting.emulator.binary, _MODE, setting.kernel.image,
                        guest.initramfs(setting.kernel), demo.append("busy", True))
    options = (str(bench.plugin(inputs.base(), "raised")), f"out={trace}", f"bit={_BIT}")
    result = boot.run([*argv, "-plugin", ",".join(text.replace(",", ",,") for text in options)],
                      where / "console.log", _MODE.limit)
    bad = demo.verdict(result)
    check(not bad, bad)
    remark = tap(result.console, "kpkeys-demo: ")
    found = read(trace.read_text(), symbols)
    check("kpkeys_write_entry" in found, "not even kpkeys_write_entry() was seen")
    (where / "raised.txt").write_text(table(found))
    bad_ones = wrong(found)
    check(not bad_ones, f"{len(bad_ones)} that must not run at the raised level, see"
          f" {where / 'raised.txt'}: {'; '.join(bad_ones[:3])}")
    return f"{len(found)} functions of the {len(names(LISTED))} listed; {remark}"


def test() -> Test:
    return Test("raised: what runs while page tables are writable", _run)
