# SPDX-License-Identifier: GPL-2.0
"""The origins of what is written to POR_EL1, in small pieces of real machine code."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

from kpkeyslib import gadgets, needs, origins, proc
from kpkeyslib.term import Problem

from .support import Scratch

POR = "S3_0_C10_C2_4"
TABLES = """
    .section .altinstructions, "a"
    __alt_instructions: {alternatives}
    __alt_instructions_end:
    .section __jump_table, "a"
    __start___jump_table: {keys}
    __stop___jump_table:
    .section __ex_table, "a"
    __start___ex_table: {fixups}
    __stop___ex_table:
    .section __bug_table, "a"
    __start___bug_table: {bugs}
    __stop___bug_table:
"""


class Gadgets(Scratch):
    def link(self, text: str, alternatives: str = "", keys: str = "", fixups: str = "",
             bugs: str = "") -> Path:
        """An ELF file with the code of f(), and what the kernel patches in it."""
        source = self.dir / "f.s"
        source.write_text(".text; .type f, %function; .global f; f:\n" + text
                          + "\n.text; g: ret\n"
                          + TABLES.format(alternatives=alternatives, keys=keys, fixups=fixups,
                                          bugs=bugs))
        for tool, *args in (["gcc", "-c", source, "-o", self.dir / "f.o"],
                            ["ld", "-e", "f", self.dir / "f.o", "-o", self.dir / "vmlinux"]):
            proc.output([needs.cross_prefix() + tool, *args], tool)
        return self.dir / "vmlinux"

    def inspect(self, *args: str) -> list[origins.Write]:
        return origins.inspect(self.link(*args), frozenset(("dies",)))[0]

    def stores(self, *args: str) -> list[str]:
        """How the stores that forward arguments are reached."""
        return [gadgets.reached(store, True)
                for store in origins.inspect(self.link(*args), frozenset(("dies",)))[1]]

    def of(self, *args: str) -> list[set[str]]:
        return [set(write.origins) for write in self.inspect(*args)]

    def test_an_argument(self) -> None:
        self.assertEqual(self.of(f"msr {POR}, x0; ret"), [{"argument"}])
        self.assertEqual(self.of(f"and x3, x5, #7; orr x3, x3, #16; msr {POR}, x3; ret"),
                         [{"argument"}])

    RAISE, RESTORE = (f"mov x9, #{por}; msr {POR}, x9; isb;" for por in (0x57, 0x17))

    def test_a_store_of_an_argument(self) -> None:
        for store in ("str x1, [x0]", "stp x2, xzr, [x3, #16]", "swp x1, x2, [x0]",
                      "mov x4, x0; str w2, [x4, #8]!", "cas x2, x1, [x0]",
                      "and x1, x1, #0xff; 1: ldxr x3, [x0]; stxr w4, x1, [x0]; cbnz w4, 1b"):
            with self.subTest(store):
                self.assertEqual(
                    self.stores(f".arch armv8.5-a; {self.RAISE} {store}; {self.RESTORE} ret"),
                    ["other files see it"])

    def test_a_store_that_is_none_of_an_argument(self) -> None:
        raised = (f"{self.RAISE} str xzr, [x0]; mov x2, #1; str x2, [x0];"
                  f" mrs x3, sp_el0; str x1, [x3]; str x1, [sp, #-16]!; {self.RESTORE} ret")
        self.assertEqual(self.stores(raised), [])
        around = f"str x1, [x0]; {self.RAISE} {self.RESTORE} str x1, [x0]; ret"
        self.assertEqual(self.stores(around), [])

    def test_a_store_on_one_path_of_two(self) -> None:
        one_path = f"cbz x2, 1f; {self.RAISE} 1: str x1, [x0]; {self.RESTORE} ret"
        self.assertEqual(self.stores(one_path), ["other files see it"])

    def test_how_a_store_is_reached(self) -> None:
        def reached(name: str, *how: bool, bti: bool = True) -> str:
            return gadgets.reached(origins.Store(name, 0, *how), bti)

        self.assertEqual(reached("f", False, False, True), "")
        self.assertEqual(reached("f", True, True, False), "exported")
        self.assertEqual(reached("set_huge_pte_at", True, True, False), "exported")
        self.assertEqual(reached("set_huge_pte_at", False, True, False), "")
        self.assertEqual(reached("set_huge_pte_at", False, True, True),
                         "indirect calls may go to it")
        self.assertEqual(reached("set_huge_pte_at", False, True, True, bti=False), "")

    def test_an_argument_that_was_spilled(self) -> None:
        self.assertEqual(self.of(f"""
            stp x29, x30, [sp, #-48]!
            mov x29, sp
            stp x19, x1, [sp, #16]
            bl g
            ldr x19, [x29, #24]
            msr {POR}, x19
            ldp x29, x30, [sp], #48
            ret"""), [{"argument"}])

    def test_a_constant(self) -> None:
        self.assertEqual(self.of(f"mov x1, #3; movk x1, #1, lsl #16; msr {POR}, x1; ret"),
                         [{"constant"}])
        self.assertEqual(self.of(f"msr {POR}, xzr; ret"), [{"constant"}])

    def test_a_level_that_is_raised_and_restored(self) -> None:
        self.assertEqual(self.of(f"""
            sub sp, sp, #32
            mrs x9, {POR}
            str x9, [sp, #8]
            mov x10, #0x30
            orr x10, x9, x10
            msr {POR}, x10
            bl g
            ldr x0, [sp, #8]
            msr {POR}, x0
            add sp, sp, #32
            ret"""), [{"POR_EL1"}] * 2)

    def test_paths_that_join(self) -> None:
        self.assertEqual(self.of(f"""
            cbz x2, 1f
            mov x3, #1
            b 2f
        1:  mov x3, x0
        2:  msr {POR}, x3
            ret"""), [{"argument", "constant"}])

    def test_a_loop(self) -> None:
        self.assertEqual(self.of(f"""
            mov x3, #1
        1:  msr {POR}, x3
            mov x3, x0
            subs x1, x1, #1
            b.ne 1b
            ret"""), [{"argument", "constant"}])

    def test_memory(self) -> None:
        for text, where in ((f"ldr x1, [x1, #8]; msr {POR}, x1", "an argument"),
                            (f"ldr x1, [sp, #8]; msr {POR}, x1", "the stack"),
                            (f"mrs x1, sp_el0; ldr x1, [x1, #8]; msr {POR}, x1", "current")):
            self.assertEqual(self.of(text + "; ret"), [{f"memory of {where}"}])
        self.assertEqual(self.of(f"ldr x1, [x1]; ldr x1, [x1]; msr {POR}, x1; ret"),
                         [{"memory"}])

    def test_registers(self) -> None:
        for name, origin in (("S3_5_C10_C2_4", "POR_EL12"), ("S3_4_C10_C2_4", "POR_EL1"),
                             ("S3_3_C10_C2_4", "another system register")):
            self.assertEqual(self.of(f"mrs x1, {name}; msr {POR}, x1; ret"), [{origin}])

    def test_a_call_leaves_nothing_behind(self) -> None:
        self.assertEqual(self.of(f"mov x9, #1; bl g; msr {POR}, x0; msr {POR}, x9; ret"),
                         [{"result of a call"}, {"unknown"}])
        # It may write where it gets a pointer to
        self.assertEqual(self.of(f"""
            sub sp, sp, #32
            str xzr, [sp, #16]
            add x0, sp, #16
            bl g
            ldr x1, [sp, #16]
            msr {POR}, x1
            ret"""), [{"constant", "result of a call"}])

    def test_an_alternative(self) -> None:
        text = f"""
            mov x9, #1
        1:  nop
        2:  msr {POR}, x9
            ret
            .subsection 1
        3:  mov x9, x0
        4:  msr {POR}, x9
        5:  .previous"""
        self.assertEqual(self.of(text), [{"constant"}, {"unknown"}])
        found = self.inspect(
            text, ".long 1b - ., 3b - .; .hword 1; .byte 2b - 1b, 4b - 3b")
        self.assertIn({"argument", "constant"}, [set(write.origins) for write in found])
        found = self.inspect(
            text, ".long 2b - ., 4b - .; .hword 1; .byte 4, 5b - 4b")
        self.assertEqual([(w.function, w.offset, w.origins) for w in found],
                         [("f", 8, {"constant"})] * 2)

    def test_a_branch_that_a_function_patches_away(self) -> None:
        text = f"""
            mov x9, #1
        1:  b 3f
            mov x9, x0
        2:  nop
        3:  msr {POR}, x9
            ret"""
        self.assertEqual(self.of(text), [{"constant"}])
        self.assertEqual(self.of(text, ".long 1b - ., 0; .hword 0x8001; .byte 2b - 1b, 0"),
                         [{"argument", "constant"}])

    def test_a_fault(self) -> None:
        text = f"""
            mov x9, #1
        1:  ldtr x3, [x4]
            b 3f
        2:  mov x9, x0
        3:  msr {POR}, x9
            ret"""
        self.assertEqual(self.of(text), [{"constant"}])
        self.assertEqual(self.of(text, "", "", ".long 1b - ., 2b - .; .hword 0, 0"),
                         [{"argument", "constant"}])

    def test_a_static_key(self) -> None:
        text = f"""
            mov x9, #1
        1:  nop
            b 3f
        2:  mov x9, x0
        3:  msr {POR}, x9
            ret"""
        self.assertEqual(self.of(text), [{"constant"}])
        self.assertEqual(self.of(text, "", ".long 1b - ., 2b - .; .quad 0"),
                         [{"argument", "constant"}])

    def test_a_switch(self) -> None:
        self.assertEqual(self.of(f"""
            mov x9, #2
            adr x3, 1f
            add x3, x3, w1, sxtb #2
            br x3
        1:  mov x9, #1
            b 2f
            mov x9, x0
        2:  msr {POR}, x9
            ret"""), [{"argument", "constant"}])

    def test_a_part_that_was_moved_away(self) -> None:
        self.assertEqual(self.of(f"""
            mov x9, #1
            cbnz x0, f.cold
            ret
            .type f.cold, %function
        f.cold:
            msr {POR}, x9
            msr {POR}, x7
            ret"""), [{"constant"}, {"argument"}])

    def test_code_that_nothing_leads_to(self) -> None:
        self.assertEqual(self.of(f"ret; msr {POR}, xzr"), [{"unknown"}])

    def test_a_call_that_does_not_return(self) -> None:
        for function, kinds in (("g", {"argument", "result of a call"}), ("dies", {"argument"})):
            self.assertEqual(self.of(f"""
                cbnz x0, 1f
                bl {function}
            1:  msr {POR}, x0
                ret
            dies: b ."""), [kinds])

    def test_a_trap(self) -> None:
        text = f"""
            mov x1, #1
            cbz x0, 2f
            mov x1, x0
        1:  brk #0x800
        2:  msr {POR}, x1
            ret"""
        for flags, kinds in ((1, {"constant", "argument"}), (0, {"constant"})):  # WARN(), BUG()
            self.assertEqual(
                self.of(text, "", "", "", f".long 1b - ., 0; .hword 7, {flags}"), [kinds])
        for rows in (".long 2b - ., 0; .hword 7, 0", ".long 1b - .; .hword 0, 0"):
            with self.assertRaisesRegex(Problem, "__bug_table"):
                self.of(text, "", "", "", rows)

    def test_all_three_registers(self) -> None:
        found = self.inspect(
            "msr S3_4_C10_C2_4, x1; msr S3_5_C10_C2_4, x1; msr S3_3_C10_C2_4, x1; ret")
        self.assertEqual([write.register for write in found], ["POR_EL2", "POR_EL12"])

    def test_what_must_be_argued_for(self) -> None:
        def argued(function: str, *kinds: str, register: str = "POR_EL1") -> str | None:
            return gadgets.argued(origins.Write(function, 0, register, frozenset(kinds)))

        self.assertEqual(argued("anything", "constant", "POR_EL1"), "")
        self.assertTrue(argued("raised_switch_to", "memory of an argument"))
        self.assertTrue(argued("raised_switch_to.constprop.0", "memory of an argument", "constant"))
        self.assertIsNone(argued("raised_switch_to", "argument"))
        self.assertIsNone(argued("anything", "memory"))
        self.assertTrue(argued("vcpu_write_sys_reg", "argument", register="POR_EL12"))
        self.assertIsNone(argued("vcpu_write_sys_reg", "argument"))
        self.assertIsNone(argued("anything", "unknown"))

    def test_the_test_fails(self) -> None:
        setting = mock.Mock()
        setting.kernel.source.tree = self.dir
        listed = self.dir / "tools/objtool/noreturns.h"
        listed.parent.mkdir(parents=True)
        listed.write_text("NORETURN(panic)\n")
        setting.kernel.directory = self.link(f"msr {POR}, x0; ret").parent
        with self.assertRaisesRegex(AssertionError, r"1 of 1 writes.*f\+0x0 .*argument"):
            gadgets.test().run(setting, self.dir)
        self.assertIn("NOT ARGUED FOR", (self.dir / "gadgets.txt").read_text())
        setting.kernel.directory = self.link("ret").parent
        with self.assertRaisesRegex(AssertionError, "no write"):
            gadgets.test().run(setting, self.dir)
